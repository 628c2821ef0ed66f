"""Label maps without their photos: reading those that have something to learn from."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from facadegen.palettes import LabelSet
from training.data import digest, find_pairs, read_label_map, with_val


def read_label_maps(
    folders: Sequence[Path], split: str, label_set: LabelSet, chosen: Callable[[Tensor], bool]
) -> list[Tensor]:
    """The class maps, uint8 (H, W), of a split of all folders that are chosen; no val split has none.

    Raises:
        TrainingError: no such folder, no pairs in it, or a label map that cannot be read.
    """
    with_split = with_val(folders) if split == "val" else folders
    paths = [files.label_map for folder in with_split for files in find_pairs(folder, split)]

    def read(path: Path) -> Tensor | None:
        classes = torch.from_numpy(read_label_map(path, label_set).classes.copy())
        return classes if chosen(classes) else None

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return [classes for classes in pool.map(read, paths) if classes is not None]


def fingerprint(maps: Sequence[Tensor]) -> str:
    """One line that is the same for the same class maps, uint8 (H, W), in the same order."""
    return digest(repr([tuple(classes.shape) for classes in maps]), (classes.numpy() for classes in maps))
