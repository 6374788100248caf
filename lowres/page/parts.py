"""The parts that every study's page has: the live run, where evidence comes from, rates, controls, cost, deviations."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from lowres import registry
from lowres.claims.rules import Contrast
from lowres.data import METRICS, TaskOptions, load_task
from lowres.engine.planning import training_tokens
from lowres.engine.verification import compare, read_verification
from lowres.ledger import Ledger, is_stale
from lowres.ledger.published import read_confirmatory, read_first_edition, trial_name
from lowres.outcomes import Cell, Outcomes, of_task
from lowres.page.drawing import effect, evidence, found
from lowres.page.markup import Shown, shown_table, shown_text
from lowres.params import literal
from lowres.rates import grid_of, group, unseeded
from lowres.rates.harm import HARMLESS, Harms, is_control
from lowres.stats.anova import anova_effect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.engine.verification import Comparison
    from lowres.stats import Effect
    from lowres.trial import Record, Trial


NOTHING_RUN = "No trial was run: tier read shows published records only."

# --- before the live run ---------------------------------------------------------------------------------------------


def parameters_table(params: Any) -> Shown:
    """The values in force, those of the tier filled in."""
    rows = [
        (field.name, literal(value)) for field in fields(params) if (value := getattr(params, field.name)) is not None
    ]
    return shown_table(f"In force at tier {params.tier}", ("Parameter", "Value"), rows)


def arms_table(arms: Mapping[str, Any], names: Iterable[str]) -> Shown:
    """What each arm does; `arms` are objects with a `meaning`."""
    return shown_table("The arms", ("Arm", "What it does"), [(name, arms[name].meaning) for name in names], stack=True)


def trial_table(trials: Sequence[Trial], ledger: Ledger, left_out: Sequence[str] = ()) -> Shown:
    """The trials of the live run before they run, one line per arm and amount of data, and what is left out of them."""
    if not trials:
        return shown_text(NOTHING_RUN)
    groups: dict[tuple[str, str, str, str], list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.arm, unseeded(trial.model), trial.task, data_of(trial.spec())].append(trial)
    known = sum(ledger.get(trial.key()) is not None for trial in trials)
    rows = [
        (*names, seeds_of(trial.seed for trial in own), max(map(training_tokens, own))) for names, own in groups.items()
    ]
    caption = "; ".join([f"The live run: {len(trials)} trials, {known} of them in the ledger already", *left_out])
    return shown_table(caption, ("Arm", "Model", "Task", "Data", "Seeds", "Tokens through training"), rows, stack=True)


def data_of(spec: Mapping[str, Any]) -> str:
    """Task and general data of a trial in words."""
    recipe = spec["recipe"]
    sizes = {"task tokens": recipe.get("task_tokens"), "general tokens": recipe.get("general_tokens")}
    sizes |= {"examples": recipe.get("task_examples")}
    return " + ".join(f"{size:,} {kind}" for kind, size in sizes.items() if size) or "none"


def seeds_of(seeds: Iterable[int]) -> str:
    """Seeds in words, runs of neighbours as a range."""
    ordered = sorted(set(seeds))
    whole = ordered == list(range(ordered[0], ordered[-1] + 1)) and len(ordered) > 2
    return f"{ordered[0]} to {ordered[-1]}" if whole else ", ".join(map(str, ordered))


# --- after it --------------------------------------------------------------------------------------------------------


def live_table(records: Sequence[Record]) -> Shown:
    """What was just run here: a line per arm, its mean with the interval, its difference to the first line."""
    groups: dict[tuple[str, str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.status == "done" and record.trial["evaluation"]["split"] == "test" and "task" in record.outcomes:
            groups[name_of(record)].append(record)
    if not groups:
        return shown_text(NOTHING_RUN)
    rows, first = [], next(iter(groups.values()))
    for names, own in groups.items():
        metric, scores = _scores(own)
        mean = anova_effect([scores]) if scores.size > 1 else None
        score = f"{scores.mean():.3f}" + (
            f" ({max(0.0, mean.interval[0]):.3f} to {mean.interval[1]:.3f})" if mean else ""
        )
        losses = [r.mean("task", "target_nll") for r in own if "target_nll" in r.outcomes["task"]]
        seconds = f"{sum(r.cost['seconds'] for r in own) / len(own):.0f} s"
        rows.append(
            (
                *names,
                seeds_of(r.trial["seed"] for r in own),
                f"{METRICS[metric]} {score}",
                _against(own, first),
                f"{sum(losses) / len(losses):.3f}" if losses else "",
                seconds,
            )
        )
    header = (
        "Arm",
        "Model",
        "Task",
        "Data",
        "Seeds",
        "Score (95 % interval)",
        "Minus the first line",
        "Nats per target token",
        "Time",
    )
    return shown_table("The live run on this machine", header, rows, stack=True)


def name_of(record: Record) -> tuple[str, str, str, str]:
    """Arm, model without its seed, task, and the data in words."""
    trial = record.trial
    return trial["arm"], unseeded(trial["model"]), trial["task"], data_of(trial)


def _scores(records: Sequence[Record]) -> tuple[str, NDArray]:
    import numpy as np

    trial = records[0].trial
    metric = load_task(trial["task"], TaskOptions(**trial["options"])).metric
    return metric, np.array([of_task()(record) for record in records])


def _against(own: Sequence[Record], first: Sequence[Record]) -> str:
    """The difference to another cell on the same task, in words; empty where it cannot be paired."""
    if own is first or own[0].trial["task"] != first[0].trial["task"]:
        return ""
    pairs = [Outcomes.of(records) for records in (own, first)]
    cells: list[Cell] = [{"arm": own[0].trial["arm"]}, {"arm": first[0].trial["arm"]}]
    try:
        both = Outcomes.of([*pairs[0].records, *pairs[1].records])
        _, (more, less) = both.tables(cells, of_task())
        return anova_effect([more - less]).text()
    except (LookupError, ValueError):
        return ""


def samples(records: Sequence[Record], count: int = 3) -> Shown:
    """What the models of the live run wrote for the first test items, beside what was asked for."""
    written: dict[tuple[str, str], Record] = {}
    for record in records:
        if record.status == "done" and record.texts.get("task") and record.trial["evaluation"]["split"] == "test":
            written.setdefault((record.trial["task"], record.trial["arm"]), record)
    if not written:
        chosen = "No answer was written: answers of this task are chosen by their likelihood."
        return shown_text(chosen if records else NOTHING_RUN)
    task = next(iter(written))[0]
    own = {arm: record for (name, arm), record in written.items() if name == task}
    trial = next(iter(own.values())).trial
    examples = load_task(task, TaskOptions(**trial["options"])).test[:count]
    rows = [
        (example.target, *(str(record.texts["task"][index]) for record in own.values()))
        for index, example in enumerate(examples)
        if all(index < len(record.texts["task"]) for record in own.values())
    ]
    caption = f"The first test items of {task}: wanted, and written by one seed of each arm"
    return shown_table(caption, ("Wanted", *own), rows, stack=True)


NOT_PUBLISHED = "None of the live trials has been published, so there is nothing to compare them with."


def drift(study: str, live: Sequence[Record]) -> Shown:
    """The live run against the published records of the very same trials: equal bit for bit, or how far apart."""
    stored = {trial_name(record): record for record in [*read_first_edition(study), *read_confirmatory(study)]}
    pairs = [(stored[trial_name(r)], r) for r in live if r.status == "done" and trial_name(r) in stored]
    compared = [(now, compare(before, now)) for before, now in pairs]
    if not compared:
        return shown_text(NOT_PUBLISHED)
    rows = [
        (now.trial["arm"], now.trial["seed"], _agreements(rows), max(abs(r.recorded - r.here) for r in rows))
        for now, rows in compared
    ]
    caption = f"{len(pairs)} live trials against their published records"
    return shown_table(caption, ("Arm", "Seed", "Outcomes that agree", "Largest difference"), rows, stack=True)


def _agreements(rows: Sequence[Comparison]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(row.agreement for row in rows).most_common())


def verification(study: str) -> Shown:
    """The last verification of published records."""
    kept = read_verification(study)
    if not kept:
        return shown_text(f"No published record has been run again on another day yet: lowres verify {study} does it.")
    agreement = Counter(row["agreement"] for row in kept["comparisons"])
    words = ", ".join(f"{count:,} {word}" for word, count in agreement.most_common())
    trials = len({row["key"] for row in kept["comparisons"]})
    where = kept["provenance"]
    return shown_text(
        f"To check old records, {trials} trial{'s' * (trials > 1)} drawn at random ran again on {where['date']} "
        f"({where['hardware']}). Of {len(kept['comparisons']):,} outcomes: {words}."
    )


# --- where the evidence comes from -----------------------------------------------------------------------------------


def origin(study: str) -> Shown:
    """Which records the page rests on."""
    e = evidence(study)
    records = e.judged.records
    dates = sorted(record.provenance["date"][:10] for record in records)
    tests = sum(record.trial["evaluation"]["split"] == "test" for record in records)
    judged = f"{tests:,} trials that the rules may judge"
    judged += f" and {len(records) - tests:,} that chose learning rates" if len(records) > tests else ""
    if dates:
        judged += f", made {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "")
        judged += f" on {_machines(records)}"
    stale = sum(map(is_stale, records))
    older = f" {stale} of them were made by another version of the code than today's." if stale else ""
    kept = f" {len(e.first.records):,} records of the first edition are kept beside them: they were seen before "
    kept += "today's rules were written, so no verdict rests on them."
    return shown_text(f"This page rests on {judged}.{older}{kept if e.first.records else ''}")


def _machines(records: Iterable[Record]) -> str:
    found = {(record.provenance["hardware"], int(record.provenance["threads"])) for record in records}
    return "; ".join(f"{hardware}, {threads} thread{'s' * (threads > 1)} each" for hardware, threads in sorted(found))


def rates_table(study: str, live: Sequence[Record] = ()) -> Shown:
    """Every learning rate that was tried, its mean validation loss over the seeds, and which was chosen."""
    listed = [record for record in [*read_confirmatory(study), *live] if record.trial["arm"].startswith("tuning ")]
    records = list({record.key: record for record in listed}.values())
    tried: dict[Hashable, list[Record]] = defaultdict(list)
    competing = getattr(registry.load(study), "competing", None)  # one rate for several tasks, where a study says so
    for record in competing(records) if competing else records:
        if not is_control(record):
            tried[_tuned([record])[:3] if competing else group(record.trial)].append(record)
    if not tried:
        return shown_text("No learning rate was tried in these records.")
    harms = Harms(records)
    rows = sorted((*_tuned(own), *_tried(own, harms)) for own in tried.values())
    controls = sum(map(is_control, records))
    caption = (
        f"Learning rates on validation data: {len(records) - controls:,} trials. Nats per target token, mean over "
    )
    caption += "the seeds and tasks."
    if controls:
        caption += (
            f" Harm is what general data alone at this rate lost of what the model knew ({controls:,} controls), "
        )
        caption += "beyond what the tuner costs before its first update: a rate that loses more than "
        caption += f"{HARMLESS:g} is not chosen, unless all do; then it is the smallest."
    return shown_table(caption, ("Tuned", "Model", "Data", "Task", "Rates tried (nats)", "Chosen"), rows, stack=True)


def _tuned(records: Sequence[Record]) -> tuple[str, str, str, str]:
    (arm, model, _, data), tasks = name_of(records[0]), {record.trial["task"] for record in records}
    return arm.removeprefix("tuning "), model, data, ", ".join(sorted(tasks))


def _tried(records: Sequence[Record], harms: Harms) -> tuple[str, str]:
    grid = grid_of(records, harms)
    told = [
        f"{rate:g}: "
        + (f"{loss:.3f}" if math.isfinite(loss) else "failed")
        + (f" (harm {grid.harm[rate]:.2f})" if rate in grid.harm else "")
        for rate, loss in grid.sorted()
    ]
    edge = {"lower": ", smallest tried", "upper": ", largest tried"}.get(grid.edge, "")
    return ", ".join(told), f"{grid.best:g}{edge}" if math.isfinite(grid.losses[grid.best]) else "all failed"


# --- controls, cost, deviations --------------------------------------------------------------------------------------

Kind = Literal["no gain", "gain", "open"]
RIGHT: dict[Kind, str] = {"no gain": "not wholly above zero", "gain": "wholly above zero", "open": "no right answer"}


@dataclass(frozen=True)
class Control:
    """What has to hold if the measurement is sound: a contrast and what its interval must be."""

    contrast: Contrast
    kind: Kind

    def outcome(self, one: Effect) -> str:
        """Whether it behaves."""
        low, high = one.interval
        if self.kind == "open":
            return "above zero" if low > 0 else "below zero" if high < 0 else "around zero"
        if self.kind == "no gain":
            return "does not behave" if low > 0 else "behaves"
        return "behaves" if low > 0 else "does not behave" if high < 0 else "cannot tell"


def controls(study: str, rows: Mapping[str, Control], places: Sequence[Cell], first: Sequence[Cell] = ()) -> Shown:
    """Each control, what it must show, and what it showed, with its size."""
    e = evidence(study)
    here = found(e, {name: control.contrast for name, control in rows.items()}, places, first)
    effects = here.effects if here else {}
    listed = [
        (
            name,
            RIGHT[control.kind],
            *((control.outcome(one), one.text()) if (one := effects.get(name)) else ("not run", "")),
        )
        for name, control in rows.items()
    ]
    caption = f"Controls. {here.told()}" if here else "Controls: none was run yet"
    return shown_table(caption, ("Control", "Must be", "Outcome", "Difference"), listed, stack=True)


def harmless(study: str, places: Sequence[Cell], losses: Mapping[str, Contrast], first: Sequence[Cell] = ()) -> Shown:
    """The absolute chance-corrected loss of arms that learn nothing of the task, such as general data alone."""
    e = evidence(study)
    here = found(e, losses, places, first)
    if here is None:
        return shown_text("What the controls lose of the model's knowledge was not measured.")
    rows = [(name, one.text()) for name, one in here.effects.items()]
    return shown_table(f"What controls lose of what the model knew. {here.told()}", ("Arm", "Loss"), rows)


def cost_table(study: str) -> Shown:
    """Per model and arm: seconds, share of training, speed, memory, in today's records or else the first edition's."""
    e = evidence(study)
    records = [r for r in (e.judged.records or e.first.records) if r.trial["evaluation"]["split"] == "test"]
    if not records:
        return shown_text("What a trial costs is told when its records are published.")
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[unseeded(record.trial["model"]), record.trial["arm"]].append(record)
    rows = [(*names, *_cost(own)) for names, own in sorted(groups.items())]
    hours = sum(record.cost["seconds"] for record in records) / 3600
    caption = f"Cost of a trial: {len(records):,} trials took {hours:.1f} process hours on {_machines(records)}"
    header = ("Model", "Arm", "Trials", "Seconds each", "of which training", "Tokens/s in training", "Peak memory")
    return shown_table(caption, header, rows, stack=True)


def _cost(records: Sequence[Record]) -> tuple[object, ...]:
    seconds, training, speed = (
        sum(record.cost.get(key, 0) for record in records) / len(records)
        for key in ("seconds", "training_seconds", "tokens_per_second")
    )
    memory = max(record.cost["peak_memory_bytes"] for record in records) / 2**30
    return len(records), round(seconds), round(training), round(speed), f"{memory:.1f} GiB"


def deviations(study: str) -> Shown:
    """Original, here, expected direction of the bias."""
    listed = registry.load(study).DEVIATIONS
    rows = [tuple(cell.replace("`", "") for cell in (r.original, r.here, r.expected_bias)) for r in listed]
    return shown_table("Deviations from the paper", ("In the paper", "Here", "Expected bias"), rows, stack=True)


def only(study: str, places: Sequence[Cell], contrast: Contrast) -> Effect | None:
    """One effect of the records that the rules may judge, for a sentence of a page."""
    return effect(evidence(study).judged, places, contrast)
