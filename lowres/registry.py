"""The studies by name, and how any of them is run: each module or package in `lowres.studies` is one.

A study exposes
    TITLE, NOTEBOOK                   its title and the path of its notebook
    Params                            its parameters, a frozen dataclass (see `lowres.params`)
    tuning(params) -> trials          what has to run first to choose settings on validation data; may be empty
    trials(params, tuned) -> trials   the study itself, given the records of the tuning
    prepare(params, progress)         optional: makes what trials read (FIAT: rationales), before anything runs
    insist_on_possible(params, trials)  optional: refuses what data or model do not allow, before anything runs
    left_out(params) -> lines         optional: what is asked for and not run, because data do not suffice
    to_prepare(params) -> lines       optional: what `prepare` would still make
    CLAIMS, DEVIATIONS                what it tests and where it departs from the paper
    rules, page                       modules of it: how its claims are decided, and what its notebook shows
and imports nothing heavy when it is imported.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lowres.rates import on_seeds, tune

if TYPE_CHECKING:
    from lowres.ledger import Ledger
    from lowres.trial import Record, Trial

FOLDER = "lowres.studies"
TIERS = ("read", "smoke", "laptop", "gpu", "paper")
READ = "read"  # a tier: published records only, no trial is run


def study_names() -> tuple[str, ...]:
    """Names of all studies, in alphabetical order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(FOLDER).__path__)))


def load(name: str) -> ModuleType:
    """The module of a study."""
    return importlib.import_module(f"{FOLDER}.{name}")


def execute(study: ModuleType, params: Any, ledger: Ledger, **how: Any) -> list[Record]:
    """Run a study: first what tunes it, then the trials with the settings found; all records, tuning first.

    Args:
        params: resolved parameters of the study.
        how: `workers`, `fresh`, `progress` and `on`, as in `lowres.engine.run`.

    Raises:
        OtherShards: a shard cannot go on, or end, without the records of others.
    """
    from lowres import engine

    if params.tier == READ:
        return []
    if hasattr(study, "prepare"):
        study.prepare(params)
    first = possible(study, params)  # what is impossible is refused before hours go into the tuning
    tries = on_seeds(study.tuning(params), params.seeds or (0,))
    for line in engine.told_before([*tries, *first]):
        print(line)
    tuned = tune(tries, lambda trials: engine.run(trials, ledger, **how), _unharmed(study))
    chosen: Callable[..., Sequence[Trial]] = study.trials
    return tuned + engine.run(chosen(params, tuned), ledger, **how)


def live(study: ModuleType, params: Any) -> list[Trial]:
    """The trials that a page runs, as far as they are known before their tuning; none where records are only read.

    What they read is prepared, so that each has its key.
    """
    if params.tier == READ:
        return []
    if hasattr(study, "prepare"):
        study.prepare(params)
    return possible(study, params)


def possible(study: ModuleType, params: Any, tuned: Sequence[Record] = ()) -> list[Trial]:
    """The trials of a study, if data and model allow them.

    Raises:
        InputError: says what they do not allow.
    """
    trials = list(study.trials(params, tuned))
    if hasattr(study, "insist_on_possible"):
        study.insist_on_possible(params, trials)
    return trials


def planned(study: ModuleType, params: Any, ledger: Ledger) -> list[Trial]:
    """All trials of a study as far as they are known: what follows from a tuning yet to be run is a guess."""
    from lowres.engine.planning import known_key

    asked: list[Trial] = []

    def known(trials: Sequence[Trial]) -> list[Record]:
        asked.extend(trials)
        found = [ledger.get(key) if (key := known_key(trial)) else None for trial in trials]
        return [record for record in found if record] if all(found) else []

    tuned = tune(on_seeds(study.tuning(params), params.seeds or (0,)), known, _unharmed(study))
    return [*dict.fromkeys(asked), *possible(study, params, tuned)]


def _unharmed(study: ModuleType) -> Callable[[str], Sequence[str]] | None:
    """What no learning rate may harm by itself, by the name of a model, in a study that minds."""
    found: Callable[[str], Sequence[str]] | None = getattr(study, "UNHARMED", None)
    return found


def left_out(study: ModuleType, params: Any) -> list[str]:
    """What the parameters ask for and a study leaves out, because data do not suffice, in words."""
    return list(study.left_out(params)) if hasattr(study, "left_out") and params.tier != READ else []


def to_prepare(study: ModuleType, params: Any) -> list[str]:
    """What a study would still make before its trials, in words."""
    return list(study.to_prepare(params)) if hasattr(study, "to_prepare") else []


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
