"""What a generator is to learn from its own pictures: all that is put right in them, one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facadegen.errors import TrainingError
from facadegen.palettes import LabelSet
from training.data import mix_seeds
from training.losses import colors_off, feature_l1, mean_class_colors
from training.networks.features import Lite0
from training.recipes import leaky_clamp
from training.retouching import paints, rooflines, skylines, slants, walls
from training.retouching.colored_maps import ColoredMap, ColoredMaps
from training.retouching.label_maps import read_label_maps
from training.retouching.parts import WALL_CLASS, Parts
from training.retouching.retouched import Retouched

FEATURES_WEIGHT = 0.05  # beside pixels, of pictures in -1..1
COLORS_WEIGHT = 1.0  # of classes' mean colors
LOOSE_WEIGHT = 2.0  # of features where another texture would do, beside those of all of the picture
FEATURES_SIZE = 2  # of what is looked at of a large picture, of the size that the generator was trained at
MEASURED_MAPS, MEASURED_SIZE = 24, 2.0  # the latter of the size that the generator was trained at

Retouch = Callable[[Tensor, ColoredMap, nn.Module, Parts], Retouched]

# In this order: mirrored pictures are as the generator makes them, so what is taken from these is yet to be
# put right; sky among roofs is to be like the sky above once that is even; and all change colors.
RETOUCHES: dict[str, Retouch] = {
    "slants": slants.retouched,
    "walls": walls.retouched,
    "rooflines": rooflines.retouched,
    "skylines": skylines.retouched,
    "paints": paints.retouched,
}


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a generator is to learn.

    maps, held_out: to learn from, and to measure with; features: of pictures (N, 3, H, W) in -1..1, at
    several scales.
    """

    maps: ColoredMaps
    held_out: ColoredMaps
    parts: Parts
    features: nn.Module

    @classmethod
    def read(
        cls, folders: Sequence[Path], label_set: LabelSet, color_sets: Tensor, parts: Parts, seed: int
    ) -> "Lesson":
        """Of the label maps of folders of pairs that show walls; where none are held out, the same ones are
        measured with. color_sets: (M, K, 3) in 0..1.

        Raises:
            TrainingError: label maps cannot be read, or there are none to learn from.
        """
        maps, held_out = (
            read_label_maps(folders, split, label_set, lambda classes: bool((classes == parts.wall).any()))
            for split in ("train", "val")
        )
        if not maps:
            raise TrainingError(f"no label maps with {WALL_CLASS} in its train split", folders[0])
        return cls(
            ColoredMaps(maps, color_sets, parts.native_size_px, seed),
            ColoredMaps(held_out or maps, color_sets, parts.native_size_px),
            parts,
            Lite0().to(parts.colored.device),
        )

    def draw(self, number: int) -> ColoredMap:
        """Any map in any colors, some of both changed; it follows from the number and the seed."""
        random = torch.Generator().manual_seed(mix_seeds(self.maps.seed, 6, number))
        drawn = self.maps.draw(number)
        return paints.repainted(walls.blanked(drawn, self.parts, random), self.parts, random)

    @torch.no_grad()
    def to_learn(self, before: nn.Module, drawn: ColoredMap) -> Retouched:
        """The picture that `before` makes of a map as it is told in use, as it should be."""
        learnt = Retouched.as_is(before(*drawn).clamp(-1, 1))
        for retouch in RETOUCHES.values():
            learnt = learnt.then(retouch(learnt.picture, drawn, before, self.parts))
        return learnt

    def loss(self, pupil: nn.Module, before: nn.Module, number: int) -> Tensor:
        """How far the pupil's picture of the map of that number is from the one of `before`, as it should
        be."""
        drawn = self.draw(number).to(self.parts.colored.device)
        with torch.no_grad():
            drawn = drawn.in_use(before, self.parts.neighbors, self.parts.open_sky)
        made, to_learn = leaky_clamp(pupil(*drawn)), self.to_learn(before, drawn)
        return self.off(made, to_learn, number) + COLORS_WEIGHT * self.colors_off(
            made, to_learn.picture, drawn.classes
        )

    def off(self, made: Tensor, to_learn: Retouched, number: int) -> Tensor:
        """How far a picture (1, 3, H, W) is from what is to be learnt, a number ().

        By pixels, and by features (Johnson et al. 2016, arXiv 1603.08155, section 3.2), so that what is no
        more than another texture does not end as a blur. Where any texture would do, features count once
        more, by `LOOSE_WEIGHT` times as much as in all of the picture. Of large ones they are those of a
        place that follows from the number.
        """
        by_pixel = ((made - to_learn.picture).abs() * to_learn.weight).mean()
        rows, columns = self._place(made, number)
        taps, wanted = (self.features(x[:, :, rows, columns]) for x in (made, to_learn.picture))
        all_alike = made.new_ones(1)
        by_features = feature_l1(taps, wanted, all_alike)
        loose = to_learn.loose[:, :, rows, columns]
        if loose.any():
            masks = [F.interpolate(loose, tap.shape[2:], mode="area") for tap in wanted]
            shown, asked = (
                [x * mask for x, mask in zip(each, masks, strict=True)] for each in (taps, wanted)
            )
            by_features = by_features + LOOSE_WEIGHT * feature_l1(shown, asked, all_alike)
        return by_pixel + FEATURES_WEIGHT * by_features

    def colors_off(self, made: Tensor, wanted: Tensor, classes: Tensor) -> Tensor:
        """How far the mean colors of classes (1, H, W) that can be asked for are from those wanted, on
        average, a number (). made, wanted: pictures (1, 3, H, W).

        Pixels that are off by turns to the one side and to the other hardly tell that all of them are off a
        little to the one.
        """
        asked, _ = mean_class_colors(wanted, classes, len(self.parts.colored))
        return colors_off(made, classes, asked, self.parts.colored[:, None])

    def _place(self, picture: Tensor, number: int) -> tuple[slice, slice]:
        """Rows and columns, any of those where as much fits as is looked at; all, if less is there."""
        most_px = FEATURES_SIZE * self.parts.native_size_px
        random = torch.Generator().manual_seed(mix_seeds(self.maps.seed, 7, number))
        first_row, first_column = (
            int(torch.randint(max(1, side - most_px + 1), (), generator=random)) for side in picture.shape[2:]
        )
        return slice(first_row, first_row + most_px), slice(first_column, first_column + most_px)

    @torch.no_grad()
    def left(self, generator: nn.Module, on_seen: Callable[[int, int], None]) -> dict[str, float]:
        """How much each retouch changes pictures of maps held out, in levels of 255 on average;
        `on_seen(done, total)` after each map."""
        held_out = self.held_out.fixed(MEASURED_MAPS, MEASURED_SIZE)
        changes = dict.fromkeys(RETOUCHES, 0.0)
        for done, drawn in enumerate(held_out, 1):
            shown = drawn.to(self.parts.colored.device).in_use(
                generator, self.parts.neighbors, self.parts.open_sky
            )
            picture = generator(*shown).clamp(-1, 1)
            for name, retouch in RETOUCHES.items():
                better = retouch(picture, shown, generator, self.parts).picture
                changes[name] += float((better - picture).abs().mean()) * 127.5 / len(held_out)
                picture = better
            on_seen(done, len(held_out))
        return changes
