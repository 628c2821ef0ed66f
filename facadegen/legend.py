"""What a weights file is, and its color legend, as text on stdout."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facadegen.errors import OutputError, WeightsError, printable
from facadegen.palettes import Color, gimp_palette
from facadegen.weights import FORMAT_VERSION, checksum, read_card, shipped_weights


def show_info(weights: Path | None) -> int:
    """Prints the card of a weights file; torch is not needed for that.

    Raises:
        WeightsError: the file is missing, damaged, foreign, or of a newer format.
    """
    path = weights or shipped_weights()
    card = read_card(path)
    try:
        size, digest = path.stat().st_size, checksum(path)
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror}", path) from error
    classes = card.label_set.classes
    facts: dict[str, Any] = {
        "file": path,
        "size": f"{size / 1e6:.1f} MB",
        "sha-256": digest,
        "format": FORMAT_VERSION,
        "classes": f"{len(classes)}: {', '.join(classes)}",
        "palettes": ", ".join(palette.name for palette in card.label_set.palettes),
        "native size": f"{card.native_size_px} px, in steps of {card.stride} px",
        "colors": "can be chosen" if card.style == "colors" else "cannot be chosen",
        "training": card.training,
        "scores": card.scores or "not measured",
    }
    for line in _rows(facts):
        print(printable(line))  # a stranger's card may hold anything
    return 0


def show_palette(weights: Path | None, gimp: Path | None, name: str | None) -> int:
    """Prints the colors of all classes in all palettes, or writes one palette to a .gpl file.

    Raises:
        WeightsError: the weights file cannot be read. UsageError: no such palette.
        OutputError: the .gpl file cannot be written, or would replace a file that is no palette.
    """
    label_set = read_card(weights or shipped_weights()).label_set
    palettes = label_set.palettes if name is None else (label_set.palette(name),)
    if gimp is not None:
        _save_palette(gimp, gimp_palette(label_set, palettes[0]))
        return 0
    painted = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = max(len(class_name) for class_name in label_set.classes)
    print(
        f"id  {'class':{width}}" + "".join(f"  {palette.name:{10 if painted else 7}}" for palette in palettes)
    )
    for class_id, class_name in enumerate(label_set.classes):
        colors = "".join(f"  {_swatch(palette.colors[class_id], painted)}" for palette in palettes)
        print(f"{class_id:2}  {class_name:{width}}{colors}")
    return 0


def _save_palette(path: Path, text: str) -> None:
    from facadegen import output  # imports numpy and PIL, which printing need not wait for

    try:
        if not path.parent.is_dir():
            raise OutputError("cannot be written (no such folder)", path)
        if os.path.lexists(path) and not _is_palette(path):
            raise OutputError("exists and is no GIMP palette; choose another name", path)
    except OSError as error:
        raise OutputError(f"cannot be looked at ({error.strerror})", path) from error
    output.prepare(path.parent)
    output.write(path, text.encode(), path.parent)


def _is_palette(path: Path) -> bool:
    if not path.is_file():  # opening a pipe would wait for its other end
        return False
    with path.open("rb") as file:
        head = file.read(12)
    return head in (b"GIMP Palette", b"")  # an empty file is nobody's loss, and what mktemp makes


def _swatch(color: Color, painted: bool) -> str:
    red, green, blue = color
    text = f"#{red:02x}{green:02x}{blue:02x}"
    return f"\x1b[48;2;{red};{green};{blue}m  \x1b[0m {text}" if painted else text


def _rows(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    width = max((len(key) for key in facts), default=0)
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}"
            yield from _rows(value, indent + "  ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{indent}{key:{width}}  {text}"
