"""Unclear pixels take the class of the nearest clear one."""

import numpy as np

from facadegen.colors import UNCLEAR, blends_of
from facadegen.nearest import REACH_PX, fill, fill_near
from facadegen.palettes import FACADES

BLENDS = blends_of(FACADES, 0)


def black_at(places: np.ndarray) -> np.ndarray:
    return np.zeros((len(places), 3), np.uint8)


def sparse(height: int, width: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(7)
    classes = rng.integers(0, 12, (height, width)).astype(np.uint8)
    classes[rng.random((height, width)) > share] = UNCLEAR
    return classes


def nearest_classes(classes: np.ndarray, row: int, column: int) -> tuple[float, set[int]]:
    """The distance of the nearest clear pixels and their classes, by looking at all."""
    rows, columns = np.nonzero(classes != UNCLEAR)
    distances = np.hypot(rows - row, columns - column)
    closest = np.isclose(distances, distances.min())
    return float(distances.min()), set(classes[rows[closest], columns[closest]].tolist())


def test_near_pixels_take_the_nearest_class_and_far_ones_stay() -> None:
    classes = sparse(40, 50, 0.03)
    filled = fill_near(classes, BLENDS, black_at)
    for (row, column), before in np.ndenumerate(classes):
        distance, expected = nearest_classes(classes, row, column)
        if before != UNCLEAR:
            assert filled[row, column] == before
        elif distance <= REACH_PX:
            assert filled[row, column] in expected
        else:
            assert filled[row, column] == UNCLEAR


def test_between_two_equally_near_the_closer_color_decides() -> None:
    row = np.array([[1, UNCLEAR, 8]], np.uint8)
    colors = np.array([[0, 48, 255], [150, 110, 90], [255, 159, 1]], np.uint8)
    assert fill_near(row, BLENDS, lambda places: colors[places]).tolist() == [[1, 8, 8]]
    colors[1] = (70, 80, 200)
    assert fill_near(row, BLENDS, lambda places: colors[places]).tolist() == [[1, 1, 8]]


def test_far_pixels_are_filled_and_counted() -> None:
    classes = np.full((61, 83), UNCLEAR, np.uint8)
    classes[:, :20], classes[:, 70:] = 1, 2
    filled, stray = fill(classes, BLENDS, black_at, near_px=5)
    assert (filled[:, :43] == 1).all()
    assert (filled[:, 47:] == 2).all()
    assert stray == 61 * (50 - 2 * 5)
    assert fill(classes, BLENDS, black_at, near_px=60)[1] == 0


def test_nothing_clear_leaves_all_unclear() -> None:
    classes = np.full((9, 9), UNCLEAR, np.uint8)
    filled, stray = fill(classes, BLENDS, black_at, near_px=5)
    assert stray == 81
    assert (filled == UNCLEAR).all()
