"""What binds a weights file and facadegen, held by the tests' own weights and by the shipped ones."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from operators import OLD_OPERATORS

from facadegen import torchscript
from facadegen.errors import WeightsError
from facadegen.generator import Generator, load
from facadegen.tiles import plan_tiles
from facadegen.torchscript import quiet
from facadegen.weights import CARD_NAME, Card, shipped_weights

MAX_WEIGHTS_BYTES = 16_000_000

IMPORTS = """
import sys
import facadegen, facadegen.weights
heavy = {"torch", "numpy", "PIL", "watchdog", "rich"} & set(sys.modules)
assert not heavy, heavy
"""

RUN_WITHOUT_TRAINING = """
import sys
from pathlib import Path
for name in ("training", "torchvision", "scipy"):
    sys.modules[name] = None  # importing it raises
import numpy as np
import facadegen
generator = facadegen.load(Path(sys.argv[1]), "cpu", "fp32")
classes = np.ones((1, 70, 50), np.uint8)
sys.stdout.buffer.write(generator.generate(classes, generator.color_sets[:1]).tobytes())
"""


@pytest.fixture
def shipped() -> Path:
    try:
        return shipped_weights()
    except WeightsError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["tiny_weights", "shipped"])
def weights(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def test_importing_facadegen_costs_no_heavy_import() -> None:
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)


def test_weights_need_no_operator_that_an_older_torch_lacks(shipped: Path) -> None:
    with quiet():
        assert set(torch.jit.export_opnames(torch.jit.load(shipped))) <= OLD_OPERATORS


def test_weights_run_where_training_cannot_be_imported(weights: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN_WITHOUT_TRAINING, weights],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr.decode()
    generator = load(weights, "cpu", "fp32")
    here = generator.generate(np.ones((1, 70, 50), np.uint8), generator.color_sets[:1])
    assert done.stdout == here.tobytes()


def test_weights_need_nothing_but_torch(weights: Path) -> None:
    extra_files: dict[str, bytes | str] = {CARD_NAME: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(str(weights), _extra_files=extra_files).float()
    card = Card.from_json(json.loads(extra_files[CARD_NAME]))
    class_count = len(card.label_set.classes)
    height, width = 3 * card.stride, 2 * card.stride
    classes = torch.randint(0, class_count, (2, height, width), dtype=torch.uint8)
    picture = module(classes, module.color_sets[:1].expand(2, -1, -1))
    assert picture.shape == (2, 3, height, width)
    assert picture.dtype == torch.uint8
    assert module.color_sets.shape[1:] == (class_count, 3)
    assert module.color_sets.min() >= 0
    assert module.color_sets.max() <= 1
    if card.style == "colors":
        colors = module.estimate_colors(torch.randint(0, 256, (2, 3, 33, 70), dtype=torch.uint8))
        assert colors.shape == (2, class_count, 3)
        assert colors.dtype == torch.float32


def test_weights_are_small_and_stored_in_half_precision(weights: Path) -> None:
    assert weights.stat().st_size <= MAX_WEIGHTS_BYTES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(str(weights))
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float16}


def test_tiles_equal_the_whole_by_the_context_on_the_card(weights: Path) -> None:
    generator = load(weights, "cpu", "fp32")
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, len(generator.card.label_set.classes), (8, 24), dtype=np.uint8)
    require_same_in_tiles(generator, enlarged(blocks, *made_in_tiles(generator)))


def test_tiles_equal_the_whole_where_shops_and_doors_are_tall(weights: Path) -> None:
    generator = load(weights, "cpu", "fp32")
    wall, shop, door = map(generator.card.label_set.index_of, ("facade", "shop", "door"))
    blocks = np.array([[shop, door, wall], [door, wall, shop], [wall, shop, door]] * 3, np.uint8)
    require_same_in_tiles(generator, enlarged(blocks.T, *made_in_tiles(generator)))


def test_tiles_equal_the_whole_where_surroundings_are_wide(weights: Path) -> None:
    generator = load(weights, "cpu", "fp32")
    size = 4 * (generator.card.context_px + generator.card.stride)
    wall, background = map(generator.card.label_set.index_of, ("facade", "background"))
    classes = np.full((1, size, size), background, np.uint8)
    classes[:, size // 3 : -size // 8, size // 4 : size // 2] = wall
    module = torchscript.read(weights, generator.card)
    if hasattr(module, "prepare"):
        told, _ = module.prepare(torch.from_numpy(classes), module.color_sets[:1])
        assert not np.array_equal(told, classes)
    require_same_in_tiles(generator, classes)


def enlarged(blocks: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """A class map (1, H, W) of blocks."""
    rows, columns = blocks.shape
    whole = blocks.repeat(-(-height // rows), 0).repeat(-(-width // columns), 1)
    return whole[None, :height, :width]


def made_in_tiles(generator: Generator) -> tuple[int, int]:
    """The height and width of a wide map that is too large for one tile, whatever the budget."""
    stride = generator.card.stride
    least_side_px = 3 * (generator.card.context_px + -generator.card.context_px % stride) + stride
    return least_side_px // (2 * stride) * stride, 2 * least_side_px + 8 * stride


def require_same_in_tiles(generator: Generator, classes: npt.NDArray[np.uint8]) -> None:
    _, height, width = classes.shape
    assert len(plan_tiles(height, width, generator.card.stride, generator.card.context_px, 1)) > 1
    whole = generator.generate(classes, generator.color_sets[:1])
    tiled = generator.generate(classes, generator.color_sets[:1], whole_picture_px=1)
    apart = np.abs(whole.astype(np.int16) - tiled)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.001
