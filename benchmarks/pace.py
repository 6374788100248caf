"""How fast processors are: the few numbers of `lowres.engine.cost.Pace`, fitted to published records, and how far off.

    python -m benchmarks.pace      prints the numbers, for PROCESSORS in cost.py, and writes results/pace.json

A kind of processor is its maker and the number format. A fit minimises the error of the logarithm of seconds, robustly,
and all sizes of models weigh the same however many records there are of each.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass

import numpy as np
from scipy.optimize import least_squares

from lowres import places, registry
from lowres.engine import cost
from lowres.ledger import published
from lowres.rates import unseeded
from lowres.trial import Record, trial_from

START = (1e11, 2e-3, 2e-3, 5e-6, 1e-4, 1e-4)
SOFT = 0.05  # of the logarithm: larger errors count by their size, smaller ones by its square
NOTHING = 1e-9  # seconds: a fit leaves a number that is not needed near 0
LEAST = 0.05  # seconds: what took less was remembered from another trial, not computed


@dataclass(frozen=True)
class Timed:
    """A trial as recorded: what it did, in the terms of a `Pace`, and its seconds of training and evaluation."""

    study: str
    size: str
    machine: str
    precision: str
    parts: tuple[float, ...]
    seconds: float

    def told(self, pace: cost.Pace) -> float:
        """Seconds that a pace predicts, over those that it took."""
        rate, *others = astuple(pace)
        beside = sum(number * took for number, took in zip(self.parts[1:], others, strict=True))
        return (self.parts[0] / rate + beside) / self.seconds


def timed(records: Iterable[Record]) -> list[Timed]:
    """The finished trials of processors among records; tokens and updates are those recorded, which a plan counts."""
    found = []
    for record in records:
        spent, where = record.cost, record.provenance
        took = spent.get("training_seconds", 0.0) + spent.get("evaluation_seconds", 0.0)
        if record.status == "done" and where.get("device", "cpu") == "cpu" and took > LEAST:
            trial = trial_from(record.trial)
            items = trial.evaluation.items or int(record.counts.get("items", 0))
            work = cost.Work(spent.get("training_tokens", 0.0), spent.get("updates", 0.0), *cost.measured(trial, items))
            place = trial.study, unseeded(trial.model), where.get("hardware", ""), where.get("precision", "")
            found.append(Timed(*place, cost.parts(trial, work), took))
    return found


def fitted(trials: Sequence[Timed]) -> cost.Pace:
    """The pace that predicts trials of one kind of processor best."""
    many = Counter(one.size for one in trials)
    weights = np.array([many[one.size] ** -0.5 for one in trials])
    weights /= weights.mean()
    parts, seconds = np.array([one.parts for one in trials]), np.array([one.seconds for one in trials])

    def errors(logs: np.ndarray) -> np.ndarray:
        return np.asarray(weights * np.log(parts @ np.exp(logs) / seconds))

    start = np.log([1 / START[0], *START[1:]])
    first, *others = np.exp(least_squares(errors, start, loss="soft_l1", f_scale=SOFT).x)
    return cost.Pace(float(1 / first), *map(float, others))


def kinds(trials: Iterable[Timed]) -> dict[tuple[str, str], list[Timed]]:
    """Trials by kind of processor, as in `lowres.engine.cost.PROCESSORS`."""
    found: dict[tuple[str, str], list[Timed]] = defaultdict(list)
    for one in trials:
        found["Intel" if "Intel" in one.machine else "AMD", one.precision].append(one)
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Row:
    """Trials of one size: medians of predicted over recorded seconds, of the error, and of the error when unseen.

    An error is relative to what was recorded. `unseen`: predicted with a pace that is fitted to the other studies of
    the kind of processor alone; None where no other study used it.
    """

    size: str
    trials: int
    seconds: float
    ratio: float
    error: float
    unseen: float | None


def compared(records: Iterable[Record]) -> list[Row]:
    """Predicted and recorded seconds of trials, by size of model."""
    ratios: dict[str, list[float]] = defaultdict(list)
    unseen: dict[str, list[float]] = defaultdict(list)
    took: dict[str, list[float]] = defaultdict(list)
    for trials in kinds(timed(records)).values():
        for study in sorted({one.study for one in trials}):
            own, others = ([one for one in trials if (one.study == study) is mine] for mine in (True, False))
            pace = fitted(others) if others else None
            for one in own:
                took[one.size].append(one.seconds)
                ratios[one.size].append(one.told(cost.processor(one.machine, one.precision)))
                if pace:
                    unseen[one.size].append(one.told(pace))
    return [
        Row(
            size,
            len(ratios[size]),
            statistics.median(took[size]),
            statistics.median(ratios[size]),
            _error(ratios[size]),
            _error(unseen[size]) if unseen[size] else None,
        )
        for size in sorted(ratios, key=lambda name: (cost.size(name).weights, name))
    ]


def _error(ratios: Sequence[float]) -> float:
    return statistics.median(abs(ratio - 1) for ratio in ratios)


def records_until(date: str = "9999") -> list[Record]:
    """All published records of both editions that were made until a date (YYYY-MM-DD HH:MM UTC)."""
    reading = (published.read_first_edition, published.read_confirmatory)
    found = (record for name in registry.study_names() for read in reading for record in read(name))
    return [record for record in found if record.provenance.get("date", "") <= date]


def main() -> None:
    """Fit, compare, and keep what came out."""
    records = records_until()
    for (maker, precision), trials in kinds(timed(records)).items():
        numbers = ", ".join(f"{number:.2g}" if number > NOTHING else "0" for number in astuple(fitted(trials)))
        print(f'    ("{maker}", "{precision}"): Pace({numbers}),  # {len(trials):,} trials')
    until = max(record.provenance.get("date", "") for record in records)
    rows = [
        {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(row).items()}
        for row in compared(records)
    ]
    kept = {"until": until, "rows": rows}
    (places.RESULTS / "pace.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
