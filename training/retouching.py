"""What refinements have in common in which a generator learns from its own pictures, retouched."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from training.colored_maps import ColoredMap, ColoredMaps
from training.recipes import leaky_clamp

MEASURED_MAPS = 24


class Retouched(NamedTuple):
    """What is to be learnt of a map. picture: (1, 3, H, W) in -1..1; weight: (1, 1, H, W), of each pixel."""

    picture: Tensor
    weight: Tensor


class Fault(NamedTuple):
    """What is to be measured of a map. where: (1, 1, H, W) in 0..1; of: what of a picture (1, 3, H, W) should
    be 0 there."""

    where: Tensor
    of: Callable[[Tensor], Tensor]


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
            to_learn = self.retouched(before, drawn)
        return self.off(leaky_clamp(pupil(*drawn)), to_learn, drawn)

    def off(self, made: Tensor, to_learn: Retouched, drawn: ColoredMap) -> Tensor:
        """How far a picture (1, 3, H, W) of a map is from what is to be learnt of it, a number ()."""
        return ((made - to_learn.picture).abs() * to_learn.weight).mean()

    @abstractmethod
    def retouched(self, before: nn.Module, drawn: ColoredMap) -> Retouched:
        """The picture of a map on the device to work on, as it should be, and where that matters most."""

    @abstractmethod
    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """What was learnt, in words, with figures of both; `on_seen(done, total)` after each map."""

    @torch.no_grad()
    def measured(
        self,
        before: nn.Module,
        after: nn.Module,
        on_seen: Callable[[int, int], None],
        look: Callable[[Tensor, ColoredMap], Fault],
        size: float = 1.0,
    ) -> tuple[float, float] | None:
        """The mean fault of both, in levels of 255, where `look` finds it in what `before` makes of maps held
        out, so many times as large as those it was trained at; None where it finds none. `on_seen(done,
        total)` is called after each map."""
        held_out = self.held_out.fixed(MEASURED_MAPS, size)
        sums, area = torch.zeros(2), 0.0
        for done, drawn in enumerate(held_out, 1):
            shown = drawn.to(self.colored.device)
            pictures = [generator(*shown).clamp(-1, 1) for generator in (before, after)]
            fault = look(pictures[0], shown)
            for which, picture in enumerate(pictures):
                sums[which] += (fault.of(picture).abs().mean(1, keepdim=True) * fault.where).sum().cpu()
            area += float(fault.where.sum())
            on_seen(done, len(held_out))
        if area == 0:
            return None
        was, now = (sums * 127.5 / area).tolist()
        return was, now

    def is_open(self, drawn: ColoredMap) -> Tensor:
        """1 for surroundings, (1, 1, H, W)."""
        return 1 - self.colored[drawn.classes.long()][:, None]


@dataclass(frozen=True, eq=False)
class WallRetouching(Retouching):
    """One of walls. wall: the id of their class."""

    wall: int

    def is_wall(self, drawn: ColoredMap) -> Tensor:
        """1 for walls, (1, 1, H, W)."""
        return (drawn.classes == self.wall)[:, None].float()
