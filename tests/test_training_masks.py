"""Masks: what is blurred stays within them, and they grow and shrink by whole pixels."""

import pytest
import torch

from training.masks import grown, reduced, shrunk, softened
from training.networks.filters import blurred, gaussian, median, narrowed, widened


def square(side_px: int, start: int, end: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, side_px, side_px)
    mask[..., start:end, start:end] = 1
    return mask


def test_what_is_beside_a_mask_does_not_color_what_it_has() -> None:
    mask = square(32, 8, 24)
    pictures = torch.where(mask > 0, 0.25, 1.0).expand(1, 3, 32, 32)
    inside = blurred(pictures, mask, 3)[..., 8:24, 8:24]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.25))


def test_a_point_is_blurred_to_its_standard_deviation() -> None:
    point = square(65, 32, 33)
    spread = gaussian(point, 4)[0, 0]
    offsets = torch.arange(65.0) - 32
    assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
    for along in (spread.sum(0), spread.sum(1)):
        assert float((along * offsets.square()).sum().sqrt()) == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize("by_px", [1, 5])
def test_masks_grow_and_shrink_by_whole_pixels_on_every_side(by_px: int) -> None:
    mask = square(40, 15, 28)
    assert torch.equal(grown(mask, by_px), square(40, 15 - by_px, 28 + by_px))
    assert torch.equal(shrunk(mask, by_px), square(40, 15 + by_px, 28 - by_px))


@pytest.mark.parametrize("by_px", [1, 5])
def test_masks_are_widened_and_narrowed_sideways_alone(by_px: int) -> None:
    mask, columns = square(40, 15, 28), torch.zeros(2, 1, 1, 40)
    columns[0, ..., 15 - by_px : 28 + by_px] = columns[1, ..., 15 + by_px : 28 - by_px] = 1
    rows = mask.amax(3, keepdim=True)
    assert torch.equal(widened(mask, by_px), rows * columns[:1])
    assert torch.equal(narrowed(mask, by_px), rows * columns[1:])


def test_a_mask_that_reaches_the_edge_stays_there() -> None:
    assert torch.equal(narrowed(torch.ones(1, 1, 16, 16), 3), torch.ones(1, 1, 16, 16))
    assert torch.equal(shrunk(torch.ones(1, 1, 16, 16), 3), torch.ones(1, 1, 16, 16))


def test_a_soft_mask_is_the_mean_of_what_is_near_by_within_the_picture() -> None:
    mask = square(16, 0, 6)
    soft = softened(mask, 2)
    assert soft[0, 0, 0, 0] == 1 and soft[0, 0, 10, 10] == 0
    assert float(soft[0, 0, 2, 5]) == pytest.approx(3 / 5)
    assert float(soft[0, 0, 5, 5]) == pytest.approx((3 / 5) ** 2)
    torch.testing.assert_close(soft, soft.mT)


def test_a_median_is_of_what_a_mask_has_of_each_picture() -> None:
    pictures = torch.stack([torch.arange(9.0), 10 * torch.arange(9.0)]).view(2, 1, 3, 3)
    masks = torch.zeros(2, 1, 3, 3)
    masks[:, :, 0] = 1  # 0, 1 and 2
    assert median(pictures, masks).flatten().tolist() == [1, 10]
    masks[1] = 0
    assert median(pictures, masks).flatten().tolist() == [1, 0]


def test_what_is_reduced_is_a_mean_or_what_most_is() -> None:
    pictures = torch.arange(20.0).view(1, 1, 4, 5)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    picture, small = reduced(2, pictures, mask[None, None].float())
    assert picture.shape == small.shape == (1, 1, 2, 2)
    assert small.flatten().tolist() == [1, 0, 0, 0]
    assert torch.equal(reduced(1, pictures)[0], pictures)
