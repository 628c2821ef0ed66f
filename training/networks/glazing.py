"""Panes in large shops and in doors, which a generator draws as it draws windows, in their own colors.

A shop that is larger than those seen in training comes out as letters, awnings, goods and passers-by all
over, each again and again. A door comes out with the same lit arch as any other, like a keyhole, and a large
one as a flat, dark board. Windows have frames, panes and reflections. So that is what the network is told
they are, but for a band at the top of shops, which is for signs, and one at the bottom of doors: their
panels, which are pillars there, for these are carved. Panes wider than windows come out without frames, so
they are parted by posts, which are pillars, too.
"""

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor, nn


class Glazing(nn.Module):
    """What classes are to be drawn as."""

    # Of pictures at their own resolution, whatever their size: a network knows nothing else.
    least_shop_px: Final[int] = 96  # high, what has panes
    least_door_px: Final[int] = 24
    sign_px: Final[int] = 28  # of shops, at their top
    panel_px: Final[int] = 48  # of doors, at their bottom, or `panel_fifths` of what is lower
    panel_fifths: Final[int] = 3
    post_px: Final[int] = 10  # wide, one every `pane_px`, if that leaves `least_pane_px` on both sides of it
    pane_px: Final[int] = 104
    least_pane_px: Final[int] = 40
    # How far away a class can matter: up to the height from which on panels are as high as they get, say.
    reach_px: Final[int] = max(
        least_shop_px, least_door_px, -(-panel_px * 5 // panel_fifths), 2 * least_pane_px + post_px
    )

    def __init__(self, shop: int, door: int, window: int, pillar: int) -> None:
        """The ids of the four classes."""
        super().__init__()
        self.shop: Final[int] = shop
        self.door: Final[int] = door
        self.window: Final[int] = window
        self.pillar: Final[int] = pillar

    @classmethod
    def of(cls, classes: Sequence[str]) -> Self | None:
        """For classes of these names; None if some are missing."""
        names = ("shop", "door", "window", "pillar")
        return cls(*map(classes.index, names)) if set(names) <= set(classes) else None

    def forward(self, classes: Tensor, left: int = 0) -> Tensor | None:
        """Class maps, uint8 (N, H, W), as they are to be drawn; None where that is seen at a glance to be as
        they are. left: of these in their whole maps, px."""
        of_shops = _columns(classes, self.shop, self.least_shop_px)
        of_doors = _columns(classes, self.door, self.least_door_px)
        if len(of_shops) + len(of_doors) == 0:
            return None
        drawn_as = classes.clone()
        drawn_as[:, :, of_shops] = self._shops(drawn_as[:, :, of_shops])
        drawn_as[:, :, of_doors] = self._doors(drawn_as[:, :, of_doors])
        self._place_posts(drawn_as, (drawn_as == self.window) & (classes != self.window), left)
        return drawn_as

    def _shops(self, classes: Tensor) -> Tensor:
        down, height = _measured(classes == self.shop, self.reach_px)
        is_pane = (height >= self.least_shop_px) & (down > self.sign_px)
        return classes.masked_fill(is_pane, self.window)

    def _doors(self, classes: Tensor) -> Tensor:
        up, height = _measured(classes.flip(1) == self.door, self.reach_px)
        is_panel = up <= (height * self.panel_fifths // 5).clamp(max=self.panel_px)
        is_tall = (height >= self.least_door_px).flip(1)
        return classes.masked_fill(is_tall, self.window).masked_fill(is_tall & is_panel.flip(1), self.pillar)

    def _place_posts(self, drawn_as: Tensor, is_pane: Tensor, left: int) -> None:
        """Draws posts into `drawn_as`, where all around them is pane."""
        before_px, around_px = self.least_pane_px, self.least_pane_px + self.post_px + self.least_pane_px
        for first in range(-left % self.pane_px, drawn_as.size(2) - around_px + 1, self.pane_px):
            is_wide = is_pane[:, :, first : first + around_px].all(2, keepdim=True)
            post = drawn_as[:, :, first + before_px : first + before_px + self.post_px]
            post.masked_fill_(is_wide, self.pillar)


def _columns(classes: Tensor, which: int, length_px: int) -> Tensor:
    """The numbers of the columns where a class lasts for so long in any of the maps (N, H, W), and of few
    others, by a few rows: it takes next to no time."""
    is_there = classes[:, :: length_px // 3] == which  # of what is as long at least three in a row
    may_last = is_there[:, 2:] & is_there[:, 1:-1] & is_there[:, :-2]
    return may_last.flatten(0, 1).any(0).nonzero()[:, 0]


def _measured(mask: Tensor, longest_px: int) -> tuple[Tensor, Tensor]:
    """For how long a mask (N, H, W) has been True, from above on, and how long its columns of True are, px,
    int16: exact up to that length; what is longer counts as at least that long."""
    down, up = _run(mask, longest_px), _run(mask.flip(1), longest_px).flip(1)
    return down, down + up - 1


def _run(mask: Tensor, longest_px: int) -> Tensor:
    run, reached = mask.to(torch.int16), 1
    while reached < longest_px:  # up to twice as far each time
        run[:, reached:] += run[:, :-reached] * (run[:, reached:] == reached)
        reached *= 2
    return run
