"""Slants: what is aslant in a picture, and not in that of the mirrored map, is to be like the latter."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import LARGE, Parts
from training.retouching.retouched import ANY_TEXTURE, Retouched
from training.retouching.slants import retouched, slants, straightened

WALL, BALCONY = (FACADES.index_of(name) for name in ("facade", "balcony"))
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

    def forward(
        self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor, drawn_as: Tensor | None = None
    ) -> Tensor:
        picture = self.strength * stroke()
        for first in (7, 8):  # the same once mirrored
            picture[:, :, first::16] += 0.2
            picture[:, :, :, first::16] += 0.2
        return picture + 0.3 * (classes == BALCONY)[:, None]


def retouched_by(generator: nn.Module, native_size_px: int) -> Retouched:
    classes = torch.full((1, SIDE_PX, SIDE_PX), WALL, dtype=torch.uint8)
    classes[:, 30:70, 4:60] = BALCONY
    drawn = ColoredMap(classes, torch.rand(1, len(FACADES.classes), 3))
    parts = Parts.of(FACADES, native_size_px, torch.device("cpu"))
    return retouched(generator(*drawn), drawn, generator, parts)


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


def test_a_slanted_edge_of_a_class_is_the_maps_own() -> None:
    column = torch.arange(SIDE_PX)
    roof = (column < column[:, None]).float()[None, None]
    picture = (-0.2 * roof).expand(1, 3, -1, -1)
    _, changed = straightened(picture, torch.zeros_like(picture), 1 - roof, SIDE_PX)
    assert float(changed.max()) == 0


def test_a_leaf_at_one_end_of_a_balcony_goes_by_any_texture() -> None:
    was, clean = (retouched_by(Painter(strength), SIDE_PX).picture for strength in (1.0, 0.0))
    wanted, weight, loose = retouched_by(Painter(), NATIVE_PX)
    faint = (wanted - clean)[STROKE].abs().mean() / (was - clean)[STROKE].abs().mean()
    assert float(faint) < 0.1
    assert float(weight[..., :64].min()) == pytest.approx(ANY_TEXTURE)
    assert float(weight[..., 64:].min()) == 1
    torch.testing.assert_close(weight, 1 - (1 - ANY_TEXTURE) * loose)


def test_small_pictures_stay_as_they_are() -> None:
    wanted, weight, loose = retouched_by(Painter(), SIDE_PX)
    assert (
        float(wanted[STROKE].min()) == pytest.approx(-0.6 + 0.3) and (weight == 1).all() and not loose.any()
    )
