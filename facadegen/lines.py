"""Plain lines of text and JSON, and what goes into them."""

import json
import sys
from typing import Any

from facadegen.pipeline import Outcome

_NAME_WIDTH = 40


def tail(name: str) -> str:
    """A name of a file, cut to its end, which says most."""
    return name if len(name) <= _NAME_WIDTH else f"…{name[1 - _NAME_WIDTH :]}"


def record(outcome: Outcome) -> dict[str, Any]:
    """What `--json` says of a label map."""
    made = outcome.status != "failed"
    return {
        "source": str(outcome.job.source),
        "status": outcome.status,
        "outputs": [str(target) for target in outcome.job.targets] if made else [],
        "reason": outcome.reason,
        "seconds": round(outcome.seconds, 3),
    }


def print_json(data: dict[str, Any]) -> None:
    """One line on stdout, there at once."""
    print(json.dumps(data), flush=True)


def say(line: str) -> None:
    """One line on stderr, there at once."""
    print(line, file=sys.stderr, flush=True)


def count(number: int, noun: str) -> str:
    """A number and what there is that many of."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    return f"{minutes} min {rest_s} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
