"""Label maps without their photos: reading those that have something to learn from, and at another size."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from facadegen import labels
from facadegen.errors import LabelMapError, TrainingError
from facadegen.palettes import LabelSet
from training.data import find_pairs
from training.networks.lean_unet import LeanUNet


def read_label_maps(
    folders: Sequence[Path], split: str, label_set: LabelSet, chosen: Callable[[Tensor], bool]
) -> list[Tensor]:
    """The class maps, uint8 (H, W), of a split of all folders that are chosen; no val split has none.

    Raises:
        TrainingError: no such folder, no pairs in it, or a label map that cannot be read.
    """
    found = []
    for folder in folders:
        if split == "val" and not (folder / "val").is_dir():
            continue
        for files in find_pairs(folder, split):
            try:
                classes = torch.from_numpy(labels.decode(files.label_map, label_set).classes.copy())
            except LabelMapError as error:
                raise TrainingError(error.problem, files.label_map) from error
            if chosen(classes):
                found.append(classes)
    return found


def sized(classes: Tensor, longest_px: float) -> Tensor:
    """A class map (H, W) as (1, h, w), its longer side about so long, both multiples of the stride."""
    sides = (
        max(2, round(side * longest_px / max(classes.shape) / LeanUNet.stride)) * LeanUNet.stride
        for side in classes.shape
    )
    whole = classes[None, None].float()
    return F.interpolate(whole, tuple(sides), mode="nearest-exact")[:, 0].byte()
