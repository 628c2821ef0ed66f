"""Sky among roofs, which label maps call wall: a small network tells it from a label map alone.

Label maps draw a box around a building, the sky among its roofs and gables included. A generator that gives
walls the color asked for paints that sky as wall, or as something in between, with the box's straight edges.
So what is sky in it is told first, by a network that has learnt from photos where it was.

A color that walls are asked to have is the mean of all that is labelled so, as it is in photos that colors
are taken from. So walls make up for sky among them, by 8 levels of 255 at most.
"""

from collections.abc import Sequence
from typing import Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.lean_unet import ResidualBlock, UpConvolution, conv_bn_relu
from training.networks.resize import nearest, resized

DROPOUT = 0.1  # of the coarsest stage, while it learns


class OpenSky(nn.Module):
    """Tells sky from walls; 0.6 M parameters, 0.06 GMACs a map of any size.

    It looks at maps squeezed to a small square: where sky is follows from the whole of them.
    """

    size_px: Final[int] = 128
    cell_px: Final[int] = 2  # of the square, for each of which there is a logit
    # Than the color of the surroundings, which are the street, too; pictures are 18 / 255 off on average.
    sky_lighter: Final[float] = 0.2
    most_share: Final[float] = 0.5  # of what is labelled wall, that is made up for
    most_made_up: Final[float] = 8 / 255  # of each channel of walls' color

    one_hot: Tensor

    def __init__(
        self,
        class_count: int,
        wall: int,
        surroundings: int,
        widths: tuple[int, int, int, int] = (32, 48, 64, 96),
    ) -> None:
        """class_count: K; wall, surroundings: ids of classes; widths: of what has a cell of 4, 8, 16 and 32
        px of the square."""
        super().__init__()
        self.wall: Final[int] = wall
        self.surroundings: Final[int] = surroundings
        w4, w8, w16, w32 = widths
        self.register_buffer("one_hot", torch.eye(class_count))
        self.down4 = conv_bn_relu(class_count, w4, 4, 4)
        self.down8 = conv_bn_relu(w4, w8, 3, 2)
        self.down16 = conv_bn_relu(w8, w16, 3, 2)
        self.down32 = nn.Sequential(
            conv_bn_relu(w16, w32, 3, 2), ResidualBlock(w32), ResidualBlock(w32), nn.Dropout(DROPOUT)
        )
        self.up16, self.mix16 = UpConvolution(w32, w16), conv_bn_relu(w16, w16)
        self.up8, self.mix8 = UpConvolution(w16, w8), conv_bn_relu(w8, w8)
        self.up4, self.mix4 = UpConvolution(w8, w4), conv_bn_relu(w4, w4)
        self.head = nn.Conv2d(w4, 4, 3, 1, 1)

    @classmethod
    def of(cls, classes: Sequence[str]) -> Self | None:
        """For classes of these names; None if some are missing."""
        if not {"facade", "background"} <= set(classes):
            return None
        return cls(len(classes), classes.index("facade"), classes.index("background"))

    def logits(self, square: Tensor) -> Tensor:
        """Where sky is, logits (N, 1, S / 2, S / 2), in class maps (N, S, S)."""
        x4 = self.down4(F.embedding(square.long(), self.one_hot).permute(0, 3, 1, 2))
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x = self.down32(x16)
        x = self.mix16(self.up16(x) + x16)
        x = self.mix8(self.up8(x) + x8)
        x = self.mix4(self.up4(x) + x4)
        return F.pixel_shuffle(self.head(x), 2)

    def forward(self, classes: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
        """Whole class maps, uint8 (N, H, W), where sky that reaches the upper edge is surroundings, and
        colors (N, K, 3) in 0..1, those of walls with what makes up for it."""
        opened = self._opened(classes)
        return opened, self._made_up(classes, opened, colors)

    def _opened(self, classes: Tensor) -> Tensor:
        logits = self.logits(nearest(classes, self.size_px, self.size_px)).float()
        walls = classes == self.wall
        sky = walls & (resized(logits, classes.size(1), classes.size(2))[:, 0] > 0)
        is_open = sky | (classes == self.surroundings)
        # The first row that is not open, of each column; one more row, for all may be.
        first = F.pad(is_open.to(torch.uint8), [0, 0, 0, 1]).argmin(1, keepdim=True)
        rows = torch.arange(classes.size(1), device=classes.device).view(1, -1, 1)
        # Not by "<", which not every torch has for two tensors of a weights file.
        return classes.masked_fill(sky & ~(rows >= first), self.surroundings)

    def _made_up(self, classes: Tensor, opened: Tensor, colors: Tensor) -> Tensor:
        walls, left = (classes == self.wall).flatten(1).sum(1), (opened == self.wall).flatten(1).sum(1)
        share = ((walls - left) / walls.clamp(min=1)).clamp(max=self.most_share)[:, None]
        sky = (colors[:, self.surroundings] + self.sky_lighter).clamp(max=1)
        more = (share / (1 - share) * (colors[:, self.wall] - sky)).clamp(
            -self.most_made_up, self.most_made_up
        )
        made_up = colors.clone()
        made_up[:, self.wall] = (colors[:, self.wall] + more).clamp(0, 1)
        return made_up
