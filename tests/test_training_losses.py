"""Losses: zero where they must be, and larger where something is wrong."""

import math

import pytest
import torch

from training import losses


def test_hinge_wants_the_margin_and_no_more() -> None:
    real, fake = torch.tensor([1.0, 5.0]), torch.tensor([-1.0, -9.0])
    assert losses.hinge_discriminator(real, fake) == 0
    assert losses.hinge_discriminator(fake, real) == pytest.approx(4 + 6)
    assert losses.hinge_generator(real) < losses.hinge_generator(fake)


def test_bce_is_lower_for_the_right_answer() -> None:
    sure = torch.full((4,), 6.0)
    assert losses.bce(sure, True) < 0.01 < 5 < losses.bce(sure, False)


def test_masked_l1_sees_nothing_behind_the_mask() -> None:
    pictures, photos = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    photos[..., 0] = 100.0
    photos[..., 3] = 0.5
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 0] = False
    assert losses.masked_l1(pictures, photos, mask) == pytest.approx(0.5 / 3)
    assert losses.masked_l1(pictures, photos, torch.zeros_like(mask)) == 0


def test_feature_l1_leaves_out_samples_of_no_weight() -> None:
    real = [torch.ones(2, 3, 4, 4), torch.full((2, 5, 2, 2), 10.0)]
    fake = [x.clone() for x in real]
    fake[0][1] = 7.0
    assert losses.feature_l1(fake, real, torch.tensor([1.0, 0.0])) == 0
    assert losses.feature_l1(fake, real, torch.tensor([0.0, 1.0])) == pytest.approx(6 / 2)


def test_feature_l1_does_not_push_the_real_features() -> None:
    real, fake = torch.ones(1, 2, 2, 2, requires_grad=True), torch.zeros(1, 2, 2, 2, requires_grad=True)
    losses.feature_l1([fake], [real], torch.ones(1)).backward()
    assert real.grad is None and fake.grad is not None


def test_class_weights_raise_rare_classes_up_to_the_cap() -> None:
    classes = torch.zeros(1, 10, 10, dtype=torch.uint8)
    classes[0, 0, 0] = 1
    weight = losses.class_weights(losses.one_hot(classes, 4), cap=8.0)
    # Uncapped, the class of one pixel would weigh 99 times the other one.
    assert weight[1] / weight[0] == pytest.approx(8 / (100 / 99 / 2))
    assert weight[2] == weight[3] == 0
    assert (weight[classes.long()]).mean() == pytest.approx(1.0)


def test_segmentation_counts_only_masked_pixels() -> None:
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 1] = 20.0
    classes = torch.tensor([[[1, 1], [0, 0]]])
    weight = torch.ones(2)
    top = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert losses.segmentation(logits, classes, weight, top) < 1e-6
    assert losses.segmentation(logits, classes, weight, 1 - top) > 19


def test_mean_class_colors_are_the_means_of_their_pixels() -> None:
    pictures = torch.zeros(1, 3, 2, 2)
    pictures[0, :, 0, 0], pictures[0, :, 0, 1] = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
    classes = torch.tensor([[[2, 2], [0, 3]]])  # 3 of 3 classes: left out
    means, counts = losses.mean_class_colors(pictures, classes, 3)
    assert counts[0, :, 0].tolist() == [1, 0, 2]
    assert means[0, 2].tolist() == [0.5, 0.5, 0]


def test_colors_are_off_by_the_distance_from_those_wanted() -> None:
    pictures, classes = torch.zeros(1, 3, 16, 16), torch.zeros(1, 16, 16, dtype=torch.uint8)
    wanted, colored = torch.full((1, 2, 3), 0.5), torch.ones(2, 1)
    classes[0, :6, :8] = 1  # as few pixels as count
    pictures[0, :, :6, :8] = 1
    assert losses.colors_off(pictures, classes, wanted, colored) == pytest.approx(0.5)
    pictures[0, :, :6, :8] = 0.5
    assert losses.colors_off(pictures, classes, wanted, colored) == pytest.approx(0.25)
    classes[0, 0, 0] = 0
    assert losses.colors_off(pictures, classes, wanted, colored) > 0.45, "one too small to tell is left out"
    assert losses.colors_off(pictures, classes, wanted, torch.zeros(2, 1)) == 0


def test_the_painted_difference_counts_classes_by_their_pixels() -> None:
    classes = torch.tensor([[[0, 1, 1, 2, 3]]])  # 3: not to be looked at
    true = torch.zeros(1, 3, 3)
    found = torch.tensor([[[0.9] * 3, [0.3] * 3, [0.6] * 3]])
    colored = torch.tensor([[0.0], [1.0], [1.0]])
    assert losses.painted_difference(found, true, classes, colored).item() == pytest.approx(0.4)


def test_a_checkerboard_alternates_more_than_the_photo_does_anywhere() -> None:
    photo = torch.rand(2, 3, 64, 64) * 0.2
    sign = torch.ones(64, 64)
    sign[::2] *= -1
    sign[:, ::2] *= -1
    board, stripes = photo + 0.2 * sign, photo + 0.2 * sign[:1]
    corner = photo.clone()
    corner[..., :20, :20] = board[..., :20, :20]
    valid = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    assert losses.checkerboard(photo, photo, valid) == 0
    assert losses.checkerboard(photo * 0.5, photo, valid) == 0  # smoother than the photo
    assert losses.checkerboard(stripes, photo, valid) < 0.01
    assert losses.checkerboard(board, photo, valid) > 0.1
    assert losses.checkerboard(corner, photo, valid) > 0.01
    assert losses.checkerboard(board, corner, valid) < 0.01  # where the photo has it does not matter


def test_checkerboards_count_where_the_photo_shows_nothing_too() -> None:
    photo = torch.zeros(1, 3, 64, 64)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    board = (0.2 * (1 - 2 * ((rows + columns) % 2))).expand(1, 3, 64, 64)
    shown = (columns < 32).expand(1, 1, 64, 64)
    assert losses.checkerboard(torch.where(shown, photo, board), photo, shown) > 0.05
    assert losses.checkerboard(board, torch.where(shown, photo, board), shown) > 0.1


def test_checkerboards_count_at_the_lower_and_right_borders_too() -> None:
    photo, valid = torch.zeros(1, 3, 64, 64), torch.ones(1, 1, 64, 64, dtype=torch.bool)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    board = 0.2 * (1 - 2 * ((rows + columns) % 2))
    for last in (rows >= 50, columns >= 50):
        assert losses.checkerboard((board * last).expand_as(photo), photo, valid) > 0.01


def test_what_is_cut_off_is_beyond() -> None:
    inside = torch.rand(1, 3, 8, 8) * 2 - 1
    assert losses.beyond(inside) == 0
    assert (
        losses.beyond(torch.full((1, 3, 8, 8), 1.25))
        == losses.beyond(torch.full((1, 3, 8, 8), -1.25))
        == 0.25
    )


def test_unrest_counts_far_from_the_building_alone() -> None:
    one_hot = torch.zeros(1, 2, 256, 256)
    one_hot[:, 0], one_hot[:, 1, 224:] = 1, 1
    one_hot[:, 0, 224:] = 0
    colored = torch.tensor([[0.0], [1.0]])
    calm = torch.zeros(1, 3, 256, 256)
    high, low = calm.clone(), calm.clone()
    high[:, :, 32:64:2], low[:, :, 192:224:2] = 0.5, 0.5
    assert losses.unrest(calm, one_hot, colored) == 0
    assert losses.unrest(high, one_hot, colored) > 0.05
    assert losses.unrest(low, one_hot, colored) == 0
    assert losses.unrest(high, one_hot.flip(1), colored) == 0
    across = high.transpose(2, 3)
    assert losses.unrest(across[..., 32:64].repeat(1, 1, 1, 8), one_hot, colored) > 0.05
    below = torch.arange(256).view(-1, 1)
    last_far_row = 224 - 64 - 1
    assert losses.unrest((below >= last_far_row).expand_as(calm), one_hot, colored) > 0
    assert losses.unrest((below > last_far_row).expand_as(calm), one_hot, colored) == 0


def test_stray_colors_are_those_of_larger_patches_than_photos_have_shadows() -> None:
    one_hot = torch.zeros(1, 2, 64, 64)
    one_hot[:, 1] = 1
    colors, colored = torch.tensor([[[0.0] * 3, [0.5] * 3]]), torch.tensor([[0.0], [1.0]])
    wall = torch.zeros(1, 3, 64, 64)
    rough = wall + 0.9 * (-1) ** torch.arange(64)
    with_tree = wall.clone()
    with_tree[..., 24:, 24:] = -0.9
    assert losses.stray_colors(wall, one_hot, colors, colored) == 0
    assert losses.stray_colors(rough, one_hot, colors, colored) == 0
    assert losses.stray_colors(with_tree, one_hot, colors, colored) > 0.05
    assert losses.stray_colors(with_tree, one_hot.flip(1), colors, colored) == 0  # a street may have trees


def test_clutter_is_what_is_further_from_a_class_s_color_than_its_photo_mostly_is() -> None:
    one_hot = torch.zeros(1, 2, 64, 64)
    one_hot[:, 1] = 1
    colors, colored = torch.tensor([[[0.0] * 3, [0.5] * 3]]), torch.tensor([[0.0], [1.0]])
    valid = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    wall = torch.zeros(1, 3, 64, 64)
    uneven = torch.where(torch.arange(64) < 32, 0.2, -0.2).expand(1, 3, 64, 64)
    with_lamp = wall.clone()
    with_lamp[..., 16:24, 16:24] = -0.9

    def clutter(picture: torch.Tensor, photo: torch.Tensor, shown: torch.Tensor = valid) -> float:
        return float(losses.clutter(picture, colors, photo, colors, one_hot, shown, colored))

    assert clutter(wall, uneven) == 0
    assert clutter(1.9 * uneven, uneven) == 0
    assert clutter(with_lamp, uneven) == pytest.approx((0.9 - 0.4) / 64, rel=1e-3)
    assert clutter(with_lamp, 5 * uneven) == 0  # usual in such a photo
    half = torch.arange(64) < 32
    with_wedge = torch.where(half, uneven, -1.0)
    assert clutter(with_lamp, with_wedge, valid & half) == clutter(with_lamp, uneven)
    assert clutter(with_lamp, with_wedge, valid & False) == 0  # nothing is known
    of_street = losses.clutter(with_lamp, colors, uneven, colors, one_hot.flip(1), valid, colored)
    assert of_street == 0


def test_clutter_lets_shades_of_a_color_pass_more_than_other_tints() -> None:
    one_hot = torch.ones(1, 1, 64, 64)
    brick, colored = torch.tensor([[[0.6, 0.3, 0.2]]]), torch.ones(1, 1)
    valid = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    wall = brick.view(1, 3, 1, 1).expand(1, 3, 64, 64)
    uneven = torch.where(torch.arange(64) < 32, 1.25, 0.75) * wall

    def clutter(picture: torch.Tensor) -> float:
        return float(losses.clutter(2 * picture - 1, brick, 2 * uneven - 1, brick, one_hot, valid, colored))

    shaded, tinted = wall.clone(), wall.clone()
    shaded[..., 16:24, 16:24] *= 1.4
    tinted[..., 16:24, 16:24] += torch.tensor([-0.1, 0.0, 0.1]).view(3, 1, 1)
    assert clutter(shaded) == 0
    # The photo has a single tint, so twice `least` is let pass; its shades let the difference itself pass.
    assert clutter(tinted) == pytest.approx((2 * 0.2 / 3 - 2 * 0.02) / 64, rel=1e-3)


def test_the_spectrum_is_off_where_detail_is_too_strong_or_too_weak() -> None:
    torch.manual_seed(0)
    photos = 4 * torch.randn(2, 3, 64, 64)  # so much that next to none of it is below a level
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    grid = 16 * torch.sin(rows * 1.5) * torch.sin(columns * 1.5)
    soft = torch.nn.functional.avg_pool2d(photos, 3, 1, 1)
    assert losses.spectrum(photos, photos) == 0
    assert losses.spectrum(photos.flip(0, 2, 3), photos) == pytest.approx(0, abs=1e-4)  # wherever it is
    assert losses.spectrum(photos + 1, photos) < 1e-3  # brightness is no detail
    assert losses.spectrum(2 * photos, photos) == pytest.approx(math.log(4), rel=1e-3)
    assert losses.spectrum(photos / 2, photos) == pytest.approx(math.log(4), rel=0.01)
    assert losses.spectrum(soft, photos) > 1
    assert losses.spectrum(soft + grid, photos) > 1  # a grid is no detail
    alternation = 16 - 32.0 * ((rows + columns) % 2)
    assert losses.spectrum(photos + alternation, photos) > 0.1  # nor is it in the very corner
    assert losses.spectrum(photos.mean(1, keepdim=True).expand_as(photos), photos) > 1  # grey
    other = torch.stack([2 * photos[0], photos[1] / 2])
    assert losses.spectrum(other, photos) == pytest.approx(0, abs=0.01)  # of the batch, not of each picture
    calm = torch.zeros_like(photos).requires_grad_()
    rounded = photos / photos.std() * 0.3 / 127.5
    assert losses.spectrum(calm, rounded) < 0.1  # how photos are rounded is no detail
    losses.spectrum(calm, photos).backward()
    assert calm.grad is not None and calm.grad.isfinite().all()


def test_a_lattice_is_what_pictures_repeat_and_their_own_photos_do_not() -> None:
    torch.manual_seed(0)
    photos = torch.randn(2, 3, 64, 96) / 4
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(96), indexing="ij")
    assert losses.lattice(photos, photos) == 0
    assert losses.lattice(photos.flip(2, 3) + 1, photos) < 1e-3  # whatever else is in it
    for period in (2, 4, 8, 16):
        bars = 0.2 * (rows % period < period // 2)
        assert losses.lattice(photos + bars, photos) > 0.05
        assert losses.lattice(photos + bars.roll(3, 0), photos) > 0.05  # wherever it begins
        assert losses.lattice(photos - bars, photos + bars) < 0.01  # as much as the photo
    one = photos.clone()
    one[1] += 0.2 * (columns % 8 < 4)
    assert losses.lattice(one.flip(0), one) > 0.02  # another's photo is no excuse
    flat = torch.zeros_like(photos).requires_grad_()
    losses.lattice(flat, flat.detach()).backward()
    assert flat.grad is not None and flat.grad.isfinite().all()
