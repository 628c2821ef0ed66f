"""Index maps: pictures whose pixel values are class ids, whatever color they are shown in."""

import numpy as np
import numpy.typing as npt

from facadegen.errors import LabelMapError
from facadegen.palettes import LabelSet
from facadegen.picture import Picture


def read_indices(picture: Picture, label_set: LabelSet) -> npt.NDArray[np.uint8]:
    """The class map (H, W) of an index map: 1..K, or 0..K-1 where a 0 occurs; transparent is background.

    Raises:
        LabelMapError: it is in color, or some of its values are no class.
    """
    values = _values(picture)
    if values is None:
        raise LabelMapError(
            "is in color, with no indices; expected an index map (gray, or with a color table)"
        )
    counts = np.bincount(values.ravel() if picture.transparent is None else values[~picture.transparent])
    class_count = len(label_set.classes)
    first = 0 if counts[0] else 1
    foreign = np.concatenate([counts[:first], counts[first + class_count :]]).sum() / counts.sum()
    if foreign:
        found = f"{foreign:.1%} of its pixels match no class (the highest value is {len(counts) - 1}"
        raise LabelMapError(
            f"{found}; expected 1 to {class_count}, or 0 to {class_count - 1} where a 0 occurs)"
        )
    if picture.transparent is not None:
        values = np.where(picture.transparent, label_set.background_id + first, values)
    return np.subtract(values, first, dtype=np.uint8, casting="unsafe")


def may_hold_indices(picture: Picture) -> bool:
    """Whether the values of a picture can be indices at all: none are in JPEGs, nor where there is color."""
    if picture.is_jpeg:
        return False
    if picture.colors is not None:
        return True
    values = _values(picture)
    return values is not None and bool((values != values[0, 0]).any())  # all black means nothing


def _values(picture: Picture) -> npt.NDArray[np.uint8] | None:
    """Indices or gray values, uint8 (H, W), or None where there is color."""
    if picture.colors is not None:
        return picture.values.astype(np.uint8, copy=False)
    for rows in (slice(1), slice(None)):  # where there is color, it mostly shows in the first row
        pixels = picture.values[rows]
        apart = (pixels ^ pixels >> np.uint32(8)) & np.uint32(0xFFFF)  # red from green, green from blue
        if apart.any():
            return None
    return pixels.astype(np.uint8)
