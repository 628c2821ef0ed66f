"""Measures facadegen on this machine: one table, and bench.json. About a quarter of an hour on two cores.

python -m tests.bench [--only SECTION ...] [--weights FILE] [--maps N] [--many-maps N] [--rounds N]
"""

import argparse
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from facadegen.weights import shipped_weights

from . import report
from .figures import Plan, Row
from .sections import SECTIONS, measure


def main() -> None:
    """Each section runs in a process of its own, without threads, caches or memory of the one before."""
    options = _parse()
    where = report.machine(len(os.sched_getaffinity(0)))
    found: dict[str, list[Row]] = {}
    # Nothing is deleted before the end: for minutes after, ext4 is slow to find room for new files.
    with tempfile.TemporaryDirectory(prefix="facadegen-bench-", dir=options.folder) as folder:
        for key in options.only or SECTIONS:
            title = SECTIONS[key]
            print(f"{title} ...", flush=True)
            (section := Path(folder) / key).mkdir()
            plan = Plan(
                (options.weights or shipped_weights()).resolve(),
                section,
                options.maps,
                options.many_maps,
                options.rounds,
            )
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                found[title] = process.submit(measure, key, plan).result()
            report.save_json(options.json, found, where)
    report.print_table(found, where)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these sections (default: all)")
    parser.add_argument("--weights", type=Path, help="default: the ones facadegen brings")
    parser.add_argument(
        "--maps", type=int, default=Plan.maps, help="label maps end to end (default: %(default)s)"
    )
    parser.add_argument(
        "--many-maps", type=int, default=Plan.many_maps, help="in the longest run (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=Plan.rounds, help="to take medians of (%(default)s)")
    parser.add_argument("--folder", type=Path, help="for label maps and facades (default: the system's)")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main()
