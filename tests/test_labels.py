"""Label maps people have: either palette, indices, pairs, every format; all decode to the same classes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pictures import GRAY, Array, beside, chunk, facade, file_of, painted, photo, png
from PIL import Image, ImageOps

from facadegen import labels as label_maps
from facadegen.errors import LabelMapError, UsageError
from facadegen.labels import decode, render
from facadegen.palettes import FACADES, LabelSet, Palette
from facadegen.picture import Picture

CLASSES = facade()
PALETTES = ["pix2pix", "cmp"]


def away_from_edges(classes: Array, px: int = 3) -> Array:
    """Where (H, W) a class map is of one class all around."""
    height, width = classes.shape
    padded = np.pad(classes, px, mode="edge")
    span = range(2 * px + 1)
    around = [padded[y : y + height, x : x + width] for y in span for x in span]
    return np.logical_and.reduce([shifted == classes for shifted in around])


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_pictures_without_loss_decode_exactly(palette: str, form: str, options: dict[str, object]) -> None:
    label_map = decode(file_of(painted(CLASSES, palette), form, **options))
    assert np.array_equal(label_map.classes, CLASSES)
    assert label_map.classes.dtype == np.uint8
    assert (label_map.kind, label_map.photo) == (palette, None)


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize(
    ("form", "quality"), [("JPEG", 50), ("JPEG", 75), ("JPEG", 95), ("WEBP", 50), ("WEBP", 90)]
)
def test_noise_of_lossy_formats_goes(palette: str, form: str, quality: int) -> None:
    label_map = decode(file_of(painted(CLASSES, palette), form, quality=quality))
    inside = away_from_edges(CLASSES)
    assert label_map.kind == palette
    assert (label_map.classes == CLASSES)[inside].mean() > 0.998
    assert (label_map.classes == CLASSES).mean() > 0.95


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (5, 7), (64, 33), (33, 64)])
@pytest.mark.parametrize("repeats", [1, 5])
def test_maps_of_any_shape_decode_exactly_however_many_rows_and_columns_are_equal(
    shape: tuple[int, int], repeats: int
) -> None:
    classes = np.random.default_rng(1).integers(0, 12, shape).astype(np.uint8)
    classes = classes.repeat(repeats, axis=0).repeat(repeats, axis=1)
    assert np.array_equal(decode(file_of(painted(classes, "pix2pix"))).classes, classes)


def test_each_of_many_equal_rows_counts() -> None:
    classes = np.tile(CLASSES[50], (300, 1))
    pixels = np.asarray(painted(classes, "pix2pix")).copy()
    pixels[50:54] = np.random.default_rng(0).integers(0, 256, (4, *pixels.shape[1:]))  # a scratch
    label_map = decode(file_of(Image.fromarray(pixels), "PNG"))
    assert label_map.kind == "pix2pix"
    assert (label_map.classes == classes)[:50].all() and (label_map.classes == classes)[54:].all()


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("scale", [0.5, 4])
def test_smooth_edges_grow_no_third_class(palette: str, scale: float) -> None:
    size = (round(CLASSES.shape[1] * scale), round(CLASSES.shape[0] * scale))
    smooth = painted(CLASSES, palette).resize(size, Image.Resampling.BICUBIC)
    expected = np.asarray(Image.fromarray(CLASSES).resize(size, Image.Resampling.NEAREST))
    classes = decode(file_of(smooth)).classes
    near = np.pad(expected, 2, mode="edge")
    around = [near[y : y + size[1], x : x + size[0]] for y in range(5) for x in range(5)]
    assert np.logical_or.reduce([classes == shifted for shifted in around]).all()


def test_a_blend_that_looks_like_a_third_class_takes_a_neighbor() -> None:
    classes = np.ones((32, 32), np.uint8)
    classes[:, 16:] = 3
    blended = np.asarray(painted(classes)).copy()
    blended[:, 15] = (0, 128, 255)  # halfway from facade to door lies the color of a window
    blended[:, 5] = (40, 60, 200)  # so that the picture does not count as drawn without blends
    assert set(np.unique(decode(file_of(Image.fromarray(blended))).classes)) == {1, 3}


def test_thin_lines_of_a_hard_drawing_stay() -> None:
    classes = np.ones((32, 32), np.uint8)
    classes[:, 16:] = 3
    classes[:, 15] = 2
    classes[7] = 5
    assert np.array_equal(decode(file_of(painted(classes))).classes, classes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Image.fromarray(CLASSES + 1),
        lambda: Image.fromarray(CLASSES),
        lambda: Image.merge("RGB", [Image.fromarray(CLASSES + 1)] * 3),
        lambda: Image.merge("LA", [Image.fromarray(CLASSES + 1), Image.new("L", CLASSES.shape[::-1], 255)]),
    ],
    ids=["1 to 12", "0 to 11", "gray RGB", "with alpha"],
)
def test_gray_index_maps(make: "type[Image.Image]") -> None:
    label_map = decode(file_of(make()))
    assert np.array_equal(label_map.classes, CLASSES)
    assert label_map.kind == "index"


@pytest.mark.parametrize("first", [0, 1])
def test_index_maps_with_a_color_table_of_other_colors(first: int) -> None:
    picture = Image.fromarray(CLASSES + np.uint8(first))
    picture.putpalette([value for index in range(13) for value in (200 - index, 13 * index, 90)])
    label_map = decode(file_of(picture))
    assert np.array_equal(label_map.classes, CLASSES)
    assert label_map.kind == "index"


def test_index_map_in_four_bits_of_gray() -> None:
    rows = [[0, 1, 2, 3, 11], [11, 10, 9, 8, 7]]
    packed = [bytes([row[0] << 4 | row[1], row[2] << 4 | row[3], row[4] << 4]) for row in rows]
    assert decode(png((5, 2), 4, GRAY, packed)).classes.tolist() == rows


@pytest.mark.parametrize(("bits", "nothing"), [(2, 3), (4, 15)])
def test_gray_of_few_bits_may_have_one_value_for_nothing(bits: int, nothing: int) -> None:
    rows = [[1, 2, nothing, 1], [2, 1, 1, nothing]]
    packed = [sum(value << bits * (3 - i) for i, value in enumerate(row)).to_bytes(bits // 2) for row in rows]
    label_map = decode(png((4, 2), bits, GRAY, packed, chunk(b"tRNS", bytes([0, nothing]))))
    assert label_map.classes.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_color_table_in_class_colors_outranks_its_indices(hidden: bool) -> None:
    classes = CLASSES[:60]  # without the last classes: the indices would do as well
    blended = np.asarray(painted(classes)).copy()
    blended[16, 10:20] = (0, 24, 238)  # a few pixels of a smooth edge
    indexed = Image.fromarray(blended).quantize(12, dither=Image.Dither.NONE)
    if hidden:
        indexed.info["transparency"] = indexed.getpixel((0, 0))  # the sky, which is background anyway
    assert np.asarray(indexed).max() < 12
    label_map = decode(file_of(indexed))
    assert (label_map.classes == classes)[:16].all()
    assert (label_map.classes == classes)[17:].all()
    assert label_map.kind == "pix2pix"


def test_the_cmp_database_form_reads_the_same_by_color_and_by_index() -> None:
    picture = Image.fromarray(CLASSES + 1)
    picture.putpalette([0, 0, 0, *(value for color in FACADES.palette("cmp").colors for value in color)])
    by_color, by_index = decode(file_of(picture)), decode(file_of(picture), kind="index")
    assert np.array_equal(by_color.classes, CLASSES)
    assert np.array_equal(by_index.classes, CLASSES)
    assert (by_color.kind, by_index.kind) == ("cmp", "index")


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("width", [96, 80])
def test_pairs_hold_the_label_map_on_either_side(form: str, side: str, width: int) -> None:
    classes = facade(96, width)
    halves = [painted(classes), photo(96, width)]
    pair = beside(*(halves if side == "left" else reversed(halves)))
    label_map = decode(file_of(pair, form))
    assert (label_map.classes == classes)[away_from_edges(classes)].all()
    assert label_map.photo is not None
    start = width if side == "left" else 0
    seen = np.asarray(Image.open(file_of(pair, form)).convert("RGB"))[:, start : start + width]
    assert np.array_equal(label_map.photo, seen)
    assert label_map.kind == "pix2pix"


def test_a_label_map_twice_as_wide_as_high_is_no_pair() -> None:
    classes = facade(64, 128)
    label_map = decode(file_of(painted(classes)))
    assert np.array_equal(label_map.classes, classes)
    assert label_map.photo is None


def test_transparent_pixels_are_background() -> None:
    alpha = np.full(CLASSES.shape, 255, np.uint8)
    alpha[40:60, 10:30] = 0
    alpha[60:70, 10:30] = 200
    expected = CLASSES.copy()
    expected[40:60, 10:30] = 0
    picture = painted(CLASSES)
    picture.putalpha(Image.fromarray(alpha))
    for form in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if form == "WEBP" else {}
        assert np.array_equal(decode(file_of(picture, form, **options)).classes, expected)
    numbered = Image.merge("LA", [Image.fromarray(CLASSES + 1), Image.fromarray(alpha)])
    assert np.array_equal(decode(file_of(numbered)).classes, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_pictures_are_turned_as_exif_says(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    stream = file_of(painted(CLASSES), form, exif=exif, quality=100, lossless=True, subsampling=0)
    upright = ImageOps.exif_transpose(Image.open(stream))
    assert upright.size == (CLASSES.shape if orientation > 4 else CLASSES.shape[::-1])
    repainted = render(decode(stream).classes, FACADES.palette("pix2pix"))
    assert np.abs(repainted.astype(int) - np.asarray(upright)).max() < 30


def test_a_palette_can_be_demanded() -> None:
    assert decode(file_of(painted(CLASSES, "cmp")), kind="cmp").kind == "cmp"
    with pytest.raises(LabelMapError, match=r"match no class color \(expected the colors of pix2pix\)"):
        decode(file_of(painted(CLASSES, "cmp")), kind="pix2pix")
    with pytest.raises(UsageError, match="label maps are auto, index, pix2pix, cmp, not 'jet'"):
        decode(file_of(painted(CLASSES)), kind="jet")


def test_other_label_sets_bring_their_own_colors() -> None:
    street = LabelSet(
        ("sky", "wall", "background"), (Palette("own", ((0, 0, 0), (9, 9, 9), (255, 255, 255))),)
    )
    classes = np.repeat(np.repeat(np.array([[0, 1], [2, 1]], np.uint8), 16, axis=0), 16, axis=1)
    picture = Image.fromarray(render(classes, street.palettes[0]))
    assert np.array_equal(decode(file_of(picture), street).classes, classes)
    picture.putalpha(Image.fromarray(np.where(classes == 1, 0, 255).astype(np.uint8)))
    assert (decode(file_of(picture), street).classes[classes == 1] == street.index_of("background")).all()


def test_files_and_streams_decode_alike_in_many_threads(tmp_path: Path) -> None:
    streams = [file_of(painted(facade(64, 64 + width)), "JPEG") for width in range(12)]
    paths = [tmp_path / f"{number}.jpg" for number in range(len(streams))]
    for path, stream in zip(paths, streams, strict=True):
        path.write_bytes(stream.getvalue())
    one_by_one = [decode(stream).classes for stream in streams]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda path: decode(path).classes, paths * 3))
    for number, classes in enumerate(together):
        assert np.array_equal(classes, one_by_one[number % len(streams)])


@pytest.mark.parametrize(("large_px", "at_a_time"), [(label_maps.LARGE_PX, 2), (100, 1)])
def test_large_pictures_are_read_one_at_a_time(
    large_px: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_maps, "LARGE_PX", large_px)
    read, both = label_maps.read_picture, threading.Barrier(2)
    inside: list[int] = []
    most: list[int] = []

    def watched(data: bytes, max_pixels: int) -> Picture:
        inside.append(1)
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.2 if at_a_time == 1 else 60)
        most.append(len(inside))
        inside.pop()
        return read(data, max_pixels)

    monkeypatch.setattr(label_maps, "read_picture", watched)
    data = file_of(painted(facade()), "PNG").getvalue()
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(label_maps.decode, [data, data]))) == 2
    assert max(most) == at_a_time


def test_memory_of_large_pictures_is_not_kept_by_the_thread_that_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, threads = label_maps.read_picture, set[threading.Thread]()

    def watched(data: bytes, max_pixels: int) -> Picture:
        threads.add(threading.current_thread())
        return read(data, max_pixels)

    monkeypatch.setattr(label_maps, "read_picture", watched)
    monkeypatch.setattr(label_maps, "LARGE_PX", 100)
    decode(file_of(painted(CLASSES), "PNG"))
    assert threads and not any(thread.is_alive() for thread in threads)
