"""What an answer costs: tokens, operations and seconds of every arm, beta's share included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lowres import exhibits
from lowres.data.rationales import OWN
from lowres.exhibits import average, measure, spelled
from lowres.markup import Shown, shown_table, shown_text
from lowres.studies import Where, unseeded
from lowres.studies.fiat.arms import ARMS
from lowres.studies.fiat.evidence import Evidence, Point
from lowres.studies.fiat.exhibits.common import (
    Row,
    examples_of,
    label,
    level,
    parameters,
    per_place,
    places,
    seeds_of,
    sizes_of,
    spoken,
    written_for,
)

if TYPE_CHECKING:
    from lowres.trial import Record

UNKNOWN = "unknown"


def cost_table(evidence: Evidence) -> Shown:
    """Per arm: tokens per item of tau and of beta, operations per item, seconds, memory."""
    return per_place(places(evidence), lambda place: _cost(evidence, place), shown_text("No trial is at hand."))


def _cost(evidence: Evidence, place: Where) -> Shown:
    rows: list[Row] = []
    for name in ARMS:
        for size in sizes_of(evidence, place, name)[-1:]:
            point = evidence.at(place, name, size)
            records = seeds_of(evidence, point)
            if records:
                rows.append((spoken(name, size), *per_item(evidence, point), *exhibits.cost_cells(records)[1:]))
    header = ("Arm", "Tokens per item: tau", "beta", "Million operations per item: tau", "beta", *exhibits.COST[1:])
    caption = (
        f"Cost on {label(place)}, largest training set ({exhibits.machines(evidence.records)}). Operations: twice the "
        "parameters for each token; of tau its prompt alone, of beta what it reads and writes, for a vote once per "
        "sample"
    )
    return shown_table(caption, header, rows, stack=True)


def per_item(evidence: Evidence, point: Point) -> Row:
    """Tokens per test item of tau and of beta, and operations of both, in words where they are not known."""
    records = seeds_of(evidence, point)
    own, theirs = tau_tokens(records), beta_tokens(point, records)
    model = unseeded(records[0].trial["model"])
    cells = (own, theirs)
    sizes = (parameters(evidence, model), parameters(evidence, point.beta) if point.beta not in ("", OWN) else 0)
    return (*map(_whole, cells), *(_operations(*pair) for pair in zip(cells, sizes, strict=True)))


def tau_tokens(records: Sequence[Record]) -> float | None:
    """Tokens of tau's prompt per test item; 0 where tau answers nothing, None where it was not counted."""
    if records[0].trial["recipe"].get("rationale") in ("as-answer", "as-vote"):
        return 0.0
    counted = [r.counts["prompt_tokens"] / r.items() for r in records if "prompt_tokens" in r.counts and r.items()]
    return average(counted) if counted else None


def beta_tokens(point: Point, records: Sequence[Record]) -> float | None:
    """Tokens that beta reads and writes per test item; 0 where the arm does not need it to answer, None if unknown."""
    use = ARMS[point.arm].use
    if use in ("none", "target") or point.beta == OWN:
        return 0.0
    found = []
    for record in records:
        written = written_for(point.place, record)
        for example in examples_of(point.place, record):
            one = written.get(example.id)
            if one is not None and one.new_tokens + one.prompt_tokens:
                times = len(one.samples) if use == "as-vote" else 1
                found.append((one.prompt_tokens + one.new_tokens) * times)
    return average(found) if found else None


def _whole(tokens: float | None) -> object:
    return UNKNOWN if tokens is None else round(tokens)


def _operations(tokens: float | None, size: int) -> str:
    if tokens == 0:
        return "0"
    if tokens is None or not size:
        return UNKNOWN
    millions = 2 * size * tokens / 1e6
    return f"{millions:,.0f}" if millions >= 100 else f"{millions:.1f}"


def vote(evidence: Evidence) -> Shown:
    """What beta's answer, the vote of its samples, and FIAT cost and score."""
    rows: list[Row] = []
    measures: dict[str, None] = {}
    for place in places(evidence):
        if level(evidence, evidence.at(place, "beta-vote")) is None:
            continue
        measures.setdefault(measure(place))
        gain = evidence.effect(evidence.at(place, "beta-vote"), evidence.at(place, "beta"))
        for name, size in (("beta", 0), ("beta-vote", 0), *(("R0", size) for size in evidence.sizes(place))):
            point = evidence.at(place, name, size)
            scores = level(evidence, point)
            if scores is not None:
                minus = gain.text() if gain and name == "beta-vote" else "-"
                shown = f"{spoken(name, size)}, {label(place)}"
                rows.append((shown, spelled(scores), minus, *per_item(evidence, point)))
    if not rows:
        return shown_text(
            "No vote: beta drew no further lines of reasoning (-p samples=5 -p 'arms=[beta, beta-vote]')."
        )
    header = (
        *("Arm", f"{' or '.join(measures)} (95 %)", "Minus one answer", "Tokens per item: tau", "beta"),
        *("Million operations per item: tau", "beta"),
    )
    return shown_table("Self-consistency: a vote of beta at its cost", header, rows, stack=True)
