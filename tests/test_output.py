"""Files appear whole or not at all, where they belong, and leave nothing behind."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unprivileged import needs_fork, unprivileged

from facadegen import held, output, picture
from facadegen.encoding import Encoding, encode, provenance_line
from facadegen.errors import OutputError
from facadegen.held import HeldFolder

LINE = provenance_line({"seed": 1})
PNG = encode(np.zeros((8, 8, 3), np.uint8), Encoding(), LINE)


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def temp_name(pid: int, host: str | None = None) -> str:
    return f".facadegen-{host or output._host()}-{pid}-0123abcd.tmp"


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    target = tmp_path / "x" / "y" / "a.png"
    output.write(target, PNG, tmp_path)
    assert target.read_bytes() == PNG
    assert listing(tmp_path) == {"x/y/a.png"}


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        output.write(tmp_path / "a.png", PNG, tmp_path)
    finally:
        os.umask(old)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    name = "ä" * 125 + "x.png"
    assert len(os.fsencode(name)) == 255
    output.write(tmp_path / name, PNG, tmp_path)
    assert listing(tmp_path) == {name}
    with pytest.raises(OutputError, match="File name too long"):
        output.write(tmp_path / f"x{name}", PNG, tmp_path)


def test_a_link_at_the_place_of_an_output_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(b"input")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to("../in.png")
    output.write(tmp_path / "out" / "a.png", PNG, tmp_path / "out")
    assert (tmp_path / "in.png").read_bytes() == b"input"
    assert not (tmp_path / "out" / "a.png").is_symlink()


@pytest.mark.parametrize("number", [errno.EEXIST, errno.EPERM])
def test_a_picture_of_others_that_comes_at_the_last_moment_stays(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.png"
    create = HeldFolder.create

    def wait_until_one_came(held: HeldFolder, name: str, data: bytes) -> None:
        create(held, name, data)
        target.write_bytes(b"somebody's")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(HeldFolder, "create", wait_until_one_came)
    if number != errno.EEXIST:
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OutputError, match="was not made by facadegen"):
        output.write(target, PNG, tmp_path, overwrite=False)
    assert target.read_bytes() == b"somebody's"
    assert listing(tmp_path) == {"a.png"}


def test_where_no_links_can_be_made_files_are_written_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    for data in (PNG[:-1], PNG):
        output.write(tmp_path / "a.png", data, tmp_path, overwrite=False)
        assert (tmp_path / "a.png").read_bytes() == data
    assert listing(tmp_path) == {"a.png"}


def test_links_do_not_lead_out_of_the_output_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    for target in ("link/a.png", "link/deep/a.png"):
        with pytest.raises(OutputError, match="leads out of the output folder"):
            output.write(tmp_path / "out" / target, PNG, tmp_path / "out")
    assert listing(tmp_path / "elsewhere") == set()
    assert not (tmp_path / "elsewhere" / "deep").exists()


def test_a_link_in_the_place_of_the_output_folder_leads_out(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    output.prepare(out)
    elsewhere.mkdir()
    out.rename(tmp_path / "before")
    out.symlink_to(elsewhere)
    with pytest.raises(OutputError, match="leads out of the output folder"):
        output.write(out / "a.png", PNG, out)
    assert listing(elsewhere) == set()


@pytest.mark.skipif(not held._CAN_HOLD, reason="folders go by their names here")
@pytest.mark.parametrize("when", ["__init__", "create", "replace"])
def test_a_link_that_takes_a_folders_place_in_the_midst_of_a_write_leads_nowhere(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "deep").mkdir(parents=True)
    elsewhere.mkdir()
    step = getattr(HeldFolder, when)

    def swap_first(*what: Any) -> None:
        (out / "deep").rename(out / "before")
        (out / "deep").symlink_to(elsewhere)
        step(*what)

    monkeypatch.setattr(HeldFolder, when, swap_first)
    if when == "__init__":
        with pytest.raises(OutputError, match="leads out of the output folder"):
            output.write(out / "deep" / "a.png", PNG, out)
    else:
        output.write(out / "deep" / "a.png", PNG, out)
        assert (out / "before" / "a.png").read_bytes() == PNG
    assert listing(elsewhere) == set()


@needs_fork
@pytest.mark.skipif(not hasattr(os, "O_PATH"), reason="folders are opened to be read here")
def test_a_folder_that_may_be_written_but_not_listed(tmp_path: Path) -> None:
    def write_into_locked() -> None:
        Path("x").mkdir(mode=0o300)
        output.write(Path("x/a.png"), PNG, Path("x"))
        Path("x").chmod(0o700)

    unprivileged(write_into_locked, tmp_path)
    assert listing(tmp_path) == {"x/a.png"}


@needs_fork
def test_an_output_folder_below_one_that_may_not_be_searched(tmp_path: Path) -> None:
    (tmp_path / "home" / "here").mkdir(parents=True)

    def write_here() -> None:
        Path("..").chmod(0o000)
        with pytest.raises(PermissionError):
            Path.cwd().lstat()
        output.prepare(Path("out"))
        output.write(Path("out/x/a.png"), PNG, Path("out"))

    try:
        unprivileged(write_here, tmp_path / "home" / "here", tmp_path / "home")
    finally:
        (tmp_path / "home").chmod(0o700)
    assert listing(tmp_path) == {"home/here/out/x/a.png"}


@pytest.mark.parametrize("can_hold", {held._CAN_HOLD, False})
def test_folders_are_told_from_those_beside_them(
    can_hold: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "_CAN_HOLD", can_hold)
    for folder in ("out/deep/er", "outside"):
        (tmp_path / folder).mkdir(parents=True)
    for folder, inside in {"out": True, "out/deep/er": True, "outside": False, ".": False}.items():
        with HeldFolder(tmp_path / folder) as found:
            assert found.is_in((tmp_path / "out").stat()) is inside
    output.write(tmp_path / "out" / "deep" / "a.png", PNG, tmp_path / "out", overwrite=False)
    assert listing(tmp_path) == {"out/deep/a.png"}


def test_leftovers_elsewhere_are_none_of_ours(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (out, elsewhere):
        folder.mkdir()
        (folder / temp_name(dead_pid())).touch()
    (out / "link").symlink_to(elsewhere)
    assert output.clean_leftovers([out, out / "link"], out) == 1
    assert len(listing(elsewhere)) == 1


def test_an_output_folder_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    output.write(tmp_path / "out" / "x" / "a.png", PNG, tmp_path / "out")
    assert listing(tmp_path / "real") == {"x/a.png"}


def test_an_output_folder_that_vanished_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the output folder is gone"):
        output.write(tmp_path / "out" / "x" / "a.png", PNG, tmp_path / "out")
    assert listing(tmp_path) == set()


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").touch()
    with pytest.raises(OutputError, match=r"a\.png: cannot be written \(Not a directory\)"):
        output.write(tmp_path / "out" / "deep" / "a.png", PNG, tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out: is a folder no more"):
        output.write(tmp_path / "out" / "deep" / "a.png", PNG, tmp_path / "out")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OutputError) as caught:
        output.write(target, PNG, tmp_path)
    assert str(caught.value) == f"{target}: cannot be written (No space left on device)"
    assert target.read_bytes() == b"old"
    assert listing(tmp_path) == {"a.png"}


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="Is a directory"):
        output.write(tmp_path / "a.png", PNG, tmp_path)
    assert listing(tmp_path) == set()


def test_preparing_an_output_folder(tmp_path: Path) -> None:
    output.prepare(tmp_path / "x" / "out")
    output.prepare(tmp_path / "x" / "out")
    assert list((tmp_path / "x" / "out").iterdir()) == []
    (tmp_path / "file").touch()
    for out in ("file", "file/out"):
        with pytest.raises(OutputError):
            output.prepare(tmp_path / out)


def test_up_to_date_is_made_alike_whatever_the_dates(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    assert output.state_of(target, LINE) == "outdated"
    output.write(target, PNG, tmp_path)
    os.utime(target, (0, 0))
    assert output.state_of(target, LINE) == "current"
    assert output.state_of(target, provenance_line({"seed": 2})) == "outdated"
    target.write_bytes(PNG[:-4])
    assert output.state_of(target, LINE) == "outdated"
    target.write_bytes(encode_foreign())
    assert output.state_of(target, LINE) == "foreign"


def test_what_cannot_be_told_is_not_ours(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    for data in (
        b"GIF89a, say",
        b"II*\0, a TIFF about facadegen",
        b"\x89PNG\r\n\x1a\n, cut short",
        b"RIFF\0\0\0\0WEBPVP8X and what not",
        b"RIFF\0\0\0\0WAVEfmt , a song about facadegen",
    ):
        target.write_bytes(data)
        assert output.state_of(target, LINE) == "foreign"


@pytest.mark.parametrize("size", [0, 5000, 2**21])
def test_what_a_power_cut_leaves_is_made_anew(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.png").write_bytes(bytes(size))
    assert output.state_of(tmp_path / "a.png", LINE) == "outdated"


@pytest.mark.parametrize("size", [5000, 2**21])
def test_a_file_that_only_begins_empty_is_not_ours(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.png").write_bytes(bytes(size) + b"the end of a download")
    assert output.state_of(tmp_path / "a.png", LINE) == "foreign"


def test_a_file_that_is_huge_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.webp").open("wb") as file:
        file.write(b"RIFF\0\0\0\x20WEBPVP8 facadegen")
        file.truncate(2**29 + 8)
    assert output.state_of(tmp_path / "a.webp", LINE) == "foreign"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_the_way_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert output.state_of(tmp_path / "a.png", LINE) == "foreign"
    with pytest.raises(OSError, match="no regular file"):
        picture.open_regular(tmp_path / "a.png")


def encode_foreign() -> bytes:
    """A whole PNG without any text."""
    start, end = PNG.index(b"tEXt") - 4, PNG.index(b"IDAT") - 4
    return PNG[:start] + PNG[end:]


def test_leftovers_of_killed_runs_are_cleaned_and_nothing_else(tmp_path: Path) -> None:
    leftovers = {temp_name(dead_pid()), temp_name(2**40)}
    kept = {temp_name(os.getpid()), temp_name(dead_pid(), "00000000"), ".facadegen", ".x.tmp", "a.png"}
    for name in leftovers | kept:
        (tmp_path / name).touch()
    old = tmp_path / temp_name(os.getppid(), "11111111")
    old.touch()
    os.utime(old, (0, 0))
    assert output.clean_leftovers([tmp_path, tmp_path / "none"], tmp_path) == 3
    assert listing(tmp_path) == kept


def test_what_a_killed_write_leaves_is_cleaned_by_the_next_run(tmp_path: Path) -> None:
    script = """
import os, pathlib, sys
from facadegen import held, output
held.HeldFolder.replace = lambda *_: os._exit(9)
output.write(pathlib.Path(sys.argv[1], "a.png"), b"facade", pathlib.Path(sys.argv[1]))
"""
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == 9
    assert len(listing(tmp_path)) == 1
    assert output.clean_leftovers([tmp_path], tmp_path) == 1
    assert listing(tmp_path) == set()
