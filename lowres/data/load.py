"""Tasks and probes by name, and the table of everything that is trained on or measured."""

import difflib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from lowres import world
from lowres.data import fiat_files, files, hub, probes, tasks
from lowres.data.own import TaskOptions
from lowres.data.pool import pool_sources
from lowres.examples import Probe, Task
from lowres.params import InputError

NO_OPTIONS = TaskOptions()
WITH_RATIONALES = (
    *(*world.KNOWN_TASKS, "world-two-hop"),
    *("wiki-crosslingual-fr", "wiki-crosslingual-es", "country-language"),
)  # of their own
RELEASES: dict[str, Callable[[str], Task]] = {  # data of papers, read from a folder that the user has
    "xor-attriqa:": functools.cache(fiat_files.xor_attriqa),
    "xtreme-up:": functools.cache(fiat_files.xtreme_up_qa),
}


def task_names() -> tuple[str, ...]:
    """The bundled tasks and those of the world, which need no network."""
    return (*tasks.TASKS, *world.TASKS)


def probe_names() -> tuple[str, ...]:
    """The retention probes, those of real text first."""
    return (*probes.PROBES, *world.PROBES)


def load_task(name: str, options: TaskOptions = NO_OPTIONS) -> Task:
    """The task `name`: a bundled one, `jsonl:PATH` (a file, or a folder with train.jsonl ...) or `hub:ID`.

    Those in `hub.NAMED` are a paper's and come from the hub; `xor-attriqa:FOLDER` and `xtreme-up:FOLDER` read unpacked
    releases. `options` apply to `jsonl:` and `hub:` only.
    Raises InputError for an unknown name and for unusable data.
    """
    problem = check_name(name)
    if problem:
        raise InputError(problem)
    if name.startswith(files.PREFIX):
        return files.file_task(name, options)
    if name.startswith(hub.PREFIX):
        return hub.hub_task(name, options)
    prefix = _release(name)
    if prefix and options == NO_OPTIONS:
        return RELEASES[prefix](name.removeprefix(prefix))
    if name in hub.NAMED and options == NO_OPTIONS:
        return hub.named_task(name)
    if options != NO_OPTIONS:
        raise InputError(f"task options apply to {files.PREFIX}PATH and {hub.PREFIX}ID only, not to {name!r}")
    return world.load_task(name) if name in world.TASKS else tasks.TASKS[name]()


def load_probe(name: str) -> Probe:
    """The probe `name`; its examples are in a fixed random order, so that the first n are a fixed random subset."""
    if name not in probe_names():
        raise InputError(_unknown("probe", name, probe_names(), ""))
    return world.load_probe(name) if name in world.PROBES else probes.PROBES[name]()


def check_name(name: str) -> str | None:
    """What is wrong with the task name `name`, in words, or None. Reads no data."""
    if name.startswith(files.PREFIX):
        return files.check_path(name.removeprefix(files.PREFIX))
    if name.startswith(hub.PREFIX):
        return hub.check_place(name.removeprefix(hub.PREFIX))
    if prefix := _release(name):
        folder = Path(name.removeprefix(prefix)).expanduser()
        return None if folder.is_dir() else f"{name}: there is no such folder ({folder.absolute()})"
    if name in task_names() or name in hub.NAMED:
        return None
    return _unknown(
        "task",
        name,
        (*task_names(), *hub.NAMED),
        f", {files.PREFIX}PATH, {hub.PREFIX}ID, {', '.join(f'{p}FOLDER' for p in RELEASES)}",
    )


def _release(name: str) -> str:
    """The prefix of a release that a name begins with; empty for none."""
    return next((prefix for prefix in RELEASES if name.startswith(prefix)), "")


def _unknown(kind: str, name: str, known: tuple[str, ...], also: str) -> str:
    near = difflib.get_close_matches(name, known, 1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}: {guess}known are {', '.join(known)}{also}"


# --- the table for the page on data -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class CatalogueRow:
    """One task, probe or part of the general pool; `train`, `validation` and `test` count items."""

    name: str
    kind: str
    train: int
    validation: int
    test: int
    chance: float | None
    metric: str
    source: str
    licence: str
    note: str


def catalogue() -> tuple[CatalogueRow, ...]:
    """Tasks, then probes (their items count as test), then the general pool (its items count as train)."""
    return (*_task_rows(), *_probe_rows(), *_pool_rows())


def _task_rows() -> list[CatalogueRow]:
    found = []
    for task in map(load_task, task_names()):
        sizes = (len(task.train), len(task.validation), len(task.test))
        chance = fmean(1 / len(item.choices) for item in task.test) if task.test[0].choices else None
        about = (task.metric, task.source, task.licence, task.note)
        found.append(CatalogueRow(task.name, "task", *sizes, chance, *about))
    return found


def _probe_rows() -> list[CatalogueRow]:
    found = []
    for probe in map(load_probe, probe_names()):
        metric = "accuracy" if probe.kind == "choice" else "nll"
        about = (metric, probe.source, probe.licence, probe.warning)
        found.append(CatalogueRow(probe.name, "probe", 0, 0, len(probe.examples), probe.chance, *about))
    return found


def _pool_rows() -> list[CatalogueRow]:
    found = []
    for row in pool_sources():
        left_out = f"{row.too_long} too long, {row.repeated} repeated and {row.in_a_probe} near a probe left out"
        about = ("", row.source, row.licence, f"{row.note}; {left_out}")
        found.append(CatalogueRow(row.name, "general pool", row.items, 0, 0, None, *about))
    return found
