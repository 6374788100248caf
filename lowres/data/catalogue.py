"""The table of everything that is trained on or measured, for the page on data."""

from dataclasses import dataclass
from statistics import fmean

from lowres.data.load import load_probe, load_task, probe_names, task_names
from lowres.data.pool import pool_sources


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
