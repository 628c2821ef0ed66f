"""Train a generator and save it as one weights file.

python -m training.fit --data DIR --out WEIGHTS
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from facadegen import device as devices
from facadegen.cpus import available_cpus
from facadegen.errors import OutputError, TrainingError
from facadegen.palettes import LabelSet
from facadegen.weights import Card
from training import checkpoint, command, data, loop
from training.distributed import World, joined, local_world_size
from training.export import export, require_writable, source_commit
from training.logbook import Logbook, sample_sheet
from training.options import FitOptions
from training.pretrained import Pretrained, of_recipe, read_pretrained
from training.recipes import RECIPES, Settings, colored_classes

OPTIONS_NAME = "options.json"
# BatchNorm statistics of an averaged generator that has not settled on any come from this many batches.
STATISTICS_BATCHES = 40
SHEET_ROWS = 8
# The part of a photo that a class takes up at least where a color set of weights has its color from there:
# the mean of a few pixels at an edge, pink balconies say, looks wrong on another facade.
LEAST_SHOWN = 0.004

app = App(name="python -m training.fit", help_format="plaintext", version_flags=[])


@dataclass(frozen=True, eq=False)
class Material:
    """The decoded data of a run."""

    label_set: LabelSet
    train: list[data.Pair]
    val: list[data.Pair]
    color_sets: Tensor  # (len(train), K, 3)
    distinct: list[int]  # numbers of train pairs, one a facade


@dataclass(frozen=True)
class Origin:
    """What a run is made from. data: fingerprint of the train pairs. classes: the names of their classes.
    commits, precisions: of the code and of its sums, each once, that of now last. start: the networks it
    began with, where these were not random.

    The commits are those the run was started and resumed at, not the one it happens to end at.
    """

    data: str
    classes: tuple[str, ...]
    commits: list[str]
    precisions: list[str]
    start: Pretrained | None

    def shape(self, options: FitOptions, done: int) -> dict[str, Any]:
        """What a run resumed after `done` steps must share with the one it goes on with, its data too."""
        start = None if self.start is None else self.start.sha256
        return options.what_shapes_the_weights(done) | {
            "data": self.data,
            "classes": list(self.classes),
            "start_from": start,
        }


@app.default
def fit(
    *,
    data: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative=())],
    out: Path,
    run_dir: Path | None = None,
    start_from: Path | None = None,
    start_share: float = 0.0,
    recipe: Literal["projected", "pix2pix"] = "projected",
    steps: int = 9200,
    restarts: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative=())] = (),
    batch_size: int | None = None,
    generator_rate: float | None = None,
    size_px: int = 256,
    large_fraction: float = 0.35,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    workers: int | None = None,
    log_every: int = 50,
    sample_every: int = 500,
    checkpoint_every: int = 250,
    dry_run: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> int:
    """Train a generator on pairs of photo and label map and save it as one weights file.

    The same command again goes on where a stopped run was. Under torchrun every process trains on its share.

    Parameters
    ----------
    data
        Folders of pairs, one or more: train/ and val/, or photos/ and labels/; the README tells more.
    out
        The weights file to write.
    run_dir
        The run's folder: options, checkpoint, metrics, samples. Default: OUT's name in `runs/`.
    start_from
        A weights file that you trust, or another run's checkpoint.pt: its networks go on, not random ones.
    start_share
        How far back towards that file's generator the one written lies: 0.5 is the mean of both.
    recipe
        `projected` looks through an ImageNet network; `pix2pix` is the paper's.
    steps
        How many steps to train.
    restarts
        Steps at which the learning rate, by then nearly down, starts over; a finished run can go on this way.
    batch_size
        Samples a step, over all processes. Default: the recipe's.
    generator_rate
        The generator's learning rate. Default: the recipe's; a third of it on from a weights file.
    size_px
        Side of the square training crops.
    large_fraction
        The part of the samples cut from pictures larger than the crops, at any scale, close-ups aside.
    seed
        What everything random follows from.
    device
        auto, cpu, cuda or mps.
    precision
        auto is bf16 where the device is made for it.
    workers
        Processes that prepare samples; 0: the training process. Default: 0; with CUDA, all cores but one.
    log_every
        Steps between rows of metrics.jsonl.
    sample_every
        Steps between sample sheets.
    checkpoint_every
        Steps between checkpoints.
    dry_run
        Check options and data, say what would be done, and stop.
    """
    chosen = devices.choose_device(device)
    options = FitOptions(
        data=data,
        out=out,
        run=run_dir or Path("runs", out.stem),
        start_from=start_from,
        start_share=start_share,
        recipe=recipe,
        steps=steps,
        restarts=restarts,
        batch_size=RECIPES[recipe].settings.batch_size if batch_size is None else batch_size,
        generator_rate=generator_rate,
        size_px=size_px,
        large_fraction=large_fraction,
        seed=seed,
        device=device,
        precision=precision,
        workers=usual_workers(chosen) if workers is None else workers,
        log_every=log_every,
        sample_every=sample_every,
        checkpoint_every=checkpoint_every,
    )
    try:
        with joined(chosen) as world:
            return train(options, chosen, world, dry_run)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise OutputError(problem, error.filename or options.run) from error


def train(options: FitOptions, device: torch.device, world: World, dry_run: bool) -> int:
    """Train as the options say; 0 when the weights are written, 130 when stopped before.

    Raises:
        FacadegenError: the data, the run's folder or its checkpoint cannot be used.
    """
    console = Console(stderr=True, markup=False, quiet=not world.leads)
    material = read_material(options.data, console)
    precision = training_precision(options.precision, device)
    pairs = f"{len(material.train)} train and {len(material.val)} val pairs"
    console.print(
        f"{options.recipe}: {pairs}, {options.steps} steps of {options.batch_size}, {device}, {precision}"
    )
    world.share(options.batch_size)  # or it is refused here
    start = None if options.start_from is None else read_pretrained(options.start_from, material.label_set)
    if dry_run:
        return 0
    if world.leads:
        require_writable(options.out)
    torch.backends.cudnn.benchmark = True  # shapes are few, and come again in every step
    torch.manual_seed(options.seed)
    recipe = RECIPES[options.recipe](material.label_set)
    trainer = loop.Trainer(recipe, options.schedule, options.seed, device, precision, world)
    if start is not None:
        with of_recipe(options.recipe, options.start_from):
            start.begin(trainer)
    if options.generator_rate is not None:
        trainer.rates["generator"] = options.generator_rate
    classes = material.label_set.classes
    origin = Origin(data.fingerprint(material.train), classes, [source_commit()], [precision], start)
    resume(trainer, options, origin, world)
    samples = make_samples(material, options, recipe.settings)
    steps, place = (trainer.done, options.steps), (world.rank, world.size)
    with command.stop_on_signals() as stop:
        batches = data.batches(samples, *steps, options.batch_size, *place, options.workers, device)
        if world.leads:
            with Logbook(options.run, options.steps, trainer.done, options.log_every, console) as logbook:
                keeper = Keeper(trainer, logbook, material, options, origin)
                finished = loop.run(trainer, batches, keeper.after_step, stop.is_set)
                save(trainer, options, origin)
                logbook.curves()
        else:
            finished = loop.run(trainer, batches, lambda terms: None, stop.is_set)
    if not finished:
        console.print(f"stopped after {trainer.done} steps; the same command goes on from there")
        return 130
    if world.leads:
        write_weights(trainer, material, options, origin, options.out)
        console.print(f"wrote {options.out} after {trainer.seconds / 60:.0f} minutes of training")
    return 0


@dataclass(frozen=True, eq=False)
class Keeper:
    """What happens beside the training steps: metrics, checkpoints, sample sheets."""

    trainer: loop.Trainer
    logbook: Logbook
    material: Material
    options: FitOptions
    origin: Origin

    def after_step(self, terms: dict[str, Tensor]) -> None:
        done, options = self.trainer.done, self.options
        self.logbook.step(done, terms, self.trainer.rate("generator", done - 1))
        if done % options.checkpoint_every == 0:
            save(self.trainer, options, self.origin)
        if done % options.sample_every == 0 or done == options.steps:
            self.sheet(done)
        if done % options.sample_every == 0 and done < options.steps:  # at the end they are drawn anyway
            self.logbook.curves()

    def sheet(self, done: int) -> None:
        """The sheet of fixed val pairs (train pairs where there are none), spread over the split."""
        pairs = self.material.val or self.material.train
        chosen = data.spread(pairs, min(SHEET_ROWS, len(pairs)))
        batch = data.whole_batch(chosen, self.options.size_px, len(self.material.label_set.classes))
        sets = self.material.color_sets
        others = [sets[len(sets) // 3], sets[2 * len(sets) // 3]]
        network = averaged(self.trainer, self.material, self.options)
        sheet = sample_sheet(
            batch, others, lambda m, c: self.trainer.generate(network, m, c), self.material.label_set
        )
        self.logbook.sheet(done, sheet)


def read_material(folders: tuple[Path, ...], console: Console) -> Material:
    """Decode train and val pairs of all folders; folders without a val split have none.

    Raises:
        TrainingError: a folder or a pair that cannot be used.
    """
    label_set = data.label_set_of(folders)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("reading pairs")

        def on_read(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        read = data.read_pairs(folders, "train", label_set, on_read)
        val = data.read_pairs(data.with_val(folders), "val", label_set, on_read)
    train = data.filled(read)
    sets = data.color_sets(train, len(label_set.classes))
    return Material(label_set, train, val, sets, data.without_twins(read))


def make_samples(material: Material, options: FitOptions, settings: Settings) -> data.Samples:
    """The augmented samples of a run."""
    augmentation = data.Augmentation(
        size_px=options.size_px,
        other_colors=settings.other_colors,
        repainted=settings.repainted,
        close_up_every=settings.close_up_every,
    )
    colored = colored_classes(material.label_set)
    share = data.resolution_share(material.train, options.size_px, options.large_fraction)
    return data.Samples(material.train, material.color_sets, colored, options.seed, augmentation, share)


def averaged(trainer: loop.Trainer, material: Material, options: FitOptions) -> torch.nn.Module:
    """The averaged generator; its BatchNorm statistics are settled, or those of a fixed set of samples."""
    samples = make_samples(material, options, trainer.recipe.settings)
    count = min(STATISTICS_BATCHES, options.steps)
    batches = data.batches(
        samples, 0, count, options.batch_size, workers=options.workers, device=trainer.device
    )
    return trainer.averaged_generator(batches, options.start_share)


def write_weights(
    trainer: loop.Trainer, material: Material, options: FitOptions, origin: Origin, path: Path
) -> None:
    """Export the averaged generator with its card.

    Raises:
        TrainingError: as `export`.
    """
    network = trainer.recipe.generator
    start = origin.start
    begun: dict[str, Any] = {}
    if start is not None:
        begun = {"start_from": start.training | {"sha256": start.sha256}, "start_share": options.start_share}
    card = Card(
        label_set=material.label_set,
        native_size_px=options.size_px,
        stride=network.stride,
        context_px=network.context_px,
        style=network.style,
        training={
            "recipe": options.recipe,
            "steps": trainer.done,
            "restarts": list(options.restarts),
            "batch_size": options.batch_size,
            "generator_rate": trainer.rates["generator"],
            "seed": options.seed,
            "data": [folder.name for folder in options.data],
            "train_pairs": len(material.train),
            "minutes": round(trainer.seconds / 60),
            "device": trainer.device.type,
            "precision": ", ".join(origin.precisions),
            "torch": torch.__version__,
            "commits": origin.commits,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
        }
        | begun,
    )
    sets = data.color_sets(material.train, len(material.label_set.classes), LEAST_SHOWN)
    # Of a facade in two resolutions one counts: with both it would be chosen twice as often.
    sets = data.usual_sets(sets[material.distinct], colored_classes(material.label_set))
    open_sky = None if start is None else start.build_open_sky(material.label_set)
    export(averaged(trainer, material, options), trainer.parser, sets, card.to_json(), path, open_sky)


def resume(trainer: loop.Trainer, options: FitOptions, origin: Origin, world: World) -> None:
    """Restore the run's checkpoint, if there is one, and record the options.

    Raises:
        TrainingError: the checkpoint is of a run with other options, data or networks, or the folder cannot
            be written.
    """
    state = checkpoint.load(options.run / checkpoint.NAME, checkpoint.FIT)
    if state is not None:
        shape = origin.shape(options, state["trainer"]["done"])
        checkpoint.require_same(state["options"], shape, options.run)
        try:
            trainer.restore(state["trainer"])
        except RuntimeError as error:  # torch names parameters that do not fit
            raise TrainingError(
                "holds a run of other networks, as they were then; use another --run-dir", options.run
            ) from error
        checkpoint.put_before(origin.commits, state["commits"])
        checkpoint.put_before(origin.precisions, state["precisions"])
    if not world.leads:
        return
    checkpoint.make_folder(options.run)
    try:
        (options.run / OPTIONS_NAME).write_text(
            json.dumps(options.to_json(), indent=1) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise TrainingError(f"cannot be written: {error.strerror}", options.run) from error


def save(trainer: loop.Trainer, options: FitOptions, origin: Origin) -> None:
    """Save the run's checkpoint.

    Raises:
        TrainingError: as `checkpoint.save`.
    """
    shape = origin.shape(options, trainer.done)
    state = {
        "options": shape,
        "commits": origin.commits,
        "precisions": origin.precisions,
        "trainer": trainer.state(),
    }
    checkpoint.save(options.run / checkpoint.NAME, state, checkpoint.FIT)


def training_precision(name: str, device: torch.device) -> str:
    """bf16 where asked for or where the device is made for it, else fp32; fp16 would need loss scaling."""
    if name == "auto" and device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return devices.choose_precision(name, device)


def usual_workers(device: torch.device) -> int:
    """How many processes prepare samples: none where training takes the cores itself."""
    return max(0, available_cpus() // local_world_size() - 1) if device.type == "cuda" else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 data or run unusable, 2 usage, weights or output unusable, 130 stopped."""
    return command.run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
