"""What a generator can learn from its own pictures: subjects of refinements, each with the maps it wants."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from facadegen.errors import TrainingError, UsageError
from facadegen.palettes import LabelSet
from training.colored_maps import ColoredMaps
from training.paints import Paints
from training.recipes import colored_classes
from training.retouching import Retouching
from training.rooflines import Rooflines
from training.skies import Skies, maps_with_sky
from training.skylines import Skylines
from training.slants import Slants
from training.surroundings import Scenes, Surroundings, large_maps
from training.walls import Walls, maps_with_walls

WALL_CLASS = "facade"
STRAIGHT_CLASSES = (WALL_CLASS, "cornice", "pillar", "sill", "balcony", "molding")
RetouchingName = Literal["skies", "walls", "skylines", "rooflines", "slants", "paints"]


class Subject(Protocol):
    """What a generator is to learn from its own pictures."""

    @property
    def title(self) -> str:
        """What it does, for who waits."""

    def options(self) -> dict[str, Any]:
        """What shapes the weights beside the options of all refinements."""

    def loss(self, pupil: nn.Module, before: nn.Module, number: int) -> Tensor:
        """How far the pupil is from what can be learnt of `before`, in the sample of that number."""

    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """What was learnt, in words, with figures of both; `on_seen(done, total)` is called now and then."""


@dataclass(frozen=True, eq=False)
class Material:
    """What subjects are made of.

    label_set, color_sets, native_size_px: of the weights, color_sets (M, K, 3) in 0..1; data: folders of
    pairs; device: to work on.
    """

    label_set: LabelSet
    color_sets: Tensor
    native_size_px: int
    data: Sequence[Path]
    seed: int
    device: torch.device

    def surroundings(self, tolerance: float, color_weight: float) -> Surroundings:
        """Surroundings of large maps, as `training.surroundings` has them.

        Raises:
            TrainingError: as `large_maps`, and where none is large.
        """
        colored = self._colored()
        maps, held_out = self._both_splits(
            lambda split: large_maps(self.data, split, self.label_set, colored, self.native_size_px),
            "large label maps with surroundings",
        )
        return Surroundings(
            Scenes(maps, self.color_sets, colored, self.native_size_px, self.seed),
            Scenes(held_out, self.color_sets, colored, self.native_size_px),
            colored.to(self.device),
            tolerance,
            color_weight,
        )

    def retouching(self, name: RetouchingName) -> Retouching:
        """The subject of that name.

        Raises:
            TrainingError: label maps cannot be read, or there are none to learn from.
            UsageError: the subject is one of walls, and the weights' label set has none.
        """
        colored = self._colored().to(self.device)
        if name == "skies":
            return Skies(*self._maps_below_sky(), colored)
        wall = self._wall(name)
        if name == "rooflines":
            return Rooflines(*self._maps_below_sky(), colored, wall)
        walls = self._colored_maps(
            lambda split: maps_with_walls(self.data, split, self.label_set, wall),
            f"label maps with {WALL_CLASS}",
        )
        if name == "slants":
            straight = [each.casefold() in STRAIGHT_CLASSES for each in self.label_set.classes]
            return Slants(*walls, colored, torch.tensor(straight, dtype=torch.float32, device=self.device))
        of_walls: dict[str, Callable[..., Retouching]]
        of_walls = {"walls": Walls, "skylines": Skylines, "paints": Paints}
        return of_walls[name](*walls, colored, wall)

    def _colored(self) -> Tensor:
        return colored_classes(self.label_set)[:, 0]

    def _wall(self, name: RetouchingName) -> int:
        try:
            return self.label_set.index_of(WALL_CLASS)
        except UsageError as error:
            has = ", ".join(self.label_set.classes)
            raise UsageError(
                f"--subject {name} wants the class {WALL_CLASS!r}; the weights have {has}"
            ) from error

    def _maps_below_sky(self) -> tuple[ColoredMaps, ColoredMaps]:
        return self._colored_maps(
            lambda split: maps_with_sky(self.data, split, self.label_set, self._colored()),
            "label maps with room for a sky",
        )

    def _colored_maps(
        self, read: Callable[[str], list[Tensor]], wanted: str
    ) -> tuple[ColoredMaps, ColoredMaps]:
        maps, held_out = self._both_splits(read, wanted)
        return (
            ColoredMaps(maps, self.color_sets, self.native_size_px, self.seed),
            ColoredMaps(held_out, self.color_sets, self.native_size_px),
        )

    def _both_splits(
        self, read: Callable[[str], list[Tensor]], wanted: str
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The maps to learn from, and those to measure with: the same, where no others are held out.

        Raises:
            TrainingError: there is nothing to learn from; as `read`.
        """
        maps, held_out = (read(split) for split in ("train", "val"))
        if not maps:
            raise TrainingError(f"no {wanted} in its train split", self.data[0])
        return maps, held_out or maps
