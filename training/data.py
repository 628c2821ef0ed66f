"""Pairs of photo and label map: finding them in folders, keeping them, and drawing augmented batches."""

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from facadegen import labels, style
from facadegen.errors import LabelMapError, TrainingError
from facadegen.formats import LABEL_MAP_SUFFIXES
from facadegen.palettes import FACADES, LabelSet, load_label_set
from facadegen.picture import read_picture
from training.batch import Batch, Sample, develop, draw_jitter
from training.losses import mean_class_colors
from training.repaint import Repaint
from training.vision import resized_crop, v2
from training.wedges import valid_pixels, without_wedges

PALETTE_FILE = "palette.json"
SEAM_PX = 2
LEAST_LARGE_SHARE = 0.05  # of the pairs, or there are no close-ups
TWIN_CORRELATION = 0.97  # of small grey copies of two photos, from which on they show one facade
TWIN_PX = 24
CPU = torch.device("cpu")

Box = tuple[int, int, int, int]  # top, left, height, width, px
Row = TypeVar("Row")


@dataclass(frozen=True, eq=False)
class Pair:
    """A photo (3, H, W) uint8, its class map (H, W) uint8, and where the photo is valid (H, W) bool."""

    name: str
    photo: Tensor
    classes: Tensor
    valid: Tensor


@dataclass(frozen=True)
class PairFiles:
    """Where a pair lies: two files, or one holding both halves."""

    photo: Path
    label_map: Path


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder.

    Raises:
        TrainingError: that cannot be told.
    """
    with _looking_into(path):
        return path.is_dir()


def with_val(folders: Sequence[Path]) -> tuple[Path, ...]:
    """The folders of pairs that have some held out.

    Raises:
        TrainingError: whether one has cannot be told.
    """
    return tuple(folder for folder in folders if is_folder(folder / "val"))


def label_set_of(folders: tuple[Path, ...]) -> LabelSet:
    """The label set of `palette.json` in one of the folders, else the twelve facade classes.

    Raises:
        TrainingError: a folder cannot be looked into.
        UsageError: as `load_label_set`.
    """
    for folder in folders:
        with _looking_into(folder):
            if (folder / PALETTE_FILE).is_file():
                return load_label_set(folder / PALETTE_FILE)
    return FACADES


def find_pairs(folder: Path, split: str) -> list[PairFiles]:
    """The pairs of one split, sorted by name.

    Understood: `folder/split/` of pictures that hold both halves (the pix2pix archive) or of `NAME.jpg`
    photos beside `NAME.png` label maps (CMP base), and `photos/` beside `labels/` in `folder/split/`. Without
    `folder/train/` all of these for `train` in `folder` itself.

    Raises:
        TrainingError: no such folder, or it cannot be looked into, no pairs in it, or a photo without its
            label map.
    """
    with _looking_into(folder):
        return _pairs_in(folder, split)


@contextmanager
def _looking_into(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(f"cannot be read: {error.strerror}", error.filename or folder) from error


def _pairs_in(folder: Path, split: str) -> list[PairFiles]:
    if not folder.is_dir():
        raise TrainingError("no such folder (expected one with photo and label map pairs)", folder)
    place = folder / split
    if split == "train" and not place.is_dir():
        place = folder
    if (place / "photos").is_dir() or (place / "labels").is_dir():
        return _match(_pictures(place / "photos"), _pictures(place / "labels"), place)
    found = _pictures(place)
    stems: dict[str, list[Path]] = {}
    for path in found:
        stems.setdefault(path.stem, []).append(path)
    if any(len(paths) > 1 for paths in stems.values()):
        label_maps = [path for path in found if path.suffix.lower() == ".png"]
        return _match([path for path in found if path.suffix.lower() != ".png"], label_maps, place)
    if not found:
        raise TrainingError(f"no pairs (expected pictures in {split}/, or in photos/ and labels/)", place)
    return [PairFiles(path, path) for path in found]


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise TrainingError("no such folder (expected one with pictures)", folder)
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in LABEL_MAP_SUFFIXES and not p.name.startswith(".")
    )


def _match(photos: list[Path], label_maps: list[Path], place: Path) -> list[PairFiles]:
    by_stem = {path.stem: path for path in label_maps}
    for photo in photos:
        if photo.stem not in by_stem:
            raise TrainingError("this photo has no label map of the same name", photo)
    if not photos:
        raise TrainingError("no photos beside the label maps", place)
    return [PairFiles(photo, by_stem[photo.stem]) for photo in photos]


def read_label_map(path: Path, label_set: LabelSet) -> labels.LabelMap:
    """Decode one label map.

    Raises:
        TrainingError: it cannot be read.
    """
    try:
        return labels.decode(path, label_set)
    except LabelMapError as error:
        raise TrainingError(error.problem, path) from error


def read_pair(files: PairFiles, label_set: LabelSet) -> Pair:
    """Decode one pair.

    Raises:
        TrainingError: a file cannot be read, or photo and label map differ in size.
    """
    label_map = read_label_map(files.label_map, label_set)
    photo = label_map.photo
    if files.photo != files.label_map:
        try:
            photo = read_picture(files.photo, labels.MAX_PIXELS).rgb()
        except LabelMapError as error:
            raise TrainingError(error.problem, files.photo) from error
    if photo is None:
        raise TrainingError(
            "no photo beside the label map (expected a picture with both halves)", files.photo
        )
    if photo.shape[:2] != label_map.classes.shape:
        size, expected = photo.shape[1::-1], label_map.classes.shape[::-1]
        raise TrainingError(
            f"photo of {size[0]}x{size[1]} beside a label map of {expected[0]}x{expected[1]}", files.photo
        )
    valid = valid_pixels(photo)
    if files.photo == files.label_map:
        # The halves bleed into each other: the pix2pix photos' last column is tinted blue.
        valid[:, :SEAM_PX] = valid[:, -SEAM_PX:] = False
    return Pair(
        files.photo.stem,
        torch.from_numpy(np.array(photo)).permute(2, 0, 1).contiguous(),
        torch.from_numpy(np.array(label_map.classes)),
        torch.from_numpy(valid),
    )


def read_pairs(
    folders: tuple[Path, ...],
    split: str,
    label_set: LabelSet,
    on_read: Callable[[int, int], None] = lambda done, n: None,
) -> list[Pair]:
    """Decode every pair of a split of all folders; `on_read(done, total)` is called after each.

    Raises:
        TrainingError: as `find_pairs` and `read_pair`.
    """
    files = [pair for folder in folders for pair in find_pairs(folder, split)]
    pairs = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for pair in pool.map(lambda f: read_pair(f, label_set), files):
            pairs.append(pair)
            on_read(len(pairs), len(files))
    return pairs


def filled(pairs: list[Pair]) -> list[Pair]:
    """The pairs with something like a photo in place of their wedges.

    Where a photo is not valid its generated picture shows it, too, so there a discriminator takes no side: a
    generator would learn from black wedges that black corners are safe.
    """

    def fill(pair: Pair) -> Pair:
        photo = without_wedges(pair.photo.permute(1, 2, 0).numpy(), pair.valid.numpy())
        return replace(pair, photo=torch.from_numpy(photo).permute(2, 0, 1).contiguous())

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(fill, pairs))


def cut_out(pair: Pair, size_px: int, box: Box | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Photo (3, S, S), classes (S, S) and valid (S, S), as in `Pair`, of a box or the whole, squeezed."""
    top, left, height, width = box or (0, 0, *pair.classes.shape)
    place = (top, left, height, width, [size_px, size_px])
    photo = resized_crop(pair.photo, *place, v2.InterpolationMode.BICUBIC)  # bilinear is softer
    # What v2 does to masks by itself takes the pixel at the upper left of where photos are looked up, so
    # label maps would lie half a pixel off.
    maps = torch.stack([pair.classes, pair.valid.byte()])
    classes, valid = resized_crop(maps, *place, v2.InterpolationMode.NEAREST_EXACT)
    return photo, classes, valid.bool()


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """So many of the rows, evenly spaced and always the same; of fewer, some more than once."""
    return [rows[number * len(rows) // count] for number in range(count)]


def fingerprint(pairs: list[Pair]) -> str:
    """One line that is the same for the same pairs, by their names and pixels, in the same order."""
    named = repr([(pair.name, tuple(pair.classes.shape)) for pair in pairs])
    parts = (part for pair in pairs for part in (pair.photo, pair.classes, pair.valid))
    return digest(named, (part.numpy() for part in parts))


def digest(text: str, arrays: Iterable[NDArray[Any]]) -> str:
    """One line that is the same for the same text and bytes of arrays, whose shapes are to be in the text."""
    found = hashlib.sha256(text.encode(errors="surrogateescape"))
    for array in arrays:
        found.update(array.ravel().data)
    return found.hexdigest()[:16]


def color_sets(pairs: list[Pair], n_classes: int, least: float = 0.0) -> Tensor:
    """The mean color of each class in each pair, float (M, K, 3) in 0..1; gaps come from the nearest.

    least: the part of a picture, 0..1, below which a class counts as a gap.
    """
    means = []
    for pair in pairs:
        # Wedges have no color of their own.
        photo, classes = pair.photo[:, pair.valid].T.numpy(), pair.classes[pair.valid].numpy()
        partial = style.mean_colors(photo, classes, n_classes)
        partial[np.bincount(classes, minlength=n_classes) < least * len(classes)] = np.nan
        means.append(partial)
    measured = np.stack(means)
    return torch.from_numpy(np.stack([style.complete_colors(partial, measured) for partial in means]))


def without_twins(pairs: list[Pair]) -> list[int]:
    """The numbers of the pairs but for those whose photo an earlier one has, in another resolution, say.

    Pairs as they were read: `filled` wedges differ from one resolution to the other.
    """
    small = torch.stack([cut_out(pair, TWIN_PX)[0].float().mean(0).flatten() for pair in pairs])
    alike = torch.corrcoef(small).view(len(pairs), len(pairs)) > TWIN_CORRELATION
    kept: list[int] = []
    for number in range(len(pairs)):
        if not alike[number, kept].any():
            kept.append(number)
    return kept


def usual_sets(sets: Tensor, colored: Tensor, share: float = 0.8, neighbors: int = 10) -> Tensor:
    """The color sets (M, K, 3) that are most like others, so large a share of them, in the same order.

    Among the rest are rare facades, and windows measured on a few dark pixels: on another facade they look
    wrong. Alike: by the distance to the tenth nearest. colored: (K, 1), 0 for classes that are not compared.
    """
    flat = (sets * colored).flatten(1)
    distance = torch.cdist(flat, flat).sort(dim=1).values[:, min(neighbors, len(sets) - 1)]
    chosen = distance.argsort(stable=True)[: max(1, round(share * len(sets)))]
    return sets[chosen.sort().values]


@dataclass(frozen=True)
class Augmentation:
    """How pairs become samples: one joint geometric transform a pair, and other colors for some."""

    size_px: int = 256
    # The part of a picture's area that a crop keeps at least; large pictures go down to their own resolution.
    min_area: float = 0.7
    aspect: float = 1.15
    # The part of the samples of pictures no larger than them that shows those whole, as they are: enlarged
    # crops lack the finest detail, and from them alone a discriminator learns that sharp pictures are wrong.
    as_they_are: float = 0.6
    min_scale: float = 0.8
    # Close-ups are twice as large each way and at about the picture's own resolution, and the generator is
    # shown what lies around them: in small crops borders are always near, which tell a network what is wall
    # and what is sky.
    max_scale: float = 1.15
    other_colors: float = 0.3
    repainted: float = 0.0  # the part of the samples in colors that photos hardly show
    close_up_every: int = 0  # of so many steps one is of close-ups; 0: none

    @property
    def close_up_px(self) -> int:
        return 2 * self.size_px

    @property
    def contexts_px(self) -> tuple[int, ...]:
        """How much of a picture the generator is shown of which a close-up is judged."""
        return self.close_up_px, 3 * self.size_px

    def is_large_enough(self, pair: Pair, context_px: int) -> bool:
        """Whether a pair can show so much at about its own resolution."""
        return min(pair.classes.shape) * self.max_scale >= context_px

    def __call__(self, pair: Pair, context_px: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Photo (3, S, S) uint8, classes (S, S) uint8, valid (S, S) bool; context (C, C) uint8, corner (2,).

        context_px: of a close-up; 0: the sample is none, and its context is itself.
        """
        if context_px:
            photo, context, valid = cut_out(pair, context_px, self._close_up(pair, context_px))
        else:
            photo, context, valid = cut_out(pair, self.size_px, self._crop(pair))
        if torch.rand(()) < 0.5:
            photo, context, valid = photo.flip(-1), context.flip(-1), valid.flip(-1)
        size_px = self.close_up_px if context_px else self.size_px
        corner = torch.randint(context.shape[0] - size_px + 1, (2,))
        rows, columns = (slice(start, start + size_px) for start in corner.tolist())
        return photo[:, rows, columns], context[rows, columns], valid[rows, columns], context, corner

    def _crop(self, pair: Pair) -> Box | None:
        height, width = pair.classes.shape
        native = (self.size_px / self.min_scale) ** 2 / (height * width)
        is_small = native >= self.min_area
        if is_small and torch.rand(()) < self.as_they_are:
            return None
        ratio = width / height if is_small else 1.0
        return self._random_box(pair, min(self.min_area, native), 1.0, ratio)

    def _close_up(self, pair: Pair, context_px: int) -> Box:
        least, most = (
            min(1.0, (context_px / scale) ** 2 / pair.classes.numel())
            for scale in (self.max_scale, self.min_scale)
        )
        # A square of more than that does not fit, and one in the middle would take its place.
        most = max(least, min(most, min(pair.classes.shape) ** 2 / pair.classes.numel()))
        return self._random_box(pair, least, most, 1.0)

    def _random_box(self, pair: Pair, least: float, most: float, ratio: float) -> Box:
        """A box of a part of a picture's area in least..most, `ratio` times as wide as high, give or take."""
        ratios = [ratio / self.aspect, ratio * self.aspect]
        box: Box = v2.RandomResizedCrop.get_params(pair.classes[None], [least, most], ratios)
        return box


class Draw(NamedTuple):
    """Which sample: its number, and for a close-up how much around it the generator is shown, px, else 0."""

    number: int
    context_px: int = 0


class Samples(Dataset[Sample]):
    """Augmented samples by what is drawn: the same whenever and wherever it is."""

    def __init__(
        self,
        pairs: list[Pair],
        sets: Tensor,
        colored: Tensor,
        seed: int,
        augmentation: Augmentation,
        share: Tensor | None = None,
    ) -> None:
        """sets: `color_sets` of the pairs; colored: (K, 1), 0 for classes that no color is asked of.

        share: how often each pair is drawn, relative.
        """
        self.pairs, self.sets, self.colored = pairs, sets, colored
        self.seed, self.augmentation = seed, augmentation
        self.share = torch.ones(len(pairs)) if share is None else share
        self._large: dict[int, list[int]] = {}
        for context_px in augmentation.contexts_px:
            large = [i for i, pair in enumerate(pairs) if augmentation.is_large_enough(pair, context_px)]
            # The same few pictures in every close-up would be learnt by heart.
            if len(large) >= LEAST_LARGE_SHARE * len(pairs):
                self._large[context_px] = large

    def draws(self, step: int, numbers: Sequence[int]) -> list[Draw]:
        """What a process draws for a step: these samples or, now and then, close-ups, one for four of them.

        At least one, so of more processes than a fourth of the batch each still has its own.
        """
        every = self.augmentation.close_up_every
        if not every or not self._large or (step + 1) % every:
            return [Draw(number) for number in numbers]
        contexts_px = list(self._large)
        context_px = contexts_px[step // every % len(contexts_px)]
        # Each is judged on the pixels of four samples.
        return [Draw(number, context_px) for number in numbers[: max(1, len(numbers) // 4)]]

    def __getitem__(self, draw: Draw) -> Sample:
        number, context_px = draw
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix_seeds(self.seed, 4 if context_px else 1, number))
            if context_px:
                large = self._large[context_px]
                i = large[int(torch.randint(len(large), ()))]
            else:
                i = self._pair_of(number)
            pixels = self.augmentation(self.pairs[i], context_px)
            own = torch.rand(()) >= self.augmentation.other_colors
            other = int(torch.randint(len(self.sets), ()))
            repaint = Repaint.draw(self.colored, self.augmentation.repainted)
            return Sample(*pixels, self.sets[i], self.sets[other], own, draw_jitter(), repaint)

    def _pair_of(self, number: int) -> int:
        """Each round of as many samples as pairs draws without replacement, by share."""
        rounds, place = divmod(number, len(self.pairs))
        generator = torch.Generator().manual_seed(mix_seeds(self.seed, 2, rounds))
        # Systematic sampling: everyone gets its share to within one draw.
        edges = self.share.double().cumsum(0) / self.share.sum() * len(self.pairs)
        picks = torch.searchsorted(
            edges, torch.arange(len(self.pairs)) + torch.rand((), generator=generator).double()
        )
        order = torch.randperm(len(self.pairs), generator=generator)
        return int(picks[order[place]].clamp(max=len(self.pairs) - 1))


def mix_seeds(*numbers: int) -> int:
    """One seed of several numbers; neighbours give unrelated streams."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


class _Draws:
    """What process `rank` of `world` draws, step by step from `first_step` on."""

    def __init__(
        self, samples: Samples, first_step: int, steps: int, batch_size: int, rank: int, world: int
    ) -> None:
        self.samples, self.steps = samples, range(first_step, steps)
        self.batch_size, self.rank, self.world = batch_size, rank, world

    def __iter__(self) -> Iterator[list[Draw]]:
        share = self.batch_size // self.world
        for step in self.steps:
            start = step * self.batch_size + self.rank * share
            yield self.samples.draws(step, range(start, start + share))

    def __len__(self) -> int:
        return len(self.steps)


def batches(
    samples: Samples,
    first_step: int,
    steps: int,
    batch_size: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    device: torch.device = CPU,
) -> Iterator[Batch]:
    """The batches of steps `first_step` to `steps`, on a device.

    batch_size: samples a step of all processes.
    """
    loader = DataLoader(
        samples,
        batch_sampler=_Draws(samples, first_step, steps, batch_size, rank, world),
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    for drawn in loader:
        yield develop(drawn, device, drawn.photo.shape[-1] == samples.augmentation.close_up_px)


def whole_batch(pairs: list[Pair], size_px: int, n_classes: int) -> Batch:
    """Whole pictures squeezed to a square, unaugmented, with their own colors: for sample sheets."""
    photos, classes, valid = zip(*(cut_out(pair, size_px) for pair in pairs), strict=True)
    photo, class_map = torch.stack(photos).float().div(127.5).sub(1), torch.stack(classes)
    mask = torch.stack(valid)[:, None]
    means, counts = mean_class_colors(photo, torch.where(mask[:, 0], class_map.int(), n_classes), n_classes)
    colors = torch.where(counts > 0, (means + 1) / 2, torch.full_like(means, 0.5))
    own, corner = torch.ones(len(pairs)), torch.zeros(len(pairs), 2, dtype=torch.int64)
    return Batch(photo, class_map, mask, colors, colors, own, class_map, corner, close_up=False)


def resolution_share(pairs: list[Pair], size_px: int, large_fraction: float) -> Tensor:
    """How often to draw each pair so that larger ones make up that part of what is drawn, close-ups aside."""
    large = torch.tensor([math.prod(pair.classes.shape) > 1.5 * size_px**2 for pair in pairs])
    if large.all() or not large.any():
        return torch.ones(len(pairs))
    return torch.where(large, large_fraction / large.sum(), (1 - large_fraction) / (~large).sum())
