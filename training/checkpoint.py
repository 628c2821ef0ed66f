"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import os
from pathlib import Path
from typing import Any

import torch

from facadegen.errors import TrainingError

NAME = "checkpoint.pt"  # in a run's folder
FORMAT = 7
# The commands that make checkpoints.
FIT, OPEN_SKY, REFINE = "training.fit", "training.open_sky", "training.refine"


def save(path: Path, state: dict[str, Any], made_by: str) -> None:
    """Write the state whole or not at all: the checkpoint before stays until the new one is on disk.

    made_by: FIT, OPEN_SKY or REFINE, whose runs can go on from it.

    Raises:
        TrainingError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state | {"format": FORMAT, "made_by": made_by}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as RuntimeError.
        temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"checkpoint cannot be written, the one before it is kept: {error}", path
        ) from error


def make_folder(folder: Path) -> None:
    """Make the folder of a run, if there is none.

    Raises:
        TrainingError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot be written: {error.strerror}", folder) from error


def require_same(saved: dict[str, Any], shape: dict[str, Any], folder: Path) -> None:
    """Check that a run goes on as it began: with what shaped its weights when it was saved.

    Raises:
        TrainingError: with something else.
    """
    if saved != shape:
        changed = ", ".join(key for key in shape | saved if saved.get(key) != shape.get(key))
        problem = f"holds a run with another {changed}; use another --run-dir, or remove it"
        raise TrainingError(problem, folder)


def put_before(now: list[str], earlier: list[str]) -> None:
    """Put what a run was before in front of what it is now, each once, that of now last."""
    now[:0] = [each for each in earlier if each not in now]


def load(path: Path, made_by: str) -> dict[str, Any] | None:
    """The state last saved by a command, on the CPU; None where there is none.

    Raises:
        TrainingError: the file cannot be read, or was written by another command or version.
    """
    if not path.exists():
        return None
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"no checkpoint that can be read: {error}", path) from error
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise TrainingError(f"checkpoint of format {found}, expected {FORMAT}; use another --run-dir", path)
    if state["made_by"] != made_by:
        raise TrainingError(f"checkpoint of {state['made_by']}, expected one of {made_by}", path)
    return dict(state)
