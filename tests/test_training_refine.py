"""The command that has a generator learn from itself: all else stays, and a stopped run goes on exactly."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from of_weights import arguments, asked_to_stop, state
from PIL import Image

from facadegen import generator, labels
from facadegen.palettes import FACADES
from training import export, refine
from training.retouching import parts
from training.retouching.lesson import RETOUCHES


@pytest.fixture(scope="module", autouse=True)
def short_ending() -> Iterator[None]:
    """Runs end without a fresh process that tries the weights: those of `training.fit`'s tests had it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_check_parity", lambda module, path, card: None)
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
def refined(projected_weights: Path, large_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a run that was not stopped."""
    out = tmp_path_factory.mktemp("refined") / "out.pt"
    assert refine.main(arguments(projected_weights, large_pairs, out)) == 0
    return out


def test_weights_come_out_that_differ_in_the_generator_alone(projected_weights: Path, refined: Path) -> None:
    was, now = state(projected_weights), state(refined)
    changed = {name for name in was if not torch.equal(was[name], now[name])}
    assert changed and all(name.startswith("network.") for name in changed)
    training = generator.load(refined, device="cpu").card.training
    assert training["steps"] == 3 and training["label_maps"] == 2
    assert training["start_from"]["recipe"] == "projected"


def test_a_stopped_run_goes_on_exactly(
    projected_weights: Path,
    large_pairs: Path,
    refined: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stopped = tmp_path / "stopped[v2].pt"  # nor are paths markup of rich's
    torch.manual_seed(12345)  # as another process is elsewhere
    with asked_to_stop():
        assert refine.main(arguments(projected_weights, large_pairs, stopped)) == 130
    assert not stopped.exists()
    assert refine.main(arguments(projected_weights, large_pairs, stopped)) == 0
    found = state(stopped)
    assert all(torch.equal(value, found[name]) for name, value in state(refined).items())
    told = capsys.readouterr().err
    assert f"wrote {stopped}" in told.replace("\n", "")
    for name in RETOUCHES:
        assert re.search(rf"^{name}: \d+\.\d\d, \d+\.\d\d$", told, re.MULTILINE)


def test_a_finished_run_may_be_written_anew_nearer_to_its_start(
    projected_weights: Path, large_pairs: Path, tmp_path: Path
) -> None:
    heads = {}
    for share in (0.0, 1.0, 0.25):
        out = tmp_path / f"{share}.pt"
        changes = {"rate": 0.3, "start-share": share, "run-dir": tmp_path / "run"}
        assert refine.main(arguments(projected_weights, large_pairs, out, **changes)) == 0
        heads[share] = state(out)["network.head.weight"].float()
    start = state(projected_weights)["network.head.weight"].float()
    assert (heads[0.0] - start).abs().max() > 0.005
    assert torch.allclose(heads[1.0], start, atol=1e-4)
    assert torch.allclose(heads[0.25], 0.25 * start + 0.75 * heads[0.0], atol=1e-4)
    assert generator.load(out, device="cpu").card.training["start_share"] == 0.25


def test_a_run_is_not_gone_on_with_in_another_way(
    projected_weights: Path,
    large_pairs: Path,
    refined: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refine.main(arguments(projected_weights, large_pairs, refined, seed=1)) == 1
    assert "another seed" in capsys.readouterr().err
    others = shutil.copytree(large_pairs, tmp_path / "others")
    for label_map in (others / "train").glob("*.png"):
        with Image.open(label_map) as picture:
            turned = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        turned.save(label_map)
    assert refine.main(arguments(projected_weights, others, refined)) == 1
    assert "another label_maps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"steps": 0}, "--steps must be at least 1"),
        ({"seed": -1}, "--seed must be at least 0, not -1"),
        ({"rate": 1.5}, "--rate must lie between 0 and 1"),
        ({"start-share": -0.1}, "--start-share must lie in 0..1, not -0.1"),
        ({"checkpoint-every": 0}, "--checkpoint-every must be at least 1"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(
    projected_weights: Path,
    large_pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    problem: str,
) -> None:
    capsys.readouterr()
    assert refine.main(arguments(projected_weights, large_pairs, tmp_path / "out.pt", **options)) == 2
    told = capsys.readouterr().err
    assert problem in told and told.count("\n") == 1
    assert not (tmp_path / "out.pt").exists()


def test_weights_that_could_not_be_written_are_told_before_training(
    projected_weights: Path, large_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out, problem in (
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "out.pt", "cannot be written"),
        (tmp_path / ("a" * 300), "cannot be written"),
    ):
        refused = arguments(projected_weights, large_pairs, out, **{"run-dir": tmp_path / "run"})
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
    projected_weights: Path, large_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = shutil.copy(projected_weights.with_suffix("") / "checkpoint.pt", tmp_path / "run.pt")
    capsys.readouterr()
    assert refine.main(arguments(Path(saved), large_pairs, tmp_path / "out.pt")) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_label_maps_without_walls_are_told_in_one_line(
    projected_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train").mkdir()
    for suffix in (".png", ".jpg"):
        Image.new("RGB", (64, 64), FACADES.palettes[0].colors[0]).save(tmp_path / "train" / f"1{suffix}")
    capsys.readouterr()
    assert refine.main(arguments(projected_weights, tmp_path, tmp_path / "out.pt")) == 1
    told = capsys.readouterr().err
    assert f"{tmp_path}: no label maps with facade in its train split" in told and told.count("\n") == 1


def test_weights_without_walls_are_told_in_one_line(
    projected_weights: Path,
    large_pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(parts, "WALL_CLASS", "plaster")  # as label sets of one's own may have it
    assert refine.main(arguments(projected_weights, large_pairs, tmp_path / "out.pt")) == 2
    told = capsys.readouterr().err
    assert "want the class 'plaster'" in told and told.count("\n") == 1
