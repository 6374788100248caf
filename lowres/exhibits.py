"""What the pages of all studies show alike: where records come from, whether they hold here, deviations, cost."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lowres.data import METRICS
from lowres.harm import HARMLESS, Harms, is_control
from lowres.markup import Shown, shown_table, shown_text
from lowres.params import literal
from lowres.rates import grid_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    from lowres.engine.verification import Comparison
    from lowres.stats import Effect
    from lowres.studies import Deviation, Gathered, Where
    from lowres.trial import Record, Trial


Name = TypeVar("Name", bound=Hashable)

IN_CHAT = "-chat"  # ends the name of a probe that is asked in the chat format
BARS = "95 % intervals over seeds and items"
COST = ("Trials", "Seconds each", "of which training", "Tokens/s in training", "Peak memory")


NO_TUNING = "No learning rate was tried in these records: the rates are the usual ones, or those that were published."


def rates_table(
    what: str, records: Iterable[Record], of: Callable[[Record], tuple[str, ...]], header: tuple[str, ...]
) -> Shown:
    """Every learning rate that was tried, its mean validation loss over the seeds, and which was chosen.

    Args:
        what: what is tuned, for the caption.
        of: what a record is a try for, one cell per column of `header`.
    """
    tried: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    everything = {record.key: record for record in records if record.trial["arm"].startswith("tuning ")}
    distinct = [record for record in everything.values() if not is_control(record)]
    harms = Harms(everything.values())
    for record in distinct:
        tried[of(record)].append(record)
    if not tried:
        return shown_text(NO_TUNING)
    rows = [(*name, *_tried_cells(members, harms)) for name, members in sorted(tried.items())]
    caption = (
        f"Learning rates {what} on validation data: {len(distinct)} trials. Nats per target token, mean over the "
        "seeds; beyond a choice at the edge of what was tried may lie a better one. Harm is what general data alone at "
        f"this rate lose of what the model knew: more than {HARMLESS:g} is not chosen"
    )
    return shown_table(caption, (*header, "Rates tried (nats)", "Seeds each", "Chosen"), rows, stack=True)


def _tried_cells(records: Sequence[Record], harms: Harms) -> tuple[object, ...]:
    grid = grid_of(records, harms)
    losses = [f"{rate:g}: " + (f"{loss:.3f}" if math.isfinite(loss) else "failed") for rate, loss in grid.sorted()]
    losses = [
        told + (f" (harm {grid.harm[rate]:.2f})" if rate in grid.harm else "")
        for told, (rate, _) in zip(losses, grid.sorted(), strict=True)
    ]
    counts = sorted(Counter(record.trial["optimisation"]["learning_rate"] for record in records).values())
    seeds = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    if not math.isfinite(grid.losses[grid.best]):
        return ", ".join(losses), seeds, "all failed"
    edge = {"lower": ", smallest tried", "upper": ", largest tried"}.get(grid.edge, "")
    return ", ".join(losses), seeds, f"{grid.best:g}{edge}"


def measure(where: Where) -> str:
    """The name of a task's measure."""
    return METRICS[where.metric]


def average(values: Iterable[float]) -> float:
    """Mean, 0 for nothing."""
    listed = list(values)
    return sum(listed) / max(1, len(listed))


def frame(rows: Sequence[tuple[object, ...]], *columns: str) -> DataFrame:
    """The rows under these columns."""
    from pandas import DataFrame

    return DataFrame(list(rows), columns=list(columns))


def effect_of(scores: NDArray) -> Effect | None:
    """Mean of scores [seeds, items] with its intervals; None for a single number, which has none."""
    from lowres.stats import mean_interval

    return mean_interval(scores) if scores.size > 1 else None


def interval(scores: NDArray) -> tuple[float, float, float]:
    """Mean and 95 % interval of scores [seeds, items]; a single number stands alone."""
    effect = effect_of(scores)
    middle = float(scores.mean())
    return (middle, *effect.interval) if effect else (middle, middle, middle)


def spelled(scores: NDArray) -> str:
    """The mean with its interval in words."""
    middle, low, high = interval(scores)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})" if scores.size > 1 else f"{middle:.3f}"


def half_width(ends: tuple[float, float]) -> str:
    """Half of an interval in words; an unknown one is (nan, nan)."""
    return "unknown" if ends[0] != ends[0] else f"±\u00a0{(ends[1] - ends[0]) / 2:.3f}"


ONE_SEED = "* one seed: the interval covers the items only"


def brief(effect: Effect, percent: bool = False) -> str:
    """An effect in words for a narrow cell: a star, which ONE_SEED explains, marks a single seed."""
    words, mark, _ = effect.text(percent=percent).partition(" (one seed")
    return f"{words} *" if mark else words


def with_note(caption: str, rows: Iterable[Sequence[object]]) -> str:
    """The caption, with what a star means where a cell has one."""
    return f"{caption}. {ONE_SEED}" if any(str(cell).endswith("] *") for row in rows for cell in row) else caption


def named(effects: Mapping[Name, Effect | None]) -> dict[Name, Effect]:
    """Those effects that could be computed."""
    return {name: effect for name, effect in effects.items() if effect is not None}


def process_hours(records: Sequence[Record]) -> str:
    """What records took, in words; empty for none."""
    hours = sum(record.cost["seconds"] for record in records) / 3600
    machines = sorted({record.provenance["hardware"] for record in records})
    return f"{len(records)} trials, {hours:.1f} process hours on {'; '.join(machines)}" if machines else ""


def cost_cells(records: Sequence[Record]) -> tuple[object, ...]:
    """What the trials of one line of a table cost: the cells under COST."""
    seconds, training, speed = (
        average(record.cost.get(key, 0) for record in records)
        for key in ("seconds", "training_seconds", "tokens_per_second")
    )
    memory = max(record.cost["peak_memory_bytes"] for record in records) / 2**30
    return (len(records), round(seconds), round(training), round(speed), f"{memory:.1f} GiB")


def usual_seconds(study: str, group: Callable[[Record], Hashable]) -> dict[Hashable, int]:
    """Seconds that a published trial took, on average over each group."""
    from lowres.published import read_published

    found: dict[Hashable, list[float]] = defaultdict(list)
    for record in read_published(study):
        if record.status == "done":
            found[group(record)].append(record.cost["seconds"])
    return {name: round(average(seconds)) for name, seconds in found.items()}


def probes_of(records: Iterable[Record], kind: str) -> list[tuple[str, str]]:
    """Probes of one kind ("nll" or "choice") that were measured, each with its measure.

    Choices count per character, and in the chat format as those of tasks do, by their whole likelihood.
    """
    found: dict[str, str] = {}
    for record in records:
        for where, measures in record.outcomes.items():
            if where != "task" and ("nll" in measures) == (kind == "nll"):
                choice = "accuracy" if where.endswith(IN_CHAT) else "accuracy_per_character"
                found[where] = "nll" if kind == "nll" else choice
    return list(found.items())


def holds(effect: Effect) -> str:
    """What the interval says about a control whose effect has to lie above zero."""
    low, high = effect.interval
    return "holds" if low > 0 else "fails" if high < 0 else "cannot tell"


RULES: dict[str, str] = {
    "no gain": "behaves unless the whole interval is above zero",
    "gain": "behaves if the whole interval is above zero, does not if it is wholly below, else cannot tell",
    "open": "no right answer: above, below or around zero",
}


def behaviour(effect: Effect, kind: str) -> str:
    """The outcome of a control by its rule in RULES."""
    low, high = effect.interval
    if kind == "open":
        return "above zero" if low > 0 else "below zero" if high < 0 else "around zero"
    if kind == "no gain":
        return "does not" if low > 0 else "behaves"
    return {"holds": "behaves", "fails": "does not", "cannot tell": "cannot tell"}[holds(effect)]


@dataclass(frozen=True)
class Control:
    """Two arms, what their difference must be, and the rule that says so."""

    name: str
    more: str
    less: str
    kind: Literal["no gain", "gain", "open"]

    def __str__(self) -> str:
        return f"{self.name}: {self.more} - {self.less}"

    def cells(self, effect: Effect | None) -> tuple[str, str, str]:
        """The rule, the outcome, and the difference in words."""
        outcome, text = (behaviour(effect, self.kind), effect.text()) if effect else ("not run", "")
        return RULES[self.kind], outcome, text


def origin(study: str, evidence: Gathered) -> Shown:
    """One sentence on where the evidence of a page comes from."""
    from lowres.ledger import is_stale
    from lowres.published import edition, read_published

    records = evidence.records
    others = len(read_published(study)) - len(records)
    stale = sum(map(is_stale, records))
    dates = sorted(record.provenance["date"][:10] for record in records)
    source = (
        f"published in results/ ({edition(study)})"
        if evidence.published
        else "of the live run above: nothing is published for these parameters"
    )
    when = ""
    if dates:
        when = f", made on {dates[0]}" if dates[0] == dates[-1] else f", made between {dates[0]} and {dates[-1]}"
    count = "All" if stale == len(records) else str(stale)
    older = f" {count} of them were made by another version of the code than today's." if stale else ""
    changed = len(on_other_data(records))
    older += f" The data of {changed} have changed since: run today, they would be other trials." if changed else ""
    rest = f" {others} more are tries of learning rates, or were made in another way." if others > 0 else ""
    return shown_text(f"The evidence below rests on {len(records)} records {source}{when}.{older}{rest}")


_WITHOUT_DATA = {"study": "", "arm": "", "model": "", "tuner": None, "seed": 0}  # of a spec: what reads no data


def on_other_data(records: Iterable[Record]) -> list[Record]:
    """Those records whose trials would read other data today; not those whose data are not on this machine."""
    from lowres.params import InputError
    from lowres.trial import data_fingerprint, trial_from

    today: dict[Trial, str | None] = {}  # many trials read the same
    found = []
    for record in records:
        reading = trial_from({**record.trial, **_WITHOUT_DATA})
        if reading not in today:
            try:
                today[reading] = data_fingerprint(reading)
            except InputError:
                today[reading] = None
        if today[reading] not in (None, record.fingerprints["data"]):
            found.append(record)
    return found


def _agreement(kept: Mapping[str, Any]) -> str:
    """How many trials a verification ran, and how their outcomes compare with the records."""
    agreement = Counter(row["agreement"] for row in kept["comparisons"])
    words = ", ".join(f"{count:,} {word}" for word, count in agreement.most_common())
    trials = len({row["key"] for row in kept["comparisons"]})
    return f"{trials} trial{'s' * (trials > 1)}, {len(kept['comparisons']):,} outcomes, {words}"


def drift(study: str, live: Sequence[Record]) -> Shown:
    """The live run against the published records of the very same trials: equal bit for bit, or how far apart."""
    from lowres.engine.verification import compare

    pairs = _published_twins(study, live)
    rows = [row for before, now in pairs for row in compare(before, now)]
    if not rows:
        return shown_text(NOT_PUBLISHED)
    shown = [(row.arm, row.seed, row.outcome, row.recorded, row.here, row.agreement) for row in rows]
    caption = f"{len(pairs)} live trials against their published records: {_agreements(rows)}"
    return shown_table(caption, ("Arm", "Seed", "Outcome", "Recorded", "Here", "Agreement"), shown, stack=True)


def drift_by_trial(study: str, live: Sequence[Record]) -> Shown:
    """As `drift`, one line per trial, for trials with hundreds of outcomes: how many agree, and the largest gap."""
    from lowres.engine.verification import compare

    pairs = _published_twins(study, live)
    compared = [(now, compare(before, now)) for before, now in pairs]
    if not compared:
        return shown_text(NOT_PUBLISHED)
    shown = [
        (f"{now.trial['model']}, {now.trial['arm']}", _agreements(rows), max(abs(r.recorded - r.here) for r in rows))
        for now, rows in compared
    ]
    caption = f"{len(pairs)} live trials against their published records"
    return shown_table(caption, ("Model and arm", "Outcomes that agree", "Largest difference"), shown, stack=True)


NOT_PUBLISHED = "None of the live trials has been published, so there is nothing to compare them with."


def _published_twins(study: str, live: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Each finished live record behind the published one of the same trial."""
    from lowres.published import read_published, trial_name

    stored = {trial_name(record): record for record in read_published(study)}
    return [(stored[trial_name(r)], r) for r in live if r.status == "done" and trial_name(r) in stored]


def _agreements(rows: Sequence[Comparison]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(row.agreement for row in rows).most_common())


def verification(study: str) -> Shown:
    """The last verification of published records."""
    from lowres.engine.verification import read_verification

    kept = read_verification(study)
    if not kept:
        text = f"No published record has been verified on another machine yet: lowres verify {study} does it."
        return shown_text(text)
    where = kept["provenance"]
    return shown_text(f"Last verified on {where['date']} ({where['hardware']}): {_agreement(kept)}.")


def deviations(listed: Sequence[Deviation]) -> Shown:
    """Original, here, expected direction of the bias."""
    # in HTML there is no Markdown for a name
    rows = [tuple(cell.replace("`", "") for cell in (r.original, r.here, r.expected_bias)) for r in listed]
    return shown_table("Deviations from the paper", ("In the paper", "Here", "Expected bias"), rows, stack=True)


def machines(records: Sequence[Record]) -> str:
    """Where records were made, with threads."""
    return "; ".join(sorted({f"{r.provenance['hardware']}, {r.provenance['threads']} thread(s) each" for r in records}))


def parameters_table(params: Any) -> Shown:
    """The values in force, those of the tier filled in."""
    rows = [
        (field.name, literal(value)) for field in fields(params) if (value := getattr(params, field.name)) is not None
    ]
    return shown_table(f"In force at tier {params.tier}", ("Parameter", "Value"), rows)
