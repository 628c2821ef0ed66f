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
_BAND_BYTES = 2**15  # filtered at a time, so that it stays in the nearest cache


def png_bytes(picture: Pixels, texts: Mapping[str, str]) -> bytes:
    """A PNG file of a picture, uint8 (H, W, 3), with lines of Latin-1 text by keyword before its pixels.

    Measured on 256 x 256 facades: 0.7 ms and 129 KiB; zlib's run-length coding in place of isal takes 1.8 ms
    and 127 KiB, Pillow, whose filters differ by row, 4.4 ms with run-length coding and 8 ms as it comes for
    126 KiB.
    """
    height, width, _ = picture.shape
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0))]
    for keyword, text in texts.items():
        chunks.append(_chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1")))
    # Grainy photos hold few repeats: the quickest search for them finds nearly as many as a long one.
    deflate = isal_zlib.compressobj(level=1)
    packed = b"".join([deflate.compress(band.data) for band in _filtered_bands(picture)])
    chunks += [_chunk(b"IDAT", packed + deflate.flush()), _chunk(b"IEND", b"")]
    return _SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return (
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", isal_zlib.crc32(data, isal_zlib.crc32(kind)))
    )


def _filtered_bands(picture: Pixels) -> Iterator[Pixels]:
    """The rows as they are stored, uint8 (some rows, 1 + 3 * W), some at a time."""
    height, width, channels = picture.shape
    rows = picture.reshape(height, width * channels)
    step = max(1, _BAND_BYTES // max(1, width * channels))
    above = np.zeros((1, width * channels), np.uint8)
    for top in range(0, height, step):
        band = rows[top : top + step]
        up = np.concatenate([above, band[:-1]])
        left = np.zeros_like(band)
        left[:, channels:] = band[:, :-channels]
        filtered = np.empty((len(band), 1 + band.shape[1]), np.uint8)
        filtered[:, 0] = _AVERAGE
        # Half of left + up, rounded down, within eight bits.
        np.subtract(band, (left & up) + ((left ^ up) >> 1), out=filtered[:, 1:])
        yield filtered
        above = band[-1:]
