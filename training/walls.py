"""Walls without what nobody drew: a generator can learn to leave foliage and stains out of blank walls.

Label maps of photos call the trees before a wall a wall, so where a wall is wide and blank, below windows or
between them, a generator paints foliage, and what it paints from noise alone is hatched and pale. Of a map
that is nothing but wall, it makes plaster. So it learns from itself: blots in walls from its picture of
nothing but wall, in the color of the wall around them, all else from its picture of the map. Parts of maps
are blanked, too, for those who draw label maps leave out more than those who trace photos.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data import mix_seeds
from training.masks import blurred, gaussian, grown, shrunk
from training.recipes import leaky_clamp
from training.samples import Sample, Samples

WALL_CLASS = "facade"
OFTEN_BLANKED = 0.5  # how many of the maps have a rectangle of nothing but wall
LEAST_BLANK, MOST_BLANK_HEIGHT = 0.25, 0.6  # sides of it, of the map's
# All px are those of pictures shrunk to about the size that the generator was trained at.
SMOOTH_PX, WIDE_PX = 4, 8  # standard deviations
MARGIN_PX = 7  # how far blots lie at least from all that is drawn
ROOF = 0.18  # how far they lie at least below the first of it, of the height
# Of pictures in -1..1, once blurred: how far blots are off the wall's color at least, and how much detail
# they have.
LEAST_OFF, LEAST_DETAIL = 0.13, 0.2
# They go on, so many times so far, through walls that have one or the other.
GROWTHS, GROWTH_PX = 8, 6
CELL_PX = 8  # of the means that the color of walls around blots is told by
BLOT_WEIGHT = 12.0  # of what is to be plain, beside what is to stay as it is
MEASURED_MAPS = 24


class Plain(NamedTuple):
    """A picture, (N, 3, H, W) in -1..1, without blots in its walls. Both (N, 1, H, W) in 0..1: blots, where
    these were; beside, what is drawn next to them, which may have some of them before it."""

    picture: Tensor
    blots: Tensor
    beside: Tensor


@dataclass(frozen=True, eq=False)
class Walls:
    """The subject of a refinement: blank walls, plain, in pictures of which most are small.

    wall: the id of the class; colored: (K,), 0 for the surroundings, on the device to work on.
    """

    samples: Samples
    held_out: Samples
    wall: int
    colored: Tensor

    title = "learning walls"

    def options(self) -> dict[str, Any]:
        """What shapes the weights beside what all subjects have."""
        return {"subject": "walls", "label_maps": len(self.samples.maps)}

    def draw(self, number: int) -> Sample:
        """Any map in any colors, half of them with a blank rectangle in the building; it follows from the
        number and the seed."""
        random = torch.Generator().manual_seed(mix_seeds(self.samples.seed, 6, number))
        sample = self.samples.draw(number)
        if float(torch.rand((), generator=random)) >= OFTEN_BLANKED:
            return sample
        return sample._replace(classes=self._blanked(sample.classes, random))

    def loss(self, pupil: nn.Module, before: nn.Module, number: int) -> Tensor:
        """How far the pupil's picture of a sample is from the one of `before` without blots in its walls."""
        sample = self.draw(number).to(self.colored.device)
        with torch.no_grad():
            plain = self._plain(before, sample, before(*sample).clamp(-1, 1))
        off = (leaky_clamp(pupil(*sample)) - plain.picture).abs()
        return (off * (1 - plain.beside + BLOT_WEIGHT * plain.blots)).mean()

    @torch.no_grad()
    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """The parts of walls that are blots, of both, in maps held out, as they are and with a blank
        rectangle each; `on_seen(done, total)` after each map."""
        samples = self.held_out.fixed(MEASURED_MAPS)
        blots, area = torch.zeros(2, 2), torch.zeros(2)
        for done, drawn in enumerate(samples, 1):
            random = torch.Generator().manual_seed(mix_seeds(0, 6, done))
            blanked = drawn._replace(classes=self._blanked(drawn.classes, random))
            for row, sample in enumerate(x.to(self.colored.device) for x in (drawn, blanked)):
                for which, generator in enumerate((before, after)):
                    picture = generator(*sample).clamp(-1, 1)
                    blots[row, which] += self._plain(before, sample, picture).blots.sum().cpu()
                area[row] += (sample.classes == self.wall).sum().cpu()
            on_seen(done, len(samples))
        (was, now), (blank_was, blank_now) = (blots / area.clamp(min=1)[:, None]).tolist()
        return (
            f"blots in walls: {was:.1%} before, {now:.1%} now; "
            f"where parts are blanked: {blank_was:.1%} before, {blank_now:.1%} now"
        )

    def _plain(self, generator: nn.Module, sample: Sample, picture: Tensor) -> Plain:
        nothing_else = generator(torch.full_like(sample.classes, self.wall), *sample[1:]).clamp(-1, 1)
        is_wall = (sample.classes == self.wall)[:, None].float()
        is_drawn = self.colored[sample.classes.long()][:, None] * (1 - is_wall)
        return plain_walls(picture, nothing_else, is_wall, is_drawn, self.samples.native_size_px)

    def _blanked(self, classes: Tensor, random: torch.Generator) -> Tensor:
        """A map (1, H, W) with wall in place of all that is drawn in a rectangle anywhere."""
        height, width = classes.shape[1:]
        shares = LEAST_BLANK + torch.rand(2, generator=random) * torch.tensor(
            [MOST_BLANK_HEIGHT - LEAST_BLANK, 1 - LEAST_BLANK]
        )
        rows, columns = (shares * torch.tensor([height, width])).int().tolist()
        top = int(torch.randint(height - rows + 1, (), generator=random))
        left = int(torch.randint(width - columns + 1, (), generator=random))
        place = (slice(None), slice(top, top + rows), slice(left, left + columns))
        found = classes.clone()
        is_open = self.colored.cpu()[classes[place].long()] == 0
        found[place] = torch.where(is_open, classes[place], self.wall)
        return found


def plain_walls(
    picture: Tensor, nothing_else: Tensor, is_wall: Tensor, is_drawn: Tensor, native_size_px: int
) -> Plain:
    """A picture without blots in its walls.

    picture, nothing_else: (N, 3, H, W) in -1..1, the latter of nothing but wall in the same colors; is_wall,
    is_drawn: (N, 1, H, W), 1 for walls and for all that is neither wall nor surroundings.

    Blots are what is off the wall's color and full of detail at once, away from all that is drawn; shadows,
    stripes and bricks are not both. Roofs are walls to label maps: what lies above all that is drawn, or not
    far below the first of it, stays.
    """
    size = picture.shape[2:]
    times = max(1, round(max(size) / native_size_px))
    small = [side // times for side in size]
    seen = F.interpolate(picture, small, mode="area")
    walls, drawn = ((F.interpolate(x, small, mode="area") > 0.5).float() for x in (is_wall, is_drawn))
    blots, color = _blots(seen, walls, drawn)
    blots, beside, color = (
        F.interpolate(x, size, mode="bilinear") for x in (blots, grown(blots, GROWTH_PX), color)
    )
    blots = F.avg_pool2d(blots, 9, 1, 4, count_include_pad=False) * is_wall
    plaster = nothing_else - nothing_else.mean((2, 3), keepdim=True) + color
    return Plain(torch.lerp(picture, plaster, blots), blots, beside * (1 - is_wall))


def _blots(picture: Tensor, is_wall: Tensor, is_drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Where blots are, (N, 1, H, W), and the color of the wall around them, (N, 3, H, W).

    The picture is of about the size that the generator was trained at.
    """
    smooth = blurred(picture, is_wall, SMOOTH_PX)
    detail = blurred((picture - smooth).abs().mean(1, keepdim=True), is_wall, SMOOTH_PX) > LEAST_DETAIL
    inner = shrunk(is_wall, MARGIN_PX)
    color = _median(smooth, is_wall * (1 - inner))
    off = (smooth - color).abs().mean(1, keepdim=True)
    restless = ((off > LEAST_OFF) | detail) * is_wall

    height = picture.shape[2]
    roof_px = round(ROOF * height)
    below = grown(is_drawn, 2 * CELL_PX).cummax(2).values[:, :, : height - roof_px]
    below = F.pad(below, (0, 0, roof_px, 0))
    found = (blurred(off, is_wall, WIDE_PX) > LEAST_OFF) & detail
    blots = grown(shrunk(found * inner * below, 3), 3 + MARGIN_PX) * is_wall
    # Narrow strips between windows do not pass them on, nor do roofs.
    wide = grown(shrunk(is_wall, 5), 5) * restless * below
    for _ in range(GROWTHS):
        blots = torch.maximum(blots, grown(blots, GROWTH_PX) * wide)
    blots = grown(blots, GROWTH_PX) * is_wall
    around = is_wall * (1 - grown(blots, SMOOTH_PX)) * (1 - restless)
    return blots, _color_around(smooth, around, color)


def _median(pictures: Tensor, mask: Tensor) -> Tensor:
    """(N, 3, 1, 1), of each channel of what the mask has; 0 where it has nothing."""
    masked = pictures.masked_fill(mask == 0, torch.nan)
    return masked.flatten(2).nanmedian(2).values.nan_to_num()[..., None, None]


def _color_around(smooth: Tensor, around: Tensor, color: Tensor) -> Tensor:
    """The color of what the mask has, from near by if there is any, else `color`; as large as pictures."""
    cells = F.avg_pool2d(torch.cat([smooth * around, around], dim=1), CELL_PX, ceil_mode=True)
    cells = gaussian(cells, SMOOTH_PX)
    found = (cells[:, :3] + 0.03 * color) / (cells[:, 3:] + 0.03)
    return F.interpolate(found, smooth.shape[2:], mode="bilinear")
