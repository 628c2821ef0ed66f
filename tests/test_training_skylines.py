"""Skylines: sky among roofs is to have the color of the sky above, and nothing else changes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from facadegen.palettes import FACADES
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched
from training.retouching.skylines import Skyline, find_skyline, open_skyline, retouched

FACADE = FACADES.index_of("facade")
SIDE_PX, BOX_PX, ROOF_PX, EAVES_PX = 128, 32, 40, 60  # rows: where the wall begins, its roofs, and below them
GABLE = slice(48, 80)  # columns in which the roof reaches the box's edge
SKY, TEAL, ROOF, WALL = (0.9, 0.92, 0.95), (-0.4, 0.0, 0.0), (-0.3, -0.6, -0.6), (0.4, 0.2, 0.0)

Color = tuple[float, float, float]


def rows_of(color: Color) -> Tensor:
    return torch.tensor(color).view(3, 1, 1)


def classes() -> Tensor:
    """(S, S): a wall under surroundings."""
    found = torch.zeros(SIDE_PX, SIDE_PX, dtype=torch.uint8)
    found[BOX_PX:] = FACADE
    return found


def house(strip: Color = TEAL, wall: Color = WALL, sky: Color = SKY) -> Tensor:
    """(3, S, S): sky, in the wall's box a strip with a gable in it, a roof, and wall."""
    picture = rows_of(sky).repeat(1, SIDE_PX, SIDE_PX)
    picture[:, BOX_PX:] = rows_of(wall)
    picture[:, BOX_PX:ROOF_PX] = rows_of(strip)
    picture[:, ROOF_PX:EAVES_PX] = rows_of(ROOF)
    picture[:, BOX_PX:ROOF_PX, GABLE] = rows_of(ROOF)
    return picture


def skyline_of(picture: Tensor, of: Tensor | None = None) -> Skyline:
    shown = classes() if of is None else of
    is_wall, is_open = ((shown == which)[None, None].float() for which in (FACADE, 0))
    return find_skyline(picture[None], is_wall, is_open, SIDE_PX)


def opened(picture: Tensor, of: Tensor | None = None) -> Tensor:
    return open_skyline(picture[None], skyline_of(picture, of))[0]


def strip_of(picture: Tensor) -> Tensor:
    """The strip without what is next to something else."""
    return torch.cat([picture[..., BOX_PX : ROOF_PX - 1, :44], picture[..., BOX_PX : ROOF_PX - 1, 84:]], -1)


def assert_is(part: Tensor, color: Color, off: float = 0.02) -> None:
    torch.testing.assert_close(part, rows_of(color).expand_as(part), atol=off, rtol=0)


@pytest.mark.parametrize("strip", [TEAL, (0.0, 0.1, 0.1)])
def test_sky_among_roofs_gets_the_color_of_the_sky_above(strip: Color) -> None:
    assert_is(strip_of(opened(house(strip))), SKY)


def test_roofs_walls_and_the_sky_above_stay_as_they_are() -> None:
    was, now = house(), opened(house())
    assert torch.equal(now[:, ROOF_PX + 2 :], was[:, ROOF_PX + 2 :])
    assert torch.equal(now[:, BOX_PX:, 51:77], was[:, BOX_PX:, 51:77])
    assert_is(now[:, :BOX_PX], SKY, 1e-3)


def test_what_is_one_quarter_sky_stays_so() -> None:
    strip, roof = (0.4, 0.8, 0.8), (-0.44, -0.54, -0.54)
    picture = house(strip)
    picture[:, ROOF_PX + 1 : EAVES_PX] = rows_of(roof)
    picture[:, ROOF_PX] = (0.25 * rows_of(strip) + 0.75 * rows_of(roof))[..., 0]
    found = opened(picture)[:, ROOF_PX : ROOF_PX + 1, 8:32]
    quarter = 0.25 * rows_of(SKY) + 0.75 * rows_of(roof)
    torch.testing.assert_close(found, quarter.expand_as(found), atol=0.08, rtol=0)


def test_sky_is_calm_even_if_it_was_not() -> None:
    picture = house()
    picture[:, BOX_PX:ROOF_PX, ::2] += 0.08
    picture[:, BOX_PX:ROOF_PX, GABLE] = rows_of(ROOF)
    assert strip_of(opened(picture)).std(2).max() < 0.02


def test_a_wire_does_not_end_it_and_stays() -> None:
    wire, picture = (-0.74, -0.84, -0.84), house()
    picture[:, ROOF_PX : ROOF_PX + 12, :40] = rows_of(TEAL)
    picture[:, BOX_PX + 3, :40] = rows_of(wire)[..., 0]
    picture[:, BOX_PX - 8 : ROOF_PX, 20] = rows_of(wire)[..., 0]
    found = opened(picture)
    assert_is(found[:, BOX_PX : BOX_PX + 3, 4:16], SKY)
    assert_is(found[:, BOX_PX + 5 : ROOF_PX + 11, 4:16], SKY)
    for is_wire in (found[:, BOX_PX + 3 : BOX_PX + 4, 4:36], found[:, BOX_PX - 8 : ROOF_PX, 20:21]):
        assert_is(is_wire, wire)


def test_a_dash_of_another_color_is_sky() -> None:
    picture = house()
    picture[:, BOX_PX + 3, 20:24] += 0.3 * rows_of((1, -0.3, -0.3))[..., 0]
    assert_is(strip_of(opened(picture)), SKY, 0.05)


def test_the_color_is_that_of_the_sky_near_by_beside_chimneys() -> None:
    picture = house()
    grey = (0.3, 0.32, 0.36)
    picture[:, :BOX_PX, SIDE_PX // 2 :] = rows_of(grey)
    for left in (10, 98):
        picture[:, :BOX_PX, left : left + 20] = rows_of(ROOF)
    found = opened(picture)[:, BOX_PX : ROOF_PX - 1]
    assert_is(found[..., :32], SKY, 0.06)
    assert_is(found[..., -32:], grey, 0.06)


@pytest.mark.parametrize("other", [(0.6, 0.5, 0.3), (-0.4, -0.35, -0.3)])
def test_below_a_neighbors_wall_there_is_no_sky(other: Color) -> None:
    picture = house()
    picture[:, 8:BOX_PX, :44] = rows_of(other)
    found = opened(picture)[:, BOX_PX : ROOF_PX - 1]
    assert_is(found[..., 84:], SKY)
    assert_is(found[..., :32], TEAL)


def test_where_no_sky_is_above_it_is_calm_in_its_own_color() -> None:
    picture, all_wall = house()[:, BOX_PX:], classes()[BOX_PX:]
    picture[:, : ROOF_PX - BOX_PX, ::2] += 0.08
    picture[:, : ROOF_PX - BOX_PX, GABLE] = rows_of(ROOF)
    found = opened(picture, all_wall)[:, : ROOF_PX - BOX_PX - 1, 4:44]
    assert_is(found, (-0.36, 0.04, 0.04))


@pytest.mark.parametrize(("width_px", "color"), [(12, SKY), (2, TEAL)])
def test_sky_beside_the_box_tells_but_no_speck_of_it(width_px: int, color: Color) -> None:
    picture, beside = house(sky=TEAL), torch.full_like(classes(), FACADE)
    beside[:, :width_px] = 0
    picture[:, :, :width_px] = rows_of(SKY)
    assert_is(opened(picture, beside)[:, : ROOF_PX - 1, 84:], color)


def test_a_neighbors_wall_and_the_street_give_sky_no_color() -> None:
    picture, above_street = house(sky=(-0.3, -0.15, -0.15)), classes()
    above_street[100:] = 0
    picture[:, 100:] = rows_of(SKY)
    found = opened(picture, above_street)
    assert_is(strip_of(found), TEAL)
    assert torch.equal(found[:, :BOX_PX], picture[:, :BOX_PX])


def cyan_wall() -> Tensor:
    return house(wall=(-0.2, 0.2, 0.2), strip=(-0.2, 0.2, 0.2))


def warm_wall() -> Tensor:
    return house(wall=(0.6, 0.0, -0.3), strip=(0.3, 0.3, 0.3))


def slate_roof() -> Tensor:
    return house(strip=(-0.6, -0.3, -0.3))


def grey_roof() -> Tensor:
    return house(strip=(0.1, 0.1, 0.15))


def roof_that_rises_above_the_box() -> Tensor:
    picture = house(strip=(-0.2, -0.1, -0.05))
    picture[:, BOX_PX - 6 : BOX_PX] = rows_of((-0.7, -0.7, -0.7))
    return picture


def pane_below_a_roof() -> Tensor:
    picture = house(strip=ROOF)
    picture[:, 80:110, 20:60] = rows_of(TEAL)
    return picture


def pane_close_below_a_roof() -> Tensor:
    picture = house(strip=ROOF)
    picture[:, BOX_PX + 6 : 60, 20:60] = rows_of(TEAL)
    return picture


def pane_in_a_wall() -> Tensor:
    picture = house(strip=WALL)
    picture[:, BOX_PX:] = rows_of(WALL)
    picture[:, BOX_PX + 6 : 60, 20:60] = rows_of(TEAL)
    return picture


def sliver(width_px: int = 4) -> Tensor:
    picture = house(strip=ROOF)
    picture[:, BOX_PX:110, 20 : 20 + width_px] = rows_of(TEAL)
    return picture


def sliver_at_the_edge() -> Tensor:
    return sliver(3).roll(-20, 2)


@pytest.mark.parametrize(
    "picture",
    [
        cyan_wall,
        warm_wall,
        slate_roof,
        grey_roof,
        roof_that_rises_above_the_box,
        sliver_at_the_edge,
        pane_below_a_roof,
        pane_close_below_a_roof,
        pane_in_a_wall,
        sliver,
    ],
)
def test_no_other_part_of_a_wall_is_sky(picture: Callable[[], Tensor]) -> None:
    assert not skyline_of(picture()).there.any()
    assert torch.equal(opened(picture()), picture())


def test_it_goes_on_under_eaves_but_not_far() -> None:
    picture = house()
    picture[:, ROOF_PX : ROOF_PX + 8] = rows_of(TEAL)  # a strip of sixteen rows now, but for the gable,
    picture[:, ROOF_PX : ROOF_PX + 8, 50:78] = rows_of(TEAL)  # which overhangs it
    picture[:, ROOF_PX + 14 : ROOF_PX + 20] = rows_of(TEAL)  # panes in the roof, close to it
    there = skyline_of(picture).there[0, 0]
    under = there[ROOF_PX + 2 : ROOF_PX + 7]
    assert under[:, 48:51].min() > 0.99 and under[:, 62:66].max() == 0
    assert not there[ROOF_PX + 14 :].any()


def test_the_edge_of_the_box_leaves_the_sky_above_and_poles_stay() -> None:
    picture = house()
    picture[:, BOX_PX - 1] += 0.1 * rows_of((0.5, -1, -1))[..., 0]
    pole = (-0.8, -0.8, -0.8)
    picture[:, BOX_PX - 10 : BOX_PX, 20:22] = rows_of(pole)
    found = opened(picture)
    assert_is(found[:, BOX_PX - 1, :16, None], SKY, 0.04)
    assert torch.equal(found[:, BOX_PX - 10 : BOX_PX, 20:22], picture[:, BOX_PX - 10 : BOX_PX, 20:22])


def test_what_spills_over_the_edge_of_the_box_is_sky_too() -> None:
    picture = house()
    picture[:, BOX_PX - 1] = picture[:, BOX_PX]
    assert_is(opened(picture)[:, BOX_PX - 1 : BOX_PX, :40], SKY, 0.02)


def test_light_gables_beside_it_stay() -> None:
    gable, picture = (0.8, 0.7, 0.6), house()
    picture[:, BOX_PX:ROOF_PX, GABLE] = rows_of(gable)
    assert_is(opened(picture)[:, BOX_PX:ROOF_PX, 53:75], gable)


def test_edges_away_from_such_sky_stay() -> None:
    picture = house(strip=ROOF)
    picture[:, BOX_PX - 1] += 0.05
    assert torch.equal(opened(picture), picture)


def test_pictures_stay_in_range() -> None:
    picture = house(strip=(-0.2, 1.0, 1.0), sky=(1.0, 1.0, 1.0))
    picture[:, ROOF_PX] = rows_of((0.7, 1.0, 1.0))[..., 0]  # partly sky, and light
    assert opened(picture).max() == 1


def test_pictures_of_twice_the_size_have_the_same_skyline() -> None:
    def twice(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -2).repeat_interleave(2, -1)

    small = skyline_of(house())
    large = skyline_of(twice(house()), twice(classes()))
    assert small.there.mean() > 0.03
    for name in ("there", "rim"):
        assert (getattr(large, name) - twice(getattr(small, name))).abs().mean() < 0.01


def retouched_by(picture: Tensor, native_size_px: int = SIDE_PX) -> Retouched:
    parts = Parts.of(FACADES, native_size_px, torch.device("cpu"))
    drawn = ColoredMap(classes()[None], torch.rand(1, len(FACADES.classes), 3))
    return retouched(picture[None], drawn, torch.nn.Identity(), parts)


def test_such_sky_counts_more_than_all_else_and_so_does_the_edge_of_the_box() -> None:
    wanted, weight, _ = retouched_by(house())
    assert_is(strip_of(wanted[0]), SKY)
    assert strip_of(weight[0]).min() == pytest.approx(21)
    assert weight[0, 0, BOX_PX - 1, :32].min() == pytest.approx(21)
    assert weight[0, 0, : BOX_PX - 8].max() == weight[0, 0, EAVES_PX:].max() == 1


def test_sizes_are_those_of_pictures_that_the_generator_was_trained_at() -> None:
    most = [float(retouched_by(sliver(8), size).weight.max()) for size in (SIDE_PX, SIDE_PX // 2)]
    assert most[0] > 1 == most[1]
