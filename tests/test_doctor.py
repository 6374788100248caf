"""The doctor must tell what is missing and how to get it, most of all where much is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lowres.cli import doctor
from lowres.cli.doctor import Finding


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with requirement files of its own."""
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    (tmp_path / "constraints.txt").write_text("# all\npytest==0.1\nhypothesis==2\n")
    (tmp_path / "requirements.txt").write_text("-c constraints.txt\n# tools\npytest\nno-such-package==1.2  # why\n")
    (tmp_path / "requirements-nodeps.txt").write_text("no_such_wheel\n")
    return tmp_path


def test_packages_are_held_against_the_tested_versions(root: Path, monkeypatch: pytest.MonkeyPatch):
    missing = doctor.metadata.PackageNotFoundError

    def version(name: str) -> str:
        if name != "pytest":
            raise missing(name)
        return "9.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    assert list(doctor.packages()) == [
        Finding("pytest", "9.0 (tested with 0.1)"),
        Finding("no-such-package", "not installed (tested with 1.2)", "pip install -r requirements.txt"),
        Finding("no_such_wheel", "not installed (tested with any)", "pip install --no-deps -r requirements-nodeps.txt"),
    ]


def test_a_local_build_of_the_tested_version_is_the_tested_version(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor.metadata, "version", lambda name: {"pytest": "0.1+cpu"}.get(name, "1.2"))
    assert next(doctor.packages()) == Finding("pytest", "0.1+cpu")


def test_a_part_that_cannot_be_imported_is_a_finding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (finding,) = doctor._careful("Devices", doctor.devices)
    assert finding.what == "devices"
    assert "torch" in finding.found
    assert finding.remedy.startswith("make book")


def test_a_folder_that_cannot_be_written_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path / "file" / "ledger"))
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "new" / "cache"))
    ledger, cache = doctor.folders()
    assert ledger.found.endswith("(not writable)")
    assert ledger.remedy == "set LOWRES_LEDGER to a folder that can be written"
    assert cache.found.endswith("free)")
    assert not cache.remedy
    assert not (tmp_path / "new").exists(), "looking changes nothing"


@pytest.mark.parametrize("remedy", ["", "do this"])
def test_the_report_ends_with_what_to_do(monkeypatch: pytest.MonkeyPatch, remedy: str):
    for part in ("machine", "devices", "packages", "model_files", "data_files", "folders"):
        monkeypatch.setattr(doctor, part, lambda: iter([Finding("thing", "found", remedy)]))
    text, healthy = doctor.examine()
    assert healthy is (remedy == "")
    assert text.splitlines()[1] == f"  {'MISSING' if remedy else 'ok':<7}  thing  found"
    assert text.endswith("To get what is missing:\n  do this" if remedy else "Nothing is missing.")


def test_here_nothing_is_missing():
    text, healthy = doctor.examine()
    assert healthy, text
