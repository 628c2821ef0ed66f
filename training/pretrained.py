"""Pretrained networks: a run may start from those of a weights file, or of another run, not random ones."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from facadegen import torchscript
from facadegen.errors import TrainingError
from facadegen.palettes import LabelSet
from facadegen.weights import Card, checksum, read_card
from training import checkpoint
from training.loop import Trainer
from training.networks.lean_unet import LeanUNet, folded, load_folded
from training.networks.open_sky import OpenSky
from training.networks.parser import FacadeParser
from training.recipes import colored_classes


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What a file lends to a run. sha256: of the file. training: how it was made, for the card."""

    sha256: str
    training: dict[str, Any]

    def begin(self, trainer: Trainer) -> None:
        """Put these networks in the place of a trainer's.

        Raises:
            RuntimeError: they are of another recipe.
        """
        raise NotImplementedError

    def build_open_sky(self, label_set: LabelSet) -> OpenSky | None:
        """What tells sky from walls, for use; None where there is none."""
        return None


@dataclass(frozen=True, eq=False)
class PretrainedWeights(Pretrained):
    """Of a weights file. generator, parser, open_sky: float32 state, the generator's as `lean_unet.folded`
    has it, the last empty where there is none; color_sets: float32 (M, K, 3) in 0..1."""

    generator: dict[str, Tensor]
    parser: dict[str, Tensor]
    open_sky: dict[str, Tensor]
    color_sets: Tensor

    def begin(self, trainer: Trainer) -> None:
        trainer.start_from(self.generator, self.parser)

    def build_generator(self, label_set: LabelSet, path: Path) -> LeanUNet:
        """The generator of the weights file at the path, ready to learn.

        Raises:
            TrainingError: it is of another recipe.
        """
        generator = LeanUNet(colored_classes(label_set))
        with of_recipe("projected", path):
            load_folded(generator, self.generator)
        return generator

    def build_folded(self, label_set: LabelSet, path: Path) -> nn.Module:
        """The generator of the weights file at the path, for use: the same to the bit when it is exported.

        Raises:
            TrainingError: it is of another recipe.
        """
        generator = folded(LeanUNet(colored_classes(label_set)))
        with of_recipe("projected", path):
            generator.load_state_dict(self.generator)
        return generator

    def build_parser(self, label_set: LabelSet) -> FacadeParser:
        """The parser, for use."""
        parser = FacadeParser(len(label_set.classes))
        parser.load_state_dict(self.parser)
        return parser.eval()

    def build_open_sky(self, label_set: LabelSet) -> OpenSky | None:
        network = OpenSky.of(label_set.classes) if self.open_sky else None
        if network is not None:
            network.load_state_dict(self.open_sky)
            network.eval().requires_grad_(False)
        return network


@dataclass(frozen=True, eq=False)
class PretrainedRun(Pretrained):
    """Of another run's checkpoint. state: its trainer's."""

    state: dict[str, Any]

    def begin(self, trainer: Trainer) -> None:
        trainer.go_on_from(self.state)


@contextmanager
def of_recipe(recipe: str, path: Path | None) -> Iterator[None]:
    """Turns torch's complaint about parameters that do not fit into one that names the recipe and the file.

    Raises:
        TrainingError: they do not fit.
    """
    try:
        yield
    except RuntimeError as error:  # torch names parameters that do not fit
        raise TrainingError(f"has other networks than the recipe {recipe!r}", path) from error


def read_pretrained(path: Path, label_set: LabelSet) -> Pretrained:
    """The networks in a checkpoint, or in a weights file, which is a program: only of files that are trusted.

    Raises:
        WeightsError: neither of them, or a damaged one.
        TrainingError: a checkpoint of another version, or networks for other classes.
    """
    if _is_checkpoint(path):
        return _read_run(path, label_set)
    card = read_card(path)
    _check_classes(card.label_set.classes, label_set, path)
    return read_weights(path, card)


def read_weights(path: Path, card: Card) -> PretrainedWeights:
    """The networks in a weights file with this card; it is a program: only of files that are trusted.

    Raises:
        WeightsError: a damaged one.
    """
    state = torchscript.read(path, card).state_dict()
    generator, parser, open_sky = (
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        for prefix in ("network.", "parser.", "open_sky.")
    )
    return PretrainedWeights(checksum(path), card.training, generator, parser, open_sky, state["color_sets"])


def _check_classes(classes: Sequence[str], label_set: LabelSet, path: Path) -> None:
    if tuple(classes) != label_set.classes:
        has, expected = (", ".join(names) for names in (classes, label_set.classes))
        raise TrainingError(f"has the classes {has}; the data has {expected}", path)


def _is_checkpoint(path: Path) -> bool:
    """Whether a file is one of torch's archives without a program in it."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    return "data.pkl" in names and not any(name.startswith("code/") for name in names)


def _read_run(path: Path, label_set: LabelSet) -> PretrainedRun:
    state = checkpoint.load(path, checkpoint.FIT)
    assert state is not None, "the file was there"
    options, trainer = state["options"], state["trainer"]
    _check_classes(options["classes"], label_set, path)
    training = {
        "recipe": options["recipe"],
        "steps": trainer["done"],
        "batch_size": options["batch_size"],
        "seed": options["seed"],
        "minutes": round(trainer["seconds"] / 60),
        "commits": state["commits"],
    }
    return PretrainedRun(checksum(path), training, trainer)
