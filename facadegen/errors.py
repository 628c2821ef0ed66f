"""Every error facadegen raises on purpose, each one line of text.

FacadegenError
├── LabelMapError   an input is no usable label map, or cannot be read
├── WeightsError    a weights file is missing, truncated, foreign or too new
├── OutputError     an output cannot be written
├── UsageError      an option, a path or a palette file that cannot work
└── TrainingError   training cannot start or go on (data folder, checkpoint, ...)
"""

import os
import unicodedata

LACK_OF_MEMORY = "needs more memory than there is"  # a problem, wherever it is noticed


def printable(text: str | os.PathLike[str]) -> str:
    """The text or path on one line: line breaks, control characters and undecodable bytes are escaped."""
    return "".join(char if _shows(char) else _escape(char) for char in os.fspath(text))


class FacadegenError(Exception):
    """A problem to tell the user about; `str()` is one line, `path: problem`."""

    def __init__(self, problem: str, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(problem, path)
        self.problem = problem
        self.path = path

    def __str__(self) -> str:
        problem = printable(self.problem)
        return problem if self.path is None else f"{printable(self.path)}: {problem}"


class LabelMapError(FacadegenError):
    """An input is no usable label map, or cannot be read."""


class WeightsError(FacadegenError):
    """A weights file is missing, truncated, foreign or too new."""


class OutputError(FacadegenError):
    """An output cannot be written."""


class UsageError(FacadegenError):
    """An option, a path or a palette file cannot work."""


class TrainingError(FacadegenError):
    """Training cannot start or go on."""


def _shows(char: str) -> bool:
    # str.isprintable() is false for every space but " "; macOS puts U+202F into the names of screenshots.
    return char.isprintable() or unicodedata.category(char) == "Zs"


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte of a file name that is not UTF-8, see os.fsdecode
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
