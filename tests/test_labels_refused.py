"""What is no label map, or no picture that can be read: one line that says what it is, never a crash."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import COLOR, GRAY_ALPHA, beside, chunk, facade, file_of, painted, photo, png
from PIL import Image, PngImagePlugin

from facadegen import picture
from facadegen.errors import LabelMapError
from facadegen.labels import decode

FORMATS = ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"]
LABELS = painted(facade())


def refusal(stream: io.BytesIO, kind: str = "auto", max_pixels: int = 2**20) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LabelMapError) as caught:
            decode(stream, kind=kind, max_pixels=max_pixels)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def on_desktop(labels: Image.Image) -> Image.Image:
    screen = Image.new("RGB", (labels.width * 2, labels.height * 2), (240, 240, 240))
    screen.paste(labels, (20, 20))
    return screen


@pytest.mark.parametrize("form", FORMATS)
def test_photos_are_refused_with_a_figure(form: str) -> None:
    message = refusal(file_of(photo(), form))
    assert "is no label map: 100.0% of its pixels match no class color" in message
    assert "expected the colors of pix2pix or cmp" in message


@pytest.mark.parametrize(
    "picture",
    [
        photo().convert("L"),
        photo().quantize(200),
        beside(photo(), photo()),
        on_desktop(LABELS),
        on_desktop(LABELS).quantize(64),
        Image.new("RGB", (64, 64)),
        Image.new("RGB", (64, 64), "white"),
        photo().convert("1"),
    ],
    ids=["gray", "indexed", "two photos", "screenshot", "indexed screenshot", "black", "white", "bilevel"],
)
def test_other_pictures_are_refused(picture: Image.Image) -> None:
    assert "% of its pixels match no class color" in refusal(file_of(picture))


def test_half_a_label_map_is_refused() -> None:
    unfinished = LABELS.copy()
    unfinished.paste("white", (0, 60, 80, 96))
    message = refusal(file_of(unfinished))
    assert 30 < float(message.split("%")[0].split()[-1]) < 40


def test_unknown_indices_are_refused() -> None:
    numbers = facade() + 1
    numbers[0, 0] = 13
    message = refusal(file_of(Image.fromarray(numbers)))
    assert "the highest value is 13; expected 1 to 12, or 0 to 11 where a 0 occurs" in message
    numbers[0, 0] = 0  # now the 12 elsewhere is one too many
    assert "the highest value is 12" in refusal(file_of(Image.fromarray(numbers)), kind="index")
    assert "is in color, with no indices" in refusal(file_of(LABELS), kind="index")


def test_transparent_pictures_are_refused() -> None:
    assert refusal(file_of(Image.new("RGBA", (32, 32)))) == "is fully transparent"
    half_seen = photo().convert("RGBA")
    half_seen.paste((0, 0, 0, 0), (0, 0, half_seen.width // 2, half_seen.height))
    assert "match no class color" in refusal(file_of(half_seen))


@pytest.mark.parametrize("form", FORMATS)
def test_cut_off_files_are_refused(form: str) -> None:
    whole = file_of(LABELS, form).getvalue()
    for length in (1, 7, 40, len(whole) // 2, len(whole) - len(whole) // 8):
        message = refusal(io.BytesIO(whole[:length]))
        assert "damaged or cut off" in message or "is no picture file" in message


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    assert refusal(io.BytesIO()) == "is empty"
    assert "found b'<!doctyp'..., expected PNG, JPEG" in refusal(io.BytesIO(b"<!doctype html>"))
    assert "is no picture file" in refusal(file_of(LABELS, "PPM"))
    for path, problem in [(tmp_path, "is a folder"), (tmp_path / "gone.png", "cannot be read: No such file")]:
        with pytest.raises(LabelMapError, match=problem) as caught:
            decode(path)
        assert str(caught.value).startswith(f"{path}: ")


def bomb(form: str) -> io.BytesIO:
    return file_of(Image.new("P", (2000, 2000)), form)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF"])
def test_pictures_of_too_many_pixels_are_refused_before_they_are_decoded(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = bomb(form)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("it was decoded"))
    expected = "is 2000 x 2000 px; more than 1048576 pixels are not read"
    assert refusal(stream) == expected
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_500_000)  # Pillow would warn of this one
    assert refusal(stream) == expected


def test_a_small_tiff_of_one_huge_tile_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = tiled(64, tile_px=2000)
    assert picture.pixel_count(whole) == 2000 * 2000
    assert picture.pixel_count(tiled(64, tile_px=16)) == 64 * 64
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("it was decoded"))
    assert refusal(io.BytesIO(whole)) == "is 2000 x 2000 px; more than 1048576 pixels are not read"


def tiled(side_px: int, tile_px: int) -> bytes:
    """A gray TIFF of deflated tiles, of which it says no more than that."""
    tags = {256: side_px, 257: side_px, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile_px, 323: tile_px, 324: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (tags | {325: 8}).items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags) + 1) + entries + bytes(4)


def test_the_limit_is_that_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    stream = file_of(LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(stream).classes.shape == (96, 80)
    assert Image.MAX_IMAGE_PIXELS == 100


def with_chunk(name: bytes, data: bytes) -> io.BytesIO:
    """A good PNG with one more chunk right behind its header."""
    whole = file_of(LABELS).getvalue()
    return io.BytesIO(whole[:33] + chunk(name, data) + whole[33:])


def text_bomb() -> io.BytesIO:
    return with_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**24)))


def of_no_size() -> io.BytesIO:
    return png((0, 5), 8, COLOR, [])


def of_many_bits() -> io.BytesIO:
    return file_of(Image.fromarray(facade().astype(np.uint16)))


def of_floats() -> io.BytesIO:
    return file_of(Image.fromarray(facade().astype(np.float32)), "TIFF")


def gray_of_many_bits_with_alpha() -> io.BytesIO:
    return png((4, 4), 16, GRAY_ALPHA, [b"\0\1\xff\xff" * 4] * 4)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (text_bomb, "cannot be read as PNG"),
        (of_no_size, "cannot be read as PNG, damaged or cut off: it has no pixels"),
        (of_many_bits, "has 16 or more bits of gray per pixel; expected 8 bits per channel"),
        (of_floats, "has 16 or more bits of gray per pixel"),
        (gray_of_many_bits_with_alpha, "has 16 or more bits of gray per pixel"),
    ],
)
def test_surprises_inside_are_refused(make: Callable[[], io.BytesIO], problem: str) -> None:
    assert refusal(make()).startswith(problem)


def test_broken_metadata_does_not_spoil_a_good_picture() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\xff\xff\xff\xff\0\0\0\0" * 9
    profile = PngImagePlugin.PngInfo()
    profile.add_text("Raw profile type exif", "\nexif\n    9\nno hexadecimal digits")
    streams = [file_of(LABELS, "JPEG", exif=exif), file_of(LABELS, "WEBP", exif=exif, lossless=True)]
    streams += [with_chunk(b"acTL", bytes(8)), with_chunk(b"tEXt", b"Title\0" + b"x" * 9999)]
    for stream in streams:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert decode(stream).kind == "pix2pix"
        assert not caught


def test_every_error_of_the_decoder_becomes_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = file_of(LABELS)
    for error in (OSError("x"), SyntaxError("x"), struct.error("x"), zlib.error("x"), RecursionError("x")):

        def fail(image: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
        assert refusal(stream) == "cannot be read as PNG, damaged or cut off: x"

    def exhaust(image: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", exhaust)
    assert refusal(stream) == "needs more memory than there is"
