"""Sky among roofs: photos show where it is, a network learns to tell it, and generators are told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from of_weights import arguments, asked_to_stop, state, words
from PIL import Image
from torch import Tensor, nn

from facadegen import generator, labels
from facadegen.palettes import FACADES
from training import export, fit, open_sky, refine, skies
from training.data import Pair
from training.distributed import World
from training.networks.neighbors import Neighbors
from training.networks.open_sky import OpenSky
from training.networks.scripted import ScriptedGenerator
from training.retouching.colored_maps import ColoredMap

BACKGROUND, WALL, WINDOW = (FACADES.index_of(name) for name in ("background", "facade", "window"))
CLASS_COUNT = len(FACADES.classes)
SIDE_PX, NATIVE_PX = 128, 64
BOX = slice(16, 112), slice(24, 104)  # rows and columns of the building in a map of that side
SKY_COLOR, WALL_COLOR = (200, 215, 235), (150, 110, 80)


def network() -> OpenSky:
    made = OpenSky.of(FACADES.classes)
    assert made is not None
    return made.eval()


def class_map() -> Tensor:
    """A house (H, W) in its box."""
    classes = torch.full((SIDE_PX, SIDE_PX), BACKGROUND, dtype=torch.uint8)
    classes[BOX] = WALL
    return classes


def beside_gable() -> Tensor:
    """What is sky in that box, (H, W): all on both sides of a gable."""
    rows, columns = torch.meshgrid(torch.arange(SIDE_PX), torch.arange(SIDE_PX), indexing="ij")
    return (class_map() == WALL) & ((columns - SIDE_PX // 2).abs() > (rows - BOX[0].start) * 40 // 32)


def pair(sky: Tensor, classes: Tensor, wall_color: tuple[int, ...] = WALL_COLOR) -> Pair:
    """A map and a photo where walls are sky there, and else have that color."""
    photo = torch.empty(3, *classes.shape, dtype=torch.uint8)
    around = (classes == BACKGROUND) | sky
    for channel, (over, wall) in enumerate(zip(SKY_COLOR, wall_color, strict=True)):
        photo[channel] = torch.where(around, over, wall)
    return Pair("house", photo, classes, torch.ones_like(classes, dtype=torch.bool))


def found_in(some: Pair) -> skies.Skies | None:
    return skies.photographed(some, WALL, BACKGROUND, SIDE_PX)


class Everywhere(OpenSky):
    """Takes the upper half of any map for sky."""

    def logits(self, square: Tensor) -> Tensor:
        half = torch.ones(len(square), 1, self.size_px // 2, self.size_px // 2)
        half[:, :, self.size_px // 4 :] = -1
        return half


def everywhere() -> OpenSky:
    return Everywhere(CLASS_COUNT, WALL, BACKGROUND).eval()


def test_photos_show_sky_on_both_sides_of_a_gable() -> None:
    found = found_in(pair(beside_gable(), class_map()))
    assert found is not None and found.known.all()
    assert (found.sky != beside_gable()).float().mean() < 0.02
    assert not (found.sky & (class_map() != WALL)).any()


def test_photos_show_sky_in_walls_that_reach_their_upper_edge() -> None:
    classes = class_map()[BOX[0].start : BOX[0].stop, BOX[1]].clone()
    sky = beside_gable()[BOX[0].start : BOX[0].stop, BOX[1]]
    found = found_in(pair(sky, classes))
    assert found is not None and (found.sky != sky).float().mean() < 0.02


def test_walls_that_fill_their_box_have_none() -> None:
    found = found_in(pair(torch.zeros_like(class_map(), dtype=torch.bool), class_map()))
    assert found is not None and not found.sky.any()


def test_sky_is_seen_below_wedges() -> None:
    shown = pair(beside_gable(), class_map())
    wedge = torch.arange(SIDE_PX)[:, None] + torch.arange(SIDE_PX) < 50
    shown.photo[:, wedge] = 0
    found = found_in(Pair("house", shown.photo, shown.classes, ~wedge))
    assert found is not None and torch.equal(found.known, ~wedge)
    assert (found.sky != beside_gable() & ~wedge).float().mean() < 0.02
    assert not (found.sky & wedge).any()


def test_below_a_window_nothing_is_sky() -> None:
    classes = class_map()
    classes[20:28, 30:46] = WINDOW
    light = beside_gable() & (torch.arange(SIDE_PX)[:, None] >= 28) & (torch.arange(SIDE_PX) < 46)
    found = found_in(pair(light & (classes == WALL), classes))
    assert found is not None and not found.sky[28:, 34:42].any()


def test_where_walls_are_as_pale_as_the_sky_it_cannot_be_told() -> None:
    assert found_in(pair(beside_gable(), class_map(), wall_color=(175, 188, 205))) is None


def test_maps_without_walls_and_skies_of_no_sky_color_tell_nothing() -> None:
    nothing = torch.zeros_like(class_map(), dtype=torch.bool)
    assert found_in(pair(nothing, torch.full_like(class_map(), BACKGROUND))) is None
    dusk = pair(nothing, class_map())
    dusk.photo[:, class_map() == BACKGROUND] = torch.tensor([[90], [40], [20]], dtype=torch.uint8)
    assert found_in(dusk) is None


def test_specks_are_no_sky() -> None:
    speck = torch.zeros_like(class_map(), dtype=torch.bool)
    speck[BOX[0].start : BOX[0].start + 5, 60:67] = True
    found = found_in(pair(speck, class_map()))
    assert found is not None and not found.sky.any()


def test_samples_follow_from_their_number_and_keep_map_and_sky_together() -> None:
    found = found_in(pair(beside_gable(), class_map()))
    assert found is not None
    drawn = [skies.draw([found], 0, number) for number in range(20)]
    again = skies.draw([found], 0, 7)
    assert all(torch.equal(x, y) for x, y in zip(drawn[7], again, strict=True))
    assert len({sample.classes.numpy().tobytes() for sample in drawn}) > 10
    for sample in drawn:
        assert sample.classes.shape == sample.sky.shape == (OpenSky.size_px, OpenSky.size_px)
        assert (sample.sky & (sample.classes != WALL)).float().mean() < 0.02


@pytest.mark.parametrize("size", [(128, 128), (64, 200), (33, 47), (600, 500)])
def test_sky_is_told_in_walls_alone_and_where_it_reaches_the_upper_edge(size: tuple[int, int]) -> None:
    height, width = size
    classes = torch.full((1, height, width), WALL, dtype=torch.uint8)
    classes[:, :3, : width // 2] = BACKGROUND
    classes[:, height // 8 : height // 6 + 1, : width // 4] = WINDOW
    told, _ = everywhere()(classes, torch.rand(1, CLASS_COUNT, 3))
    changed = told != classes
    assert told.dtype == torch.uint8 and (told[changed] == BACKGROUND).all()
    assert changed[:, : height // 8, width // 2 :].all()
    assert changed[:, height // 6 + 1 : height // 2 - 2, width // 4 + 1 :].all()
    assert not changed[:, height // 8 :, : width // 4].any()  # below the window
    assert not changed[:, height // 2 + 2 :].any()


def test_maps_are_told_alike_alone_and_beside_others() -> None:
    torch.manual_seed(0)
    telling, classes, colors = network(), class_map()[None], torch.rand(1, CLASS_COUNT, 3)
    with torch.no_grad():
        both = telling(torch.cat([classes, classes.flip(2)]), colors.expand(2, -1, -1))
        for number, alone in enumerate((telling(classes, colors), telling(classes.flip(2), colors))):
            assert all(torch.equal(x[number], y[0]) for x, y in zip(both, alone, strict=True))


class Above(OpenSky):
    """Takes what is above a row of the square, of which that many per cent are above it, for sky."""

    per_cent = 10

    def logits(self, square: Tensor) -> Tensor:
        cells = (
            torch.arange(self.size_px // 2).view(1, 1, -1, 1).expand(len(square), 1, -1, self.size_px // 2)
        )
        return self.per_cent / 100 * (self.size_px // 2) - 0.5 - cells.float()


@pytest.mark.parametrize(
    ("per_cent", "wall", "kept"), [(0, 0.2, True), (5, 0.3, True), (10, 0.6, True), (30, 0.2, False)]
)
def test_walls_make_up_for_sky_up_to_a_limit(per_cent: int, wall: float, kept: bool) -> None:
    telling = Above(CLASS_COUNT, WALL, BACKGROUND)
    telling.per_cent = per_cent
    classes, colors = torch.full((1, 200, 200), WALL, dtype=torch.uint8), torch.full((1, CLASS_COUNT, 3), 0.5)
    colors[:, WALL] = wall
    told, shown = telling(classes, colors)
    share = (told == BACKGROUND).float().mean()
    assert float(share) == pytest.approx(per_cent / 100, abs=0.01)
    mean = share * (0.5 + OpenSky.sky_lighter) + (1 - share) * shown[:, WALL]
    assert torch.allclose(mean, colors[:, WALL]) == kept
    assert (shown - colors).abs().max() <= OpenSky.most_made_up + 1e-6
    assert torch.equal(shown[:, WALL + 1 :], colors[:, WALL + 1 :]) and torch.equal(shown[:, 0], colors[:, 0])


@pytest.mark.parametrize("wall", [0.0, 1.0])
def test_what_walls_make_up_with_is_a_color(wall: float) -> None:
    colors = torch.full((1, CLASS_COUNT, 3), 0.5)
    colors[:, WALL] = wall
    for sky in (0.0, 1.0):
        colors[:, BACKGROUND] = sky
        _, shown = everywhere()(torch.full((1, 64, 64), WALL, dtype=torch.uint8), colors)
        assert shown.min() >= 0 and shown.max() <= 1


def test_maps_without_walls_keep_their_colors() -> None:
    classes, colors = torch.full((1, 64, 64), WINDOW, dtype=torch.uint8), torch.rand(1, CLASS_COUNT, 3)
    told, shown = everywhere()(classes, colors)
    assert torch.equal(told, classes) and torch.equal(shown, colors)


def test_label_sets_without_walls_or_surroundings_have_none() -> None:
    assert OpenSky.of(["wall", "background"]) is None and OpenSky.of(["facade", "sky"]) is None


class Painter(nn.Module):
    """Makes pictures of the classes as they are told."""

    def forward(
        self, classes: Tensor, colors: Tensor, top: int, left: int, drawn_as: Tensor | None = None
    ) -> Tensor:
        return (classes.float() / CLASS_COUNT)[:, None].expand(-1, 3, -1, -1).clone()


def test_generators_are_told_once() -> None:
    module = ScriptedGenerator(
        Painter(),
        nn.Identity(),
        torch.rand(1, CLASS_COUNT, 3),
        NATIVE_PX,
        None,
        Neighbors.of(FACADES.classes, 4 * SIDE_PX, 32),
        everywhere(),
    )
    classes, colors = class_map()[None], torch.rand(1, CLASS_COUNT, 3)
    prepared = module.prepare(classes, colors)
    told, shown = everywhere()(classes, colors)
    assert torch.equal(prepared[0], told) and not torch.equal(told, classes)
    assert torch.equal(prepared[1][:, :CLASS_COUNT], shown) and not torch.equal(shown, colors)
    # A part of it has another upper half.
    part = prepared[0][:, 32:96]
    assert torch.equal(module.prepare(part, prepared[1])[0], part)
    assert torch.equal(module(*prepared)[:, :, 32:96], module(part, prepared[1]))
    assert torch.equal(module(*prepared), module(classes, colors))


class Town(Painter):
    """Paints a dark wall below the upper third, light sky above, whatever the map is."""

    def forward(
        self, classes: Tensor, colors: Tensor, top: int, left: int, drawn_as: Tensor | None = None
    ) -> Tensor:
        rows = torch.linspace(0, 1, classes.shape[1]).view(1, 1, -1, 1)
        return torch.where(rows < 1 / 3, 0.8, -0.4).expand(1, 3, *classes.shape[1:])


def test_refinements_learn_from_maps_as_generators_are_told_them() -> None:
    neighbors, colors = Neighbors.of(FACADES.classes, NATIVE_PX, 32), torch.rand(1, CLASS_COUNT, 3)
    module = ScriptedGenerator(Town(), nn.Identity(), colors, NATIVE_PX, None, neighbors, everywhere())
    classes, shown = module.prepare(class_map()[None], colors)
    drawn = ColoredMap(class_map()[None], colors).in_use(Town(), neighbors, everywhere())
    assert torch.equal(drawn.classes, classes) and torch.equal(drawn.colors, shown)
    assert (classes == CLASS_COUNT).any() and (classes[0, BOX[0].start, BOX[1]] == BACKGROUND).all()


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs, named as the CMP base has them: sky on both sides of a gable, and none."""
    folder = tmp_path_factory.mktemp("houses")
    (folder / "train").mkdir()
    for number, sky in enumerate((beside_gable(), torch.zeros_like(beside_gable()))):
        made = pair(sky, class_map())
        rendered = labels.render(made.classes.numpy(), FACADES.palettes[0])
        Image.fromarray(rendered).save(folder / "train" / f"{number}.png")
        photo = np.ascontiguousarray(made.photo.permute(1, 2, 0).numpy())
        Image.fromarray(photo).save(folder / "train" / f"{number}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def told(projected_weights: Path, houses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a run that was not stopped, tried in a fresh process."""
    out = tmp_path_factory.mktemp("told") / "out.pt"
    assert open_sky.main(arguments(projected_weights, houses, out)) == 0
    return out


def test_weights_come_out_that_have_all_they_had(projected_weights: Path, told: Path) -> None:
    was, now = state(projected_weights), state(told)
    assert all(torch.equal(value, now[name]) for name, value in was.items())
    added = now.keys() - was.keys()
    assert added and all(name.startswith("open_sky.") for name in added)
    card = generator.load(told, device="cpu").card
    assert card.training["open_sky"]["steps"] == 3 and card.training["open_sky"]["pairs"] == 2
    assert card.training["recipe"] == "projected"


def test_refinements_keep_what_tells_sky(
    told: Path, houses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_check_parity", lambda module, path, card: None)
    out = tmp_path / "refined.pt"
    assert refine.main(arguments(told, houses, out, steps=1)) == 0
    was, now = state(told), state(out)
    assert all(torch.equal(now[name], value) for name, value in was.items() if name.startswith("open_sky."))


def test_runs_that_start_from_them_keep_what_tells_sky(
    told: Path, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_check_parity", lambda module, path, card: None)
    out = tmp_path / "more.pt"
    options = {"data": pairs_folder, "out": out, "run-dir": tmp_path / "run", "steps": 1, "start-from": told}
    assert fit.main(words(options | {"batch-size": 1, "size-px": NATIVE_PX, "device": "cpu"})) == 0
    was, now = state(told), state(out)
    assert all(torch.equal(now[name], value) for name, value in was.items() if name.startswith("open_sky."))


def test_a_stopped_run_goes_on_exactly(
    projected_weights: Path, houses: Path, told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_check_parity", lambda module, path, card: None)
    stopped = tmp_path / "stopped.pt"
    torch.manual_seed(12345)  # as another process is elsewhere
    with asked_to_stop():
        assert open_sky.main(arguments(projected_weights, houses, stopped)) == 130
    assert not stopped.exists()
    assert open_sky.main(arguments(projected_weights, houses, stopped)) == 0
    found = state(stopped)
    assert all(torch.equal(value, found[name]) for name, value in state(told).items())


def test_it_learns_where_sky_is() -> None:
    found = found_in(pair(beside_gable(), class_map()))
    assert found is not None
    torch.manual_seed(0)
    options, learnt = open_sky.Options(30, 2, 0), network()
    teaching = open_sky.Teaching(learnt, [found], options, torch.device("cpu"), World())
    for _ in range(options.steps):
        teaching.step()
    told = learnt.eval()(class_map()[None], torch.rand(1, CLASS_COUNT, 3))[0][0] == BACKGROUND
    sky = beside_gable() | (class_map() == BACKGROUND)
    assert (told != sky).float().mean() < 0.6 * beside_gable().float().mean()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"steps": 0}, "--steps must be at least 1"),
        ({"seed": -1}, "--seed must be at least 0, not -1"),
        ({"checkpoint-every": 0}, "--checkpoint-every must be at least 1"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(
    projected_weights: Path,
    houses: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    problem: str,
) -> None:
    capsys.readouterr()
    assert open_sky.main(arguments(projected_weights, houses, tmp_path / "out.pt", **options)) == 2
    heard = capsys.readouterr().err
    assert problem in heard and heard.count("\n") == 1
    assert not (tmp_path / "out.pt").exists()


def test_a_run_is_not_gone_on_with_in_another_way(
    projected_weights: Path, houses: Path, told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_sky.main(arguments(projected_weights, houses, told, seed=1)) == 1
    assert "another seed" in capsys.readouterr().err


def test_pairs_that_show_no_walls_are_told_in_one_line(
    projected_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train").mkdir()
    for suffix in (".png", ".jpg"):
        Image.new("RGB", (64, 64), FACADES.palettes[0].colors[0]).save(tmp_path / "train" / f"1{suffix}")
    capsys.readouterr()
    assert open_sky.main(arguments(projected_weights, tmp_path, tmp_path / "out.pt")) == 1
    assert f"{tmp_path}: no pair in its train split shows" in capsys.readouterr().err.replace("\n", "")
    assert not (tmp_path / "out.pt").exists()


def test_networks_of_another_kind_are_told_before_training(
    tiny_weights: Path, houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_sky.main(arguments(tiny_weights, houses, tmp_path / "out.pt")) == 1
    assert "has other networks than the recipe 'projected'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
