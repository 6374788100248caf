"""Which tuner for which budget: the answer in sentences, the Pareto figure, and the table of budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowres.exhibits import BARS, frame, interval, measure, spelled
from lowres.markup import Shown, joined, shown_table, shown_text
from lowres.studies import Where
from lowres.studies.loreft import pareto as fronts
from lowres.studies.loreft.evidence import Evidence, Point
from lowres.studies.loreft.exhibits.common import (
    Row,
    contenders,
    label,
    per_place,
    percent,
    places,
    slug,
    total,
    trained,
)

if TYPE_CHECKING:
    from lowres.stats import Effect

# Upper ends of the budgets, in percent of the model's parameters.
BRACKETS = {
    "below 0.01 %": (0.0, 0.01),
    "0.01 to 0.1 %": (0.01, 0.1),
    "0.1 to 1 %": (0.1, 1.0),
    "above 1 %": (1.0, math.inf),
}
NOTHING = shown_text("No answer yet: nothing was tuned in these records.")
SIGNS: tuple[fronts.Place, ...] = ("front", "not told apart", "beaten")


@dataclass(frozen=True)
class Field:
    """The tuners that were run at a place: their points, trained parameters and mean scores."""

    evidence: Evidence
    where: Where
    points: Mapping[str, Point]
    candidates: Mapping[str, fronts.Candidate]

    @classmethod
    def at(cls, evidence: Evidence, where: Where) -> Field:
        """All contenders of a place, the untouched model among them."""
        points = contenders(evidence, where)
        candidates = {}
        for name, point in points.items():
            scores = evidence.scores(point)
            assert scores is not None
            candidates[name] = fronts.Candidate(trained(evidence, point), float(scores.mean()))
        return cls(evidence, where, points, candidates)

    def effect(self, more: str, less: str) -> Effect | None:
        """Score of one arm minus that of another, on the same seeds and items."""
        return self.evidence.effect(self.points[more], self.points[less])

    def best(self, among: Sequence[str]) -> str:
        """The highest mean score, the cheapest of equals."""
        return max(among, key=lambda name: (self.candidates[name].score, -self.candidates[name].cost))

    def equals(self, best: str, among: Sequence[str]) -> list[str]:
        """Those that the best is not better than by an interval wholly above zero, cheapest first."""
        effects = {name: self.effect(best, name) for name in among if name != best}
        found = [name for name, effect in effects.items() if effect is None or effect.interval[0] <= 0]
        return sorted(found, key=lambda name: self.candidates[name].cost)

    def within(self, bracket: str) -> list[str]:
        """The tuners whose trained parameters lie in a bracket."""
        low, high = BRACKETS[bracket]
        size = total(self.evidence, self.where)
        shares = {name: 100 * one.cost / size for name, one in self.candidates.items() if one.cost and size}
        return [name for name, share in shares.items() if low <= share < high]

    def spelled(self, name: str) -> str:
        """The score of an arm with its interval."""
        scores = self.evidence.scores(self.points[name])
        assert scores is not None
        return spelled(scores)

    def size(self, name: str) -> str:
        """Trained parameters of an arm in words."""
        count = int(self.candidates[name].cost)
        return f"{count:,} parameters, {percent(count, total(self.evidence, self.where))}" if count else "none trained"


# --- in sentences ----------------------------------------------------------------------------------------------------


def answer(evidence: Evidence) -> Shown:
    """Which tuner for which budget, in sentences made from the records."""
    return per_place(places(evidence), lambda where: _answer(Field.at(evidence, where)), NOTHING)


def _answer(field: Field) -> Shown:
    tuned = [name for name, one in field.candidates.items() if one.cost]
    if not tuned:
        return shown_text(f"No tuner was run on {label(field.where)}.")
    lines = [_headline(field, tuned), *(_sentence(field, bracket) for bracket in BRACKETS)]
    return joined(shown_text(line) for line in lines if line)


def _headline(field: Field, tuned: Sequence[str]) -> str:
    best = field.best(tuned)
    equals = field.equals(best, tuned)
    where, size = label(field.where), field.size(best)
    text = (
        f"On {where}, with {field.evidence.budget(field.where):,} tokens of task data, the best of {len(tuned)} tuners "
        f"on average is {best} ({size}) with {field.spelled(best)}."
    )
    gain = field.effect(best, "untouched") if "untouched" in field.points else None
    if gain is not None:
        low, high = gain.interval
        words = "more than" if low > 0 else "less than" if high < 0 else "not told apart from"
        text += f" That is {words} the untouched model: {gain.text()}."
    cheapest = next((name for name in equals if field.candidates[name].cost < field.candidates[best].cost), None)
    if cheapest is None:
        return f"{text} Nothing cheaper keeps up with it."
    return (
        f"{text} The cheapest tuner that cannot be told from it is {cheapest} ({field.size(cheapest)}) with "
        f"{field.spelled(cheapest)}."
    )


def _sentence(field: Field, bracket: str) -> str:
    among = field.within(bracket)
    if not among:
        return ""
    best = field.best(among)
    equals = field.equals(best, among)
    start = f"Budget {bracket} of the parameters: {best} with {field.spelled(best)}"
    if len(among) == 1:
        return f"{start}, the only one there."
    if not equals:
        others = "the other one" if len(among) == 2 else f"each of the {len(among) - 1} others"
        return f"{start}, better than {others}."
    return f"{start}; not told from it: {', '.join(equals)}."


def budgets_table(evidence: Evidence) -> Shown:
    """Per budget: the best tuner, who cannot be told from it, who is worse, and what the best for less has."""
    return per_place(places(evidence), lambda where: _budgets(Field.at(evidence, where)), NOTHING)


def _budgets(field: Field) -> Shown:
    rows: list[Row] = []
    for bracket in BRACKETS:
        among = field.within(bracket)
        if not among:
            rows.append((bracket, "nothing was run", "", "", "", ""))
            continue
        best = field.best(among)
        equals = field.equals(best, among)
        worse = [name for name in among if name != best and name not in equals]
        cells = (f"{best} ({field.size(best)})", field.spelled(best), ", ".join(equals) or "-", ", ".join(worse) or "-")
        rows.append((bracket, *cells, _dearer(field, best, among)))
    header = (
        "Budget",
        "Best",
        f"{measure(field.where)} (95 %)",
        "Not told from it",
        "Worse",
        "Best for less, minus it",
    )
    caption = (
        f"Which tuner for which budget, {label(field.where)}. The best of several is flattered by being chosen; no "
        "interval here is corrected for that"
    )
    return shown_table(caption, header, rows, stack=True)


def _dearer(field: Field, best: str, among: Sequence[str]) -> str:
    """The best of all that costs less than this budget, compared with the best of this budget."""
    least = min(field.candidates[name].cost for name in among)
    cheaper = [name for name, one in field.candidates.items() if one.cost < least]
    if not cheaper:
        return "-"
    rival = field.best(cheaper)
    effect = field.effect(rival, best)
    return f"{rival}: {effect.text()}" if effect else rival


# --- the figure ------------------------------------------------------------------------------------------------------


def pareto(evidence: Evidence) -> Shown:
    """Score against trained parameters: the front, who cannot be told from it, who is beaten."""
    return per_place(places(evidence), lambda where: _pareto(Field.at(evidence, where)), NOTHING)


def _pareto(field: Field) -> Shown:
    from lowres.figures import Plot, scatter

    stands = fronts.places(field.candidates, field.effect)
    rows: list[Row] = []
    for sign in SIGNS:
        for name in (name for name, one in field.candidates.items() if one.cost and stands[name] == sign):
            scores = field.evidence.scores(field.points[name])
            assert scores is not None
            rows.append((name, field.candidates[name].cost, *interval(scores), sign))
    if not rows:
        return shown_text(f"No tuner was run on {label(field.where)}.")
    sets = {sign: [str(row[0]) for row in rows if row[-1] == sign] for sign in SIGNS}
    plot = Plot(
        name=f"loreft-pareto-{slug(field.where)}",
        alt=f"{measure(field.where)} against trained parameters on {label(field.where)}. On the front: "
        f"{_listed(sets['front'])}. Not told apart from it: {_listed(sets['not told apart'])}. Beaten by something "
        f"that costs no more: {_listed(sets['beaten'])}.",
        caption=f"{label(field.where)}. Front: no other tuner is as good for as little. Beaten: a tuner that costs no "
        "more is better by an interval wholly above zero. Line: the untouched model.",
        x="trained parameters",
        y=measure(field.where),
        error=BARS,
        x_scale="log",
        size=(8, 6),
    )
    untouched = field.candidates.get("untouched")
    marks = {"untouched": untouched.score} if untouched else {}
    return scatter(frame(rows, "name", "x", "y", "low", "high", "series"), plot, marks)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
