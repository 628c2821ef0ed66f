"""Have a generator learn from its own pictures, and save it as another weights file.

python -m training.refine --weights WEIGHTS --data DIR --out WEIGHTS
"""

import copy
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from cyclopts import App, Parameter
from rich.console import Console
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facadegen.device import choose_device
from facadegen.errors import UsageError
from facadegen.weights import Card, read_card
from training import checkpoint, command
from training.distributed import World, average_gradients, joined
from training.export import export, source_commit
from training.loop import Schedule, go_back
from training.networks.lean_unet import LeanUNet, folded
from training.pretrained import PretrainedWeights, read_weights
from training.resumable import Run
from training.retouching.label_maps import fingerprint
from training.retouching.lesson import Lesson
from training.retouching.parts import Parts
from training.stages import Stages

BETAS = (0.5, 0.99)
EMA_DECAY = 0.99
RAMP_STEPS = 20

app = App(name="python -m training.refine", help_format="plaintext", version_flags=[])


@dataclass(frozen=True)
class Options:
    """What shapes the weights, but for those to begin with. start_share: how far back towards these, 0..1.

    Raises:
        UsageError: a value that cannot work.
    """

    steps: int
    batch_size: int
    rate: float
    seed: int
    start_share: float

    def __post_init__(self) -> None:
        command.require_at_least(1, steps=self.steps, batch_size=self.batch_size)
        command.require_at_least(0, seed=self.seed)
        if not 0 < self.rate < 1:
            raise UsageError(f"--rate must lie between 0 and 1, not {self.rate}")
        command.require_shares(start_share=self.start_share)

    @property
    def while_learning(self) -> dict[str, Any]:
        """What a run must share with the one it goes on with."""
        return {name: value for name, value in asdict(self).items() if name != "start_share"}


class Refinement:
    """A generator that learns from a frozen copy of what it was; `step` moves it on by one batch."""

    def __init__(
        self, generator: LeanUNet, lesson: Lesson, options: Options, device: torch.device, world: World
    ) -> None:
        self.lesson, self.options, self.device, self.world = lesson, options, device, world
        # Statistics of BatchNorms stay as they are in use.
        self.generator = generator.eval().to(device)
        self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.before = folded(generator).requires_grad_(False)
        self.start = copy.deepcopy(generator.state_dict())
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
        self.optimizer = torch.optim.Adam(self.generator.parameters(), options.rate, BETAS)
        self.schedule = Schedule(options.steps, ramp=RAMP_STEPS, decay_from=0.0)
        self.steps, self.done, self.seconds = options.steps, 0, 0.0

    def step(self) -> None:
        """One step: a batch of samples, one by one, for maps differ in size."""
        since = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * self.schedule.factor(self.done)
        self.optimizer.zero_grad(set_to_none=True)
        share = self.world.share(self.options.batch_size)
        first = self.done * self.options.batch_size + self.world.rank * share
        for number in range(first, first + share):
            (self.lesson.loss(self.generator, self.before, number) / share).backward()
        average_gradients(self.generator, self.world)
        self.optimizer.step()
        self.average.update_parameters(self.generator)
        self.done += 1
        self.seconds += time.perf_counter() - since

    def learnt(self) -> nn.Module:
        """The averaged generator, gone back towards what it was."""
        generator: nn.Module = copy.deepcopy(self.average.module)
        go_back(generator, self.start, self.options.start_share)
        return generator

    def state(self) -> dict[str, Any]:
        """All that changes, for a checkpoint."""
        return {
            "done": self.done,
            "seconds": self.seconds,
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.done, self.seconds = state["done"], state["seconds"]
        self.generator.load_state_dict(state["generator"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


@app.default
def refine(
    *,
    weights: Path,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative=())],
    out: Path,
    run_dir: Path | None = None,
    steps: int = 480,
    batch_size: int = 8,
    rate: float = 4e-4,
    seed: int = 0,
    start_share: float = 0.3,
    device: str = "auto",
    checkpoint_every: int = 50,
) -> int:
    """Have a generator learn from its own pictures, without photos, in an hour.

    It learns to leave slanted strokes out of balconies and lintels, foliage and stains out of blank walls, to
    have even skies above neighbors' rooflines, the same sky among roofs, which label maps call wall, and to
    have classes in the colors asked for. All else stays as it is.

    The same command again goes on where a stopped run was.

    Parameters
    ----------
    weights
        A weights file of the recipe `projected` that you trust.
    data
        Folders of pairs, one or more; of them only label maps are used, no photos.
    out
        The weights file to write.
    run_dir
        The run's folder, for its checkpoint. Default: OUT's name in `runs/`, with `-refined`.
    steps
        How many steps to train.
    batch_size
        Label maps a step, over all processes.
    rate
        The learning rate to begin with.
    seed
        What everything random follows from.
    start_share
        How far back towards the generator of WEIGHTS the one written lies: 0 is all that was learnt.
    device
        auto, cpu, cuda or mps.
    checkpoint_every
        Steps between checkpoints.
    """
    options = Options(steps, batch_size, rate, seed, start_share)
    command.require_at_least(1, checkpoint_every=checkpoint_every)
    folder = run_dir or Path("runs", f"{out.stem}-refined")
    chosen = choose_device(device)
    card = read_card(weights)
    start = read_weights(weights, card)
    with joined(chosen) as world:
        world.share(batch_size)  # or it is refused here
        # Weights are scaled as random ones are: in all processes, and the next time, by the same.
        torch.manual_seed(seed)
        generator = start.build_generator(card.label_set, weights)
        open_sky = start.build_open_sky(card.label_set)
        parts = Parts.of(card.label_set, card.native_size_px, chosen, open_sky)
        lesson = Lesson.read(data, card.label_set, start.color_sets, parts, seed)
        console = Console(stderr=True, markup=False, quiet=not world.leads)
        refinement = Refinement(generator, lesson, options, chosen, world)
        maps = fingerprint(lesson.maps.classes)
        shape = options.while_learning | {"label_maps": maps, "weights": start.sha256}
        run = Run(refinement, folder, checkpoint.REFINE, shape, [source_commit()])
        if not run.complete(console, out, checkpoint_every):
            return command.INTERRUPTED
        if world.leads:
            write_weights(run, refinement, card, start, out, [folder.name for folder in data])
            with Stages(console) as stages:
                was, now = (
                    lesson.left(each, stages.start(title))
                    for each, title in (
                        (refinement.before, "measuring what was to be learnt"),
                        (refinement.learnt(), "measuring what is left"),
                    )
                )
            console.print(f"wrote {out}; what there is to be put right, in levels of 255, before and now:")
            for name in was:
                console.print(f"{name}: {was[name]:.2f}, {now[name]:.2f}")
    return command.DONE


def write_weights(
    run: Run, refinement: Refinement, card: Card, start: PretrainedWeights, path: Path, data: list[str]
) -> None:
    """Export what was learnt, all else as it was in the weights file that it began with.

    Raises:
        TrainingError: as `export`.
    """
    training = {
        "recipe": "refined",
        **asdict(refinement.options),
        "label_maps": len(refinement.lesson.maps.classes),
        "data": data,
        **run.card_entries(),
        "start_from": card.training | {"sha256": start.sha256},
    }
    export(
        refinement.learnt(),
        start.build_parser(card.label_set),
        start.color_sets,
        replace(card, training=training, scores={}).to_json(),
        path,
        refinement.lesson.parts.open_sky,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 data or run unusable, 2 usage, weights or output unusable, 130 stopped."""
    return command.run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
