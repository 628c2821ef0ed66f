"""Which class a color stands for: lookup tables made once per label set."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from facadegen.palettes import LabelSet

UNCLEAR = 255  # stands in class maps (uint8) for "a color far from all of the palette"

# A color in a flat area of a JPEG stays within MAX_NOISE of its palette color (Euclidean, 0..441), one at an
# edge does not. Measured on the pix2pix data set: below 30, small shapes get lost in their own noise; beyond
# 44, blends of two classes pass for a third.
MAX_NOISE = 36
NOISE_SHARE = 0.62  # of the distance between the two closest colors of a palette, for palettes of many colors
EXACT = 9  # distance of colors that are the palette's own: the lookup's own rounding, and a little
FAR = 64  # distances count up to here when palettes are compared, or outliers would decide

_BITS = 6  # of each channel that the lookup table looks at
_CELLS = 1 << _BITS


@dataclass(frozen=True, eq=False)
class ColorTables:
    """What `codes` of colors mean in each of P palettes of K classes.

    distance: uint8 (P, codes), to the closest color of the palette, at most FAR.
    classes: uint8 (P, codes), the class of that color. noise: (P), how far from it still is that class.
    """

    distance: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.uint8]
    noise: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Blends:
    """Which colors of a palette may be a mix of two others.

    colors: int32 (K, 3). between: bool (K, K + 1, K + 1): class, then the two on either side of it, where K
    stands for UNCLEAR.
    """

    colors: npt.NDArray[np.int32]
    between: npt.NDArray[np.bool_]


def codes_of(packed: npt.NDArray[np.unsignedinteger[Any]]) -> npt.NDArray[np.uint32]:
    """The places of packed colors (red in the lowest byte) in the tables of `color_tables`."""
    red = (packed & np.uint32(0xFC)) << np.uint32(10)
    green = (packed >> np.uint32(4)) & np.uint32(0xFC0)
    blue = (packed >> np.uint32(18)) & np.uint32(0x3F)
    return red | green | blue


@lru_cache(maxsize=8)
def color_tables(label_set: LabelSet) -> ColorTables:
    """The tables for all colors there are, each by the leading bits of its channels."""
    centers = (np.arange(_CELLS, dtype=np.float32) + 0.5) * (256 / _CELLS) - 0.5
    return _tables(label_set, centers[:, None, None], centers[:, None], centers)


@lru_cache(maxsize=64)
def tables_of(label_set: LabelSet, colors: bytes) -> ColorTables:
    """The tables for some colors alone (red, green, blue of each in turn); their codes are 0, 1, ..."""
    red, green, blue = np.frombuffer(colors, np.uint8).reshape(-1, 3).T.astype(np.float32)
    return _tables(label_set, red, green, blue)


@lru_cache(maxsize=8)
def blends_of(label_set: LabelSet, palette_id: int) -> Blends:
    """The blends of one palette of a label set."""
    colors = np.array(label_set.palettes[palette_id].colors, np.int32)
    count = len(colors)
    between = np.zeros((count, count + 1, count + 1), bool)
    reach = 1.25 * _noise(colors)
    for class_id, color in enumerate(colors.astype(np.float32)):
        for other_id, other in enumerate(colors.astype(np.float32)):
            ahead = colors - other  # (K, 3), from one color beside it to each of the others
            share = ((color - other) * ahead).sum(axis=1) / np.maximum(np.square(ahead).sum(axis=1), 1)
            mixes = other + np.clip(share, 0, 1)[:, None] * ahead
            between[class_id, other_id, :count] = np.square(mixes - color).sum(axis=1) <= reach**2
        between[class_id, class_id] = between[class_id, :, class_id] = False
    return Blends(colors, between)


def _tables(label_set: LabelSet, *channels: npt.NDArray[np.float32]) -> ColorTables:
    """The tables for colors whose three channels are given, in shapes that go together."""
    shape = np.broadcast_shapes(*(channel.shape for channel in channels))
    count = len(label_set.palettes)
    distance = np.empty((count, *shape), np.uint8)
    classes = np.empty((count, *shape), np.uint8)
    noise = tuple(_noise(np.array(palette.colors)) for palette in label_set.palettes)
    for palette_id, palette in enumerate(label_set.palettes):
        nearest = np.full(shape, np.inf, np.float32)  # squared
        for class_id, color in enumerate(palette.colors):
            red, green, blue = (
                np.square(channel - value) for channel, value in zip(channels, color, strict=True)
            )
            squared = red + green + blue
            closer = squared < nearest
            classes[palette_id][closer] = class_id
            nearest[closer] = squared[closer]
        distance[palette_id] = np.minimum(np.ceil(np.sqrt(nearest)), FAR)
    return ColorTables(distance.reshape(count, -1), classes.reshape(count, -1), noise)


def _noise(colors: npt.NDArray[np.int_] | npt.NDArray[np.int32]) -> int:
    """How far a color may be from its palette color, from how close together those are."""
    apart = np.sqrt(np.square(colors[:, None] - colors).sum(axis=2))
    return int(min(MAX_NOISE, NOISE_SHARE * float(apart[apart > 0].min())))
