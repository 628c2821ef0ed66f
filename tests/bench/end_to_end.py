"""`facadegen IN OUT` on a folder of label maps, against the loops that people run."""

import itertools
import statistics
import sys
from pathlib import Path

from . import child
from .child import Ended
from .figures import Figure, Plan, Row, at_least, at_most
from .maps import save_maps

# Not imported: the peak memory of a program counts from that of its parent, which torch would make large.
_RIVAL_COMMAND = (sys.executable, "-m", "tests.bench.rivals")
_RIVALS = {"pix2pix": "54 M parameters, 6.0 GMAC", "course": "25 M parameters, 6.7 GMAC"}
_RIVAL_MAPS = 60  # a round; their loop takes as long for each
_LEAST_PER_S = 45.0
_LEAST_TIMES = {"auto": 10.0, "fp32": 5.0}
_MOST_UNEVEN = 1.15
_MOST_PEAK_MB = 1000.0


def measure(plan: Plan) -> list[Row]:
    """Pictures a second, start-up included for facadegen and left out for the others; peak memory."""
    maps = save_maps(plan.folder / "maps", plan.maps)
    own: dict[str, list[Ended]] = {precision: [] for precision in _LEAST_TIMES}
    others: dict[str, list[float]] = {name: [] for name in _RIVALS}
    for number in range(plan.rounds):
        for precision, runs in own.items():
            target = plan.folder / f"{precision}{number}"
            runs.append(child.facadegen(maps, target, plan.weights, "--precision", precision))
        for name, seconds in others.items():
            seconds += _rival_seconds(
                name, maps, plan.folder / f"{name}{number}", min(plan.maps, _RIVAL_MAPS)
            )
    rival_ms = {name: 1e3 * statistics.median(seconds) for name, seconds in others.items()}
    rows = [_rival_row(name, ms) for name, ms in rival_ms.items()]
    for precision, runs in own.items():
        rows += _own_rows(precision, runs, plan.maps, rival_ms)
    return rows


def _rival_seconds(name: str, maps: Path, target: Path, count: int) -> list[float]:
    """Seconds of each picture but the first."""
    ended = child.run([*_RIVAL_COMMAND, name, maps, target, str(count)])
    moments = [moment for moment, _ in ended.lines]
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def _rival_row(name: str, ms: float) -> Row:
    title = f"{name} U-Net, {_RIVALS[name]}, eager fp32, one by one"
    return Row(title, (Figure(1e3 / ms, "pictures/s"), Figure(ms, "ms")))


def _own_rows(precision: str, runs: list[Ended], maps: int, rival_ms: dict[str, float]) -> list[Row]:
    name = f"facadegen, {precision}, {maps:,} maps"
    per_s = statistics.median(maps / run.seconds for run in runs)
    between_ms = statistics.median(_between_ms(run) for run in runs)
    speed = (Figure(per_s, "pictures/s", "start-up included"), Figure(between_ms, "ms", "then"))
    times = {name: per_s * ms / 1e3 for name, ms in rival_ms.items()}
    compared = tuple(Figure(value, "x", name) for name, value in times.items())
    return [
        at_least(name, speed, _LEAST_PER_S) if precision == "auto" else Row(name, speed),
        at_least("  as fast as", compared, _LEAST_TIMES[precision]),
        _evenness("  first tenth of the maps and last, against the middle", runs),
        at_most("  peak memory", (Figure(max(run.peak_mb for run in runs), "MB"),), _MOST_PEAK_MB),
    ]


def _between_ms(run: Ended) -> float:
    """Milliseconds a picture between the first and the last one."""
    return 1e3 * (run.lines[-1][0] - run.lines[0][0]) / max(1, len(run.lines) - 1)


def _evenness(name: str, runs: list[Ended]) -> Row:
    ratios = [_tenths(run) for run in runs]
    first, last = (statistics.median(values) for values in zip(*ratios, strict=True))
    figures = (Figure(max(first, last), "x", "worse"), Figure(first, "x", "first"), Figure(last, "x", "last"))
    return at_most(name, figures, _MOST_UNEVEN)


def _tenths(run: Ended) -> tuple[float, float]:
    """How much longer a picture takes in the first and in the last tenth than in those between."""
    moments = [moment for moment, _ in run.lines]
    tenth = max(1, len(moments) // 10)
    middle_s = (moments[-1 - tenth] - moments[tenth]) / max(1, len(moments) - 1 - 2 * tenth)
    return (moments[tenth] - moments[0]) / tenth / middle_s, (
        moments[-1] - moments[-1 - tenth]
    ) / tenth / middle_s
