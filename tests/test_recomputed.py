"""Six verdicts again, from the published files alone: pandas reads them, numpy does the rest.

Of the package only the decisions to compare with are taken, and from its tasks who a test item is about: a person
counts as one unit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lowres import registry
from lowres.claims import rulebook
from lowres.data import load_task

RESULTS = Path(__file__).parent.parent / "results"
SEEDS = range(10, 20)
SHORT = ("world-told-relation", "world-correction", "world-less")
CHOICE = ("world-told-relation", "world-less", "world-length", "world-place")
SIZED = ("world-told-relation", "world-correction", "world-telling-1", "world-telling-4")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """The newest record of every trial on test items."""
    table = pd.read_parquet(RESULTS / "loreft")
    table = table[(table["split"] == "test") & (table["version"] == table["version"].max())]
    return table.sort_values("date").drop_duplicates("key", keep="last")


def scores(rows: pd.DataFrame, task: str, arm: str, model: str, measure: str = "") -> np.ndarray:
    """Scores [seeds, persons] of an arm."""
    loaded, found, budget = load_task(task), [], 7_000 if task == "world-telling-4" else 4_000
    own = rows[(rows["task"] == task) & (rows["arm"] == arm) & (rows["task_tokens"] == budget)]
    for seed in SEEDS:
        (record,) = own[(own["seed"] == seed) & (own["model"] == f"{model}@{seed}")]["outcomes"]
        (values,) = (one for one in record if (one["where"], one["measure"]) == ("task", measure or loaded.metric))
        numbers = next(values[kind] for kind in ("bits", "whole", "float32", "float64") if values[kind] is not None)
        persons = [item.group or item.id for item in loaded.test[: len(numbers)]]
        items = pd.Series(np.asarray(numbers, dtype=float))
        sums = (items - items.mean()).groupby(persons, sort=False).sum()  # persons have five or six items
        found.append(items.mean() + sums.to_numpy() * len(sums) / len(items))
    return np.stack(found)


def interval(tables: list[np.ndarray]) -> tuple[float, float, float, float]:
    """Sum of the means of tables [seeds, units], its 95 % interval, and Satterthwaite's degrees of freedom."""
    count = len(SEEDS)
    by_seed = np.sum([table.mean(1) for table in tables], axis=0)
    parts, least = [(by_seed.var(ddof=1) / count, count - 1)], 0.0
    for table in tables:
        units, unit = table.shape[1], table.mean(0)
        left = table - table.mean(1, keepdims=True) - unit + table.mean()
        rest = (left**2).sum() / ((count - 1) * (units - 1))
        least += rest / table.size
        if count * unit.var(ddof=1) > rest:
            parts += [(unit.var(ddof=1) / units, units - 1), (-rest / table.size, (count - 1) * (units - 1))]
    variance = max(sum(part for part, _ in parts), parts[0][0])
    parts[0] = (max(parts[0][0], least), count - 1)
    degrees = max(min(d for part, d in parts if part >= 0), 1 / sum((part / variance) ** 2 / d for part, d in parts))
    half, mean = stats.t.ppf(0.975, degrees) * variance**0.5, float(by_seed.mean())
    return mean, mean - half, mean + half, degrees


def minus(more: str, less: str, model: str = "world-s", sign: int = 1) -> list[tuple[int, str, str]]:
    """Weighted arms of a model."""
    return [(sign, more, model), (-sign, less, model)]


CASES = {  # claim: tasks, what is taken from what, boundary that the interval is held against, measure
    "loreft-1": (SHORT, minus("loreft", "lora"), 0.02, ""),
    "loreft-2": (("world-swap", "world-telling-4"), minus("lora", "loreft"), 0.02, "rouge_l"),
    "loreft-5": (CHOICE, minus("loreft", "lora"), -0.05, ""),
    "loreft-6": ((*SHORT, "world-length"), minus("loreft", "direft"), 0.02, ""),
    "loreft-7": (SHORT, minus("loreft-half-epochs", "lora"), 0.02, ""),
    "loreft-9": (SIZED, minus("lora", "loreft", "world-xs") + minus("lora", "loreft", "world-m", -1), 0.02, ""),
}


@pytest.mark.parametrize("claim", CASES)
def test_a_verdict_comes_out_again(rows: pd.DataFrame, claim: str) -> None:
    tasks, terms, boundary, measure = CASES[claim]
    tables = [sum(w * scores(rows, task, *which, measure) for w, *which in terms) / len(tasks) for task in tasks]
    mean, low, high, degrees = interval(tables)
    found = next(
        one for one in rulebook.decided([registry.load("loreft")]) if (one.claim, one.column) == (claim, "world")
    )
    effect = next(iter(found.effects.values()))
    assert (effect.estimate, *effect.interval, effect.degrees) == pytest.approx((mean, low, high, degrees), abs=1e-6)
    said = next(iter(found.answers.values()))
    beyond = "no" if high < boundary else "unclear"
    assert said == ("yes" if low > boundary else beyond)
