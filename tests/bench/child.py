"""Programs run as a user runs them, with their time, memory and the moments of their lines of output."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FACADEGEN = (sys.executable, "-m", "facadegen")
_KIB_PER_UNIT = 1 / 1024 if sys.platform == "darwin" else 1  # of ru_maxrss


@dataclass(frozen=True)
class Ended:
    """A program that has run. lines: (seconds since its start, line) of its output. cpu_s: of all threads."""

    seconds: float
    cpu_s: float
    peak_mb: float
    lines: tuple[tuple[float, str], ...]


def run(command: Sequence[str | Path], cores: Sequence[int] = ()) -> Ended:
    """Runs a program to its end, on these cores only (default: on all).

    To be called from small processes: the peak memory of a program counts from that of its parent.

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    program = subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
    )
    assert program.stdout
    assert program.stderr
    lines = tuple((time.perf_counter() - started, line) for line in program.stdout)
    complaint = program.stderr.read()
    _, status, usage = os.wait4(program.pid, 0)
    seconds = time.perf_counter() - started
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {complaint.strip() or program.returncode}")
    peak_mb = usage.ru_maxrss * _KIB_PER_UNIT * 1024 / 1e6
    return Ended(seconds, usage.ru_utime + usage.ru_stime, peak_mb, lines)


def facadegen(source: Path, target: Path, weights: Path, *options: str, cores: Sequence[int] = ()) -> Ended:
    """`facadegen IN OUT`, a JSON line for each label map."""
    common = ("--weights", weights, "--overwrite", "--json", "--quiet")
    return run([*FACADEGEN, source, target, *common, *options], cores)


def environment() -> dict[str, str]:
    """That of this process, with this checkout to import from."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
