"""Where the time goes: each stage alone, in one thread; and what the pipeline adds to the net."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from facadegen import generator, labels, output, pipeline
from facadegen.cpus import available_cpus
from facadegen.device import limit_threads
from facadegen.discover import Naming
from facadegen.discover import plan as plan_jobs
from facadegen.encoding import Encoding, encode
from facadegen.generator import Generator
from facadegen.pipeline import Settings
from facadegen.style import Style, resolve_style

from .figures import Figure, Plan, Row, at_most
from .maps import save_maps

Result = TypeVar("Result")

_SINGLE_MAPS = 256
_MOST_ADDED_PERCENT = 15.0


def measure(plan: Plan) -> list[Row]:
    """Processor milliseconds a picture by stage, then milliseconds of the whole against the net alone."""
    limit_threads(available_cpus())
    maps = sorted(save_maps(plan.folder / "maps", plan.maps).iterdir())
    made_by = generator.load(plan.weights, "cpu")
    ms = _stages_ms(made_by, plan.weights, maps[:_SINGLE_MAPS], plan.folder / "single", plan.rounds)
    total_ms = sum(ms.values())
    rows = [
        Row(stage, (Figure(value, "ms", "processor time"), Figure(100 * value / total_ms, "%")))
        for stage, value in ms.items()
    ]
    return [*rows, _added(made_by, maps, plan)]


def _stages_ms(
    made_by: Generator, weights: Path, maps: list[Path], target: Path, rounds: int
) -> dict[str, float]:
    chooser = resolve_style(Style(), made_by)
    label_set = made_by.card.label_set
    provenance = Settings(weights).provenances(maps[0].read_bytes())[0]
    target.mkdir()
    clock = _Clock()
    for number, path in enumerate(maps * rounds):
        classes = clock("decode", labels.decode, path, label_set).classes
        colors = clock("choose colors", chooser.choose, classes)
        # A full lot: one picture alone would be made twice.
        lot = [np.stack([each] * generator.CPU_LOT) for each in (classes, colors)]
        picture = clock("generate", made_by.generate, *lot)[0]
        data = clock("encode", encode, picture, Encoding(), provenance)
        # A new file each time: replacing one deletes the old, and ext4 is slow to find room after that.
        clock("write", output.write, target / f"{number}.png", data, target)
    ms = {stage: statistics.median(values) for stage, values in clock.taken.items()}
    return ms | {"generate": ms["generate"] / generator.CPU_LOT}


class _Clock:
    """Calls functions and keeps the processor milliseconds they take, by stage."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = defaultdict(list)

    def __call__(self, stage: str, work: Callable[..., Result], *arguments: object) -> Result:
        began = time.process_time()
        result = work(*arguments)
        self.taken[stage].append(1e3 * (time.process_time() - began))
        return result


def _added(made_by: Generator, maps: list[Path], plan: Plan) -> Row:
    """The pipeline in this process, without start-up, against the net on the same maps, read before."""
    settings = Settings(plan.weights, overwrite=True)
    classes = np.stack([labels.decode(path).classes for path in maps])
    chooser = resolve_style(Style(), made_by)
    colors = np.stack([chooser.choose(one) for one in classes])
    line = pipeline.Pipeline(made_by, settings)
    net_ms, whole_ms = [], []
    for number in range(plan.rounds + 1):
        target = plan.folder / f"made{number}"
        output.prepare(target)
        jobs = plan_jobs(maps[0].parent, target, Naming("png", 1)).jobs
        began = time.perf_counter()
        made_by.generate(classes, colors)
        between = time.perf_counter()
        made = [outcome.status for outcome in line.run(jobs)]
        ended = time.perf_counter()
        assert made == ["made"] * len(classes), made
        if number:
            net_ms.append(1e3 * (between - began) / len(classes))
            whole_ms.append(1e3 * (ended - between) / len(classes))
    net, whole = statistics.median(net_ms), statistics.median(whole_ms)
    figures = (Figure(100 * (whole / net - 1), "%"), Figure(net, "ms", "net"), Figure(whole, "ms", "whole"))
    return at_most("what the pipeline adds to the net, all cores", figures, _MOST_ADDED_PERCENT)
