"""Even skies, and neighbors with rooflines: a generator can learn both from its own pictures, cleared up.

Label maps call sky, roofs, neighbors and the street one class, so where a neighbor ends and the sky begins is
for the generator to say. It says half of both: neighbors fade into the sky like fog, clouds follow the
picture's frame, and haze hangs over roofs. Photos show pale or blue skies that are even, and neighbors whose
walls end in a cornice. So it learns from what it makes itself: neighbors end where it is half sure of sky,
beside the labelled building on the whole of their width; above them, and above the building, there is sky in
the color that it has on average in each row, but for what stands out sharply there, roofs and chimneys. In
large pictures it frays neighbors' walls with strokes along all that is labelled beside them. It knows how to
paint walls, if told that they are: there, it learns from what it makes of the same map with neighbors' walls
labelled as such, in their color.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.retouching.colored_maps import ColoredMap
from training.retouching.masks import (
    blurred,
    gaussian,
    in_sky_colors,
    median,
    narrowed,
    reduced,
    times_native,
    widened,
)
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched

CLEARED_WEIGHT = 12.0  # of what is cleared up, beside all that is to stay as it is

# In pictures in -1..1, of about the size that the generator was trained at; px are theirs, shares of a side.
SMOOTH_PX = 2  # standard deviation of what colors are told by
LEAST_SKY = 0.02  # of a picture, or there is none
ROWS_SHARE, LITTLE_SKY = 0.12, 0.02  # the standard deviation of its color down the rows; of rows, least sky

LEAST_STEP, STEP_PX = 0.22, 3  # an edge that stands out sharply: how much, and how long
SLIT_PX = 2  # what is up to twice as wide as this is no gap between things that stand
MOST_UNLIKE = 0.5  # what is less like the sky, from the picture's upper edge on, is a roof

LEAST_WALL, GAP_PX = 0.1, 12  # of a column that is the building's, and what is no gap between such columns
LEAST_WIDTH_PX = 4  # of a neighbor
BODY = (0.4, 0.8)  # from where to where down the picture a neighbor shows its color
LEAST_CONTRAST, PALE_CONTRAST = 0.1, 0.2  # between it and the sky: of pale ones, and of all others at least
LEAST_TOP_PX, LOWEST_TOP = 3, 0.7  # where rooflines can be; the latter of a picture's height
OVER_LABELS_PX = 5  # how far above what is labelled in it a neighbor reaches at least
ALL_FOG = 0.5  # how much sky is in a wall that is given its color on the whole
STREET = (0.85, 0.95)  # from where to where down the picture walls give way to the street
CORNICE = (-0.28, 0.12, -0.2)  # how much lighter its lines are than the wall, from top to bottom, 1 px each


@dataclass(frozen=True)
class Neighbor:
    """A neighbor in a reduced picture: its columns, the row of its roofline, 0 if it reaches the upper edge,
    and its walls' color (3,) in -1..1."""

    left: int
    right: int
    roofline: int
    color: Tensor


class Scenery(NamedTuple):
    """What is to be in the surroundings of a reduced picture.

    sky_color: (1, 3, h, 1); off_wall: (1, 3, h, w), what neighbors' walls lack of their color; the others
    (1, 1, h, w). sky: in 0..1, how much of each pixel is to be sky, if above neighbors; below: 1 from
    neighbors' rooflines on; lines: how much lighter the lines of their cornices are; solid: in 0..1, how much
    of each pixel is sky that is to be wall.
    """

    neighbors: list[Neighbor]
    sky_color: Tensor
    sky: Tensor
    below: Tensor
    lines: Tensor
    solid: Tensor
    off_wall: Tensor


def retouched(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """A picture (1, 3, H, W) in -1..1 that `before` makes of a map, with an even sky over neighbors that end
    and, in large ones, have walls."""
    is_open = parts.is_open(drawn)
    scenery = find_scenery(picture, parts.is_wall(drawn), is_open, parts.native_size_px)
    if not scenery:
        return Retouched.as_is(picture)
    wanted, cleared = clear_up(picture, scenery, is_open)
    if parts.is_large(picture):
        for neighbor in scenery.neighbors:
            there = _where(neighbor, scenery, drawn) & (is_open[:, 0] > 0)
            walled = drawn.classes.masked_fill(there, parts.wall)
            colors = drawn.colors.clone()
            colors[:, parts.wall] = (neighbor.color + 1) / 2
            made = before(*drawn._replace(classes=walled, colors=colors)).clamp(-1, 1)
            wanted = torch.where(there, made, wanted)
            cleared = cleared.masked_fill(there, 1.0)
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
    sky_color = _color_of_sky(smooth, room)
    if sky_color is None:
        return None
    beside = _beside(walls, room)
    neighbors = list(_neighbors(smooth, around, room, sky_color, beside))
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
        of_sky = _share_of_sky(smooth[..., columns], color, sky_color)
        solid[..., columns] = (of_sky / ALL_FOG).clamp(0, 1) * walls_only[:, None]
        if neighbor.roofline:
            # A dome of the building's that stands before it has no cornice.
            ends = 1 - standing[:, :, neighbor.roofline, columns]
            for row, lighter in enumerate(CORNICE, neighbor.roofline):
                lines[:, :, row, columns] = lighter * ends
    sky = blurred(room * (1 - standing), room, 1) * (1 - unknown)
    return Scenery(neighbors, sky_color, sky, below, lines, solid, off_wall)


def _where(neighbor: Neighbor, scenery: Scenery, drawn: ColoredMap) -> Tensor:
    """True for the neighbor's columns between its roofline and the street, (1, H, W), labels and all."""
    there = torch.zeros_like(scenery.below)
    last = round(STREET[1] * there.shape[2])
    there[:, :, neighbor.roofline : last, neighbor.left : neighbor.right] = 1
    return F.interpolate(there, drawn.classes.shape[1:], mode="nearest")[:, 0] > 0


def _color_of_sky(smooth: Tensor, room: Tensor) -> Tensor | None:
    """The mean color of the sky in each row and those near it, (1, 3, H, 1); None if there is too little."""
    sky, light = room * in_sky_colors(smooth), smooth.mean(1, keepdim=True)
    if sky.mean() < LEAST_SKY:
        return None
    # The lighter half: the other has what clouds are seen by, and haze.
    sky = sky * (light >= median(light, sky))
    rows = torch.cat([smooth * sky, sky], dim=1).mean(3, keepdim=True)
    deviation_px = max(1, round(ROWS_SHARE * smooth.shape[2]))
    near = gaussian(rows, deviation_px) + LITTLE_SKY * rows.mean(2, keepdim=True)
    return near[:, :3] / near[:, 3:]


def _beside(walls: Tensor, room: Tensor) -> Tensor:
    """1 for the columns (1, 1, 1, W) that are not the building's, or have nothing but room."""
    building = (walls.mean(2, keepdim=True) >= LEAST_WALL).float()
    return torch.maximum(1 - narrowed(widened(building, GAP_PX), GAP_PX), room[:, :, -1:])


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


def _neighbors(
    smooth: Tensor, around: Tensor, room: Tensor, sky_color: Tensor, beside: Tensor
) -> Iterator[Neighbor]:
    """What is beside the building, is unlike the sky and not all sky."""
    height = smooth.shape[2]
    upper, lower = (round(share * height) for share in BODY)
    for left, right in F.pad(beside.flatten(), (1, 1)).diff().nonzero().view(-1, 2).tolist():  # from and to
        body = smooth[0, :, upper:lower, left:right][:, around[0, 0, upper:lower, left:right] > 0]
        if right - left < LEAST_WIDTH_PX or not body.shape[1]:
            continue
        over = sky_color[0, :, : height // 2].mean((1, 2))
        color = body.median(1).values
        if not LEAST_CONTRAST <= _off(color, over) < PALE_CONTRAST:
            # Of what is not pale, the half that is most unlike the sky, for there may be holes and fog in it.
            off = (body - over[:, None]).abs().mean(0)
            color = body[:, off >= off.median()].median(1).values
            if _off(color, over) < PALE_CONTRAST:
                continue
        clear_px = int(room[..., left:right].sum(2).min())
        of_sky = _share_of_sky(smooth[..., left:right], color.view(1, 3, 1, 1), sky_color)
        sure = (of_sky[0, 0, :clear_px].mean(1) > 0.5).int()
        roofline = int(sure.cummin(0).values.sum()) if clear_px else 0
        if clear_px < height:
            roofline = min(roofline, clear_px - OVER_LABELS_PX)
        if roofline <= LOWEST_TOP * height:
            yield Neighbor(left, right, roofline if roofline >= LEAST_TOP_PX else 0, color)


def _share_of_sky(pictures: Tensor, wall_color: Tensor, sky_color: Tensor) -> Tensor:
    """How much of each pixel is sky, (N, 1, H, W): 0 in the one color, 1 in the other."""
    way = sky_color - wall_color
    length = way.square().sum(1, keepdim=True).clamp(min=1e-6)
    return ((pictures - wall_color) * way).sum(1, keepdim=True) / length


def _off(color: Tensor, other: Tensor) -> float:
    return float((color - other).abs().mean())
