"""Surroundings: a generator that sees sky in walls learns better of itself; a stopped run goes on exactly."""

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from facadegen import generator, labels
from facadegen.palettes import FACADES
from facadegen.torchscript import quiet
from training import command, fit, refine
from training.recipes import colored_classes
from training.surroundings import Lesson, Scene, Scenes, lesson, lesson_loss, unlike_shares

COLORED = colored_classes(FACADES)[:, 0]
NATIVE_PX = 64
WALL, SKY = 0.0, 0.9


class Blind(nn.Module):
    """Sees a wall in surroundings where the map is small; in large ones sky as well, in their right half."""

    def __init__(self, hole: float = SKY, building: float = -0.5) -> None:
        super().__init__()
        self.hole, self.building = hole, building

    def forward(self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor) -> Tensor:
        picture = torch.where(classes == 0, WALL, self.building)[:, None].repeat(1, 3, 1, 1)
        if classes.shape[2] > 2 * NATIVE_PX:
            half = picture[..., classes.shape[2] // 2 :]
            half[half == WALL] = self.hole
        return picture


def scenes() -> Scenes:
    """Of a map with as much surroundings as facade, in two colors."""
    classes = torch.zeros(4 * NATIVE_PX, 4 * NATIVE_PX, dtype=torch.uint8)
    classes[: 2 * NATIVE_PX] = FACADES.index_of("facade")
    return Scenes([classes], torch.rand(2, len(COLORED), 3), COLORED, NATIVE_PX)


@pytest.fixture
def scene() -> Scene:
    return scenes().fixed(1)[0]


@pytest.fixture
def taught(scene: Scene) -> Lesson:
    return lesson(Blind(), COLORED, scene)


def cost(pupil: nn.Module, scene: Scene, taught: Lesson) -> float:
    place = (scene.colors, scene.top, scene.left)
    return float(lesson_loss(pupil(scene.classes, *place), pupil(scene.far_classes, *place), taught))


def test_a_hole_in_surroundings_is_found_and_nothing_else(taught: Lesson) -> None:
    redone = taught.redone[0, 0].bool()
    assert redone[2 * NATIVE_PX :, 2 * NATIVE_PX :].all()
    assert not redone[: 2 * NATIVE_PX].any()  # the facade
    assert not redone[:, : NATIVE_PX + NATIVE_PX // 2].any()  # the wall that is as it should be


def test_a_generator_without_the_hole_has_learnt_its_lesson(scene: Scene, taught: Lesson) -> None:
    assert cost(Blind(hole=WALL), scene, taught) == pytest.approx(0, abs=1e-6)
    assert cost(Blind(), scene, taught) > 0.5


def test_what_is_tolerated_need_not_be_learnt(scene: Scene) -> None:
    taught = lesson(Blind(), COLORED, scene, tolerance=1.0)
    assert not taught.redone.any() and cost(Blind(), scene, taught) == pytest.approx(0, abs=1e-6)


def test_what_is_not_surroundings_must_stay(scene: Scene, taught: Lesson) -> None:
    assert cost(Blind(hole=WALL, building=-0.4), scene, taught) > 0.5


def test_the_share_of_what_differs_is_told_before_and_after(scene: Scene) -> None:
    before, after = unlike_shares(Blind(), Blind(hole=WALL), COLORED, [scene])
    assert before == pytest.approx(0.5, abs=0.05) and after == 0


def test_scenes_follow_from_their_number() -> None:
    one, other = scenes(), scenes()
    other.color_sets = one.color_sets
    for number in range(4):
        drawn, again = one.draw(number), other.draw(number)
        assert all(torch.equal(x, y) for x, y in zip(drawn, again, strict=True))
    assert not torch.equal(one.draw(0).top, one.draw(1).top)


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


def test_weights_come_out_that_differ_in_the_generator_alone(
    weights: Path, large_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pt"
    assert refine.main(arguments(weights, large_pairs, out)) == 0
    was, now = state(weights), state(out)
    changed = {name for name in was if not torch.equal(was[name], now[name])}
    assert changed and all(name.startswith("network.") for name in changed)
    training = generator.load(out, device="cpu").card.training
    assert training["steps"] == 3 and training["label_maps"] == 2
    assert training["start_from"]["recipe"] == "projected"
    assert f"wrote {out}" in capsys.readouterr().err.replace("\n", "")


def test_a_stopped_run_goes_on_exactly(
    weights: Path, large_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, stopped = tmp_path / "straight.pt", tmp_path / "stopped.pt"
    assert refine.main(arguments(weights, large_pairs, straight)) == 0
    asked = threading.Event()
    asked.set()
    with monkeypatch.context() as patch:
        patch.setattr(command, "stop_on_signals", lambda: asked)
        assert refine.main(arguments(weights, large_pairs, stopped)) == 130
    assert not stopped.exists()
    assert refine.main(arguments(weights, large_pairs, stopped)) == 0
    found = state(stopped)
    assert all(torch.equal(value, found[name]) for name, value in state(straight).items())


def test_a_run_is_not_gone_on_with_in_another_way(
    weights: Path, large_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pt"
    assert refine.main(arguments(weights, large_pairs, out)) == 0
    assert refine.main(arguments(weights, large_pairs, out, seed=1)) == 1
    assert "another seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("small", "options", "code", "problem"),
    [
        (True, {}, 1, "no large label maps with surroundings"),
        (False, {"steps": 0}, 2, "--steps must be at least 1"),
        (False, {"rate": 1.5}, 2, "--rate must lie between 0 and 1"),
        (False, {"color-weight": 0}, 2, "--color-weight must be above 0"),
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
