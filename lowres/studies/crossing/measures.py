"""What the crossing measures, from the table of outcomes: gain, loss, utility, and what a guide's choices cost.

G = (score - untouched) / (best rule - untouched)        gain, 0 untouched, 1 the rule itself
L = chance-corrected loss over fixed probes              (see `lowres.stats.anova.retained`)
U = G - keep * L                                         utility; `keep` says how much old knowledge matters
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowres.claims import Rule
from lowres.claims.rules import LOSS, UNTOUCHED, Contrast, Terms, terms_of
from lowres.outcomes import Ambiguous, Cell, NotRun, Outcomes, of_task
from lowres.stats import guide
from lowres.stats.guide import Case
from lowres.studies.crossing.arms import ARMS, WAYS, probes_of
from lowres.studies.crossing.params import RECIPES
from lowres.studies.crossing.places import BUDGETS, WORLD

BEST = 1.0  # what the rule of a task scores
LEAST = 0.1  # headroom that a gain is divided by at least: a model that knows a task beforehand has little to gain
KEEP = 0.5  # of the primary endpoints; 0 and 1 are shown beside it
GAIN, REGRET, TRANSFER = (f"{__name__}:{name}" for name in ("gain", "regret", "transfer"))
CHOSEN = tuple(arm for arm in ARMS.values() if arm.recipe in RECIPES and arm.tuner in ("full", "lora", "loreft"))
OFFERED = tuple(arm for arm in CHOSEN if WAYS[arm.recipe].written != "own")  # nobody has a new input's own rationale
UNWRITTEN = frozenset(arm.name for arm in OFFERED if WAYS[arm.recipe].rationale == "none")
SMALL = frozenset(arm.name for arm in OFFERED if arm.tuner != "full")
NO_RULE = Rule("above", 0.0)


def gained(before: NDArray, after: NDArray) -> NDArray:
    """Gain per seed and item, [seeds, items], whose mean over items is G of the seed.

    Items enter by the first-order expansion dG = dS / H - dU (H - S + U) / H^2 with headroom H = best - U; where the
    headroom is below `LEAST` it is that, a constant.
    """
    start, score = before.mean(1, keepdims=True), after.mean(1, keepdims=True)
    room = np.maximum(BEST - start, LEAST)
    slope = np.where(BEST - start > LEAST, (score - BEST) / room**2, -1 / room)
    return np.asarray((score - start) / room + (after - score) / room + slope * (before - start))


def gain(outcomes: Outcomes, places: Sequence[Cell], part: Contrast) -> tuple[list[int], Terms]:
    """Gain over the untouched model as a share of what the best rule gains."""
    runs = []
    for place in places:
        cells = [{**place, **UNTOUCHED}, *({**place, **cell} for _, cell in part.terms)]
        runs.append(outcomes.tables(cells, of_task()))
    seeds = sorted(set.intersection(*(set(own) for own, _ in runs)))
    if not seeds:
        raise NotRun("the places have no seed in common")
    terms = []
    for own, (before, *after) in runs:
        rows = [own.index(seed) for seed in seeds]
        each = [w * gained(before, table) for (w, _), table in zip(part.terms, after, strict=True)]
        terms.append(np.sum(each, axis=0)[rows] / len(places))
    return seeds, terms


# --- the table that a guide is fitted on -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A task with a budget: nats before, and gain and loss of every arm by seed."""

    task: str
    tokens: int
    start: float
    gain: Mapping[str, Mapping[int, float]]
    loss: Mapping[str, Mapping[int, float]]

    def utility(self, arm: str, keep: float) -> dict[int, float]:
        """U of an arm by seed."""
        both = self.gain[arm].keys() & self.loss[arm].keys()
        return {seed: self.gain[arm][seed] - keep * self.loss[arm][seed] for seed in sorted(both)}

    def case(self, keep: float) -> Case:
        """The means over seeds, as a guide reads them."""
        means = {arm: float(np.mean(list(self.utility(arm, keep).values()))) for arm in self.gain}
        return Case(self.task, self.tokens, self.start, means)


def rows_of(outcomes: Outcomes, places: Sequence[Cell], budgets: Sequence[int]) -> list[Row]:
    """One row per place and budget at which all arms without rationales were run; those with one are all in, or none.

    Raises:
        Ambiguous: several records of one seed.
    """
    found = []
    for place in places:
        try:
            before = outcomes.tables([{**place, **UNTOUCHED}], of_task("target_nll"))[1][0]
        except NotRun:
            continue
        for tokens in budgets:
            gains, losses = {}, {}
            for arm in OFFERED:
                cell: Cell = {"arm": arm.name, "task_tokens": tokens}
                own = [_by_seed(outcomes, place, cell, measure) for measure in (GAIN, LOSS)]
                if all(own):
                    gains[arm.name], losses[arm.name] = own
            if not gains.keys() >= {arm.name for arm in OFFERED}:
                gains = {arm: gain for arm, gain in gains.items() if arm in UNWRITTEN}
            if gains.keys() >= UNWRITTEN:
                gains, losses = _on_common_seeds(gains, losses)
                found.append(Row(str(place["task"]), tokens, float(before.mean()), gains, losses))
    return [row for row in found if all(row.gain.values())]


def _on_common_seeds(*tables: Mapping[str, Mapping[int, float]]) -> list[dict[str, dict[int, float]]]:
    """The tables on the seeds that all arms of the first have: a half-finished seed would favour some arms."""
    arms = tables[0].keys()
    seeds = sorted(set.intersection(*(set(table[arm]) for table in tables for arm in arms)))
    return [{arm: {seed: table[arm][seed] for seed in seeds} for arm in arms} for table in tables]


def _by_seed(outcomes: Outcomes, place: Cell, cell: Cell, measure: str) -> dict[int, float]:
    """A measure of one cell by seed; empty where it was not run."""
    probes = probes_of(str(place["model"])) if measure == LOSS else ()
    try:
        seeds, terms = terms_of(outcomes, [place], Contrast("", ((1.0, cell),), NO_RULE, measure, probes=probes))
    except NotRun:
        return {}
    return dict(zip(seeds, np.sum([table.mean(1) for table in terms], axis=0).tolist(), strict=True))


def regret(outcomes: Outcomes, places: Sequence[Cell], part: Contrast) -> tuple[list[int], Terms]:
    """Regret of the guide minus that of the best single arm of the other tasks, on the task that was left out."""
    (keep, _), budgets = part.terms[0], [int(str(cell["task_tokens"])) for _, cell in part.terms]
    rows = rows_of(outcomes, places, budgets)
    if len(rows) < len(places) * len(budgets):
        raise NotRun(f"{len(rows)} of {len(places) * len(budgets)} tasks with a budget")
    choices = guide.left_out([row.case(keep) for row in rows], UNWRITTEN)
    return difference(rows, keep, choices)


def difference(rows: Sequence[Row], keep: float, choices: Sequence[guide.Choice]) -> tuple[list[int], Terms]:
    """Utility of the fixed arm minus that of the guide, one table [seeds, tasks]: a task is what is drawn at random."""
    known = {(row.task, row.tokens): row for row in rows}
    by_task: dict[str, list[dict[int, float]]] = {}
    for one in choices:
        fixed, own = (known[one.task, one.tokens].utility(arm, keep) for arm in (one.fixed, one.guide))
        by_task.setdefault(one.task, []).append({seed: fixed[seed] - own[seed] for seed in fixed.keys() & own.keys()})
    seeds = sorted(set.intersection(*(set(each) for several in by_task.values() for each in several)))
    if not seeds:
        raise NotRun("the tasks have no seed in common")
    means = [[float(np.mean([each[seed] for each in several])) for several in by_task.values()] for seed in seeds]
    return seeds, [np.array(means)]


def transfer(outcomes: Outcomes, places: Sequence[Cell], part: Contrast) -> tuple[list[int], Terms]:
    """Regret of the guide that was fitted in the world minus that of always taking the arm named, on these tasks."""
    tree = guide.fit([row.case(KEEP) for row in rows_of(outcomes, WORLD, BUDGETS)] or _none_in_the_world(), UNWRITTEN)
    ((_, always),) = part.terms
    found, others = [], 0
    for row in rows_of(outcomes, places, [int(str(always["task_tokens"]))]):
        arm = guide.leaf_of(tree, row.tokens, row.start).arm(frozenset(row.gain) & UNWRITTEN)
        (place,) = (place for place in places if place["task"] == row.task)
        taken = {**always, "arm": arm}
        others += taken != always
        found.append([_utility_terms(outcomes, place, always, taken, measure) for measure in (GAIN, LOSS)])
    if len(found) < len(places):
        raise NotRun(f"{len(found)} of {len(places)} tasks")
    if not others:  # no worse than itself, which says nothing
        raise Ambiguous(f"the guide takes {always['arm']} on every task, so that there is nothing to compare")
    parts = [one for both in found for one in both]
    seeds = sorted(set.intersection(*(set(own) for own, _ in parts)))
    if not seeds:
        raise NotRun("the tasks have no seed in common")
    return seeds, [table[[own.index(seed) for seed in seeds]] / len(places) for own, terms in parts for table in terms]


def _utility_terms(outcomes: Outcomes, place: Cell, more: Cell, less: Cell, measure: str) -> tuple[list[int], Terms]:
    """What one cell has more than another of gain, or of loss as utility counts it, per seed and item."""
    if more == less:  # the guide takes just that arm: nothing lies between them
        seeds = sorted(outcomes.by_seed(**{**place, **more}))
        return seeds, [np.zeros((len(seeds), 1))]
    weight = 1.0 if measure == GAIN else -KEEP
    probes = probes_of(str(place["model"])) if measure == LOSS else ()
    return terms_of(outcomes, [place], Contrast("", ((weight, more), (-weight, less)), NO_RULE, measure, probes=probes))


def _none_in_the_world() -> list[Case]:
    raise NotRun("nothing in the world to fit a guide on")
