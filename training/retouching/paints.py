"""Classes in the mean colors asked for: what a generator is off can be told from its own pictures.

Refinements draw colors of facades that there are, so what they teach drifts in all other colors, dark paints
above all. So a generator learns from what it makes in color sets and in colors drawn at random alike, each
class shifted by what its mean is off the color asked for; texture stays as it is. Sky among roofs, which
label maps call wall, has no part in it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.losses import LEAST_AREA_PX, mean_class_colors
from training.repaint import Repaint
from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched
from training.retouching.skylines import find_skyline

OFTEN_REPAINTED = 0.6  # how many maps have some classes in colors of no color set; half as many less light
MOST_SHIFT = 0.3  # of pictures in -1..1


def retouched(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """A picture (1, 3, H, W) in -1..1 with each class shifted to the color asked for."""
    skyline = find_skyline(picture, parts.is_wall(drawn), parts.is_open(drawn), parts.native_size_px)
    n_classes = len(parts.colored)
    classes = drawn.classes.long().clamp(max=n_classes).masked_fill(skyline.there[:, 0] > 0.5, n_classes)
    means, areas = mean_class_colors(picture, classes, n_classes)
    shifts = (2 * drawn.colors[:, :n_classes] - 1 - means) * (areas >= LEAST_AREA_PX) * parts.colored[:, None]
    rows = F.pad(shifts.clamp(-MOST_SHIFT, MOST_SHIFT), (0, 0, 0, 1))
    lacking = F.embedding(classes, rows[0]).permute(0, 3, 1, 2)
    return Retouched.as_is((picture + lacking).clamp(-1, 1))


def repainted(drawn: ColoredMap, parts: Parts, random: torch.Generator) -> ColoredMap:
    """More than half of the maps with new colors for some classes, a third with less light for all."""
    repaint = Repaint.draw(parts.colored.cpu()[:, None], OFTEN_REPAINTED, random)
    return drawn._replace(colors=repaint.of_colors(drawn.colors[0])[None])
