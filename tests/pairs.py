"""Small made-up pairs of photo and label map, in the layout of the pix2pix archive."""

from pathlib import Path

import numpy as np
from PIL import Image

from facadegen import labels
from facadegen.palettes import FACADES

SIZE_PX = 64


def made_up_classes(rng: np.random.Generator, size_px: int = SIZE_PX) -> np.ndarray:
    """A wall with a few windows and a shop under a strip of sky."""
    classes = np.ones((size_px, size_px), np.uint8)
    classes[: size_px // 8] = 0
    classes[-size_px // 6 :] = 11
    for y in range(size_px // 5, size_px * 3 // 4, size_px // 4):
        for x in range(int(rng.integers(4, 8)), size_px - 10, 16):
            classes[y : y + 8, x : x + 8] = 2
    return classes


def made_up_photo(rng: np.random.Generator, classes: np.ndarray) -> np.ndarray:
    """A color a class, and noise."""
    colors = rng.integers(40, 216, (12, 3))
    noise = rng.normal(0, 12, (*classes.shape, 3))
    return (colors[classes] + noise).clip(0, 255).astype(np.uint8)


def save_pairs(folder: Path, count: int, seed: int, size_px: int = SIZE_PX) -> None:
    """Pairs as the pix2pix archive has them: photo left, label map right."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(1, count + 1):
        classes = made_up_classes(rng, size_px)
        halves = [made_up_photo(rng, classes), labels.render(classes, FACADES.palettes[0])]
        Image.fromarray(np.concatenate(halves, axis=1)).save(folder / f"{number}.png")
