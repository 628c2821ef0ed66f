"""Filters of pictures and masks that `Neighbors` is made of: they are compiled into weights files with it.

What only training does with masks is in `training.masks`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_SKY_LIGHT, MOST_SKY_YELLOW = -0.1, 0.08  # of what gives the sky its color, of pictures in -1..1


def blurred(pictures: Tensor, mask: Tensor, deviation_px: int) -> Tensor:
    """Pictures (N, C, H, W) blurred by a Gaussian, of what the mask (N, 1, H, W) in 0..1 has alone."""
    masked = gaussian(torch.cat([pictures * mask, mask], dim=1), deviation_px)
    return masked[:, :-1] / masked[:, -1:].clamp(min=1e-3)


def gaussian(x: Tensor, deviation_px: int) -> Tensor:
    """x (N, C, H, W) blurred by a Gaussian of that standard deviation, cut off at three of them; beyond its
    edges there are zeros."""
    reach = 3 * deviation_px
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    line = (at / deviation_px).square().div(-2).exp()
    kernel = (line / line.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.conv2d(x, kernel, padding=(0, reach), groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), padding=(reach, 0), groups=x.shape[1])


def widened(mask: Tensor, by_px: int) -> Tensor:
    """A mask (N, 1, H, W), larger by so much to the left and to the right."""
    # As rows: PyTorch shares channels among cores, not a channel's pixels.
    return F.max_pool1d(mask.reshape(1, -1, mask.shape[3]), 2 * by_px + 1, 1, by_px).view(mask.shape)


def narrowed(mask: Tensor, by_px: int) -> Tensor:
    """A mask (N, 1, H, W), smaller by so much to the left and to the right, but not at the edges of the
    picture."""
    return -widened(-mask, by_px)


def median(pictures: Tensor, mask: Tensor) -> Tensor:
    """The median of what the mask (N, 1, H, W) has of pictures (N, C, H, W), of each channel: (N, C, 1, 1); 0
    where it has nothing."""
    masked = pictures.masked_fill(mask == 0, float("nan"))
    return masked.flatten(2).nanmedian(2).values.nan_to_num()[..., None, None]


def in_sky_colors(
    pictures: Tensor, least_light: float = LEAST_SKY_LIGHT, most_yellow: float = MOST_SKY_YELLOW
) -> Tensor:
    """1 where pictures (N, 3, H, W) in -1..1 are so light and no more yellow than that, (N, 1, H, W)."""
    light, yellow = pictures.mean(1, keepdim=True), pictures[:, :1] - pictures[:, 2:]
    return ((light > least_light) & (yellow < most_yellow)).to(pictures)
