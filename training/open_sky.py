"""Teach a weights file where sky is among roofs, and save it as another one.

python -m training.open_sky --weights WEIGHTS --data DIR --out WEIGHTS
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from cyclopts import App, Parameter
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facadegen.device import choose_device
from facadegen.errors import TrainingError, UsageError
from facadegen.weights import Card, read_card
from training import checkpoint, command, losses, skies
from training.data import fingerprint, mix_seeds, read_pairs
from training.distributed import World, average_gradients, joined, share_buffers
from training.export import export, source_commit
from training.loop import Schedule
from training.networks.discriminators import PatchDiscriminator
from training.networks.neighbors import Neighbors
from training.networks.open_sky import OpenSky
from training.pretrained import PretrainedWeights, read_weights
from training.resumable import Run
from training.stages import Stages

GENERATOR_RATE, DISCRIMINATOR_RATE, BETAS = 1e-3, 4e-4, (0.5, 0.99)
RAMP_STEPS, DECAY_FROM = 50, 0.5
EMA_DECAY = 0.99
TRUTH_WEIGHT = 4.0  # of what photos show, beside what discriminators take for sky that photos show
SEEN = (3, 1)  # layers of the two discriminators: one sees nearly all of a map, the other edges

app = App(name="python -m training.open_sky", help_format="plaintext", version_flags=[])


@dataclass(frozen=True)
class Options:
    """What shapes the network.

    Raises:
        UsageError: a value that cannot work.
    """

    steps: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        command.require_at_least(1, steps=self.steps, batch_size=self.batch_size)
        command.require_at_least(0, seed=self.seed)


class Teaching:
    """An `OpenSky` that learns from photos, as conditional GANs do (Isola et al., arXiv 1611.07004).

    Where photos show sky does not follow from label maps: roofs differ. What is probably sky has the soft
    outlines of all roofs there could be; discriminators ask for those of one.
    """

    def __init__(
        self,
        network: OpenSky,
        samples: Sequence[skies.Skies],
        options: Options,
        device: torch.device,
        world: World,
    ) -> None:
        self.samples, self.options, self.device, self.world = samples, options, device, world
        self.steps, self.done, self.seconds = options.steps, 0, 0.0
        self.network = network.train().to(device)
        channels = 2 + len(network.one_hot)  # sky, classes, and what is known
        self.discriminators = nn.ModuleList(
            PatchDiscriminator(channels, 32, layers, 3, spectral=True) for layers in SEEN
        ).to(device)
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY), use_buffers=True
        )
        self.optimizers = [
            torch.optim.Adam(each.parameters(), rate, BETAS)
            for each, rate in ((self.network, GENERATOR_RATE), (self.discriminators, DISCRIMINATOR_RATE))
        ]
        self.schedule = Schedule(options.steps, ramp=RAMP_STEPS, decay_from=DECAY_FROM)

    def step(self) -> None:
        """A step of the discriminators, and one of the network."""
        since = time.perf_counter()
        # For dropout: where a stopped run goes on it is the same.
        torch.manual_seed(mix_seeds(self.options.seed, 9, self.done, self.world.rank))
        for optimizer, rate in zip(self.optimizers, (GENERATOR_RATE, DISCRIMINATOR_RATE), strict=True):
            optimizer.param_groups[0]["lr"] = rate * self.schedule.factor(self.done)
        share = self.world.share(self.options.batch_size)
        first = self.done * self.options.batch_size + self.world.rank * share
        drawn = [
            skies.draw(self.samples, self.options.seed, number) for number in range(first, first + share)
        ]
        classes, sky, known = (torch.stack(each).to(self.device) for each in zip(*drawn, strict=True))
        matters = (known & (classes == self.network.wall))[:, None].float()
        true = sky[:, None].float()
        logits = F.interpolate(self.network.logits(classes), scale_factor=2.0, mode="bilinear")
        one_hot = losses.one_hot(classes, len(self.network.one_hot))
        condition = F.avg_pool2d(torch.cat([one_hot, known[:, None].float()], dim=1), OpenSky.cell_px)
        shown, made = (
            2 * F.avg_pool2d(each * matters, OpenSky.cell_px) - 1 for each in (true, logits.sigmoid())
        )
        for_network, for_discriminators = self.optimizers
        self._learn(
            self.discriminators,
            for_discriminators,
            self._judged(
                lambda judge: losses.hinge_discriminator(
                    judge(shown, condition), judge(made.detach(), condition)
                )
            ),
        )
        truth = F.binary_cross_entropy_with_logits(logits, true, reduction="none")
        self._learn(
            self.network,
            for_network,
            TRUTH_WEIGHT * (truth * matters).sum() / matters.sum().clamp(min=1)
            + self._judged(lambda judge: losses.hinge_generator(judge(made, condition))),
        )
        share_buffers(self.network, self.world)  # of BatchNorms, which saw a share alone
        self.average.update_parameters(self.network)
        self.done += 1
        self.seconds += time.perf_counter() - since

    def _judged(self, loss: Callable[[nn.Module], Tensor]) -> Tensor:
        return torch.stack([loss(judge) for judge in self.discriminators]).sum()

    def _learn(self, network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(network, self.world)
        optimizer.step()

    def state(self) -> dict[str, Any]:
        """All that changes, for a checkpoint."""
        return {
            "done": self.done,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "discriminators": self.discriminators.state_dict(),
            "optimizers": [each.state_dict() for each in self.optimizers],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.done, self.seconds = state["done"], state["seconds"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.discriminators.load_state_dict(state["discriminators"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


@app.default
def open_sky(
    *,
    weights: Path,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative=())],
    out: Path,
    run_dir: Path | None = None,
    steps: int = 2000,
    batch_size: int = 12,
    seed: int = 0,
    device: str = "auto",
    checkpoint_every: int = 200,
) -> int:
    """Teach a weights file where sky is among roofs, from photos, in a quarter of an hour.

    Label maps call it wall. All else in the weights stays as it is.

    The same command again goes on where a stopped run was.

    Parameters
    ----------
    weights
        A weights file of the recipe `projected` that you trust.
    data
        Folders of pairs, one or more.
    out
        The weights file to write.
    run_dir
        The run's folder, for its checkpoint. Default: OUT's name in `runs/`, with `-open-sky`.
    steps
        How many steps to train.
    batch_size
        Pairs a step, over all processes.
    seed
        What everything random follows from.
    device
        auto, cpu, cuda or mps.
    checkpoint_every
        Steps between checkpoints.
    """
    options = Options(steps, batch_size, seed)
    command.require_at_least(1, checkpoint_every=checkpoint_every)
    folder = run_dir or Path("runs", f"{out.stem}-open-sky")
    chosen = choose_device(device)
    card = read_card(weights)
    start = read_weights(weights, card)
    generator = start.build_folded(card.label_set, weights)
    torch.manual_seed(seed)  # what networks begin with is the same in all processes, and the next time
    network = OpenSky.of(card.label_set.classes)
    has = ", ".join(card.label_set.classes)
    if network is None:
        raise UsageError(f"has no class 'facade', or no 'background', to tell sky of (it has {has})", weights)
    if Neighbors.of(card.label_set.classes, card.native_size_px, card.stride) is None:
        raise UsageError(f"has too many classes to tell neighbors' walls as well (it has {has})", weights)
    with joined(chosen) as world:
        world.share(batch_size)  # or it is refused here
        console = Console(stderr=True, markup=False, quiet=not world.leads)
        with Stages(console) as stages:
            pairs = read_pairs(data, "train", card.label_set, stages.start("reading pairs"))
            shape = asdict(options) | {
                "pairs": fingerprint(pairs),
                "classes": list(card.label_set.classes),
                "native_size_px": card.native_size_px,
            }
            on_seen = stages.start("looking for sky")
            samples = skies.photographed_in(pairs, network, card.native_size_px, on_seen)
        del pairs  # as large as their photos are
        if not samples:
            raise TrainingError("no pair in its train split shows which of its walls are sky", data[0])
        teaching = Teaching(network, samples, options, chosen, world)
        run = Run(teaching, folder, checkpoint.OPEN_SKY, shape, [source_commit()])
        if not run.complete(console, out, checkpoint_every):
            return command.INTERRUPTED
        if world.leads:
            write_weights(run, teaching, generator, card, start, out, data)
            console.print(f"wrote {out}")
    return command.DONE


def write_weights(
    run: Run,
    teaching: Teaching,
    generator: nn.Module,
    card: Card,
    start: PretrainedWeights,
    out: Path,
    data: Sequence[Path],
) -> None:
    """Export what was learnt beside all that the weights file had.

    Raises:
        TrainingError: as `export`.
    """
    network = teaching.average.module
    assert isinstance(network, OpenSky)
    how = {
        **asdict(teaching.options),
        "pairs": len(teaching.samples),
        "data": [folder.name for folder in data],
        **run.card_entries(),
    }
    training = card.training | {"open_sky": how}
    export(
        generator,
        start.build_parser(card.label_set),
        start.color_sets,
        replace(card, training=training, scores={}).to_json(),
        out,
        network.eval(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 data or run unusable, 2 usage, weights or output unusable, 130 stopped."""
    return command.run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
