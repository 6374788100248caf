"""The interval that decides: a two-way analysis of variance in which what is left over counts once.

An effect is a sum of terms, each a table [seeds, items] of its own items: a difference of two arms on one task, the
mean of such differences over tasks, a difference of differences. Seeds are the same in all terms and items are not, so

    d_k[s, i] = effect_k + seed_k[s] + item_k[i] + rest_k[s, i],      effect = sum over k of effect_k

and with S seeds, I_k items in term k, and mean squares of a two-way table without replicates

    V = var(sum over k of the seed means of d_k) / S + sum over k of (MS_items_k - MS_rest_k) / (S I_k).

The first part has the variance between seeds and the rest in it, the second what items add (Searle, Casella and
McCulloch 1992, chapter 4). The degrees of freedom are Satterthwaite's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lowres.stats import Components, Effect, Undetermined

Scores = NDArray[np.float64]
FEWEST_SEEDS = 3  # below, the spread between seeds is not known well enough to decide anything


def anova_effect(terms: Sequence[ArrayLike], confidence: float = 0.95) -> Effect:
    """The sum of the terms' means with its interval; every term is a table [seeds, its own items] of the same seeds.

    Raises:
        ValueError: no term, tables that are not two-dimensional or not finite, or that differ in their seeds.
    """
    tables = [_table(index, values) for index, values in enumerate(terms)]
    if len({len(table) for table in tables}) != 1:
        raise ValueError(f"terms with {[len(table) for table in tables]} seeds: there must be terms, of the same seeds")
    seeds, items = len(tables[0]), sum(table.shape[1] for table in tables)
    if seeds == 1:
        return _of_one_seed(tables, confidence)
    by_seed = np.sum([table.mean(axis=1) for table in tables], axis=0)
    estimate, spread = float(by_seed.mean()), float(by_seed.var(ddof=1)) / seeds
    parts = [(spread, seeds - 1)]
    for table in tables:
        parts += _item_parts(table)
    total = max(sum(part for part, _ in parts), spread)
    # Seeds vary at least by the rest. A spread below that is luck, which three seeds often have, and must not buy
    # degrees of freedom from the items.
    least = sum(_rest(table) / table.size for table in tables if table.shape[1] > 1)
    degrees = _satterthwaite(total, [(max(spread, least), seeds - 1), *parts[1:]])
    return _effect(estimate, total, degrees, (seeds, items), confidence, _components(tables, spread))


def _item_parts(table: Scores) -> list[tuple[float, int]]:
    """What the items of a term add to the variance of its mean, and the rest that is taken off again, with degrees."""
    seeds, items = table.shape
    if items == 1:
        return []
    rest, degrees = _rest(table), (seeds - 1) * (items - 1)
    between = seeds * float(table.mean(axis=0).var(ddof=1))  # mean square of the items
    if between <= rest:  # items that differ by less than chance would make them add nothing
        return []
    return [(between / (seeds * items), items - 1), (-rest / (seeds * items), degrees)]


def _rest(table: Scores) -> float:
    """Mean square of what neither seed nor item explains."""
    seeds, items = table.shape
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    return float((left**2).sum()) / ((seeds - 1) * (items - 1))


def _satterthwaite(total: float, parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of independent mean squares: total^2 / sum of part^2 / degrees.

    Never fewer than the fewest of a part that is added: taking a part off (the rest, where it would count twice) can
    leave a total so small that the quotient falls below one, which no sum of squares has.
    """
    fewest = min(degrees for part, degrees in parts if part >= 0)
    if total == 0:
        return float(fewest)
    return max(float(fewest), 1 / sum((part / total) ** 2 / degrees for part, degrees in parts))


def _effect(
    estimate: float, variance: float, degrees: float, shape: tuple[int, int], confidence: float, parts: Components
) -> Effect:
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(degrees, (1 + confidence) / 2)) * math.sqrt(variance)
    distance = abs(estimate) / math.sqrt(variance) if variance else math.inf
    p_value = float(2 * stdtr(degrees, -distance)) if variance or estimate else 1.0
    return Effect(
        estimate=estimate,
        interval=(estimate - half, estimate + half),
        p_value=p_value,
        seeds=shape[0],
        items=shape[1],
        confidence=confidence,
        degrees=degrees,
        components=parts,
    )


def _of_one_seed(tables: Sequence[Scores], confidence: float) -> Effect:
    """One seed tells nothing about seeds: the interval is that of the items alone, and decides nothing."""
    estimate = float(sum(table.mean() for table in tables))
    parts = [(float(table.var(ddof=1)) / table.size, table.size - 1) for table in tables if table.size > 1]
    if not parts:
        raise Undetermined("one seed and one item: a single number has no interval")
    total = sum(part for part, _ in parts)
    components = Components(math.nan, float(np.mean([part * (degrees + 1) for part, degrees in parts])), 0.0)
    shape = (1, sum(table.size for table in tables))
    return _effect(estimate, total, _satterthwaite(total, parts), shape, confidence, components)


def _components(tables: Sequence[Scores], spread: float) -> Components:
    """Variance between seeds, between items and of the rest, of the mean over terms taken as one table."""
    seeds = len(tables[0])
    rest = [_rest(table) if table.shape[1] > 1 else 0.0 for table in tables]
    share = sum(r / (seeds * table.shape[1]) for r, table in zip(rest, tables, strict=True))
    items = sum(table.shape[1] for table in tables)
    added = sum(max(0.0, sum(part for part, _ in _item_parts(table))) for table in tables)
    return Components(max(0.0, (spread - share) * seeds), added * items, share * seeds * items)


def _table(index: int, values: ArrayLike) -> Scores:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"term {index} has shape {list(table.shape)}, expected [seeds, items], one of each at least")
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        raise ValueError(f"term {index}: seed {wrong[0][0]}, item {wrong[0][1]} is {table[tuple(wrong[0])]}")
    return table


# --- what is no plain difference -------------------------------------------------------------------------------------


def retained(
    before: Mapping[str, ArrayLike], after: Mapping[str, ArrayLike], chance: Mapping[str, float]
) -> list[Scores]:
    """Terms whose sum is the chance-corrected loss L = 1 - sum over probes (R - c) / sum over probes (R0 - c).

    R and R0 are mean scores on a probe after and before, c that of guessing; a ratio of sums has no denominator near
    zero as long as the probes together are above chance. Items enter by the first-order expansion of the ratio:

        dL = -dR / B + A dR0 / B^2,      A = sum (R - c),  B = sum (R0 - c),  both per seed.

    Args:
        before, after: probe -> scores [seeds, items], the same seeds and items; `before` may have one seed.
        chance: probe -> score of guessing.

    Raises:
        ValueError: the probes differ, or start at or below chance together.
    """
    if not before or set(before) != set(after):
        raise ValueError(f"probes before {sorted(before)} and after {sorted(after)}: the same are needed, one at least")
    later = {name: np.asarray(after[name], dtype=np.float64) for name in sorted(after)}
    start = {name: np.broadcast_to(np.asarray(before[name], dtype=np.float64), later[name].shape) for name in later}
    kept = sum(table.mean(1, keepdims=True) - chance[name] for name, table in later.items())  # A, [seeds, 1]
    had = sum(table.mean(1, keepdims=True) - chance[name] for name, table in start.items())  # B, [seeds, 1]
    if not (np.asarray(had) > 0).all():
        raise Undetermined(f"probes {sorted(before)} start at or below chance together: there is nothing to lose")
    loss = 1 - kept / had

    def around(table: Scores) -> Scores:
        return table - table.mean(1, keepdims=True)

    share = loss / len(later)
    return [np.asarray(share - around(later[name]) / had + kept * around(start[name]) / had**2) for name in later]
