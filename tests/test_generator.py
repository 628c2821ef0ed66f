import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import ExifTags, Image
from tiny import CARD

from facadegen import device, generator, picture
from facadegen.encoding import Encoding, encode, provenance_line
from facadegen.errors import LabelMapError, UsageError
from facadegen.generator import Generator, load
from facadegen.labels import render
from facadegen.palettes import FACADES

Pixels = npt.NDArray[np.uint8]


def blocks(count: int, height: int, width: int, seed: int = 0) -> Pixels:
    """Label maps (count, height, width) of random rectangles."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 12, (count, height // 5 + 1, width // 5 + 1), dtype=np.uint8)
    return small.repeat(5, axis=1).repeat(5, axis=2)[:, :height, :width]


def levels_apart(one: Pixels, other: Pixels) -> Pixels:
    return np.abs(one.astype(np.int16) - other).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (23, 7), (64, 32), (100, 75)])
def test_any_size_keeps_its_size(tiny_generator: Generator, size: tuple[int, int]) -> None:
    pictures = tiny_generator.generate(blocks(2, *size), tiny_generator.color_sets[:2])
    assert pictures.shape == (2, *size, 3)
    assert pictures.dtype == np.uint8


def test_no_maps_make_no_pictures(tiny_generator: Generator) -> None:
    pictures = tiny_generator.generate(np.zeros((0, 16, 16), np.uint8), tiny_generator.color_sets[:0])
    assert pictures.shape == (0, 16, 16, 3)


def test_a_map_off_the_stride_goes_on_like_its_last_row_and_column(tiny_generator: Generator) -> None:
    classes = blocks(1, 21, 30)
    padded = np.pad(classes, ((0, 0), (0, 3), (0, 2)), mode="edge")
    colors = tiny_generator.color_sets[:1]
    made = tiny_generator.generate(classes, colors)
    np.testing.assert_array_equal(made, tiny_generator.generate(padded, colors)[:, :21, :30])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_picture_is_the_same_in_any_batch(tiny_weights: Path, precision: str) -> None:
    made_by = load(tiny_weights, "cpu", precision)
    classes, colors = blocks(8, 96, 72), made_by.color_sets[:8]
    singles = [made_by.generate(classes[i : i + 1], colors[i : i + 1])[0] for i in range(8)]
    np.testing.assert_array_equal(made_by.generate(classes, colors), singles)
    np.testing.assert_array_equal(made_by.generate(classes[::-1], colors[::-1]), singles[::-1])


@pytest.mark.parametrize("one_thread_px", [0, 1_000_000])
def test_a_thread_that_makes_pictures_itself_makes_the_same(
    tiny_weights: Path, one_thread_px: int, monkeypatch: pytest.MonkeyPatch, torch_threads: None
) -> None:
    monkeypatch.setattr(generator, "ONE_THREAD_PX", one_thread_px)
    device.limit_threads(3)
    made_by = load(tiny_weights, "cpu")
    classes, colors = blocks(5, 40, 64), made_by.color_sets[:5]

    def make() -> tuple[Pixels, int]:
        made_by.enter_thread()
        return made_by.generate(classes, colors), torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        results = [future.result() for future in [pool.submit(make), pool.submit(make)]]
    for pictures, threads in results:
        assert threads == 1
        np.testing.assert_array_equal(pictures, made_by.generate(classes, colors))
    assert torch.get_num_threads() == 3  # as it was for whatever else the program does


@pytest.mark.parametrize("one_thread_px", [0, 1_000_000])
def test_pictures_are_the_same_with_any_number_of_threads(
    tiny_weights: Path, one_thread_px: int, monkeypatch: pytest.MonkeyPatch, torch_threads: None
) -> None:
    monkeypatch.setattr(generator, "ONE_THREAD_PX", one_thread_px)
    made = []
    for threads in (1, 3):
        device.limit_threads(threads)
        made_by = load(tiny_weights, "cpu", "fp32")
        made.append(made_by.generate(blocks(5, 96, 72), made_by.color_sets[:5]))
        assert torch.get_num_threads() == threads  # as it was for whatever else the program does
    np.testing.assert_array_equal(made[0], made[1])


def test_lots_that_are_not_full_lose_and_mix_nothing(
    tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes, colors = blocks(5, 40, 40), tiny_generator.color_sets[:5]
    made = []
    for lot in (1, 2, 3):
        monkeypatch.setattr(Generator, "lot", lambda self, height, width, lot=lot: lot)
        made.append(tiny_generator.generate(classes, colors))
    assert all(levels_apart(other, made[0]).max() <= 1 for other in made[1:])


def test_what_tiles_are_cut_from_is_made_in_full_lots(
    tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = []

    def prepare(classes: Pixels, colors: npt.NDArray[np.float32]) -> tuple[Pixels, npt.NDArray[np.float32]]:
        prepared.append(classes)
        return classes, colors

    monkeypatch.setattr(Generator, "lot", lambda self, height, width: 3)
    monkeypatch.setattr(tiny_generator, "_prepare", prepare)
    classes = blocks(5, 160, 160)
    tiny_generator.generate(classes, tiny_generator.color_sets[:5], whole_picture_px=64 * 64)
    lots = sorted(prepared, key=lambda lot: not np.array_equal(lot[0], classes[0]))
    np.testing.assert_array_equal(np.concatenate(lots), classes[[0, 1, 2, 3, 4, 3]])


def test_label_maps_are_prepared_at_their_own_size(
    tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes, colors = blocks(2, 40, 75), tiny_generator.color_sets[:2]
    np.testing.assert_array_equal(tiny_generator.prepared_classes(classes, colors), classes)
    for empty in (classes[:, :0], classes[:, :, :0]):
        assert tiny_generator.prepared_classes(empty, colors).shape == empty.shape
    monkeypatch.setattr(tiny_generator, "_prepare", lambda padded, shown: (padded[:, ::-1, ::-1], shown))
    stride = tiny_generator.card.stride
    padded = np.pad(classes, ((0, 0), (0, -40 % stride), (0, -75 % stride)), mode="edge")
    np.testing.assert_array_equal(
        tiny_generator.prepared_classes(classes, colors), padded[:, ::-1, ::-1][:, :40, :75]
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("size", [(163, 150), (40, 300), (300, 33)])
def test_tiles_equal_the_whole(tiny_weights: Path, precision: str, size: tuple[int, int]) -> None:
    made_by = load(tiny_weights, "cpu", precision)
    classes, colors = blocks(2, *size), made_by.color_sets[:2]
    whole = made_by.generate(classes, colors)
    tiled = made_by.generate(classes, colors, whole_picture_px=64 * 64)
    apart = levels_apart(tiled, whole)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.001  # where another order of adding tips a rounding, nowhere else


def test_texture_depends_on_the_place_in_the_picture(tiny_generator: Generator) -> None:
    flat = np.ones((1, 64, 64), np.uint8)
    made = tiny_generator.generate(flat, tiny_generator.color_sets[:1])[0]
    assert levels_apart(made[8:24, 8:24], made[24:40, 24:40]).max() > 1


def test_a_class_gets_the_color_it_is_given(tiny_generator: Generator) -> None:
    classes = np.ones((1, 32, 32), np.uint8)
    colors = np.full((1, 12, 3), 0.5, np.float32)
    colors[0, 1] = (0.7, 0.3, 0.2)
    mean = tiny_generator.generate(classes, colors).mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(mean, (0.7, 0.3, 0.2), atol=0.1)


@pytest.mark.parametrize(
    ("classes", "colors", "problem"),
    [
        (np.zeros((1, 8, 8), np.int64), np.zeros((1, 12, 3), np.float32), "classes must be uint8"),
        (np.zeros((8, 8), np.uint8), np.zeros((1, 12, 3), np.float32), "classes must be uint8"),
        (np.zeros((2, 8, 8), np.uint8), np.zeros((1, 12, 3), np.float32), "colors must be float32"),
        (np.full((1, 8, 8), 12, np.uint8), np.zeros((1, 12, 3), np.float32), "must be below 12, found 12"),
    ],
)
def test_wrong_arrays_are_refused(
    tiny_generator: Generator, classes: Pixels, colors: npt.NDArray[np.float32], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        tiny_generator.generate(classes, colors)


def test_colors_of_a_photo(tiny_generator: Generator) -> None:
    photo = np.full((50, 40, 3), (255, 51, 0), np.uint8)
    colors = tiny_generator.estimate_colors(photo)
    assert colors.dtype == np.float32
    np.testing.assert_allclose(colors, np.tile([1, 0.2, 0], (12, 1)), atol=1e-3)


def test_a_photo_can_be_too_small(tiny_generator: Generator) -> None:
    with pytest.raises(UsageError, match="40 x 31 px"):
        tiny_generator.estimate_colors(np.zeros((31, 40, 3), np.uint8))


def test_what_load_gives(tiny_generator: Generator) -> None:
    assert tiny_generator.card == CARD
    assert tiny_generator.device == torch.device("cpu")
    assert tiny_generator.precision == "fp32"
    assert tiny_generator.color_sets.shape == (9, 12, 3)
    assert tiny_generator.color_sets.dtype == np.float32


def test_auto_is_bf16_only_on_a_cpu_made_for_it(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cpu_is_made_for_bf16", lambda: True)
    assert load(tiny_weights, "cpu").precision == "bf16"
    monkeypatch.setattr(device, "cpu_is_made_for_bf16", lambda: False)
    assert load(tiny_weights, "cpu").precision == "fp32"


def test_auto_is_fp32_where_bf16_pictures_differ(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cpu_is_made_for_bf16", lambda: True)
    monkeypatch.setattr(generator, "TOLERATED_LEVELS", -1.0)
    assert load(tiny_weights, "cpu").precision == "fp32"
    assert load(tiny_weights, "cpu", "bf16").precision == "bf16"  # asked for is asked for


def test_bf16_pictures_are_nearly_those_of_fp32(tiny_weights: Path, tiny_generator: Generator) -> None:
    classes, colors = blocks(1, 64, 64), tiny_generator.color_sets[:1]
    bf16 = load(tiny_weights, "cpu", "bf16").generate(classes, colors)
    assert levels_apart(bf16, tiny_generator.generate(classes, colors)).mean() < 1


def test_loading_and_running_warn_of_nothing(tiny_weights: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet = load(tiny_weights, "cpu", "bf16")
        quiet.generate(blocks(1, 16, 16), quiet.color_sets[:1])


# called directly


@pytest.fixture
def label_map(tmp_path: Path) -> Path:
    path = tmp_path / "labels.png"
    Image.fromarray(render(blocks(1, 45, 60)[0], FACADES.palettes[0])).save(path)
    return path


def test_called_with_a_path_or_an_open_picture(tiny_generator: Generator, label_map: Path) -> None:
    made = tiny_generator(label_map)
    assert isinstance(made, Image.Image)
    assert made.size == (60, 45)
    assert tiny_generator(str(label_map)) == made
    with Image.open(label_map) as picture:
        assert tiny_generator(picture) == made
        assert tiny_generator(picture.convert("CMYK").convert("RGB")) == made
        indices = Image.fromarray(blocks(1, 45, 60)[0] + 1)
    assert tiny_generator(indices) == made
    for kind in (np.int32, np.float32):
        assert tiny_generator(Image.fromarray(np.asarray(indices).astype(kind))) == made  # modes I and F
    assert tiny_generator(indices.convert("LA").convert("La")) == made


@pytest.mark.parametrize("kind", [np.int32, np.float32])
@pytest.mark.parametrize("values", [(-1, 11), (0, 300)])
def test_class_ids_out_of_range(values: tuple[int, int], kind: type, tiny_generator: Generator) -> None:
    wrong = Image.fromarray(np.tile(np.array(values, kind), (8, 8)))
    problem = rf"values of {values[0]} to {values[1]}; expected whole ones, 0 to 255"
    with pytest.raises(LabelMapError, match=problem):
        tiny_generator(wrong)


def test_class_ids_between_whole_ones(tiny_generator: Generator) -> None:
    with pytest.raises(LabelMapError, match=r"values of 0 to 2\.5; expected whole ones"):
        tiny_generator(Image.fromarray(np.tile(np.array([0, 2.5], np.float32), (8, 8))))


@pytest.mark.parametrize("thing", [np.zeros((8, 8), np.uint8), b"bytes", None])
def test_called_with_another_type(thing: Any, tiny_generator: Generator) -> None:
    with pytest.raises(TypeError, match=f"open PIL.Image.Image .*, not .*{type(thing).__name__}"):
        tiny_generator(thing)


def test_an_open_picture_is_treated_like_its_file(
    tiny_generator: Generator, label_map: Path, tmp_path: Path
) -> None:
    turned, broken = tmp_path / "turned.png", tmp_path / "broken.png"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a quarter turn
    with Image.open(label_map) as picture:
        picture.save(turned, exif=exif)
    with Image.open(turned) as picture:
        made = tiny_generator(picture)
    assert made.size == (45, 60) and made == tiny_generator(turned)
    Image.effect_noise((400, 400), 60).save(broken)
    broken.write_bytes(broken.read_bytes()[:50_000])
    with Image.open(broken) as picture, pytest.raises(LabelMapError, match="cut off"):
        tiny_generator(picture)


def test_called_with_wishes(tiny_generator: Generator, label_map: Path) -> None:
    plain = tiny_generator(label_map, seed=3)
    assert plain == tiny_generator(label_map, seed=3)
    assert plain != tiny_generator(label_map, seed=4)
    assert plain != tiny_generator(label_map, seed=3, variant=1)
    red = tiny_generator(label_map, seed=3, colors={"facade": "#ff0000"})
    assert red == tiny_generator(label_map, seed=3, colors={"facade": (255, 0, 0)})
    assert red == tiny_generator(label_map, seed=3, colors={"facade": "red"})
    walls = blocks(1, 45, 60)[0] == FACADES.index_of("facade")
    assert np.asarray(red)[walls].mean(axis=0)[0] > 200


def test_called_with_a_style_photo(tiny_generator: Generator, label_map: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 64), (200, 150, 100)).save(photo)
    made = tiny_generator(label_map, style=photo)
    np.testing.assert_allclose(np.asarray(made).mean(axis=(0, 1)), (200, 150, 100), atol=25)


def test_called_with_what_is_no_label_map(tiny_generator: Generator, tmp_path: Path) -> None:
    with pytest.raises(LabelMapError):
        tiny_generator(tmp_path / "none.png")
    with pytest.raises(LabelMapError):
        tiny_generator(Image.effect_noise((64, 64), 60))


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_called_with_a_picture_that_facadegen_made(
    form: str, tiny_generator: Generator, tmp_path: Path
) -> None:
    pair = tmp_path / f"pair.{form}"
    pair.write_bytes(encode(np.zeros((8, 16, 3), np.uint8), Encoding(form), provenance_line({})))
    with pytest.raises(LabelMapError, match=rf"pair\.{form}: is a picture that facadegen made"):
        tiny_generator(pair)
    with Image.open(pair) as opened, pytest.raises(LabelMapError, match=r"^is a picture that facadegen made"):
        tiny_generator(opened)


def test_called_with_more_than_memory_holds(
    tiny_generator: Generator, label_map: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(picture, "open_regular", lack)
    with pytest.raises(LabelMapError, match=r"labels\.png: needs more memory than there is"):
        tiny_generator(label_map)
