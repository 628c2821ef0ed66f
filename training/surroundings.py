"""What surroundings are in large pictures: a generator can learn it from what it makes of them in small ones.

Where surroundings are wide and blank, a generator at a picture's own resolution cannot see whether they are
sky, street or a neighbor's wall: it chooses, and a white hole of sky in a wall is what comes of it. The same
map at the size that it was trained at shows it whole, and it chooses well. So it learns from itself: the
colors of surroundings from its small pictures, all else from its large ones (self-distillation, a global view
teaching local ones, as in Caron et al. 2021, arXiv 2104.14294, section 3.1).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facadegen.palettes import LabelSet
from training.colored_maps import ColoredMap, spread_both
from training.data import mix_seeds
from training.label_maps import read_label_maps, sized
from training.recipes import leaky_clamp

# Sides of maps, of the size that the generator was trained at: from which on they count as large, what they
# are cut down to, and as what they are seen from further away.
LEAST_SIZE, MOST_SIZE, FAR_SIZE = 2.0, 4.0, 1.25
LEAST_SURROUNDINGS = 0.05  # of a map, or there is nothing to be learnt from it
CELL_PX = 32
TOLERANCE = 0.25  # of mean colors of cells, in -1..1: 32 levels of 255
OFTEN_SMALLER, LEAST_SCALE = 0.25, 0.6  # how many of the maps are shown smaller, and how small at least
OFTEN_OTHER_HINT = 0.3  # how often the background's hint is another color set's
COLOR_WEIGHT, KEEP_WEIGHT, CALM_WEIGHT = 5.0, 10.0, 1.0
MEASURED_MAPS = 24


class Scene(NamedTuple):
    """One map in one set of colors, and the same from further away."""

    near: ColoredMap
    far: ColoredMap

    def to(self, device: torch.device) -> "Scene":
        return Scene(*(x.to(device) for x in self))


class Lesson(NamedTuple):
    """What is to be learnt of a scene.

    large, far: the pictures as they are made now, (1, 3, H, W) and (1, 3, h, w) in -1..1. open: (1, 1, H, W),
    1 for surroundings. Of cells, (1, C, y, x): colors, the mean colors of surroundings as seen from further
    away; known, 1 where there are any; unlike, 1 where the large picture's are others. redone: (1, 1, H, W),
    1 for surroundings in cells that are unlike, or beside one.
    """

    large: Tensor
    far: Tensor
    open: Tensor
    colors: Tensor
    known: Tensor
    unlike: Tensor
    redone: Tensor


class Scenes:
    """Scenes drawn from label maps and color sets; each follows from its number and the seed."""

    def __init__(
        self,
        maps: Sequence[Tensor],
        color_sets: Tensor,
        colored: Tensor,
        native_size_px: int,
        seed: int = 0,
    ) -> None:
        """maps: uint8 (H, W) each; color_sets: (M, K, 3) in 0..1; colored: (K,), 0 for the surroundings."""
        self.maps, self.color_sets, self.colored = maps, color_sets, colored
        self.native_size_px, self.seed = native_size_px, seed

    def draw(self, number: int) -> Scene:
        """Any map, mirrored or not, at its own size or smaller, in any colors."""
        random = torch.Generator().manual_seed(mix_seeds(self.seed, 4, number))

        def below(count: int) -> int:
            return int(torch.randint(count, (), generator=random))

        flip, smaller, scale, hint = torch.rand(4, generator=random).tolist()
        classes = self.maps[below(len(self.maps))]
        colors, others = (self.color_sets[below(len(self.color_sets))] for _ in range(2))
        if hint < OFTEN_OTHER_HINT:
            colors = torch.where(self.colored[:, None] > 0, colors, others)
        scale = LEAST_SCALE + (1 - LEAST_SCALE) * scale if smaller < OFTEN_SMALLER else 1.0
        return self._scene(
            classes.flip(1) if flip < 0.5 else classes, colors, scale, below(4096), below(4096)
        )

    def fixed(self, most: int) -> list[Scene]:
        """So many maps, spread over all of them, as they are, each in colors of its own; always the same."""
        return [
            self._scene(classes, colors, 1.0, 0, 0)
            for classes, colors in spread_both(self.maps, self.color_sets, most)
        ]

    def _scene(self, classes: Tensor, colors: Tensor, scale: float, top: int, left: int) -> Scene:
        longest_px = min(scale * max(classes.shape), MOST_SIZE * self.native_size_px)
        far_px = FAR_SIZE * self.native_size_px
        near = ColoredMap(sized(classes, longest_px), colors[None], torch.tensor(top), torch.tensor(left))
        return Scene(near, near._replace(classes=sized(classes, far_px)))


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The subject of a refinement: surroundings of large pictures, as they are seen from further away.

    colored: (K,), 0 for the surroundings, on the device to work on; tolerance: of mean colors of cells, in
    -1..1; color_weight: how much they count beside what should stay as it is.
    """

    scenes: Scenes
    held_out: Scenes
    colored: Tensor
    tolerance: float = TOLERANCE
    color_weight: float = COLOR_WEIGHT

    title = "learning surroundings"

    def options(self) -> dict[str, Any]:
        """What shapes the weights beside what all subjects have."""
        return {
            "subject": "surroundings",
            "tolerance": self.tolerance,
            "color_weight": self.color_weight,
            "label_maps": len(self.scenes.maps),
        }

    def loss(self, pupil: nn.Module, before: nn.Module, number: int) -> Tensor:
        """How far the pupil's pictures of a scene are from having learnt from those of `before`."""
        scene = self.scenes.draw(number).to(self.colored.device)
        taught = lesson(before, self.colored, scene, self.tolerance)
        picture, far_picture = (leaky_clamp(pupil(*shown)) for shown in scene)
        return lesson_loss(picture, far_picture, taught, self.tolerance, self.color_weight)

    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """What `unlike_shares` finds on maps held out."""
        looked_at = [scene.to(self.colored.device) for scene in self.held_out.fixed(MEASURED_MAPS)]
        was, now = unlike_shares(before, after, self.colored, looked_at, on_seen)
        return (
            f"surroundings in another color than as seen from further away: {was:.1%} before, {now:.1%} now"
        )


@torch.no_grad()
def lesson(generator: nn.Module, colored: Tensor, scene: Scene, tolerance: float = TOLERANCE) -> Lesson:
    """What a generator can learn of a scene from what it makes of it from further away.

    colored: (K,), 0 for the classes that are surroundings; tolerance: how far mean colors of cells are from
    each other at most, in -1..1, to count as alike.
    """
    large, far = (generator(*shown).clamp(-1, 1) for shown in scene)
    is_open, far_open = (1 - colored[shown.classes.long()][:, None] for shown in scene)
    size = scene.near.classes.shape[1:]
    enlarged = F.interpolate(torch.cat([far * far_open, far_open], dim=1), size, mode="bilinear")
    share, far_share = _cells(is_open), _cells(enlarged[:, 3:])
    colors = _cells(enlarged[:, :3]) / far_share.clamp(min=0.05)
    known = ((share > 0.4) & (far_share > 0.3)).float()
    unlike = (_off(large, is_open, colors) > tolerance).float() * known
    redone = F.interpolate(F.max_pool2d(unlike, 3, 1, 1), size, mode="nearest") * is_open
    return Lesson(large, far, is_open, colors, known, unlike, redone)


def lesson_loss(
    picture: Tensor,
    far_picture: Tensor,
    lesson: Lesson,
    tolerance: float = TOLERANCE,
    color_weight: float = COLOR_WEIGHT,
) -> Tensor:
    """How far pictures (1, 3, H, W) and (1, 3, h, w) of a scene in -1..1 are from having learnt its lesson.

    Cells that are unlike should come close to their colors, to half the tolerance, calmly; all else should
    stay as it is.
    """
    excess = F.relu(_off(picture, lesson.open, lesson.colors) - tolerance / 2) * lesson.unlike
    color = excess.sum() / lesson.known.sum().clamp(min=1)
    keep = ((picture - lesson.large).abs() * (1 - lesson.redone)).mean()
    keep = keep + (far_picture - lesson.far).abs().mean()
    redone = lesson.redone
    down = (picture[:, :, 1:] - picture[:, :, :-1]).abs().mean(1, keepdim=True)
    across = (picture[..., 1:] - picture[..., :-1]).abs().mean(1, keepdim=True)
    unrest = (down * redone[:, :, 1:] * redone[:, :, :-1]).sum()
    unrest = unrest + (across * redone[..., 1:] * redone[..., :-1]).sum()
    return color_weight * color + KEEP_WEIGHT * keep + CALM_WEIGHT * unrest / redone.numel()


@torch.no_grad()
def unlike_shares(
    before: nn.Module,
    after: nn.Module,
    colored: Tensor,
    scenes: Sequence[Scene],
    on_seen: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, float]:
    """Of cells of surroundings, the part (0..1) whose color is another than as `before` sees it from further
    away, in the large pictures of `before` and of `after`; `on_seen(done, total)` after each scene."""
    unlike, known = torch.zeros(2), 0.0
    for done, scene in enumerate(scenes, 1):
        taught = lesson(before, colored, scene)
        picture = after(*scene.near).clamp(-1, 1)
        still = (_off(picture, taught.open, taught.colors) > TOLERANCE) * taught.known
        unlike += torch.stack([taught.unlike.sum(), still.sum()]).cpu()
        known += float(taught.known.sum())
        on_seen(done, len(scenes))
    first, second = (unlike / max(known, 1.0)).tolist()
    return first, second


def large_maps(
    folders: Sequence[Path], split: str, label_set: LabelSet, colored: Tensor, native_size_px: int
) -> list[Tensor]:
    """The label maps, uint8 (H, W), of a split of all folders that are large and show surroundings.

    colored: (K,), 0 for the classes that are surroundings. Folders without a val split have none.

    Raises:
        TrainingError: no such folder, no pairs in it, or a label map that cannot be read.
    """

    def chosen(classes: Tensor) -> bool:
        is_open = 1 - colored[classes.long()]
        return max(classes.shape) >= LEAST_SIZE * native_size_px and bool(
            is_open.mean() >= LEAST_SURROUNDINGS
        )

    return read_label_maps(folders, split, label_set, chosen)


def _cells(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, CELL_PX, CELL_PX // 2)


def _off(pictures: Tensor, is_open: Tensor, colors: Tensor) -> Tensor:
    """How far the mean colors of surroundings in cells are from these, (N, 1, h, w)."""
    found = _cells(pictures * is_open) / _cells(is_open).clamp(min=0.05)
    return (found - colors).abs().mean(1, keepdim=True)
