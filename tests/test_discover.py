"""What is an input, where its facade goes, and what is refused before anything is made."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from unprivileged import needs_fork, unprivileged

from facadegen import discover
from facadegen.discover import Naming, Plan, Rule, job_for, plan
from facadegen.errors import UsageError

PNG = Naming()


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def pairs(found: Plan, root: Path) -> dict[str, list[str]]:
    """Input -> outputs, all relative to `root`."""
    return {
        str(job.source.relative_to(root)): [str(target.relative_to(root)) for target in job.targets]
        for job in found.jobs
    }


def test_a_tree_is_mirrored(tmp_path: Path) -> None:
    names = ["b.png", "a.JPG", "street/c.tiff", "street/x y/d.e.gif", "street/f.webp", "g.bmp"]
    touch(*(tmp_path / "in" / name for name in names))
    touch(tmp_path / "in" / "notes.txt", tmp_path / "in" / "png", tmp_path / "in" / "h.png.part")
    assert pairs(plan(tmp_path / "in", tmp_path / "out", PNG), tmp_path) == {
        "in/a.JPG": ["out/a.png"],
        "in/b.png": ["out/b.png"],
        "in/g.bmp": ["out/g.png"],
        "in/street/c.tiff": ["out/street/c.png"],
        "in/street/f.webp": ["out/street/f.png"],
        "in/street/x y/d.e.gif": ["out/street/x y/d.e.png"],
    }
    assert not (tmp_path / "out").exists()


def test_variants_are_numbered_from_one(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.png")
    found = plan(tmp_path / "in", tmp_path / "out", Naming("jpg", 3))
    assert pairs(found, tmp_path) == {"in/a.png": ["out/a_1.jpg", "out/a_2.jpg", "out/a_3.jpg"]}


def test_hidden_files_and_folders_are_no_inputs(tmp_path: Path) -> None:
    touch(tmp_path / ".hidden" / "in" / ".a.png", tmp_path / ".hidden" / "in" / ".thumbs" / "b.png")
    touch(tmp_path / ".hidden" / "in" / "seen.png")  # in a hidden folder, but that was asked for
    found = plan(tmp_path / ".hidden" / "in", tmp_path / "out", PNG)
    assert [job.source.name for job in found.jobs] == ["seen.png"]


def test_an_output_folder_inside_the_input_folder_is_not_read(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.png", tmp_path / "in" / "facades" / "old.png", tmp_path / "in" / "x" / "b.png")
    found = plan(tmp_path / "in", tmp_path / "in" / "x" / ".." / "facades", PNG)
    assert [job.source.name for job in found.jobs] == ["a.png", "b.png"]


def test_one_file_goes_where_it_is_told(tmp_path: Path) -> None:
    source = tmp_path / "in" / "a.png"
    touch(source)
    (tmp_path / "folder.png").mkdir()
    expected = {
        "house.jpg": "house.jpg",
        "house.JPEG": "house.JPEG",
        "new folder": "new folder/a.png",
        "v1.2": "v1.2/a.png",
        "folder.png": "folder.png/a.png",
    }
    for out, target in expected.items():
        assert plan(source, tmp_path / out, PNG).jobs[0].targets == (tmp_path / target,)
    assert plan(source, tmp_path / "house.jpg", PNG).format == "jpg"
    variants = plan(source, tmp_path / "house.webp", Naming("webp", 2)).jobs[0].targets
    assert variants == (tmp_path / "house_1.webp", tmp_path / "house_2.webp")


def test_any_file_can_be_named(tmp_path: Path) -> None:
    touch(tmp_path / ".hidden.map")
    assert plan(tmp_path / ".hidden.map", tmp_path / "out", PNG).jobs[0].targets[0].name == ".hidden.png"


@pytest.mark.parametrize(
    ("source", "out", "naming", "says"),
    [
        ("nothing", "out", PNG, "no such file or folder"),
        ("in", "in", PNG, "is the folder of the label maps"),
        ("in", "in/../in", PNG, "is the folder of the label maps"),
        ("in", "house.png", PNG, "is a folder and needs a folder"),
        ("in/a.png", "house.tiff", PNG, "written as .png, .jpg or .webp"),
        ("in/a.png", "house.jpgg", PNG, "no picture's name (.png, .jpg, .webp)"),
        ("in/a.png", "house.png", Naming("jpg"), "is no name for --format jpg"),
        ("in/a.png", "in/a.png", PNG, "would replace"),
        ("in/a.png", "in", PNG, "would replace"),
        ("twins", "out", PNG, "twins/a.jpg"),
        ("twins", "out", PNG, "twins/a.png"),
        ("nested/labels", "nested", PNG, "would replace"),
    ],
)
def test_what_cannot_work_is_refused(
    source: str, out: str, naming: Naming, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(Path("in/a.png"), Path("twins/a.png"), Path("twins/a.jpg"))
    touch(
        Path("nested/labels/b.png"), Path("nested/labels/labels/b.png")
    )  # the latter's facade is the former
    with pytest.raises(UsageError) as caught:
        plan(Path(source), Path(out), naming)
    assert says in str(caught.value)


def test_further_clashes_are_counted(tmp_path: Path) -> None:
    names = ("a.gif", "a.jpg", "a.png", "b.jpg", "b.png", "c.png")
    touch(*(tmp_path / "in" / name for name in names))
    with pytest.raises(UsageError, match=r"a\.jpg; rename one of them \(2 more label maps clash\)$"):
        plan(tmp_path / "in", tmp_path / "out", replace(PNG, variants=3))


def test_the_same_folder_by_another_name_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(UsageError, match="is the folder of the label maps"):
        plan(tmp_path / "link", tmp_path / "in", PNG)
    with pytest.raises(UsageError, match="would replace"):
        plan(tmp_path / "in" / "a.png", tmp_path / "link", PNG)


def test_what_an_input_links_to_is_never_replaced(tmp_path: Path) -> None:
    touch(tmp_path / "out" / "a.png", tmp_path / "in" / "b.png")
    (tmp_path / "in" / "a.png").symlink_to("../out/a.png")
    with pytest.raises(UsageError, match="would replace"):
        plan(tmp_path / "in", tmp_path / "out", PNG)


@pytest.mark.parametrize(
    "names", [("a.png", "A.jpg"), ("x/a.png", "X/a.png"), ("\xe9.png", "e\u0301.jpg")], ids=ascii
)
def test_names_that_disks_take_for_one_are_refused_where_disks_do(
    names: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(*(tmp_path / "in" / name for name in names))
    monkeypatch.setattr(discover, "_FOLDS_NAMES", False)
    assert len(plan(tmp_path / "in", tmp_path / "out", PNG).jobs) == 2
    monkeypatch.setattr(discover, "_FOLDS_NAMES", True)
    with pytest.raises(UsageError, match=r"made from both .* \(disks here take \S+ for the same name\)"):
        plan(tmp_path / "in", tmp_path / "out", PNG)


def test_a_label_map_is_not_replaced_under_a_name_that_its_disk_takes_for_the_same(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "other" / "a.png", tmp_path / "other" / "A.png")
    assert plan(tmp_path / "a.png", tmp_path / "A.png", PNG).jobs  # not on this disk
    assert plan(tmp_path / "other" / "a.png", tmp_path / "other" / "A.png", PNG).jobs
    (tmp_path / "A.png").hardlink_to(tmp_path / "a.png")  # as if it were
    with pytest.raises(UsageError, match="would replace"):
        plan(tmp_path / "a.png", tmp_path / "A.png", PNG)


def test_an_output_folder_is_known_under_all_names_that_its_disk_takes_for_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "drops" / "a.png", tmp_path / "drops" / "Facades" / "a.png")
    below = tmp_path / "Drops" / "facades"
    assert not Rule.between(tmp_path / "drops", below).out_name
    assert Rule.between(tmp_path / "drops", tmp_path / "drops" / "facades").takes("Facades/a.png")
    monkeypatch.setattr(Path, "samefile", lambda self, other: f"{self}".lower() == f"{other}".lower())
    rule = Rule.between(tmp_path / "drops", below)
    assert not rule.takes("Facades/a.png") and not rule.enters("facades") and rule.takes("facades.png")
    assert [job.source.name for job in plan(tmp_path / "drops", below, PNG).jobs] == ["a.png"]
    with pytest.raises(UsageError, match="is the folder of the label maps"):
        plan(tmp_path / "drops", tmp_path / "Drops", PNG)
    touch(tmp_path / "drops" / "Drops" / "b.png")
    with pytest.raises(UsageError, match="would be a label map, too"):
        plan(tmp_path / "drops", tmp_path, PNG)


def test_facades_that_would_be_label_maps_the_next_time_are_refused_the_first(tmp_path: Path) -> None:
    touch(tmp_path / "labels" / "labels" / "b.png", tmp_path / "labels" / "c.png")
    with pytest.raises(UsageError, match="would be a label map, too"):
        plan(tmp_path / "labels", tmp_path, PNG)


@pytest.mark.parametrize(("format", "variants"), [("gif", 1), ("png", 0), ("png", -1)])
def test_names_that_cannot_be(format: str, variants: int) -> None:
    with pytest.raises(UsageError):
        Naming(format, variants)


def test_links_are_read_and_linked_folders_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "real.png", tmp_path / "in" / "inner" / "a.png")
    (tmp_path / "in" / "file.png").symlink_to("../elsewhere/real.png")
    (tmp_path / "in" / "nowhere.png").symlink_to("gone.png")
    (tmp_path / "in" / "itself.png").symlink_to("itself.png")
    (tmp_path / "in" / "folder").symlink_to("../elsewhere")
    (tmp_path / "in" / "inner" / "loop").symlink_to("..")
    found = plan(tmp_path / "in", tmp_path / "out", PNG)
    assert list(pairs(found, tmp_path)) == [
        "in/file.png",
        "in/itself.png",
        "in/nowhere.png",
        "in/inner/a.png",
    ]
    assert set(found.links) == {tmp_path / "in" / "folder", tmp_path / "in" / "inner" / "loop"}


def test_a_pipe_is_no_input(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert plan(tmp_path, tmp_path / "out", PNG).jobs == ()


@needs_fork
@pytest.mark.parametrize(("mode", "seen"), [(0o644, ["a.png", "b.png"]), (0o000, ["b.png"])])
def test_folders_that_may_not_be_looked_into_are_told_of(mode: int, seen: list[str], tmp_path: Path) -> None:
    def plan_around_locked() -> None:
        touch(Path("in/locked/a.png"), Path("in/locked/deep/c.png"), Path("in/b.png"))
        Path("in/locked").chmod(mode)
        found = plan(Path("in"), Path("out"), PNG)
        Path("in/locked").chmod(0o755)
        assert sorted(job.source.name for job in found.jobs) == seen
        assert "Permission denied" in str(found.problems[0])

    unprivileged(plan_around_locked, tmp_path)


def test_any_name_works(tmp_path: Path) -> None:
    names = [
        " .png",
        "a\nb.png",
        "🏠.png",
        os.fsdecode(b"\xff.png"),
        "-rf.png",
        "x" * 251 + ".png",
        "[red].png",
    ]
    touch(*(tmp_path / "in" / name for name in names))
    found = plan(tmp_path / "in", tmp_path / "out", PNG)
    assert {job.targets[0].name for job in found.jobs} == set(names)


def test_deep_trees(tmp_path: Path) -> None:
    deep = tmp_path.joinpath("in", *["d"] * 500)
    touch(deep / "a.png")
    assert [job.source for job in plan(tmp_path / "in", tmp_path / "out", PNG).jobs] == [deep / "a.png"]


def test_the_rule_works_on_files_still_to_come(tmp_path: Path) -> None:
    rule = Rule.between(tmp_path, tmp_path / "facades")
    assert rule.takes("a.png") and rule.takes("new/a.PNG")
    assert rule.takes("facades.png") and rule.takes("facades 2/a.png")
    assert not rule.takes("facades/a.png")
    assert not rule.takes(".a.png") and not rule.takes("new/.png") and not rule.takes(".new/a.png")
    assert not rule.takes("a.txt") and not rule.takes("png")
    assert rule.enters("new") and rule.enters("new/deep")
    assert not rule.enters("facades") and not rule.enters("facades/new")
    assert not rule.enters(".new") and not rule.enters("new/.deep")
    elsewhere = Rule.between(tmp_path / "in", tmp_path)
    assert elsewhere.takes("a.png")


def test_a_single_job(tmp_path: Path) -> None:
    job = job_for(tmp_path / "in" / "x" / "a.jpg", tmp_path / "in", tmp_path / "out", Naming("webp"))
    assert job.targets == (tmp_path / "out" / "x" / "a.webp",)
    assert job.out_root == tmp_path / "out"


def test_an_input_that_was_moved_into_place_counts_as_changed(tmp_path: Path) -> None:
    old = tmp_path / "old.png"
    old.touch()
    os.utime(old, ns=(10**18, 10**18))
    before_ns = time.time_ns() - 10**9
    old.rename(tmp_path / "new.png")
    assert discover.last_changed_ns(tmp_path / "new.png") > before_ns
    (tmp_path / "link.png").symlink_to("new.png")
    assert discover.last_changed_ns(tmp_path / "link.png") >= discover.last_changed_ns(tmp_path / "new.png")
    assert discover.last_changed_ns(old) == 0
