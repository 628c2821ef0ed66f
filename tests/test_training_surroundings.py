"""Surroundings: a generator that sees sky in walls learns better of itself."""

import pytest
import torch
from torch import Tensor, nn

from facadegen.palettes import FACADES
from training.recipes import colored_classes
from training.surroundings import Lesson, Scene, Scenes, lesson, lesson_loss, unlike_shares

COLORED = colored_classes(FACADES)[:, 0]
NATIVE_PX = 64
WALL, SKY = 0.0, 0.9


class Blind(nn.Module):
    """Sees a wall in surroundings where the map is small; in large ones sky as well, in their right half."""

    def __init__(self, hole: float = SKY, building: float = -0.5) -> None:
        super().__init__()
        self.hole, self.building = hole, building

    def forward(self, classes: Tensor, colors: Tensor, top: Tensor, left: Tensor) -> Tensor:
        picture = torch.where(classes == 0, WALL, self.building)[:, None].repeat(1, 3, 1, 1)
        if classes.shape[2] > 2 * NATIVE_PX:
            half = picture[..., classes.shape[2] // 2 :]
            half[half == WALL] = self.hole
        return picture


def scenes() -> Scenes:
    """Of a map with as much surroundings as facade, in two colors."""
    classes = torch.zeros(4 * NATIVE_PX, 4 * NATIVE_PX, dtype=torch.uint8)
    classes[: 2 * NATIVE_PX] = FACADES.index_of("facade")
    return Scenes([classes], torch.rand(2, len(COLORED), 3), COLORED, NATIVE_PX)


@pytest.fixture
def scene() -> Scene:
    return scenes().fixed(1)[0]


@pytest.fixture
def taught(scene: Scene) -> Lesson:
    return lesson(Blind(), COLORED, scene)


def cost(pupil: nn.Module, scene: Scene, taught: Lesson) -> float:
    return float(lesson_loss(pupil(*scene.near), pupil(*scene.far), taught))


def test_a_hole_in_surroundings_is_found_and_nothing_else(taught: Lesson) -> None:
    redone = taught.redone[0, 0].bool()
    assert redone[2 * NATIVE_PX :, 2 * NATIVE_PX :].all()
    assert not redone[: 2 * NATIVE_PX].any()  # the facade
    assert not redone[:, : NATIVE_PX + NATIVE_PX // 2].any()  # the wall that is as it should be


def test_a_generator_without_the_hole_has_learnt_its_lesson(scene: Scene, taught: Lesson) -> None:
    assert cost(Blind(hole=WALL), scene, taught) == pytest.approx(0, abs=1e-6)
    assert cost(Blind(), scene, taught) > 0.5


def test_what_is_tolerated_need_not_be_learnt(scene: Scene) -> None:
    taught = lesson(Blind(), COLORED, scene, tolerance=1.0)
    assert not taught.redone.any() and cost(Blind(), scene, taught) == pytest.approx(0, abs=1e-6)


def test_what_is_not_surroundings_must_stay(scene: Scene, taught: Lesson) -> None:
    assert cost(Blind(hole=WALL, building=-0.4), scene, taught) > 0.5


def test_the_share_of_what_differs_is_told_before_and_after(scene: Scene) -> None:
    before, after = unlike_shares(Blind(), Blind(hole=WALL), COLORED, [scene])
    assert before == pytest.approx(0.5, abs=0.05) and after == 0


def test_scenes_follow_from_their_number() -> None:
    one, other = scenes(), scenes()
    other.color_sets = one.color_sets
    for number in range(4):
        drawn, again = one.draw(number), other.draw(number)
        for shown, same in zip(drawn, again, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(shown, same, strict=True))
    assert not torch.equal(one.draw(0).near.top, one.draw(1).near.top)
