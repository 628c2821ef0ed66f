"""One folder, observed as well as the platform allows: it may vanish, be replaced, or run into limits."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from facadegen.observing import Inbox, Observation, ObserverFactory, watches_used_up

RESTART_PAUSE_S = 60.0  # an observer that dies again within this time is replaced only after it
LIMITS = {
    errno.ENOSPC: "no inotify watches left: raise fs.inotify.max_user_watches or use --poll SECONDS",
    errno.EMFILE: "no inotify instances left: raise fs.inotify.max_user_instances or use --poll SECONDS",
}

Kind = Literal["observing", "polling", "gone", "back", "lost", "died"]


class Lookout:
    """Keeps an observer at work on the folder and says what keeps it from that.

    `events_lost` is set whenever files may have come unheard: scan the folder, and clear the flag.
    """

    def __init__(
        self,
        folder: Path,
        wants_events: bool,
        say: Callable[[Kind, str], None],
        make_observer: ObserverFactory,
    ) -> None:
        self.inbox = Inbox()
        self.events_lost = True
        self._folder = folder
        self._wants_events = wants_events
        self._say = say
        self._make_observer = make_observer
        self._observation: Observation | None = None
        self._identity: tuple[int, int] | None = None  # device and inode of the folder observed or polled
        self._gone = False
        self._died_s = -math.inf
        self._retry_s = math.inf  # when to try events again
        self._few_watches = False

    @property
    def there(self) -> bool:
        return self._identity is not None

    @property
    def observed(self) -> bool:
        return self._observation is not None

    @property
    def observed_whole(self) -> bool:
        """False where events can come from a part of the folder only, or not at all."""
        return self.observed and not self._few_watches

    def keep(self, now_s: float) -> bool:
        """Sees to it that the folder is observed; False while it is not there."""
        try:
            found = self._folder.stat()
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except OSError as error:
            self._note_gone(error)
            return False
        identity = (found.st_dev, found.st_ino)
        if identity != self._identity or self.inbox.root_deleted:  # a new folder may get the old inode
            self._note_back()
            self._identity = identity
            self._observe()
        elif self._observation is not None and not self._observation.alive:
            self._replace_observer(now_s)
        elif now_s >= self._retry_s:
            self._observe()
        return True

    def note_troubles(self, troubles: list[str]) -> None:
        """The observer complained: what it complains of is lost events."""
        if troubles and self.observed:
            overflow = any("overflow" in trouble.lower() for trouble in troubles)
            self._say(
                "lost", "too many events at once, looking through the folder" if overflow else troubles[0]
            )
            self.events_lost = True

    def look_for_limits(self) -> None:
        """Notices that subfolders may go unobserved, or do no longer."""
        if not self.observed:
            return
        few = watches_used_up(self._make_observer, self._folder)
        if few and not self._few_watches:
            self._say("polling", f"looking again and again, events may be missing: {LIMITS[errno.ENOSPC]}")
        elif self._few_watches and not few:
            self._observe()  # what had to do without a watch gets one now
        self._few_watches = few

    def close(self) -> None:
        """Ends the observer."""
        if self._observation is not None:
            self._observation.stop()
        self._observation = None

    def _note_gone(self, error: OSError) -> None:
        if not self._gone:
            self.close()
            self._say("gone", f"the folder is gone ({error.strerror}), waiting for it to come back")
        self._gone, self._identity = True, None

    def _note_back(self) -> None:
        if self._gone:
            self._say("back", "the folder is back")
        elif self._identity is not None:
            self._say("back", "another folder is in its place now")
        self._gone = False

    def _observe(self) -> None:
        """Observes the folder from now on, where that can be; what came before is for the scan to find."""
        self.close()
        self.events_lost = True
        self._few_watches = False
        self._retry_s = math.inf
        if not self._wants_events:
            self._say("polling", "looking again and again, as asked for")
            return
        try:
            self._observation = Observation(self._make_observer, self._folder, self.inbox)
        except (
            Exception
        ) as error:  # whatever keeps a platform from observing, it does not keep us from looking
            reason = LIMITS.get(getattr(error, "errno", None) or 0, str(error))
            self._say("polling", f"looking again and again, for want of events: {reason}")
        else:
            self._say("observing", "waiting for files")

    def _replace_observer(self, now_s: float) -> None:
        if now_s - self._died_s < RESTART_PAUSE_S:
            self.close()
            self.events_lost = True
            self._retry_s = now_s + RESTART_PAUSE_S
            self._say(
                "polling", f"the observer died again, looking again and again for {RESTART_PAUSE_S:g} s"
            )
        else:
            self._say("died", "the observer died, starting another")
            self._observe()
        self._died_s = now_s
