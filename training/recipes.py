"""The recipes: which networks, and what each step makes them minimise."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facadegen.palettes import LabelSet
from training import losses
from training.batch import Batch
from training.networks.discriminators import (
    PatchDiscriminator,
    ProjectedDiscriminator,
    SegmentationDiscriminator,
)
from training.networks.features import ProjectedFeatures
from training.networks.lean_unet import LeanUNet
from training.networks.pix2pix_unet import Pix2PixUNet

Terms = dict[str, Tensor]
Looks = tuple[list[Tensor], list[Tensor]]  # the frozen network's own features, and mixed ones
Generator = LeanUNet | Pix2PixUNet


@dataclass(frozen=True)
class Settings:
    """What a recipe likes when nothing else is asked for."""

    batch_size: int
    generator_rate: float
    discriminator_rate: float
    betas: tuple[float, float]
    warmup_steps: int  # of reconstruction alone
    acquaint_steps: int  # of the discriminators alone, where the generator is pretrained
    close_up_every: int  # of so many steps one is of close-ups; 0: none
    other_colors: float  # the part of the samples painted with another facade's colors
    repainted: float  # the part of the samples in colors that photos hardly show
    settles: bool  # whether BatchNorms go by fixed statistics in the later part of a cycle
    size_step_px: int  # what crops' sides are multiples of
    least_size_px: int


class Recipe(Protocol):
    """Networks and losses of a kind of training; `seen` is what `compare` gives, and only the recipe's."""

    settings: Settings
    n_classes: int
    colored: Tensor  # (K, 1), 0 for classes that are several things (sky, street), so have no single color
    generator: Generator
    discriminator: nn.Module
    frozen: nn.Module

    def compare(self, batch: Batch, fake: Tensor) -> Any: ...
    def discriminator_loss(self, batch: Batch, seen: Any) -> tuple[Tensor, Terms]: ...
    def generator_loss(self, batch: Batch, fake: Tensor, seen: Any) -> tuple[Tensor, Terms]: ...
    def reconstruction_loss(self, batch: Batch, fake: Tensor) -> tuple[Tensor, Terms]: ...


class Pix2Pix:
    """Isola et al., arXiv 1611.07004, section 3: binary cross-entropy against patches, and 100 x L1."""

    settings = Settings(
        batch_size=4,
        generator_rate=2e-4,
        discriminator_rate=2e-4,
        betas=(0.5, 0.999),
        warmup_steps=0,
        acquaint_steps=600,
        close_up_every=0,
        other_colors=0.0,
        repainted=0.0,
        settles=False,
        size_step_px=Pix2PixUNet.stride,
        least_size_px=Pix2PixUNet.stride,
    )
    l1_weight = 100.0

    def __init__(self, label_set: LabelSet, width: int = 64) -> None:
        self.n_classes = len(label_set.classes)
        self.colored = colored_classes(label_set)
        self.generator: Generator = Pix2PixUNet(self.n_classes, width)
        self.discriminator: nn.Module = PatchDiscriminator(3 + self.n_classes, width)
        self.frozen: nn.Module = nn.Identity()

    def compare(self, batch: Batch, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Generated pictures with the photos' wedges, and the label maps that pictures are judged beside."""
        return torch.where(batch.valid, fake, batch.photo), losses.one_hot(batch.classes, self.n_classes)

    def discriminator_loss(self, batch: Batch, seen: tuple[Tensor, Tensor]) -> tuple[Tensor, Terms]:
        judged, condition = seen
        real = losses.bce(self.discriminator(batch.photo, condition), True)
        # Halved, as the paper does, to slow the discriminator down (section 3.3).
        loss = 0.5 * (real + losses.bce(self.discriminator(judged.detach(), condition), False))
        return loss, {"d": loss}

    def generator_loss(self, batch: Batch, fake: Tensor, seen: tuple[Tensor, Tensor]) -> tuple[Tensor, Terms]:
        judged, condition = seen
        adversarial = losses.bce(self.discriminator(judged, condition), True)
        l1 = losses.masked_l1(fake, batch.photo, batch.valid)
        return adversarial + self.l1_weight * l1, {"g": adversarial, "l1": l1}

    def reconstruction_loss(self, batch: Batch, fake: Tensor) -> tuple[Tensor, Terms]:
        l1 = losses.masked_l1(fake, batch.photo, batch.valid)
        return self.l1_weight * l1, {"l1": l1}


@dataclass(frozen=True, eq=False)
class View:
    """What a projected discriminator looks at: features of photos and pictures, once a step for all."""

    real_taps: list[Tensor]
    real_mixed: list[Tensor]
    fake_taps: list[Tensor]
    fake_mixed: list[Tensor]
    real_condition: Tensor
    fake_condition: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """What the discriminators and the losses look at."""

    shown: Tensor  # the generated picture as it is used: without what lies beyond -1..1
    real_picture: Tensor
    fake_picture: Tensor
    whole: View
    enlarged: View
    one_hot: Tensor  # (N, K, H, W)
    small_classes: Tensor  # (N, H / 4, W / 4)
    small_valid: Tensor  # float (N, H / 4, W / 4)
    weight: Tensor  # (K,)


class Projected:
    """Projected GAN (arXiv 2111.01007) with explicit colors, feature matching and a segmentation head.

    Two discriminators look through the frozen features: one at whole pictures, one at a part of them at
    twice the size, where the same features show what is too fine for them in the whole.
    """

    settings = Settings(
        batch_size=4,
        generator_rate=3e-4,
        discriminator_rate=3e-4,
        betas=(0.0, 0.99),
        warmup_steps=200,
        acquaint_steps=600,
        close_up_every=2,
        other_colors=0.4,
        repainted=0.3,
        settles=True,
        size_step_px=LeanUNet.stride,
        least_size_px=2 * LeanUNet.stride,
    )
    l1_weight = 0.5
    feature_weight = 0.5
    spectrum_weight = 0.5
    lattice_weight = 5.0
    segmentation_weight = 0.3
    beyond_weight = 10.0
    obedience_weight = 15.0
    stray_weight = 10.0
    checkerboard_weight = 2.0
    unrest_weight = 10.0
    clutter_weight = 40.0
    enlarged_weight = 1.0
    patch_weight = 0.5

    def __init__(self, label_set: LabelSet) -> None:
        self.n_classes = len(label_set.classes)
        self.colored = colored_classes(label_set)
        self.generator: Generator = LeanUNet(self.colored)
        self.judge = ProjectedDiscriminator(self.n_classes)
        self.enlarged_judge = ProjectedDiscriminator(self.n_classes)
        self.segmentation_judge = SegmentationDiscriminator(self.n_classes)
        self.patch_judge = PatchDiscriminator(3 + self.n_classes, width=24, layers=2, widest=2, spectral=True)
        self.discriminator: nn.Module = nn.ModuleList(
            [self.judge, self.enlarged_judge, self.segmentation_judge, self.patch_judge]
        )
        self.frozen: nn.Module = ProjectedFeatures()

    def compare(self, batch: Batch, fake: Tensor) -> Seen:
        """Look at photos and generated pictures through one shared augmentation and the frozen features."""
        # Both show the photo's wedges: nothing is learned there. The other way round, generated pictures in
        # place of the wedges of photos, faults at the borders would pass for real ones, and grow.
        shown = leaky_clamp(fake)
        real_seen, fake_seen = shared_augmentation(batch.photo, torch.where(batch.valid, shown, batch.photo))
        condition = losses.one_hot(batch.classes, self.n_classes)
        small = F.avg_pool2d(condition, 4)
        real_part, fake_part, part = enlarged_part(real_seen, fake_seen, condition)
        with torch.no_grad():
            real_whole, real_enlarged = self._look(real_seen, real_part)
        fake_whole, fake_enlarged = self._look(fake_seen, fake_part)
        return Seen(
            shown,
            real_seen,
            fake_seen,
            self._view(batch, real_whole, fake_whole, small),
            self._view(batch, real_enlarged, fake_enlarged, F.avg_pool2d(part, 2)),
            condition,
            small.argmax(1),
            F.avg_pool2d(batch.valid.to(fake.dtype), 4)[:, 0].floor(),
            losses.class_weights(condition),
        )

    def _look(self, whole: Tensor, enlarged: Tensor) -> tuple[Looks, Looks]:
        """Features of pictures (N, 3, H, W) and of their enlarged parts, in one pass."""
        taps, mixed = ([x.chunk(2) for x in maps] for maps in self.frozen(torch.cat([whole, enlarged])))
        first, second = (([x[i] for x in taps], [x[i] for x in mixed]) for i in (0, 1))
        return first, second

    def _view(self, batch: Batch, real: Looks, fake: Looks, small: Tensor) -> View:
        """small: class shares (N, K, H / 4, W / 4) of what is looked at, for colors to be painted on."""
        real_condition, fake_condition = (
            torch.cat([small, losses.painted(small, colors, self.colored)], dim=1)
            for colors in (batch.photo_colors, batch.colors)
        )
        return View(*real, *fake, real_condition, fake_condition)

    def discriminator_loss(self, batch: Batch, seen: Seen) -> tuple[Tensor, Terms]:
        def hinge(judge: nn.Module, view: View, mixed: list[Tensor]) -> Tensor:
            logits = judge(mixed, torch.cat([view.real_condition, view.fake_condition]))
            return torch.stack([losses.hinge_discriminator(*x.float().chunk(2)) for x in logits]).mean()

        mixed = _both(seen.whole)
        real_classes, fake_classes = self.segmentation_judge(mixed[0]).chunk(2)
        target = torch.full_like(seen.small_classes, self.n_classes)
        segmentation = losses.segmentation(
            real_classes, seen.small_classes, seen.weight, seen.small_valid
        ) + losses.segmentation(fake_classes, target, seen.weight, seen.small_valid)
        patch = self.patch_judge(
            torch.cat([seen.real_picture, seen.fake_picture.detach()]),
            torch.cat([seen.one_hot, seen.one_hot]),
        )
        terms = {
            "d": hinge(self.judge, seen.whole, mixed),
            "d_enlarged": hinge(self.enlarged_judge, seen.enlarged, _both(seen.enlarged)),
            "d_patch": losses.hinge_discriminator(*patch.float().chunk(2)),
            "d_seg": segmentation,
        }
        weights = {
            "d": 1.0,
            "d_enlarged": self.enlarged_weight,
            "d_patch": self.patch_weight,
            "d_seg": self.segmentation_weight,
        }
        return weighted(terms, weights), terms

    def generator_loss(self, batch: Batch, fake: Tensor, seen: Seen) -> tuple[Tensor, Terms]:
        def adversarial(judge: nn.Module, view: View) -> Tensor:
            logits = judge(view.fake_mixed, view.fake_condition)
            return torch.stack([losses.hinge_generator(x.float()) for x in logits]).mean()

        classes = self.segmentation_judge(seen.whole.fake_mixed[0])
        patch = self.patch_judge(seen.fake_picture, seen.one_hot).float()
        own = batch.valid * batch.own.view(-1, 1, 1, 1)
        # Colors are asked of the picture as it was before the shared augmentation changed them, and as it is
        # used: a mean that values beyond -1..1 make up would not be reached there.
        shown = seen.shown
        terms = {
            "g": adversarial(self.judge, seen.whole),
            "g_enlarged": adversarial(self.enlarged_judge, seen.enlarged),
            "g_patch": losses.hinge_generator(patch),
            "g_seg": losses.segmentation(classes, seen.small_classes, seen.weight, seen.small_valid),
            "features": losses.feature_l1(seen.whole.fake_taps, seen.whole.real_taps, batch.own),
            "l1": losses.masked_l1(seen.fake_picture, seen.real_picture, own),
            "spectrum": losses.spectrum(seen.fake_picture, seen.real_picture),
            "lattice": losses.lattice(seen.fake_picture, seen.real_picture),
            "beyond": losses.beyond(fake),
            "obey": losses.colors_off(shown, batch.classes, 2 * batch.colors - 1, self.colored),
            "stray": losses.stray_colors(shown, seen.one_hot, batch.colors, self.colored),
        }
        if batch.close_up:
            # The faults these are for show at a picture's own resolution alone; asked of smaller ones, too,
            # they cost those some of their texture.
            terms["checkerboard"] = losses.checkerboard(shown, batch.photo, batch.valid)
            terms["unrest"] = losses.unrest(shown, seen.one_hot, self.colored)
            terms["clutter"] = losses.clutter(
                shown, batch.colors, batch.photo, batch.photo_colors, seen.one_hot, batch.valid, self.colored
            )
        weights = {
            "g": 1.0,
            "g_enlarged": self.enlarged_weight,
            "g_patch": self.patch_weight,
            "g_seg": self.segmentation_weight,
            "features": self.feature_weight,
            "l1": self.l1_weight,
            "spectrum": self.spectrum_weight,
            "lattice": self.lattice_weight,
            "beyond": self.beyond_weight,
            "obey": self.obedience_weight,
            "stray": self.stray_weight,
            "checkerboard": self.checkerboard_weight,
            "unrest": self.unrest_weight,
            "clutter": self.clutter_weight,
        }
        return weighted(terms, weights), terms

    def reconstruction_loss(self, batch: Batch, fake: Tensor) -> tuple[Tensor, Terms]:
        own = batch.valid * batch.own.view(-1, 1, 1, 1)
        l1 = losses.masked_l1(fake, batch.photo, own)
        obedience = losses.colors_off(fake, batch.classes, 2 * batch.colors - 1, self.colored)
        return 4 * l1 + self.obedience_weight * obedience, {"l1": l1, "obey": obedience}


RECIPES: dict[str, type[Projected] | type[Pix2Pix]] = {"projected": Projected, "pix2pix": Pix2Pix}


def colored_classes(label_set: LabelSet) -> Tensor:
    """(K, 1): 1 for classes that a color can be asked of, 0 for the background."""
    return torch.tensor([[float(i not in label_set.unpainted)] for i in range(len(label_set.classes))])


def leaky_clamp(x: Tensor) -> Tensor:
    """x in -1..1, with a slight slope beyond, so that saturated pixels still get a gradient."""
    inside = x.clamp(-1, 1)
    return inside + 0.01 * (x - inside)


def shared_augmentation(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Change brightness, contrast and saturation of a photo and its generated picture alike.

    real, fake: (N, 3, H, W). Differentiable (Zhao et al. 2020, arXiv 2006.10738, section 3.2), and shared so
    that one pass through the frozen features serves the discriminator and the feature loss.
    """
    n = real.shape[0]
    brightness, contrast, saturation = (torch.rand(3, n, 1, 1, 1, device=real.device) - 0.5).unbind(0)

    def change(x: Tensor) -> Tensor:
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * (1 + 0.6 * saturation)
        return x * (1 + 0.3 * contrast) + 0.2 * brightness

    return change(real), change(fake)


def enlarged_part(real: Tensor, fake: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same random quarter of photos and pictures (N, 3, H, W) at twice the size, (N, 3, H, W) again.

    And of their condition (N, K, H, W) as it is, (N, K, H / 2, W / 2).
    """
    # Where is not asked by Python, which would wait for the device: a recorded step draws it anew each time.
    rows, columns = (
        torch.randint(side // 2 + 1, (1,), device=real.device) + torch.arange(side // 2, device=real.device)
        for side in real.shape[-2:]
    )
    real, fake, condition = (
        x.index_select(-2, rows).index_select(-1, columns) for x in (real, fake, condition)
    )
    real, fake = (F.interpolate(x, scale_factor=2.0, mode="bilinear") for x in (real, fake))
    return real, fake, condition


def weighted(terms: Terms, weights: dict[str, float]) -> Tensor:
    """The sum of the terms, each times its weight."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def _both(view: View) -> list[Tensor]:
    """Features of photos, and behind them those of generated pictures, which get no gradient."""
    return [torch.cat([r, f.detach()]) for r, f in zip(view.real_mixed, view.fake_mixed, strict=True)]
