"""Which mean color each class of a facade gets: from a reference, by hand, by seed, or by the map itself."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from facadegen.errors import FacadegenError, LabelMapError, UsageError
from facadegen.palettes import Color
from facadegen.weights import Card

Colors: TypeAlias = npt.NDArray[np.float32]  # (K, 3): the mean color of each class, 0..1

_MAX_PHOTO_PX = 1024 * 1024  # in all; mean colors need no more, and a camera's photo has 24 million


class ColorSource(Protocol):
    """What a style needs of a generator."""

    @property
    def card(self) -> Card: ...
    @property
    def color_sets(self) -> npt.NDArray[np.float32]: ...
    def estimate_colors(self, photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class Style:
    """What the user wants of the colors.

    reference: a photo, or a pair of photo and label map, whose colors to take. colors: of single classes,
    by name, before anything else. seed: which of the generator's color sets, the same for all label maps.

    Raises:
        UsageError: choices that exclude each other, or a color that is none.
    """

    reference: Path | None = None
    colors: tuple[tuple[str, Color], ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.reference is not None and self.seed is not None:
            raise UsageError("a seed picks colors and a style picture gives them; use one of the two")
        for name, color in self.colors:
            if len(color) != 3 or not all(_is_level(value) for value in color):
                raise UsageError(f"class {name!r}: color {color!r} is not three whole numbers 0..255")


@dataclass(frozen=True, eq=False)
class ColorChooser:
    """A style made ready for a run: names looked up, the reference measured. Made by `resolve_style`.

    color_sets: float32 (M, K, 3). reference: float32 (K, 3) or None. by_hand: class id -> color, 0..1.
    unpainted: ids of classes that no color can be asked of.
    """

    color_sets: npt.NDArray[np.float32]
    reference: Colors | None
    by_hand: dict[int, tuple[float, float, float]]
    seed: int | None
    unpainted: frozenset[int]

    def choose(self, classes: npt.NDArray[np.uint8]) -> Colors:
        """The class colors (K, 3) for a label map (H, W); the same map has the same colors."""
        return self.choose_variants(classes, 1)[0]

    def choose_variants(self, classes: npt.NDArray[np.uint8], count: int) -> list[Colors]:
        """The class colors (K, 3) of so many variants of a label map (H, W); fewer are the first of more.

        The first is the one to make if only one is made; each next one is the color set that differs most
        from all before it.
        """
        if self.reference is not None:
            variants = [self.reference.copy() for _ in range(count)]
        else:
            number = _content_hash(classes) if self.seed is None else self.seed
            chosen = [number % len(self.color_sets)]
            if count > 1:
                chosen = _far_apart(self.color_sets, chosen[0], self._weights(classes), count)
            variants = [self.color_sets[index].copy() for index in chosen]
        for colors in variants:
            for class_id, color in self.by_hand.items():
                colors[class_id] = color
        return variants

    def _weights(self, classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """How much each class (K,) tells two facades of this map apart."""
        class_count = self.color_sets.shape[1]
        if self.seed is None:
            # The root, so that doors and shutters count beside acres of wall.
            weights = np.sqrt(np.bincount(classes.reshape(-1), minlength=class_count))
        else:  # variant 2 of seed 3 is the same color set for all maps
            weights = np.ones(class_count)
        weights[[*self.unpainted, *self.by_hand]] = 0
        return weights


def resolve_style(style: Style, generator: ColorSource, variants: int = 1) -> ColorChooser:
    """The style ready for all label maps of a run, its reference read and measured once.

    Raises:
        UsageError: a class or a reference picture that is none, or choices that these weights have not.
    """
    label_set = generator.card.label_set
    _check_possible(style, generator, variants)
    unpainted = label_set.unpainted
    by_hand: dict[int, tuple[float, float, float]] = {}
    for name, (red, green, blue) in style.colors:
        class_id = label_set.index_of(name)
        if class_id in by_hand:
            raise UsageError(f"class {name!r} is given two colors")
        if class_id in unpainted:
            raise UsageError(f"class {name!r} takes no color: it is what no building covers")
        by_hand[class_id] = (red / 255, green / 255, blue / 255)
    reference = None if style.reference is None else _measure(style.reference, generator)
    return ColorChooser(generator.color_sets, reference, by_hand, style.seed, unpainted)


def mean_colors(photo: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8], class_count: int) -> Colors:
    """The mean colors (K, 3), 0..1, of a photo (..., 3) under a label map (...); NaN for absent classes."""
    flat = classes.reshape(-1)
    counts = np.bincount(flat, minlength=class_count)
    sums = [np.bincount(flat, photo[..., channel].reshape(-1), class_count) for channel in range(3)]
    with np.errstate(invalid="ignore"):
        means = np.stack(sums, axis=1) / (255 * counts[:, None])
    return means.astype(np.float32)


def pair_colors(
    photo: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8], generator: ColorSource
) -> Colors:
    """The class colors (K, 3) of the building in a photo (..., 3) under its label map (...), completed.

    What is behind the building takes the color that it has in the nearest color set: rectified photos have
    black corners there.
    """
    label_set = generator.card.label_set
    measured = mean_colors(photo, classes, len(label_set.classes))
    measured[sorted(label_set.unpainted)] = np.nan
    return complete_colors(measured, generator.color_sets)


def complete_colors(partial: Colors, color_sets: npt.NDArray[np.float32]) -> Colors:
    """Colors (K, 3) whose NaN rows come from the nearest of the color sets (M, K, 3) that has the class.

    Nearest: by the mean squared difference over the classes both have. The sets may have NaN rows, too;
    a class that no set has becomes middle grey.
    """
    squared = np.square(color_sets - partial).sum(axis=2)  # (M, K), NaN where either lacks the class
    shared = np.isfinite(squared)
    distances = np.where(shared, squared, 0).sum(axis=1) / np.maximum(shared.sum(axis=1), 1)
    if shared.any():
        distances[~shared.any(axis=1)] = np.inf  # nothing to compare is not alike
    complete = partial.copy()
    for class_id in np.flatnonzero(np.isnan(partial).any(axis=1)):
        having = np.flatnonzero(np.isfinite(color_sets[:, class_id]).all(axis=1))
        nearest = having[np.argmin(distances[having])] if len(having) else None
        complete[class_id] = 0.5 if nearest is None else color_sets[nearest, class_id]
    return complete


def _is_level(value: object) -> bool:
    # Weights take colors of 0..1: so small ones would pass for black.
    return isinstance(value, int | np.integer) and 0 <= int(value) <= 255


def _check_possible(style: Style, generator: ColorSource, variants: int) -> None:
    styled = style != Style()
    if generator.card.style == "none" and (styled or variants > 1):
        raise UsageError("these weights take no colors: no style, color, seed or variants can be chosen")
    if variants > 1 and style.reference is not None:
        raise UsageError("variants differ in their colors and a style picture gives them; use one of the two")
    if not 1 <= variants <= len(generator.color_sets):
        raise UsageError(f"these weights can make 1 to {len(generator.color_sets)} variants, not {variants}")


def _content_hash(classes: npt.NDArray[np.uint8]) -> int:
    return isal_zlib.crc32(np.ascontiguousarray(classes).data, isal_zlib.crc32(repr(classes.shape).encode()))


def _far_apart(
    color_sets: npt.NDArray[np.float32], start: int, weights: npt.NDArray[np.float64], count: int
) -> list[int]:
    """So many indices of color sets (M, K, 3) from the start on, each the one farthest from all before it."""
    order = [start]
    nearest = np.full(len(color_sets), np.inf)
    while len(order) < count:
        differences = np.square(color_sets - color_sets[order[-1]]).sum(axis=2) @ weights
        nearest = np.minimum(nearest, differences)
        nearest[order] = -1  # never one twice, even where all are equal
        order.append(int(nearest.argmax()))
    return order


def _measure(path: Path, generator: ColorSource) -> Colors:
    """The class colors (K, 3) of the building in a photo, or in a pair of photo and label map."""
    from facadegen.labels import decode  # imports PIL

    label_set = generator.card.label_set
    try:
        pair = decode(path, label_set)
    except LabelMapError:  # no label map in it: a photo, or no picture at all
        return _measure_photo(path, generator)
    if pair.photo is None:
        raise UsageError("is a label map alone; colors need a photo, or a pair of photo and label map", path)
    return pair_colors(pair.photo, pair.classes, generator)


def _measure_photo(path: Path, generator: ColorSource) -> Colors:
    from PIL import Image

    from facadegen.labels import MAX_PIXELS
    from facadegen.picture import read_picture

    try:
        photo = Image.fromarray(read_picture(path, MAX_PIXELS).rgb())
        # By its area: a street's photo may be 5000 x 150, whose height must not go.
        scale = math.sqrt(min(1, _MAX_PHOTO_PX / (photo.width * photo.height)))
        photo.thumbnail((math.ceil(photo.width * scale), math.ceil(photo.height * scale)))
        return generator.estimate_colors(np.asarray(photo))
    except FacadegenError as error:
        raise UsageError(error.problem, path) from None
