"""Errors are one line of text, whatever is in a path."""

import os
import pickle
from pathlib import Path

import pytest

from facadegen.errors import FacadegenError, LabelMapError, UsageError, printable


def test_message_names_the_path_and_the_problem() -> None:
    assert str(LabelMapError("is empty", Path("in/a.png"))) == f"in{os.sep}a.png: is empty"
    assert str(UsageError("no such option")) == "no such option"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines", r"two\nlines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        (os.fsdecode(b"latin-\xe9"), r"latin-\xe9"),
        ("paragraph\u2029separator", r"paragraph\u2029separator"),
        ("right-to-left\u202egnp.exe", r"right-to-left\u202egnp.exe"),
        ("Fassade Straße 窓 9.41\u202fAM", "Fassade Straße 窓 9.41\u202fAM"),
    ],
)
def test_paths_stay_on_one_line_and_legible(name: str, shown: str) -> None:
    assert printable(Path(name)) == shown
    message = str(FacadegenError(f"not {name}", name))
    assert message == f"{shown}: not {shown}"
    assert len(message.splitlines()) == 1
    message.encode("utf-8")  # an undecodable byte would fail here, as it would on a terminal


def test_errors_keep_their_parts_through_a_process_pool() -> None:
    error = pickle.loads(pickle.dumps(LabelMapError("is empty", Path("a.png"))))
    assert (type(error), error.problem, error.path) == (LabelMapError, "is empty", Path("a.png"))
