"""Label maps: any picture file of classes in, an array of class ids out."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from facadegen.encoding import refuse_facade
from facadegen.errors import LACK_OF_MEMORY, LabelMapError, UsageError
from facadegen.indices import may_hold_indices, read_indices
from facadegen.painted import outranks_indices, read_painted
from facadegen.palettes import FACADES, LabelSet, Palette
from facadegen.picture import Picture, pixel_count, read_file, read_picture

MAX_PIXELS = 2**26  # 8192 x 8192
LARGE_PX = 2**22  # from here on pictures take hundreds of megabytes while they are read: one at a time

_large = threading.Lock()


@dataclass(frozen=True, eq=False)
class LabelMap:
    """The classes of a facade.

    classes: uint8 (H, W), ids of the label set. photo: uint8 (H, W, 3), the other half of a pair, or None.
    kind: the name of the palette it was painted in, or "index".
    """

    classes: npt.NDArray[np.uint8]
    photo: npt.NDArray[np.uint8] | None
    kind: str


def decode(
    source: Path | BinaryIO | bytes,
    label_set: LabelSet = FACADES,
    kind: str = "auto",
    max_pixels: int = MAX_PIXELS,
    *,
    refuse_own: bool = False,
) -> LabelMap:
    """The label map in a picture file (PNG, JPEG, WebP, BMP, TIFF, GIF), alone or beside its photo.

    source: a path, an open file, or all bytes of one. kind: "auto" looks at the picture; "index" or the name
    of one of the palettes says what it must be. Colors count before indices. Transparent pixels are
    background. Files of more frames are read for their first. refuse_own: what facadegen made, whose label
    maps beside facades are for looking at, or for a style.

    Raises:
        LabelMapError: it cannot be read, or is no label map in that form.
        UsageError: no such kind.
    """
    if kind not in label_set.kinds:
        raise UsageError(f"label maps are {', '.join(label_set.kinds)}, not {kind!r}")
    try:
        data = source if isinstance(source, bytes) else read_file(source, max_pixels)
        if refuse_own:
            refuse_facade(data)
        if pixel_count(data) <= LARGE_PX:
            return _read(data, label_set, kind, max_pixels)
        # In a thread that ends: malloc keeps hundreds of megabytes for each one that has read such a picture.
        with _large, ThreadPoolExecutor(1) as reader:
            return reader.submit(_read, data, label_set, kind, max_pixels).result()
    except (LabelMapError, MemoryError) as error:
        problem = error.problem if isinstance(error, LabelMapError) else LACK_OF_MEMORY
        raise LabelMapError(problem, source if isinstance(source, Path) else None) from error


def render(classes: npt.NDArray[np.uint8], palette: Palette) -> npt.NDArray[np.uint8]:
    """A class map (H, W) painted in a palette, uint8 (H, W, 3)."""
    return np.array(palette.colors, np.uint8)[classes]


def _read(data: bytes, label_set: LabelSet, kind: str, max_pixels: int) -> LabelMap:
    picture = read_picture(data, max_pixels)
    if picture.transparent is not None and picture.transparent.all():
        raise LabelMapError("is fully transparent")
    if kind == "index":
        return LabelMap(read_indices(picture, label_set), None, kind)
    if kind != "auto":
        return _read_painted(picture, label_set, [label_set.palette(kind)])
    if not may_hold_indices(picture):
        return _read_painted(picture, label_set, label_set.palettes)
    return _read_either(picture, label_set)


def _read_either(picture: Picture, label_set: LabelSet) -> LabelMap:
    """A picture that may be an index map: it is one if its values fit, unless its colors do as well."""
    try:
        indices = read_indices(picture, label_set)
    except LabelMapError as no_index_map:
        try:
            return _read_painted(picture, label_set, label_set.palettes)
        except LabelMapError as error:
            raise LabelMapError(f"{error.problem}; as an index map, {no_index_map.problem}") from None
    if outranks_indices(picture, label_set):
        return _read_painted(picture, label_set, label_set.palettes)
    return LabelMap(indices, None, "index")


def _read_painted(picture: Picture, label_set: LabelSet, palettes: Sequence[Palette]) -> LabelMap:
    painted = read_painted(picture, label_set, [label_set.palettes.index(palette) for palette in palettes])
    return LabelMap(painted.classes, painted.photo, label_set.palettes[painted.palette_id].name)
