"""Several processes: what each must know of the others. Alone in a file, which every process imports."""

from pathlib import Path
from typing import Any

import pytest
import torch

from training.distributed import World, average_gradients, share_buffers


def give_and_average(rank: int, meeting: str, answers: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    layer = torch.nn.Linear(2, 1)
    (layer.weight * (rank + 1)).sum().backward()  # the bias has no gradient
    average_gradients(layer, World(rank, 2))
    norm = torch.nn.BatchNorm1d(1)
    norm(torch.tensor([[1.0], [3.0]]) * (rank + 1))
    share_buffers(norm, World(rank, 2))
    torch.distributed.destroy_process_group()
    assert layer.weight.grad is not None and norm.running_mean is not None
    answers.put((layer.weight.grad.flatten().tolist(), norm.running_mean.item()))


@pytest.mark.slow
def test_processes_share_gradients_and_statistics(tmp_path: Path) -> None:
    answers = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(give_and_average, (str(tmp_path / "meeting"), answers), nprocs=2)
    assert [answers.get(), answers.get()] == 2 * [([1.5, 1.5], pytest.approx(0.2))]
