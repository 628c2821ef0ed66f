"""What label maps' classes stand for, where a generator learns from its own pictures."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from facadegen.errors import UsageError
from facadegen.palettes import LabelSet
from training.recipes import colored_classes
from training.retouching.colored_maps import ColoredMap
from training.retouching.masks import times_native

WALL_CLASS = "facade"
LARGE = 2  # times as large, rounded, as those that the generator was trained at, or more, are large ones
STRAIGHT_CLASSES = (WALL_CLASS, "cornice", "pillar", "sill", "balcony", "molding")


@dataclass(frozen=True, eq=False)
class Parts:
    """What classes stand for, on the device to work on, and the size that the generator was trained at.

    colored: (K,), 0 for the surroundings; wall: the id of walls; straight: (K,), 1 for what is built of
    straight lines.
    """

    colored: Tensor
    wall: int
    straight: Tensor
    native_size_px: int

    @classmethod
    def of(cls, label_set: LabelSet, native_size_px: int, device: torch.device) -> Self:
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
        )

    def is_open(self, drawn: ColoredMap) -> Tensor:
        """1 for surroundings, (1, 1, H, W)."""
        return 1 - self.colored[drawn.classes.long()][:, None]

    def is_wall(self, drawn: ColoredMap) -> Tensor:
        """1 for walls, (1, 1, H, W)."""
        return (drawn.classes == self.wall)[:, None].float()

    def is_straight(self, drawn: ColoredMap) -> Tensor:
        """1 for what is built of straight lines, (1, 1, H, W)."""
        return self.straight[drawn.classes.long()][:, None]

    def is_large(self, pictures: Tensor) -> bool:
        """Whether pictures (N, C, H, W) are so much larger that some faults show in them alone."""
        return times_native(pictures, self.native_size_px) >= LARGE
