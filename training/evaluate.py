"""Scores weights against real val photos: python -m training.evaluate --weights WEIGHTS --data DIR."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
import numpy as np
import torch
from rich.console import Console

from facadegen.device import choose_device
from facadegen.errors import OutputError, UsageError
from facadegen.generator import Generator, load
from facadegen.labels import render
from facadegen.style import Style, resolve_style
from facadegen.weights import checksum
from training import command, obedience, tables
from training.closeups import Crops, choose_crops
from training.data import is_folder, label_set_of, read_pairs
from training.export import record_scores
from training.gallery import read_gallery
from training.judge import NAME, Judge, load_inception
from training.referee import RefereeRecipe, default_cache, trained
from training.scores import NEIGHBOURS, Bench, Exam, Row, make
from training.sheet import contact_sheet
from training.stages import Stages

LEAST_VAL_PAIRS = 2 * (NEIGHBOURS + 1)  # each half of the real photos needs its neighbours
LEAST_LARGE_PAIRS = 10  # a draw of fewer may be of one picture alone
SHEET_ROWS = 8
SCORES_NAME = "scores.json"
SHEET_NAME = "sheet.png"


@dataclass(frozen=True)
class EvaluateOptions:
    """What to score, against what, and how.

    Raises:
        UsageError: no such data folder, or a value that cannot work.
        TrainingError: whether there is one cannot be told.
    """

    weights: Path
    data: Path
    large: Path | None
    baseline: Path | None
    out: Path
    features: str
    styles: bool
    seed: int
    referee_steps: int
    cache: Path
    device: str

    def __post_init__(self) -> None:
        if not is_folder(self.data):
            raise UsageError("no such folder (expected one with train and val pairs)", self.data)
        command.require_at_least(0, seed=self.seed)
        if self.large is not None and not is_folder(self.large):
            raise UsageError("no such folder (expected one with val pairs of large pictures)", self.large)

    @property
    def referee(self) -> RefereeRecipe:
        return RefereeRecipe(self.seed, self.referee_steps)


@dataclass(frozen=True, eq=False)
class Contestant:
    """A generator, the file it comes from, and the name of its rows."""

    path: Path
    name: str
    generator: Generator


@dataclass(frozen=True, eq=False)
class Results:
    """Everything an evaluation found."""

    options: EvaluateOptions
    contestants: list[Contestant]
    exam: Exam
    rows: list[Row]
    styles: obedience.StyleReport | None
    referee_file: Path
    seconds: float

    @property
    def features(self) -> str:
        return NAME if self.options.features == "lite2" else self.options.features

    def to_json(self) -> dict[str, Any]:
        """The scores and all that is needed to get them again."""
        options = self.options
        return {
            "rows": [tables.row_to_json(row) for row in self.rows],
            "styles": None if self.styles is None else self.styles.to_json(),
            "generators": [
                {
                    "name": each.name,
                    "file": str(each.path),
                    "sha256": checksum(each.path),
                    "precision": each.generator.precision,
                    "training": each.generator.card.training,
                }
                for each in self.contestants
            ],
            "features": self.features,
            "referee": {
                "command": options.referee.command(
                    options.data, self.contestants[-1].generator.card.native_size_px
                ),
                "recipe": asdict(options.referee),
                "file": str(self.referee_file),
            },
            "data": str(options.data),
            "large": None if options.large is None else str(options.large),
            "large_pairs": 0 if self.exam.close_ups is None else len(self.exam.close_ups.crops),
            "val_pairs": len(self.exam.val),
            "train_pairs": len(self.exam.train_features),
            "seed": options.seed,
            "device": options.device,
            "torch": torch.__version__,
            "seconds": round(self.seconds, 1),
        }


def evaluate(options: EvaluateOptions, console: Console) -> Results:
    """Score the weights, and the baseline beside them.

    Raises:
        FacadegenError: weights or data that cannot be used, or do not fit together.
    """
    start_s = time.perf_counter()
    device = choose_device(options.device)
    contestants = _contestants(options)
    card = contestants[-1].generator.card
    n_classes = len(card.label_set.classes)
    inception = load_inception().to(device) if options.features == "inception" else None
    with Stages(console) as stages:
        train, val = (
            read_gallery(
                options.data,
                split,
                card.label_set,
                card.native_size_px,
                stages.start(f"reading {split} pairs"),
            )
            for split in ("train", "val")
        )
        if len(val) < LEAST_VAL_PAIRS:
            raise UsageError(f"has {len(val)} val pairs, scores need {LEAST_VAL_PAIRS}", options.data)
        crops: list[Crops] = []
        if options.large is not None:
            on_read = stages.start("reading large val pairs")
            large = read_pairs((options.large,), "val", card.label_set, on_read)
            crops = choose_crops(large, card.native_size_px, options.seed)
            if len(crops) < LEAST_LARGE_PAIRS:
                problem = f"has {len(crops)} val pairs larger than {card.native_size_px} px"
                raise UsageError(f"{problem}, close-ups need {LEAST_LARGE_PAIRS}", options.large)
        judge = Judge().to(device)
        referee, referee_file = trained(
            judge,
            train,
            n_classes,
            options.referee,
            device,
            options.cache,
            stages.start("training the referee"),
        )
        bench = Bench(judge, referee, device, inception)
        on_look = stages.count("looking at pictures")
        exam = Exam(bench, val, train, card.label_set, options.seed, on_look, crops)
        rows = exam.anchors()
        for each in contestants:
            rows += exam.generated(each.name, each.generator)
        styles = None
        if options.styles:
            styles = obedience.measure(
                exam, contestants[-1].generator, card.label_set, stages.count("trying styles")
            )
    seconds = time.perf_counter() - start_s
    return Results(options, contestants, exam, rows, styles, referee_file, seconds)


def save(results: Results) -> None:
    """The scores and the contact sheet lie in the output folder.

    Raises:
        OutputError: they cannot be written.
    """
    out = results.options.out
    with _writing(out):
        text = json.dumps(results.to_json(), indent=1, allow_nan=False)
        (out / SCORES_NAME).write_text(text + "\n", encoding="utf-8")
        _sheet(results).save(out / SHEET_NAME)


def record(results: Results) -> None:
    """The weights' card tells their scores, and beside them those of real photos.

    Raises:
        FacadegenError: the weights file cannot be written.
    """
    options, name = results.options, results.contestants[-1].name
    own = [row for row in results.rows if row.name == name or row.name.startswith(f"{name}, ")]
    on = f"{len(results.exam.val)} val pairs of {options.data.resolve().name}"
    if options.large is not None and results.exam.close_ups is not None:
        on += f", close-ups of {len(results.exam.close_ups.crops)} of {options.large.resolve().name}"
    scores = {
        "on": on,
        "features": results.features,
    }
    of_weights = {row.name: tables.card_scores(row) for row in (results.rows[0], *own)}
    record_scores(options.weights, scores | of_weights)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror or error}", out) from error


def _contestants(options: EvaluateOptions) -> list[Contestant]:
    """The baseline, if any, and the weights."""
    paths = [path for path in (options.baseline, options.weights) if path is not None]
    found = [Contestant(path, path.stem, load(path, options.device)) for path in paths]
    if len({each.name for each in found}) < len(found):
        found = [Contestant(each.path, str(each.path), each.generator) for each in found]
    expected = label_set_of((options.data,)).classes
    for each in found:
        if each.generator.card.label_set.classes != expected:
            raise UsageError(f"was not trained on the classes of {options.data}", each.path)
    if len({each.generator.card.native_size_px for each in found}) > 1:
        raise UsageError("was trained at another picture size than the weights", options.baseline)
    if options.styles and found[-1].generator.card.style == "none":
        raise UsageError("takes no colors, so there are no styles to measure", options.weights)
    return found


def _sheet(results: Results) -> Any:
    exam = results.exam
    chosen = exam.val.spread(SHEET_ROWS)
    classes = exam.val.classes[chosen]
    palette = results.contestants[-1].generator.card.label_set.palettes[0]
    columns = {"label map": render(classes, palette), "photo": exam.val.photos[chosen]}
    for each in results.contestants:
        own = exam.own_colors(each.generator)[chosen]
        if each.generator.card.style == "none":
            columns[each.name] = make(each.generator, classes, own)
            continue
        chooser = resolve_style(Style(), each.generator)
        default = np.stack([chooser.choose(one) for one in classes])
        columns[f"{each.name}, photo's colors"] = make(each.generator, classes, own)
        columns[f"{each.name}, default colors"] = make(each.generator, classes, default)
    return contact_sheet(columns, [exam.val.names[i] for i in chosen])


app = cyclopts.App(name="python -m training.evaluate", help_format="plaintext", version_flags=[])


@app.default
def main_command(
    *,
    weights: Path,
    data: Path,
    large: Path | None = None,
    baseline: Path | None = None,
    out: Path = Path("evaluation"),
    features: Literal["lite2", "inception"] = "lite2",
    styles: bool = False,
    seed: int = 0,
    referee_steps: int = RefereeRecipe.steps,
    cache: Path | None = None,
    device: str = "auto",
    card: Annotated[bool, cyclopts.Parameter(negative=(), show_default=False)] = False,
) -> None:
    """Score weights against real val photos: one table, scores.json, and a contact sheet.

    Parameters
    ----------
    weights
        The weights file to score.
    data
        A folder of pairs with train and val splits.
    large
        A folder of pairs with a val split of pictures larger than those, of which close-ups are scored.
    baseline
        Other weights to score beside it, such as those of the pix2pix recipe.
    out
        The folder for scores.json and sheet.png. The sheet shows photos: mind their license.
    features
        Whose features KID, density, coverage and nearness are in. lite2 comes with the train extra;
        inception is that of papers, needs torch-fidelity, and is fetched from the network.
    styles
        Also measure how well 20 styles, and six colors of the facade alone, are obeyed on 10 label maps.
    seed
        What everything random follows from.
    referee_steps
        How long to train the parser that measures label fidelity, on the train photos.
    cache
        The folder that keeps it. Default: facadegen in the user's cache folder.
    device
        auto, cpu, cuda or mps.
    card
        Also write the scores into the card of the weights, which `facadegen info` shows.
    """
    options = EvaluateOptions(
        weights,
        data,
        large,
        baseline,
        out,
        features,
        styles,
        seed,
        referee_steps,
        cache or default_cache(),
        device,
    )
    with _writing(out):  # before minutes are spent on what goes into it
        out.mkdir(parents=True, exist_ok=True)
    results = evaluate(options, Console(stderr=True, markup=False))
    tables.show(results.rows, results.styles)
    try:
        if card:
            record(results)
    finally:  # a file that cannot be written costs no scores; they name the weights as they are now
        save(results)
    print(f"{out / SCORES_NAME} and {out / SHEET_NAME} written, {results.seconds / 60:.1f} minutes")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 data unusable, 2 usage, weights or output unusable, 130 interrupted."""
    return command.run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
