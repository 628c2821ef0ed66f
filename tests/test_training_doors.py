"""Doors: small pictures are to have those that larger ones of the same maps have."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.networks.glazing import PANEL_PX
from training.retouching.colored_maps import ColoredMap
from training.retouching.doors import DOOR_WEIGHT, retouched
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched

WALL, DOOR, WINDOW = (FACADES.index_of(name) for name in ("facade", "door", "window"))
SIDE_PX = 64
DOOR_PX = 40  # high; three times as high it has panes, twice as high none
PLACE = (slice(None), slice(None), slice(20, 20 + DOOR_PX), slice(20, 36))


class Painter(nn.Module):
    """Paints each pixel as light as the map is high, in units of its first one's height, and doors' left
    leaves and panes lighter; notes what it painted."""

    def __init__(self) -> None:
        super().__init__()
        self.painted: list[tuple[int, ...]] = []

    def forward(
        self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor, drawn_as: Tensor | None = None
    ) -> Tensor:
        self.painted.append(tuple(classes.shape[1:]))
        assert drawn_as is not None and drawn_as.shape == classes.shape
        light = torch.full(classes.shape, classes.shape[1] / SIDE_PX / 10)
        times = classes.shape[1] // SIDE_PX
        light[:, :, 20 * times : 28 * times] += 0.5 * (classes == DOOR)[:, :, 20 * times : 28 * times]
        light += 0.2 * (drawn_as == WINDOW)
        return light[:, None].expand(-1, 3, -1, -1)


def retouched_at(native_size_px: int, painter: Painter, door: int = DOOR) -> Retouched:
    classes = torch.full((1, SIDE_PX, SIDE_PX), WALL, dtype=torch.uint8)
    classes[:, 20 : 20 + DOOR_PX, 20:36] = door
    drawn = ColoredMap(classes, torch.rand(1, len(FACADES.classes), 3), drawn_as=classes)
    parts = Parts.of(FACADES, native_size_px, torch.device("cpu"))
    picture = painter(*drawn)
    painter.painted.clear()
    return retouched(picture, drawn, painter, parts)


@pytest.mark.parametrize(("native_size_px", "times"), [(SIDE_PX, 3), (SIDE_PX // 3 * 2, 2)])
def test_doors_alone_are_those_of_a_larger_picture(native_size_px: int, times: int) -> None:
    wanted, weight, loose = retouched_at(native_size_px, painter := Painter())
    assert painter.painted == [(times * SIDE_PX, times * SIDE_PX)]
    rest = torch.ones_like(weight).bool()
    rest[PLACE] = False
    left, right = wanted[PLACE].split(8, dim=3)
    above_panel = (torch.arange(DOOR_PX) < DOOR_PX - PANEL_PX // times)[:, None] & (times == 3)
    torch.testing.assert_close(right, (times / 10 + 0.2 * above_panel).expand_as(right))
    torch.testing.assert_close(left, right + 0.5)
    torch.testing.assert_close(wanted.mean(1, True)[rest], torch.full((int(rest.sum()),), 0.1))
    assert (weight[PLACE] == DOOR_WEIGHT).all() and (weight[rest] == 1).all()
    assert torch.equal(loose > 0, ~rest)


@pytest.mark.parametrize(("native_size_px", "door"), [(SIDE_PX // 2 - 8, DOOR), (SIDE_PX, WALL)])
def test_large_pictures_and_those_without_doors_stay(native_size_px: int, door: int) -> None:
    wanted, weight, loose = retouched_at(native_size_px, painter := Painter(), door)
    assert not painter.painted
    assert float(wanted[..., :20].mean()) == pytest.approx(0.1)
    assert (weight == 1).all() and not loose.any()
