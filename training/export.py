"""Export: a trained generator becomes one scripted file, reloaded and compared before it counts."""

import copy
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from facadegen.errors import OutputError, TrainingError
from facadegen.torchscript import quiet
from facadegen.weights import CARD_NAME, SUMS_NAME, checksum, read_card
from training.networks.glazing import Glazing
from training.networks.lean_unet import folded
from training.networks.neighbors import Neighbors
from training.networks.open_sky import OpenSky
from training.networks.scripted import ScriptedGenerator

# How much of what a file makes may differ from what was exported. Rounding may tip where two processes add in
# another order, and move a roofline by a row of what is seen from afar; more is another network.
MOST_MOVED, MOST_LEVELS, MOST_COLOR = 0.02, 1, 1e-2

# Runs where neither `training` nor a class definition is at hand, as every user's process does.
_RELOAD = """
import sys, warnings
sys.modules["training"] = None
warnings.simplefilter("ignore")
import torch
module = torch.jit.load(sys.argv[1]).float().eval()
whole, prepared, place, photo = torch.load(sys.argv[2])
with torch.no_grad():
    made = module.prepare(*whole), module(*prepared, *place), module.estimate_colors(photo)
torch.save(made, sys.argv[3])
"""


class Made(NamedTuple):
    """What a weights file makes: of whole maps, of those as pictures, uint8 (N, 3, H, W), and of photos."""

    prepared: tuple[Tensor, Tensor]
    picture: Tensor
    estimated: Tensor


def export(
    network: nn.Module,
    parser: nn.Module,
    color_sets: Tensor,
    card: dict[str, Any],
    path: Path,
    open_sky: OpenSky | None = None,
) -> None:
    """Save a generator, its parser and color sets as one TorchScript file with its card inside.

    A generator that is told colors draws large shops, and doors, with panes, and in large pictures neighbors'
    walls as such, where it has such classes; the context on the card that is written is so much more than the
    network's as panes need. open_sky: tells sky from walls first. The file holds half-precision parameters.
    It is loaded again in a fresh process and compared with the eager module before it takes its place;
    whatever was at `path` stays until then.

    Raises:
        TrainingError: the file cannot be written, or what comes back differs from what went in.
    """
    glazing = neighbors = None
    if card["style"] == "colors":
        classes = card["label_set"]["classes"]
        glazing = Glazing.of(classes)
        neighbors = Neighbors.of(classes, card["native_size_px"], card["stride"])
    reach_px = glazing.reach_px if glazing else 0
    card = card | {"context_px": network.context_px + reach_px}  # type: ignore[operator]
    sets = color_sets.detach().clone()
    module = ScriptedGenerator(
        folded(network),
        copy.deepcopy(parser),
        sets,
        card["native_size_px"],
        glazing,
        neighbors,
        copy.deepcopy(open_sky),
    )
    module = module.to("cpu").half().eval().requires_grad_(False)
    with quiet():
        scripted = torch.jit.script(module)
    _save(scripted, card, path, lambda written: _check_parity(module.float(), written, card))


def require_writable(path: Path) -> None:
    """Check that weights can be written there, before what they come from has taken hours.

    Raises:
        OutputError: it is a folder, or the folder that it would be in cannot be made or written.
    """
    try:
        is_folder = path.is_dir()
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(f"weights cannot be written: {error.strerror}", path) from error
    if is_folder:
        raise OutputError("is a folder (expected a weights file to write)", path)


def record_scores(path: Path, scores: dict[str, Any]) -> None:
    """Save a weights file again with these scores on its card; nothing else in it changes.

    Its checksum in a `SHA256SUMS` beside it follows.

    Raises:
        FacadegenError: the file cannot be read or written.
    """
    card = replace(read_card(path), scores=scores)
    with quiet():
        module = torch.jit.load(path, map_location="cpu")
    _save(module, card.to_json(), path)
    _update_sums(path)


def _save(
    module: Any, card: dict[str, Any], path: Path, check: Callable[[Path], None] = lambda written: None
) -> None:
    """Write a scripted module whole or not at all; `check` may refuse what was written."""
    buffer = io.BytesIO()
    with quiet():
        torch.jit.save(module, buffer, _extra_files={CARD_NAME: json.dumps(card, indent=1)})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(buffer.getvalue())
        check(temporary)
        temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"weights cannot be written: {error.strerror}", path) from error
    except TrainingError as error:  # of the check, which does not know the file's name to be
        raise TrainingError(error.problem, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def _update_sums(path: Path) -> None:
    """Put the checksum of a weights file in the place of the one it had, where there was one."""
    sums = path.with_name(SUMS_NAME)
    if not sums.is_file():
        return
    found = checksum(path)
    lines = [line.partition(" ") for line in sums.read_text(encoding="utf-8").splitlines()]
    changed = [
        f"{found if name.lstrip(' *') == path.name else known}{space}{name}" for known, space, name in lines
    ]
    sums.write_text("\n".join(changed) + "\n", encoding="utf-8")


def _check_parity(module: ScriptedGenerator, path: Path, card: dict[str, Any]) -> None:
    """Raises TrainingError unless a fresh process makes of the file what the eager module makes."""
    torch.manual_seed(0)
    stride = card["stride"]
    size = max(2 * stride, 256, 2 * card["native_size_px"])  # neighbors are looked for in such large maps
    n_classes = module.color_sets.shape[1]
    coarse = torch.randint(0, n_classes, (2, 1, 16, 16), dtype=torch.uint8)
    classes = nn.functional.interpolate(coarse, size=(size, size), mode="nearest")[:, 0]
    whole = classes, torch.rand(2, n_classes, 3)
    photo = torch.randint(0, 256, (1, 3, 200, 300), dtype=torch.uint8)
    place = stride, 0
    with torch.no_grad():
        prepared = module.prepare(*whole)
        made = Made(prepared, module(*prepared, *place), module.estimate_colors(photo))
    with tempfile.TemporaryDirectory() as folder:
        sent, received = Path(folder, "inputs.pt"), Path(folder, "outputs.pt")
        torch.save([whole, prepared, place, photo], sent)
        command = [sys.executable, "-c", _RELOAD, str(path.resolve()), str(sent), str(received)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise TrainingError(f"exported weights do not run in a fresh process: {reason}")
        what = differing(Made(*torch.load(received)), made)
    if what:
        raise TrainingError(f"exported weights differ from the trained ones: {what}")


def differing(made: Made, expected: Made) -> str | None:
    """What of that differs by more than rounding; None if nothing does."""
    moved = float((made.prepared[0] != expected.prepared[0]).float().mean())
    levels = int((made.picture.int() - expected.picture.int()).abs().max())
    estimated = float((made.estimated - expected.estimated).abs().max())
    # Of classes, not of neighbors' walls, which are as many as are found.
    shown, asked = (each.prepared[1][:, : expected.estimated.shape[1]] for each in (made, expected))
    made_up = float((shown - asked).abs().max())
    if moved > MOST_MOVED:
        return f"{moved:.1%} of prepared maps"
    if not made_up <= MOST_COLOR:  # nor NaN
        return f"colors of prepared maps by up to {255 * made_up:.0f} levels of 255"
    if levels > MOST_LEVELS:
        return f"pictures by up to {levels} levels of 255"
    if not estimated <= MOST_COLOR:
        return f"colors of photos by up to {255 * estimated:.0f} levels of 255"
    return None


def source_commit() -> str:
    """The commit of this source tree, "-dirty" where files differ from it; "unknown" outside of one."""
    root = Path(__file__).parents[1]
    git = shutil.which("git")
    # git itself would take any repository around an installation.
    if git is None or not (root / ".git").exists():
        return "unknown"
    command = [git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    return done.stdout.strip() or "unknown"
