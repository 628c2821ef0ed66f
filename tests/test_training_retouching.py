"""What a generator learns from its own pictures: all that is put right, one after the other, and no more."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.networks.features import Lite0
from training.recipes import colored_classes
from training.retouching import lesson
from training.retouching.colored_maps import ColoredMap, ColoredMaps
from training.retouching.lesson import FEATURES_WEIGHT, LOOSE_WEIGHT, Lesson
from training.retouching.parts import Parts
from training.retouching.retouched import ANY_TEXTURE, Retouched

SIDE_PX, NATIVE_PX = 64, 32
PARTS = Parts.of(FACADES, NATIVE_PX, torch.device("cpu"))
WALL, WINDOW = PARTS.wall, FACADES.index_of("window")


class Painter(nn.Module):
    """Paints windows black and all else in one shade."""

    def __init__(self, shade: float) -> None:
        super().__init__()
        self.shade = shade

    def forward(
        self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor, drawn_as: Tensor | None = None
    ) -> Tensor:
        return torch.where(classes == WINDOW, -1.0, self.shade)[:, None].repeat(1, 3, 1, 1)


def lighter(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """With walls lighter by 0.2, which count twice."""
    is_wall = parts.is_wall(drawn)
    return Retouched.by_pixel(picture + 0.2 * is_wall, 1 + is_wall)


def striped(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """With stripes in the left half, in any place."""
    stripes = torch.tensor([0.3, -0.3]).repeat(picture.shape[3] // 2)
    where = torch.zeros_like(picture[:, :1])
    where[..., : picture.shape[3] // 2] = 1
    return Retouched.of_any_texture(picture + stripes * where, where)


def learnt(seed: int = 0, features: nn.Module | None = None) -> Lesson:
    """Of a map with a window in a wall, in four sets of colors; features are pixels."""
    classes = torch.full((SIDE_PX, SIDE_PX), WALL, dtype=torch.uint8)
    classes[:8] = 0
    classes[20:40, 8:24] = WINDOW
    maps = ColoredMaps([classes], torch.rand(4, len(FACADES.classes), 3), NATIVE_PX, seed)
    return Lesson(maps, maps, PARTS, features or Pixels())


class Pixels(nn.Module):
    """A picture's pixels, as the only scale."""

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [pictures]


def test_what_is_put_right_one_after_the_other_is_to_be_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "RETOUCHES", {"lighter": lighter, "striped": striped, "again": lighter})
    (drawn,) = learnt().maps.fixed(1, 2.0)
    wanted, weight, loose = learnt().to_learn(Painter(0.1), drawn)
    wall = PARTS.is_wall(drawn)[0, 0] > 0
    right = slice(SIDE_PX // 2, None)
    torch.testing.assert_close(wanted[0, 0, :, right][wall[:, right]], torch.tensor(0.5).expand(56 * 32))
    assert float(wanted[0, 0, 60, 0]) == pytest.approx(0.8)
    assert weight[0, 0, 60, right].unique().tolist() == [3]
    assert weight[0, 0, 60, 0] == pytest.approx(2 + ANY_TEXTURE)
    assert weight[0, 0, 0, 0] == pytest.approx(ANY_TEXTURE)
    assert loose[..., : SIDE_PX // 2].all() and not loose[..., right].any()


def test_a_generator_whose_pictures_are_as_they_should_be_has_learnt_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Lighter(Painter):
        def forward(
            self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor, drawn_as: Tensor | None = None
        ) -> Tensor:
            picture = super().forward(classes, colors, top, left)
            return picture + 0.2 * (classes == WALL)[:, None]

    monkeypatch.setattr(lesson, "RETOUCHES", {"lighter": lighter})
    for number in range(4):
        losses = [float(learnt().loss(pupil, Painter(0.1), number)) for pupil in (Lighter(0.1), Painter(0.1))]
        assert losses[0] == pytest.approx(0, abs=1e-6) and losses[1] > 0.1


def test_what_counts_more_counts_by_its_weight() -> None:
    wanted, made = torch.zeros(1, 3, SIDE_PX, SIDE_PX), torch.full((1, 3, SIDE_PX, SIDE_PX), 0.1)
    found = learnt(features=Silent())
    for weight in (1.0, 5.0):
        to_learn = Retouched.by_pixel(wanted, torch.full_like(wanted[:, :1], weight))
        assert float(found.off(made, to_learn, 0)) == pytest.approx(0.1 * weight)


class Silent(nn.Module):
    """The same of all pictures."""

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [torch.ones(1, 1, 1, 1)]


def test_mean_colors_of_classes_count_alike_whatever_their_size_and_texture() -> None:
    found, wanted = learnt(), torch.zeros(1, 3, SIDE_PX, SIDE_PX)
    classes = found.maps.classes[0][None]
    stripes = torch.tensor([0.3, -0.3]).repeat(SIDE_PX // 2).expand_as(wanted)
    assert float(found.colors_off(wanted + stripes, wanted, classes)) == pytest.approx(0, abs=1e-6)
    for each in (WALL, WINDOW):
        made = wanted + stripes + 0.1 * (classes == each)
        assert float(found.colors_off(made, wanted, classes)) == pytest.approx(0.05, rel=1e-3)
    sky = wanted + 0.1 * (classes == 0)
    assert float(found.colors_off(sky, wanted, classes)) == 0


def test_another_texture_of_the_same_kind_is_nearer_than_a_blur() -> None:
    found = learnt(features=Lite0())
    size = torch.arange(SIDE_PX)
    wanted = (0.4 * torch.sin(size * torch.pi / 3)).expand(1, 3, SIDE_PX, SIDE_PX)
    shifted, blur = wanted.roll(1, 3), torch.zeros_like(wanted)
    any_texture = Retouched.of_any_texture(wanted, torch.ones_like(wanted[:, :1]))
    assert float((shifted - wanted).abs().mean()) > 0.9 * float((blur - wanted).abs().mean())
    assert found.off(shifted, any_texture, 0) < 0.8 * found.off(blur, any_texture, 0)


def test_where_any_texture_would_do_features_count_more_than_in_all_of_the_picture() -> None:
    wanted, loose = torch.ones(1, 3, SIDE_PX, SIDE_PX), torch.zeros(1, 1, SIDE_PX, SIDE_PX)
    loose[..., :8, :8] = 1
    within, elsewhere = wanted.clone(), wanted.clone()
    within[..., :8, :8] += 0.1
    elsewhere[..., -8:, -8:] += 0.1
    found, to_learn = learnt(), Retouched(wanted, 0 * loose, loose)
    share = 64 / SIDE_PX**2
    for made, times in ((within, LOOSE_WEIGHT + share), (elsewhere, share)):
        assert float(found.off(made, to_learn, 0)) == pytest.approx(0.1 * times * FEATURES_WEIGHT, rel=1e-3)


def test_of_large_pictures_features_are_of_a_place_that_follows_from_the_number() -> None:
    seen: list[Tensor] = []

    class Watched(Pixels):
        def forward(self, pictures: Tensor) -> list[Tensor]:
            seen.append(pictures)
            return super().forward(pictures)

    found = learnt(features=Watched())
    large = torch.rand(1, 3, 3 * SIDE_PX, SIDE_PX)
    for number in (0, 1, 0):
        found.off(large, Retouched.as_is(large), number)
    first, _, other, _, again, _ = seen
    assert first.shape == (1, 3, 2 * NATIVE_PX, SIDE_PX)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_maps_follow_from_the_number_and_the_seed() -> None:
    found, other = learnt(), learnt(seed=1)
    other = replace(other, maps=replace(other.maps, color_sets=found.maps.color_sets))
    for number in range(8):
        drawn, again = found.draw(number), found.draw(number)
        assert all(torch.equal(x, y) for x, y in zip(drawn[:4], again[:4], strict=True))
    pairs = [(found.draw(number), other.draw(number)) for number in range(8)]
    assert any(not torch.equal(one.colors, another.colors) for one, another in pairs)
    blank = [not (found.draw(number).classes == WINDOW).any() for number in range(40)]
    strange = [
        not (found.draw(number).colors == found.maps.color_sets).all((1, 2)).any() for number in range(40)
    ]
    assert 0 < sum(blank) < 30 and 10 < sum(strange) < 38


def test_what_is_left_to_be_put_right_is_told_in_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "RETOUCHES", {"lighter": lighter, "nothing": keep})
    seen: list[tuple[int, int]] = []
    left = learnt().left(Painter(0.1), lambda *progress: seen.append(progress))
    walls = float((learnt().maps.classes[0] == WALL).float().mean())
    assert left == {"lighter": pytest.approx(0.2 * 127.5 * walls, rel=1e-3), "nothing": 0}
    assert seen == [(1, 1)]


def keep(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    return Retouched.as_is(picture)


def test_straight_lines_are_those_of_walls_and_what_is_built_onto_them() -> None:
    names = tuple(name.upper() for name in FACADES.classes)
    parts = Parts.of(replace(FACADES, classes=names), NATIVE_PX, torch.device("cpu"))
    straight = {name for name, yes in zip(names, parts.straight, strict=True) if yes}
    assert straight == {"FACADE", "CORNICE", "PILLAR", "SILL", "BALCONY", "MOLDING"}
    assert torch.equal(PARTS.colored, colored_classes(FACADES)[:, 0])
