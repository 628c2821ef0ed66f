"""Export: a file is written only if a fresh process makes of it what was exported."""

import re
from pathlib import Path

import pytest
import torch

from facadegen.errors import TrainingError
from facadegen.weights import read_card
from training import export
from training.pretrained import read_weights


@pytest.mark.parametrize(
    ("tampered", "told"),
    [
        ("made[0][0][:, ::4] += 1", "25.0% of prepared maps"),
        ("made[1][0, 0, 0, 0] = made[1][0, 0, 0, 0] // 2 + 64", "pictures by up to "),
        ("made[2][0, 0, 0] += 0.2", "colors of photos by up to 51 levels of 255"),
        ("raise SystemExit('no memory')", "do not run in a fresh process: no memory"),
    ],
    ids=["prepared", "picture", "estimate", "failed"],
)
def test_a_file_that_makes_anything_else_is_refused_and_leaves_what_was_there(
    projected_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tampered: str, told: str
) -> None:
    saved = "torch.save(made"
    monkeypatch.setattr(export, "_RELOAD", export._RELOAD.replace(saved, f"{tampered}\n{saved}"))
    card = read_card(projected_weights)
    start = read_weights(projected_weights, card)
    torch.manual_seed(0)
    (out := tmp_path / "out.pt").write_bytes(b"before")
    with pytest.raises(TrainingError, match=re.escape(told)) as refused:
        export.export(
            start.build_folded(card.label_set, projected_weights),
            start.build_parser(card.label_set),
            start.color_sets,
            card.to_json(),
            out,
        )
    assert str(refused.value).startswith(f"{out}: exported weights d")
    assert out.read_bytes() == b"before" and list(tmp_path.iterdir()) == [out]
