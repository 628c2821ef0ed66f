"""Several processes on one run, as `torchrun` starts them; one process needs nothing of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from facadegen.errors import TrainingError


@dataclass(frozen=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, batch_size: int) -> int:
        """How much of a batch each process works on.

        Raises:
            TrainingError: it cannot be shared evenly.
        """
        if batch_size % self.size:
            raise TrainingError(f"--batch-size {batch_size} cannot be shared by {self.size} processes")
        return batch_size // self.size


def local_world_size() -> int:
    """How many processes torchrun started on this machine; 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started, if it did, for the length of the block."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    if device.type == "cuda":
        # "cuda" alone would be the first GPU for every process.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    leaving = torch.zeros((), device=device)
    try:
        yield World(dist.get_rank(), dist.get_world_size())
        # With a tensor that outlives the group: older torch may wait for ever for one that is shared last and
        # goes before it.
        dist.all_reduce(leaving)
    finally:
        dist.destroy_process_group()


def agreed(wish: bool, world: World, device: torch.device) -> bool:
    """Whether any process wishes it: all of them get the same answer."""
    if world.size == 1:
        return wish
    wishes = torch.tensor(float(wish), device=device)
    dist.all_reduce(wishes, dist.ReduceOp.MAX)
    return bool(wishes)


def share_buffers(module: nn.Module, world: World) -> None:
    """Give every process the buffers of the first."""
    if world.size == 1:
        return
    for buffer in module.buffers():
        dist.broadcast(buffer, 0)


def average_gradients(module: nn.Module, world: World) -> None:
    """Make every process's gradients their mean.

    Once after each backward pass, not inside it as DistributedDataParallel does: a discriminator that takes
    part in two backward passes a step, frozen in one of them, breaks that wrapper's bookkeeping.
    """
    if world.size == 1:
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= world.size
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
