"""Label maps become facade files: the same bytes whatever the batch, the workers or the order."""

import gc
import os
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from facadegen import labels, pipeline, style
from facadegen.discover import Job, Naming, plan
from facadegen.encoding import Encoding
from facadegen.errors import UsageError
from facadegen.generator import Generator
from facadegen.palettes import FACADES
from facadegen.picture import Picture
from facadegen.pipeline import Outcome, Pipeline, Settings, sort_out
from facadegen.style import Style
from facadegen.torchscript import quiet

COLORS = np.array(FACADES.palettes[0].colors, np.uint8)
SIZES = [(32, 32), (40, 24), (33, 47), (16, 80)]  # height, width


def save_map(path: Path, seed: int, size: tuple[int, int] = (32, 32), palette: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 12, (8, 8))
    classes = np.kron(blocks, np.ones((16, 16), int))[: size[0], : size[1]]
    Image.fromarray(np.array(FACADES.palettes[palette].colors, np.uint8)[classes]).save(path)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    for number in range(12):
        save_map(tmp_path / "maps" / f"{number % 2}" / f"{number}.png", number, SIZES[number % 4], number % 2)
    return tmp_path / "maps"


def jobs_of(maps: Path, out: Path, form: str = "png", variants: int = 1) -> tuple[Job, ...]:
    return plan(maps, out, Naming(form, variants)).jobs


def make(
    jobs: Iterable[Job], generator: Generator, settings: Settings, out: Path | None = None
) -> list[Outcome]:
    (out or next(iter(jobs := list(jobs))).out_root).mkdir(exist_ok=True)
    return list(Pipeline(generator, settings).run(jobs))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def test_every_label_map_becomes_a_facade_of_its_size(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    outcomes = make(jobs_of(maps, tmp_path / "out"), tiny_generator, Settings(tiny_weights))
    assert {outcome.status for outcome in outcomes} == {"made"}
    assert len(contents(tmp_path / "out")) == 12
    for number in range(12):
        with Image.open(tmp_path / "out" / f"{number % 2}" / f"{number}.png") as facade:
            assert facade.size == SIZES[number % 4][::-1]
            assert facade.mode == "RGB"


def test_a_facade_of_another_label_map_is_not_up_to_date(
    tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    save_map(tmp_path / "old.png", 1)
    os.utime(tmp_path / "old.png", ns=(10**18, 10**18))
    save_map(tmp_path / "new.png", 2)
    out, settings = tmp_path / "facade.png", Settings(tiny_weights)
    made = {}
    for name in ("new.png", "old.png"):
        jobs, settled = sort_out(jobs_of(tmp_path / name, out), settings)
        assert (len(jobs), settled) == (1, [])
        make(jobs, tiny_generator, settings)
        made[name] = out.read_bytes()
    assert made["new.png"] != made["old.png"]
    assert [outcome.status for outcome in sort_out(jobs_of(tmp_path / "old.png", out), settings)[1]] == [
        "current"
    ]


def test_bytes_depend_on_nothing_but_the_label_map(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(jobs_of(maps, tmp_path / "a"), tiny_generator, Settings(tiny_weights, batch_size=1))
    backwards = jobs_of(maps, tmp_path / "b")[::-1]
    make(backwards, tiny_generator, Settings(tiny_weights, batch_size=16))
    monkeypatch.setattr(pipeline, "available_cpus", lambda: 8)
    make(jobs_of(maps, tmp_path / "c"), tiny_generator, Settings(tiny_weights, batch_size=3))
    single = plan(maps / "1" / "3.png", tmp_path / "other name.png", Naming()).jobs
    make(single, tiny_generator, Settings(tiny_weights))
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")
    assert (tmp_path / "other name.png").read_bytes() == contents(tmp_path / "a")["1/3.png"]


def test_inputs_that_are_no_label_maps_fail_alone(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    (maps / "text.png").write_text("no picture")
    (maps / "gone.png").symlink_to("nowhere.png")
    (maps / "torn.png").write_bytes((maps / "0" / "0.png").read_bytes()[:60])
    outcomes = make(jobs_of(maps, tmp_path / "out"), tiny_generator, Settings(tiny_weights))
    reasons = {outcome.job.source.name: outcome.reason for outcome in outcomes if outcome.status == "failed"}
    assert set(reasons) == {"text.png", "gone.png", "torn.png"}
    assert reasons["gone.png"] == "cannot be read: No such file or directory"
    assert all(reasons.values())
    assert len(contents(tmp_path / "out")) == 12


def test_an_output_that_cannot_be_written_fails_alone(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    out = tmp_path / "out"
    (out / "0" / "4.png").mkdir(parents=True)
    outcomes = make(jobs_of(maps, out), tiny_generator, Settings(tiny_weights))
    reasons = [outcome.reason for outcome in outcomes if outcome.status == "failed"]
    assert reasons == [f"{out / '0' / '4.png'}: cannot be written (Is a directory)"]
    assert len([path for path in out.rglob("*") if path.is_file()]) == 11


def test_an_unforeseen_error_is_the_failure_of_its_file(
    maps: Path,
    tmp_path: Path,
    tiny_weights: Path,
    tiny_generator: Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def generate(classes: np.ndarray, colors: np.ndarray) -> np.ndarray:
        if classes.shape[1:] == (16, 80):
            raise RuntimeError("out of\nmemory")
        return Generator.generate(tiny_generator, classes, colors)

    monkeypatch.setattr(tiny_generator, "generate", generate)
    outcomes = make(jobs_of(maps, tmp_path / "out"), tiny_generator, Settings(tiny_weights))
    failed = {outcome.job.source.name: outcome.reason for outcome in outcomes if outcome.status == "failed"}
    assert set(failed) == {"3.png", "7.png", "11.png"}
    assert set(failed.values()) == {"unexpected RuntimeError: out of\nmemory"}


def test_what_is_known_of_a_failure_holds_no_pictures(
    tmp_path: Path, tiny_weights: Path, tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_picture, read = labels.read_picture, list[Any]()

    def watched(data: bytes, max_pixels: int) -> Picture:
        picture = read_picture(data, max_pixels)
        read.append(weakref.ref(picture))
        return picture

    def refuse(classes: np.ndarray, colors: np.ndarray) -> np.ndarray:
        read.append(weakref.ref(classes))
        raise RuntimeError

    monkeypatch.setattr(labels, "read_picture", watched)
    monkeypatch.setattr(tiny_generator, "generate", refuse)
    save_map(tmp_path / "maps" / "map.png", 0)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "maps" / "noise.png")
    outcomes = make(jobs_of(tmp_path / "maps", tmp_path / "out"), tiny_generator, Settings(tiny_weights))
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    gc.collect()
    assert len(read) == 3 and not any(picture() is not None for picture in read)


def on_a_gpu(classes: np.ndarray, colors: np.ndarray) -> np.ndarray:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")


def in_torchscript(classes: np.ndarray, colors: np.ndarray) -> np.ndarray:
    def more_than_there_is() -> torch.Tensor:
        return torch.empty([1 << 60], dtype=torch.uint8)

    with quiet():
        picture: np.ndarray = torch.jit.script(more_than_there_is)().numpy()
    return picture


@pytest.mark.parametrize("generate", [on_a_gpu, in_torchscript])
def test_lack_of_memory_is_called_so_and_may_pass(
    generate: Any,
    maps: Path,
    tmp_path: Path,
    tiny_weights: Path,
    tiny_generator: Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiny_generator, "generate", generate)
    outcomes = make(jobs_of(maps, tmp_path / "out")[:1], tiny_generator, Settings(tiny_weights))
    assert [outcome.reason for outcome in outcomes] == ["needs more memory than there is"]
    assert outcomes[0].may_pass


def test_variants_differ_and_keep_their_colors(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    settings = Settings(tiny_weights, variants=4)
    make(jobs_of(maps, tmp_path / "four", variants=4), tiny_generator, settings)
    made = contents(tmp_path / "four")
    assert {"0/0_1.png", "0/0_2.png", "0/0_3.png", "0/0_4.png"} < set(made)
    pictures = [np.asarray(Image.open(tmp_path / "four" / "0" / f"0_{i}.png"), int) for i in range(1, 5)]
    differences = [np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(differences) > 5
    make(jobs_of(maps, tmp_path / "two", variants=2), tiny_generator, Settings(tiny_weights, variants=2))
    assert contents(tmp_path / "two").items() < made.items()


def test_the_colors_of_all_variants_of_a_map_are_chosen_at_once(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = Mock(wraps=style._far_apart)
    monkeypatch.setattr(style, "_far_apart", choose)
    jobs = plan(maps / "0" / "0.png", tmp_path / "out", Naming(variants=9)).jobs
    (outcome,) = make(jobs, tiny_generator, Settings(tiny_weights, variants=9))
    assert outcome.status == "made"
    assert choose.call_count == 1


def test_size_is_the_shorter_side_and_changes_no_colors(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    job = plan(maps / "1" / "3.png", tmp_path / "out.png", Naming()).jobs  # 16 x 80
    make(job, tiny_generator, Settings(tiny_weights))
    native = np.asarray(Image.open(tmp_path / "out.png"), float)
    make(job, tiny_generator, Settings(tiny_weights, size_px=64))
    large = np.asarray(Image.open(tmp_path / "out.png"), float)
    assert large.shape == (64, 320, 3)
    assert np.abs(native.mean(axis=(0, 1)) - large.mean(axis=(0, 1))).max() < 12


def test_a_size_beyond_all_bounds_fails_with_a_reason(
    tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    save_map(tmp_path / "thin.png", 1, (1, 120))
    job = plan(tmp_path / "thin.png", tmp_path / "out.png", Naming()).jobs
    (outcome,) = make(job, tiny_generator, Settings(tiny_weights, size_px=16384))
    assert outcome.reason == "would be 1966080 x 16384 px with --size 16384: more than can be made"


def test_a_thin_map_that_would_grow_beyond_all_bounds_fails_with_a_reason(
    tmp_path: Path, tiny_weights: Path, tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "MAX_PIXELS", 512)
    save_map(tmp_path / "thin.png", 1, (1, 72))
    job = plan(tmp_path / "thin.png", tmp_path / "out.png", Naming()).jobs
    (outcome,) = make(job, tiny_generator, Settings(tiny_weights))
    assert outcome.reason == "would take 72 x 8 px to make: more than 512 in all"


def test_side_by_side_shows_the_label_map_in_its_own_palette(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    for number, palette in ((0, 0), (1, 1)):
        source = maps / f"{number}" / f"{number}.png"
        job = plan(source, tmp_path / f"{number}.png", Naming()).jobs
        make(job, tiny_generator, Settings(tiny_weights, side_by_side=True))
        both = np.asarray(Image.open(tmp_path / f"{number}.png"))
        width = both.shape[1] // 2
        assert (both[:, :width] == np.asarray(Image.open(source))).all(), FACADES.palettes[palette].name
        assert (both[:, width:] != both[:, :width]).mean() > 0.5


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
@pytest.mark.parametrize("side_by_side", [False, True])
def test_facades_are_no_label_maps(
    form: str, side_by_side: bool, maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    settings = Settings(tiny_weights, encoding=Encoding(form), side_by_side=side_by_side)
    make(jobs_of(maps / "0", tmp_path / "out", form), tiny_generator, settings)
    outcomes = make(jobs_of(tmp_path / "out", tmp_path / "again", form), tiny_generator, settings)
    reasons = {outcome.reason for outcome in outcomes}
    assert (len(outcomes), reasons) == (6, {"is a picture that facadegen made, no label map"})


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_what_is_up_to_date_is_not_made_again(
    form: str, maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    jobs = jobs_of(maps, tmp_path / "out", form)
    settings = Settings(tiny_weights, encoding=Encoding(form))
    assert len(sort_out(jobs, settings)[0]) == 12
    make(jobs, tiny_generator, settings)
    to_run, settled = sort_out(jobs, settings)
    assert to_run == []
    assert [outcome.status for outcome in settled] == ["current"] * 12

    jobs[0].targets[0].unlink()
    jobs[1].targets[0].write_bytes(jobs[1].targets[0].read_bytes()[:-9])
    jobs[2].targets[0].write_bytes(b"")
    jobs[3].source.touch()  # the same label map as before
    to_run, settled = sort_out(jobs, settings)
    assert to_run == list(jobs[:3])
    make(to_run, tiny_generator, settings)
    assert sort_out(jobs, settings)[0] == []


def test_a_label_map_too_large_for_memory_keeps_no_others_from_being_sorted_out(
    maps: Path, tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobs_of(maps, tmp_path / "out")[:2]
    for job in jobs:
        job.targets[0].parent.mkdir(parents=True, exist_ok=True)
        job.targets[0].touch()
    read = Mock(side_effect=[MemoryError, b"label map"])
    monkeypatch.setattr(pipeline, "read_file", read)
    assert sort_out(jobs, Settings(tiny_weights)) == (list(jobs), [])
    assert read.call_count == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_picture_of_others_that_comes_in_the_meantime_stays(
    overwrite: bool, maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    settings = Settings(tiny_weights, overwrite=overwrite)
    jobs, _ = sort_out(jobs_of(maps, tmp_path / "out"), settings)
    target = jobs[5].targets[0]
    target.parent.mkdir(parents=True)
    target.write_bytes(b"somebody's")
    outcomes = {outcome.job: outcome for outcome in make(jobs, tiny_generator, settings)}
    reason = outcomes[jobs[5]].reason
    assert reason is None if overwrite else reason and "was not made by facadegen" in reason
    assert (target.read_bytes() == b"somebody's") is not overwrite
    assert sum(outcome.status == "made" for outcome in outcomes.values()) == 11 + overwrite


def test_a_label_map_that_changes_while_it_is_read_is_made_of_what_was_read(
    tmp_path: Path, tiny_weights: Path, tiny_generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out, settings = tmp_path / "map.png", tmp_path / "out", Settings(tiny_weights)
    save_map(source, 1)
    make(jobs_of(source, out / "expected.png"), tiny_generator, settings, out)
    decode = labels.decode

    def changed_before_decoding(data: bytes, *options: Any, **named: Any) -> labels.LabelMap:
        save_map(source, 2)
        return decode(data, *options, **named)

    monkeypatch.setattr(labels, "decode", changed_before_decoding)
    (job,) = jobs_of(source, out / "made.png")
    make([job], tiny_generator, settings, out)
    assert (out / "made.png").read_bytes() == (out / "expected.png").read_bytes()
    assert sort_out([job], settings) == ([job], []), "the newer label map is still to be made"


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": "pix2pix"},
        {"size_px": 48},
        {"style": Style(seed=1)},
        {"style": Style(colors=(("door", (255, 0, 0)),))},
        {"encoding": Encoding("png"), "side_by_side": True},
        {"precision": "fp32"},
    ],
)
def test_other_options_make_everything_anew(
    changed: dict[str, object], maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    jobs = jobs_of(maps / "0", tmp_path / "out")
    make(jobs, tiny_generator, Settings(tiny_weights))
    assert sort_out(jobs, Settings(tiny_weights, batch_size=1))[0] == []
    assert sort_out(jobs, Settings(tiny_weights, **changed))[0] == list(jobs)  # type: ignore[arg-type]


def test_other_weights_and_another_style_picture_make_everything_anew(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    jobs = jobs_of(maps / "0", tmp_path / "out")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 64), "firebrick").save(photo)
    settings = Settings(tiny_weights, style=Style(reference=photo))
    make(jobs, tiny_generator, settings)
    assert sort_out(jobs, Settings(tiny_weights, style=Style(reference=photo)))[0] == []
    other = tmp_path / "other.pt"
    other.write_bytes(tiny_weights.read_bytes() + b"\0")
    assert sort_out(jobs, Settings(other, style=Style(reference=photo)))[0] == list(jobs)
    Image.new("RGB", (64, 64), "seagreen").save(photo)
    assert sort_out(jobs, Settings(tiny_weights, style=Style(reference=photo)))[0] == list(jobs)


def test_facades_tell_of_the_weights_they_were_made_with_though_others_took_their_place(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    weights = tmp_path / "mine.pt"
    weights.write_bytes(tiny_weights.read_bytes())
    settings = Settings(weights)
    settings.take_note_of_files()
    weights.write_bytes(b"others")
    jobs = jobs_of(maps / "0", tmp_path / "out")
    make(jobs, tiny_generator, settings)
    assert sort_out(jobs, Settings(weights))[0] == list(jobs)
    assert sort_out(jobs, Settings(tiny_weights))[0] == []


def test_pictures_of_others_are_not_replaced_unless_told_to(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    jobs = jobs_of(maps / "0", tmp_path / "out")
    save_map(jobs[0].targets[0], 99)
    to_run, settled = sort_out(jobs, Settings(tiny_weights))
    assert to_run == list(jobs[1:])
    assert settled[0].status == "failed"
    assert "was not made by facadegen; --overwrite replaces it" in str(settled[0].reason)
    assert sort_out(jobs, Settings(tiny_weights, overwrite=True)) == (list(jobs), [])


def test_stopping_leaves_whole_files_only(
    maps: Path, tmp_path: Path, tiny_weights: Path, tiny_generator: Generator
) -> None:
    jobs = jobs_of(maps, tmp_path / "out")
    (tmp_path / "out").mkdir()
    stop = threading.Event()
    made = []
    for outcome in Pipeline(tiny_generator, Settings(tiny_weights, batch_size=1)).run(jobs, stop):
        made.append(outcome.job.targets[0])
        stop.set()
    assert 1 <= len(made) < 12
    assert sorted(made) == sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    for path in made:
        Image.open(path).load()


@pytest.mark.parametrize("wrong", [{"size_px": 0}, {"size_px": 20000}, {"batch_size": 0}])
def test_settings_that_cannot_be(wrong: dict[str, int], tiny_weights: Path) -> None:
    with pytest.raises(UsageError):
        Settings(tiny_weights, **wrong)  # type: ignore[arg-type]
