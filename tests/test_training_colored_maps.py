"""Label maps in colors: each follows from its number and the seed, at any size, mirrored or not."""

from dataclasses import replace

import torch

from facadegen.palettes import FACADES
from training.retouching.colored_maps import ColoredMaps

SIDE_PX = 128
SHOP = FACADES.index_of("shop")


def colored_maps() -> ColoredMaps:
    """Of a map with a shop in its left corner, in three sets of colors."""
    classes = torch.zeros(SIDE_PX, SIDE_PX, dtype=torch.uint8)
    classes[-SIDE_PX // 4 :, : SIDE_PX // 4] = SHOP
    return ColoredMaps([classes], torch.rand(3, len(FACADES.classes), 3), SIDE_PX // 2)


def test_maps_follow_from_their_number_and_the_seed() -> None:
    found = colored_maps()
    for number in range(4):
        drawn, again = found.draw(number), found.draw(number)
        assert all(torch.equal(x, y) for x, y in zip(drawn[:4], again[:4], strict=True))
    assert not torch.equal(found.draw(0).top, replace(found, seed=1).draw(0).top)


def test_maps_are_of_all_sizes_and_mirrored_or_not() -> None:
    found = colored_maps()
    drawn = [found.draw(number).classes[0] for number in range(24)]
    assert {max(classes.shape) for classes in drawn} == {64, 96, 128}
    assert {tuple((classes[-1, [0, -1]] == SHOP).tolist()) for classes in drawn} == {
        (True, False),
        (False, True),
    }


def test_fixed_maps_are_small_and_each_in_colors_of_its_own() -> None:
    found = replace(colored_maps(), classes=[*colored_maps().classes, *colored_maps().classes])
    fixed = found.fixed(5)
    assert len(fixed) == 2 and not torch.equal(fixed[0].colors, fixed[1].colors)
    assert all(max(shown.classes.shape) == SIDE_PX // 2 for shown in fixed)
    assert all(max(shown.classes.shape) == SIDE_PX for shown in found.fixed(5, 2.0))
