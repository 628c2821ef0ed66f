"""How time grows with cores, with files and with size."""

import os
from pathlib import Path

from . import child
from .child import Ended
from .figures import Figure, Plan, Row, at_most
from .maps import link_maps, save_maps

_SIZES_PX = (256, 512, 1024, 2048)
_MEGAPIXELS = 12  # of each size, about
_MAPS = 300
_MOST_SLOWER = 1.1
_MOST_PEAK_MB = 1000.0


def measure(plan: Plan) -> list[Row]:
    """Milliseconds a picture between the first and the last, so without start-up."""
    maps = save_maps(plan.folder / "maps", min(plan.maps, 1000))
    return [_cores(maps, plan), *_counts(maps, plan), *_sizes(plan)]


def _cores(maps: Path, plan: Plan) -> Row:
    some = link_maps(plan.folder / "some", maps, min(plan.maps, _MAPS))
    cores = sorted(os.sched_getaffinity(0))
    figures = []
    for count in sorted({1, 2, len(cores)} - set(range(len(cores) + 1, 3))):
        ended = child.facadegen(some, plan.folder / f"by{count}", plan.weights, cores=cores[:count])
        figures.append(Figure(_later_ms(ended), "ms", f"{count} core{'s' * (count > 1)}"))
    return Row("cores", tuple(figures))


def _counts(maps: Path, plan: Plan) -> list[Row]:
    counts = [10**power for power in range(1, 8) if 10**power <= plan.many_maps]
    rows, ms = [], []
    for count in counts:
        links = link_maps(plan.folder / f"in{count}", maps, count)
        ended = child.facadegen(links, plan.folder / f"out{count}", plan.weights)
        ms.append(_later_ms(ended))
        figures = (Figure(ended.peak_mb, "MB", "peak"), Figure(ms[-1], "ms", "a picture"))
        rows.append(at_most(f"{count:,} files", figures, _MOST_PEAK_MB))
    middle = len(counts) // 2
    name = f"a picture of {counts[-1]:,} files, by one of {counts[middle]:,}"
    rows.append(at_most(name, (Figure(ms[-1] / ms[middle], "x"),), _MOST_SLOWER))
    return rows


def _sizes(plan: Plan) -> list[Row]:
    rows = []
    for size_px in _SIZES_PX:
        count = max(4, _MEGAPIXELS * 10**6 // size_px**2)
        maps = save_maps(plan.folder / f"size{size_px}", count, size_px)
        ended = child.facadegen(maps, plan.folder / f"of{size_px}", plan.weights)
        ms = _later_ms(ended)
        figures = (
            Figure(ms, "ms"),
            Figure(ms / (size_px / 256) ** 2, "ms", "per 256x256"),
            Figure(ended.peak_mb, "MB", "peak"),
        )
        rows.append(Row(f"{size_px}x{size_px}", figures))
    return rows


def _later_ms(ended: Ended) -> float:
    moments = [moment for moment, _ in ended.lines]
    return 1e3 * (moments[-1] - moments[0]) / max(1, len(moments) - 1)
