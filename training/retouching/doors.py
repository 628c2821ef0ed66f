"""Doors without a keyhole in them: in small pictures a generator can learn them from its own larger ones.

Of photos as small as those that it was trained at a generator has learnt that what is dark, arched and lit at
its top is a door, and paints one such arch, always the same, into every door. In larger pictures doors are
drawn with panes, as windows are. So it learns from itself: doors as they are in a larger picture of the same
map, made smaller; all else as it was.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from training.retouching.colored_maps import ColoredMap
from training.retouching.parts import Parts
from training.retouching.retouched import Retouched

NEAR_SIZE = 3.0  # about how large the larger picture is, of the size that the generator was trained at
DOOR_WEIGHT = 8.0  # of doors, beside all that is to stay as it is


def retouched(picture: Tensor, drawn: ColoredMap, before: nn.Module, parts: Parts) -> Retouched:
    """A picture (1, 3, H, W) in -1..1 that `before` makes of a map, with the doors of a larger one."""
    times = round(NEAR_SIZE * parts.native_size_px / max(picture.shape[2:]))
    if parts.glazing is None or times < 2:
        return Retouched.as_is(picture)
    is_door = (drawn.classes == parts.glazing.door)[:, None].float()
    if not is_door.any():
        return Retouched.as_is(picture)
    near = before(*drawn.enlarged(times).glazed(parts.glazing)).clamp(-1, 1)
    near = F.avg_pool2d(near, times)
    # Features count there, too: by pixels alone, panes and panels, elsewhere in each door, end as a board.
    return Retouched(picture.lerp(near, is_door), 1 + (DOOR_WEIGHT - 1) * is_door, loose=is_door)
