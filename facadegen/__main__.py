"""The program `facadegen`, and `python -m facadegen`."""

import os
import signal
import sys


def main() -> int:
    """Runs the command line of the process; Ctrl-C ends it with 130, also while it is being imported."""
    # At once, and no KeyboardInterrupt: `timeout` and others signal twice, the second time in its handling.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from facadegen.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
