"""The same generator on every engine there is to run it: torch in its forms, ONNX Runtime, OpenVINO."""

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from facadegen import generator, torchscript
from facadegen.device import PRECISIONS, single_thread_pool
from facadegen.weights import read_card
from training.networks.lean_unet import LeanUNet, folded

Inputs = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]  # classes (N, H, W), colors (N, K, 3)
Run = Callable[[Inputs], npt.NDArray[np.uint8]]  # one batch, on all cores: (N, 3, H, W)


@dataclass(frozen=True)
class Engine:
    """A way to run the generator.

    run: one batch on all cores. run_apart: pictures one by one, but as many at once as there are cores.
    """

    name: str
    precision: str
    run: Run
    run_apart: Run


def engines(weights: Path, folder: Path, sample: Inputs, precisions: tuple[str, ...]) -> Iterator[Engine]:
    """All engines that are installed, facadegen's own last; folder: for exported files."""
    source = torchscript.read(weights, read_card(weights))
    yield from _eager(source)
    yield _torch_engine("TorchScript as stored", "fp32", source)
    for precision in reversed(precisions):
        frozen = torchscript.freeze(source, torch.device("cpu"), PRECISIONS[precision])
        yield _torch_engine("TorchScript frozen", precision, frozen)
    files = {len(inputs[0]): _export(source, folder, inputs) for inputs in (sample, _first(sample))}
    yield from _onnx_runtime(files)
    for precision in reversed(precisions):
        yield from _openvino(files, precision)
    for precision in reversed(precisions):
        yield _own(weights, precision)


def _own(weights: Path, precision: str) -> Engine:
    made_by = generator.load(weights, "cpu", precision)

    def run(inputs: Inputs) -> npt.NDArray[np.uint8]:
        return made_by.generate(*inputs).transpose(0, 3, 1, 2)

    return Engine("facadegen", precision, run, run)


def _eager(source: Any) -> Iterator[Engine]:
    network = folded(LeanUNet(torch.ones(source.color_sets.shape[1], 1)))
    try:
        network.load_state_dict(source.network.state_dict())
    except (AttributeError, RuntimeError) as error:  # weights of another recipe
        print(f"  no eager row: {str(error).partition(chr(10))[0]}")
        return

    def forward(classes: Tensor, colors: Tensor, top: int, left: int) -> Tensor:
        return _as_bytes(network(classes, colors, top, left))

    yield _torch_engine("eager", "fp32", forward)


def _as_bytes(pictures: Tensor) -> Tensor:
    return ((pictures + 1) * 127.5 + 0.5).clamp(0, 255).to(torch.uint8)


def _torch_engine(name: str, precision: str, forward: Callable[..., Tensor]) -> Engine:
    pool = single_thread_pool()

    def run(inputs: Inputs) -> npt.NDArray[np.uint8]:
        with torchscript.running():
            return forward(*map(torch.from_numpy, inputs), 0, 0).numpy()

    return Engine(name, precision, run, _apart(run, pool))


def _apart(run: Run, pool: ThreadPoolExecutor) -> Run:
    def run_apart(inputs: Inputs) -> npt.NDArray[np.uint8]:
        return np.concatenate(
            list(pool.map(run, zip(*(np.split(part, len(part)) for part in inputs), strict=True)))
        )

    return run_apart


def _first(inputs: Inputs) -> Inputs:
    return inputs[0][:1], inputs[1][:1]


class _Whole(nn.Module):
    """The scripted generator without what exporters cannot take: the place of a tile, and panes, which no
    shop is large enough for here."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.source = source

    def forward(self, classes: Tensor, colors: Tensor) -> Tensor:
        return _as_bytes(self.source.network(classes, colors, 0, 0))


def _export(source: Any, folder: Path, inputs: Inputs) -> Path:
    path = folder / f"batch{len(inputs[0])}.onnx"
    tensors = tuple(map(torch.from_numpy, inputs))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(_Whole(source).eval(), tensors)
        torch.onnx.export(traced, tensors, path, input_names=["classes", "colors"], dynamo=False)
    source.eval()  # the exporter leaves it in training mode
    return path


def _onnx_runtime(files: dict[int, Path]) -> Iterator[Engine]:
    try:
        import onnxruntime
    except ImportError:
        return

    def session(path: Path, threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    threads = torch.get_num_threads()
    together = {count: session(path, threads) for count, path in files.items()}
    alone = session(files[1], 1)

    def run(inputs: Inputs) -> npt.NDArray[np.uint8]:
        classes, colors = inputs
        return together[len(classes)].run(None, {"classes": classes, "colors": colors})[0]

    def run_one(inputs: Inputs) -> npt.NDArray[np.uint8]:
        return alone.run(None, {"classes": inputs[0], "colors": inputs[1]})[0]

    yield Engine("ONNX Runtime", "fp32", run, _apart(run_one, ThreadPoolExecutor(threads)))


def _openvino(files: dict[int, Path], precision: str) -> Iterator[Engine]:
    try:
        import openvino
    except ImportError:
        return
    core = openvino.Core()
    threads = torch.get_num_threads()
    common = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(precision, precision),
        "INFERENCE_NUM_THREADS": threads,
    }

    def compiled(path: Path, streams: int) -> Any:
        return core.compile_model(core.read_model(path), "CPU", {**common, "NUM_STREAMS": streams})

    together = {count: compiled(path, 1).create_infer_request() for count, path in files.items()}
    apart = openvino.AsyncInferQueue(compiled(files[1], threads), threads)
    made: dict[int, npt.NDArray[np.uint8]] = {}
    apart.set_callback(lambda request, number: made.update({number: request.get_output_tensor().data.copy()}))

    def run(inputs: Inputs) -> npt.NDArray[np.uint8]:
        classes, colors = inputs
        return together[len(classes)].infer({"classes": classes, "colors": colors})[0]

    def run_apart(inputs: Inputs) -> npt.NDArray[np.uint8]:
        for number, (classes, colors) in enumerate(zip(*inputs, strict=True)):
            apart.start_async({"classes": classes[None], "colors": colors[None]}, number)
        apart.wait_all()
        return np.concatenate([made[number] for number in range(len(inputs[0]))])

    yield Engine("OpenVINO", precision, run, run_apart)
