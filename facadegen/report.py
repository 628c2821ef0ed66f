"""What the user sees of a run: progress, failures, a summary; the only file that imports rich.

All of it goes to stderr but the lines of `--json`, which go to stdout. Whatever names files hold, they reach
the terminal with control characters escaped and are never read as markup.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from facadegen import discover
from facadegen.errors import FacadegenError, printable
from facadegen.lines import JsonLines, count, duration, failure, record, tail
from facadegen.pipeline import Outcome
from facadegen.streams import say
from facadegen.watch import WatchEvent

PLAIN_INTERVAL_S = 10.0  # between progress lines where stderr is no terminal
RECENT_EVENTS = 6

Clock = Callable[[], float]


class BatchReport:
    """Progress of a batch, then its summary; a context manager."""

    def __init__(
        self, total: int, *, quiet: bool = False, as_json: bool = False, clock: Clock = time.monotonic
    ) -> None:
        self._total = total
        self._quiet = quiet
        self._json = JsonLines(as_json)
        self._clock = clock
        self._console = _console()
        self._is_live = not quiet and _takes_drawing(self._console, as_json)
        self._counts: Counter[str] = Counter()
        self._pictures = 0
        self._failures: list[FacadegenError] = []
        self._began_s = self._told_s = clock()
        self._settled = 0  # jobs that were done before the clock was started
        self._progress = _Bars(
            TextColumn("{task.completed}/{task.total}", markup=False, table_column=_one_line()),
            BarColumn(bar_width=20),
            _SpeedColumn(_one_line()),
            _FailedColumn(_one_line()),
            TextColumn("{task.description}", markup=False, table_column=_one_line()),
            console=self._console,
            transient=True,
            redirect_stdout=False,
        )
        self._bar: TaskID | None = None

    def __enter__(self) -> Self:
        if self._is_live:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._is_live:
            self._progress.stop()

    @property
    def failed(self) -> bool:
        return self._json.failed or bool(self._failures)

    def note(self, text: str) -> None:
        """One line about the run as a whole."""
        if not self._quiet:
            say(f"facadegen: {printable(text)}")

    def fail(self, error: FacadegenError) -> None:
        """Something that is not one of the counted label maps failed, such as a folder."""
        self._failures.append(error)
        self._json.add(failure(error))

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Shows what is done to all label maps before the first one is made."""
        bar = self._progress.add_task(what, total=self._total, failed=0)
        yield
        self._progress.remove_task(bar)

    def begin(self, doing: str) -> None:
        """Shows the bar, at what is settled already."""
        self._bar = self._progress.add_task(doing, total=self._total, completed=self._done, failed=0)

    def start_clock(self) -> None:
        """From here on, speed is measured."""
        self._began_s = self._told_s = self._clock()
        self._settled = self._done

    def add(self, outcome: Outcome) -> None:
        """Counts and shows what became of one label map."""
        self._counts[outcome.status] += 1
        if outcome.status == "made":
            self._pictures += len(outcome.job.targets)
        if outcome.reason is not None:
            self._failures.append(FacadegenError(outcome.reason, outcome.job.source))
        self._json.add(record(outcome))
        if self._bar is not None:
            name = tail(printable(outcome.job.source))
            self._progress.update(self._bar, advance=1, description=name, failed=self._counts["failed"])
            self._tell_plainly()

    def finish(self, interrupted: bool = False) -> None:
        """Lists every failure with its reason, then sums up."""
        self.__exit__(None, None, None)
        for error in self._failures:
            say(f"facadegen: {error}")
        if self._quiet:
            return
        took_s = self._clock() - self._began_s
        parts = []
        if self._pictures:
            speed = f" ({self._pictures / took_s:.1f}/s)" if took_s > 0 else ""
            parts.append(f"{count(self._pictures, 'facade')} made in {duration(took_s)}{speed}")
        if self._counts["current"]:
            parts.append(f"{self._counts['current']} up to date")
        if self._failures:
            parts.append(f"{len(self._failures)} failed")
        if interrupted:
            parts.append(f"{self._total - self._done} not begun or not finished")
        say(("interrupted: " if interrupted else "") + (", ".join(parts) or "nothing to make"))

    @property
    def _done(self) -> int:
        return self._counts.total()

    def _tell_plainly(self) -> None:
        now_s = self._clock()
        if self._quiet or self._is_live or now_s - self._told_s < PLAIN_INTERVAL_S:
            return
        self._told_s = now_s
        took_s = now_s - self._began_s
        # Failed ones take their time, too, and one label map may make many pictures.
        left_s = (self._total - self._done) * took_s / (self._done - self._settled)
        failed = f", {self._counts['failed']} failed" if self._counts["failed"] else ""
        speed = f"{self._pictures / took_s:.1f} pictures/s"
        say(f"{self._done}/{self._total}, {speed}, about {duration(left_s)} left{failed}")


class WatchReport:
    """The state of a watch and its last events on a terminal, else a log; a context manager."""

    def __init__(
        self, directory: Path, out_root: Path, *, quiet: bool = False, as_json: bool = False
    ) -> None:
        self._directory = directory
        self._out_root = out_root
        self._quiet = quiet
        self._json = JsonLines(as_json)
        self._console = _console()
        self._counts: Counter[str] = Counter()
        self._waiting = 0
        self._last = ""
        self._recent: tuple[str, ...] = ()  # replaced as a whole: another thread draws it
        self._failures: dict[Path, tuple[str, int]] = {}  # of files not made since: why; changed when
        self._left_out = False  # some folder that cannot be read was, or a file that is still being written
        self._live: Live | None = None
        if not quiet and _takes_drawing(self._console, as_json):
            self._live = Live(
                get_renderable=self._drawn, console=self._console, transient=True, redirect_stdout=False
            )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    @property
    def failed(self) -> bool:
        return self._json.failed or self._left_out or bool(self._failures)

    def waiting(self, count: int) -> None:
        """So many files are ready and not yet done."""
        self._waiting = count

    def add(self, outcome: Outcome, latency_s: float) -> None:
        """Counts and shows what became of one file; latency_s: since it was there, as far as is known."""
        self._waiting = max(0, self._waiting - 1)
        self._counts[outcome.status] += 1
        source = outcome.job.source
        name = self._name(source)
        if outcome.reason is not None:
            found = outcome.reason, discover.last_changed_ns(source)
            if self._failures.get(source) == found:  # a disk that stays full is told of once
                return
            self._log("failed", f"{name}: {printable(outcome.reason)}")
            self._failures[source] = found
        else:
            self._failures.pop(source, None)
        if outcome.status == "made":
            self._last = f"{name} in {latency_s:.2f} s"
            self._log("made", self._last)
        self._json.add(record(outcome) | {"latency_s": round(latency_s, 3)})

    def forget_missing(self) -> None:
        """Drops the failures of files that are gone: over months they would only pile up."""
        self._failures = {path: why for path, why in self._failures.items() if os.path.lexists(path)}

    def event(self, event: WatchEvent) -> None:
        """Shows something about the watching itself."""
        path = "" if event.path == self._directory else f"{self._name(event.path)}: "
        self._log("watch", path + printable(event.text))
        self._left_out |= event.kind in ("unreadable", "busy")
        self._json.add({"event": event.kind, "path": str(event.path), "text": event.text})

    def finish(self) -> None:
        """Lists what could not be made, then sums up."""
        self.__exit__(None, None, None)
        for source, (reason, _) in self._failures.items():
            say(f"facadegen: {FacadegenError(reason, source)}")
        if not self._quiet:
            say(f"stopped watching {printable(self._directory)}: {self._sums()}")

    def _log(self, kind: str, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')}  {kind:6}  {text}"
        self._recent = (*self._recent, line)[-RECENT_EVENTS:]
        if not self._quiet and self._live is None:
            say(f"{time.strftime('%Y-%m-%d')} {line}")

    def _drawn(self) -> Group:
        head = f"{printable(self._directory)} -> {printable(self._out_root)}  {self._sums()}"
        if self._waiting:
            head += f", {self._waiting} waiting"
        lines = [Text(head, style="bold"), Text(f"last: {self._last}" if self._last else "nothing made yet")]
        lines += [Text(line, style="red" if "  failed  " in line else "dim") for line in self._recent]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines, Text())  # for ^C, see _Bars

    def _sums(self) -> str:
        parts = [f"{self._counts['made']} made", f"{len(self._failures)} failed"]
        if self._counts["current"]:
            parts.append(f"{self._counts['current']} up to date")
        return ", ".join(parts)

    def _name(self, path: Path) -> str:
        return printable(path.relative_to(self._directory) if path.is_relative_to(self._directory) else path)


class _Bars(Progress):
    """A progress display with an empty line below, where a terminal's echo of ^C cannot break the bar."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text()


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.speed or task.remaining is None:
            return Text("")
        left = duration(task.remaining / task.speed)
        return Text(f"{task.speed:.1f}/s, {left} left", style="progress.data.speed")


class _FailedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        failed = task.fields["failed"]
        return Text(f"{failed} failed" if failed else "", style="red")


def _console() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def _takes_drawing(console: Console, as_json: bool) -> bool:
    """Whether stderr is a terminal that lines can be drawn over, and no JSON lines come between."""
    shares_lines = as_json and sys.stdout.isatty()
    return console.is_terminal and not console.is_dumb_terminal and not shares_lines


def _one_line() -> Column:
    return Column(no_wrap=True, overflow="ellipsis")
