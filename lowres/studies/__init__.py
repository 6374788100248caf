"""The studies, each a package of its own (see `lowres.registry`), and what several of them have in common."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from lowres.rates import TUNING_SEED, WORLD_SEEDS, grid_of, seeded, task_loss, unseeded
from lowres.rates.harm import Harms, is_control
from lowres.registry import TIERS

if TYPE_CHECKING:
    from lowres.trial import Record, Trial


Group = TypeVar("Group", bound=Hashable)


def by_tier(smoke: object, laptop: object, gpu: object, paper: object) -> dict[str, object]:
    """The value of a parameter at each tier."""
    return dict(zip(TIERS, (smoke, smoke, laptop, gpu, paper), strict=True))


def seeds_in_names(parameter: str, models: Iterable[str]) -> list[str]:
    """What is wrong with models that a parameter names with their seed."""
    named = [model for model in models if unseeded(model) != model]
    return [f"{parameter} must name {model!r} without its seed: seeds says which are run" for model in named]


def reserved_seeds(seeds: Iterable[int]) -> list[str]:
    """What is wrong with seeds that hold one of the tuning."""
    reserved = range(TUNING_SEED, TUNING_SEED + WORLD_SEEDS)
    wrong = f"seeds must not hold {TUNING_SEED} to {reserved[-1]}, seeds of the subsets on which rates are tuned"
    return [wrong] if any(seed in reserved for seed in seeds) else []


def as_tuning(trial: Trial, name: str, seeds: Sequence[int] | None, **measured: int | None) -> Trial:
    """A trial as one that tunes: on validation items and no probes, with the model of the first seed.

    Args:
        name: what it tunes.
        measured: `items`, where other ones than the trial's are measured.
    """
    evaluation = replace(trial.evaluation, split="validation", probes=(), **measured)  # type: ignore[arg-type]
    model = seeded(unseeded(trial.model), min(seeds or (0,)))
    return replace(trial, arm=f"tuning {name}", model=model, evaluation=evaluation)


def best_rates(tuned: Iterable[Record], group: Callable[[Record], Group]) -> dict[Group, float]:
    """The best learning rate of each group of tuning records (see `lowres.rates`); none where every try failed."""
    found: dict[Group, list[Record]] = defaultdict(list)
    tuned = list(tuned)
    for record in tuned:
        if not is_control(record):
            found[group(record)].append(record)
    harms = Harms(tuned)
    grids = {name: grid_of(records, harms) for name, records in found.items()}
    return {name: grid.best for name, grid in grids.items() if math.isfinite(grid.losses[grid.best])}


def tuned_arm(record: Record) -> str:
    """What a tuning record tuned."""
    return record.trial["arm"].removeprefix("tuning ")
