"""Fetches, verifies and unpacks the data set: `python -m training.download facades`.

Its authors publish no checksum for the archive, so what is verified is what training relies on: the number
of pairs in each split, and that every one of them is a whole picture of the right size.
"""

import gzip
import re
import shutil
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import cyclopts
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from facadegen.errors import OutputError, TrainingError, UsageError
from training import command, fetch

MAX_ARCHIVE_BYTES = 300_000_000  # the archive has about a tenth of that
MAX_UNPACKED_BYTES = 300_000_000  # pictures do not shrink in an archive
LISTED_FAULTS = 3  # as many as still fit on one line


@dataclass(frozen=True)
class DataSet:
    """Where a data set comes from and what a complete one holds: `name/split/NUMBER.jpg`."""

    name: str
    url: str
    n_pairs: dict[str, int]
    size_px: tuple[int, int]  # (width, height)


FACADES = DataSet(
    name="facades",
    url="http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz",
    n_pairs={"train": 400, "val": 100, "test": 106},
    size_px=(512, 256),
)
DATA_SETS = {FACADES.name: FACADES}

app = cyclopts.App(name="python -m training.download", help_format="plaintext", version_flags=[])


@app.default
def download(
    name: Literal["facades"],
    /,
    *,
    to: Path = Path("data"),
    from_: Annotated[Path | None, cyclopts.Parameter(name="--from")] = None,
    url: str | None = None,
) -> None:
    """Fetch, verify and unpack a data set; a broken download is gone on with.

    Parameters
    ----------
    name
        The data set: the pairs of photos and label maps pix2pix was trained on.
    to
        The folder it goes into, as DIR/facades/{train,val,test}.
    from_
        An archive already at hand; nothing is downloaded.
    url
        Another place to download the archive from.
    """
    data_set = DATA_SETS[name]
    destination = to / name
    if destination.exists():
        faults = find_faults(data_set, destination)
        if faults:
            problem = f"is there but not complete ({faults}); move it away and run this again"
            raise OutputError(problem, destination)
        print(f"{destination} is already there and complete", file=sys.stderr)
        return
    if from_ is not None:
        install(data_set, from_, destination)
    else:
        part = to / f"{name}.tar.gz.part"
        with _progress(f"downloading {name}") as on_progress:
            fetch.fetch(url or data_set.url, part, on_progress, MAX_ARCHIVE_BYTES)
        try:
            install(data_set, part, destination)
        except TrainingError:  # going on with wrong bytes would only bring the same fault again
            fetch.discard(part)
            raise
        fetch.discard(part)
    counts = ", ".join(f"{n_pairs} {split}" for split, n_pairs in data_set.n_pairs.items())
    print(f"{destination}: {counts} pairs, every one opened and right", file=sys.stderr)


def install(data_set: DataSet, archive: Path, destination: Path) -> None:
    """The verified pairs of the archive lie at `destination`, which did not exist before: all or nothing.

    Raises:
        TrainingError: the archive is broken or another one, or its pairs are not complete.
        UsageError: there is no archive to read.
        OutputError: the destination cannot be written.
    """
    unpacked = destination.with_name(f".{destination.name}.unpacking")  # same folder: the rename is atomic
    try:
        shutil.rmtree(unpacked, ignore_errors=True)  # a killed run's
        unpacked.mkdir(parents=True)
        _unpack(data_set, archive, unpacked)
        faults = find_faults(data_set, unpacked)
        if faults:
            raise TrainingError(f"does not hold the {data_set.name} data set: {faults}", archive)
        unpacked.rename(destination)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror or error}", destination) from error
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def find_faults(data_set: DataSet, folder: Path) -> str:
    """What keeps the folder from being the whole data set, on one line; empty where it is."""
    faults = []
    for split, n_pairs in data_set.n_pairs.items():
        pictures = sorted((folder / split).glob("*.jpg"))
        if len(pictures) != n_pairs:
            faults.append(f"{split} has {len(pictures)} pairs, not {n_pairs}")
        faults += [f"{split}/{path.name} {fault}" for path in pictures if (fault := _fault(data_set, path))]
    more = len(faults) - LISTED_FAULTS
    return "; ".join(faults[:LISTED_FAULTS]) + (f"; and {more} more" if more > 0 else "")


def _fault(data_set: DataSet, path: Path) -> str:
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return "is no whole picture"
    width, height = data_set.size_px
    return "" if picture.size == (width, height) else f"is not {width}x{height}"


def _unpack(data_set: DataSet, archive: Path, folder: Path) -> None:
    """The archive's pictures lie in folder/split/.

    Members are copied out one by one, to names made here: nothing in the archive can choose a place, a mode
    or an owner, so this needs no extraction filter.
    """
    seen: Counter[str] = Counter()
    try:
        file = archive.open("rb")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", archive) from error
    with (
        file,
        _archive_errors(archive),
        gzip.open(file) as unzipped,
        tarfile.open(fileobj=_Bounded(unzipped, archive), mode="r|") as tar,  # type: ignore[call-overload]
    ):
        for member in tar:
            name = _picture_name(data_set, member, archive)
            source = tar.extractfile(member) if name else None
            if name is None or source is None:
                continue
            seen[name] += 1
            if seen[name] > 1:
                raise TrainingError(f"holds {member.name!r} twice", archive)
            target = folder / name
            target.parent.mkdir(exist_ok=True)
            with source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


class _Bounded:
    """A file that ends in a `TrainingError` after so many bytes that no data set has more.

    Counted here, not by members: headers, which tarfile reads whole, may be of any length, too.
    """

    def __init__(self, file: gzip.GzipFile, archive: Path) -> None:
        self._file, self._archive, self._left = file, archive, MAX_UNPACKED_BYTES

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise TrainingError(f"unpacks to more than {MAX_UNPACKED_BYTES:,} bytes", self._archive)
        return data


def _picture_name(data_set: DataSet, member: tarfile.TarInfo, archive: Path) -> str | None:
    """`split/NUMBER.jpg`, or None where the member is none of the data set's pictures and can be left out."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise TrainingError(f"holds {member.name!r}, a path out of the folder; nothing was unpacked", archive)
    if not (member.isreg() or member.isdir()):
        raise TrainingError(f"holds {member.name!r}, which is neither a file nor a folder", archive)
    splits = "|".join(data_set.n_pairs)
    match = re.fullmatch(rf"{data_set.name}/((?:{splits})/[0-9]+\.jpg)", str(path))
    return match[1] if match and member.isreg() else None


@contextmanager
def _archive_errors(archive: Path) -> Iterator[None]:
    # A broken archive shows as any of these; other OSErrors are the destination's.
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        with archive.open("rb") as file:
            start = file.read(16)
        raise TrainingError(
            f"is no tar.gz archive, or a broken one (it starts with {start!r})", archive
        ) from error


@contextmanager
def _progress(title: str) -> Iterator[fetch.OnProgress]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done_bytes, total_bytes: progress.update(task, completed=done_bytes, total=total_bytes)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 not fetched or not right, 2 usage or destination unusable, 130 interrupted."""
    return command.run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
