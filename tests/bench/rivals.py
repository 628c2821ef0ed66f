"""What facadegen is measured against: U-Nets after pix2pix, run one picture at a time as people run them.

python -m tests.bench.rivals NAME IN OUT COUNT    prints a line after each picture
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

# Output channels of the halvings. pix2pix: U-Net-256 of arXiv 1611.07004 as its authors run it, 54 M
# parameters. course: the shortened one of the course project that facadegen comes from, in size and work.
NETS = {
    "pix2pix": (64, 128, 256, 512, 512, 512, 512, 512),
    "course": (64, 128, 256, 512, 1024),
}
_EXTRA_CONVOLUTION = {"course": 64}  # channels of a 3x3 convolution at half of the resolution


class PlainUNet(nn.Module):
    """RGB label maps, float (N, 3, H, W) in -1..1, to pictures of the same form."""

    def __init__(self, widths: tuple[int, ...], extra: int = 0) -> None:
        super().__init__()
        inputs = (3, *widths[:-1])
        self.downs = nn.ModuleList()
        for level, (i, o) in enumerate(zip(inputs, widths, strict=True)):
            down: list[nn.Module] = [nn.LeakyReLU(0.2)] if level else []
            down.append(nn.Conv2d(i, o, 4, 2, 1))
            if 0 < level < len(widths) - 1:
                down.append(nn.BatchNorm2d(o))
            self.downs.append(nn.Sequential(*down))
        self.ups = nn.ModuleList()
        for level in range(len(widths) - 1, -1, -1):
            i = widths[level] * (1 if level == len(widths) - 1 else 2)
            up = nn.ConvTranspose2d(i, widths[level - 1] if level else 3, 4, 2, 1)
            self.ups.append(
                nn.Sequential(nn.ReLU(), up, *([nn.BatchNorm2d(up.out_channels)] if level else []))
            )
        self.extra = nn.Conv2d(extra, extra, 3, 1, 1) if extra else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        skips[0] = self.extra(skips[0])
        x = self.ups[0](skips.pop())
        for up in self.ups[1:]:
            x = up(torch.cat([x, skips.pop()], dim=1))
        return torch.tanh(x)


def build(name: str) -> PlainUNet:
    """A rival with random weights, which are as fast as trained ones, ready to be used."""
    torch.manual_seed(0)
    return PlainUNet(NETS[name], _EXTRA_CONVOLUTION.get(name, 0)).eval()


def main() -> None:
    """The reference loop: read, convert, run, convert, save."""
    name, source, target, count = sys.argv[1:]
    Path(target).mkdir(parents=True, exist_ok=True)
    network = build(name)
    for path in sorted(Path(source).iterdir())[: int(count)]:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            made = network(batch)[0]
        picture = ((made.permute(1, 2, 0) + 1) * 127.5).clamp(0, 255).byte().numpy()
        Image.fromarray(picture).save(Path(target, path.name))
        print(path.name, flush=True)


if __name__ == "__main__":
    main()
