"""The two commands that make facades; each returns an exit code."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from facadegen import discover, output
from facadegen.cpus import available_cpus
from facadegen.discover import Job, Naming, Rule
from facadegen.encoding import Encoding
from facadegen.errors import LabelMapError, OutputError, UsageError
from facadegen.formats import LABEL_MAP_SUFFIXES
from facadegen.interrupt import Stop, stop_on_signals
from facadegen.options import Options, WatchFlags
from facadegen.palettes import Color, LabelSet, parse_color
from facadegen.pipeline import Outcome, Pipeline, Settings, sort_out
from facadegen.report import BatchReport, WatchReport
from facadegen.style import Style
from facadegen.watch import Watcher, WatchOptions
from facadegen.weights import read_card, shipped_weights


def make_batch(in_path: Path, out_path: Path, options: Options) -> int:
    """Makes the facades of a file or a tree.

    Raises:
        FacadegenError: nothing can be made at all.
    """
    plan = discover.plan(in_path, out_path, Naming(options.format, options.variants))
    settings = _settings(options, plan.format)
    report = BatchReport(len(plan.jobs), quiet=options.quiet, as_json=options.json)
    with stop_on_signals(output.abandon) as stop, report:
        for link in plan.links:
            report.note(f"{link}: is a link to a folder, which is not entered")
        for problem in plan.problems:
            report.fail(problem)
        if not plan.jobs and not plan.problems:
            report.note(f"{in_path}: no label maps here ({', '.join(sorted(LABEL_MAP_SUFFIXES))})")
        with report.doing("looking for what is up to date"):
            to_run, settled = sort_out(_until(stop, plan.jobs), settings)
        for outcome in settled:
            report.add(outcome)
        if to_run and not stop.is_set():
            report.begin("loading the generator")
            pipeline = _pipeline(options, settings)
            output.prepare(plan.out_root)
            folders = {target.parent for job in to_run for target in job.targets}
            output.clean_leftovers(folders, plan.out_root)
            report.start_clock()
            for outcome in pipeline.run(to_run, stop):
                report.add(outcome)
        report.finish(interrupted=stop.is_set())
    return stop.exit_code or int(report.failed)


def keep_watching(directory: Path, out_root: Path, options: Options, flags: WatchFlags) -> int:
    """Makes the facades of what is in a folder and of what appears there, until a signal (or, once, the end).

    Raises:
        FacadegenError: the folder cannot be watched, or nothing can be made at all.
    """
    watch_options = WatchOptions(flags.settle, flags.poll, flags.rescan, flags.once)
    discover.check_exists(directory, "folder")
    if not discover.is_folder(directory):
        raise UsageError("is no folder", directory)
    discover.check_folder_name(out_root, directory)
    if discover.same_file(directory, out_root):
        raise UsageError("is the folder being watched; name another one for the facades", out_root)
    naming = Naming(options.format, options.variants)
    settings = _settings(options, naming.suffix[1:])
    report = WatchReport(directory, out_root, quiet=options.quiet, as_json=options.json)
    with stop_on_signals(output.abandon) as stop, report:
        pipeline = _pipeline(options, settings)
        output.prepare(out_root)
        output.clean_leftovers((Path(folder) for folder, _, _ in os.walk(out_root)), out_root)
        rule = Rule.between(directory, out_root)
        watcher = Watcher(
            directory, rule.takes, watch_options, stop, is_entered=rule.enters, on_event=report.event
        )
        desk = _Desk(directory, out_root, naming, settings, pipeline, watcher)
        for paths in watcher:
            report.waiting(len(paths) + watcher.pending)
            for outcome, latency_s in desk.make(paths, stop):
                report.add(outcome, latency_s)
            report.waiting(0)
            report.forget_missing()
        report.finish()
    return (stop.exit_code or int(report.failed)) if flags.once else 0


class _Desk:
    """Takes the watcher's files to the pipeline, and back those that are not to blame for their failure."""

    def __init__(
        self,
        directory: Path,
        out_root: Path,
        naming: Naming,
        settings: Settings,
        pipeline: Pipeline,
        watcher: Watcher,
    ) -> None:
        self._directory = directory
        self._out_root = out_root
        self._naming = naming
        self._settings = settings
        self._pipeline = pipeline
        self._watcher = watcher
        self._out_is_inside = Rule.between(directory, out_root).out_name is not None
        self._place = discover.place_of(directory, out_root)
        self._real_directory = os.path.realpath(directory)
        self._began_ns = time.time_ns()

    def make(self, paths: list[Path], stop: Stop) -> Iterator[tuple[Outcome, float]]:
        """What became of the files, and how long after they were there, s; those only postponed are left out.

        After `stop`, files that were begun are finished.
        """
        if self._out_is_inside and discover.is_folder(self._directory):
            self._keep_out_root()
        jobs, refused = self._without_conflicts(paths)
        to_run, settled = sort_out(_until(stop, jobs), self._settings)
        for outcome in (*refused, *settled):
            if outcome.status == "failed":  # by what is in its way: tried again, should that go
                self._watcher.retry(outcome.job.source)
            yield outcome, 0.0
        for outcome in self._pipeline.run(_until(stop, to_run)):
            if not self._postponed(outcome):
                yield outcome, self._latency_s(outcome)

    def _keep_out_root(self) -> None:
        """Makes the output folder in a folder that came back, or in another one that a link leads to now."""
        real_directory = os.path.realpath(self._directory)
        with suppress(OSError, OutputError):  # which writing will tell of
            if real_directory != self._real_directory:
                output.prepare(self._out_root)
                self._real_directory = real_directory
            else:
                self._out_root.mkdir(parents=True, exist_ok=True)

    def _without_conflicts(self, paths: list[Path]) -> tuple[list[Job], list[Outcome]]:
        """The jobs, and failures for those that would take another's output, or the place of a label map."""
        jobs: list[Job] = []
        refused: list[Outcome] = []
        for path in paths:
            job = discover.job_for(path, self._directory, self._out_root, self._naming)
            if (twin := discover.twin_of(path)) is not None:
                problem = f"{job.targets[0]} would be made from {twin.name}, too; rename one of them"
            elif (hit := discover.target_in(job, self._place) or discover.own_target(job)) is not None:
                problem = f"its facade, {hit}, would be a label map, too; rename it or choose another folder"
            else:
                jobs.append(job)
                continue
            refused.append(Outcome(job, "failed", error=LabelMapError(problem, path)))
        return jobs, refused

    def _postponed(self, outcome: Outcome) -> bool:
        """Whether a failure is none (yet): half a file that is still growing, or one that is gone by now."""
        source = outcome.job.source
        if outcome.status != "failed":
            return False
        if not os.path.lexists(source):
            return True
        if outcome.may_pass:  # tried again, but told
            self._watcher.retry(source)
            return False
        return self._watcher.defer(source)

    def _latency_s(self, outcome: Outcome) -> float:
        changed_ns, now_ns = discover.last_changed_ns(outcome.job.source), time.time_ns()
        came_meanwhile = self._began_ns <= changed_ns <= now_ns  # files may be dated in the future
        return (now_ns - changed_ns) / 1e9 if came_meanwhile else outcome.seconds


def _until(stop: Stop, jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs, one by one, as long as nobody asked to stop."""
    return takewhile(lambda _: not stop.is_set(), jobs)


def _settings(options: Options, picture_format: str) -> Settings:
    weights = options.weights or shipped_weights()
    label_set = read_card(weights).label_set  # first of all: whether the weights are whole
    if options.labels not in (kinds := label_set.kinds):
        raise UsageError(f"--labels {options.labels}: choose {', '.join(kinds[:-1])} or {kinds[-1]}")
    return Settings(
        weights=weights,
        labels=options.labels,
        size_px=_size_px(options.size),
        style=Style(
            options.style, tuple(_class_color(text, label_set) for text in options.color), options.seed
        ),
        variants=options.variants,
        encoding=Encoding(picture_format, options.quality),
        precision=options.precision,
        side_by_side=options.side_by_side,
        overwrite=options.overwrite,
        batch_size=options.batch_size,
    )


def _pipeline(options: Options, settings: Settings) -> Pipeline:
    settings.take_note_of_files()
    from facadegen import device  # these import torch: not for runs with nothing to make
    from facadegen.generator import load

    device.use_large_pages()
    device.limit_threads(available_cpus())
    return Pipeline(load(settings.weights, options.device, options.precision), settings)


def _size_px(text: str) -> int | None:
    if text == "native":
        return None
    if not (text.isdecimal() and len(text) < 10):
        raise UsageError(f"--size {text}: choose native, or the shorter side in px")
    return int(text)


def _class_color(text: str, label_set: LabelSet) -> tuple[str, Color]:
    """The class by its own name, whatever case it was asked for in: facades record it."""
    class_name, equals, color = text.partition("=")
    if not equals:
        raise UsageError(f"--color {text}: expected CLASS=COLOR, such as facade=#b5533c")
    return label_set.classes[label_set.index_of(class_name.strip())], parse_color(color)
