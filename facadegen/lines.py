"""Plain lines of text and JSON, and what goes into them."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facadegen.errors import FacadegenError
from facadegen.streams import say, silence

if TYPE_CHECKING:
    from facadegen.pipeline import Outcome

_NAME_WIDTH = 40


def tail(name: str) -> str:
    """A name of a file, cut to its end, which says most."""
    return name if len(name) <= _NAME_WIDTH else f"…{name[1 - _NAME_WIDTH :]}"


def record(outcome: "Outcome") -> dict[str, Any]:
    """What `--json` says of a label map."""
    outputs = outcome.job.targets if outcome.status != "failed" else ()
    return _fields(outcome.job.source, outcome.status, outputs, outcome.reason, outcome.seconds)


def failure(error: FacadegenError) -> dict[str, Any]:
    """What `--json` says of something that is no label map, such as a folder, and failed."""
    return _fields(error.path, "failed", (), error.problem, 0.0)


class JsonLines:
    """The lines of `--json`, one per `add`, there at once; none where they are not wanted.

    The first one that cannot be written is told of on stderr, sets `failed` and ends them; the run goes on:
    facades are worth more than the telling of them.
    """

    def __init__(self, wanted: bool) -> None:
        self.failed = False
        self._wanted = wanted

    def add(self, data: dict[str, Any]) -> None:
        """One line on stdout.

        Raises:
            BrokenPipeError: its reader has gone.
        """
        if not self._wanted or self.failed:
            return
        try:
            print(json.dumps(data), flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failed = True
            silence(sys.stdout)
            say(f"facadegen: stdout: cannot be written ({error.strerror}); no more JSON lines")


def count(number: int, noun: str) -> str:
    """A number and what there is that many of."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    return f"{minutes} min {rest_s} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _fields(
    source: str | os.PathLike[str] | None,
    status: str,
    outputs: Sequence[Path],
    reason: str | None,
    seconds: float,
) -> dict[str, Any]:
    return {
        "source": str(source),
        "status": status,
        "outputs": [str(target) for target in outputs],
        "reason": reason,
        "seconds": round(seconds, 3),
    }
