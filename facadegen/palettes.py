"""Classes, their colors, and the files people keep them in."""

import difflib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from facadegen.errors import UsageError

Color: TypeAlias = tuple[int, int, int]

MAX_CLASSES = 254  # class ids are uint8, and decoding needs one value for "not known yet"
MIN_DISTANCE = 8  # of two colors of a palette, Euclidean; `facadegen.colors` looks at 6 bits of each channel
RESERVED_NAMES = ("auto", "index")  # these choose how a label map is read, so no palette can be called so
CUSTOM_PALETTE = "custom"  # the palette of a file that gives one color per class and no palette name


@dataclass(frozen=True)
class Palette:
    """One color per class id, in order; each 0..255, no two of them close.

    Raises:
        UsageError: no name, a reserved one, or colors that cannot be told apart.
    """

    name: str
    colors: tuple[Color, ...]

    def __post_init__(self) -> None:
        _check_name("palette", self.name)
        if self.name in RESERVED_NAMES:
            raise UsageError(f"a palette cannot be called {self.name!r}; that word has a meaning of its own")
        for color in self.colors:
            if len(color) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in color):
                raise UsageError(f"palette {self.name!r}: color {color!r} is not three whole numbers 0..255")
        for one, other in itertools.combinations(self.colors, 2):
            if math.dist(one, other) < MIN_DISTANCE:
                raise UsageError(f"palette {self.name!r}: {one} and {other} are too close to tell apart")


@dataclass(frozen=True)
class LabelSet:
    """Class names by class id, and the palettes their label maps are painted in (at least one).

    Raises:
        UsageError: names or palettes that do not fit together.
    """

    classes: tuple[str, ...]
    palettes: tuple[Palette, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= MAX_CLASSES:
            raise UsageError(f"a label set has 2 to {MAX_CLASSES} classes, not {len(self.classes)}")
        if not self.palettes:
            raise UsageError("a label set needs at least one palette")
        for name in self.classes:
            _check_name("class", name)
        _check_unique("class", self.classes)
        _check_unique("palette", tuple(palette.name for palette in self.palettes))
        for palette in self.palettes:
            if len(palette.colors) != len(self.classes):
                sizes = f"{len(palette.colors)} colors for {len(self.classes)} classes"
                raise UsageError(f"palette {palette.name!r} has {sizes}")

    @property
    def background_id(self) -> int:
        """The class of what is not drawn at all: the one named "background", else class 0."""
        return self.classes.index("background") if "background" in self.classes else 0

    @property
    def unpainted(self) -> frozenset[int]:
        """Ids of classes that are several things (sky, street), so have no single color: the background."""
        return frozenset(class_id for class_id, name in enumerate(self.classes) if name == "background")

    def index_of(self, class_name: str) -> int:
        """The class id of a name, whatever its case.

        Raises:
            UsageError: no such class; suggests the closest one and names them all.
        """
        folded = [name.casefold() for name in self.classes]
        if class_name.casefold() in folded:
            return folded.index(class_name.casefold())
        close = difflib.get_close_matches(class_name.casefold(), folded, n=1)
        hint = f", did you mean {self.classes[folded.index(close[0])]!r}?" if close else ""
        raise UsageError(f"no class {class_name!r}{hint} (there is {', '.join(self.classes)})")

    @property
    def kinds(self) -> tuple[str, ...]:
        """What a label map may be said to be: "auto", "index" or the name of a palette."""
        return (*RESERVED_NAMES, *(palette.name for palette in self.palettes))

    def palette(self, name: str) -> Palette:
        """The palette of that name.

        Raises:
            UsageError: no such palette; names all of them.
        """
        for palette in self.palettes:
            if palette.name == name:
                return palette
        names = ", ".join(palette.name for palette in self.palettes)
        raise UsageError(f"no palette {name!r}; there is {names}")

    def to_json(self) -> dict[str, Any]:
        """The label set as plain lists and dicts, as the card of a weights file holds it."""
        palettes = [
            {"name": palette.name, "colors": [list(color) for color in palette.colors]}
            for palette in self.palettes
        ]
        return {"classes": list(self.classes), "palettes": palettes}

    @classmethod
    def from_json(cls, data: object) -> "LabelSet":
        """A label set from what `to_json` gives; colors may also be text that `parse_color` understands.

        Raises:
            UsageError: another shape of data, or a label set that cannot work.
        """
        fields = _mapping(data, "a label set")
        classes = _sequence(fields.get("classes"), '"classes"')
        palettes = _sequence(fields.get("palettes"), '"palettes"')
        return cls(tuple(classes), tuple(_palette_from_json(palette) for palette in palettes))


def parse_color(text: str) -> Color:
    """Red, green, blue (0..255) of a color name, #rgb, #rrggbb, rgb(...) or hsl(...).

    Raises:
        UsageError: no such color, or one with transparency.
    """
    from PIL import ImageColor  # not at the top: naming classes must not cost the import of PIL

    try:
        color = ImageColor.getrgb(text.strip())
    except ValueError:
        close = difflib.get_close_matches(text.strip().casefold(), ImageColor.colormap, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; give a name such as 'brown', or #rrggbb"
        raise UsageError(f"no color {text!r}{hint}") from None
    if len(color) != 3 or max(color) > 255:
        raise UsageError(f"color {text!r} is not opaque red, green, blue of 0..255; give #rrggbb")
    return (color[0], color[1], color[2])


def gimp_palette(label_set: LabelSet, palette: Palette) -> str:
    """The text of a .gpl palette file for GIMP, Krita and Inkscape."""
    head = ["GIMP Palette", f"Name: facadegen {palette.name}", "Columns: 1", "#"]
    rows = zip(palette.colors, label_set.classes, strict=True)
    body = [f"{red:3d} {green:3d} {blue:3d}\t{name}" for (red, green, blue), name in rows]
    return "\n".join([*head, *body]) + "\n"


def load_label_set(path: Path) -> LabelSet:
    """The label set in a JSON file: what `LabelSet.to_json` gives, or simply {"class name": "#rrggbb", ...}.

    Raises:
        UsageError: the file is missing, no JSON, or describes no label set that can work.
    """
    try:
        data = _mapping(json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_twins), "the file")
        if "classes" in data and "palettes" in data:
            return LabelSet.from_json(data)
        palette = Palette(CUSTOM_PALETTE, tuple(_color_from_json(color) for color in data.values()))
        return LabelSet(tuple(data), (palette,))
    except UsageError as error:
        raise UsageError(error.problem, path) from None
    except (OSError, ValueError, RecursionError) as error:
        problem = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"no palette file that can be read: {problem}", path) from None


def _palette_from_json(data: object) -> Palette:
    fields = _mapping(data, "a palette")
    colors = _sequence(fields.get("colors"), '"colors"')
    return Palette(fields.get("name", ""), tuple(_color_from_json(color) for color in colors))


def _color_from_json(data: object) -> Color:
    if isinstance(data, str):
        return parse_color(data)
    values = tuple(_sequence(data, "a color"))
    if len(values) != 3:
        raise UsageError(f'a color is "#rrggbb" or [red, green, blue], not {data!r}')
    return (values[0], values[1], values[2])


def _mapping(data: object, what: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise UsageError(f"{what} must be a JSON object, not {type(data).__name__}")
    return data


def _sequence(data: object, what: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise UsageError(f"{what} must be a JSON list, not {type(data).__name__}")
    return data


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json keeps the last of two equal keys and says nothing: a class would vanish and all ids shift.
    _check_unique("key", tuple(key for key, _ in pairs))
    return dict(pairs)


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise UsageError(f"a {what} name must be printable text, not {name!r}")


def _check_unique(what: str, names: tuple[str, ...]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{what} {name!r} is given twice")


# The pix2pix colors are medians over the JPEGs of its data set and lie on a 12-step "jet" color map;
# the cmp colors are those of the PNGs of the CMP Facade Database itself.
_FACADES_TABLE: tuple[tuple[str, Color, Color], ...] = (
    ("background", (0, 0, 222), (0, 0, 170)),
    ("facade", (0, 48, 255), (0, 0, 255)),
    ("window", (0, 128, 255), (0, 85, 255)),
    ("door", (0, 207, 255), (0, 170, 255)),
    ("cornice", (33, 255, 224), (0, 255, 255)),
    ("sill", (112, 254, 144), (85, 255, 170)),
    ("balcony", (192, 255, 63), (170, 255, 85)),
    ("blind", (253, 240, 6), (255, 255, 0)),
    ("deco", (255, 159, 1), (255, 170, 0)),
    ("molding", (254, 80, 0), (255, 85, 0)),
    ("pillar", (251, 1, 2), (255, 0, 0)),
    ("shop", (174, 0, 0), (170, 0, 0)),
)

FACADES = LabelSet(
    tuple(name for name, _, _ in _FACADES_TABLE),
    (
        Palette("pix2pix", tuple(color for _, color, _ in _FACADES_TABLE)),
        Palette("cmp", tuple(color for _, _, color in _FACADES_TABLE)),
    ),
)
