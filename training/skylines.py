"""Skylines without a box around them: sky that shows among gables, in the color of the sky above.

A label map's wall is a box around a building, roofs and the sky among them included. That sky counts as wall,
whose mean color it must not move, so a generator paints it in another color than the one above: a teal strip
with the box's straight edge in a white sky. So it learns from itself: sky in walls in the color of the sky
straight above, blended by how much of its color each pixel has (Smith, Blinn 1996, "Blue Screen Matting", its
solution for greys); all else as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.colored_maps import ColoredMap
from training.masks import blurred, gaussian, grown, median, shrunk
from training.retouching import Retouched, Retouching

STRIP_WEIGHT = 20.0  # of sky in walls, beside all that is to stay as it is
MEASURED_MAPS = 24

# In pictures in -1..1, of about the size that the generator was trained at; px are theirs. How much more cyan
# (the mean of green and blue, less red) than walls sky in them is at least, at its edges and within; walls
# that are warmer than this count as this.
LEAST_CYAN, LEAST_CYAN_WITHIN, WARMEST = 0.05, 0.1, -0.1
LEAST_LIGHT = -0.5  # of sky in walls; below are roofs of slate
LEAST_SKY_LIGHT, MOST_YELLOW = -0.1, 0.08  # of the sky above; it is not yellower than blue by more than this
SLIVER_PX = 2  # what is half as wide as this or less is no gap in a sky, and no sky
UNDER_EAVES_PX, WITHIN_PX = 6, 6  # how far it goes on sideways, and from where it is sure
COLOR_PX, SKY_PX, SPREAD_PX = 5, 4, 8  # standard deviations: of its color, of the sky's above, and sideways
SOLID = (0.4, 0.8)  # from how much sky on a pixel has no texture of its own, and from how much none at all
LEAST_SKY = 0.15  # of all columns have sky above, or it is taken for none
LITTLE_SKY = 0.02  # of what is near by: with less, the color of skies is that of the whole picture
RIM_PX = 3  # how far up and down the box's edge shows
MOST_UNLIKE = 0.4  # what is less like the sky is a roof or a pole, and stays


class Skyline(NamedTuple):
    """Sky in a picture's walls, as large as the picture.

    there: (N, 1, H, W) in 0..1, how much of each pixel is such sky, 0 in all that is no wall; rim: likewise,
    how much of it is the edge between it and the sky above; shown, wanted: (N, 3, H, W), its color as it is,
    and as it should be.
    """

    there: Tensor
    rim: Tensor
    shown: Tensor
    wanted: Tensor


@dataclass(frozen=True, eq=False)
class Skylines(Retouching):
    """The subject of a refinement: sky among roofs, like the sky above, in pictures of which most are small.

    wall: the id of the class.
    """

    wall: int

    name = "skylines"
    title = "learning skylines"

    def retouched(self, before: nn.Module, drawn: ColoredMap) -> Retouched:
        """With sky in walls as above; it counts more than all else."""
        picture = before(*drawn).clamp(-1, 1)
        skyline = self._skyline(picture, drawn)
        return Retouched(
            open_skyline(picture, skyline), 1 + STRIP_WEIGHT * torch.maximum(skyline.there, skyline.rim)
        )

    @torch.no_grad()
    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """How far sky in walls is from the sky above, of both, in maps held out; `on_seen(done, total)` after
        each."""
        held_out = self.held_out.fixed(MEASURED_MAPS)
        off, area = torch.zeros(2), 0.0
        for done, drawn in enumerate(held_out, 1):
            shown = drawn.to(self.colored.device)
            pictures = [generator(*shown).clamp(-1, 1) for generator in (before, after)]
            skyline = self._skyline(pictures[0], shown)
            for which, picture in enumerate(pictures):
                unlike = (picture - skyline.wanted).abs().mean(1, keepdim=True)
                off[which] += (unlike * skyline.there).sum().cpu()
            area += float(skyline.there.sum())
            on_seen(done, len(held_out))
        if area == 0:
            return "no sky to be seen in walls of the label maps held out"
        was, now = (off * 127.5 / area).tolist()
        return f"sky in walls, in levels of 255 off the sky above: {was:.1f} before, {now:.1f} now"

    def _skyline(self, picture: Tensor, drawn: ColoredMap) -> Skyline:
        is_wall = (drawn.classes == self.wall)[:, None].float()
        return find_skyline(picture, is_wall, self.is_open(drawn), self.maps.native_size_px)


def find_skyline(picture: Tensor, is_wall: Tensor, is_open: Tensor, native_size_px: int) -> Skyline:
    """Sky in the walls of a picture (N, 3, H, W) in -1..1.

    is_wall, is_open: (N, 1, H, W), 1 for walls, and for surroundings.

    It is more cyan than the walls are, and in its column nothing else is between it and the sky above, or the
    picture's edge. Where no sky is above, what it should be is what it is, calm.
    """
    size = picture.shape[2:]
    times = max(1, round(max(size) / native_size_px))
    small = [side // times for side in size]
    seen = F.interpolate(picture, small, mode="area")
    under_none = is_open.cummin(2).values
    walls, above = ((F.interpolate(x, small, mode="area") > 0.5).float() for x in (is_wall, under_none))
    light = seen.mean(1, keepdim=True)

    of_walls = median(_cyan(seen), walls).clamp(min=WARMEST)
    excess = _cyan(seen) - of_walls
    like_sky = walls * (excess > LEAST_CYAN) * (light > LEAST_LIGHT)
    like_sky = shrunk(grown(like_sky, SLIVER_PX), SLIVER_PX) * walls
    sky = _without_slivers(like_sky * torch.maximum(grown(above, SLIVER_PX), like_sky).cummin(2).values)
    for _ in range(UNDER_EAVES_PX // 2):
        sky = torch.maximum(sky, grown(sky, 2) * like_sky)
    sure = sky * (excess > LEAST_CYAN_WITHIN)
    sky = sky * grown(sure, WITHIN_PX)
    shown, excess = blurred(torch.cat([seen, excess], dim=1), sure, COLOR_PX).split([3, 1], dim=1)

    yellow = seen[:, :1] - seen[:, 2:]
    sky_above = shrunk(above * (light > LEAST_SKY_LIGHT) * (yellow < MOST_YELLOW), SLIVER_PX)
    wanted, known = _straight_above(seen, sky_above)
    wanted = torch.lerp(shown, wanted, known)

    shown, wanted, excess, near, beside = (
        F.interpolate(x, size, mode="bilinear")
        for x in (shown, wanted, excess, grown(sky, 2), grown(sky, RIM_PX) * grown(above, RIM_PX))
    )
    there = ((_cyan(picture) - of_walls) / excess.clamp(min=LEAST_CYAN_WITHIN)).clamp(0, 1) * near
    there = torch.maximum(there, shrunk(grown(there, times), times)) * is_wall
    unlike = (picture - wanted).abs().mean(1, keepdim=True)
    soft = F.avg_pool2d(beside, 4 * times + 1, 1, 2 * times, count_include_pad=False)
    rim = soft * (is_wall + is_open) * known * (1 - unlike / MOST_UNLIKE).clamp(0, 1)
    return Skyline(there, (2 * rim).clamp(max=1), shown, wanted)


def open_skyline(picture: Tensor, skyline: Skyline) -> Tensor:
    """The picture (N, 3, H, W) in -1..1 with the sky of its walls, and the rim above, in the color wanted."""
    least, most = SOLID
    other = picture + skyline.there * (skyline.wanted - skyline.shown)
    solid = torch.maximum(((skyline.there - least) / (most - least)).clamp(0, 1), skyline.rim)
    return torch.lerp(other, skyline.wanted, solid).clamp(-1, 1)


def _cyan(pictures: Tensor) -> Tensor:
    return pictures[:, 1:].mean(1, keepdim=True) - pictures[:, :1]


def _without_slivers(mask: Tensor) -> Tensor:
    """Without what is narrow, from left to right."""
    across = (1, 2 * SLIVER_PX + 1)
    narrower = -F.max_pool2d(-mask, across, 1, (0, SLIVER_PX))
    return F.max_pool2d(narrower, across, 1, (0, SLIVER_PX))


def _straight_above(pictures: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The colors (N, 3, H, W) of what the mask has straight above, or there, spread to both sides, else the
    mean of these; and whether it has some in enough columns (N, 1, 1, 1), 0 or 1."""
    rows = torch.arange(mask.shape[2], device=mask.device).view(1, 1, -1, 1)
    last = (mask * rows).cummax(2).values.long().expand_as(pictures)
    found = mask.cummax(2).values
    colors = blurred(pictures, mask, SKY_PX).gather(2, last) * found
    mean = colors.sum((2, 3), keepdim=True) / found.sum((2, 3), keepdim=True).clamp(min=1)
    share = found.amax(2, keepdim=True).mean(3, keepdim=True)
    spread = gaussian(torch.cat([colors, found], dim=1), SPREAD_PX)
    return (spread[:, :3] + LITTLE_SKY * mean) / (spread[:, 3:] + LITTLE_SKY), (share >= LEAST_SKY).float()
