"""What to run on: the device, its arithmetic, the CPU's threads."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from facadegen.errors import UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_MAX_POOL_THREADS = 16  # each holds all that the network makes of a picture
_CPU_INFO = Path("/proc/cpuinfo")

_keeping = threading.Lock()


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one, else the CPU.

    Apple's MPS is used on request only: nobody has tried the shipped weights on it yet.

    Raises:
        UsageError: no such device here.
    """
    if name not in DEVICES:
        raise UsageError(f"no device {name!r}; there is {', '.join(DEVICES)}")
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device("cuda" if found["cuda"] else "cpu")
    if not found[name]:
        here = ", ".join(kind for kind in found if found[kind])
        raise UsageError(f"torch {torch.__version__} finds no {name} device here; there is {here}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """The precision of that name, "auto" being the fastest that the device is made for: a key of PRECISIONS.

    Raises:
        UsageError: no such precision, or none this device can work in.
    """
    if name == "auto":
        if device.type == "cuda":
            return "fp16"
        return "bf16" if device.type == "cpu" and cpu_is_made_for_bf16() else "fp32"
    if name not in PRECISIONS:
        raise UsageError(f"no precision {name!r}; there is auto, {', '.join(PRECISIONS)}")
    if name == "fp16" and device.type == "cpu":
        raise UsageError("precision fp16 needs a GPU; the CPU works in fp32 or bf16")
    return name


def cpu_is_made_for_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 itself (AVX512-BF16 or AMX); others are slow at it."""
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        if getattr(torch.cpu, probe, bool)():
            return True
    try:
        flags = _CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:  # no Linux
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def limit_threads(threads: int) -> None:
    """Let torch use at most so many CPU threads in this process, from the next generator on."""
    torch.set_num_threads(threads)


def use_large_pages() -> None:
    """Let torch take its memory in pages of 2 MiB where the system has such; only before its first tensor.

    What a network makes of a 2048 x 2048 picture is fetched and given back layer by layer: with pages of
    4 KiB that took a quarter of the time.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def single_thread_pool() -> ThreadPoolExecutor:
    """As many threads as torch uses, in each of which torch uses but one.

    Threads that share a small picture wait for each other at every layer: on a busy machine that took ten
    times as long as one picture a thread, and on an idle one as long.
    """
    threads = min(torch.get_num_threads(), _MAX_POOL_THREADS)
    return ThreadPoolExecutor(threads, "facadegen-torch", keep_to_one_thread)


def whole_machine_pool() -> ThreadPoolExecutor:
    """One thread, in which torch uses as many as in the calling one, whatever others are kept to."""
    return ThreadPoolExecutor(1, "facadegen-torch", _use_threads, (torch.get_num_threads(),))


def keep_to_one_thread() -> None:
    """Let torch use but one CPU thread for all that the calling thread will ever ask of it."""
    with _keeping:
        together = torch.get_num_threads()
        if together == 1:
            return
        _use_threads(1)
        # That became the default of all threads torch has not seen yet, which only another thread can undo.
        other = threading.Thread(target=torch.set_num_threads, args=(together,))
        other.start()
        other.join()


def _use_threads(count: int) -> None:
    torch.get_num_threads()  # torch sets up each thread when first asked, which would undo the next line
    torch.set_num_threads(count)
