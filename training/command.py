"""What every `python -m training...` command does alike: parse, run, and turn errors into exit codes."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cyclopts

from facadegen.errors import FacadegenError, OutputError, UsageError, WeightsError

DONE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


def run(app: cyclopts.App, arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command: 0 done, 1 failed, 2 usage, weights or output unusable, 130 interrupted.

    Or what the command returns, where it returns a number. Errors facadegen raises on purpose are one line on
    stderr; any other is a bug and keeps its traceback.
    """
    app.suppress_keyboard_interrupt = False
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = app(tokens, exit_on_error=False, result_action="return_value")
        return code if isinstance(code, int) else DONE
    except cyclopts.CycloptsError:  # cyclopts has printed it
        return UNUSABLE
    except FacadegenError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE if isinstance(error, UsageError | WeightsError | OutputError) else FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def require_at_least(least: int, **options: int) -> None:
    """Check options of a command, by their names.

    Raises:
        UsageError: one is less than that.
    """
    for name, value in options.items():
        if value < least:
            raise UsageError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")


def require_shares(**options: float) -> None:
    """Check options of a command that are shares of something, by their names.

    Raises:
        UsageError: one is not in 0..1.
    """
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise UsageError(f"--{name.replace('_', '-')} must lie in 0..1, not {value}")


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, while the context lasts: the step in hand is finished and saved.

    One that the process was started to ignore stays so, as Ctrl-C is in the background of shell scripts.
    """
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
