"""Wedges: black and grey corners are found, facades and skies are not."""

import numpy as np
import pytest

from training.wedges import valid_pixels, without_wedges


def picture(seed: int = 0) -> np.ndarray:
    """Something without flat areas."""
    return np.random.default_rng(seed).integers(60, 190, (96, 96, 3)).astype(np.uint8)


@pytest.mark.parametrize("grey", [0, 130])
def test_a_flat_corner_is_no_part_of_the_photo(grey: int) -> None:
    photo = picture()
    y, x = np.mgrid[:96, :96]
    corner = x + 2 * y < 50
    photo[corner] = grey
    valid = valid_pixels(photo)
    assert not valid[corner].any()
    assert valid[x + 2 * y > 60].all()


def test_a_wedge_is_found_behind_a_tinted_last_column() -> None:
    photo = picture()
    photo[:40, 70:] = 0
    photo[:, -1, 2] += 50
    assert not valid_pixels(photo)[:40, 70:].any()


def test_a_photo_without_wedges_is_valid_all_over() -> None:
    assert valid_pixels(picture()).all()


def test_white_and_blue_skies_are_no_wedges() -> None:
    photo = picture()
    photo[:20] = 250
    assert valid_pixels(photo).all()
    photo[:20] = (90, 130, 190)
    assert valid_pixels(photo).all()


def test_dark_areas_inside_the_photo_stay() -> None:
    photo = picture()
    photo[40:60, 40:60] = 0
    assert valid_pixels(photo).all()


def test_the_black_rim_of_a_grey_wedge_is_no_part_of_the_photo_either() -> None:
    photo = picture()
    photo[:, :20] = 0
    photo[:, :18] = 130
    photo[40:60, 21:50] = 0  # a door beside it
    valid = valid_pixels(photo)
    assert not valid[:, :20].any()
    assert valid[:40, 30:].all() and valid[40:60, 30:50].all()


def test_the_nearest_colors_take_the_place_of_a_wedge() -> None:
    photo = np.full((96, 96, 3), 230, np.uint8)
    photo[48:] = (150, 100, 50)
    photo[:30, :30] = photo[66:, 66:] = 0
    valid = valid_pixels(photo)
    found = without_wedges(photo, valid)
    assert np.array_equal(found[valid], photo[valid])
    assert np.abs(found[~valid].astype(int).min(0) - (150, 100, 50)).max() <= 2
    assert np.abs(found[:20, :20].astype(int) - 230).max() <= 2
    whole = picture()
    assert without_wedges(whole, valid_pixels(whole)) is whole
