"""From label map to facade file: decode, choose colors, generate, encode, write. Only this file knows all."""

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from facadegen import labels, output
from facadegen.conveyor import Conveyor, Stages
from facadegen.cpus import available_cpus
from facadegen.discover import Job
from facadegen.encoding import DEFAULT_QUALITY, Encoding, encode, provenance_line
from facadegen.errors import LACK_OF_MEMORY, FacadegenError, LabelMapError, OutputError, UsageError
from facadegen.palettes import LabelSet, Palette
from facadegen.picture import read_file
from facadegen.style import ColorChooser, Style, resolve_style
from facadegen.tiles import pad_to_stride
from facadegen.weights import Card, checksum

Pixels = npt.NDArray[np.uint8]

GPU_BATCH_SIZE = 32
CPU_BATCH_SIZE = 1  # or a lot of the generator's: in larger batches some would wait for others to be done
MAX_CPUS = 16  # each that makes pictures holds all that the network makes of them
SIZES_PX = range(16, 16385)  # of the shorter side
_OUT_OF_MEMORY = re.compile("out of memory|(can't allocate|not enough) memory")  # as torch says it


class Maker(Protocol):
    """What the pipeline needs of a generator."""

    @property
    def card(self) -> Card: ...
    @property
    def device(self) -> Any: ...
    @property
    def color_sets(self) -> npt.NDArray[np.float32]: ...
    def estimate_colors(self, photo: Pixels) -> npt.NDArray[np.float32]: ...
    def lot(self, height: int, width: int) -> int: ...
    def generate(self, classes: Pixels, colors: npt.NDArray[np.float32]) -> Pixels: ...
    def enter_thread(self) -> None: ...


@dataclass(frozen=True)
class Settings:
    """How facades are made.

    weights: the file the generator comes from. labels: "auto", "index" or a palette's name. size_px: what
    the shorter side of a label map is resized to, None: as it is. side_by_side: the label map at the left.
    overwrite: make everything, and replace what others made. batch_size: None is what suits the device.

    Raises:
        UsageError: values that cannot work.
    """

    weights: Path
    labels: str = "auto"
    size_px: int | None = None
    style: Style = Style()
    variants: int = 1
    encoding: Encoding = Encoding()
    precision: str = "auto"
    side_by_side: bool = False
    overwrite: bool = False
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.size_px is not None and self.size_px not in SIZES_PX:
            raise UsageError(f"--size {self.size_px}: choose native or {SIZES_PX[0]} to {SIZES_PX[-1]} (px)")
        if self.batch_size is not None and not 1 <= self.batch_size <= 1024:
            raise UsageError(f"--batch-size {self.batch_size}: choose a number from 1 to 1024")

    def provenances(self, label_map: bytes) -> tuple[str, ...]:
        """Per variant, the line in the file made of these bytes: equal only where the same pixels are made.

        Not wherever: 256 px asked for of a map that has them already are another wish.

        Raises:
            UsageError: the weights or the style picture cannot be read.
        """
        digest = hashlib.blake2b(label_map, digest_size=16).hexdigest()
        made_from = {"label_map": digest, **self._made_from}
        return tuple(provenance_line({**made_from, "variant": variant}) for variant in range(self.variants))

    def take_note_of_files(self) -> None:
        """Reads the weights and the style picture as they are now: all facades count as made of those.

        To be called before they are loaded; in a watch they may be replaced hours later.

        Raises:
            UsageError: one of them cannot be read.
        """
        _ = self._made_from

    @cached_property
    def _made_from(self) -> dict[str, Any]:
        return {
            "weights": _checksum(self.weights),
            "labels": self.labels,
            "size_px": self.size_px,
            "style": self.style.reference and _checksum(self.style.reference),
            "colors": sorted(self.style.colors),
            "seed": self.style.seed,
            # As asked for, not as found on this machine: another one must not make everything again.
            "precision": self.precision,
            "side_by_side": self.side_by_side,
            "format": self.encoding.format,
            # The default is the same quality asked for or not; None is what files of such runs have.
            "quality": None if self.encoding.quality == DEFAULT_QUALITY else self.encoding.quality,
        }


@dataclass(frozen=True)
class Outcome:
    """What became of a job; seconds: from the start of its decoding. error: of a failed one."""

    job: Job
    status: Literal["made", "current", "failed"]
    seconds: float = 0.0
    error: FacadegenError | None = None

    @property
    def reason(self) -> str | None:
        """Why it failed, to be read after the name of its input."""
        if self.error is None:
            return None
        return self.error.problem if self.error.path in (None, self.job.source) else str(self.error)

    @property
    def may_pass(self) -> bool:
        """Whether it failed for nothing that is wrong with its input: a full disk, say, or want of memory."""
        cause = self.error and self.error.__cause__
        is_of_system = isinstance(cause, OSError) and cause.errno  # broken pictures have no errno
        return isinstance(self.error, OutputError) or bool(is_of_system) or _is_lack_of_memory(cause)


def sort_out(jobs: Iterable[Job], settings: Settings) -> tuple[list[Job], list[Outcome]]:
    """The jobs to run, and the outcomes of those that need not be (up to date) or must not (not ours)."""
    if settings.overwrite:
        return list(jobs), []
    to_run: list[Job] = []
    settled: list[Outcome] = []
    for job in jobs:
        states = _states(job, settings)
        if "foreign" in states:
            settled.append(
                Outcome(job, "failed", error=output.in_the_way(job.targets[states.index("foreign")]))
            )
        elif all(state == "current" for state in states):
            settled.append(Outcome(job, "current"))
        else:
            to_run.append(job)
    return to_run, settled


class Pipeline:
    """A generator and settings made ready for any number of runs, one at a time.

    Raises:
        UsageError: a style that these weights cannot make, or labels that they do not know.
    """

    def __init__(self, generator: Maker, settings: Settings) -> None:
        on_gpu = getattr(generator.device, "type", "cpu") != "cpu"
        self._batch_size = settings.batch_size or (GPU_BATCH_SIZE if on_gpu else CPU_BATCH_SIZE)
        cpus = min(available_cpus(), MAX_CPUS)
        self._machines = 1 if on_gpu else cpus
        self._workers = cpus + 1  # the one more keeps the CPUs busy while another waits for a disk or a GPU
        self._line = _Line(generator, resolve_style(settings.style, generator, settings.variants), settings)

    def run(self, jobs: Iterable[Job], stop: threading.Event | None = None) -> Iterator[Outcome]:
        """Makes every job's facades and yields the outcomes as they come; a job that fails, fails alone.

        After `stop` nothing new is begun: facades being generated are finished, other jobs have no outcome.
        """
        line = self._line
        started: dict[Job, float] = {}

        def read(job: Job) -> list[_Piece]:
            started[job] = time.monotonic()
            return line.read(job)

        stages = Stages(
            read,
            lambda piece: piece.classes.shape,
            line.make,
            line.finish,
            lot=lambda shape: line.generator.lot(*shape),
            enter=line.generator.enter_thread,
        )
        conveyor = Conveyor(stages, self._batch_size, self._workers, self._machines)
        for job, error in conveyor.run(jobs, stop or threading.Event()):
            seconds = time.monotonic() - started.pop(job)
            if error is None:
                yield Outcome(job, "made", seconds)
            else:
                _forget_frames(error)
                yield Outcome(job, "failed", seconds, _explained(error, job))


@dataclass(frozen=True, eq=False)
class _Piece:
    """One facade to make. classes: (H, W), padded; shape: what to keep of it."""

    job: Job
    variant: int
    provenance: str
    classes: Pixels
    colors: npt.NDArray[np.float32]
    shape: tuple[int, int]
    kind: str


class _Line:
    """The stages of all runs of a pipeline; called from many threads."""

    def __init__(self, generator: Maker, chooser: ColorChooser, settings: Settings) -> None:
        self.generator = generator
        self._chooser = chooser
        self._settings = settings
        self._label_set: LabelSet = generator.card.label_set

    def read(self, job: Job) -> list[_Piece]:
        # Read once: what is made counts as made of what was decoded, should the file change meanwhile.
        data = read_file(job.source, labels.MAX_PIXELS)
        provenances = self._settings.provenances(data)
        label_map = labels.decode(data, self._label_set, self._settings.labels, refuse_own=True)
        classes = _resized(label_map.classes, self._settings.size_px)
        padded = _padded(classes, self.generator.card.stride)
        # Before resizing: a label map keeps its colors at any --size.
        colors = self._chooser.choose_variants(label_map.classes, len(job.targets))
        return [
            _Piece(
                job,
                variant,
                provenances[variant],
                padded,
                colors[variant],
                classes.shape,
                label_map.kind,
            )
            for variant in range(len(job.targets))
        ]

    def make(self, pieces: list[_Piece]) -> Sequence[Pixels]:
        classes = np.stack([piece.classes for piece in pieces])
        colors = np.stack([piece.colors for piece in pieces])
        return list(self.generator.generate(classes, colors))

    def finish(self, piece: _Piece, picture: Pixels) -> None:
        height, width = piece.shape
        facade = picture[:height, :width]
        if self._settings.side_by_side:
            painted = labels.render(piece.classes[:height, :width], self._palette(piece.kind))
            facade = np.hstack([painted, facade])
        data = encode(np.ascontiguousarray(facade), self._settings.encoding, piece.provenance)
        target = piece.job.targets[piece.variant]
        output.write(target, data, piece.job.out_root, overwrite=self._settings.overwrite)

    def _palette(self, kind: str) -> Palette:
        named = [palette for palette in self._label_set.palettes if palette.name == kind]
        return (named or self._label_set.palettes)[0]  # an index map has no colors of its own


def _states(job: Job, settings: Settings) -> list[output.State]:
    if not any(map(os.path.lexists, job.targets)):
        return ["outdated"]
    try:
        provenances = settings.provenances(read_file(job.source, labels.MAX_PIXELS))
    except (LabelMapError, MemoryError):
        return ["outdated"]  # decoding will say what is wrong
    return [
        output.state_of(target, provenance)
        for target, provenance in zip(job.targets, provenances, strict=True)
    ]


def _resized(classes: Pixels, size_px: int | None) -> Pixels:
    """A label map (H, W) with `size_px` as its shorter side; nearest neighbor: classes have no in-between."""
    height, width = classes.shape
    if size_px is None or size_px == min(height, width):
        return classes
    scale = size_px / min(height, width)
    size = (round(width * scale), round(height * scale))
    if size[0] * size[1] > labels.MAX_PIXELS:
        raise LabelMapError(f"would be {size[0]} x {size[1]} px with --size {size_px}: more than can be made")
    return np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))


def _padded(classes: Pixels, stride: int) -> Pixels:
    """A label map (H, W) grown to multiples of the stride, as the network needs it."""
    height, width = (side + -side % stride for side in classes.shape)
    if height * width > labels.MAX_PIXELS:
        raise LabelMapError(f"would take {width} x {height} px to make: more than {labels.MAX_PIXELS} in all")
    return pad_to_stride(classes[None], stride)[0]


def _explained(error: Exception, job: Job) -> FacadegenError:
    """Any exception as one that says which file and what: a file that is unlike all we know fails alone."""
    if isinstance(error, FacadegenError):
        return error
    problem = f"unexpected {type(error).__name__}: {error}"
    if _is_lack_of_memory(error):
        problem = LACK_OF_MEMORY
    explained = FacadegenError(problem, job.source)
    explained.__cause__ = error
    return explained


def _forget_frames(error: BaseException | None) -> None:
    """Drops an error's tracebacks: with them a watch would keep the pictures that were in hand."""
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _is_lack_of_memory(error: BaseException | None) -> bool:
    # torch has a class for a GPU's memory alone, and TorchScript none at all: what is left is the text.
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(f"{error}") is not None
    )


def _checksum(path: Path) -> str:
    try:
        return checksum(path)
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", path) from error
