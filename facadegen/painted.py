"""Painted label maps: pictures in the colors of a palette, alone or beside a photo."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from facadegen.colors import EXACT, FAR, UNCLEAR, ColorTables, blends_of, codes_of, color_tables, tables_of
from facadegen.errors import LabelMapError
from facadegen.nearest import drop_blends, fill
from facadegen.palettes import LabelSet
from facadegen.picture import Picture

# Label halves of the pix2pix data set, all edges, have up to 0.36 of their pixels far from all colors; photos
# have more than 0.999. Blurred and shrunken label maps come closer to photos than to clean ones.
_MAX_FAR = 0.6
_MIN_FAR_PHOTO = 0.75
_MAX_FAR_INDEXED = 0.1  # smooth edges; more, and the colors have nothing to do with the classes
_MAX_STRAY = 0.05  # of the pixels are not even near a clear one: more than a speck or a signature
_USUAL = 0.9  # of the pixels that match a color
_MIN_CLEAR = 14  # between the colors of smooth edges and those that are only rounded
_NEAR_PX = 5  # the edges of a JPEG are not wider, nor those of smooth drawing,
_NEAR_SHARE = 1 / 64  # of the shorter side those of a picture that was enlarged
_BAND_PX = 2**18  # pixels worked on at a time, so that they stay in the processor's cache

_DISTANCES = np.arange(FAR + 1)

Codes = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, eq=False)
class Painted:
    """classes: uint8 (H, W). photo: uint8 (H, W, 3) or None. palette_id: the palette it is painted in."""

    classes: npt.NDArray[np.uint8]
    photo: npt.NDArray[np.uint8] | None
    palette_id: int


@dataclass(frozen=True, eq=False)
class _Fit:
    """How well a palette explains the pixels of a part of a picture, transparent ones aside.

    counts: (FAR + 1,), how many pixels are how far from the closest color. noise: what still is that color.
    """

    palette_id: int
    noise: int
    counts: npt.NDArray[np.intp]

    def __add__(self, other: "_Fit") -> "_Fit":
        return _Fit(self.palette_id, self.noise, self.counts + other.counts)

    @property
    def residual(self) -> int:
        return int(self.counts @ _DISTANCES)

    @property
    def far_share(self) -> float:
        return float(self.counts[self.noise + 1 :].sum()) / max(int(self.counts.sum()), 1)

    @property
    def is_exact(self) -> bool:
        return not self.counts[EXACT + 1 :].any()

    @property
    def clear_distance(self) -> int:
        """How far from its palette color a color may be in this very picture, by how far most are."""
        within = np.cumsum(self.counts[: self.noise + 1])
        usual = int(np.searchsorted(within, _USUAL * within[-1]))
        return min(max(2 * usual, _MIN_CLEAR), self.noise)


@dataclass(frozen=True, eq=False)
class _Looked:
    """A picture's colors, looked up. Rows equal to the one above are looked at once, and then columns equal
    to the one before: drawn maps have many. Not where parts are transparent.

    codes: (R, C), the place of every color in the tables. rows: (H,) and columns: (W,), where in the codes
    each of the picture's is. transparent: bool (H, W), as the picture has it.
    """

    tables: ColorTables
    codes: Codes
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    transparent: npt.NDArray[np.bool_] | None

    def part(self, columns: slice) -> tuple[Codes, npt.NDArray[np.intp]]:
        """The codes of some of the picture's columns, and where in these each of those is."""
        start, stop, _ = columns.indices(len(self.columns))
        first, last = np.append(self.columns, self.codes.shape[1])[[start, stop]]
        return self.codes[:, first:last], self.columns[start:stop] - first


def read_painted(picture: Picture, label_set: LabelSet, palette_ids: Sequence[int]) -> Painted:
    """The class map in a picture painted in one of the palettes; of a pair, the half that is one.

    Raises:
        LabelMapError: neither the picture nor one half of it is painted so.
    """
    looked = _look_up(picture, label_set)
    columns, photo_columns, fit = _find_labels(looked, palette_ids)
    if fit.far_share > _MAX_FAR:
        raise _no_label_map(fit.far_share, label_set, palette_ids)
    part = picture.columns(columns)
    classes = _classes(looked, columns, fit)
    if part.transparent is not None:
        classes[part.transparent] = label_set.background_id
    if not fit.is_exact:
        classes, stray_share = _settle(classes, part, label_set, fit.palette_id)
        if stray_share > _MAX_STRAY:
            raise _no_label_map(stray_share, label_set, palette_ids)
    photo = None if photo_columns is None else picture.columns(photo_columns).rgb()
    return Painted(classes, photo, fit.palette_id)


def outranks_indices(picture: Picture, label_set: LabelSet) -> bool:
    """Whether a picture has a color table, not one of gray, and nearly all is in the colors of a palette."""
    if picture.colors is None or picture.is_gray:
        return False
    looked = _look_up(picture, label_set)
    left_fits, right_fits = _fits_of_halves(looked, range(len(looked.tables.noise)))
    return min(fit.far_share for fit in map(add, left_fits, right_fits)) <= _MAX_FAR_INDEXED


def _find_labels(looked: _Looked, palette_ids: Sequence[int]) -> tuple[slice, slice | None, _Fit]:
    """The columns of the label map, those of its photo, if any, and how well the best palette explains it."""
    width = len(looked.columns)
    left, right = slice(0, width // 2), slice(width // 2, width)
    left_fits, right_fits = _fits_of_halves(looked, palette_ids)
    left_fit, right_fit = _best(left_fits), _best(right_fits)
    if width % 2 == 0 and _is_pair(left_fit, right_fit):
        return left, right, left_fit
    if width % 2 == 0 and _is_pair(right_fit, left_fit):
        return right, left, right_fit
    return slice(0, width), None, _best(list(map(add, left_fits, right_fits)))


def _look_up(picture: Picture, label_set: LabelSet) -> _Looked:
    """A picture's colors in the tables of what colors mean."""
    values = picture.values
    height, width = values.shape
    new_row, new_column = np.ones(height, bool), np.ones(width, bool)
    if picture.transparent is None:
        new_row[1:] = (values[1:] != values[:-1]).any(axis=1)
        if not new_row.all():
            values = values[new_row]
            new_column[1:] = (values[:, 1:] != values[:, :-1]).any(axis=0)
            new_column[width // 2] = True  # no column is in both halves
            values = values[:, new_column]
    tables, codes = _codes_in_tables(values, picture.colors, label_set)
    return _Looked(tables, codes, np.cumsum(new_row) - 1, np.cumsum(new_column) - 1, picture.transparent)


def _codes_in_tables(
    values: Codes, colors: npt.NDArray[np.uint8] | None, label_set: LabelSet
) -> tuple[ColorTables, Codes]:
    if colors is not None:
        return tables_of(label_set, colors.tobytes()), values
    codes = np.empty(values.shape, np.uint32)
    for rows in _bands(codes):
        codes[rows] = codes_of(values[rows])
    return color_tables(label_set), codes


def _fits_of_halves(looked: _Looked, palette_ids: Sequence[int]) -> tuple[list[_Fit], list[_Fit]]:
    """How well each of the palettes explains the left half of a picture, and the right."""
    codes = looked.codes
    row_counts, column_counts = np.bincount(looked.rows), np.bincount(looked.columns)
    in_right = np.zeros(codes.shape[1], np.intp)
    in_right[looked.columns[len(looked.columns) // 2] :] = FAR + 1  # counted behind those of the left
    counts = np.zeros((len(palette_ids), 2 * (FAR + 1)))
    for rows in _bands(codes):
        weights: npt.NDArray[Any] | None = None
        if looked.transparent is not None:
            weights = (~looked.transparent[rows]).ravel()
        elif len(codes) < len(looked.rows):
            weights = np.outer(row_counts[rows], column_counts).ravel()
        for number, palette_id in enumerate(palette_ids):
            distance = looked.tables.distance[palette_id].take(codes[rows])
            counts[number] += np.bincount((distance + in_right).ravel(), weights, 2 * (FAR + 1))
    left, right = (
        [_Fit(each, looked.tables.noise[each], found) for each, found in zip(palette_ids, half, strict=True)]
        for half in counts.astype(np.intp).reshape(-1, 2, FAR + 1).swapaxes(0, 1)
    )
    return left, right


def _best(fits: Sequence[_Fit]) -> _Fit:
    return min(fits, key=lambda fit: fit.residual)


def _is_pair(labels: _Fit, photo: _Fit) -> bool:
    is_seen = bool(labels.counts.any())  # a transparent half is no label map
    return is_seen and labels.far_share <= _MAX_FAR and photo.far_share >= _MIN_FAR_PHOTO


def _classes(looked: _Looked, columns: slice, fit: _Fit) -> npt.NDArray[np.uint8]:
    """The class (H, W) of every pixel's color, UNCLEAR where it is too far from all."""
    codes, places = looked.part(columns)
    classes = np.empty(codes.shape, np.uint8)
    for rows in _bands(codes):
        classes[rows] = looked.tables.classes[fit.palette_id].take(codes[rows])
        if fit.is_exact:
            continue
        far = looked.tables.distance[fit.palette_id].take(codes[rows]) > fit.clear_distance
        classes[rows][far] = UNCLEAR
    return classes.take(places, axis=1).take(looked.rows, axis=0)


def _settle(
    classes: npt.NDArray[np.uint8], picture: Picture, label_set: LabelSet, palette_id: int
) -> tuple[npt.NDArray[np.uint8], float]:
    """The class map without UNCLEAR pixels, and the share of them that are not even near a clear one."""
    blends = blends_of(label_set, palette_id)
    near_px = max(_NEAR_PX, min(classes.shape) * _NEAR_SHARE)
    classes = drop_blends(classes, blends, math.ceil(near_px))
    settled, stray = fill(classes, blends, picture.colors_at, near_px)
    return settled, stray / classes.size


def _bands(pixels: npt.NDArray[np.generic]) -> Iterator[slice]:
    """Rows of a picture (H, W), some at a time."""
    height, width = pixels.shape
    step = max(1, _BAND_PX // max(width, 1))
    return (slice(top, top + step) for top in range(0, height, step))


def _no_label_map(far_share: float, label_set: LabelSet, palette_ids: Sequence[int]) -> LabelMapError:
    names = " or ".join(label_set.palettes[palette_id].name for palette_id in palette_ids)
    found = f"{far_share:.1%} of its pixels match no class color"
    return LabelMapError(f"is no label map: {found} (expected the colors of {names})")
