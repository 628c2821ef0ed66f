"""Panes: large shops and doors are drawn as windows, below signs and above moldings, in their own colors."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.networks.glazing import LEAST_HEIGHT_PX, PANEL_PX, SIGN_PX, Glazing
from training.networks.lean_unet import LeanUNet
from training.networks.scripted import ScriptedGenerator
from training.recipes import colored_classes

WALL, SHOP, DOOR, WINDOW, MOLDING = (
    FACADES.index_of(name) for name in ("facade", "shop", "door", "window", "molding")
)
HEIGHT_PX, WIDTH_PX, TOP_PX = 256, 192, 100
LARGE, LOW = slice(TOP_PX, TOP_PX + 120), slice(TOP_PX, TOP_PX + LEAST_HEIGHT_PX - 1)
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


def test_large_shops_have_windows_below_signs_and_large_doors_above_moldings() -> None:
    expected = class_maps()
    expected[:, TOP_PX + SIGN_PX : LARGE.stop, FIRST] = WINDOW
    expected[:, TOP_PX : LARGE.stop - PANEL_PX, SECOND] = WINDOW
    expected[:, LARGE.stop - PANEL_PX : LARGE.stop, SECOND] = MOLDING
    assert torch.equal(glazed(class_maps()), expected)


def test_what_stands_in_a_shop_parts_it() -> None:
    classes = class_maps()
    classes[:, TOP_PX + 60, FIRST] = classes[:, TOP_PX + 60, SECOND] = WALL
    assert torch.equal(glazed(classes), classes)


@pytest.mark.parametrize("opening", [SHOP, DOOR])
def test_what_is_just_large_enough_has_panes_wherever_it_stands(opening: int) -> None:
    for top in range(HEIGHT_PX - LEAST_HEIGHT_PX + 1):
        classes = torch.full((1, HEIGHT_PX, 8), WALL, dtype=torch.uint8)
        classes[:, top : top + LEAST_HEIGHT_PX, 3] = opening
        assert (glazed(classes) == WINDOW).any()


def test_pictures_without_shops_and_doors_are_told_at_a_glance() -> None:
    assert glazing()(torch.full((2, HEIGHT_PX, WIDTH_PX), WINDOW, dtype=torch.uint8)) is None


def test_shops_may_reach_the_edges_of_a_picture() -> None:
    classes = torch.full((1, HEIGHT_PX, 64), SHOP, dtype=torch.uint8)
    found = glazed(classes)
    assert (found[:, :SIGN_PX] == SHOP).all() and (found[:, SIGN_PX:] == WINDOW).all()
    low = classes[:, : LEAST_HEIGHT_PX - 1]
    assert torch.equal(glazed(low), low)
    assert (glazed(classes[:, :LEAST_HEIGHT_PX])[:, SIGN_PX:] == WINDOW).all()


def test_each_map_of_a_batch_is_glazed_by_itself() -> None:
    walls = torch.full_like(class_maps(), WALL)
    found = glazed(torch.cat([class_maps(), walls]))
    assert torch.equal(found[:1], glazed(class_maps())) and torch.equal(found[1:], walls)


def test_nothing_further_away_than_the_reach_matters() -> None:
    classes = torch.full((1, 400, 1), WALL, dtype=torch.uint8)
    classes[:, 100 : 100 + LEAST_HEIGHT_PX] = SHOP
    reached = 0
    for changed_px in range(400):
        changed = classes.clone()
        changed[:, changed_px] = WALL + SHOP - classes[:, changed_px]
        differs = (glazed(changed) != glazed(classes))[0, :, 0].nonzero()[:, 0]
        reached = max(reached, int((differs - changed_px).abs().max()))
    assert Glazing.reach_px - 2 < reached <= Glazing.reach_px


@pytest.mark.parametrize("missing", ["shop", "door", "window", "molding"])
def test_classes_of_other_names_are_left_alone(missing: str) -> None:
    assert Glazing.of(["other" if name == missing else name for name in FACADES.classes]) is None


@pytest.mark.parametrize("opening", [SHOP, DOOR])
def test_panes_are_in_the_color_of_the_shop_or_the_door(opening: int) -> None:
    classes, colors = torch.full_like(class_maps(), WALL), torch.rand(1, 12, 3)
    classes[:, LARGE, FIRST] = opening
    recolored = colors.clone()
    recolored[:, WINDOW] = recolored[:, MOLDING] = colors[:, opening]
    made = generator(True)(classes, colors)
    expected = generator(False)(glazed(classes), recolored)
    assert (made.int() - expected.int()).abs().max() <= 1
    assert not torch.equal(made, generator(False)(classes, colors))


def test_other_pictures_stay_as_they_are() -> None:
    classes, colors = class_maps(), torch.rand(1, 12, 3)
    classes[:, LARGE] = WALL
    assert torch.equal(generator(True)(classes, colors), generator(False)(classes, colors))
