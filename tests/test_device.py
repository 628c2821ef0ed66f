import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from facadegen import device
from facadegen.errors import UsageError

CPU = torch.device("cpu")


def threads_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_auto_is_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.choose_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose_device("auto").type == "cpu"


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"finds no {name} device here; there is cpu"):
        device.choose_device(name)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no device 'gpu'; there is auto, cpu, cuda, mps"):
        device.choose_device("gpu")
    with pytest.raises(UsageError, match="no precision 'fp8'; there is auto, fp32, bf16, fp16"):
        device.choose_precision("fp8", CPU)


def test_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cpu_is_made_for_bf16", lambda: True)
    assert device.choose_precision("auto", CPU) == "bf16"
    assert device.choose_precision("fp32", CPU) == "fp32"
    assert device.choose_precision("auto", torch.device("cuda")) == "fp16"
    assert device.choose_precision("auto", torch.device("mps")) == "fp32"
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        device.choose_precision("fp16", CPU)


@pytest.mark.parametrize(
    ("flags", "made_for_it"), [("avx512f avx512_bf16", True), ("amx_bf16", True), ("avx2 avx512f", False)]
)
def test_bf16_is_read_from_the_cpu_where_torch_cannot_tell(
    flags: str, made_for_it: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False, raising=False)
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(device, "_CPU_INFO", info)
    assert device.cpu_is_made_for_bf16() is made_for_it
    monkeypatch.setattr(device, "_CPU_INFO", tmp_path / "none")
    assert device.cpu_is_made_for_bf16() is False


def test_threads_of_a_pool_use_no_others(torch_threads: None) -> None:
    device.limit_threads(3)
    with device.single_thread_pool() as pool:
        here = threading.Barrier(3)

        def count(_: int) -> int:
            here.wait()  # so that each of the three threads is asked
            return torch.get_num_threads()

        assert list(pool.map(count, range(3))) == [1, 1, 1]
    assert torch.get_num_threads() == 3
    assert threads_of_a_new_thread() == 3


def test_a_thread_may_be_kept_to_one_twice(torch_threads: None) -> None:
    device.limit_threads(3)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            pool.submit(device.keep_to_one_thread).result()
        assert pool.submit(torch.get_num_threads).result() == 1
    assert threads_of_a_new_thread() == 3


def test_the_thread_for_the_whole_machine_uses_all_whatever_came_before(torch_threads: None) -> None:
    device.limit_threads(3)
    with device.whole_machine_pool() as pool:
        device.limit_threads(1)
        assert pool.submit(torch.get_num_threads).result() == 3


def test_large_pages_are_the_users_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    device.use_large_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    device.use_large_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
