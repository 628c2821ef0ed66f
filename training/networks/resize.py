"""Resizing for modules that are exported.

`F.interpolate` would bring all its modes along into the weights file, and a torch that lacks the operator of
one, though it is never used, refuses the whole file.
"""

import torch
from torch import Tensor


def nearest_2x(x: Tensor) -> Tensor:
    """Maps (N, C, H, W) at twice the resolution, each pixel four times."""
    enlarged: Tensor = torch.ops.aten.upsample_nearest2d(x, None, [2.0, 2.0])
    return enlarged


def bilinear_2x(x: Tensor) -> Tensor:
    """Maps (N, C, H, W) at twice the resolution, smooth in between."""
    enlarged: Tensor = torch.ops.aten.upsample_bilinear2d(x, None, False, [2.0, 2.0])
    return enlarged


def fitted(pictures: Tensor, size_px: int) -> Tensor:
    """Pictures, float (N, C, H, W), squeezed to a square; what is made smaller is smoothed before."""
    size = [size_px, size_px]
    squeezed: Tensor = torch.ops.aten._upsample_bilinear2d_aa(pictures, size, False, None)
    return squeezed


def sized(classes: Tensor, longest_px: int, stride: int) -> Tensor:
    """Class maps (N, H, W) as (N, h, w), the longer side about so long, both multiples of the stride, at
    least two of it; of what a pixel sees it shows the middle."""
    height, width = classes.size(1), classes.size(2)
    # In whole numbers: TorchScript divides by operators that not every torch has.
    span = max(height, width) * stride
    rows = max(2, (2 * height * longest_px + span) // (2 * span)) * stride
    columns = max(2, (2 * width * longest_px + span) // (2 * span)) * stride
    return nearest(classes, rows, columns)


def nearest(classes: Tensor, rows: int, columns: int) -> Tensor:
    """Class maps (N, H, W) of other sizes; of what a pixel sees it shows the middle."""
    y = (torch.arange(rows, device=classes.device) * 2 + 1) * classes.size(1) // (2 * rows)
    x = (torch.arange(columns, device=classes.device) * 2 + 1) * classes.size(2) // (2 * columns)
    return classes[:, y][:, :, x]


def resized(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps (N, C, h, w) as (N, C, H, W), smooth in between."""
    result: Tensor = torch.ops.aten.upsample_bilinear2d(maps, [height, width], False, None)
    return result
