"""Walls: foliage in blank ones is to be left out, in the color of the wall, and nothing else changes."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.walls import Blots, blanked, find_blots, plain_walls, retouched

WALL, WINDOW = FACADES.index_of("facade"), FACADES.index_of("window")
SIDE_PX = 128
PARTS = Parts.of(FACADES, SIDE_PX, torch.device("cpu"))
COLOR = torch.tensor([0.2, 0.0, -0.2])
WINDOWS, BLANK = slice(16, 40), slice(72, 128)  # rows


def foliage(height: int, width: int) -> Tensor:
    """Dark and light patches (H, W) of 16 px, hatched."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    patches = ((rows // 16 + columns // 16) % 2) * 1.2 - 0.6
    return patches + 0.4 * ((rows + columns) % 4 - 1.5)


def overgrown(from_row: int = BLANK.start, until_row: int = SIDE_PX) -> Tensor:
    """A wall (3, S, S) in its color, with foliage in these rows."""
    picture = COLOR.view(3, 1, 1).repeat(1, SIDE_PX, SIDE_PX)
    picture[:, from_row:until_row] = foliage(SIDE_PX, SIDE_PX)[from_row:until_row]
    return picture.clamp(-1, 1)


def classes() -> Tensor:
    """(S, S): three windows high in a wall, which is blank below, between strips of surroundings."""
    found = torch.full((SIDE_PX, SIDE_PX), WALL, dtype=torch.uint8)
    found[:, :4] = found[:, -4:] = 0
    for left in (20, 56, 92):
        found[WINDOWS, left : left + 20] = WINDOW
    return found


def blots_of(picture: Tensor, of: Tensor | None = None) -> Blots:
    shown = classes() if of is None else of
    is_wall, is_window = ((shown == which)[None, None].float() for which in (WALL, WINDOW))
    return find_blots(picture[None], is_wall, is_window, SIDE_PX)


def plain(picture: Tensor, of: Tensor | None = None) -> Tensor:
    """The picture (3, S, S) without blots, from plaster darker than its walls, with a grain of 0.04."""
    grain = 0.04 * (torch.arange(SIDE_PX) % 2 - 0.5)
    nothing_else = (COLOR.view(1, 3, 1, 1) - 0.4 + grain).expand(1, 3, SIDE_PX, SIDE_PX)
    return plain_walls(picture[None], nothing_else, blots_of(picture, of))[0]


def test_foliage_in_a_blank_wall_becomes_plaster_in_the_color_of_the_wall() -> None:
    inside = plain(overgrown())[:, BLANK.start + 4 :, 8:-8]
    torch.testing.assert_close(inside, COLOR.view(3, 1, 1).expand_as(inside), atol=0.05, rtol=0)
    assert float((inside[..., 1:] - inside[..., :-1]).abs().mean()) == pytest.approx(0.04, rel=0.2)


def test_plaster_has_the_color_of_the_wall_near_by() -> None:
    picture = overgrown()
    darker = picture[:, : BLANK.start, SIDE_PX // 2 :]
    darker -= 0.1
    below = plain(picture)[:, BLANK.start + 8 : BLANK.start + 24].mean(dim=(0, 1))
    assert below[8:32].mean() > below[-32:-8].mean() + 0.04


def test_light_plaster_stays_in_range() -> None:
    light = (overgrown() + 0.9).clamp(-1, 1)
    assert plain(light).abs().max() <= 1


def test_all_else_stays_as_it_is() -> None:
    was = overgrown()
    now = plain(was)
    assert torch.equal(now[:, : BLANK.start - 32], was[:, : BLANK.start - 32])
    is_open = (classes() == 0).expand_as(was)
    assert torch.equal(now[is_open], was[is_open])


def bricks(contrast: float) -> Tensor:
    rows = torch.arange(SIDE_PX) // 2 % 2
    return (overgrown(SIDE_PX) + contrast * (rows - 0.5)[:, None]).clamp(-1, 1)


def shadow() -> Tensor:
    picture = overgrown(SIDE_PX)
    picture[:, 80:110, 10:110] -= 0.6
    return picture


@pytest.mark.parametrize("picture", [overgrown(SIDE_PX), bricks(0.25), bricks(0.8), shadow()])
def test_plaster_bricks_and_shadows_are_no_blots(picture: Tensor) -> None:
    assert not blots_of(picture).there.any()


def test_a_blot_goes_on_through_what_is_off_the_color_alone() -> None:
    picture = overgrown()
    picture[:, 100:, 64:] = 0.7  # a flat stain beside it
    assert blots_of(picture).there[0, 0, 104:, 68:96].min() > 0.9
    picture[:, 100:, 64:] = COLOR.view(3, 1, 1)
    assert blots_of(picture).there[0, 0, 116:, 90:].max() < 0.1


def test_what_lies_above_all_that_is_drawn_is_a_roof() -> None:
    low, picture = classes().flip(0), overgrown(from_row=0)
    first = SIDE_PX - WINDOWS.stop
    assert torch.equal(plain(picture, low)[:, : first + 12], picture[:, : first + 12])
    raised = torch.full_like(low, WALL)
    raised[8:16] = WINDOW  # nothing but this is changed, and it is no roof any more
    assert blots_of(picture, raised).there[0, 0, 48:80].mean() > 0.9


def test_foliage_before_what_is_drawn_is_not_held_against_a_pupil() -> None:
    near = classes()
    near[BLANK.start + 20 : BLANK.start + 30, 40:60] = WINDOW
    beside = blots_of(overgrown(), near).beside[0, 0]
    assert beside[BLANK.start + 20 : BLANK.start + 22, 40:60].max() == 1 and not beside[WINDOWS].any()


def test_pictures_of_twice_the_size_have_the_same_blots() -> None:
    def twice(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -2).repeat_interleave(2, -1)

    small = blots_of(overgrown()).there
    large = blots_of(twice(overgrown()), twice(classes())).there
    assert large.mean() > 0.2
    assert (large - twice(small)).abs().mean() < 0.02


class Painter(nn.Module):
    """Paints walls in their color, overgrown below the first window if there is any; surroundings light."""

    def forward(
        self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor, drawn_as: Tensor | None = None
    ) -> Tensor:
        grows = bool((classes == WINDOW).any())
        wall = overgrown(BLANK.start if grows else SIDE_PX)[None]
        painted = torch.where(classes[:, None] == WINDOW, -0.5, wall)
        return torch.where(classes[:, None] == 0, 0.9, painted)


def drawn() -> ColoredMap:
    return ColoredMap(classes()[None], torch.rand(1, len(PARTS.colored), 3))


def test_foliage_is_left_out_by_a_picture_of_nothing_but_wall_and_counts_more_than_all_else() -> None:
    picture = Painter()(*drawn())
    wanted, weight, _ = retouched(picture, drawn(), Painter(), PARTS)
    inside = wanted[0, :, BLANK.start + 4 :, 8:-8]
    torch.testing.assert_close(inside, COLOR.view(3, 1, 1).expand_as(inside), atol=0.05, rtol=0)
    assert weight[0, 0, BLANK.start + 8 :, 8:-8].min() > 8
    above = (0, slice(None), slice(BLANK.start - 32))
    assert torch.equal(wanted[above], picture[above]) and (weight[above] == 1).all()


def test_a_wall_without_foliage_stays_as_it_is() -> None:
    picture = overgrown(SIDE_PX)[None]
    wanted, weight, _ = retouched(picture, drawn(), Painter(), PARTS)
    assert torch.equal(wanted, picture) and (weight == 1).all()


def test_maps_are_blanked_in_the_building_alone_half_of_the_time() -> None:
    random = torch.Generator().manual_seed(0)
    found = [blanked(drawn(), PARTS, random).classes[0] for _ in range(60)]
    changed = [now for now in found if not torch.equal(classes(), now)]
    assert 10 < len(changed) < 50
    for now in changed:
        where = classes() != now
        assert torch.equal(classes() == 0, now == 0)
        assert (classes()[where] == WINDOW).all() and (now[where] == WALL).all()
