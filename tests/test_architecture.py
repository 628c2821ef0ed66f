"""Imports go down only: cli -> report, watch, pipeline -> stages -> palettes -> errors; training is above."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the top down; every module that is not named here is a stage.
TIERS = [
    {"__main__"},
    {"cli"},
    {"commands", "legend"},
    {"report", "lines"},
    {"watch", "pipeline"},
    {"a stage"},
    {"palettes"},
    {"errors"},
]
STAGE = TIERS.index({"a stage"})

# What training may use of facadegen; discovery, output, watching and reports are not its business.
FOR_TRAINING = {
    "cpus", "device", "errors", "formats", "generator", "labels", "palettes", "picture", "style",
    "torchscript", "weights",
}  # fmt: skip

# Who alone may import a package: each costs start-up time, or should be replaceable in one place.
OWNERS = {
    "rich": {"report"},
    "cyclopts": {"cli", "options"},
    "watchdog": {"observing"},
    "torch": {"device", "generator", "torchscript"},
    "training": set(),
    "torchvision": set(),
    "scipy": set(),
}
TORCH_JIT = {"facadegen/torchscript.py", "training/export.py", "training/networks/scripted.py"}


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> set[str]:
    """The dotted names of all that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path} imports relatively"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def modules(package: str) -> dict[str, set[str]]:
    """Module name -> what it imports."""
    return {path.stem: imports_of(path) for path in (ROOT / package).glob("*.py")}


def own(imported: set[str]) -> set[str]:
    """The modules of facadegen among what is imported."""
    known = {path.stem for path in (ROOT / "facadegen").glob("*.py")}
    return {
        parts[1] for name in imported if (parts := name.split("."))[0] == "facadegen" and len(parts) > 1
    } & known


def tier(module: str) -> int:
    return next((rank for rank, names in enumerate(TIERS) if module in names), STAGE)


@pytest.mark.parametrize("module", sorted(modules("facadegen").keys() - {"__init__"}))
def test_a_module_imports_nothing_from_above(module: str) -> None:
    above = {name for name in own(modules("facadegen")[module]) if tier(name) < tier(module)}
    assert not above, f"{module} imports {above}"


def test_no_module_needs_itself() -> None:
    graph = {
        module: own(imported) for module, imported in modules("facadegen").items() if module != "__init__"
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize("package", OWNERS)
def test_packages_are_imported_by_their_owners_alone(package: str) -> None:
    importers = {
        module
        for module, imported in modules("facadegen").items()
        if any(name.split(".")[0] == package for name in imported)
    }
    assert importers <= OWNERS[package]


def test_training_uses_what_makes_pictures_and_nothing_of_the_command() -> None:
    for path in (ROOT / "training").rglob("*.py"):
        foreign = own(imports_of(path)) - FOR_TRAINING
        assert not foreign, f"{path} imports {foreign}"


def test_torch_jit_is_used_where_models_are_loaded_and_exported_alone() -> None:
    """So that a move to torch.export touches these files and no other."""
    users = set()
    for package in ("facadegen", "training"):
        for path in (ROOT / package).rglob("*.py"):
            if any(isinstance(node, ast.Attribute) and node.attr == "jit" for node in ast.walk(syntax(path))):
                users.add(str(path.relative_to(ROOT)))
    assert users <= TORCH_JIT
