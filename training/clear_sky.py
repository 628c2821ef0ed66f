"""Sky among what label maps call wall: what is like it, with only sky above it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from training.masks import grown, shrunk
from training.networks.filters import narrowed, widened

CLEAR = -0.3, 0.2  # how light at least, and how yellow, what may be between sky and walls is: clouds, haze
SLIVER_PX = 2  # what is up to twice as wide as this is no gap in a sky, and no sky
STEP_PX, STEPS = 2, 3  # how far sky goes on from where it is seen from above, under eaves


def below_clear(like_sky: Tensor, walls: Tensor, clear: Tensor, above: Tensor) -> Tensor:
    """What of walls is like sky, with only that and clear sky over it in its column, and what is beside.

    like_sky: of walls; clear: of what is above them; all (N, 1, H, W), 0 or 1, about as large as generators
    are trained at.
    """
    like_sky, clear = (
        shrunk(grown(x, SLIVER_PX), SLIVER_PX) * place for x, place in ((like_sky, walls), (clear, above))
    )
    through = torch.maximum(grown(clear, SLIVER_PX) * (walls + above), like_sky)
    sky = _without_slivers(like_sky * through.cummin(2).values)
    for _ in range(STEPS):
        sky = torch.maximum(sky, grown(sky, STEP_PX) * like_sky)
    return sky


def _without_slivers(mask: Tensor) -> Tensor:
    """Without what is narrow, from left to right; beyond the picture's edges there is nothing."""
    narrower = narrowed(F.pad(mask, (SLIVER_PX, SLIVER_PX)), SLIVER_PX)
    return widened(narrower[..., SLIVER_PX:-SLIVER_PX], SLIVER_PX)
