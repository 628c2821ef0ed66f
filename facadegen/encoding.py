"""A facade as the bytes of a picture file that says how it was made, and reading that back.

The provenance is one line of ASCII: a PNG keeps it in a text chunk before its pixels, JPEG and WebP in
their EXIF (ImageDescription). It holds no date and no file name: the same facade is the same bytes.
"""

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from facadegen.errors import LabelMapError, UsageError
from facadegen.formats import check_format
from facadegen.picture import open_regular, reader_for
from facadegen.png import png_bytes

DEFAULT_QUALITY = 90

_SOFTWARE = "facadegen"
_PILLOW_NAMES = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
_MAX_BYTES = 2**29  # more than any facade beside its label map has
_HEAD_BYTES = 4096  # PNG and JPEG say early in the file who made it
_BLOCK_BYTES = 2**20
_PNG_END = bytes.fromhex("0000000049454e44ae426082")
_JPEG_END = b"\xff\xd9"
_WEBP_OUT_OF_MEMORY = ("encoding error 1", "encoding error 2")


@dataclass(frozen=True)
class Encoding:
    """How pictures are stored: "png", "jpg" or "webp", and for the latter two the quality, 1..100.

    Raises:
        UsageError: another format or quality, or a quality for PNG, which has none.
    """

    format: str = "png"
    quality: int | None = None

    def __post_init__(self) -> None:
        check_format(self.format)
        if self.quality is None:
            return
        if self.format == "png":
            raise UsageError("--quality is for jpg and webp; png keeps every pixel as it is")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality}: choose a number from 1 to 100")


def encode(picture: npt.NDArray[np.uint8], encoding: Encoding, provenance: str) -> bytes:
    """The bytes of a picture file; picture: (H, W, 3), 0..255.

    Raises:
        LabelMapError: the format cannot hold a picture of this size.
        MemoryError: there is too little to encode it.
    """
    if encoding.format == "png":
        return png_bytes(picture, {"Software": _SOFTWARE, _SOFTWARE: provenance})
    buffer = io.BytesIO()
    try:
        Image.fromarray(picture).save(
            buffer, _PILLOW_NAMES[encoding.format], **_save_options(encoding, provenance)
        )
    except (OSError, ValueError) as error:  # a WebP ends at 16383 px, a JPEG at 65500
        if str(error) in _WEBP_OUT_OF_MEMORY:
            raise MemoryError from error
        height, width = picture.shape[:2]
        raise LabelMapError(f"makes {width} x {height} px, more than {encoding.format} holds") from error
    return buffer.getvalue()


def provenance_line(made_from: dict[str, Any]) -> str:
    """One line of ASCII, equal exactly where what it was made from is: everything that decides the pixels."""
    return json.dumps({"made_by": _SOFTWARE, **made_from}, sort_keys=True, separators=(",", ":"))


def read_provenance(path: Path) -> str | None:
    """The line in a picture of facadegen's, "" in any other file, None in an empty one or a part of ours.

    Raises:
        OSError: there is no such file, or it may not be read.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > _MAX_BYTES:  # Pillow would read it whole, were it to say so
            return ""
        return _provenance_in(file)


def refuse_facade(source: bytes | Image.Image) -> None:
    """Raises LabelMapError for a picture of facadegen's, all bytes of its file or opened by Pillow.

    Its own side-by-side pictures would do as pairs, and two watches could feed each other without end.
    """
    if isinstance(source, bytes):
        made_here = _SOFTWARE.encode() in source and bool(_provenance_in(io.BytesIO(source)))
    else:
        made_here = source.format in _PILLOW_NAMES.values() and bool(_found_in(source))
    if made_here:
        raise LabelMapError("is a picture that facadegen made, no label map")


def _provenance_in(file: BinaryIO) -> str | None:
    head = file.read(_HEAD_BYTES)
    if not head.strip(b"\0"):
        # All of it: what a power cut may leave of a file. Else somebody's, of which but a part is there yet.
        rest = iter(lambda: file.read(_BLOCK_BYTES), b"")
        return "" if any(block.strip(b"\0") for block in rest) else None
    reader = reader_for(head)
    if reader is None or reader.format not in _PILLOW_NAMES.values():
        return ""
    unknown = None if _SOFTWARE.encode() in head else ""
    file.seek(0)
    try:
        with reader(file) as image:
            found = _found_in(image)
    except Exception:  # whatever it is that Pillow cannot read, it is somebody's
        return unknown
    return found if found == "" or _is_whole(file) else None


def _save_options(encoding: Encoding, provenance: str) -> dict[str, Any]:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = _SOFTWARE
    exif[ExifTags.Base.ImageDescription] = provenance
    quality = encoding.quality or DEFAULT_QUALITY
    if encoding.format == "jpg":
        # Halved color resolution frays the edges of small bright things such as shutters.
        return {"exif": exif, "quality": quality, "subsampling": 0 if quality >= 90 else 2}
    # Method 2 of 0..6: half the time of the usual 4 at the same size.
    return {"exif": exif.tobytes(), "quality": quality, "method": 2}


def _found_in(image: Image.Image) -> str:
    if image.format == "PNG":
        return str(image.info.get(_SOFTWARE, ""))
    exif = image.getexif()
    made_here = exif.get(ExifTags.Base.Software) == _SOFTWARE
    return str(exif.get(ExifTags.Base.ImageDescription, "")) if made_here else ""


def _is_whole(file: BinaryIO) -> bool:
    """Whether the file ends as its format must; a run that was killed by a power cut may leave less."""
    file.seek(0)
    head = file.read(12)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(_PNG_END)))
    tail = file.read()
    if head.startswith(b"RIFF"):
        return int.from_bytes(head[4:8], "little") + 8 == size
    return tail == _PNG_END or tail.endswith(_JPEG_END)
