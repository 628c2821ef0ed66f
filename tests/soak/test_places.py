"""Folders and disks that misbehave: it is said, nothing is harmed, and what was missed is made up for."""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest
from field import Command, assert_whole, files_below, made_below, save_map, untouched

QUICK = ("--settle", "0.2", "--rescan", "1")
# Permissions mean nothing to root; without these capabilities they do.
AS_ANYONE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def can_unshare() -> bool:
    command = ["unshare", "-Urm", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(not can_unshare(), reason="needs user namespaces")
needs_setpriv = pytest.mark.skipif(
    bool(AS_ANYONE) and shutil.which("setpriv") is None, reason="root, and no setpriv to be less than that"
)


def in_namespace(script: str, *arguments: Path) -> tuple[str, ...]:
    """What to put before a command to run a shell line in namespaces of its own first."""
    return (
        "unshare",
        "-Urm",
        "sh",
        "-ec",
        f'{script}; shift {len(arguments)}; exec "$@"',
        "sh",
        *map(str, arguments),
    )


def made(command: Command, *sources: Path) -> bool:
    return {str(source) for source in sources} <= set(command.counts("made"))


def failed(command: Command, source: Path) -> bool:
    return str(source) in command.counts("failed")


@needs_namespaces
@pytest.mark.parametrize("mode", ["batch", "watch"])
def test_a_full_disk(mode: str, tmp_path: Path, tiny_weights: Path) -> None:
    drops, out = tmp_path / "drops", tmp_path / "out"
    out.mkdir()
    sources = [drops / f"{number}.png" for number in range(60)]
    for number, source in enumerate(sources):
        save_map(source, number, size_px=64)
    small = in_namespace('mount -t tmpfs -o size=200k tmpfs "$1"', out)
    arguments: list[str | Path] = ["watch", drops, out, *QUICK] if mode == "watch" else [drops, out]
    with Command(tmp_path / "log", *arguments, "--weights", tiny_weights, before=small) as command:
        command.wait_until(lambda: command.counts("failed").total() > 5)
        if mode == "batch":
            assert command.end() == 1
        else:
            make_room_until_all_is_made(command, Path(f"/proc/{command.process.pid}/root{out}"), sources)
            assert command.stop() == 0
    assert "No space left on device" in command.said()
    assert "Traceback" not in command.said()


def make_room_until_all_is_made(command: Command, out: Path, sources: list[Path]) -> None:
    while not made(command, *sources):
        assert_whole(out, at_work=True)
        for name in made_below(out):
            (out / name).unlink()
        told = len(command.records)
        command.wait_until(partial(more_is_told, command, told))


def more_is_told(command: Command, told: int) -> bool:
    return len(command.records) > told


@needs_setpriv
def test_an_output_folder_that_turns_read_only(tmp_path: Path, tiny_weights: Path) -> None:
    drops, out = tmp_path / "drops", tmp_path / "out"
    save_map(drops / "a.png", 1)
    arguments: list[str | Path] = ["watch", drops, out, *QUICK, "--weights", tiny_weights]
    with Command(tmp_path / "log", *arguments, before=AS_ANYONE) as command:
        command.wait_until(lambda: made(command, drops / "a.png"))
        out.chmod(0o555)
        save_map(drops / "b.png", 2)
        command.wait_until(lambda: failed(command, drops / "b.png"))
        assert "Permission denied" in command.said()
        out.chmod(0o755)
        command.wait_until(lambda: made(command, drops / "b.png"))
        assert command.stop() == 0
    assert_whole(out)
    out.chmod(0o555)
    save_map(drops / "c.png", 3)
    with Command(tmp_path / "log", drops, out, "--weights", tiny_weights, before=AS_ANYONE) as command:
        assert command.end() == 2
        assert "cannot be written to (Permission denied)" in command.said()
    out.chmod(0o755)


def test_an_output_folder_that_vanishes(tmp_path: Path, tiny_weights: Path) -> None:
    drops, out = tmp_path / "drops", tmp_path / "out"
    save_map(drops / "a.png", 1)
    with Command(tmp_path / "log", "watch", drops, out, *QUICK, "--weights", tiny_weights) as command:
        command.wait_until(lambda: made(command, drops / "a.png"))
        out.rename(tmp_path / "away")
        save_map(drops / "b.png", 2)
        command.wait_until(lambda: failed(command, drops / "b.png"))
        assert not out.exists()
        (tmp_path / "away").rename(out)
        command.wait_until(lambda: made(command, drops / "b.png"))
        assert command.stop() == 0
    assert set(files_below(out)) == {"a.png", "b.png"}


@pytest.mark.parametrize("polling", [False, True], ids=["events", "polling"])
def test_a_watched_folder_that_vanishes_and_comes_back(
    polling: bool, tmp_path: Path, tiny_weights: Path
) -> None:
    drops = tmp_path / "drops"
    save_map(drops / "a.png", 1)
    how = ("--poll", "0.5") if polling else ()
    with Command(tmp_path / "log", "watch", drops, *how, *QUICK, "--weights", tiny_weights) as command:
        command.wait_until(lambda: made(command, drops / "a.png"))
        shutil.rmtree(drops)
        command.wait_for_event("gone")
        save_map(drops / "b.png", 2)
        command.wait_until(lambda: made(command, drops / "b.png"))
        shutil.rmtree(drops)
        command.wait_until(lambda: [record.get("event") for record in command.records].count("gone") == 2)
        assert command.stop() == 0, command.said()
    assert not drops.exists()


@needs_setpriv
def test_permissions_that_change(tmp_path: Path, tiny_weights: Path) -> None:
    drops = tmp_path / "drops"
    save_map(drops / "secret.png", 1)
    save_map(drops / "folder" / "a.png", 2)
    (drops / "secret.png").chmod(0)
    (drops / "folder").chmod(0)
    arguments: list[str | Path] = ["watch", drops, *QUICK, "--weights", tiny_weights]
    with Command(tmp_path / "log", *arguments, before=AS_ANYONE) as command:
        command.wait_until(lambda: failed(command, drops / "secret.png"))
        command.wait_for_event("unreadable")
        save_map(drops / "b.png", 3)
        command.wait_until(lambda: made(command, drops / "b.png"))
        (drops / "secret.png").chmod(0o644)
        (drops / "folder").chmod(0o755)
        command.wait_until(lambda: made(command, drops / "secret.png", drops / "folder" / "a.png"))
        assert command.stop() == 0


@pytest.mark.parametrize("mode", ["batch", "watch"])
def test_links_lead_nowhere_else(mode: str, tmp_path: Path, tiny_weights: Path) -> None:
    tree = tmp_path / "tree"
    drops, out, elsewhere = tree / "drops", tree / "out", tree / "elsewhere"
    save_map(drops / "a.png", 1)
    save_map(drops / "inner" / "b.png", 2)
    save_map(elsewhere / "outside.png", 3)
    save_map(elsewhere / "linked.png", 4)
    (drops / "loop").symlink_to(drops)
    (drops / "inner" / "up").symlink_to("..")
    (drops / "way out").symlink_to(elsewhere)
    (drops / "file.png").symlink_to(elsewhere / "linked.png")
    (drops / "itself.png").symlink_to("itself.png")
    out.mkdir()
    (out / "inner").symlink_to(elsewhere)
    arguments: list[str | Path] = ["watch", drops, out, "--once"] if mode == "watch" else [drops, out]
    with (
        untouched(tree, but=out),
        Command(tmp_path / "log", *arguments, "--weights", tiny_weights) as command,
    ):
        assert command.end() == 1
    assert set(command.counts("made")) == {str(drops / "a.png"), str(drops / "file.png")}
    assert failed(command, drops / "inner" / "b.png")
    assert "leads out of the output folder" in command.said()


@pytest.mark.parametrize("mode", ["batch", "watch"])
def test_names_of_every_kind(mode: str, tmp_path: Path, tiny_weights: Path) -> None:
    drops, out = tmp_path / "drops", tmp_path / "out"
    drops.mkdir()
    names = [
        "two words.png", " .png", "line\nbreak.png", "\t.png", "\N{HOUSE BUILDING}\N{RAINBOW}.png", "-rf.png",
        "x" * 251 + ".png", os.fsdecode(b"\xff\xfe.png"), "[red]markup[/].png", "\x1b[31mcolor.png", "%s.png",
        "e\N{COMBINING ACUTE ACCENT}.png", "\N{LATIN SMALL LETTER E WITH ACUTE}.png", "deep/" * 40 + "x.png",
    ]  # fmt: skip
    arguments: list[str | Path] = ["watch", drops, out, *QUICK] if mode == "watch" else [drops, out]
    with Command(tmp_path / "log", *arguments, "--weights", tiny_weights) as command:
        if mode == "watch":
            command.wait_for_event("observing")
        for number, name in enumerate(names):
            save_map(drops / name, number)
        command.wait_until(lambda: command.counts("made").total() == len(names))
        assert (command.stop() if mode == "watch" else command.end()) == 0, command.said()
    assert set(files_below(out)) == set(names)
    assert_whole(out)
    assert "\x1b" not in command.said()


@needs_namespaces
def test_inotify_watches_that_run_out(tmp_path: Path, tiny_weights: Path) -> None:
    drops = tmp_path / "drops"
    for number in range(20):
        save_map(drops / f"{number}" / "a.png", number)
    before = in_namespace("echo 5 > /proc/sys/user/max_inotify_watches")
    arguments: list[str | Path] = ["watch", drops, "--settle", "0.2", "--weights", tiny_weights]
    with Command(tmp_path / "log", *arguments, before=before) as command:
        command.wait_for_event("polling")
        assert "max_user_watches" in command.said()
        for number in range(20):
            save_map(drops / f"{number}" / "b.png", number)
        command.wait_until(lambda: command.counts("made").total() == 40)
        assert command.stop() == 0
    with Command(
        tmp_path / "log", *arguments, before=in_namespace("echo 0 > /proc/sys/user/max_inotify_instances")
    ) as command:
        command.wait_for_event("polling")
        assert "max_user_instances" in command.said()
        save_map(drops / "c.png", 99)
        command.wait_until(lambda: made(command, drops / "c.png"))
        assert command.stop() == 0
