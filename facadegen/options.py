"""The options of the command line, as given; `commands` turns them into settings."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import CoercionError, Group, Parameter, Token

from facadegen.discover import is_named_like_a_picture
from facadegen.errors import UsageError
from facadegen.formats import Format

_looks = partial(Parameter, group=Group("What the facades look like", sort_key=1))
_files = partial(Parameter, group=Group("Files", sort_key=2))
_running = partial(Parameter, group=Group("Running", sort_key=3))
_watching = partial(Parameter, group=Group("Watching", sort_key=4))
_flag = {"negative": (), "show_default": False}


def _path(kind: Any, tokens: Sequence[Token]) -> Path:
    text = tokens[0].value
    if not text:  # Path("") is the current folder; an empty name is a variable that is not set
        raise CoercionError(token=tokens[0], target_type=kind)
    path = Path(text)
    if text.endswith(("/", os.sep)) and is_named_like_a_picture(path):  # Path drops the slash
        raise UsageError("is named like a picture, but ends like a folder; expected one of the two", text)
    return path


def _whole(kind: Any, tokens: Sequence[Token]) -> int:
    try:
        return int(tokens[0].value)  # cyclopts would round 1.9 to 2
    except ValueError:
        raise CoercionError(token=tokens[0], target_type=kind) from None


NamedPath = Annotated[Path, Parameter(converter=_path)]
WholeNumber = Annotated[int, Parameter(converter=_whole)]


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """What `facadegen IN OUT` and `facadegen watch` share."""

    style: Annotated[
        NamedPath | None, _looks(help="Take the colors from this photo, or pair of photo and label map.")
    ] = None
    color: Annotated[
        tuple[str, ...],
        _looks(
            help="The color of a class; repeatable.", metavar="CLASS=COLOR", negative=(), show_default=False
        ),
    ] = ()
    seed: Annotated[
        WholeNumber | None,
        _looks(
            help="Which of the built-in color sets; past the last they begin anew. Default: by the label map."
        ),
    ] = None
    variants: Annotated[WholeNumber, _looks(help="Make name_1 to name_N in different colors.")] = 1
    size: Annotated[str, _looks(help="native, or N: the shorter side of the facade, in px.")] = "native"
    side_by_side: Annotated[bool, _looks(help="Put the label map to the left of its facade.", **_flag)] = (
        False
    )
    labels: Annotated[
        str, _files(help="How label maps are painted: auto, index, or a palette: pix2pix, cmp.")
    ] = "auto"
    format: Annotated[Format | None, _files(help="Default: what the name of OUT says, else png.")] = None
    quality: Annotated[WholeNumber | None, _files(help="Of jpg and webp, 1 to 100; default: 90.")] = None
    overwrite: Annotated[
        bool, _files(help="Make everything again, and replace pictures of others.", **_flag)
    ] = False
    weights: Annotated[NamedPath | None, _running(help="Default: the ones facadegen brings.")] = None
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], _running(help="Where to run.")] = "auto"
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], _running(help="Faster or more exact.")] = (
        "auto"
    )
    batch_size: Annotated[
        WholeNumber | None, _running(help="Pictures at a time; default: what suits the device.")
    ] = None
    quiet: Annotated[bool, _running(help="Only say what failed.", **_flag)] = False
    json: Annotated[bool, _running(help="A JSON line per label map, on stdout.", **_flag)] = False


@Parameter(name="*")
@dataclass(frozen=True)
class WatchFlags:
    """What only `facadegen watch` has."""

    poll: Annotated[
        float | None,
        _watching(help="Look every so many seconds instead of waiting for events, as on network mounts."),
    ] = None
    settle: Annotated[
        float, _watching(help="Seconds that a file must hold still, unless it was seen being closed.")
    ] = 1.0
    rescan: Annotated[float, _watching(help="Seconds between two looks for what events missed.")] = 60.0
    once: Annotated[bool, _watching(help="Make what is there, then end.", **_flag)] = False
