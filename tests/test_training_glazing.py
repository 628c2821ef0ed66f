"""Panes: large shops and doors are drawn as windows, below signs and above panels, in their own colors."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from facadegen.torchscript import quiet
from training.networks.glazing import Glazing
from training.networks.lean_unet import LeanUNet
from training.networks.scripted import ScriptedGenerator
from training.recipes import colored_classes

WALL, SHOP, DOOR, WINDOW, PILLAR = (
    FACADES.index_of(name) for name in ("facade", "shop", "door", "window", "pillar")
)
HEIGHT_PX, WIDTH_PX, TOP_PX = 256, 192, 100
LARGE, LOW = slice(TOP_PX, TOP_PX + 120), slice(TOP_PX, TOP_PX + Glazing.least_shop_px - 1)
OPENINGS = [(SHOP, Glazing.least_shop_px), (DOOR, Glazing.least_door_px)]
FIRST, SECOND, THIRD = slice(8, 40), slice(64, 96), slice(120, 152)


def glazing() -> Glazing:
    found = Glazing.of(FACADES.classes)
    assert found is not None
    return found


def glazed(classes: Tensor) -> Tensor:
    found = glazing()(classes)
    return classes if found is None else found


def class_maps() -> Tensor:
    """A wall (1, H, W) with a large shop, a large door below a window and a low shop beside each other."""
    classes = torch.full((1, HEIGHT_PX, WIDTH_PX), WALL, dtype=torch.uint8)
    classes[:, LARGE, FIRST] = SHOP
    classes[:, LARGE, SECOND] = DOOR
    classes[:, 20:60, SECOND] = WINDOW
    classes[:, LOW, THIRD] = SHOP
    return classes


def generator(with_glazing: bool) -> ScriptedGenerator:
    """Of random weights, without noise, which would follow from colors that are not shown."""
    torch.manual_seed(0)
    network = LeanUNet(colored_classes(FACADES), widths=(8, 8, 8, 8), detail_width=8).eval()
    network.noise.zero_()
    nn.init.normal_(network.head.weight, std=0.5)
    module = ScriptedGenerator(
        network, nn.Identity(), torch.rand(1, 12, 3), 64, glazing() if with_glazing else None
    )
    return module.requires_grad_(False)


def test_large_shops_have_windows_below_signs_and_doors_above_panels() -> None:
    expected = class_maps()
    expected[:, TOP_PX + Glazing.sign_px : LARGE.stop, FIRST] = WINDOW
    expected[:, TOP_PX : LARGE.stop - Glazing.panel_px, SECOND] = WINDOW
    expected[:, LARGE.stop - Glazing.panel_px : LARGE.stop, SECOND] = PILLAR
    assert torch.equal(glazed(class_maps()), expected)


@pytest.mark.parametrize(("height_px", "panel_px"), [(24, 14), (35, 21), (79, 47), (80, 48), (200, 48)])
def test_panels_of_doors_are_three_fifths_of_low_ones(height_px: int, panel_px: int) -> None:
    classes = torch.full((1, HEIGHT_PX, 8), WALL, dtype=torch.uint8)
    classes[:, 10 : 10 + height_px, 3:6] = DOOR
    expected = classes.clone()
    expected[:, 10 : 10 + height_px - panel_px, 3:6] = WINDOW
    expected[:, 10 + height_px - panel_px : 10 + height_px, 3:6] = PILLAR
    assert torch.equal(glazed(classes), expected)


@pytest.mark.parametrize(("opening", "least_px"), OPENINGS)
def test_what_stands_in_an_opening_parts_it(opening: int, least_px: int) -> None:
    classes = torch.full((1, HEIGHT_PX, 8), WALL, dtype=torch.uint8)
    classes[:, 40 : 40 + 2 * least_px - 1, 3] = opening
    assert (glazed(classes) == WINDOW).any()
    classes[:, 40 + least_px - 1, 3] = WALL
    assert torch.equal(glazed(classes), classes)


@pytest.mark.parametrize(("opening", "least_px"), OPENINGS)
def test_what_is_just_large_enough_has_panes_wherever_it_stands(opening: int, least_px: int) -> None:
    for top in range(HEIGHT_PX - least_px + 1):
        classes = torch.full((1, HEIGHT_PX, 8), WALL, dtype=torch.uint8)
        classes[:, top : top + least_px, 3] = opening
        assert (glazed(classes) == WINDOW).any()
        classes[:, top, 3] = WALL
        assert torch.equal(glazed(classes), classes)


def test_pictures_without_shops_and_doors_are_told_at_a_glance() -> None:
    assert glazing()(torch.full((2, HEIGHT_PX, WIDTH_PX), WINDOW, dtype=torch.uint8)) is None


def test_shops_may_reach_the_edges_of_a_picture() -> None:
    classes = torch.full((1, HEIGHT_PX, 64), SHOP, dtype=torch.uint8)
    found = glazed(classes)
    assert (found[:, : Glazing.sign_px] == SHOP).all() and (found[:, Glazing.sign_px :] == WINDOW).all()
    low = classes[:, : Glazing.least_shop_px - 1]
    assert torch.equal(glazed(low), low)
    assert (glazed(classes[:, : Glazing.least_shop_px])[:, Glazing.sign_px :] == WINDOW).all()


@pytest.mark.parametrize("opening", [SHOP, DOOR])
@pytest.mark.parametrize("first_px", [0, 30, 77, 103])
def test_wide_panes_are_parted_by_posts(first_px: int, opening: int) -> None:
    classes = torch.full((1, Glazing.least_shop_px, 600), WALL, dtype=torch.uint8)
    classes[:, :, first_px : first_px + 450] = opening
    row = glazed(classes)[0, Glazing.sign_px + 1, first_px : first_px + 450]
    found, lengths = row.unique_consecutive(return_counts=True)
    assert found[::2].eq(WINDOW).all() and found[1::2].eq(PILLAR).all()
    assert (
        Glazing.least_pane_px
        <= lengths[::2].min()
        <= lengths[::2].max()
        <= Glazing.pane_px + Glazing.least_pane_px
    )
    assert len(found) >= 7 and (lengths[1::2] == Glazing.post_px).all()


def test_posts_stand_where_panes_are_wide_enough_all_along_them() -> None:
    classes = torch.full((1, 200, Glazing.pane_px), SHOP, dtype=torch.uint8)
    classes[:, :60, 2 * Glazing.least_pane_px] = WALL
    rows = (glazed(classes) == PILLAR)[0].any(1)
    assert not rows[: 60 + Glazing.sign_px].any() and rows[60 + Glazing.sign_px :].all()


def test_posts_stand_where_they_do_in_the_whole_map() -> None:
    classes = torch.full((1, Glazing.least_shop_px, 900), SHOP, dtype=torch.uint8)
    whole = glazed(classes)
    with quiet():
        scripted = torch.jit.script(glazing())
    for left in (1, Glazing.pane_px, Glazing.pane_px + 32, 500):
        tile = classes[:, :, left:]
        for module in (glazing(), scripted):
            found = module(tile, left)
            kept = slice(Glazing.reach_px, None)
            assert torch.equal(found[:, :, kept], whole[:, :, left:][:, :, kept])


def test_each_map_of_a_batch_is_glazed_by_itself() -> None:
    walls = torch.full_like(class_maps(), WALL)
    found = glazed(torch.cat([class_maps(), walls]))
    assert torch.equal(found[:1], glazed(class_maps())) and torch.equal(found[1:], walls)


@pytest.mark.parametrize(
    ("opening", "height_px", "least_px"),
    [
        (SHOP, Glazing.least_shop_px, Glazing.reach_px - 1),
        (DOOR, Glazing.least_door_px, Glazing.least_door_px - 1),
        (DOOR, 200, Glazing.panel_px),
    ],
)
def test_nothing_further_away_than_the_reach_matters(opening: int, height_px: int, least_px: int) -> None:
    classes = torch.full((1, 400, 1), WALL, dtype=torch.uint8)
    classes[:, 100 : 100 + height_px] = opening
    reached = 0
    for changed_px in range(400):
        changed = classes.clone()
        changed[:, changed_px] = WALL + opening - classes[:, changed_px]
        differs = (glazed(changed) != glazed(classes))[0, :, 0].nonzero()[:, 0]
        reached = max([reached, *(differs - changed_px).abs().tolist()])
    assert least_px <= reached <= Glazing.reach_px


@pytest.mark.parametrize("missing", ["shop", "door", "window", "pillar"])
def test_classes_of_other_names_are_left_alone(missing: str) -> None:
    assert Glazing.of(["other" if name == missing else name for name in FACADES.classes]) is None


@pytest.mark.parametrize("opening", [SHOP, DOOR])
def test_panes_are_in_the_color_of_the_shop_or_the_door(opening: int) -> None:
    classes, colors = torch.full_like(class_maps(), WALL), torch.rand(1, 12, 3)
    classes[:, LARGE, FIRST] = opening
    recolored = colors.clone()
    recolored[:, WINDOW] = recolored[:, PILLAR] = colors[:, opening]
    made = generator(True)(classes, colors)
    expected = generator(False)(glazed(classes), recolored)
    assert (made.int() - expected.int()).abs().max() <= 1
    assert not torch.equal(made, generator(False)(classes, colors))


@pytest.mark.parametrize("opening", [SHOP, DOOR])
def test_posts_of_tiles_are_those_of_the_whole_picture(opening: int) -> None:
    classes, colors = torch.full((1, 96, 1248), opening, dtype=torch.uint8), torch.rand(1, 12, 3)
    made_by, left, context_px = generator(True), 544, LeanUNet.context_px + Glazing.reach_px
    whole = made_by(classes, colors)[..., left + context_px :]
    tile = made_by(classes[:, :, left:], colors, 0, left)[..., context_px:]
    assert tile.numel() and (tile.int() - whole.int()).abs().max() <= 1


def test_other_pictures_stay_as_they_are() -> None:
    classes, colors = class_maps(), torch.rand(1, 12, 3)
    classes[:, LARGE] = WALL
    assert torch.equal(generator(True)(classes, colors), generator(False)(classes, colors))
