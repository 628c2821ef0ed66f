"""Picture files as arrays of pixels; what is wrong with one is a LabelMapError, no crash and no warning."""

import errno
import io
import math
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from facadegen.errors import LabelMapError

_Array = TypeVar("_Array", bound="np.ndarray[Any, Any]")

FORMATS = "PNG, JPEG, WebP, BMP, TIFF, GIF"

# Image.open() would hold pictures to the Image.MAX_IMAGE_PIXELS of the host program, and warn.
_READERS: tuple[tuple[re.Pattern[bytes], type[ImageFile.ImageFile]], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    (re.compile(rb"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImagePlugin.WebPImageFile),
    (re.compile(rb"BM"), BmpImagePlugin.BmpImageFile),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), TiffImagePlugin.TiffImageFile),
    (re.compile(rb"GIF8[79]a"), GifImagePlugin.GifImageFile),
)

# All that Pillow may warn about while it reads one of these formats: TIFF and EXIF tags, animations.
_WARNED_ABOUT = (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+", b"GIF8", b"Exif", b"EXIF", b"eXIf", b"exif", b"acTL")
_warnings_lock = threading.Lock()

_PILLOW_MEANS = {"not identified by this driver": "it has no pixels"}

_BYTES_PER_PX = 8  # of the least compressed files there are: 16 bits, four channels
_METADATA_BYTES = 2**24
_GRAY_STEP = {"L;2": 85, "L;4": 17}  # Pillow spreads gray of 2 and 4 bits over 0..255
_OPAQUE_FROM = 128  # alpha


@dataclass(frozen=True, eq=False)
class Picture:
    """The pixels of a picture, upright.

    values: uint8 (H, W), indices into `colors` or gray; or uint32 (H, W), red + green * 2**8 + blue * 2**16.
    colors: uint8 (256, 3), the color of each value, or None where the values are colors themselves.
    transparent: bool (H, W), where alpha is below one half; None where it nowhere is.
    is_gray: the colors are those of gray, in order. is_jpeg: values are not exactly those that were saved.
    """

    values: npt.NDArray[np.unsignedinteger[Any]]
    colors: npt.NDArray[np.uint8] | None
    transparent: npt.NDArray[np.bool_] | None
    is_gray: bool
    is_jpeg: bool

    def columns(self, columns: slice) -> "Picture":
        """That part of the picture."""
        transparent = None if self.transparent is None else self.transparent[:, columns]
        values = np.ascontiguousarray(self.values[:, columns])
        return Picture(values, self.colors, transparent, self.is_gray, self.is_jpeg)

    def colors_at(self, places: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        """Red, green, blue, uint8 (N, 3), of the pixels at places (N,), counted row by row."""
        values = self.values.ravel()[places]
        if self.colors is not None:
            return self.colors[values]
        return values.astype("<u4", copy=False).view(np.uint8).reshape(-1, 4)[:, :3]

    def rgb(self) -> npt.NDArray[np.uint8]:
        """All pixels, uint8 (H, W, 3)."""
        if self.colors is not None:
            return self.colors[self.values]
        pixels = np.ascontiguousarray(self.values).astype("<u4", copy=False).view(np.uint8)
        return np.ascontiguousarray(pixels.reshape(*self.values.shape, 4)[:, :, :3])


def read_picture(source: Path | BinaryIO | bytes, max_pixels: int) -> Picture:
    """The first frame of a picture file, or of what `read_file` read of one, turned as its EXIF says.

    Raises:
        LabelMapError: it cannot be read, is no such file, or has more than `max_pixels`.
    """
    data = source if isinstance(source, bytes) else read_file(source, max_pixels)
    reader = reader_for(data)
    if reader is None:
        raise LabelMapError(f"is no picture file (found {data[:8]!r}..., expected {FORMATS})")
    try:
        with _no_warnings(data):
            return _decode(reader(io.BytesIO(data)), max_pixels)
    except (LabelMapError, MemoryError):
        raise
    except Exception as error:  # of nearly every kind there is, if the file was broken on purpose
        problem = _PILLOW_MEANS.get(f"{error}", f"{error}"[:200]) or type(error).__name__
        raise LabelMapError(f"cannot be read as {reader.format}, damaged or cut off: {problem}") from error


def pixel_count(data: bytes) -> int:
    """How many pixels a picture file says are to be decoded; 0 where it does not even say that."""
    reader = reader_for(data)
    if reader is None:
        return 0
    try:
        with _no_warnings(data):
            return math.prod(_decoded_size(reader(io.BytesIO(data))))
    except Exception:  # reading it tells what is wrong
        return 0


def reader_for(data: bytes) -> type[ImageFile.ImageFile] | None:
    """The reader of the format that a file begins like, None where that is none of FORMATS."""
    return next((reader for signature, reader in _READERS if signature.match(data)), None)


def read_file(source: Path | BinaryIO, max_pixels: int) -> bytes:
    """A whole picture file at once: one that shrinks while it is read cannot surprise the decoders.

    Raises:
        LabelMapError: it cannot be read, is empty, or larger than one of `max_pixels` needs to be.
    """
    max_bytes = max_pixels * _BYTES_PER_PX + _METADATA_BYTES
    try:
        if isinstance(source, Path):
            if source.is_dir():
                raise LabelMapError("is a folder")
            with open_regular(source) as stream:
                # No more than there is: Python would fetch memory for all it is asked for.
                data = stream.read(min(os.fstat(stream.fileno()).st_size, max_bytes) + 1)
        else:
            if source.seekable():
                source.seek(0)
            data = source.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise LabelMapError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not data:
        raise LabelMapError("is empty")
    if len(data) > max_bytes:
        raise LabelMapError(f"is larger than {max_bytes // 2**20} MiB, the most that is read")
    return data


def open_regular(path: Path) -> BinaryIO:
    """A regular file, open to be read; opening a pipe that lies in its place would wait for its other end.

    Raises:
        OSError: there is none, or it may not be read.
    """
    file = open(path, "rb", opener=_at_once)  # noqa: SIM115 - Path.open() takes no opener
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "no regular file")


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def _no_warnings(data: bytes) -> Iterator[None]:
    # Warning filters belong to the whole process: leave them alone for files that cannot cause warnings, and
    # otherwise change them in one thread at a time, or they would not be put back.
    if not any(mark in data for mark in _WARNED_ABOUT):
        yield
        return
    with _warnings_lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _decode(image: ImageFile.ImageFile, max_pixels: int) -> Picture:
    width, height = _decoded_size(image)
    if width * height > max_pixels:
        raise LabelMapError(f"is {width} x {height} px; more than {max_pixels} pixels are not read")
    raw_mode = _raw_mode(image)
    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    picture = _unpack(image, raw_mode)
    transparent = None if picture.transparent is None else _upright(picture.transparent, orientation)
    values = _upright(picture.values, orientation)
    return Picture(values, picture.colors, transparent, picture.is_gray, image.format == "JPEG")


def _decoded_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Width and height of what is decoded for a picture: a tile of a TIFF may be larger than all of it."""
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width = max(width, int(image.tag_v2.get(TiffImagePlugin.TILEWIDTH, 0)))
        height = max(height, int(image.tag_v2.get(TiffImagePlugin.TILELENGTH, 0)))
    return width, height


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How the file itself stores its pixels, such as "RGB;16B"; Pillow forgets it while it reads them."""
    args = image.tile[0][3] if image.tile else None
    return str(args[0] if isinstance(args, tuple) and args else args)


def _unpack(image: Image.Image, raw_mode: str) -> Picture:
    if image.mode[0] in "IF" or raw_mode.startswith("LA;16"):
        raise LabelMapError("has 16 or more bits of gray per pixel; expected 8 bits per channel")
    step = _GRAY_STEP.get(raw_mode, 1)
    if "transparency" in image.info and image.mode in ("L", "RGB"):
        # One color that stands for "nothing here"; gray is given as stored.
        if step > 1:
            image.info["transparency"] *= step
        image = image.convert(image.mode + "A")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode == "P":
        return _unpack_indices(image)
    if image.mode in ("L", "LA"):
        gray = np.array(image.getchannel("L"))
        ramp = np.minimum(np.arange(256) * step, 255).astype(np.uint8)
        colors = np.repeat(ramp[:, None], 3, axis=1)
        return Picture(gray // np.uint8(step), colors, _transparent(image), True, False)
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    packed = image.tobytes("raw", "RGBX" if image.mode == "RGB" else "RGBA")
    values = np.frombuffer(packed, "<u4").reshape(image.height, image.width)
    return Picture(values, None, _transparent(image), False, False)


def _unpack_indices(image: Image.Image) -> Picture:
    indices = np.array(image)
    entries = np.frombuffer(bytes(image.getpalette("RGB") or []), np.uint8).reshape(-1, 3)
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(entries)] = entries
    alpha = np.full(256, 255, np.uint8)
    transparency = image.info.get("transparency")
    if isinstance(transparency, bytes):
        alpha[: len(transparency)] = np.frombuffer(transparency, np.uint8)[:256]
    elif isinstance(transparency, int):
        alpha[transparency] = 0
    hidden = alpha < _OPAQUE_FROM
    transparent = hidden[indices] if hidden.any() else None
    is_gray = bool((colors == np.arange(256)[:, None])[: int(indices.max()) + 1].all())
    return Picture(indices, colors, transparent, is_gray, False)


def _transparent(image: Image.Image) -> npt.NDArray[np.bool_] | None:
    if not image.mode.endswith("A"):
        return None
    transparent: npt.NDArray[np.bool_] = np.array(image.getchannel("A")) < _OPAQUE_FROM
    return transparent if transparent.any() else None


def _upright(pixels: _Array, orientation: object) -> _Array:
    """The pixels (H, W) turned and mirrored as EXIF orientation 2..8 asks; any other value means upright."""
    turned: Any = {
        2: lambda: pixels[:, ::-1],
        3: lambda: pixels[::-1, ::-1],
        4: lambda: pixels[::-1],
        5: lambda: pixels.T,
        6: lambda: pixels[::-1].T,
        7: lambda: pixels[::-1, ::-1].T,
        8: lambda: pixels.T[::-1],
    }.get(orientation if isinstance(orientation, int) else 1, lambda: pixels)()
    return cast(_Array, np.ascontiguousarray(turned))
