"""A measured difference with its interval, and p-values of several; `lowres.stats.anova` measures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Interval = tuple[float, float]


class Undetermined(ValueError):
    """What there is has no value, or none with an interval: more has to be measured, and nothing is wrong."""


@dataclass(frozen=True)
class Components:
    """Variances of one difference d[s, i]: between seeds, between items, the rest; nan where there is one draw only."""

    seeds: float = math.nan
    items: float = math.nan
    rest: float = math.nan


@dataclass(frozen=True)
class Effect:
    """A mean difference with its interval over seeds ("train it again") and items ("ask other questions").

    `degrees` are the degrees of freedom behind the interval.
    """

    estimate: float
    interval: Interval
    p_value: float
    seeds: int
    items: int
    confidence: float = 0.95
    degrees: float = math.nan
    components: Components = Components()

    def p_against(self, value: float) -> float:
        """Two-sided p-value of the hypothesis that the effect equals `value`.

        The side of the interval that faces `value` is read as a Student t quantile, so p < 1 - confidence
        exactly when the interval excludes `value`.
        """
        return _p_value(self.estimate, self.interval, value, self.degrees, self.confidence)

    def text(self, digits: int = 3, percent: bool = False) -> str:
        """The effect in words, such as "+0.043 [0.012, 0.075]" or, as percentage points, "+4.3 % [1.2, 7.5]"."""
        scale, places, unit = (100, max(digits - 2, 0), " %") if percent else (1, digits, "")
        middle, low, high = (round(scale * value, places) + 0.0 for value in (self.estimate, *self.interval))
        note = " (one seed: item noise only)" if self.seeds == 1 else ""
        return f"{middle:+.{places}f}{unit} [{low:.{places}f}, {high:.{places}f}]{note}"


def _p_value(estimate: float, interval: Interval, value: float, degrees: float, confidence: float) -> float:
    from scipy.special import stdtr, stdtrit

    distance = abs(estimate - value)
    side = abs(estimate - interval[0 if value < estimate else 1])
    if distance == 0 or side == 0:
        return float(distance == 0)
    return float(2 * stdtr(degrees, -distance / side * stdtrit(degrees, (1 + confidence) / 2)))


# --- several claims, more seeds ---------------------------------------------------------------------------------------


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment (Holm 1979): compare each result with the level as if it were the only test.

    The k-th smallest of m p-values is multiplied by m - k + 1, never falls below its predecessor and never passes 1.
    Raises ValueError for a value outside [0, 1].
    """
    for name, value in p_values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"p-value of {name!r} is {value}, allowed: 0 to 1")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
