"""Every job done once, in batches of one shape, with bounded work in hand, whatever fails or stops."""

import gc
import itertools
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest

from facadegen import conveyor
from facadegen.conveyor import Conveyor, Stages

Piece = tuple[int, int, int]  # job, height, width


class Works:
    """Stages that note what they are given; job n is read into one piece of shape `shape(n)`."""

    def __init__(self, pieces_per_job: int = 1) -> None:
        self.pieces_per_job = pieces_per_job
        self.read: list[int] = []
        self.batches: list[list[Piece]] = []
        self.finished: list[int] = []
        self.most_in_hand = 0
        self.most_made_at_once = 0
        self.entered: set[str] = set()
        self._making = 0
        self.broken: dict[str, int] = {}  # stage -> the job it cannot bear

    @property
    def stages(self) -> Stages[int, Piece, int]:
        return Stages(self._read, lambda piece: piece[1:], self._make, self._finish, enter=self._enter)

    def shape(self, job: int) -> tuple[int, int]:
        return (8, 8 * (1 + job % 3))

    def _enter(self) -> None:
        self.entered.add(threading.current_thread().name)

    def _read(self, job: int) -> list[Piece]:
        assert threading.current_thread().name in self.entered
        self.read.append(job)
        self.most_in_hand = max(self.most_in_hand, len(self.read) - len(self.finished))
        self._break("read", [job])
        return [(job, *self.shape(job))] * self.pieces_per_job

    def _make(self, pieces: list[Piece]) -> list[int]:
        self._making += 1
        self.most_made_at_once = max(self.most_made_at_once, self._making)
        time.sleep(1e-4)  # time to be overlapped in; too little for anything to depend on
        self.batches.append(pieces)
        self._making -= 1
        self._break("make", [job for job, *_ in pieces])
        return [job for job, *_ in pieces]

    def _finish(self, piece: Piece, result: int) -> None:
        assert piece[0] == result
        self._break("finish", [result])
        self.finished.append(result)

    def _break(self, stage: str, jobs: list[int]) -> None:
        if self.broken.get(stage) in jobs:
            raise ValueError(f"{stage} {self.broken[stage]}")


def run(works: Works, count: int, batch_size: int = 4, workers: int = 3) -> dict[int, Exception | None]:
    return dict(Conveyor(works.stages, batch_size, workers).run(range(count), threading.Event()))


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_job_is_done_once(batch_size: int, workers: int) -> None:
    works = Works()
    done = list(Conveyor(works.stages, batch_size, workers).run(range(50), threading.Event()))
    assert sorted(done, key=lambda pair: pair[0]) == [(job, None) for job in range(50)]
    assert sorted(works.finished) == list(range(50))
    assert max(map(len, works.batches)) <= batch_size
    assert works.most_made_at_once == 1
    assert len(works.entered) == workers


def left_running() -> list[str]:
    """The conveyor's threads; generators of other tests have threads of their own."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("facadegen-worker")]


def test_machines_make_batches_beside_each_other() -> None:
    works = Works()
    meeting = threading.Barrier(3, timeout=10)

    def make(pieces: list[Piece]) -> list[int]:
        meeting.wait()
        return [job for job, *_ in pieces]

    stages = replace(works.stages, make=make)
    done = dict(Conveyor(stages, 1, 4, machines=3).run(range(30), threading.Event()))
    assert done == dict.fromkeys(range(30))
    assert sorted(works.finished) == list(range(30))


def test_batches_hold_one_shape_and_are_full_where_they_can_be() -> None:
    works = Works()
    run(works, 120)
    assert all(len({piece[1:] for piece in batch}) == 1 for batch in works.batches)
    assert len(works.batches) <= 120 // 4 + 6


def test_large_pictures_go_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conveyor, "BATCH_PX", 2 * 8 * 24)
    works = Works()
    run(works, 60, batch_size=8)
    sizes = {
        batch[0][2]: max(len(b) for b in works.batches if b[0][2] == batch[0][2]) for batch in works.batches
    }
    assert sizes[24] <= 2
    assert sizes[8] <= 6


def test_batches_are_no_smaller_than_a_lot() -> None:
    works = Works()
    stages = replace(works.stages, lot=lambda shape: 3 if shape == (8, 8) else 1)
    dict(Conveyor(stages, 1, 3).run(range(90), threading.Event()))
    sizes = [(batch[0][2], len(batch)) for batch in works.batches]
    assert sorted(sizes) == [(8, 3)] * 10 + [(16, 1)] * 30 + [(24, 1)] * 30


@pytest.mark.parametrize("stage", ["read", "make", "finish"])
def test_a_job_that_fails_fails_alone(stage: str) -> None:
    works = Works()
    works.broken[stage] = 7
    done = run(works, 30)
    failed = {job: str(error) for job, error in done.items() if error}
    assert failed == {7: f"{stage} 7"}
    assert sorted(works.finished) == [job for job in range(30) if job != 7]


def test_a_job_of_many_pieces_is_done_when_all_are() -> None:
    works = Works(pieces_per_job=5)
    works.broken["finish"] = 3
    done = run(works, 8)
    assert len(done) == 8
    assert [job for job, error in done.items() if error] == [3]
    assert len(works.finished) == 7 * 5


def test_work_in_hand_is_bounded() -> None:
    works = Works()
    run(works, 500, batch_size=2, workers=2)
    assert works.most_in_hand <= 4 * 2 + 4 * 2
    assert len(works.finished) == 500


def test_pixels_in_hand_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conveyor, "HELD_PX", 8 * 8 * 4)
    works = Works()
    run(works, 100, batch_size=64, workers=2)
    assert len(works.finished) == 100
    # Four of the smallest jobs, and for each worker one that was begun before they were read.
    assert works.most_in_hand <= 4 + 2


def test_stopping_finishes_what_the_machine_has_and_drops_the_rest() -> None:
    works = Works()
    stop = threading.Event()
    belt = Conveyor(works.stages, batch_size=2, workers=2)
    done = []
    for job, error in belt.run(itertools.count(), stop):
        assert error is None
        done.append(job)
        if len(done) == 5:
            stop.set()
    assert 5 <= len(done) < 40
    assert sorted(done) == sorted(works.finished)
    assert not left_running()


def test_stopped_before_the_start_does_nothing() -> None:
    works = Works()
    stop = threading.Event()
    stop.set()
    assert list(Conveyor(works.stages, 2, 2).run(range(10), stop)) == []
    assert works.read == []


def test_a_caller_who_leaves_ends_the_threads() -> None:
    works = Works()
    outcomes = Conveyor(works.stages, 2, 2).run(itertools.count(), threading.Event())
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert not left_running()


def test_what_is_read_while_the_caller_leaves_is_not_made() -> None:
    works = Works()
    reading, left = threading.Event(), threading.Event()

    def read(job: int) -> list[Piece]:
        if job == 1:
            reading.set()
            assert left.wait(20)
        return [(job, 8, 8)]

    outcomes = Conveyor(replace(works.stages, read=read), 1, 3).run(range(2), threading.Event())
    assert next(outcomes) == (0, None)
    assert reading.wait(20)
    # What the lock guards is given up before the threads are waited for.
    threading.Timer(0.05, left.set).start()
    outcomes.close()  # type: ignore[attr-defined]
    assert works.finished == [0]


def test_a_conveyor_runs_once() -> None:
    belt = Conveyor(Works().stages, 1, 1)
    list(belt.run(range(3), threading.Event()))
    with pytest.raises(RuntimeError, match="runs once"):
        list(belt.run(range(3), threading.Event()))


def test_threads_that_cannot_be_started_leave_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, itertools.count()

    def start_two(thread: threading.Thread) -> None:
        if next(started) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    outcomes = Conveyor(Works().stages, 1, 3).run(itertools.count(), threading.Event())
    with pytest.raises(RuntimeError, match="new thread"):
        list(outcomes)
    assert not left_running()


def test_batches_are_made_though_none_fills_up() -> None:
    works = Works()
    holding = threading.Event()

    def read(job: int) -> list[Piece]:
        if job == 9:  # with all hands full of shapes that go with no other, this one is not waited for
            assert holding.wait(20)
        return [(job, 8, 8 + job)]

    def finish(piece: Piece, result: int) -> None:
        holding.set()

    stages = replace(works.stages, read=read, finish=finish, lot=lambda shape: 2)
    assert dict(Conveyor(stages, 1, 2).run(range(40), threading.Event())) == dict.fromkeys(range(40))


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_made_is_held_on_to(fails: bool) -> None:
    class Result:
        pass

    alive: weakref.WeakSet[Result] = weakref.WeakSet()
    most = 0

    def make(pieces: list[Piece]) -> list[Result]:
        results = [Result() for _ in pieces]
        alive.update(results)
        return results

    def finish(piece: Piece, result: Result) -> None:
        nonlocal most
        most = max(most, len(alive))
        if fails:
            raise OSError("disk full")

    def read(job: int) -> list[Piece]:
        return [(job, 8, 8)]

    stages: Stages[int, Piece, Result] = Stages(read, lambda piece: piece[1:], make, finish)
    gc.disable()
    try:
        assert sum(1 for _ in Conveyor(stages, 1, 1).run(range(50), threading.Event())) == 50
    finally:
        gc.enable()
    assert most <= 4 + 4 + 2  # the window, and what is in hand


def test_jobs_that_cannot_be_listed_end_the_run() -> None:
    works = Works()

    def jobs() -> Iterator[int]:
        yield from range(10)
        raise OSError("no more")

    outcomes = Conveyor(works.stages, 2, 3).run(jobs(), threading.Event())
    with pytest.raises(OSError, match="no more"):
        list(outcomes)
    assert not left_running()


def test_a_batch_too_large_for_the_memory_is_made_in_parts() -> None:
    works = Works()
    made = works.stages.make

    def make(pieces: list[Piece]) -> list[int]:
        if len(pieces) > 2:
            raise MemoryError
        return list(made(pieces))

    stages = replace(works.stages, make=make)
    done = dict(Conveyor(stages, 8, 2).run(range(40), threading.Event()))
    assert set(done.values()) == {None}
    assert len(done) == 40


def test_reading_goes_on_while_the_machine_runs() -> None:
    works = Works()
    read_ahead = threading.Event()

    def read(job: int) -> list[Piece]:
        if job == 4:
            read_ahead.set()
        return [(job, 8, 8)]

    def make(pieces: list[Piece]) -> list[int]:
        assert read_ahead.wait(20)  # a batch of 1 holds job 0 alone: job 4 must come meanwhile
        return [job for job, *_ in pieces]

    stages = replace(works.stages, read=read, make=make)
    assert len(dict(Conveyor(stages, 1, 2).run(range(8), threading.Event()))) == 8
