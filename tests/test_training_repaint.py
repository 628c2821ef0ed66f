"""Repainting: single classes get new mean colors and keep their texture; the background keeps its color."""

import pytest
import torch
from torch.utils.data import default_collate

from facadegen.palettes import FACADES
from training.losses import mean_class_colors
from training.recipes import colored_classes
from training.repaint import LEAST_EXPOSURE, Repaint

COLORED = colored_classes(FACADES)
BACKGROUND = FACADES.index_of("background")
FACADE = FACADES.index_of("facade")
K = len(FACADES.classes)


def grainy_photo() -> tuple[torch.Tensor, torch.Tensor]:
    """A photo (3, 64, 64), a half of it facade and the other background, and its classes."""
    torch.manual_seed(0)
    photo = 0.5 + 0.1 * torch.rand(1, 64, 64).expand(3, -1, -1)
    classes = torch.full((64, 64), BACKGROUND)
    classes[:, 32:] = FACADE
    return photo, classes


def facade_in(color: tuple[float, float, float]) -> Repaint:
    chosen = torch.zeros(1, K, 1, dtype=torch.bool)
    chosen[:, FACADE] = True
    return Repaint(chosen, torch.tensor(color).expand(1, K, 3), torch.ones(1, 1))


def repainted(repaint: Repaint, photo: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return repaint.of_photos(photo[None], classes[None])[0]


@pytest.mark.parametrize("color", [(0.7, 0.3, 0.2), (0.1, 0.2, 0.4), (0.9, 0.9, 0.9)])
def test_a_repainted_class_has_the_new_color_and_its_texture(color: tuple[float, float, float]) -> None:
    photo, classes = grainy_photo()
    changed = repainted(facade_in(color), photo, classes)
    inside = changed[:, :, 34:]
    assert inside.mean((1, 2)) == pytest.approx(torch.tensor(color), abs=0.01)
    assert torch.equal(changed[:, :, :30], photo[:, :, :30]), "the background as it was"
    for channel in range(3):
        both = torch.stack([inside[channel].flatten(), photo[channel, :, 34:].flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.95
    assert inside.std((1, 2)).min() >= 0.35 * photo[:, :, 34:].std((1, 2)).max()


def test_places_without_a_class_keep_their_pixels() -> None:
    photo, classes = grainy_photo()
    classes[:, 40:] = K
    changed = repainted(facade_in((0.1, 0.1, 0.1)), photo, classes)
    assert torch.equal(changed[:, :, 42:], photo[:, :, 42:])


def test_less_light_darkens_photo_and_colors_alike() -> None:
    photo, classes = grainy_photo()
    means = mean_class_colors(photo[None], classes[None], K)[0]
    dark = Repaint(torch.zeros(1, K, 1, dtype=torch.bool), torch.zeros(1, K, 3), torch.full((1, 1), 0.5))
    assert torch.equal(repainted(dark, photo, classes), photo * 0.5)
    assert torch.equal(dark.of_colors(means), means * 0.5)


def draws_of(often: float, count: int) -> Repaint:
    torch.manual_seed(0)
    drawn: Repaint = default_collate([Repaint.draw(COLORED, often) for _ in range(count)])
    return drawn


def test_draws_are_as_many_as_asked_and_never_of_the_background() -> None:
    draws = draws_of(0.5, 400)
    repaints, darkens = draws.chosen.flatten(1).any(1), draws.exposure[:, 0] < 1
    assert 0.4 < repaints.float().mean() < 0.6
    assert 0.2 < darkens.float().mean() < 0.3
    assert draws.changed().tolist() == [i for i in range(400) if repaints[i] or darkens[i]]
    assert not draws.chosen[:, BACKGROUND].any()
    assert draws.exposure.min() >= LEAST_EXPOSURE and draws.exposure.max() <= 1
    assert draws.colors.min() >= 0 and draws.colors.max() <= 1


def test_nothing_is_drawn_where_nothing_is_asked() -> None:
    none = draws_of(0.0, 20)
    sets = torch.rand(20, K, 3)
    assert len(none.changed()) == 0 and torch.equal(none.of_colors(sets), sets)


def test_each_sample_is_repainted_as_if_it_were_alone() -> None:
    draws = draws_of(1.0, 3)
    photos, classes = torch.rand(3, 3, 64, 64), torch.randint(0, K + 1, (3, 64, 64))
    together = draws.of_photos(photos, classes)
    for i in range(3):
        alone = draws.select(torch.tensor([i])).of_photos(photos[i : i + 1], classes[i : i + 1])
        assert torch.allclose(together[i], alone[0], atol=1e-6)
        assert not torch.equal(together[i], photos[i])


def test_new_colors_end_where_the_photo_has_an_edge_not_where_the_label_has() -> None:
    photo = torch.full((3, 256, 256), 0.3)
    photo[:, :, 126:] = 0.6
    classes = torch.full((256, 256), BACKGROUND)
    classes[:, 128:] = FACADE  # two pixels late
    changed = repainted(facade_in((0.7, 0.3, 0.2)), photo, classes)
    steps = (changed[:, 128, 1:] - changed[:, 128, :-1]).abs().sum(0)
    assert steps.argmax() == 125 and steps[125] > 5 * steps[127]


def test_new_colors_fade_out_where_the_photo_has_no_edge() -> None:
    photo, classes = torch.full((3, 256, 256), 0.5), torch.full((256, 256), BACKGROUND)
    classes[:, 128:] = FACADE
    red = repainted(facade_in((0.9, 0.5, 0.5)), photo, classes)[0, 128]
    assert red[100] == 0.5 and red[160] == pytest.approx(0.9, abs=1e-3)
    assert 0 < (red[1:] - red[:-1]).max() < 0.1, "no outline that the photo does not have"
