"""The command line as people and scripts meet it: what is made, what is said, how it ends."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import save_tiny

from facadegen import commands, pipeline
from facadegen.cli import main
from facadegen.interrupt import Stop, stop_on_signals
from facadegen.palettes import FACADES

Captured = pytest.CaptureFixture[str]
Run = Callable[..., int]
COLORS = np.array(FACADES.palettes[0].colors, np.uint8)
PATIENCE_S = 60.0  # on a busy machine


def save_map(path: Path, seed: int = 0, size_px: int = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 12, (4, 4))
    Image.fromarray(COLORS[np.kron(blocks, np.ones((size_px // 4, size_px // 4), int))]).save(path)
    return path


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def states(folder: Path) -> dict[Path, tuple[int, int]]:
    stats = {path: path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_ino, stat.st_ctime_ns) for path, stat in stats.items()}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path, tiny_weights: Path) -> Run:
    """`run("a b", more)` runs a command line with the tiny weights and gives its exit code."""

    def run(line: str, *more: str) -> int:
        return main([*line.split(), *more, "--weights", str(tiny_weights)])

    return run


@contextmanager
def start(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """facadegen as a process of its own, killed in the end if a test left it running."""
    with subprocess.Popen(
        [sys.executable, "-m", "facadegen", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


# ---- what is made


def test_a_file_to_a_file(here: Path, run: Run, capsys: Captured) -> None:
    save_map(here / "a.png", size_px=64)
    assert run("a.png facade.jpg") == 0
    with Image.open("facade.jpg") as facade:
        assert (facade.format, facade.size) == ("JPEG", (64, 64))
    assert "1 facade made" in capsys.readouterr().err


def test_a_file_to_a_folder(here: Path, run: Run) -> None:
    save_map(here / "in" / "a.png")
    assert run("in/a.png out/deep --format webp") == 0
    assert listing(here / "out") == {"deep/a.webp"}
    (here / "out.v2").mkdir()
    assert run("in/a.png out.v2") == 0
    assert listing(here / "out.v2") == {"a.png"}


def test_a_folder_that_is_there_may_be_named_like_a_picture(here: Path, run: Run) -> None:
    save_map(here / "in.png" / "a.png")
    (here / "out.png").mkdir()
    assert run("in.png/ out.png/") == run("in.png/a.png out.png/ --overwrite") == 0
    assert run("watch in.png out.png --once --settle 0") == 0
    assert listing(here / "out.png") == {"a.png"}


def test_a_tree_to_a_tree_twice(here: Path, run: Run, capsys: Captured) -> None:
    for number in range(5):
        save_map(here / "in" / f"{number % 2}" / f"{number}.png", number)
    assert run("in out") == 0
    assert listing(here / "out") == {"0/0.png", "1/1.png", "0/2.png", "1/3.png", "0/4.png"}
    before = states(here / "out")
    capsys.readouterr()
    assert run("in out") == 0
    assert capsys.readouterr().err == "5 up to date\n"
    assert states(here / "out") == before
    assert run("in out --overwrite --quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert states(here / "out") != before


def test_the_same_wish_in_other_words_makes_nothing_anew(here: Path, run: Run, capsys: Captured) -> None:
    save_map(here / "in" / "a.png")
    assert run("in out --format jpg --color facade=red") == 0
    capsys.readouterr()
    assert run("in out --format jpg --color FACADE=#ff0000 --quality 90") == 0
    assert capsys.readouterr().err == "1 up to date\n"
    assert run("in out --format jpg --color facade=red --quality 89") == 0
    assert "1 facade made" in capsys.readouterr().err


def test_every_option_at_once(here: Path, run: Run) -> None:
    save_map(here / "in" / "a.png")
    options = "--seed 3 --variants 2 --size 48 --labels pix2pix --format jpg --quality 80 --side-by-side"
    more = "--color facade=#b5533c --color door=green --batch-size 2 --device cpu --precision fp32"
    assert run(f"in out {options} {more}") == 0
    assert listing(here / "out") == {"a_1.jpg", "a_2.jpg"}
    with Image.open("out/a_1.jpg") as both:
        assert both.size == (96, 48)


def test_colors_are_those_asked_for(here: Path, run: Run) -> None:
    Image.new("RGB", (32, 32), FACADES.palettes[0].colors[1]).save("wall.png")
    for color in ("#ff0000", "lime"):
        assert run(f"wall.png {color[-4:]}.png --color facade={color}") == 0
    red = np.asarray(Image.open("0000.png"), float).mean(axis=(0, 1))
    green = np.asarray(Image.open("lime.png"), float).mean(axis=(0, 1))
    assert red[0] - green[0] > 150
    assert green[1] - red[1] > 150


def test_names_of_every_kind(here: Path, run: Run, capsys: Captured) -> None:
    names = [
        " .png",
        "a b.png",
        "a\nb.png",
        "🏠.png",
        os.fsdecode(b"\xff.png"),
        "-rf.png",
        "x" * 251 + ".png",
    ]
    for number, name in enumerate(names):
        save_map(here / "in" / name, number)
    (here / "in" / "\x1b[31m[bold].png").write_text("evil")
    assert run("in out") == 1
    assert listing(here / "out") == set(names)
    assert "\\x1b[31m[bold].png: is no picture file" in capsys.readouterr().err


def test_an_output_folder_inside_the_input_folder(here: Path, run: Run) -> None:
    save_map(here / "in" / "a.png")
    assert run("in in/facades") == 0
    assert run("in in/facades --seed 1") == 0
    assert listing(here / "in") == {"a.png", "facades/a.png"}


def test_leftovers_of_a_killed_run_are_gone_after_the_next(here: Path, run: Run) -> None:
    save_map(here / "in" / "a.png")
    (here / "out").mkdir()
    (here / "out" / ".facadegen-00000000-1-0123abcd.tmp").touch()
    os.utime(here / "out" / ".facadegen-00000000-1-0123abcd.tmp", (0, 0))
    assert run("in out") == 0
    assert listing(here / "out") == {"a.png"}


# ---- what goes wrong


def test_files_that_fail_are_listed_and_the_rest_is_made(here: Path, run: Run, capsys: Captured) -> None:
    save_map(here / "in" / "good.png")
    (here / "in" / "text.png").write_text("no picture")
    Image.effect_noise((64, 64), 90).convert("RGB").save("in/photo.png")
    (here / "in" / "link").symlink_to(here)
    assert run("in out") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "facadegen: in/link: is a link to a folder, which is not entered"
    assert {line.split(": ")[1] for line in lines[1:3]} == {"in/text.png", "in/photo.png"}
    assert "1 facade made" in lines[-1] and "2 failed" in lines[-1]
    assert listing(here / "out") == {"good.png"}


def test_a_folder_without_label_maps(here: Path, run: Run, capsys: Captured) -> None:
    (here / "in").mkdir()
    assert run("in out") == 0
    assert "in: no label maps here" in capsys.readouterr().err
    assert not (here / "out").exists()


def test_an_output_folder_that_cannot_be(here: Path, run: Run, capsys: Captured) -> None:
    save_map(here / "in" / "a.png")
    (here / "file").touch()
    for out in ("file", "file/deep", "/proc/out"):
        assert run(f"in {out}") == 2
        error = capsys.readouterr().err
        assert error.startswith(f"facadegen: {out}: ")
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("wtach in", "did you mean `facadegen watch`?"),
        ("nothing out", "nothing: no such file or folder"),
        ("inof", "did you mean `facadegen info`?"),
        ("in", "OUT"),
        ("in out more", "more"),
        ("in in", "is the folder of the label maps"),
        ("in out.png", "out.png: is named like a picture"),
        ("in/a.png out.avif", "out.avif: facades are written as .png, .jpg or .webp, not as .avif"),
        ("in/a.png out.png/", "out.png/: is named like a picture, but ends like a folder"),
        ("in out --colour door=red", "--color"),
        ("in out --color door", "expected CLASS=COLOR"),
        ("in out --color door=grene", "green"),
        ("in out --color dor=red", "door"),
        ("in out --size big", "--size big"),
        ("in out --size 3", "--size 3"),
        ("in out --variants 0", "--variants 0"),
        ("in out --variants many", "--variants"),
        ("in out --variants 1.9", '--variants: unable to convert "1.9" into int'),
        ("in out --seed 1.9", '--seed: unable to convert "1.9" into int'),
        ("in out --format jpg --quality 89.5", '--quality: unable to convert "89.5" into int'),
        ("in out --batch-size 1.5", "--batch-size"),
        ("in out --format bmp", "--format"),
        ("in out --quality 50", "--quality is for jpg and webp"),
        ("in out --format jpg --quality 200", "--quality 200"),
        ("in out --labels pix3pix", "pix2pix"),
        ("in out --batch-size 0", "--batch-size 0"),
        ("in out --device tpu", "tpu"),
        ("in out --precision fp16 --device cpu", "fp16"),
        ("in out --style nothing.jpg", "nothing.jpg"),
        ("in out --style in/a.png --seed 1", "seed"),
        ("watch nothing", "nothing: no such folder"),
        ("watch in in", "is the folder being watched"),
        ("watch in out.png --once", "out.png: is named like a picture, but in is a folder"),
        ("watch in --poll 0", "poll"),
        ("watch in --settle -1", "settle"),
        ("palette --name jet", "jet"),
        ("palette --gimp no/folder.gpl", "no/folder.gpl"),
    ],
)
def test_what_cannot_work_is_one_line_and_makes_nothing(
    line: str, says: str, here: Path, run: Run, capsys: Captured
) -> None:
    save_map(here / "in" / "a.png")
    assert run(line) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("facadegen: ")
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert listing(here) == {"in/a.png"}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["", "out"], "IN"),
        (["in", ""], "OUT"),
        (["in", "out", "--style", ""], "--style"),
        (["in", "out", "--weights="], "--weights"),
        (["watch", "", "--once"], "DIR"),
        (["watch", "in", "", "--once"], "OUT"),
        (["info", ""], "WEIGHTS"),
        (["palette", "--gimp", ""], "--gimp"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    words: list[str], name: str, here: Path, capsys: Captured
) -> None:
    save_map(here / "in" / "a.png")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert f'for {name}: unable to convert "" into Path' in error and error.count("\n") == 1
    assert listing(here) == {"in/a.png"}


def test_weights_that_are_none(here: Path, capsys: Captured) -> None:
    save_map(here / "in" / "a.png")
    (here / "bad.pt").write_text("no weights")
    for weights in ("bad.pt", "none.pt", "in"):
        for command in (["in", "out"], ["watch", "in"], ["palette"]):
            assert main([*command, "--weights", weights]) == 2
            error = capsys.readouterr().err
            assert error.startswith(f"facadegen: {weights}: ") and error.count("\n") == 1
        assert main(["info", weights]) == 2
        assert capsys.readouterr().err.startswith(f"facadegen: {weights}: ")
    assert listing(here) == {"in/a.png", "bad.pt"}


def test_weights_that_take_no_colors(here: Path, capsys: Captured) -> None:
    save_map(here / "in" / "a.png")
    save_tiny(here / "plain.pt", style="none")
    assert main(["in", "out", "--weights", "plain.pt"]) == 0
    for option in (["--color", "door=red"], ["--seed", "2"], ["--variants", "2"], ["--style", "in/a.png"]):
        capsys.readouterr()
        assert main(["in", "other", "--weights", "plain.pt", *option]) == 2
        assert "take no colors" in capsys.readouterr().err
    assert not (here / "other").exists()


def test_twins_are_refused_before_anything_is_made(here: Path, run: Run, capsys: Captured) -> None:
    save_map(here / "in" / "a.png")
    save_map(here / "in" / "a.bmp")
    save_map(here / "in" / "b.png")
    assert run("in out") == 2
    error = capsys.readouterr().err
    assert "in/a.bmp" in error and "in/a.png" in error
    assert not (here / "out").exists()


def test_an_unexpected_error_is_one_line_too(
    here: Path, run: Run, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_map(here / "in" / "a.png")

    def broken(*_: object) -> None:
        raise RuntimeError("driver\ntoo old")

    monkeypatch.setattr("facadegen.generator.load", broken)
    assert run("in out") == 2
    error = capsys.readouterr().err
    assert error.startswith("facadegen: unexpected RuntimeError: driver too old (")
    monkeypatch.setenv("FACADEGEN_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        run("in out")


# ---- what is said


def test_json_lines(here: Path, run: Run, capsys: Captured) -> None:
    save_map(here / "in" / "a.png")
    (here / "in" / "b.png").write_text("no picture")
    assert run("in out --json --quiet") == 1
    records = {record["source"]: record for record in map(json.loads, capsys.readouterr().out.splitlines())}
    assert records["in/a.png"]["status"] == "made"
    assert records["in/a.png"]["outputs"] == ["out/a.png"]
    assert records["in/b.png"]["status"] == "failed"
    assert run("in out --json --quiet") == 1
    statuses = {record["status"] for record in map(json.loads, capsys.readouterr().out.splitlines())}
    assert statuses == {"current", "failed"}


def test_info(run: Run, tiny_weights: Path, capsys: Captured) -> None:
    assert main(["info", str(tiny_weights)]) == 0
    text = capsys.readouterr().out
    for fact in (str(tiny_weights), "12: background, facade", "pix2pix, cmp", "32 px", "recipe", "tiny"):
        assert fact in text


def test_info_on_a_terminal_that_cannot_show_a_name(tiny_weights: Path, tmp_path: Path) -> None:
    weights = shutil.copy(tiny_weights, tmp_path / "\xe9.pt")
    done = subprocess.run(
        [sys.executable, "-m", "facadegen", "info", weights],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0 and b"\\xe9.pt" in done.stdout


def test_palette(here: Path, run: Run, capsys: Captured) -> None:
    assert run("palette") == 0
    text = capsys.readouterr().out
    assert " 3  door        #00cfff  #00aaff" in text
    assert run("palette --gimp facades.gpl --name cmp") == 0
    lines = Path("facades.gpl").read_text().splitlines()
    assert lines[0] == "GIMP Palette"
    assert lines[4].split("\t") == ["  0   0 170", "background"]
    assert capsys.readouterr().out == ""


def test_a_palette_file_replaces_palettes_only(
    here: Path, run: Run, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = save_map(here / "a.png").read_bytes()
    assert run("palette --gimp a.png") == 2
    assert capsys.readouterr().err == "facadegen: a.png: exists and is no GIMP palette; choose another name\n"
    assert Path("a.png").read_bytes() == before
    os.mkfifo("pipe")
    assert run("palette --gimp pipe") == 2
    Path("b.gpl").touch()
    assert run("palette --gimp b.gpl") == run("palette --gimp b.gpl --name cmp") == 0
    before = Path("b.gpl").read_bytes()
    assert b"facadegen cmp" in before

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    capsys.readouterr()
    assert run("palette --gimp b.gpl") == run("palette --gimp c.gpl") == 2
    assert capsys.readouterr().err.count("cannot be written (No space left on device)") == 2
    assert Path("b.gpl").read_bytes() == before
    assert listing(here) == {"a.png", "b.gpl", "pipe"}


def test_help_and_version(capsys: Captured) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("facadegen IN OUT", "watch", "info", "palette", "--style", "--side-by-side", "--json"):
        assert word in text
    assert "--poll" not in text
    assert main(["watch", "--help"]) == 0
    assert "--poll" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"
    assert main([]) == 2


@pytest.mark.parametrize("line", ["--help", "--version", "in out", "info tiny.pt"])
def test_what_needs_no_torch_does_not_import_it(line: str, here: Path, run: Run, tiny_weights: Path) -> None:
    save_map(here / "in" / "a.png")
    (here / "tiny.pt").write_bytes(tiny_weights.read_bytes())
    assert main(["in", "out", "--weights", "tiny.pt"]) == 0  # so that "in out" has nothing to make
    weights = ["--weights", "tiny.pt"] if line == "in out" else []
    script = (
        "import sys; from facadegen.cli import main; code = main(sys.argv[1:]);"
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'torchvision', 'training')))"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script, *line.split(), *weights],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ---- how it ends


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_leaves_whole_files_only(
    number: signal.Signals, here: Path, tiny_weights: Path
) -> None:
    for seed in range(150):
        save_map(here / "in" / f"{seed}.png", seed, 64)
    with start("in", "out", "--weights", tiny_weights, "--json", "--batch-size", 1) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.send_signal(number)
        process.stdout.read()
        error = process.stderr.read()
        assert process.wait(PATIENCE_S) == 128 + number
    assert error.startswith("interrupted: ")
    made = listing(here / "out")
    assert 1 <= len(made) < 150
    for name in made:
        assert name.endswith(".png") and not name.startswith(".")
        Image.open(here / "out" / name).load()
    assert main(["in", "out", "--weights", str(tiny_weights), "--quiet"]) == 0
    assert len(listing(here / "out")) == 150


@pytest.mark.parametrize("line", ["in out", "watch in out --once --settle 0"])
def test_an_interrupt_while_jobs_are_sorted_out_reads_no_more(
    line: str, here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()
    asked: list[Path] = []
    stop.exit_code = 130

    @contextmanager
    def stopped(last_words: object) -> Iterator[Stop]:
        yield stop

    def read(path: Path, max_pixels: int) -> bytes:
        asked.append(path)
        stop.set()
        return b""

    monkeypatch.setattr(commands, "stop_on_signals", stopped)
    monkeypatch.setattr(pipeline, "read_file", read)
    (here / "out").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        save_map(here / "in" / name)
        (here / "out" / name).touch()  # looked at, not to make it in vain
    assert run(line) == 130
    assert len(asked) == 1


def test_an_interrupt_while_importing_is_silent(here: Path) -> None:
    (here / "cyclopts.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-m", "facadegen", "in", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{root}"},
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        assert process.stderr.read() == ""


def test_a_second_interrupt_ends_at_once(here: Path) -> None:
    script = (
        "import time\n"
        "from facadegen import interrupt\n"
        "from facadegen.interrupt import stop_on_signals\n"
        "interrupt.ECHO_S = 0.5\n"
        "with stop_on_signals(lambda: print('last words', flush=True)) as stop:\n"
        "    print('ready', flush=True)\n"
        "    stop.wait()\n"
        "    print('stopping', flush=True)\n"
        "    time.sleep(600)\n"
    )
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGINT)  # an echo of the first one
        time.sleep(0.6)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        assert process.stdout.read() == "last words\n"


def test_a_signal_that_the_process_was_started_to_ignore_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals(lambda: None) as stop:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            assert stop.wait(PATIENCE_S)
        assert stop.exit_code == 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_reader_that_leaves_is_no_traceback(here: Path, tiny_weights: Path) -> None:
    for seed in range(30):
        save_map(here / "in" / f"{seed}.png", seed)
    with start("in", "out", "--weights", tiny_weights, "--json") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(PATIENCE_S) in (0, 141)
    assert "Traceback" not in error and "Exception" not in error
    with start("--help") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 141
        assert process.stderr.read() == ""


def test_closed_streams_are_not_written_to(
    here: Path, run: Run, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_map(here / "in" / "a.png")
    with monkeypatch.context() as context:
        context.setattr(sys, "stderr", None)
        assert run("in out --json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["status"] == "made"
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", None)
        assert run("in out --json") == main(["palette"]) == 0
    assert capsys.readouterr().err == "1 up to date\n"


def test_full_streams_lose_nothing_that_is_made(
    here: Path, run: Run, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_map(here / "in" / "a.png")
    save_map(here / "in" / "b.png", 1)
    with monkeypatch.context() as context, Path("/dev/full").open("w") as full:
        context.setattr(sys, "stderr", full)
        assert run("in out") == 0
    full_stdout = "facadegen: stdout: cannot be written (No space left on device)"
    for line, code in (("in more --json", 1), ("watch in once --once --settle 0 --json", 1), ("palette", 2)):
        with monkeypatch.context() as context, Path("/dev/full").open("w") as full:
            context.setattr(sys, "stdout", full)
            assert run(line) == code
        assert capsys.readouterr().err.count(full_stdout) == 1
    assert listing(here / "out") == listing(here / "more") == listing(here / "once") == {"a.png", "b.png"}


# ---- watch


def test_watching_once(here: Path, run: Run, capsys: Captured) -> None:
    save_map(here / "in" / "a.png")
    save_map(here / "in" / "sub" / "b.jpg", 1)
    save_map(here / "in" / ".hidden" / "c.png", 2)
    assert run("watch in --once --settle 0") == 0
    assert listing(here / "in" / "facades") == {"a.png", "sub/b.png"}
    assert run("watch in --once --settle 0") == 0
    assert "2 up to date" in capsys.readouterr().err
    assert run("in in/facades") == 0  # the same command, the same files
    assert capsys.readouterr().err == "2 up to date\n"


def test_watching_once_with_failures(here: Path, run: Run, capsys: Captured) -> None:
    save_map(here / "in" / "a.png")
    (here / "in" / "b.png").write_text("no picture")
    assert run("watch in out --once --settle 0") == 1
    assert "facadegen: in/b.png: is no picture file" in capsys.readouterr().err


def test_twins_that_appear_are_refused_both(here: Path, run: Run, capsys: Captured) -> None:
    save_map(here / "in" / "z.png", 1)
    save_map(here / "in" / "z.bmp", 2)
    assert run("watch in out --once --settle 0") == 1
    error = capsys.readouterr().err
    assert "in/z.bmp: out/z.png would be made from z.png, too; rename one of them" in error
    assert "in/z.png: out/z.png would be made from z.bmp, too; rename one of them" in error
    assert listing(here / "out") == set()


def test_watching_until_told_to_stop(here: Path, tiny_weights: Path) -> None:
    (here / "in").mkdir()
    with start("watch", "in", "out", "--weights", tiny_weights, "--json") as process:
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["event"] == "observing"
        save_map(here / "in" / "a.png")
        record = json.loads(process.stdout.readline())
        assert (record["source"], record["status"]) == ("in/a.png", "made")
        assert listing(here / "out") == {"a.png"}
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""
        assert "stopped watching in: 1 made, 0 failed" in process.stderr.read()
        assert process.wait(PATIENCE_S) == 0
