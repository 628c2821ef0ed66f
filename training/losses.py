"""Losses: pure functions of pictures, logits and labels; each returns a scalar tensor."""

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_AREA_PX = 48  # of a class, or it says little about its color


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of logits of real and of generated pictures (Lim and Ye 2017, arXiv 1705.02894)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """What a generator minimises against a hinge discriminator."""
    return -fake.mean()


def bce(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of logits that should all say `real` (Isola et al., arXiv 1611.07004, eq. 1)."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def masked_l1(pictures: Tensor, photos: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of pictures and photos (N, 3, H, W) where the mask (N, 1, H, W) is 1."""
    mask = mask.to(pictures.dtype)
    difference = (pictures - photos).abs().mean(1, keepdim=True)
    return (difference * mask).sum() / mask.sum().clamp(min=1)


def beyond(pictures: Tensor) -> Tensor:
    """How far values of pictures (N, 3, H, W) are outside of -1..1, which use cuts off: mean over all.

    There other losses, which look at what is shown, have next to no gradient.
    """
    return F.relu(pictures.abs() - 1).mean()


def feature_l1(fake: list[Tensor], real: list[Tensor], sample_weight: Tensor) -> Tensor:
    """Mean absolute difference of features, each scale relative to its real features' mean size.

    fake, real: maps (N, C, h, w) per scale; sample_weight: (N,), 0 leaves a sample out.
    """
    total = fake[0].new_zeros((), dtype=torch.float32)
    count = sample_weight.sum().clamp(min=1)
    for f, r in zip(fake, real, strict=True):
        r = r.detach()
        per_sample = (f - r).abs().mean((1, 2, 3), dtype=torch.float32) / r.abs().mean(dtype=torch.float32)
        total = total + (per_sample * sample_weight).sum() / count
    return total / len(fake)


def one_hot(classes: Tensor, n_classes: int) -> Tensor:
    """Float (N, K, H, W) of integer classes (N, H, W)."""
    return (classes[..., None] == torch.arange(n_classes, device=classes.device)).permute(0, 3, 1, 2).float()


def class_weights(one_hot: Tensor, cap: float = 8.0) -> Tensor:
    """Weight of each class, (K,): inverse frequency in the batch, capped, mean 1 over the pixels.

    one_hot: (N, K, H, W) of the classes. As OASIS has it (arXiv 2012.04781, section 3.1).
    """
    count = one_hot.sum((0, 2, 3))
    weight = (count.sum() / (count.clamp(min=1) * (count > 0).sum())).clamp(max=cap) * (count > 0)
    return weight * count.sum() / (weight * count).sum().clamp(min=1)


def segmentation(logits: Tensor, classes: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """Weighted cross-entropy of logits (N, C, h, w) with classes (N, h, w) where the mask (N, h, w) is 1.

    weight: (C,), or shorter where the last logits are no target.
    """
    missing = logits.shape[1] - weight.shape[0]
    full = torch.cat([weight, weight.new_ones(missing)]) if missing else weight
    loss = F.cross_entropy(logits.float(), classes.long(), weight=full, reduction="none")
    return (loss * mask).sum() / mask.sum().clamp(min=1)


def mean_class_colors(pictures: Tensor, classes: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Mean color of each class, (N, K, 3), and its number of pixels, (N, K, 1).

    pictures: (N, 3, H, W); classes: integer (N, H, W); a class of `n_classes` or more is left out.
    """
    # Row by row, as products: on a GPU sums by index would queue for the few places there are.
    shown = one_hot(classes, n_classes).transpose(1, 2)  # (N, H, K, W)
    with torch.autocast(pictures.device.type, enabled=False):
        sums = (shown @ pictures.float().permute(0, 2, 3, 1)).sum(1)
    counts = shown.sum((1, 3))[..., None]
    return sums / counts.clamp(min=1), counts


def colors_off(pictures: Tensor, classes: Tensor, wanted: Tensor, colored: Tensor) -> Tensor:
    """Mean distance between each class's mean color and the one wanted, over the classes present.

    pictures: (N, 3, H, W) in -1..1; classes: (N, H, W); wanted: (N, K, 3) in -1..1; colored: (K, 1), 0 for
    classes without a color.
    """
    means, areas = mean_class_colors(pictures.float(), classes, wanted.shape[1])
    present = (areas >= LEAST_AREA_PX) * colored
    difference = (means - wanted).abs().mean(2, keepdim=True)
    return (difference * present).sum() / present.sum().clamp(min=1)


def stray_colors(
    pictures: Tensor,
    one_hot: Tensor,
    colors: Tensor,
    colored: Tensor,
    cell_px: int = 32,
    tolerated: float = 0.2,
) -> Tensor:
    """How far the mean color of a cell of the building is from the one asked for, beyond what is tolerated.

    Photos have trees, lamps and people before their walls, which no label tells of: without this a
    discriminator that knows photos has them painted onto walls. pictures: (N, 3, H, W) in -1..1; one_hot:
    (N, K, H, W) of their classes; colors: (N, K, 3) in 0..1; colored: (K, 1), 0 for classes without a color.
    """
    building = torch.einsum("nkhw,ko->nohw", one_hot, colored)
    found, shares, share = (
        F.avg_pool2d(x, cell_px, cell_px // 2) for x in (pictures.float() * building, one_hot, building)
    )
    difference = (found - painted(shares, colors, colored)) / share.clamp(min=0.5)
    excess = F.relu(difference.abs().mean(1, keepdim=True) - tolerated) * (share >= 0.5)
    return excess.sum() / (share >= 0.5).sum().clamp(min=1)


def clutter(
    pictures: Tensor,
    colors: Tensor,
    photos: Tensor,
    photo_colors: Tensor,
    one_hot: Tensor,
    valid: Tensor,
    colored: Tensor,
    cell_px: int = 8,
    tolerated: float = 2.0,
    least: float = 0.02,
) -> Tensor:
    """How far cells that show one class alone are from its color, beyond what is usual, over all such cells.

    Lamps, wires and signs before walls are small beside the patches of `stray_colors`; what networks make of
    them are dark stars and pipes. Tint counts for itself, the difference to the color at the cell's own
    brightness: panes reflect skies and rooms, but hardly orange or violet ones. Usual is the mean over the
    class's cells in the photo, no less than `least`, and `tolerated` times as much is let pass: panes differ
    more than walls. pictures, photos: (N, 3, H, W) in -1..1; colors, photo_colors: (N, K, 3) in 0..1;
    one_hot: (N, K, H, W) of their classes; valid: bool (N, 1, H, W), what the photos show; colored: (K, 1), 0
    for classes without a color.
    """
    shares, shown = F.avg_pool2d(one_hot, cell_px), F.avg_pool2d(valid.to(one_hot.dtype), cell_px)
    pure = (shares == 1) * colored.view(1, -1, 1, 1)
    seen = pure * (shown == 1)

    def off(x: Tensor, wanted: Tensor) -> Tensor:
        found, asked = F.avg_pool2d(x.float(), cell_px), painted(shares, wanted, colored)
        bright, asked_bright = found.mean(1, keepdim=True), asked.mean(1, keepdim=True)
        shade = (bright + 1) / (asked_bright + 1).clamp(min=0.1)
        tint = (found - bright) - (asked - asked_bright) * shade
        return torch.stack([found - asked, tint], dim=1).abs().mean(2)  # (N, 2, h, w)

    n_seen = seen.sum((2, 3))
    usual = torch.einsum("nkhw,nohw->nko", seen, off(photos, photo_colors)) / n_seen.clamp(min=1)[..., None]
    limit = torch.einsum("nkhw,nko->nohw", pure, tolerated * usual.clamp(min=least))
    # A photo that shows nothing of a class does not tell how it is.
    known = (pure * (n_seen > 0)[..., None, None]).sum(1, keepdim=True)
    return (F.relu(off(pictures, colors) - limit) * known).sum() / pure.sum().clamp(min=1)


def spectrum(pictures: Tensor, photos: Tensor) -> Tensor:
    """How far the power of pictures is from that of their photos, by how fine detail is: mean |log ratio|.

    Networks that upsample are off in the finest detail, which discriminators hardly correct (Durall et al.
    2020, arXiv 2003.01826, section 4). Bands are rings of 0.05 cycles a pixel from 0.1 on, the last one the
    corner, where every pixel differs from its neighbors. Of each its mean log power counts, and not the log
    of its mean power: that a grid would have, too, in a few frequencies. Brightness counts for itself, and so
    do two opponent colors: photos have little detail in those. The ratio is a batch's mean: what a label map
    does not tell, trees and signs, may be in another picture. pictures, photos: (N, 3, S, S) in -1..1.
    """
    ring, count = _rings(photos.shape[-1], photos.device)
    window = torch.hann_window(photos.shape[-1], False, device=photos.device)
    window = window[:, None] * window  # or a picture's borders count as edges

    def log_power(x: Tensor) -> Tensor:
        red, green, blue = (x.float() * window).unbind(1)
        bright, warm, purple = red + green + blue, red - blue, red - 2 * green + blue
        opponent = torch.stack([bright / math.sqrt(3), warm / math.sqrt(2), purple / math.sqrt(6)], dim=1)
        power = torch.view_as_real(torch.fft.rfft2(opponent, norm="ortho")).square().sum(-1)
        logs = (power + 1e-5).log()  # what is below a level of 255 counts as none: photos are rounded
        by_frequency = logs.mean(0).flatten(1).T
        sums = by_frequency.new_zeros(len(count), 3).index_add(0, ring, by_frequency)
        return (sums / count[:, None])[1:]  # without what is coarser than detail

    return (log_power(pictures) - log_power(photos)).abs().mean()


@functools.cache
def _rings(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The band of each frequency of `rfft2` of squares of this side, flat, and how many each band has."""
    frequency, finest = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)
    ring = ((frequency.square() + finest.square()).sqrt() * 20 - 1).floor().clamp(min=0).long().flatten()
    return ring.to(device), torch.bincount(ring).to(device)


def lattice(pictures: Tensor, photos: Tensor, period_px: int = 16) -> Tensor:
    """How much more pictures repeat themselves from cell to cell than their photos: RMS of the mean cell.

    Networks that go down and up again by powers of two leave patterns of those periods, too faint for judges
    of patches or of power by frequency, but not for people. Each picture is compared with its own photo:
    what repeats there, courses of a wall, may in the picture, too. pictures, photos: (N, 3, H, W) in -1..1,
    sides multiples of `period_px`.
    """

    def repeated(x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        cells = x.float().reshape(n, channels, height // period_px, period_px, width // period_px, period_px)
        cell = cells.mean((2, 4))
        # Not quite 0 for flat pictures, where a root has no slope.
        return ((cell - cell.mean((2, 3), keepdim=True)).square().mean((1, 2, 3)) + 1e-8).sqrt()

    return F.relu(repeated(pictures) - repeated(photos)).mean()


def checkerboard(pictures: Tensor, photos: Tensor, valid: Tensor, cell_px: int = 16) -> Tensor:
    """How much more cells of pictures alternate from pixel to pixel, both ways, than any cell of their photo.

    Networks that make several pixels of one cell tend to (Odena et al. 2016, doi 10.23915/distill.00003), and
    judges that look at features hardly see it. Asked of the mean it would cost all texture some of its
    sharpness. pictures, photos: (N, 3, H, W) in -1..1; valid: bool (N, 1, H, W), what the photos show.
    """
    inside = valid[:, :, 1:, 1:] & valid[:, :, :-1, :-1] & valid[:, :, 1:, :-1] & valid[:, :, :-1, 1:]

    def alternation(x: Tensor) -> Tensor:
        alternating = x[:, :, 1:, 1:] + x[:, :, :-1, :-1] - x[:, :, 1:, :-1] - x[:, :, :-1, 1:]
        return alternating.abs().mean(1, keepdim=True) / 4

    limit = F.avg_pool2d(alternation(photos.float()) * inside, cell_px, ceil_mode=True).amax(
        (2, 3), keepdim=True
    )
    return F.relu(F.avg_pool2d(alternation(pictures.float()), cell_px, ceil_mode=True) - limit).mean()


def unrest(
    pictures: Tensor, one_hot: Tensor, colored: Tensor, depth_px: int = 64, cell_px: int = 16
) -> Tensor:
    """How much neighboring pixels differ where nothing but background is far around, over all pixels.

    In large pictures that is mostly sky, and of it photos show little: rectification leaves wedges there,
    where no other loss looks, so whatever is painted there goes uncorrected. What is outside of the crop
    counts as background. pictures: (N, 3, H, W) in -1..1; one_hot: (N, K, H, W) of their classes, sides
    multiples of `cell_px`; colored: (K, 1), 0 for the background.
    """
    building = F.max_pool2d(torch.einsum("nkhw,ko->nohw", one_hot, colored), cell_px)
    reach = depth_px // cell_px
    open_cells = 1 - F.max_pool2d(building, 2 * reach + 1, 1, reach)
    is_open = F.interpolate(open_cells, scale_factor=float(cell_px), mode="nearest")
    x = pictures.float()
    down = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(1, keepdim=True) * is_open[:, :, 1:]
    across = (x[..., 1:] - x[..., :-1]).abs().mean(1, keepdim=True) * is_open[..., 1:]
    return (down.sum() + across.sum()) / is_open.numel()


def painted(shares: Tensor, colors: Tensor, colored: Tensor) -> Tensor:
    """Pictures (N, 3, h, w) in -1..1 of class shares (N, K, h, w) in the colors (N, K, 3) of 0..1.

    colored: (K, 1), 0 for classes without a color, which are middle grey.
    """
    return torch.einsum("nkhw,nkc->nchw", shares, ((colors * 2 - 1) * colored).to(shares.dtype))


def painted_difference(found: Tensor, true: Tensor, classes: Tensor, colored: Tensor) -> Tensor:
    """Mean absolute difference of a label map painted in the colors found and in the true ones.

    found, true: (N, K, 3); classes: integer (N, H, W), K where not to look; colored: (K, 1), 0 for classes
    without a color.
    """
    share = one_hot(classes, found.shape[1]).sum((2, 3))[..., None] * colored
    return ((found - true).abs().mean(2, keepdim=True) * share).sum() / share.sum().clamp(min=1)
