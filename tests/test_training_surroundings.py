"""Surroundings: where a large picture's are in other colors than a small one's, they are to be like those."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched
from training.retouching.surroundings import LOWEST, TOLERANCE, UNLIKE_WEIGHT, retouched

NATIVE_PX, SIDE_PX = 64, 256
WALL, SKY, BUILDING = 0.0, 0.9, -0.5
STREET = round(LOWEST * SIDE_PX)


class Blind(nn.Module):
    """Sees a wall in surroundings of small maps; of large ones a hole as well, in their right half."""

    def __init__(self, hole: float = SKY) -> None:
        super().__init__()
        self.hole = hole
        self.widths_px: list[int] = []

    def forward(self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor) -> Tensor:
        self.widths_px.append(classes.shape[2])
        picture = torch.where(classes == 0, WALL, BUILDING)[:, None].repeat(1, 3, 1, 1)
        if classes.shape[2] > 2 * NATIVE_PX:
            half = picture[..., classes.shape[2] // 2 :]
            half[half == WALL] = self.hole
        return picture


def retouched_by(generator: Blind, native_size_px: int = NATIVE_PX) -> Retouched:
    """Of a map with as much surroundings as facade above them."""
    classes = torch.zeros(1, SIDE_PX, SIDE_PX, dtype=torch.uint8)
    classes[:, : SIDE_PX // 2] = FACADES.index_of("facade")
    drawn = ColoredMap(classes, torch.rand(1, len(FACADES.classes), 3), torch.tensor(0), torch.tensor(0))
    parts = Parts.of(FACADES, native_size_px, torch.device("cpu"))
    return retouched(generator(*drawn), drawn, generator, parts)


def test_a_hole_in_surroundings_is_closed_by_what_is_seen_from_further_away() -> None:
    blind = Blind()
    wanted, weight, _ = retouched_by(blind)
    assert blind.widths_px == [SIDE_PX, NATIVE_PX]
    hole = (0, slice(None), slice(SIDE_PX // 2 + 8, STREET), slice(SIDE_PX // 2 + 8, None))
    assert (wanted[hole] - WALL).abs().max() < 0.01
    assert (weight[hole] - (1 + UNLIKE_WEIGHT)).abs().max() < 0.05


def test_all_else_stays_as_it_is() -> None:
    blind = Blind()
    wanted, weight, _ = retouched_by(blind)
    assert torch.equal(wanted[:, :, : SIDE_PX // 2], torch.full_like(wanted[:, :, : SIDE_PX // 2], BUILDING))
    assert (weight[:, :, : SIDE_PX // 2] == 1).all() and (weight[..., : SIDE_PX // 4] == 1).all()
    street = wanted[0, 0, STREET:, SIDE_PX // 2 :]
    assert torch.equal(street, torch.full_like(street, SKY)) and (weight[:, :, STREET:] == 1).all()


@pytest.mark.parametrize(
    ("hole", "native_size_px"), [(WALL + TOLERANCE - 0.05, NATIVE_PX), (SKY, SIDE_PX)], ids=["alike", "small"]
)
def test_what_is_tolerated_and_small_pictures_stay(hole: float, native_size_px: int) -> None:
    wanted, weight, _ = retouched_by(Blind(hole), native_size_px)
    assert float(wanted.max()) == pytest.approx(hole) and (weight == 1).all()
