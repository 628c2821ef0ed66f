"""Rows of scores: what each set of pictures for the val label maps is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facadegen.generator import Generator
from facadegen.palettes import LabelSet
from facadegen.style import ColorChooser, Style, pair_colors, resolve_style
from training import metrics
from training.closeups import CloseUps, Crops
from training.gallery import Gallery
from training.judge import LOT, Judge, OnProgress, Pictures, in_lots, perceptual_distances
from training.metrics import Estimate, Features
from training.referee import Referee

NEIGHBOURS = 5
TOO_NEAR_PERCENTILE = 5  # of real val photos lie nearer to a train photo than what counts as too near
N_VARIANTS = 3
N_VARIED_MAPS = 20

Scores = dict[str, Estimate | float]


@dataclass(frozen=True)
class Row:
    """The scores of one set of pictures; those that say nothing about such pictures are left out."""

    name: str
    scores: Scores


@dataclass(frozen=True, eq=False)
class Look:
    """What the judges see in N pictures: features (N, D), and classes (N, S, S) by the referee."""

    features: NDArray[np.float32]
    parsed: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Bench:
    """The judges of an evaluation. inception: where given, the features are its, not the judge's."""

    judge: Judge
    referee: Referee
    device: torch.device
    inception: torch.nn.Module | None = None

    @torch.inference_mode()
    def features(self, pictures: Pictures, on_progress: OnProgress = lambda n: None) -> Features:
        """The features (N, D) of pictures (N, S, S, 3) alone."""
        lots = in_lots(pictures, self.device, on_progress)
        return np.concatenate([self._vectors(lot, self.judge(lot)[1]) for lot in lots])

    @torch.inference_mode()
    def look(self, pictures: Pictures, on_progress: OnProgress = lambda n: None) -> Look:
        """Look at pictures (N, S, S, 3)."""
        features, parsed = [], []
        for lot in in_lots(pictures, self.device, on_progress):
            maps, vectors = self.judge(lot)
            features.append(self._vectors(lot, vectors))
            parsed.append(self.referee.parse(maps, (lot.shape[2], lot.shape[3])))
        return Look(np.concatenate(features), np.concatenate(parsed))

    def _vectors(self, lot: Tensor, judged: Tensor) -> Features:
        vectors = judged if self.inception is None else self.inception(lot)[0]
        found: Features = vectors.float().cpu().numpy()
        return found

    def distances(self, one: Pictures, other: Pictures) -> NDArray[np.float64]:
        """How far apart pictures look, pair by pair (N,)."""
        return perceptual_distances(self.judge, one, other, self.device)


class Exam:
    """Scores sets of pictures for the val label maps, beside what the judges see in real photos.

    asked: the colors (N, K, 3) of the photos' classes, NaN where a class has too few pixels.
    """

    def __init__(
        self,
        bench: Bench,
        val: Gallery,
        train: Gallery,
        label_set: LabelSet,
        seed: int = 0,
        on_progress: OnProgress = lambda n: None,
        crops: Sequence[Crops] = (),
    ) -> None:
        """crops: places in larger pictures, which are judged, too."""
        self.bench, self.val, self.seed, self.on_progress = bench, val, seed, on_progress
        self.n_classes = len(label_set.classes)
        # Sky and street are several things, so they have no color of their own.
        self.uncolored = sorted(label_set.unpainted)
        self.real = bench.look(val.photos, on_progress)
        self.train_features = bench.look(train.photos, on_progress).features
        self.asked = self.colors_of(val.photos)
        near = metrics.nearest_distances(self.real.features, self.train_features)
        self.too_near = float(np.percentile(near, TOO_NEAR_PERCENTILE))
        self.close_ups = (
            CloseUps(lambda pictures: bench.features(pictures, on_progress), crops, seed) if crops else None
        )

    def anchors(self) -> list[Row]:
        """What real photos score, and pictures with one known fault."""
        kid, density, coverage = metrics.split_in_half(self.real.features, NEIGHBOURS, seed=self.seed)
        halves: Scores = {"kid": kid, "density": density, "coverage": coverage}
        step = max(1, len(self.train_features) // len(self.val))
        other_facades = self.train_features[::step][: len(self.val)]
        blurred = self.val.blurred()
        order = self.val.other_order()
        other_photos = Look(self.real.features[order], self.real.parsed[order])
        out_of_focus = self.likeness(blurred) | self.obedience(blurred, self.asked)
        if self.close_ups is not None:
            halves["kid_large"] = self.close_ups.of_halves()
            out_of_focus["kid_large"] = self.close_ups.of_blurred()
        return [
            Row("real photos, in halves", halves | self.fidelity(self.real) | self.nearness(self.real)),
            Row("train photos", self.closeness(other_facades, paired=False)),
            self.row("blurred photos", blurred, out_of_focus),
            # As a set these are the real photos, so only what depends on the label map is scored.
            Row(
                "shuffled labels",
                self.fidelity(other_photos)
                | self.likeness(self.val.photos[order])
                | self.obedience(self.val.photos[order], self.asked),
            ),
        ]

    def generated(self, name: str, generator: Generator) -> list[Row]:
        """The rows of a generator: in the photos' own colors, and as it colors label maps by itself."""
        own = self.own_colors(generator)
        pictures = self.val.wedged(make(generator, self.val.classes, own))
        scores = self.likeness(pictures) | self.obedience(pictures, own) | self.close_up(generator)
        if generator.card.style == "none":
            return [self.row(name, pictures, scores)]
        rows = [self.row(f"{name}, own colors", pictures, scores)]
        chooser = resolve_style(Style(), generator)
        chosen = np.stack([chooser.choose(classes) for classes in self.val.classes])
        pictures = self.val.wedged(make(generator, self.val.classes, chosen))
        scores = self.obedience(pictures, chosen) | self.diversity(generator)
        scores |= self.close_up(generator, chooser)
        return [*rows, self.row(f"{name}, default colors", pictures, scores)]

    def row(self, name: str, pictures: Pictures, scores: Scores) -> Row:
        """The scores given and those of any pictures (N, S, S, 3) made for the val label maps."""
        look = self.bench.look(pictures, self.on_progress)
        closeness = self.closeness(look.features, paired=True)
        return Row(name, closeness | self.fidelity(look) | self.nearness(look) | scores)

    def closeness(self, features: Features, paired: bool) -> Scores:
        """How close a set of pictures is to the val photos."""
        density, coverage = metrics.density_and_coverage(self.real.features, features, NEIGHBOURS)
        kid = metrics.kid(self.real.features, features, self.seed, paired)
        return {"kid": kid, "density": density, "coverage": coverage}

    def fidelity(self, look: Look) -> Scores:
        """How much of the label maps the referee finds in the pictures."""
        return {"label_fidelity": metrics.label_fidelity(self.confusions(look.parsed), self.seed)}

    def nearness(self, look: Look) -> Scores:
        """How near pictures are to train photos: the memorisation check."""
        near = metrics.nearest_distances(look.features, self.train_features)
        return {"nearest_train": float(np.median(near)), "too_near": float((near < self.too_near).mean())}

    def likeness(self, pictures: Pictures) -> Scores:
        """How far pictures are from the photos of the same facades, in levels of 255 and as they look."""
        valid = self.val.valid
        levels = np.abs(pictures.astype(np.int16) - self.val.photos).mean(-1)
        apart = [float(difference[mask].mean()) for difference, mask in zip(levels, valid, strict=True)]
        looks = self.bench.distances(self.val.photos, pictures)
        return {
            "photo_levels": metrics.mean_estimate(np.array(apart), self.seed),
            "photo_looks": metrics.mean_estimate(looks, self.seed),
        }

    def obedience(self, pictures: Pictures, asked: NDArray[np.float32]) -> Scores:
        """How far the mean colors of classes are from those asked (N, K, 3), levels of 255."""
        errors = metrics.color_errors(asked, self.colors_of(pictures))
        errors[:, self.uncolored] = np.nan
        return {"color_error": metrics.mean_estimate(np.nanmean(errors, axis=1), self.seed)}

    def diversity(self, generator: Generator) -> Scores:
        """How far apart variants of one label map look."""
        variants = min(N_VARIANTS, len(generator.color_sets))
        if variants < 2:
            return {}
        classes = self.val.classes[self.val.spread(N_VARIED_MAPS)]
        chooser = resolve_style(Style(), generator, variants)
        chosen = np.stack([chooser.choose_variants(one, variants) for one in classes], axis=1)
        made = [make(generator, classes, colors) for colors in chosen]
        apart = [self.bench.distances(one, other) for one, other in combinations(made, 2)]
        return {"diversity": metrics.mean_estimate(np.mean(apart, axis=0), self.seed)}

    def close_up(self, generator: Generator, chooser: ColorChooser | None = None) -> Scores:
        """How close crops of large pictures are to those of photos, in the photos' colors or chosen ones."""
        if self.close_ups is None:
            return {}
        choose = None if chooser is None else chooser.choose
        return {"kid_large": self.close_ups.of_generator(generator, choose)}

    def confusions(self, parsed: NDArray[np.uint8]) -> NDArray[np.int64]:
        """What the referee saw (N, S, S), against the val label maps: (N, K, K)."""
        arrays = zip(self.val.classes, parsed, self.val.valid, strict=True)
        return np.stack([metrics.confusion(*each, self.n_classes) for each in arrays])

    def colors_of(self, pictures: Pictures) -> NDArray[np.float32]:
        """The mean colors (N, K, 3) of pictures under the val label maps, NaN where a class is too small."""
        return metrics.class_colors(pictures, self.val.classes, self.val.valid, self.n_classes)

    def own_colors(self, generator: Generator) -> NDArray[np.float32]:
        """The colors (N, K, 3) of the photos, completed as the tool completes those of a pair."""
        arrays = zip(self.val.photos, self.val.classes, self.val.valid, strict=True)
        return np.stack(
            [pair_colors(photo[valid], classes[valid], generator) for photo, classes, valid in arrays]
        )


def make(generator: Generator, classes: NDArray[np.uint8], colors: NDArray[np.float32]) -> Pictures:
    """What the generator makes of label maps (N, S, S) in colors (N, K, 3)."""
    lots = [slice(start, start + LOT) for start in range(0, len(classes), LOT)]
    return np.concatenate([generator.generate(classes[lot], colors[lot]) for lot in lots])
