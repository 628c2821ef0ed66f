"""The pictures that an evaluation is about: a split's photos and label maps at one size, as arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from facadegen.palettes import LabelSet
from training import data


@dataclass(frozen=True, eq=False)
class Gallery:
    """N photos uint8 (N, S, S, 3), their class maps uint8 (N, S, S), and valid pixels bool (N, S, S)."""

    names: tuple[str, ...]
    photos: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.names)

    def wedged(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures (N, S, S, 3) for these label maps, with the black wedges of these photos.

        Wedges are a fault of the data that good pictures have not; with the same ones, they do not count.
        """
        return np.where(self.valid[..., None], pictures, self.photos)

    def blurred(self) -> NDArray[np.uint8]:
        """The photos, out of focus."""
        return np.stack([blurred(photo) for photo in self.photos])

    def other_order(self) -> NDArray[np.int64]:
        """A shuffle (N,) that leaves no picture in its place."""
        return np.roll(np.arange(len(self)), len(self) // 2)

    def spread(self, n: int) -> list[int]:
        """The numbers of n pictures (of all, if there are fewer), evenly spaced and always the same."""
        return data.spread(range(len(self)), min(n, len(self)))


def blurred(photo: NDArray[np.uint8], radius_px: float = 2.0) -> NDArray[np.uint8]:
    """A photo (H, W, 3), out of focus."""
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius_px)))


def read_gallery(
    folder: Path,
    split: str,
    label_set: LabelSet,
    size_px: int,
    on_read: Callable[[int, int], None] = lambda done, total: None,
) -> Gallery:
    """The pairs of a split, squeezed to a square where they are none; `on_read(done, total)` after each.

    Raises:
        TrainingError: no such folder or split, or a pair that cannot be used.
    """
    pairs = data.read_pairs((folder,), split, label_set, on_read)
    photos, classes, valid = zip(*(data.cut_out(pair, size_px) for pair in pairs), strict=True)
    names = tuple(pair.name for pair in pairs)
    photo = torch.stack(photos).permute(0, 2, 3, 1)
    return Gallery(names, photo.numpy(), torch.stack(classes).numpy(), torch.stack(valid).numpy())
