"""Putting facades into place: whole or not at all, and never outside the output folder."""

import contextlib
import os
import platform
import re
import secrets
import stat
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from facadegen.encoding import read_provenance
from facadegen.errors import OutputError
from facadegen.held import HeldFolder

State = Literal["current", "outdated", "foreign"]

# Its name says who writes a temp file, and is short whatever the output's name:
# .facadegen-<host>-<process>-<random>.tmp
_TEMP_PATTERN = re.compile(r"\.facadegen-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp")
_TEMP_MAX_AGE_S = 3600  # one lives for milliseconds; an hour old, it is nobody's

_unfinished: set[Path] = set()  # the temp files this process is writing
_places: dict[Path, Path] = {}  # where output folders were when they were prepared


def prepare(out_root: Path) -> None:
    """Makes the output folder and proves that it can be written to; a link later in its place leads out.

    Raises:
        OutputError: it cannot be made, is no folder, or takes no file.
    """
    _places[out_root] = Path(os.path.realpath(out_root))
    try:
        out_root.mkdir(parents=True, exist_ok=True)
        probe = out_root / _temp_name()
        probe.touch(exist_ok=False)
        probe.unlink()
    except FileExistsError as error:
        what = "is a link to nothing" if not out_root.exists() else "is a file"
        raise OutputError(f"{what}; a folder is needed for the facades", out_root) from error
    except OSError as error:
        raise OutputError(f"cannot be written to ({error.strerror})", out_root) from error


def state_of(target: Path, provenance: str) -> State:
    """Whether an output can stay ("current"), is to be made ("outdated"), or not ours ("foreign")."""
    try:
        if stat.S_ISDIR(target.stat().st_mode):
            return "outdated"  # writing will say what is wrong
        found = read_provenance(target)
    except OSError:  # absent, or not for us to read
        return "foreign" if os.path.exists(target) else "outdated"  # noqa: PTH110 - exists() may raise
    if found == "":
        return "foreign"
    return "current" if found == provenance else "outdated"


def in_the_way(target: Path) -> OutputError:
    """What is wrong where `state_of` says "foreign"."""
    return OutputError("exists and was not made by facadegen; --overwrite replaces it", target)


def write(target: Path, data: bytes, out_root: Path, *, overwrite: bool = True) -> None:
    """Puts a file into place in one step; makes folders as needed. overwrite: files of others, too.

    Not synced to the disk, which is slow: after a power cut a file may be empty, and `state_of` sees that.
    Where a link takes a folder's place at this moment, no more than empty folders come to be elsewhere.

    Raises:
        OutputError: it cannot be written, a link would lead it out of the output folder, or a file of others
            is in its place.
    """
    folder = target.parent
    try:
        with _held(folder, out_root) as held:
            if not held.is_in(_root(out_root)):
                raise _leads_out(folder)
            _put(held, target, data, overwrite)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror})", target) from error


def clean_leftovers(folders: Iterable[Path], out_root: Path) -> int:
    """Deletes the temp files that killed runs left in these folders and counts them; live ones stay.

    Folders to which a link leads out of the output folder are left alone.
    """
    cleaned = 0
    for folder in folders:
        if not _is_inside(folder, out_root):
            continue
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if (match := _TEMP_PATTERN.fullmatch(entry.name)) and _is_leftover(entry, *match.groups()):
                    Path(entry).unlink(missing_ok=True)
                    cleaned += 1
    return cleaned


def abandon() -> None:
    """Deletes what is half-written, for a process that ends at once."""
    for temp in list(_unfinished):
        with contextlib.suppress(OSError):
            temp.unlink()


def _place_of(out_root: Path) -> Path:
    return _places.get(out_root) or Path(os.path.realpath(out_root))


def _root(out_root: Path) -> os.stat_result:
    """The output folder itself; a link that has taken its place is not followed."""
    try:
        return _place_of(out_root).lstat()
    except PermissionError:  # a folder above may not be searched, so that only the way from here leads to it
        return out_root.stat()


def _is_inside(folder: Path, out_root: Path) -> bool:
    return Path(os.path.realpath(folder)).is_relative_to(_place_of(out_root))


def _leads_out(folder: Path) -> OutputError:
    return OutputError("a link leads out of the output folder here", folder)


def _held(folder: Path, out_root: Path) -> HeldFolder:
    """A folder held open, made if it is not there."""
    try:
        return HeldFolder(folder)
    except (FileNotFoundError, NotADirectoryError):
        _make(folder, out_root)
        return HeldFolder(folder)


def _make(folder: Path, out_root: Path) -> None:
    """Makes a folder below the root alone: a root that vanished may be a drive that was unplugged."""
    if not _is_inside(folder, out_root):
        raise _leads_out(folder)
    if os.path.lexists(folder):  # if it is no folder, opening it tells what is wrong
        return
    if not out_root.is_dir():
        is_gone = not os.path.lexists(out_root)
        raise OutputError("the output folder is gone" if is_gone else "is a folder no more", out_root)
    folder.mkdir(parents=True, exist_ok=True)


def _put(held: HeldFolder, target: Path, data: bytes, overwrite: bool) -> None:
    temp = _temp_name()
    path = target.with_name(temp)
    _unfinished.add(path)
    try:
        held.create(temp, data)
        if overwrite or not _linked(held, temp, target):
            held.replace(temp, target.name)
    finally:
        with contextlib.suppress(OSError):
            held.unlink(temp)
        _unfinished.discard(path)


def _linked(held: HeldFolder, temp: str, target: Path) -> bool:
    """Whether the file took a place where none was; unlike replacing, that cannot hit one that just came."""
    try:
        held.link(temp, target.name)
    except OSError as error:  # there is one, or the disk has no links
        if state_of(target, "") == "foreign":
            raise in_the_way(target) from error
        return False
    with contextlib.suppress(OSError):
        held.touch(target.name)  # of a link alone, who waits for files that are closed would not hear
    return True


def _temp_name() -> str:
    return f".facadegen-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp"


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode(errors='replace')):08x}"


def _is_leftover(entry: os.DirEntry[str], host: str, pid: str) -> bool:
    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _TEMP_MAX_AGE_S:
        return True
    if host != _host() or os.name != "posix":  # elsewhere os.kill(pid, 0) would end the process
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # it lives, and is somebody else's
        return False
    return False
