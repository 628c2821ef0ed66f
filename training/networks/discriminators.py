"""The discriminators: patches of pixels (pix2pix) and projected features (Projected GAN)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from training.networks.features import MIXED_CHANNELS


class PatchDiscriminator(nn.Module):
    """A logit for each patch of a picture beside its condition (arXiv 1611.07004, section 3.2.2)."""

    def __init__(
        self, in_channels: int, width: int = 64, layers: int = 3, widest: int = 8, spectral: bool = False
    ) -> None:
        """70x70-pixel patches with three layers, up to `widest` times the width.

        spectral: spectral instead of batch normalisation.
        """
        super().__init__()
        blocks: list[nn.Module] = []
        channels = in_channels
        for i in range(layers + 1):
            out = width * min(2**i, widest)
            stride = 1 if i == layers else 2
            conv = nn.Conv2d(channels, out, 4, stride, 1)
            blocks.append(spectral_norm(conv) if spectral else conv)
            if i > 0 and not spectral:
                blocks.append(nn.BatchNorm2d(out))
            blocks.append(nn.LeakyReLU(0.2, inplace=True))
            channels = out
        head = nn.Conv2d(channels, 1, 4, 1, 1)
        blocks.append(spectral_norm(head) if spectral else head)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, pictures: Tensor, condition: Tensor) -> Tensor:
        """Logits (N, 1, h, w) of pictures or masks (N, P, H, W) and their condition (N, C, H, W)."""
        return self.blocks(torch.cat([pictures, condition], dim=1))


class _Head(nn.Module):
    """Logits of one scale's features beside the condition."""

    def __init__(self, channels: int, condition_channels: int, width: int) -> None:
        super().__init__()
        # The features have just been mixed by 3x3 convolutions.
        self.features = spectral_norm(nn.Conv2d(channels, width, 1))
        self.condition = spectral_norm(nn.Conv2d(condition_channels, width, 3, 1, 1))
        self.mix = spectral_norm(nn.Conv2d(width, width, 3, 1, 1))
        self.out = spectral_norm(nn.Conv2d(width, 1, 1))

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        size = features.shape[-2:]
        if condition.shape[-2:] != size:
            condition = F.adaptive_avg_pool2d(condition, (size[0], size[1]))
        x = F.leaky_relu(self.features(features) + self.condition(condition), 0.2)
        return self.out(F.leaky_relu(self.mix(x), 0.2))


class ProjectedDiscriminator(nn.Module):
    """Judges pictures by frozen features at four scales, beside label map and colors (arXiv 2111.01007)."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList([_Head(m, n_classes + 3, width=min(m, 128)) for m in MIXED_CHANNELS])

    def forward(self, mixed: list[Tensor], condition: Tensor) -> list[Tensor]:
        """Four maps of logits (N, 1, h, w).

        mixed: `ProjectedFeatures` of the pictures; condition: label map and painted colors (N, K + 3, H / 4,
        W / 4).
        """
        return [head(m, condition) for head, m in zip(self.heads, mixed, strict=True)]


class SegmentationDiscriminator(nn.Module):
    """Says what pictures show where: tells K real classes and one fake class apart; sees no label map.

    OASIS, Schoenfeld et al. 2021, arXiv 2012.04781, section 3.1.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        width = MIXED_CHANNELS[0]
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(width, width, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, width, 1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, n_classes + 1, 1),
        )

    def forward(self, mixed: Tensor) -> Tensor:
        """Class logits (N, K + 1, H / 4, W / 4), the last for fake.

        mixed: the finest of the `ProjectedFeatures` of the pictures.
        """
        return self.layers(mixed)
