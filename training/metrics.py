"""What pictures are judged by: pure functions of features, class maps and colors, in NumPy.

Features are float (N, D), one row a picture, from a network that took no part in training; for KID also
(N, C, D), of several crops of each picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facadegen.style import mean_colors

Features = NDArray[np.float32]
Floats = NDArray[np.float64]

N_DRAWS = 1000
CONFIDENCE = 0.95
MIN_CLASS_PX = 64  # the mean color of a smaller area is that of its edges


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its bootstrap interval, over which pictures happened to be measured."""

    value: float
    low: float
    high: float


def kid(
    real: Features, fake: Features, seed: int = 0, paired: bool = False, n_draws: int = N_DRAWS
) -> Estimate:
    """Kernel Inception Distance (Bińkowski et al. 2018): the squared MMD under the cubic kernel, unbiased.

    0 where both come from the same distribution (single readings scatter around it, so they can be negative).
    paired: row i of both belongs to the same label map, so the bootstrap draws facades, not pictures, and no
    picture is compared with its own photo, to which it is nearer than a drawn one would be. Crops of one
    picture are never compared with each other, nor are they drawn one by one.
    """
    within_real, within_fake, across = _kernel(real, real), _kernel(fake, fake), _kernel(real, fake)

    def mmd(real_weights: Floats, fake_weights: Floats) -> Floats:
        if paired:
            cross = _mean_off_diagonal(across, real_weights)
        else:
            cross = np.einsum("bi,ij,bj->b", real_weights, across, fake_weights, optimize=True)
            cross /= real_weights.sum(1) * fake_weights.sum(1)
        return (
            _mean_off_diagonal(within_real, real_weights)
            + _mean_off_diagonal(within_fake, fake_weights)
            - 2 * cross
        )

    rng = np.random.default_rng(seed)
    real_weights = _bootstrap_weights(rng, len(real), n_draws)
    fake_weights = real_weights if paired else _bootstrap_weights(rng, len(fake), n_draws)
    value = mmd(np.ones((1, len(real))), np.ones((1, len(fake))))[0]
    return _estimate(value, mmd(real_weights, fake_weights))


def density_and_coverage(real: Features, fake: Features, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020): how typical the fakes are, how much of the real they reach.

    Around each real picture lies a ball that reaches to its k-th nearest real neighbour. Density: in how many
    balls a fake lies, in parts of the k to be expected. Coverage: the share of balls with a fake in them.
    """
    if len(real) <= k:
        raise ValueError(f"{k} neighbours need more than {k} real pictures, not {len(real)}")
    radii = np.sort(distances(real, real), axis=1)[:, k]  # the 0-th is the picture itself
    inside = distances(real, fake) < radii[:, None]
    return float(inside.sum(0).mean() / k), float(inside.any(1).mean())


def split_in_half(
    features: Features, k: int = 5, n_splits: int = 20, seed: int = 0
) -> tuple[Estimate, float, float]:
    """KID, density and coverage of random halves of one set: what a perfect generator would get.

    The interval is over the splits.
    """
    halves = _halves(len(features), n_splits, seed)
    readings = [density_and_coverage(features[one], features[other], k) for one, other in halves]
    densities, coverages = np.mean(readings, axis=0)
    return kid_of_halves(features, n_splits, seed), float(densities), float(coverages)


def kid_of_halves(features: Features, n_splits: int = 20, seed: int = 0) -> Estimate:
    """KID of random halves of one set; the interval is over the splits."""
    halves = _halves(len(features), n_splits, seed)
    kids = np.array([kid(features[one], features[other], n_draws=2).value for one, other in halves])
    return _estimate(kids.mean(), kids)


def distances(one: Features, other: Features) -> Floats:
    """Euclidean distances (N, M) of all rows of one to all rows of the other."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0))


def nearest_distances(queries: Features, references: Features) -> Floats:
    """The distance (N,) of each query to the nearest reference, by the angle of features alone, 0..2."""
    return distances(_unit(queries), _unit(references)).min(1)


def confusion(
    truth: NDArray[np.uint8], parsed: NDArray[np.uint8], valid: NDArray[np.bool_], n_classes: int
) -> NDArray[np.int64]:
    """Valid pixels (K, K) by their true class (rows) and the class they were seen as (columns)."""
    pairs = truth[valid].astype(np.int64) * n_classes + parsed[valid]
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def class_ious(confusions: NDArray[np.int64]) -> Floats:
    """Intersection over union (..., K) of confusions (..., K, K); NaN for classes that are nowhere true."""
    both = np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64)
    true, seen = confusions.sum(-1), confusions.sum(-2)
    with np.errstate(invalid="ignore"):
        return np.where(true > 0, both / (true + seen - both), np.nan)


def label_fidelity(confusions: NDArray[np.int64], seed: int = 0, n_draws: int = N_DRAWS) -> Estimate:
    """The mean IoU over classes of what a parser saw in N pictures, confusions (N, K, K) added up."""
    weights = _bootstrap_weights(np.random.default_rng(seed), len(confusions), n_draws)
    draws = class_ious(np.einsum("bn,nij->bij", weights.astype(np.int64), confusions, optimize=True))
    return _estimate(float(np.nanmean(class_ious(confusions.sum(0)))), np.nanmean(draws, axis=1))


def class_colors(
    pictures: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    n_classes: int,
) -> NDArray[np.float32]:
    """Mean colors (N, K, 3), 0..1, of pictures (N, H, W, 3) under class maps (N, H, W).

    NaN where a class has fewer than `MIN_CLASS_PX` valid pixels.
    """
    means = np.empty((len(pictures), n_classes, 3), np.float32)
    for i, (picture, class_map, mask) in enumerate(zip(pictures, classes, valid, strict=True)):
        seen = class_map[mask]
        means[i] = mean_colors(picture[mask], seen, n_classes)
        means[i, np.bincount(seen, minlength=n_classes) < MIN_CLASS_PX] = np.nan
    return means


def color_errors(asked: NDArray[np.float32], got: NDArray[np.float32]) -> Floats:
    """How far colors (..., 3) of 0..1 are from those asked: (...), mean over channels, levels of 255."""
    return (255 * np.abs(asked.astype(np.float64) - got)).mean(-1)


def texture(pictures: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    """How much neighboring pixels of pictures (N, H, W, 3) differ, levels, if both are in `where` (N, H, W).

    0 where no two are.
    """
    levels = pictures.astype(np.int16)
    down = np.abs(np.diff(levels, axis=1))[where[:, 1:] & where[:, :-1]]
    across = np.abs(np.diff(levels, axis=2))[where[:, :, 1:] & where[:, :, :-1]]
    found = np.concatenate([down, across])
    return float(found.mean()) if len(found) else 0.0


def mean_estimate(values: Floats, seed: int = 0, n_draws: int = N_DRAWS) -> Estimate:
    """The mean of one value per picture (N,); NaNs do not count."""
    values = values[~np.isnan(values)]
    weights = _bootstrap_weights(np.random.default_rng(seed), len(values), n_draws)
    return _estimate(float(values.mean()), weights @ values / len(values))


def _halves(n: int, n_splits: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n) for _ in range(n_splits)]
    return [(order[::2], order[1::2]) for order in orders]


def _kernel(one: Features, other: Features) -> Floats:
    """The cubic kernel (N, M) of pictures, or its mean over their crops."""
    crops, others = (x.reshape(len(x), -1, x.shape[-1]).astype(np.float64) for x in (one, other))
    kernel = (np.einsum("ncd,mkd->nmck", crops, others, optimize=True) / one.shape[-1] + 1) ** 3
    mean: Floats = kernel.mean((2, 3))
    return mean


def _mean_off_diagonal(kernel: Floats, weights: Floats) -> Floats:
    """The mean of the kernel over pairs of different pictures, for each draw's weights (B, N).

    A picture drawn twice makes no pair with itself: it would look like a near neighbour and bias every draw.
    """
    squares = np.square(weights)
    total = np.einsum("bi,ij,bj->b", weights, kernel, weights, optimize=True) - squares @ np.diagonal(kernel)
    mean: Floats = total / (weights.sum(1) ** 2 - squares.sum(1))
    return mean


def _bootstrap_weights(rng: np.random.Generator, n: int, n_draws: int) -> Floats:
    """How often each of n pictures is in each draw, (n_draws, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=n_draws).astype(np.float64)


def _estimate(value: float, draws: Floats) -> Estimate:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Estimate(float(value), float(low), float(high))


def _unit(features: Features) -> Features:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit: Features = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
