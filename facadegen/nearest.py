"""Gives pixels of unclear color the class of the nearest clear pixel."""

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from facadegen.colors import UNCLEAR, Blends

Classes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]
ColorsAt = Callable[[Places], npt.NDArray[np.uint8]]

REACH_PX = 5  # the edges of a JPEG or of smooth drawing are not wider
_SUPPORT = 5  # of the 8 neighbors of a pixel at a straight edge are of its class


def drop_blends(classes: Classes, blends: Blends, reach_px: int) -> Classes:
    """The class map (H, W) with UNCLEAR where a thin third class stands between two that mix to its color.

    The two are the first ones to be met on opposite sides, at most `reach_px` away.
    """
    padded = np.pad(classes, reach_px, constant_values=UNCLEAR)
    height, width = classes.shape
    support = np.zeros(classes.shape, np.uint8)
    for down, right in itertools.product((-1, 0, 1), repeat=2):
        if down or right:
            top, left = reach_px + down, reach_px + right
            support += padded[top : top + height, left : left + width] == classes
    suspects = np.flatnonzero((support < _SUPPORT) & (classes != UNCLEAR))
    places = _places_in_padded(suspects, width, reach_px)
    around = np.minimum(padded.ravel(), len(blends.colors))
    stride = width + 2 * reach_px
    mixed = np.zeros(len(places), bool)
    for step in (1, stride, stride + 1, stride - 1):
        ends = [_first_other(around, places, towards, reach_px) for towards in (-step, step)]
        mixed |= blends.between[around[places], ends[0], ends[1]]
    kept = classes.copy()
    kept.ravel()[suspects[mixed]] = UNCLEAR
    return kept


def fill_near(classes: Classes, blends: Blends, colors_at: ColorsAt) -> Classes:
    """The class map (H, W) with UNCLEAR pixels filled from the nearest clear one, at most REACH_PX away.

    Among equally near ones of different classes the closest color decides. `colors_at` gives the colors
    (N, 3) of pixels by their places (N,), counted row by row.
    """
    margin = REACH_PX
    padded = np.pad(classes, margin, constant_values=UNCLEAR).ravel()
    width = classes.shape[1]
    stride = width + 2 * margin
    filled = classes.copy()
    todo = np.flatnonzero(classes == UNCLEAR)
    places = _places_in_padded(todo, width, margin)
    for ring in _rings(margin):
        if not len(todo):
            break
        offsets = np.array([down * stride + right for down, right in ring])
        seen = padded[places + offsets[:, None]]  # (offsets, N)
        found = seen.min(axis=0)  # UNCLEAR is the highest of all values
        clear = found != UNCLEAR
        torn = np.flatnonzero(((seen != found) & (seen != UNCLEAR)).any(axis=0))
        found[torn] = _closest(seen[:, torn], colors_at(todo[torn]), blends)
        filled.ravel()[todo[clear]] = found[clear]
        todo, places = todo[~clear], places[~clear]
    return filled


def fill(classes: Classes, blends: Blends, colors_at: ColorsAt, near_px: float) -> tuple[Classes, int]:
    """The class map (H, W) without UNCLEAR pixels, and how many were more than `near_px` from a clear one.

    Beyond REACH_PX the nearest is looked for at half the size, and so on: there, one px does not show.
    Without any clear pixel all stay UNCLEAR.
    """
    filled = fill_near(classes, blends, colors_at)
    left = np.flatnonzero(filled == UNCLEAR)
    if len(left) in (0, classes.size):
        return filled, len(left)
    width = classes.shape[1]
    half = _half(filled)

    def colors_at_half(places: Places) -> npt.NDArray[np.uint8]:
        row, column = np.divmod(places, half.shape[1])
        return colors_at(row * 2 * width + column * 2)

    half_filled, half_stray = fill(half, blends, colors_at_half, (near_px - REACH_PX) / 2)
    row, column = np.divmod(left, width)
    filled.ravel()[left] = half_filled[row // 2, column // 2]
    return filled, len(left) if near_px <= REACH_PX else 4 * half_stray


def _half(classes: Classes) -> Classes:
    """The class map at half the size, rounded up; a pixel is UNCLEAR only where all four were."""
    height, width = classes.shape
    even = np.pad(classes, ((0, height % 2), (0, width % 2)), constant_values=UNCLEAR)
    half: Classes = np.minimum(even[::2], even[1::2])  # UNCLEAR is the highest of all values
    return np.minimum(half[:, ::2], half[:, 1::2])


def _places_in_padded(places: Places, width: int, margin: int) -> Places:
    """Where pixels, counted row by row, are once there is a margin on all sides."""
    row, column = np.divmod(places, width)
    return (row + margin) * (width + 2 * margin) + column + margin


def _first_other(around: Classes, places: Places, step: int, count: int) -> Classes:
    """The first class that is not its own on the way of each place (N,), or what stands for none."""
    own = around[places]
    none = around[0]  # of the margin
    first = np.full(len(places), none)
    for number in range(1, count + 1):
        met = around[places + number * step]
        first = np.where((first == none) & (met != own), met, first)
        if (first != none).all():
            break
    return first


def _rings(radius: int) -> list[list[tuple[int, int]]]:
    """All (down, right) within a radius but (0, 0), in groups of equal distance, nearest first."""
    span = range(-radius, radius + 1)
    around = [(down, right) for down in span for right in span if 0 < down**2 + right**2 <= radius**2]

    def squared(offset: tuple[int, int]) -> int:
        return offset[0] ** 2 + offset[1] ** 2

    return [list(ring) for _, ring in itertools.groupby(sorted(around, key=squared), key=squared)]


def _closest(seen: Classes, colors: npt.NDArray[np.uint8], blends: Blends) -> Classes:
    """For each of N pixels that of the classes seen (offsets, N) whose color is closest to its own (N, 3)."""
    known = seen != UNCLEAR
    painted = blends.colors[np.where(known, seen, 0)]
    squared = np.square(painted - colors.astype(np.int32)).sum(axis=2)
    best = np.where(known, squared, np.iinfo(np.int32).max).argmin(axis=0)
    closest: Classes = np.take_along_axis(seen, best[None], axis=0)[0]
    return closest
