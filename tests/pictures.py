"""Label maps and photos for tests, and the files they come in."""

import io
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facadegen.labels import render
from facadegen.palettes import FACADES

GRAY, COLOR, GRAY_ALPHA = 0, 2, 4  # the color types of PNG

Array = npt.NDArray[np.uint8]


def facade(height: int = 96, width: int = 80) -> Array:
    """A class map (H, W) in which all 12 classes occur: sky, wall, windows and the strips between them."""
    classes = np.ones((height, width), np.uint8)
    classes[: height // 6] = 0
    for number, class_id in enumerate(range(2, 12)):
        top = height // 4 + number // 4 * (height // 4)
        left = width // 16 + number % 4 * (width // 4)
        classes[top : top + height // 6, left : left + width // 6] = class_id
    return classes


def painted(classes: Array, palette: str = "pix2pix") -> Image.Image:
    return Image.fromarray(render(classes, FACADES.palette(palette)))


def photo(height: int = 96, width: int = 80) -> Image.Image:
    """Gray-brown noise over a gradient: no class color in it."""
    noise = np.random.default_rng(1).integers(-20, 20, (height, width, 1))
    shade = np.linspace(60, 200, width)[None, :, None]
    return Image.fromarray((shade * [1.0, 0.9, 0.8] + noise).clip(0, 255).astype(np.uint8))


def file_of(picture: Image.Image, form: str = "PNG", **options: Any) -> io.BytesIO:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def png(
    size: tuple[int, int], bits: int, color_type: int, lines: Iterable[bytes], more: bytes = b""
) -> io.BytesIO:
    """A PNG file of lines of packed pixels, such as Pillow does not write; `more` chunks come before them."""
    header = struct.pack(">IIBBBBB", *size, bits, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in lines))
    chunks = chunk(b"IHDR", header) + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + chunks)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
