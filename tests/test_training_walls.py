"""Walls: foliage in blank ones is to be left out, in the color of the wall, and nothing else changes."""

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.recipes import colored_classes
from training.samples import Samples
from training.walls import Plain, Walls, plain_walls

COLORED = colored_classes(FACADES)[:, 0]
WALL, WINDOW = FACADES.index_of("facade"), FACADES.index_of("window")
SIDE_PX = 128
COLOR = torch.tensor([0.2, 0.0, -0.2])
WINDOWS, BLANK = slice(16, 40), slice(72, 128)  # rows


def foliage(height: int, width: int) -> Tensor:
    """Dark and light patches (H, W) of 16 px, hatched."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    patches = ((rows // 16 + columns // 16) % 2) * 1.2 - 0.6
    return patches + 0.4 * ((rows + columns) % 4 - 1.5)


def classes() -> Tensor:
    """(H, W): three windows high in a wall, which is blank below, between strips of surroundings."""
    found = torch.full((SIDE_PX, SIDE_PX), WALL, dtype=torch.uint8)
    found[:, :4] = found[:, -4:] = 0
    for left in (20, 56, 92):
        found[WINDOWS, left : left + 20] = WINDOW
    return found


class Painter(nn.Module):
    """Paints walls in their color, with foliage where the map is told to have it, and windows grey.

    Foliage grows where there is nothing but wall in rows below `from_row`, if the map has any window.
    """

    def __init__(self, from_row: int = SIDE_PX, window: float = -0.5, bricks: float = 0.0) -> None:
        super().__init__()
        self.from_row, self.window, self.bricks = from_row, window, bricks

    def forward(self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor) -> Tensor:
        height, width = classes.shape[1:]
        wall = COLOR.view(1, 3, 1, 1).repeat(1, 1, height, width)
        wall += self.bricks * (torch.arange(height) // 2 % 2 - 0.5)[:, None]
        if (classes == WINDOW).any():
            start = self.from_row * height // SIDE_PX
            wall[:, :, start:] = foliage(height, width)[start:]
        painted = torch.where(classes[:, None] == WINDOW, self.window, wall)
        return torch.where(classes[:, None] == 0, 0.9, painted).clamp(-1, 1)


def plain(painter: nn.Module, found: Tensor) -> tuple[Tensor, Plain]:
    """What it paints, and that without blots."""
    rest = (torch.zeros(1, len(COLORED), 3), torch.tensor(0), torch.tensor(0))
    picture, nothing_else = painter(found[None], *rest), painter(torch.full_like(found[None], WALL), *rest)
    is_wall, is_drawn = ((x[None, None]).float() for x in (found == WALL, found == WINDOW))
    return picture, plain_walls(picture, nothing_else, is_wall, is_drawn, SIDE_PX)


def test_foliage_in_a_blank_wall_becomes_wall() -> None:
    _, found = plain(Painter(from_row=BLANK.start), classes())
    inside = found.picture[:, :, BLANK.start + 4 :, 8:-8]
    torch.testing.assert_close(inside, COLOR.view(1, 3, 1, 1).expand_as(inside), atol=0.05, rtol=0)
    assert found.blots[0, 0, BLANK, 8:-8].mean() > 0.95


def test_all_else_stays_as_it_is() -> None:
    was, found = plain(Painter(from_row=BLANK.start), classes())
    assert torch.equal(found.picture[:, :, : BLANK.start - 32], was[:, :, : BLANK.start - 32])
    is_open = (classes() == 0).expand_as(was[0])
    assert torch.equal(found.picture[0][is_open], was[0][is_open])


@pytest.mark.parametrize("bricks", [0.0, 0.25])
def test_plaster_and_bricks_are_no_blots(bricks: float) -> None:
    was, found = plain(Painter(bricks=bricks), classes())
    assert not found.blots.any() and torch.equal(found.picture, was)


def test_what_lies_above_all_that_is_drawn_is_a_roof() -> None:
    low = classes().flip(0)
    was, found = plain(Painter(from_row=0), low)
    assert torch.equal(found.picture[:, :, : BLANK.stop - BLANK.start], was[:, :, : BLANK.stop - BLANK.start])


def test_foliage_before_what_is_drawn_is_not_held_against_a_pupil() -> None:
    near = classes()
    near[BLANK.start + 20 : BLANK.start + 30, 40:60] = WINDOW
    _, found = plain(Painter(from_row=BLANK.start), near)
    window = found.beside[0, 0, BLANK.start + 20 : BLANK.start + 30, 40:60]
    assert window[:2].max() == 1 and found.beside[0, 0, WINDOWS].max() == 0


def test_pictures_of_twice_the_size_have_the_same_blots() -> None:
    def twice(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -2).repeat_interleave(2, -1)

    class Enlarged(Painter):
        def forward(self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor) -> Tensor:
            return twice(super().forward(classes[:, ::2, ::2], colors, top, left))

    _, small = plain(Painter(from_row=BLANK.start), classes())
    _, large = plain(Enlarged(from_row=BLANK.start), twice(classes()))
    assert large.blots.mean() > 0.2
    assert (large.blots - twice(small.blots)).abs().mean() < 0.02


def walls(seed: int = 0) -> Walls:
    sets = torch.linspace(0, 1, 2 * len(COLORED) * 3).view(2, len(COLORED), 3)
    samples = Samples([classes()], sets, SIDE_PX)
    return Walls(replace(samples, seed=seed), samples, WALL, COLORED)


def test_a_generator_without_foliage_has_learnt_it() -> None:
    overgrown, bare = Painter(from_row=BLANK.start), Painter()
    other_windows = Painter(window=0.5)
    numbers = range(4)
    losses = [
        [float(walls().loss(pupil, overgrown, n)) for n in numbers]
        for pupil in (overgrown, bare, other_windows)
    ]
    for unlearnt, learnt, changed in zip(*losses, strict=True):
        assert unlearnt > 4 * learnt
        assert changed > learnt


def test_maps_are_blanked_in_the_building_alone_half_of_the_time() -> None:
    found = walls()
    drawn = [(found.samples.draw(n).classes, found.draw(n).classes) for n in range(60)]
    blanked = [(was, now) for was, now in drawn if not torch.equal(was, now)]
    assert 10 < len(blanked) < 50
    for was, now in blanked:
        assert torch.equal(was == 0, now == 0)
        changed = was != now
        assert (was[changed] == WINDOW).all() and (now[changed] == WALL).all()
    again = walls().draw(7).classes
    assert torch.equal(found.draw(7).classes, again)


def test_blots_are_told_before_and_after() -> None:
    told = walls().outcome(Painter(from_row=BLANK.start), Painter(), lambda done, total: None)
    number = r"(\d+\.\d)%"
    found = re.fullmatch(
        f"blots in walls: {number} before, 0.0% now; where parts are blanked: {number} before, 0.0% now", told
    )
    assert found and float(found[1]) > 30 and float(found[2]) > 30
