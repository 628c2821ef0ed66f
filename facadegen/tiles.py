"""Cutting a huge picture into overlapping tiles that equal the whole."""

import itertools
import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Span:
    """Along one axis, px: what a tile sees, and the part in the middle of it that is kept."""

    seen_start: int
    seen_stop: int
    kept_start: int
    kept_stop: int

    @property
    def seen_px(self) -> int:
        return self.seen_stop - self.seen_start


Tile: TypeAlias = tuple[Span, Span]  # rows, columns


def pad_to_stride(classes: npt.NDArray[np.uint8], stride: int) -> npt.NDArray[np.uint8]:
    """(N, H, W) grown at the bottom and right to multiples of the stride, repeating the last row and column.

    Not on all sides: a pixel's position picks its texture noise, and must not depend on the padding.
    """
    _, height, width = classes.shape
    if height % stride == width % stride == 0:
        return classes
    return np.pad(classes, ((0, 0), (0, -height % stride), (0, -width % stride)), mode="edge")


def plan_tiles(height: int, width: int, stride: int, context: int, budget_px: int) -> list[Tile]:
    """The tiles of a picture, one if it fits the budget, else those with the least work in all.

    height, width: px, multiples of stride. context: px, what a tile must see around what it keeps.
    Tiles start at multiples of the stride. A budget too small for the context is raised.
    """
    if height * width <= budget_px:
        return list(itertools.product(_spans(height, 1, stride, 0), _spans(width, 1, stride, 0)))
    margin = context + -context % stride
    budget_px = max(budget_px, (3 * margin + stride) ** 2)
    best: tuple[float, list[Tile]] = (math.inf, [])
    for row_parts in range(1, height // stride + 1):
        rows = _spans(height, row_parts, stride, margin)
        rows_px = sum(span.seen_px for span in rows)
        if rows_px * width >= best[0]:  # more rows only see more; without this, a tall strip takes minutes
            break
        columns = _fewest_spans(width, budget_px // _most_seen(rows), stride, margin)
        work_px = rows_px * sum(span.seen_px for span in columns)
        if columns and work_px < best[0]:
            best = work_px, list(itertools.product(rows, columns))
    return best[1]


def _fewest_spans(length: int, seen_px: int, stride: int, margin: int) -> list[Span]:
    """As few spans as see no more than so many px each; none if the margins alone are as much."""
    inner_px = (seen_px - 2 * margin) // stride * stride  # one of two spans has one margin, of more both
    for parts in (1, 2, -(-length // inner_px) if inner_px > 0 else 2):
        spans = _spans(length, parts, stride, margin)
        if _most_seen(spans) <= seen_px:
            return spans
    return []


def _most_seen(spans: list[Span]) -> int:
    return max(span.seen_px for span in spans)


def _spans(length: int, parts: int, stride: int, margin: int) -> list[Span]:
    steps = length // stride
    cuts = [steps * part // parts * stride for part in range(parts + 1)]
    return [
        Span(max(0, start - margin), min(length, stop + margin), start, stop)
        for start, stop in itertools.pairwise(cuts)
    ]
