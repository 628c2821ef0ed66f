"""Thousands of files in seconds, by every way files come: all made, none twice."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from field import Command, assert_whole, files_below, map_picture, save_map, scaled

from facadegen.watch import WatchOptions

FILES = scaled(10_000) // 5


def write(source: Path, target: Path) -> None:
    target.mkdir()
    for path in sorted(source.iterdir()):
        (target / path.name).write_bytes(path.read_bytes())


def write_slowly(source: Path, target: Path) -> None:
    """All files are open at a time and grow a chunk by turns; some are closed in between."""
    target.mkdir()
    paths = sorted(source.iterdir())
    for start in range(0, len(paths), 200):
        contents = [path.read_bytes() for path in paths[start : start + 200]]
        for chunk in range(3):
            for path, content in zip(paths[start : start + 200], contents, strict=True):
                size = len(content) // 3 + 1
                with (target / path.name).open("ab") as file:
                    file.write(content[chunk * size : (chunk + 1) * size])
            time.sleep(0.12)


def rename(source: Path, target: Path) -> None:
    target.mkdir()
    for path in sorted(source.iterdir()):
        temporary = target / f".{path.name}.part"
        temporary.write_bytes(path.read_bytes())
        temporary.rename(target / path.name)


def copy_tree(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", source, target], check=True)


def unpack(source: Path, target: Path) -> None:
    archive = shutil.make_archive(str(source), "tar", source.parent, source.name)
    target.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", target, "--strip-components=1"], check=True)


def test_ten_thousand_files_are_made_once_each(tmp_path: Path, tiny_weights: Path) -> None:
    ways = [write, write_slowly, rename, copy_tree, unpack]
    for number, way in enumerate(ways):
        for i in range(FILES):
            save_map(tmp_path / "sources" / way.__name__ / f"{i}.png", number * FILES + i, size_px=16)
    drops = tmp_path / "drops"
    drops.mkdir()
    with Command(tmp_path / "watch", "watch", drops, "--weights", tiny_weights) as command:
        command.wait_for_event("observing")
        for way in ways:
            way(tmp_path / "sources" / way.__name__, drops / way.__name__)
        command.wait_until(lambda: len(command.counts("made")) == FILES * len(ways))
        time.sleep(3)  # for what would be made twice
        assert command.stop() == 0, command.said()
    made = command.counts("made")
    assert len(made) == FILES * len(ways)
    assert command.counts("failed") == {}
    twice = {source: count for source, count in made.items() if count > 1}
    # A chunk that ends on a whole picture is made as such; three chunks of one file never do.
    assert twice == {}
    assert_whole(drops / "facades")
    with Command(tmp_path / "batch", drops, drops / "facades", "--weights", tiny_weights) as again:
        assert again.end() == 0
    assert len(again.counts("current")) == FILES * len(ways)


def test_memory_and_idle_time_after_many_files(tmp_path: Path, tiny_weights: Path) -> None:
    drops = tmp_path / "drops"
    drops.mkdir()
    count = scaled(10_000)

    def drop(first: int, last: int) -> None:
        for number in range(first, last):
            map_picture(number, 16).save(drops / f"{number}.png")
        command.wait_until(lambda: len(command.counts("made")) == last)

    with Command(tmp_path / "watch", "watch", drops, "--weights", tiny_weights) as command:
        command.wait_for_event("observing")
        drop(0, count // 5)
        early_bytes = command.resident_bytes()
        drop(count // 5, count)
        late_bytes = command.resident_bytes()
        time.sleep(2)
        idle_from_s, used_s = time.monotonic(), command.cpu_s()
        time.sleep(WatchOptions.rescan_s)  # so that one scan of the whole folder is in it
        share = (command.cpu_s() - used_s) / (time.monotonic() - idle_from_s)
        assert command.stop() == 0
    print(
        f"\n{count} files: {early_bytes >> 20} MiB after a fifth, {late_bytes >> 20} MiB after all; "
        f"idle {share:.2%}"
    )
    assert share < 0.01
    assert late_bytes - early_bytes < 16 << 20


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "beside other work"])
def test_a_saved_map_is_a_finished_facade_in_half_a_second(
    tmp_path: Path, tiny_weights: Path, busy: bool
) -> None:
    drops = tmp_path / "drops"
    drops.mkdir()
    latencies_s = []
    with Command(tmp_path / "watch", "watch", drops, "--weights", tiny_weights) as command:
        command.wait_for_event("observing")
        for number in range(20):
            if busy:
                save_map(drops / "other" / f"{number}.png", number)
            picture = map_picture(number, 256)
            picture.save(drops / f"{number}.png")
            closed_s = time.monotonic()
            out = drops / "facades" / f"{number}.png"
            command.wait_until(out.exists)
            latencies_s.append(time.monotonic() - closed_s)
            time.sleep(0.1)
        assert command.stop() == 0
    latencies_s.sort()
    print(f"\nlatency: median {latencies_s[10]:.3f} s, worst {latencies_s[-1]:.3f} s")
    assert latencies_s[10] < 0.5
    assert len(files_below(drops / "facades")) == (40 if busy else 20)
