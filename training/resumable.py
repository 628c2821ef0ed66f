"""Runs that go on where they were stopped: anything that learns step by step, and its checkpoint."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console

from training import checkpoint, command
from training.distributed import World, agreed
from training.export import require_writable
from training.stages import Stages


class Learner(Protocol):
    """Something that learns: each step follows from how many are done, and from its state."""

    world: World
    device: torch.device
    steps: int
    done: int
    seconds: float

    def step(self) -> None:
        """One step more."""
        ...

    def state(self) -> dict[str, Any]:
        """All that changes, for a checkpoint."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        ...


@dataclass(frozen=True, eq=False)
class Run:
    """A learner and what goes into its checkpoint beside its state.

    folder: the checkpoint's; made_by: the command, as `checkpoint` has it; shape: what shapes the weights;
    commits: those of the source that it was run by.
    """

    learner: Learner
    folder: Path
    made_by: str
    shape: dict[str, Any]
    commits: list[str]

    def complete(self, console: Console, out: Path, checkpoint_every: int) -> bool:
        """Go on from the checkpoint, if there is one, to the last step (True), or until asked to stop
        (False). out: the weights file to come.

        Raises:
            OutputError: that cannot be written.
            TrainingError: as `resume` and `learn`, or the folder cannot be made.
        """
        if self.learner.world.leads:
            require_writable(out)
            checkpoint.make_folder(self.folder)
        self.resume()
        completed = self.learn(console, checkpoint_every)
        if not completed:
            console.print(f"stopped after {self.learner.done} steps; the same command goes on from there")
        return completed

    def card_entries(self) -> dict[str, Any]:
        """What a card says of how it went."""
        return {
            "minutes": round(self.learner.seconds / 60),
            "device": self.learner.device.type,
            "precision": "fp32",
            "torch": torch.__version__,
            "commits": self.commits,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
        }

    def resume(self) -> None:
        """Restore the checkpoint, if there is one.

        Raises:
            TrainingError: it is of another command or shape, or cannot be read.
        """
        state = checkpoint.load(self.folder / checkpoint.NAME, self.made_by)
        if state is None:
            return
        checkpoint.require_same(state["options"], self.shape, self.folder)
        self.learner.restore(state["learner"])
        checkpoint.put_before(self.commits, state["commits"])

    def save(self) -> None:
        """Save the checkpoint.

        Raises:
            TrainingError: as `checkpoint.save`.
        """
        state = {"options": self.shape, "commits": self.commits, "learner": self.learner.state()}
        checkpoint.save(self.folder / checkpoint.NAME, state, self.made_by)

    def learn(self, console: Console, checkpoint_every: int) -> bool:
        """Train until the last step (True) or until asked to stop (False); checkpoints now and then.

        Raises:
            TrainingError: a checkpoint cannot be written.
        """
        learner, world = self.learner, self.learner.world
        with command.stop_on_signals() as stop, Stages(console) as stages:
            on_step = stages.start("learning")
            while learner.done < learner.steps:
                learner.step()
                on_step(learner.done, learner.steps)
                # One process that stops alone would leave the others waiting for its gradients.
                stopped = agreed(stop.is_set(), world, learner.device)
                due = learner.done % checkpoint_every == 0 or learner.done == learner.steps
                if world.leads and (stopped or due):
                    self.save()
                if stopped and learner.done < learner.steps:
                    return False
        return True
