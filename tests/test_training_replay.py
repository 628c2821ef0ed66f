"""Recorded steps: what lets a GPU do a step again without Python, and that it then does the same."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from facadegen.palettes import FACADES
from training.batch import Batch
from training.distributed import World
from training.loop import Schedule, Trainer
from training.networks.lean_unet import folded
from training.recipes import RECIPES
from training.replay import EAGER_STEPS

SIZE_PX = {"projected": 64, "pix2pix": 256}
# What gives Python a value, a tensor whose size depends on values, or a tensor of Python's: on a GPU each has
# to be waited for.
ASKING = [
    *("_local_scalar_dense", "aten.equal.", "bincount", "nonzero", "masked_select", "unique"),
    *("repeat_interleave.Tensor", "lift_fresh"),
]


class Asked(TorchDispatchMode):
    """Notes the operations that ask the device for something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.names: list[str] = []
        for name in ("tolist", "numpy"):  # no operations
            monkeypatch.setattr(Tensor, name, lambda x, name=name: self.names.append(name))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        by_mask = "index" in str(func) and any(
            isinstance(each, Tensor) and each.dtype in (torch.bool, torch.uint8)
            for given in args
            if isinstance(given, list | tuple)
            for each in given
        )
        if by_mask or any(name in str(func) for name in ASKING):
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def make_trainer(recipe: str, device: str = "cpu", steps: int = 1000) -> Trainer:
    torch.manual_seed(0)
    schedule = Schedule(RECIPES[recipe].settings.warmup_steps + steps, ramp=1)
    trainer = Trainer(RECIPES[recipe](FACADES), schedule, 0, torch.device(device), "fp32", World())
    trainer.done = trainer.recipe.settings.warmup_steps
    return trainer


def make_batch(size_px: int, close_up: bool = False, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    context = torch.randint(0, 12, (2, 3 * size_px // 2, 3 * size_px // 2), generator=generator).byte()
    classes = context[:, 3 : 3 + size_px, 5 : 5 + size_px].contiguous()
    colors = torch.rand(2, 12, 3, generator=generator)
    return Batch(
        photo=(torch.rand(2, 3, size_px, size_px, generator=generator) * 2 - 1) / (1 + seed % 4),
        classes=classes,
        valid=torch.ones(2, 1, size_px, size_px, dtype=torch.bool),
        photo_colors=colors,
        colors=colors,
        own=torch.ones(2),
        context=context if close_up else classes,
        corner=torch.tensor([[3, 5], [3, 5]]) if close_up else torch.zeros(2, 2, dtype=torch.int64),
        close_up=close_up,
    )


@pytest.mark.parametrize(
    ("recipe", "close_up"), [("projected", False), ("projected", True), ("pix2pix", False)]
)
def test_a_step_waits_for_no_answer_of_the_device(
    recipe: str, close_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(recipe)
    for optimizer in trainer.optimizers.values():  # those for a CPU do ask
        monkeypatch.setattr(optimizer, "step", lambda: None)
    batch = make_batch(SIZE_PX[recipe], close_up)
    trainer._learn(batch)  # what is made once may take its time
    with Asked(monkeypatch) as asked:
        terms = trainer._learn(batch)
    assert not asked.names
    assert len(terms) > 2, "the whole step was done"


def test_what_asks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(3)
    with Asked(monkeypatch) as asked:
        for ask in (
            lambda: int(x.sum()),
            lambda: x.tolist(),
            lambda: x[x > 0],
            lambda: torch.tensor([1.0, 2.0]),
            lambda: torch.bincount(x.long()),
        ):
            before = len(asked.names)
            ask()
            assert len(asked.names) > before


def test_a_checkpoint_goes_on_on_another_device() -> None:
    begun, resumed = make_trainer("projected"), make_trainer("projected")
    batch = make_batch(64)
    begun.step(batch)
    state = copy.deepcopy(begun.state())
    for saved in state["optimizers"].values():  # as on a GPU, whose optimizers are recorded
        for group in saved["param_groups"]:
            group |= {"capturable": True, "fused": True, "lr": torch.tensor(group["lr"])}
    resumed.restore(state)
    for trainer in (begun, resumed):
        trainer.step(batch)
    for name in ("generator", "discriminator", "parser"):
        expected = getattr(begun, name).state_dict()
        assert all(torch.equal(expected[key], x) for key, x in getattr(resumed, name).state_dict().items())


def pinned(batches: Iterator[Batch]) -> Iterator[Batch]:
    for batch in batches:
        yield Batch(**{name: x.pin_memory() for name, x in batch.tensors.items()}, close_up=batch.close_up)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_a_gpu_starts_from_weights_as_a_cpu_does() -> None:
    trained, other = make_trainer("projected"), make_trainer("projected", "cuda")
    state = folded(trained.generator.eval()).state_dict()
    other.start_from(state, trained.parser.state_dict())
    batch = make_batch(64)
    expected, found = (t.generate(t.generator, batch.classes, batch.colors) for t in (trained, other))
    assert torch.allclose(found.cpu(), expected, atol=0.02)
    other.step(next(pinned(iter([batch]))))  # of discriminators alone


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("recipe", ["projected", "pix2pix"])
def test_recorded_steps_do_what_steps_do(recipe: str) -> None:
    steps = 8 * EAGER_STEPS  # of two kinds, before and after BatchNorms settle

    def terms_of(trainer: Trainer) -> list[dict[str, float]]:
        found = []
        batches = (
            make_batch(SIZE_PX[recipe], recipe == "projected" and i % 2 > 0, i // 2) for i in range(steps)
        )
        for batch in pinned(batches):
            found.append({name: float(term) for name, term in trainer.step(batch).items()})
            trainer.averaged_generator(iter([batch]))  # between steps, as sheets are made
        return found

    recorded, eager = (make_trainer(recipe, "cuda", steps) for _ in range(2))
    eager.replays = None
    expected = terms_of(eager)
    for step, (found, terms) in enumerate(zip(terms_of(recorded), expected, strict=True)):
        for name, value in terms.items():
            assert found[name] == pytest.approx(value, rel=0.05, abs=0.01), (step, name)
    l1 = [terms["l1"] for terms in expected]
    assert max(l1) > 1.5 * min(l1), "batches differ, so that one in the place of another would show"
