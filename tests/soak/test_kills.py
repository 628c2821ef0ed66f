"""kill -9 at random moments: what is left is whole, and the next run does what was not done, only that."""

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from field import Command, assert_whole, files_below, made_below, save_map, scaled, seeded

ROUNDS = scaled(100)
NEW_PER_ROUND = 40


def undisturbed(maps: Path, weights: Path, tmp_path: Path) -> dict[str, bytes]:
    out = tmp_path / "undisturbed"
    with Command(tmp_path / "undisturbed", maps, out, "--weights", weights) as command:
        assert command.end() == 0, command.said()
    return files_below(out)


def add_maps(maps: Path, round_number: int) -> None:
    for i in range(NEW_PER_ROUND):
        number = round_number * NEW_PER_ROUND + i
        save_map(maps / f"{number % 7}" / f"{number}.png", number)


def kill_while_it_works(command: Command, out: Path, chance: random.Random) -> None:
    """Kills it some time between its first new facade and its last one, or before its first one."""
    before = len(made_below(out))
    if chance.random() < 0.9:
        command.wait_until(lambda: command.process.poll() is not None or len(made_below(out)) > before)
    time.sleep(chance.random() * 0.15)
    command.kill()


@pytest.mark.parametrize("mode", ["batch", "watch"])
def test_killed_at_random_moments(mode: str, tmp_path: Path, tiny_weights: Path) -> None:
    chance = seeded(f"kills {mode}")
    maps, out = tmp_path / "maps", tmp_path / "out"
    out.mkdir()
    arguments: list[str | Path] = [maps, out] if mode == "batch" else ["watch", maps, out, "--settle", "0.1"]
    reported: Counter[str] = Counter()
    killed_with_work_left = 0
    for number in range(ROUNDS):
        add_maps(maps, number)
        with Command(tmp_path / "run", *arguments, "--weights", tiny_weights) as command:
            kill_while_it_works(command, out, chance)
            reported += command.counts("made")
            assert command.counts("failed") == {}
        killed_with_work_left += len(made_below(out)) < NEW_PER_ROUND * (number + 1)
    with Command(tmp_path / "run", maps, out, "--weights", tiny_weights) as command:
        assert command.end() == 0, command.said()
        reported += command.counts("made")
    assert_whole(out)
    assert max(reported.values()) == 1
    # What a killed run made and did not live to report is up to date for the next one.
    assert set(reported) | set(command.counts("current")) == {str(path) for path in maps.rglob("*.png")}
    assert files_below(out) == undisturbed(maps, tiny_weights, tmp_path)
    assert killed_with_work_left > ROUNDS / 4  # or the kills were too late to test anything
