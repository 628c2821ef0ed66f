"""Masks of pictures: growing, shrinking, softening and reducing them."""

from torch import Tensor
from torch.nn import functional as F

from training.networks.filters import widened


def grown(mask: Tensor, by_px: int) -> Tensor:
    """A mask (N, 1, H, W), larger by so much on every side."""
    # One way after the other: as many steps as sides, not their square.
    return widened(widened(mask, by_px).mT.contiguous(), by_px).mT


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


def times_native(pictures: Tensor, native_size_px: int) -> int:
    """How many times as large as that pictures (N, C, H, W) are, by their longer side, at least 1."""
    return max(1, round(max(pictures.shape[2:]) / native_size_px))


def reduced(times: int, pictures: Tensor, *masks: Tensor) -> list[Tensor]:
    """Pictures (N, C, H, W) and masks (N, 1, H, W) as (…, H // times, W // times): means of the former, and 1
    where a mask has more than half, else 0."""
    small = [side // times for side in pictures.shape[2:]]
    less = [F.interpolate(x, small, mode="area") for x in (pictures, *masks)]
    return [less[0], *((mask > 0.5).float() for mask in less[1:])]
