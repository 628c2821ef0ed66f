"""Steps recorded as CUDA graphs: a GPU of today does a step in less time than Python needs to ask for it."""

import warnings
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.batch import Batch

# Before a step is recorded: optimizers make their state in the first, libraries choose their algorithms.
EAGER_STEPS = 3

Learn = Callable[[Batch], dict[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Recording:
    """A recorded step: where it reads its batch and writes the values of its loss terms."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    names: list[str]
    values: Tensor  # (len(names),)

    def replay(self, batch: Batch) -> dict[str, Tensor]:
        """The loss terms of this step with another batch of the same shapes."""
        for place, values in zip(self.batch.tensors.values(), batch.tensors.values(), strict=True):
            place.copy_(values, non_blocking=True)
        self.graph.replay()
        return dict(zip(self.names, self.values.clone().unbind(), strict=True))


class Replays:
    """Does steps: the first few of each kind as they are written, later ones as a recording of one.

    A step must be asked for in the same way whatever its batch holds and whatever is random in it, and may
    not wait for the device (Nguyen et al. 2021, "Accelerating PyTorch with CUDA Graphs").
    """

    def __init__(self, learn: Learn, device: torch.device) -> None:
        self._learn, self._device = learn, device
        self._stream = torch.cuda.Stream(device)
        self._done: Counter[Hashable] = Counter()
        self._recordings: dict[Hashable, Recording] = {}
        self._pool: Any = None  # of memory, shared: recordings are never replayed at once

    def __call__(self, kind: Hashable, batch: Batch) -> dict[str, Tensor]:
        """The loss terms of a step. kind: all that decides what is asked for, but for the batch's shapes."""
        kind = (kind, batch.photo.shape, batch.context.shape)
        self._done[kind] += 1
        if self._done[kind] <= EAGER_STEPS:
            return self._eagerly(batch.to(self._device))
        if kind not in self._recordings:
            self._recordings[kind] = self._record(batch.to(self._device))
        return self._recordings[kind].replay(batch)

    def _eagerly(self, batch: Batch) -> dict[str, Tensor]:
        """A step on the stream of recordings: what autograd keeps of a stream is then that one."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream), warnings.catch_warnings():
            # Optimizers say so of every step that is not recorded.
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            terms = self._learn(batch)
        torch.cuda.current_stream().wait_stream(self._stream)
        return terms

    def _record(self, batch: Batch) -> Recording:
        """Record a step without doing it."""
        graph = torch.cuda.CUDAGraph()
        # Other threads go on copying batches meanwhile.
        with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
            terms = self._learn(batch)
            values = torch.stack([term.detach().float() for term in terms.values()])
        self._pool = graph.pool()
        return Recording(graph, batch, list(terms), values)
