"""Balconies and lintels without slanted strokes.

Photos are taken from the left or from the right, and a generator that cannot know which settles on one: a
dark leaf at the left end of a balcony, a hook from a lintel's middle to its right end. Of the same map
mirrored, it makes the same faults at the other ends. So where lines of what it made run aslant and those of
what it made mirrored, turned back, do not, it is to be like the latter. Gables over windows are slanted both
ways, and stay; of what is only half a gable, either the other half is added or this one goes. In pictures as
small as those that it was trained at such strokes are a few pixels of many, and to leave them out costs more
than it mends: these stay as they are.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.masks import grown, reduced, shrunk, softened, times_native
from training.networks.filters import gaussian
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched

# px of pictures of about the size that the generator was trained at, but for the border's.
BORDER_PX = 2  # of straight classes, where the steps from one class to the next say nothing
AROUND_PX = 3  # standard deviation of the place in which lines are told by
# How much more aslant lines are than those of the mirrored picture at least, of pictures in -1..1.
LEAST_SLANT, LEAST_TIMES = 1.5e-4, 1.5
GROWTH_PX = 2  # how far beyond that is to be straight


def retouched(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """A picture (1, 3, H, W) in -1..1 that `before` makes of a map, straight, if it is large."""
    if not parts.is_large(picture):
        return Retouched.as_is(picture)
    mirrored = before(*drawn.mirrored()).clamp(-1, 1).flip(3)
    wanted, changed = straightened(picture, mirrored, parts.is_straight(drawn), parts.native_size_px)
    return Retouched.of_any_texture(wanted, changed)


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
    changed = softened(changed, times) * straight
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
