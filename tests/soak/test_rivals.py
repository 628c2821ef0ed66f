"""Two at work on one folder: no torn file, at worst work done twice."""

from pathlib import Path

import pytest
from field import Command, assert_whole, files_below, save_map, scaled

FILES = scaled(1_000)


@pytest.mark.parametrize("rival", ["watch", "batch"])
def test_two_on_one_folder(rival: str, tmp_path: Path, tiny_weights: Path) -> None:
    drops, out, alone = tmp_path / "drops", tmp_path / "out", tmp_path / "alone"
    for number in range(FILES // 2):
        save_map(drops / f"{number}.png", number)
    options: list[str | Path] = ["--weights", tiny_weights]
    with Command(tmp_path / "first", "watch", drops, out, *options) as first:
        arguments: list[str | Path] = ["watch", drops, out] if rival == "watch" else [drops, out]
        with Command(tmp_path / "second", *arguments, *options) as second:
            for number in range(FILES // 2, FILES):
                save_map(drops / f"{number}.png", number)
            first.wait_until(lambda: len(first.counts("made") | first.counts("current")) == FILES)
            if rival == "watch":
                second.wait_until(lambda: len(second.counts("made") | second.counts("current")) == FILES)
                assert second.stop() == 0, second.said()
            else:
                assert second.end() == 0, second.said()
        assert first.stop() == 0, first.said()
    assert first.counts("failed") == second.counts("failed") == {}
    twice = sum((first.counts("made") & second.counts("made")).values())
    print(f"\n{FILES} files, {twice} made by both")
    assert_whole(out)
    with Command(tmp_path / "alone", drops, alone, *options) as command:
        assert command.end() == 0, command.said()
    assert files_below(out) == files_below(alone)
