"""What the book needs, what of it this machine has, and how to get the rest.

The requirement files are the list of packages and of the versions that were tested; they are not repeated here. The
check must also work where half of the packages are missing, so each part imports what it looks at by itself.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from lowres.params import InputError
from lowres.places import ROOT

PYTHONS = ((3, 11), (3, 14))
REQUIREMENTS = {
    "requirements.txt": "pip install -r requirements.txt",
    "requirements-nodeps.txt": "pip install --no-deps -r requirements-nodeps.txt",
}
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)\s*(?:==\s*([^\s;#]+))?", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for; `remedy` says how to get it when it is missing."""

    what: str
    found: str
    remedy: str = ""


def examine() -> tuple[str, bool]:
    """The findings as text, and whether nothing is missing."""
    sections: dict[str, Callable[[], Iterator[Finding]]] = {
        "Machine": machine,
        "Devices": devices,
        "Packages": packages,
        "Models": model_files,
        "Data": data_files,
        "Folders": folders,
    }
    findings = {title: list(_careful(title, look)) for title, look in sections.items()}
    everything = [finding for group in findings.values() for finding in group]
    width = max(len(finding.what) for finding in everything)
    lines = []
    for title, group in findings.items():
        lines.append(title)
        lines += [f"  {'MISSING' if each.remedy else 'ok':<7}  {each.what:<{width}}  {each.found}" for each in group]
    remedies = list(dict.fromkeys(finding.remedy for finding in everything if finding.remedy))
    lines.append("\nTo get what is missing:" if remedies else "\nNothing is missing.")
    return "\n".join([*lines, *(f"  {remedy}" for remedy in remedies)]), not remedies


def of_users_own(model: str | None, task: str | None) -> tuple[str, bool]:
    """What was found out about a user's model and task, as text, and whether both can be used."""
    from lowres.data import load_task
    from lowres.engine.examination import examine as look_at

    def of_model(name: str) -> list[tuple[bool, str]]:
        return [(each.wrong, f"{each.about}: {each.text}") for each in look_at(name)] or [
            (False, "a model of the book")
        ]

    def of_task(name: str) -> list[tuple[bool, str]]:
        return [(False, line) for line in load_task(name).note.split("\n")]

    lines, healthy = list[str](), True
    for name, look in ((model, of_model), (task, of_task)):
        if not name:
            continue
        try:
            found = look(name)
        except InputError as error:
            found = [(True, problem) for problem in error.problems]
        lines += [name, *(f"  {'WRONG' if wrong else 'ok':<7}  {text}" for wrong, text in found)]
        healthy = healthy and not any(wrong for wrong, _ in found)
    return "\n".join(lines), healthy


def machine() -> Iterator[Finding]:
    """Python, the system, processors and memory."""
    oldest, newest = ("{}.{}".format(*version) for version in PYTHONS)
    fits = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    yield Finding("python", platform.python_version(), "" if fits else f"install Python {oldest} to {newest}")
    yield Finding("system", platform.platform(terse=True))
    yield Finding(
        "processors", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    )
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        yield Finding("memory", _size(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))


def devices() -> Iterator[Finding]:
    """What torch can compute on."""
    import torch

    yield Finding("cpu", f"{torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        yield Finding(f"cuda:{index}", f"{card.name}, {_size(card.total_memory)}")
    if not torch.cuda.is_available():
        yield Finding("cuda", "none: the tiers smoke and laptop do without")


def packages() -> Iterator[Finding]:
    """Every package of the requirement files, against the version that was tested."""
    tested = dict(_PIN.findall(_text("constraints.txt")))
    for file, remedy in REQUIREMENTS.items():
        for name, pin in _PIN.findall(_text(file)):
            expected = pin or tested.get(name, "")
            try:
                version = metadata.version(name)
            except metadata.PackageNotFoundError:
                yield Finding(name, f"not installed (tested with {expected or 'any'})", remedy)
                continue
            same = not expected or version.partition("+")[0] == expected
            yield Finding(name, version if same else f"{version} (tested with {expected})")


def model_files() -> Iterator[Finding]:
    """The models that travel inside wheels."""
    from lowres import models

    for name in models.BUNDLED:
        try:
            path = models.bundled_file(name)
            yield Finding(name, f"{path} ({_size(path.stat().st_size)})")
        except InputError as error:
            yield Finding(name, str(error), REQUIREMENTS["requirements-nodeps.txt"])


def data_files() -> Iterator[Finding]:
    """The wheels that tasks and probes are read from."""
    from lowres import data

    for wheel in data.wheels():
        missing = wheel.folder is None
        remedy = REQUIREMENTS["requirements-nodeps.txt"] if missing else ""
        yield Finding(wheel.name, f"{'not installed' if missing else wheel.folder}: {wheel.use}", remedy)


def folders() -> Iterator[Finding]:
    """Where records and converted models go, and how much room there is."""
    from lowres.models import cache_folder
    from lowres.places import ledger_folder

    for what, folder, variable in (
        ("ledger", ledger_folder(), "LOWRES_LEDGER"),
        ("model cache", cache_folder(), "LOWRES_CACHE"),
    ):
        existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        writable = existing.is_dir() and os.access(existing, os.W_OK)
        room = f"{_size(shutil.disk_usage(existing).free)} free" if writable else "not writable"
        yield Finding(what, f"{folder} ({room})", "" if writable else f"set {variable} to a folder that can be written")


def _careful(title: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of one part; a package that cannot be imported is itself a finding."""
    try:
        yield from look()
    except (ImportError, OSError) as error:  # OSError: a shared library of an installed package is missing
        yield Finding(title.lower(), f"cannot be looked at: {error}", "make book   (installs the tested packages)")


def _text(file: str) -> str:
    path = ROOT / file
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
