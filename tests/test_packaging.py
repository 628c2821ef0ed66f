"""A wheel installed far from the checkout works, and brings the weights."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Path:
    """A wheel built from a copy of the tracked sources, with tiny weights for facades.pt."""
    source = tmp_path_factory.mktemp("source")
    for name in ("facadegen", "training"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "README.md").write_text("facadegen")
    (source / "weights").mkdir()
    shutil.copy(tiny_weights, source / "weights" / "facades.pt")
    built = tmp_path_factory.mktemp("wheel")
    # The backend of pyproject.toml, but without an environment of its own: that takes a registry.
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, built], cwd=source, check=True, capture_output=True)
    (path,) = built.glob("*.whl")
    return path


@pytest.mark.slow
def test_a_wheel_holds_both_packages_and_the_weights(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("facadegen", "training"):
        sources = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert sources <= names
    assert "facadegen/_weights/facades.pt" in names
    assert not {name for name in names if name.startswith(("tests", "weights"))}


@pytest.mark.slow
def test_a_wheel_works_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    paths = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # What facadegen depends on comes from the environment of the tests; facadegen itself must not.
    ours = [path for path in sys.path if path.endswith("-packages")]
    (site / "dependencies.pth").write_text("\n".join(ours))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str) -> str:
        command = [str(python), "-P", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import facadegen; print(facadegen.__file__)").strip() == str(
        site / "facadegen/__init__.py"
    )
    info = run("-m", "facadegen", "info")
    assert str(site / "facadegen" / "_weights" / "facades.pt") in info
    entry_points = configparser.ConfigParser()
    (metadata,) = site.glob("*.dist-info/entry_points.txt")
    entry_points.read(metadata)
    assert entry_points["console_scripts"]["facadegen"] == "facadegen.__main__:main"


def test_the_project_file_names_the_build_backend_alone() -> None:
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system"}


def test_every_dependency_has_a_tested_version_in_its_range() -> None:
    from packaging.requirements import Requirement

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    wanted = [Requirement(line) for text in lines for line in text.splitlines() if re.match(r"\w", line)]
    pins = dict(
        line.strip().lower().split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    for requirement in wanted:
        if requirement.name == "facadegen":  # an extra that includes another one
            continue
        assert requirement.specifier.contains(pins[requirement.name.lower()]), requirement


def test_every_package_is_in_the_wheel() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = {name for name in setup["options"]["packages"].split() if name != "facadegen._weights"}
    found = {
        str(path.parent.relative_to(ROOT)).replace(os.sep, ".")
        for package in ("facadegen", "training")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert listed == found
