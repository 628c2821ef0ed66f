"""Repainting: single classes get new mean colors and keep their texture; the background keeps its color."""

import pytest
import torch

from facadegen.palettes import FACADES
from training.losses import mean_class_colors
from training.recipes import colored_classes
from training.repaint import LEAST_EXPOSURE, Repaint

COLORED = colored_classes(FACADES)
BACKGROUND = FACADES.index_of("background")
FACADE = FACADES.index_of("facade")
K = len(FACADES.classes)


def grainy_photo() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A photo (3, 64, 64), a half of it facade and the other background, and its mean colors (K, 3)."""
    torch.manual_seed(0)
    photo = 0.5 + 0.1 * torch.rand(1, 64, 64).expand(3, -1, -1)
    classes = torch.full((64, 64), BACKGROUND)
    classes[:, 32:] = FACADE
    return photo, classes, mean_class_colors(photo[None], classes[None], K)[0][0]


def facade_in(color: tuple[float, float, float], exposure: float = 1.0) -> Repaint:
    chosen = torch.zeros(K, 1, dtype=torch.bool)
    chosen[FACADE] = True
    return Repaint(chosen, torch.tensor(color).expand(K, 3), exposure)


@pytest.mark.parametrize("color", [(0.7, 0.3, 0.2), (0.1, 0.2, 0.4), (0.9, 0.9, 0.9)])
def test_a_repainted_class_has_the_new_color_and_its_texture(color: tuple[float, float, float]) -> None:
    photo, classes, means = grainy_photo()
    repainted = facade_in(color).of_photo(photo, classes, means)
    inside = repainted[:, :, 34:]
    assert inside.mean((1, 2)) == pytest.approx(torch.tensor(color), abs=0.01)
    assert torch.equal(repainted[:, :, :30], photo[:, :, :30]), "the background as it was"
    for channel in range(3):
        both = torch.stack([inside[channel].flatten(), photo[channel, :, 34:].flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.95
    assert inside.std((1, 2)).min() >= 0.35 * photo[:, :, 34:].std((1, 2)).max()


def test_places_without_a_class_keep_their_pixels() -> None:
    photo, classes, means = grainy_photo()
    classes[:, 40:] = K
    repainted = facade_in((0.1, 0.1, 0.1)).of_photo(photo, classes, means)
    assert torch.equal(repainted[:, :, 42:], photo[:, :, 42:])


def test_less_light_darkens_photo_and_colors_alike() -> None:
    photo, classes, means = grainy_photo()
    dark = Repaint(torch.zeros(K, 1, dtype=torch.bool), torch.zeros(K, 3), 0.5)
    assert torch.equal(dark.of_photo(photo, classes, means), photo * 0.5)
    assert torch.equal(dark.of_colors(means), means * 0.5)


def test_draws_are_as_many_as_asked_and_never_of_the_background() -> None:
    torch.manual_seed(0)
    draws = [Repaint.draw(COLORED, 0.5) for _ in range(400)]
    assert 0.4 < sum(bool(draw.chosen.any()) for draw in draws) / 400 < 0.6
    assert 0.2 < sum(draw.exposure < 1 for draw in draws) / 400 < 0.3
    assert not any(draw.chosen[BACKGROUND].item() for draw in draws)
    assert all(LEAST_EXPOSURE <= draw.exposure <= 1 for draw in draws)
    assert all(draw.colors.min() >= 0 and draw.colors.max() <= 1 for draw in draws)


def test_nothing_is_drawn_where_nothing_is_asked() -> None:
    photo, classes, means = grainy_photo()
    for _ in range(20):
        none = Repaint.draw(COLORED, 0.0)
        assert torch.equal(none.of_photo(photo, classes, means), photo)
        assert torch.equal(none.of_colors(means), means)


def test_new_colors_end_where_the_photo_has_an_edge_not_where_the_label_has() -> None:
    photo = torch.full((3, 256, 256), 0.3)
    photo[:, :, 126:] = 0.6
    classes = torch.full((256, 256), BACKGROUND)
    classes[:, 128:] = FACADE  # two pixels late
    means = mean_class_colors(photo[None], classes[None], K)[0][0]
    repainted = facade_in((0.7, 0.3, 0.2)).of_photo(photo, classes, means)
    steps = (repainted[:, 128, 1:] - repainted[:, 128, :-1]).abs().sum(0)
    assert steps.argmax() == 125 and steps[125] > 5 * steps[127]


def test_new_colors_fade_out_where_the_photo_has_no_edge() -> None:
    photo, classes = torch.full((3, 256, 256), 0.5), torch.full((256, 256), BACKGROUND)
    classes[:, 128:] = FACADE
    means = mean_class_colors(photo[None], classes[None], K)[0][0]
    red = facade_in((0.9, 0.5, 0.5)).of_photo(photo, classes, means)[0, 128]
    assert red[100] == 0.5 and red[160] == pytest.approx(0.9, abs=1e-3)
    assert 0 < (red[1:] - red[:-1]).max() < 0.1, "no outline that the photo does not have"
