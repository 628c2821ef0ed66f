"""Classes in the mean colors asked for: what a generator is off can be told from its own pictures.

Refinements draw colors of facades that there are, so what they teach drifts in all other colors, dark paints
above all. So a generator learns from what it makes in color sets and in colors drawn at random alike, each
class shifted by what its mean is off the color asked for; texture stays as it is. Sky among roofs, which
label maps call wall, has no part in it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.colored_maps import ColoredMap
from training.data import mix_seeds
from training.losses import mean_class_colors
from training.repaint import Repaint
from training.retouching import Fault, Retouched, WallRetouching
from training.skylines import find_skyline

OFTEN_REPAINTED = 0.6  # how many of the maps have some classes in colors of no color set
LEAST_AREA_PX = 48  # of a class, or it says little about its color
MOST_SHIFT = 0.3  # of pictures in -1..1


@dataclass(frozen=True, eq=False)
class Paints(WallRetouching):
    """The subject of a refinement: classes in the colors asked for, in pictures of which most are small."""

    name = "paints"
    title = "learning paints"

    def draw(self, number: int) -> ColoredMap:
        """Any map in any colors, more than half of them with new ones for some classes; it follows from the
        number and the seed."""
        random = torch.Generator().manual_seed(mix_seeds(self.maps.seed, 7, number))
        drawn = self.maps.draw(number)
        repaint = Repaint.draw(self.colored.cpu()[:, None], OFTEN_REPAINTED, random)
        return drawn._replace(colors=repaint.of_colors(drawn.colors[0])[None])

    def retouched(self, before: nn.Module, drawn: ColoredMap) -> Retouched:
        """With each class shifted to the color asked for."""
        picture = before(*drawn).clamp(-1, 1)
        wanted = (picture + self._lacking(picture, self._without_sky(picture, drawn), drawn)).clamp(-1, 1)
        return Retouched(wanted, torch.ones_like(picture[:, :1]))

    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """How far classes are off the colors asked for, of both, in maps held out; `on_seen(done, total)`
        after each."""

        def lacking(picture: Tensor, drawn: ColoredMap) -> Fault:
            classes = self._without_sky(picture, drawn)
            return Fault(1 - self.is_open(drawn), lambda made: self._lacking(made, classes, drawn))

        levels = self.measured(before, after, on_seen, lacking)
        if levels is None:
            return "nothing that is to have a color in the label maps held out"
        was, now = levels
        return f"classes, in levels of 255 off the colors asked for: {was:.1f} before, {now:.1f} now"

    def _without_sky(self, picture: Tensor, drawn: ColoredMap) -> Tensor:
        """The map's classes, (1, H, W), K where the picture has sky among roofs."""
        skyline = find_skyline(picture, self.is_wall(drawn), self.is_open(drawn), self.maps.native_size_px)
        return drawn.classes.long().masked_fill(skyline.there[:, 0] > 0.5, len(self.colored))

    def _lacking(self, picture: Tensor, classes: Tensor, drawn: ColoredMap) -> Tensor:
        """What each pixel's class lacks of its color on average, (1, 3, H, W); 0 where classes are K."""
        means, areas = mean_class_colors(picture, classes, len(self.colored))
        shifts = (2 * drawn.colors - 1 - means) * (areas >= LEAST_AREA_PX) * self.colored[:, None]
        rows = F.pad(shifts.clamp(-MOST_SHIFT, MOST_SHIFT), (0, 0, 0, 1))
        return F.embedding(classes, rows[0]).permute(0, 3, 1, 2)
