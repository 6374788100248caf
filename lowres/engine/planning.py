"""What a list of trials would cost, here and on a card, before anything runs. Loads no weights and fetches nothing.

Where a model is here and records tell its speed, that counts, and the tokens are counted in the data. Everything else
follows from sizes (see `lowres.engine.cost`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lowres import models
from lowres.data import load_task
from lowres.engine import cost
from lowres.engine.checks import told_before
from lowres.engine.pool import is_settled
from lowres.engine.tables import aligned, task_data
from lowres.language import formats
from lowres.ledger import Ledger
from lowres.ledger.published import read_confirmatory, read_published
from lowres.models import hubmodels
from lowres.optimisation import Optimisation, update_count
from lowres.params import InputError
from lowres.rates import unseeded
from lowres.trial import Evaluation, Recipe, Record, Trial, trial_from
from lowres.trial import run as run_trial
from lowres.trial.material import draw, token_counter
from lowres.trial.provenance import hardware
from lowres.tuners import LoRA

COLUMNS = (
    *("model", "arm", "task data", "general tokens", "trials", "recorded", "tokens per trial", "TFLOP per trial"),
    *("minutes here", "minutes on a card", "GB on it"),
)
BY_SIZE = "This tier is planned by sizes alone: no data were read, and no record of these trials was looked for."
DEFAULTS = (
    "Rates and prices of cards are defaults to replace (--cards): data sheets, and price comparisons on the web, from "
    "December 2025 to May 2026, rounded; see lowres/engine/cards.csv."
)
COUNTED = 20_000  # tokens of a budget that are drawn to count what its examples have


@dataclass(frozen=True)
class Speed:
    """Tokens per second through training and through evaluation, and where they come from."""

    training: float
    evaluation: float
    source: str = "measured here just now"


@dataclass
class Bill:
    """What trials that are not recorded yet take in all: minutes here, hours on each card, operations; most memory."""

    cards: Sequence[cost.Machine]
    minutes: float = 0.0
    hours: list[float] = field(default_factory=list)
    operations: float = 0.0
    needed: float = 0.0

    @property
    def card(self) -> cost.Machine:
        """The smallest card that holds every trial; the largest where none does."""
        return cost.smallest_card(self.needed, self.cards) or self.cards[-1]


def plan(trials: Sequence[Trial], ledger: Ledger, measure: bool = False, table: Path | None = None) -> str:
    """The trial table before anything runs: per model and arm the trials, those recorded, tokens, estimated minutes.

    Speeds are those of the model's records, in the ledger or published; a model that has none is estimated by its size.
    Nothing is run: with `measure` every model that is here is tried with a few updates.
    What there is to tell about data and models stands below, and hours and money on each card that is large enough, of
    a table of cards or of the usual ones.
    """
    cards = cost.read_cards(table) if table else cost.CARDS
    told = [BY_SIZE] if hubmodels.SIZES_ALONE.get() else []
    told += told_before([trial for trial in trials if not hubmodels.is_away(trial.model)])
    bill = Bill(cards, hours=[0.0] * len(cards))
    bill.needed = max((cost.gigabytes(trial, cards[-1]) for trial in trials), default=0.0)
    known: dict[str, Speed | None] = {}
    rows: list[tuple[str, ...]] = [COLUMNS]
    for (model, arm, data, general_tokens), group in _groups(trials).items():
        one = group[0]
        if model not in known:
            known[model] = _known_speed(one, ledger, measure)
        missing = sum(not is_recorded(trial, ledger) for trial in group)
        work = work_of(one) if _is_counted(one) else cost.rough_work(one)
        here, there = _seconds_here(one, work, known[model]), cost.seconds(one, work, bill.card)
        bill.minutes += missing * here / 60
        bill.operations += missing * cost.operations(one, work)
        bill.hours = [
            hours + missing * cost.seconds(one, work, card) / 3600
            for hours, card in zip(bill.hours, cards, strict=True)
        ]
        numbers = (general_tokens, len(group), len(group) - missing, round(work.tokens))
        minutes = (f"{missing * each / 60:,.1f}" for each in (here, there))
        flop = f"{cost.operations(one, work) / 1e12:,.1f}"
        memory = f"{cost.gigabytes(one, bill.card):,.1f}"
        rows.append((model, arm, data, *(f"{number:,}" for number in numbers), flop, *minutes, memory))
    parts = [aligned(rows), "", *_totals(trials, bill), *_speeds(known)]
    return "\n".join([*parts, *_pretraining(trials, ledger), *told])


def _seconds_here(trial: Trial, work: cost.Work, speed: Speed | None) -> float:
    """Seconds of a trial on this machine, by records of its model or by its size."""
    if speed is None:
        return cost.seconds(trial, work, cost.here(trial.model, trial.precision))
    return work.tokens / speed.training + evaluation_tokens(trial) / speed.evaluation


def _totals(trials: Sequence[Trial], bill: Bill) -> list[str]:
    """The sums, with the smallest card that holds every trial, the price of each that does, what this machine holds."""
    card, holding = bill.card, [one for one in bill.cards if one.gigabytes >= bill.needed]
    where = f"one {card.name}, {'the smallest card that holds every trial' if holding else 'if it held more'}"
    hours = dict(zip([one.name for one in bill.cards], bill.hours, strict=True))
    priced = [("card", "GB", "hours", "dollars an hour", "dollars")]
    priced += [
        (one.name, f"{one.gigabytes:g}", f"{hours[one.name]:,.1f}", f"{one.price:.2f}", _money(hours[one.name], one))
        for one in holding or [card]
    ]
    lines = [
        f"About {_duration(bill.minutes)} with one worker here, {_duration(60 * hours[card.name])} on {where} (the "
        f"largest takes about {bill.needed:,.1f} GB there; it has {card.gigabytes:g}): {bill.operations:.1e} "
        "floating-point operations.",
        *("", aligned(priced), ""),
        *([DEFAULTS] if bill.cards is cost.CARDS else []),
    ]
    large = [
        f"{name} ({most:,.0f} GB)"
        for name, group in _by_model(trials).items()
        if (most := max(cost.gigabytes(one, cost.here(name, one.precision)) for one in group))
        > cost.here(name, group[0].precision).gigabytes
    ]
    return [*lines, f"Too large for this machine: {', '.join(large)}."] if large else lines


def _money(hours: float, card: cost.Machine) -> str:
    return f"{hours * card.price:,.2f}"


def _by_model(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.model, []).append(trial)
    return groups


def _duration(minutes: float) -> str:
    """Minutes in words."""
    if minutes < 120:
        return f"{minutes:.1f} minutes"
    return f"{minutes / 60:,.1f} hours" if minutes < 48 * 60 else f"{minutes / 60 / 24:,.1f} days"


def _speeds(known: dict[str, Speed | None]) -> list[str]:
    """Where the speeds here come from, a line for each model, and one for all that have none."""
    lines = [
        f"{name}: {speed.training:.0f} tokens/s in training, {speed.evaluation:.0f} in evaluation, {speed.source}."
        for name, speed in known.items()
        if speed
    ]
    guessed = [name for name, speed in known.items() if not speed]
    return [*lines, f"Estimated by size, not measured: {', '.join(guessed)}; and the card."] if guessed else lines


def _pretraining(trials: Sequence[Trial], ledger: Ledger) -> list[str]:
    """The world models that have to be made first."""
    names = dict.fromkeys(trial.model for trial in trials if not is_recorded(trial, ledger))
    missing = [name for name in names if models.needs_pretraining(name)]
    if not missing:
        return []
    seconds = sum(map(cost.pretraining_seconds, missing))
    kinds = ", ".join(dict.fromkeys(map(unseeded, missing)))
    return [f"To be pretrained first: {len(missing)} world models ({kinds}), about {_duration(seconds / 60)} in all."]


def known_key(trial: Trial) -> str | None:
    """The key of a trial; None while it cannot be told: its model is not here, or its rationales are to be written."""
    if hubmodels.is_away(trial.model):
        return None
    try:
        return trial.key()
    except InputError:
        if trial.recipe.rationale == "none":
            raise
        return None


def is_recorded(trial: Trial, ledger: Ledger) -> bool:
    """Whether a trial needs no run."""
    key = known_key(trial)
    return key is not None and is_settled(ledger.get(key), "")


def _is_counted(trial: Trial) -> bool:
    """Whether the model is here, so that its tokens can be counted."""
    return not hubmodels.is_away(trial.model) and not models.needs_pretraining(trial.model)


def _known_speed(trial: Trial, ledger: Ledger, measure: bool) -> Speed | None:
    """That of records, or one measured here where that is asked for; None: by its size."""
    if hubmodels.SIZES_ALONE.get():
        return None
    return calibrate(trial) if measure and _is_counted(trial) else recorded_speed(trial, ledger)


def _groups(trials: Sequence[Trial]) -> dict[tuple[str, str, str, int], list[Trial]]:
    groups: dict[tuple[str, str, str, int], list[Trial]] = {}
    for trial in trials:
        recipe = trial.recipe
        data = task_data(recipe.task_tokens, recipe.task_examples)
        groups.setdefault((unseeded(trial.model), trial.arm, data, recipe.general_tokens), []).append(trial)
    return groups


def training_tokens(trial: Trial) -> int:
    """Tokens that pass through training over all stages and epochs, chat format and anchor included."""
    return sum(_stage(stage)[0] for stage in trial.stages())


def work_of(trial: Trial) -> cost.Work:
    """The work of a trial, its tokens and updates counted in the data."""
    numbers = [_stage(stage) for stage in trial.stages()]
    tokens, updates = (sum(number[at] for number in numbers) for at in range(2))
    return cost.Work(tokens, updates, *cost.measured(trial, _items(trial)))


def _stage(trial: Trial) -> tuple[int, int]:
    """Tokens and updates."""
    if trial.tuner is None or trial.optimisation is None:
        return 0, 0
    language_model = models.without_weights(trial.model, trial.chat_format)
    task = load_task(trial.task, trial.options)
    budgets = trial.recipe.task_tokens + trial.recipe.general_tokens
    share = min(1.0, COUNTED / max(budgets, 1))
    own, general = draw(_of_less(trial, share), task, language_model)
    count = token_counter(language_model)
    frame = len(formats.prompt_ids(language_model, "")) + 1
    anchor = len(language_model.tokenizer(task.instruction).input_ids) if trial.recipe.anchor != "none" else 0
    once = sum(count(example) + frame for example in (*own, *general)) + anchor * len(own)
    drawn = len(own) + len(general)
    examples = round(drawn / share)
    updates = update_count(examples * trial.optimisation.epochs, trial.optimisation)
    seen = updates * trial.optimisation.batch_size if trial.optimisation.steps else examples * trial.optimisation.epochs
    return round(once / drawn * seen), updates


def _of_less(trial: Trial, share: float) -> Trial:
    """A trial with a share of its budgets of tokens: enough to see how long its examples are."""
    recipe = trial.recipe
    less = {name: math.ceil(getattr(recipe, name) * share) for name in ("task_tokens", "general_tokens")}
    return replace(trial, recipe=replace(recipe, **less))


def evaluation_tokens(trial: Trial) -> int:
    """A rough count: about 150 tokens for an item of the task (prompt and answer), about 60 for an item of a probe."""
    items, probes = cost.measured(trial, _items(trial))
    return round(items * 150 + probes * 60)


def _items(trial: Trial) -> int:
    """Items of the task that are measured after a stage."""
    evaluation = trial.evaluation
    if evaluation.items is not None:
        return evaluation.items
    return len(getattr(load_task(trial.task, trial.options), evaluation.split))


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
    same = unseeded(record.trial["model"]) == unseeded(model)
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
