"""The progress of a command that does one thing after another."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Stages:
    """A line a stage; where there is no terminal, a plain line now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"))
        self._progress = Progress(
            *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, title: str) -> Callable[[int, int], None]:
        """A stage of known length: call the result with (done, total). It shows from the first call on."""
        task = self._progress.add_task(title, total=None, visible=False, count="")
        quarters = -1

        def on_progress(done: int, total: int) -> None:
            nonlocal quarters
            if 4 * done // total > quarters:
                quarters = 4 * done // total
                self._say(f"{title}: {25 * quarters} %")
            self._progress.update(task, completed=done, total=total, visible=True, count=f"{done}/{total}")

        return on_progress

    def count(self, title: str) -> Callable[[int], None]:
        """A stage of unknown length: call the result with how many more are done."""
        self._say(title)
        task = self._progress.add_task(title, total=None, count="")
        done = 0

        def on_progress(more: int) -> None:
            nonlocal done
            done += more
            self._progress.update(task, completed=done, count=str(done))

        return on_progress

    def _say(self, title: str) -> None:
        if not self.console.is_terminal:
            self.console.print(title, highlight=False)
