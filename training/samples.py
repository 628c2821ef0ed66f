"""Samples of a refinement: label maps in colors, without their photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.data import mix_seeds, spread
from training.label_maps import sized

MOST_SIZE = 4.0  # longer sides of maps, of the size that the generator was trained at; most are smaller


class Sample(NamedTuple):
    """One map in one set of colors. classes: uint8 (1, H, W); colors: (1, K, 3) in 0..1; top, left: where
    noise begins, px, whole numbers ()."""

    classes: Tensor
    colors: Tensor
    top: Tensor
    left: Tensor

    def to(self, device: torch.device) -> "Sample":
        return Sample(*(x.to(device) for x in self))


@dataclass(frozen=True, eq=False)
class Samples:
    """Label maps in colors, each sample following from its number and the seed.

    maps: uint8 (H, W) each; color_sets: (M, K, 3) in 0..1; native_size_px: that the generator was trained at.
    """

    maps: Sequence[Tensor]
    color_sets: Tensor
    native_size_px: int
    seed: int = 0

    def draw(self, number: int) -> Sample:
        """Any map, mirrored or not, at its own size or smaller, in any colors."""
        random = torch.Generator().manual_seed(mix_seeds(self.seed, 5, number))
        flip, size = torch.rand(2, generator=random).tolist()
        classes, colors = (
            rows[int(torch.randint(len(rows), (), generator=random))] for rows in (self.maps, self.color_sets)
        )
        top, left = torch.randint(4096, (2,), generator=random)
        classes = classes.flip(1) if flip < 0.5 else classes
        return self._sample(classes, colors, self.native_size_px * MOST_SIZE ** (size * size), top, left)

    def fixed(self, most: int) -> list[Sample]:
        """So many maps, spread over all of them, small, each in colors of its own; always the same."""
        count = min(most, len(self.maps))
        chosen = (spread(self.maps, count), spread(list(self.color_sets), count))
        start = torch.tensor(0)
        return [
            self._sample(classes, colors, self.native_size_px, start, start)
            for classes, colors in zip(*chosen, strict=True)
        ]

    @staticmethod
    def _sample(classes: Tensor, colors: Tensor, longest_px: float, top: Tensor, left: Tensor) -> Sample:
        return Sample(sized(classes, min(longest_px, max(classes.shape))), colors[None], top, left)
