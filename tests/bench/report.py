"""The one table, in sections, and its JSON."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .figures import Row

_CPU_INFO = Path("/proc/cpuinfo")
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_FILE_WIDTH = 140
_PACKAGES = ("torch", "onnxruntime", "openvino", "pillow", "numpy")


def machine(cores: int) -> dict[str, Any]:
    """What was measured on: the processor, how much of it, and the versions that matter."""
    info = _CPU_INFO.read_text() if _CPU_INFO.is_file() else ""
    named = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    flags = next((line.split() for line in info.splitlines() if line.startswith("flags")), [])
    return {
        "cpu": (named or [platform.processor() or platform.machine()])[0],
        "flags": [flag for flag in _TELLING_FLAGS if flag in flags],
        "cores": cores,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "load_before": os.getloadavg()[0],
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def print_table(found: dict[str, list[Row]], where: dict[str, Any]) -> None:
    """Sections of rows; what misses its bar is red."""
    table = Table("measured", "result", "bar", "", show_edge=False, pad_edge=False)
    for section, rows in found.items():
        table.add_row(f"[bold]{section}[/bold]")
        for row in rows:
            mark = {True: "[green]met[/green]", False: "[red]missed[/red]", None: ""}[row.met]
            table.add_row(f"  {row.name}", "   ".join(map(str, row.figures)), row.bar, mark)
        table.add_section()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    versions = ", ".join(f"{name} {where[name]}" for name in ("python", *_PACKAGES) if where[name])
    console.print(f"{where['cpu']} ({', '.join(where['flags'])}), {where['cores']} cores, {where['system']}")
    console.print(versions + "\n")
    console.print(table)
    if where["load_before"] > 0.5:
        console.print(f"[red]The machine was busy (load {where['load_before']:.1f}) when this began.[/red]")


def save_json(path: Path, found: dict[str, list[Row]], where: dict[str, Any]) -> None:
    """All figures, with what they were measured on."""
    sections = {section: [row.to_json() for row in rows] for section, rows in found.items()}
    path.write_text(json.dumps({"machine": where, "sections": sections}, indent=1) + "\n")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
