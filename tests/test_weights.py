"""Files that are no usable weights: one line each, which file, found what, expected what."""

import hashlib
import json
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from tiny import CARD, save_tiny

from facadegen import weights
from facadegen.errors import WeightsError
from facadegen.generator import load
from facadegen.weights import Card, read_card, shipped_weights


def assert_refused(path: Path, *expected: str) -> None:
    with pytest.raises(WeightsError) as caught:
        load(path, device="cpu", precision="fp32")
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for words in expected:
        assert words in message


def test_missing(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.pt", "does not exist", "expected a facadegen weights file")


def test_a_folder(tmp_path: Path) -> None:
    assert_refused(tmp_path, "is a folder")


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.pt"
    path.touch()
    assert_refused(path, "no zip archive (0 bytes)")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated(tiny_weights: Path, tmp_path: Path, share: float) -> None:
    data = tiny_weights.read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(data[: int(len(data) * share)])
    assert_refused(path, "cut short", "copy it again")


def test_one_flipped_bit(tiny_weights: Path, tmp_path: Path) -> None:
    data = bytearray(tiny_weights.read_bytes())
    with zipfile.ZipFile(tiny_weights) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    data[largest.header_offset + 200] ^= 4
    path = tmp_path / "flipped.pt"
    path.write_bytes(data)
    assert_refused(path, "is damaged", "copy it again")


def test_no_archive_at_all(tmp_path: Path) -> None:
    path = tmp_path / "photo.pt"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    assert_refused(path, "no zip archive (1,008 bytes)", "expected a facadegen weights file")


def test_a_pickled_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"weight": torch.zeros(3)}, path)
    assert_refused(path, "zip archive without TorchScript code")


def test_torchscript_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(torch.nn.Identity()).save(str(path))
    assert_refused(path, "TorchScript without a card (facadegen.json)")


def test_a_card_in_a_foreign_module(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.script(torch.nn.Identity())
        module.save(str(path), _extra_files={weights.CARD_NAME: json.dumps(CARD.to_json())})
    assert_refused(path, "has no color_sets, expected (M, 12, 3)")


class WrongForward(torch.nn.Module):
    """All that a weights file must have, but a forward that takes classes alone."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("color_sets", torch.zeros(1, 12, 3))

    def forward(self, classes: torch.Tensor) -> torch.Tensor:
        return classes

    @torch.jit.export
    def estimate_colors(self, photo: torch.Tensor) -> torch.Tensor:
        return photo


def test_a_module_that_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "wrong.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.script(WrongForward())
        module.save(str(path), _extra_files={weights.CARD_NAME: json.dumps(CARD.to_json())})
    assert_refused(path, "fails at a test picture: ")


def test_a_newer_format(tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "newer.pt", format_version=2, stride="all new")
    assert_refused(path, "in weights format 2, expected format 1", "update facadegen")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format_version": None}, "no format_version, expected 1"),
        ({"stride": 0}, "stride 0, expected a whole number from 1"),
        ({"native_size_px": "256"}, "native_size_px '256'"),
        ({"style": "mood"}, "style 'mood', expected colors or none"),
        ({"training": []}, "training []"),
        ({"label_set": {"classes": ["facade", "window"], "palettes": []}}, "at least one palette"),
    ],
)
def test_a_wrong_card(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    assert_refused(save_tiny(tmp_path / "wrong.pt", **changes), problem)


def test_a_card_without_a_key(tmp_path: Path) -> None:
    fields = CARD.to_json()
    del fields["stride"], fields["style"]
    with pytest.raises(WeightsError, match="its card lacks stride, style"):
        Card.from_json(fields)


def test_a_card_for_other_classes(tmp_path: Path) -> None:
    label_set = {
        "classes": ["wall", "hole"],
        "palettes": [{"name": "own", "colors": [[0, 0, 0], [9, 9, 9]]}],
    }
    path = save_tiny(tmp_path / "other.pt", label_set=label_set)
    assert_refused(path, "color_sets of shape (9, 12, 3), expected (M, 2, 3)")


def test_a_card_survives_the_file(tiny_weights: Path) -> None:
    assert read_card(tiny_weights) == CARD
    assert Card.from_json(json.loads(json.dumps(CARD.to_json()))) == CARD


def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "gewichte-\udcfc.pt"
    try:
        save_tiny(tmp_path / "plain.pt").rename(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert load(path, "cpu", "fp32").card == CARD


@pytest.mark.parametrize("mark", [" ", "*"])
def test_the_sum_beside_a_file_is_checked(tmp_path: Path, mark: str) -> None:
    path = save_tiny(tmp_path / "tiny.pt")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{'0' * 64}  another.pt\n{digest} {mark}tiny.pt\n")
    assert read_card(path) == CARD
    sums.write_text(f"{'0' * 64} {mark}tiny.pt\n")
    assert_refused(path, f"has SHA-256 {digest}, expected {'0' * 64}")


def test_shipped_weights_of_a_wheel_come_before_those_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "facadegen"
    monkeypatch.setattr(weights, "__file__", str(package / "weights.py"))
    with pytest.raises(WeightsError, match="own weights are missing"):
        shipped_weights()
    places = [tmp_path / "weights" / "facades.pt", package / "_weights" / "facades.pt"]
    for place in places:
        place.parent.mkdir(parents=True)
        place.touch()
        assert shipped_weights() == place
