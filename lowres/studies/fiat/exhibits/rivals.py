"""What stands beside FIAT: what is left of a rationale, worked examples in context, votes, controls that must fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowres.exhibits import BARS, Control, frame, interval, measure, named, spelled
from lowres.markup import Shown, shown_table, shown_text
from lowres.studies import Where
from lowres.studies.fiat.arms import SHOTS
from lowres.studies.fiat.evidence import Evidence
from lowres.studies.fiat.exhibits.common import (
    Row,
    label,
    level,
    listed_or_none,
    per_place,
    places,
    slug,
)

if TYPE_CHECKING:
    from lowres.stats import Effect

USES = {
    "R0": "rationale (R0)",
    "answer-only": "beta's answer alone",
    "stripped": "reasoning without the answer",
    "wrong": "rationale of another example",
    "own-rationale": "the data's own rationale",
    "distilled": "rationale as a target (distilled)",
}


def uses(evidence: Evidence) -> Shown:
    """Every use of a rationale minus R1, which has none."""
    listed = [place for place in places(evidence) if _uses(evidence, place)]
    nothing = shown_text("No use of a rationale was run beside R1.")
    return per_place(listed, lambda place: _uses_figure(evidence, place), nothing)


def _uses(evidence: Evidence, place: Where) -> dict[tuple[str, int], Effect]:
    found = {}
    for arm, words in USES.items():
        for size in evidence.sizes(place):
            found[words, size] = evidence.effect(evidence.at(place, arm, size), evidence.at(place, "R1", size))
    return named(found)


def _uses_figure(evidence: Evidence, place: Where) -> Shown:
    from lowres.figures import Plot, forest

    effects = _uses(evidence, place)
    above = [f"{words} ({size:,})" for (words, size), effect in effects.items() if effect.interval[0] > 0]
    below = [f"{words} ({size:,})" for (words, size), effect in effects.items() if effect.interval[1] < 0]
    plot = Plot(
        name=f"fiat-uses-{slug(place)}",
        alt=f"{measure(place)} of each use of a rationale minus that of R1 on {label(place)}. Wholly above zero: "
        f"{listed_or_none(above)}. Wholly below: {listed_or_none(below)}.",
        caption=f"{label(place)}: same instruction, LoRA and base as R1, which has no rationale.",
        x=f"{measure(place)}, minus R1",
        y="What tau has besides",
        error=BARS,
    )
    rows = [(words, f"{size:,} examples", e.estimate, *e.interval) for (words, size), e in effects.items()]
    return forest(frame(rows, "row", "series", "estimate", "low", "high"), plot, marks={"as R1": 0.0})


# --- in context ------------------------------------------------------------------------------------------------------


def shots(evidence: Evidence) -> Shown:
    """Tau in context against the number of solved examples it is shown; beta, and tuning, beside it."""
    listed = [place for place in places(evidence) if len(_shots(evidence, place)) > 1]
    nothing = shown_text("No curve over solved examples: the arms shots-1 to shots-8 were not run.")
    return per_place(listed, lambda place: _shots_figure(evidence, place), nothing)


def _shots(evidence: Evidence, place: Where) -> list[Row]:
    rows: list[Row] = []
    for count in (0, *SHOTS):
        scores = level(evidence, evidence.at(place, f"shots-{count}" if count else "untouched-instruction"))
        if scores is not None:
            rows.append(("tau in context", count, *interval(scores)))
    return rows


def _shots_figure(evidence: Evidence, place: Where) -> Shown:
    from lowres.figures import Plot, curve

    rows = _shots(evidence, place)
    ends = (rows[0][1], rows[-1][1])
    smallest = min(evidence.sizes(place), default=0)
    for words, arm in {"beta in context": "beta", f"R1, {smallest:,} examples": "R1"}.items():
        scores = level(evidence, evidence.at(place, arm, smallest))
        if scores is not None:
            rows += [(words, count, *interval(scores)) for count in ends]
    told = "; ".join(f"{row[1]}: {row[2]:.3f}" for row in rows if row[0] == "tau in context")
    plot = Plot(
        name=f"fiat-shots-{slug(place)}",
        alt=f"{measure(place)} of tau on {label(place)} by the number of solved examples in its prompt: {told}.",
        caption=f"{label(place)}: tau as it is, with the instruction, shown solved examples. 0: the instruction alone.",
        x="solved examples in the prompt",
        y=measure(place),
        error=BARS,
    )
    return curve(frame(rows, "series", "x", "y", "low", "high"), plot)


LEVELS = ("untouched", "untouched-instruction", "untouched-rationale", "beta", "beta-vote")


def levels_table(evidence: Evidence) -> Shown:
    """What is there without any tuning."""
    rows: list[Row] = []
    for place in places(evidence):
        cells = [level(evidence, evidence.at(place, arm)) for arm in LEVELS]
        if any(scores is not None for scores in cells):
            rows.append((label(place), *("not run" if scores is None else spelled(scores) for scores in cells)))
    if not rows:
        return shown_text("Nothing was measured without tuning.")
    header = ("Place", "tau untouched", "with instruction", "with rationale", "beta's answers", "beta's vote")
    return shown_table("Without any tuning: mean with 95 % interval", header, rows, stack=True)


# --- controls --------------------------------------------------------------------------------------------------------


CONTROLS = (
    Control("Another example's rationale does not help", "wrong", "R1", "no gain"),
    Control("It is the right rationale that helps", "R0", "wrong", "gain"),
    Control("Tuning helps at all", "R1", "untouched-instruction", "gain"),
    Control("Is it only beta's answer?", "R0", "answer-only", "open"),
    Control("What is left without the answer", "stripped", "R1", "open"),
    Control("What perfect reasoning would add", "own-rationale", "R0", "open"),
    Control("Does tau add to beta?", "R0", "beta", "open"),
)


def controls(evidence: Evidence) -> Shown:
    """What has to hold if the measurement is sound, the rule, and what was found."""
    return per_place(places(evidence), lambda place: _controls(evidence, place), shown_text("Controls: not run."))


def _controls(evidence: Evidence, place: Where) -> Shown:
    rows = []
    for one in CONTROLS:
        for size in evidence.sizes(place):
            effect = evidence.effect(evidence.at(place, one.more, size), evidence.at(place, one.less, size))
            rows.append((f"{one}, {size:,} examples", *one.cells(effect)))
    header = ("Control", "Rule", "Outcome", f"Difference in {measure(place)}")
    return shown_table(f"Controls on {label(place)}", header, rows, stack=True)
