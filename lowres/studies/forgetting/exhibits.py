"""The tables and figures of the forgetting page, each drawn from records or from the paper's own tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from lowres import exhibits, world
from lowres.exhibits import BARS, average
from lowres.markup import Shown, folded, joined, shown_table, shown_text
from lowres.studies import task_loss, tuned_arm, unseeded
from lowres.studies.forgetting import measures, paper
from lowres.studies.forgetting.arms import ARMS, MAIN, SHORT_RUN_START, arm_of
from lowres.studies.forgetting.claims import ABOVE, DEVIATIONS
from lowres.studies.forgetting.evidence import (
    ABILITIES,
    CORRECTED,
    FG,
    KNOWLEDGE,
    NEUTRAL,
    SHORT,
    Evidence,
    How,
    Point,
    ablated,
    by_rate,
    difference,
    drop,
    of_kind,
    short_stream,
    table,
    twins,
)
from lowres.studies.forgetting.params import Params

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

    from lowres.stats import Effect
    from lowres.trial import Record, Trial

HOWS = {"FG (relative to the start)": FG, "corrected for chance": CORRECTED}
Row = tuple[object, ...]


# --- the paper's own numbers -----------------------------------------------------------------------------------------


def reread_table() -> Shown:
    """The paper's Tables 4 and 6: start and end of each group, its FG, and what was lost of the skill above chance."""
    rows = []
    for model in paper.MODELS:
        for group, cell in model.groups.items():
            skill = cell.start - paper.CHANCE[group]
            lost = (cell.start - cell.end) / skill
            rows.append(
                (f"{model.name}, {SHORT[group]}", *map(_two, (cell.start, cell.end, cell.fg, skill)), f"{lost:.0%}")
            )
    header = ("Model and group", "Start", "End", "FG", "Start above chance", "Of that lost in the end")
    caption = "Tables 4 and 6 of the paper in percent, and what follows from them: more than all is below chance"
    return shown_table(caption, header, rows, stack=True)


def _two(value: float) -> str:
    return f"{value:.2f}"


def reread_figure() -> Shown:
    """Domain knowledge of the paper against size: FG, and the share of the skill above chance that was lost."""
    from lowres.figures import Plot, curve

    rows: list[Row] = []
    for model in paper.MODELS:
        cell, chance = model.groups[KNOWLEDGE], paper.CHANCE[KNOWLEDGE]
        rows.append(("FG (percent)", model.family, model.size, cell.fg))
        lost = 100 * (cell.start - cell.end) / (cell.start - chance)
        rows.append(("skill lost (percent)", model.family, model.size, lost))
    plot = Plot(
        name="forgetting-reread",
        alt="Domain knowledge in the paper against model size in billions of parameters. Above: FG, which rises with "
        "size within BLOOMZ and mT0. Below: the share of the skill above chance lost in the end; within both it is "
        "lower for the largest model than for the smallest.",
        caption="The paper's own numbers for domain knowledge (MMLU), read in two ways. Above: FG, which rises with "
        "the size of BLOOMZ and mT0. Below: how much of the skill above chance was gone in the end, which does not; "
        "more than 100 percent means worse than guessing.",
        x="parameters (billions)",
    )
    return curve(_frame(_by_panel(rows), "panel", "series", "x", "y"), plot)


def _by_panel(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (str(row[0]), str(row[1]), row[2]))


def _frame(rows: Sequence[Row], *columns: str) -> DataFrame:
    from pandas import DataFrame

    return DataFrame(list(rows), columns=list(columns))


# --- the design ------------------------------------------------------------------------------------------------------


def arms_table(params: Params) -> Shown:
    """What each arm does."""
    names = [*ARMS, *(name for name in params.tuners or ("lora", "loreft") if name not in ARMS)]
    rows = [("untouched", "the model before the stream: R(0)"), *((name, arm_of(name).meaning) for name in names)]
    rows.append((SHORT_RUN_START, "the model before the arm short: its R(0)"))
    return shown_table("The arms", ("Arm", "What it does"), rows)


def trial_table(trials: Sequence[Trial], recorded: Sequence[bool]) -> Shown:
    """The trials of the live run before they run, and the seconds that trials like them took."""
    usual = exhibits.usual_seconds("forgetting", lambda r: (unseeded(r.trial["model"]), r.trial["arm"]))
    rows: dict[tuple[str, str], list[int]] = {}
    for trial, is_there in zip(trials, recorded, strict=True):
        row = rows.setdefault((unseeded(trial.model), trial.arm), [0, 0, 0])
        updates = sum(one.optimisation.steps or 0 for one in trial.stages() if one.optimisation)
        row[0], row[1], row[2] = row[0] + 1, row[1] + is_there, updates
    shown = [
        (f"{model}, {arm}", count, there, updates, usual.get((model, arm), "not known yet"))
        for (model, arm), (count, there, updates) in rows.items()
    ]
    header = ("Model and arm", "Trials", "In the ledger", "Updates each", "Seconds each, when last published")
    return shown_table(f"The live run: {len(trials)} trials", header, shown, stack=True)


def live_table(records: Sequence[Record]) -> Shown:
    """What was just run here: loss on the new tasks when learnt, and each group in the end."""
    rows = []
    for record in records:
        levels = [f"{SHORT[group]} {level:.2f}" for group, level in _end_levels(record).items()]
        loss, seconds = f"{task_loss(record):.3f}", f"{record.cost['seconds']:.0f} s"
        rows.append((f"{record.trial['model']}, {record.trial['arm']}", loss, ", ".join(levels), seconds))
    header = ("Model and arm", "Nats per target token of the tasks", "Accuracy in the end", "Time")
    return shown_table("The live run on this machine", header, rows, stack=True)


def _end_levels(record: Record) -> dict[str, float]:
    from lowres.studies.forgetting.arms import groups_of

    found = {}
    for group, probes in groups_of(record.trial["model"]).items():
        there = [probe for probe in probes if probe in record.outcomes]
        if there:
            found[group] = average(record.mean(probe, measures.score_name(probe)) for probe in there)
    return found


def tuning_table(records: Iterable[Record]) -> Shown:
    """Every learning rate that was tried, per model and tuner, and which was chosen."""

    def of(record: Record) -> tuple[str, ...]:
        return (f"{unseeded(record.trial['model'])}, {tuned_arm(record)}",)

    return exhibits.rates_table("of each model and tuner", records, of, ("Model and tuner",))


def _rate(record: Record) -> float:
    return float(record.trial["optimisation"]["learning_rate"])


# --- levels and drops ------------------------------------------------------------------------------------------------


def groups_table(evidence: Evidence) -> Shown:
    """Main arm, per model and group: start, accuracy after each task, FG and its relatives, likelihood."""
    return _first_open(evidence, _groups)


def _first_open(evidence: Evidence, table: Callable[[Evidence, str, Sequence[str]], Shown]) -> Shown:
    """A table for each kind of models: that of the first kind open, the others to open on a click."""
    tables = [(where, table(evidence, where, models)) for where, models in _kinds(evidence).items()]
    return joined([shown for _, shown in tables[:1]] + [folded(where, shown) for where, shown in tables[1:]])


def _groups(evidence: Evidence, where: str, models: Sequence[str]) -> Shown:
    every = (_group_row(evidence, evidence.at(model), group) for model in models for group in (*ABILITIES, "bias"))
    rows = [row for row in every if row]
    header = (
        "Model and group",
        "Start",
        "After each task",
        "FG",
        "Drop",
        "Corrected drop",
        "Corrected, in the end",
        "Nats: start, end",
    )
    caption = (
        f"{where}: the main arm, means over seeds. FG, drop and corrected drop are means over all checkpoints; "
        f"corrected means over probes that start {ABOVE:.2f} above chance or more. Nats: per token of the right option"
    )
    return shown_table(exhibits.with_note(caption, rows), header, rows, stack=True)


def _group_row(evidence: Evidence, point: Point, group: str) -> Row | None:
    courses = evidence.courses(point, group)
    if not courses:
        return None
    import numpy as np

    levels = np.mean([course.levels.mean(axis=0) for course in courses], axis=0)
    after = "\u00a0".join(f"{level:.2f}" for level in levels[1:])
    nats = [_nats(evidence, point, group, end) for end in (False, True)]
    return (
        f"{point.model.removeprefix('world-')}, {SHORT[group]}",
        _two(levels[0]),
        after,
        _percent(drop(evidence, point, group)),
        f"{levels[0] - levels[1:].mean():.3f}",
        _percent(drop(evidence, point, group, CORRECTED)),
        _percent(drop(evidence, point, group, How(corrected=True, final=True))),
        f"{nats[0]:.2f}, {nats[1]:.2f}",
    )


def _percent(effect: Effect | None) -> str:
    return "starts at chance" if effect is None else exhibits.brief(effect, percent=True)


def _nats(evidence: Evidence, point: Point, group: str, end: bool) -> float:
    """Nats per token of the right option, before the stream or after it."""
    records = [pair[end] for pair in evidence.pairs(point).values()]
    probes = [probe for probe in evidence.probes(point, group) if probe in records[0].outcomes]
    return average(record.mean(probe, "target_nll") for record in records for probe in probes)


def starts_table(evidence: Evidence) -> Shown:
    """R(0) of every probe and model beside chance; what is at chance cannot show forgetting."""
    return joined([_starts(evidence, where, models) for where, models in _kinds(evidence).items()])


def _kinds(evidence: Evidence) -> dict[str, list[str]]:
    """The models of one table each."""
    found: dict[str, list[str]] = {}
    for model in evidence.models:
        parsed = world.parse(model) if world.is_world_model(model) else None
        level = parsed.level if isinstance(parsed, world.WorldModel) else None
        ended = f"stopped at level {level:.2f}" if level else "pretrained to the end"
        found.setdefault(f"The generated world, {ended}" if parsed else "Real data", []).append(model)
    return found


def _starts(evidence: Evidence, where: str, models: Sequence[str]) -> Shown:
    probes = dict.fromkeys(probe for model in models for probe in _probes_of(evidence, model))
    rows = []
    for probe in probes:
        cells = []
        for model in models:
            found = evidence.courses(evidence.at(model), probe)
            mark = "" if not found or found[0].is_above_chance() else "*"
            cells.append(f"{found[0].starts.mean():.2f}{mark}" if found else "-")
        rows.append((probe.removeprefix("world-"), *cells))
    caption = f"{where}: start of every probe. * at chance (a seed less than {ABOVE:.2f} above): nothing can be lost"
    return shown_table(caption, ("Probe", *(model.removeprefix("world-").split("~")[0] for model in models)), rows)


def _probes_of(evidence: Evidence, model: str) -> tuple[str, ...]:
    point = evidence.at(model)
    return (*evidence.probes(point, "abilities"), *evidence.probes(point, "bias"))


def trajectories(evidence: Evidence) -> Shown:
    """Accuracy per group before the stream and after each task, one line per model of the main arm."""
    from lowres.figures import Plot, curve
    from lowres.stats import mean_interval

    models = [model for model in evidence.models if world.is_world_model(model)]
    models = of_kind(evidence) or models
    rows: list[Row] = []
    for group in ABILITIES:
        for model in models:
            for step, scores in enumerate(_steps(evidence, evidence.at(model), group)):
                effect = mean_interval(scores)
                rows.append((SHORT[group], model, step, effect.estimate, *effect.interval))
    if not rows:
        return shown_text("No trajectory: no model went through the stream.")
    plot = Plot(
        name="forgetting-trajectories",
        alt=f"Accuracy on {len(ABILITIES)} groups of probes before the stream and after each of its tasks, for "
        f"{', '.join(models)}. {_fall(evidence, models)}",
        caption=f"Accuracy of base decoders over the stream; 0 is before it. {_fall(evidence, models)}",
        x="tasks learnt",
        error=BARS,
        size=(7, 3.4),
    )
    return curve(_frame(rows, "panel", "series", "x", "y", "low", "high"), plot)


def _steps(evidence: Evidence, point: Point, group: str) -> list[NDArray]:
    """Scores [seeds, slots] of a group at every checkpoint, the start first."""
    import numpy as np

    from lowres import stats

    courses, slots = evidence.courses(point, group), evidence.slots
    if not courses:
        return []
    tables = [[one.before, *np.moveaxis(one.after, 1, 0)] for one in courses]
    return [np.mean([stats.spread(scores, slots) for scores in step], axis=0) for step in zip(*tables, strict=True)]


def _fall(evidence: Evidence, models: Sequence[str]) -> str:
    parts = []
    for model in models:
        courses = evidence.courses(evidence.at(model), "abilities")
        start, end = (average(float(c.levels[:, at].mean()) for c in courses) for at in (0, -1))
        parts.append(f"{model} falls from {start:.2f} to {end:.2f}")
    return "Over all probes " + "; ".join(parts) + "."


def against_size(evidence: Evidence, group: str = KNOWLEDGE) -> Shown:
    """FG and the corrected drop of a group against parameters: decoders trained to the end, and stopped at a level."""
    from lowres.figures import Plot, curve

    rows: list[Row] = []
    sets = {
        "trained to the end": of_kind(evidence),
        "stopped at one level": of_kind(evidence, matched=True),
        "encoder-decoder, stopped at one level": of_kind(evidence, encdec=True, matched=True),
    }
    for panel, how in HOWS.items():
        for name, models in sets.items():
            for model in models:
                effect = drop(evidence, evidence.at(model), group, how)
                if effect:
                    rows.append((panel, name, evidence.parameters(model), effect.estimate, *effect.interval))
    if not rows:
        return shown_text("No figure of sizes: no base model went through the stream.")
    plot = Plot(
        name=f"forgetting-size-{SHORT[group]}",
        alt=f"What was lost of {group} against the number of parameters, {len({row[2] for row in rows})} sizes; above "
        f"relative to the start (FG), below corrected for chance. {_trend(evidence, group)}",
        caption=f"Size and the forgetting of {group}, mean over all checkpoints. {_trend(evidence, group)}",
        x="parameters",
        error=BARS,
        x_scale="tokens",
    )
    return curve(_frame(rows, "panel", "series", "x", "y", "low", "high"), plot)


def _trend(evidence: Evidence, group: str) -> str:
    models = of_kind(evidence)
    if len(models) < 2:
        return ""
    parts = []
    for name, how in HOWS.items():
        effect = difference(evidence, evidence.at(models[-1]), evidence.at(models[0]), group, how)
        if effect:
            parts.append(f"{name}: {effect.text()}")
    return f"Largest minus smallest model trained to the end, {'; '.join(parts)}." if parts else ""


def at_task_loss(evidence: Evidence) -> Shown:
    """Corrected drop of all abilities against the loss on the new tasks: one line per model, one point per rate."""
    from lowres.figures import Plot, curve
    from lowres.stats import mean_interval

    rows: list[Row] = []
    for model in (*of_kind(evidence), *of_kind(evidence, matched=True)):
        for one in by_rate(evidence, model, "abilities"):
            effect = mean_interval(one.lost)
            rows.append((model, one.loss, effect.estimate, *effect.interval))
    if len(rows) == len({row[0] for row in rows}):
        return shown_text("No curve: every model was tuned at one learning rate only.")
    plot = Plot(
        name="forgetting-task-loss",
        alt=f"Corrected drop over all abilities against the loss on the new tasks when they were learnt, for "
        f"{len({row[0] for row in rows})} models at several learning rates each.",
        caption="Forgetting at equal mastery: compare models at the same place of the horizontal axis. Each point is a "
        "learning rate, along the line from small to large ones; left is better learnt.",
        x="nats per target token of the new tasks",
        y="corrected drop",
        error=BARS,
    )
    return curve(_frame(rows, "series", "x", "y", "low", "high"), plot)


def beside_paper(evidence: Evidence) -> Shown:
    """FG of the paper's Tables 4 and 6 and of the models here, in percent, against parameters."""
    from lowres.figures import Plot, curve

    rows: list[Row] = []
    for group in ABILITIES:
        for model in paper.MODELS:
            value = model.groups[group].fg
            rows.append((f"FG, {SHORT[group]} (%)", f"paper, {model.family}", model.size * 1e9, value, value, value))
        for kind, models in (("here, decoder", of_kind(evidence)), ("here, encoder-decoder", _encdecs(evidence))):
            for one in models:
                effect = drop(evidence, evidence.at(one), group)
                if effect:
                    ends = (100 * end for end in effect.interval)
                    rows.append(
                        (f"FG, {SHORT[group]} (%)", kind, evidence.parameters(one), 100 * effect.estimate, *ends)
                    )
    plot = Plot(
        name="forgetting-beside-paper",
        alt=f"FG in percent against parameters for {len(ABILITIES)} groups: {len(paper.MODELS)} models of the paper "
        f"with billions of parameters, and {len(of_kind(evidence)) + len(_encdecs(evidence))} of this page with "
        "thousands to millions.",
        caption="FG in the paper and here. The models are orders of magnitude apart: compare directions, not sizes.",
        x="parameters",
        error=f"{BARS} (the paper gives none)",
        x_scale="log",
        size=(7, 3.4),
    )
    columns = ("panel", "series", "x", "y", "low", "high")
    return curve(_frame(_by_panel(rows), *columns), plot)


def _encdecs(evidence: Evidence) -> list[str]:
    return of_kind(evidence, encdec=True) or of_kind(evidence, encdec=True, matched=True)


# --- pairs of models, arms -------------------------------------------------------------------------------------------


def pairs_figure(evidence: Evidence, kind: str) -> Shown:
    """How much more one twin forgets; `kind` is "encdec" (encoder-decoder - decoder) or "instruct" (base - tuned)."""
    from lowres.figures import Plot, forest

    chosen = twins(evidence, encdec=kind == "encdec", instruct=kind == "instruct")
    rows: list[tuple[str, str, float, float, float]] = []
    for plain, other in chosen:
        more, less = (other, plain) if kind == "encdec" else (plain, other)
        for group in ABILITIES:
            for series, how in HOWS.items():
                effect = difference(evidence, evidence.at(more), evidence.at(less), group, how)
                if effect:
                    rows.append((f"{plain}, {SHORT[group]}", series, effect.estimate, *effect.interval))
    words = "encoder-decoder minus decoder" if kind == "encdec" else "base minus instruction-tuned"
    if not rows:
        return shown_text(f"No comparison ({words}): no size was run both ways.")
    above = sum(row[3] > 0 for row in rows)
    plot = Plot(
        name=f"forgetting-{kind}",
        alt=f"Forgetting, {words}, per size and group, relative to the start and corrected for chance: {above} of "
        f"{len(rows)} intervals lie wholly above zero.",
        caption=f"How much more is forgotten: {words}, same seeds and items. A group that one of the two starts at "
        "chance in has no corrected drop.",
        x="difference in what was lost (share)",
        error=BARS,
    )
    return forest(_frame(rows, "row", "series", "estimate", "low", "high"), plot, marks={"no difference": 0.0})


def shares_figure(evidence: Evidence) -> Shown:
    """FG per group, and the loss on the new tasks, against the share of general data."""
    from lowres.figures import Plot, curve
    from lowres.stats import mean_interval

    rows: list[Row] = []
    for model in ablated(evidence)[:1]:
        for series, arms in (("bare", (MAIN, "mixed")), ("with TELL's anchor", ("anchor", "mixed+anchor"))):
            for point in _shares(evidence, model, arms):
                lost = table(evidence, point, "abilities")
                if lost is not None:
                    effect = mean_interval(lost)
                    rows.append(("FG over all abilities", series, point.share, effect.estimate, *effect.interval))
                    loss = average(task_loss(record) for record in evidence.points[point].values())
                    rows.append(("nats per target token", series, point.share, loss, loss, loss))
    if len({row[2] for row in rows}) < 2:
        return shown_text("No curve of shares: no general data were mixed in.")
    plot = Plot(
        name="forgetting-shares",
        alt=f"FG over all abilities and the loss on the new tasks against {len({row[2] for row in rows})} shares of "
        f"general data, with and without an anchor before the task inputs, on {ablated(evidence)[0]}.",
        caption="General data mixed into every task. The same number of task examples is seen at every share.",
        x="share of general data",
        error=f"{BARS} (none for the loss)",
    )
    return curve(_frame(_by_panel(rows), "panel", "series", "x", "y", "low", "high"), plot)


def _shares(evidence: Evidence, model: str, arms: Sequence[str]) -> list[Point]:
    rate = evidence.at(model).rate
    found = [p for p in evidence.points if p.model == model and p.arm in arms and p.rate == rate and evidence.pairs(p)]
    return sorted(found, key=lambda point: point.share)


def arms_effects(evidence: Evidence) -> Shown:
    """Every further arm: mastery of the new tasks beside what was lost of each group; a table for each model."""
    found = {point.model for point in evidence.points if point.arm not in (MAIN, "untouched")}
    tables = [_arms_of(evidence, model) for model in evidence.models if model in found]
    return joined(tables) if tables else shown_text("No further arm was run.")


def _arms_of(evidence: Evidence, model: str) -> Shown:
    rows = []
    points = [point for point in evidence.points if point.model == model and point.arm != "untouched"]
    for point in sorted(points, key=lambda point: (_place(point.arm), point.share)):
        runs = evidence.pairs(point)
        if not runs or point != evidence.at(model, point.arm, point.share):
            continue
        ends = [end for _, end in runs.values()]
        score, loss = average(map(_task_score, ends)), average(map(task_loss, ends))
        trained = max(end.counts.get("trained_parameters", 0) for end in ends)
        lost = [_percent(drop(evidence, point, group)) for group in ABILITIES]
        name = point.arm + (f" {point.share:.0%}" if point.share else "")
        rows.append((name, trained, len(runs), f"{score:.3f}", f"{loss:.3f}", *lost, *_text_loss(runs.values())))
    groups = [f"FG {SHORT[group]}" for group in ABILITIES]
    header = [f"Arm of {model}", "Trained parameters", "Seeds", "Token F1", "Nats", *groups]
    if any(len(row) > len(header) for row in rows):
        header.append("; ".join(TEXTS))
    caption = "All arms: how well the new tasks were learnt (token F1, nats per target token), and what it cost (FG)"
    return shown_table(exhibits.with_note(caption, rows), header, rows, stack=True)


TEXTS = {  # probes of real models, in nats; edits of the prompt also edit a text that has none, but not what follows
    "Nats of held-out text": ("wiki-nll", "nll"),
    "of how it goes on": ("wiki-continuation", "target_nll"),
}


def _text_loss(runs: Iterable[tuple[Record, Record]]) -> tuple[str, ...]:
    """Of text that is no task, before the stream and after it; nothing where that was not measured."""
    both = [pair for pair in runs if all(probe in pair[1].outcomes for probe, _ in TEXTS.values())]
    if not both:
        return ()
    ends = [[average(pair[side].mean(*measured) for pair in both) for side in (0, 1)] for measured in TEXTS.values()]
    return ("; ".join(f"{before:.2f} to {after:.2f}" for before, after in ends),)


def _place(arm: str) -> int:
    """Where an arm stands in the table of arms; tuners come last."""
    names = list(ARMS)
    return names.index(arm) if arm in names else len(names)


def _task_score(record: Record) -> float:
    """Token F1 over the tasks, each when it was learnt."""
    return average(record.mean(p + "task", "token_f1") for p in measures.prefixes(record))


def mastery_table(evidence: Evidence) -> Shown:
    """How well each model learnt each task, measured right after it."""
    streams: dict[tuple[str, ...], list[Row]] = {}
    for model in evidence.models:
        ends = [end for _, end in evidence.pairs(evidence.at(model)).values()]
        names = (*(stage["task"] for stage in ends[0].trial.get("stream", ())), ends[0].trial["task"])
        cells = []
        for prefix in measures.prefixes(ends[0]):
            score, loss = (average(end.mean(prefix + "task", m) for end in ends) for m in ("token_f1", "target_nll"))
            cells.append(f"{score:.2f} ({loss:.2f})")
        streams.setdefault(names, []).append((model, *cells))
    caption = "The new tasks, each right after it was learnt: token F1 (nats per target token)"
    tables = [
        shown_table(caption, ("Model", *(name.removeprefix("world-") for name in names)), rows, stack=True)
        for names, rows in streams.items()
    ]
    return joined(tables)


def options_table(evidence: Evidence) -> Shown:
    """Which option is chosen, before and after: one that is always chosen is a format that broke, not a fact lost."""
    return _first_open(evidence, _chosen)


def _chosen(evidence: Evidence, where: str, models: Sequence[str]) -> Shown:
    rows = []
    for model in models:
        point = evidence.at(model)
        pairs = list(evidence.pairs(point).values())
        for group in ABILITIES:
            for probe in [p for p in evidence.probes(point, group) if p in pairs[0][0].outcomes][:1]:
                before, after = (_options(records, probe) for records in zip(*pairs, strict=True))
                rows.append((f"{model}, {probe}".replace("world-", ""), before, after))
    header = ("Model and probe", "Before", "After the stream")
    caption = (
        f"{where}: share of items on which the first, second, ... option was chosen (right ones are spread evenly)"
    )
    return shown_table(caption, header, rows, stack=True)


def _options(records: Sequence[Record], probe: str) -> str:
    counts = Counter(int(choice) for record in records for choice in record.outcomes[probe]["chosen"])
    total = sum(counts.values())
    return " ".join(f"{counts[option] / total:.2f}" for option in range(max(counts) + 1))


def bias_table(evidence: Evidence) -> Shown:
    """Preference for the stereotype before and after, beside neutral choices between two."""
    from lowres.stats import mean_interval

    rows = []
    for model in evidence.models:
        point = evidence.at(model)
        for probe in ("bias", *NEUTRAL):
            for course in evidence.courses(point, probe):
                lost = table(evidence, point, probe, CORRECTED)
                effect = None if lost is None else mean_interval(lost)
                levels = course.levels.mean(axis=0)
                rows.append((f"{model}, {course.probe}", _two(levels[0]), _two(levels[-1]), _percent(effect)))
    header = ("Model and probe", "Start", "End", "Corrected drop, all checkpoints")
    return shown_table("Bias, and choices between two that have nothing to do with it", header, rows, stack=True)


# --- controls and cost -----------------------------------------------------------------------------------------------


def controls(evidence: Evidence) -> Shown:
    """What has to hold if the measurement is sound: each control, what it must show, what it showed."""
    rows = [row for model in ablated(evidence) for row in _controls_of(evidence, model)]
    header = ("Control", "Must show", "Outcome", "Measured")
    return shown_table("Controls", header, rows or [("none", "", "not run", "")], stack=True)


def _controls_of(evidence: Evidence, model: str) -> list[Row]:
    main = evidence.at(model)
    nothing = drop(evidence, evidence.at(model, "no-op"), "abilities")
    general = difference(evidence, main, evidence.at(model, "general-only"), "abilities")
    random = difference(evidence, main, evidence.at(model, "random-labels"), "abilities")
    learnt = _loss_difference(evidence, evidence.at(model, "random-labels"), main)
    still = None if nothing is None else abs(nothing.estimate) < 1e-9
    return [
        _control("No update, nothing lost", "FG of the stream at a rate of zero is zero", still, nothing),
        _control("General data are not what harms", "stream minus general data alone is above zero", None, general),
        _control(
            "Shuffled targets are not learnt", "their loss minus that of true targets is above zero", None, learnt
        ),
        _control("Does it take a task to forget?", "open: stream minus shuffled targets", None, random),
    ]


def _control(name: str, must: str, holds: bool | None, effect: Effect | None) -> Row:
    if effect is None:
        return (name, must, "not run", "")
    word = exhibits.holds(effect) if holds is None else "holds" if holds else "fails"
    return (name, must, "open question" if must.startswith("open") else word, effect.text())


def _loss_difference(evidence: Evidence, more: Point, less: Point) -> Effect | None:
    """Nats per target token of the tasks, on common seeds and items."""
    import numpy as np

    from lowres.stats import paired_effect

    runs = [evidence.pairs(point) for point in (more, less)]
    seeds = sorted(set(runs[0]) & set(runs[1]))
    if not seeds:
        return None
    sides = [
        np.array(
            [np.mean([end.outcomes[p + "task"]["target_nll"] for p in measures.prefixes(end)], axis=0) for end in ends]
        )
        for ends in ([run[seed][1] for seed in seeds] for run in runs)
    ]
    return paired_effect(*sides)


def short_real_stream(evidence: Evidence, live: Sequence[Record]) -> Shown:
    """What the live run's short stream of a real model shows, beside the start of the published real point."""
    found = short_stream(evidence.params, live)
    if not found.models:
        return shown_text("No real model went through a short stream in this run: real_steps says how many updates.")
    point = found.at(found.models[0])
    rows = [_short_row(found, evidence, point, g) for g in (*ABILITIES, "bias") if found.courses(point, g)]
    rows.append(_short_language(found, evidence, point))
    stored = _published_start(evidence, point.model)
    items = f" ({stored.trial['evaluation']['probe_items']} items per probe)" if stored else ""
    header = ("Group", "Start", "After each task", "Nats: start, after each task", f"Start as published{items}")
    caption = f"{point.model}, live, accuracy: too short to decide a claim, and part of no verdict"
    return joined([_short_label(found, point), shown_table(caption, header, rows, stack=True), mastery_table(found)])


def _published_start(evidence: Evidence, model: str) -> Record | None:
    """The published record of a real model before its own, longer stream."""
    return next(iter(evidence.points.get(Point(model, "untouched"), {}).values()), None) if evidence.published else None


def _short_label(found: Evidence, point: Point) -> Shown:
    (_, end), *_ = found.pairs(point).values()
    trial = end.trial
    updates, batch = (trial["optimisation"][name] for name in ("steps", "batch_size"))
    items = trial["evaluation"]["probe_items"]
    return shown_text(
        f"{point.model} went through {len(trial['stream']) + 1} real tasks with {updates} updates of {batch} examples "
        f"each, one seed, {items} items per probe: one answer that changes moves a probe by {1 / items:.3f}. This is "
        "too short to decide a claim. It shows that real text takes the same way as generated text, where a real model "
        "starts, and which way it drifts. It is part of no figure, mean or verdict."
    )


def _short_row(found: Evidence, evidence: Evidence, point: Point, group: str) -> Row:
    import numpy as np

    courses = found.courses(point, group)
    levels = np.mean([course.levels[0] for course in courses], axis=0)
    nats = _nats_over_stream(found, point, [course.probe for course in courses], "target_nll")
    there = evidence.courses(evidence.at(point.model), group) if evidence.published else []
    start = _two(average(float(course.starts.mean()) for course in there)) if there else "not published"
    return (SHORT[group], _two(levels[0]), " ".join(map(_two, levels[1:])), nats, start)


def _short_language(found: Evidence, evidence: Evidence, point: Point) -> Row:
    """Plain text that no task is about, in nats per token."""
    stored = _published_start(evidence, point.model)
    start = f"{stored.mean('wiki-nll', 'nll'):.2f} nats" if stored else "not published"
    return ("held-out text", "", "", _nats_over_stream(found, point, ("wiki-nll",), "nll"), start)


def _nats_over_stream(found: Evidence, point: Point, probes: Sequence[str], measure: str) -> str:
    (start, end), *_ = found.pairs(point).values()
    steps = [(start, ""), *((end, prefix) for prefix in measures.prefixes(end))]
    return " ".join(_two(average(record.mean(p + probe, measure) for probe in probes)) for record, p in steps)


def cost_table(evidence: Evidence) -> Shown:
    """Per model of the main arm: seconds, tokens per second, memory; pretraining is not counted."""
    rows = []
    for model in evidence.models:
        records = [end for _, end in evidence.pairs(evidence.at(model)).values()]
        rows.append((model, evidence.parameters(model), *exhibits.cost_cells(records)))
    header = ("Model", "Parameters", *exhibits.COST)
    where = exhibits.machines(evidence.records)
    return shown_table(f"Cost of one stream, pretraining not counted ({where})", header, rows, stack=True)


# --- what every page shows -------------------------------------------------------------------------------------------

parameters_table = exhibits.parameters_table
origin = partial(exhibits.origin, "forgetting")
drift = partial(exhibits.drift_by_trial, "forgetting")
verification = partial(exhibits.verification, "forgetting")
deviations = partial(exhibits.deviations, DEVIATIONS)
