"""Kinds of picture files, by the endings of names: what label maps come as, and facades are stored as."""

from typing import Literal, get_args

from facadegen.errors import UsageError

Format = Literal["png", "jpg", "webp"]
"""What a facade is stored as."""

FACADE_SUFFIXES: dict[str, Format] = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}
LABEL_MAP_SUFFIXES = frozenset(FACADE_SUFFIXES) | {".bmp", ".tif", ".tiff", ".gif"}
# Of what is taken for a picture, and so can be no folder for facades.
NO_FOLDER_SUFFIXES = LABEL_MAP_SUFFIXES | {".avif", ".heic", ".heif", ".jp2", ".jxl", ".svg", ".tga"}


def check_format(name: str) -> None:
    """Raises UsageError for what no facade is stored as."""
    if name not in get_args(Format):
        raise UsageError(f"--format {name}: choose png, jpg or webp")
