"""How pictures larger than the native size look at their own resolution: crops of them, judged as a set."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facadegen.generator import Generator
from facadegen.style import pair_colors
from training import metrics
from training.data import Pair
from training.gallery import blurred
from training.judge import Pictures
from training.metrics import Estimate, Features

N_CROPS = 4  # of each picture
_MIN_VALID = 0.9  # of a crop's pixels: wedges say nothing
_TRIES = 100

Picture = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True, eq=False)
class Crops:
    """Where to look at a pair: the upper left corners of squares of `size_px`."""

    pair: Pair
    corners: tuple[tuple[int, int], ...]
    size_px: int

    @property
    def photo(self) -> Picture:
        """The whole photo, (H, W, 3)."""
        return self.pair.photo.permute(1, 2, 0).numpy()

    def cut(self, picture: Picture) -> Pictures:
        """The crops (N_CROPS, S, S, 3) of a picture (H, W, 3), with the photo's wedges."""
        shown = np.where(self.pair.valid.numpy()[..., None], picture, self.photo)
        return np.stack([shown[y : y + self.size_px, x : x + self.size_px] for y, x in self.corners])


def choose_crops(pairs: Iterable[Pair], size_px: int, seed: int = 0) -> list[Crops]:
    """Random places in the pairs that are larger than that, where their photos are valid."""
    rng = np.random.default_rng(seed)
    chosen = []
    for pair in pairs:
        rows, columns = (side - size_px for side in pair.classes.shape)
        if min(rows, columns) < 0 or not max(rows, columns):
            continue
        valid = pair.valid.numpy()
        tried = [(int(rng.integers(rows + 1)), int(rng.integers(columns + 1))) for _ in range(_TRIES)]
        fits = [(y, x) for y, x in tried if valid[y : y + size_px, x : x + size_px].mean() >= _MIN_VALID]
        if len(fits) >= N_CROPS:
            chosen.append(Crops(pair, tuple(fits[:N_CROPS]), size_px))
    return chosen


class CloseUps:
    """Scores sets of pictures by their crops, beside those of the photos."""

    def __init__(
        self, features_of: Callable[[Pictures], Features], crops: Sequence[Crops], seed: int = 0
    ) -> None:
        """features_of: the features (N, D) of pictures (N, S, S, 3)."""
        self._features_of, self.crops, self._seed = features_of, crops, seed
        self._real = self._features(each.photo for each in crops)

    def of_halves(self) -> Estimate:
        """What real photos score: KID between random halves of them."""
        return metrics.kid_of_halves(self._real, seed=self._seed)

    def of_blurred(self) -> Estimate:
        """What the photos score, out of focus."""
        return self.score(blurred(each.photo) for each in self.crops)

    def of_generator(
        self, generator: Generator, choose: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None
    ) -> Estimate:
        """What a generator scores, in the photos' own colors, or those that `choose` gives a label map."""

        def made(crops: Crops) -> Picture:
            classes, valid = crops.pair.classes.numpy(), crops.pair.valid.numpy()
            colors = choose(classes) if choose else pair_colors(crops.photo[valid], classes[valid], generator)
            picture: Picture = generator.generate(classes[None], colors[None])[0]
            return picture

        return self.score(made(each) for each in self.crops)

    def score(self, pictures: Iterable[Picture]) -> Estimate:
        """KID of the crops of pictures for these pairs' label maps, against those of the photos."""
        return metrics.kid(self._real, self._features(pictures), self._seed, paired=True)

    def _features(self, pictures: Iterable[Picture]) -> Features:
        """(P, N_CROPS, D)."""
        cut = (crops.cut(picture) for crops, picture in zip(self.crops, pictures, strict=True))
        return np.stack([self._features_of(crops) for crops in cut])
