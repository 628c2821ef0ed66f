"""Slants: what is aslant in a picture, and not in that of the mirrored map, is to be like the latter."""

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facadegen.palettes import FACADES
from training.colored_maps import ColoredMaps
from training.recipes import colored_classes
from training.retouching import Retouched
from training.slants import BORDER_PX, LARGE, Slants, slants, straightened

COLORED = colored_classes(FACADES)[:, 0]
WALL, BALCONY = (FACADES.index_of(name) for name in ("facade", "balcony"))
STRAIGHT = torch.zeros(len(COLORED)).index_fill(0, torch.tensor([WALL, BALCONY]), 1)
SIDE_PX = 128
NATIVE_PX = SIDE_PX // LARGE
STROKE = (slice(None), slice(None), slice(40, 60), slice(8, 28))  # at the left, none at the right


def stroke() -> Tensor:
    """A slanted line of 3 px, dark on grey, (1, 3, H, W)."""
    picture = torch.zeros(1, 3, SIDE_PX, SIDE_PX)
    for row in range(20):
        picture[:, :, 40 + row, 8 + row : 11 + row] = -0.6
    return picture


class Painter(nn.Module):
    """Paints a slanted line at the left of any map, so strong, levels and posts all over it, and balconies
    lighter."""

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = strength
        self.widths_px: set[int] = set()

    def forward(self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor) -> Tensor:
        picture = self.strength * stroke()
        for first in (7, 8):  # the same once mirrored
            picture[:, :, first::16] += 0.2
            picture[:, :, :, first::16] += 0.2
        self.widths_px.add(classes.shape[2])
        return (
            F.interpolate(picture, classes.shape[1:], mode="bilinear") + 0.3 * (classes == BALCONY)[:, None]
        )


def subject() -> Slants:
    classes = torch.full((SIDE_PX, SIDE_PX), WALL, dtype=torch.uint8)
    classes[30:70, 4:60] = BALCONY
    sets = torch.full((1, len(COLORED), 3), 0.5)
    maps = ColoredMaps([classes], sets, NATIVE_PX)
    return Slants(maps, maps, COLORED, STRAIGHT)


@pytest.mark.parametrize("turned", [False, True], ids=["level", "upright"])
def test_lines_along_the_picture_are_not_aslant(turned: bool) -> None:
    picture = torch.zeros(1, 3, 64, 64)
    picture[:, :, 20:23] = 0.8
    picture = picture.mT if turned else picture
    assert float(slants(picture, torch.ones(1, 1, 64, 64), 1).max()) < 1e-8


def test_slanted_lines_are_those_of_either_way_and_gables_even_out() -> None:
    whole = torch.ones(1, 1, SIDE_PX, SIDE_PX)
    one_way, other_way = (slants(x, whole, 1) for x in (stroke(), stroke().flip(3)))
    assert float(one_way[0, 0, 50, 19]) > 1e-3
    torch.testing.assert_close(one_way, other_way.flip(3))
    middle = (0, 0, 50, slice(SIDE_PX // 2 - 1, SIDE_PX // 2 + 1))
    half = stroke().roll(SIDE_PX // 2 - 22, 3)
    both_ways = torch.minimum(half, half.flip(3))
    assert float(slants(both_ways, whole, 1)[middle].max()) < 0.2 * float(
        slants(half, whole, 1)[middle].max()
    )


def test_nothing_is_aslant_at_the_edges_of_a_light_picture() -> None:
    assert float(slants(torch.ones(1, 3, 64, 64), torch.ones(1, 1, 64, 64), 1).max()) == 0


def test_what_the_mirrored_picture_has_straight_is_taken_from_it() -> None:
    straight = torch.ones(1, 1, SIDE_PX, SIDE_PX)
    plain = torch.full_like(stroke(), 0.1)
    wanted, changed = straightened(stroke(), plain, straight, SIDE_PX)
    line = stroke() < 0
    line[:, :, :44] = line[:, :, 56:] = False  # its ends fade out
    torch.testing.assert_close(wanted[line], plain[line], atol=0.01, rtol=0)
    away = (slice(None), slice(None), slice(None), slice(64, None))
    assert torch.equal(wanted[away], stroke()[away]) and float(changed[away].max()) == 0


def test_strokes_that_both_have_stay() -> None:
    straight = torch.ones(1, 1, SIDE_PX, SIDE_PX)
    wanted, changed = straightened(stroke(), 1.2 * stroke(), straight, SIDE_PX)
    assert torch.equal(wanted, stroke()) and float(changed.max()) == 0


def test_the_mirrored_pictures_own_strokes_are_not_taken_over() -> None:
    straight = torch.ones(1, 1, SIDE_PX, SIDE_PX)
    wanted, _ = straightened(torch.zeros_like(stroke()), stroke(), straight, SIDE_PX)
    assert float(wanted.abs().max()) == 0


def test_what_is_not_built_of_straight_lines_stays() -> None:
    curved = torch.zeros(1, 1, SIDE_PX, SIDE_PX)
    plain = torch.zeros_like(stroke())
    assert torch.equal(straightened(stroke(), plain, curved, SIDE_PX)[0], stroke())
    window = torch.ones_like(curved)
    window[..., 44:56, 14:24] = 0
    wanted, changed = straightened(stroke(), plain, window, SIDE_PX)
    assert float(changed.max()) > 0.9 and torch.equal(wanted[..., 44:56, 14:24], stroke()[..., 44:56, 14:24])
    # Nor is it aslant beside them, however much it is off the line of a class's edge.
    near = curved.clone()
    near[..., 11 + 20 + BORDER_PX :] = 1
    assert torch.equal(straightened(stroke(), plain, near, SIDE_PX)[0], stroke())


def test_a_slanted_edge_of_a_class_is_the_maps_own() -> None:
    column = torch.arange(SIDE_PX)
    roof = (column < column[:, None]).float()[None, None]
    picture = (-0.2 * roof).expand(1, 3, -1, -1)
    _, changed = straightened(picture, torch.zeros_like(picture), 1 - roof, SIDE_PX)
    assert float(changed.max()) == 0


def test_a_leaf_at_one_end_of_a_balcony_goes() -> None:
    lesson = subject()
    (drawn,) = lesson.maps.fixed(1, LARGE)
    wanted, weight = lesson.retouched(Painter(), drawn)
    clean = Painter(0)(*drawn)
    faint = (wanted - clean)[STROKE].abs().mean() / (Painter()(*drawn) - clean)[STROKE].abs().mean()
    assert float(faint) < 0.1
    assert float(weight[..., :64].min()) == pytest.approx(0)
    assert float(weight[..., 64:].min()) == 1


def test_what_is_to_be_straight_is_told_from_further_away() -> None:
    lesson = subject()
    (drawn,) = lesson.maps.fixed(1, LARGE)
    striped = torch.tensor([0.3, -0.3]).repeat(SIDE_PX // 2).expand(1, 3, SIDE_PX, SIDE_PX)
    plain, aslant = torch.zeros_like(striped), striped + stroke()

    def off(made: Tensor, weight: float) -> float:
        return float(lesson.off(made, Retouched(striped, torch.full_like(stroke()[:, :1], weight)), drawn))

    shifted = striped.roll(1, 3)
    assert off(shifted, 0) < 0.05 * off(plain, 0)  # as much detail, elsewhere
    assert off(shifted, 1) > off(plain, 1)
    assert off(aslant, 0) > 0.02 > 1e-6 > off(striped, 0)


def test_what_runs_aslant_is_told_though_colors_and_detail_are_alike() -> None:
    lesson = subject()
    (drawn,) = lesson.maps.fixed(1, LARGE)
    column = torch.arange(SIDE_PX)
    upright, aslant = (
        (0.4 * torch.sin((column + turn * column[:, None]) * torch.pi / 4)).expand(1, 3, -1, -1)
        for turn in (0, 1)
    )
    nowhere = torch.zeros_like(stroke()[:, :1])

    def off(made: Tensor, wanted: Tensor) -> float:
        return float(lesson.off(made, Retouched(wanted, nowhere), drawn))

    assert off(aslant, upright) > 4 * off(upright, aslant)  # to be less aslant is no fault


def test_what_stays_counts_beside_what_is_to_be_straight() -> None:
    lesson = subject()
    (drawn,) = lesson.maps.fixed(1, LARGE)
    weight = torch.ones_like(stroke()[:, :1])
    weight[..., : SIDE_PX // 2] = 0
    made = torch.zeros_like(stroke())
    made[..., SIDE_PX // 2 + 16 :] = 0.1
    off = float(lesson.off(made, Retouched(torch.zeros_like(made), weight), drawn))
    assert off == pytest.approx(float(made.mean()), rel=1e-3)


def test_a_generator_without_slants_has_learnt_it() -> None:
    lesson = subject()
    sizes = [lesson.draw(number).classes.shape[2] for number in range(40)]
    large = [number for number, size in enumerate(sizes) if size == SIDE_PX]
    assert 4 < len(large) < 36
    for number in large[:4]:
        losses = [float(lesson.loss(Painter(strength), Painter(), number)) for strength in (1.0, 0.0)]
        assert losses[0] > 1.5 * losses[1]


def test_small_pictures_stay_as_they_are() -> None:
    lesson = subject()
    (drawn,) = lesson.maps.fixed(1)
    wanted, weight = lesson.retouched(Painter(), drawn)
    assert torch.equal(wanted, Painter()(*drawn)) and (weight == 1).all()
    number = next(number for number in range(40) if lesson.draw(number).classes.shape[2] == NATIVE_PX)
    assert float(lesson.loss(Painter(), Painter(), number)) == 0


def test_how_far_lines_are_off_is_told_before_and_after() -> None:
    painter = Painter()
    told = subject().outcome(painter, Painter(0), lambda done, total: None)
    assert painter.widths_px == {SIDE_PX}  # large pictures alone
    found = re.fullmatch(r"what is aslant, in levels of 255 from pixel to pixel: (.+) before, (.+) now", told)
    assert found and float(found[2]) < 0.3 * float(found[1])


def test_nothing_aslant_is_told() -> None:
    told = subject().outcome(Painter(0), Painter(0), lambda done, total: None)
    assert told == "nothing that is aslant in the label maps held out"
