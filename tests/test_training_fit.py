"""Fit: weights come out, a killed run goes on exactly, several processes share a run, faults are one line."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

from facadegen import generator
from facadegen.device import limit_threads
from facadegen.errors import TrainingError
from facadegen.palettes import FACADES, LabelSet
from facadegen.torchscript import quiet
from training import checkpoint, command, export, fit, recipes
from training.data import label_set_of
from training.logbook import Logbook, read_metrics
from training.networks.glazing import Glazing
from training.networks.lean_unet import LeanUNet
from training.networks.pix2pix_unet import Pix2PixUNet
from training.pretrained import read_pretrained

ROOT = Path(__file__).parents[1]


def arguments(data: Path, out: Path, **changes: Any) -> list[str]:
    options = {
        "data": data,
        "out": out,
        "run-dir": out.with_suffix(""),
        "steps": 3,
        "batch-size": 2,
        "size-px": 64,
        "device": "cpu",
        "precision": "fp32",
        "log-every": 1,
        "sample-every": 3,
        "checkpoint-every": 1,
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)]


def run_fit(arguments: list[str]) -> int:
    """The command's exit code, in this process, on one thread, as `spawn` has it: sums depend on that."""
    limit_threads(1)
    return fit.main(arguments)


def spawn(arguments: list[str], launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(launcher or ()), "-m", "training.fit", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def parameters(weights: Path) -> list[torch.Tensor]:
    with quiet():
        return list(torch.jit.load(weights).state_dict().values())


@pytest.fixture(scope="module")
def finished(pairs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of an uninterrupted run of three steps."""
    out = tmp_path_factory.mktemp("fit") / "weights.pt"
    assert run_fit(arguments(pairs_folder, out, recipe="projected")) == 0
    return out


@pytest.fixture
def short_ending(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without a fresh process that tries the weights, and without curves: `finished` had both."""
    monkeypatch.setattr(export, "_check_parity", lambda module, path, card: None)
    monkeypatch.setattr(Logbook, "curves", lambda logbook: None)


def test_the_weights_load_and_run_as_the_tool_does_it(finished: Path) -> None:
    made = generator.load(finished, device="cpu", precision="fp32")
    assert made.card.native_size_px == 64 and made.card.training["steps"] == 3
    assert made.card.context_px == LeanUNet.context_px + Glazing.reach_px, "the same in tiles"
    classes = np.ones((1, 70, 90), np.uint8)
    assert made.generate(classes, made.color_sets[:1]).shape == (1, 70, 90, 3)
    assert made.estimate_colors(np.full((50, 60, 3), 99, np.uint8)).shape == (12, 3)
    with quiet():
        assert torch.jit.load(finished).parser_size_px == 64, "photos are parsed as large as in training"


def test_the_run_folder_tells_the_run(finished: Path) -> None:
    run = finished.with_suffix("")
    options = json.loads((run / "options.json").read_text())
    assert options["recipe"] == "projected" and options["seed"] == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3] and rows[0]["l1"] > 0
    assert (run / "samples" / "000003.jpg").stat().st_size > 1000
    assert (run / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert list((run / "tensorboard").iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("short_ending")
def test_a_killed_run_goes_on_exactly(finished: Path, pairs_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights.pt"
    command = arguments(pairs_folder, out)
    process = spawn(command)
    assert process.stderr is not None
    # Plain lines tell of each step where stderr is no terminal.
    for line in process.stderr:
        if line.startswith("step 2"):
            process.kill()
            break
    process.wait()
    process.stderr.close()
    assert (out.with_suffix("") / "checkpoint.pt").exists() and not out.exists()
    assert run_fit(command) == 0
    for resumed, straight in zip(parameters(out), parameters(finished), strict=True):
        assert torch.equal(resumed, straight)
    rows = (out.with_suffix("") / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3]


@pytest.mark.slow
def test_two_processes_share_a_run(pairs_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights.pt"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = spawn(arguments(pairs_folder, out, steps=2), launcher)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert generator.load(out, device="cpu", precision="fp32").card.training["steps"] == 2


@pytest.mark.usefixtures("short_ending")
def test_weights_are_written_beside_the_caller(
    pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_fit(arguments(pairs_folder, Path("my.pt"), steps=1)) == 0
    assert generator.load(tmp_path / "my.pt", device="cpu").card.training["steps"] == 1


def test_a_run_of_other_data_or_networks_is_refused(
    finished: Path, pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pairs_folder, tmp_path / "data")
    next((tmp_path / "data" / "train").iterdir()).unlink()
    assert run_fit(arguments(tmp_path / "data", finished)) == 1
    assert "holds a run with another data" in capsys.readouterr().err
    run = shutil.copytree(finished.with_suffix(""), tmp_path / "run")
    state = checkpoint.load(run / "checkpoint.pt", checkpoint.FIT)
    assert state is not None
    state["trainer"]["parser"].popitem()
    checkpoint.save(run / "checkpoint.pt", state, checkpoint.FIT)
    assert run_fit(arguments(pairs_folder, finished, run_dir=run)) == 1
    assert "holds a run of other networks" in capsys.readouterr().err


class NarrowPix2Pix(recipes.Pix2Pix):
    """The recipe with an eighth of its channels: a step of the whole one takes a gigabyte."""

    def __init__(self, label_set: LabelSet) -> None:
        super().__init__(label_set, width=8)


def test_other_classes_are_no_start_and_no_way_to_go_on(
    finished: Path, pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same number of them in another order would swap walls and windows in every network."""
    folder = shutil.copytree(pairs_folder, tmp_path / "facades")
    colors = dict(zip(FACADES.classes, FACADES.palettes[0].colors, strict=True))
    turned = {name: "#{:02x}{:02x}{:02x}".format(*colors[name]) for name in reversed(FACADES.classes)}
    (folder / "palette.json").write_text(json.dumps(turned))
    assert run_fit(arguments(folder, finished)) == 1
    assert "holds a run with another data, classes" in capsys.readouterr().err
    start = finished.with_suffix("") / checkpoint.NAME
    assert run_fit(arguments(folder, tmp_path / "on.pt", start_from=start)) == 1
    assert "has the classes background, facade, window" in capsys.readouterr().err


def test_pix2pix_weights_come_from_the_same_command(
    pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "pix2pix", NarrowPix2Pix)
    out = tmp_path / "baseline.pt"
    options = {"recipe": "pix2pix", "size_px": 256, "steps": 1, "batch_size": 2}
    assert run_fit(arguments(pairs_folder, out, **options)) == 0
    card = generator.load(out, device="cpu", precision="fp32").card
    assert card.stride == 256 and card.style == "none"
    assert card.context_px == Pix2PixUNet.context_px, "the paper's generator has no panes of ours"


def test_a_signal_stops_after_the_step_in_hand(
    pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "weights.pt"
    step = fit.loop.Trainer.step

    def interrupted(self: Any, batch: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return step(self, batch)

    monkeypatch.setattr(fit.loop.Trainer, "step", interrupted)
    assert run_fit(arguments(pairs_folder, out, checkpoint_every=100)) == 130
    state = checkpoint.load(tmp_path / "weights" / "checkpoint.pt", checkpoint.FIT)
    assert state is not None and state["trainer"]["done"] == 1
    assert not out.exists()
    assert "the same command goes on" in capsys.readouterr().err


def test_a_signal_ignored_from_the_start_stops_nothing() -> None:
    """As Ctrl-C is in the background of a script."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with command.stop_on_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()


def test_after_the_last_step_signals_end_the_process_as_ever() -> None:
    with command.stop_on_signals():
        pass
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("short_ending")
def test_a_finished_run_goes_on_from_a_restart(finished: Path, pairs_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.with_suffix(""), tmp_path / "weights")
    out = tmp_path / "weights.pt"
    assert run_fit(arguments(pairs_folder, out, steps=5, restarts=3)) == 0
    straight = tmp_path / "straight.pt"
    assert run_fit(arguments(pairs_folder, straight, steps=5, restarts=3)) == 0
    for lengthened, whole in zip(parameters(out), parameters(straight), strict=True):
        assert torch.equal(lengthened, whole)
    with quiet():
        card = generator.load(out, device="cpu", precision="fp32").card
    assert card.training["steps"] == 5 and card.training["restarts"] == [3]


@pytest.mark.usefixtures("short_ending")
def test_the_card_tells_that_a_run_went_on_in_another_precision(
    finished: Path, pairs_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.with_suffix(""), tmp_path / "weights")
    out = tmp_path / "weights.pt"
    assert run_fit(arguments(pairs_folder, out, steps=4, restarts=3, precision="bf16")) == 0
    card = generator.load(out, device="cpu", precision="fp32").card
    assert card.training["precision"] == "fp32, bf16"


@pytest.mark.usefixtures("short_ending")
def test_a_run_starts_from_a_weights_file(finished: Path, pairs_folder: Path, tmp_path: Path) -> None:
    """Its first steps teach the discriminators alone: two of them give the same pictures back."""
    out = tmp_path / "on.pt"
    assert run_fit(arguments(pairs_folder, out, start_from=finished, steps=2)) == 0
    before, after = (generator.load(path, device="cpu", precision="fp32") for path in (finished, out))
    classes = np.random.default_rng(0).integers(0, 12, (1, 64, 64), np.uint8)
    pictures = [made.generate(classes, finished_colors(made)) for made in (before, after)]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1
    start = after.card.training["start_from"]
    assert start["commits"] and len(start["sha256"]) == 64
    metrics = read_metrics(out.with_suffix(""))
    assert "d" in metrics[0] and "g" not in metrics[0] and "l1" not in metrics[0]


@pytest.mark.usefixtures("short_ending")
def test_a_run_starts_from_the_checkpoint_of_another(
    finished: Path, pairs_folder: Path, tmp_path: Path
) -> None:
    """With its discriminators, which know the generator: both learn from the first step on."""
    start = finished.with_suffix("") / checkpoint.NAME
    out = tmp_path / "on.pt"
    assert run_fit(arguments(pairs_folder, out, start_from=start, steps=2, batch_size=1, seed=5)) == 0
    metrics = read_metrics(out.with_suffix(""))
    assert all("g" in row and "d" in row for row in metrics)
    assert metrics[1]["rate"] == pytest.approx(read_metrics(finished.with_suffix(""))[1]["rate"])
    card = generator.load(out, device="cpu", precision="fp32").card
    assert card.training["start_from"]["steps"] == 3 and card.training["batch_size"] == 1
    assert card.training["steps"] == 2
    paths = (start, out.with_suffix("") / checkpoint.NAME)
    begun, ended = (torch.load(path, weights_only=True)["trainer"] for path in paths)
    for name, key in (
        ("average", "module.head.weight"),
        ("discriminator", "0.heads.0.mix.parametrizations.weight.original"),
    ):
        off = (ended[name][key] - begun[name][key]).abs().max()
        assert 0 < off < 0.01, f"two small steps from where the other run ended: {name}"
    assert all(torch.equal(ended["parser"][key], value) for key, value in begun["parser"].items())


@pytest.mark.usefixtures("short_ending")
def test_the_generators_rate_may_be_chosen(
    finished: Path, pairs_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "slow.pt"
    assert run_fit(arguments(pairs_folder, out, start_from=finished, steps=1, generator_rate=1e-5)) == 0
    assert 0 < read_metrics(out.with_suffix(""))[0]["rate"] <= 1e-5
    assert generator.load(out, device="cpu").card.training["generator_rate"] == 1e-5
    assert run_fit(arguments(pairs_folder, out, start_from=finished, steps=1, generator_rate=2e-5)) == 1
    assert "holds a run with another generator_rate" in capfd.readouterr().err
    assert run_fit(arguments(pairs_folder, out, start_from=finished, steps=1)) == 1
    assert "holds a run with another generator_rate" in capfd.readouterr().err


def test_a_checkpoint_of_another_recipe_is_no_start(
    finished: Path, pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = finished.with_suffix("") / checkpoint.NAME
    out = tmp_path / "w.pt"
    options = {"start_from": start, "recipe": "pix2pix", "size_px": 256, "batch_size": 1}
    assert run_fit(arguments(pairs_folder, out, **options)) == 1
    assert "has other networks than the recipe 'pix2pix'" in capsys.readouterr().err


@pytest.mark.usefixtures("short_ending")
def test_a_run_that_starts_from_weights_teaches_the_generator_after_its_discriminators(
    finished: Path, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(recipes.Projected.settings, acquaint_steps=1)
    monkeypatch.setattr(recipes.Projected, "settings", settings)
    out = tmp_path / "on.pt"
    assert run_fit(arguments(pairs_folder, out, start_from=finished, steps=2)) == 0
    first, second = read_metrics(out.with_suffix(""))
    assert "g" not in first and "g" in second
    assert second["rate"] == pytest.approx(read_metrics(finished.with_suffix(""))[1]["rate"] / 3)
    with quiet():
        before, after = (torch.jit.load(path).state_dict() for path in (finished, out))
    assert not torch.equal(before["network.head.weight"], after["network.head.weight"])
    # Statistics are settled: they stay.
    assert torch.equal(before["network.mix16.1.running_mean"], after["network.mix16.1.running_mean"])
    # A parser that has learnt stays, too.
    assert all(torch.equal(value, after[name]) for name, value in before.items() if "parser." in name)


@pytest.mark.usefixtures("short_ending")
def test_weights_may_lie_between_those_that_a_run_started_from_and_its_own(
    finished: Path, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes.Projected, "settings", replace(recipes.Projected.settings, acquaint_steps=0))
    monkeypatch.setattr(fit.loop, "PRETRAINED_RATE", 1000.0)  # so that halves do not round it away
    out, between = tmp_path / "on.pt", tmp_path / "between.pt"
    assert run_fit(arguments(pairs_folder, out, start_from=finished, steps=2)) == 0
    finished_run = {"run-dir": out.with_suffix(""), "start_from": finished, "start_share": 0.25, "steps": 2}
    assert run_fit(arguments(pairs_folder, between, **finished_run)) == 0
    with quiet():
        start, end, mixed = (torch.jit.load(path).state_dict() for path in (finished, out, between))
    start_head, end_head, mixed_head = (x["network.head.weight"].float() for x in (start, end, mixed))
    assert (start_head - end_head).abs().max() > 0.005
    assert torch.allclose(mixed_head, start_head * 0.25 + end_head * 0.75, atol=1e-4)
    assert torch.equal(mixed["parser.head.weight"], end["parser.head.weight"])
    assert generator.load(between, device="cpu").card.training["start_share"] == 0.25


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"start_share": 0.5}, "there are none"),
        ({"start_share": 1.5, "start_from": "weights.pt"}, "must lie in 0..1, not 1.5"),
    ],
)
def test_shares_of_no_start_and_impossible_ones_are_refused(
    changes: dict[str, Any],
    told: str,
    pairs_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_fit(arguments(pairs_folder, tmp_path / "on.pt", **changes)) == 2
    assert told in capfd.readouterr().err


@pytest.mark.usefixtures("short_ending")
def test_a_run_goes_on_from_the_weights_that_it_started_from_alone(
    finished: Path, pairs_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "on.pt"
    assert run_fit(arguments(pairs_folder, out, start_from=finished, steps=1)) == 0
    assert run_fit(arguments(pairs_folder, out, steps=1)) == 1
    assert "holds a run with another schedule, start_from" in capfd.readouterr().err


def test_weights_of_another_recipe_are_no_start(
    finished: Path, pairs_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changes = {"recipe": "pix2pix", "size_px": 256, "steps": 1}
    assert run_fit(arguments(pairs_folder, tmp_path / "on.pt", start_from=finished, **changes)) == 1
    assert f"{finished}: has other networks than the recipe 'pix2pix'" in capfd.readouterr().err


def test_weights_for_other_classes_are_no_start(finished: Path, pairs_folder: Path, tmp_path: Path) -> None:
    data = shutil.copytree(pairs_folder, tmp_path / "own")
    (data / "palette.json").write_text('{"wall": "#0000aa", "window": "#0055ff"}', encoding="utf-8")
    with pytest.raises(TrainingError, match=r"has the classes background, .*; the data has wall, window"):
        read_pretrained(finished, label_set_of((data,)))


def test_a_run_with_another_schedule_behind_it_is_refused(
    finished: Path, pairs_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_fit(arguments(pairs_folder, finished, steps=5, restarts=2)) == 1
    assert "holds a run with another schedule" in capsys.readouterr().err


def test_a_run_with_other_options_is_refused(
    finished: Path, pairs_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_fit(arguments(pairs_folder, finished, seed=7)) == 1
    assert "holds a run with another seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "nowhere"}, "nowhere: no such folder"),
        ({"restarts": 3}, "--restarts must rise within 1..2, not 3"),
        ({"batch_size": 0}, "--batch-size must be at least 1, not 0"),
        ({"generator_rate": 0}, "--generator-rate must lie between 0 and 1, not 0.0"),
        ({"recipe": "pix2pix", "size_px": 384}, "--size-px must be a multiple of 256 from 256 on"),
        ({"size_px": 100}, "--size-px must be a multiple of 32"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"workers": -1}, "--workers must be at least 0, not -1"),
        ({"seed": -1}, "--seed must be at least 0, not -1"),
    ],
)
def test_what_cannot_work_is_one_line(
    pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: Any, message: str
) -> None:
    code = run_fit(arguments(**({"data": pairs_folder, "out": tmp_path / "w.pt"} | changes)))
    assert code == (1 if "data" in changes else 2)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_beside_a_gpu_other_processes_prepare_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "available_cpus", lambda: 16)
    assert fit.usual_workers(torch.device("cpu")) == fit.usual_workers(torch.device("mps")) == 0
    assert fit.usual_workers(torch.device("cuda")) == 15
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert fit.usual_workers(torch.device("cuda")) == 3


def test_without_what_training_needs_commands_name_it_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['torchvision'] = None")
    command = [sys.executable, "-m", "training.fit", "--help"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "training needs torchvision: pip install 'facadegen[train]'" in line


def test_a_dry_run_writes_nothing(
    pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_fit([*arguments(pairs_folder, tmp_path / "w.pt"), "--dry-run"]) == 0
    assert "6 train and 2 val pairs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"step": 1}, checkpoint.FIT)

    def full(state: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(checkpoint.TrainingError, match="the one before it is kept"):
        checkpoint.save(path, {"step": 2}, checkpoint.FIT)
    state = checkpoint.load(path, checkpoint.FIT)
    assert state is not None and state["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"nonsense")
    with pytest.raises(checkpoint.TrainingError, match=r"checkpoint\.pt: no checkpoint that can be read"):
        checkpoint.load(path, checkpoint.FIT)


def test_a_checkpoint_of_another_command_or_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"step": 1}, checkpoint.REFINE)
    with pytest.raises(checkpoint.TrainingError, match=r"of training\.refine, expected one of training\.fit"):
        checkpoint.load(path, checkpoint.FIT)
    torch.save([1], path)
    with pytest.raises(checkpoint.TrainingError, match="checkpoint of format None"):
        checkpoint.load(path, checkpoint.FIT)


def test_the_learning_rate_ramps_up_holds_and_decays() -> None:
    rates = rates_of(fit.loop.Schedule(1000))
    assert rates[0] < 0.05 and rates[100] == rates[500] == 1.0
    assert rates[999] < 0.06 and all(a >= b for a, b in pairwise(rates[500:]))


def test_a_restart_begins_the_learning_rate_anew() -> None:
    once, again = rates_of(fit.loop.Schedule(1000)), rates_of(fit.loop.Schedule(3000, restarts=(1000,)))
    assert again[:1000] == once
    assert again[1000] < 0.05 and again[1100] == again[2000] == 1.0 and again[2999] < 0.06


def test_a_cycle_settles_after_its_first_third() -> None:
    schedule = fit.loop.Schedule(3000, restarts=(900,))
    settled = [step for step in range(3000) if schedule.settled(step)]
    assert settled == [*range(300, 900), *range(1600, 3000)]


def test_a_run_that_never_settles_may_be_lengthened_where_another_would_have_settled() -> None:
    names = ("log_every", "sample_every", "checkpoint_every")
    options = fit.FitOptions(
        data=(),
        out=Path("w.pt"),
        run=Path("w"),
        start_from=None,
        start_share=0.0,
        recipe="pix2pix",
        steps=300,
        restarts=(),
        batch_size=4,
        generator_rate=None,
        size_px=256,
        large_fraction=0.0,
        seed=0,
        device="cpu",
        precision="fp32",
        workers=0,
        **dict.fromkeys(names, 1),
    )
    longer = replace(options, steps=600)
    assert options.what_shapes_the_weights(140) == longer.what_shapes_the_weights(140)
    settling = [replace(each, recipe="projected") for each in (options, longer)]
    assert settling[0].what_shapes_the_weights(140) != settling[1].what_shapes_the_weights(140)


def test_a_row_cut_short_hides_no_later_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "a": 2.0}\n{"step": 2, "a"')
    with Logbook(tmp_path, 3, 1, 1, Console(quiet=True)) as logbook:
        for step in (2, 3):
            logbook.step(step, {"a": torch.tensor(4.0)}, 0.1)
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3]


def test_the_commit_is_that_of_this_source_tree_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "training").mkdir()
    installed = tmp_path / "site" / "training" / "export.py"
    monkeypatch.setattr(export, "__file__", str(installed))
    assert export.source_commit() == "unknown", "of a repository around an installation"
    monkeypatch.setattr(export, "__file__", str(tmp_path / "training" / "export.py"))
    monkeypatch.setenv("PATH", "")
    assert export.source_commit() == "unknown", "where there is no git"


def test_a_term_is_averaged_over_the_steps_that_have_it(tmp_path: Path) -> None:
    with Logbook(tmp_path, 4, 0, 4, Console(quiet=True)) as logbook:
        for step, terms in enumerate([{"a": 1.0}, {"a": 3.0, "b": 8.0}, {"a": 1.0}, {"a": 3.0}], 1):
            logbook.step(step, {name: torch.tensor(value) for name, value in terms.items()}, 0.1)
    (row,) = read_metrics(tmp_path)
    assert (row["a"], row["b"]) == (2.0, 8.0)


def finished_colors(made: generator.Generator) -> NDArray[np.float32]:
    return made.color_sets[:1]


def rates_of(schedule: fit.loop.Schedule) -> list[float]:
    return [schedule.factor(step) for step in range(schedule.steps)]
