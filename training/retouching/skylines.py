"""Skylines without a box around them: sky that shows among gables, in the color of the sky above.

A label map's wall is a box around a building, roofs and the sky among them included. A generator that gives
walls the color asked for gives that sky another color than the one above: a teal strip with the box's
straight edge in a white sky. So it learns from itself: sky in walls, known by being more cyan than they are,
in the color of the sky straight above, blended by how much of its color each pixel has (Smith, Blinn 1996,
"Blue Screen Matting", its solution for greys); all else as it was.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.clear_sky import CLEAR, SLIVER_PX, below_clear
from training.masks import grown, reduced, shrunk, softened, times_native
from training.networks.filters import blurred, gaussian, in_sky_colors, median
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched

STRIP_WEIGHT = 20.0  # of sky in walls, beside all that is to stay as it is

# In pictures in -1..1, of about the size that the generator was trained at; px are theirs. How much more cyan
# (the mean of green and blue, less red) than walls is sky in them at least, at its edges and where it is
# sure; walls count as no warmer than WARMEST.
LEAST_CYAN, SURELY_CYAN, WARMEST = 0.05, 0.18, -0.1
DARKEST = -0.2  # of what is darker than this and than walls, nothing is sky
WITHIN_PX = 6  # how far it reaches from where it is sure
# Standard deviations: of the color of such sky, of the sky's above, and of that once it is carried down.
COLOR_PX, SKY_PX, SPREAD_PX = 5, 4, 8
LEAST_SKY = 0.03  # of all columns have sky above, or it is taken for none
LITTLE_SKY = 0.02  # of what is near by: with less, the color of skies is that of the whole picture
SOLID = (0.4, 0.8)  # from how much sky on a pixel has no texture of its own, and from how much none at all
NEAR_PX, RIM_PX, SOFT_PX = 2, 3, 2  # how far edges are blended, how far the box's edge shows, and fades out
MOST_UNLIKE = 0.4  # what is less like the sky, as it is and as it should be, is a roof or a pole, and stays


class Skyline(NamedTuple):
    """Sky in a picture's walls, as large as the picture.

    there: (N, 1, H, W) in 0..1, how much of each pixel is such sky, 0 in all that is no wall; rim: likewise,
    on both sides of the box's edge, how much is that edge; shown, wanted: (N, 3, H, W), the sky's color as it
    is, and as it should be; known: (N, 1, 1, 1), 1 if there is sky above that tells, else 0.
    """

    there: Tensor
    rim: Tensor
    shown: Tensor
    wanted: Tensor
    known: Tensor


def retouched(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """A picture (1, 3, H, W) in -1..1 with sky in walls as above."""
    skyline = find_skyline(picture, parts.is_wall(drawn), parts.is_open(drawn), parts.native_size_px)
    weight = 1 + STRIP_WEIGHT * torch.maximum(skyline.there, skyline.rim)
    return Retouched.by_pixel(open_skyline(picture, skyline), weight)


def find_skyline(picture: Tensor, is_wall: Tensor, is_open: Tensor, native_size_px: int) -> Skyline:
    """Sky in the walls of a picture (N, 3, H, W) in -1..1.

    is_wall, is_open: (N, 1, H, W), 1 for walls, and for surroundings.

    It is more cyan than the walls are, by their median: where it is most of them, it is not found. In its
    column there is only sky over it, up to the picture's edge, but for slivers and eaves. Where too little
    sky is above to tell, what it should be is what it is, calm.
    """
    size = picture.shape[2:]
    times = times_native(picture, native_size_px)
    under_none = is_open.cummin(2).values
    seen, walls, above = reduced(times, picture, is_wall, under_none)
    cyan = _cyan(seen)
    of_walls = median(cyan, walls).clamp(min=WARMEST)
    excess = cyan - of_walls
    light = seen.mean(1, keepdim=True)

    like_sky = walls * (excess > LEAST_CYAN) * (light > median(light, walls).clamp(max=DARKEST))
    clear = above * in_sky_colors(seen, *CLEAR)
    sky = below_clear(like_sky, walls, clear, above)
    sure = sky * (excess > SURELY_CYAN)
    sky = sky * grown(sure, WITHIN_PX)
    shown, excess = blurred(torch.cat([seen, excess], dim=1), sure, COLOR_PX).split([3, 1], dim=1)

    sky_above = shrunk(above * in_sky_colors(seen), SLIVER_PX)
    wanted, known = _straight_above(seen, sky_above)
    wanted = torch.lerp(shown, wanted, known)

    edge = grown(sky, RIM_PX) * grown(above, RIM_PX)
    shown, wanted, excess, near, edge = (
        F.interpolate(x, size, mode="bilinear") for x in (shown, wanted, excess, grown(sky, NEAR_PX), edge)
    )
    off_shown, off_wanted = ((picture - color).abs().mean(1, keepdim=True) for color in (shown, wanted))
    there = ((_cyan(picture) - of_walls) / excess.clamp(min=SURELY_CYAN)).clamp(0, 1) * near
    dashes = shrunk(grown(there, times), times) * (off_shown < MOST_UNLIKE)
    there = torch.maximum(there, dashes) * is_wall

    soft_px = times * SOFT_PX
    soft = softened(edge, soft_px)
    alike = (1 - torch.minimum(off_wanted, 2 * off_shown) / MOST_UNLIKE).clamp(0, 1)
    rim = (2 * soft * alike).clamp(max=1) * (under_none + is_wall * near) * known
    return Skyline(there, rim, shown, wanted, known)


def open_skyline(picture: Tensor, skyline: Skyline) -> Tensor:
    """The picture (N, 3, H, W) in -1..1 with the sky of its walls, and the rim above, in the color wanted."""
    least, most = SOLID
    other = picture + skyline.there * (skyline.wanted - skyline.shown)
    solid = torch.maximum(((skyline.there - least) / (most - least)).clamp(0, 1), skyline.rim)
    return torch.lerp(other, skyline.wanted, solid).clamp(-1, 1)


def _cyan(pictures: Tensor) -> Tensor:
    return pictures[:, 1:].mean(1, keepdim=True) - pictures[:, :1]


def _straight_above(pictures: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The colors (N, 3, H, W) of what the mask has straight above, or there, once blurred, else the
    mean of these; and whether it has some in enough columns (N, 1, 1, 1), 0 or 1."""
    rows = torch.arange(mask.shape[2], device=mask.device).view(1, 1, -1, 1)
    last = (mask * rows).cummax(2).values.long().expand_as(pictures)
    found = mask.cummax(2).values
    colors = blurred(pictures, mask, SKY_PX).gather(2, last) * found
    mean = colors.sum((2, 3), keepdim=True) / found.sum((2, 3), keepdim=True).clamp(min=1)
    share = found.amax(2, keepdim=True).mean(3, keepdim=True)
    spread = gaussian(torch.cat([colors, found], dim=1), SPREAD_PX)
    return (spread[:, :3] + LITTLE_SKY * mean) / (spread[:, 3:] + LITTLE_SKY), (share >= LEAST_SKY).float()
