"""Batches of training samples: workers cut pixels from pairs, and the device that trains changes colors."""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from training.losses import mean_class_colors
from training.repaint import Repaint

# How far brightness, contrast and saturation of photos are from 1 at most, and hue, in turns, from 0.
JITTER = (0.12, 0.1, 0.15, 0.02)


class Sample(NamedTuple):
    """What a sample is made of: pixels of a pair, and what is drawn for their colors.

    photo: uint8 (3, S, S); classes: uint8 (S, S); valid: bool (S, S); context: uint8 (C, C), what the
    generator is shown; corner: (2,), row and column where the sample lies in it; own_set, other_set: (K, 3)
    in 0..1, color sets of this pair and of any; own: bool (), whether to paint with the photo's colors;
    jitter: (4,), as `draw_jitter`; repaint: as `Repaint.draw`. Of N samples each has N of these.
    """

    photo: Tensor
    classes: Tensor
    valid: Tensor
    context: Tensor
    corner: Tensor
    own_set: Tensor
    other_set: Tensor
    own: Tensor
    jitter: Tensor
    repaint: Repaint


@dataclass(frozen=True, eq=False)
class Batch:
    """N training samples.

    photo: float (N, 3, H, W) in -1..1; classes: uint8 (N, H, W); valid: bool (N, 1, H, W); photo_colors,
    colors: float (N, K, 3) in 0..1, the photo's own and those to paint with; own: float (N,), 1 where the two
    are the same; context: uint8 (N, C, C), what the generator is shown; corner: (N, 2), row and column where
    `classes` lies in it; close_up: whether the samples are close-ups.
    """

    photo: Tensor
    classes: Tensor
    valid: Tensor
    photo_colors: Tensor
    colors: Tensor
    own: Tensor
    context: Tensor
    corner: Tensor
    close_up: bool

    def windows(self, pictures: Tensor) -> Tensor:
        """The part (N, 3, H, W) of pictures (N, 3, C, C) of the context that is compared with the photos."""
        height, width = self.photo.shape[2:]
        if pictures.shape[2:] == (height, width):
            return pictures
        n, channels, _, context_px = pictures.shape
        top, left = self.corner.view(n, 2, 1, 1).unbind(1)
        rows = (top + torch.arange(height, device=top.device).view(-1, 1)).expand(n, height, context_px)
        columns = (left + torch.arange(width, device=left.device)).expand(n, height, width)
        strips = pictures.gather(2, rows[:, None].expand(-1, channels, -1, -1))
        return strips.gather(3, columns[:, None].expand(-1, channels, -1, -1))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All but `close_up`, which decides what is done, and by Python."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "close_up"}

    def to(self, device: torch.device) -> "Batch":
        moved = {name: x.to(device, non_blocking=True) for name, x in self.tensors.items()}
        return Batch(**moved, close_up=self.close_up)


def develop(samples: Sample, device: torch.device, close_up: bool) -> Batch:
    """The batch of N samples on a device, their colors changed there as was drawn.

    Most of a sample's time would go into colors otherwise, and a GPU would wait for its workers.
    """
    # Asked before they are moved: of a GPU it would be waited for.
    changed = samples.repaint.changed().to(device, non_blocking=True)
    repaint = samples.repaint.to(device)
    photo, classes, valid, context, corner, own_set, other_set, own, jitter = (
        x.to(device, non_blocking=True) for x in samples[:-1]
    )
    n_classes = own_set.shape[1]
    photo = jittered(photo.float() / 255, jitter)
    seen = torch.where(valid, classes.int(), n_classes)
    if len(changed):
        repainted = repaint.select(changed).of_photos(photo[changed], seen[changed])
        photo = photo.index_copy(0, changed, repainted)
    means, counts = mean_class_colors(photo, seen, n_classes)
    photo_colors = torch.where(counts > 0, means, repaint.of_colors(own_set))
    colors = torch.where(own.view(-1, 1, 1), photo_colors, repaint.of_colors(other_set))
    return Batch(
        photo * 2 - 1, classes, valid[:, None], photo_colors, colors, own.float(), context, corner, close_up
    )


def draw_jitter() -> Tensor:
    """Other light for a photo, (4,): factors of brightness, contrast and saturation, and a turn of hue."""
    return torch.tensor([1.0, 1.0, 1.0, 0.0]) + (2 * torch.rand(4) - 1) * torch.tensor(JITTER)


def jittered(photos: Tensor, jitter: Tensor) -> Tensor:
    """Photos (N, 3, H, W) in 0..1 in other light, (N, 4) as `draw_jitter`, again in 0..1.

    Hue turns around the axis of greys.
    """
    brightness, contrast, saturation, hue = jitter.view(-1, 4, 1, 1, 1).unbind(1)
    photos = photos * brightness
    grey = photos.mean(1, keepdim=True)
    color = photos - grey
    across = (photos.roll(1, 1) - photos.roll(-1, 1)) / math.sqrt(3)
    angle = 2 * math.pi * hue
    color = saturation * (angle.cos() * color + angle.sin() * across)
    mean = grey.mean((2, 3), keepdim=True)
    return (mean + contrast * (grey + color - mean)).clamp(0, 1)
