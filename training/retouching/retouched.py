"""A picture as it should be, and what of it matters."""

from typing import NamedTuple

import torch
from torch import Tensor

ANY_TEXTURE = 0.25  # the weight of pixels where another texture of the same kind would do as well


class Retouched(NamedTuple):
    """What is to be learnt of a map.

    picture: (1, 3, H, W) in -1..1; weight: (1, 1, H, W), of each pixel, 1 where it is to stay as it is;
    loose: (1, 1, H, W) in 0..1, where another texture would do as well.
    """

    picture: Tensor
    weight: Tensor
    loose: Tensor

    @classmethod
    def as_is(cls, picture: Tensor) -> "Retouched":
        """A picture (1, 3, H, W) of which all pixels count alike."""
        return cls.by_pixel(picture, torch.ones_like(picture[:, :1]))

    @classmethod
    def by_pixel(cls, picture: Tensor, weight: Tensor) -> "Retouched":
        """A picture (1, 3, H, W) whose pixels have weights (1, 1, H, W)."""
        return cls(picture, weight, torch.zeros_like(weight))

    @classmethod
    def of_any_texture(cls, picture: Tensor, loose: Tensor) -> "Retouched":
        """A picture (1, 3, H, W) of which single pixels hardly count where the mask, (1, 1, H, W) in 0..1,
        is 1."""
        return cls(picture, 1 - (1 - ANY_TEXTURE) * loose, loose)

    def then(self, other: "Retouched") -> "Retouched":
        """What is to be learnt once the other one has been made of this one's picture."""
        weight = (self.weight + other.weight - 1).clamp(min=0)
        return Retouched(other.picture, weight, torch.maximum(self.loose, other.loose))
