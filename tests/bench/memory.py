"""Peak memory of whole runs; that of an ordinary folder is measured end to end."""

from . import child
from .figures import Figure, Plan, Row, at_most
from .maps import save_maps

_HUGE_PX = 4096
_MOST_HUGE_MB = 2500.0


def measure(plan: Plan) -> list[Row]:
    """Peaks of resident memory, and how long it took."""
    huge = save_maps(plan.folder / "huge", 1, _HUGE_PX)
    large = save_maps(plan.folder / "large", 12, 1024)
    rows = []
    for precision in ("auto", "fp32"):
        ended = child.facadegen(huge, plan.folder / precision, plan.weights, "--precision", precision)
        figures = (Figure(ended.peak_mb, "MB"), Figure(ended.seconds, "s", "in"))
        rows.append(at_most(f"one map of {_HUGE_PX}x{_HUGE_PX}, {precision}", figures, _MOST_HUGE_MB))
    ended = child.facadegen(large, plan.folder / "of_large", plan.weights)
    rows.append(at_most("12 maps of 1024x1024", (Figure(ended.peak_mb, "MB"),), 1000.0))
    return rows
