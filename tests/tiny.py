"""A generator of a few hundred parameters in exactly the form of the real weights file."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facadegen import torchscript
from facadegen.palettes import FACADES
from facadegen.weights import CARD_NAME, Card

NOISE_PERIOD_PX = 32
CARD = Card(
    label_set=FACADES,
    native_size_px=32,
    stride=8,
    context_px=17,  # 8 px of its own block, 8 of the next one, 1 of the last convolution
    training={"data": "none", "steps": 0, "seed": 0, "recipe": "tiny"},
)


class TinyGenerator(nn.Module):
    """Paints the class colors and adds a little of what two convolutions and position-bound noise say."""

    noise: Tensor
    color_sets: Tensor

    def __init__(self, class_count: int = 12, color_set_count: int = 9) -> None:
        super().__init__()
        self.class_count = class_count
        self.down = nn.Conv2d(class_count + 3, 8, 8, stride=8)
        self.norm = nn.BatchNorm2d(8)
        self.middle = nn.Conv2d(8, 8, 3, padding=1, padding_mode="replicate")
        self.head = nn.Conv2d(8 + 4, 3, 3, padding=1, padding_mode="replicate")
        self.register_buffer("noise", torch.randn(1, 1, NOISE_PERIOD_PX, NOISE_PERIOD_PX))
        self.register_buffer("color_sets", torch.rand(color_set_count, class_count, 3))

    def forward(self, classes: Tensor, colors: Tensor, top: int = 0, left: int = 0) -> Tensor:
        dtype = self.head.weight.dtype
        shares = F.one_hot(classes.long(), self.class_count).to(dtype)  # (N, H, W, K)
        painted = torch.einsum("nhwk,nkc->nchw", shares, colors.to(dtype))
        layout = torch.cat([shares.permute(0, 3, 1, 2), painted], dim=1)
        low = self.middle(F.relu(self.norm(self.down(layout))))
        wide = F.interpolate(low, scale_factor=8.0, mode="nearest")
        rows = (torch.arange(classes.size(1), device=classes.device) + top) % self.noise.size(3)
        columns = (torch.arange(classes.size(2), device=classes.device) + left) % self.noise.size(3)
        noise = self.noise[:, :, rows][:, :, :, columns].expand(classes.size(0), -1, -1, -1)
        added = self.head(torch.cat([wide, painted, noise], dim=1))
        picture = painted.float() + 0.1 * torch.tanh(added.float())
        return (picture.clamp(0, 1) * 255).round().to(torch.uint8)

    @torch.jit.export
    def estimate_colors(self, photo: Tensor) -> Tensor:
        mean = photo.float().mean(dim=[2, 3]) / 255
        return mean[:, None].expand(-1, self.class_count, -1).contiguous()


def save_tiny(path: Path, **card_changes: object) -> Path:
    """The path, where now lies a tiny weights file; keys of its card may be changed."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        module = TinyGenerator().eval().half()
    text = json.dumps(CARD.to_json() | card_changes)
    with torchscript.quiet():
        torch.jit.script(module).save(str(path), _extra_files={CARD_NAME: text})
    return path
