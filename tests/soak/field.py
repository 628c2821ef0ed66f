"""What the soak tests share: label maps by the thousand, and the real command as a process to be killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from facadegen.palettes import FACADES

SCALE = float(os.environ.get("SOAK_SCALE", "1"))
"""Less than 1 for a quicker, weaker test."""
PATIENCE_S = 600.0
COLORS = np.array(FACADES.palettes[0].colors, np.uint8)


def scaled(count: int) -> int:
    """A number of files or rounds, at least 3."""
    return max(3, round(count * SCALE))


def map_picture(seed: int, size_px: int = 32) -> Image.Image:
    """A label map of blocks, another one for each seed."""
    blocks = np.random.default_rng(seed).integers(0, len(COLORS), (4, 4))
    classes = np.kron(blocks, np.ones((size_px // 4, size_px // 4), int))
    return Image.fromarray(COLORS[classes])


def save_map(path: Path, seed: int, size_px: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    map_picture(seed, size_px).save(path)


class Command:
    """`facadegen --json ...` as a process; what it says goes to files, so it never waits for a reader."""

    def __init__(self, log: Path, *arguments: str | Path, before: tuple[str, ...] = (), **popen: Any) -> None:
        self.out, self.err = log.with_suffix(".out"), log.with_suffix(".err")
        command = [*before, sys.executable, "-m", "facadegen", *map(str, arguments), "--json"]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True, **popen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON lines so far; a killed process may leave half a line."""
        lines = self.out.read_bytes().decode().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def counts(self, status: str) -> Counter[str]:
        return Counter(record["source"] for record in self.records if record.get("status") == status)

    def said(self) -> str:
        return self.err.read_bytes().decode(errors="replace")

    def wait_until(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Raises: AssertionError where the process ends or does not get there."""
        until_s = time.monotonic() + patience_s
        while not condition():
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.said()}"
            assert time.monotonic() < until_s, f"took too long: {self.said()[-2000:]}"
            time.sleep(0.02)

    def wait_for_event(self, kind: str, patience_s: float = PATIENCE_S) -> None:
        self.wait_until(lambda: any(record.get("event") == kind for record in self.records), patience_s)

    def end(self, patience_s: float = PATIENCE_S) -> int:
        """The exit status, once it ends by itself."""
        return self.process.wait(timeout=patience_s)

    def stop(self) -> int:
        """The exit status after a SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def peak_bytes(self) -> int:
        """The most memory it ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def cpu_s(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def names_below(folder: Path) -> list[str]:
    """The name of every file below a folder, hidden ones too, as it is seen from there."""
    prefix = len(str(folder)) + 1
    return [
        os.path.join(parent, name)[prefix:]  # noqa: PTH118
        for parent, _, names in os.walk(folder)
        for name in names
    ]


def made_below(folder: Path) -> list[str]:
    """The pictures below a folder; beside them, a process at work has temp files that come and go."""
    return [name for name in names_below(folder) if not Path(name).name.startswith(".")]


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder in which nobody is at work."""
    return {name: (folder / name).read_bytes() for name in names_below(folder)}


def assert_whole(folder: Path, at_work: bool = False) -> None:
    """No torn picture below a folder, and no temp file where nobody is at work."""
    for name in made_below(folder) if at_work else names_below(folder):
        assert not Path(name).name.startswith("."), f"left over: {name}"
        with Image.open(folder / name) as picture:
            picture.load()


@contextmanager
def untouched(folder: Path, but: Path | None = None) -> Iterator[None]:
    """Nothing below the folder is changed, added or deleted meanwhile, except below `but`."""

    def state() -> dict[str, tuple[int, int]]:
        found = {}
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if Path(parent, name) != but]
            for name in (*folders, *names):
                entry = Path(parent, name)
                stat = entry.lstat()
                found[str(entry)] = (stat.st_mode, 0 if name in folders else stat.st_mtime_ns)
        return found

    before = state()
    yield
    assert state() == before


def seeded(name: str) -> random.Random:
    """Chance that repeats; the seed may be changed by SOAK_SEED."""
    return random.Random(f"{os.environ.get('SOAK_SEED', '1')} {name}")
