"""Networks: shapes, and what the weights file's contract promises of them."""

import pytest
import torch
from operators import OLD_OPERATORS
from torch import nn

from facadegen.palettes import FACADES
from facadegen.torchscript import quiet
from training.networks.features import ProjectedFeatures
from training.networks.glazing import Glazing
from training.networks.lean_unet import (
    LeanUNet,
    UpConvolution,
    UpPatches,
    folded,
    load_folded,
    periodic_noise,
)
from training.networks.neighbors import Neighbors
from training.networks.open_sky import OpenSky
from training.networks.parser import FacadeParser
from training.networks.pix2pix_unet import Pix2PixUNet
from training.networks.scripted import ScriptedGenerator
from training.recipes import RECIPES, colored_classes

COLORED = colored_classes(FACADES)


def lively(network: nn.Module) -> nn.Module:
    """In eval mode, with weights and statistics that let everything through to the output."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return network.eval().requires_grad_(False)


def small_lean() -> LeanUNet:
    network = lively(LeanUNet(COLORED, widths=(8, 8, 8, 8), detail_width=8))
    assert isinstance(network, LeanUNet)
    return network


def blocky_classes(height: int, width: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 12, (1, 1, height // 16, width // 16), generator=generator, dtype=torch.uint8)
    return nn.functional.interpolate(coarse, (height, width), mode="nearest")[:, 0]


def test_the_lean_unet_meets_its_budget() -> None:
    network = folded(LeanUNet(COLORED))
    macs = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        # Each weight works once a pixel: of what comes out, or transposed of what goes in.
        at = output if isinstance(module, nn.Conv2d) else inputs[0]
        macs += at.shape[-1] * at.shape[-2] * module.weight.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    network(torch.zeros(1, 256, 256, dtype=torch.uint8), torch.zeros(1, 12, 3), 0, 0)
    # What the model card tells.
    assert macs == pytest.approx(1.0e9, rel=0.05)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(3.0e6, rel=0.05)


def test_folding_changes_no_picture_and_saves_work() -> None:
    network = small_lean()
    classes, colors = blocky_classes(128, 256), torch.rand(1, 12, 3)
    quick = folded(network)
    assert torch.allclose(network(classes, colors, 32, 64), quick(classes, colors, 32, 64), atol=1e-5)
    kinds = [type(module) for module in quick.modules()]
    assert kinds.count(nn.ConvTranspose2d) == 4 and UpConvolution not in kinds and UpPatches not in kinds


def test_a_folded_network_unfolds_to_one_that_can_be_trained() -> None:
    """The same pictures, from weights of the size that random ones have."""
    trained, other = small_lean(), LeanUNet(COLORED, widths=(8, 8, 8, 8), detail_width=8)
    for module in trained.modules():
        if isinstance(module, UpConvolution | UpPatches):
            module[0].weight.mul_(0.01)  # type: ignore[operator]
    sizes = {name: p.square().mean() for name, p in other.named_parameters() if name.startswith("up")}
    load_folded(other, folded(trained).state_dict())
    classes, colors = blocky_classes(128, 128), torch.rand(1, 12, 3)
    expected = trained(classes, colors, 3, 5)
    assert torch.allclose(other.eval()(classes, colors, 3, 5), expected, atol=1e-4)
    for name, parameter in other.named_parameters():
        if name in sizes and parameter.dim() == 4:
            assert torch.isclose(parameter.square().mean(), sizes[name], rtol=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_exported_needs_no_operator_that_an_older_torch_lacks(recipe: str) -> None:
    network, parser = folded(RECIPES[recipe](FACADES).generator.eval()), FacadeParser(12).eval()
    with quiet():
        open_sky = OpenSky.of(FACADES.classes)
        assert open_sky is not None
        told = (Glazing.of(FACADES.classes), Neighbors.of(FACADES.classes, 256, 32), open_sky.eval())
        with_told = told if recipe == "projected" else (None, None, None)
        module = ScriptedGenerator(network, parser, torch.rand(1, 12, 3), 256, *with_told)
        scripted = torch.jit.script(module)
    assert set(torch.jit.export_opnames(scripted)) <= OLD_OPERATORS


def test_parameters_that_do_not_fit_are_refused() -> None:
    state = folded(small_lean()).state_dict()
    state.pop("up8.0.bias")
    with pytest.raises(RuntimeError, match=r"up8\.0\.bias"):
        load_folded(small_lean(), state)


def test_colors_are_not_rounded_in_half_precision() -> None:
    network = small_lean()
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)  # type: ignore[arg-type]
    colors = torch.rand(1, 12, 3)
    classes = torch.full((1, 32, 32), 5, dtype=torch.uint8)
    picture = network.bfloat16()(classes, colors, 0, 0)
    assert torch.allclose(picture[0, :, 7, 9], colors[0, 5] * 2 - 1, atol=1e-6)


def test_nothing_further_than_the_context_changes_a_pixel() -> None:
    network = small_lean()
    colors = torch.rand(1, 12, 3)
    classes = blocky_classes(64, 32 * 26)
    changed = classes.clone()
    changed[:, :, :32] = (changed[:, :, :32] + 5) % 12
    difference = (network(classes, colors, 0, 0) - network(changed, colors, 0, 0)).abs().amax((0, 1, 2))
    reach = int(difference.nonzero().max()) - 31
    assert 128 < reach <= network.context_px


def test_noise_follows_the_absolute_position() -> None:
    network = small_lean()
    colors = torch.rand(1, 12, 3)
    classes = blocky_classes(64, 1024)
    whole = network(classes, colors, 0, 0)
    left = 1024 - 64 - network.context_px
    part = network(classes[:, :, left:], colors, 0, left)
    assert torch.allclose(whole[..., -64:], part[..., -64:], atol=1e-5)
    unmoved = network(classes[:, :, left:], colors, 0, 0)
    assert not torch.allclose(whole[..., -64:], unmoved[..., -64:], atol=1e-3)


def test_noise_repeats_without_a_seam_and_has_coarse_parts() -> None:
    noise = periodic_noise(128)
    steps = (noise - noise.roll(1, 1)).abs().mean(0)
    assert steps[0] < 1.5 * steps.mean()
    coarse = nn.functional.avg_pool2d(noise[None], 16)
    assert noise.std().item() == pytest.approx(1, abs=0.01) and coarse.std() > 0.3


def test_other_colors_bring_other_noise_whatever_the_batch() -> None:
    network = small_lean()
    for convolution in (network.detail[0], network.down4[0]):
        assert isinstance(convolution, nn.Conv2d)
        nn.init.zeros_(convolution.weight[:, 12:15])  # of the colors only the noise's place is left
    classes = torch.full((1, 64, 64), 4, dtype=torch.uint8)
    colors = torch.rand(2, 12, 3, generator=torch.Generator().manual_seed(3))
    textures = [network(classes, one, 0, 0) - (one[:, 4] * 2 - 1).view(1, 3, 1, 1) for one in colors.split(1)]
    assert not torch.allclose(textures[0], textures[1], atol=1e-3)
    together = network(classes.expand(2, -1, -1), colors, 0, 0)
    assert torch.allclose(together[1:], network(classes, colors[1:], 0, 0), atol=1e-5)


def test_the_color_of_an_uncolored_class_is_a_hint_alone() -> None:
    network = small_lean()
    colors = torch.rand(1, 12, 3)
    changed = colors.clone()
    changed[:, 0] = 1 - changed[:, 0]
    classes = torch.zeros(1, 64, 64, dtype=torch.uint8)
    assert not torch.equal(network(classes, colors, 0, 0), network(classes, changed, 0, 0))
    assert not network.paint(classes, colors, 0, 0)[1].any()  # the picture starts from grey


def test_pictures_start_from_colors_without_the_label_maps_jagged_edges() -> None:
    network = small_lean()
    nn.init.zeros_(network.head.weight)
    assert network.head.bias is not None
    nn.init.zeros_(network.head.bias)
    colors = torch.zeros(1, 12, 3)
    colors[:, 1] = 1.0
    classes = torch.full((1, 64, 64), 1, dtype=torch.uint8)
    classes[:, :, 32:] = 2
    picture = network(classes, colors, 0, 0)[0, 0, 32]
    assert picture[:28].eq(1).all() and picture[36:].eq(-1).all(), "flat colors are exact"
    steps = picture[:-1] - picture[1:]
    assert steps.min() >= 0 and 0 < steps.max() <= 1, "half of the step at most from pixel to pixel"


def test_color_changes_softly_and_brightness_from_pixel_to_pixel() -> None:
    network = small_lean()
    nn.init.normal_(network.head.weight)
    with torch.no_grad():
        picture = network(blocky_classes(64, 64), torch.rand(1, 12, 3), 0, 0)[0]
    grey = picture.mean(0)

    def finest(x: torch.Tensor) -> float:
        """The part of the power in 0.4 to 0.5 cycles a pixel across."""
        power = torch.fft.rfft(x * torch.hann_window(x.shape[-1], False)).abs().square().mean(0)
        return float(power[len(power) * 4 // 5 :].sum() / power[1:].sum())

    for difference in (picture[0] - picture[1], picture[1] - picture[2]):
        assert finest(difference) < 0.002 < 0.1 < finest(grey)
        assert finest(difference.T) < 0.002 < 0.1 < finest(grey.T)


def test_the_pix2pix_unet_ignores_colors_and_has_the_papers_size() -> None:
    network = Pix2PixUNet(12).eval()
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(54.4, abs=0.1)
    small = Pix2PixUNet(12, width=8).eval()
    classes = blocky_classes(256, 256)
    with torch.no_grad():
        pictures = [small(classes, torch.full((1, 12, 3), color), 0, 0) for color in (0.1, 0.9)]
    assert torch.equal(*pictures) and pictures[0].shape == (1, 3, 256, 256)


def test_projected_features_carry_gradients_and_train_nothing() -> None:
    features = ProjectedFeatures()
    pictures = torch.rand(1, 3, 64, 64, requires_grad=True)
    taps, mixed = features(pictures)
    assert [t.shape[-1] for t in taps] == [m.shape[-1] for m in mixed] == [16, 8, 4, 2]
    mixed[0].sum().backward()
    assert pictures.grad is not None and pictures.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in features.parameters())


class _Oracle(nn.Module):
    """Parses red as class 0 and everything else as class 1."""

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        red = torch.nn.functional.avg_pool2d(photo[:, :1], 4)
        return torch.cat([red, -red, torch.full_like(red, -9.0)], dim=1) * 20


def test_estimated_colors_are_measured_where_found_and_completed_where_not() -> None:
    sets = torch.tensor([[[0.9, 0.1, 0.1], [0.1, 0.2, 0.8], [0.3, 0.6, 0.3]], [[0.1, 0.1, 0.1]] * 3])
    module = ScriptedGenerator(small_lean(), _Oracle(), sets, parser_size_px=256)
    photo = torch.zeros(1, 3, 300, 200, dtype=torch.uint8)
    photo[:, 0, :150], photo[:, 2, 150:] = 255, 200
    colors = module.estimate_colors(photo)[0]
    assert colors[0].tolist() == pytest.approx([1, 0, 0], abs=0.02)
    assert colors[1].tolist() == pytest.approx([0, 0, 200 / 255], abs=0.02)
    assert torch.equal(colors[2], sets[0, 2])


def test_the_parser_works_at_a_quarter_of_the_resolution() -> None:
    assert FacadeParser(12).eval()(torch.zeros(2, 3, 64, 96)).shape == (2, 12, 16, 24)
