"""From records to what the page shows: levels, drops, effects and verdicts of the forgetting study.

Verdicts rest on the published records where there are any, else on the live run.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lowres import world
from lowres.claims import Claim, Part, Rule, Verdict, judge_parts
from lowres.exhibits import named, process_hours
from lowres.studies import Gathered, decided, task_loss, unseeded
from lowres.studies.forgetting import measures
from lowres.studies.forgetting.arms import (
    MAIN,
    SHORT_RUN,
    SHORT_RUN_START,
    chosen_rates,
    groups_of,
    usual_rate,
)
from lowres.studies.forgetting.claims import CLAIMS, MARGIN
from lowres.studies.forgetting.measures import Course
from lowres.studies.forgetting.params import Params

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.stats import Effect, Saving
    from lowres.trial import Record

PAGE = "notebooks/03_forgetting.html"
ABILITIES = ("domain knowledge", "reasoning", "reading comprehension")
KNOWLEDGE, REASONING, READING = ABILITIES
SHORT_RUNS = {SHORT_RUN: MAIN, SHORT_RUN_START: "untouched"}  # and what they are called where they stand alone
NEUTRAL = ("world-pronoun", "world-either")  # two choices, and no stereotype between them
SHORT = {KNOWLEDGE: "knowledge", REASONING: "reasoning", READING: "reading", "bias": "bias"}


@dataclass(frozen=True)
class Point:
    """One arm of one model: what a mean is taken over the seeds of. `share` is that of general data."""

    model: str
    arm: str
    share: float = 0.0
    rate: float | None = None


@dataclass(frozen=True)
class Evidence(Gathered[Params, Point]):
    """The records that figures and verdicts draw on; `rates` are the learning rates by model and tuner."""

    rates: Mapping[tuple[str, str], float]

    @property
    def models(self) -> list[str]:
        """The models that went through the stream at their own rate and were measured before it, small ones first."""
        found = [point.model for point in self.points if point == self.at(point.model) and self.pairs(point)]
        return sorted(dict.fromkeys(found), key=lambda model: (self.parameters(model), model))

    def at(self, model: str, arm: str = MAIN, share: float | None = None) -> Point:
        """The point of an arm of a model at the model's own learning rate (the largest share, if none is given)."""
        rate = self.rates.get((model, arm)) or self.rates.get((model, "full"))
        shares = [p.share for p in self.points if (p.model, p.arm, p.rate) == (model, arm, rate)]
        if arm == "no-op":
            rate = 0.0
        return Point(model, arm, max(shares, default=0.0) if share is None else share, rate)

    def pairs(self, point: Point) -> dict[int, tuple[Record, Record]]:
        """By seed: the record before the stream and that of the stream."""
        starts = self.points.get(Point(point.model, "untouched"), {})
        ends = self.points.get(point, {})
        if not world.is_world_model(point.model) and starts:
            starts = dict.fromkeys(ends, next(iter(starts.values())))
        return {seed: (starts[seed], ends[seed]) for seed in sorted(set(starts) & set(ends))}

    def courses(self, point: Point, group: str, seeds: Iterable[int] | None = None) -> list[Course]:
        """The probes of a group over the stream; those that were measured."""
        pairs = self.pairs(point)
        chosen = [pairs[seed] for seed in (pairs if seeds is None else seeds)]
        found = (measures.course([s for s, _ in chosen], [e for _, e in chosen], p) for p in self.probes(point, group))
        return [course for course in found if course is not None]

    def probes(self, point: Point, group: str) -> tuple[str, ...]:
        """The choice probes of a group that go with a model; all abilities together under "abilities"."""
        groups = groups_of(point.model)
        return tuple(p for g in ABILITIES for p in groups[g]) if group == "abilities" else groups.get(group, (group,))

    @property
    def slots(self) -> int:
        """Items of the largest probe."""
        counts = (
            len(values["chosen"])
            for record in self.records
            for where, values in record.outcomes.items()
            if "chosen" in values and not where.endswith("task")
        )
        return max(counts, default=0)

    def parameters(self, model: str) -> int:
        """Parameters of a model, as counted when all of them were tuned; 0 where they never were."""
        ends = self.points.get(self.at(model), {}).values()
        return max((record.counts.get("trained_parameters", 0) for record in ends), default=0)


# --- gathering -------------------------------------------------------------------------------------------------------


def gather(params: Params, live: Sequence[Record]) -> Evidence:
    """The published records if there are any, else the live ones; never a short stream of a real model."""
    from lowres.published import read_published

    stored, run = (
        [record for record in records if record.status == "done" and record.trial["arm"] not in SHORT_RUNS]
        for records in (read_published("forgetting"), live)
    )
    return _grouped(params, stored or run, bool(stored))


def short_stream(params: Params, live: Sequence[Record]) -> Evidence:
    """The short stream of a real model in the live run, apart from everything that a verdict rests on."""
    chosen = [record for record in live if record.status == "done" and record.trial["arm"] in SHORT_RUNS]
    renamed = [replace(r, trial={**r.trial, "arm": SHORT_RUNS[r.trial["arm"]]}) for r in chosen]
    return _grouped(params, renamed, published=False)


def _grouped(params: Params, chosen: Sequence[Record], published: bool) -> Evidence:
    tuned = [record for record in chosen if record.trial["arm"].startswith("tuning ")]
    points: dict[Point, dict[int, Record]] = defaultdict(dict)
    for record in _comparable([record for record in chosen if record.trial["evaluation"]["split"] == "test"]):
        points[point_of(record)][record.trial["seed"]] = record
    return Evidence(params, dict(points), published, {**_usual(points), **chosen_rates(tuned)})


def point_of(record: Record) -> Point:
    """Where a record belongs."""
    trial, recipe = record.trial, record.trial["recipe"]
    total = recipe["task_tokens"] + recipe["general_tokens"]
    share = round(recipe["general_tokens"] / total, 2) if total and recipe["task_tokens"] else 0.0
    rate = trial["optimisation"]["learning_rate"] if trial["optimisation"] else None
    return Point(unseeded(trial["model"]), trial["arm"], share, rate)


def _usual(points: Mapping[Point, Mapping[int, Record]]) -> dict[tuple[str, str], float]:
    """The rates of models and tuners that nobody tuned: the one with the most seeds, the usual one among equals."""
    found: dict[tuple[str, str], float] = {}
    for point, seeds in sorted(points.items(), key=lambda item: len(item[1])):
        tuner = next(iter(seeds.values())).trial["tuner"]
        if point.rate and tuner:
            pair = point.model, tuner["name"]
            rivals = len(points.get(Point(point.model, point.arm, point.share, usual_rate(*pair)), {}))
            found[pair] = usual_rate(*pair) if rivals >= len(seeds) else point.rate
    return found


def _comparable(records: Sequence[Record]) -> list[Record]:
    """Only records made and measured alike can be compared: the most frequent setting of each kind of model."""
    kinds: dict[bool, dict[str, list[Record]]] = {True: defaultdict(list), False: defaultdict(list)}
    for record in records:
        kinds[world.is_world_model(record.trial["model"])][_setting(record)].append(record)
    found = []
    for settings in kinds.values():
        trained = Counter({name: sum(bool(r.trial["tuner"]) for r in group) for name, group in settings.items()})
        found += settings[trained.most_common(1)[0][0]] if settings else []
    return found


def _setting(record: Record) -> str:
    """What must be equal: what was measured and how many stages were gone through, whatever their order."""
    return json.dumps([record.trial["evaluation"], record.provenance.get("precision", "")], sort_keys=True)


# --- drops and effects -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class How:
    """Which drop: corrected for chance or relative to the start; over those probes alone that start above chance."""

    corrected: bool = False
    final: bool = False
    above: bool = False


FG, CORRECTED = How(), How(corrected=True)


def table(
    evidence: Evidence, point: Point, group: str, how: How = FG, seeds: Iterable[int] | None = None
) -> NDArray | None:
    """What a point lost in a group, [seeds, slots]; None where it was not run or has nothing to lose."""
    if not evidence.pairs(point):
        return None
    courses = evidence.courses(point, group, seeds)
    if how.above:
        courses = [course for course in courses if course.is_above_chance()]
    return measures.lost(courses, evidence.slots, how.corrected, how.final)


def drop(evidence: Evidence, point: Point, group: str, how: How = FG) -> Effect | None:
    """What a point lost in a group, with its interval."""
    from lowres.stats import mean_interval

    found = table(evidence, point, group, how)
    return None if found is None else mean_interval(found)


def difference(evidence: Evidence, more: Point, less: Point, group: str, how: How = FG) -> Effect | None:
    """How much more one point lost than another; same items, same seeds, and only probes that both can be asked of."""
    return pooled(evidence, [(more, less)], group, how)


def pooled(evidence: Evidence, pairs: Sequence[tuple[Point, Point]], group: str, how: How = FG) -> Effect | None:
    """The mean over several pairs of points of how much more the first lost than the second, on common seeds."""
    import numpy as np

    from lowres.stats import paired_effect

    runs = [[evidence.pairs(point) for point in pair] for pair in pairs]
    seeds = sorted(set.intersection(*(set(run) for pair in runs for run in pair))) if runs else []
    if not seeds:
        return None
    sides: list[list[NDArray]] = [[], []]
    for pair in pairs:
        both = _common([evidence.courses(point, group, seeds) for point in pair], how)
        tables = [measures.lost(courses, evidence.slots, how.corrected, how.final) for courses in both]
        if tables[0] is None or tables[1] is None:
            continue
        sides[0].append(tables[0])
        sides[1].append(tables[1])
    return paired_effect(np.mean(sides[0], axis=0), np.mean(sides[1], axis=0)) if sides[0] else None


def _common(sides: Sequence[Sequence[Course]], how: How) -> list[list[Course]]:
    """The courses of the probes that every side can be asked of."""

    def usable(course: Course) -> bool:
        return course.is_above_chance() if how.corrected or how.above else bool((course.starts > 0).all())

    names = set.intersection(*({course.probe for course in side if usable(course)} for side in sides))
    return [[course for course in side if course.probe in names] for side in sides]


def mean_over(evidence: Evidence, points: Sequence[Point], group: str, how: How = FG) -> NDArray | None:
    """Tables of several points on their common seeds, averaged; points that have nothing to lose are left out."""
    import numpy as np

    runs = [set(evidence.pairs(point)) for point in points]
    seeds = sorted(set.intersection(*runs)) if runs else []
    if not seeds:
        return None
    found = [t for point in points if (t := table(evidence, point, group, how, seeds)) is not None]
    return np.mean(found, axis=0) if found else None


# --- sets of models --------------------------------------------------------------------------------------------------


def of_kind(evidence: Evidence, *, encdec: bool = False, instruct: bool = False, matched: bool = False) -> list[str]:
    """World models of one kind, small ones first; `matched`: stopped at a level (the one that most models have)."""
    parsed = {model: found for model in evidence.models if not isinstance(found := _parsed(model), str)}
    levels = Counter(one.level for one in parsed.values() if one.level is not None)
    level = levels.most_common(1)[0][0] if matched and levels else None
    if matched and level is None:
        return []
    return [
        model for model, one in parsed.items() if (one.encdec, one.instruct, one.level) == (encdec, instruct, level)
    ]


def _parsed(model: str) -> world.WorldModel | str:
    return world.parse(model) if world.is_world_model(model) else "no world model"


def twins(evidence: Evidence, *, encdec: bool = False, instruct: bool = False) -> list[tuple[str, str]]:
    """Base decoders beside their twin that is an encoder-decoder (both stopped at a level) or instruction-tuned."""
    plain = of_kind(evidence, matched=encdec)
    others = of_kind(evidence, encdec=encdec, instruct=instruct, matched=encdec)
    by_size = {_size(model): model for model in others}
    return [(model, by_size[_size(model)]) for model in plain if _size(model) in by_size]


def _size(model: str) -> str:
    parsed = world.parse(model)
    assert not isinstance(parsed, str), parsed
    return parsed.size


@dataclass(frozen=True)
class AtRate:
    """One learning rate of the main arm of a model: the loss on the new tasks, and what was lost [seeds, slots]."""

    rate: float
    loss: float
    lost: NDArray


def by_rate(evidence: Evidence, model: str, group: str, how: How = CORRECTED) -> list[AtRate]:
    """Every rate at which the main arm of a model was run, small ones first, on the seeds that all of them have."""
    points = [point for point in evidence.points if (point.model, point.arm) == (model, MAIN) and evidence.pairs(point)]
    seeds = sorted(set.intersection(*(set(evidence.pairs(point)) for point in points))) if points else []
    found = []
    for point in sorted(points, key=lambda point: point.rate or 0.0) if seeds else []:
        lost = table(evidence, point, group, how, seeds)
        if lost is not None and point.rate:
            losses = [task_loss(evidence.points[point][seed]) for seed in seeds]
            found.append(AtRate(point.rate, sum(losses) / len(losses), lost))
    return found


def useful(curve: Sequence[AtRate]) -> dict[float, NDArray]:
    """Task loss -> what was lost, for the rates up to the best one: beyond it a model learns less and forgets more."""
    best = min(curve, key=lambda one: one.loss, default=None)
    return {one.loss: one.lost for one in curve if best and one.rate <= best.rate}


def at_equal_loss(evidence: Evidence, small: str, large: str, group: str) -> tuple[float, Effect] | None:
    """How much more the larger model lost than the smaller at the same task loss, and that loss."""
    from lowres.stats import paired_effect

    curves = [useful(by_rate(evidence, model, group)) for model in (large, small)]
    loss = measures.common_loss(curves)
    if loss is None:
        return None
    first, second = (measures.at_loss(curve, loss) for curve in curves)
    seeds = min(len(first), len(second))
    return loss, paired_effect(first[:seeds], second[:seeds])


# --- verdicts --------------------------------------------------------------------------------------------------------


def verdicts(evidence: Evidence) -> list[Verdict]:
    """The verdict on every claim."""
    return decided(evidence, CLAIMS, DECIDERS)


def scale(evidence: Evidence) -> str:
    """At which scale a verdict was reached, in words."""
    models = [model for model in evidence.models if world.is_world_model(model)]
    if not models:
        return "nothing was run on world models"
    sizes = [evidence.parameters(model) for model in models]
    example = next(iter(evidence.points[evidence.at(models[0])].values())).trial
    seeds = max(len(evidence.pairs(evidence.at(model))) for model in models)
    return (
        f"world models of {min(sizes):,} to {max(sizes):,} parameters, {len(example.get('stream', ())) + 1} tasks of "
        f"{example['recipe']['task_tokens']:,} tokens, up to {seeds} {'seed' if seeds == 1 else 'seeds'}, "
        f"{example['evaluation']['probe_items']} items per probe"
    )


Context = Mapping[str, "Effect | Saving"]


def _verdict(evidence: Evidence, claim: Claim, parts: Sequence[Part], context: Context) -> Verdict:
    return judge_parts(claim, parts, context, scale(evidence), process_hours(evidence.records), PAGE)


def _general(evidence: Evidence, claim: Claim) -> Verdict:
    how = How(above=True)
    effects = {
        f"{SHORT[group]}, {model}": drop(evidence, evidence.at(model), group, how)
        for model in evidence.models
        if world.is_world_model(model)
        for group in ABILITIES
    }
    return _verdict(evidence, claim, [Part(n, e, Rule("above", 0.0)) for n, e in named(effects).items()], {})


def _order(evidence: Evidence, claim: Claim) -> Verdict:
    from lowres.stats import mean_interval, paired_effect

    points = [evidence.at(model) for model in of_kind(evidence)]
    lost = {group: mean_over(evidence, points, group, How(above=True)) for group in ABILITIES}
    parts = []
    for first, second in ((READING, KNOWLEDGE), (KNOWLEDGE, REASONING)):
        left, right = lost[first], lost[second]
        effect = None if left is None or right is None else paired_effect(left, right)
        parts.append(Part(f"{SHORT[first]} - {SHORT[second]}", effect, Rule("above", MARGIN)))
    context = {f"FG of {SHORT[group]}": mean_interval(t) for group, t in lost.items() if t is not None}
    return _verdict(evidence, claim, parts, context)


def _scale(evidence: Evidence, claim: Claim) -> Verdict:
    full, matched = of_kind(evidence), of_kind(evidence, matched=True)
    raw = _largest_minus_smallest(evidence, full, KNOWLEDGE, FG)
    level = _largest_minus_smallest(evidence, matched, KNOWLEDGE, CORRECTED)
    equal = at_equal_loss(evidence, matched[0], matched[-1], KNOWLEDGE) if len(matched) > 1 else None
    rule = Rule("above", MARGIN)
    parts = [
        Part("FG, trained to the end", raw, rule),
        Part("corrected drop, same level", level, rule),
        Part("corrected drop, same level and same task loss", equal[1] if equal else None, rule),
    ]
    context = {
        f"{what} of {SHORT[group]}, {words}": _largest_minus_smallest(evidence, models, group, how)
        for words, models in (("trained to the end", full), ("same level", matched))
        for what, how in (("FG", FG), ("corrected drop", CORRECTED))
        for group in ABILITIES
    }
    return _verdict(evidence, claim, parts, named(context))


def _largest_minus_smallest(evidence: Evidence, models: Sequence[str], group: str, how: How) -> Effect | None:
    if len(models) < 2:
        return None
    return difference(evidence, evidence.at(models[-1]), evidence.at(models[0]), group, how)


def _architecture(evidence: Evidence, claim: Claim) -> Verdict:
    pairs = [(evidence.at(other), evidence.at(plain)) for plain, other in twins(evidence, encdec=True)]
    parts = [Part("reasoning, encoder-decoder - decoder", pooled(evidence, pairs, REASONING), Rule("above", MARGIN))]
    context = {f"{SHORT[group]}, encoder-decoder - decoder": pooled(evidence, pairs, group) for group in ABILITIES[::2]}
    context |= {f"{SHORT[group]}, corrected": pooled(evidence, pairs, group, CORRECTED) for group in ABILITIES}
    return _verdict(evidence, claim, parts, named(context))


def _instruction(evidence: Evidence, claim: Claim) -> Verdict:
    pairs = [(evidence.at(plain), evidence.at(other)) for plain, other in twins(evidence, instruct=True)]
    parts = [
        Part(f"{SHORT[group]}, base - instruct", pooled(evidence, pairs, group), Rule("above", MARGIN))
        for group in ABILITIES
    ]
    context = {f"{SHORT[group]}, corrected": pooled(evidence, pairs, group, CORRECTED) for group in ABILITIES}
    return _verdict(evidence, claim, parts, named(context))


def ablated(evidence: Evidence) -> list[str]:
    """World models on which further arms were run."""
    found = {point.model for point in evidence.points if point.arm not in (MAIN, "untouched")}
    return [model for model in evidence.models if model in found and world.is_world_model(model)]


def _mixing(evidence: Evidence, claim: Claim) -> Verdict:
    models = [model for model in ablated(evidence) if evidence.pairs(evidence.at(model, "mixed"))]
    pairs = [(evidence.at(model), evidence.at(model, "mixed")) for model in models]
    name = "knowledge, stream - mixed"
    parts = [Part(name, pooled(evidence, pairs, KNOWLEDGE), Rule("above", MARGIN))]
    context = {f"{SHORT[group]}, stream - mixed": pooled(evidence, pairs, group) for group in ABILITIES[1:]}
    both = [(evidence.at(model, "mixed"), evidence.at(model, "mixed+anchor")) for model in models]
    context["knowledge, mixed - mixed with the anchor"] = pooled(evidence, both, KNOWLEDGE)
    return _verdict(evidence, claim, parts, named(context))


def _bias(evidence: Evidence, claim: Claim) -> Verdict:
    from lowres.stats import mean_interval, paired_effect

    biased = [
        evidence.at(model)
        for model in of_kind(evidence)
        if table(evidence, evidence.at(model), "bias", CORRECTED) is not None
    ]
    lost = mean_over(evidence, biased, "bias", CORRECTED)
    neutral = [t for probe in NEUTRAL if (t := mean_over(evidence, biased, probe, CORRECTED)) is not None]
    shrinks = None if lost is None else mean_interval(lost)
    beyond = None if lost is None or not neutral else paired_effect(lost, sum(neutral) / len(neutral))
    parts = [
        Part("bias, corrected drop", shrinks, Rule("above", MARGIN)),
        Part("bias - neutral choices between two", beyond, Rule("above", MARGIN)),
    ]
    fg = mean_over(evidence, biased, "bias")
    return _verdict(evidence, claim, parts, named({"FG of bias": None if fg is None else mean_interval(fg)}))


DECIDERS: dict[str, Callable[[Evidence, Claim], Verdict]] = {
    "forgetting-1": _general,
    "forgetting-2": _order,
    "forgetting-3": _scale,
    "forgetting-4": _architecture,
    "forgetting-5": _instruction,
    "forgetting-6": _mixing,
    "forgetting-7": _bias,
}
