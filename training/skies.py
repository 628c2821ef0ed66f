"""Skies without hatching: a generator can learn to leave it out of its own pictures.

Where a label map is blank, all that tells one place from the next is noise, and marks that repeat themselves
at the generator's strides show: the checkerboards of Odena et al. 2016, doi 10.23915/distill.00003. Nowhere
do they stand out as in skies, which have nothing of their own to hide them. Photos' skies are smooth, so what
is left of a sky once it is blurred is what is to be learnt, beside all else as it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facadegen.palettes import LabelSet
from training.data import mix_seeds, spread
from training.label_maps import read_label_maps, sized
from training.recipes import leaky_clamp

MOST_SIZE = 4.0  # longer sides of maps, of the size that the generator was trained at; most are smaller
LEAST_SKY = 0.03  # of a map, with nothing but surroundings over it, or there is nothing to be learnt from it
BLUR_PX = 4  # standard deviation
# In pictures in -1..1, once blurred: how much bluer than red a blue sky is at least, and how light; how
# light a white one is, and how much yellower than grey at most.
LEAST_BLUE, LEAST_BLUE_LIGHT = 0.12, -0.4
LEAST_WHITE_LIGHT, MOST_YELLOW = 0.8, 0.02
SKY_WEIGHT = 12.0  # of skies, beside that of all else
MEASURED_MAPS = 24


class Sample(NamedTuple):
    """One map in one set of colors. classes: uint8 (1, H, W); colors: (1, K, 3) in 0..1; top, left: where
    noise begins, px, whole numbers ()."""

    classes: Tensor
    colors: Tensor
    top: Tensor
    left: Tensor


@dataclass(frozen=True, eq=False)
class Skies:
    """The subject of a refinement: skies, calm, of pictures of which most are small.

    maps, held_out: uint8 (H, W) each; color_sets: (M, K, 3) in 0..1; colored: (K,), 0 for the surroundings,
    on the device to work on.
    """

    maps: Sequence[Tensor]
    held_out: Sequence[Tensor]
    color_sets: Tensor
    colored: Tensor
    native_size_px: int
    seed: int = 0

    title = "learning skies"

    def options(self) -> dict[str, Any]:
        """What shapes the weights beside what all subjects have."""
        return {"subject": "skies", "label_maps": len(self.maps)}

    def draw(self, number: int) -> Sample:
        """Any map, mirrored or not, at its own size or smaller, in any colors; it follows from the number and
        the seed."""
        random = torch.Generator().manual_seed(mix_seeds(self.seed, 5, number))
        flip, size = torch.rand(2, generator=random).tolist()
        classes, colors = (
            rows[int(torch.randint(len(rows), (), generator=random))] for rows in (self.maps, self.color_sets)
        )
        top, left = torch.randint(4096, (2,), generator=random)
        classes = classes.flip(1) if flip < 0.5 else classes
        return self._sample(classes, colors, self.native_size_px * MOST_SIZE ** (size * size), top, left)

    def loss(self, pupil: nn.Module, before: nn.Module, number: int) -> Tensor:
        """How far the pupil's picture of a sample is from the one of `before` with its sky calm."""
        sample = self.draw(number)
        with torch.no_grad():
            calm, sky = calm_skies(before(*sample).clamp(-1, 1), self._open(sample))
        off = (leaky_clamp(pupil(*sample)) - calm).abs()
        return (off * (1 + SKY_WEIGHT * sky)).mean()

    @torch.no_grad()
    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """How far skies are from calm ones, of both, on maps held out; `on_seen(done, total)` after each."""
        count = min(MEASURED_MAPS, len(self.held_out))
        chosen = (spread(self.held_out, count), spread(list(self.color_sets), count))
        unrest, area = torch.zeros(2), 0.0
        for done, (classes, colors) in enumerate(zip(*chosen, strict=True), 1):
            sample = self._sample(classes, colors, self.native_size_px, torch.tensor(0), torch.tensor(0))
            pictures = [generator(*sample).clamp(-1, 1) for generator in (before, after)]
            _, sky = calm_skies(pictures[0], self._open(sample))
            for which, picture in enumerate(pictures):
                off = (picture - _blurred(picture, sky)).abs().mean(1, keepdim=True)
                unrest[which] += (off * sky).sum().cpu()
            area += float(sky.sum())
            on_seen(done, count)
        if area == 0:
            return "no skies to be seen in the label maps held out"
        was, now = (unrest * 127.5 / area).tolist()
        return f"hatching in skies, in levels of 255: {was:.1f} before, {now:.1f} now"

    def _sample(
        self, classes: Tensor, colors: Tensor, longest_px: float, top: Tensor, left: Tensor
    ) -> Sample:
        longest_px = min(longest_px, max(classes.shape))
        sample = Sample(sized(classes, longest_px), colors[None], top, left)
        return Sample(*(x.to(self.colored.device) for x in sample))

    def _open(self, sample: Sample) -> Tensor:
        return 1 - self.colored[sample.classes.long()][:, None]


def maps_with_sky(folders: Sequence[Path], split: str, label_set: LabelSet, colored: Tensor) -> list[Tensor]:
    """The label maps, uint8 (H, W), of a split of all folders that have room for a sky.

    colored: (K,), 0 for the classes that are surroundings. Folders without a val split have none.

    Raises:
        TrainingError: as `read_label_maps`.
    """
    return read_label_maps(
        folders,
        split,
        label_set,
        lambda classes: bool((1 - colored[classes.long()]).cummin(0).values.mean() >= LEAST_SKY),
    )


def calm_skies(pictures: Tensor, is_open: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, H, W) in -1..1 with their skies blurred, all else as it was, and where these are.

    The latter, (N, 1, H, W), is 1 in skies, 0 elsewhere, in between at edges. is_open: (N, 1, H, W), 1 for
    surroundings. Skies have nothing but surroundings over them and are blue or white from further away; their
    edges count less, so that roofs stay sharp.
    """
    under_none = is_open.cummin(2).values
    smooth = _blurred(pictures, is_open)
    blueness, light = smooth[:, 2:] - smooth[:, :1], smooth.mean(1, keepdim=True)
    blue = (blueness > LEAST_BLUE) & (light > LEAST_BLUE_LIGHT)
    white = (blueness > -MOST_YELLOW) & (light > LEAST_WHITE_LIGHT)
    sky = under_none * (blue | white)
    # More is cut off than is put back: what is blurred is colored by the roofs beside it.
    sky = -F.max_pool2d(-sky, 2 * BLUR_PX + 1, 1, BLUR_PX)
    sky = F.max_pool2d(sky, 2 * BLUR_PX - 1, 1, BLUR_PX - 1)
    soft = F.avg_pool2d(sky, 5, 1, 2, count_include_pad=False) * under_none
    return torch.lerp(pictures, _blurred(pictures, sky), soft), soft


def _blurred(pictures: Tensor, mask: Tensor) -> Tensor:
    """Pictures blurred by a Gaussian, of what the mask (N, 1, H, W) has alone."""
    reach = 3 * BLUR_PX
    at = torch.arange(-reach, reach + 1, dtype=pictures.dtype, device=pictures.device)
    line = (at / BLUR_PX).square().div(-2).exp()
    kernel = (line / line.sum()).expand(4, 1, 1, -1)
    masked = torch.cat([pictures * mask, mask], dim=1)
    masked = F.conv2d(masked, kernel, padding=(0, reach), groups=4)
    masked = F.conv2d(masked, kernel.transpose(2, 3), padding=(reach, 0), groups=4)
    return masked[:, :3] / masked[:, 3:].clamp(min=1e-3)
