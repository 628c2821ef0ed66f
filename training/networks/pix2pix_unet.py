"""The `pix2pix` recipe's generator: U-Net-256 (Isola et al., arXiv 1611.07004, section 6.1.1)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Down(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, first: bool, last: bool) -> None:
        super().__init__()
        self.activation = nn.Identity() if first else nn.LeakyReLU(0.2)
        self.conv = nn.Conv2d(in_channels, out_channels, 4, 2, 1, bias=first or last)
        self.norm = nn.Identity() if first or last else nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.activation(x)))


class _Up(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, dropout: bool) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.dropout = nn.Dropout(0.5 if dropout else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(self.conv(F.relu(x))))


class Pix2PixUNet(nn.Module):
    """Makes pictures of class maps alone: 54 M parameters at width 64, colors ignored.

    As the paper has it, but for its input, one-hot classes instead of a colored picture, and for its use in
    eval mode: no dropout and no per-picture statistics.
    """

    stride = 256
    style = "none"
    # Eight halvings: every output pixel may depend on any input pixel within two strides.
    context_px = 512

    def __init__(self, n_classes: int, width: int = 64) -> None:
        super().__init__()
        self.n_classes = n_classes
        widths = [width * min(2**i, 8) for i in range(8)]
        inputs = [n_classes, *widths[:-1]]
        self.downs = nn.ModuleList(
            [
                _Down(i, o, first=k == 0, last=k == 7)
                for k, (i, o) in enumerate(zip(inputs, widths, strict=True))
            ]
        )
        # From the innermost outwards; all but the innermost also read the skip connection.
        outputs = [width, *widths[:-2]]
        self.ups = nn.ModuleList(
            [
                _Up(widths[k + 1] * (1 if k == 6 else 2), widths[k], dropout=k in (3, 4, 5))
                for k in range(6, -1, -1)
            ]
        )
        self.head = nn.ConvTranspose2d(outputs[0] * 2, 3, 4, 2, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, classes: Tensor, colors: Tensor, top: int, left: int) -> Tensor:
        """Pictures, float (N, 3, H, W) in -1..1, of classes, uint8 (N, H, W); the rest changes nothing."""
        # By comparison: `one_hot` asks tensors on the CPU for their largest value.
        ids = torch.arange(self.n_classes, device=classes.device).view(1, -1, 1, 1)
        x = (classes[:, None] == ids).to(self.head.weight.dtype)
        skips: list[Tensor] = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        x = skips[7]
        for i, up in enumerate(self.ups):
            if i > 0:
                x = torch.cat([x, skips[7 - i]], dim=1)
            x = up(x)
        x = self.head(F.relu(torch.cat([x, skips[0]], dim=1)))
        return torch.tanh(x.float())
