"""Sky that photos show where their label maps have walls: what `OpenSky` learns from."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from training.data import Pair, mix_seeds
from training.masks import below_clear, gaussian, in_sky_colors, median, reduced, times_native
from training.networks.open_sky import OpenSky
from training.networks.resize import nearest

# In pictures in -1..1, of about the size that generators are trained at; px are theirs.
SMOOTH_PX = 1  # standard deviation of what colors are told by
ENOUGH_PX = 30  # of sky above the walls, or at their top, that tell its color
TOP_PX = 8  # where nothing is above: of walls, what may be such sky, ...
TOP_LIGHT, TOP_CONTRAST = 0.1, 0.3  # ... if it is so light, and so unlike the walls
MOST_UNLIKE = 0.35  # of all that is sky from its color
LEAST_LIGHT, MOST_YELLOW = -0.2, 0.12  # of all that is sky
LEAST_CLEAR_LIGHT, MOST_CLEAR_YELLOW = -0.3, 0.2  # of what may be above it
LITTLE = 0.003  # of a picture, or it has none
LEAST_CONTRAST, LOWEST = 0.3, 0.55  # with less between sky and walls, or further down, it is doubtful

LEAST_HEIGHT, LEAST_WIDTH = 0.75, 0.6  # of a map's, of what samples show
SHOWN_WHOLE, FROM_TOP = 0.4, 0.7  # how often samples show all of a side, and begin at the upper edge


class Skies(NamedTuple):
    """A label map, uint8 (H, W), and what its photo shows, bool (h, w) each: where walls are sky, and where
    that is known."""

    classes: Tensor
    sky: Tensor
    known: Tensor


def photographed(pair: Pair, wall: int, surroundings: int, native_size_px: int) -> Skies | None:
    """The sky in walls of a pair; None where it cannot be told from them.

    wall, surroundings: ids of classes. Sky has the color of what is above the walls, or else of what is light
    at their top, and only sky above it.
    """
    photo = pair.photo[None].float() / 127.5 - 1
    walls, around = ((pair.classes == each)[None, None].float() for each in (wall, surroundings))
    valid = pair.valid[None, None].float()
    seen, walls, around, valid = reduced(times_native(photo, native_size_px), photo, walls, around, valid)
    above, walls = around.cummin(2).values * valid, walls * valid
    smooth = gaussian(seen, SMOOTH_PX)
    color_of_walls = median(smooth, walls)
    off_walls = (smooth - color_of_walls).abs().mean(1, keepdim=True)
    telling = above * in_sky_colors(smooth)
    if telling.sum() <= ENOUGH_PX:
        telling = walls * in_sky_colors(smooth, TOP_LIGHT) * (off_walls > TOP_CONTRAST)
        telling[:, :, TOP_PX:] = 0
    if telling.sum() <= ENOUGH_PX:
        return Skies(pair.classes, torch.zeros_like(walls[0, 0]).bool(), valid[0, 0] > 0)
    color = median(smooth, telling)
    off = (smooth - color).abs().mean(1, keepdim=True)
    like_sky = (off < off_walls) & (off < MOST_UNLIKE)
    sky = below_clear(
        walls * like_sky * in_sky_colors(seen, LEAST_LIGHT, MOST_YELLOW),
        walls,
        above * in_sky_colors(seen, LEAST_CLEAR_LIGHT, MOST_CLEAR_YELLOW),
        above,
    )
    if sky.mean() > LITTLE:
        contrast = (median(seen, sky) - median(seen, walls * (1 - sky))).abs().mean()
        if contrast < LEAST_CONTRAST or sky[:, :, int(LOWEST * sky.shape[2]) :].any():
            return None
    return Skies(pair.classes, sky[0, 0] > 0, valid[0, 0] > 0)


def photographed_in(
    pairs: Sequence[Pair],
    network: OpenSky,
    native_size_px: int,
    on_seen: Callable[[int, int], None] = lambda done, total: None,
) -> list[Skies]:
    """The sky in walls of all pairs where it can be told from them; `on_seen(done, total)` after each."""
    found = []
    for done, pair in enumerate(pairs, 1):
        found.append(photographed(pair, network.wall, network.surroundings, native_size_px))
        on_seen(done, len(pairs))
    return [skies for skies in found if skies is not None]


def draw(skies: Sequence[Skies], seed: int, number: int) -> Skies:
    """A part of any of them, mirrored or not, squeezed to the square (S, S) that `OpenSky` sees; it follows
    from the seed and the number."""
    random = torch.Generator().manual_seed(mix_seeds(seed, 8, number))
    flipped, whole_height, whole_width, from_top, height, width, top, left = torch.rand(
        8, generator=random
    ).tolist()
    height = 1.0 if whole_height < SHOWN_WHOLE else LEAST_HEIGHT + (1 - LEAST_HEIGHT) * height
    width = 1.0 if whole_width < SHOWN_WHOLE else LEAST_WIDTH + (1 - LEAST_WIDTH) * width
    top = 0.0 if from_top < FROM_TOP else top * (1 - height)
    left *= 1 - width

    def part(map_of: Tensor) -> Tensor:
        rows, columns = (
            slice(int(first * side), max(int(first * side) + 1, round((first + share) * side)))
            for first, share, side in zip((top, left), (height, width), map_of.shape, strict=True)
        )
        square = nearest(map_of[None, rows, columns], OpenSky.size_px, OpenSky.size_px)[0]
        return square.flip(1) if flipped < 0.5 else square

    return Skies(*map(part, skies[int(torch.randint(len(skies), (), generator=random))]))
