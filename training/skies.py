"""Sky that photos show where their label maps have walls: what `OpenSky` learns from."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from training.clear_sky import CLEAR, below_clear
from training.data import Pair, mix_seeds
from training.masks import reduced, times_native
from training.networks.filters import blurred, in_sky_colors, median
from training.networks.open_sky import OpenSky
from training.networks.resize import nearest

# In pictures in -1..1, of about the size that generators are trained at; px are theirs.
SMOOTH_PX = 1  # standard deviation of what colors are told by
ENOUGH_PX = 30  # of sky above the walls, or at their top, that tell its color
TOP_PX = 8  # where nothing is above: of walls, what may be such sky, ...
TOP_LIGHT, TOP_CONTRAST = 0.1, 0.3  # ... if it is so light, and so unlike the walls
MOST_UNLIKE = 0.35  # of all that is sky from its color
OF_SKY = -0.2, 0.12  # how light it is at least, and how yellow at most
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
    """The sky in walls of a pair; None where it cannot be told from them, or there are no walls.

    wall, surroundings: ids of classes. Sky has the color of what is above the walls, or else of what is light
    at their top, and only sky above it, as far as the photo shows.
    """
    photo = pair.photo[None].float() / 127.5 - 1
    walls, around = ((pair.classes == each)[None, None].float() for each in (wall, surroundings))
    valid = pair.valid[None, None].float()
    seen, walls, around, valid = reduced(times_native(photo, native_size_px), photo, walls, around, valid)
    walls = walls * valid
    if not walls.any():
        return None
    # Wedges are mostly at the upper corners, and what is below them may well be sky.
    above = torch.maximum(around, 1 - valid).cummin(2).values
    smooth = blurred(seen, valid, SMOOTH_PX)
    color_of_walls = median(smooth, walls)
    off_walls = (smooth - color_of_walls).abs().mean(1, keepdim=True)
    telling = above * valid * in_sky_colors(smooth)
    if telling.sum() <= ENOUGH_PX:
        telling = walls * in_sky_colors(smooth, TOP_LIGHT) * (off_walls > TOP_CONTRAST)
        telling[:, :, TOP_PX:] = 0
    none = Skies(pair.classes, torch.zeros_like(walls[0, 0]).bool(), valid[0, 0] > 0)
    if telling.sum() <= ENOUGH_PX:
        # With much above that has not the colors of a sky, it may be one of others.
        return none if (above * valid).mean() <= LITTLE else None
    color = median(smooth, telling)
    off = (smooth - color).abs().mean(1, keepdim=True)
    like_sky = (off < off_walls) & (off < MOST_UNLIKE)
    clear = torch.maximum(in_sky_colors(seen, *CLEAR), 1 - valid)
    sky = below_clear(walls * like_sky * in_sky_colors(seen, *OF_SKY), walls, above * clear, above)
    if sky.mean() <= LITTLE:
        return none
    contrast = (median(seen, sky) - median(seen, walls * (1 - sky))).abs().mean()
    if contrast < LEAST_CONTRAST or sky[:, :, int(LOWEST * sky.shape[2]) :].any():
        return None
    return none._replace(sky=sky[0, 0] > 0)


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
