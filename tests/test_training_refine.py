"""The command that has a generator learn from itself: all else stays, and a stopped run goes on exactly."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from facadegen import generator, labels
from facadegen.palettes import FACADES
from facadegen.torchscript import quiet
from training import command, export, fit, refine, subjects
from training.slants import Slants

NATIVE_PX = 64
SUBJECTS = ("surroundings", "skies", "walls", "skylines", "rooflines", "slants", "paints")


@pytest.fixture(scope="module", autouse=True)
def short_ending() -> Iterator[None]:
    """Runs end without a fresh process that tries the weights: those of `training.fit`'s tests had it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_check_parity", lambda module, path, stride: None)
        yield


@pytest.fixture(scope="module")
def large_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two large pairs, named as the CMP base has them, of a house in wide surroundings."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "train").mkdir()
    for number in range(2):
        classes = np.zeros((160, 128 + 32 * number), np.uint8)
        classes[30:130, 40:90] = FACADES.index_of("facade")
        classes[50:80, 50:70] = FACADES.index_of("window")
        rendered = labels.render(classes, FACADES.palettes[0])
        Image.fromarray(rendered).save(folder / "train" / f"{number}.png")
        Image.fromarray(rendered).save(folder / "train" / f"{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def weights(pairs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a run of one step."""
    out = tmp_path_factory.mktemp("weights") / "projected.pt"
    options = {"data": pairs_folder, "out": out, "run-dir": out.with_suffix(""), "steps": 1}
    assert fit.main(words(options | {"batch-size": 1, "size-px": NATIVE_PX, "device": "cpu"})) == 0
    return out


def words(options: dict[str, Any]) -> list[str]:
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)]


def arguments(weights: Path, data: Path, out: Path, **changes: Any) -> list[str]:
    options = {"weights": weights, "data": data, "out": out, "run-dir": out.with_suffix("")}
    return words(options | {"steps": 3, "batch-size": 1, "device": "cpu"} | changes)


def state(path: Path) -> dict[str, Tensor]:
    with quiet():
        found: dict[str, Tensor] = torch.jit.load(path).state_dict()
    return found


@pytest.fixture(scope="module", params=SUBJECTS)
def refined(
    request: pytest.FixtureRequest,
    weights: Path,
    large_pairs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """A subject, and the weights of a run that was not stopped."""
    out = tmp_path_factory.mktemp("refined") / "out.pt"
    assert refine.main(arguments(weights, large_pairs, out, subject=request.param)) == 0
    return request.param, out


def test_weights_come_out_that_differ_in_the_generator_alone(
    weights: Path, refined: tuple[str, Path]
) -> None:
    subject, out = refined
    was, now = state(weights), state(out)
    changed = {name for name in was if not torch.equal(was[name], now[name])}
    assert changed and all(name.startswith("network.") for name in changed)
    training = generator.load(out, device="cpu").card.training
    assert training["steps"] == 3 and training["label_maps"] == 2 and training["subject"] == subject
    assert training["start_from"]["recipe"] == "projected"
    assert ("tolerance" in training) == (subject == "surroundings")


@pytest.mark.parametrize("refined", ["surroundings", "walls", "paints"], indirect=True)  # draws of their own
def test_a_stopped_run_goes_on_exactly(
    weights: Path,
    large_pairs: Path,
    refined: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    subject, straight = refined
    stopped = tmp_path / "stopped.pt"
    torch.manual_seed(12345)  # as another process is elsewhere
    asked = threading.Event()
    asked.set()
    with monkeypatch.context() as patch:
        patch.setattr(command, "stop_on_signals", lambda: asked)
        assert refine.main(arguments(weights, large_pairs, stopped, subject=subject)) == 130
    assert not stopped.exists()
    assert refine.main(arguments(weights, large_pairs, stopped, subject=subject)) == 0
    found = state(stopped)
    assert all(torch.equal(value, found[name]) for name, value in state(straight).items())
    assert f"wrote {stopped}" in capsys.readouterr().err.replace("\n", "")


def test_a_run_is_not_gone_on_with_in_another_way(
    weights: Path, large_pairs: Path, refined: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    subject, out = refined
    other = SUBJECTS[SUBJECTS.index(subject) - 1]
    for changes, problem in (
        ({"subject": subject, "seed": 1}, "another seed"),
        ({"subject": other}, "another subject"),
    ):
        assert refine.main(arguments(weights, large_pairs, out, **changes)) == 1
        assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("small", "options", "code", "problem"),
    [
        (True, {}, 1, "no large label maps with surroundings"),
        (False, {"steps": 0}, 2, "--steps must be at least 1"),
        (False, {"rate": 1.5}, 2, "--rate must lie between 0 and 1"),
        (False, {"color-weight": 0}, 2, "--color-weight must be above 0"),
        (False, {"subject": "skies", "tolerance": 0.5}, 2, "--tolerance is for --subject surroundings"),
        (False, {"checkpoint-every": 0}, 2, "--checkpoint-every must be at least 1"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(
    weights: Path,
    large_pairs: Path,
    pairs_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    small: bool,
    options: dict[str, Any],
    code: int,
    problem: str,
) -> None:
    data = pairs_folder if small else large_pairs
    capsys.readouterr()
    assert refine.main(arguments(weights, data, tmp_path / "out.pt", **options)) == code
    told = capsys.readouterr().err
    assert problem in told and told.count("\n") == 1
    assert not (tmp_path / "out.pt").exists()


def test_weights_that_could_not_be_written_are_told_before_training(
    weights: Path, large_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out, problem in (
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "out.pt", "cannot be written"),
        (tmp_path / ("a" * 300), "cannot be written"),
    ):
        refused = arguments(weights, large_pairs, out, **{"run-dir": tmp_path / "run"})
        assert refine.main(refused) == 2
        told = capsys.readouterr().err
        assert problem in told and told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_networks_of_another_kind_are_told_in_one_line(
    tiny_weights: Path, large_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refine.main(arguments(tiny_weights, large_pairs, tmp_path / "out.pt")) == 1
    told = capsys.readouterr().err
    assert "has other networks than the recipe 'projected'" in told and told.count("\n") == 1


def test_a_checkpoint_is_no_weights_file(
    weights: Path, large_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = shutil.copy(weights.with_suffix("") / "checkpoint.pt", tmp_path / "run.pt")
    capsys.readouterr()
    assert refine.main(arguments(Path(saved), large_pairs, tmp_path / "out.pt")) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_straight_lines_are_those_of_walls_and_what_is_built_onto_them(large_pairs: Path) -> None:
    names = tuple(name.upper() for name in FACADES.classes)
    label_set = replace(FACADES, classes=names)
    sets = torch.zeros(1, len(names), 3)
    material = subjects.Material(label_set, sets, NATIVE_PX, (large_pairs,), 0, torch.device("cpu"))
    learnt = material.retouching("slants")
    assert isinstance(learnt, Slants)
    straight = {name for name, yes in zip(names, learnt.straight, strict=True) if yes}
    assert straight == {"FACADE", "CORNICE", "PILLAR", "SILL", "BALCONY", "MOLDING"}


@pytest.mark.parametrize("subject", ["walls", "skylines", "rooflines", "slants", "paints"])
def test_weights_without_walls_are_told_in_one_line(
    subject: str,
    weights: Path,
    large_pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(subjects, "WALL_CLASS", "plaster")  # as label sets of one's own may have it
    assert refine.main(arguments(weights, large_pairs, tmp_path / "out.pt", subject=subject)) == 2
    told = capsys.readouterr().err
    assert f"--subject {subject} wants the class 'plaster'" in told and told.count("\n") == 1
