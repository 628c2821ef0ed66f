"""torchvision, importable also beside a CPU build of torch.

A torchvision wheel built for CUDA cannot load its compiled operators beside a CPU torch and then fails at
import because it describes two of them. Training needs none of them: declaring their signatures first, only
where they are missing, lets `transforms.v2` and `utils` work.
"""

import torch
from torch import library

_SIGNATURES = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def _declare_missing_operators() -> library.Library:
    declarations = library.Library("torchvision", "FRAGMENT")
    for name, signature in _SIGNATURES.items():
        if not hasattr(torch.ops.torchvision, name):
            declarations.define(f"{name}{signature}")
    return declarations


try:
    import torchvision
except RuntimeError:
    # The declarations live as long as this object does.
    _declarations = _declare_missing_operators()
    import torchvision

from torchvision.transforms import v2  # noqa: E402
from torchvision.transforms.v2.functional import resized_crop  # noqa: E402
from torchvision.utils import make_grid  # noqa: E402

__all__ = ["make_grid", "resized_crop", "torchvision", "v2"]
