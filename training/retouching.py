"""What refinements have in common in which a generator learns from its own pictures, retouched."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from training.colored_maps import ColoredMap, ColoredMaps
from training.recipes import leaky_clamp


class Retouched(NamedTuple):
    """What is to be learnt of a map. picture: (1, 3, H, W) in -1..1; weight: (1, 1, H, W), of each pixel."""

    picture: Tensor
    weight: Tensor


@dataclass(frozen=True, eq=False)
class Retouching(ABC):
    """The subject of a refinement: pictures as a generator makes them, retouched.

    maps, held_out: to learn from, and to measure with; colored: (K,), 0 for the surroundings, on the device
    to work on.
    """

    maps: ColoredMaps
    held_out: ColoredMaps
    colored: Tensor

    name: ClassVar[str]
    title: ClassVar[str]

    def options(self) -> dict[str, Any]:
        """What shapes the weights beside what all subjects have."""
        return {"subject": self.name, "label_maps": len(self.maps.classes)}

    def draw(self, number: int) -> ColoredMap:
        """Any map in any colors; it follows from the number and the seed."""
        return self.maps.draw(number)

    def loss(self, pupil: nn.Module, before: nn.Module, number: int) -> Tensor:
        """How far the pupil's picture of a map is from the one of `before`, retouched."""
        drawn = self.draw(number).to(self.colored.device)
        with torch.no_grad():
            wanted, weight = self.retouched(before, drawn)
        return ((leaky_clamp(pupil(*drawn)) - wanted).abs() * weight).mean()

    @abstractmethod
    def retouched(self, before: nn.Module, drawn: ColoredMap) -> Retouched:
        """The picture of a map on the device to work on, as it should be, and where that matters most."""

    @abstractmethod
    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """What was learnt, in words, with figures of both; `on_seen(done, total)` after each map."""

    def is_open(self, drawn: ColoredMap) -> Tensor:
        """(1, 1, H, W), 1 for surroundings."""
        return 1 - self.colored[drawn.classes.long()][:, None]
