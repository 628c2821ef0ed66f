"""What a section of the benchmark hands over: rows of figures, some held against a bar."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A measured value; unit: as printed behind it. label: what tells it from others in its row."""

    value: float
    unit: str
    label: str = ""

    def __str__(self) -> str:
        return f"{self.label} {_rounded(self.value)} {self.unit}".strip()


@dataclass(frozen=True)
class Row:
    """A line of the table. bar: what is asked for, "" for nothing. met: whether it is, None if not asked."""

    name: str
    figures: tuple[Figure, ...]
    bar: str = ""
    met: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """The row as plain lists and dicts."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """How much to measure, and where.

    weights: the generator's. folder: an empty one, for maps and facades. maps: label maps in the end-to-end
    runs. many_maps: in the longest run. rounds: of which medians are taken.
    """

    weights: Path
    folder: Path
    maps: int = 1000
    many_maps: int = 10_000
    rounds: int = 3


def at_least(name: str, figures: tuple[Figure, ...], least: float) -> Row:
    """A row whose first figure should be no lower."""
    return Row(name, figures, f"≥ {_rounded(least)} {figures[0].unit}", figures[0].value >= least)


def at_most(name: str, figures: tuple[Figure, ...], most: float) -> Row:
    """A row whose first figure should be no higher."""
    return Row(name, figures, f"≤ {_rounded(most)} {figures[0].unit}", figures[0].value <= most)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
