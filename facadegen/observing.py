"""The watchdog side of watch mode: its threads leave their news in an inbox and do nothing else.

How watchdog works inside does not matter here: an observer is alive while every thread that it started is
alive, and what it has to say for itself (a queue that overflowed) it says through the `logging` module.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LOGGERS = ("watchdog", "fsevents")  # the latter is watchdog's, too, on macOS
_PROBE = "facadegen-probe"  # the name of threads whose complaints are of no interest
STOP_PATIENCE_S = 2.0  # watchdog may sit on one half of a move for half a second

ObserverFactory = Callable[[], Any]
"""Makes a watchdog observer: schedule(), start(), stop(), join()."""


@dataclass
class News:
    """What was heard since the last look, duplicates merged."""

    files: dict[str, bool | None] = field(default_factory=dict)
    """Name -> True: closed or renamed into place, False: written to, None: deleted, or other metadata."""
    folders: set[str] = field(default_factory=set)
    """Folders that appeared, maybe with files in them."""
    gone_folders: set[str] = field(default_factory=set)
    """Folders deleted or moved away."""
    troubles: list[str] = field(default_factory=list)
    """What the observer complained about; events may be lost."""


class Inbox(logging.Handler):
    """Where the observer's threads leave their news: an event handler and a log handler in one.

    Safe from any thread. Names are relative to the watched folder.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.root = ""  # the watched folder as the observer knows it
        self.root_deleted = False  # what has its name by now is another folder
        self._news = News()
        self._news_lock = threading.Lock()
        self._arrived = threading.Event()

    def dispatch(self, event: Any) -> None:
        """A watchdog event; called on the observer's thread."""
        source, target = self._named(event.src_path), self._named(event.dest_path)
        with self._news_lock:
            if event.is_directory:
                self._note_folder(event.event_type, source, target)
            else:
                self._note_file(event.event_type, source, target)
        self._arrived.set()

    def emit(self, record: logging.LogRecord) -> None:
        """A warning of watchdog's; called on any of its threads."""
        if record.threadName == _PROBE:
            return
        with self._news_lock:
            self._news.troubles.append(record.getMessage())
        self._arrived.set()

    def collect(self) -> News:
        """The news since the last call."""
        with self._news_lock:
            news, self._news = self._news, News()
            self._arrived.clear()
        return news

    def wait(self, timeout_s: float) -> bool:
        """Waits for news, True where there are any."""
        return self._arrived.wait(timeout_s)

    def _note_file(self, kind: str, source: str, target: str) -> None:
        match kind:
            case "created" | "modified":
                self._news.files[source] = False
            case "closed":
                self._news.files[source] = True
            case "moved" | "deleted" | "attrib":
                if target:
                    self._news.files[target] = True
                if source:
                    self._news.files.setdefault(source, None)

    def _note_folder(self, kind: str, source: str, target: str) -> None:
        self.root_deleted |= kind == "deleted" and not source
        if kind in ("moved", "deleted") and source:
            self._news.gone_folders.add(source)
        if kind == "moved" and target:
            self._news.folders.add(target)
        if kind == "created":
            self._news.folders.add(source)

    def _named(self, path: str | bytes | None) -> str:
        # One end of a move is empty where the other lies outside the watched folder.
        return os.fsdecode(path or "").removeprefix(self.root).lstrip(os.sep)


class Observation:
    """One observer at work on one folder and all below it.

    Raises: OSError where the platform cannot observe the folder.
    """

    def __init__(self, make_observer: ObserverFactory, folder: Path, inbox: Inbox) -> None:
        others = set(threading.enumerate())
        self._threads: set[threading.Thread] = set()
        # inotify would watch a symbolic link itself, not the folder that it leads to.
        inbox.root, inbox.root_deleted = os.path.realpath(folder), False
        self._observer = make_observer()
        self._inbox = inbox
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(inbox)
        try:
            self._observer.schedule(inbox, inbox.root, recursive=True, event_filter=_events_of_interest())
            self._observer.start()
        except BaseException:
            self.stop()
            raise
        self._threads = set(threading.enumerate()) - others

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Ends the observer and its threads."""
        self._observer.stop()
        for thread in self._threads:
            thread.join(timeout=STOP_PATIENCE_S)
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self._inbox)


def platform_observer() -> Any:
    """The best observer this platform has."""
    from watchdog.observers import Observer

    if getattr(Observer, "__name__", "") == "InotifyObserver":
        # "Full" events tell a file moved in from elsewhere (complete) from one just created (empty yet).
        return Observer(generate_full_events=True)  # type: ignore[call-arg]
    return Observer()


def watches_used_up(make_observer: ObserverFactory, folder: Path) -> bool:
    """True where subfolders may go unobserved because the user's inotify watches are used up.

    watchdog tells only where the folder itself could not be observed, so one more observer tries to observe
    just that: it needs one watch more.
    """
    observer = None
    others = set(threading.enumerate())
    try:
        observer = make_observer()
        observer.schedule(Inbox(), os.path.realpath(folder), recursive=False)
        observer.start()
    except (OSError, RuntimeError) as error:  # no thread can be started, say
        return getattr(error, "errno", None) == errno.ENOSPC
    finally:
        # A thread that is stopped before it began complains, which would pass for events that were lost.
        for thread in set(threading.enumerate()) - others:
            thread.name = _PROBE
        if observer is not None:
            observer.stop()
    return False


def _events_of_interest() -> list[type]:
    """What to ask of the kernel: everything about files but opening, reading and closing after reading."""
    from watchdog import events

    names = ("Created", "Modified", "Moved", "Closed", "Deleted", "Attrib")  # watchdog has Attrib since 7.0
    files = [getattr(events, f"File{name}Event", None) for name in names]
    folders = [events.DirCreatedEvent, events.DirMovedEvent, events.DirDeletedEvent]
    return [event for event in (*files, *folders) if event is not None]
