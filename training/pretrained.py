"""Pretrained networks: a run may start from those of a weights file in place of random ones."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from facadegen import torchscript
from facadegen.errors import TrainingError
from facadegen.palettes import LabelSet
from facadegen.weights import read_card


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What a weights file lends to a run.

    generator, parser: float32 state, the generator's as `lean_unet.folded` has it. sha256: of the file.
    training: how it was made, as its card says.
    """

    generator: dict[str, Tensor]
    parser: dict[str, Tensor]
    sha256: str
    training: dict[str, Any]


def read_pretrained(path: Path, label_set: LabelSet) -> Pretrained:
    """The networks in a weights file, which is a program: only of files that are trusted.

    Raises:
        WeightsError: no weights file, or a damaged one.
        TrainingError: its classes are not those of the label set, or it has no parser.
    """
    card = read_card(path)
    if card.label_set.classes != label_set.classes:
        has, expected = (", ".join(names) for names in (card.label_set.classes, label_set.classes))
        raise TrainingError(f"has the classes {has}; the data has {expected}", path)
    state = torchscript.read(path, card).state_dict()
    generator, parser = (
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        for prefix in ("network.", "parser.")
    )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Pretrained(generator, parser, sha256, card.training)
