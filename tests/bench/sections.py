"""The sections of the benchmark: their names on the command line, titles and modules."""

import importlib

from .figures import Plan, Row

SECTIONS = {
    "end_to_end": "end to end, 256x256, PNG in and out",
    "net": "the net alone, 256x256",
    "stages": "where the time goes",
    "startup": "start-up",
    "memory": "peak memory",
    "scaling": "scaling",
}


def measure(section: str, plan: Plan) -> list[Row]:
    """The rows of a section; only its own module is imported, which for some is torch and all."""
    rows: list[Row] = importlib.import_module(f".{section}", __package__).measure(plan)
    return rows
