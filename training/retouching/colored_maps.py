"""Label maps in colors, without their photos: what a refinement learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.data import mix_seeds, spread
from training.retouching.label_maps import sized

MOST_SIZE = 4.0  # longer sides of maps, of the size that the generator was trained at; most are smaller


class ColoredMap(NamedTuple):
    """One map in one set of colors. classes: uint8 (1, H, W); colors: (1, K, 3) in 0..1; top, left: where
    noise begins, px, whole numbers ()."""

    classes: Tensor
    colors: Tensor
    top: Tensor
    left: Tensor

    def to(self, device: torch.device) -> "ColoredMap":
        return ColoredMap(*(x.to(device) for x in self))


@dataclass(frozen=True, eq=False)
class ColoredMaps:
    """Label maps to be shown in colors.

    classes: uint8 (H, W) each; color_sets: (M, K, 3) in 0..1; native_size_px: that the generator was trained
    at.
    """

    classes: Sequence[Tensor]
    color_sets: Tensor
    native_size_px: int
    seed: int = 0

    def draw(self, number: int) -> ColoredMap:
        """Any map, mirrored or not, at its own size or smaller, in any colors; it follows from the number and
        the seed."""
        random = torch.Generator().manual_seed(mix_seeds(self.seed, 5, number))
        flip, size = torch.rand(2, generator=random).tolist()
        classes, colors = (
            rows[int(torch.randint(len(rows), (), generator=random))]
            for rows in (self.classes, self.color_sets)
        )
        top, left = torch.randint(4096, (2,), generator=random)
        classes = classes.flip(1) if flip < 0.5 else classes
        return self._colored(classes, colors, self.native_size_px * MOST_SIZE ** (size * size), top, left)

    def fixed(self, most: int, size: float = 1.0) -> list[ColoredMap]:
        """So many maps, that many times as large as those that the generator was trained at, and their
        colors, both spread over all there are; always the same."""
        start, count = torch.tensor(0), min(most, len(self.classes))
        return [
            self._colored(classes, colors, size * self.native_size_px, start, start)
            for classes, colors in zip(
                spread(self.classes, count), spread(list(self.color_sets), count), strict=True
            )
        ]

    @staticmethod
    def _colored(classes: Tensor, colors: Tensor, longest_px: float, top: Tensor, left: Tensor) -> ColoredMap:
        return ColoredMap(sized(classes, min(longest_px, max(classes.shape))), colors[None], top, left)
