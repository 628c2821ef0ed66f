"""What a run leaves to read: options, metrics, sample sheets, curves; and its progress on the terminal."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from facadegen import labels
from facadegen.palettes import LabelSet
from training.batch import Batch
from training.vision import make_grid


class Logbook:
    """Writes a run's folder and shows its progress; of several processes only the leading one has one."""

    def __init__(self, folder: Path, steps: int, done: int, log_every: int, console: Console) -> None:
        self.folder, self.log_every, self.console = folder, log_every, console
        self._seen: dict[str, list[Tensor]] = {}
        self._since, self._count = time.perf_counter(), 0
        self._forget_after(done)
        self._metrics = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self._board = _tensorboard(folder, done)
        self._progress = Progress(
            TextColumn("[bold]step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}", style="dim"),
            console=console,
        )
        self._task = self._progress.add_task("", total=steps, completed=done, speed="", losses="")

    def __enter__(self) -> "Logbook":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._metrics.close()
        if self._board is not None:
            self._board.close()

    def step(self, done: int, terms: dict[str, Tensor], rate: float) -> None:
        """Count a step; every `log_every` steps write the mean of each term over the steps that had it."""
        for name, term in terms.items():
            self._seen.setdefault(name, []).append(term)
        self._count += 1
        self._progress.update(self._task, completed=done)
        if done % self.log_every:
            return
        seconds = (time.perf_counter() - self._since) / self._count
        means = {name: round(float(torch.stack(seen).mean()), 5) for name, seen in self._seen.items()}
        row = {"step": done, **means, "rate": round(rate, 8), "seconds_per_step": round(seconds, 4)}
        self._metrics.write(json.dumps(row) + "\n")
        self._metrics.flush()
        if self._board is not None:
            for name, value in means.items():
                self._board.add_scalar(name, value, done)
        text = " ".join(f"{name} {value:.3g}" for name, value in means.items())
        self._progress.update(self._task, speed=f"{1 / seconds:.2f} steps/s", losses=text)
        if not self.console.is_terminal:
            self.console.print(
                f"step {done} {1 / seconds:.2f} steps/s {text}", highlight=False, soft_wrap=True
            )
        self._seen, self._count, self._since = {}, 0, time.perf_counter()

    def sheet(self, done: int, picture: Tensor) -> None:
        """Save a sample sheet, (3, H, W) in -1..1, as `samples/STEP.jpg`."""
        path = self.folder / "samples" / f"{done:06d}.jpg"
        path.parent.mkdir(exist_ok=True)
        pixels = ((picture + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        Image.fromarray(pixels).save(path, quality=92)
        if self._board is not None:
            self._board.add_image("samples", pixels, done, dataformats="HWC")

    def curves(self) -> None:
        """Draw the metrics so far as `curves.png`, where matplotlib is installed."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            return
        rows = read_metrics(self.folder)
        names = [n for n in dict.fromkeys(k for row in rows for k in row) if n not in ("step", "rate")]
        if not names:
            return
        figure = Figure(figsize=(12, 2.2 * ((len(names) + 2) // 3)), layout="constrained")
        for i, name in enumerate(names):
            axes = figure.add_subplot((len(names) + 2) // 3, 3, i + 1)
            points = [(row["step"], row[name]) for row in rows if name in row]
            axes.plot(*zip(*points, strict=True), linewidth=0.9)
            axes.set_title(name, fontsize=9)
        figure.savefig(self.folder / "curves.png", dpi=90)

    def _forget_after(self, done: int) -> None:
        """Drop rows of steps that a killed run made after its last checkpoint, and one cut short: they are
        made again."""
        kept = [row for row in read_metrics(self.folder) if row["step"] <= done]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        (self.folder / "metrics.jsonl").write_text(text, encoding="utf-8")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl`, without a last line cut short."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def sample_sheet(
    batch: Batch, others: list[Tensor], generate: Callable[[Tensor, Tensor], Tensor], label_set: LabelSet
) -> Tensor:
    """A sheet (3, H, W) in -1..1, a row a sample: label map, photo, pictures in its and in other colors.

    others: color sets (K, 3) in 0..1.
    """
    painted = np.stack([labels.render(c.numpy(), label_set.palettes[0]) for c in batch.classes])
    columns = [torch.from_numpy(painted).permute(0, 3, 1, 2).float() / 127.5 - 1, batch.photo]
    for colors in [batch.colors, *(other.expand_as(batch.colors) for other in others)]:
        columns.append(generate(batch.classes, colors).cpu())
    tiles = torch.stack(columns, dim=1).flatten(0, 1)
    sheet: Tensor = make_grid(tiles, nrow=len(columns), padding=4, pad_value=1.0)
    return sheet


def _tensorboard(folder: Path, done: int) -> Any:
    """A TensorBoard writer that goes on after `done` steps; None where tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)
