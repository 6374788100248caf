"""What a list of trials would cost here, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lowres import models
from lowres.data import load_task
from lowres.engine.checks import told_before
from lowres.engine.pool import is_settled
from lowres.engine.tables import aligned, task_data
from lowres.ledger import Ledger
from lowres.optimisation import Optimisation, update_count
from lowres.provenance import hardware
from lowres.published import read_confirmatory, read_published
from lowres.trial import Evaluation, Recipe, Record, Trial, draw, token_counter, trial_from
from lowres.trial import run as run_trial
from lowres.tuners import LoRA

COLUMNS = ("arm", "task data", "general tokens", "trials", "recorded", "tokens per trial", "minutes to go")


@dataclass(frozen=True)
class Speed:
    """Tokens per second through training and through evaluation, and where they come from."""

    training: float
    evaluation: float
    source: str = "measured here just now"


def plan(trials: Sequence[Trial], ledger: Ledger, measure: bool = False) -> str:
    """The trial table before anything runs: per arm the trials, those already recorded, tokens, estimated minutes.

    Speeds are those of the model's records, in the ledger or published; a model that has none, or every model with
    `measure`, is tried with a few updates. What there is to tell about data and models stands below.
    """
    told = told_before(trials)
    speeds: dict[str, Speed] = {}
    for trial in {trial.model: trial for trial in trials}.values():
        known = None if measure else recorded_speed(trial, ledger)
        speeds[trial.model] = known or calibrate(trial)
    rows: list[tuple[str, ...]] = [COLUMNS]
    total = 0.0
    for (arm, data, general_tokens), group in _groups(trials).items():
        missing = sum(not is_settled(ledger.get(trial.key()), "") for trial in group)
        tokens, speed = training_tokens(group[0]), speeds[group[0].model]
        minutes = missing * (tokens / speed.training + evaluation_tokens(group[0]) / speed.evaluation) / 60
        total += minutes
        numbers = (general_tokens, len(group), len(group) - missing, tokens)
        rows.append((arm, data, *(f"{number:,}" for number in numbers), f"{minutes:.1f}"))
    measured = "; ".join(
        f"{name}: {speed.training:.0f} tokens/s in training, {speed.evaluation:.0f} in evaluation, {speed.source}"
        for name, speed in speeds.items()
    )
    estimate = f"\nAbout {total:.1f} minutes with one worker. {measured}."
    return "\n".join([aligned(rows), estimate, *told])


def _groups(trials: Sequence[Trial]) -> dict[tuple[str, str, int], list[Trial]]:
    groups: dict[tuple[str, str, int], list[Trial]] = {}
    for trial in trials:
        recipe = trial.recipe
        data = task_data(recipe.task_tokens, recipe.task_examples)
        groups.setdefault((trial.arm, data, recipe.general_tokens), []).append(trial)
    return groups


def training_tokens(trial: Trial) -> int:
    """Tokens that pass through training over all stages and epochs, chat format and anchor included."""
    return sum(map(_stage_tokens, trial.stages()))


def _stage_tokens(trial: Trial) -> int:
    if trial.tuner is None or trial.optimisation is None:
        return 0
    language_model = models.without_weights(trial.model, trial.chat_format)
    task = load_task(trial.task, trial.options)
    own, general = draw(trial, task, language_model)
    count = token_counter(language_model)
    frame = len(models.prompt_ids(language_model, "")) + 1
    anchor = len(language_model.tokenizer(task.instruction).input_ids) if trial.recipe.anchor != "none" else 0
    once = sum(count(example) + frame for example in (*own, *general)) + anchor * len(own)
    examples = len(own) + len(general)
    updates = update_count(examples * trial.optimisation.epochs, trial.optimisation)
    seen = updates * trial.optimisation.batch_size if trial.optimisation.steps else examples * trial.optimisation.epochs
    return round(once / examples * seen)


def evaluation_tokens(trial: Trial) -> int:
    """A rough count: about 150 tokens for an item of the task (prompt and answer), about 60 for an item of a probe."""
    evaluation = trial.evaluation
    items = evaluation.items
    if items is None:
        items = len(getattr(load_task(trial.task, trial.options), evaluation.split))
    once = items * 150 + len(evaluation.probes) * evaluation.probe_items * 60
    return once * len(trial.stages())


def recorded_speed(trial: Trial, ledger: Ledger) -> Speed | None:
    """The speed at which records of a trial's model (whatever its seed) were made; None if there are none.

    Records of this machine come first, then those of the ledger, then published ones, made wherever they were.
    """
    study, here = trial.study, hardware()
    mine = [record for record in ledger.records(study) if _is_timed(record, trial.model)]
    others = [
        record for record in (*read_confirmatory(study), *read_published(study)) if _is_timed(record, trial.model)
    ]
    both = [*mine, *others]
    for records in ([one for one in both if one.provenance.get("hardware") == here], mine, others):
        if records:
            trained, training = (sum(one.cost[name] for one in records) for name in ("training_tokens", TRAINING))
            evaluating = sum(one.cost["evaluation_seconds"] for one in records)
            evaluated = sum(evaluation_tokens(trial_from(one.trial)) for one in records)
            machines = " and ".join(sorted({one.provenance.get("hardware", "unknown") for one in records}))
            source = f"as in {len(records)} records made on {machines}"
            return Speed(trained / training, evaluated / max(evaluating, 1e-3), source)
    return None


TRAINING = "training_seconds"


def _is_timed(record: Record, model: str) -> bool:
    """Whether a record is of the model, whatever its seed, was trained, and tells its seconds."""
    same = record.trial["model"].partition("@")[0] == model.partition("@")[0]
    known = record.cost.get("training_tokens") and record.cost.get(TRAINING) and "evaluation_seconds" in record.cost
    return same and record.status == "done" and bool(known)


def calibrate(trial: Trial) -> Speed:
    """Measure both speeds with three updates and a few items (some seconds)."""
    small = replace(
        trial,
        recipe=Recipe(general_tokens=600),
        tuner=trial.tuner or LoRA(),
        optimisation=Optimisation(learning_rate=1e-4, steps=3, batch_size=4),
        evaluation=Evaluation(items=12),
        stream=(),
    )
    cost = run_trial(small).cost
    return Speed(cost["tokens_per_second"], evaluation_tokens(small) / max(cost["evaluation_seconds"], 1e-3))
