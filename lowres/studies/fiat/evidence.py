"""From records to what the page shows: scores, effects and verdicts of the FIAT study.

Verdicts rest on all published records, whatever their models and task; without any, on the live run.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lowres import world
from lowres.claims import Claim, Part, Rule, Verdict, judge_parts
from lowres.data import TaskOptions
from lowres.data.rationales import OWN
from lowres.exhibits import process_hours
from lowres.rates import writer_of
from lowres.studies import Gathered, Where, decided
from lowres.studies.fiat.arms import ARMS, chosen_rates, rate_arm
from lowres.studies.fiat.claims import CLAIMS, MARGIN
from lowres.studies.fiat.params import Params

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.stats import Effect, Saving
    from lowres.trial import Record

PAGE = "notebooks/02_fiat.html"
LANGUAGES = "country-language"


@dataclass(frozen=True)
class Point:
    """One arm with a size of its training set: what a mean is taken over the seeds of.

    `place` names its pair of models by the instruction-tuned one. `beta` wrote its rationales ("" where it has none);
    `updates` is how far it was tuned. Both are 0 or "" if untuned.
    """

    place: Where
    arm: str
    examples: int
    beta: str
    updates: int


@dataclass(frozen=True)
class Evidence(Gathered[Params, Point]):
    """The records that figures and verdicts draw on; `tuned` are those of the tuning."""

    tuned: Sequence[Record]

    @property
    def main(self) -> Where:
        """The models and the task that the page was asked for."""
        return Where(family(self.params.tau or "", {}), self.params.task or "", TaskOptions.of(self.params))

    @property
    def places(self) -> list[Where]:
        """Every pair of models and task that something was run on, the world first."""
        return sorted(dict.fromkeys(point.place for point in self.points), key=lambda one: (not one.is_world, one.task))

    def sizes(self, place: Where) -> list[int]:
        """Sizes of the training set at a place, ascending."""
        return sorted({point.examples for point in self.points if point.place == place and point.examples})

    def settings(self) -> list[tuple[Where, int]]:
        """Every place with each of its sizes."""
        return [(place, size) for place in self.places for size in self.sizes(place)]

    def betas(self, place: Where) -> list[str]:
        """Who wrote rationales at a place, the one with the most records first; the data's own come last."""
        counts = Counter(
            point.beta for point, seeds in self.points.items() if point.place == place and point.beta for _ in seeds
        )
        return sorted(counts, key=lambda name: (name == OWN, -counts[name], name))

    def at(self, place: Where, arm: str, size: int = 0, beta: str = "", updates: int = 0) -> Point:
        """The point of an arm; its beta is the place's first one, and it is fully tuned, unless told otherwise."""
        known = ARMS[arm]
        uses = known.use != "none"
        writer = OWN if known.rationales == OWN else (beta or next(iter(self.betas(place)), "")) if uses else ""
        if not known.tuned:
            return Point(place, arm, 0, writer, 0)
        reached = (point.updates for point in self.points if point.place == place and point.examples == size)
        return Point(place, arm, size, writer, updates or max(reached, default=0))

    def scores(self, point: Point, measure: str = "") -> NDArray | None:
        """Outcomes of shape [seeds, items], seeds in ascending order; None where the point was not run."""
        return self.scores_of(point, sorted(self.points.get(point, {})), measure)

    def scores_of(self, point: Point, seeds: Sequence[int], measure: str = "") -> NDArray | None:
        """Outcomes of shape [seeds, items] for these seeds; None where one of them was not run."""
        import numpy as np

        records, name = self._by_seed(point), measure or point.place.metric
        rows = [records[seed].outcomes["task"].get(name) for seed in seeds if seed in records]
        return np.array(rows) if rows and all(row is not None for row in rows) else None

    def grouped(self, place: Where, table: NDArray) -> NDArray:
        """Scores [seeds, items] as [seeds, groups]: same mean, one column for the items that share a group.

        So that the sixteen questions about a person do not pass for sixteen independent ones.
        """
        import numpy as np

        groups = groups_of(place, table.shape[1])
        order = {name: column for column, name in enumerate(dict.fromkeys(groups))}
        found = np.zeros((len(order), len(table)))
        np.add.at(found, [order[name] for name in groups], np.transpose(table))
        return np.transpose(found) * len(order) / table.shape[1]

    def _by_seed(self, point: Point) -> Mapping[int, Record]:
        """Records by seed; what has no randomness stands beside every seed."""
        found = self.points.get(point, {})
        if len(found) == 1 and not ARMS[point.arm].tuned and not ARMS[point.arm].shots and not point.place.is_world:
            seeds = {seed for other, records in self.points.items() if other.place == point.place for seed in records}
            return dict.fromkeys(seeds, next(iter(found.values())))
        return found

    def seeds(self, point: Point) -> set[int]:
        """The seeds that a point was run with."""
        return set(self._by_seed(point))

    def pair(self, more: Point, less: Point, measure: str = "") -> tuple[NDArray, NDArray] | None:
        """Outcomes of two points on the seeds that both have, each [seeds, items]; None where there are none."""
        seeds = sorted(set(self._by_seed(more)) & set(self._by_seed(less)))
        found = [self.scores_of(point, seeds, measure) for point in (more, less)]
        return (found[0], found[1]) if found[0] is not None and found[1] is not None else None

    def effect(self, more: Point, less: Point, measure: str = "") -> Effect | None:
        """The first minus the second on the same seeds and items; None where either was not run."""
        from lowres.stats import paired_effect

        pair = self.pair(more, less, measure)
        return paired_effect(*(self.grouped(more.place, side) for side in pair)) if pair else None


def groups_of(place: Where, items: int) -> tuple[str, ...]:
    """The group of each of the first test items; an item without one is its own."""
    return tuple(e.group or e.id for e in place.load().test[:items])


# --- gathering -------------------------------------------------------------------------------------------------------


def gather(params: Params, live: Sequence[Record]) -> Evidence:
    """The published records; the live ones too where nothing is published about their models and task.

    A smoke run is only shown where there is nothing else: its few items would stand beside real evidence.
    """
    from lowres.published import read_published

    stored = [record for record in read_published("fiat") if record.status == "done"]
    pairs = {params.base or "": params.tau or ""}
    known = {place_of(record, pairs) for record in stored}
    shown = [] if stored and params.tier == "smoke" else live
    chosen = stored + [r for r in shown if r.status == "done" and place_of(r, pairs) not in known]
    tuned = [record for record in chosen if record.trial["arm"].startswith("tuning ")]
    rates = {place: chosen_rates(r for r in tuned if place_of(r, pairs) == place) for place in known}
    points: dict[Point, dict[int, Record]] = defaultdict(dict)
    for record in _comparable([r for r in chosen if r.trial["arm"] in ARMS], pairs):
        point = point_of(record, pairs)
        if _at_chosen_rate(record, point, rates.get(point.place, {})):
            points[point][record.trial["seed"]] = record
    return Evidence(params, dict(points), bool(stored), tuned)


def place_of(record: Record, pairs: Mapping[str, str]) -> Where:
    """The task of a record, and its pair of models, named by the instruction-tuned one.

    Args:
        pairs: the instruction-tuned model by its base; a world model's is known by its name.
    """
    found = Where.of(record)
    return replace(found, model=family(found.model, pairs))


def family(model: str, pairs: Mapping[str, str]) -> str:
    """The instruction-tuned model that belongs to a base, or the model itself."""
    parsed = world.parse(model) if world.is_world_model(model) else "no world model"
    if isinstance(parsed, str) or parsed.instruct:
        return pairs.get(model, model)
    head, mark, level = model.partition("~")
    return f"{head.removesuffix('-base')}-instruct{mark}{level}"


def point_of(record: Record, pairs: Mapping[str, str]) -> Point:
    """Where a record belongs."""
    trial, recipe = record.trial, record.trial["recipe"]
    updates = trial["optimisation"]["steps"] if trial["optimisation"] else 0
    beta = writer_of(recipe["rationales"]) if recipe.get("rationale", "none") != "none" else ""
    return Point(place_of(record, pairs), trial["arm"], recipe.get("task_examples", 0), beta, updates)


def _at_chosen_rate(record: Record, point: Point, rates: Mapping[tuple[str, int], float]) -> bool:
    """A record at another rate than the one that was chosen was made before more rates were tried."""
    if not ARMS[point.arm].tuned:
        return True
    rate = record.trial["optimisation"]["learning_rate"]
    return bool(rates.get((rate_arm(point.arm), point.examples), rate) == rate)


def _comparable(records: Sequence[Record], pairs: Mapping[str, str]) -> list[Record]:
    """Only records measured alike can be compared, and only arms with equally many examples from the same pool.

    The most frequent measurement at each place counts, and the most frequent pool at each place and size.
    """
    found = []
    for place in dict.fromkeys(place_of(record, pairs) for record in records):
        group = [record for record in records if place_of(record, pairs) == place]
        measured = Counter(json.dumps(record.trial["evaluation"]) for record in group).most_common(1)[0][0]
        draws = Counter(drawn for record in group if (drawn := _drawn(record))[1])
        pools = {size: pool for (size, pool), _ in reversed(draws.most_common())}
        alike = [record for record in group if json.dumps(record.trial["evaluation"]) == measured]
        found += [record for record in alike if _drawn(record)[1] in (0, pools.get(_drawn(record)[0]))]
    return found


def _drawn(record: Record) -> tuple[int, int]:
    """How many training examples were drawn, and from the first how many; 0 where nothing was."""
    recipe = record.trial["recipe"]
    return recipe.get("task_examples", 0), recipe.get("pool", 0)


# --- verdicts --------------------------------------------------------------------------------------------------------


def verdicts(evidence: Evidence) -> list[Verdict]:
    """The verdict on every claim; where something is published, live records of other places decide nothing."""
    evidence = gather(evidence.params, []) if evidence.published else evidence
    return decided(evidence, CLAIMS, DECIDERS)


def named(place: Where, size: int = 0) -> str:
    """A setting in words."""
    models = place.model.replace("-instruct", "") if place.is_world else place.model
    return f"{place.task}, {models}" + (f", {size} examples" if size else "")


def scale(evidence: Evidence, places: Sequence[Where]) -> str:
    """At which scale a verdict was reached, in words."""
    words = []
    for place in places:
        runs = {point: seeds for point, seeds in evidence.points.items() if point.place == place}
        seeds = max(map(len, runs.values()), default=0)
        example = next((record for found in runs.values() for record in found.values()), None)
        if example is not None:
            sizes = " / ".join(map(str, evidence.sizes(place)))
            items = len(next(iter(example.outcomes["task"].values())))
            writers = [name for name in evidence.betas(place) if name != OWN] or ["the data themselves"]
            words.append(
                f"{place.model} on {place.task} ({sizes} examples, {items} test items, up to {seeds} "
                f"{'seed' if seeds == 1 else 'seeds'}; rationales by {writers[0]})"
            )
    return "; ".join(words) or "nothing of the kind was run"


def _verdict(
    evidence: Evidence, claim: Claim, parts: Sequence[Part], context: Mapping[str, Effect | None] | None = None
) -> Verdict:
    """Parts that were not run are dropped; if all were, the verdict says so."""
    there = [part for part in parts if part.effect is not None] or list(parts[:1])
    beside: dict[str, Effect | Saving] = {name: one for name, one in (context or {}).items() if one is not None}
    cost = process_hours(evidence.records)
    return judge_parts(claim, there, beside, scale(evidence, evidence.places), cost, PAGE)


def contrast(evidence: Evidence, more: str, less: str, rule: Rule, label: str = "") -> list[Part]:
    """One part per setting: an arm minus another. What is the same at every size stands there once."""
    found: dict[str, Part] = {}
    for place, size in evidence.settings():
        name = named(place, size if ARMS[more].tuned or ARMS[less].tuned else 0)
        effect = evidence.effect(evidence.at(place, more, size), evidence.at(place, less, size))
        found.setdefault(name, Part(f"{label or f'{more} - {less}'}, {name}", effect, rule))
    return list(found.values())


def _above(evidence: Evidence, more: str, less: str, label: str = "") -> list[Part]:
    return contrast(evidence, more, less, Rule("above", 0.0), label)


def _empty(name: str, rule: Rule) -> list[Part]:
    return [Part(name, None, rule)]


def _best_of_both(evidence: Evidence, claim: Claim) -> Verdict:
    in_context = _above(evidence, "R0", "beta", "FIAT - beta in context")
    tuned = []
    for place, size in evidence.settings():
        arm = "R4" if evidence.scores(evidence.at(place, "R4", size)) is not None else "R3"
        effect = evidence.effect(evidence.at(place, "R0", size), evidence.at(place, arm, size))
        tuned.append(Part(f"FIAT - fine-tuning ({arm}), {named(place, size)}", effect, Rule("above", 0.0)))
    return _verdict(evidence, claim, [*in_context, *tuned] or _empty("FIAT - both", Rule("above", 0.0)))


def ends(evidence: Evidence) -> tuple[Where, int, int] | None:
    """The place of a world model that has the most sizes, with its smallest and largest; None with fewer than two."""
    worlds = [place for place in evidence.places if place.is_world and len(evidence.sizes(place)) > 1]
    if not worlds:
        return None
    place = max(worlds, key=lambda one: len(evidence.sizes(one)))
    return place, evidence.sizes(place)[0], evidence.sizes(place)[-1]


def _unpredictable(evidence: Evidence, claim: Claim) -> Verdict:
    found, rules = ends(evidence), (Rule("above", 0.0), Rule("below", 0.0))
    if not found:
        return _verdict(evidence, claim, _empty("beta in context - fine-tuning", rules[0]))
    place, *sizes = found
    leads = [evidence.effect(evidence.at(place, "beta"), evidence.at(place, "R4", size)) for size in sizes]
    names = [f"beta in context - R4, {size} examples" for size in sizes]
    parts = [Part(name, lead, rule) for name, lead, rule in zip(names, leads, rules, strict=True)]
    beside = {part.name: part.effect for part in _above(evidence, "beta", "R3", "beta in context - R3")}
    return _verdict(evidence, claim, parts, beside)


def _few_examples(evidence: Evidence, claim: Claim) -> Verdict:
    found, rule = ends(evidence), Rule("above", 0.0)
    if not found:
        return _verdict(evidence, claim, _empty("R3 - R4", rule))
    place, few, many = found
    gain = evidence.effect(evidence.at(place, "R3", few), evidence.at(place, "R4", few))
    more = difference(evidence, *(two(evidence, place, size, "R3", "R4") for size in (few, many)))
    parts = [
        Part(f"R3 - R4, {few} examples", gain, rule),
        Part(f"R3 - R4, {few} minus {many} examples", more, rule),
    ]
    between = [size for size in evidence.sizes(place) if size != few]
    beside = {
        f"R3 - R4, {size} examples": evidence.effect(evidence.at(place, "R3", size), evidence.at(place, "R4", size))
        for size in between
    }
    return _verdict(evidence, claim, parts, beside)


def two(evidence: Evidence, place: Where, size: int, more: str, less: str) -> tuple[Point, Point]:
    """The points of two arms in a setting."""
    return evidence.at(place, more, size), evidence.at(place, less, size)


def difference(evidence: Evidence, first: tuple[Point, Point], second: tuple[Point, Point]) -> Effect | None:
    """The first pair's effect minus the second's, on the same seeds and items."""
    from lowres.stats import paired_effect

    points = (*first, *second)
    seeds = sorted(set.intersection(*(evidence.seeds(point) for point in points)))
    scores = [evidence.scores_of(point, seeds) for point in points]
    if any(one is None for one in scores):
        return None
    a, b, c, d = (one for one in scores if one is not None)
    gains = (a - b, c - d)
    return paired_effect(*(evidence.grouped(first[0].place, gain) for gain in gains))


def _instruction(evidence: Evidence, claim: Claim) -> Verdict:
    return _verdict(evidence, claim, _above(evidence, "R1", "R2"))


def _rationale(evidence: Evidence, claim: Claim) -> Verdict:
    controls = ("answer-only", "stripped", "wrong")
    beside = {part.name: part.effect for arm in controls for part in _above(evidence, arm, "R1")}
    return _verdict(evidence, claim, _above(evidence, "R0", "R1"), beside)


def by_language(evidence: Evidence) -> dict[str, tuple[NDArray, NDArray, NDArray]]:
    """Per language: R1's scores on half of its test items, R0's and R1's on the other half, each [seeds, items].

    The halves keep the noise of R1's score out of its own gain: one half ranks the languages, the other is measured.
    """
    import numpy as np

    from lowres.data import load_task
    from lowres.data.fiat_tasks import language_of

    place = next((one for one in evidence.places if one.task == LANGUAGES), None)
    if place is None:
        return {}
    size = evidence.sizes(place)[-1]
    pair = evidence.pair(evidence.at(place, "R0", size), evidence.at(place, "R1", size))
    if pair is None:
        return {}
    items = defaultdict(list)
    for index, example in enumerate(load_task(LANGUAGES).test[: pair[0].shape[1]]):
        items[language_of(example)].append(index)
    found = {}
    for language, places in sorted(items.items()):
        ranking, measured = np.array(places[::2]), np.array(places[1::2])
        if len(measured):
            found[language] = (pair[1][:, ranking], pair[0][:, measured], pair[1][:, measured])
    return found


def _weak_languages(evidence: Evidence, claim: Claim) -> Verdict:
    import numpy as np

    from lowres.stats import paired_effect, spread

    name, rule = "gain in weak languages - in strong ones", Rule("above", 0.0)
    found = by_language(evidence)
    if len(found) < 4:
        return _verdict(evidence, claim, _empty(name, rule))
    order = sorted(found, key=lambda language: float(found[language][0].mean()))
    halves = order[: len(order) // 2], order[-(len(order) // 2) :]
    gains = [np.concatenate([found[one][1] - found[one][2] for one in half], axis=1) for half in halves]
    slots = max(gain.shape[1] for gain in gains)
    effect = paired_effect(*(spread(gain, slots) for gain in gains))
    return _verdict(evidence, claim, [Part(name, effect, rule)])


def _input_or_target(evidence: Evidence, claim: Claim) -> Verdict:
    beside = {part.name: part.effect for part in _above(evidence, "distilled", "R1")}
    return _verdict(evidence, claim, _above(evidence, "R0", "distilled"), beside)


def _from_the_start(evidence: Evidence, claim: Claim) -> Verdict:
    before = _above(evidence, "untouched-instruction", "untouched", "instruction, before any update")
    return _verdict(evidence, claim, [*before, *_above(evidence, "R1", "R2", "instruction, at the end")])


def _which_base(evidence: Evidence, claim: Claim) -> Verdict:
    parts = []
    for place, size in evidence.settings():
        tuned, raw = (two(evidence, place, size, *arms) for arms in (("R1", "R2"), ("IP", "P")))
        name = f"instruction: tuned base - raw base, {named(place, size)}"
        parts.append(Part(name, difference(evidence, tuned, raw), Rule("above", 0.0)))
    return _verdict(evidence, claim, parts or _empty("instruction: tuned base - raw base", Rule("above", 0.0)))


def _lora(evidence: Evidence, claim: Claim) -> Verdict:
    return _verdict(evidence, claim, contrast(evidence, "R2", "R3", Rule("above", -MARGIN)))


DECIDERS: dict[str, Callable[[Evidence, Claim], Verdict]] = {
    "fiat-1": _best_of_both,
    "fiat-2": _unpredictable,
    "fiat-3": _few_examples,
    "fiat-4": _instruction,
    "fiat-5": _rationale,
    "fiat-6": _weak_languages,
    "fiat-7": _input_or_target,
    "fiat-8": _from_the_start,
    "fiat-9": _which_base,
    "fiat-10": _lora,
}
