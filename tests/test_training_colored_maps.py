"""Label maps in colors: each follows from its number and the seed, at any size, mirrored or not."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.networks.neighbors import Neighbors
from training.retouching.colored_maps import ColoredMap, ColoredMaps

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


class Town(nn.Module):
    """Paints a dark wall below the upper third, light sky above, whatever the map is."""

    def forward(self, classes: Tensor, colors: Tensor, top: int, left: int) -> Tensor:
        rows = torch.linspace(0, 1, classes.shape[1]).view(1, 1, -1, 1)
        return torch.where(rows < 1 / 3, 0.8, -0.4).expand(1, 3, *classes.shape[1:])


def test_large_maps_are_as_exported_generators_are_told_them() -> None:
    drawn = colored_maps().fixed(1, 2.0)[0]
    neighbors = Neighbors.of(FACADES.classes, SIDE_PX // 2, 32)
    told = drawn.in_use(Town(), neighbors)
    wall, count = FACADES.index_of("facade"), len(FACADES.classes)
    assert told.drawn_as is not None
    assert torch.equal(told.classes == count, told.drawn_as == wall) and (told.classes == count).any()
    assert torch.equal(told.classes < count, told.classes == drawn.classes)
    assert told.colors.shape == (1, count + 1, 3) and float(told.colors[0, count].mean()) < 0.4
    small = colored_maps().fixed(1)[0]
    assert small.in_use(Town(), neighbors) is small and drawn.in_use(Town(), None) is drawn


def test_mirrored_maps_are_drawn_as_the_same_classes() -> None:
    classes, drawn_as = (torch.randint(0, 12, (1, 4, 6), dtype=torch.uint8) for _ in range(2))
    shown = ColoredMap(classes, torch.rand(1, 12, 3), torch.tensor(3), torch.tensor(5), drawn_as)
    mirrored = shown.mirrored()
    assert mirrored.drawn_as is not None and torch.equal(mirrored.drawn_as, drawn_as.flip(2))
    assert torch.equal(mirrored.classes, classes.flip(2)) and mirrored[1:4] == shown[1:4]
    assert shown._replace(drawn_as=None).mirrored().drawn_as is None
