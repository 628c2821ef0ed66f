"""What the tests share: a tiny weights file, and the generator in it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pairs import save_pairs
from tiny import save_tiny

from facadegen.device import limit_threads
from facadegen.generator import Generator, load


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """For networks this tiny, threads would only wait for each other."""
    limit_threads(1)


@pytest.fixture(autouse=True)
def heeded_signals() -> None:
    """In the background of a script Ctrl-C is ignored, by all that the tests start, too; and a test may have
    left another handler."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """For tests that change the number of torch's threads: as it was, afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file that obeys the contract, 12 facade classes, stride 8; not to be changed by a test."""
    return save_tiny(tmp_path_factory.mktemp("weights") / "tiny.pt")


@pytest.fixture(scope="session")
def tiny_generator(tiny_weights: Path) -> Generator:
    """The generator of `tiny_weights` on the CPU in fp32."""
    return load(tiny_weights, device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six train and two val pairs of 64x64; not to be changed by a test."""
    folder = tmp_path_factory.mktemp("data") / "facades"
    save_pairs(folder / "train", 6, seed=1)
    save_pairs(folder / "val", 2, seed=2)
    return folder


@pytest.fixture(scope="session")
def projected_weights(pairs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a run of one step, of the recipe `projected`; beside them its folder, without suffix."""
    from training import export, fit

    out = tmp_path_factory.mktemp("projected") / "projected.pt"
    options = ["--data", str(pairs_folder), "--out", str(out), "--run-dir", str(out.with_suffix(""))]
    sizes = ["--steps", "1", "--batch-size", "1", "--size-px", "64", "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        # Without a fresh process that tries the weights: those of `training.fit`'s tests had it.
        patch.setattr(export, "_check_parity", lambda module, path, card: None)
        assert fit.main(options + sizes) == 0
    return out
