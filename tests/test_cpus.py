"""How many processors a machine or a container leaves to us."""

from pathlib import Path

import pytest

from facadegen import cpus


def test_available_cpus_respects_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cpus, "_QUOTA", quota)
    unlimited = cpus.available_cpus()
    assert unlimited >= 1
    quota.write_text("max 100000\n")
    assert cpus.available_cpus() == unlimited
    quota.write_text("100000 100000\n")
    assert cpus.available_cpus() == 1
    quota.write_text("50000 100000\n")
    assert cpus.available_cpus() == 1
