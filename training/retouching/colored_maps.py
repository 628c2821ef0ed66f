"""Label maps in colors, without their photos: what a refinement learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.data import mix_seeds, spread
from training.networks.lean_unet import LeanUNet
from training.networks.neighbors import Neighbors
from training.networks.open_sky import OpenSky
from training.networks.resize import sized

MOST_SIZE = 4.0  # longer sides of maps, of the size that the generator was trained at; most are smaller


class ColoredMap(NamedTuple):
    """One map in one set of colors, as generators take it.

    classes: uint8 (1, H, W); colors: (1, K, 3) in 0..1; top, left: where noise begins, px, whole numbers ().
    drawn_as: uint8 (1, H, W), or None, classes that pixels are drawn as in colors of their own; then there
    may be more classes and colors than K, of neighbors' walls.
    """

    classes: Tensor
    colors: Tensor
    top: Tensor = torch.tensor(0)
    left: Tensor = torch.tensor(0)
    drawn_as: Tensor | None = None

    def to(self, device: torch.device) -> "ColoredMap":
        classes, colors, top, left = (x.to(device) for x in self[:4])
        drawn_as = None if self.drawn_as is None else self.drawn_as.to(device)
        return ColoredMap(classes, colors, top, left, drawn_as)

    def mirrored(self) -> "ColoredMap":
        """From right to left; noise stays."""
        drawn_as = None if self.drawn_as is None else self.drawn_as.flip(2)
        return self._replace(classes=self.classes.flip(2), drawn_as=drawn_as)

    def in_use(
        self, generator: nn.Module, neighbors: Neighbors | None, open_sky: OpenSky | None = None
    ) -> "ColoredMap":
        """As exported generators take it, but for panes: with sky among roofs, and in large maps neighbors'
        walls, as surroundings and walls. See `ScriptedGenerator.prepare`."""
        opened, shown = (
            (self.classes, self.colors) if open_sky is None else open_sky(self.classes, self.colors)
        )
        if neighbors is None or not neighbors.are_looked_for(opened):
            return self if opened is self.classes else self._replace(classes=opened, colors=shown)
        far = neighbors.from_afar(opened)
        picture = generator(far, shown, 0, 0).clamp(-1, 1)
        classes, colors = neighbors(opened, shown, far, picture)
        return self._replace(classes=classes, colors=colors, drawn_as=neighbors.as_walls(classes))


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
        drawn = self._colored(classes, colors, self.native_size_px * MOST_SIZE ** (size * size))
        return drawn._replace(top=top, left=left)

    def fixed(self, most: int, size: float = 1.0) -> list[ColoredMap]:
        """So many maps, that many times as large as those that the generator was trained at, and their
        colors, both spread over all there are; always the same."""
        count = min(most, len(self.classes))
        return [
            self._colored(classes, colors, size * self.native_size_px)
            for classes, colors in zip(
                spread(self.classes, count), spread(list(self.color_sets), count), strict=True
            )
        ]

    @staticmethod
    def _colored(classes: Tensor, colors: Tensor, longest_px: float) -> ColoredMap:
        shown_px = min(round(longest_px), max(classes.shape))
        return ColoredMap(sized(classes[None], shown_px, LeanUNet.stride), colors[None])
