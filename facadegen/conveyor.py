"""Many hands and a machine or some: worker threads read and finish jobs beside those that make batches.

It knows nothing of pictures. The caller's thread plans: it alone owns the state, the others only report
to it through a queue. What is read, waiting and being finished is bounded in number and in pixels, so
memory stays flat over any number of jobs.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

Job = TypeVar("Job")
Piece = TypeVar("Piece")
Result = TypeVar("Result")
Shape = tuple[int, int]  # height, width

BATCH_PX = 32 * 256 * 256
HELD_PX = 32 * 1024 * 1024  # read and not yet finished; what is just being read comes on top
_MAX_WORKERS = 16
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Stages(Generic[Job, Piece, Result]):
    """The work. A job is read into pieces; pieces of one shape are made together; each result is finished."""

    read: Callable[[Job], list[Piece]]
    shape_of: Callable[[Piece], Shape]
    make: Callable[[list[Piece]], Sequence[Result]]
    finish: Callable[[Piece, Result], None]


@dataclass(eq=False)
class _Task(Generic[Job]):
    job: Job
    unfinished: int = 0
    held_px: int = 0
    error: Exception | None = None


class Conveyor(Generic[Job, Piece, Result]):
    """One run over some jobs; a job that raises fails alone."""

    def __init__(
        self,
        stages: Stages[Job, Piece, Result],
        batch_size: int,
        workers: int = 0,
        machines: int = 1,
        batch_px: int = BATCH_PX,
    ) -> None:
        """workers: threads that read and finish, 0: one per CPU. machines: batches made at a time.

        batch_px: of pictures so large that batch_size of them have more, fewer are made together.
        """
        workers = workers or min(available_cpus(), _MAX_WORKERS)
        self._stages = stages
        self._batch_size = batch_size
        self._batch_px = batch_px
        self._machines = machines
        # Tasks alive: a batch in each machine, one ready for it, more to come.
        self._window = 4 * batch_size * machines + 2 * workers
        self._most_reading = 2 * workers  # nobody knows how large a job is before it is read
        self._hands = ThreadPoolExecutor(workers, "facadegen-hand")
        self._machine = ThreadPoolExecutor(machines, "facadegen-machine")
        self._reports: queue.SimpleQueue[Callable[[], Iterator[_Task[Job]]]] = queue.SimpleQueue()
        self._waiting: dict[Shape, list[tuple[_Task[Job], Piece]]] = {}
        self._exhausted = False
        self._given_up = False
        self._alive = 0  # tasks begun and not yet done
        self._busy = 0  # reports to come
        self._reading = 0
        self._batches = 0
        self._held_px = 0
        self._finishing_px = 0

    def run(self, jobs: Iterable[Job], stop: threading.Event) -> Iterator[tuple[Job, Exception | None]]:
        """Every job as it is done, with what went wrong; not in order.

        After `stop` nothing new is begun: batches in the machine are finished, the rest goes unreported.
        """
        source = iter(jobs)
        try:
            while True:
                if stop.is_set():
                    self._give_up()
                self._start_reading(source)
                self._start_making()
                if not self._busy:
                    return
                report = self._reports.get()
                self._busy -= 1
                for task in report():
                    self._alive -= 1
                    self._held_px -= task.held_px
                    yield task.job, task.error
        finally:
            self._give_up()
            self._hands.shutdown(wait=True, cancel_futures=True)
            self._machine.shutdown(wait=True, cancel_futures=True)

    def _give_up(self) -> None:
        self._given_up = self._exhausted = True
        self._waiting.clear()

    def _start_reading(self, source: Iterator[Job]) -> None:
        while (
            not self._exhausted
            and self._alive < self._window
            and self._reading < self._most_reading
            and self._held_px < HELD_PX
        ):
            try:
                task = _Task(next(source))
            except StopIteration:
                self._exhausted = True
                return
            self._alive += 1
            self._reading += 1
            self._submit(self._hands, partial(self._read, task.job), partial(self._was_read, task))

    def _read(self, job: Job) -> list[Piece]:
        return [] if self._given_up else self._stages.read(job)

    def _was_read(self, task: _Task[Job], pieces: list[Piece] | Exception) -> Iterator[_Task[Job]]:
        self._reading -= 1
        if isinstance(pieces, Exception):
            task.error = pieces
            yield task
        elif not self._given_up:
            task.unfinished = len(pieces)
            for piece in pieces:
                shape = self._stages.shape_of(piece)
                task.held_px += shape[0] * shape[1]
                self._waiting.setdefault(shape, []).append((task, piece))
            self._held_px += task.held_px

    def _start_making(self) -> None:
        most = 2 * self._machines  # the next batch is ready when a machine is done with its own
        while self._batches < most and self._finishing_px < HELD_PX and (shape := self._next_shape()):
            waiting = self._waiting.pop(shape)
            size = self._batch_size_for(shape)
            batch, rest = waiting[:size], waiting[size:]
            if rest:
                self._waiting[shape] = rest
            self._batches += 1
            make = partial(self._make, [piece for _, piece in batch])
            self._submit(self._machine, make, partial(self._was_made, batch, shape[0] * shape[1]))

    def _next_shape(self) -> Shape | None:
        """The shape of the next batch: of a full one, or of any where no more is on the way to fill it."""
        for shape, waiting in self._waiting.items():
            if len(waiting) >= self._batch_size_for(shape):
                return shape
        idle = not self._reading and self._batches < self._machines
        return next(iter(self._waiting), None) if idle else None

    def _batch_size_for(self, shape: Shape) -> int:
        return max(1, min(self._batch_size, self._batch_px // (shape[0] * shape[1])))

    def _make(self, pieces: list[Piece]) -> list[Result | Exception]:
        """One result or error per piece; a batch that fails (out of memory?) is halved until it does not."""
        try:
            return list(self._stages.make(pieces))
        except Exception as error:
            if len(pieces) == 1:
                return [error]
        half = len(pieces) // 2
        return self._make(pieces[:half]) + self._make(pieces[half:])

    def _was_made(
        self, batch: list[tuple[_Task[Job], Piece]], px: int, results: list[Result | Exception] | Exception
    ) -> Iterator[_Task[Job]]:
        self._batches -= 1
        if isinstance(results, Exception):  # not of a piece: the batch as a whole could not even be tried
            results = [results] * len(batch)
        for (task, piece), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                yield from self._one_less(task, result)
            else:
                self._finishing_px += px
                finish = partial(self._stages.finish, piece, result)
                self._submit(self._hands, finish, partial(self._was_finished, task, px))

    def _was_finished(self, task: _Task[Job], px: int, error: Exception | None) -> Iterator[_Task[Job]]:
        self._finishing_px -= px
        yield from self._one_less(task, error)

    def _one_less(self, task: _Task[Job], error: Exception | None) -> Iterator[_Task[Job]]:
        task.unfinished -= 1
        task.error = task.error or error
        if not task.unfinished:
            yield task

    def _submit(
        self, pool: ThreadPoolExecutor, work: Callable[[], object], then: Callable[..., Iterator[_Task[Job]]]
    ) -> None:
        self._busy += 1

        def report() -> None:
            try:
                result = work()
            except Exception as error:
                result = error
            self._reports.put(partial(then, result))

        pool.submit(report)


def available_cpus() -> int:
    """The CPUs this process may use: what the affinity mask and a container's quota leave of them."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text(encoding="ascii").split()
        return max(1, min(cpus, int(quota) // int(period)))
    except (OSError, ValueError):  # no Linux, no quota ("max"), or an older kind of container
        return cpus
