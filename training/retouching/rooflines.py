"""Even skies, and neighbors with rooflines: a generator can learn both from its own pictures, cleared up.

Label maps call sky, roofs, neighbors and the street one class, so where a neighbor ends and the sky begins is
for the generator to say. It says half of both: neighbors fade into the sky like fog, clouds follow the
picture's frame, and haze hangs over roofs. Photos show pale or blue skies that are even, and neighbors whose
walls end in a cornice. So it learns from what it makes itself: neighbors end where it is half sure of sky,
beside the labelled building on the whole of their width; above them, and above the building, there is sky in
the color that it has on average in each row, but for what stands out sharply there, roofs and chimneys. In
large pictures neighbors' walls are told, so there it is about the sky alone.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.masks import reduced, times_native
from training.networks.filters import blurred, narrowed, widened
from training.networks.neighbors import (
    SMOOTH_PX,
    color_of_sky,
    columns_beside,
    neighbors_in,
    share_of_sky,
)
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched

CLEARED_WEIGHT = 12.0  # of what is cleared up, beside all that is to stay as it is

# In pictures in -1..1, of about the size that the generator was trained at; px are theirs, shares of a side.
LEAST_STEP, STEP_PX = 0.22, 3  # an edge that stands out sharply: how much, and how long
SLIT_PX = 2  # what is up to twice as wide as this is no gap between things that stand
MOST_UNLIKE = 0.5  # what is less like the sky, from the picture's upper edge on, is a roof

ALL_FOG = 0.5  # how much sky is in a wall that is given its color on the whole
STREET = (0.85, 0.95)  # from where to where down the picture walls give way to the street
CORNICE = (-0.28, 0.12, -0.2)  # how much lighter its lines are than the wall, from top to bottom, 1 px each


class Scenery(NamedTuple):
    """What is to be in the surroundings of a reduced picture.

    sky_color: (1, 3, h, 1); off_wall: (1, 3, h, w), what neighbors' walls lack of their color; the others
    (1, 1, h, w). sky: in 0..1, how much of each pixel is to be sky, if above neighbors; below: 1 from
    neighbors' rooflines on; lines: how much lighter the lines of their cornices are; solid: in 0..1, how much
    of each pixel is sky that is to be wall.
    """

    sky_color: Tensor
    sky: Tensor
    below: Tensor
    lines: Tensor
    solid: Tensor
    off_wall: Tensor


def retouched(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """A picture (1, 3, H, W) in -1..1 of a map, with an even sky over neighbors that end."""
    is_open = parts.is_open(drawn)
    scenery = find_scenery(picture, parts.is_wall(drawn), is_open, parts.native_size_px)
    if not scenery:
        return Retouched.as_is(picture)
    if drawn.drawn_as is not None:
        neighbors = parts.is_drawn_as_wall(drawn) * is_open
        is_open = is_open - neighbors
        scenery = _over(scenery, neighbors)
    wanted, cleared = clear_up(picture, scenery, is_open)
    return Retouched.by_pixel(wanted, 1 + CLEARED_WEIGHT * cleared)


def clear_up(picture: Tensor, scenery: Scenery, is_open: Tensor) -> tuple[Tensor, Tensor]:
    """A picture (1, 3, H, W) in -1..1 with an even sky, neighbors that end below it, all else as it was; and
    where that is, (1, 1, H, W) in 0..1. is_open: likewise, 1 for surroundings."""
    size = picture.shape[2:]

    def enlarged(x: Tensor) -> Tensor:
        return F.interpolate(x, size, mode="bilinear")

    def repeated(x: Tensor) -> Tensor:
        return F.interpolate(x, size, mode="nearest")

    below, lines = (repeated(x) * is_open for x in (scenery.below, scenery.lines))
    sky = enlarged(scenery.sky) * is_open.cummin(2).values * (1 - below)
    solid = enlarged(scenery.solid) * below
    wanted = picture + solid * enlarged(scenery.off_wall) + lines
    wanted = torch.lerp(wanted, F.interpolate(scenery.sky_color, (size[0], 1), mode="bilinear"), sky)
    return wanted.clamp(-1, 1), torch.maximum(torch.maximum(sky, solid), (lines != 0).to(picture))


def find_scenery(picture: Tensor, is_wall: Tensor, is_open: Tensor, native_size_px: int) -> Scenery | None:
    """What is to be in the surroundings of a picture (1, 3, H, W) in -1..1; None if no sky is in them.

    is_wall, is_open: (1, 1, H, W), 1 for walls, and for surroundings.
    """
    times = times_native(picture, native_size_px)
    above = is_open.cummin(2).values
    seen, walls, around, room = reduced(times, picture, is_wall, is_open, above)
    smooth = blurred(seen, around, SMOOTH_PX)
    sky_color = color_of_sky(smooth, room)
    if sky_color is None:
        return None
    beside = columns_beside(walls, room)
    neighbors = neighbors_in(smooth, around, room, sky_color, beside)
    unknown, below, lines, solid = beside.clone(), *(torch.zeros_like(room) for _ in range(3))
    off_wall = torch.zeros_like(seen)
    height = seen.shape[2]
    upper, lower = (share * height for share in STREET)
    walls_only = ((lower - torch.arange(height, device=seen.device)) / (lower - upper)).clamp(0, 1)
    standing = _standing(seen, smooth, room, sky_color, beside)
    for neighbor in neighbors:
        columns, color = slice(neighbor.left, neighbor.right), neighbor.color.view(1, 3, 1, 1)
        unknown[..., columns] = 0
        below[:, :, neighbor.roofline :, columns] = 1
        off_wall[..., columns] = color - smooth[..., columns]
        of_sky = share_of_sky(smooth[..., columns], color, sky_color)
        solid[..., columns] = (of_sky / ALL_FOG).clamp(0, 1) * walls_only[:, None]
        if neighbor.roofline:
            # A dome of the building's that stands before it has no cornice.
            ends = 1 - standing[:, :, neighbor.roofline, columns]
            for row, lighter in enumerate(CORNICE, neighbor.roofline):
                lines[:, :, row, columns] = lighter * ends
    sky = blurred(room * (1 - standing), room, 1) * (1 - unknown)
    return Scenery(sky_color, sky, below, lines, solid, off_wall)


def _over(scenery: Scenery, neighbors: Tensor) -> Scenery:
    """The scenery where neighbors' walls are told, (1, 1, H, W): these stay, and over them is nothing but
    sky."""
    nothing = torch.zeros_like(scenery.sky)
    columns = F.interpolate(neighbors.amax(2, keepdim=True), (1, scenery.sky.shape[3]), mode="nearest")
    sky = torch.maximum(scenery.sky, columns)
    return scenery._replace(sky=sky, below=nothing, lines=nothing, solid=nothing)


def _standing(seen: Tensor, smooth: Tensor, room: Tensor, sky_color: Tensor, beside: Tensor) -> Tensor:
    """1 for what stands against the sky: under an edge that shows, or unlike it from the upper edge on."""
    # Where neighbors and the building's columns meet there is no edge of something that stands.
    edge = torch.maximum(_edges(seen, room * beside), _edges(seen, room * (1 - beside)))
    unlike = ((smooth - sky_color).abs().mean(1, keepdim=True) > MOST_UNLIKE).float() * (1 - beside)
    standing = torch.maximum(edge.cummax(2).values, unlike.cummin(2).values)
    return narrowed(widened(standing, SLIT_PX), SLIT_PX)


def _edges(seen: Tensor, place: Tensor) -> Tensor:
    """1 where colors change from one pixel to the next but one, down or across, on some length."""
    clear = blurred(seen, place, 1)

    def down(clear: Tensor, place: Tensor) -> Tensor:
        step = (clear[:, :, 2:] - clear[:, :, :-2]).abs().mean(1, keepdim=True)
        edge = widened((step * place[:, :, 2:] * place[:, :, :-2] > LEAST_STEP).float(), 1)
        long = widened(narrowed(edge, (STEP_PX + 1) // 2), (STEP_PX - 1) // 2)
        return F.pad(long, (0, 0, 1, 1))

    return torch.maximum(down(clear, place), down(clear.mT, place.mT).mT)
