"""How fast this machine can multiply at best: the peak of large products and of convolutions."""

import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from facadegen import torchscript
from facadegen.device import PRECISIONS, cpu_is_made_for_bf16

_REPEATS = 9


def precisions() -> tuple[str, ...]:
    """Those that this CPU is made for."""
    return ("bf16", "fp32") if cpu_is_made_for_bf16() else ("fp32",)


def peaks(precision: str) -> tuple[float, float]:
    """GMAC/s of a large matrix product and of a 3x3 convolution of many channels."""
    dtype = PRECISIONS[precision]
    side, channels, size = 2048, 256, 64
    matrix = torch.randn(side, side).to(dtype)
    picture = torch.randn(2, channels, size, size).to(dtype).contiguous(memory_format=torch.channels_last)
    kernels = torch.randn(channels, channels, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    with torchscript.running():
        product_s = _median_s(lambda: torch.mm(matrix, matrix))
        convolution_s = _median_s(lambda: F.conv2d(picture, kernels, padding=1))
    return side**3 / product_s / 1e9, 2 * (channels * size * 3) ** 2 / convolution_s / 1e9


def _median_s(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS + 2):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])
