"""Developing: samples become a batch of photos in other light, alike wherever their colors are changed."""

import pytest
import torch
from torch.utils.data import default_collate

from facadegen.palettes import FACADES
from training.batch import JITTER, Batch, Sample, develop, draw_jitter, jittered
from training.recipes import colored_classes
from training.repaint import Repaint

K = len(FACADES.classes)
CPU = torch.device("cpu")


def make_samples(n: int, often: float = 0.0) -> list[Sample]:
    torch.manual_seed(0)
    samples = []
    for _ in range(n):
        classes = torch.randint(0, K, (64, 64)).byte()
        samples.append(
            Sample(
                photo=torch.randint(60, 200, (3, 64, 64)).byte(),
                classes=classes,
                valid=torch.rand(64, 64) < 0.9,
                context=classes,
                corner=torch.zeros(2, dtype=torch.int64),
                own_set=torch.rand(K, 3),
                other_set=torch.rand(K, 3),
                own=torch.rand(()) < 0.5,
                jitter=draw_jitter(),
                repaint=Repaint.draw(colored_classes(FACADES), often),
            )
        )
    return samples


def developed(samples: list[Sample], device: torch.device = CPU) -> Batch:
    return develop(default_collate(samples), device, close_up=False)


def test_light_is_drawn_within_its_bounds() -> None:
    torch.manual_seed(0)
    drawn = torch.stack([draw_jitter() for _ in range(200)]) - torch.tensor([1.0, 1.0, 1.0, 0.0])
    for found, most in zip(drawn.abs().amax(0).tolist(), JITTER, strict=True):
        assert 0.9 * most < found <= most


def test_no_other_light_changes_nothing() -> None:
    photos = torch.rand(2, 3, 8, 8)
    same = jittered(photos, torch.tensor([[1.0, 1.0, 1.0, 0.0]]).expand(2, -1))
    assert torch.allclose(same, photos, atol=1e-6)


def test_light_changes_what_its_name_says() -> None:
    photos = 0.4 + 0.2 * torch.rand(1, 3, 16, 16)

    def changed(*jitter: float) -> torch.Tensor:
        return jittered(photos, torch.tensor([jitter]))

    grey, color = photos.mean(1), photos - photos.mean(1, keepdim=True)
    assert torch.allclose(changed(1.1, 1, 1, 0), 1.1 * photos)
    contrasting = changed(1, 1.1, 1, 0)
    assert contrasting.mean() == pytest.approx(float(photos.mean()), abs=1e-5)
    assert contrasting.std() == pytest.approx(1.1 * float(photos.std()), rel=1e-4)
    colorful = changed(1, 1, 1.5, 0)
    assert torch.allclose(colorful.mean(1), grey, atol=1e-6)
    assert torch.allclose(colorful - colorful.mean(1, keepdim=True), 1.5 * color, atol=1e-6)
    # A third of a turn makes green of red.
    assert torch.allclose(changed(1, 1, 1, 1 / 3), photos.roll(1, 1), atol=1e-6)


def test_bright_light_stays_within_what_pictures_can_show() -> None:
    bright = jittered(torch.rand(1, 3, 16, 16), torch.tensor([[3.0, 2.0, 2.0, 0.02]]))
    assert bright.min() == 0 and bright.max() == 1


def test_samples_are_developed_as_if_each_were_alone() -> None:
    samples = make_samples(5, often=0.7)
    changed = [bool(sample.repaint.chosen.any()) for sample in samples]
    assert any(changed) and not all(changed)
    batch = developed(samples)
    for i, sample in enumerate(samples):
        for name, values in developed([sample]).tensors.items():
            assert torch.allclose(batch.tensors[name][i : i + 1], values, atol=1e-5), name


def test_colors_are_those_of_the_photo_as_it_is_developed() -> None:
    samples = make_samples(8, often=0.7)
    batch = developed(samples)
    assert batch.own.tolist() == [float(sample.own) for sample in samples]
    for i in range(8):
        inside = (batch.classes[i] == 3) & batch.valid[i, 0]
        mean = (batch.photo[i][:, inside].mean(1) + 1) / 2
        assert torch.allclose(batch.photo_colors[i, 3], mean, atol=1e-4)
        assert torch.equal(batch.colors[i], batch.photo_colors[i]) == bool(batch.own[i])


def test_a_class_that_the_photo_does_not_show_has_its_color_from_the_pairs_set() -> None:
    sample = make_samples(1)[0]
    sample = sample._replace(classes=sample.classes.clamp(max=5), own=torch.tensor(False))
    batch = developed([sample])
    assert torch.equal(batch.photo_colors[0, 6:], sample.own_set[6:])
    assert torch.equal(batch.colors[0], sample.other_set)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_a_gpu_develops_the_same_and_is_not_waited_for() -> None:
    samples, device = make_samples(6, often=0.7), torch.device("cuda")
    expected = developed(samples)
    developed(samples, device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = developed(samples, device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name, values in expected.tensors.items():
        assert torch.allclose(batch.tensors[name].cpu(), values, atol=1e-4), name
