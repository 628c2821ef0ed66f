"""The training loop: reads straight down, knows no recipe."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from training import losses
from training.batch import Batch
from training.data import mix_seeds
from training.distributed import World, agreed, average_gradients, share_buffers
from training.networks.lean_unet import load_folded
from training.networks.parser import FacadeParser, seen_colors
from training.recipes import Recipe
from training.replay import Replays

PARSER_RATE = 1e-3
PARSER_COLOR_WEIGHT = 10.0
EMA_DECAY = 0.998
# What a pretrained generator's rate is multiplied by beside new discriminators: it must not forget what it
# learnt from others that knew more.
PRETRAINED_RATE = 1 / 3
# Of the statistics of BatchNorms: those that a cycle settles on are the mean of some fifty batches.
STATISTICS_MOMENTUM = 0.02


@dataclass(frozen=True)
class Schedule:
    """Learning rate over the steps: cycles of a linear ramp, a constant part and half a cosine down.

    A run that ended may start over from what it has learnt: a warm restart (SGDR, Loshchilov and Hutter 2017,
    arXiv 1608.03983), at each of `restarts`. From `settle_from` of a cycle on BatchNorm statistics stay:
    0..1, 0 for networks that begin with settled ones.
    """

    steps: int
    restarts: tuple[int, ...] = ()
    ramp: int = 100
    settle_from: float = 1 / 3
    decay_from: float = 0.5
    floor: float = 0.05

    def factor(self, step: int) -> float:
        """What the learning rates are multiplied by in this step, 0..1."""
        start, end = self._cycle(step)
        if step - start < self.ramp:
            return (step - start + 1) / self.ramp
        progress = max(0.0, ((step - start) / (end - start) - self.decay_from) / (1 - self.decay_from))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))

    def settled(self, step: int) -> bool:
        """Whether the step is so far into its cycle that the statistics of BatchNorms stay as they are."""
        start, end = self._cycle(step)
        return step - start >= self.settle_from * (end - start)

    def _cycle(self, step: int) -> tuple[int, int]:
        start = max((0, *(restart for restart in self.restarts if restart <= step)))
        end = min((self.steps, *(restart for restart in self.restarts if restart > step)))
        return start, end


class Trainer:
    """Networks, optimizers and running average of one run; `step` moves all of them on by one batch."""

    def __init__(
        self,
        recipe: Recipe,
        schedule: Schedule,
        seed: int,
        device: torch.device,
        precision: str,
        world: World,
    ) -> None:
        settings = recipe.settings
        self.recipe, self.schedule, self.seed, self.device, self.world = recipe, schedule, seed, device, world
        self.precision = precision
        recipe.colored = recipe.colored.to(device)
        to: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}
        self.generator = recipe.generator.to(**to)
        self.discriminator = recipe.discriminator.to(**to)
        self.frozen = recipe.frozen.to(**to)
        if precision == "bf16":
            # Autocast would do so in every pass: what it casts it keeps only where there are gradients.
            self.frozen.to(torch.bfloat16)
        self.parser = FacadeParser(recipe.n_classes).to(**to)
        for norm in (*_batch_norms(self.generator), *_batch_norms(self.parser)):
            norm.momentum = STATISTICS_MOMENTUM
        self.average = AveragedModel(self.generator, multi_avg_fn=self._rise)
        for module in self.average.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # pictures are made without, so statistics are estimated without
        self.rates = {
            "generator": settings.generator_rate,
            "discriminator": settings.discriminator_rate,
            "parser": PARSER_RATE,
        }
        recorded = device.type == "cuda" and world.size == 1
        self.replays = Replays(self._learn, device) if recorded else None
        # A recorded step reads its rate from memory.
        options: dict[str, Any] = {"fused": True, "capturable": True} if recorded else {}
        rates: dict[str, Any] = {
            name: torch.tensor(rate, device=device) if recorded else rate for name, rate in self.rates.items()
        }
        self.optimizers = {
            "generator": torch.optim.Adam(
                self.generator.parameters(), rates["generator"], settings.betas, **options
            ),
            "discriminator": torch.optim.Adam(
                self.discriminator.parameters(), rates["discriminator"], settings.betas, **options
            ),
            "parser": torch.optim.AdamW(
                self.parser.parameters(), rates["parser"], weight_decay=1e-2, **options
            ),
        }
        self.pretrained: dict[str, Tensor] = {}  # what the generator began as; empty: random
        self._acquainted = True  # discriminators with the generator: both are random, or have learnt together
        self.done = 0
        self.seconds = 0.0

    def start_from(self, generator: Mapping[str, Tensor], parser: Mapping[str, Tensor]) -> None:
        """Begin with networks that are trained, in place of random ones: states as weights files have them.

        The discriminators, which weights files do not have, get to know the generator's pictures before it
        learns from them.

        Raises:
            RuntimeError: states of other networks.
        """
        load_folded(self.generator, {name: value.to(self.device) for name, value in generator.items()})
        self.parser.load_state_dict(parser)
        self._acquainted = False
        self.rates["generator"] *= PRETRAINED_RATE
        self._remember_start()

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Begin with what another run has come to: the running average of its generator, and all else.

        state: that of its trainer. Its discriminators know such pictures already.

        Raises:
            RuntimeError: state of other networks.
        """
        self.restore(state | {"done": 0, "seconds": 0.0})
        self.generator.load_state_dict(self.average.module.state_dict())
        self._remember_start()

    def _remember_start(self) -> None:
        # The parser stays as it is: it learns from photos alone, of the same ones again only the worse.
        self.rates["parser"] = 0.0
        self.pretrained = {name: value.clone() for name, value in self.generator.state_dict().items()}

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of all networks; the loss terms, scalars."""
        # Everything random in a step follows from its number: a resumed run goes on exactly.
        torch.manual_seed(mix_seeds(self.seed, 3, self.done, self.world.rank))
        self._set_rates()
        self._normalize()
        if self.replays is None:
            terms = self._learn(batch.to(self.device))
        else:
            kind = (self._judged, self._judging, self._settled(self.done), batch.close_up)
            terms = self.replays(kind, batch)
        self.average.update_parameters(self.generator)
        self.done += 1
        return {name: term.detach() for name, term in terms.items()}

    @property
    def _judged(self) -> bool:
        """Whether the discriminators take part in this step."""
        return bool(self.pretrained) or self.done >= self.recipe.settings.warmup_steps

    @property
    def _judging(self) -> bool:
        """Whether the generator learns from them in this step, if they take part."""
        return self._acquainted or self.done >= self.recipe.settings.acquaint_steps

    def _learn(self, batch: Batch) -> dict[str, Tensor]:
        """Move all networks on by a batch on the device; the loss terms."""
        # Not numbers: a recorded step draws them anew each time.
        top, left = torch.randint(0, 4096, (2,), device=self.device)
        with self._autocast():
            fake = batch.windows(self.generator(batch.context, batch.colors, top, left))
        if not self._judged:
            loss, terms = self.recipe.reconstruction_loss(batch, fake)
            self._minimise("generator", self.generator, loss)
        else:
            with self._autocast():
                seen = self.recipe.compare(batch, fake)
                loss, terms = self.recipe.discriminator_loss(batch, seen)
            self._minimise("discriminator", self.discriminator, loss)
            if self._judging:
                self.discriminator.requires_grad_(False)
                with self._autocast():
                    loss, more = self.recipe.generator_loss(batch, fake, seen)
                self._minimise("generator", self.generator, loss)
                self.discriminator.requires_grad_(True)
                terms |= more
        if self.rates["parser"] and not batch.close_up:  # styles are read from photos of whole facades
            with self._autocast():
                loss, more = self._parser_loss(batch)
            self._minimise("parser", self.parser, loss)
            terms |= more
        return terms

    def rate(self, name: str, step: int) -> float:
        """The learning rate of a network's optimizer in a step."""
        return self.rates[name] * self.schedule.factor(step)

    def generate(self, network: nn.Module, classes: Tensor, colors: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in -1..1 by one of the networks in eval mode."""
        was_training = network.training
        network.eval()
        with torch.no_grad(), self._autocast():
            pictures = network(classes.to(self.device), colors.to(self.device), 0, 0)
        network.train(was_training)
        return pictures.float().clamp(-1, 1)

    def averaged_generator(self, batches: Iterator[Batch], start_share: float = 0.0) -> nn.Module:
        """The running average of the generator, with statistics for its BatchNorms.

        Those that the generator has settled on, or else estimated anew from the batches. start_share: how far
        back towards pretrained parameters, 0..1.
        """
        network = copy.deepcopy(self.average.module)
        if start_share:
            go_back(network, self.pretrained, start_share)
        if not self._settled(self.done - 1):
            with torch.no_grad(), self._autocast():
                update_bn((b.to(self.device) for b in batches), _OnBatch(network))
        return network

    def state(self) -> dict[str, Any]:
        """All that changes, for a checkpoint; and the frozen part, which has random numbers of its own."""
        return {
            "done": self.done,
            "seconds": self.seconds,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "frozen": self.frozen.state_dict(),
            "parser": self.parser.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.done, self.seconds = state["done"], state["seconds"]
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.frozen.load_state_dict(state["frozen"])
        self.parser.load_state_dict(state["parser"])
        self.average.load_state_dict(state["average"])
        for name, optimizer in self.optimizers.items():
            saved = state["optimizers"][name]
            # How an optimizer works is the device's matter, not the run's.
            groups = [
                group | {key: own[key] for key in ("lr", "fused", "foreach", "capturable")}
                for own, group in zip(optimizer.param_groups, saved["param_groups"], strict=True)
            ]
            optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})

    def _rise(self, average: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
        """Exponential moving average whose decay rises at first: early weights are soon forgotten.

        The count that torch hands over lies on the device, and reading it would wait for the step in hand.
        """
        count = int(self.average.n_averaged)
        decay = min(EMA_DECAY, (1 + count) / (10 + count))
        torch._foreach_lerp_(list(average), list(current), 1 - decay)

    def _minimise(self, name: str, network: nn.Module, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(network, self.world)
        optimizer.step()

    def _parser_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        # Photos that styles are read from may have wedges, black ones or grey ones.
        wedges = -torch.rand((), device=self.device).round()
        photo = torch.where(batch.valid, batch.photo, wedges).contiguous(memory_format=torch.channels_last)
        logits = self.parser(photo).float()
        # Nearest: the class at each cell's corner.
        classes, valid = batch.classes[:, ::4, ::4], batch.valid[:, 0, ::4, ::4]
        n_classes = self.recipe.n_classes
        # Rare classes count for their colors too, if less than for a discriminator.
        weight = losses.class_weights(losses.one_hot(batch.classes, n_classes), cap=3.0)
        segmentation = losses.segmentation(logits, classes, weight, valid.float())
        # What the parser is for; where it looks matters more than what it calls it.
        found, _ = seen_colors(logits, (photo + 1) / 2)
        seen = torch.where(valid, classes.long(), n_classes)
        colors = losses.painted_difference(found, batch.photo_colors, seen, self.recipe.colored)
        return segmentation + PARSER_COLOR_WEIGHT * colors, {"parser": segmentation, "parser_colors": colors}

    def _set_rates(self) -> None:
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(self.rate(name, self.done))
                else:
                    group["lr"] = self.rate(name, self.done)

    def _settled(self, step: int) -> bool:
        return self.recipe.settings.settles and self.schedule.settled(step)

    def _normalize(self) -> None:
        """Have BatchNorms go by each batch at first, and then by the statistics that they have come to.

        In use there is no batch to go by, and a close-up's statistics are not those of a whole facade: from
        then on networks learn to make do with one set for everything.
        """
        settled = self._settled(self.done)
        for network in (self.generator, self.parser):
            norms = _batch_norms(network)
            if settled and norms[0].training:
                share_buffers(network, self.world)
            for norm in norms:
                norm.train(not settled)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def run(
    trainer: Trainer,
    batches: Iterator[Batch],
    on_step: Callable[[dict[str, Tensor]], None],
    stopped: Callable[[], bool],
) -> bool:
    """Train until the last step (True) or until asked to stop (False)."""
    trainer.generator.train()
    trainer.discriminator.train()
    trainer.parser.train()
    since = time.perf_counter()
    for batch in batches:
        terms = trainer.step(batch)
        # From step to step: a GPU may still be at work on this one.
        trainer.seconds += time.perf_counter() - since
        since = time.perf_counter()
        on_step(terms)
        # One process that stops alone would leave the others waiting for its gradients.
        if agreed(stopped(), trainer.world, trainer.device):
            return trainer.done == trainer.schedule.steps
    return True


@torch.no_grad()
def go_back(network: nn.Module, start: Mapping[str, Tensor], share: float) -> None:
    """Move a network's state towards the one it started from by that share of the way, 0..1.

    What lies between both may be better than either (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903,
    section 3).
    """
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(start[name], share)


def _batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


class _OnBatch(nn.Module):
    """A generator called with a batch, as `update_bn` calls networks."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, batch: Batch) -> Tensor:
        pictures: Tensor = self.generator(batch.context, batch.colors, 0, 0)
        return pictures
