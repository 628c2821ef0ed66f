"""The command line: parses, calls one function of `commands`, returns an exit code.

0 everything made or up to date; 1 some inputs, or lines of --json, failed; 2 usage, weights or output folder
unusable, or an error that nobody foresaw; 130 interrupted (143 by SIGTERM); 141 whoever read stdout or stderr
is gone.
"""

import difflib
import errno
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from facadegen import __version__, discover
from facadegen.errors import FacadegenError, printable
from facadegen.options import NamedPath, Options, WatchFlags
from facadegen.streams import make_usable, say, silence

_TRACEBACK = "FACADEGEN_TRACEBACK"  # set in the environment, an unexpected error shows where it came from
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)

app = App(
    name="facadegen",
    version=__version__,
    version_flags=["--version", "-V"],
    help_format="plaintext",  # importing a Markdown renderer takes longer than all the rest
    usage="Usage: facadegen IN OUT [OPTIONS]\n       facadegen watch DIR [OUT] [OPTIONS]",
)


@app.default
def batch(
    in_path: Annotated[NamedPath, Parameter(name="IN", help="A label map, or a folder of them.")],
    out_path: Annotated[
        NamedPath, Parameter(name="OUT", help="A picture to make, or a folder for all of them.")
    ],
    /,
    *,
    options: Options = Options(),
) -> int:
    """Turns facade label maps into facade photos: a file, or a folder with all its subfolders.

    What is up to date is not made again. Call a folder named like a command ./watch, ./info or ./palette.
    """
    discover.check_exists(in_path, hint=_meant(str(in_path)))
    from facadegen.commands import make_batch

    return make_batch(in_path, out_path, options)


@app.command
def watch(
    directory: Annotated[
        NamedPath, Parameter(name="DIR", help="The folder to watch, with all its subfolders.")
    ],
    out_root: Annotated[
        NamedPath | None, Parameter(name="OUT", help="Where facades go; default: DIR/facades.")
    ] = None,
    /,
    *,
    options: Options = Options(),
    flags: WatchFlags = WatchFlags(),
) -> int:
    """Turns the label maps in a folder into facades, now and whenever new ones appear, until Ctrl-C."""
    from facadegen.commands import keep_watching

    return keep_watching(directory, out_root or directory / "facades", options, flags)


@app.command
def info(
    weights: Annotated[
        NamedPath | None, Parameter(name="WEIGHTS", help="Default: the ones facadegen brings.")
    ] = None,
    /,
) -> int:
    """Tells what a weights file is: classes, palettes, native size, how it was trained, scores."""
    from facadegen.legend import show_info

    return show_info(weights)


@app.command
def palette(
    *,
    gimp: Annotated[
        NamedPath | None, Parameter(help="Write a .gpl palette for GIMP, Krita and Inkscape.")
    ] = None,
    name: Annotated[str | None, Parameter(help="Which palette to write; default: the first one.")] = None,
    weights: Annotated[NamedPath | None, Parameter(help="Default: the ones facadegen brings.")] = None,
) -> int:
    """Shows the colors that the classes have in a label map."""
    from facadegen.legend import show_palette

    return show_palette(weights, gimp, name)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line, by default that of the process; every error is one line on stderr."""
    make_usable()
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except (BrokenPipeError, SystemExit):  # the latter is what rich makes of it when it prints --help
        for stream in (sys.stdout, sys.stderr):
            silence(stream)
        return 141


def _run(tokens: list[str]) -> int:
    try:
        if not tokens:
            app.help_print([])
            return 2
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")  # they are for programmers; `python -W default` shows them
            result = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return result if isinstance(result, int) else 0  # None: of --help and --version
    except CycloptsError as error:
        _complain(f"{' '.join(str(error).split())}{_meant(tokens[0])} (facadegen --help tells more)")
    except FacadegenError as error:
        _complain(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        # Files that cannot be written are told of by name where they are.
        if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE:
            silence(sys.stdout)
            _complain(f"stdout: cannot be written ({error.strerror})")
            return 2
        if _TRACEBACK in os.environ:
            raise
        problem = f"unexpected {type(error).__name__}: {error}"
        _complain(f"{' '.join(problem.split())} ({_TRACEBACK}=1 in the environment shows where)")
    return 2


def _complain(text: str) -> None:
    say(f"facadegen: {printable(text)}")


def _meant(word: str) -> str:
    """What to add to an error where a word may be a mistyped command."""
    commands = ("watch", "info", "palette")
    close = difflib.get_close_matches(word, commands, n=1)
    return f"; did you mean `facadegen {close[0]}`?" if close and word not in commands else ""
