"""Turns facade label maps into facade photos.

import facadegen

generator = facadegen.load()
photo = generator("labels.png", colors={"facade": "#b5533c"}, seed=3)
photo.save("facade.jpg")
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facadegen.generator import Generator

__all__ = ["load"]
__version__ = "0.1.0"


def load(weights: str | Path | None = None, device: str = "auto", precision: str = "auto") -> "Generator":
    """The generator in a weights file, or the shipped one, ready to run; see `facadegen.generator.load`.

    Raises:
        WeightsError: the file is missing, truncated, foreign or too new.
        UsageError: no such device here, or a precision it cannot work in.
    """
    from facadegen.generator import (
        load as load_generator,
    )  # imports torch: seconds that `import facadegen` must not cost

    return load_generator(None if weights is None else Path(weights), device, precision)
