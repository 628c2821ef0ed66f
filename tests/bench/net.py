"""The net alone: every engine side by side, in rounds, so that all meet the machine in the same moods."""

import statistics
import time
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from facadegen import torchscript
from facadegen.cpus import available_cpus
from facadegen.device import limit_threads
from facadegen.weights import read_card

from . import limit
from .engines import Engine, Inputs, Run, engines
from .figures import Figure, Plan, Row, at_most
from .maps import draw_map

_BATCH = 8
_WAYS = ("batch 1", f"batch {_BATCH}", "apart")
_ROUNDS_PER_ROUND = 5
_MAX_LEVELS_APART = 3.0  # on average, of 255: else it is not the same generator


def measure(plan: Plan) -> list[Row]:
    """Milliseconds a picture of 256x256 by engine, then how facadegen's compares."""
    limit_threads(available_cpus())
    source = torchscript.read(plan.weights, read_card(plan.weights))
    classes = np.stack([draw_map(256, seed) for seed in range(_BATCH)])
    colors = np.resize(source.color_sets.numpy(), (_BATCH, *source.color_sets.shape[1:]))
    # Halves, which no precision rounds: the noise of a picture is placed by its colors.
    sample = (classes, (np.round(2 * colors) / 2).astype(np.float32))
    precisions = limit.precisions()
    contenders = list(engines(plan.weights, plan.folder, sample, precisions))
    ms = _race(contenders, sample, plan.rounds * _ROUNDS_PER_ROUND)
    gmac = _work_gmac(source, sample)
    rows = [_row(contender, ms[contender]) for contender in contenders]
    for precision in precisions:
        rows.append(_against_others(ms, precision))
        own_ms = _best_ms(ms, (precision,), "facadegen")
        rows.append(_against_limit(gmac, own_ms, precision))
    return rows


Times = dict[Engine, dict[str, float]]  # by engine and way of running, ms a picture


def _race(contenders: list[Engine], sample: Inputs, rounds: int) -> Times:
    """Medians; an engine that does not make the pictures of the first one is a mistake in this benchmark."""
    times: dict[tuple[Engine, str], list[float]] = defaultdict(list)
    expected = contenders[0].run(sample).astype(np.int16)
    for number in range(rounds + 1):
        for contender in contenders:
            for way, run, inputs in _ways(contender, sample):
                began = time.perf_counter()
                made = run(inputs)
                if number:
                    times[contender, way].append((time.perf_counter() - began) / len(inputs[0]) * 1e3)
                elif np.abs(made - expected[: len(made)]).mean() > _MAX_LEVELS_APART:
                    raise RuntimeError(f"{contender.name} {contender.precision} makes other pictures")
    found: Times = {contender: {} for contender in contenders}
    for (contender, way), taken in times.items():
        found[contender][way] = statistics.median(taken)
    return found


def _ways(contender: Engine, sample: Inputs) -> list[tuple[str, Run, Inputs]]:
    single = (sample[0][:1], sample[1][:1])
    runs = (contender.run, single), (contender.run, sample), (contender.run_apart, sample)
    return [(way, run, inputs) for way, (run, inputs) in zip(_WAYS, runs, strict=True)]


def _row(contender: Engine, ms: dict[str, float]) -> Row:
    figures = tuple(Figure(ms[way], "ms", way) for way in _WAYS)
    return Row(f"{contender.name}, {contender.precision}", figures)


def _best_ms(ms: Times, precisions: tuple[str, ...], *names: str) -> float:
    """The best of some engines, however they are run."""
    return min(
        value
        for contender, ways in ms.items()
        if contender.name in names and contender.precision in precisions
        for value in ways.values()
    )


def _against_others(ms: Times, precision: str) -> Row:
    own_ms = _best_ms(ms, (precision,), "facadegen")
    rivals = {contender.name for contender in ms} & {"ONNX Runtime", "OpenVINO"}
    if not rivals:
        return Row("ONNX Runtime and OpenVINO are not installed (pip install '.[bench]')", ())
    allowed = ("fp32",) if precision == "fp32" else ("fp32", precision)
    best_ms = _best_ms(ms, allowed, *rivals)
    name = f"facadegen, {precision}: time of the best of {' and '.join(sorted(rivals))}"
    return at_most(name, (Figure(own_ms / best_ms, "x"),), 1.1)


def _against_limit(gmac: float, ms: float, precision: str) -> Row:
    """What the machine multiplies at best, and how much of it is made use of."""
    product, convolution = limit.peaks(precision)
    limit_ms = gmac / max(product, convolution) * 1e3
    figures = (
        Figure(limit_ms, "ms"),
        Figure(100 * limit_ms / ms, "%", "reached"),
        Figure(product, "GMAC/s", "matrix product"),
        Figure(convolution, "GMAC/s", "convolution"),
    )
    return Row(f"arithmetic limit of {gmac:.2f} GMAC, {precision}", figures)


def _work_gmac(source: Any, sample: Inputs) -> float:
    """Multiplications for a picture."""
    with FlopCounterMode(display=False) as counter, torchscript.running():
        source(torch.from_numpy(sample[0][:1]), torch.from_numpy(sample[1][:1]), 0, 0)
    return counter.get_total_flops() / 2e9
