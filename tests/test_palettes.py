"""Label sets: the facades', people's own, and how they are written down."""

import json
from pathlib import Path

import pytest

from facadegen.errors import UsageError
from facadegen.palettes import (
    CUSTOM_PALETTE,
    FACADES,
    LabelSet,
    Palette,
    gimp_palette,
    load_label_set,
    parse_color,
)

STREET = {"sky": "#87ceeb", "wall": "brown", "tree": "rgb(0, 128, 0)"}


def save(folder: Path, text: str) -> Path:
    path = folder / "palette.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_facades_have_twelve_classes_in_two_palettes() -> None:
    assert len(FACADES.classes) == 12
    assert [palette.name for palette in FACADES.palettes] == ["pix2pix", "cmp"]
    assert FACADES.palette("pix2pix").colors[FACADES.index_of("window")] == (0, 128, 255)
    assert FACADES.palette("cmp").colors[FACADES.index_of("window")] == (0, 85, 255)
    assert FACADES.background_id == 0


def test_a_label_set_survives_json() -> None:
    assert LabelSet.from_json(json.loads(json.dumps(FACADES.to_json()))) == FACADES


def test_a_class_is_found_in_any_case_and_a_misspelt_one_suggested() -> None:
    assert FACADES.index_of("Door") == 3
    with pytest.raises(
        UsageError, match=r"no class 'windows', did you mean 'window'\? \(there is background, "
    ):
        FACADES.index_of("windows")
    with pytest.raises(UsageError, match="no palette 'jet'; there is pix2pix, cmp"):
        FACADES.palette("jet")


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("brown", (165, 42, 42)),
        (" #B5533C ", (181, 83, 60)),
        ("#f00", (255, 0, 0)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
        ("hsl(120, 100%, 50%)", (0, 255, 0)),
    ],
)
def test_colors_people_write(text: str, color: tuple[int, int, int]) -> None:
    assert parse_color(text) == color


@pytest.mark.parametrize("text", ["", "#12", "#ff000080", "rgb(300, 0, 0)", "facade", "12"])
def test_no_colors(text: str) -> None:
    with pytest.raises(UsageError, match="color"):
        parse_color(text)


def test_a_misspelt_color_is_suggested() -> None:
    with pytest.raises(UsageError, match=r"no color 'borwn'; did you mean brown\?"):
        parse_color("borwn")


def test_gimp_palette_lists_colors_and_names() -> None:
    lines = gimp_palette(FACADES, FACADES.palettes[0]).splitlines()
    assert lines[:2] == ["GIMP Palette", "Name: facadegen pix2pix"]
    assert lines[4:6] == ["  0   0 222\tbackground", "  0  48 255\tfacade"]
    assert len(lines) == 4 + 12


def test_own_label_set_simply_names_a_color_per_class(tmp_path: Path) -> None:
    label_set = load_label_set(save(tmp_path, json.dumps(STREET)))
    assert label_set.classes == ("sky", "wall", "tree")
    assert label_set.palettes == (Palette(CUSTOM_PALETTE, ((135, 206, 235), (165, 42, 42), (0, 128, 0))),)
    assert label_set.background_id == 0


def test_own_label_set_in_full(tmp_path: Path) -> None:
    assert load_label_set(save(tmp_path, json.dumps(FACADES.to_json()))) == FACADES


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "no palette file that can be read: Expecting property name"),
        ("[" * 100_000, "no palette file that can be read: "),
        ("[]", "the file must be a JSON object, not list"),
        ('{"sky": "#00f", "sky": "#0f0"}', "key 'sky' is given twice"),
        ('{"sky": "#00f"}', "a label set has 2 to 254 classes, not 1"),
        ('{"sky": "#00f", "wall": 3}', "a color must be a JSON list, not int"),
        ('{"sky": "#00f", "wall": [1, 2]}', 'a color is "#rrggbb" or [red, green, blue], not [1, 2]'),
        ('{"sky": "#00f", "wall": [1, 2, 256]}', "color (1, 2, 256) is not three whole numbers 0..255"),
        ('{"sky": "#00f", "wall": [1, 2, true]}', "is not three whole numbers"),
        ('{"sky": "#00f", "wall": "#0000fe"}', "(0, 0, 255) and (0, 0, 254) are too close to tell apart"),
        ('{"sky": "#00f", "wall": "blu"}', "no color 'blu'; did you mean blue?"),
        ('{"sky": "#00f", "\\n": "#0f0"}', r"a class name must be printable text, not '\n'"),
        ('{"classes": ["a", "b"], "palettes": []}', "a label set needs at least one palette"),
        ('{"classes": "ab", "palettes": []}', '"classes" must be a JSON list, not str'),
        (
            '{"classes": ["a", "b"], "palettes": [{"name": "auto", "colors": ["#00f", "#0f0"]}]}',
            "a palette cannot be called 'auto'; that word has a meaning of its own",
        ),
        (
            '{"classes": ["a", "b"], "palettes": [{"name": "p", "colors": ["#00f"]}]}',
            "palette 'p' has 1 colors for 2 classes",
        ),
    ],
)
def test_unusable_palette_files_are_refused_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = save(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_label_set(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_palette_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json: no palette file that can be read: No such file"):
        load_label_set(tmp_path / "gone.json")
