"""Colors that people ask for and photos hardly show, drawn at random, and photos repainted in them.

What a generator never saw it overdoes: a brick red wall came out orange without this.
"""

import colorsys
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from training.losses import mean_class_colors

CLASS_SHARE = 0.4  # of the classes of a repainted sample
MOST_SATURATION = 0.8
LEAST_BRIGHTNESS = 0.12
LEAST_CONTRAST = 0.4  # of a class's texture, however little room its new color leaves
LEAST_EXPOSURE = 0.4
# How far from a label's edge new colors may end, of the photo's side, and what of its brightness is an edge.
EDGE_REACH = 1 / 64
EDGE_CONTRAST = 0.03


class Repaint(NamedTuple):
    """New colors for some classes, and less light for all; of one sample, or of N.

    chosen: bool (K, 1), the classes that get new colors; colors: (K, 3) in 0..1; exposure: (1,), 1 or less.
    Of N samples each has N of these.
    """

    chosen: Tensor
    colors: Tensor
    exposure: Tensor

    @classmethod
    def draw(cls, colored: Tensor, often: float, random: torch.Generator | None = None) -> Self:
        """New colors in so many of all draws, and less light in half as many.

        colored: (K, 1), 0 for classes that no color is asked of; random: where from, torch's own by default.
        """
        repaint, expose = torch.rand(2, generator=random).tolist()
        drawn = torch.rand(colored.shape, generator=random)
        chosen = (drawn < CLASS_SHARE) & (colored > 0) & (repaint < often)
        hue, saturation, brightness = torch.rand(3, len(colored), generator=random)
        saturation = MOST_SATURATION * saturation**1.5  # strong colors are rarer on buildings than pale ones
        brightness = LEAST_BRIGHTNESS + (1 - LEAST_BRIGHTNESS) * brightness
        hsv = torch.stack([hue, saturation, brightness], dim=1).tolist()
        colors = torch.tensor([colorsys.hsv_to_rgb(*each) for each in hsv])
        exposure = LEAST_EXPOSURE ** torch.rand(1, generator=random)
        return cls(chosen, colors, exposure if expose < often / 2 else torch.ones(1))

    def changed(self) -> Tensor:
        """Which of N samples get new colors or less light: their indices."""
        return (self.chosen.flatten(1).any(1) | (self.exposure < 1)[:, 0]).nonzero()[:, 0]

    def select(self, indices: Tensor) -> Self:
        """Those of some of N samples."""
        return type(self)(*(x[indices] for x in self))

    def to(self, device: torch.device) -> Self:
        return type(self)(*(x.to(device, non_blocking=True) for x in self))

    def of_colors(self, colors: Tensor) -> Tensor:
        """Color sets (N, K, 3) in 0..1 with the new colors in them."""
        return torch.where(self.chosen, self.colors, colors) * self.exposure[:, None]

    def of_photos(self, photos: Tensor, classes: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in 0..1 with the new colors for the chosen classes' means; their texture stays.

        classes: integer (N, H, W), K where a photo shows nothing. Contrast shrinks with the room below or
        above the new mean, as that of darker paint does. Labels are jagged and a few pixels off: new colors
        end at edges of the photo near by, or discriminators would take outlines of labels for something that
        photos have.
        """
        n_classes = self.colors.shape[1]
        means, _ = mean_class_colors(photos, classes, n_classes)
        contrast = torch.minimum(
            self.colors / means.clamp(min=1e-3), (1 - self.colors) / (1 - means).clamp(min=1e-3)
        ).clamp(LEAST_CONTRAST, 1)
        shift = self.colors - contrast * means
        # What changes, so that it is exactly nothing where nothing does.
        change = torch.cat([contrast - 1, shift], dim=2) * self.chosen
        rows = F.pad(change, (0, 0, 0, 1))  # (N, K + 1, 6)
        row = classes.long() + (n_classes + 1) * torch.arange(len(rows), device=rows.device).view(-1, 1, 1)
        maps = F.embedding(row, rows.flatten(0, 1)).permute(0, 3, 1, 2)
        radius_px = max(1, round(EDGE_REACH * min(classes.shape[1:])))
        factor, offset = _guided(maps, photos.mean(1, keepdim=True), radius_px).chunk(2, dim=1)
        return (photos + photos * factor + offset).clamp(0, 1) * self.exposure.view(-1, 1, 1, 1)


def _guided(maps: Tensor, guide: Tensor, radius_px: int) -> Tensor:
    """Maps (N, C, H, W) smoothed, but for edges that the guide (N, 1, H, W) has, too.

    The guided filter (He, Sun, Tang 2013, "Guided Image Filtering", section 3.1): in each window a line
    through the guide's values is fit to the maps'.
    """

    def mean(x: Tensor) -> Tensor:
        """Means of windows, of what they have inside of the picture."""
        side_px = 2 * radius_px + 1
        x = F.avg_pool2d(x, (side_px, 1), 1, (radius_px, 0), count_include_pad=False)
        return F.avg_pool2d(x, (1, side_px), 1, (0, radius_px), count_include_pad=False)

    guide_mean, maps_mean = mean(guide), mean(maps)
    variance = mean(guide.square()) - guide_mean.square()
    slope = (mean(guide * maps) - guide_mean * maps_mean) / (variance + EDGE_CONTRAST**2)
    return mean(slope) * guide + mean(maps_mean - slope * guide_mean)
