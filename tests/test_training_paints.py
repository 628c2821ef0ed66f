"""Paints: each class is to be in the mean color asked for, with its texture, the sky among roofs left out."""

import re

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.colored_maps import ColoredMaps
from training.losses import mean_class_colors
from training.paints import LEAST_AREA_PX, MOST_SHIFT, Paints
from training.recipes import colored_classes

COLORED = colored_classes(FACADES)[:, 0]
BACKGROUND, WALL, WINDOW, DOOR = (
    FACADES.index_of(name) for name in ("background", "facade", "window", "door")
)
SIDE_PX = 128
OFF = 0.1


def class_map() -> Tensor:
    """A wall (H, W) below surroundings, with a window, and a door that is too small to tell its color."""
    classes = torch.full((SIDE_PX, SIDE_PX), WALL, dtype=torch.uint8)
    classes[:32] = BACKGROUND
    classes[48:80, 16:48] = WINDOW
    classes[100 : 100 + LEAST_AREA_PX // 8, 100:107] = DOOR
    return classes


class Painter(nn.Module):
    """Paints classes in their colors, striped, so much lighter than they should be; sky in walls if told."""

    def __init__(self, off: float = 0.0, sky_px: int = 0) -> None:
        super().__init__()
        self.off, self.sky_px = off, sky_px

    def forward(self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor) -> Tensor:
        painted = 2 * colors[0][classes.long()].permute(0, 3, 1, 2) - 1 + self.off
        painted = painted + torch.tensor([0.05, -0.05]).repeat(classes.shape[2] // 2)
        sky = torch.tensor([-0.4, 0.0, 0.6]).view(3, 1, 1)
        painted[0] = torch.where(classes == BACKGROUND, sky, painted[0])
        painted[0, :, 32 : 32 + self.sky_px] = sky
        return painted


def paints(low: float = 0.4, high: float = 0.5) -> Paints:
    sets = torch.linspace(low, high, 3).expand(1, len(COLORED), 3)
    maps = ColoredMaps([class_map()], sets, SIDE_PX)
    return Paints(maps, maps, COLORED, WALL)


def test_classes_are_shifted_to_their_colors_and_keep_their_texture() -> None:
    subject = paints()
    (drawn,) = subject.maps.fixed(1)
    before = Painter(OFF)(*drawn)
    wanted, weight = subject.retouched(Painter(OFF), drawn)
    means, _ = mean_class_colors(wanted, drawn.classes, len(COLORED))
    for each in (WALL, WINDOW):
        torch.testing.assert_close(means[0, each], 2 * drawn.colors[0, each] - 1, atol=1e-4, rtol=0)
        there = (drawn.classes == each).expand(3, -1, -1)
        assert float(wanted[0][there].std()) == pytest.approx(float(before[0][there].std()), rel=1e-4)
    for each in (BACKGROUND, DOOR):
        there = (drawn.classes == each).expand(3, -1, -1)
        assert torch.equal(wanted[0][there], before[0][there])
    assert (weight == 1).all()


def test_what_is_far_off_is_not_shifted_all_the_way() -> None:
    subject = paints()
    (drawn,) = subject.maps.fixed(1)
    before = Painter(2 * MOST_SHIFT)(*drawn)
    shifted = subject.retouched(Painter(2 * MOST_SHIFT), drawn).picture - before
    assert float(shifted.min()) == pytest.approx(-MOST_SHIFT)


def test_what_is_to_be_learnt_is_a_picture() -> None:
    subject = paints(low=0.99, high=1.0)
    (drawn,) = subject.maps.fixed(1)
    wanted = subject.retouched(Painter(-OFF), drawn).picture
    assert float(wanted.max()) == 1


def test_sky_among_roofs_neither_shifts_walls_nor_is_shifted() -> None:
    subject = paints()
    (drawn,) = subject.maps.fixed(1)
    sky_px = 12
    generator = Painter(OFF, sky_px)
    before, wanted = generator(*drawn), subject.retouched(generator, drawn).picture
    sky = (slice(None), slice(None), slice(32, 32 + sky_px - 4))
    assert torch.equal(wanted[sky], before[sky])
    walls = wanted[0, :, 60:96, 60:96].mean((1, 2))
    torch.testing.assert_close(walls, 2 * drawn.colors[0, WALL] - 1, atol=0.01, rtol=0)


def test_colors_of_no_color_set_are_drawn_and_follow_from_the_number() -> None:
    subject = paints()
    drawn = [subject.draw(number) for number in range(40)]
    strange = [not torch.equal(each.colors[0], subject.maps.color_sets[0]) for each in drawn]
    assert 15 < sum(strange) < 35
    torch.manual_seed(1)
    for number, each in enumerate(drawn):
        assert all(torch.equal(x, y) for x, y in zip(each, subject.draw(number), strict=True))


def test_a_generator_that_obeys_has_learnt_it() -> None:
    for number in range(4):
        losses = [float(paints().loss(Painter(off), Painter(OFF), number)) for off in (OFF, 0.0)]
        assert losses[0] > 10 * losses[1]


def test_how_far_colors_are_off_is_told_before_and_after() -> None:
    told = paints().outcome(Painter(OFF), Painter(), lambda done, total: None)
    found = re.fullmatch(r"classes, in levels of 255 off the colors asked for: (.+) before, 0\.0 now", told)
    assert found and float(found[1]) == pytest.approx(127.5 * OFF, abs=0.1)
