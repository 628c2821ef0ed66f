"""Neighbors' walls, which a large map's generator finds in a small picture of the same map.

Label maps call sky, roofs, neighbors and the street one class. Where surroundings are wide and blank, a
generator at a large picture's own resolution cannot see whether they are sky or wall, so it paints half of
both: a white patch of sky in the middle of a wall. The same map at about the size that the generator was
trained at shows it whole, and there it chooses well. So it makes a small picture first. What is wall in
that, beside the building, is told to be wall in the large one, in the small one's color.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.filters import blurred, gaussian, in_sky_colors, median, narrowed, widened
from training.networks.resize import sized

# In pictures in -1..1, of about the size that a generator was trained at; px are theirs, shares of a side.
SMOOTH_PX = 2  # standard deviation of what colors are told by
LEAST_SKY = 0.02  # of a picture, or there is none
ROWS_SHARE, LITTLE_SKY = 0.12, 0.02  # the standard deviation of its color down the rows; of rows, least sky
LEAST_WALL, GAP_PX = 0.1, 12  # of a column that is the building's, and what is no gap between such columns
LEAST_WIDTH_PX = 4  # of a neighbor
BODY = (0.4, 0.8)  # from where to where down the picture a neighbor shows its color
LEAST_CONTRAST, PALE_CONTRAST = 0.1, 0.2  # between it and the sky: of pale ones, and of all others at least
LEAST_SHARE = 0.25  # of a neighbor that is not pale is unlike the sky
LEAST_TOP_PX, LOWEST_TOP = 3, 0.7  # where rooflines can be; the latter of a picture's height
OVER_LABELS_PX = 5  # how far above what is labelled in it a neighbor reaches at least

MOST_IDS = 256  # of classes and neighbors together
LEAST_SIZE = 2  # of pictures whose neighbors are looked for in smaller ones, of the size trained at
EDGE_PX = 2  # how far edges in the smaller picture may be off
MOST_AROUND = 0.98  # of a row that still is the building's, down to the street


class Neighbor(NamedTuple):
    """A neighbor in a picture: its columns, the row of its roofline, 0 if it reaches the upper edge, and its
    walls' color (3,) in -1..1."""

    left: int
    right: int
    roofline: int
    color: Tensor


class Neighbors(nn.Module):
    """Tells neighbors' walls from the rest of the surroundings, in large maps."""

    def __init__(
        self, class_count: int, wall: int, surroundings: int, native_size_px: int, stride: int
    ) -> None:
        """class_count: K; wall, surroundings: ids of classes; native_size_px: that the generator was trained
        at."""
        super().__init__()
        self.class_count: Final[int] = class_count
        self.wall: Final[int] = wall
        self.surroundings: Final[int] = surroundings
        self.native_size_px: Final[int] = native_size_px
        self.stride: Final[int] = stride
        self.least_size_px: Final[int] = LEAST_SIZE * native_size_px
        self.least_wall: Final[float] = LEAST_WALL
        self.most_around: Final[float] = MOST_AROUND
        self.smooth_px: Final[int] = SMOOTH_PX
        self.edge_px: Final[int] = EDGE_PX

    @classmethod
    def of(cls, classes: Sequence[str], native_size_px: int, stride: int) -> Self | None:
        """For classes of these names; None if some are missing, or if ids of neighbors beside theirs would
        not fit into a byte."""
        most_neighbors = max(native_size_px, 2 * stride) // (LEAST_WIDTH_PX + 1) + 1
        if not {"facade", "background"} <= set(classes) or len(classes) + most_neighbors > MOST_IDS:
            return None
        wall, surroundings = classes.index("facade"), classes.index("background")
        return cls(len(classes), wall, surroundings, native_size_px, stride)

    def are_looked_for(self, classes: Tensor) -> bool:
        """Whether class maps (N, H, W) are so large that neighbors are not plain to see in them, and one has
        surroundings."""
        # All of its pixels: a tile of a map without any must not find some.
        return max(classes.size(1), classes.size(2)) >= self.least_size_px and bool(
            (classes == self.surroundings).any()
        )

    def as_walls(self, classes: Tensor) -> Tensor:
        """Class maps (N, H, W) with neighbors' walls as all other walls."""
        return classes.masked_fill(classes >= self.class_count, self.wall)

    def from_afar(self, classes: Tensor) -> Tensor:
        """Whole class maps, uint8 (N, H, W), as (N, h, w): as large as the generator was trained at, both
        sides multiples of the stride."""
        return sized(classes, self.native_size_px, self.stride)

    def forward(
        self, classes: Tensor, colors: Tensor, far_classes: Tensor, far: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The class maps with neighbors' walls, and the colors with those of the walls.

        classes: uint8 (N, H, W), whole maps of K classes; the walls have ids from K on. colors: (N, K, 3) in
        0..1; there are more rows than K. far_classes, far: (N, h, w) and (N, 3, h, w) in -1..1, the maps from
        further away and their pictures.
        """
        count, height, width = classes.shape
        found = [self._seen(far_classes[i : i + 1], far[i : i + 1]) for i in range(count)]
        most = max([len(each) for each in found] + [1])
        prepared, walls = classes.clone(), colors.new_zeros(count, most, 3)
        down, across = height / far.size(2), width / far.size(3)
        margin = int(self.edge_px * across + 0.5)
        for i in range(count):
            few_walls = (classes[i] == self.wall).sum(0) < self.least_wall * height  # (W,)
            # Walls end where the building does; without one, there is nothing to be beside.
            around = (classes[i] == self.surroundings).sum(1)  # (H,)
            with_building = (around < self.most_around * width).nonzero()
            bottom = int(with_building.max()) + 1 if len(with_building) else 0
            for number, neighbor in enumerate(found[i]):
                left, right = int(neighbor.left * across + 0.5), int(neighbor.right * across + 0.5)
                outer, beyond = max(0, left - margin), right + margin
                its_own = few_walls[outer:beyond].clone()
                its_own[left - outer : right - outer] = True
                there = prepared[i, int(neighbor.roofline * down + 0.5) : bottom, outer:beyond]
                there.masked_fill_((there == self.surroundings) & its_own, self.class_count + number)
                walls[i, number] = (neighbor.color + 1) / 2
        return prepared, torch.cat([colors, walls], dim=1)

    def _seen(self, classes: Tensor, picture: Tensor) -> list[Neighbor]:
        """The neighbors in the picture (1, 3, h, w) of a map (1, h, w)."""
        around = (classes == self.surroundings)[:, None].to(picture)
        walls = (classes == self.wall)[:, None].to(picture)
        room = around.cummin(2).values
        smooth = blurred(picture, around, self.smooth_px)
        return neighbors_in(smooth, around, room, color_of_sky(smooth, room), columns_beside(walls, room))


def color_of_sky(
    smooth: Tensor,
    room: Tensor,
    least_sky: float = LEAST_SKY,
    rows_share: float = ROWS_SHARE,
    little: float = LITTLE_SKY,
) -> Tensor | None:
    """The mean color of the sky in each row and those near it, (1, 3, H, 1); None if there is too little.

    smooth: a picture (1, 3, H, W) in -1..1, blurred; room: (1, 1, H, W), 1 where there may be sky.
    """
    sky, light = room * in_sky_colors(smooth), smooth.mean(1, keepdim=True)
    if bool(sky.mean() < least_sky):
        return None
    # The lighter half: the other has what clouds are seen by, and haze.
    sky = sky * (light >= median(light, sky))
    rows = torch.cat([smooth * sky, sky], dim=1).mean(3, keepdim=True)
    deviation_px = max(1, int(rows_share * smooth.shape[2] + 0.5))
    near = gaussian(rows, deviation_px) + little * rows.mean(2, keepdim=True)
    return near[:, :3] / near[:, 3:]


def columns_beside(
    walls: Tensor, room: Tensor, least_wall: float = LEAST_WALL, gap_px: int = GAP_PX
) -> Tensor:
    """1 for the columns (1, 1, 1, W) that are not the building's, or have nothing but room.

    walls, room: (1, 1, H, W), 1 for walls, and where there may be sky.
    """
    building = (walls.mean(2, keepdim=True) >= least_wall).to(walls)
    return torch.maximum(1 - narrowed(widened(building, gap_px), gap_px), room[:, :, -1:])


def neighbors_in(
    smooth: Tensor,
    around: Tensor,
    room: Tensor,
    sky_color: Tensor | None,
    beside: Tensor,
    body_rows: tuple[float, float] = BODY,
    least_width_px: int = LEAST_WIDTH_PX,
    lowest_top: float = LOWEST_TOP,
) -> list[Neighbor]:
    """What is beside the building, is unlike the sky and not all sky; all of it, where there is no sky.

    smooth: a picture (1, 3, H, W) in -1..1, blurred; around, room: (1, 1, H, W), 1 for surroundings, and for
    those that have nothing else above; sky_color: (1, 3, H, 1); beside: (1, 1, 1, W), 1 beside the building.
    """
    found: list[Neighbor] = []
    height = smooth.shape[2]
    upper, lower = int(body_rows[0] * height + 0.5), int(body_rows[1] * height + 0.5)
    from_to: list[list[int]] = F.pad(beside.flatten(), [1, 1]).diff().nonzero().view(-1, 2).tolist()
    for left, right in from_to:
        body = smooth[0, :, upper:lower, left:right][:, around[0, 0, upper:lower, left:right] > 0]
        neighbor: Neighbor | None = None
        if right - left >= least_width_px and body.shape[1] > 0:
            if sky_color is None:
                neighbor = Neighbor(left, right, 0, body.median(1).values)
            else:
                neighbor = _below_sky(left, right, body, smooth, room, sky_color)
        if neighbor is not None and neighbor.roofline <= lowest_top * height:
            found.append(neighbor)
    return found


def _below_sky(
    left: int, right: int, body: Tensor, smooth: Tensor, room: Tensor, sky_color: Tensor
) -> Neighbor | None:
    """The neighbor in columns whose body shows pixels (3, M); None if that is sky. All else as above."""
    color = _color_of_wall(body, sky_color[0, :, : smooth.shape[2] // 2].mean((1, 2)))
    if color is not None:
        of_sky = share_of_sky(smooth[:, :, :, left:right], color.view(1, 3, 1, 1), sky_color)
        return Neighbor(left, right, _roofline(of_sky, room[:, :, :, left:right]), color)
    return None


def _color_of_wall(
    body: Tensor,
    over: Tensor,
    least_contrast: float = LEAST_CONTRAST,
    pale_contrast: float = PALE_CONTRAST,
    least_share: float = LEAST_SHARE,
) -> Tensor | None:
    """The color (3,) of a neighbor that shows pixels (3, M) below a sky of color (3,); None if it is sky."""
    color = body.median(1).values
    contrast = _off(color, over)
    if least_contrast <= contrast and contrast < pale_contrast:
        return color
    # Of what is not pale, all that is unlike the sky, for there may be holes and fog in it.
    solid = (body - over[:, None]).abs().mean(0) >= pale_contrast
    return body[:, solid].median(1).values if float(solid.float().mean()) >= least_share else None


def _roofline(
    of_sky: Tensor, room: Tensor, least_top_px: int = LEAST_TOP_PX, over_labels_px: int = OVER_LABELS_PX
) -> int:
    """The row from which on a neighbor is not mostly sky; 0 if that is next to the upper edge.

    of_sky, room: (1, 1, H, W) of its columns, how much of each pixel is sky, and 1 where there may be sky.
    """
    clear_px = int(room.sum(2).min())
    roofline = 0
    if clear_px > 0:
        sure = (of_sky[0, 0, :clear_px].mean(1) > 0.5).int()
        roofline = int(sure.cummin(0).values.sum())
    if clear_px < room.shape[2]:
        roofline = min(roofline, clear_px - over_labels_px)
    return roofline if roofline >= least_top_px else 0


def share_of_sky(pictures: Tensor, wall_color: Tensor, sky_color: Tensor) -> Tensor:
    """How much of each pixel of pictures (N, 3, H, W) is sky, (N, 1, H, W): 0 in the one color, 1 in the
    other."""
    way = sky_color - wall_color
    length = way.square().sum(1, keepdim=True).clamp(min=1e-6)
    return ((pictures - wall_color) * way).sum(1, keepdim=True) / length


def _off(color: Tensor, other: Tensor) -> float:
    return float((color - other).abs().mean())
