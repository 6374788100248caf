"""The one table made of records: a row per record, columns by path, outcomes as arrays [seeds, items].

Nothing outside of here reads a record by string. A cell is what a mean is taken over the seeds of: all records that
have the same values in the columns that are asked for, such as `arm="tell", model="world-s", task_tokens=1000`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lowres import world
from lowres.rates import unseeded, writer_of
from lowres.trial import Recipe

if TYPE_CHECKING:
    from lowres.data import Task
    from lowres.trial import Record

Cell = Mapping[str, Hashable]
Row = dict[str, Any]


_USUAL_RECIPE = asdict(Recipe())  # what a spec leaves out is as usual


class NotRun(LookupError):
    """No record has what a cell asks for; the text names it."""


class Ambiguous(LookupError):
    """Several records of one seed have what a cell asks for; the text names what they differ in."""


def row_of(record: Record) -> Row:
    """What can be asked of a record, flat: names of the trial, its recipe, tuner, optimisation and evaluation.

    `model` is without its seed, as is `writer`, who wrote the rationales; `ratio` is general tokens per task token,
    `share` that of general tokens in all, in hundredths, `stream` the names of the tasks before,
    `probes` those of what was measured besides; a tuner may have a `rank`, `positions` and `layers`.
    """
    trial = record.trial
    recipe, optimisation = {**_USUAL_RECIPE, **trial["recipe"]}, trial["optimisation"] or {}
    row = {name: trial[name] for name in ("study", "arm", "task", "seed", "precision")}
    row |= {name: value for name, value in recipe.items() if isinstance(value, (str, int, float))}
    row |= {name: optimisation.get(name) for name in ("learning_rate", "epochs", "batch_size", "steps")}
    row["model"], row["split"] = unseeded(trial["model"]), trial["evaluation"]["split"]
    row["probes"] = tuple(trial["evaluation"]["probes"])
    tuner = trial["tuner"] or {}
    row |= {name: tuner[name] for name in ("rank", "positions", "layers") if name in tuner}
    row["tuner"] = tuner.get("name", "")
    row["ratio"] = recipe["general_tokens"] / recipe["task_tokens"] if recipe["task_tokens"] else None
    row["share"] = round(recipe["general_tokens"] / (recipe["task_tokens"] + recipe["general_tokens"] or 1), 2)
    row["stream"] = tuple(stage["task"] for stage in trial.get("stream", ()))
    row["writer"] = writer_of(row["rationales"])
    return row


@dataclass(frozen=True)
class Outcomes:
    """Finished records, asked by cell.

    `same` are arms that may be one trial under two names, of which a record has but one: asked for the first, the
    second stands in for seeds that lack it, if it has also what is named beside it.
    """

    records: tuple[Record, ...]
    same: Mapping[str, tuple[str, Cell]] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Iterable[Record], same: Mapping[str, tuple[str, Cell]] | None = None) -> Outcomes:
        """The table of these records; failed trials have no outcomes and are left out."""
        return cls(tuple(record for record in records if record.status == "done"), same or {})

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One row per record, in the order of the records."""
        return tuple(row_of(record) for record in self.records)

    def values(self, column: str, **asked: Hashable) -> list[Any]:
        """The different values of a column among the rows that have what is asked, in ascending order."""
        return sorted({row[column] for row in self.rows if _fits(row, asked)})

    def by_seed(self, **asked: Hashable) -> dict[int, Record]:
        """The records of a cell by seed; test items unless another split is asked.

        Raises:
            NotRun: there is none.
            Ambiguous: several of one seed.
        """
        wanted = {"split": "test", **asked}
        found = self._rows_of(wanted)
        other, only = self.same.get(str(asked.get("arm")), ("", {}))
        if other and all(_equal(value, asked.get(name, value)) for name, value in only.items()):
            found = {**self._rows_of({**wanted, "arm": other, **only}), **found}
        if not found:
            raise NotRun(_words(asked))
        for seed, several in found.items():
            if len(several) > 1:
                raise Ambiguous(f"{_words(asked)}, seed {seed}: {_differences([self.rows[i] for i in several])}")
        return {seed: self.records[indices[0]] for seed, indices in sorted(found.items())}

    def _rows_of(self, wanted: Cell) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        alike = self._of_arm.get(wanted["arm"], []) if "arm" in wanted else range(len(self.rows))
        for index in alike:
            if _fits(self.rows[index], wanted):
                found.setdefault(self.rows[index]["seed"], []).append(index)
        return found

    @cached_property
    def _of_arm(self) -> dict[Hashable, list[int]]:
        """Which rows are of an arm: nearly every question names one."""
        found: dict[Hashable, list[int]] = {}
        for index, row in enumerate(self.rows):
            found.setdefault(row["arm"], []).append(index)
        return found

    def tables(self, cells: Sequence[Cell], read: Callable[[Record], NDArray]) -> tuple[list[int], list[NDArray]]:
        """What is read from several cells on the seeds that all of them have, each [seeds, items], and those seeds.

        What has no randomness (no tuner, no shots, no world model) stands beside every seed.

        Raises:
            NotRun, Ambiguous: as `by_seed`; also when no seed is common to all.
        """
        runs = [self.by_seed(**cell) for cell in cells]
        fixed = [_is_fixed(next(iter(run.values()))) for run in runs]
        seeded = [set(run) for run, alone in zip(runs, fixed, strict=True) if not alone] or [set(runs[0])]
        seeds = sorted(set.intersection(*seeded))
        if not seeds:
            raise NotRun("no seed in common: " + "; ".join(_words(cell) for cell in cells))
        rows = [
            [read(next(iter(run.values())) if alone else run[seed]) for seed in seeds]
            for run, alone in zip(runs, fixed, strict=True)
        ]
        return seeds, [np.array(table, dtype=np.float64) for table in rows]


def _fits(row: Row, asked: Cell) -> bool:
    return all(name in row and _equal(row[name], value) for name, value in asked.items())


def _equal(here: Any, asked: Any) -> bool:
    if isinstance(here, float) and isinstance(asked, (int, float)):
        return abs(here - asked) <= 1e-6 * max(abs(here), abs(asked))  # a ratio of token counts, a rate
    return bool(here == asked)


def _words(cell: Cell) -> str:
    return ", ".join(f"{name} {value}" for name, value in cell.items())


def _differences(rows: Sequence[Row]) -> str:
    names = [name for name in rows[0] if len({repr(row.get(name)) for row in rows}) > 1]
    return "; ".join(f"{name} {' or '.join(sorted({str(row.get(name)) for row in rows}))}" for name in names)


def _is_fixed(record: Record) -> bool:
    """Nothing is tuned or drawn, and the model was pretrained but once."""
    trial = record.trial
    return not trial["tuner"] and not trial["recipe"]["shots"] and not world.is_world_model(trial["model"])


# --- what is read from a record --------------------------------------------------------------------------------------


def of_task(measure: str = "") -> Callable[[Record], NDArray]:
    """Reads an outcome of the trial's own task per unit: items that share a group (a person, a country) count as one.

    measure: the task's own metric where none is named.
    """

    def read(record: Record) -> NDArray:
        from lowres.data import TaskOptions, load_task

        task = load_task(record.trial["task"], TaskOptions(**record.trial["options"]))
        values = np.asarray(record.outcomes["task"][measure or task.metric], dtype=np.float64)
        return by_unit(values, units(task, len(values)))

    return read


@lru_cache(maxsize=256)
def units(task: Task, items: int) -> tuple[str, ...]:
    """What each of the first test items counts under: its group where the test has groups of its own, else itself.

    A person or a passage is drawn whole, and nothing of it is in training. A group that training has too, such as a
    topic or the source of a question, is a kind of item: of each kind the items are drawn one by one.
    """
    kinds = {example.group for example in task.train} | {""}
    return tuple(example.id if example.group in kinds else example.group for example in task.test[:items])


def by_unit(values: NDArray, names: Sequence[str]) -> NDArray:
    """Outcomes [items] as [units], in the order in which units first appear: same mean, a column per unit.

    With I items, mean m and U units, unit u of n_u items has m + (sum of its items - n_u m) U / I: units of different
    sizes differ by what their items do, not by how many there are (the expansion of a ratio of sums).
    """
    order = {name: column for column, name in enumerate(dict.fromkeys(names))}
    sums, mean = np.zeros(len(order)), values.mean()
    np.add.at(sums, [order[name] for name in names], values - mean)
    return np.asarray(mean + sums * len(order) / len(values))
