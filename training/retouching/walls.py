"""Walls without what nobody drew: a generator can learn to leave foliage and stains out of blank walls.

Label maps of photos call the trees before a wall a wall, so where a wall is wide and blank, below windows or
between them, a generator paints foliage, and what it paints from noise alone is hatched and pale. Of a map
that is nothing but wall, it makes plaster. So it learns from itself: blots in walls from its picture of
nothing but wall, in the color of the wall around them, all else from its picture of the map. Parts of maps
are blanked, too, for those who draw label maps leave out more than those who trace photos.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.masks import grown, reduced, shrunk, softened, times_native
from training.networks.filters import blurred, gaussian, median, widened
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched

OFTEN_BLANKED = 0.5  # how many of the maps have a rectangle in which all that is drawn is wall
LEAST_BLANK, MOST_BLANK_HEIGHT = 0.25, 0.6  # sides of it, of the map's
BLOT_WEIGHT = 8.0  # of what is to be plain, beside what is to stay as it is

# Blots are looked for in pictures of about the size that the generator was trained at: px are theirs.
SMOOTH_PX, WIDE_PX = 4, 8  # standard deviations
# Of pictures in -1..1, once blurred: how far a blot is off the wall's color at least where it begins, and how
# much detail it has; it goes on, so many times so far, through walls that have one or the other.
LEAST_OFF, LEAST_DETAIL = 0.13, 0.2
GROWTHS, GROWTH_PX = 8, 6
MARGIN_PX = 7  # how far from all that is no wall it begins
SPECK_PX, STRIP_PX = 3, 5  # what begins no blot, and what passes none on: up to twice as wide as this
ROOF, SIDEWAYS_PX = 0.18, 16  # how far below the first of what is drawn, of the height, in columns so near
CELL_PX, AROUND_CELLS = 8, 4  # of means of the wall's color, and the standard deviation of where it is taken
LITTLE_WALL = 0.03  # of what is around: with less, the color of walls is that of the whole picture
SOFT_PX = 4  # how far blots fade out, of the picture's own px


class Blots(NamedTuple):
    """What of a picture's walls is to be plain, as large as the picture.

    there: (N, 1, H, W) in 0..1, 1 in blots, less at their edges, 0 in all that is no wall; beside: likewise,
    1 in what is no wall but next to blots, and may have some of them before it; color: (N, 3, H, W) in -1..1,
    of the wall around.
    """

    there: Tensor
    beside: Tensor
    color: Tensor


def retouched(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """A picture (1, 3, H, W) in -1..1 that `before` makes of a map, without blots in walls; what is beside
    these may change."""
    is_wall = parts.is_drawn_as_wall(drawn)
    is_drawn = (1 - parts.is_open(drawn)) * (1 - is_wall)
    blots = find_blots(picture, is_wall, is_drawn, parts.native_size_px)
    if not blots.there.any():
        return Retouched.as_is(picture)
    of_walls = drawn._replace(classes=torch.full_like(drawn.classes, parts.wall), drawn_as=None)
    nothing_else = before(*of_walls).clamp(-1, 1)
    weight = 1 - blots.beside + BLOT_WEIGHT * blots.there
    return Retouched.by_pixel(plain_walls(picture, nothing_else, blots), weight)


def blanked(drawn: ColoredMap, parts: Parts, random: torch.Generator) -> ColoredMap:
    """Half of the maps with wall in place of all that is drawn in a rectangle anywhere."""
    often, *shares = torch.rand(3, generator=random).tolist()
    if often >= OFTEN_BLANKED:
        return drawn
    height, width = drawn.classes.shape[1:]
    rows = int((LEAST_BLANK + shares[0] * (MOST_BLANK_HEIGHT - LEAST_BLANK)) * height)
    columns = int((LEAST_BLANK + shares[1] * (1 - LEAST_BLANK)) * width)
    top = int(torch.randint(height - rows + 1, (), generator=random))
    left = int(torch.randint(width - columns + 1, (), generator=random))
    place = (slice(None), slice(top, top + rows), slice(left, left + columns))
    classes = drawn.classes.clone()
    is_open = parts.colored.cpu()[classes[place].long()] == 0
    classes[place] = torch.where(is_open, classes[place], parts.wall)
    return drawn._replace(classes=classes)


def find_blots(picture: Tensor, is_wall: Tensor, is_drawn: Tensor, native_size_px: int) -> Blots:
    """Blots in the walls of a picture (N, 3, H, W) in -1..1.

    is_wall, is_drawn: (N, 1, H, W), 1 for walls, and for all that is neither wall nor surroundings.

    A blot begins where a wall is off its color and full of detail at once, as shadows, stripes and bricks are
    not, away from all that is no wall; from there it goes on through what is either. Roofs are walls to label
    maps: in columns without anything drawn, above the first of it and not far below it there are no blots.
    """
    size = picture.shape[2:]
    seen, walls, drawn = reduced(times_native(picture, native_size_px), picture, is_wall, is_drawn)
    smooth = blurred(seen, walls, SMOOTH_PX)
    detailed = blurred((seen - smooth).abs().mean(1, keepdim=True), walls, SMOOTH_PX) > LEAST_DETAIL
    inner = shrunk(walls, MARGIN_PX)
    color = median(smooth, walls * (1 - inner))
    off = (smooth - color).abs().mean(1, keepdim=True)
    restless = ((off > LEAST_OFF) | detailed) * walls

    place = walls * _below_roofs(drawn)
    begun = detailed & (blurred(off, walls, WIDE_PX) > LEAST_OFF)
    blots = grown(shrunk(begun * inner * place, SPECK_PX), SPECK_PX + MARGIN_PX) * place
    wide = grown(shrunk(walls, STRIP_PX), STRIP_PX) * restless * place
    for _ in range(GROWTHS):
        blots = torch.maximum(blots, grown(blots, GROWTH_PX) * wide)
    blots = grown(blots, GROWTH_PX) * place
    around = walls * (1 - grown(blots, SMOOTH_PX)) * (1 - restless)
    there, beside, color = (
        F.interpolate(x, size, mode="bilinear")
        for x in (blots, grown(blots, GROWTH_PX), _color_around(smooth, around, color))
    )
    there = softened(there, SOFT_PX)
    return Blots(there * is_wall, beside * (1 - is_wall), color)


def plain_walls(picture: Tensor, nothing_else: Tensor, blots: Blots) -> Tensor:
    """The picture (N, 3, H, W) in -1..1 without blots: there it is like the one of nothing but wall, in the
    color of the wall around."""
    plaster = nothing_else - nothing_else.mean((2, 3), keepdim=True) + blots.color
    return torch.lerp(picture, plaster.clamp(-1, 1), blots.there)


def _below_roofs(is_drawn: Tensor) -> Tensor:
    """(N, 1, H, W), 1 well below the first of what is drawn, in its columns and those near by."""
    near = widened(is_drawn, SIDEWAYS_PX)
    height = is_drawn.shape[2]
    roof_px = round(ROOF * height)
    return F.pad(near.cummax(2).values[:, :, : height - roof_px], (0, 0, roof_px, 0))


def _color_around(smooth: Tensor, around: Tensor, color: Tensor) -> Tensor:
    """The color of what the mask has, from near by if there is any, else `color`; as large as pictures."""
    cells = F.avg_pool2d(torch.cat([smooth * around, around], dim=1), CELL_PX, ceil_mode=True)
    cells = gaussian(cells, AROUND_CELLS)
    found = (cells[:, :3] + LITTLE_WALL * color) / (cells[:, 3:] + LITTLE_WALL)
    return F.interpolate(found, smooth.shape[2:], mode="bilinear")
