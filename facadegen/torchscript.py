"""TorchScript modules: reading, freezing and running them; all of facadegen's calls of `torch.jit`."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from facadegen.errors import WeightsError
from facadegen.weights import Card


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warning that TorchScript is deprecated, which torch 2.9 and later give at each use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        yield


@contextmanager
def running() -> Iterator[None]:
    """For calling a module, in this thread: no gradients, and no profiling of the first calls at each size.

    The profiling executor takes seconds for the first pictures of each size and gains nothing after.
    """
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        yield


def read(path: Path, card: Card) -> Any:
    """The module in a weights file whose card has been read: fp32, on the CPU, in evaluation mode.

    Raises:
        WeightsError: torch cannot read it, or it is not what the card promises.
    """
    try:
        with quiet(), path.open("rb") as file:  # torch itself cannot open a path that is not UTF-8
            module = torch.jit.load(file, map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        problem = str(error).strip().partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"torch {torch.__version__} cannot read this TorchScript: {problem}", path
        ) from None
    color_sets = getattr(module, "color_sets", None)
    shape = tuple(color_sets.shape) if isinstance(color_sets, torch.Tensor) else None
    class_count = len(card.label_set.classes)
    if shape is None or len(shape) != 3 or shape[0] < 1 or shape[1:] != (class_count, 3):
        found = "no color_sets" if shape is None else f"color_sets of shape {shape}"
        raise WeightsError(f"has {found}, expected (M, {class_count}, 3) for the classes on its card", path)
    if card.style == "colors" and not hasattr(module, "estimate_colors"):
        raise WeightsError("has no method estimate_colors, expected one", path)
    for parameter in module.parameters():
        parameter.requires_grad = False  # or copies of the module would remember where they came from
    return module.float().eval()


def freeze(module: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A copy of a module with its parameters made constants, of that type, on that device.

    Of its methods, `forward` stays, and `prepare` where there is one.
    """
    moved = copy.deepcopy(module).to(device=device, dtype=dtype).to(memory_format=torch.channels_last)
    with quiet():
        return torch.jit.freeze(moved, ["prepare"] if hasattr(moved, "prepare") else [])
