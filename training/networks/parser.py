"""A small facade parser: which class each pixel of a photo is. It reads the style out of plain photos."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.lean_unet import ResidualBlock, conv_bn_relu
from training.networks.resize import nearest_2x


class FacadeParser(nn.Module):
    """Class logits at a quarter of the photo's resolution; 1.1 M parameters, 0.6 GMACs at 256x256.

    Sky, street and wall may share a color: it is the coarsest stage, which sees most of the photo, that
    tells them apart.
    """

    def __init__(self, n_classes: int, width: int = 48) -> None:
        super().__init__()
        self.down4 = nn.Sequential(conv_bn_relu(3, width // 2, 3, 2), conv_bn_relu(width // 2, width, 3, 2))
        self.down8 = nn.Sequential(conv_bn_relu(width, 2 * width, 3, 2), ResidualBlock(2 * width))
        self.down16 = nn.Sequential(conv_bn_relu(2 * width, 2 * width, 3, 2), ResidualBlock(2 * width))
        self.down32 = nn.Sequential(
            conv_bn_relu(2 * width, 2 * width, 3, 2), ResidualBlock(2 * width), ResidualBlock(2 * width)
        )
        self.mix16 = conv_bn_relu(2 * width, 2 * width)
        self.mix8 = conv_bn_relu(2 * width, 2 * width)
        self.mix4 = conv_bn_relu(2 * width, width)
        self.head = nn.Conv2d(width, n_classes, 1)

    def forward(self, photo: Tensor) -> Tensor:
        """Logits (N, K, H / 4, W / 4) of photos, float (N, 3, H, W) in -1..1, H and W multiples of 32."""
        x4 = self.down4(photo)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x32 = self.down32(x16)
        x16 = self.mix16(nearest_2x(x32) + x16)
        x8 = self.mix8(nearest_2x(x16) + x8)
        x4 = self.mix4(nearest_2x(x8)) + x4
        return self.head(x4)


def seen_colors(logits: Tensor, photos: Tensor) -> tuple[Tensor, Tensor]:
    """The mean color of each class that the parser sees, (N, K, 3), and on how many of its pixels, (N, K, 1).

    logits: float32 (N, K, H / 4, W / 4); photos: (N, 3, H, W), whose range the colors have.
    """
    # Squared: doubtful pixels, mostly at edges, count less.
    weight = logits.softmax(1).square().flatten(2)
    pixels = F.avg_pool2d(photos, 4).flatten(2)
    mass = weight.sum(2, keepdim=True)
    return torch.bmm(weight, pixels.transpose(1, 2)) / mass.clamp(min=1e-6), mass
