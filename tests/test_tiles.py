import numpy as np
import pytest

from facadegen.tiles import Tile, pad_to_stride, plan_tiles


def seen_px(tile: Tile) -> int:
    return tile[0].seen_px * tile[1].seen_px


def test_padding_repeats_the_last_row_and_column() -> None:
    classes = np.array([[[1, 2], [3, 4]]], np.uint8)
    assert pad_to_stride(classes, 3).tolist() == [[[1, 2, 2], [3, 4, 4], [3, 4, 4]]]
    assert pad_to_stride(classes, 2).tolist() == classes.tolist()


def test_a_strip_of_a_million_rows_is_planned_at_once() -> None:
    """Each number of rows used to be tried, with a list of them all: half an hour of it."""
    tiles = plan_tiles(1_000_000, 64, stride=32, context=256, budget_px=2**22)
    assert sum(rows.kept_stop - rows.kept_start for rows, _ in tiles) == 1_000_000 and len(tiles) < 40


def test_a_picture_within_the_budget_is_one_tile() -> None:
    ((rows, columns),) = plan_tiles(64, 96, stride=32, context=100, budget_px=64 * 96)
    assert (rows.seen_start, rows.seen_stop, rows.kept_start, rows.kept_stop) == (0, 64, 0, 64)
    assert (columns.seen_start, columns.seen_stop) == (0, 96)


@pytest.mark.parametrize(
    ("height", "width"), [(4096, 4096), (128, 9600), (9600, 128), (2432, 2400), (3200, 1600)]
)
@pytest.mark.parametrize("context", [0, 17, 320])
def test_tiles_keep_each_pixel_once_and_see_its_surroundings(height: int, width: int, context: int) -> None:
    stride, budget_px = 32, 1024 * 1024
    kept = np.zeros((height, width), np.uint8)
    for tile in plan_tiles(height, width, stride, context, budget_px):
        rows, columns = tile
        kept[rows.kept_start : rows.kept_stop, columns.kept_start : columns.kept_stop] += 1
        assert seen_px(tile) <= budget_px
        for span, length in ((rows, height), (columns, width)):
            assert span.seen_start % stride == span.seen_stop % stride == 0
            assert 0 <= span.seen_start <= max(0, span.kept_start - context)
            assert length >= span.seen_stop >= min(length, span.kept_stop + context)
    assert (kept == 1).all()


def test_a_strip_is_cut_across_only() -> None:
    tiles = plan_tiles(20_000, 256, stride=32, context=320, budget_px=1024 * 1024)
    assert {columns.kept_start for _, columns in tiles} == {0}


def test_tiles_of_a_large_picture_do_little_twice() -> None:
    tiles = plan_tiles(4096, 4096, stride=32, context=320, budget_px=2400 * 2400)
    assert sum(map(seen_px, tiles)) < 1.35 * 4096 * 4096


def test_a_budget_too_small_for_the_context_is_raised() -> None:
    tiles = plan_tiles(1024, 1024, stride=32, context=100, budget_px=1)
    assert max(map(seen_px, tiles)) <= (3 * 128 + 32) ** 2
