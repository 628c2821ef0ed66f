"""What there is to make: which files are inputs, and where the facade of each one goes.

Files may be links: what a link points to is read, wherever it lies, and never changed. Folders that are
links are not entered, so nothing loops and no way leads out of the input tree; `Plan.links` names them.

Some disks do not tell upper from lower case, or the ways to encode an accent. They are asked about what is
there; of what is still to be made, such names count as one where a system's disks usually are like that.
"""

import os
import stat
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from facadegen.errors import FacadegenError, LabelMapError, UsageError
from facadegen.formats import FACADE_SUFFIXES, LABEL_MAP_SUFFIXES, NO_FOLDER_SUFFIXES, check_format

_FOLDS_NAMES = sys.platform in ("darwin", "win32")
_ENDINGS = tuple(LABEL_MAP_SUFFIXES)


@dataclass(frozen=True)
class Naming:
    """How outputs are named: `name.png`, or `name_1.png` to `name_N.png` for N variants.

    format: "png", "jpg", "webp" or None, which is what the name of the output file says, else "png".

    Raises:
        UsageError: another format, or fewer variants than one.
    """

    format: str | None = None
    variants: int = 1

    def __post_init__(self) -> None:
        if self.format is not None:
            check_format(self.format)
        if not 1 <= self.variants <= 1000:
            raise UsageError(f"--variants {self.variants}: choose a number from 1 to 1000")

    @property
    def suffix(self) -> str:
        return f".{self.format or 'png'}"


@dataclass(frozen=True)
class Job:
    """One label map to read and the facades to make of it, one per variant; all lie in `out_root`."""

    source: Path
    targets: tuple[Path, ...]
    out_root: Path


@dataclass(frozen=True)
class Plan:
    """Everything to make, in order. problems: folders that cannot be read. links: folders that are links."""

    jobs: tuple[Job, ...]
    out_root: Path
    format: str
    problems: tuple[FacadegenError, ...] = ()
    links: tuple[Path, ...] = ()


def plan(in_path: Path, out_path: Path, naming: Naming) -> Plan:
    """The jobs for a file or a whole tree; nothing is written and no picture is opened.

    A single file goes to `out_path` itself where that is named like a picture, else into it as a folder,
    which has to be there if its name has an ending of letters.

    Raises:
        UsageError: IN does not exist, OUT cannot be, or an output would hit another one or an input.
    """
    check_exists(in_path)
    if is_folder(in_path):
        return _plan_tree(in_path, out_path, naming)
    return _plan_file(in_path, out_path, naming)


def check_exists(path: Path, what: str = "file or folder", hint: str = "") -> None:
    """Raises UsageError for what is not there (then with the hint), or not for us to look at."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"no such {what}{hint}", path) from None
    except OSError as error:
        raise UsageError(f"cannot be looked at ({error.strerror})", path) from error


def check_folder_name(out_root: Path, root: Path) -> None:
    """Raises UsageError for an output folder of the tree `root` that is none yet and named like a picture."""
    if is_named_like_a_picture(out_root):
        raise UsageError(f"is named like a picture, but {root} is a folder and needs a folder", out_root)


def is_named_like_a_picture(path: Path) -> bool:
    """Whether a path that leads to no folder says by its ending that it is none, either."""
    return path.suffix.lower() in NO_FOLDER_SUFFIXES and not is_folder(path)


def job_for(source: Path, root: Path, out_root: Path, naming: Naming) -> Job:
    """The job of one input below `root`: its place in the tree is mirrored below `out_root`."""
    folder = out_root / source.parent.relative_to(root)
    return Job(source, _targets(folder / source.stem, naming), out_root)


def last_changed_ns(source: Path) -> int:
    """When a file became what it is: was written, moved here, copied with its old date, or linked anew.

    0 for a file that is gone by now, or not for us to look at.
    """
    try:
        stats = [source.lstat()]
        if stat.S_ISLNK(stats[0].st_mode):
            stats.append(source.stat())
    except OSError:
        return 0
    times_ns = [each.st_mtime_ns for each in stats]
    if os.name == "posix":  # elsewhere st_ctime is the time of creation
        times_ns += [each.st_ctime_ns for each in stats]
    return max(times_ns)


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file or folder, by whatever names; either may be absent."""
    try:
        return one.samefile(other)  # on some disks, drops and Drops are the same
    except OSError:
        return _real(one) == _real(other)


def twin_of(source: Path) -> Path | None:
    """Another input beside this one whose facade would have the same name, if there is one."""
    for suffix in sorted(LABEL_MAP_SUFFIXES):
        for cased in (suffix, suffix.upper(), f".{suffix[1:].capitalize()}"):
            other = source.with_suffix(cased)
            if other.name != source.name and _is_another_file(other, source):
                return other
    return None


def place_of(root: Path, out_root: Path) -> Path | None:
    """Where in the output folder the tree of inputs itself lies; None where that is elsewhere."""
    name = _relative(root, out_root)
    return None if name is None else out_root / name


def target_in(job: Job, place: Path | None) -> Path | None:
    """The first target that would lie among the inputs, whose place in the output folder is `place`.

    That is where the tree of inputs has a folder of its own name in it.
    """
    if place is None:
        return None
    depth = len(place.parts)
    return next((target for target in job.targets if _is_one(Path(*target.parts[:depth]), place)), None)


def own_target(job: Job) -> Path | None:
    """The target that is the job's own label map, by a link."""
    if not _is_link(job.source):
        return None
    own = _real(job.source)
    return next((target for target in job.targets if _is_one(_real(target.parent) / target.name, own)), None)


def is_folder(path: Path) -> bool:
    """Whether it is one, or a link to one; False, not an error, for loops and where one may not look."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir() may raise


@dataclass(frozen=True)
class Rule:
    """Which files of a tree are inputs, told by their names in it alone: it works on files still to come.

    An input is named like a picture; nothing hidden is one (temp files are), and nothing in the output
    folder, whose name in the tree is `out_name`, None where it lies elsewhere. Names are those in `root`, as
    text: a watcher asks about every file again and again.
    """

    root: Path
    out_name: str | None

    @classmethod
    def between(cls, root: Path, out_root: Path) -> "Rule":
        """The rule for a tree and its output folder, wherever that lies."""
        below = _relative(out_root, root)
        return cls(root, None if below is None else str(below))

    def takes(self, name: str) -> bool:
        """Whether a file is an input."""
        return name.lower().endswith(_ENDINGS) and self.enters(name)

    def enters(self, name: str) -> bool:
        """Whether a folder may hold inputs."""
        if name.startswith(".") or f"{os.sep}." in name:
            return False
        if self.out_name is None:
            return True
        depth = self.out_name.count(os.sep) + 1
        top = os.sep.join(name.split(os.sep, depth)[:depth])  # noqa: PTH118 - names in the tree are text
        # Text first: nearly all names differ in that already.
        return _folded(top) != _folded(self.out_name) or not _is_one(
            self.root / top, self.root / self.out_name
        )


def _plan_tree(root: Path, out_root: Path, naming: Naming) -> Plan:
    check_folder_name(out_root, root)
    if same_file(root, out_root):
        raise UsageError("is the folder of the label maps; name another one for the facades", out_root)
    problems: list[FacadegenError] = []
    links: list[Path] = []
    sources = _walk(root, Rule.between(root, out_root), problems, links)
    jobs = tuple(job_for(source, root, out_root, naming) for source in sources)
    _refuse_collisions(jobs)
    place = place_of(root, out_root)
    for job in jobs:
        if (hit := target_in(job, place)) is not None:
            raise UsageError(f"would be a label map, too; it is to be the facade of {job.source}", hit)
    return Plan(jobs, out_root, naming.suffix[1:], tuple(problems), tuple(links))


def _plan_file(source: Path, out_path: Path, naming: Naming) -> Plan:
    suffix = out_path.suffix.lower()
    if not is_named_like_a_picture(out_path):
        # v1.2 is a version, house.txt a slip.
        if suffix[1:].isalpha() and not os.path.lexists(out_path):
            raise UsageError(
                "no such folder, and no picture's name (.png, .jpg, .webp); make it first if it is a folder",
                out_path,
            )
        jobs = (job_for(source, source.parent, out_path, naming),)
        _refuse_collisions(jobs)
        return Plan(jobs, out_path, naming.suffix[1:])
    if suffix not in FACADE_SUFFIXES:
        raise UsageError(f"facades are written as .png, .jpg or .webp, not as {suffix}", out_path)
    if naming.format not in (None, FACADE_SUFFIXES[suffix]):
        raise UsageError(f"is no name for --format {naming.format}", out_path)
    named = Naming(FACADE_SUFFIXES[suffix], naming.variants)
    targets = _targets(out_path.with_suffix(""), named, out_path.suffix)
    jobs = (Job(source, targets, out_path.parent),)
    _refuse_collisions(jobs)
    return Plan(jobs, out_path.parent, FACADE_SUFFIXES[suffix])


def _targets(stem: Path, naming: Naming, suffix: str | None = None) -> tuple[Path, ...]:
    suffix = suffix or naming.suffix
    if naming.variants == 1:
        return (stem.with_name(stem.name + suffix),)
    return tuple(stem.with_name(f"{stem.name}_{i}{suffix}") for i in range(1, naming.variants + 1))


def _walk(root: Path, rule: Rule, problems: list[FacadegenError], links: list[Path]) -> Iterator[Path]:
    """Inputs below a folder, by name, folder by folder; what cannot be read goes to `problems`."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(root / below) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            problems.append(LabelMapError(f"cannot be read ({error.strerror})", root / below))
            continue
        folders: list[str] = []
        for entry in found:
            name = os.path.join(below, entry.name)  # noqa: PTH118 - names in the tree are text
            path = root / name
            # What lies in a folder that one may not look into is still known to be a folder.
            if entry.is_dir(follow_symlinks=False) or is_folder(path):
                if not rule.enters(name):
                    continue
                if entry.is_symlink():
                    links.append(path)
                else:
                    folders.append(name)
            elif rule.takes(name) and _is_to_read(path):
                yield path
        waiting.extend(reversed(folders))


def _refuse_collisions(jobs: tuple[Job, ...]) -> None:
    """Raises UsageError where two inputs share an output or an output would replace an input."""
    makers: dict[str, tuple[Path, Path]] = {}
    clashes: dict[Path, tuple[Path, str]] = {}  # by the later label map: facade, problem
    for job in jobs:
        for target in job.targets:
            name = _folded(target) if _FOLDS_NAMES else os.fspath(target)
            twin, other = makers.setdefault(name, (target, job.source))
            if other != job.source:
                same = "" if twin == target else f" (disks here take {twin} for the same name)"
                problem = f"would be made from both {other} and {job.source}{same}; rename one of them"
                clashes.setdefault(job.source, (target, problem))
    if clashes:
        target, problem = next(iter(clashes.values()))
        more = f" ({len(clashes) - 1} more label maps clash)" if len(clashes) > 1 else ""
        raise UsageError(problem + more, target)
    folders: dict[Path, Path] = {}
    sources: dict[str, list[tuple[Path, Path]]] = {}
    for job in jobs:
        places = [_located(job.source, folders), *([_real(job.source)] if _is_link(job.source) else [])]
        for place in places:
            sources.setdefault(_folded(place), []).append((place, job.source))
    for job in jobs:
        for target in job.targets:
            located = _located(target, folders)
            for place, source in sources.get(_folded(located), ()):
                if _is_one(place, located):
                    raise UsageError(f"is a label map that the facade of {job.source} would replace", source)


def _located(path: Path, folders: dict[Path, Path]) -> Path:
    """The path with its folder resolved (once per folder): the name that os.replace would act on."""
    if path.parent not in folders:
        folders[path.parent] = _real(path.parent)
    return folders[path.parent] / path.name


def _folded(path: str | Path) -> str:
    """Equal for paths that some disk takes for one."""
    return unicodedata.normalize("NFC", os.fspath(path)).casefold()


def _is_one(one: Path, other: Path) -> bool:
    """Whether two names in folders without links are one name on the disk that they are on."""
    return one == other or (_folded(one) == _folded(other) and same_file(one, other))


def _is_another_file(path: Path, source: Path) -> bool:
    try:
        return path.is_file() and not path.samefile(source)  # on some disks, a.png and a.PNG are the same
    except OSError:  # a name that is too long; or one of them is gone by now
        return False


def _is_link(path: Path) -> bool:
    return os.path.islink(path)  # noqa: PTH114 - no errors for locked folders


def _is_to_read(path: Path) -> bool:
    """Whether a file can be read, or reading it says what is wrong; pipes and sockets would block."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return _is_link(path)
    except OSError:
        return True


def _relative(path: Path, root: Path) -> Path | None:
    """Where below `root` a path lies, links resolved; None where it lies elsewhere or is `root` itself."""
    path, root = _real(path), _real(root)
    above = next((folder for folder in path.parents if _is_one(folder, root)), None)
    return None if above is None else path.relative_to(above)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
