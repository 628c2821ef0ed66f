from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from facadegen.png import png_bytes


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (3, 100_000), (700, 500)])
def test_every_pixel_comes_back(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with Image.open(BytesIO(png_bytes(picture, {}))) as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_a_part_of_a_picture_comes_back_too() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)[5:30, 10:33]
    with Image.open(BytesIO(png_bytes(picture, {}))) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_texts_come_before_the_pixels() -> None:
    data = png_bytes(np.zeros((4, 4, 3), np.uint8), {"Software": "facadegen", "note": "café"})
    assert data.index(b"caf\xe9") < data.index(b"IDAT")
    with Image.open(BytesIO(data)) as image:
        assert image.info == {"Software": "facadegen", "note": "café"}


def test_flat_areas_cost_next_to_nothing() -> None:
    picture = np.full((256, 512, 3), (180, 90, 60), np.uint8)
    assert len(png_bytes(picture, {})) < picture.nbytes / 100
