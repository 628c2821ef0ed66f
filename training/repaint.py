"""Colors that people ask for and photos hardly show, drawn at random, and photos repainted in them.

What a generator never saw it overdoes: a brick red wall came out orange without this.
"""

import colorsys
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

CLASS_SHARE = 0.4  # of the classes of a repainted sample
MOST_SATURATION = 0.8
LEAST_BRIGHTNESS = 0.12
LEAST_CONTRAST = 0.4  # of a class's texture, however little room its new color leaves
LEAST_EXPOSURE = 0.4


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
        shrinks with the room below or above the new mean, as that of darker paint does.
        """
        if not self.chosen.any():
            return photo * self.exposure
        contrast = torch.minimum(
            self.colors / means.clamp(min=1e-3), (1 - self.colors) / (1 - means).clamp(min=1e-3)
        ).clamp(LEAST_CONTRAST, 1)
        contrast = torch.where(self.chosen, contrast, 1.0)
        shift = torch.where(self.chosen, self.colors - contrast * means, 0.0)
        rows = F.pad(torch.cat([contrast, shift], dim=1), (0, 0, 0, 1))
        rows[-1, :3] = 1
        # Labels are a pixel or two off: soft edges.
        table = F.avg_pool2d(rows[classes.long()].permute(2, 0, 1), 3, 1, 1, count_include_pad=False)
        return (photo * table[:3] + table[3:]).clamp(0, 1) * self.exposure
