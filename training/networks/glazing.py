"""Panes in large shops and doors, which a generator draws as it draws windows, in their own colors.

A shop that is larger than those seen in training comes out as letters, awnings, goods and passers-by all
over, each again and again; a large door as a flat, dark board. Windows as large have frames, panes and
reflections. So that is what the network is told they are, but for a band at the top of shops, which is for
signs, and one at the bottom of doors, which are moldings there.
"""

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor, nn

# Of pictures at their own resolution, whatever their size: a network knows nothing else.
LEAST_HEIGHT_PX = 96  # of what has panes
SIGN_PX, PANEL_PX = 28, 48  # of shops, at their top; of doors, at their bottom


class Glazing(nn.Module):
    """What classes are to be drawn as."""

    reach_px = LEAST_HEIGHT_PX  # how far away a class can matter

    def __init__(self, shop: int, door: int, window: int, molding: int) -> None:
        """The ids of the four classes."""
        super().__init__()
        self.shop: Final[int] = shop
        self.door: Final[int] = door
        self.window: Final[int] = window
        self.molding: Final[int] = molding
        self.least_height_px: Final[int] = LEAST_HEIGHT_PX
        self.glance_px: Final[int] = LEAST_HEIGHT_PX // 3
        self.sign_px: Final[int] = SIGN_PX
        self.panel_px: Final[int] = PANEL_PX

    @classmethod
    def of(cls, classes: Sequence[str]) -> Self | None:
        """For classes of these names; None if some are missing."""
        names = ("shop", "door", "window", "molding")
        return cls(*map(classes.index, names)) if set(names) <= set(classes) else None

    def forward(self, classes: Tensor) -> Tensor | None:
        """Class maps, uint8 (N, H, W), as they are to be drawn; None where that is seen at a glance to be as
        they are."""
        if not self._may_have_tall(classes):
            return None
        shops, doors = classes == self.shop, classes == self.door
        tall_shops, tall_doors = self._tall(shops), self._tall(doors)
        below_sign = _lasting(shops, self.sign_px + 1, False)
        above_panel = _lasting(doors.flip(1), self.panel_px + 1, False).flip(1)
        panes = (tall_shops & below_sign) | (tall_doors & above_panel)
        return classes.masked_fill(tall_doors, self.molding).masked_fill(panes, self.window)

    def _may_have_tall(self, classes: Tensor) -> bool:
        """False for most pictures, by one row in 32: it takes next to no time."""
        rows = classes[:, :: self.glance_px]  # of what is tall at least three in a row
        last = rows[:, 2:]
        lasting = (last == rows[:, 1:-1]) & (last == rows[:, :-2])
        return bool((lasting & ((last == self.shop) | (last == self.door))).any())

    def _tall(self, mask: Tensor) -> Tensor:
        """What of a mask (N, H, W) is in columns of True that are long enough."""
        ends = _lasting(mask, self.least_height_px, False)
        return ~_lasting(~ends.flip(1), self.least_height_px, True).flip(1)


def _lasting(mask: Tensor, length_px: int, beyond: bool) -> Tensor:
    """Where a mask (N, H, W) has been True for so long, from above on; beyond: what is above its edge."""
    height, reached = mask.size(1), 1
    while reached < length_px:  # up to twice as far each time
        step = min(reached, length_px - reached)
        over = mask.new_full((mask.size(0), min(step, height), mask.size(2)), beyond)
        mask = mask & torch.cat([over, mask[:, : height - min(step, height)]], dim=1)
        reached += step
    return mask
