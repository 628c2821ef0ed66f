"""How long a user waits: for help, for a single file, for a file dropped into a watched folder."""

import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from . import child
from .figures import Figure, Plan, Row, at_most
from .maps import save_maps

_REPEATS_PER_ROUND = 3
_DROPS = 12
_PATIENCE_S = 60.0


def measure(plan: Plan) -> list[Row]:
    """Seconds, medians; each command in a fresh process, its files in the system's cache."""
    source = save_maps(plan.folder / "maps", 1) / "00000.png"
    import_torch = [sys.executable, "-c", "import torch"]
    help_s, torch_s, file_s = [], [], []
    for _ in range(plan.rounds * _REPEATS_PER_ROUND):
        help_s.append(child.run([*child.FACADEGEN, "--help"]).seconds)
        torch_s.append(child.run(import_torch).seconds)
        file_s.append(child.facadegen(source, plan.folder / "one.png", plan.weights).seconds)
    added_s = statistics.median(file_s) - statistics.median(torch_s)
    one_file = (
        Figure(added_s, "s", "over import torch"),
        Figure(statistics.median(torch_s), "s", "import torch"),
        Figure(statistics.median(file_s), "s", "in all"),
    )
    return [
        at_most("facadegen --help", (Figure(statistics.median(help_s), "s"),), 0.3),
        at_most("one file, cold", one_file, 1.0),
        _watch(source, plan),
    ]


def _watch(source: Path, plan: Plan) -> Row:
    """From a label map's move into a watched folder to its facade's arrival, once the watch is warm."""
    folder, target = plan.folder / "drops", plan.folder / "made"
    folder.mkdir()
    command = [*child.FACADEGEN, "watch", folder, target, "--weights", plan.weights, "--quiet"]
    watch = subprocess.Popen([*map(str, command)], env=child.environment())
    try:
        waits = [
            _drop(source, folder / f"{number}.png", target / f"{number}.png") for number in range(_DROPS + 1)
        ]
    finally:
        watch.send_signal(signal.SIGTERM)
        watch.wait()
    return Row("one file, dropped into a warm watch", (Figure(statistics.median(waits[1:]), "s"),))


def _drop(source: Path, dropped: Path, expected: Path) -> float:
    copied = source.with_name("copied.png")
    shutil.copy(source, copied)
    began = time.perf_counter()
    copied.replace(dropped)
    while not expected.exists():
        if time.perf_counter() - began > _PATIENCE_S:
            raise RuntimeError(f"the watch made nothing of {dropped}")
        time.sleep(0.002)
    return time.perf_counter() - began
