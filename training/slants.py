"""Balconies and lintels without slanted strokes: a generator can learn to leave them out of its own pictures.

Photos are taken from the left or from the right, and a generator that cannot know which settles on one: a
dark leaf at the left end of a balcony, a hook from a lintel's middle to its right end. Of the same map
mirrored, it makes the same faults at the other ends. So it learns from both: where lines of what it made run
aslant and those of what it made mirrored, turned back, do not, the latter is to be learnt, beside all else as
it was. Gables over windows are slanted both ways, and stay; of what is only half a gable, either the other
half is added or this one goes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.colored_maps import ColoredMap
from training.masks import gaussian, grown, shrunk, times_native
from training.retouching import Fault, Retouched, Retouching

SLANT_WEIGHT = 8.0  # of what is to be straight, beside what is to stay as it is

BORDER_PX = 2  # of straight classes, where the steps from one class to the next say nothing
AROUND_PX = 3  # standard deviation of the place in which lines are told by
# How much more aslant lines are than those of the mirrored picture at least, of pictures in -1..1.
LEAST_SLANT, LEAST_TIMES = 1e-4, 1.5
GROWTH_PX = 2  # how far beyond that is to be straight


@dataclass(frozen=True, eq=False)
class Slants(Retouching):
    """The subject of a refinement: straight lines, in pictures of which most are small.

    straight: (K,), 1 for the classes that are built of such, on the device to work on.
    """

    straight: Tensor

    name = "slants"
    title = "learning straight lines"

    def retouched(self, before: nn.Module, drawn: ColoredMap) -> Retouched:
        """With what is aslant as it is in the mirrored picture; it counts more than all else."""
        picture = before(*drawn).clamp(-1, 1)
        wanted, changed = self._straightened(before, picture, drawn)
        return Retouched(wanted, 1 + SLANT_WEIGHT * changed)

    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """How far both are from straight lines, in maps held out; `on_seen(done, total)` after each."""

        def aslant(picture: Tensor, drawn: ColoredMap) -> Fault:
            wanted, changed = self._straightened(before, picture, drawn)
            return Fault(changed, lambda made: made - wanted)

        levels = self.measured(before, after, on_seen, aslant)
        if levels is None:
            return "nothing that is aslant in the label maps held out"
        was, now = levels
        return f"what is aslant, in levels of 255 off straight lines: {was:.1f} before, {now:.1f} now"

    def _straightened(self, before: nn.Module, picture: Tensor, drawn: ColoredMap) -> tuple[Tensor, Tensor]:
        mirrored = before(*drawn._replace(classes=drawn.classes.flip(2))).clamp(-1, 1).flip(3)
        straight = self.straight[drawn.classes.long()][:, None]
        return straightened(picture, mirrored, straight, self.maps.native_size_px)


def straightened(
    picture: Tensor, mirrored: Tensor, straight: Tensor, native_size_px: int
) -> tuple[Tensor, Tensor]:
    """A picture (N, 3, H, W) in -1..1 with what another has where lines are aslant in the one alone; and
    where that is, (N, 1, H, W) in 0..1.

    mirrored: (N, 3, H, W) in -1..1, the other one, of the mirrored map, turned back; straight: (N, 1, H, W),
    1 for what is built of straight lines.
    """
    times = times_native(picture, native_size_px)
    inner = shrunk(straight, BORDER_PX)
    here, there = (slants(x, inner, AROUND_PX * times) for x in (picture, mirrored))
    aslant = (here - LEAST_TIMES * there > LEAST_SLANT).to(picture)
    changed = gaussian(grown(aslant, GROWTH_PX * times), times) * straight
    return torch.lerp(picture, mirrored, changed), changed


def slants(pictures: Tensor, mask: Tensor, deviation_px: int) -> Tensor:
    """How much lines of pictures (N, 3, H, W) run one way aslant around each pixel, (N, 1, H, W): 0 where
    they are level or upright, or as much of them runs the other way.

    The structure tensor's off-diagonal element (Bigün, Granlund 1987, "Optimal orientation detection of
    linear symmetry"), in a Gaussian window of that standard deviation, of what the mask (N, 1, H, W) has.
    """
    light = F.pad(pictures.mean(1, keepdim=True), (4, 4, 4, 4), mode="replicate")
    light = gaussian(light, 1)[..., 3:-3, 3:-3]  # beyond its edges it takes zeros for granted
    across = (light[..., 1:-1, 2:] - light[..., 1:-1, :-2]) / 2
    down = (light[..., 2:, 1:-1] - light[..., :-2, 1:-1]) / 2
    return gaussian(across * down * mask, deviation_px).abs()
