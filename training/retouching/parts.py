"""What label maps' classes stand for, where a generator learns from its own pictures."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from facadegen.errors import UsageError
from facadegen.palettes import LabelSet
from training.masks import times_native
from training.networks.lean_unet import LeanUNet
from training.networks.neighbors import Neighbors
from training.networks.open_sky import OpenSky
from training.recipes import colored_classes
from training.retouching.colored_maps import ColoredMap

WALL_CLASS = "facade"
LARGE = 2  # times as large, rounded, as those that the generator was trained at, or more, are large ones
STRAIGHT_CLASSES = (WALL_CLASS, "cornice", "pillar", "sill", "balcony", "molding")


@dataclass(frozen=True, eq=False)
class Parts:
    """What classes stand for, on the device to work on, and the size that the generator was trained at.

    colored: (K,), 0 for the surroundings; wall: the id of walls; straight: (K,), 1 for what is built of
    straight lines; neighbors: tells neighbors' walls from other surroundings, in label sets that have them;
    open_sky: tells sky from walls, where the generator's weights have that.
    """

    colored: Tensor
    wall: int
    straight: Tensor
    native_size_px: int
    neighbors: Neighbors | None
    open_sky: OpenSky | None = None

    @classmethod
    def of(
        cls,
        label_set: LabelSet,
        native_size_px: int,
        device: torch.device,
        open_sky: OpenSky | None = None,
    ) -> Self:
        """Those of a label set.

        Raises:
            UsageError: it has no class for walls.
        """
        try:
            wall = label_set.index_of(WALL_CLASS)
        except UsageError as error:
            has = ", ".join(label_set.classes)
            raise UsageError(f"refinements want the class {WALL_CLASS!r}; the weights have {has}") from error
        straight = [each.casefold() in STRAIGHT_CLASSES for each in label_set.classes]
        return cls(
            colored_classes(label_set)[:, 0].to(device),
            wall,
            torch.tensor(straight, dtype=torch.float32, device=device),
            native_size_px,
            Neighbors.of(label_set.classes, native_size_px, LeanUNet.stride),
            open_sky.to(device) if open_sky is not None else None,
        )

    def is_open(self, drawn: ColoredMap) -> Tensor:
        """1 for surroundings, neighbors' walls and all, (1, 1, H, W)."""
        known = F.pad(self.colored, (0, drawn.colors.shape[1] - len(self.colored)))
        return 1 - known[drawn.classes.long()][:, None]

    def is_wall(self, drawn: ColoredMap) -> Tensor:
        """1 for walls that are labelled, (1, 1, H, W)."""
        return (drawn.classes == self.wall)[:, None].float()

    def is_drawn_as_wall(self, drawn: ColoredMap) -> Tensor:
        """1 for walls, those of neighbors, too, where they are told, (1, 1, H, W)."""
        return (self._shown(drawn) == self.wall)[:, None].float()

    def is_straight(self, drawn: ColoredMap) -> Tensor:
        """1 for what is built of straight lines, (1, 1, H, W)."""
        return self.straight[self._shown(drawn).long()][:, None]

    @staticmethod
    def _shown(drawn: ColoredMap) -> Tensor:
        return drawn.classes if drawn.drawn_as is None else drawn.drawn_as

    def is_large(self, pictures: Tensor) -> bool:
        """Whether pictures (N, C, H, W) are so much larger that some faults show in them alone."""
        return times_native(pictures, self.native_size_px) >= LARGE
