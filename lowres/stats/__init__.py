"""How sure is a measured difference? Two noise sources, each shown alone and both together.

Scores stand in a table of shape [seeds, items]: every seed trains its own model, every model answers the same items.
Differences are paired (same seed, same item) and follow the two-way model

    d[s, i] = effect + seed[s] + item[i] + rest[s, i]

Seeds stand for "train it again", items for "ask other questions". A bootstrap over each gives two deviations; their sum
carries the headline interval. Both parts contain the rest, so the headline is slightly too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scores = NDArray[np.float64]
Interval = tuple[float, float]

UNKNOWN: Interval = (math.nan, math.nan)


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
    """A mean difference with its headline interval and the intervals of each noise source alone.

    `interval` covers both sources; `seed_interval` and `item_interval` are the parts of it that come from the seeds and
    from the items, (nan, nan) for a source with a single draw. `degrees` are the degrees of freedom behind all three.
    """

    estimate: float
    interval: Interval
    seed_interval: Interval
    item_interval: Interval
    p_value: float
    seeds: int
    items: int
    confidence: float = 0.95
    degrees: float = math.nan
    components: Components = Components()

    def p_against(self, value: float) -> float:
        """Two-sided p-value of the hypothesis that the effect equals `value`.

        The side of the headline interval that faces `value` is read as a Student t quantile, so p < 1 - confidence
        exactly when the interval excludes `value`.
        """
        return _p_value(self.estimate, self.interval, value, self.degrees, self.confidence)

    def text(self, digits: int = 3, percent: bool = False) -> str:
        """The effect in words, such as "+0.043 [0.012, 0.075]" or, as percentage points, "+4.3 % [1.2, 7.5]"."""
        scale, places, unit = (100, max(digits - 2, 0), " %") if percent else (1, digits, "")
        middle, low, high = (round(scale * value, places) + 0.0 for value in (self.estimate, *self.interval))
        note = " (one seed: item noise only)" if self.seeds == 1 else ""
        return f"{middle:+.{places}f}{unit} [{low:.{places}f}, {high:.{places}f}]{note}"


@dataclass(frozen=True)
class _Resampling:
    resamples: int
    confidence: float
    random_seed: int


# --- effects ----------------------------------------------------------------------------------------------------------


def paired_effect(
    treatment: ArrayLike, control: ArrayLike, *, resamples: int = 4000, confidence: float = 0.95, random_seed: int = 0
) -> Effect:
    """Mean of treatment minus control with intervals over seeds, over items and over both.

    treatment, control: scores of shape [seeds, items] in the metric's own unit, same seeds and same items in the same
    order. A control of shape [1, items] (a model that was not trained, hence has no seed) stands beside every seed.

    With S seeds, I items, seed means m[s] and item means n[i] of the differences:

        seed deviation  = (mean of S resampled m - mean) * sqrt(S / (S - 1))
        item deviation  = (mean of I resampled n - mean) * sqrt(I / (I - 1))
        interval        = mean + quantiles(seed deviation + item deviation) * t / z

    The roots make the bootstrap variances unbiased: Vs = var(m) / S and Vi = var(n) / I. t and z are the Student and
    normal quantiles at the confidence, t with (Vs + Vi)^2 / (Vs^2 / (S - 1) + Vi^2 / (I - 1)) degrees of freedom
    (Satterthwaite 1946), without which three seeds would cover the truth far too seldom. The intervals of the single
    sources use their own deviation and the same t / z: their squared widths add up to the headline's, nearly, so they
    show which source it comes from. With one seed the headline interval is the item interval.

    Raises ValueError for ragged, non-finite or unmatched tables and for a table of a single number.
    """
    differences = _paired(treatment, control)
    return _effect(differences, _Resampling(resamples, confidence, random_seed))


def mean_interval(
    values: ArrayLike, *, resamples: int = 4000, confidence: float = 0.95, random_seed: int = 0
) -> Effect:
    """Mean of scores of shape [seeds, items] with the intervals of `paired_effect` (the control is zero)."""
    scores = _table("values", values)
    return _effect(scores, _Resampling(resamples, confidence, random_seed))


def _effect(differences: Scores, how: _Resampling) -> Effect:
    seeds, items = differences.shape
    if differences.size == 1:
        raise Undetermined("one seed and one item: a single number has no interval")
    seed_means, item_means = differences.mean(axis=1), differences.mean(axis=0)
    estimate = float(differences.mean())
    seed_part, item_part = _deviations(seed_means, "seeds", how), _deviations(item_means, "items", how)
    degrees = _satterthwaite((_variance_of_mean(seed_means), seeds - 1), (_variance_of_mean(item_means), items - 1))
    interval = _interval(estimate, seed_part + item_part, degrees, how.confidence)
    return Effect(
        estimate=estimate,
        interval=interval,
        seed_interval=_interval(estimate, seed_part, degrees, how.confidence) if seeds > 1 else UNKNOWN,
        item_interval=_interval(estimate, item_part, degrees, how.confidence) if items > 1 else UNKNOWN,
        p_value=_p_value(estimate, interval, 0.0, degrees, how.confidence),
        seeds=seeds,
        items=items,
        confidence=how.confidence,
        degrees=degrees,
        components=_components(differences),
    )


def _deviations(means: Scores, source: Literal["seeds", "items"], how: _Resampling) -> Scores:
    """Resampled mean minus mean, with unbiased variance; shape [resamples], zero where there is one draw only."""
    draws = len(means)
    if draws == 1:
        return np.zeros(how.resamples)
    counts = _counts(draws, how.resamples, how.random_seed, 0 if source == "seeds" else 1)
    deviations: Scores = counts @ (means - means.mean()) / draws * math.sqrt(draws / (draws - 1))
    return deviations


@lru_cache(maxsize=4)
def _counts(draws: int, resamples: int, random_seed: int, stream: int) -> Scores:
    """How often each draw enters each resample, shape [resamples, draws]; kept because many effects share it."""
    generator = np.random.default_rng([random_seed, stream])
    return generator.multinomial(draws, np.full(draws, 1 / draws), size=resamples).astype(np.float64)


def _interval(estimate: float, deviations: Scores, degrees: float, confidence: float) -> Interval:
    from scipy.special import ndtri, stdtrit

    tail = (1 - confidence) / 2
    widening = stdtrit(degrees, tail) / ndtri(tail)
    low, high = np.quantile(deviations, (tail, 1 - tail)) * widening
    return float(estimate + low), float(estimate + high)


def _p_value(estimate: float, interval: Interval, value: float, degrees: float, confidence: float) -> float:
    from scipy.special import stdtr, stdtrit

    distance = abs(estimate - value)
    side = abs(estimate - interval[0 if value < estimate else 1])
    if distance == 0 or side == 0:
        return float(distance == 0)
    return float(2 * stdtr(degrees, -distance / side * stdtrit(degrees, (1 + confidence) / 2)))


def _variance_of_mean(draws: Scores) -> float:
    return float(draws.var(ddof=1)) / len(draws) if len(draws) > 1 else 0.0


def _satterthwaite(*parts: tuple[float, int]) -> float:
    """Degrees of freedom of a sum of variances, each with its own degrees; those of the parts that can vary."""
    known = [(variance, degrees) for variance, degrees in parts if degrees > 0]
    total = sum(variance for variance, _ in known)
    if total == 0:
        return float(max(degrees for _, degrees in known))
    # shares, not variances: the square of a tiny variance would underflow
    return 1 / sum((variance / total) ** 2 / degrees for variance, degrees in known)


def _components(differences: Scores) -> Components:
    """Variance components by the method of moments (two-way random model, no replicates), negative ones set to zero."""
    seeds, items = differences.shape
    if seeds == 1:
        return Components(math.nan, float(differences.var(ddof=1)), 0.0)
    if items == 1:
        return Components(float(differences.var(ddof=1)), math.nan, 0.0)
    seed_means, item_means = differences.mean(axis=1), differences.mean(axis=0)
    residuals = differences - seed_means[:, None] - item_means[None, :] + differences.mean()
    rest = float((residuals**2).sum()) / ((seeds - 1) * (items - 1))
    between_seeds = float(seed_means.var(ddof=1)) - rest / items
    between_items = float(item_means.var(ddof=1)) - rest / seeds
    return Components(max(between_seeds, 0.0), max(between_items, 0.0), rest)


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


# --- input ------------------------------------------------------------------------------------------------------------


def _table(name: str, values: ArrayLike) -> Scores:
    """The values as [seeds, items], or a ValueError that says which seed and item is wrong."""
    if isinstance(values, (list, tuple)) and all(hasattr(row, "__len__") for row in values):
        lengths = [len(row) for row in values]
        for seed, length in enumerate(lengths):
            if length != lengths[0]:
                raise ValueError(f"{name} is ragged: seed 0 has {lengths[0]} items, seed {seed} has {length}")
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no table of numbers: {error}") from error
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"{name} has shape {list(table.shape)}, expected [seeds, items] with at least one of each")
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        seed, item = wrong[0].tolist()
        raise ValueError(f"{name}: seed {seed}, item {item} is {table[seed, item]} ({len(wrong)} such values)")
    return table


def _paired(treatment: ArrayLike, control: ArrayLike) -> Scores:
    left, right = _table("treatment", treatment), _table("control", control)
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"treatment has {left.shape[1]} items, control has {right.shape[1]}: the same is needed")
    if right.shape[0] not in (1, left.shape[0]):
        raise ValueError(f"treatment has {left.shape[0]} seeds, control has {right.shape[0]}: the same or 1 is allowed")
    return left - right
