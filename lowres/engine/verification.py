"""Re-run published trials here and hold them against their records."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lowres import models
from lowres.engine.pool import run as run_trials
from lowres.engine.tables import aligned
from lowres.ledger import Ledger, write_atomically
from lowres.ledger.published import as_published, read_confirmatory, read_published, verification_file
from lowres.params import InputError
from lowres.places import environment
from lowres.trial import RESULT_VERSION, Record, fingerprints, trial_from
from lowres.trial.provenance import provenance

TOLERANCE = 0.03
CHANGES = {"data": "other data", "model": "another model", "version": "another version"}
AGREEING = ("exact", "within tolerance")
NOT_HERE = "cannot run here"


@dataclass(frozen=True)
class Comparison:
    """One outcome of one trial: the recorded mean, the mean measured again, and whether they agree."""

    key: str
    arm: str
    seed: int
    outcome: str
    recorded: float
    here: float
    agreement: str


def verify(study: str, sample: int, ledger: Ledger, random_seed: int | None = None) -> tuple[str, bool]:
    """Re-run randomly drawn published trials here; the comparison as text, and whether all of it agrees.

    Outcomes that are equal item for item agree exactly, and those of world models must. For other models each mean must
    else lie within TOLERANCE of the recorded one (relative for likelihoods), since another processor or library adds
    numbers in another order and a greedy answer may flip; threads and number format are taken from the record. A trial
    whose data, model or version is no longer that of its record is not run: whatever came out would say nothing about
    the record. What was seen is kept in results/STUDY/_verified.json; the re-run records go into the ledger.

    Raises:
        InputError: nothing is published for the study.
    """
    published = read_confirmatory(study) or read_published(study)
    if not published:
        raise InputError(f"study {study!r} has no published records to verify")
    drawn = random.Random(random_seed).sample(published, min(sample, len(published)))
    comparisons = [row for record in drawn for row in _again(record, ledger)]
    _keep(study, comparisons)
    return as_text(comparisons), all(row.agreement in AGREEING for row in comparisons)


def _again(record: Record, ledger: Ledger) -> list[Comparison]:
    """The comparison of a record with the same trial run now, or with nothing where it cannot be the same."""
    try:
        trial = trial_from(record.trial)
        now = fingerprints(trial)
    except InputError:  # its data or its model are not on this machine
        return _compared(record, {}, NOT_HERE)
    change = _change(record.fingerprints, now)
    if change:
        return _compared(record, {}, change)
    here = models.resolved_precision(trial.model, trial.precision, models.device_for(trial.model))
    if (recorded := record.provenance.get("precision", here)) != here:
        trial = replace(trial, precision=recorded)
    told = record.provenance.get("threads")  # as many as it was made with
    with environment({"OMP_NUM_THREADS": told} if told else {}):
        (again,) = run_trials([trial], ledger, fresh=True, progress=False)
    return compare(record, again)


def compare(record: Record, again: Record) -> list[Comparison]:
    """Every outcome of two records of the same trial, both with as many digits as are published."""
    record, again = as_published(record), as_published(again)
    return _compared(record, again.outcomes, _change(record.fingerprints, again.fingerprints))


def _change(recorded: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What of a trial's identity is no longer as recorded, in words; records of the first edition have version 1."""
    return next((word for name, word in CHANGES.items() if recorded.get(name, "1") != now.get(name, "1")), "")


def _compared(record: Record, found: Mapping[str, Mapping[str, Sequence[float]]], change: str) -> list[Comparison]:
    """One row per outcome; a change of identity stands in place of the agreement."""
    rows, must_be_exact = [], models.is_exact(record.trial["model"])
    for where, measures in record.outcomes.items():
        for measure, recorded in measures.items():
            if measure == "chosen":
                continue
            name = measure if where == "task" else f"{where} {measure}"
            here = found.get(where, {}).get(measure, [])  # another version may measure something else
            word = change or _agreement(recorded, here, "nll" in measure, must_be_exact)
            means = _mean(recorded), _mean(here)
            rows.append(Comparison(record.key, record.trial["arm"], record.trial["seed"], name, *means, word))
    return rows


def _agreement(recorded: Sequence[float], here: Sequence[float], relative: bool, must_be_exact: bool = False) -> str:
    if recorded == here:
        return "exact"
    before, after = _mean(recorded), _mean(here)
    allowed = TOLERANCE * (max(1.0, abs(before)) if relative else 1.0)
    close = len(recorded) == len(here) and abs(before - after) <= allowed
    return "within tolerance" if close and not must_be_exact else "differs"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def as_text(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as a table, with the tolerance."""
    rows = [("key", "arm", "seed", "outcome", "recorded", "here", "agreement")]
    rows += [
        (row.key, row.arm, str(row.seed), row.outcome, f"{row.recorded:.4f}", f"{row.here:.4f}", row.agreement)
        for row in comparisons
    ]
    changed = any(row.agreement in CHANGES.values() for row in comparisons)
    why = " What changed since its record was made was not run: run the study anew." if changed else ""
    return f"{aligned(rows)}\n\nTolerance of a mean: {TOLERANCE}; none for world models.{why}"


def read_verification(study: str) -> dict[str, Any]:
    """The last verification: its version, date, hardware and comparisons; empty if there was none."""
    path = verification_file(study)
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _keep(study: str, comparisons: Sequence[Comparison]) -> None:
    kept = {
        "version": RESULT_VERSION,
        "provenance": provenance(None),
        "tolerance": TOLERANCE,
        "comparisons": [asdict(row) for row in comparisons],
    }
    path = verification_file(study)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(kept, indent=1, sort_keys=True).encode())
