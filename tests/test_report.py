"""What is said during and after a run, on a terminal and elsewhere."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from facadegen.discover import Job
from facadegen.errors import FacadegenError, LabelMapError, OutputError
from facadegen.pipeline import Outcome
from facadegen.report import BatchReport, WatchReport
from facadegen.watch import WatchEvent

Captured = pytest.CaptureFixture[str]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def job(name: str = "a.png", variants: int = 1) -> Job:
    targets = tuple(Path("out", f"{Path(name).stem}_{i}.png") for i in range(variants))
    return Job(Path("in") / name, targets, Path("out"))


def failed(name: str, problem: str = "is no label map") -> Outcome:
    return Outcome(job(name), "failed", 0.1, LabelMapError(problem, Path("in") / name))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes stderr look like a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    yield


def test_the_summary_counts_and_lists_every_failure(capsys: Captured) -> None:
    clock = Clock()
    with BatchReport(5, clock=clock) as report:
        report.add(Outcome(job("old.png"), "current"))
        report.fail(LabelMapError("cannot be read (Permission denied)", Path("in/locked")))
        report.begin("loading")
        report.start_clock()
        report.add(Outcome(job("a.png", 2), "made", 0.5))
        report.add(failed("b.png"))
        problem = OutputError("cannot be written (No space left on device)", Path("out/c.png"))
        report.add(Outcome(job("c.png"), "failed", 0.1, problem))
        clock.now_s = 4.0
        report.finish()
    assert report.failed
    assert capsys.readouterr().err.splitlines() == [
        "facadegen: in/locked: cannot be read (Permission denied)",
        "facadegen: in/b.png: is no label map",
        "facadegen: in/c.png: out/c.png: cannot be written (No space left on device)",
        "2 facades made in 4.0 s (0.5/s), 1 up to date, 3 failed",
    ]


def test_quiet_says_what_failed_and_nothing_else(capsys: Captured) -> None:
    with BatchReport(2, quiet=True) as report:
        report.note("something")
        report.begin("loading")
        report.add(Outcome(job(), "made", 0.5))
        report.add(failed("b.png"))
        report.finish()
    assert capsys.readouterr() == ("", "facadegen: in/b.png: is no label map\n")


def test_an_interrupted_run_says_what_is_left(capsys: Captured) -> None:
    with BatchReport(10) as report:
        report.add(Outcome(job(), "current"))
        report.finish(interrupted=True)
    assert capsys.readouterr().err == "interrupted: 1 up to date, 9 not begun or not finished\n"


def test_progress_comes_as_lines_where_there_is_no_terminal(capsys: Captured) -> None:
    clock = Clock()
    with BatchReport(1000, clock=clock) as report:
        report.begin("loading")
        report.start_clock()
        for number in range(250):
            clock.now_s = number / 10
            report.add(failed("b.png") if number == 7 else Outcome(job(), "made", 0.1))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "101/1000, 10.0 pictures/s, about 1 min 29 s left, 1 failed",
        "201/1000, 10.0 pictures/s, about 1 min 20 s left, 1 failed",
    ]


def test_the_time_left_goes_by_what_is_done_a_second_however_it_ended(capsys: Captured) -> None:
    clock = Clock()
    with BatchReport(110, clock=clock) as report:
        for _ in range(10):
            report.add(Outcome(job(), "current"))  # before the clock starts
        report.begin("loading")
        report.start_clock()
        for number in range(20):
            clock.now_s += 1
            report.add(failed("b.png") if number >= 10 else Outcome(job(variants=4), "made", 1.0))
    assert capsys.readouterr().err.splitlines() == [
        "20/110, 4.0 pictures/s, about 1 min 30 s left",
        "30/110, 2.0 pictures/s, about 1 min 20 s left, 10 failed",
    ]


@pytest.mark.usefixtures("terminal")
def test_progress_is_drawn_on_a_terminal_and_wiped(capsys: Captured) -> None:
    with BatchReport(2) as report:
        with report.doing("looking"):
            pass
        report.begin("loading the generator")
        report.start_clock()
        report.add(failed("evil\x1b[31m[bold]\n.png"))
        report.finish()
    text = capsys.readouterr().err
    assert text.rindex("looking") < text.index("loading")
    assert "0/2" in text and "1/2" in text
    assert "1 failed" in text
    assert "evil\\x1b[31m[bold]\\n.png" in text  # neither control characters nor markup
    assert "evil\x1b" not in text
    assert text.endswith("1 failed\n")


def test_json_lines_hold_everything_a_script_needs(capsys: Captured) -> None:
    names = ["a.png", "line\nbreak.png", "\udcff.png"]
    with BatchReport(3, as_json=True) as report:
        for name in names:
            report.add(Outcome(job(name, 2), "made", 0.25))
        report.add(failed("b.png"))
        report.add(Outcome(job("c.png"), "current"))
        report.fail(LabelMapError("cannot be read (Permission denied)", Path("in/sub")))
        report.finish()
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["source"] for record in records[:3]] == [f"in/{name}" for name in names]
    assert records[0] == {
        "source": "in/a.png",
        "status": "made",
        "outputs": ["out/a_0.png", "out/a_1.png"],
        "reason": None,
        "seconds": 0.25,
    }
    assert (records[3]["status"], records[3]["reason"]) == ("failed", "is no label map")
    assert records[3]["outputs"] == []
    assert (records[4]["status"], records[4]["outputs"]) == ("current", ["out/c_0.png"])
    assert records[5].keys() == records[3].keys()
    assert (records[5]["source"], records[5]["status"]) == ("in/sub", "failed")
    assert records[5]["reason"] == "cannot be read (Permission denied)"


def test_a_watch_is_logged_where_there_is_no_terminal(capsys: Captured) -> None:
    with WatchReport(Path("in"), Path("out")) as report:
        report.event(WatchEvent("observing", Path("in"), "waiting for files"))
        report.event(WatchEvent("unreadable", Path("in/sub"), "cannot be read (Permission denied)"))
        report.waiting(3)
        report.add(Outcome(job("a.png"), "made", 0.2), 0.456)
        report.add(failed("b.png"), 0.1)
        report.add(failed("b.png"), 0.1)  # the same again is no news
        report.add(Outcome(job("c.png"), "current"), 0.0)
        report.finish()
    lines = [line for line in capsys.readouterr().err.splitlines()]
    assert [line.split(maxsplit=2)[2] for line in lines[:4]] == [
        "watch   waiting for files",
        "watch   sub: cannot be read (Permission denied)",
        "made    a.png in 0.46 s",
        "failed  b.png: is no label map",
    ]
    assert lines[4:] == [
        "facadegen: in/b.png: is no label map",
        "stopped watching in: 1 made, 1 failed, 1 up to date",
    ]
    assert report.failed


def test_a_file_made_after_all_is_no_failure(capsys: Captured) -> None:
    with WatchReport(Path("in"), Path("out"), quiet=True) as report:
        report.add(failed("a.png"), 0.1)
        report.add(Outcome(job("a.png"), "made", 0.2), 0.2)
        report.finish()
    assert not report.failed
    assert capsys.readouterr().err == ""


def test_a_failure_that_stays_is_told_of_once(capsys: Captured) -> None:
    with WatchReport(Path("in"), Path("out"), as_json=True) as report:
        for _ in range(3):
            report.add(failed("a.png"), 0.1)
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1 and shown.err.count("a.png") == 1


def test_a_file_that_changed_and_fails_as_before_is_told_of_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    with WatchReport(Path("in"), Path("out"), as_json=True) as report:
        Path("in/a.png").touch()
        for changed_s in (5e9, 5e9, 6e9):  # after now, or the time of the touch itself would count
            os.utime("in/a.png", (changed_s, changed_s))
            report.add(failed("a.png"), 0.1)
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2 and shown.err.count("a.png") == 2


def test_names_in_notes_do_not_reach_the_terminal_raw(capsys: Captured) -> None:
    with BatchReport(0) as report:
        report.note("evil\x1b]0;title\x07")
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.usefixtures("terminal")
def test_a_watch_shows_its_state_on_a_terminal(capsys: Captured) -> None:
    with WatchReport(Path("in"), Path("out")) as report:
        report.waiting(5)
        report.add(Outcome(job("a.png"), "made", 0.2), 0.456)
        report.add(failed("[b]\x1b.png"), 0.1)
    text = capsys.readouterr().err
    assert "in -> out  1 made, 1 failed, 3 waiting" in text
    assert "last: a.png in 0.46 s" in text
    assert "[b]\\x1b.png: is no label map" in text


def test_a_watch_tells_scripts_everything(capsys: Captured) -> None:
    with WatchReport(Path("in"), Path("out"), quiet=True, as_json=True) as report:
        report.event(WatchEvent("observing", Path("in"), "waiting for files"))
        report.add(Outcome(job("a.png"), "made", 0.2), 0.4567)
    event, record = map(json.loads, capsys.readouterr().out.splitlines())
    assert event == {"event": "observing", "path": "in", "text": "waiting for files"}
    assert (record["status"], record["latency_s"]) == ("made", 0.457)


def test_an_error_without_a_path(capsys: Captured) -> None:
    with BatchReport(0) as report:
        report.fail(FacadegenError("no path"))
        report.finish()
    assert capsys.readouterr().err == "facadegen: no path\n1 failed\n"
