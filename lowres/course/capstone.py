"""The capstone: a prediction, trials of seeds that nobody has published, a verdict; and whether all of it holds.

The prediction is written first. Its hash is the name of the study that its trials are run under, so that every record
carries it: records that were made before the prediction, or for another one, do not fit.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lowres.claims import Rule
from lowres.ledger import Ledger, parse
from lowres.ledger.published import read_confirmatory, read_first_edition
from lowres.outcomes import Outcomes, of_task
from lowres.params import InputError
from lowres.stats import Effect
from lowres.stats.anova import FEWEST_SEEDS, anova_effect
from lowres.trial import Record, Trial, trial_from

PREDICTION, VERDICT = "prediction.json", "verdict.json"
ANSWERS = ("yes", "no", "unclear")
STUDY, MODEL, TASK = "loreft", "world-xs", "world-question-new-words"  # whose arms are compared, and where
MEASURE = "token_f1"
_TIME = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True)
class Prediction:
    """What is compared, by which rule, and what will come out: does `more` beat `less` by the margin."""

    claim: str
    more: str
    less: str
    margin: float
    seeds: tuple[int, ...]
    answer: str
    estimate: float
    because: str
    written: str = ""

    def name(self) -> str:
        """The study that its trials are run under."""
        told = json.dumps(asdict(self), sort_keys=True)
        return f"capstone-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def predict(prediction: Prediction, folder: Path) -> Prediction:
    """Write a prediction down, with the time; one that is written stays.

    Raises:
        InputError: another prediction is in the folder; wrong answer, seeds few or published, unknown arm.
    """
    path = folder / PREDICTION
    if path.exists():
        kept = read_prediction(folder)
        if replace(kept, written="") != replace(prediction, written=""):
            raise InputError(f"{path} holds another prediction; a new one belongs into a new folder")
        return kept
    problems = [] if prediction.answer in ANSWERS else [f"answer {prediction.answer!r}; allowed: {', '.join(ANSWERS)}"]
    if len(set(prediction.seeds)) < FEWEST_SEEDS:
        problems.append(f"{len(set(prediction.seeds))} seeds; at least {FEWEST_SEEDS} different ones are needed")
    if known := sorted(set(prediction.seeds) & published_seeds(prediction)):
        problems.append(f"seeds {known} are published")
    if problems:
        raise InputError(*problems)
    trials(prediction)
    now = replace(prediction, written=datetime.datetime.now(datetime.UTC).strftime(_TIME))
    path.write_text(json.dumps(asdict(now), indent=1) + "\n", encoding="utf-8")
    return now


def read_prediction(place: Path) -> Prediction:
    """The prediction in a folder, or in a file.

    Raises:
        AssertionError: there is none that can be read.
    """
    path = place / PREDICTION if place.is_dir() else place
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Prediction(**{**values, "seeds": tuple(map(int, values["seeds"])), "margin": float(values["margin"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AssertionError(f"{PREDICTION} cannot be read: {type(error).__name__}: {error}") from error


def published_seeds(prediction: Prediction) -> set[int]:
    """The seeds for which an arm of the prediction is published, in any edition."""
    records = [*read_first_edition(STUDY), *read_confirmatory(STUDY)]
    arms = (prediction.more, prediction.less)
    return {one.trial["seed"] for one in records if any(_fits(one.trial, arm) for arm in arms)}


def trials(prediction: Prediction) -> list[Trial]:
    """The trials of a prediction: its two arms as the first edition has them, each with every seed.

    Raises:
        InputError: the first edition has no such arm for this model and task.
    """
    found: list[Trial] = []
    for arm in (prediction.more, prediction.less):
        specs = [one.trial for one in read_first_edition(STUDY) if _fits(one.trial, arm)]
        if not specs:
            raise InputError(f"no trial of arm {arm!r} with {MODEL} on {TASK} to start from")
        spec = min(specs, key=lambda one: (one["seed"], json.dumps(one, sort_keys=True)))
        first = replace(trial_from(spec), model=MODEL, study=prediction.name())
        found += [replace(first, seed=seed) for seed in prediction.seeds]
    return found


def _fits(spec: dict[str, Any], arm: str) -> bool:
    found = (spec["arm"], spec["model"].partition("@")[0], spec["task"], spec["evaluation"]["split"])
    return found == (arm, MODEL, TASK, "test")


def conclude(prediction: Prediction, folder: Path) -> dict[str, Any]:
    """Decide by the rule from the records in `ledger`, and write the verdict down."""
    effect = effect_of(prediction, Ledger(folder / "ledger").records(prediction.name()))
    verdict = {"answer": Rule("above", prediction.margin).answer(effect), "estimate": effect.estimate}
    verdict |= {"low": effect.interval[0], "high": effect.interval[1]}
    (folder / VERDICT).write_text(json.dumps(verdict, indent=1) + "\n", encoding="utf-8")
    return verdict


def effect_of(prediction: Prediction, records: Sequence[Record]) -> Effect:
    """The difference of the two arms in token F1, with the interval that decides."""
    cells = [{"arm": arm} for arm in (prediction.more, prediction.less)]
    _, (more, less) = Outcomes.of(records).tables(cells, of_task(MEASURE))
    return anova_effect([np.asarray(more - less)])


# --- whether it holds ------------------------------------------------------------------------------------------------


def genuine(folder: Path, wanted: Sequence[Trial]) -> list[Record]:
    """The records of trials in a folder. What a record says of itself is compared, and never acted upon.

    Raises:
        AssertionError: one is missing, was changed, or failed.
    """
    found = []
    for trial in wanted:
        key = trial.key()
        try:
            record = parse((folder / f"{key}.json").read_text(encoding="utf-8"), key)
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            reason = "there is none" if isinstance(error, FileNotFoundError) else str(error)
            raise AssertionError(f"record {key} of {trial.arm}, seed {trial.seed}: {reason}") from error
        assert record.trial == trial.spec(), f"record {key} is of another trial, study or arm"
        assert record.status == "done", f"record {key}: the trial failed"
        found.append(record)
    return found


def planned(folder: Path) -> list[Record]:
    """The records of the prediction's trials: all of them, and no published seed."""
    prediction = read_prediction(folder)
    assert not set(prediction.seeds) & published_seeds(prediction), "a seed is published"
    assert len(set(prediction.seeds)) >= FEWEST_SEEDS, f"fewer than {FEWEST_SEEDS} seeds"
    return genuine(folder / "ledger", trials(prediction))


def older(folder: Path, before: Path | None = None) -> None:
    """Insist that the prediction is older than its records; and is the one handed in before, if given."""
    prediction, records = read_prediction(folder), planned(folder)
    assert before is None or before.is_file(), "no prediction was handed in before"
    assert before is None or read_prediction(before) == prediction, "another prediction was handed in before"
    written = prediction.written
    earliest = min(record.provenance["date"] for record in records)
    assert written, "the prediction has no date"
    assert written <= earliest, f"the prediction is of {written}, its first record of {earliest}"


def again(folder: Path, seed: int) -> None:
    """Run a trial of either arm again, drawn by the grader's seed, and insist that both come out as recorded."""
    from lowres.engine.verification import AGREEING, compare
    from lowres.trial import run

    records, wanted = planned(folder), trials(read_prediction(folder))
    seeds = len(records) // 2  # the trials of one arm stand before those of the other
    for index in seeds * np.arange(2) + np.random.default_rng(seed).integers(seeds, size=2):
        record = records[int(index)]
        rows = compare(record, run(wanted[int(index)], device="cpu"))
        wrong = [row.outcome for row in rows if row.agreement not in AGREEING]
        assert not wrong, f"{record.key}, run again, differs in {', '.join(wrong[:3])}"


def recomputed(folder: Path) -> None:
    """Insist that the verdict is what the rule says of the records."""
    prediction = read_prediction(folder)
    effect = effect_of(prediction, planned(folder))
    try:
        told = json.loads((folder / VERDICT).read_text(encoding="utf-8"))
        numbers = [float(told[name]) for name in ("estimate", "low", "high")]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AssertionError(f"{VERDICT} cannot be read: {type(error).__name__}: {error}") from error
    answer = Rule("above", prediction.margin).answer(effect)
    assert told["answer"] == answer, f"the rule says {answer}, {VERDICT} {told['answer']}"
    right = (effect.estimate, *effect.interval)
    assert np.allclose(numbers, right, atol=1e-6), f"expected {right}, {VERDICT} has {numbers}"
