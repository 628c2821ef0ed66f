"""Wedges: the black or grey corners that rectification left in photos; no loss may see them."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# JPEG noise around a flat corner, levels of 255.
_TOLERANCE = 10
_MIN_FRACTION = 0.001
_GREY_SPREAD = 12
# Corners are looked at a little inside: where two halves of a picture meet, each bleeds into the other.
_INSET_PX = 2


def valid_pixels(photo: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a photo shows something: bool (H, W), False in flat black or grey wedges at the corners.

    photo: uint8 (H, W, 3). A wedge is a connected area that touches the border, of the nearly constant color
    of a corner, which is grey, on at least a thousandth of the picture.
    """
    h, w = photo.shape[:2]
    valid = np.ones((h, w), bool)
    top, left = min(_INSET_PX, h - 1), min(_INSET_PX, w - 1)
    for y, x in ((top, left), (top, w - 1 - left), (h - 1 - top, left), (h - 1 - top, w - 1 - left)):
        corner = photo[y, x].astype(np.int16)
        # A bright corner is sky, not a wedge.
        if not valid[y, x] or corner.max() - corner.min() > _GREY_SPREAD or corner.max() > 200:
            continue
        near = np.abs(photo.astype(np.int16) - corner).max(2) <= _TOLERANCE
        regions, _ = ndimage.label(near)
        wedge = regions == regions[y, x]
        if wedge.sum() >= _MIN_FRACTION * h * w:
            # Resampling leaves a dark fringe one or two pixels wide.
            valid &= ~ndimage.binary_dilation(wedge, iterations=2)
    return valid
