"""A fifth study, as CONTRIBUTING tells to add one: does LoRA of rank 4 learn more than LoRA of rank 1?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lowres.claims import Claim, Deviation
from lowres.optimisation import Optimisation
from lowres.params import parameter
from lowres.studies import TIERS, by_tier
from lowres.trial import Evaluation, Recipe, Record, Trial
from lowres.tuners import LoRA, Tuner

TITLE = "Rank: does more of it learn more?"
NOTEBOOK = "notebooks/05_rank.ipynb"
CLAIMS = (Claim("fifth-1", "Rank 4 learns more than rank 1.", "no paper", "nothing"),)
DEVIATIONS = (Deviation("a large model", "a tiny one", "none that is known"),)
ARMS: dict[str, Tuner | None] = {"untouched": None, "rank-1": LoRA(rank=1), "rank-4": LoRA(rank=4)}


@dataclass(frozen=True)
class Params:
    """One run of the study. None means: as the tier says."""

    tier: str = parameter("laptop", "how much is run", choices=TIERS)
    model: str = parameter("world-s", "a model by name")
    task: str = parameter("world-sort", "a task by name")
    seeds: tuple[int, ...] | None = parameter(None, "seeds", low=0, tiers=by_tier((0,), (0, 1), (0, 1), (0, 1)))


def tuning(params: Params) -> list[Trial]:
    """One rate for all arms: nothing to choose."""
    return []


def trials(params: Params, tuned: Sequence[Record] = ()) -> list[Trial]:
    """Every arm with every seed."""
    return [
        Trial(
            study="fifth",
            arm=arm,
            model=params.model,
            task=params.task,
            recipe=Recipe(task_tokens=120 if tuner else 0),
            tuner=tuner,
            optimisation=Optimisation(1e-2, epochs=1, batch_size=4) if tuner else None,
            evaluation=Evaluation(items=6),
            seed=seed,
        )
        for arm, tuner in ARMS.items()
        for seed in ((params.seeds or ()) if tuner else (0,))
    ]
