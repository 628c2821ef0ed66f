"""Wedges: the black or grey corners that rectification left in photos; no loss may see them, and no judge."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# JPEG noise around a flat corner, levels of 255.
_TOLERANCE = 10
_MIN_FRACTION = 0.001
_GREY_SPREAD = 12
# Corners are looked at a little inside: where two halves of a picture meet, each bleeds into the other.
_INSET_PX = 2
# Grey wedges were painted over black ones and leave a rim of them, so wide at most, of the shorter side.
_RIM = 0.03
_BLACK = 48
_BLUR = 0.06  # of the shorter side, too


def valid_pixels(photo: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a photo shows something: bool (H, W), False in flat black or grey wedges at the corners.

    photo: uint8 (H, W, 3). A wedge is a connected area that touches the border, of the nearly constant color
    of a corner, which is grey, on at least a thousandth of the picture; a black rim around it belongs to it.
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
            wedge = ndimage.binary_dilation(wedge, iterations=2)
            if corner.max() > _BLACK:
                near = ndimage.distance_transform_edt(~wedge) <= _RIM * min(h, w)
                wedge = ndimage.binary_propagation(wedge, mask=wedge | near & (photo.max(2) <= _BLACK))
                wedge = ndimage.binary_dilation(wedge, iterations=2)
            valid &= ~wedge
    return valid


def without_wedges(photo: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The photo, uint8 (H, W, 3), with the nearest colors, blurred, in place of its wedges.

    valid: bool (H, W), where the photo shows something.
    """
    if valid.all() or not valid.any():
        return photo
    rows, columns = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    blurred, side = photo[rows, columns], round(_BLUR * min(valid.shape)) + 1
    for _ in range(3):  # nearly a Gaussian, and much faster
        blurred = ndimage.uniform_filter(blurred, (side, side, 1))
    return np.where(valid[..., None], photo, blurred)
