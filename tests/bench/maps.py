"""Label maps to measure with: made-up facades in the colors of a palette, each one different."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facadegen.palettes import FACADES

BACKGROUND, FACADE, WINDOW, DOOR, CORNICE, SILL, BALCONY, BLIND, DECO, MOLDING, PILLAR, SHOP = range(12)
_COLORS = np.array(FACADES.palettes[0].colors, np.uint8)


def draw_map(size_px: int, seed: int) -> npt.NDArray[np.uint8]:
    """The class map (size_px, size_px) of a facade: floors of windows, a cornice, shops and a door."""
    rng = np.random.default_rng(seed)
    classes = np.full((256, 256), BACKGROUND, np.uint8)
    left, right, top = int(rng.integers(0, 30)), 256 - int(rng.integers(0, 30)), int(rng.integers(8, 50))
    classes[top:, left:right] = FACADE
    classes[top : top + 8, left:right] = CORNICE
    classes[top + 10 : top + 13, left:right] = MOLDING
    floors, columns = int(rng.integers(2, 6)), int(rng.integers(3, 9))
    floor_px, column_px = (200 - top) // floors, (right - left) // columns
    for floor in range(floors):
        for column in range(columns):
            y, x = top + 18 + floor * floor_px, left + column * column_px + column_px // 4
            _draw_window(classes, y, x, floor_px * 6 // 10, column_px // 2, rng)
    classes[212:256, left + 4 : right - 4] = SHOP if rng.random() < 0.6 else FACADE
    door = rng.integers(left + 10, right - 30)
    classes[214:256, door : door + 18] = DOOR
    if rng.random() < 0.3:
        classes[top + 13 :, left : left + 6] = classes[top + 13 :, right - 6 : right] = PILLAR
    places = np.arange(size_px) * 256 // size_px
    return classes[places[:, None], places]


def save_maps(folder: Path, count: int, size_px: int = 256) -> Path:
    """The folder, now with so many label maps of that size in it: PNG, RGB, in the pix2pix palette."""
    folder.mkdir(parents=True)
    for number in range(count):
        picture = Image.fromarray(_COLORS[draw_map(size_px, number)])
        picture.save(folder / f"{number:05}.png", compress_level=1)
    return folder


def link_maps(folder: Path, source: Path, count: int) -> Path:
    """The folder, now with so many names for the label maps in another one."""
    folder.mkdir(parents=True)
    maps = sorted(source.iterdir())
    for number in range(count):
        os.link(maps[number % len(maps)], folder / f"{number:05}.png")
    return folder


def _draw_window(
    classes: npt.NDArray[np.uint8], y: int, x: int, height: int, width: int, rng: np.random.Generator
) -> None:
    classes[y : y + height, x : x + width] = WINDOW
    classes[y - 3 : y, x - 1 : x + width + 1] = DECO
    classes[y + height : y + height + 2, x - 1 : x + width + 1] = SILL
    if rng.random() < 0.3:
        classes[y + height * 2 // 3 : y + height + 2, x - 3 : x + width + 3] = BALCONY
    if rng.random() < 0.3:
        classes[y : y + height // 2, x : x + width] = BLIND
