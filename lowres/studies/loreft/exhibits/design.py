"""Before and after the comparison: arms, trials, tuning, the live run, drift, deviations, cost."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lowres import exhibits
from lowres.exhibits import frame
from lowres.markup import Shown, shown_table, shown_text
from lowres.params import literal
from lowres.rates import grid_of
from lowres.studies import Where, tuned_arm, unseeded
from lowres.studies.loreft.arms import ARMS, usual_rate
from lowres.studies.loreft.claims import DEVIATIONS
from lowres.studies.loreft.evidence import Evidence
from lowres.studies.loreft.exhibits.common import (
    Row,
    label,
    per_place,
    places,
    seeds_of,
    slug,
)
from lowres.studies.loreft.params import Params

if TYPE_CHECKING:
    from lowres.trial import Record, Trial


def arms_table(params: Params) -> Shown:
    """What each arm trains, with the options that differ from the tuner's own, and whose rate it takes."""
    rows = []
    for arm in (ARMS[name] for name in params.arms or ()):
        options = ", ".join(f"{name} {literal(value)}" for name, value in arm.options.items())
        rate = f"as {arm.rate_of}" if arm.rate_of else "its own" if arm.tuner else "not tuned"
        rows.append((arm.name, arm.meaning, options or "as usual", arm.kind, rate))
    header = ("Arm", "What is trained", "Options", "Role", "Learning rate")
    return shown_table("The arms", header, rows, stack=True)


def trial_table(trials: Sequence[Trial], recorded: Sequence[bool]) -> Shown:
    """The trials of the live run before they run, and the seconds that trials like them took."""
    usual = exhibits.usual_seconds("loreft", lambda r: (Where.of(r), r.trial["arm"], r.trial["recipe"]["task_tokens"]))
    rows: dict[tuple[object, ...], list[int]] = {}
    for trial, is_there in zip(trials, recorded, strict=True):
        place = Where(unseeded(trial.model), trial.task, trial.options)
        key = (trial.arm, _options(trial), trial.recipe.task_tokens, place)
        count = rows.setdefault(key, [0, 0])
        count[0], count[1] = count[0] + 1, count[1] + is_there
    shown = [
        (f"{arm}{options}", tokens, count, there, usual.get((place, arm, tokens), "not known yet"))
        for (arm, options, tokens, place), (count, there) in rows.items()
    ]
    measured = trials[0].evaluation if trials else None
    on = f", measured on {measured.items} test items and {', '.join(measured.probes) or 'no probe'}" if measured else ""
    header = ("Arm", "Task tokens", "Trials", "In the ledger", "Seconds each, when last published")
    return shown_table(f"The live run: {len(trials)} trials{on}", header, shown, stack=True)


def _options(trial: Trial) -> str:
    """What a point of a curve has that its arm has not."""
    from dataclasses import asdict

    from lowres import tuners

    arm = ARMS[trial.arm]
    if trial.tuner is None:
        return ""
    usual = asdict(tuners.make(arm.tuner, **arm.options))
    return "".join(
        f", {name} {value}" for name, value in asdict(trial.tuner).items() if usual[name] not in (value, "middle")
    )


def live_table(records: Sequence[Record]) -> Shown:
    """What was just run here."""
    rows = []
    for record in records:
        score, loss = (record.mean("task", name) for name in (Where.of(record).metric, "target_nll"))
        trained = record.counts.get("trained_parameters", 0)
        rate = (record.trial["optimisation"] or {}).get("learning_rate", 0)
        cells = (
            trained,
            f"{rate:g}" if rate else "-",
            f"{score:.3f}",
            f"{loss:.3f}",
            f"{record.cost['seconds']:.0f} s",
        )
        rows.append((f"{record.trial['arm']}, seed {record.trial['seed']}", *cells))
    header = ("Arm", "Trained parameters", "Learning rate", "Score", "Nats per target token", "Time")
    return shown_table("The live run on this machine", header, rows, stack=True)


def cost_table(evidence: Evidence) -> Shown:
    """Per arm: seconds, tokens per second, memory."""
    return per_place(places(evidence), lambda where: _cost(evidence, where), shown_text("No trial is at hand."))


def _cost(evidence: Evidence, where: Where) -> Shown:
    lines = ((name, seeds_of(evidence, evidence.at(where, name))) for name in ARMS)
    rows = [(name, *exhibits.cost_cells(records)) for name, records in lines if records]
    caption = f"Cost of a trial on {label(where)} ({exhibits.machines(evidence.records)})"
    return shown_table(caption, ("Arm", *exhibits.COST), rows, stack=True)


# --- tuning ----------------------------------------------------------------------------------------------------------


Tries = dict[str, list["Record"]]


def _tries(records: Iterable[Record]) -> dict[Where, Tries]:
    """The tuning records per place and arm, the smallest rate first; each trial once."""
    found: dict[Where, Tries] = defaultdict(lambda: defaultdict(list))
    distinct = {record.key: record for record in records if record.trial["arm"].startswith("tuning ")}
    for record in sorted(distinct.values(), key=_learning_rate):
        found[Where.of(record)][record.trial["arm"].removeprefix("tuning ")].append(record)
    order = list(ARMS)
    return {
        where: {arm: tries[arm] for arm in sorted(tries, key=lambda name: order.index(name))}
        for where, tries in found.items()
    }


def _learning_rate(record: Record) -> float:
    return float(record.trial["optimisation"]["learning_rate"])


def _done(tries: Iterable[Record]) -> list[Record]:
    return [record for record in tries if record.status == "done"]


def _tuned(evidence: Evidence, records: Iterable[Record], draw: Any) -> Shown:
    tries, first = _tries(records), places(evidence)
    listed = [where for where in first if where in tries] + [where for where in tries if where not in first]
    return per_place(listed, lambda where: draw(where, tries[where]), shown_text(exhibits.NO_TUNING))


def tuning_table(evidence: Evidence, records: Iterable[Record]) -> Shown:
    """Every learning rate that was tried: validation loss, which was chosen, the edge of the grid, the score there."""
    return _tuned(evidence, records, _tuning_rows)


def _tuning_rows(where: Where, tries: Mapping[str, list[Record]]) -> Shown:
    records = [record for tried in tries.values() for record in tried]
    return exhibits.rates_table(f"of {label(where)}", records, lambda record: (tuned_arm(record),), ("Arm",))


def tuning_curve(evidence: Evidence, records: Iterable[Record]) -> Shown:
    """Best validation loss so far after each try: every arm had as many, and what the further ones brought."""
    return _tuned(evidence, records, _tuning_dots)


def _tuning_dots(where: Where, tries: Mapping[str, list[Record]]) -> Shown:
    from lowres.figures import Plot, dots

    rows: list[Row] = []
    gained = {}
    for arm, tried in tries.items():
        losses = _so_far(where, arm, tried)
        rows += [(arm, f"{number} tr{'y' if number == 1 else 'ies'}", loss) for number, loss in losses.items()]
        if losses:
            gained[arm] = max(losses.values()) - min(losses.values())
    if not rows:
        return shown_text(f"No try at {label(where)} was finished.")
    most = max(gained, key=lambda arm: gained[arm])
    plot = Plot(
        name=f"loreft-tries-{slug(where)}",
        alt=f"Best validation loss after each try of a learning rate, for {len(gained)} arms on {label(where)}. The "
        f"further tries brought the most to {most}: {gained[most]:.3f} nats.",
        caption="As many tries for every arm: its usual rate first if it was tried, the others from small to large.",
        x="nats per target token of the validation items, best so far",
        y="Arm",
    )
    return dots(frame(rows, "row", "series", "x"), plot)


def _so_far(where: Where, arm: str, tried: Sequence[Record]) -> dict[int, float]:
    """The best loss after each try: the usual rate first, then the others from small to large; failed ones count."""
    usual = usual_rate(where.model, ARMS[arm].tuner)
    order = sorted(grid_of(tried).losses.items(), key=lambda pair: (abs(pair[0] / usual - 1) > 1e-6, pair[0]))
    best = list(itertools.accumulate((loss for _, loss in order), min))
    return {number: loss for number, loss in enumerate(best, start=1) if math.isfinite(loss)}


def stability(evidence: Evidence, records: Iterable[Record]) -> Shown:
    """How much hangs on the rate and on the seed, per arm, and how many runs failed."""
    listed = list(records)
    tries = _tries(listed)

    def draw(where: Where) -> Shown:
        return _stability(evidence, where, tries.get(where, {}), listed)

    return per_place(places(evidence), draw, shown_text("No stability to show: nothing was tuned in these records."))


def _stability(evidence: Evidence, where: Where, tries: Mapping[str, list[Record]], records: Sequence[Record]) -> Shown:
    rows = []
    for name in (name for name in ARMS if ARMS[name].tuner):
        scores = evidence.scores(evidence.at(where, name))
        if scores is None:
            continue
        tried = [record.mean("task", where.metric) for record in _done(tries.get(name, []))]
        over_rates = f"{max(tried) - min(tried):.3f} over {len(tried)}" if len(tried) > 1 else "-"
        by_seed = scores.mean(axis=1)
        over_seeds = f"{by_seed.max() - by_seed.min():.3f} over {len(by_seed)}" if len(by_seed) > 1 else "-"
        failed = sum(
            record.status == "failed" and Where.of(record) == where and record.trial["arm"] in (name, f"tuning {name}")
            for record in records
        )
        rows.append((name, over_rates, over_seeds, failed))
    caption = f"Largest minus smallest score on {label(where)}: over rates (validation), over seeds (test)"
    return shown_table(caption, ("Arm", "Over learning rates", "Over seeds", "Failed runs"), rows, stack=True)


# --- what every page shows -------------------------------------------------------------------------------------------

parameters_table = exhibits.parameters_table
origin = partial(exhibits.origin, "loreft")
drift = partial(exhibits.drift_by_trial, "loreft")
verification = partial(exhibits.verification, "loreft")
deviations = partial(exhibits.deviations, DEVIATIONS)
