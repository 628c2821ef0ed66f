"""Skies: hatching in them is to be left out, by what they are once blurred, and nothing else changes."""

import re

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.colored_maps import ColoredMaps
from training.recipes import colored_classes
from training.skies import Skies, calm_skies

COLORED = colored_classes(FACADES)[:, 0]
SIDE_PX, SKY_PX = 128, 64  # of a map, and how far down its sky reaches
SKY = slice(8, SKY_PX - 12)  # rows of it well away from its edge
BLUE, WHITE, WALL = (-0.3, 0.1, 0.6), (0.95, 0.95, 0.97), (0.3, 0.2, 0.0)


def hatched() -> Tensor:
    """Marks (H, W) at a stride of 4, without a mean."""
    return torch.tensor([0.2, 0.0, -0.2, 0.0]).repeat(SIDE_PX // 4).expand(SIDE_PX, SIDE_PX)


def picture(color: tuple[float, float, float]) -> Tensor:
    """A hatched picture (1, 3, H, W) in that color above, wall below."""
    rows = torch.tensor(WALL).repeat(SIDE_PX, 1)
    rows[:SKY_PX] = torch.tensor(color)
    return (rows.T[None, :, :, None] + hatched()).clamp(-1, 1)


def open_above() -> Tensor:
    found = torch.zeros(1, 1, SIDE_PX, SIDE_PX)
    found[:, :, :SKY_PX] = 1
    return found


@pytest.mark.parametrize("color", [BLUE, WHITE])
def test_a_sky_is_calm_in_its_own_color_and_nothing_else_changes(color: tuple[float, float, float]) -> None:
    before = picture(color)
    calm, sky = calm_skies(before, open_above())
    assert sky[0, 0, SKY].all() and not sky[0, 0, SKY_PX:].any()
    assert calm[:, :, SKY].std(dim=(2, 3)).max() < 0.02 < 0.04 < before[:, :, SKY].std(dim=(2, 3)).min()
    torch.testing.assert_close(
        calm[:, :, SKY].mean((2, 3)), before[:, :, SKY].mean((2, 3)), atol=0.01, rtol=0
    )
    assert torch.equal(calm[:, :, SKY_PX:], before[:, :, SKY_PX:])


def test_a_wall_in_surroundings_is_no_sky() -> None:
    before = picture(WALL)
    calm, sky = calm_skies(before, open_above())
    assert not sky.any() and torch.equal(calm, before)


def test_a_roof_in_surroundings_stays_sharp() -> None:
    before, roof_px = picture(BLUE), SKY_PX // 2
    before[:, :, roof_px:] = picture(WALL)[:, :, :-roof_px]
    calm, sky = calm_skies(before, open_above())
    assert sky[0, 0, 8 : roof_px - 12].all()
    assert torch.equal(calm[:, :, roof_px + 4 :], before[:, :, roof_px + 4 :])


def test_blue_in_the_building_or_under_it_is_no_sky() -> None:
    before = picture(BLUE)
    assert not calm_skies(before, torch.zeros(1, 1, SIDE_PX, SIDE_PX))[1].any()
    under = torch.ones(1, 1, SIDE_PX, SIDE_PX)
    under[:, :, :4] = 0  # something of the building at the top
    assert not calm_skies(before, under)[1].any()


class Painter(nn.Module):
    """Paints surroundings in a color, hatched as told, and the building as told."""

    def __init__(self, marks: float, wall: float = 0.0, sky: tuple[float, float, float] = BLUE) -> None:
        super().__init__()
        self.marks, self.wall, self.sky = marks, wall, sky

    def forward(self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor) -> Tensor:
        marks = self.marks * hatched()[: classes.shape[1], : classes.shape[2]]
        sky = torch.tensor(self.sky).view(1, 3, 1, 1) + marks
        return torch.where(classes[:, None] == 0, sky, self.wall)


def skies() -> Skies:
    classes = torch.zeros(SIDE_PX, SIDE_PX, dtype=torch.uint8)
    classes[SKY_PX:] = FACADES.index_of("facade")
    classes[-SKY_PX // 2 :, : SIDE_PX // 4] = FACADES.index_of("shop")
    sets = torch.linspace(0, 1, 2 * len(COLORED) * 3).view(2, len(COLORED), 3)
    maps = ColoredMaps([classes], sets, SIDE_PX // 2)
    return Skies(maps, maps, COLORED)


def test_a_generator_without_hatching_has_learnt_it() -> None:
    hatching, calm, changed = Painter(1.0), Painter(0.0), Painter(0.0, wall=0.1)
    numbers = range(4)
    losses = [
        [float(skies().loss(pupil, hatching, n)) for n in numbers] for pupil in (hatching, calm, changed)
    ]
    for unlearnt, learnt, other_wall in zip(*losses, strict=True):
        assert unlearnt > 10 * learnt
        assert other_wall > learnt + 0.03


def test_skies_count_more_than_all_else() -> None:
    calm, hatching, other_wall = Painter(0.0), Painter(1.0), Painter(0.0, wall=0.1)
    assert float(skies().loss(hatching, calm, 0)) > 4 * float(skies().loss(other_wall, calm, 0)) > 0


def test_hatching_is_told_before_and_after() -> None:
    told = skies().outcome(Painter(1.0), Painter(0.0), lambda done, total: None)
    found = re.fullmatch(r"hatching in skies, in levels of 255: (.+) before, 0\.0 now", told)
    assert found and float(found[1]) == pytest.approx(127.5 * float(hatched().abs().mean()), rel=0.2)


def test_maps_without_a_sky_are_told() -> None:
    told = skies().outcome(Painter(0.0, sky=WALL), Painter(0.0), lambda done, total: None)
    assert told == "no skies to be seen in the label maps held out"
