"""The data set's download, against a server in a thread and archives made here."""

import errno
import io
import os
import re
import shutil
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facadegen.errors import TrainingError
from training import download, fetch

TINY = download.DataSet("facades", "http://unused.invalid/", {"train": 3, "val": 2, "test": 1}, (32, 16))


@dataclass
class Site:
    """One file on a local server, and how that server misbehaves."""

    body: bytes = b""
    etag: str | None = '"v1"'
    ranges: bool = True
    break_after_bytes: list[int] = field(default_factory=list)  # one entry per answer that ends early
    answers: list[int] = field(default_factory=list)  # status codes to give before any real answer
    asked: list[str | None] = field(default_factory=list)  # the Range of every request
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        wanted = self.headers.get("Range")
        site.asked.append(wanted)
        if site.answers:
            self.send_error(site.answers.pop(0))
            return
        start = 0
        if wanted and site.ranges and self.headers.get("If-Range") == site.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        rest = site.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: site.break_after_bytes.pop(0)] if site.break_after_bytes else rest)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    class SiteHandler(Handler):
        site = Site()

    with ThreadingHTTPServer(("127.0.0.1", 0), SiteHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        SiteHandler.site.url = f"http://127.0.0.1:{server.server_port}/facades.tar.gz"
        yield SiteHandler.site
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def tiny_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(download.DATA_SETS, "facades", TINY)
    monkeypatch.setattr(fetch, "time", SimpleNamespace(sleep=lambda seconds: None))


def picture(size: tuple[int, int] = TINY.size_px, seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


def names(n_pairs: dict[str, int] = TINY.n_pairs) -> list[str]:
    return [f"facades/{split}/{n + 1}.jpg" for split, count in n_pairs.items() for n in range(count)]


def pack(files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    return {name: picture(seed=seed) for seed, name in enumerate(names())}


def archive() -> bytes:
    return pack(pictures())


def run(site: Site | None, to: Path, *more: str) -> int:
    return download.main(["facades", "--to", str(to), *(["--url", site.url] if site else []), *more])


def assert_complete(to: Path) -> None:
    found = sorted(path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file())
    assert found == sorted(names()), "the pairs and nothing else: no archive, no note, no temporary folder"


def test_complete_download_leaves_the_pairs_and_nothing_else(site: Site, tmp_path: Path) -> None:
    site.body = archive()
    assert run(site, tmp_path / "new" / "data") == 0
    assert_complete(tmp_path / "new" / "data")


def test_complete_folder_is_left_alone(site: Site, tmp_path: Path) -> None:
    site.body = archive()
    run(site, tmp_path)
    assert run(site, tmp_path) == 0
    assert len(site.asked) == 1


def test_broken_connection_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    site.body = archive()
    site.break_after_bytes = [1000, 500]
    assert run(site, tmp_path) == 0
    assert site.asked == [None, "bytes=1000-", "bytes=1500-"]
    assert_complete(tmp_path)


def test_later_run_goes_on_where_the_last_one_ended(site: Site, tmp_path: Path) -> None:
    site.body = archive()
    site.break_after_bytes = [700, 0, 0, 0]
    assert run(site, tmp_path) == 1
    assert run(site, tmp_path) == 0
    assert site.asked[-1] == "bytes=700-"
    assert_complete(tmp_path)


def test_server_without_ranges_restarts(site: Site, tmp_path: Path) -> None:
    site.body, site.ranges = archive(), False
    site.break_after_bytes = [1000]
    assert run(site, tmp_path) == 0
    assert_complete(tmp_path)


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_validator_it_restarts(site: Site, tmp_path: Path, etag: str | None) -> None:
    site.body, site.etag = archive(), etag
    site.break_after_bytes = [1000]
    assert run(site, tmp_path) == 0
    assert site.asked == [None, None]
    assert_complete(tmp_path)


def test_changed_file_is_not_glued_to_the_old_one(site: Site, tmp_path: Path) -> None:
    site.body = b"old" * 1000
    site.break_after_bytes = [1000, 0, 0, 0]
    run(site, tmp_path)
    site.body, site.etag = archive(), '"v2"'
    assert run(site, tmp_path) == 0
    assert_complete(tmp_path)


def test_passing_server_fault_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.body, site.answers = archive(), [503, 500]
    assert run(site, tmp_path) == 0
    assert_complete(tmp_path)


def test_shrunken_file_starts_over(site: Site, tmp_path: Path) -> None:
    site.body, site.break_after_bytes = archive(), [1000, 0, 0, 0]
    run(site, tmp_path)
    site.answers = [416]
    assert run(site, tmp_path) == 0
    assert_complete(tmp_path)


def test_refusal_is_one_line_and_not_tried_again(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.answers = [404]
    assert run(site, tmp_path) == 1
    error = capsys.readouterr().err
    assert "404" in error and site.url in error.replace("\n", "") and error.count("error:") == 1
    assert len(site.asked) == 1


def test_unreachable_server_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Site(url="http://127.0.0.1:9/facades.tar.gz"), tmp_path) == 1
    assert "refused" in capsys.readouterr().err


def test_oversized_download_is_refused(site: Site, tmp_path: Path) -> None:
    site.body = b"x" * 5000
    with pytest.raises(TrainingError, match="expected at most"):
        fetch.fetch(site.url, tmp_path / "part", lambda done, total: None, max_bytes=4000)


def test_wrong_content_is_told_and_not_kept(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.body = b"<!DOCTYPE html><title>Please log in</title>"
    assert run(site, tmp_path) == 1
    assert "no tar.gz archive" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_truncated_archive_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cut.tar.gz").write_bytes(archive()[:-2000])
    assert run(None, tmp_path / "to", "--from", str(tmp_path / "cut.tar.gz")) == 1
    assert "broken" in capsys.readouterr().err
    assert not (tmp_path / "to" / "facades").exists()


def test_archive_at_hand_is_kept(tmp_path: Path) -> None:
    (tmp_path / "at hand.tar.gz").write_bytes(archive())
    assert run(None, tmp_path / "to", "--from", str(tmp_path / "at hand.tar.gz")) == 0
    assert_complete(tmp_path / "to")
    assert (tmp_path / "at hand.tar.gz").exists()


def test_missing_archive_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(None, tmp_path, "--from", str(tmp_path / "none.tar.gz")) == 2
    assert re.fullmatch(r"error: .*none\.tar\.gz: cannot be read: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"facades/val/2.jpg": None}, "val has 1 pairs, not 2"),
        ({"facades/train/9.jpg": picture()}, "train has 4 pairs, not 3"),
        ({"facades/val/1.jpg": picture((32, 32))}, "val/1.jpg is not 32x16"),
        ({"facades/val/1.jpg": picture()[:-300]}, "val/1.jpg is no whole picture"),
        ({"facades/val/1.jpg": b""}, "val/1.jpg is no whole picture"),
    ],
)
def test_incomplete_data_set_is_told_and_nothing_left(
    change: dict[str, bytes | None], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**pictures(), **change}
    (tmp_path / "a.tar.gz").write_bytes(
        pack({name: data for name, data in files.items() if data is not None})
    )
    assert run(None, tmp_path / "to", "--from", str(tmp_path / "a.tar.gz")) == 1
    assert told in capsys.readouterr().err
    assert list((tmp_path / "to").iterdir()) == []


def special(name: str, kind: bytes, target: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, size
    return member


@pytest.mark.parametrize(
    "member",
    [
        special("../escaped.jpg", tarfile.REGTYPE),
        special("facades/train/../../../escaped.jpg", tarfile.REGTYPE),
        special("/tmp/escaped.jpg", tarfile.REGTYPE),
        special("facades/train/7.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("facades/train/7.jpg", tarfile.LNKTYPE, "facades/train/1.jpg"),
        special("facades/train/7.jpg", tarfile.FIFOTYPE),
        special("facades/train/7.jpg", tarfile.CHRTYPE),
        special("facades/train/1.jpg", tarfile.REGTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.type.decode()}",
)
def test_hostile_member_stops_everything(member: tarfile.TarInfo, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(pack(pictures(), extra=(member,)))
    assert run(None, tmp_path / "to", "--from", str(tmp_path / "a.tar.gz")) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar.gz", "to"]


def test_other_files_in_the_archive_are_left_out(tmp_path: Path) -> None:
    others = (special("facades/.DS_Store", tarfile.REGTYPE, size=5), special("./facades", tarfile.DIRTYPE))
    (tmp_path / "a.tar.gz").write_bytes(pack(pictures(), extra=others))
    assert run(None, tmp_path / "to", "--from", str(tmp_path / "a.tar.gz")) == 0
    assert_complete(tmp_path / "to")


def test_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "MAX_UNPACKED_BYTES", 1000)
    (tmp_path / "a.tar.gz").write_bytes(archive())
    assert run(None, tmp_path / "to", "--from", str(tmp_path / "a.tar.gz")) == 1
    assert "unpacks to more than" in capsys.readouterr().err


def test_headers_count_among_what_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """tarfile reads a long name whole, before it tells of any member."""
    monkeypatch.setattr(download, "MAX_UNPACKED_BYTES", 1_000_000)
    (tmp_path / "a.tar.gz").write_bytes(pack(pictures(), extra=(tarfile.TarInfo("x" * 2_000_000),)))
    assert run(None, tmp_path / "to", "--from", str(tmp_path / "a.tar.gz")) == 1
    assert "unpacks to more than" in capsys.readouterr().err


def test_full_disk_is_one_line_and_keeps_the_download(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    site.body = archive()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        assert run(site, tmp_path) == 2
    assert "No space left" in capsys.readouterr().err
    assert run(site, tmp_path) == 0
    assert len(site.asked) == 1
    assert_complete(tmp_path)


def test_incomplete_folder_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "facades" / "train").mkdir(parents=True)
    (tmp_path / "facades" / "train" / "mine.txt").write_text("mine")
    assert run(None, tmp_path) == 2
    assert "move it away" in capsys.readouterr().err
    assert (tmp_path / "facades" / "train" / "mine.txt").read_text() == "mine"


def test_destination_that_is_a_file(site: Site, tmp_path: Path) -> None:
    site.body = archive()
    (tmp_path / "file").write_text("")
    assert run(site, tmp_path / "file") == 2


@pytest.mark.parametrize("arguments", [["facade"], [], ["facades", "--url", "file:///etc/passwd"]])
def test_usage_errors(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert download.main(arguments) == 2


def test_interrupt_keeps_what_is_there(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    site.body, site.break_after_bytes = archive(), [1000]
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "time", SimpleNamespace(sleep=interrupt))
        assert run(site, tmp_path) == 130
    assert "interrupted" in capsys.readouterr().err
    assert run(site, tmp_path) == 0
    assert site.asked == [None, "bytes=1000-"]
