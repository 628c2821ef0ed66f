"""The contact sheet: the same val label maps in every evaluation, to look at."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from training.judge import Pictures

GAP_PX = 4
CAPTION_PX = 18
MARGIN_PX = 40


def contact_sheet(columns: Mapping[str, Pictures], captions: Sequence[str]) -> Image.Image:
    """A sheet with a column of pictures (N, S, S, 3) for each name, a row for each of N captions."""
    sizes = {pictures.shape[:3] for pictures in columns.values()}
    (n, height, width) = sizes.pop()
    if sizes or n != len(captions):
        raise ValueError("every column needs one picture a caption, all of one size")
    step_x, step_y = width + GAP_PX, height + GAP_PX
    size = (MARGIN_PX + len(columns) * step_x, CAPTION_PX + n * step_y)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for x, (name, pictures) in enumerate(columns.items()):
        left = MARGIN_PX + x * step_x
        draw.text((left + 2, 3), name, fill="black")
        for y, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, CAPTION_PX + y * step_y))
    for y, caption in enumerate(captions):
        draw.text((2, CAPTION_PX + y * step_y + 2), caption[:5], fill="black")
    return sheet
