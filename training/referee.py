"""The referee, a small parser: how well pictures obey label maps is measured by what it sees in them.

It reads the maps of the `Judge` and is trained on real train photos: python -m training.referee --data DIR
"""

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError

import cyclopts
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from facadegen.device import choose_device
from facadegen.errors import OutputError, UsageError
from training import command, metrics
from training.data import digest, label_set_of
from training.gallery import Gallery, read_gallery
from training.judge import NAME, Judge, in_lots

FIRST_MAP = 1  # the map at stride 2 is as large as all others together and tells little
IGNORED = 255


@dataclass(frozen=True)
class RefereeRecipe:
    """How a referee is trained.

    rarity: the weight of a class in the loss is its share of the pixels to the power of minus this.

    Raises:
        UsageError: steps or sizes below 1.
    """

    seed: int = 0
    steps: int = 500
    batch_size: int = 8
    width: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.05
    rarity: float = 0.5

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.width) < 1:
            raise UsageError("a referee needs at least one step, one picture a step and one channel")

    def command(self, folder: Path, size_px: int) -> str:
        """The command that trains this referee."""
        options = {"data": folder, "seed": self.seed, "steps": self.steps, "size-px": size_px}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return shlex.join(["python", "-m", "training.referee", *words])


class Referee(nn.Module):
    """Parses the maps of a `Judge`, coarse to fine; the maps are frozen, so it trains in minutes."""

    def __init__(self, channels: Sequence[int], n_classes: int, width: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        used = channels[FIRST_MAP:]
        self.entries = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(c), nn.Conv2d(c, width, 1)) for c in used)
        self.mixers = nn.ModuleList(_conv_bn_relu(width) for _ in used)
        self.head = nn.Sequential(_conv_bn_relu(width), nn.Dropout2d(0.1), nn.Conv2d(width, n_classes, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Class scores (N, K, H / 4, W / 4) of maps from stride 4 on."""
        x: Tensor | None = None
        for entry, mixer, seen in zip(
            reversed(self.entries), reversed(self.mixers), reversed(maps), strict=True
        ):
            y = entry(seen)
            x = mixer(y if x is None else y + F.interpolate(x, size=y.shape[2:], mode="bilinear"))
        scores: Tensor = self.head(x)
        return scores

    @torch.inference_mode()
    def parse(self, maps: Sequence[Tensor], size: tuple[int, int]) -> NDArray[np.uint8]:
        """The class (N, H, W) seen at each pixel, of all maps of the `Judge`."""
        scores = F.interpolate(self(maps[FIRST_MAP:]), size=size, mode="bilinear")
        return scores.argmax(1).byte().cpu().numpy()


def train(
    judge: Judge,
    photos: Gallery,
    n_classes: int,
    recipe: RefereeRecipe,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Referee:
    """A referee trained on the photos and their mirror images; `on_progress(done, total)` after each step."""
    total = 2 * len(photos) + recipe.steps
    plain = _remember(judge, photos.photos, device, lambda done: on_progress(done, total))
    mirrored = _remember(
        judge, photos.photos[:, :, ::-1], device, lambda done: on_progress(len(photos) + done, total)
    )
    truth = torch.from_numpy(np.where(photos.valid, photos.classes, IGNORED))
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        referee = Referee(judge.channels, n_classes, recipe.width).to(device)
        optimizer = torch.optim.AdamW(referee.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=recipe.steps)
        weights = _class_weights(truth, n_classes, recipe.rarity).to(device)
        for step in range(recipe.steps):
            picks = torch.randint(len(photos), (recipe.batch_size,))
            flip = bool(torch.rand(()) < 0.5)
            maps = [stored[picks].to(device).float() for stored in (mirrored if flip else plain)]
            target = (truth[picks].flip(2) if flip else truth[picks])[:, ::2, ::2].to(device).long()
            scores = F.interpolate(referee(maps), size=target.shape[1:], mode="bilinear")
            loss = F.cross_entropy(scores, target, weights, ignore_index=IGNORED)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            on_progress(2 * len(photos) + step + 1, total)
    return referee.eval().requires_grad_(False)


def trained(
    judge: Judge,
    photos: Gallery,
    n_classes: int,
    recipe: RefereeRecipe,
    device: torch.device,
    cache: Path,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Referee, Path]:
    """The referee of these photos and this recipe, and the file that keeps it; trained if there is none.

    Raises:
        OutputError: the file cannot be written.
    """
    path = cache / f"referee-{_fingerprint(photos, n_classes, recipe)}.pt"
    try:
        referee = Referee(judge.channels, n_classes, recipe.width).to(device)
        referee.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError):  # none yet, or one cut short
        referee = train(judge, photos, n_classes, recipe, device, on_progress)
        _save(referee, path)
    return referee.eval().requires_grad_(False), path


def default_cache() -> Path:
    """The folder of what can be made again, as the XDG base directory specification has it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facadegen"


def _conv_bn_relu(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())


@torch.no_grad()
def _remember(
    judge: Judge, pictures: NDArray[np.uint8], device: torch.device, on_progress: Callable[[int], None]
) -> list[Tensor]:
    """The maps of all pictures from stride 4 on, in half precision on the CPU: 400 KB a picture of 256 px."""
    lots: list[list[Tensor]] = []
    done = 0
    for lot in in_lots(pictures, device):
        lots.append([found.half().cpu() for found in judge(lot)[0][FIRST_MAP:]])
        done += len(lot)
        on_progress(done)
    return [torch.cat(scale) for scale in zip(*lots, strict=True)]


def _class_weights(truth: Tensor, n_classes: int, rarity: float) -> Tensor:
    counts = (
        torch.bincount(truth[truth != IGNORED].flatten().long(), minlength=n_classes).double().clamp(min=1)
    )
    weights = (counts / counts.sum()) ** -rarity
    return (weights / (weights * counts).sum() * counts.sum()).float()


def _fingerprint(photos: Gallery, n_classes: int, recipe: RefereeRecipe) -> str:
    named = json.dumps([NAME, n_classes, photos.photos.shape, asdict(recipe)])
    return digest(named, (photos.photos, photos.classes, photos.valid))


def _save(referee: Referee, path: Path) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({name: value.cpu() for name, value in referee.state_dict().items()}, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save says RuntimeError where its folder is missing
        raise OutputError(f"cannot be written: {error}", path) from error


app = cyclopts.App(name="python -m training.referee", help_format="plaintext", version_flags=[])


@app.default
def referee(
    *,
    data: Path,
    seed: int = 0,
    steps: int = RefereeRecipe.steps,
    size_px: int = 256,
    cache: Path | None = None,
    device: str = "auto",
) -> None:
    """Train the referee on real train photos and say how well it parses real val photos.

    Parameters
    ----------
    data
        The folder of pairs.
    seed
        What everything random follows from.
    steps
        How many steps to train.
    size_px
        Side of the pictures that it will parse.
    cache
        The folder that keeps it. Default: facadegen in the user's cache folder.
    device
        auto, cpu, cuda or mps.
    """
    label_set, chosen = label_set_of((data,)), choose_device(device)
    n_classes = len(label_set.classes)
    judge = Judge().to(chosen)
    photos = read_gallery(data, "train", label_set, size_px)
    made, path = trained(
        judge, photos, n_classes, RefereeRecipe(seed, steps), chosen, cache or default_cache(), _show_progress
    )
    val = read_gallery(data, "val", label_set, size_px)
    parsed = np.concatenate(
        [made.parse(judge(lot)[0], (size_px, size_px)) for lot in in_lots(val.photos, chosen)]
    )
    confusions = [
        metrics.confusion(*arrays, n_classes) for arrays in zip(val.classes, parsed, val.valid, strict=True)
    ]
    found = metrics.label_fidelity(np.stack(confusions))
    interval = f"{found.low:.4f} to {found.high:.4f}"
    print(f"{path}: mean IoU {found.value:.4f} ({interval}) on {len(val)} real val photos")


def _show_progress(done: int, total: int) -> None:
    print(
        f"\rtraining the referee: {100 * done // total} %", end="\n" if done == total else "", file=sys.stderr
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 failed, 2 usage or cache unusable, 130 interrupted."""
    return command.run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
