"""Masks of pictures: colors of what they have, blurred or the median; growing, shrinking, reducing them; and
where there may be sky."""

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_SKY_LIGHT, MOST_SKY_YELLOW = -0.1, 0.08  # of what gives the sky its color, of pictures in -1..1
CLEAR = -0.3, 0.2  # the same of what may be between it and walls: clouds, haze
SLIVER_PX = 2  # what is up to twice as wide as this is no gap in a sky, and no sky
STEP_PX, STEPS = 2, 3  # how far sky goes on from where it is seen from above, under eaves


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


def grown(mask: Tensor, by_px: int) -> Tensor:
    """A mask (N, 1, H, W), larger by so much on every side."""
    # One way after the other: as many steps as sides, not their square.
    return widened(widened(mask, by_px).mT.contiguous(), by_px).mT


def widened(mask: Tensor, by_px: int) -> Tensor:
    """A mask (N, 1, H, W), larger by so much to the left and to the right."""
    # As rows: PyTorch shares channels among cores, not a channel's pixels.
    return F.max_pool1d(mask.reshape(1, -1, mask.shape[3]), 2 * by_px + 1, 1, by_px).view(mask.shape)


def narrowed(mask: Tensor, by_px: int) -> Tensor:
    """A mask (N, 1, H, W), smaller by so much to the left and to the right, but not at the edges of the
    picture."""
    return -widened(-mask, by_px)


def shrunk(mask: Tensor, by_px: int) -> Tensor:
    """A mask (N, 1, H, W), smaller by so much on every side, but not at the edges of the picture."""
    return -grown(-mask, by_px)


def softened(mask: Tensor, by_px: int) -> Tensor:
    """A mask (N, 1, H, W), each pixel the mean of those so near on every side."""

    def along_rows(mask: Tensor) -> Tensor:
        rows = mask.reshape(1, -1, 1, mask.shape[3])
        means = F.avg_pool2d(rows, (1, 2 * by_px + 1), 1, (0, by_px), count_include_pad=False)
        return means.view(mask.shape)

    return along_rows(along_rows(mask).mT.contiguous()).mT


def median(pictures: Tensor, mask: Tensor) -> Tensor:
    """The median of what the mask (N, 1, H, W) has of pictures (N, C, H, W), of each channel: (N, C, 1, 1); 0
    where it has nothing."""
    masked = pictures.masked_fill(mask == 0, float("nan"))
    return masked.flatten(2).nanmedian(2).values.nan_to_num()[..., None, None]


def times_native(pictures: Tensor, native_size_px: int) -> int:
    """How many times as large as that pictures (N, C, H, W) are, by their longer side, at least 1."""
    return max(1, round(max(pictures.shape[2:]) / native_size_px))


def reduced(times: int, pictures: Tensor, *masks: Tensor) -> list[Tensor]:
    """Pictures (N, C, H, W) and masks (N, 1, H, W) as (…, H // times, W // times): means of the former, and 1
    where a mask has more than half, else 0."""
    small = [side // times for side in pictures.shape[2:]]
    less = [F.interpolate(x, small, mode="area") for x in (pictures, *masks)]
    return [less[0], *((mask > 0.5).float() for mask in less[1:])]


def in_sky_colors(
    pictures: Tensor, least_light: float = LEAST_SKY_LIGHT, most_yellow: float = MOST_SKY_YELLOW
) -> Tensor:
    """1 where pictures (N, 3, H, W) in -1..1 are so light and no more yellow than that, (N, 1, H, W)."""
    light, yellow = pictures.mean(1, keepdim=True), pictures[:, :1] - pictures[:, 2:]
    return ((light > least_light) & (yellow < most_yellow)).to(pictures)


def below_clear(like_sky: Tensor, walls: Tensor, clear: Tensor, above: Tensor) -> Tensor:
    """What of walls is like sky, with only that and clear sky over it in its column, and what is beside.

    like_sky: of walls; clear: of what is above them; all (N, 1, H, W), 0 or 1, about as large as generators
    are trained at.
    """
    like_sky, clear = (
        shrunk(grown(x, SLIVER_PX), SLIVER_PX) * place for x, place in ((like_sky, walls), (clear, above))
    )
    through = torch.maximum(grown(clear, SLIVER_PX) * (walls + above), like_sky)
    sky = _without_slivers(like_sky * through.cummin(2).values)
    for _ in range(STEPS):
        sky = torch.maximum(sky, grown(sky, STEP_PX) * like_sky)
    return sky


def _without_slivers(mask: Tensor) -> Tensor:
    """Without what is narrow, from left to right; beyond the picture's edges there is nothing."""
    narrower = narrowed(F.pad(mask, (SLIVER_PX, SLIVER_PX)), SLIVER_PX)
    return widened(narrower[..., SLIVER_PX:-SLIVER_PX], SLIVER_PX)
