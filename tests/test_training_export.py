"""Export: a file is written only if a fresh process makes of it what was exported."""

from pathlib import Path

import pytest
import torch

from facadegen.errors import TrainingError
from facadegen.weights import read_card
from training import export
from training.export import Made, differing
from training.pretrained import read_weights

MADE = Made(
    (torch.zeros(1, 20, 20, dtype=torch.uint8), torch.zeros(1, 13, 3)),
    torch.full((1, 3, 20, 20), 128, dtype=torch.uint8),
    torch.full((1, 12, 3), 0.5),
)


def test_a_file_that_makes_something_else_is_refused_and_leaves_what_was_there(
    projected_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = "torch.save(made"
    tampered = f"made[1][0, 0, 0, 0] ^= 128\n{saved}"
    monkeypatch.setattr(export, "_RELOAD", export._RELOAD.replace(saved, tampered))
    card = read_card(projected_weights)
    start = read_weights(projected_weights, card)
    torch.manual_seed(0)
    (out := tmp_path / "out.pt").write_bytes(b"before")
    with pytest.raises(TrainingError) as refused:
        export.export(
            start.build_folded(card.label_set, projected_weights),
            start.build_parser(card.label_set),
            start.color_sets,
            card.to_json(),
            out,
        )
    told = f"{out}: exported weights differ from the trained ones: pictures by up to "
    assert str(refused.value).startswith(told)
    assert out.read_bytes() == b"before" and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("rows", "made_up", "levels", "estimated", "what"),
    [
        (5, 0.0, 0, 0.0, "25.0% of prepared maps"),
        (0, 0.2, 0, 0.0, "colors of prepared maps by up to 51 levels of 255"),
        (0, 0.0, 2, 0.0, "pictures by up to 2 levels of 255"),
        (0, 0.0, 0, 0.2, "colors of photos by up to 51 levels of 255"),
        (0, float("nan"), 0, 0.0, "colors of prepared maps by up to nan levels of 255"),
        (0, 0.0, 0, float("nan"), "colors of photos by up to nan levels of 255"),
        (0, 0.005, 1, 0.005, None),
    ],
    ids=["prepared", "made up", "picture", "estimate", "made up NaN", "estimated NaN", "rounding"],
)
def test_what_differs_is_told_and_rounding_is_let_pass(
    rows: int, made_up: float, levels: int, estimated: float, what: str | None
) -> None:
    classes, shown, picture, colors = (x.clone() for x in (*MADE.prepared, MADE.picture, MADE.estimated))
    classes[:, :rows] += 1
    shown[0, 2, 1] += made_up
    shown = torch.cat([shown, torch.ones(1, 1, 3)], dim=1)  # one neighbor more was found
    picture[0, 1, 7, 8] -= levels
    colors[0, 4, 1] += estimated
    made = Made((classes, shown), picture, colors)
    assert differing(made, MADE) == what and differing(MADE, made) == what
