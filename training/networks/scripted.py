"""What is exported: a generator, a parser and color sets behind the weights file's uint8 methods."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.glazing import Glazing
from training.networks.neighbors import Neighbors
from training.networks.open_sky import OpenSky
from training.networks.parser import seen_colors
from training.networks.resize import fitted

# A class on fewer of a photo's pixels than this is taken as absent.
PRESENT_FRACTION = 0.004


class ScriptedGenerator(nn.Module):
    """The contract between training and use: uint8 in, uint8 out; scripted as a whole."""

    color_sets: Tensor

    def __init__(
        self,
        network: nn.Module,
        parser: nn.Module,
        color_sets: Tensor,
        parser_size_px: int,
        glazing: Glazing | None = None,
        neighbors: Neighbors | None = None,
        open_sky: OpenSky | None = None,
    ) -> None:
        """color_sets: float (M, K, 3) in 0..1, without gaps.

        parser_size_px: photos are parsed at that size, squeezed to a square, as the parser was trained.
        glazing, neighbors: for networks that can draw classes as others; open_sky: beside neighbors.
        """
        super().__init__()
        self.network = network
        self.parser = parser
        self.glazing = glazing
        self.neighbors = neighbors
        self.open_sky = open_sky
        self.register_buffer("color_sets", color_sets)
        self.parser_size_px: Final[int] = parser_size_px
        self.present_fraction: Final[float] = PRESENT_FRACTION

    def forward(self, classes: Tensor, colors: Tensor, top: int = 0, left: int = 0) -> Tensor:
        """Pictures, uint8 (N, 3, H, W).

        classes: uint8 (N, H, W), H and W multiples of the stride; colors: float32 (N, K, 3) in 0..1; top,
        left: this tile's place in the whole picture, px. Tiles are cut from what `prepare` has made of it.
        """
        if self.glazing is None and self.neighbors is None:
            picture = self.network(classes, colors, top, left)
        else:
            prepared, shown = self._prepared(classes, colors)
            drawn_as = self.glazing(prepared, left) if self.glazing is not None else None
            if self.neighbors is not None and shown.size(1) > self.color_sets.size(1):
                drawn_as = self.neighbors.as_walls(prepared if drawn_as is None else drawn_as)
            picture = self.network(prepared, shown, top, left, drawn_as)
        # In place: the network's last layers cost memory traffic more than arithmetic.
        return picture.mul_(127.5).add_(128).clamp_(0, 255).to(torch.uint8)

    @torch.jit.export
    def prepare(self, classes: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` makes pictures of: maps in which is written what only the whole of them tells.

        classes, colors: as `forward` has them, of whole maps. Neighbors' walls, in large ones, are classes of
        their own, in the rows of colors from K on. Of those there is one at least: by that, what has been
        prepared is known, and returned as it is.
        """
        if self.neighbors is None:
            return classes, colors
        prepared, shown = self._prepared(classes, colors)
        more = 0 if shown.size(1) > self.color_sets.size(1) else 1
        return prepared, F.pad(shown, [0, 0, 0, more])

    def _prepared(self, classes: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
        """As `prepare`, but that there may be no more than K rows of colors.

        `ColoredMap.in_use` does the same for networks that learn; what is scripted cannot be handed
        a network, so there is no function for both.
        """
        if self.neighbors is None or colors.size(1) > self.color_sets.size(1):
            return classes, colors
        prepared, shown = classes, colors
        if self.open_sky is not None:
            prepared, shown = self.open_sky(classes, colors)
        if not self.neighbors.are_looked_for(prepared):
            return prepared, shown
        far = self.neighbors.from_afar(prepared)
        return self.neighbors(prepared, shown, far, self.network(far, shown, 0, 0).clamp(-1, 1))

    @torch.jit.export
    def estimate_colors(self, photo: Tensor) -> Tensor:
        """The mean color of each class in photos, uint8 (N, 3, H, W): float32 (N, K, 3) in 0..1.

        Classes that the parser does not find get the color they have in the color set nearest by those it
        finds.
        """
        small = fitted(photo.float() / 255, self.parser_size_px)
        dtype = self.color_sets.dtype
        logits = self.parser((small * 2 - 1).to(dtype)).float()
        found, mass = seen_colors(logits, small)
        present = mass > self.present_fraction * logits[0, 0].numel()  # (N, K, 1)
        sets = self.color_sets.float()
        distance = ((sets[None] - found[:, None]).square() * present[:, None]).sum((2, 3))  # (N, M)
        nearest = sets[distance.argmin(1)]
        return torch.where(present, found, nearest)
