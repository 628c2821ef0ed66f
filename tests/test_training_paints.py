"""Paints: each class is to be in the mean color asked for, with its texture, the sky among roofs left out."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.losses import LEAST_AREA_PX, mean_class_colors
from training.retouching.colored_maps import ColoredMap
from training.retouching.paints import MOST_SHIFT, repainted, retouched
from training.retouching.parts import Parts

BACKGROUND, WALL, WINDOW, DOOR = (
    FACADES.index_of(name) for name in ("background", "facade", "window", "door")
)
SIDE_PX = 128
PARTS = Parts.of(FACADES, SIDE_PX, torch.device("cpu"))
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

    def forward(
        self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor, drawn_as: Tensor | None = None
    ) -> Tensor:
        painted = 2 * colors[0][classes.long()].permute(0, 3, 1, 2) - 1 + self.off
        painted = painted + torch.tensor([0.05, -0.05]).repeat(classes.shape[2] // 2)
        sky = torch.tensor([-0.4, 0.0, 0.6]).view(3, 1, 1)
        painted[0] = torch.where(classes == BACKGROUND, sky, painted[0])
        painted[0, :, 32 : 32 + self.sky_px] = sky
        return painted


def drawn(low: float = 0.4, high: float = 0.5) -> ColoredMap:
    colors = torch.linspace(low, high, 3).expand(1, len(FACADES.classes), 3)
    return ColoredMap(class_map()[None], colors)


def shifted(generator: Painter, shown: ColoredMap) -> Tensor:
    wanted, weight, _ = retouched(generator(*shown), shown, generator, PARTS)
    assert (weight == 1).all()
    return wanted


def test_classes_are_shifted_to_their_colors_and_keep_their_texture() -> None:
    shown = drawn()
    before, wanted = Painter(OFF)(*shown), shifted(Painter(OFF), shown)
    means, _ = mean_class_colors(wanted, shown.classes, len(FACADES.classes))
    for each in (WALL, WINDOW):
        torch.testing.assert_close(means[0, each], 2 * shown.colors[0, each] - 1, atol=1e-4, rtol=0)
        there = (shown.classes == each).expand(3, -1, -1)
        assert float(wanted[0][there].std()) == pytest.approx(float(before[0][there].std()), rel=1e-4)
    for each in (BACKGROUND, DOOR):
        there = (shown.classes == each).expand(3, -1, -1)
        assert torch.equal(wanted[0][there], before[0][there])


def test_walls_of_neighbors_neither_shift_walls_nor_are_shifted() -> None:
    count, shown = len(FACADES.classes), drawn()
    told = shown.classes.clone()
    told[:, 32:, 80:] = count
    colors = torch.cat([shown.colors, torch.full((1, 1, 3), 0.9)], dim=1)
    told_as = ColoredMap(told, colors, drawn_as=told.masked_fill(told == count, WALL))
    before, wanted = Painter(OFF)(*told_as), shifted(Painter(OFF), told_as)
    assert torch.equal(wanted[..., 32:, 80:], before[..., 32:, 80:])
    torch.testing.assert_close(wanted[..., :80], shifted(Painter(OFF), shown)[..., :80], atol=1e-4, rtol=0)


def test_what_is_far_off_is_not_shifted_all_the_way() -> None:
    generator = Painter(2 * MOST_SHIFT)
    shift = shifted(generator, drawn()) - generator(*drawn())
    assert float(shift.min()) == pytest.approx(-MOST_SHIFT)


def test_what_is_to_be_learnt_is_a_picture() -> None:
    assert float(shifted(Painter(-OFF), drawn(low=0.99, high=1.0)).max()) == 1


def test_sky_among_roofs_neither_shifts_walls_nor_is_shifted() -> None:
    sky_px = 12
    generator = Painter(OFF, sky_px)
    before, wanted = generator(*drawn()), shifted(generator, drawn())
    sky = (slice(None), slice(None), slice(32, 32 + sky_px - 4))
    assert torch.equal(wanted[sky], before[sky])
    walls = wanted[0, :, 60:96, 60:96].mean((1, 2))
    torch.testing.assert_close(walls, 2 * drawn().colors[0, WALL] - 1, atol=0.01, rtol=0)


def test_more_than_half_of_the_maps_are_in_colors_of_no_color_set() -> None:
    found = [repainted(drawn(), PARTS, torch.Generator().manual_seed(n)) for n in range(40)]
    assert 15 < sum(not torch.equal(each.colors, drawn().colors) for each in found) < 35
    assert all(torch.equal(each.classes, drawn().classes) for each in found)
