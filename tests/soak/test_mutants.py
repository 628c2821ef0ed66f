"""Thousands of damaged pictures: no crash, no hang, no memory eaten; each is made or fails with a reason."""

import random
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from field import Command, assert_whole, map_picture, scaled, seeded, untouched
from PIL import Image, PngImagePlugin

MUTANTS = scaled(2_000)
GOOD = scaled(100)
MEMORY_BYTES = 2 << 30  # torch and its libraries are most of it
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "gif": "GIF"}
Mutation = Callable[[random.Random, bytes], bytes]


def picture(chance: random.Random, form: str) -> bytes:
    buffer = BytesIO()
    size_px = chance.choice([16, 32, 64])
    map_picture(chance.randrange(10**6), size_px).save(buffer, FORMATS[form])
    return buffer.getvalue()


def flip_bits(chance: random.Random, data: bytes) -> bytes:
    flipped = bytearray(data)
    for _ in range(chance.choice([1, 3, 30])):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def flip_header(chance: random.Random, data: bytes) -> bytes:
    return flip_bits(chance, data[:64]) + data[64:]


def truncate(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def overwrite(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + chance.randbytes(chance.randrange(1, 200)) + data[start + 200 :]


def repeat(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start:] * chance.randrange(2, 20)


def other_header(chance: random.Random, data: bytes) -> bytes:
    heads = [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"RIFF\x10\0\0\0WEBP",
        b"BM",
        b"II*\0",
        b"GIF89a",
        b"%PDF-1.7",
        b"PK",
    ]
    head = chance.choice(heads)
    return head + data[len(head) :]


def noise(chance: random.Random, data: bytes) -> bytes:
    return chance.randbytes(len(data))


def empty(chance: random.Random, data: bytes) -> bytes:
    return b""


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of_size(width: int, height: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", rows), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def absurd_size(chance: random.Random, data: bytes) -> bytes:
    sides = [0, 1, 2**31 - 1, 2**31, 10**6, 65536]
    return png_of_size(chance.choice(sides), chance.choice(sides), zlib.compress(b"\0" * 1000))


def bomb(chance: random.Random, data: bytes) -> bytes:
    """Few bytes that are as many pixels as they say."""
    side = chance.choice([12_000, 20_000])
    return png_of_size(side, side, zlib.compress(b"\0" * 4_000_000, 9))


def text_bomb(chance: random.Random, data: bytes) -> bytes:
    texts = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 50_000_000, 9)) * 3
    return data[:33] + texts + data[33:] if data.startswith(b"\x89PNG") else texts


def deep_metadata(chance: random.Random, data: bytes) -> bytes:
    notes = PngImagePlugin.PngInfo()
    for number in range(2_000):
        notes.add_text(f"key{number}", "x" * 100)
    buffer = BytesIO()
    map_picture(chance.randrange(10**6)).save(buffer, "PNG", pnginfo=notes)
    return buffer.getvalue()


def endless_tiff(chance: random.Random, data: bytes) -> bytes:
    """Directories that name each other for ever."""
    entries = struct.pack("<HHII", 256, 4, 1, 32) + struct.pack("<HHII", 257, 4, 1, 32)
    directory = struct.pack("<H", 2) + entries + struct.pack("<I", 8)
    return b"II*\0" + struct.pack("<I", 8) + directory


def no_map(chance: random.Random, data: bytes) -> bytes:
    pixels = np.random.default_rng(chance.randrange(10**6)).integers(0, 256, (64, 64, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def thin(chance: random.Random, data: bytes) -> bytes:
    buffer = BytesIO()
    map_picture(1).resize(chance.choice([(1, 1), (1, 3000), (20_000, 1)])).save(buffer, "PNG")
    return buffer.getvalue()


COMMON: list[Mutation] = [flip_bits, flip_header, truncate, overwrite, repeat, other_header]
RARE: list[Mutation] = [
    noise, empty, absurd_size, bomb, text_bomb, deep_metadata, endless_tiff, no_map, thin
]  # fmt: skip


@pytest.mark.parametrize("mode", ["batch", "watch --once"])
def test_damaged_pictures(mode: str, tmp_path: Path, tiny_weights: Path) -> None:
    chance = seeded("mutants")
    drops, out = tmp_path / "drops", tmp_path / "out"
    drops.mkdir()
    for number in range(GOOD):
        map_picture(number).save(drops / f"good{number}.png")
    for number in range(MUTANTS):
        form = chance.choice(list(FORMATS))
        mutate = chance.choice(RARE if chance.random() < 0.1 else COMMON)
        data = mutate(chance, picture(chance, form))
        (drops / f"{number} {mutate.__name__}.{form}").write_bytes(data)
    arguments: list[str | Path] = [drops, out] if mode == "batch" else ["watch", drops, out, "--once"]
    peak_bytes = 0
    with untouched(drops), Command(tmp_path / "log", *arguments, "--weights", tiny_weights) as command:
        done = GOOD + MUTANTS

        def all_told() -> bool:
            nonlocal peak_bytes
            if command.process.poll() is None:
                peak_bytes = max(peak_bytes, command.peak_bytes())
            return command.process.poll() is not None or len(command.records) >= done

        command.wait_until(all_told)
        assert command.end() == 1
    made, failed = command.counts("made"), command.counts("failed")
    print(f"\n{len(made)} made, {len(failed)} failed, {peak_bytes >> 20} MiB")
    assert made.total() + failed.total() == done
    assert {str(drops / f"good{number}.png") for number in range(GOOD)} <= set(made)
    assert all(record["reason"] for record in command.records if record.get("status") == "failed")
    assert all(Path(source).name.split(".")[0] in command.said() for source in failed)
    assert "Traceback" not in command.said()
    assert "unexpected" not in command.said()
    assert peak_bytes < MEMORY_BYTES
    assert_whole(out)
