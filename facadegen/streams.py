"""Standard streams, which may be closed or full, lack a letter, or have a reader that is gone."""

import io
import os
import sys
from pathlib import Path
from typing import TextIO


def make_usable() -> None:
    """Has stdin, stdout and stderr lead nowhere if they are closed, as by `>&-`, and stdout escape what its
    encoding lacks, as stderr does.

    Else the next file to be opened would get a closed one's number, and what torch prints; and what is meant
    for a closed stderr, Python prints on stdout.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in the order of their numbers
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """One line on stderr, there at once; lost where a full disk or a terminal that is gone takes none.

    Raises:
        BrokenPipeError: its reader has gone.
    """
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Has a stream that cannot be written lead nowhere: closing it at exit would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
