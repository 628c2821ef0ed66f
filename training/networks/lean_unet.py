"""The `projected` recipe's generator: a U-Net that only adds what makes a picture of painted label maps."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.networks.resize import bilinear_2x, nearest_2x

NOISE_PERIOD_PX = 512


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution whose normalisation folds away at use; kernels as large as the stride need no padding."""
    padding = 0 if kernel == stride else kernel // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class UpConvolution(nn.Sequential):
    """Twice the resolution by nearest neighbor, then a normalised 3x3 convolution and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(*conv_bn_relu(in_channels, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        x = nearest_2x(x)
        for layer in self:
            x = layer(x)
        return x

    def folded(self) -> nn.Sequential:
        """The same in evaluation mode as one transposed convolution, with 4/9 of the multiplications.

        Where a 3x3 kernel meets several of the four equal pixels that nearest neighbor makes of one, its
        weights for them are added up once, here: that gives a 4x4 kernel of stride 2.
        """
        convolution, norm, _ = self
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        fused = fuse_conv_bn_eval(convolution, norm).requires_grad_(False)
        outputs, inputs = fused.weight.shape[:2]
        kernels = fused.weight.flip(2, 3).transpose(0, 1).reshape(-1, 1, 3, 3)
        transposed = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
        transposed.weight = nn.Parameter(
            F.conv2d(kernels, kernels.new_ones(1, 1, 2, 2), padding=1).view(inputs, outputs, 4, 4)
        )
        transposed.bias = fused.bias
        return nn.Sequential(transposed, nn.ReLU(inplace=True))

    @torch.no_grad()
    def unfold(self, weight: Tensor, bias: Tensor) -> None:
        """Do again what a folded one with this weight (inputs, outputs, 4, 4) and bias does."""
        convolution, norm, _ = self
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        # What `folded` does to each side of a kernel, the other way round.
        back = torch.linalg.pinv(weight.new_tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]]))
        kernels = (back @ weight @ back.T).transpose(0, 1).flip(2, 3)
        convolution.weight.copy_(_scaled(kernels, convolution.weight, norm, bias, (1, 2, 3)))


class UpPatches(nn.Sequential):
    """Twice the resolution, a 2x2 patch from each pixel, normalised alike at its four places."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, 2, 2, bias=False), nn.BatchNorm2d(out_channels)
        )

    def folded(self) -> nn.ConvTranspose2d:
        """The same in evaluation mode, the normalisation in the convolution."""
        convolution, norm = self
        assert isinstance(convolution, nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d)
        return fuse_conv_bn_eval(convolution, norm, transpose=True).requires_grad_(False)

    @torch.no_grad()
    def unfold(self, weight: Tensor, bias: Tensor) -> None:
        """Do again what a folded one with this weight (inputs, outputs, 2, 2) and bias does."""
        convolution, norm = self
        assert isinstance(convolution, nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d)
        convolution.weight.copy_(_scaled(weight, convolution.weight, norm, bias, (0, 2, 3)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside an identity (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_bn_relu(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


def periodic_noise(period_px: int, cells_px: tuple[int, ...] = (1, 16, 64)) -> Tensor:
    """Noise of several scales in one, (P, P), of unit variance, that repeats without a seam.

    The finest gives texture, the coarser ones a choice of what stands in larger places.
    """
    total = torch.zeros(period_px, period_px)
    for cell in cells_px:
        grid = F.pad(torch.randn(1, 1, period_px // cell, period_px // cell), (2, 2, 2, 2), mode="circular")
        smooth = F.interpolate(grid, scale_factor=float(cell), mode="bicubic")[0, 0]
        smooth = smooth[2 * cell : 2 * cell + period_px, 2 * cell : 2 * cell + period_px]
        total += smooth / smooth.std()
    return total / total.std()


def soften(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, h, w) blurred by 1-2-1 each way; past their borders they go on as they are there."""
    # Made where it is used: a list would be copied there, for which a GPU is waited for.
    line = 0.5 - 0.25 * torch.arange(-1, 2, dtype=pictures.dtype, device=pictures.device).abs()
    kernel = torch.outer(line, line).expand(3, 1, -1, -1)
    return F.conv2d(F.pad(pictures, [1, 1, 1, 1], mode="replicate"), kernel, groups=3)


class LeanUNet(nn.Module):
    """Makes pictures of class maps and colors; 1.0 GMACs a 256x256 picture once folded.

    Most of the work happens on the way up, at a quarter of the resolution and below: label maps are easily
    read, and a picture costs little memory traffic there. A thin path at half the resolution, fed by the
    label map itself, keeps window frames sharp. Pixels of a cell of two by two differ in brightness alone,
    color is smooth: the photos to learn from are JPEGs, which keep no more. Every normalisation is a
    BatchNorm behind a convolution: it folds away, so results depend neither on the batch nor on the
    picture's size.
    """

    stride = 32
    style = "colors"
    # Sum over the convolutions of the stride at which each one looks one cell further, and one cell of 32,
    # rounded up to the stride.
    context_px = 256

    one_hot: Tensor
    colored: Tensor
    noise: Tensor
    hash_weights: Tensor

    def __init__(
        self,
        colored: Tensor,
        widths: tuple[int, int, int, int] = (64, 96, 160, 192),
        detail_width: int = 32,
        bottleneck_blocks: int = 2,
    ) -> None:
        """colored: (K, 1), 0 for classes that are several things (sky, street), so have no single color."""
        super().__init__()
        n_classes = colored.shape[0]
        self.n_classes = n_classes
        in_channels = n_classes + 4  # one-hot class, painted color, noise
        w4, w8, w16, w32 = widths  # by stride
        self.register_buffer("one_hot", torch.eye(n_classes))
        self.register_buffer("colored", colored.clone())
        self.register_buffer("noise", periodic_noise(NOISE_PERIOD_PX))
        self.register_buffer("hash_weights", torch.randint(2**10, (3 * n_classes,)))

        self.detail = conv_bn_relu(in_channels, detail_width, 2, 2)
        self.down4 = conv_bn_relu(in_channels, w4, 4, 4)
        self.down8 = conv_bn_relu(w4, w8, 3, 2)
        self.down16 = conv_bn_relu(w8, w16, 3, 2)
        self.down32 = nn.Sequential(
            conv_bn_relu(w16, w32, 3, 2), *[ResidualBlock(w32) for _ in range(bottleneck_blocks)]
        )
        self.up16, self.mix16 = UpConvolution(w32, w16), conv_bn_relu(w16, w16)
        self.up8, self.mix8 = UpConvolution(w16, w8), conv_bn_relu(w8, w8)
        self.up4, self.mix4 = UpConvolution(w8, w4), conv_bn_relu(w4, w4)
        self.up2 = UpPatches(w4, detail_width)
        self.mix2 = conv_bn_relu(detail_width, detail_width)
        self.head = nn.Conv2d(detail_width, 3 + 4, 3, 1, 1)
        nn.init.normal_(self.head.weight, std=0.01)

    def paint(
        self, classes: Tensor, colors: Tensor, top: int, left: int, drawn_as: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The network's input, (N, K + 4, H, W): one-hot classes, painted colors in -1..1, noise; and the
        colors that the picture starts from, float32 (N, 3, H / 2, W / 2).

        Those are soft at edges: label maps are jagged, and what has their outlines looks painted on. Classes
        that are several things have a color, too, but as a hint alone: the picture starts from grey.
        There may be more colors than classes: those are of ids from K on, which are drawn as other classes.
        One table row a class and picture, looked up by pixel, costs a single pass over the picture.
        """
        n, h, w = classes.shape
        dtype = self.one_hot.dtype
        painted_colors = colors * 2 - 1
        known, n_colors = self.n_classes, colors.shape[1]
        one_hot = F.pad(self.one_hot, [0, 0, 0, n_colors - known])
        rows = torch.cat(
            [
                one_hot.expand(n, -1, -1),
                painted_colors.to(dtype),
                torch.zeros(n, n_colors, 1, dtype=dtype, device=classes.device),
            ],
            dim=2,
        )
        row = classes.long() + torch.arange(n, device=classes.device).view(n, 1, 1) * n_colors
        table = F.embedding(row, rows.flatten(0, 1))  # (N, H, W, K + 4)
        # Whole numbers, below 2**24: sums of floats might round otherwise in another batch or engine.
        place = (
            ((painted_colors[:, :known] + 1).mul(127.5).round().long().flatten(1) * self.hash_weights)
            .sum(1)
            .view(n, 1, 1)
        )
        period = self.noise.shape[0]
        y = torch.remainder(torch.arange(h, device=classes.device).view(1, h, 1) + top + place, period)
        x = torch.remainder(
            torch.arange(w, device=classes.device).view(1, 1, w) + left + torch.floor_divide(place, period),
            period,
        )
        table[..., known + 3] = self.noise[y, x]
        if drawn_as is not None:
            table[..., :known] = F.embedding(drawn_as.long(), self.one_hot)
        # Looked up once more, not cut out: half-precision colors would be rounded.
        colored = F.pad(self.colored.float(), [0, 0, 0, n_colors - known], value=1.0)
        flat = F.embedding(row, (painted_colors * colored).flatten(0, 1))
        return table.permute(0, 3, 1, 2), soften(F.avg_pool2d(flat.permute(0, 3, 1, 2), 2))

    def forward(
        self, classes: Tensor, colors: Tensor, top: int, left: int, drawn_as: Tensor | None = None
    ) -> Tensor:
        """Pictures, float32 (N, 3, H, W), nominally in -1..1.

        classes: uint8 (N, H, W); colors: float (N, K, 3) in 0..1, or more of them; top, left: where the map
        lies in its picture, px; drawn_as: classes that pixels are drawn as, in the colors of their own, if
        not as those.
        """
        painted, flat = self.paint(classes, colors, top, left, drawn_as)
        detail = self.detail(painted)
        x4 = self.down4(painted)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x = self.down32(x16)
        x = self.mix16(self.up16(x) + x16)
        x = self.mix8(self.up8(x) + x8)
        x = self.mix4(self.up4(x) + x4)
        tints, greys = self.head(self.mix2(F.relu(self.up2(x) + detail))).split((3, 4), dim=1)
        smooth = bilinear_2x(flat + tints)
        return smooth + F.pixel_shuffle(greys, 2)


def _scaled(
    weight: Tensor, random: Tensor, norm: nn.BatchNorm2d, bias: Tensor, dims: tuple[int, ...]
) -> Tensor:
    """The weight at the size that random ones begin with, output by output; the norm makes up for it.

    Optimizers take steps of the same length whatever a weight's size. dims: all but the outputs.
    """
    size = weight.square().mean(dims).sqrt() / random.square().mean().sqrt()
    size = torch.where(size > 0, size, 1.0)
    norm.reset_running_stats()
    norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
    norm.weight.copy_(size)
    norm.bias.copy_(bias)
    return weight / size.view([1 if dim in dims else -1 for dim in range(4)])


def folded(network: nn.Module) -> nn.Module:
    """A copy for use, in evaluation mode, of any network: the same pictures, upsampling for less work."""
    copied = copy.deepcopy(network).eval()
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, UpConvolution | UpPatches):
                setattr(parent, name, child.folded())
    return copied


def load_folded(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put the parameters of a `folded` copy into any network of the same kind: it makes the same pictures.

    Raises:
        RuntimeError: parameters that are missing, too many or of another shape.
    """
    own = network.state_dict()
    rest = dict(state)
    for name, module in network.named_modules():
        if isinstance(module, UpConvolution | UpPatches):
            folded_name = f"{name}.0" if isinstance(module, UpConvolution) else name
            try:
                module.unfold(rest.pop(f"{folded_name}.weight"), rest.pop(f"{folded_name}.bias"))
            except KeyError as error:
                raise RuntimeError(f"no parameter {error}") from None
            rest |= {key: value for key, value in own.items() if key.startswith(f"{name}.")}
    network.load_state_dict(rest)
