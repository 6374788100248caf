"""Rules against intervals by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres.claims import Rule, combine, decide
from lowres.stats import Components, Effect


def effect(estimate: float, half: float, *, noise: Components | None = None) -> Effect:
    interval = (estimate - half, estimate + half)
    parts = noise or Components(0.004, 0.01, 0.01)
    return Effect(estimate, interval, 0.5, 3, 100, degrees=10.0, components=parts)


# --- rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "margin", "direction", "answer"),
    [
        (0.03, 0.05, 0.02, 1, "yes"),  # all above the margin
        (0.01, 0.05, 0.02, 1, "unclear"),  # holds the margin
        (-0.03, 0.01, 0.02, 1, "no"),  # all below the margin
        (-0.05, -0.03, 0.02, -1, "yes"),  # a drop larger than the margin
        (-0.01, 0.05, 0.02, -1, "no"),  # certainly no such drop
        (-0.01, 0.05, -0.02, 1, "yes"),  # not worse by more than 0.02
        (0.02, 0.05, 0.02, 1, "unclear"),  # the end lies on the margin
        (math.nan, math.nan, 0.02, 1, "unclear"),
        (5.5, math.inf, 5.0, 1, "yes"),
    ],
)
def test_decide_by_hand(low: float, high: float, margin: float, direction: int, answer: str) -> None:
    measured = replace(effect(0.0, 1.0), interval=(low, high))
    assert decide(measured, margin, direction) == answer


def test_decide_refuses_another_direction() -> None:
    with pytest.raises(ValueError, match="direction is 0, allowed: 1"):
        decide(effect(0.0, 1.0), 0.0, 0)


@pytest.mark.parametrize(
    ("estimate", "half", "answer"),
    [(0.0, 0.01, "yes"), (0.01, 0.02, "unclear"), (0.05, 0.02, "no"), (-0.05, 0.02, "no"), (0.0, 0.1, "unclear")],
)
def test_within_asks_both_sides(estimate: float, half: float, answer: str) -> None:
    assert Rule("within", 0.02).answer(effect(estimate, half)) == answer


def test_below_mirrors_above() -> None:
    drop = effect(-0.05, 0.02)
    assert Rule("below", -0.02).answer(drop) == "yes"
    assert Rule("below", -0.08).answer(drop) == "no"
    assert Rule("below", -0.05).answer(drop) == "unclear"


@given(st.floats(-1, 1), st.floats(0.001, 1), st.floats(-1, 1))
def test_an_answer_means_an_excluded_boundary(estimate: float, half: float, boundary: float) -> None:
    measured, rule = effect(estimate, half), Rule("above", boundary)
    low, high = measured.interval
    assert (rule.answer(measured) == "unclear") == (low <= boundary <= high)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (["yes", "yes"], "reproduced"),
        (["no", "no"], "not reproduced"),
        (["yes", "no"], "partly"),
        (["yes", "no", "unclear"], "partly"),  # whatever the third turns out to be
        (["yes", "unclear"], "cannot tell"),  # could still become "reproduced" or "partly"
        (["no", "unclear"], "cannot tell"),
    ],
)
def test_combine(answers: list[Any], outcome: str) -> None:
    assert combine(answers) == outcome


def test_combine_needs_a_rule() -> None:
    with pytest.raises(ValueError, match="at least one rule"):
        combine([])


# --- verdicts ---------------------------------------------------------------------------------------------------------


# --- files ------------------------------------------------------------------------------------------------------------


# --- cards and tables -------------------------------------------------------------------------------------------------


def test_claims_are_light() -> None:
    code = (
        "import lowres.claims, sys; print([m for m in ('numpy', 'scipy', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
