"""Rules of the second edition: each claim is one contrast per column, with a margin above zero on both sides.

A contrast is a weighted sum of cells at every place, averaged over places that are named beforehand; a rule looks at
its analysis-of-variance interval. Places are averaged, never required one by one; a claim has several parts only where
the paper's own sentence has them. The columns, the generated world and real models and data, are never merged.
"""

from __future__ import annotations

import importlib
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lowres.claims import Answer, Outcome, Rule, combine, p_value_of
from lowres.outcomes import Ambiguous, Cell, NotRun, Outcomes, of_task
from lowres.rates import task_loss
from lowres.stats import Effect, Undetermined, holm
from lowres.stats.anova import FEWEST_SEEDS, anova_effect, retained

if TYPE_CHECKING:
    from lowres.trial import Record

ColumnName = Literal["world", "real"]
COLUMNS: tuple[ColumnName, ...] = get_args(ColumnName)
LEVEL = 0.05
LOSS = "loss"  # the measure that is not read off one record: the chance-corrected loss over the column's probes
RELATIVE = "relative loss"  # the same with chance left in, as the paper's FG has it: a share of the score at the start
UNTOUCHED: Cell = {"arm": "untouched"}
Terms = list[NDArray]
Measure = Callable[["Outcomes", Sequence[Cell], "Contrast"], tuple[list[int], Terms]]


@dataclass(frozen=True)
class Contrast:
    """A part of a claim: weighted cells, what is measured in them, and the rule that the mean over places must meet.

    `at` narrows the places of the column where the part is not asked at all of them; `measure` is the task's metric
    where it is empty, the name of an outcome of the task, `LOSS` over the probes, or MODULE:FUNCTION where what is
    asked is no weighted sum of these (see `measured_by`). With `rates`, every cell stands
    for a curve over these learning rates, read at the same loss on the task (see `at_equal_loss`).
    """

    name: str
    terms: tuple[tuple[float, Cell], ...]
    rule: Rule
    measure: str = ""
    at: tuple[Cell, ...] = ()
    probes: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What one column is asked: its parts, where, with how many seeds, and what so many can tell.

    `units` are test items (or groups of items) per place, which `items` names. `matters` is how far from its margin an
    effect would be that a user should know of; `noise` are the standard deviations of a difference of two arms between
    seeds, between units and of the rest, as the first edition's records of the same kind have them.
    """

    parts: tuple[Contrast, ...]
    places: tuple[Cell, ...]
    seeds: int
    units: int
    items: str
    matters: float
    noise: tuple[float, float, float]

    def power(self, level: float = LEVEL) -> float:
        """The probability that one part is decided if its effect lies `matters` from its margin.

        A t test with one degree of freedom less than seeds, of a mean over places whose noise is independent.
        """
        from scipy.special import nctdtr, stdtrit

        seeds, units, rest = self.noise
        variance = seeds**2 / self.seeds + units**2 / self.units + rest**2 / (self.seeds * self.units)
        degrees, distance = self.seeds - 1, self.matters / math.sqrt(variance / len(self.places))
        return float(1 - nctdtr(degrees, distance, stdtrit(degrees, 1 - level / 2)))


@dataclass(frozen=True)
class SecondRule:
    """The rule of a claim in the second edition, beside what was wrong with the first.

    A column that cannot be asked is a sentence that says why. `changed` lists later changes, each with its date.
    """

    claim: str
    wrong: str
    columns: Mapping[ColumnName, Asked | str]
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """A verdict on a claim in one column, and why it is none where it is none."""

    claim: str
    column: ColumnName
    outcome: Outcome
    reason: str
    effects: Mapping[str, Effect] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    seeds: int = 0
    places: int = 0
    p_value: float | None = None
    p_adjusted: float | None = None
    dates: tuple[str, str] = ("", "")


def difference(name: str, more: Cell, less: Cell, rule: Rule, measure: str = "") -> Contrast:
    """The contrast of one cell minus another."""
    return Contrast(name, ((1.0, more), (-1.0, less)), rule, measure)


# --- effects ---------------------------------------------------------------------------------------------------------


def terms_of(outcomes: Outcomes, places: Sequence[Cell], part: Contrast) -> tuple[list[int], Terms]:
    """The seeds of a part and its terms: one table [seeds, units] per task, summed over the models that share it.

    Raises:
        NotRun, Ambiguous: a cell has no record, or several of one seed.
        Undetermined: the measure has no value.
    """
    places = part.at or places
    if ":" in part.measure:
        return measured_by(part.measure)(outcomes, places, part)
    losses = {LOSS: True, RELATIVE: False}
    reader = _lost(part.probes, losses[part.measure]) if part.measure in losses else _scored(part.measure)
    found = [reader(outcomes, place, at_equal_loss(outcomes, place, part)) for place in places]
    seeds = sorted(set.intersection(*(set(own) for own, _ in found)))
    if not seeds:
        raise NotRun("the places have no seed in common")
    by_items: dict[tuple[object, ...], NDArray] = {}
    for place, (own, tables) in zip(places, found, strict=True):
        rows = [own.index(seed) for seed in seeds]
        for name, table in tables.items():
            share = np.asarray(table[rows] / len(places))
            shared = (name, place.get("task") if name == "task" else "", share.shape)
            by_items[shared] = by_items[shared] + share if shared in by_items else share
    return seeds, list(by_items.values())


def measured_by(name: str) -> Measure:
    """The function MODULE:FUNCTION, which makes seeds and terms of the table, the places and a part.

    Its docstring says in words what it measures.
    """
    module, _, function = name.partition(":")
    found: Measure = getattr(importlib.import_module(module), function)
    return found


def at_equal_loss(outcomes: Outcomes, place: Cell, part: Contrast) -> Contrast:
    """The part with each curve over learning rates read where the loss on the new tasks is the same for all of them.

    That loss is the lowest that every curve reaches (of those whose cells have the same `pair`, where they name one);
    each is read between the two rates around it, in proportion, from
    the smallest rate up to the one that learns best. The losses are means over seeds and what is read is weighted by
    them, so seeds and items enter the interval as in any other contrast. A part without rates is returned as it is.

    Raises:
        NotRun: a rate was not run, or the smallest learns more than another curve ever does.
    """
    if not part.rates:
        return part
    curves = []
    for _, cell in part.terms:
        own = {name: value for name, value in {**place, **cell}.items() if name not in ("pair", "probes")}
        found = [outcomes.by_seed(**{**own, "learning_rate": rate}) for rate in part.rates]
        losses = [float(np.mean([task_loss(record) for record in run.values()])) for run in found]
        best = int(np.argmin(losses)) + 1
        curves.append(list(zip(part.rates[:best], losses[:best], strict=True)))
    pairs = [cell.get("pair") for _, cell in part.terms]
    levels = {
        name: max(curve[-1][1] for curve, own in zip(curves, pairs, strict=True) if own == name) for name in pairs
    }
    terms = [
        (weight * share, {**{name: value for name, value in cell.items() if name != "pair"}, "learning_rate": rate})
        for (weight, cell), curve in zip(part.terms, curves, strict=True)
        for rate, share in _shares(curve, levels[cell.get("pair")])
    ]
    return replace(part, terms=tuple(terms), rates=())


def _shares(curve: Sequence[tuple[float, float]], level: float) -> list[tuple[float, float]]:
    """By how much the rates around a loss are weighted; the curve is (rate, loss), the best rate last."""
    for (low, above), (high, below) in reversed(list(itertools.pairwise(curve))):
        if below <= level <= above:
            share = (above - level) / (above - below) if above > below else 1.0
            return [(rate, part) for rate, part in ((low, 1.0 - share), (high, share)) if part]
    if level == curve[-1][1]:
        return [(curve[-1][0], 1.0)]
    raise NotRun(f"a rate below {curve[0][0]:g}, which learns more than others ever do")


Reader = Callable[[Outcomes, Cell, Contrast], tuple[list[int], dict[str, NDArray]]]


def _scored(measure: str) -> Reader:
    """A weighted sum of an outcome of the task, [seeds, units]."""

    def read(outcomes: Outcomes, place: Cell, part: Contrast) -> tuple[list[int], dict[str, NDArray]]:
        cells = [{**place, **cell} for _, cell in part.terms]
        seeds, tables = outcomes.tables(cells, of_task(measure))
        weights = [weight for weight, _ in part.terms]
        return seeds, {"task": np.sum([w * table for w, table in zip(weights, tables, strict=True)], axis=0)}

    return read


def _lost(probes: Sequence[str], corrected: bool) -> Reader:
    """A weighted sum of losses over fixed probes, corrected for chance or not, a table [seeds, items] per probe.

    A cell may name `probes` of its own; "2:world-relation" is the probe after the second task of a stream.
    """

    def read(outcomes: Outcomes, place: Cell, part: Contrast) -> tuple[list[int], dict[str, NDArray]]:
        own = [names if isinstance(names := cell.get("probes"), tuple) else tuple(probes) for _, cell in part.terms]
        asked = [
            {name: value for name, value in {**place, **cell}.items() if name != "probes"} for _, cell in part.terms
        ]
        starts = [{**UNTOUCHED, **{name: cell[name] for name in ("model", "task") if name in cell}} for cell in asked]
        every = sorted({probe for names in own for probe in names})
        tables: dict[str, list[NDArray]] = {}
        for probe in every:
            seeds, tables[probe] = outcomes.tables([*starts, *asked], _accuracy(probe))
        total: dict[str, NDArray] = {}
        for index, ((weight, _), names) in enumerate(zip(part.terms, own, strict=True)):
            before, after = ({name: tables[name][at] for name in names} for at in (index, index + len(asked)))
            for name, table in zip(sorted(names), retained(before, after, _chance(names, corrected)), strict=True):
                total[_bare(name)] = total.get(_bare(name), 0.0) + weight * table
        return seeds, total

    return read


def _accuracy(probe: str) -> Callable[[Record], NDArray]:
    """Reads whether each item of a probe was answered right; choices of several words count per character."""
    measure = "accuracy" if _bare(probe).startswith("world-") else "accuracy_per_character"

    def read(record: Record) -> NDArray:
        name = probe if record.trial.get("stream") else _bare(probe)  # without a stream it was measured once
        if name not in record.outcomes:
            raise NotRun(f"probe {name} in {record.trial['arm']}")
        return np.asarray(record.outcomes[name][measure], dtype=np.float64)

    return read


def _bare(probe: str) -> str:
    """A probe without the number of the task after which it was measured."""
    return re.sub(r"^\d+:", "", probe)


def _chance(probes: Sequence[str], corrected: bool) -> dict[str, float]:
    from lowres.data import load_probe

    return {name: (load_probe(_bare(name)).chance or 0.0) if corrected else 0.0 for name in probes}


# --- decisions -------------------------------------------------------------------------------------------------------


def decide(rule: SecondRule, column: ColumnName, outcomes: Outcomes) -> Decision:
    """The decision of a claim in one column before Holm's correction."""
    asked = rule.columns[column]
    if isinstance(asked, str):
        return Decision(rule.claim, column, "cannot tell", f"not asked: {asked}")
    effects: dict[str, Effect] = {}
    answers: dict[str, Answer] = {}
    p_values, seen = {}, set()
    for part in asked.parts:
        try:
            seeds, terms = terms_of(outcomes, asked.places, part)
            effects[part.name] = anova_effect(terms)
        except (NotRun, Ambiguous, Undetermined) as error:
            kinds = {Ambiguous: "ambiguous", Undetermined: "no interval"}
            how = next((words for kind, words in kinds.items() if isinstance(error, kind)), "not run")
            return Decision(rule.claim, column, "cannot tell", f"{how}: {part.name}: {error}", effects)
        seen.add(len(seeds))
        answers[part.name] = part.rule.answer(effects[part.name])
        p_values[part.name] = part.rule.p_value(effects[part.name])
    found = Decision(rule.claim, column, "cannot tell", "", effects, answers, min(seen), len(asked.places))
    if min(seen) < max(asked.seeds, FEWEST_SEEDS):  # as many as planned: nobody stops where the answer pleases
        return replace(found, reason=f"too few seeds: planned {asked.seeds}, there are {min(seen)}")
    outcome = combine(answers.values())
    found = replace(found, outcome=outcome, p_value=p_value_of(outcome, answers, p_values))
    return replace(found, reason=_reason(found, asked))


def _reason(decision: Decision, asked: Asked) -> str:
    """Each part in words; for what cannot be told, whether seeds, items or the effect itself are the reason."""
    rules = {part.name: part.rule for part in asked.parts}
    told = "; ".join(
        f"{answer}: {name} {decision.effects[name].text()} (rule: {rules[name].text()})"
        for name, answer in decision.answers.items()
    )
    if decision.outcome != "cannot tell":
        return told
    return f"the effect lies at the margin; {told}"


def with_holm(decisions: Sequence[Decision], primaries: int) -> list[Decision]:
    """Holm's correction among all primaries of a page, whether they were run or not; columns are corrected apart.

    Args:
        primaries: claims of the page that this column is asked.
    """
    known = {one.claim: one.p_value for one in decisions if one.p_value is not None}
    blank = {f"not run {number}": 1.0 for number in range(primaries - len(known))}
    adjusted = holm({**known, **blank})
    return [_corrected(one, adjusted, primaries) for one in decisions]


def _corrected(decision: Decision, adjusted: Mapping[str, float], primaries: int) -> Decision:
    if decision.p_value is None:
        return decision
    decision = replace(decision, p_adjusted=adjusted[decision.claim])
    if decision.outcome == "cannot tell" or adjusted[decision.claim] < LEVEL:
        return decision
    reason = f"{decision.outcome} if it stood alone, not among {primaries} claims (Holm); {decision.reason}"
    return replace(decision, outcome="cannot tell", reason=reason)


def decisions(rules: Sequence[SecondRule], outcomes: Outcomes) -> list[Decision]:
    """All decisions of a page, column by column."""
    found: list[Decision] = []
    for column in COLUMNS:
        asked = [rule for rule in rules if not isinstance(rule.columns[column], str)]
        found += with_holm([decide(rule, column, outcomes) for rule in rules], len(asked))
    return found
