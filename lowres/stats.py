"""How sure is a measured difference? Two noise sources, each shown alone and both together.

Scores stand in a table of shape [seeds, items]: every seed trains its own model, every model answers the same items.
Differences are paired (same seed, same item) and follow the two-way model

    d[s, i] = effect + seed[s] + item[i] + rest[s, i]

Seeds stand for "train it again", items for "ask other questions". A bootstrap over each gives two deviations; their sum
carries the headline interval. Both parts contain the rest, so the headline is slightly too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scores = NDArray[np.float64]
Interval = tuple[float, float]

UNKNOWN: Interval = (math.nan, math.nan)
MOST_SEEDS = 1000
POINTS_PER_DECADE = 40
CLEAR_BIC = 2.0


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
class Saving:
    """How many times fewer tokens: tokens the baseline needs for the same score, divided by the tokens used.

    `bounded` says what the estimate is: "at least" where the baseline never reaches the score within the budgets
    measured, "at most" where its smallest budget already does.
    """

    estimate: float
    interval: Interval
    bounded: Literal["exact", "at least", "at most"]
    confidence: float = 0.95

    def text(self, digits: int = 1) -> str:
        """The saving in words, such as "7.4x [3.1x, 9.8x]" or "at least 10.0x [6.0x, no upper bound]"."""
        low, high = self.interval
        lower = f"{low:.{digits}f}x" if low > 0 else "no lower bound"
        upper = f"{high:.{digits}f}x" if math.isfinite(high) else "no upper bound"
        prefix = "" if self.bounded == "exact" else f"{self.bounded} "
        return f"{prefix}{self.estimate:.{digits}f}x [{lower}, {upper}]"


@dataclass(frozen=True)
class ChangePoint:
    """Bayesian information criteria (lower is better) of a flat line, a straight line and one jump.

    `at` is the smallest ratio beyond the jump, `rise` the height of the jump; both nan where no jump could be fitted.
    """

    bic_flat: float
    bic_line: float
    bic_jump: float
    at: float
    rise: float
    favours: Literal["smooth", "jump", "cannot tell"]


@dataclass(frozen=True)
class _Resampling:
    resamples: int
    confidence: float
    random_seed: int


# --- ranking ---------------------------------------------------------------------------------------------------------


def average_precision(positive: ArrayLike, score: ArrayLike) -> float:
    """Area under the precision-recall curve as a sum over its steps: sum over thresholds of precision * gain in recall.

    No interpolation, and items of equal score enter together (as in scikit-learn). nan without a positive item.

    Args:
        positive: 1 or 0 per item.
        score: larger for what is more probably positive.
    """
    labels, scores = np.asarray(positive, dtype=float), np.asarray(score, dtype=float)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ValueError(f"one label and one score per item, not {labels.shape} and {scores.shape}")
    if not labels.any():
        return math.nan
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # where a threshold may stand: behind the last of equals
    hits = np.cumsum(labels[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    return float(np.sum(precision * np.diff(hits, prepend=0)) / labels.sum())


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
        raise ValueError("one seed and one item: a single number has no interval")
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


def seeds_needed(effect: Effect, boundary: float, *, power: float = 0.8, confidence: float | None = None) -> int | None:
    """Further seeds after which the interval would exclude `boundary` with the given power, if the estimate is true.

    With S seeds in all the headline variance is V(S) = (seeds + rest / I) / S + (items + rest / S) / I in the effect's
    variance components; the smallest S is taken with |estimate - boundary| >= (t[confidence] + t[power]) * sqrt(V(S)).
    0 means the interval excludes the boundary already. None means that no number of seeds (up to 1,000) will do: the
    items are too few, or the estimate sits on the boundary. One seed says nothing about seed noise, so at least two
    further seeds are asked for then.
    """
    low, high = effect.interval
    level = effect.confidence if confidence is None else confidence
    if not low <= boundary <= high and level == effect.confidence:
        return 0
    first = max(effect.seeds + 1, 3)
    for seeds in range(first, MOST_SEEDS + 1):
        if abs(effect.estimate - boundary) >= _reach(effect, seeds, level, power):
            return seeds - effect.seeds
    return None


def _reach(effect: Effect, seeds: int, confidence: float, power: float) -> float:
    """Distance that `seeds` seeds on the same items tell apart with the given power."""
    from scipy.special import stdtrit

    parts, items = effect.components, effect.items
    between_seeds, between_items = (0.0 if math.isnan(part) else part for part in (parts.seeds, parts.items))
    seed_variance = (between_seeds + parts.rest / items) / seeds
    item_variance = (between_items + parts.rest / seeds) / items
    degrees = _satterthwaite((seed_variance, seeds - 1), (item_variance, items - 1))
    quantiles = stdtrit(degrees, (1 + confidence) / 2) + stdtrit(degrees, power)
    return float(quantiles) * math.sqrt(seed_variance + item_variance)


@dataclass(frozen=True)
class Drop:
    """What was lost of an ability, three ways; the last two are nan where they mean nothing."""

    absolute: float
    relative: float
    corrected: float


def drop(before: float, after: float, chance: float) -> Drop:
    """Loss from a score before to one after, both higher-is-better, with `chance` the score of guessing.

    absolute = before - after; relative = absolute / before, the measure of Luo et al. (2023, eq. 1) for one probe and
    one checkpoint; corrected = absolute / (before - chance). A start at or below chance leaves nothing to lose.
    """
    absolute = before - after
    relative = absolute / before if before > 0 else math.nan
    return Drop(absolute, relative, absolute / (before - chance) if before > chance else math.nan)


@dataclass(frozen=True)
class Forgetting:
    """What a group of probes lost over the checkpoints of a stream of tasks.

    `fg`, `final` and the corrected two are percentages, `absolute` is in units of the scores. `fg`, `absolute` and
    `corrected` are means over all checkpoints; `final` and `final_corrected` are of the last one alone.
    """

    fg: float
    absolute: float
    corrected: float
    final: float
    final_corrected: float


def forgetting(before: ArrayLike, after: ArrayLike, chance: ArrayLike = 0.0) -> Forgetting:
    """FG of Luo et al. (2023, eq. 1), beside what it hides.

    FG = 100 / |E| sum over elements e of 1/N sum over checkpoints m of (R_e(0) - R_e(m)) / R_e(0): the mean of ratios,
    over every checkpoint, so it is neither the ratio of mean scores nor the final drop. A model that starts close to
    chance has little to lose in it: the corrected drop divides by R_e(0) - chance instead, and is nan where an element
    starts at or below chance.

    Args:
        before: [elements], scores of the untouched model; larger is better.
        after: [elements, checkpoints].
        chance: the score of guessing, one for all elements or [elements].

    Raises:
        ValueError: shapes that do not fit, a score that is not finite, or a starting score that is not positive.
    """
    later = _table("after", after)
    start = np.asarray(before, dtype=np.float64)
    if start.shape != later.shape[:1]:
        raise ValueError(f"before has shape {list(start.shape)}, after has {later.shape[0]} elements")
    if not (np.isfinite(start).all() and (start > 0).all()):
        raise ValueError(f"before is {start.tolist()}: a relative drop needs scores above 0 to start from")
    lost = start[:, None] - later
    skill = np.broadcast_to(start - np.asarray(chance, dtype=np.float64), start.shape)[:, None]
    relative = 100 * lost / start[:, None]
    corrected = 100 * lost / np.where(skill > 0, skill, np.nan)
    return Forgetting(
        fg=float(relative.mean(1).mean()),
        absolute=float(lost.mean(1).mean()),
        corrected=float(corrected.mean(1).mean()),
        final=float(relative[:, -1].mean()),
        final_corrected=float(corrected[:, -1].mean()),
    )


# --- curves -----------------------------------------------------------------------------------------------------------


def change_point(ratios: Sequence[float], scores: Sequence[float]) -> ChangePoint:
    """Does a score rise smoothly with the general:task ratio, or jump? A line in log2(1 + ratio) against one step.

    ratios (>= 0) and scores have one entry per point; several points may share a ratio. Each model has
    BIC = n ln(RSS / n) + k ln n with k = 1 (flat), 2 (line: level, slope) or 3 (jump: two levels and the place). The
    jump needs two points on each side, so that one outlier is none. The better of line and jump is favoured if it
    leads by at least 2 and a flat line is not better still. Fewer than five different ratios: "cannot tell".
    """
    x, y = _points("ratios", ratios, "scores", scores)
    if (x < 0).any():
        raise ValueError(f"ratios must be >= 0, got {x.min():g}")
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    splits = [i for i in range(2, len(x) - 1) if x[i] > x[i - 1]]
    if len(set(x)) < 5 or not splits:
        return ChangePoint(math.nan, math.nan, math.nan, math.nan, math.nan, "cannot tell")
    position = np.log2(1 + x)
    line = np.polynomial.Polynomial.fit(position, y, 1)
    steps = {i: _squares(y[:i] - y[:i].mean()) + _squares(y[i:] - y[i:].mean()) for i in splits}
    split = min(steps, key=lambda i: steps[i])
    total = _squares(y - y.mean())
    flat, smooth, jump = (
        _bic(squares, total, len(y), parameters)
        for squares, parameters in ((total, 1), (_squares(y - line(position)), 2), (steps[split], 3))
    )
    rise = float(y[split:].mean() - y[:split].mean())
    return ChangePoint(flat, smooth, jump, float(x[split]), rise, _favoured(flat, smooth, jump))


def _favoured(flat: float, line: float, jump: float) -> Literal["smooth", "jump", "cannot tell"]:
    if abs(line - jump) < CLEAR_BIC or flat <= min(line, jump):
        return "cannot tell"
    return "smooth" if line < jump else "jump"


def _squares(values: Scores) -> float:
    return float(values @ values)


def _bic(squares: float, total: float, points: int, parameters: int) -> float:
    # A perfect fit would give minus infinity; below a 1e-12 share of the total it is rounding anyway.
    share = max(squares, 1e-12 * total, np.finfo(float).tiny)
    return points * math.log(share / points) + parameters * math.log(points)


def spread(values: ArrayLike, slots: int) -> Scores:
    """Values [seeds, items] over at least as many slots: same mean, and the same variance of that mean.

    So tables of different items can be subtracted. The slots without an item hold the seed's mean; the deviations of
    the others grow by slots / items to make up.

    Raises:
        ValueError: fewer slots than items.
    """
    scores = _table("values", values)
    items = scores.shape[1]
    if items > slots:
        raise ValueError(f"{items} items do not fit into {slots} slots")
    middle = scores.mean(axis=1, keepdims=True)
    table = np.repeat(middle, slots, axis=1)
    table[:, :items] += (scores - middle) * slots / items
    return table


def crossing(tokens: Sequence[float], scores: Sequence[float], level: float) -> float:
    """Tokens at which a learning curve first reaches `level`, by a straight line between log tokens.

    tokens: positive and increasing. `tokens[0]` means that the smallest budget reaches the level already (the true
    crossing is there or below); inf means that no budget does.
    """
    x, y = _points("tokens", tokens, "scores", scores)
    if x[0] <= 0 or (np.diff(x) <= 0).any():
        raise ValueError(f"tokens must be positive and increasing, got {x.tolist()}")
    reached = np.flatnonzero(y >= level)
    if len(reached) == 0:
        return math.inf
    first = int(reached[0])
    if first == 0:
        return float(x[0])
    share = (level - y[first - 1]) / (y[first] - y[first - 1])
    return float(math.exp(math.log(x[first - 1]) + share * math.log(x[first] / x[first - 1])))


def interpolate(curve: Mapping[int, ArrayLike], tokens: float) -> Scores:
    """Scores [seeds, items] of a learning curve at a budget between its own, linear in log tokens, item by item.

    Raises ValueError outside the budgets of the curve: nothing is extrapolated.
    """
    budgets = sorted(curve)
    if not budgets or not budgets[0] <= tokens <= budgets[-1]:
        raise ValueError(f"tokens {tokens:g} lie outside the measured budgets {budgets}")
    upper = next(budget for budget in budgets if budget >= tokens)
    lower = max((budget for budget in budgets if budget < tokens), default=upper)
    above, below = _table(f"curve[{upper}]", curve[upper]), _table(f"curve[{lower}]", curve[lower])
    if upper == lower:
        return above
    share = math.log(tokens / lower) / math.log(upper / lower)
    return (1 - share) * below + share * above


def token_saving(
    baseline: Mapping[int, ArrayLike], tokens: int, scores: ArrayLike, *, confidence: float = 0.95, random_seed: int = 0
) -> Saving:
    """Tokens the baseline needs to match `scores`, divided by the `tokens` that `scores` took.

    baseline: task tokens -> scores [seeds, items]; `scores` has the same seeds and items. The estimate is the crossing
    of the mean curve. The interval holds every factor at which the paired, bootstrapped difference between `scores` and
    the interpolated baseline has zero in its interval (a test turned round, as Fieller's interval of a ratio). It ends
    at 0 or inf where the smallest or largest budget cannot be told apart: beyond the measured budgets nothing is known.
    """
    budgets = sorted(baseline)
    target = _table("scores", scores)
    curve = {budget: _matching(f"baseline[{budget}]", baseline[budget], target) for budget in budgets}
    means = [float(curve[budget].mean()) for budget in budgets]
    found = crossing(budgets, means, float(target.mean()))
    steps = math.ceil(POINTS_PER_DECADE * math.log10(budgets[-1] / budgets[0])) + 1
    grid = sorted({*np.geomspace(budgets[0], budgets[-1], steps).clip(budgets[0], budgets[-1]).tolist(), *budgets})
    how = _Resampling(4000, confidence, random_seed)
    gaps = [_effect(target - interpolate(curve, point), how).interval for point in grid]
    alike = [point for point, (low, high) in zip(grid, gaps, strict=True) if low <= 0 <= high]
    return _saving(found, alike, (grid[0], grid[-1]), tokens, confidence)


def _saving(found: float, alike: list[float], ends: Interval, tokens: int, confidence: float) -> Saving:
    first, last = ends
    bounded: Literal["exact", "at least", "at most"]
    if math.isinf(found):
        low, high, middle, bounded = min(alike, default=last), math.inf, last, "at least"
    elif found <= first:
        low, high, middle, bounded = 0.0, max(alike, default=first), first, "at most"
    else:
        low, high, middle, bounded = min([found, *alike]), max([found, *alike]), found, "exact"
    low = 0.0 if first in alike else low
    high = math.inf if last in alike else high
    return Saving(middle / tokens, (low / tokens, high / tokens), bounded, confidence)


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


def _matching(name: str, values: ArrayLike, target: Scores) -> Scores:
    table = _table(name, values)
    if table.shape != target.shape:
        raise ValueError(f"{name} has shape {list(table.shape)}, scores have {list(target.shape)}")
    return table


def _points(x_name: str, x: Sequence[float], y_name: str, y: Sequence[float]) -> tuple[Scores, Scores]:
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape or len(left) == 0:
        raise ValueError(f"{x_name} and {y_name} must be as long as each other, got {left.shape} and {right.shape}")
    for name, values in ((x_name, left), (y_name, right)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: entry {int(np.argmin(np.isfinite(values)))} is not finite")
    return left, right
