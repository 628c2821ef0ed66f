"""What surroundings are in large pictures, by what they are in small ones.

Where surroundings are wide and blank, a generator at a picture's own resolution cannot see whether they are
sky, street or a neighbor's wall: it chooses, and a white hole of sky in a wall is what comes of it. The same
map at about the size that it was trained at shows it whole, and it chooses well. So where the large picture's
surroundings are in other colors than the small one's, they are to be like the latter (self-distillation, a
global view teaching local ones, as in Caron et al. 2021, arXiv 2104.14294, section 3.1).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.retouching.colored_maps import ColoredMap
from training.retouching.label_maps import sized
from training.retouching.masks import softened
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched

FAR_SIZE = 1.25  # of the same map from further away, of the size that the generator was trained at
CELL_PX, SOFT_PX = 32, 8
LEAST_SHARE = 0.3  # of a cell is surroundings, in both pictures, or it says nothing
UNLIKE_WEIGHT = 30.0  # of what was in another color, beside what is to stay as it is
LOWEST = 0.85  # of a picture's height: below is the street, with what stands there
TOLERANCE = 0.3  # of mean colors of cells, in -1..1: 38 levels of 255


def retouched(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """A picture (1, 3, H, W) in -1..1 that `before` makes of a map, its surroundings as seen from further
    away, where those are in other colors, if it is large."""
    if not parts.is_large(picture):
        return Retouched.as_is(picture)
    far_drawn = drawn._replace(classes=sized(drawn.classes[0], FAR_SIZE * parts.native_size_px))
    far = before(*far_drawn).clamp(-1, 1)
    wanted, changed = as_from_afar(picture, parts.is_open(drawn), far, parts.is_open(far_drawn))
    return Retouched.by_pixel(wanted, 1 + UNLIKE_WEIGHT * changed)


def as_from_afar(picture: Tensor, is_open: Tensor, far: Tensor, far_open: Tensor) -> tuple[Tensor, Tensor]:
    """A picture (1, 3, H, W) in -1..1 with surroundings of a smaller one, (1, 3, h, w), in cells in which
    both are unlike; and where that is, (1, 1, H, W) in 0..1.

    is_open, far_open: (1, 1, H, W) and (1, 1, h, w), 1 for surroundings.
    """
    size = picture.shape[2:]
    masked = F.interpolate(torch.cat([far * far_open, far_open], dim=1), size, mode="bilinear")
    enlarged, known = masked.split([3, 1], dim=1)
    enlarged = enlarged / known.clamp(min=0.05)
    share, far_share = _cells(is_open), _cells(known)
    colors, far_colors = (
        _cells(x * mask) / shares.clamp(min=0.05)
        for x, mask, shares in ((picture, is_open, share), (enlarged, known, far_share))
    )
    unlike = (colors - far_colors).abs().mean(1, keepdim=True) > TOLERANCE
    unlike = unlike * (share > LEAST_SHARE) * (far_share > LEAST_SHARE)
    changed = F.interpolate(F.max_pool2d(unlike.to(picture), 3, 1, 1), size, mode="nearest")
    soft = softened(changed, SOFT_PX)
    changed = soft * is_open * (known > 0)
    changed[:, :, round(LOWEST * size[0]) :] = 0
    return torch.lerp(picture, enlarged, changed), changed


def _cells(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, CELL_PX, CELL_PX // 2)
