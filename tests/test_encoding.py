"""Pictures that say how they were made, in every format."""

from io import BytesIO
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from facadegen.encoding import Encoding, encode, provenance_line, read_provenance
from facadegen.errors import LabelMapError, UsageError

FORMATS = ["png", "jpg", "webp"]
PICTURE = np.kron(np.random.default_rng(0).integers(40, 200, (6, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
LINE = provenance_line({"weights": "0" * 64, "seed": 3, "colors": [["facade", (1, 2, 3)]]})


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_and_its_provenance_come_back(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(encode(PICTURE, Encoding(form), LINE))
    assert read_provenance(path) == LINE
    with Image.open(path) as image:
        assert image.size == (32, 48)
        far = np.abs(np.asarray(image.convert("RGB")).astype(int) - PICTURE)
    assert far.max() == 0 if form == "png" else far.mean() < 8


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_picture_is_the_same_bytes(form: str) -> None:
    assert encode(PICTURE, Encoding(form), LINE) == encode(PICTURE.copy(), Encoding(form), LINE)


@pytest.mark.parametrize("form", FORMATS)
def test_pictures_of_others_and_broken_ones(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    data = encode(PICTURE, Encoding(form), LINE)
    for broken in (b"", bytes(100), data[:-1]):
        path.write_bytes(broken)
        assert read_provenance(path) is None
    for of_others in (b"x" * len(data), data[:3], b"GIF89a" + data[:9], data[:4] + b"x" * 99):
        path.write_bytes(of_others)
        assert read_provenance(path) == ""
    Image.fromarray(PICTURE).save(path, {"jpg": "jpeg"}.get(form, form))
    assert read_provenance(path) == ""
    with pytest.raises(FileNotFoundError):
        read_provenance(tmp_path / "none")


def test_quality_is_a_matter_of_size() -> None:
    for form in ("jpg", "webp"):
        sizes = [len(encode(PICTURE, Encoding(form, quality), LINE)) for quality in (30, 90, 100)]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) == 3


@pytest.mark.parametrize(("form", "quality"), [("gif", None), ("png", 90), ("jpg", 0), ("webp", 101)])
def test_encodings_that_cannot_be(form: str, quality: int | None) -> None:
    with pytest.raises(UsageError):
        Encoding(form, quality)


def test_a_picture_too_large_for_its_format() -> None:
    with pytest.raises(LabelMapError, match="makes 16400 x 1 px, more than webp holds"):
        encode(np.zeros((1, 16400, 3), np.uint8), Encoding("webp"), LINE)


def test_lack_of_memory_is_not_taken_for_a_picture_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of libwebp: VP8_ENC_ERROR_OUT_OF_MEMORY
    monkeypatch.setattr(Image.Image, "save", Mock(side_effect=ValueError("encoding error 1")))
    with pytest.raises(MemoryError):
        encode(PICTURE, Encoding("webp"), LINE)


def test_a_png_is_smaller_than_its_pixels_and_readable_by_anyone() -> None:
    data = encode(PICTURE, Encoding("png"), LINE)
    assert len(data) < PICTURE.size
    with Image.open(BytesIO(data)) as image:
        assert image.info["Software"] == "facadegen"
