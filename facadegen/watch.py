"""Watch mode: sets of ready files, as they appear in a folder.

The watcher knows nothing of pictures or of what is done with the files: what counts as an input is a
callable, whether a result is up to date already is for whoever makes the results. Native events make it fast,
scans make it right: one when observing began, one every `rescan_s`, one whenever events may have been lost.
"""

from __future__ import annotations

import math
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facadegen.errors import UsageError
from facadegen.lookout import Lookout
from facadegen.observing import ObserverFactory, platform_observer
from facadegen.readiness import Identity, Readiness

TICK_S = 0.2  # how soon a stop or a vanished folder is noticed
GATHER_S = 0.01  # events come in flocks; one look at all of them is cheaper
MAX_SET = 256  # files handed out at a time: bounds what a new file has to wait for
FALLBACK_POLL_S = 2.0  # where events should have come and cannot
MAX_SETTLE_S = 86_400  # a day
SCAN_SHARE = 0.01  # of the time, at most, goes into scans that nobody asked for


@dataclass(frozen=True)
class WatchOptions:
    """How to watch. Raises: UsageError for a time that cannot work."""

    settle_s: float = 1.0
    """How long a file holds still before it is read, unless its writer was seen closing it."""
    poll_s: float | None = None
    """Look this often instead of waiting for events: for network mounts, which send none."""
    rescan_s: float = 60.0
    """How often to look for what events missed."""
    once: bool = False
    """Hand out what is there, then end."""

    def __post_init__(self) -> None:
        if not 0 <= self.settle_s <= MAX_SETTLE_S:
            raise UsageError(f"the settle time must be 0 to {MAX_SETTLE_S} seconds, not {self.settle_s:g}")
        for name, seconds in (("poll", self.poll_s), ("rescan", self.rescan_s)):
            if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
                raise UsageError(f"the {name} interval must be more than 0 seconds, not {seconds:g}")


WatchKind = Literal["observing", "polling", "gone", "back", "lost", "died", "missed", "unreadable", "busy"]


@dataclass(frozen=True)
class WatchEvent:
    """Something to tell the user about the watching itself; `text` does not name the path."""

    kind: WatchKind
    path: Path
    text: str


class Watcher:
    """Iterates over sets of files that are ready to be read, until `stop` is set.

    Paths are `directory / name`. Each state of a file is handed out once; a file is new whenever its size,
    times or inode change. The folder may vanish and come back. `is_input` and `is_entered` are asked about
    names in the folder; folders that are links are never entered.
    """

    def __init__(
        self,
        directory: Path,
        is_input: Callable[[str], bool],
        options: WatchOptions,
        stop: threading.Event,
        *,
        is_entered: Callable[[str], bool] = lambda name: True,
        on_event: Callable[[WatchEvent], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
        make_observer: ObserverFactory = platform_observer,
    ) -> None:
        self._directory = directory
        self._is_input = is_input
        self._is_entered = is_entered
        self._options = options
        self._stop = stop
        self._on_event = on_event
        self._clock = clock
        self._readiness = Readiness(options.settle_s)
        self._lookout = Lookout(directory, options.poll_s is None, self._say, make_observer)
        self._next_scan_s = -math.inf
        self._unreadable: set[str] = set()
        self._missed = 0

    def __iter__(self) -> Iterator[list[Path]]:
        try:
            if self._options.once:
                yield from self._what_is_there()
                return
            while not self._stop.is_set():
                if ready := self.step():
                    yield ready
                else:
                    self._wait()
        finally:
            self._lookout.close()

    @property
    def pending(self) -> int:
        """Files that were heard of and are not yet handed out."""
        return self._readiness.pending

    def step(self) -> list[Path]:
        """What is ready now; never waits."""
        now_s = self._clock()
        if not self._lookout.keep(now_s):
            self._lookout.inbox.collect()
            return []
        self._hear(now_s)
        if now_s >= self._next_scan_s or self._lookout.events_lost:
            self._rescan(now_s)
        return self._take(now_s)

    def defer(self, path: Path) -> bool:
        """Takes back a file just handed out that could not be read: True where it will come again by itself.

        A file whose writer closed it is handed out at once. If it turns out to be half a file, it gets the
        whole settle time to become a whole one; until then its failure is none.
        """
        return self._readiness.defer(self._name(path))

    def retry(self, path: Path) -> None:
        """Hands a file out again after the next scan, though it did not change: it was not to blame."""
        self._readiness.repeat(self._name(path))

    def _hear(self, now_s: float) -> None:
        """Takes note of what the observer said since the last step."""
        news = self._lookout.inbox.collect()
        self._lookout.note_troubles(news.troubles)
        for folder in news.gone_folders:
            self._readiness.forget_below(folder, os.sep)
        for name, closed in news.files.items():
            if self._is_input(name):
                self._readiness.heard(name, now_s, closed)
        for folder in filter(self._is_entered, news.folders):
            for name, identity in self._scan(folder):
                self._readiness.scanned(name, identity, now_s)

    def _rescan(self, now_s: float) -> None:
        """Compares the whole folder with what is known of it."""
        unexpected = self._lookout.observed_whole and not self._lookout.events_lost
        self._lookout.events_lost = False
        present = set()
        for name, identity in self._scan():
            present.add(name)
            self._readiness.scanned(name, identity, now_s, missed=unexpected)
        self._readiness.keep_only(present)
        took_s = self._clock() - now_s
        self._lookout.look_for_limits()
        pause_s = self._options.rescan_s if self._lookout.observed_whole else FALLBACK_POLL_S
        self._next_scan_s = now_s + (self._options.poll_s or max(pause_s, took_s / SCAN_SHARE))

    def _scan(self, below: str = "") -> Iterator[tuple[str, Identity]]:
        """The inputs below a folder, in no order; a folder that cannot be read is told of once."""
        waiting = [below]
        while waiting and not self._stop.is_set():
            folder = waiting.pop()
            found: list[os.DirEntry[str]] = []
            trouble = None
            try:
                with os.scandir(self._directory / folder) as entries:
                    found = list(entries)
            except (FileNotFoundError, NotADirectoryError):  # gone, or a file has taken its place
                continue
            except OSError as error:
                trouble = error.strerror
            if found and not os.access(self._directory / folder, os.X_OK):
                trouble = "its files may not be looked at"  # their names alone
            if trouble is None:
                self._unreadable.discard(folder)
            elif folder not in self._unreadable:
                self._unreadable.add(folder)
                self._say("unreadable", f"cannot be read ({trouble})", folder)
            for entry in found:
                name = f"{folder}{os.sep}{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if self._is_entered(name):
                        waiting.append(name)
                elif self._is_input(name) and (identity := self._look(name)) is not None:
                    yield name, identity

    def _look(self, name: str) -> Identity | None:
        """A file as it is now; None for what is none, be it gone, a pipe or a link into nowhere."""
        try:
            # Not through Path: a scan of a large folder comes here for every file in it.
            found = os.stat(f"{self._directory}{os.sep}{name}")  # noqa: PTH116
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return Identity(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def _take(self, now_s: float) -> list[Path]:
        ready = [self._directory / name for name in self._readiness.take(now_s, self._look, MAX_SET)]
        missed, self._missed = self._readiness.missed - self._missed, self._readiness.missed
        if missed:
            self._say("missed", f"without an event came {missed}: on a network mount, use --poll SECONDS")
        return ready

    def _what_is_there(self) -> Iterator[list[Path]]:
        """For `once`: all that holds still for the settle time. Raises: UsageError for a missing folder."""
        if not os.path.isdir(self._directory):  # noqa: PTH112 - is_dir() may raise
            raise UsageError("no such folder", self._directory)
        started_s = self._clock()
        for name, identity in self._scan():
            self._readiness.scanned(name, identity, started_s)
        ready_s = started_s + self._options.settle_s
        while (left_s := ready_s - self._clock()) > 0 and not self._stop.wait(left_s):
            pass
        while not self._stop.is_set() and (ready := self._take(ready_s)):
            yield ready
        if self._readiness.pending and not self._stop.is_set():
            self._say("busy", f"still being written, left for the next time: {self._readiness.pending}")

    def _wait(self) -> None:
        """Waits for news, for the next look that is due, or for a tick."""
        now_s = self._clock()
        due_s = now_s + TICK_S
        if self._lookout.there:
            due_s = min(due_s, self._next_scan_s, self._readiness.next_look_s() or math.inf)
        if self._lookout.inbox.wait(max(0.0, due_s - now_s)):
            self._stop.wait(GATHER_S)

    def _say(self, kind: WatchKind, text: str, name: str = "") -> None:
        self._on_event(WatchEvent(kind, self._directory / name, text))

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._directory))
