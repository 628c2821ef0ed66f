"""Rooflines: skies are to be even, neighbors are to end below them, and nothing else changes."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES, LabelSet
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched
from training.retouching.rooflines import CORNICE, clear_up, find_scenery, retouched

FACADE, WINDOW = FACADES.index_of("facade"), FACADES.index_of("window")
SIDE_PX = 128
LEFT, RIGHT, TOP = 32, 96, 56  # the building's columns, and its first row
FOG = (30, 70)  # from which row to which neighbors fade in
STREET = 120  # its first row
SKY, BLUE, NEIGHBOR, WALL, ROOF, GREY = (
    torch.tensor(color).view(3, 1, 1)
    for color in (
        (0.7, 0.75, 0.85),
        (0.1, 0.3, 0.7),
        (0.1, -0.1, -0.3),
        (0.3, 0.2, 0.0),
        (-0.1, -0.5, -0.6),
        (-0.3, -0.3, -0.3),
    )
)


def classes() -> Tensor:
    """A house between neighbors, of which label maps say nothing."""
    found = torch.zeros(SIDE_PX, SIDE_PX, dtype=torch.uint8)
    found[TOP:STREET, LEFT:RIGHT] = FACADE
    return found


def backdrop(wall: Tensor = NEIGHBOR) -> Tensor:
    """Neighbors that fade into the sky like fog, all over a picture (3, H, W) of a street."""
    start, end = FOG
    share = ((torch.arange(SIDE_PX) - start) / (end - start)).clamp(0, 1)[:, None]
    found = torch.lerp(SKY, wall, share).expand(3, SIDE_PX, SIDE_PX).clone()
    found[:, STREET:] = GREY
    return found


def scene(wall: Tensor = NEIGHBOR) -> Tensor:
    """The house before a sky with a blue cloud, beside such neighbors."""
    found = backdrop(wall)
    found[:, :TOP, LEFT:RIGHT] = SKY
    for edge in range(8):  # soft, as clouds are
        found[:, 6 + edge : 36 - edge, 36 + edge : 66 - edge] = torch.lerp(SKY, BLUE, edge / 14)
    found[:, TOP:STREET, LEFT:RIGHT] = WALL
    return found


def cleared(
    picture: Tensor, of: Tensor | None = None, native_size_px: int = SIDE_PX
) -> tuple[Tensor, Tensor]:
    """The picture (3, H, W), cleared up, and where (H, W), by a label map."""
    shown = (classes() if of is None else of)[None, None]
    is_wall, is_open = (shown == FACADE).float(), (shown == 0).float()
    scenery = find_scenery(picture[None], is_wall, is_open, native_size_px)
    if scenery is None:
        return picture, torch.zeros_like(is_open[0, 0])
    wanted, where = clear_up(picture[None], scenery, is_open)
    return wanted[0], where[0, 0]


def roofline(wanted: Tensor, column: int) -> int:
    """The first row that is no sky any more."""
    return int(((wanted[:, :, column] - SKY[:, 0]).abs().mean(0) < 0.1).int().cummin(0).values.sum())


def test_a_sky_is_even_and_as_light_as_it_was() -> None:
    wanted, where = cleared(scene())
    sky = wanted[:, : TOP - 1, LEFT:RIGHT]
    assert sky.std(dim=2).max() < 1e-4 and (sky - SKY).abs().max() < 0.05
    assert where[: TOP - 1, LEFT:RIGHT].min() > 0.99


def test_neighbors_end_in_a_line_on_all_of_their_width() -> None:
    wanted, where = cleared(scene())
    start, end = FOG
    for columns in (slice(0, LEFT - 1), slice(RIGHT + 1, SIDE_PX)):
        found = {roofline(wanted, column) for column in range(SIDE_PX)[columns]}
        assert len(found) == 1 and abs(found.pop() - (start + end) / 2) <= 2
    top = roofline(wanted, 0)
    below = wanted[:, top + len(CORNICE) : STREET - 20, : LEFT - 2]
    assert (below - NEIGHBOR).abs().max() < 0.2
    assert (scene()[:, top + len(CORNICE), : LEFT - 2] - NEIGHBOR[:, 0]).abs().max() > 0.4
    for row, lighter in enumerate(CORNICE, top):
        shade = (wanted[:, row, : LEFT - 2] - wanted[:, top + len(CORNICE), : LEFT - 2]).mean()
        assert float(shade) == pytest.approx(lighter, abs=0.1)
    assert where[top : top + len(CORNICE), : LEFT - 2].min() == 1


def test_the_building_and_the_street_stay_as_they_are() -> None:
    before = scene()
    wanted, where = cleared(before)
    for rows, columns in ((slice(TOP, None), slice(LEFT, RIGHT)), (slice(STREET, None), slice(None))):
        assert torch.equal(wanted[:, rows, columns], before[:, rows, columns])
        assert not where[rows, columns].any()


def test_neighbors_that_have_their_color_keep_their_texture() -> None:
    before = scene()
    lines = 0.1 * (torch.arange(SIDE_PX) % 4 < 2)[:, None] - 0.05
    before[:, 80:110, :LEFT] += lines[80:110]
    wanted, _ = cleared(before)
    torch.testing.assert_close(
        wanted[:, 80:110, : LEFT - 6], before[:, 80:110, : LEFT - 6], atol=0.03, rtol=0
    )


def test_a_white_hole_in_a_neighbors_wall_is_closed() -> None:
    before = scene()
    before[:, 80:100, 104:124] = SKY
    wanted, _ = cleared(before)
    assert (wanted[:, 84:96, 108:120] - NEIGHBOR).abs().max() < 0.25


def test_a_roof_and_a_chimney_that_stand_out_stay() -> None:
    before = scene()
    before[:, 44:TOP, 40:90] = ROOF
    before[:, 36:44, 60:66] = ROOF
    wanted, _ = cleared(before)
    assert torch.equal(wanted[:, 46:TOP, 42:88], before[:, 46:TOP, 42:88])
    assert torch.equal(wanted[:, 39:44, 61:65], before[:, 39:44, 61:65])
    assert (wanted[:, :30, LEFT:RIGHT] - SKY).abs().max() < 0.05


def test_a_dome_before_the_building_and_its_neighbor_stays_whole() -> None:
    before = scene()
    for row in range(24, TOP + 16):
        half = min(10, row - 22)
        before[:, row, RIGHT - half : RIGHT + half] = ROOF[:, 0]
    before[:, TOP:, LEFT:RIGHT] = scene()[:, TOP:, LEFT:RIGHT]
    wanted, _ = cleared(before)
    for rows, columns in ((slice(40, TOP), slice(88, RIGHT)), (slice(40, TOP + 14), slice(RIGHT, 104))):
        assert torch.equal(wanted[:, rows, columns], before[:, rows, columns])


def test_a_pale_pavement_is_no_hole_in_a_neighbors_wall() -> None:
    before = scene()
    before[:, SIDE_PX - 6 :] = SKY - 0.1
    wanted, where = cleared(before)
    assert torch.equal(wanted[:, SIDE_PX - 6 :], before[:, SIDE_PX - 6 :]) and not where[SIDE_PX - 6 :].any()


def test_haze_over_a_roof_is_sky() -> None:
    before = scene()
    before[:, 26:TOP, LEFT:RIGHT] = torch.lerp(SKY, GREY, torch.linspace(0, 0.8, TOP - 26)[:, None])
    wanted, _ = cleared(before)
    assert (wanted[:, : TOP - 1, LEFT + 2 : RIGHT - 2] - SKY).abs().max() < 0.06


def test_a_roof_up_to_the_upper_edge_stays() -> None:
    before = scene()
    before[:, :TOP, 44:84] = ROOF
    wanted, _ = cleared(before)
    assert torch.equal(wanted[:, :TOP, 50:78], before[:, :TOP, 50:78])


def test_a_neighbor_is_higher_than_what_is_labelled_in_it() -> None:
    labelled = classes()
    labelled[44:60, 8:20] = WINDOW
    wanted, _ = cleared(scene(), labelled)
    assert 34 <= roofline(wanted, 0) <= 40 < roofline(wanted, SIDE_PX - 1)
    assert torch.equal(wanted[:, 44:60, 8:20], scene()[:, 44:60, 8:20])


@pytest.mark.parametrize("wall", [SKY - 0.05, BLUE - 0.6], ids=["as pale as the sky", "dark"])
def test_a_neighbor_ends_only_if_it_is_unlike_the_sky(wall: Tensor) -> None:
    before = scene(wall)
    wanted, _ = cleared(before)
    columns = slice(0, LEFT - 4)
    assert torch.equal(wanted[:, :, columns], before[:, :, columns]) == (float(wall[0]) > 0.5)


def test_a_neighbor_up_to_the_upper_edge_stays() -> None:
    before = scene()
    before[:, :STREET, : LEFT - 2] = NEIGHBOR
    wanted, where = cleared(before)
    columns = slice(0, LEFT - 6)
    torch.testing.assert_close(wanted[:, :, columns], before[:, :, columns], atol=1e-3, rtol=0)
    assert where[:, columns].max() < 0.05


def test_where_there_is_no_sky_nothing_changes() -> None:
    for picture, of in ((backdrop(), torch.full_like(classes(), FACADE)), (GREY.expand(3, 128, 128), None)):
        wanted, where = cleared(picture, of)
        assert torch.equal(wanted, picture) and not where.any()


def test_gaps_between_parts_of_a_building_are_the_buildings() -> None:
    labelled = classes()
    labelled[TOP:STREET, 60:66] = WINDOW
    wanted, _ = cleared(scene(), labelled)
    assert (wanted[:, : TOP - 1, 58:68] - SKY).abs().max() < 0.05


def test_between_towers_there_is_no_sky_down_to_the_street() -> None:
    labelled, before = classes(), scene()
    labelled[:, 60:68] = 0
    before[:, :, 60:68] = backdrop()[:, :, 60:68]
    wanted, _ = cleared(before, labelled)
    assert (wanted[:, 80 : STREET - 20, 62:66] - NEIGHBOR).abs().max() < 0.1


def test_it_is_the_same_mirrored() -> None:
    picture, labelled = scene(), classes()
    labelled[40:60, 8:20] = WINDOW
    wanted, where = cleared(picture, labelled)
    mirrored, there = cleared(picture.flip(2), labelled.flip(1))
    torch.testing.assert_close(mirrored.flip(2), wanted)
    torch.testing.assert_close(there.flip(1), where)


def test_large_pictures_have_rooflines_at_the_same_place_and_as_sharp() -> None:
    picture, labelled = (x.repeat_interleave(4, -1).repeat_interleave(4, -2) for x in (scene(), classes()))
    wanted, _ = cleared(picture, labelled)
    top = 4 * roofline(cleared(scene())[0], 0)
    assert {roofline(wanted, column) for column in range(0, 4 * LEFT - 8, 4)} == {top}


class Mason(nn.Module):
    """Paints what is labelled wall in the color asked for, all else as in a picture (3, H, W)."""

    def __init__(self, picture: Tensor, wall: int = FACADE) -> None:
        super().__init__()
        self.picture, self.wall = picture, wall

    def forward(
        self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor, drawn_as: Tensor | None = None
    ) -> Tensor:
        wall = 2 * colors[:, self.wall, :, None, None] - 1
        return torch.where(classes[:, None] == self.wall, wall, self.picture[None])


ASKED = torch.full((1, 12, 3), 0.9)


def retouched_by(
    picture: Tensor, of: Tensor, native_size_px: int = SIDE_PX, label_set: LabelSet = FACADES
) -> Retouched:
    drawn = ColoredMap(of[None], ASKED)
    parts = Parts.of(label_set, native_size_px, torch.device("cpu"))
    mason = Mason(picture, parts.wall)
    return retouched(mason(*drawn), drawn, mason, parts)


def test_what_is_cleared_up_counts_more_than_all_else() -> None:
    wanted, weight, _ = retouched_by(scene(), classes())
    clear, where = cleared(Mason(scene())(*ColoredMap(classes()[None], ASKED))[0])
    torch.testing.assert_close(wanted[0], clear)
    torch.testing.assert_close(weight[0, 0], 1 + 12 * where)


def test_walls_of_neighbors_that_are_told_stay_and_have_nothing_but_sky_above() -> None:
    picture, told = scene(), classes()
    beside = torch.ones(SIDE_PX, dtype=torch.bool)
    beside[LEFT:RIGHT] = False
    told[TOP:STREET, beside] = len(FACADES.classes)
    picture[:, TOP:STREET, beside] = WALL
    picture[:, 20:TOP, 8:16] = ROOF  # which would stand there, if walls were not told
    colors = torch.full((1, len(FACADES.classes) + 1, 3), 0.9)
    drawn_as = told.masked_fill(told >= len(FACADES.classes), FACADE)
    drawn = ColoredMap(told[None], colors, drawn_as=drawn_as[None])
    parts = Parts.of(FACADES, SIDE_PX, torch.device("cpu"))
    wanted, weight, _ = retouched(picture[None], drawn, Mason(picture), parts)
    assert torch.equal(wanted[0, :, TOP:], picture[:, TOP:]) and (weight[0, 0, TOP:] == 1).all()
    over = wanted[0, :, : TOP - 2, beside]
    assert over.std(dim=2).max() < 1e-3 and (over - SKY).abs().mean() < 0.15
    assert weight[0, 0, : TOP - 2, beside].min() > 12


def test_a_picture_without_sky_stays_as_it_is() -> None:
    picture = GREY.expand(3, SIDE_PX, SIDE_PX)
    wanted, weight, _ = retouched_by(picture, torch.zeros_like(classes()))
    assert torch.equal(wanted[0], picture) and (weight == 1).all()
