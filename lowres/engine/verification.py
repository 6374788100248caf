"""Re-run published trials here and hold them against their records."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lowres import world
from lowres.engine.tables import aligned
from lowres.ledger import Ledger, write_atomically
from lowres.params import InputError
from lowres.provenance import provenance
from lowres.published import as_published, read_published, verification_file
from lowres.trial import Record, code_fingerprint, trial_from
from lowres.trial import run as run_trial

TOLERANCE = 0.03
ANOTHER_MODEL = "another world model"  # in place of "differs": it was pretrained anew, on another processor


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

    Outcomes that are equal item for item agree exactly; otherwise each mean must lie within TOLERANCE of the recorded
    one (relative for likelihoods), since another processor or library adds numbers in another order and a greedy answer
    may flip. So does another number of threads, hence that of the record is taken. A world model is pretrained anew on
    every machine, on another processor as another model: there what is not equal says nothing. What was seen is kept in
    results/STUDY/verified.json: it re-certifies records made by older code. The re-run records go into the ledger.

    Raises:
        InputError: nothing is published for the study.
    """
    published = read_published(study)
    if not published:
        raise InputError(f"study {study!r} has no published records to verify")
    comparisons: list[Comparison] = []
    for record in random.Random(random_seed).sample(published, min(sample, len(published))):
        with _threads_of(record):
            again = run_trial(trial_from(record.trial))
        ledger.put(again)
        comparisons += compare(record, again)
    _keep(study, comparisons)
    return as_text(comparisons), all(row.agreement != "differs" for row in comparisons)


@contextlib.contextmanager
def _threads_of(record: Record) -> Iterator[None]:
    """As many threads as the record was made with; as many as before where it does not say."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(int(record.provenance.get("threads", before)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compare(record: Record, again: Record) -> list[Comparison]:
    """Every outcome of two records of the same trial, both with as many digits as are published."""
    record, again = as_published(record), as_published(again)
    rows, other_model = [], _pretrained_elsewhere(record, again)
    for where, measures in record.outcomes.items():
        for measure, recorded in measures.items():
            if measure == "chosen":
                continue
            name = measure if where == "task" else f"{where} {measure}"
            here = again.outcomes.get(where, {}).get(measure, [])  # other code may measure something else
            means, word = (_mean(recorded), _mean(here)), _agreement(recorded, here, "nll" in measure)
            word = ANOTHER_MODEL if other_model and word == "differs" else word
            rows.append(Comparison(record.key, record.trial["arm"], record.trial["seed"], name, *means, word))
    return rows


def _pretrained_elsewhere(record: Record, again: Record) -> bool:
    """Whether the trial's world model may be another one: both were pretrained, each on its own kind of processor."""
    processors = {one.provenance.get("hardware", "") for one in (record, again)}
    return world.is_world_model(record.trial["model"]) and len(processors) > 1


def _agreement(recorded: Sequence[float], here: Sequence[float], relative: bool) -> str:
    if recorded == here:
        return "exact"
    before, after = _mean(recorded), _mean(here)
    allowed = TOLERANCE * (max(1.0, abs(before)) if relative else 1.0)
    return "within tolerance" if len(recorded) == len(here) and abs(before - after) <= allowed else "differs"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def as_text(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as a table, with the tolerance."""
    rows = [("key", "arm", "seed", "outcome", "recorded", "here", "agreement")]
    rows += [
        (row.key, row.arm, str(row.seed), row.outcome, f"{row.recorded:.4f}", f"{row.here:.4f}", row.agreement)
        for row in comparisons
    ]
    other = sum(row.agreement == ANOTHER_MODEL for row in comparisons)
    why = f" {ANOTHER_MODEL}: pretrained anew, on another processor than that of the record." if other else ""
    return f"{aligned(rows)}\n\nTolerance of a mean: {TOLERANCE}.{why}"


def read_verification(study: str) -> dict[str, Any]:
    """The last verification: its date, hardware, code and comparisons; empty if there was none."""
    path = verification_file(study)
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _keep(study: str, comparisons: Sequence[Comparison]) -> None:
    kept = {
        "code": code_fingerprint(),
        "provenance": provenance(None),
        "tolerance": TOLERANCE,
        "comparisons": [asdict(row) for row in comparisons],
    }
    path = verification_file(study)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(kept, indent=1, sort_keys=True).encode())
