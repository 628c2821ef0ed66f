"""Some equal workers who do whatever comes next: read a job, make a batch of pieces, finish a result.

It knows nothing of pictures. Whoever is done with one thing picks the next under one lock: nobody plans for
others and nothing is handed over, which would cost small pictures more than reading them does. What is read,
waiting and being finished is bounded in number and in pixels, so memory stays flat over any number of jobs.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

Job = TypeVar("Job")
Piece = TypeVar("Piece")
Result = TypeVar("Result")
Shape = tuple[int, int]  # height, width

BATCH_PX = 32 * 256 * 256
HELD_PX = 32 * 1024 * 1024  # read and not yet finished; what is just being read comes on top


@dataclass(frozen=True)
class Stages(Generic[Job, Piece, Result]):
    """The work. A job is read into pieces; pieces of one shape are made together; each result is finished.

    lot: how many pieces of a shape take no longer to make than fewer do. enter: called in every worker's
    thread before anything else.
    """

    read: Callable[[Job], list[Piece]]
    shape_of: Callable[[Piece], Shape]
    make: Callable[[list[Piece]], Sequence[Result]]
    finish: Callable[[Piece, Result], None]
    lot: Callable[[Shape], int] = lambda shape: 1
    enter: Callable[[], None] = lambda: None


@dataclass(eq=False)
class _Task(Generic[Job]):
    job: Job
    unfinished: int = 0
    held_px: int = 0
    error: Exception | None = None


@dataclass(frozen=True)
class _Made(Generic[Job, Piece, Result]):
    task: _Task[Job]
    piece: Piece
    result: Result
    px: int


class Conveyor(Generic[Job, Piece, Result]):
    """One run over some jobs; a job that raises fails alone."""

    def __init__(
        self,
        stages: Stages[Job, Piece, Result],
        batch_size: int,
        workers: int,
        machines: int = 1,
    ) -> None:
        """workers: threads. machines: batches made at a time.

        batch_size: of pieces made together, at most, if a lot is not more; of large ones fewer.
        """
        self._workers = workers
        self._stages = stages
        self._batch_size = batch_size
        self._machines = machines
        # Tasks that the caller does not know the end of: a batch in each machine, one ready for it, and more.
        self._window = 4 * batch_size * machines + 4 * self._workers
        self._done: queue.SimpleQueue[tuple[Job, Exception | None] | None] = queue.SimpleQueue()
        self._changed = threading.Condition(threading.Lock())  # guards all below
        self._source: Iterator[Job] = iter(())
        self._crash: BaseException | None = None  # no job is to blame for
        self._waiting: dict[Shape, list[tuple[_Task[Job], Piece]]] = {}
        self._made: deque[_Made[Job, Piece, Result]] = deque()
        self._exhausted = False
        self._given_up = False
        self._alive = 0  # tasks begun and not yet done
        self._untold = 0  # done, and the caller does not know yet
        self._reading = 0
        self._making = 0
        self._busy = 0  # workers who read, make or finish
        self._held_px = 0
        self._finishing_px = 0  # made and not yet finished

    def run(self, jobs: Iterable[Job], stop: threading.Event) -> Iterator[tuple[Job, Exception | None]]:
        """Every job as it is done, with what went wrong; not in order. Only once.

        jobs: drawn by the workers while the others wait, so it should not take long to name the next one.
        After `stop` nothing new is begun: what is made or being made is finished, the rest goes unreported.
        """
        if self._exhausted:
            raise RuntimeError("a conveyor runs once")
        self._source = iter(jobs)
        # Daemons, or a caller who neither ends nor closes the run would keep the program from ending.
        threads = [
            threading.Thread(target=self._work, args=(stop,), name=f"facadegen-worker-{number}", daemon=True)
            for number in range(self._workers)
        ]
        try:
            for thread in threads:
                thread.start()
            for _ in threads:
                while (done := self._done.get()) is not None:
                    with self._changed:
                        self._untold -= 1
                        self._changed.notify()
                    yield done
            if self._crash is not None:
                raise self._crash
        finally:
            with self._changed:
                self._give_up()
            for thread in threads:
                if thread.is_alive():
                    thread.join()

    def _work(self, stop: threading.Event) -> None:
        """What each worker does, until nothing is left to do."""
        try:
            self._stages.enter()
            with self._changed:
                self._work_on(stop)
        except BaseException as error:
            with self._changed:
                self._crash = self._crash or error
                self._give_up()
        finally:
            self._done.put(None)

    def _work_on(self, stop: threading.Event) -> None:
        while self._crash is None:
            if stop.is_set():
                self._give_up()
            if (work := self._next()) is not None:
                if self._made or self._waiting or not self._exhausted:
                    self._changed.notify()  # where there was something for one, there may be for another
                self._busy += 1
                self._changed.release()
                try:
                    report = work()
                finally:
                    self._changed.acquire()
                    self._busy -= 1
                report()
                del work, report  # and the pictures they hold
            elif not self._exhausted or self._busy:
                self._changed.wait()
            else:
                self._changed.notify_all()
                return

    def _next(self) -> Callable[[], Callable[[], None]] | None:
        """What a free worker does, and what is to be noted after; machines first, since all wait for them."""
        may_make = self._making < self._machines and self._finishing_px < HELD_PX
        if may_make and (shape := self._full_shape()):
            return self._make_next(shape)
        if self._made:
            return partial(self._finish, self._made.popleft())
        if (task := self._begun()) is not None:
            self._reading += 1
            return partial(self._read, task)
        if may_make and self._waiting and not self._more_may_come():
            return self._make_next(next(iter(self._waiting)))
        return None

    def _give_up(self) -> None:
        if not self._given_up:
            self._given_up = self._exhausted = True
            self._waiting.clear()
            self._changed.notify_all()

    def _more_may_come(self) -> bool:
        """Whether batches may still fill up; with all hands full, no job in reading is waited for."""
        is_full = self._alive >= self._window or self._held_px >= HELD_PX
        return not is_full and (self._reading > 0 or not self._exhausted)

    def _begun(self) -> _Task[Job] | None:
        in_hand = self._alive + self._untold
        if self._exhausted or in_hand >= self._window or self._held_px >= HELD_PX:
            return None
        try:
            task = _Task(next(self._source))
        except StopIteration:
            self._exhausted = True
            return None
        self._alive += 1
        return task

    def _read(self, task: _Task[Job]) -> Callable[[], None]:
        try:
            pieces = self._stages.read(task.job)
        except Exception as error:
            return partial(self._was_read, task, [], error)
        return partial(self._was_read, task, pieces, None)

    def _was_read(self, task: _Task[Job], pieces: list[Piece], error: Exception | None) -> None:
        self._reading -= 1
        if self._given_up:
            return
        task.error = error
        task.unfinished = len(pieces)
        if not pieces:
            self._is_done(task)
        for piece in pieces:
            shape = self._stages.shape_of(piece)
            task.held_px += shape[0] * shape[1]
            self._waiting.setdefault(shape, []).append((task, piece))
        self._held_px += task.held_px

    def _full_shape(self) -> Shape | None:
        """The shape of the next full batch."""
        for shape, waiting in self._waiting.items():
            if len(waiting) >= self._batch_size_for(shape):
                return shape
        return None

    def _batch_size_for(self, shape: Shape) -> int:
        return max(self._stages.lot(shape), min(self._batch_size, BATCH_PX // (shape[0] * shape[1])))

    def _make_next(self, shape: Shape) -> Callable[[], Callable[[], None]]:
        waiting = self._waiting.pop(shape)
        size = self._batch_size_for(shape)
        batch, rest = waiting[:size], waiting[size:]
        if rest:
            self._waiting[shape] = rest
        self._making += 1
        return partial(self._make, batch, shape[0] * shape[1])

    def _make(self, batch: list[tuple[_Task[Job], Piece]], px: int) -> Callable[[], None]:
        results = self._results([piece for _, piece in batch])
        return partial(self._was_made, batch, px, results)

    def _results(self, pieces: list[Piece]) -> list[Result | Exception]:
        """One result or error per piece; a batch that fails (out of memory?) is halved until it does not."""
        try:
            return list(self._stages.make(pieces))
        except Exception as error:
            if len(pieces) == 1:
                return [error]
        half = len(pieces) // 2
        return self._results(pieces[:half]) + self._results(pieces[half:])

    def _was_made(
        self, batch: list[tuple[_Task[Job], Piece]], px: int, results: list[Result | Exception]
    ) -> None:
        self._making -= 1
        for (task, piece), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                self._one_less(task, result)
            else:
                self._finishing_px += px
                self._made.append(_Made(task, piece, result, px))

    def _finish(self, made: _Made[Job, Piece, Result]) -> Callable[[], None]:
        try:
            self._stages.finish(made.piece, made.result)
        except Exception as error:
            return partial(self._was_finished, made, error)
        return partial(self._was_finished, made, None)

    def _was_finished(self, made: _Made[Job, Piece, Result], error: Exception | None) -> None:
        self._finishing_px -= made.px
        self._one_less(made.task, error)

    def _one_less(self, task: _Task[Job], error: Exception | None) -> None:
        task.unfinished -= 1
        task.error = task.error or error
        if not task.unfinished:
            self._is_done(task)

    def _is_done(self, task: _Task[Job]) -> None:
        self._alive -= 1
        self._untold += 1
        self._held_px -= task.held_px
        self._done.put((task.job, task.error))
        task.error = None  # its traceback holds on to the picture, and to the task
