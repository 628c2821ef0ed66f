"""The metrics on sets whose scores are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training import metrics


def cloud(n: int, seed: int, center: float = 0.0, dimensions: int = 16) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(center, 1, (n, dimensions)).astype(np.float32)


def test_kid_of_two_samples_of_one_distribution_is_about_zero() -> None:
    readings = [metrics.kid(cloud(60, seed), cloud(60, 100 + seed), n_draws=2).value for seed in range(20)]
    assert abs(np.mean(readings)) < 2 * np.std(readings) / np.sqrt(20)


def test_kid_grows_with_the_difference() -> None:
    real = cloud(60, 0)
    scores = [metrics.kid(real, cloud(60, 1, center), n_draws=2).value for center in (0.0, 0.5, 1.0, 2.0)]
    assert scores == sorted(scores)
    assert scores[-1] > 10 * abs(scores[0])


def test_kid_is_the_mean_over_different_pictures() -> None:
    real, fake = cloud(14, 0), cloud(12, 1)

    def mean(one: NDArray[np.float32], other: NDArray[np.float32], same: bool) -> float:
        pairs = [(i, j) for i in range(len(one)) for j in range(len(other)) if not (same and i == j)]
        return float(np.mean([(one[i] @ other[j] / 16 + 1) ** 3 for i, j in pairs]))

    expected = mean(real, real, True) + mean(fake, fake, True) - 2 * mean(real, fake, False)
    assert metrics.kid(real, fake).value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("paired", [False, True])
def test_kid_interval_covers_the_value_and_is_centered(paired: bool) -> None:
    found = metrics.kid(cloud(80, 0), cloud(80, 1, 0.5), paired=paired)
    assert found.low < found.value < found.high
    # Pictures drawn twice must not count as near neighbours: that would push every draw upwards.
    assert abs((found.low + found.high) / 2 - found.value) < (found.high - found.low) / 4


def test_kid_of_pairs_gains_nothing_from_pictures_that_resemble_their_own_photo() -> None:
    strangers = [metrics.kid(cloud(40, s), cloud(40, 50 + s), n_draws=2).value for s in range(30)]
    alike = []
    for seed in range(30):
        real = cloud(40, seed)
        # Of the same distribution as the real ones, each half its own photo.
        fake = (0.5**0.5 * (real + cloud(40, 50 + seed))).astype(np.float32)
        alike.append(metrics.kid(real, fake, paired=True, n_draws=2).value)
    spread = np.hypot(np.std(strangers), np.std(alike)) / np.sqrt(30)
    assert abs(np.mean(alike) - np.mean(strangers)) < 2.5 * spread


def test_kid_of_crops_compares_pictures_not_crops_of_one() -> None:
    rng = np.random.default_rng(0)
    readings = []
    for _ in range(30):
        # Crops of a picture are much more alike than those of two.
        real, fake = (
            (rng.normal(0, 1, (30, 1, 8)) + rng.normal(0, 0.1, (30, 4, 8))).astype(np.float32)
            for _ in range(2)
        )
        readings.append(metrics.kid(real, fake, n_draws=2).value)
    assert abs(np.mean(readings)) < 2 * np.std(readings) / np.sqrt(30)
    other = rng.normal(0.5, 1, (30, 4, 8)).astype(np.float32)
    assert metrics.kid(real, other).value > max(readings)
    once = metrics.kid(real[:, 0], fake[:, 0], paired=True)
    fourfold = metrics.kid(real[:, :1].repeat(4, 1), fake[:, :1].repeat(4, 1), paired=True)
    assert [fourfold.value, fourfold.low, fourfold.high] == pytest.approx([once.value, once.low, once.high])
    # Copies of the photos gain nothing from being copies.
    assert abs(metrics.kid(real, real, paired=True).value) < 3 * np.std(readings)


def test_kid_repeats_with_its_seed() -> None:
    one, other = cloud(20, 0), cloud(20, 1)
    assert metrics.kid(one, other, seed=3) == metrics.kid(one, other, seed=3)
    assert metrics.kid(one, other, seed=3) != metrics.kid(one, other, seed=4)


def test_density_and_coverage_of_the_same_set_are_one() -> None:
    points = cloud(50, 0)
    density, coverage = metrics.density_and_coverage(points, points)
    assert coverage == 1
    assert density == pytest.approx(1, abs=0.01)


def test_density_and_coverage_of_known_points() -> None:
    real = np.array([[0.0], [1.0], [2.0], [10.0]], np.float32)
    # With k = 1 the balls reach 1, 1, 1 and 8 far; the fake is in the balls around 0 and 1, and in none else.
    density, coverage = metrics.density_and_coverage(real, np.array([[0.5]], np.float32), k=1)
    assert (density, coverage) == (2.0, 0.5)


def test_far_fakes_have_neither_density_nor_coverage() -> None:
    assert metrics.density_and_coverage(cloud(30, 0), cloud(30, 1, 50)) == (0, 0)


def test_one_fake_repeated_covers_little() -> None:
    real = cloud(50, 0, dimensions=2)
    density, coverage = metrics.density_and_coverage(real, np.zeros((50, 2), np.float32))
    assert density > 0.5
    assert coverage < 0.5


def test_density_needs_more_pictures_than_neighbours() -> None:
    with pytest.raises(ValueError, match="more than 5"):
        metrics.density_and_coverage(cloud(5, 0), cloud(9, 1))


def test_halves_of_one_set_are_as_close_as_can_be() -> None:
    kid, density, coverage = metrics.split_in_half(cloud(100, 0))
    assert kid.low < 0 < kid.high
    assert 0.8 < density < 1.2
    assert coverage > 0.8


def test_nearest_distance_of_a_copy_is_zero_whatever_its_length() -> None:
    references = cloud(20, 0)
    near = metrics.nearest_distances(np.stack([3 * references[4], -references[4]]), references)
    assert near[0] == pytest.approx(0, abs=1e-3)
    assert near[1] > 0.5


TRUTH = np.array([[0, 0, 1, 1]], np.uint8)
EVERYWHERE = np.ones((1, 4), bool)


def test_confusion_counts_valid_pixels() -> None:
    parsed = np.array([[0, 1, 1, 2]], np.uint8)
    assert metrics.confusion(TRUTH, parsed, EVERYWHERE, 3).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    seen = np.array([[True, False, True, False]])
    assert metrics.confusion(TRUTH, parsed, seen, 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_ious_leave_out_classes_that_are_nowhere() -> None:
    parsed = np.array([[0, 1, 1, 2]], np.uint8)
    ious = metrics.class_ious(metrics.confusion(TRUTH, parsed, EVERYWHERE, 4))
    assert ious[:2].tolist() == [1 / 2, 1 / 3]
    assert np.isnan(ious[2:]).all()


def test_label_fidelity_is_one_for_a_perfect_parse_and_less_for_others() -> None:
    truth = np.random.default_rng(0).integers(0, 3, (10, 8, 8)).astype(np.uint8)
    valid = np.ones_like(truth, bool)

    def fidelity(parsed: NDArray[np.uint8]) -> metrics.Estimate:
        each = zip(truth, parsed, valid, strict=True)
        return metrics.label_fidelity(np.stack([metrics.confusion(*arrays, 3) for arrays in each]))

    assert fidelity(truth) == metrics.Estimate(1, 1, 1)
    half = np.where(np.arange(8) < 4, truth, 0).astype(np.uint8)
    found = fidelity(half)
    assert found.low < found.value < found.high < 1


def test_class_colors_leave_out_wedges_and_specks() -> None:
    picture = np.zeros((1, 16, 16, 3), np.uint8)
    picture[0, :8] = (255, 0, 51)
    classes = np.zeros((1, 16, 16), np.uint8)
    classes[0, :8] = 1
    classes[0, 0, 0] = 2
    valid = np.ones((1, 16, 16), bool)
    valid[0, 8:] = False
    colors = metrics.class_colors(picture, classes, valid, 4)
    assert colors[0, 1] == pytest.approx([1, 0, 0.2])
    assert np.isnan(colors[0, [0, 2, 3]]).all(), "class 0 is all wedge, class 2 a speck, class 3 absent"


def test_color_errors_are_levels_of_255() -> None:
    asked = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], np.float32)
    got = np.array([[0.0, 3 / 255, 6 / 255], [np.nan, np.nan, np.nan]], np.float32)
    errors = metrics.color_errors(asked, got)
    assert errors[0] == pytest.approx(3, rel=1e-5)
    assert np.isnan(errors[1])


def test_mean_estimate_leaves_out_nan() -> None:
    found = metrics.mean_estimate(np.array([1.0, np.nan, 3.0]))
    assert found.value == 2
    assert 1 <= found.low < found.high <= 3
