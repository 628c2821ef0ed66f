"""Colors that people ask for and photos hardly show, drawn at random, and photos repainted in them.

What a generator never saw it overdoes: a brick red wall came out orange without this.
"""

import colorsys
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from torch import Tensor
from torch.nn import functional as F

CLASS_SHARE = 0.4  # of the classes of a repainted sample
MOST_SATURATION = 0.8
LEAST_BRIGHTNESS = 0.12
LEAST_CONTRAST = 0.4  # of a class's texture, however little room its new color leaves
LEAST_EXPOSURE = 0.4
# How far from a label's edge new colors may end, of the photo's side, and what of its brightness is an edge.
EDGE_REACH = 1 / 64
EDGE_CONTRAST = 0.03


@dataclass(frozen=True, eq=False)
class Repaint:
    """New colors for some classes, and less light for all.

    chosen: bool (K, 1), the classes that get new colors; colors: (K, 3) in 0..1; exposure: 1 or less.
    """

    chosen: Tensor
    colors: Tensor
    exposure: float

    @classmethod
    def draw(cls, colored: Tensor, often: float) -> Self:
        """New colors in so many of all draws, and less light in half as many.

        colored: (K, 1), 0 for classes that no color is asked of.
        """
        repaint, expose = torch.rand(2).tolist()
        chosen = (torch.rand(colored.shape) < CLASS_SHARE) & (colored > 0) & (repaint < often)
        hue, saturation, brightness = torch.rand(3, len(colored))
        saturation = MOST_SATURATION * saturation**1.5  # strong colors are rarer on buildings than pale ones
        brightness = LEAST_BRIGHTNESS + (1 - LEAST_BRIGHTNESS) * brightness
        hsv = torch.stack([hue, saturation, brightness], dim=1).tolist()
        colors = torch.tensor([colorsys.hsv_to_rgb(*each) for each in hsv])
        exposure = LEAST_EXPOSURE ** torch.rand(()).item()
        return cls(chosen, colors, exposure if expose < often / 2 else 1.0)

    def of_colors(self, colors: Tensor) -> Tensor:
        """The color set (K, 3) in 0..1 with the new colors in it."""
        return torch.where(self.chosen, self.colors, colors) * self.exposure

    def of_photo(self, photo: Tensor, classes: Tensor, means: Tensor) -> Tensor:
        """The photo (3, H, W) in 0..1 with the new colors for the chosen classes' means; their texture stays.

        classes: integer (H, W), K where the photo shows nothing; means: (K, 3), those of the photo. Contrast
        shrinks with the room below or above the new mean, as that of darker paint does. Labels are jagged and
        a few pixels off: new colors end at edges of the photo near by, or discriminators would take outlines
        of labels for something that photos have.
        """
        if not self.chosen.any():
            return photo * self.exposure
        contrast = torch.minimum(
            self.colors / means.clamp(min=1e-3), (1 - self.colors) / (1 - means).clamp(min=1e-3)
        ).clamp(LEAST_CONTRAST, 1)
        shift = self.colors - contrast * means
        # What changes, so that it is exactly nothing where nothing does.
        change = torch.cat([contrast - 1, shift], dim=1) * self.chosen
        rows = F.pad(change, (0, 0, 0, 1))
        radius_px = max(1, round(EDGE_REACH * min(classes.shape)))
        table = _guided(rows[classes.long()].permute(2, 0, 1), photo.mean(0, keepdim=True), radius_px)
        return (photo + photo * table[:3] + table[3:]).clamp(0, 1) * self.exposure


def _guided(maps: Tensor, guide: Tensor, radius_px: int) -> Tensor:
    """Maps (C, H, W) smoothed, but for edges that the guide (1, H, W) has, too.

    The guided filter (He, Sun, Tang 2013, "Guided Image Filtering", section 3.1): in each window a line
    through the guide's values is fit to the maps'.
    """

    def filtered(x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Means of windows, with nothing outside of the picture."""
        for axis in (-2, -1):  # by running sums: most of a sample's time would go into windows otherwise
            x = uniform_filter1d(x, 2 * radius_px + 1, axis, mode="constant")
        return x

    inside = filtered(np.ones(guide.shape, np.float32))

    def mean(x: Tensor) -> Tensor:
        return torch.from_numpy(filtered(x.numpy()) / inside)

    guide_mean, maps_mean = mean(guide), mean(maps)
    variance = mean(guide.square()) - guide_mean.square()
    slope = (mean(guide * maps) - guide_mean * maps_mean) / (variance + EDGE_CONTRAST**2)
    return mean(slope) * guide + mean(maps_mean - slope * guide_mean)
