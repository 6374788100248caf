"""The studies: each module or package in this folder is one.

A study exposes
    TITLE, NOTEBOOK                   its title and the path of its notebook
    Params                            its parameters, a frozen dataclass (see `lowres.params`)
    tuning(params) -> trials          what has to run first to choose settings on validation data; may be empty
    trials(params, tuned) -> trials   the study itself, given the records of the tuning
    prepare(params, progress)         optional: makes what trials read (FIAT: rationales), before anything runs
    plan(params, ledger) -> text      optional: what it would cost, where that cannot be measured on the models
    CLAIMS, DEVIATIONS                what it tests and where it departs from the paper
and imports nothing heavy when it is imported.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowres.ledger import Ledger
    from lowres.trial import Record, Trial


@dataclass(frozen=True)
class Deviation:
    """Where a study departs from its paper, and the direction in which that probably bends the result."""

    original: str
    here: str
    expected_bias: str


def study_names() -> tuple[str, ...]:
    """Names of all studies, in alphabetical order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> ModuleType:
    """The module of a study."""
    return importlib.import_module(f"{__name__}.{name}")


def execute(study: ModuleType, params: Any, ledger: Ledger, **how: Any) -> list[Record]:
    """Run a study: first what tunes it, then the trials with the settings found; all records, tuning first.

    Args:
        params: resolved parameters of the study.
        how: `workers`, `fresh` and `progress`, as in `lowres.engine.run`.
    """
    from lowres import engine

    if hasattr(study, "prepare"):
        study.prepare(params)
    study.trials(params)  # what is impossible is refused before hours go into the tuning
    tuned = engine.run(study.tuning(params), ledger, **how)
    chosen: Callable[..., Sequence[Trial]] = study.trials
    return tuned + engine.run(chosen(params, tuned), ledger, **how)


def planned(study: ModuleType, params: Any, ledger: Ledger) -> list[Trial]:
    """All trials of a study as far as they are known: what follows from a tuning yet to be run is a guess."""
    tuning: list[Trial] = study.tuning(params)
    found = (ledger.get(trial.key()) for trial in tuning)
    tuned = [record for record in found if record and record.status == "done"]
    return [*tuning, *study.trials(params, tuned)]


class IncompleteRun(RuntimeError):
    """Some trials failed; their records say why, and the others are kept."""


def insist_on_all(records: Sequence[Record]) -> list[Record]:
    """The records, if none of them failed: a page must not be made from part of a run.

    Raises:
        IncompleteRun: names every failed trial and its error.
    """
    failed = [record for record in records if record.status == "failed"]
    if failed:
        lines = [f"{record.trial['arm']}, seed {record.trial['seed']}: {record.error}" for record in failed]
        raise IncompleteRun(f"{len(failed)} of {len(records)} trials failed:\n  " + "\n  ".join(lines))
    return list(records)
