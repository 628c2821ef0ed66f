"""The last thing done to finished pictures: the finest detail stronger, the next one weaker."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Where the bands part: the deviations, px, of Gaussian blurs one after the other.
BLURS_PX = (0.7, 1.4)
# Of the finest band, of the next one, and of what alternates from pixel to pixel both ways. Half, in
# decibels, of what brings pictures of this recipe nearest to train photos in the features that the
# discriminator looks at; all of it spoils them at larger sizes (training/EXPERIMENTS.md, 22 and 23).
GAINS = (1.38, 0.71, 1.02)
RADIUS_PX = 3


class TouchUp(nn.Module):
    """Multiplies the two finest bands of pictures by a gain each; colors of flat places stay as they are.

    Checkerboards lie in the finest band, too, and are strengthened less: they have a gain of their own.

    A band is what a blur takes away (Burt, Adelson 1983, "The Laplacian Pyramid as a Compact Image Code",
    section II; here at full resolution). Generators leave faults of their own in the spectrum of their
    pictures (Durall et al. 2020, arXiv 2003.01826, section 3), and theirs lie there. All of it is a single
    convolution, whose kernel is no parameter: half precision would round it, and change flat colors.
    """

    kernel: Final[list[float]]

    def __init__(self, gains: tuple[float, float, float] = GAINS) -> None:
        super().__init__()
        self.radius_px: Final[int] = RADIUS_PX
        self.kernel = band_kernel(gains).flatten().tolist()

    def forward(self, picture: Tensor) -> Tensor:
        """Of float pictures (N, 3, H, W), the same; past their borders they go on as they are there."""
        r = self.radius_px
        kernel = torch.tensor(self.kernel, dtype=picture.dtype, device=picture.device)
        kernel = kernel.view(1, 1, 2 * r + 1, 2 * r + 1).expand(3, -1, -1, -1)
        return F.conv2d(F.pad(picture, [r, r, r, r], mode="replicate"), kernel, groups=3)


def band_kernel(gains: tuple[float, float, float]) -> Tensor:
    """The kernel, float64 (2R + 1, 2R + 1) of sum 1, that multiplies bands by gains in the order of `GAINS`.

    Cutting it off there changes no frequency's gain by more than 0.021.
    """
    finest, next_one, checkerboard = gains
    around = 4 * RADIUS_PX  # the blurs are as good as nothing there
    one = _blur(0.0, around)
    finer = _blur(BLURS_PX[0] ** 2, around)
    coarser = _blur(BLURS_PX[0] ** 2 + BLURS_PX[1] ** 2, around)
    whole = finest * (one - finer) + next_one * (finer - coarser) + coarser
    # Lets through whole what alternates from pixel to pixel, and nothing of what is flat.
    alternation = torch.tensor([-0.25, 0.5, -0.25], dtype=torch.float64)
    middle = slice(around - 1, around + 2)
    whole[middle, middle] += (checkerboard - finest) * torch.outer(alternation, alternation)
    kept = slice(around - RADIUS_PX, around + RADIUS_PX + 1)
    kernel = whole[kept, kept].clone()
    kernel[RADIUS_PX, RADIUS_PX] += 1 - kernel.sum()
    return kernel


def _blur(variance: float, radius_px: int) -> Tensor:
    """The Gaussian blur of that variance, px squared, as a kernel of sum 1; of 0: no blur."""
    squares = torch.arange(-radius_px, radius_px + 1, dtype=torch.float64) ** 2
    line = torch.exp(-squares / (2 * variance)) if variance else (squares == 0).double()
    return torch.outer(line, line) / line.sum() ** 2
