"""How well styles are obeyed: colors of real facades, and paints, asked of each of some label maps."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from facadegen.generator import Generator
from facadegen.palettes import LabelSet, parse_color
from facadegen.style import Style, resolve_style
from training import metrics
from training.judge import OnProgress, Pictures
from training.metrics import Floats
from training.scores import Bench, Exam, make

N_STYLES = 20
N_MAPS = 10
# The classes whose color a person chooses; others are small, or several things at once.
NAMED_CLASSES = ("facade", "window", "molding", "balcony", "blind", "shop")
# Asked of the facade alone, as people ask: brick, navy, anthracite, bottle green, yellow and near white.
PAINTS = ("#b5533c", "#1c3a6b", "#2a2624", "#3f7a46", "#e8d34a", "#f4f4f4")
MOST_LEVELS = 12.0
LEAST_RECOGNISED = 0.60
MOST_FIDELITY_LOST = 0.02
_LEAST_TEXTURE = 1e-3  # levels; a generator may paint flat


@dataclass(frozen=True)
class ClassObedience:
    """One class's mean color in all pictures that show it, beside the one asked.

    mean_levels: of the differences, of 255, mean over channels and pictures. within: the share of pictures
    where no channel differs by more than `MOST_LEVELS`.
    """

    n_pictures: int
    mean_levels: float
    within: float


@dataclass(frozen=True)
class PaintObedience(ClassObedience):
    """The same of the facade, or whatever takes its place, where it alone is given a color.

    bare: the same without what the weights take for something else, such as sky. texture: how much its
    neighboring pixels differ, relative to what they do in default colors.
    """

    bare: ClassObedience
    texture: float


@dataclass(frozen=True)
class StyleReport:
    """How styles are obeyed.

    classes, paints: by name and by color. walls: the class that paints were asked of. bare: of that class in
    styles, without what the weights take for something else. recognised: the share of pictures, made in
    colors estimated from a photo alone, whose color of that class is nearest to that photo's own, of all
    styles. recognised_estimates: the same of the estimates themselves. fidelity_lost: how far each style's
    label fidelity is below that of the default colors.
    """

    styles: tuple[str, ...]
    maps: tuple[str, ...]
    walls: str
    bare: ClassObedience
    classes: dict[str, ClassObedience]
    paints: dict[str, PaintObedience]
    recognised: float
    recognised_estimates: float
    default_fidelity: float
    fidelity_lost: dict[str, float]

    def missed(self) -> list[str]:
        """What misses its mark, a line each."""
        lines = [
            f"{name} is off by {found.mean_levels:.1f} levels of 255 (at most {MOST_LEVELS:.0f})"
            for name, found in (self.classes | self.paints).items()
            if found.mean_levels > MOST_LEVELS
        ]
        if self.recognised < LEAST_RECOGNISED:
            lines.append(f"{self.recognised:.0%} of photos are recognised (at least {LEAST_RECOGNISED:.0%})")
        return lines + [
            f"style {name} loses {lost:.3f} of label fidelity (at most {MOST_FIDELITY_LOST})"
            for name, lost in self.fidelity_lost.items()
            if lost > MOST_FIDELITY_LOST
        ]

    def to_json(self) -> dict[str, object]:
        """The report, and what misses its mark."""
        return {**asdict(self), "missed": self.missed()}


def measure(
    exam: Exam, generator: Generator, label_set: LabelSet, on_progress: OnProgress = lambda n: None
) -> StyleReport:
    """How a generator that takes colors obeys styles of `N_STYLES` val pairs on `N_MAPS` val label maps."""
    styles, maps = exam.val.spread(N_STYLES), exam.val.spread(N_MAPS)
    classes, photos = exam.val.classes[maps], exam.val.photos[styles]
    asked = exam.own_colors(generator)[styles]
    estimated = np.stack([generator.estimate_colors(photo) for photo in photos])
    facade = walls_of(label_set)
    chooser = resolve_style(Style(), generator)
    chosen = np.stack([chooser.choose(one) for one in classes])
    default = make(generator, classes, chosen)
    default_fidelity = _fidelity(exam.bench, default, classes, exam.n_classes)
    is_bare = generator.prepared_classes(classes, chosen) == classes
    got, bare, recolored, fidelities = [], [], [], []
    for colors, estimate in zip(asked, estimated, strict=True):
        pictures = make(generator, classes, np.repeat(colors[None], len(maps), axis=0))
        got.append(_colors(pictures, classes, exam.n_classes))
        bare.append(metrics.class_colors(pictures, classes, is_bare, exam.n_classes))
        fidelities.append(_fidelity(exam.bench, pictures, classes, exam.n_classes))
        pictures = make(generator, classes, np.repeat(estimate[None], len(maps), axis=0))
        recolored.append(_colors(pictures, classes, exam.n_classes))
        on_progress(1)
    facades = exam.asked[styles, facade]
    walls = classes == facade
    usual = max(metrics.texture(default, walls), _LEAST_TEXTURE)
    paints = {}
    for paint in PAINTS:
        chosen[:, facade] = np.array(parse_color(paint)) / 255
        pictures = make(generator, classes, chosen)
        colors = _colors(pictures, classes, exam.n_classes)
        bare_colors = metrics.class_colors(pictures, classes, is_bare, exam.n_classes)
        paints[paint] = PaintObedience(
            **vars(_obedience(chosen, colors, facade)),
            bare=_obedience(chosen, bare_colors, facade),
            texture=metrics.texture(pictures, walls) / usual,
        )
        on_progress(1)
    names = tuple(exam.val.names[i] for i in styles)
    all_asked = np.repeat(asked, len(maps), axis=0)
    return StyleReport(
        styles=names,
        maps=tuple(exam.val.names[i] for i in maps),
        classes=_by_class(all_asked, np.concatenate(got), label_set),
        walls=label_set.classes[facade],
        bare=_obedience(all_asked, np.concatenate(bare), facade),
        paints=paints,
        recognised=recognised(np.stack(recolored)[:, :, facade], facades),
        recognised_estimates=recognised(estimated[:, None, facade], facades),
        default_fidelity=default_fidelity,
        fidelity_lost={name: default_fidelity - one for name, one in zip(names, fidelities, strict=True)},
    )


def recognised(found: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    """The share of colors found (S, M, 3) whose nearest true color (S, 3) is that of their own style.

    NaN colors are left out: their pictures show no such class. 0 where no color is left.
    """
    apart = np.square(found[:, :, None] - true).sum(-1)  # (S, M, S), NaN where either color is
    own = np.diagonal(apart, axis1=0, axis2=2).T  # (S, M)
    counted = np.isfinite(own)
    right = own <= np.where(np.isnan(apart), np.inf, apart).min(-1)
    return float(right[counted].mean()) if counted.any() else 0.0


def walls_of(label_set: LabelSet) -> int:
    """The id of the facade, or of the first class that takes a color."""
    if "facade" in label_set.classes:
        return label_set.index_of("facade")
    return min(set(range(len(label_set.classes))) - label_set.unpainted)


def _by_class(
    asked: NDArray[np.float32], got: NDArray[np.float32], label_set: LabelSet
) -> dict[str, ClassObedience]:
    names = [name for name in NAMED_CLASSES if name in label_set.classes] or list(label_set.classes)
    found = {name: _obedience(asked, got, label_set.index_of(name)) for name in names}
    return {name: each for name, each in found.items() if each.n_pictures}


def _obedience(asked: NDArray[np.float32], got: NDArray[np.float32], class_id: int) -> ClassObedience:
    """asked, got: (N, K, 3) of the same pictures; got is NaN where a picture shows too little of a class."""
    levels: Floats = 255 * np.abs(got[:, class_id].astype(np.float64) - asked[:, class_id])
    levels = levels[~np.isnan(levels).any(1)]
    if not len(levels):
        return ClassObedience(0, 0.0, 0.0)
    return ClassObedience(len(levels), float(levels.mean()), float((levels.max(1) <= MOST_LEVELS).mean()))


def _colors(pictures: Pictures, classes: NDArray[np.uint8], n_classes: int) -> NDArray[np.float32]:
    return metrics.class_colors(pictures, classes, np.ones_like(classes, bool), n_classes)


def _fidelity(bench: Bench, pictures: Pictures, classes: NDArray[np.uint8], n_classes: int) -> float:
    confused = metrics.confusion(classes, bench.look(pictures).parsed, np.ones_like(classes, bool), n_classes)
    return float(np.nanmean(metrics.class_ious(confused)))
