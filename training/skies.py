"""Skies without hatching: a generator can learn to leave it out of its own pictures.

Where a label map is blank, all that tells one place from the next is noise, and marks that repeat themselves
at the generator's strides show: the checkerboards of Odena et al. 2016, doi 10.23915/distill.00003. Nowhere
do they stand out as in skies, which have nothing of their own to hide them. Photos' skies are smooth, so what
is left of a sky once it is blurred is what is to be learnt, beside all else as it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facadegen.palettes import LabelSet
from training.colored_maps import ColoredMap
from training.label_maps import read_label_maps
from training.masks import blurred, grown, shrunk
from training.retouching import Fault, Retouched, Retouching

LEAST_SKY = 0.03  # of a map, with nothing but surroundings over it, or there is nothing to be learnt from it
BLUR_PX = 4  # standard deviation
# In pictures in -1..1, once blurred: how much bluer than red a blue sky is at least, and how light; how
# light a white one is, and how much yellower than grey at most.
LEAST_BLUE, LEAST_BLUE_LIGHT = 0.12, -0.4
LEAST_WHITE_LIGHT, MOST_YELLOW = 0.8, 0.02
SKY_WEIGHT = 12.0  # of skies, beside that of all else


@dataclass(frozen=True, eq=False)
class Skies(Retouching):
    """The subject of a refinement: skies, calm, of pictures of which most are small."""

    name = "skies"
    title = "learning skies"

    def retouched(self, before: nn.Module, drawn: ColoredMap) -> Retouched:
        """With its sky calm, which counts more than all else."""
        calm, sky = calm_skies(before(*drawn).clamp(-1, 1), self.is_open(drawn))
        return Retouched(calm, 1 + SKY_WEIGHT * sky)

    def outcome(self, before: nn.Module, after: nn.Module, on_seen: Callable[[int, int], None]) -> str:
        """How far skies are from calm ones, of both, on maps held out; `on_seen(done, total)` after each."""

        def hatching(picture: Tensor, drawn: ColoredMap) -> Fault:
            _, sky = calm_skies(picture, self.is_open(drawn))
            return Fault(sky, lambda made: made - blurred(made, sky, BLUR_PX))

        levels = self.measured(before, after, on_seen, hatching)
        if levels is None:
            return "no skies to be seen in the label maps held out"
        was, now = levels
        return f"hatching in skies, in levels of 255: {was:.1f} before, {now:.1f} now"


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
    smooth = blurred(pictures, is_open, BLUR_PX)
    blueness, light = smooth[:, 2:] - smooth[:, :1], smooth.mean(1, keepdim=True)
    blue = (blueness > LEAST_BLUE) & (light > LEAST_BLUE_LIGHT)
    white = (blueness > -MOST_YELLOW) & (light > LEAST_WHITE_LIGHT)
    sky = under_none * (blue | white)
    # More is cut off than is put back: what is blurred is colored by the roofs beside it.
    sky = grown(shrunk(sky, BLUR_PX), BLUR_PX - 1)
    soft = F.avg_pool2d(sky, 5, 1, 2, count_include_pad=False) * under_none
    return torch.lerp(pictures, blurred(pictures, sky, BLUR_PX), soft), soft
