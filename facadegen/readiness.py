"""When a file that somebody is writing is ready to be read: two looks at its stat, none at its content.

A file is *pending* from the moment something is heard of it until it held still, *done* once it was handed
out, and forgotten when it is gone. It is handed out again only when its identity changes, so duplicates of
events, restarts of the observer and rescans cost nothing. Time is an argument; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

# A file whose writer closed it only has to hold still this long. It lets a program finish what it does after
# the close (shutil.copy2 sets the times) and lets files that arrive together leave together, as one batch.
CLOSED_QUIET_S = 0.05


class Identity(NamedTuple):
    """What tells one state of a file from another; a change of any of these makes the file new work.

    The modification time alone would miss a file replaced by an older one (mv, cp -p); the change time is the
    kernel's own and also tells of a permission that was granted.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


_AGAIN = Identity(-1, 0, 0, 0)  # unlike any file's

Look = Callable[[str], Identity | None]
"""The identity of the file at a path now, None where there is no file (any more)."""


@dataclass(slots=True)
class _Pending:
    identity: Identity | None = None  # at the last look, None before the first
    still_since_s: float = 0.0  # when this identity was first seen
    due_s: float = 0.0  # when to look (again)
    closed: bool = False  # its writer closed it, or it was renamed into place
    missed: bool = False  # only a rescan told of it, though events should have


class Readiness:
    """The files that are known, and which of them may be read; holds no more than the files present."""

    def __init__(self, settle_s: float, closed_quiet_s: float = CLOSED_QUIET_S) -> None:
        self._settle_s = settle_s
        self._closed_quiet_s = min(closed_quiet_s, settle_s)
        self._pending: dict[str, _Pending] = {}
        self._done: dict[str, Identity] = {}
        self._early: dict[
            str, _Pending
        ] = {}  # of the last hand-out: those that had not held still for settle_s
        self.missed = 0  # files handed out so far that only a rescan told of

    @property
    def pending(self) -> int:
        """Files waiting to hold still."""
        return len(self._pending)

    def heard(self, path: str, now_s: float, closed: bool | None = None) -> None:
        """An event told of a file; `closed`: True for a close or a rename, False for a write, else None."""
        pending = self._pending.setdefault(path, _Pending())
        pending.missed = False
        pending.due_s = now_s
        if closed is not None:
            pending.closed = closed

    def scanned(self, path: str, identity: Identity, now_s: float, missed: bool = False) -> None:
        """A scan met a file; no news unless its identity is. `missed`: an event should have told of it."""
        done = self._done.get(path)
        if path not in self._pending and done != identity:
            missed = missed and done != _AGAIN
            self._pending[path] = _Pending(
                identity, still_since_s=now_s, due_s=now_s + self._settle_s, missed=missed
            )

    def keep_only(self, present: Iterable[str]) -> None:
        """Forgets every done file that a scan of the whole folder did not meet."""
        present = present if isinstance(present, set) else set(present)
        self._done = {path: identity for path, identity in self._done.items() if path in present}

    def forget_below(self, folder: str, separator: str) -> None:
        """Forgets a folder that was deleted or moved away."""
        prefix = folder + separator
        for known in (self._pending, self._done):
            for path in [path for path in known if path.startswith(prefix)]:
                del known[path]

    def repeat(self, path: str) -> None:
        """Makes a file that was handed out new work, for the next scan that meets it."""
        if path in self._done:
            self._done[path] = _AGAIN

    def take(self, now_s: float, look: Look, limit: int) -> list[str]:
        """Hands out up to `limit` files that held still long enough, in the order they were heard of."""
        self._early = {}
        ready: list[str] = []
        for path in [path for path, pending in self._pending.items() if pending.due_s <= now_s]:
            if self._is_ready(path, look(path), now_s):
                ready.append(path)
                if len(ready) == limit:
                    break
        return ready

    def next_look_s(self) -> float | None:
        """The time of the next look that is due, None while nothing is pending."""
        return min((pending.due_s for pending in self._pending.values()), default=None)

    def defer(self, path: str) -> bool:
        """Takes back a file of the last hand-out that could not be read: True where it will come again.

        That is once, when it has held still for the whole settle time: a writer that closes its file after
        every chunk looks done at each. False: it has had that time, and only a change makes it new work.
        """
        pending = self._early.pop(path, None)
        if pending is None:
            return False
        self._done.pop(path, None)
        pending.closed = False
        pending.due_s = pending.still_since_s + self._settle_s
        self._pending.setdefault(path, pending)
        return True

    def _is_ready(self, path: str, identity: Identity | None, now_s: float) -> bool:
        pending = self._pending[path]
        if identity is None:
            del self._pending[path]
            self._done.pop(path, None)
            return False
        if identity == self._done.get(path):
            del self._pending[path]
            return False
        if identity != pending.identity:
            pending.identity, pending.still_since_s = identity, now_s
        settled_s = pending.still_since_s + self._settle_s
        pending.due_s = pending.still_since_s + self._closed_quiet_s if pending.closed else settled_s
        if now_s < pending.due_s:
            return False
        del self._pending[path]
        self._done[path] = identity
        if now_s < settled_s:
            self._early[path] = pending
        self.missed += pending.missed
        return True
