"""Watching real folders: native events where there are any, made-up observers and clocks for the rest."""

import errno
import itertools
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import DirDeletedEvent

from facadegen import output
from facadegen.errors import UsageError
from facadegen.lookout import RESTART_PAUSE_S
from facadegen.observing import platform_observer
from facadegen.watch import MAX_SET, Watcher, WatchEvent, WatchOptions

inotify = pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")
PATIENCE_S = 20.0  # on a busy machine


def is_map(name: str) -> bool:
    path = Path(name)
    return path.suffix == ".map" and not path.name.startswith(".") and "facades" not in path.parts


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Observer:
    """An observer that says what the test makes it say, with a thread that can die."""

    def __init__(
        self,
        refusal: OSError | None = None,
        on_start: Callable[[], None] = lambda: None,
        last_words: str = "",
    ) -> None:
        self.refusal = refusal
        self.on_start = on_start
        self.last_words = last_words
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.live, daemon=True)

    def live(self) -> None:
        self.ended.wait()
        if self.last_words:
            logging.getLogger("watchdog.observers.inotify").error(self.last_words)

    def schedule(self, handler: Any, path: str, **options: Any) -> None:
        self.handler, self.path, self.options = handler, path, options

    def start(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.thread.start()
        self.on_start()

    def stop(self) -> None:
        self.ended.set()

    def die(self) -> None:
        self.stop()
        self.thread.join()


class Bench:
    """A watcher on a folder, in made-up time, and what it said."""

    def __init__(
        self,
        folder: Path,
        options: WatchOptions | None = None,
        make_observer: Callable[[], Any] = Observer,
        is_input: Callable[[str], bool] = is_map,
    ) -> None:
        self.folder = folder
        self.clock = Clock()
        self.stop = threading.Event()
        self.events: list[WatchEvent] = []
        self.observers: list[Any] = []

        def counted_observer() -> Any:
            self.observers.append(make_observer())
            return self.observers[-1]

        self.watcher = Watcher(
            folder,
            is_input,
            options or WatchOptions(),
            self.stop,
            on_event=self.events.append,
            clock=self.clock,
            make_observer=counted_observer,
        )

    def after(self, seconds: float) -> list[str]:
        """What comes when that much time has passed, as names in the folder."""
        self.clock.now_s += seconds
        return self.names(self.watcher.step())

    def settled(self) -> list[str]:
        """What comes when nothing happens for two seconds."""
        return self.after(0) + self.after(1) + self.after(1)

    def names(self, paths: list[Path]) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in paths)

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@pytest.fixture
def drops(tmp_path: Path) -> Path:
    folder = tmp_path / "drops"
    folder.mkdir()
    return folder


class Live:
    """A watcher with the platform's observer in real time, its sets taken one at a time."""

    def __init__(self, folder: Path, settle_s: float = 0.2, **named: Any) -> None:
        self.folder = folder
        self.stop = threading.Event()
        self.sets = iter(Watcher(folder, is_map, WatchOptions(settle_s=settle_s), self.stop, **named))

    def take(self, count: int) -> list[str]:
        """The next files, in the order in which they came; fewer if that takes for ever."""
        timer = threading.Timer(PATIENCE_S, self.stop.set)
        timer.start()
        names: list[str] = []
        for paths in self.sets:
            names += [str(path.relative_to(self.folder)) for path in paths]
            if len(names) >= count:
                break
        timer.cancel()
        return names


@pytest.fixture
def live(drops: Path) -> Iterator[Live]:
    """A watcher that observes: it has handed out the file that was there, and will hear of the next ones."""
    (drops / "first.map").write_bytes(b"1")
    live = Live(drops)
    assert live.take(1) == ["first.map"]
    yield live
    live.stop.set()
    assert list(live.sets) == []


@inotify
def test_a_saved_file_comes_without_waiting_for_the_settle_time(drops: Path) -> None:
    closed_s: list[float] = []

    def save() -> None:
        (drops / "a.map").write_bytes(b"whole")
        closed_s.append(time.monotonic())

    live = Live(drops, settle_s=PATIENCE_S, on_event=lambda event: threading.Timer(0.1, save).start())
    assert live.take(1) == ["a.map"]
    assert time.monotonic() - closed_s[0] < PATIENCE_S / 10


@inotify
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_facade_comes_without_waiting_where_others_watch_for_it(overwrite: bool, drops: Path) -> None:
    def save(_: object) -> None:
        output.write(drops / "a.map", b"whole", drops, overwrite=overwrite)

    began_s = time.monotonic()
    assert Live(drops, settle_s=PATIENCE_S, on_event=save).take(1) == ["a.map"]
    assert time.monotonic() - began_s < PATIENCE_S / 2


@inotify
def test_created_modified_and_moved_files_each_come_once(live: Live, tmp_path: Path) -> None:
    (live.folder / "created.map").write_bytes(b"1")
    assert live.take(1) == ["created.map"]
    with (live.folder / "created.map").open("ab") as file:
        file.write(b"2")
    assert live.take(1) == ["created.map"]
    (tmp_path / "outside.map").write_bytes(b"1")
    (tmp_path / "outside.map").rename(live.folder / "moved in.map")
    assert live.take(1) == ["moved in.map"]
    (live.folder / "moved in.map").rename(live.folder / "renamed.map")
    assert live.take(1) == ["renamed.map"]
    shutil.copy2(live.folder / "renamed.map", live.folder / "copied.map")
    assert live.take(1) == ["copied.map"]


@inotify
def test_a_save_by_way_of_a_temporary_file_comes_once_under_its_last_name(live: Live) -> None:
    for content in (b"1", b"22"):
        (live.folder / ".a.map.tmp").write_bytes(content)
        (live.folder / ".a.map.tmp").rename(live.folder / "a.map")
        assert live.take(1) == ["a.map"]


@inotify
def test_files_with_old_times_come(live: Live, tmp_path: Path) -> None:
    old = tmp_path / "old.map"
    old.write_bytes(b"1")
    os.utime(old, (1e9, 1e9))
    shutil.copy2(old, live.folder / "copied.map")
    assert live.take(1) == ["copied.map"]
    shutil.move(old, live.folder / "first.map")
    assert live.take(1) == ["first.map"]


@inotify
def test_subfolders_come_with_their_files_however_they_appear(live: Live, tmp_path: Path) -> None:
    (live.folder / "new" / "deep").mkdir(parents=True)
    (live.folder / "new" / "deep" / "a.map").write_bytes(b"1")
    assert live.take(1) == ["new/deep/a.map"]
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "b.map").write_bytes(b"1")
    (tmp_path / "elsewhere" / "c.map").write_bytes(b"1")
    (tmp_path / "elsewhere").rename(live.folder / "moved")
    assert sorted(live.take(2)) == ["moved/c.map", "moved/deep/b.map"]
    (live.folder / "moved" / "deep" / "d.map").write_bytes(b"1")
    assert live.take(1) == ["moved/deep/d.map"]
    (live.folder / "moved").rename(live.folder / "renamed")
    assert sorted(live.take(3)) == ["renamed/c.map", "renamed/deep/b.map", "renamed/deep/d.map"]


@inotify
def test_outputs_dotfiles_and_other_files_never_come(live: Live) -> None:
    (live.folder / "facades" / "sub").mkdir(parents=True)
    (live.folder / "facades" / "sub" / "made.map").write_bytes(b"1")
    (live.folder / ".hidden.map").write_bytes(b"1")
    (live.folder / "notes.txt").write_bytes(b"1")
    os.mkfifo(live.folder / "pipe.map")
    (live.folder / "folder.map").mkdir()
    (live.folder / "loop").symlink_to(live.folder)
    (live.folder / "nowhere.map").symlink_to(live.folder / "missing")
    (live.folder / "last.map").write_bytes(b"1")
    assert live.take(1) == ["last.map"]
    time.sleep(0.5)  # longer than the settle time: whatever else was heard of is due by now
    (live.folder / "end.map").write_bytes(b"1")
    assert live.take(1) == ["end.map"]


@inotify
def test_any_file_name_comes_unchanged(live: Live) -> None:
    names = [
        "a b.map",
        "line\nbreak.map",
        "\N{HOUSE BUILDING}.map",
        os.fsdecode(b"\xff\xfe.map"),
        "x" * 251 + ".map",
    ]
    for name in names:
        (live.folder / name).write_bytes(b"1")
    assert sorted(live.take(len(names))) == sorted(names)


@inotify
def test_a_folder_given_as_a_link_is_watched(drops: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(drops)
    live = Live(tmp_path / "link")
    (drops / "first.map").write_bytes(b"1")
    assert live.take(1) == ["first.map"]
    (drops / "a.map").write_bytes(b"1")
    assert live.take(1) == ["a.map"]


@inotify
def test_a_folder_given_as_a_dot_is_watched(drops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(drops)
    Path("first.map").write_bytes(b"1")
    live = Live(Path())
    assert live.take(1) == ["first.map"]
    Path("a.map").write_bytes(b"1")
    assert live.take(1) == ["a.map"]


@inotify
def test_a_burst_of_files_comes_once_each_in_sets(live: Live) -> None:
    names = [f"{i}.map" for i in range(300)]
    for name in names:
        (live.folder / name).write_bytes(b"1")
    taken = live.take(len(names))
    (live.folder / "end.map").write_bytes(b"1")
    assert sorted(taken) == sorted(names)
    assert live.take(1) == ["end.map"]


@inotify
def test_no_thread_stays_behind(drops: Path) -> None:
    before = set(threading.enumerate())
    (drops / "first.map").write_bytes(b"1")
    live = Live(drops)
    live.take(1)
    assert set(threading.enumerate()) > before
    live.stop.set()
    assert list(live.sets) == []
    # What was only asked whether watches are left is not waited for: it ends by itself.
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_S)
    assert set(threading.enumerate()) <= before
    assert logging.getLogger("watchdog").handlers == []


def test_a_file_that_arrives_between_observing_and_scanning_comes_once(drops: Path) -> None:
    def arrive() -> None:
        (drops / "a.map").write_bytes(b"1")

    bench = Bench(drops, make_observer=lambda: Observer(on_start=arrive))
    assert bench.settled() == ["a.map"]
    assert bench.kinds == ["observing"]


def test_files_that_were_there_come_in_sets_of_bounded_size(drops: Path) -> None:
    for i in range(MAX_SET + 10):
        (drops / f"{i}.map").write_bytes(b"1")
    bench = Bench(drops)
    bench.after(0)
    assert [len(bench.after(1)), len(bench.after(0)), len(bench.after(0))] == [MAX_SET, 10, 0]


def test_a_half_written_file_waits_until_it_holds_still(drops: Path) -> None:
    bench = Bench(drops)
    with (drops / "a.map").open("wb") as file:
        for _ in range(5):
            file.write(b"chunk")
            file.flush()
            assert bench.after(0.9) == []
    assert bench.after(1.0) == ["a.map"]


@inotify
def test_half_a_file_that_was_closed_is_not_yet_a_failure(drops: Path) -> None:
    (drops / "first.map").write_bytes(b"1")
    stop = threading.Event()
    watcher = Watcher(drops, is_map, WatchOptions(settle_s=0.5), stop)
    came: list[tuple[str, bool]] = []
    for paths in watcher:
        came += [(path.name, watcher.defer(path)) for path in paths]
        if len(came) == 1:
            (drops / "half.map").write_bytes(b"1")
        if len(came) == 3:
            break
    assert came == [("first.map", False), ("half.map", True), ("half.map", False)]


def test_a_failed_file_comes_again_when_it_changes_and_only_then(drops: Path) -> None:
    bench = Bench(drops)
    (drops / "a.map").write_bytes(b"small")
    assert bench.settled() == ["a.map"]
    assert not bench.watcher.defer(drops / "a.map")
    assert bench.after(100) + bench.settled() == []
    (drops / "a.map").write_bytes(b"larger")
    bench.after(100)
    assert bench.after(1) == ["a.map"]


def test_a_file_that_was_not_to_blame_comes_again_after_the_next_scan(drops: Path) -> None:
    bench = Bench(drops, WatchOptions(rescan_s=60))
    (drops / "a.map").write_bytes(b"1")
    assert bench.settled() == ["a.map"]
    bench.watcher.retry(drops / "a.map")
    assert bench.after(10) + bench.after(1) == []
    assert bench.after(60) + bench.after(1) == ["a.map"]


def test_a_rescan_finds_what_no_event_told_of_and_says_so(drops: Path) -> None:
    bench = Bench(drops, WatchOptions(rescan_s=60))
    assert bench.settled() == []
    (drops / "a.map").write_bytes(b"1")
    assert bench.after(30) + bench.after(1) == []
    assert bench.after(30) + bench.after(1) == ["a.map"]
    assert bench.kinds == ["observing", "missed"]
    assert "--poll" in bench.events[-1].text


def test_deleted_files_are_forgotten(drops: Path) -> None:
    bench = Bench(drops, WatchOptions(rescan_s=5))
    for i in range(100):
        name = f"{i}.map"
        (drops / name).write_bytes(b"1")
        bench.after(5)
        assert bench.after(1) == [name]
        (drops / name).unlink()
    bench.after(5)
    assert not bench.watcher._readiness._done and not bench.watcher._readiness._pending


def test_polling_asks_for_no_events(drops: Path) -> None:
    bench = Bench(drops, WatchOptions(poll_s=5))
    assert bench.settled() == []
    (drops / "a.map").write_bytes(b"1")
    assert bench.after(2) == []
    assert bench.after(3) == []
    assert bench.after(1) == ["a.map"]
    assert bench.observers == []
    assert bench.kinds == ["polling"]


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances")]
)
def test_a_limit_on_observing_is_said_and_the_folder_polled(drops: Path, number: int, remedy: str) -> None:
    bench = Bench(drops, make_observer=lambda: Observer(refusal=OSError(number, "limit reached")))
    assert bench.settled() == []
    (drops / "a.map").write_bytes(b"1")
    assert bench.after(2) + bench.after(1) == ["a.map"]
    assert bench.kinds == ["polling"]
    assert remedy in bench.events[0].text


def test_a_platform_without_any_observer_is_polled(drops: Path) -> None:
    def refuse() -> Any:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    bench = Bench(drops, make_observer=refuse)
    (drops / "a.map").write_bytes(b"1")
    assert bench.settled() == ["a.map"]


def test_subfolders_that_got_no_watch_are_polled_until_there_are_watches_again(drops: Path) -> None:
    few = threading.Event()
    few.set()
    numbers = itertools.count()

    def make_observer() -> Observer:
        # The first one observes the folder itself; another one gets no watch while few are left.
        refused = next(numbers) > 0 and few.is_set()
        return Observer(refusal=OSError(errno.ENOSPC, "inotify watch limit reached") if refused else None)

    bench = Bench(drops, make_observer=make_observer)
    bench.settled()
    assert bench.kinds == ["observing", "polling"]
    (drops / "sub").mkdir()
    (drops / "sub" / "a.map").write_bytes(b"1")
    assert bench.after(2) + bench.after(1) == ["sub/a.map"]
    few.clear()
    bench.after(2)
    assert bench.kinds == ["observing", "polling", "observing"]


def test_an_observer_that_dies_is_replaced_and_one_that_dies_again_after_a_pause(drops: Path) -> None:
    bench = Bench(drops, WatchOptions(rescan_s=1000))
    assert bench.settled() == []
    bench.observers[0].die()
    (drops / "a.map").write_bytes(b"1")
    assert bench.after(0) + bench.after(1) == ["a.map"]
    assert bench.kinds == ["observing", "died", "observing"]
    next(observer for observer in bench.observers if not observer.ended.is_set()).die()
    (drops / "b.map").write_bytes(b"1")
    assert bench.after(5) + bench.after(1) == ["b.map"]
    assert bench.kinds[3:] == ["polling"]
    (drops / "c.map").write_bytes(b"1")
    assert bench.after(5) + bench.after(1) == ["c.map"]
    assert bench.after(RESTART_PAUSE_S) == []
    assert bench.kinds[4:] == ["observing"]


def test_a_folder_deleted_and_made_again_within_a_tick_is_another_one_though_its_inode_is_the_same(
    drops: Path,
) -> None:
    bench = Bench(drops, WatchOptions(rescan_s=1000))
    for name in ("a.map", "b.map", "c.map"):
        assert bench.settled() == []
        observer = next(observer for observer in bench.observers if not observer.ended.is_set())
        observer.handler.dispatch(DirDeletedEvent(observer.path))
        observer.die()
        (drops / name).write_bytes(b"1")
        assert bench.settled() == [name]
    assert bench.kinds == ["observing", *["back", "observing"] * 3]


def test_lost_events_are_said_and_made_up_for(drops: Path) -> None:
    bench = Bench(drops, WatchOptions(rescan_s=1000))
    assert bench.settled() == []
    (drops / "a.map").write_bytes(b"1")
    logger = logging.getLogger("watchdog.observers.inotify_c")
    logger.warning("Inotify queue overflowed; filesystem events were lost")
    assert bench.after(1) + bench.after(1) == ["a.map"]
    assert bench.kinds == ["observing", "lost"]


def test_what_a_trial_observer_complains_of_is_no_loss(drops: Path) -> None:
    bench = Bench(drops, make_observer=lambda: Observer(last_words="called when the thread is inactive"))
    bench.settled()
    _, *trials = bench.observers
    assert trials
    for trial in trials:
        trial.thread.join()
    bench.settled()
    assert bench.kinds == ["observing"]
    bench.observers[0].die()  # which is one
    bench.settled()
    assert "lost" in bench.kinds


def test_a_folder_that_goes_is_waited_for(drops: Path) -> None:
    bench = Bench(drops)
    (drops / "a.map").write_bytes(b"1")
    assert bench.settled() == ["a.map"]
    drops.rename(drops.with_name("away"))
    assert bench.after(1) + bench.after(100) == []
    assert bench.kinds == ["observing", "gone"]
    drops.with_name("away").rename(drops)
    (drops / "b.map").write_bytes(b"1")
    assert bench.settled() == ["b.map"]  # a.map did not change while the folder was away
    assert bench.kinds == ["observing", "gone", "back", "observing"]


def test_a_folder_replaced_by_another_is_watched_instead(drops: Path) -> None:
    bench = Bench(drops)
    assert bench.settled() == []
    drops.rename(drops.with_name("away"))
    drops.mkdir()
    (drops / "a.map").write_bytes(b"1")
    assert bench.settled() == ["a.map"]
    assert bench.kinds == ["observing", "back", "observing"]


@inotify
def test_a_deleted_folder_that_comes_back_is_observed_again(drops: Path) -> None:
    events: list[WatchEvent] = []
    live = Live(drops, on_event=events.append)
    (drops / "a.map").write_bytes(b"1")
    assert live.take(1) == ["a.map"]
    shutil.rmtree(drops)
    waited_s = time.monotonic() + PATIENCE_S
    threading.Timer(0.5, drops.mkdir).start()
    threading.Timer(1.0, (drops / "b.map").write_bytes, [b"1"]).start()
    assert live.take(1) == ["b.map"]
    assert time.monotonic() < waited_s
    assert [event.kind for event in events] == ["observing", "gone", "back", "observing"]


def test_waiting_for_a_folder_does_not_spin(drops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    looks = 0
    stat = Path.stat

    def counted_stat(path: Path, **named: Any) -> os.stat_result:
        nonlocal looks
        looks += path == drops
        return stat(path, **named)

    monkeypatch.setattr(Path, "stat", counted_stat)
    watcher = Watcher(drops.with_name("missing"), is_map, WatchOptions(), stop)
    sets = iter(watcher)
    threading.Timer(0.5, stop.set).start()
    assert list(sets) == []
    assert looks <= 10


def fail_to_scan(monkeypatch: pytest.MonkeyPatch, folder: str, error: OSError) -> None:
    """From now on folders of that name cannot be read."""
    scandir = os.scandir

    def failing_scandir(path: Path) -> Any:
        if Path(path).name == folder:
            raise error
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing_scandir)


def test_a_subfolder_that_cannot_be_read_is_said_once_and_stops_nothing(
    drops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drops / "secret").mkdir()
    (drops / "a.map").write_bytes(b"1")
    fail_to_scan(monkeypatch, "secret", PermissionError(errno.EACCES, "Permission denied"))
    bench = Bench(drops, WatchOptions(rescan_s=5))
    assert bench.settled() == ["a.map"]
    bench.after(5)
    bench.after(5)
    assert bench.kinds == ["unreadable", "observing"] or bench.kinds == ["observing", "unreadable"]
    assert bench.events[-1].path == drops / "secret"


def test_a_subfolder_whose_files_may_not_be_looked_at_is_said_once(
    drops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drops / "names").mkdir()
    (drops / "names" / "a.map").write_bytes(b"1")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "names")
    bench = Bench(drops, WatchOptions(rescan_s=5))
    bench.after(5)
    bench.after(5)
    assert sorted(bench.kinds) == ["observing", "unreadable"]


def test_a_subfolder_that_a_file_replaces_is_gone(drops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (drops / "replaced").mkdir()
    fail_to_scan(monkeypatch, "replaced", NotADirectoryError(errno.ENOTDIR, "Not a directory"))
    bench = Bench(drops)
    bench.after(5)
    assert bench.kinds == ["observing"]


def test_once_hands_out_what_holds_still_and_ends(drops: Path) -> None:
    for name in ("a.map", "growing.map", ".hidden.map"):
        (drops / name).write_bytes(b"1")
    events: list[WatchEvent] = []
    clock = Clock()

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            clock.now_s += timeout or 0
            with (drops / "growing.map").open("ab") as file:
                file.write(b"more")
            return False

    options = WatchOptions(once=True)
    watcher = Watcher(drops, is_map, options, Stop(), on_event=events.append, clock=clock)
    assert list(watcher) == [[drops / "a.map"]]
    assert [event.kind for event in events] == ["busy"]


def test_once_on_a_missing_folder_is_a_usage_error(drops: Path) -> None:
    watcher = Watcher(drops / "missing", is_map, WatchOptions(once=True), threading.Event())
    with pytest.raises(UsageError, match="no such folder"):
        list(watcher)


@pytest.mark.parametrize(
    "options",
    [
        {"settle_s": -1.0},
        {"settle_s": float("nan")},
        {"settle_s": 1e10},
        {"poll_s": 0.0},
        {"rescan_s": -1.0},
        {"poll_s": float("inf")},
    ],
)
def test_times_that_cannot_work_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="must be"):
        WatchOptions(**options)  # type: ignore[arg-type]


def test_folders_that_are_not_entered_are_not_scanned(drops: Path) -> None:
    (drops / "facades").mkdir()
    (drops / "facades" / "a.map").write_bytes(b"1")
    watcher = Watcher(
        drops,
        lambda name: name.endswith(".map"),
        WatchOptions(settle_s=0, once=True),
        threading.Event(),
        is_entered=lambda name: name != "facades",
    )
    assert list(watcher) == []


def test_the_platform_has_an_observer() -> None:
    observer = platform_observer()
    observer.stop()
