from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tiny import CARD

from facadegen.errors import FacadegenError, UsageError
from facadegen.labels import render
from facadegen.palettes import FACADES, Color
from facadegen.style import Style, complete_colors, mean_colors, resolve_style
from facadegen.weights import Card

Colors = npt.NDArray[np.float32]
FACADE, WINDOW, DOOR = (FACADES.index_of(name) for name in ("facade", "window", "door"))
BRICK: Color = (181, 83, 60)


def random_sets(count: int = 20) -> Colors:
    return np.random.default_rng(0).random((count, 12, 3), np.float32)


@dataclass
class Source:
    """As much of a generator as a style needs; every class of a photo has the photo's mean color."""

    card: Card = CARD
    color_sets: Colors = field(default_factory=random_sets)
    photos: list[npt.NDArray[np.uint8]] = field(default_factory=list)

    def estimate_colors(self, photo: npt.NDArray[np.uint8]) -> Colors:
        self.photos.append(photo)
        return np.tile(photo.mean(axis=(0, 1)) / 255, (12, 1)).astype(np.float32)


def a_map(seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 12, (10, 14), dtype=np.uint8)


def house() -> npt.NDArray[np.uint8]:
    """A facade (64, 64) with a window."""
    classes = np.full((64, 64), FACADE, np.uint8)
    classes[16:40, 20:44] = WINDOW
    return classes


def house_photo(wall: Color = BRICK, glass: Color = (30, 40, 50)) -> npt.NDArray[np.uint8]:
    return np.where((house() == WINDOW)[..., None], glass, wall).astype(np.uint8)


def save(path: Path, pixels: npt.NDArray[np.uint8]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def save_pair(path: Path, photo: npt.NDArray[np.uint8]) -> Path:
    return save(path, np.hstack([photo, render(house(), FACADES.palettes[0])]))


def photo_of_a_street() -> npt.NDArray[np.uint8]:
    ramp = np.linspace(90, 200, 80 * 60).reshape(80, 60, 1)
    return (ramp * (1, 0.8, 0.7)).astype(np.uint8)


# without a wish


def test_a_map_has_its_own_colors_again_and_again() -> None:
    chooser = resolve_style(Style(), Source())
    assert np.array_equal(chooser.choose(a_map()), chooser.choose(a_map()))
    assert np.array_equal(chooser.choose(a_map()), resolve_style(Style(), Source()).choose(a_map()))


def test_maps_of_a_folder_are_varied() -> None:
    chooser = resolve_style(Style(), Source())
    assert len({chooser.choose(a_map(seed)).tobytes() for seed in range(40)}) > 10


def test_colors_come_from_a_real_facade() -> None:
    source = Source()
    chosen = resolve_style(Style(), source).choose(a_map())
    assert any(np.array_equal(chosen, color_set) for color_set in source.color_sets)


# variants


def test_the_first_variant_is_the_one_made_without_variants() -> None:
    alone = resolve_style(Style(), Source()).choose(a_map())
    assert np.array_equal(resolve_style(Style(), Source(), variants=5).choose_variants(a_map(), 5)[0], alone)


def test_variants_are_clearly_different_buildings() -> None:
    source = Source(color_sets=np.repeat(random_sets(4), 5, axis=0))  # four kinds of building, five of each
    chooser = resolve_style(Style(), source, variants=4)
    variants = chooser.choose_variants(a_map(), 4)
    assert len({variant.tobytes() for variant in variants}) == 4


def test_variants_differ_in_what_the_map_shows() -> None:
    color_sets = np.repeat(random_sets(1), 10, axis=0)
    color_sets[:, DOOR, 0] = np.linspace(0, 1, 10)  # doors differ most, but the map has none
    color_sets[:5, FACADE, 0] += 0.1
    chooser = resolve_style(Style(), Source(color_sets=color_sets), variants=2)
    first, second = chooser.choose_variants(house(), 2)
    assert first[FACADE, 0] != second[FACADE, 0]


def test_variants_do_not_repeat_even_where_all_that_differs_is_set_by_hand() -> None:
    source = Source()
    style = Style(colors=(("facade", BRICK), ("window", BRICK)))
    chooser = resolve_style(style, source, variants=20)
    assert len({colors.tobytes() for colors in chooser.choose_variants(house(), 20)}) == 20


def test_there_are_as_many_variants_as_color_sets() -> None:
    resolve_style(Style(), Source(), variants=20)
    with pytest.raises(UsageError, match="can make 1 to 20 variants, not 21"):
        resolve_style(Style(), Source(), variants=21)


# --seed


def test_a_seed_is_one_color_set_for_all_maps() -> None:
    source = Source()
    chooser = resolve_style(Style(seed=3), source, variants=2)
    assert np.array_equal(chooser.choose_variants(a_map(1), 2), chooser.choose_variants(a_map(2), 2))
    assert np.array_equal(chooser.choose(a_map()), source.color_sets[3])


def test_seeds_differ_and_any_number_is_one() -> None:
    chosen = [resolve_style(Style(seed=seed), Source()).choose(a_map()) for seed in (*range(20), -1, 10**30)]
    assert len({colors.tobytes() for colors in chosen[:20]}) == 20


# --color


@pytest.mark.parametrize("style", [Style(), Style(seed=1)])
def test_a_color_by_hand_is_obeyed_in_all_variants_and_changes_nothing_else(style: Style) -> None:
    by_hand = replace(style, colors=(("Facade", BRICK), ("door", (0, 255, 0))))
    for colors in resolve_style(by_hand, Source(), variants=3).choose_variants(a_map(), 3):
        np.testing.assert_allclose(colors[FACADE], np.array(BRICK) / 255, rtol=1e-6)
        assert colors[DOOR].tolist() == [0, 1, 0]
    with_it = resolve_style(by_hand, Source()).choose(a_map())
    without = resolve_style(style, Source()).choose(a_map())
    assert np.flatnonzero((with_it != without).any(axis=1)).tolist() == [FACADE, DOOR]


@pytest.mark.parametrize(
    ("colors", "problem"),
    [
        ((("fasade", BRICK),), "no class 'fasade', did you mean 'facade'"),
        ((("facade", BRICK), ("Facade", BRICK)), "'Facade' is given two colors"),
        ((("background", BRICK),), "'background' takes no color"),
        ((("facade", (256, 0, 0)),), "not three whole numbers 0..255"),
        ((("facade", (1, 2)),), "not three whole numbers 0..255"),
        ((("facade", (0.7, 0.3, 0.2)),), "not three whole numbers 0..255"),
    ],
)
def test_colors_that_cannot_be(colors: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        resolve_style(Style(colors=colors), Source())


def test_colors_may_be_numbers_of_numpy() -> None:
    of_numpy, plain = (
        resolve_style(Style(colors=(("facade", color),)), Source()).choose(a_map())
        for color in (tuple(np.array(BRICK, np.uint8)), BRICK)
    )
    assert np.array_equal(of_numpy, plain)


# --style


def test_a_pair_gives_the_mean_colors_under_its_label_map(tmp_path: Path) -> None:
    source = Source()
    pair = save_pair(tmp_path / "pair.png", house_photo())
    colors = resolve_style(Style(reference=pair), source).choose(a_map())
    np.testing.assert_allclose(colors[FACADE], np.array(BRICK) / 255, atol=0.01)
    np.testing.assert_allclose(colors[WINDOW], np.array((30, 40, 50)) / 255, atol=0.01)
    assert source.photos == []


def test_what_is_behind_the_building_of_a_pair_comes_from_the_building_most_like_it(tmp_path: Path) -> None:
    source = Source()
    source.color_sets[7, [FACADE, WINDOW]] = np.array([BRICK, (30, 40, 50)]) / 255
    classes = house()
    classes[:12] = 0
    photo = house_photo()
    photo[:12] = 0  # a corner that rectification left black
    pair = save(tmp_path / "pair.png", np.hstack([photo, render(classes, FACADES.palettes[0])]))
    colors = resolve_style(Style(reference=pair), source).choose(a_map())
    assert np.array_equal(colors[0], source.color_sets[7, 0])


def test_classes_a_pair_lacks_come_from_the_building_most_like_it(tmp_path: Path) -> None:
    source = Source()
    source.color_sets[7, [FACADE, WINDOW]] = np.array([BRICK, (30, 40, 50)]) / 255
    pair = save_pair(tmp_path / "pair.png", house_photo())
    colors = resolve_style(Style(reference=pair), source).choose(a_map())
    assert np.array_equal(colors[DOOR], source.color_sets[7, DOOR])


def test_the_generator_finds_the_colors_of_a_photo_once_for_all_maps(tmp_path: Path) -> None:
    source = Source()
    photo = save(tmp_path / "photo.png", photo_of_a_street())
    chooser = resolve_style(Style(reference=photo), source)
    assert np.array_equal(chooser.choose(a_map(1)), chooser.choose(a_map(2)))
    np.testing.assert_allclose(chooser.choose(a_map())[DOOR], photo_of_a_street().mean((0, 1)) / 255, 1e-5)
    assert len(source.photos) == 1


def test_a_huge_photo_is_made_smaller_first(tmp_path: Path) -> None:
    source = Source()
    photo = save(tmp_path / "photo.png", photo_of_a_street().repeat(25, axis=0).repeat(50, axis=1))
    resolve_style(Style(reference=photo), source)
    height, width, _ = source.photos[0].shape
    assert 0.98 * 2**20 < height * width < 1.02 * 2**20


def test_a_wide_photo_keeps_its_height(tmp_path: Path) -> None:
    source = Source()
    photo = save(tmp_path / "photo.png", np.resize(photo_of_a_street(), (150, 5000, 3)))
    resolve_style(Style(reference=photo), source)
    assert source.photos[0].shape == (150, 5000, 3)


def test_a_color_by_hand_comes_before_the_style(tmp_path: Path) -> None:
    photo = save(tmp_path / "photo.png", photo_of_a_street())
    style = Style(reference=photo, colors=(("door", (0, 255, 0)),))
    assert resolve_style(style, Source()).choose(a_map())[DOOR].tolist() == [0, 1, 0]


def test_a_label_map_alone_is_no_style(tmp_path: Path) -> None:
    path = save(tmp_path / "labels.png", render(house(), FACADES.palettes[0]))
    assert_no_style(path, "label map alone; colors need a photo")


def test_a_text_file_is_no_style(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("brick, I think")
    assert_no_style(path, "no picture")


def test_a_missing_file_is_no_style(tmp_path: Path) -> None:
    assert_no_style(tmp_path / "none.jpg", "No such file")


def assert_no_style(path: Path, problem: str) -> None:
    with pytest.raises(FacadegenError) as caught:
        resolve_style(Style(reference=path), Source())
    assert isinstance(caught.value, UsageError)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_choices_that_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of the two"):
        Style(reference=tmp_path / "photo.png", seed=1)
    with pytest.raises(UsageError, match="one of the two"):
        resolve_style(Style(reference=tmp_path / "photo.png"), Source(), variants=2)


@pytest.mark.parametrize("style", [Style(seed=1), Style(colors=(("door", BRICK),)), Style(Path("photo.png"))])
def test_weights_without_style_refuse_one(style: Style) -> None:
    plain = Source(card=replace(CARD, style="none"))
    with pytest.raises(UsageError, match="these weights take no colors"):
        resolve_style(style, plain)
    with pytest.raises(UsageError, match="these weights take no colors"):
        resolve_style(Style(), plain, variants=2)
    assert resolve_style(Style(), plain).choose(a_map()).shape == (12, 3)


# measuring, which training uses as well


def test_mean_colors() -> None:
    classes = np.array([[0, 0, 2]], np.uint8)
    photo = np.array([[[255, 0, 0], [0, 0, 51], [51, 51, 51]]], np.uint8)
    colors = mean_colors(photo, classes, 3)
    assert colors.dtype == np.float32
    np.testing.assert_allclose(colors, [[0.5, 0, 0.1], [np.nan] * 3, [0.2] * 3], rtol=1e-6)


def test_complete_colors_takes_each_class_from_the_nearest_set_that_has_it() -> None:
    nan = np.full(3, np.nan)
    near, far = np.full(3, 0.4), np.full(3, 0.9)
    sets = np.array([[far, far, far], [near, near, nan]], np.float32)
    partial = np.array([np.full(3, 0.5), nan, nan], np.float32)
    completed = complete_colors(partial, sets)
    np.testing.assert_allclose(completed, [np.full(3, 0.5), near, far], rtol=1e-6)
    assert np.isnan(partial[1]).all()  # what was given stays as it is


def test_complete_colors_of_nothing_known() -> None:
    nothing = np.full((2, 3), np.nan, np.float32)
    sets = np.array([[[0.1] * 3, [np.nan] * 3]], np.float32)
    np.testing.assert_allclose(complete_colors(nothing, sets), [[0.1] * 3, [0.5] * 3], rtol=1e-6)
