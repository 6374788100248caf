"""The tables and figures of the TELL page, each drawn from records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lowres import exhibits
from lowres.data import METRICS, TaskOptions
from lowres.exhibits import BARS, average, probes_of
from lowres.markup import Shown, shown_table, shown_text
from lowres.studies import Where, tuned_arm
from lowres.studies.tell.arms import ARMS
from lowres.studies.tell.claims import DEVIATIONS, MARGIN
from lowres.studies.tell.evidence import Evidence, Point, sft_curve, sweep

if TYPE_CHECKING:
    from lowres.stats import Effect
    from lowres.trial import Record, Trial


def arms_table(arms: Sequence[str]) -> Shown:
    """What each arm does, and what it is tuned with."""
    rows = [(name, ARMS[name].meaning, ARMS[name].family or "not tuned") for name in arms]
    return shown_table("The arms", ("Arm", "What it does", "Family that shares a learning rate"), rows, stack=True)


# --- tuning ----------------------------------------------------------------------------------------------------------


def tuning_table(records: Iterable[Record]) -> Shown:
    """Every learning rate that was tried, per arm family and budget, and which was chosen."""

    def of(record: Record) -> tuple[str, ...]:
        return tuned_arm(record), f"{record.trial['recipe']['task_tokens']:,}"

    return exhibits.rates_table("of each arm family and budget", records, of, ("Arm family", "Task tokens"))


def main_measure(record: Record) -> str:
    """The metric of the record's task."""
    return Where.of(record).metric


# --- scores ----------------------------------------------------------------------------------------------------------


def scores_table(evidence: Evidence) -> Shown:
    """Every point that was run: exact token counts, updates, the score with its interval, the target loss."""
    from lowres.stats import mean_interval

    rows = []
    for point in ordered(evidence):
        records = list(evidence.points[point].values())
        scores, losses = evidence.scores(point), evidence.scores(point, measure="target_nll")
        if scores is None or losses is None:
            continue
        tokens = budget(
            *(average(r.counts.get(name, 0) for r in records) for name in ("task_tokens", "general_tokens"))
        )
        updates, interval = average(record.cost.get("updates", 0) for record in records), mean_interval(scores)
        low, high = interval.interval
        score = f"{interval.estimate:.3f} ({low:.3f} to {high:.3f})"
        rows.append((point.arm, tokens, round(updates), len(records), score, f"{losses.mean():.3f}"))
    header = ("Arm", "Tokens", "Updates", "Seeds", f"{title(evidence)} (95 % interval)", "Nats per target token")
    caption = "All points: task + general tokens as counted in what was drawn, means over seeds"
    return shown_table(caption, header, rows, stack=True)


def budget(task_tokens: float, general_tokens: float) -> str:
    """Task and general tokens in one cell."""
    parts = [f"{tokens:,.0f} {kind}" for tokens, kind in ((task_tokens, "task"), (general_tokens, "general")) if tokens]
    return " + ".join(parts) or "none"


def title(evidence: Evidence) -> str:
    """The task's metric at the beginning of a sentence."""
    name = METRICS[evidence.metric]
    return name[0].upper() + name[1:]


def ordered(evidence: Evidence) -> list[Point]:
    """Points in the order of the arms, then of their budgets."""
    place = {name: index for index, name in enumerate(ARMS)}
    return sorted(
        evidence.points, key=lambda point: (place.get(point.arm, 99), point.task_tokens, point.general_tokens)
    )


def learning_curve(evidence: Evidence) -> Shown:
    """Score against task tokens: SFT at every budget, TELL where it was run, the untouched model as a level."""
    from pandas import DataFrame

    from lowres.figures import Plot, curve
    from lowres.stats import mean_interval

    budgets = sorted(sft_curve(evidence))
    series = {"SFT": {budget: evidence.at("sft", budget) for budget in budgets}}
    series["TELL"] = {budget: evidence.at("tell", budget) for budget in budgets}
    series["untouched"] = dict.fromkeys(budgets, evidence.at("untouched"))
    rows = []
    for name, points in series.items():
        for budget, point in points.items():
            scores = evidence.scores(point)
            if scores is not None:
                effect = mean_interval(scores)
                rows.append((name, budget, effect.estimate, *effect.interval))
    if not rows:
        return shown_text("No learning curve: neither SFT nor TELL was run.")
    metric = METRICS[evidence.metric]
    plot = Plot(
        name="tell-learning-curve",
        alt=f"{metric} against task tokens: SFT at {len(budgets)} budgets, TELL at {evidence.budget:,} tokens with "
        f"{evidence.params.ratio:g} times as many general tokens, and the untouched model as a level. "
        + _reading(evidence),
        caption=f"{title(evidence)} on {evidence.params.task} against the amount of task data. TELL sees "
        f"{evidence.params.ratio:g} times as many general tokens on top. {_reading(evidence)}",
        x="task tokens",
        y=metric,
        error=BARS,
        x_scale="tokens",
    )
    return curve(DataFrame(rows, columns=["series", "x", "y", "low", "high"]), plot)


def _reading(evidence: Evidence) -> str:
    """The figure's message in a sentence, from the numbers."""
    effect = evidence.effect(evidence.at("tell"), evidence.at("sft"))
    if effect is None:
        return ""
    return f"At {evidence.budget:,} tokens TELL minus SFT is {effect.text()}."


def differences(evidence: Evidence) -> Shown:
    """TELL minus every other arm at B, with the margin of the claims."""
    from lowres.figures import Plot, effects_table, forest

    effects = against_tell(evidence)
    if not effects:
        return shown_text("No comparison: TELL was not run.")
    beyond = sum(effect.interval[0] > MARGIN for effect in effects.values())
    metric = METRICS[evidence.metric]
    plot = Plot(
        name="tell-differences",
        alt=f"{metric} of TELL minus that of each of {len(effects)} other arms at {evidence.budget:,} task tokens. The "
        f"interval lies wholly beyond the margin of {MARGIN:g} for {beyond} of them.",
        caption="TELL minus each other arm, same seeds and items. Below each dot: how much "
        "of the interval comes from the seeds, and how much from the test items.",
        x=f"{metric} of TELL minus that of the arm",
        error=BARS,
    )
    return forest(effects_table(effects), plot, marks={"no difference": 0.0, "margin": MARGIN})


def against_tell(evidence: Evidence) -> dict[str, Effect]:
    """TELL minus each arm that was run at B."""
    tell = evidence.at("tell")
    effects = {name: evidence.effect(tell, evidence.at(name)) for name in ARMS if name != "tell"}
    return {name: effect for name, effect in effects.items() if effect is not None}


def ratio_sweep(evidence: Evidence) -> Shown:
    """Score and target likelihood of TELL at B against the ratio of general to task tokens."""
    from pandas import DataFrame

    from lowres.figures import Plot, curve
    from lowres.stats import mean_interval

    metric = METRICS[evidence.metric]
    rows = []
    for panel, measure, sign in (
        (metric, evidence.metric, 1),
        ("log-likelihood per target token (nats)", "target_nll", -1),
    ):
        for ratio, scores in sweep(evidence, measure).items():
            effect = mean_interval(sign * scores)
            rows.append((panel, ratio, effect.estimate, *effect.interval))
    ratios = sorted({row[1] for row in rows})
    if len(ratios) < 2:
        return shown_text("No sweep: TELL was run at one ratio only.")
    plot = Plot(
        name="tell-ratios",
        alt=f"TELL at {evidence.budget:,} task tokens against {len(ratios)} ratios of general to task tokens from "
        f"{ratios[0]:g} to {ratios[-1]:g}: {metric} above, log-likelihood of the targets below.",
        caption=f"A discrete and a continuous measure of the same trials against general data, at {evidence.budget:,} "
        "task tokens. Ratio 0 is SFT with the anchor.",
        x="general tokens per task token",
        error=BARS,
        x_scale="ratio",
    )
    return curve(DataFrame(rows, columns=["panel", "x", "y", "low", "high"]), plot)


def retention(evidence: Evidence, kind: str) -> Shown:
    """What tuning did to the probes: change against the untouched model per arm; `kind` is "nll" or "choice"."""
    from pandas import DataFrame

    from lowres.figures import Plot, forest

    rows = []
    for name in ARMS:
        point = evidence.at(name)
        for probe, measure in probes_of(evidence.records, kind):
            effect = evidence.effect(point, evidence.at("untouched"), probe, measure) if name != "untouched" else None
            if effect is not None and ARMS[name].family:
                rows.append((name, probe, effect.estimate, *effect.interval))
    if not rows:
        return shown_text("No probe of this kind was measured on the untouched model and on a tuned one.")
    what = "negative log-likelihood per token (nats; right is worse)" if kind == "nll" else "accuracy (left is worse)"
    plot = Plot(
        name=f"tell-retention-{kind}",
        alt=f"Change of {what} against the untouched model for {len({row[0] for row in rows})} tuned arms at "
        f"{evidence.budget:,} task tokens; the largest change is {max((row[2] for row in rows), key=abs):+.3f}.",
        caption=f"Retention: change in {what.split(' (')[0]} on "
        f"{' and '.join(dict.fromkeys(row[1] for row in rows))}, tuned minus untouched. {_levels(evidence, kind)}",
        x=f"change in {what}",
        error=BARS,
    )
    return forest(DataFrame(rows, columns=["row", "series", "estimate", "low", "high"]), plot, marks={"no change": 0.0})


def retention_table(evidence: Evidence) -> Shown:
    """Accuracy on every choice probe before and after tuning, and the drop counted in three ways."""
    from lowres.data import load_probe
    from lowres.stats import drop

    rows = []
    for probe, measure in probes_of(evidence.records, "choice"):
        start, chance = evidence.scores(evidence.at("untouched"), probe, measure), load_probe(probe).chance or 0.0
        for name in (name for name in ARMS if ARMS[name].family):
            after = evidence.scores(evidence.at(name), probe, measure)
            if start is not None and after is not None:
                lost = drop(float(start.mean()), float(after.mean()), chance)
                numbers = (float(start.mean()), float(after.mean()), lost.absolute, lost.relative, lost.corrected)
                rows.append((probe, name, chance, *numbers))
    header = ("Probe", "Arm", "Chance", "Before", "After", "Drop", "Relative", "Corrected")
    caption = "Retention: the drop as it is, relative to the start, corrected for chance (below zero is a gain)"
    return shown_table(caption, header, rows, stack=True)


def _levels(evidence: Evidence, kind: str) -> str:
    """Where the untouched model starts, beside chance: a probe at chance cannot show forgetting."""
    from lowres.data import load_probe

    parts = []
    for probe, measure in probes_of(evidence.records, kind):
        scores = evidence.scores(evidence.at("untouched"), probe, measure)
        if scores is not None:
            chance = load_probe(probe).chance
            unit = f" (chance {chance:.2f})" if chance else " nats per token" if kind == "nll" else ""
            parts.append(f"{probe} starts at {scores.mean():.3f}{unit}")
    return "; ".join(parts) + "." if parts else ""


# --- the live run ----------------------------------------------------------------------------------------------------


def live_table(records: Sequence[Record]) -> Shown:
    """What was just run here."""
    rows: list[tuple[Any, ...]] = []
    for record in records:
        recipe = record.trial["recipe"]
        task = record.outcomes["task"]
        score, loss = (f"{sum(task[name]) / len(task[name]):.3f}" for name in (main_measure(record), "target_nll"))
        tokens = budget(recipe["task_tokens"], recipe["general_tokens"])
        time = f"{record.cost['seconds']:.0f} s"
        rows.append((record.trial["arm"], tokens, record.trial["seed"], score, loss, time))
    header = ("Arm", "Tokens", "Seed", "Score", "Nats per target token", "Time")
    return shown_table("The live run on this machine", header, rows, stack=True)


def samples(evidence: Evidence, count: int = 4) -> Shown:
    """What the models wrote for the first test items, beside what was asked for."""
    from lowres.data import load_task

    task = load_task(evidence.params.task, TaskOptions.of(evidence.params))
    arms = [name for name in ("untouched", "sft", "tell") if evidence.points.get(evidence.at(name))]
    texts = {}
    for name in arms:
        seeds = evidence.points[evidence.at(name)]
        texts[name] = seeds[min(seeds)].texts.get("task", [])
    rows = [
        (example.target, *(texts[name][index] for name in arms))
        for index, example in enumerate(task.test[:count])
        if all(index < len(texts[name]) for name in arms)
    ]
    return shown_table(
        "The first test items: wanted, and written by one seed of each arm", ("Wanted", *arms), rows, stack=True
    )


# --- controls and cost -----------------------------------------------------------------------------------------------


def controls(evidence: Evidence) -> Shown:
    """What has to hold if the measurement is sound: each control, what it must show, what it showed."""
    rows = []
    for name, better, worse, meaning in (
        ("Random labels must not help", "tell", "random-labels", "TELL minus TELL with shuffled targets is above zero"),
        ("Tuning on the task helps at all", "sft", "untouched", "SFT minus untouched is above zero"),
        ("General data alone is not the task", "tell", "general-only", "TELL minus general data alone is above zero"),
        ("A shown format is not enough", "tell", "few-shot", "TELL minus few-shot is above zero"),
    ):
        effect = evidence.effect(evidence.at(better), evidence.at(worse))
        loss = evidence.effect(evidence.at(worse), evidence.at(better), measure="target_nll")
        if effect is None or loss is None:
            rows.append((name, meaning, "not run", "", ""))
            continue
        rows.append((name, meaning, exhibits.holds(effect), effect.text(), loss.text()))
    header = (
        "Control",
        "Must show",
        "Outcome",
        f"Difference in {METRICS[evidence.metric]}",
        "Nats per target token saved",
    )
    return shown_table("Controls", header, rows, stack=True)


def cost_table(evidence: Evidence) -> Shown:
    """Per arm at B: seconds, tokens per second, memory."""
    rows = []
    for name in ARMS:
        seeds = evidence.points.get(evidence.at(name), {})
        records = list(seeds.values())
        if records:
            rows.append((name, *exhibits.cost_cells(records)))
    header = ("Arm", *exhibits.COST)
    return shown_table(f"Cost of a trial ({exhibits.machines(evidence.records)})", header, rows, stack=True)


def trial_table(trials: Sequence[Trial], recorded: int, left_out: Sequence[str] = ()) -> Shown:
    """The trials of the live run before they run, with their exact training tokens, and what is left out of them."""
    from lowres.engine.planning import training_tokens

    rows = [
        (
            trial.arm,
            budget(trial.recipe.task_tokens, trial.recipe.general_tokens),
            trial.seed,
            training_tokens(trial),
            f"{trial.evaluation.wanted()} test items; {', '.join(trial.evaluation.probes)}",
        )
        for trial in trials
    ]
    caption = "; ".join([f"The live run: {len(trials)} trials, {recorded} of them in the ledger already", *left_out])
    header = ("Arm", "Tokens", "Seed", "Tokens through training", "Measured on")
    return shown_table(caption, header, rows, stack=True)


# --- what every page shows -------------------------------------------------------------------------------------------

parameters_table = exhibits.parameters_table
origin = partial(exhibits.origin, "tell")
drift = partial(exhibits.drift, "tell")
verification = partial(exhibits.verification, "tell")
deviations = partial(exhibits.deviations, DEVIATIONS)
