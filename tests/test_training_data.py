"""Data: every layout is read, pairs stay aligned, samples depend on their number alone, faults are named."""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pairs import SIZE_PX, made_up_classes, made_up_photo
from PIL import Image
from scipy import ndimage

from facadegen import labels
from facadegen.errors import TrainingError
from facadegen.formats import LABEL_MAP_SUFFIXES
from facadegen.palettes import FACADES, LabelSet
from training import data
from training.batch import Batch
from training.recipes import colored_classes

COLORED = colored_classes(FACADES)


def save_halves(photos: Path, label_maps: Path, size_px: int = SIZE_PX) -> np.ndarray:
    """One pair as two files; its class map."""
    photos.mkdir(parents=True, exist_ok=True)
    label_maps.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    classes = made_up_classes(rng, size_px)
    Image.fromarray(made_up_photo(rng, classes)).save(photos / "a.jpg", quality=95)
    Image.fromarray(labels.render(classes, FACADES.palettes[1])).save(label_maps / "a.png")
    return classes


def striped_pair(size_px: int = 96) -> data.Pair:
    """A pair whose photo tells each pixel's class."""
    classes = torch.arange(size_px).div(8, rounding_mode="floor").remainder(12).expand(size_px, -1)
    classes = classes.to(torch.uint8).contiguous()
    photo = (classes * 20).expand(3, -1, -1).contiguous()
    return data.Pair("stripes", photo, classes, torch.ones_like(classes, dtype=torch.bool))


def samples_of(pairs: list[data.Pair], **changes: Any) -> data.Samples:
    augmentation = data.Augmentation(size_px=64, **changes)
    return data.Samples(pairs, data.color_sets(pairs, 12), COLORED, seed=5, augmentation=augmentation)


def test_reads_the_official_layout(pairs_folder: Path) -> None:
    pairs = data.read_pairs((pairs_folder,), "train", FACADES)
    assert [pair.name for pair in pairs] == ["1", "2", "3", "4", "5", "6"]
    assert pairs[0].photo.shape == (3, SIZE_PX, SIZE_PX)
    assert set(pairs[0].classes.unique().tolist()) == {0, 1, 2, 11}


def test_the_seam_between_the_halves_is_not_valid(pairs_folder: Path) -> None:
    pair = data.read_pairs((pairs_folder,), "val", FACADES)[0]
    assert not pair.valid[:, -1].any() and pair.valid[:, 8:-8].all()


@pytest.mark.parametrize("layout", ["beside", "folders", "split folders"])
def test_reads_two_files_a_pair(tmp_path: Path, layout: str) -> None:
    where = {
        "beside": (tmp_path / "train", tmp_path / "train"),
        "folders": (tmp_path / "photos", tmp_path / "labels"),
        "split folders": (tmp_path / "train" / "photos", tmp_path / "train" / "labels"),
    }
    classes = save_halves(*where[layout])
    (pair,) = data.read_pairs((tmp_path,), "train", FACADES)
    assert np.array_equal(pair.classes.numpy(), classes)


@pytest.mark.parametrize("ending", sorted(LABEL_MAP_SUFFIXES - {".jpg", ".jpeg", ".webp"}))
def test_label_maps_may_be_what_facadegen_reads(ending: str, tmp_path: Path) -> None:
    classes = save_halves(tmp_path / "photos", tmp_path / "labels")
    with Image.open(tmp_path / "labels" / "a.png") as label_map:
        label_map.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "labels" / f"a{ending}")
    if ending != ".png":
        (tmp_path / "labels" / "a.png").unlink()
    (pair,) = data.read_pairs((tmp_path,), "train", FACADES)
    assert np.array_equal(pair.classes.numpy(), classes)


def test_a_palette_file_brings_its_own_label_set(tmp_path: Path) -> None:
    (tmp_path / "palette.json").write_text(json.dumps({"wall": "#804020", "roof": "#ff0000"}))
    assert data.label_set_of((tmp_path,)).classes == ("wall", "roof")
    assert isinstance(data.label_set_of((tmp_path / "nowhere",)), LabelSet)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere: no such folder"):
        data.read_pairs((tmp_path / "nowhere",), "train", FACADES)


@pytest.mark.parametrize(
    "look",
    [
        data.is_folder,
        lambda folder: data.label_set_of((folder,)),
        lambda folder: data.with_val((folder,)),
        lambda folder: data.find_pairs(folder, "train"),
        lambda folder: data.find_pairs(folder.parent, folder.name),
    ],
)
def test_a_folder_that_cannot_be_looked_into_is_named(look: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"xxx.*: cannot be read: File name too long"):
        look(tmp_path / ("x" * 300))


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(TrainingError, match="train: no pairs"):
        data.read_pairs((tmp_path,), "train", FACADES)


def test_a_photo_without_label_map_is_named(tmp_path: Path) -> None:
    save_halves(tmp_path / "photos", tmp_path / "labels")
    (tmp_path / "labels" / "a.png").rename(tmp_path / "labels" / "b.png")
    with pytest.raises(TrainingError, match=r"a\.jpg: this photo has no label map"):
        data.read_pairs((tmp_path,), "train", FACADES)


def test_a_size_mismatch_is_named(tmp_path: Path) -> None:
    save_halves(tmp_path / "photos", tmp_path / "labels")
    Image.new("RGB", (50, 64), "#808080").save(tmp_path / "photos" / "a.jpg")
    with pytest.raises(TrainingError, match=r"a\.jpg: photo of 50x64 beside a label map of 64x64"):
        data.read_pairs((tmp_path,), "train", FACADES)


@pytest.mark.parametrize("fault", ["damaged", "too large"])
def test_a_photo_that_cannot_be_read_is_named(fault: str, tmp_path: Path) -> None:
    save_halves(tmp_path / "photos", tmp_path / "labels")
    (tmp_path / "photos" / "a.jpg").unlink()
    photo = tmp_path / "photos" / "a.png"
    Image.new("RGB", (64, 64), "#808080").save(photo)
    content = bytearray(photo.read_bytes())
    if fault == "damaged":
        content[content.index(b"IDAT") : content.index(b"IDAT") + 4] = b"\0\0\0\0"
    else:
        head = struct.pack(">4sII5s", b"IHDR", 20_000, 20_000, content[24:29])
        content[12:33] = head + struct.pack(">I", zlib.crc32(head))
    photo.write_bytes(content)
    with pytest.raises(TrainingError, match=r"a\.png: "):
        data.read_pairs((tmp_path,), "train", FACADES)


def test_a_picture_that_holds_no_photo_is_named(tmp_path: Path) -> None:
    save_halves(tmp_path / "elsewhere", tmp_path / "train")
    with pytest.raises(TrainingError, match=r"a\.png: no photo beside the label map"):
        data.read_pairs((tmp_path,), "train", FACADES)


def test_photo_and_label_map_get_one_geometric_transform() -> None:
    blocks = torch.from_numpy(np.random.default_rng(0).integers(0, 12, (6, 6), np.uint8))
    classes = blocks.repeat_interleave(16, 0).repeat_interleave(16, 1)
    photo = (classes * 20).expand(3, -1, -1).contiguous()
    samples = samples_of([data.Pair("blocks", photo, classes, torch.ones_like(classes, dtype=torch.bool))])
    for number in range(6):
        sample = samples[data.Draw(number)]
        photo, classes, valid = sample.photo.float(), sample.classes, sample.valid
        # The photo's brightness tells the class; colors change, but those of two classes do not meet.
        grey = photo.mean(0)
        levels = torch.stack([grey[classes == k].median() for k in classes.unique()])
        told = classes.unique()[(grey[..., None] - levels).abs().argmin(-1)]
        inside = np.ones(classes.shape, bool)
        for k in classes.unique():
            edges = (classes == k).numpy()
            inside &= ~(edges & ~ndimage.binary_erosion(edges, iterations=2, border_value=1))
        assert (told == classes)[torch.from_numpy(inside)].float().mean() > 0.99
        assert valid.all()


@pytest.mark.parametrize(("side_px", "context_px"), [(80, 0), (250, 0), (160, 128)])
def test_label_maps_lie_where_their_photos_do(side_px: int, context_px: int) -> None:
    """Not half a pixel beside: where a class begins the photo does, on average over samples."""
    classes = torch.zeros(side_px, side_px, dtype=torch.uint8)
    classes[side_px // 2 :] = 1
    pair = data.Pair("halves", (classes * 255).expand(3, -1, -1), classes, torch.ones_like(classes).bool())
    augmentation = data.Augmentation(size_px=64, as_they_are=0.0)
    torch.manual_seed(0)
    apart = []
    for _ in range(100):
        photo, shown, *_ = augmentation(pair, context_px)
        apart.append((photo[0].float() / 255 - shown).sum(0).mean())
    assert abs(torch.stack(apart).mean()) < 0.15


def test_a_sample_depends_on_its_number_alone() -> None:
    samples = samples_of([striped_pair(), striped_pair(80)])
    torch.manual_seed(1)
    first = samples[data.Draw(7)]
    torch.manual_seed(2)
    again = samples[data.Draw(7)]
    other = samples[data.Draw(8)]
    for one, same in ((first[:-1], again[:-1]), (first.repaint, again.repaint)):
        assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(first.photo, other.photo) and not torch.equal(first.jitter, other.jitter)


def test_some_small_pictures_are_shown_whole_and_as_sharp_as_they_are() -> None:
    noise = np.random.default_rng(0).integers(100, 156, (3, 64, 64), np.uint8)
    pair = replace(striped_pair(64), photo=torch.from_numpy(noise))
    columns = pair.classes[0]
    samples = samples_of([pair], as_they_are=0.5)

    def is_whole(number: int) -> bool:
        classes = samples[data.Draw(number)].classes[0]
        return torch.equal(classes, columns) or torch.equal(classes, columns.flip(0))

    def contrast(numbers: list[int]) -> float:
        photos = [samples[data.Draw(number)].photo.float() for number in numbers]
        return float(torch.stack([p[..., 1:] - p[..., :-1] for p in photos]).abs().mean())

    whole = [number for number in range(40) if is_whole(number)]
    crops = [number for number in range(40) if number not in whole]
    assert 10 < len(whole) < 30
    assert contrast(whole) > 1.2 * contrast(crops), "enlarging blurs"


def test_sampling_leaves_the_callers_random_numbers_alone() -> None:
    samples = samples_of([striped_pair()])
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    samples[data.Draw(0)]
    assert torch.equal(torch.rand(3), expected)


def test_every_pair_is_drawn_once_a_round_by_default() -> None:
    samples = samples_of([striped_pair() for _ in range(7)])
    for start in (0, 7):
        assert sorted(samples._pair_of(n) for n in range(start, start + 7)) == list(range(7))


def test_large_pairs_get_their_share() -> None:
    pairs = [striped_pair(64)] * 6 + [striped_pair(160)] * 2
    share = data.resolution_share(pairs, 64, 0.5)
    samples = data.Samples(
        pairs, data.color_sets(pairs, 12), COLORED, 0, data.Augmentation(size_px=64), share
    )
    drawn = [samples._pair_of(n) for n in range(400)]
    assert np.mean([i >= 6 for i in drawn]) == pytest.approx(0.5, abs=0.05)


def test_own_colors_are_the_photos_and_other_colors_are_not() -> None:
    pairs = [striped_pair()]
    batch = next(data.batches(samples_of(pairs, other_colors=0.0), 0, 1, batch_size=1))
    assert batch.own == 1 and torch.equal(batch.colors, batch.photo_colors)
    k = int(batch.classes[0, 32, 32])
    painted = batch.photo[0][:, batch.classes[0] == k]
    assert batch.photo_colors[0, k] == pytest.approx((painted.mean(1) + 1) / 2, abs=1e-4)
    pairs.append(replace(pairs[0], photo=255 - pairs[0].photo))
    samples = samples_of(pairs, other_colors=1.0)
    batch = next(data.batches(samples, 0, 1, batch_size=8))
    drawn = [i for colors in batch.colors for i in (0, 1) if torch.equal(colors, samples.sets[i])]
    assert len(drawn) == 8 and set(drawn) == {0, 1}
    assert not batch.own.any()


def test_processes_share_a_batch_and_a_resumed_run_goes_on() -> None:
    samples = samples_of([striped_pair(), striped_pair(80), striped_pair(72)])
    whole = [batch.photo for batch in data.batches(samples, 0, 3, batch_size=4)]
    resumed = [batch.photo for batch in data.batches(samples, 2, 3, batch_size=4)]
    assert torch.equal(resumed[0], whole[2])
    halves = [next(data.batches(samples, 1, 3, 4, rank, world=2)).photo for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), whole[1])


def test_close_ups_come_every_so_many_steps_from_large_pairs_alone() -> None:
    small, large = striped_pair(), striped_pair(160)
    samples = samples_of([small, large], other_colors=0.0, close_up_every=3)
    steps = list(data.batches(samples, 0, 6, batch_size=4))
    shapes = [(len(batch.photo), batch.photo.shape[-1]) for batch in steps]
    assert shapes == 2 * [(4, 64), (4, 64), (1, 128)]
    assert [batch.close_up for batch in steps] == 2 * [False, False, True]
    # Stripes of 8 px are about as wide as in the picture, not as in one that was squeezed to a square of 64.
    edges = (steps[2].classes[0, 64, 1:] != steps[2].classes[0, 64, :-1]).sum()
    assert 128 / 8 * 0.7 < edges < 128 / 8 * 1.4
    assert not torch.equal(steps[2].photo, steps[5].photo)
    assert torch.equal(next(data.batches(samples, 5, 6, batch_size=4)).photo, steps[5].photo)
    of_small = list(data.batches(samples_of([small], close_up_every=3), 0, 3, batch_size=4))
    assert [len(batch.photo) for batch in of_small] == [4, 4, 4]


def test_a_close_up_is_a_part_of_what_the_generator_is_shown() -> None:
    blocks = torch.from_numpy(np.random.default_rng(0).integers(0, 12, (26, 26), np.uint8))
    classes = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)
    photo = (classes * 20).expand(3, -1, -1).contiguous()
    pair = data.Pair("blocks", photo, classes, torch.ones_like(classes, dtype=torch.bool))
    samples = samples_of([pair, striped_pair(160)], close_up_every=1)
    wide: list[Batch] = []
    narrow: list[Batch] = []
    for batch in data.batches(samples, 0, 12, batch_size=16):
        assert len(batch.photo) == 4
        (wide if batch.context.shape[-1] > 128 else narrow).append(batch)
    assert len(wide) == len(narrow) == 6  # of each context in turn
    for batch in wide + narrow:
        shown = batch.context[:, None].expand(-1, 3, -1, -1)
        assert torch.equal(batch.windows(shown)[:, 0], batch.classes)
        assert batch.photo.shape[2:] == batch.classes.shape[1:] == (128, 128)
        for photo, classes in zip(batch.photo, batch.classes, strict=True):
            levels = [photo.mean(0)[classes == k].median() for k in classes.unique()]
            assert all(one < other for one, other in pairwise(levels)), "the photo shows these classes"
    corners = [tuple(corner.tolist()) for batch in wide for corner in batch.corner]
    assert len(set(corners)) > 12
    is_striped = [bool((c == c[:1]).all()) for batch in wide for c in batch.context]
    assert not any(is_striped), "the smaller pair cannot show so much"
    assert any(bool((c == c[:1]).all()) for batch in narrow for c in batch.context)


def test_few_large_pairs_make_no_close_ups() -> None:
    pairs = [striped_pair()] * 40 + [striped_pair(160)]
    batches = data.batches(samples_of(pairs, close_up_every=1), 0, 3, batch_size=4)
    assert [len(batch.photo) for batch in batches] == [4, 4, 4]


def test_each_process_has_a_close_up_of_its_own() -> None:
    samples = samples_of([striped_pair(160)], close_up_every=1)
    one, other = (next(data.batches(samples, 0, 1, 4, rank, 2)).photo for rank in (0, 1))
    assert one.shape == other.shape == (1, 3, 128, 128) and not torch.equal(one, other)


def test_color_sets_have_no_gaps() -> None:
    sets = data.color_sets([striped_pair()], 12)
    assert sets.shape == (1, 12, 3) and torch.isfinite(sets).all()
    assert sets[0, 5].tolist() == pytest.approx([100 / 255] * 3, abs=1e-3)


def test_a_class_of_a_few_pixels_takes_its_color_from_the_nearest_set_that_has_it() -> None:
    pair = striped_pair()
    few, many = pair.classes.clamp(max=10), pair.classes.clamp(max=10)
    few[0, :3], many[:8] = 11, 11
    pairs = [replace(pair, classes=few), replace(pair, classes=many)]
    measured, filled = (data.color_sets(pairs, 12, least) for least in (0.0, 0.01))
    assert not torch.equal(measured[0, 11], measured[1, 11])
    assert torch.equal(filled[0, 11], measured[1, 11])
    assert torch.equal(filled[0, :11], measured[0, :11]) and torch.equal(filled[1], measured[1])


def test_of_a_facade_in_two_resolutions_the_first_counts() -> None:
    rng = np.random.default_rng(0)
    facades = [torch.from_numpy(made_up_photo(rng, made_up_classes(rng, 48))) for _ in range(3)]
    pairs = []
    for photo, scale, light in zip(
        [*facades, *facades], (1, 1, 1, 2, 1, 3), (1, 1, 1, 1, 0.7, 1), strict=True
    ):
        large = (
            (photo * light).byte().permute(2, 0, 1).repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        )
        pairs.append(data.Pair("one", large, large[0], torch.ones_like(large[0]).bool()))
    assert data.without_twins(pairs) == [0, 1, 2]
    assert data.without_twins(pairs[2:]) == [0, 1, 2]
    assert data.without_twins(pairs[:1]) == [0]


def test_the_usual_color_sets_are_those_like_others() -> None:
    sets = torch.full((20, 3, 3), 0.3) + torch.arange(20).view(-1, 1, 1) / 12
    sets[4, 1] = 0.0  # black windows on a bright facade
    sets[7, 0] = 0.0  # the background has no color
    colored = torch.tensor([[0.0], [1.0], [1.0]])
    usual = data.usual_sets(sets, colored, share=0.95, neighbors=3)
    assert torch.equal(usual, torch.cat([sets[:4], sets[5:]]))
    assert len(data.usual_sets(sets[:1], colored)) == 1


def test_repainted_samples_know_their_colors() -> None:
    def batch_of(repainted: float) -> Batch:
        samples = samples_of([striped_pair()], repainted=repainted, other_colors=0.0)
        return next(data.batches(samples, 0, 1, batch_size=8))

    batch, again, plain = batch_of(1.0), batch_of(1.0), batch_of(0.0)
    assert torch.equal(batch.colors, batch.photo_colors), "samples in their own colors, new as they are"
    for i in range(8):
        for k in batch.classes[i].unique().tolist():
            shown = batch.photo[i][:, (batch.classes[i] == k) & batch.valid[i, 0]]
            assert batch.photo_colors[i, k] == pytest.approx((shown.mean(1) + 1) / 2, abs=1e-4)
        assert not torch.allclose(batch.colors[i], plain.colors[i], atol=0.05)
    assert all(torch.equal(x, again.tensors[name]) for name, x in batch.tensors.items())


def test_the_fingerprint_tells_pairs_by_their_pixels() -> None:
    told = data.fingerprint([striped_pair()])
    assert told == data.fingerprint([striped_pair()])
    for part in ("photo", "classes", "valid"):
        changed = striped_pair()
        pixels = getattr(changed, part)[..., 5, 5]
        pixels.copy_(pixels == 0)
        assert data.fingerprint([changed]) != told, part
