"""Claims of the papers and the rules that decide them: an interval against a margin, never an estimate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:  # stats needs numpy; a study's claims must not
    from lowres.stats import Effect

Answer = Literal["yes", "no", "unclear"]
Outcome = Literal["reproduced", "partly", "not reproduced", "cannot tell"]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
SYMBOLS: dict[Outcome, str] = {"reproduced": "✓", "partly": "◐", "not reproduced": "✗", "cannot tell": "?"}


@dataclass(frozen=True)
class Claim:
    """One falsifiable sentence of a paper, where it stands there, and the number that the paper reports for it."""

    name: str
    statement: str
    source: str
    reported: str


@dataclass(frozen=True)
class Deviation:
    """Where a study departs from its paper, and the direction in which that probably bends the result."""

    original: str
    here: str
    expected_bias: str


@dataclass(frozen=True)
class Rule:
    """A question to the interval of an effect: is it above or below a boundary, or that near to zero."""

    kind: Literal["above", "below", "within"]
    boundary: float

    def answer(self, effect: Effect) -> Answer:
        """What the interval says; "unclear" where it holds a boundary."""
        if self.kind == "above":
            return decide(effect, self.boundary)
        if self.kind == "below":
            return decide(effect, -self.boundary, direction=-1)
        outside = (decide(effect, self.boundary), decide(effect, self.boundary, direction=-1))
        return "no" if "yes" in outside else "yes" if outside == ("no", "no") else "unclear"

    def boundaries(self) -> tuple[float, ...]:
        """What the interval must exclude before the rule can say yes."""
        return (-self.boundary, self.boundary) if self.kind == "within" else (self.boundary,)

    def p_value(self, effect: Effect) -> float:
        """Two-sided p-value of the answer: against the boundary that is the hardest to exclude."""
        return max(effect.p_against(boundary) for boundary in self.boundaries())

    def text(self) -> str:
        """The rule in words, such as "above +0.02" or "within 0.02 of zero"."""
        if self.kind == "within":
            return f"within {self.boundary:g} of zero"
        return f"{self.kind} {self.boundary:+g}" if self.boundary else f"{self.kind} zero"


def decide(effect: Effect, margin: float, direction: int = 1) -> Answer:
    """Does the effect pass the margin? "yes" if its whole interval lies beyond, "no" if its whole interval stays short.

    direction +1 asks for an effect above `margin`, -1 for one below `-margin`. A negative margin asks for "not worse by
    more than that".
    """
    if direction not in (1, -1):
        raise ValueError(f"direction is {direction}, allowed: 1 (higher) or -1 (lower)")
    ends = sorted(direction * bound for bound in effect.interval)
    if ends[0] > margin:
        return "yes"
    return "no" if ends[1] < margin else "unclear"


def combine(answers: Iterable[Answer]) -> Outcome:
    """The outcome of a claim with several parts: the one that holds however the unclear parts would turn out."""
    found = set(answers)
    if not found:
        raise ValueError("a claim needs at least one rule")
    if {"yes", "no"} <= found:
        return "partly"
    if "unclear" in found:
        return "cannot tell"
    return "reproduced" if found == {"yes"} else "not reproduced"


def p_value_of(outcome: Outcome, answers: Mapping[str, Answer], p_values: Mapping[str, float]) -> float:
    """The p-value of an outcome, from those of its parts, each against its own boundary.

    An outcome that all parts share is as sure as the weakest of them. "Partly" needs one yes and one no, the surest of
    either kind; as these are picked out of all parts, they count as many times as there are parts (Bonferroni).
    """
    if outcome != "partly":
        return max(p_values.values())
    surest = (min(p_values[name] for name in answers if answers[name] == side) for side in ("yes", "no"))
    return min(1.0, len(p_values) * max(surest))
