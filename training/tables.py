"""Scores as tables for people and as JSON for programs."""

from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from training.metrics import Estimate
from training.obedience import MOST_LEVELS, ClassObedience, StyleReport
from training.scores import Row

_PIPE_WIDTH = 180  # characters; a file or a pipe has no width of its own


@dataclass(frozen=True)
class Column:
    """How the table shows a score: heading, factor, digits, and whether with its interval."""

    heading: str
    factor: float = 1
    digits: int = 2
    interval: bool = False


COLUMNS = {
    "kid": Column("KID\nx 1000 ↓", 1000, 1, interval=True),
    "kid_large": Column("KID x 1000\nclose-ups ↓", 1000, 1, interval=True),
    "density": Column("density\n↑"),
    "coverage": Column("coverage\n↑"),
    "label_fidelity": Column("label\nmIoU ↑", 1, 3, interval=True),
    "photo_levels": Column("to photo\nlevels ↓", 1, 1),
    "photo_looks": Column("to photo\nlooks ↓", 1, 3),
    "color_error": Column("color off\nlevels ↓", 1, 1),
    "diversity": Column("variants\nlooks ↑", 1, 3),
    "nearest_train": Column("nearest\ntrain", 1, 3),
    "too_near": Column("too\nnear %", 100, 0),
}


def row_to_json(row: Row) -> dict[str, Any]:
    """A row and all its scores: a number, or value, low and high; None where there is no such score."""
    found = {name: row.scores.get(name) for name in COLUMNS}
    return {
        "name": row.name,
        "scores": {k: asdict(v) if isinstance(v, Estimate) else v for k, v in found.items()},
    }


def card_scores(row: Row) -> dict[str, float]:
    """The scores of a row that there are, as bare numbers: for a card that people read."""
    return {name: round(_value(row.scores[name]), 4) for name in COLUMNS if name in row.scores}


def show(rows: list[Row], styles: StyleReport | None) -> None:
    """Print the tables on stdout."""
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    table = Table(box=box.SIMPLE)
    table.add_column("pictures", no_wrap=True)
    columns = {k: column for k, column in COLUMNS.items() if any(k in row.scores for row in rows)}
    for column in columns.values():
        table.add_column(column.heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, *(_cell(row.scores.get(name), column) for name, column in columns.items()))
    console.print(table)
    if styles is not None:
        console.print(_style_table(styles))
        console.print(_paint_table(styles))
        for line in styles.missed():
            console.print(f"missed: {line}", highlight=False)


def _cell(score: Estimate | float | None, column: Column) -> str:
    if score is None:
        return ""
    shown = f"{_value(score) * column.factor:.{column.digits}f}"
    if column.interval and isinstance(score, Estimate):
        low, high = (f"{end * column.factor:.{column.digits}f}" for end in (score.low, score.high))
        shown += f"\n{low} to {high}"
    return shown


def _value(score: Estimate | float) -> float:
    return score.value if isinstance(score, Estimate) else score


def _off(found: ClassObedience) -> tuple[str, str]:
    return f"{found.mean_levels:.1f}", f"{found.within:.0%}"


def _style_table(styles: StyleReport) -> Table:
    title = f"{len(styles.styles)} styles on {len(styles.maps)} label maps"
    worst, lost = max(styles.fidelity_lost.items(), key=lambda item: item[1])
    caption = (
        f"recognised from photos: {styles.recognised:.0%} of pictures, {styles.recognised_estimates:.0%} "
        f"of estimates; mIoU {styles.default_fidelity:.3f}, that of the worst style, {worst}, {lost:.3f} less"
    )
    table = Table(title=title, caption=caption, box=box.SIMPLE)
    for heading in ("class", "pictures", "color off, levels ↓", f"within {MOST_LEVELS:.0f} ↑"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    bare = f"{styles.walls}, bare"  # without what the weights take for something else
    for name, found in (styles.classes | {bare: styles.bare}).items():
        table.add_row(name, str(found.n_pictures), *_off(found))
    return table


def _paint_table(styles: StyleReport) -> Table:
    table = Table(title=f"{styles.walls} alone in another color", box=box.SIMPLE)
    within = f"within {MOST_LEVELS:.0f} ↑"
    for heading in ("color", "color off, levels ↓", within, "bare, levels ↓", f"bare, {within}", "texture"):
        table.add_column(heading, justify="left" if heading == "color" else "right")
    for name, found in styles.paints.items():
        table.add_row(name, *_off(found), *_off(found.bare), f"{found.texture:.0%}")
    return table
