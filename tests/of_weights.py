"""What tests of commands that make weights of weights have in common."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from facadegen.torchscript import quiet
from training import command


def words(options: dict[str, Any]) -> list[str]:
    """Options as a command line has them."""
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)]


def arguments(weights: Path, data: Path, out: Path, **changes: Any) -> list[str]:
    """The command line of a short run, with its folder beside the weights it makes."""
    options = {"weights": weights, "data": data, "out": out, "run-dir": out.with_suffix("")}
    return words(options | {"steps": 3, "batch-size": 1, "device": "cpu"} | changes)


def state(path: Path) -> dict[str, Tensor]:
    """All tensors in a weights file, by name."""
    with quiet():
        found: dict[str, Tensor] = torch.jit.load(path).state_dict()
    return found


@contextmanager
def asked_to_stop() -> Iterator[None]:
    """Runs stop after their first step, as by Ctrl-C."""
    asked = threading.Event()
    asked.set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "stop_on_signals", lambda: nullcontext(asked))
        yield
