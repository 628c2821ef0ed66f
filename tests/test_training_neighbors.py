"""Neighbors' walls: a small picture of a large map tells where they are, and what color they have."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.networks.lean_unet import LeanUNet
from training.networks.neighbors import Neighbors
from training.networks.scripted import ScriptedGenerator
from training.recipes import colored_classes

BACKGROUND, WALL, WINDOW = (FACADES.index_of(name) for name in ("background", "facade", "window"))
CLASS_COUNT = len(FACADES.classes)
NATIVE_PX, TIMES, STRIDE = 128, 4, 32
SIDE_PX = TIMES * NATIVE_PX
LEFT, RIGHT, TOP, STREET = 130, 390, 200, 480  # of the building in a large map: columns, first and last row
ROOFLINES = (120, 260)  # of the left and the right neighbor in it
SKY, WALLS, STREETS = (0.75, 0.8, 0.85), ((0.3, 0.2, 0.0), (-0.2, -0.3, -0.4)), (-0.5, -0.5, -0.5)


def neighbors() -> Neighbors:
    found = Neighbors.of(FACADES.classes, NATIVE_PX, STRIDE)
    assert found is not None
    return found


def class_map() -> Tensor:
    """A house (1, H, W) in wide surroundings, with a window that is labelled in the right neighbor."""
    classes = torch.full((1, SIDE_PX, SIDE_PX), BACKGROUND, dtype=torch.uint8)
    classes[:, TOP:STREET, LEFT:RIGHT] = WALL
    classes[:, 320:400, 440:480] = WINDOW
    return classes


def picture(rooflines: tuple[int, int] = ROOFLINES, sky: tuple[float, ...] = SKY) -> Tensor:
    """What a small picture (1, 3, h, w) shows of it: neighbors of two colors, a sky and the street."""
    made = torch.tensor(sky).view(1, 3, 1, 1).repeat(1, 1, NATIVE_PX, NATIVE_PX)
    halves = (slice(NATIVE_PX // 2), slice(NATIVE_PX // 2, None))
    for columns, roofline, wall in zip(halves, rooflines, WALLS, strict=True):
        made[:, :, roofline // TIMES :, columns] = torch.tensor(wall).view(3, 1, 1)
    made[:, :, TOP // TIMES : STREET // TIMES, LEFT // TIMES : RIGHT // TIMES] = 0.1
    made[:, :, : TOP // TIMES, LEFT // TIMES : RIGHT // TIMES] = torch.tensor(sky).view(3, 1, 1)
    made[:, :, STREET // TIMES :] = torch.tensor(STREETS).view(3, 1, 1)
    return made


def found_in(far: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """The map (H, W) with neighbors' walls, and all colors (P, 3), those of classes being 0.5."""
    colors = torch.full((1, CLASS_COUNT, 3), 0.5)
    told, shown = neighbors()(classes, colors, neighbors().from_afar(classes), far)
    assert told.dtype == torch.uint8 and torch.equal(shown[:, :CLASS_COUNT], colors)
    return told[0], shown[0]


def test_walls_beside_the_building_are_told_from_their_rooflines_to_the_street() -> None:
    told, colors = found_in(picture(), class_map())
    was = class_map()[0]
    for number, (columns, roofline) in enumerate(
        zip((slice(LEFT), slice(RIGHT, None)), ROOFLINES, strict=True), CLASS_COUNT
    ):
        walls = (told[:, columns] == number) | (was[:, columns] == WINDOW)
        first = int(walls[:, 5].int().argmax())
        assert abs(first - roofline) <= TIMES and walls[first:STREET].all() and not walls[:first].any()
        torch.testing.assert_close(2 * colors[number] - 1, torch.tensor(WALLS[number - CLASS_COUNT]))
    assert torch.equal(told[STREET:], was[STREET:])
    assert torch.equal(told < CLASS_COUNT, told == was)
    assert torch.equal(told[:, LEFT:RIGHT], was[:, LEFT:RIGHT])


def test_a_patch_of_sky_in_a_wall_is_wall() -> None:
    far = picture()
    far[:, :, 70:90, 4:20] = torch.tensor(SKY).view(3, 1, 1)
    told, colors = found_in(far, class_map())
    assert torch.equal(told, found_in(picture(), class_map())[0])
    torch.testing.assert_close(2 * colors[CLASS_COUNT] - 1, torch.tensor(WALLS[0]))


def test_where_there_is_but_sky_nothing_is_told() -> None:
    told, colors = found_in(picture((STREET, STREET)), class_map())
    assert torch.equal(told, class_map()[0]) and len(colors) == CLASS_COUNT + 1


def test_without_a_sky_all_that_is_beside_the_building_is_wall() -> None:
    told, _ = found_in(picture((0, 0), WALLS[0]), class_map())
    assert (told[:STREET, : LEFT - TIMES] == CLASS_COUNT).all()


def test_walls_end_above_what_is_labelled_in_them() -> None:
    classes = class_map()
    classes[:, 60:100, 440:480] = WINDOW
    told, _ = found_in(picture(), classes)
    assert told[55, 460] == CLASS_COUNT + 1 and told[20, 460] == BACKGROUND


def test_walls_end_where_the_building_does_whatever_lies_below_it() -> None:
    classes = class_map()
    classes[:, STREET:490, 250:300] = WINDOW  # a door, say
    classes[:, 500, 7] = WALL  # a stray pixel
    told, _ = found_in(picture(), classes)
    assert (told[489, :LEFT] == CLASS_COUNT).all() and (told[490:, :LEFT] < CLASS_COUNT).all()


def test_where_nothing_is_labelled_nothing_is_told() -> None:
    classes = torch.full_like(class_map(), BACKGROUND)
    told, _ = found_in(picture(), classes)
    assert torch.equal(told, classes[0])


def test_edges_are_those_of_the_large_map() -> None:
    for shift in range(TIMES):
        classes = class_map()
        classes[:, TOP:STREET, LEFT : LEFT + shift] = BACKGROUND
        classes[:, TOP:STREET, RIGHT - shift : RIGHT] = BACKGROUND
        told, _ = found_in(picture(), classes)
        row = told[300]
        assert not (row == BACKGROUND).any()
        assert (row[LEFT + shift : RIGHT - shift] == WALL).all()


def test_what_is_too_fine_to_be_seen_from_afar_does_not_part_a_wall() -> None:
    classes = class_map()
    classes[:, 300:400, 59:62] = WALL
    assert not (neighbors().from_afar(classes)[:, :, : LEFT // TIMES] == WALL).any()
    told, _ = found_in(picture(), classes)
    assert (told[200, : LEFT - TIMES] == CLASS_COUNT).all()


@pytest.mark.parametrize(("roofline", "first"), [(8, 0), (16, 16), (340, 340), (380, None)])
def test_rooflines_are_at_the_upper_edge_or_well_above_the_street(roofline: int, first: int | None) -> None:
    told, _ = found_in(picture((roofline, ROOFLINES[1])), class_map())
    walls = (told[:, 5] >= CLASS_COUNT).int()
    if first is None:
        assert not walls.any()
    else:
        assert abs(int(walls.argmax()) - first) <= (TIMES if first else 0)


@pytest.mark.parametrize(("width", "is_told"), [(8, False), (40, True)])
def test_a_strip_at_the_edge_is_no_neighbor(width: int, is_told: bool) -> None:
    classes = class_map()
    classes[:, TOP:STREET, width:LEFT] = WALL
    told, _ = found_in(picture(), classes)
    assert (told[300, : width - TIMES] >= CLASS_COUNT).any() == is_told


def test_each_map_of_a_batch_has_its_own_neighbors() -> None:
    batch = torch.cat([class_map(), class_map().flip(2), class_map()])
    far = torch.cat([picture(), picture().flip(3), picture((STREET, STREET))])
    colors = torch.rand(3, CLASS_COUNT, 3)
    told, shown = neighbors()(batch, colors, neighbors().from_afar(batch), far)
    assert torch.equal(told[2], class_map()[0])
    for number in range(2):
        own, its = found_in(far[number : number + 1], batch[number : number + 1])
        assert torch.equal(told[number], own) and torch.equal(shown[number, CLASS_COUNT:], its[CLASS_COUNT:])


@pytest.mark.parametrize("size", [(512, 512), (1024, 96), (100, 3000), (4096, 4096)])
def test_from_afar_a_map_is_as_large_as_those_trained_at(size: tuple[int, int]) -> None:
    blocks = torch.arange(4, dtype=torch.uint8).view(1, 2, 2)
    classes = blocks.repeat_interleave(size[0] // 2, 1).repeat_interleave(size[1] // 2, 2)
    far = neighbors().from_afar(classes)
    _, height, width = far.shape
    assert max(height, width) == NATIVE_PX and min(height, width) >= 64
    assert height % STRIDE == 0 and width % STRIDE == 0
    assert torch.equal(far, blocks.repeat_interleave(height // 2, 1).repeat_interleave(width // 2, 2))


def test_from_afar_the_middle_of_what_is_seen_counts() -> None:
    rows, columns = (torch.arange(SIDE_PX, dtype=torch.uint8) % TIMES for _ in range(2))
    far = neighbors().from_afar((10 * rows[:, None] + columns)[None])
    assert (far == 10 * (TIMES // 2) + TIMES // 2).all()


@pytest.mark.parametrize("missing", ["facade", "background"])
def test_classes_of_other_names_have_no_neighbors(missing: str) -> None:
    names = ["other" if name == missing else name for name in FACADES.classes]
    assert Neighbors.of(names, NATIVE_PX, STRIDE) is None


def test_of_so_many_classes_that_neighbors_would_have_no_ids_none_are_told() -> None:
    names = [*FACADES.classes, *(f"other {number}" for number in range(256 - CLASS_COUNT))]
    assert Neighbors.of(names, NATIVE_PX, STRIDE) is None
    assert Neighbors.of(names[:200], NATIVE_PX, STRIDE) is not None


class Painter(LeanUNet):
    """Of random weights and without noise; of small maps it makes the picture above."""

    small: Tensor

    def __init__(self) -> None:
        super().__init__(colored_classes(FACADES), widths=(8, 8, 8, 8), detail_width=8)
        self.register_buffer("small", picture())

    def forward(
        self, classes: Tensor, colors: Tensor, top: int, left: int, drawn_as: Tensor | None = None
    ) -> Tensor:
        if classes.size(2) == self.small.size(3):
            return self.small.expand(len(classes), -1, -1, -1)
        return super().forward(classes, colors, top, left, drawn_as)


def generator(with_neighbors: bool = True) -> ScriptedGenerator:
    torch.manual_seed(0)
    network = Painter().eval()
    network.noise.zero_()
    nn.init.normal_(network.head.weight, std=0.5)
    found = neighbors() if with_neighbors else None
    module = ScriptedGenerator(network, nn.Identity(), torch.rand(1, CLASS_COUNT, 3), 64, None, found)
    return module.requires_grad_(False)


def test_neighbors_walls_are_drawn_as_walls_in_their_own_colors() -> None:
    classes, colors = class_map(), torch.rand(1, CLASS_COUNT, 3)
    made = generator()(classes, colors)
    told, shown = generator().prepare(classes, colors)
    for number in (CLASS_COUNT, CLASS_COUNT + 1):
        in_its_color = colors.clone()
        in_its_color[:, WALL] = shown[:, number]
        expected = generator(False)(told.masked_fill(told >= CLASS_COUNT, WALL), in_its_color)
        far_from_others = (told == number)[0]
        far_from_others[:, LEFT - 64 : RIGHT + 64] = False
        off = (made.int() - expected.int()).abs()[0, :, far_from_others]
        assert off.shape[1] > 10_000 and off.max() <= 1


def test_what_is_prepared_is_not_prepared_again() -> None:
    classes, colors = class_map(), torch.rand(1, CLASS_COUNT, 3)
    prepared = generator().prepare(classes, colors)
    again = generator().prepare(*prepared)
    assert all(torch.equal(x, y) for x, y in zip(prepared, again, strict=True))
    assert torch.equal(generator()(*prepared), generator()(classes, colors))


@pytest.mark.parametrize("row", range(STREET, STREET + 32, 5))
def test_a_single_row_of_surroundings_is_seen(row: int) -> None:
    classes, colors = torch.full_like(class_map(), WALL), torch.rand(1, CLASS_COUNT, 3)
    classes[:, row] = BACKGROUND
    alone, _ = generator().prepare(classes, colors)
    beside, _ = generator().prepare(torch.cat([class_map(), classes]), colors.expand(2, -1, -1))
    assert torch.equal(alone[0], beside[1])
    assert generator().prepare(classes, colors)[1].shape[1] > CLASS_COUNT  # so tiles are known to be prepared


def test_small_maps_and_those_without_surroundings_stay_as_they_are() -> None:
    colors = torch.rand(1, CLASS_COUNT, 3)
    for classes in (class_map()[:, ::4, ::4], torch.full_like(class_map(), WALL)):
        told, shown = generator().prepare(classes, colors)
        assert told is classes and torch.equal(shown[:, :CLASS_COUNT], colors)
        assert shown.shape[1] == CLASS_COUNT + 1
