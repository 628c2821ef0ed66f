"""Balconies and lintels without slanted strokes: a generator can learn to leave them out of its own pictures.

Photos are taken from the left or from the right, and a generator that cannot know which settles on one: a
dark leaf at the left end of a balcony, a hook from a lintel's middle to its right end. Of the same map
mirrored, it makes the same faults at the other ends. So it learns from both: where lines of what it made run
aslant and those of what it made mirrored, turned back, do not, it is to be like the latter, beside all else
as it was. Gables over windows are slanted both ways, and stay; of what is only half a gable, either the other
half is added or this one goes. In pictures as small as those that it was trained at such strokes are a few
pixels of many, and to leave them out costs more than it mends: these are to stay as they are.

No two railings of the same map are alike to the pixel, and a mean of many is blurred. So what it is to be
like counts from further away: the colors of cells, how much detail they have, and how much of it is aslant.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.colored_maps import ColoredMap
from training.masks import gaussian, grown, reduced, shrunk, times_native
from training.retouching import Fault, Retouched, Retouching

LARGE = 2  # times as large as those that the generator was trained at are pictures to learn from, or larger
CELL_WEIGHT = 12.0  # of what is to be straight, beside what is to stay as it is
SLANT_WEIGHT = 2.0  # of how much is aslant, beside colors and detail

# px of pictures of about the size that the generator was trained at, but for the border's.
BORDER_PX = 2  # of straight classes, where the steps from one class to the next say nothing
AROUND_PX = 3  # standard deviation of the place in which lines are told by
CELL_PX = 4  # side of what colors and detail are told by
# How much more aslant lines are than those of the mirrored picture at least, of pictures in -1..1.
LEAST_SLANT, LEAST_TIMES = 1.5e-4, 1.5
LITTLE_SLANT = 1e-6  # what differs by no more makes no difference
GROWTH_PX = 2  # how far beyond that is to be straight


class Look(NamedTuple):
    """A picture from further away. colors, detail: (1, 3, h, w), of cells; slant: (1, 1, h', w')."""

    colors: Tensor
    detail: Tensor
    slant: Tensor


@dataclass(frozen=True, eq=False)
class Slants(Retouching):
    """The subject of a refinement: straight lines in large pictures, and small ones as they are.

    straight: (K,), 1 for the classes that are built of such, on the device to work on.
    """

    straight: Tensor

    name = "slants"
    title = "learning straight lines"

    def retouched(self, before: nn.Module, drawn: ColoredMap) -> Retouched:
        """With what is aslant in a large picture as it is in the mirrored one, where no pixel has weight."""
        picture = before(*drawn).clamp(-1, 1)
        if times_native(picture, self.maps.native_size_px) < LARGE:
            return Retouched(picture, torch.ones_like(picture[:, :1]))
        wanted, changed = self._straightened(before, picture, drawn)
        return Retouched(wanted, 1 - changed)

    def off(self, made: Tensor, to_learn: Retouched, drawn: ColoredMap) -> Tensor:
        """How far a picture (1, 3, H, W) is from what is to be learnt: pixel by pixel where these have
        weight, from further away where they have none, a number ()."""
        kept = super().off(made, to_learn, drawn)
        if to_learn.weight.min() == 1:
            return kept
        shown, wanted = (self._look(x, drawn) for x in (made, to_learn.picture))
        cells, places = (
            F.interpolate(1 - to_learn.weight, x.shape[2:], mode="area") for x in (shown.colors, shown.slant)
        )
        like = (shown.colors - wanted.colors).abs() + (shown.detail - wanted.detail).abs()
        more_aslant = (shown.slant - wanted.slant).clamp(min=0)
        learnt = (like * cells).mean() + SLANT_WEIGHT * (more_aslant * places).mean()
        return kept + CELL_WEIGHT * learnt

    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """How much is aslant in both, in maps held out; `on_seen(done, total)` after each."""

        def aslant(picture: Tensor, drawn: ColoredMap) -> Fault:
            _, changed = self._straightened(before, picture, drawn)
            return Fault(
                changed, lambda made: F.interpolate(self._slants(made, drawn).sqrt(), made.shape[2:])
            )

        levels = self.measured(before, after, on_seen, aslant, LARGE)
        if levels is None:
            return "nothing that is aslant in the label maps held out"
        was, now = levels
        return f"what is aslant, in levels of 255 from pixel to pixel: {was:.1f} before, {now:.1f} now"

    def _straightened(self, before: nn.Module, picture: Tensor, drawn: ColoredMap) -> tuple[Tensor, Tensor]:
        mirrored = before(*drawn._replace(classes=drawn.classes.flip(2))).clamp(-1, 1).flip(3)
        return straightened(picture, mirrored, self._straight(drawn), self.maps.native_size_px)

    def _look(self, picture: Tensor, drawn: ColoredMap) -> Look:
        cell_px = CELL_PX * times_native(picture, self.maps.native_size_px)
        (colors,) = reduced(cell_px, picture)
        off_colors = (picture - F.interpolate(colors, picture.shape[2:], mode="bilinear")).abs()
        (detail,) = reduced(cell_px, off_colors)
        slant = (self._slants(picture, drawn) + LITTLE_SLANT).sqrt()
        return Look(colors, detail, slant)

    def _slants(self, picture: Tensor, drawn: ColoredMap) -> Tensor:
        return slants(picture, self._straight(drawn), times_native(picture, self.maps.native_size_px))

    def _straight(self, drawn: ColoredMap) -> Tensor:
        """1 for what is built of straight lines, (1, 1, H, W)."""
        return self.straight[drawn.classes.long()][:, None]


def straightened(
    picture: Tensor, mirrored: Tensor, straight: Tensor, native_size_px: int
) -> tuple[Tensor, Tensor]:
    """A picture (N, 3, H, W) in -1..1 with what another has where lines are aslant in the one alone; and
    where that is, (N, 1, H, W) in 0..1.

    mirrored: (N, 3, H, W) in -1..1, the other one, of the mirrored map, turned back; straight: (N, 1, H, W),
    1 for what is built of straight lines.
    """
    times = times_native(picture, native_size_px)
    here, there = (slants(x, straight, times) for x in (picture, mirrored))
    aslant = (here - LEAST_TIMES * there > LEAST_SLANT).to(picture)
    changed = F.interpolate(grown(aslant, GROWTH_PX), picture.shape[2:], mode="bilinear")
    changed = F.avg_pool2d(changed, 2 * times + 1, 1, times, count_include_pad=False) * straight
    return torch.lerp(picture, mirrored, changed), changed


def slants(pictures: Tensor, straight: Tensor, times: int) -> Tensor:
    """How much lines of pictures (N, 3, H, W) run one way aslant around each place, (N, 1, H // times,
    W // times): 0 where they are level or upright, or as much of them runs the other way.

    The structure tensor's off-diagonal element (Bigün, Granlund 1987, "Optimal orientation detection of
    linear symmetry"), in a Gaussian window, of what is built of straight lines, 1 in (N, 1, H, W), alone.
    """
    light = F.pad(pictures.mean(1, keepdim=True), (4, 4, 4, 4), mode="replicate")
    light = gaussian(light, 1)[..., 3:-3, 3:-3]  # beyond its edges it takes zeros for granted
    across = (light[..., 1:-1, 2:] - light[..., 1:-1, :-2]) / 2
    down = (light[..., 2:, 1:-1] - light[..., :-2, 1:-1]) / 2
    (both,) = reduced(times, across * down * shrunk(straight, BORDER_PX))
    return gaussian(both, AROUND_PX).abs()
