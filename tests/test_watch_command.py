"""`facadegen watch` as a user runs it: what appears in the folder becomes facades, whatever happens to it."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facadegen import output, pipeline
from facadegen.cli import main
from facadegen.errors import LabelMapError
from facadegen.palettes import FACADES
from facadegen.readiness import Readiness

COLORS = np.array(FACADES.palettes[0].colors, np.uint8)
PATIENCE_S = 300.0  # for the whole of torch to be imported on a busy machine


def save_map(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 12, (4, 4))
    Image.fromarray(COLORS[np.kron(blocks, np.ones((8, 8), int))]).save(path)


@pytest.fixture
def drops(tmp_path: Path) -> Path:
    folder = tmp_path / "drops"
    folder.mkdir()
    return folder


class Once:
    """`facadegen watch --once` in this process."""

    def __init__(self, drops: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.arguments = ["watch", str(drops), "--once", "--settle", "0", "--weights", str(weights), "--json"]
        self.capsys = capsys

    def __call__(self, *more: str) -> tuple[int, dict[str, str]]:
        """The exit code, and the status of each file by its name."""
        code = main([*self.arguments, *more])
        records = map(json.loads, self.capsys.readouterr().out.splitlines())
        return code, {
            Path(record["source"]).name: record["status"] for record in records if "source" in record
        }


@pytest.fixture
def once(drops: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> Once:
    return Once(drops, tiny_weights, capsys)


def test_once_makes_what_is_there_and_nothing_again(drops: Path, once: Once) -> None:
    save_map(drops / "a.png")
    save_map(drops / "deep" / "b.png", 1)
    assert once() == (0, {"a.png": "made", "b.png": "made"})
    assert (drops / "facades" / "deep" / "b.png").is_file()
    assert once() == (0, {"a.png": "current", "b.png": "current"})
    save_map(drops / "a.png", 2)
    assert once() == (0, {"a.png": "made", "b.png": "current"})


def test_a_file_dated_tomorrow_takes_no_less_than_no_time(
    drops: Path, once: Once, capsys: pytest.CaptureFixture[str]
) -> None:
    save_map(drops / "a.png")
    tomorrow = time.time() + 86_400
    os.utime(drops / "a.png", (tomorrow, tomorrow))
    assert main(once.arguments) == 0
    latencies = [json.loads(line).get("latency_s", 0) for line in capsys.readouterr().out.splitlines()]
    assert max(latencies) > 0 and min(latencies) >= 0


def test_what_a_killed_run_left_is_cleaned_up(drops: Path, once: Once) -> None:
    save_map(drops / "a.png")
    once()
    name = output._temp_name().replace(f"-{os.getpid()}-", f"-{2**22 + 1}-")  # of no process
    left = drops / "facades" / "deep" / name
    left.parent.mkdir()
    left.write_bytes(b"half")
    assert once() == (0, {"a.png": "current"})
    assert not left.exists()


def test_once_ends_with_1_where_a_file_failed(drops: Path, once: Once) -> None:
    save_map(drops / "a.png")
    (drops / "broken.png").write_bytes(b"no picture")
    assert once() == (1, {"a.png": "made", "broken.png": "failed"})


def test_two_maps_for_one_facade_both_fail_until_one_is_renamed(drops: Path, once: Once) -> None:
    save_map(drops / "a.png")
    once()
    before = (drops / "facades" / "a.png").read_bytes()
    save_map(drops / "a.bmp", 1)
    assert once() == (1, {"a.png": "failed", "a.bmp": "failed"})
    assert (drops / "facades" / "a.png").read_bytes() == before
    (drops / "a.bmp").rename(drops / "b.bmp")
    assert once() == (0, {"a.png": "current", "b.bmp": "made"})


def test_no_facade_takes_the_place_of_a_label_map(drops: Path, once: Once) -> None:
    save_map(drops / "drops" / "a.png")
    save_map(drops / "a.png", 1)
    (drops.parent / "b.png").touch()
    save_map(drops.parent / "b.png", 2)
    (drops / "b.png").symlink_to("../b.png")
    before = [path.read_bytes() for path in (drops / "a.png", drops.parent / "b.png")]
    code, statuses = once(str(drops.parent), "--overwrite")
    assert code == 1 and statuses["b.png"] == "failed"
    assert [path.read_bytes() for path in (drops / "a.png", drops.parent / "b.png")] == before
    assert (drops.parent / "a.png").is_file(), "of the outer one"


def test_once_ends_with_1_where_a_file_is_still_being_written(
    drops: Path, once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_map(drops / "a.png")
    monkeypatch.setattr(Readiness, "take", lambda self, now_s, look, limit: [])
    assert once() == (1, {})


def unreadable(cause: Exception) -> LabelMapError:
    error = LabelMapError("cannot be read")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        unreadable(OSError(errno.EIO, "I/O error")),
        OSError(errno.ESTALE, "Stale file handle"),
        MemoryError(),
        unreadable(MemoryError()),
    ],
    ids=["read", "looked at", "memory", "memory to read it"],
)
def test_a_file_that_fails_for_lack_of_a_disk_or_memory_is_made_after_all(
    error: Exception,
    drops: Path,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_map(drops / "a.png")
    reads: list[Path] = []
    read_file = pipeline.read_file

    def fail_once(path: Path, max_pixels: int) -> bytes:
        reads.append(path)
        if len(reads) == 1:
            raise error
        os.kill(os.getpid(), signal.SIGTERM)
        return read_file(path, max_pixels)

    monkeypatch.setattr(pipeline, "read_file", fail_once)
    options = ["--settle", "0", "--poll", "0.01", "--weights", str(tiny_weights), "--json"]
    assert main(["watch", str(drops), *options]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["status"] for record in records if "source" in record] == ["failed", "made"]


def test_once_ends_with_1_where_a_folder_cannot_be_read(
    drops: Path, once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("facadegen.watch.os.scandir", refuse)
    assert once() == (1, {})


def test_an_output_folder_that_cannot_be_is_an_error(drops: Path, tiny_weights: Path) -> None:
    (drops.parent / "file").write_bytes(b"")
    assert (
        main(["watch", str(drops), str(drops.parent / "file"), "--once", "--weights", str(tiny_weights)]) == 2
    )
    assert main(["watch", str(drops), str(drops), "--once", "--weights", str(tiny_weights)]) == 2
    assert main(["watch", str(drops / "missing"), "--once", "--weights", str(tiny_weights)]) == 2


class Process:
    """`facadegen watch` as a process of its own."""

    def __init__(self, drops: Path, weights: Path, log: Path, *more: str) -> None:
        arguments = ["watch", str(drops), "--weights", str(weights), "--json", *more]
        self.log = log
        with log.open("wb") as out, log.with_suffix(".err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "facadegen", *arguments], stdout=out, stderr=err
            )
        self.wait_until(lambda: any(record.get("event") == "observing" for record in self.records()))

    def records(self) -> list[dict[str, Any]]:
        lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def statuses(self) -> list[tuple[str, str]]:
        return [
            (Path(record["source"]).name, record["status"]) for record in self.records() if "source" in record
        ]

    def events(self) -> list[str]:
        return [record["event"] for record in self.records() if "event" in record]

    def said(self) -> str:
        return self.log.with_suffix(".err").read_text(encoding="utf-8")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until_s, self.said()
            time.sleep(0.01)

    def wait_for(self, name: str, status: str) -> None:
        self.wait_until(lambda: (name, status) in self.statuses())

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")
def test_a_watched_link_may_be_led_to_another_folder(tmp_path: Path, tiny_weights: Path) -> None:
    for day in ("monday", "tuesday"):
        save_map(tmp_path / day / f"{day}.png")
    today = tmp_path / "today"
    today.symlink_to("monday")
    watch = Process(today, tiny_weights, tmp_path / "log", "--settle", "0.1")
    watch.wait_for("monday.png", "made")
    (tmp_path / "next").symlink_to("tuesday")
    (tmp_path / "next").replace(today)
    watch.wait_for("tuesday.png", "made")
    assert watch.end() == 0
    assert (tmp_path / "tuesday" / "facades" / "tuesday.png").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")
def test_a_day_in_the_life_of_a_watched_folder(drops: Path, tmp_path: Path, tiny_weights: Path) -> None:
    save_map(drops / "before.png")
    watch = Process(drops, tiny_weights, tmp_path / "first.log", "--settle", "0.3", "--rescan", "0.5")
    watch.wait_for("before.png", "made")

    save_map(drops / "saved.png", 1)
    watch.wait_for("saved.png", "made")

    save_map(tmp_path / "elsewhere" / "moved.png", 2)
    (tmp_path / "elsewhere").rename(drops / "folder")
    watch.wait_for("moved.png", "made")

    whole = (drops / "saved.png").read_bytes()
    half = drops / "half.png"
    for size in (20, len(whole) // 2, len(whole)):  # closed after each
        with half.open("wb") as file:
            file.write(whole[:size])
        time.sleep(0.1)
    watch.wait_for("half.png", "made")

    (drops / "broken.png").write_bytes(b"no picture")
    watch.wait_for("broken.png", "failed")
    save_map(drops / "broken.png", 3)
    watch.wait_for("broken.png", "made")

    (drops / "gone.png").write_bytes(b"no picture")
    watch.wait_for("gone.png", "failed")
    (drops / "gone.png").unlink()

    (drops / "facades" / "taken.png").write_bytes(b"somebody's")
    save_map(drops / "taken.png", 5)
    watch.wait_for("taken.png", "failed")
    (drops / "facades" / "taken.png").unlink()
    watch.wait_for("taken.png", "made")

    shutil.rmtree(drops / "facades")
    (drops / "facades").write_bytes(b"in the way")
    save_map(drops / "late.png", 4)
    watch.wait_for("late.png", "failed")
    (drops / "facades").unlink()
    watch.wait_for("late.png", "made")

    assert watch.end() == 0
    assert watch.said().endswith("7 made, 0 failed\n")
    made = sorted(name for name, status in watch.statuses() if status == "made")
    assert made == ["before.png", "broken.png", "half.png", "late.png", "moved.png", "saved.png", "taken.png"]
    assert ("half.png", "failed") not in watch.statuses()
    assert [path.name for path in (drops / "facades").iterdir()] == ["late.png"]

    again = Process(drops, tiny_weights, tmp_path / "second.log", "--settle", "0.1")
    again.wait_for("saved.png", "made")  # its facade was deleted
    again.wait_for("late.png", "current")
    assert again.end() == 0
    assert again.events() == ["observing"]
