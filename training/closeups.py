"""How pictures larger than the native size look at their own resolution: crops of them, judged as a set."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from facadegen.errors import TrainingError
from facadegen.generator import Generator
from facadegen.style import complete_colors, mean_colors
from training import metrics
from training.data import Pair
from training.judge import Pictures
from training.metrics import Estimate, Features

N_CROPS = 4  # of each picture
LEAST_PAIRS = 10  # fewer in halves, and a draw of them may be of one picture alone
_MIN_VALID = 0.9  # of a crop's pixels: wedges say nothing
_TRIES = 100

Picture = NDArray[np.uint8]  # (H, W, 3)
Corners = list[tuple[int, int]]


class CloseUps:
    """Crops at fixed random places of the pairs that are large enough for them.

    Raises:
        TrainingError: there are too few such pairs.
    """

    def __init__(
        self, features_of: Callable[[Pictures], Features], pairs: list[Pair], size_px: int, seed: int = 0
    ) -> None:
        """features_of: the features (N, D) of pictures (N, S, S, 3), where S is `size_px`."""
        rng = np.random.default_rng(seed)
        self._features_of, self._size_px, self._seed = features_of, size_px, seed
        self.pairs: list[Pair] = []
        self._corners: list[Corners] = []
        for pair in pairs:
            corners = _corners(pair, size_px, rng)
            if len(corners) == N_CROPS:
                self.pairs.append(pair)
                self._corners.append(corners)
        if len(self.pairs) < LEAST_PAIRS:
            size, found = f"{size_px}x{size_px}", len(self.pairs)
            raise TrainingError(f"has {found} val pairs of more than {size}, close-ups need {LEAST_PAIRS}")
        self.photos = [pair.photo.permute(1, 2, 0).numpy() for pair in self.pairs]
        self._real = self._features(self.photos)

    def of_halves(self) -> Estimate:
        """What real photos score: KID between random halves of them."""
        return metrics.kid_of_halves(self._real, seed=self._seed)

    def of_blurred(self, radius_px: float = 2.0) -> Estimate:
        """What the photos score, out of focus."""
        blur = ImageFilter.GaussianBlur(radius_px)
        return self.score(np.asarray(Image.fromarray(photo).filter(blur)) for photo in self.photos)

    def of_generator(
        self, generator: Generator, choose: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None
    ) -> Estimate:
        """What a generator scores, in the photos' own colors, or those that `choose` gives a label map."""
        return self.score(
            generator.generate(
                pair.classes.numpy()[None],
                (choose(pair.classes.numpy()) if choose else own_colors(pair, generator.color_sets))[None],
            )[0]
            for pair in self.pairs
        )

    def score(self, pictures: Iterable[Picture]) -> Estimate:
        """KID of the crops of pictures for these pairs' label maps, against those of the photos."""
        return metrics.kid(self._real, self._features(pictures), self._seed, paired=True)

    def _features(self, pictures: Iterable[Picture]) -> Features:
        """(P, N_CROPS, D), with the photos' wedges, which so do not count."""
        found = []
        for picture, photo, pair, corners in zip(
            pictures, self.photos, self.pairs, self._corners, strict=True
        ):
            shown = np.where(pair.valid.numpy()[..., None], picture, photo)
            crops = [shown[y : y + self._size_px, x : x + self._size_px] for y, x in corners]
            found.append(self._features_of(np.stack(crops)))
        return np.stack(found)


def own_colors(pair: Pair, color_sets: NDArray[np.float32]) -> NDArray[np.float32]:
    """The colors (K, 3) of a pair's photo, completed as the tool completes them; wedges do not count."""
    photo, classes = pair.photo[:, pair.valid].T.numpy(), pair.classes[pair.valid].numpy()
    return complete_colors(mean_colors(photo, classes, color_sets.shape[1]), color_sets)


def _corners(pair: Pair, size_px: int, rng: np.random.Generator) -> Corners:
    """Random places where the photo is valid; none where a crop would be all there is of the picture."""
    rows, columns = (side - size_px for side in pair.classes.shape)
    if min(rows, columns) < 0 or not max(rows, columns):
        return []
    valid = pair.valid.numpy()
    tried = [(int(rng.integers(rows + 1)), int(rng.integers(columns + 1))) for _ in range(_TRIES)]
    fits = [(y, x) for y, x in tried if valid[y : y + size_px, x : x + size_px].mean() >= _MIN_VALID]
    return fits[:N_CROPS]
