"""Rules for the claims of the crossing, committed before any trial that they judge.

Twelve tasks of known words, those that the other studies take from the world and that have rationales, a rule that
scores 1 and more than 4,000 tokens. For four of them a beta can be asked for the steps. Where nothing else is said, a
rule is about the mean over tasks, budgets and three tuners.
"""

from __future__ import annotations

from collections.abc import Sequence

from lowres.claims import Rule
from lowres.claims.rules import LOSS, Asked, Contrast, SecondRule
from lowres.outcomes import Cell
from lowres.studies.crossing.arms import REAL_PROBES, WORLD_PROBES
from lowres.studies.crossing.measures import GAIN, KEEP, REGRET, TRANSFER
from lowres.studies.crossing.places import ASKED_PLACES, BUDGETS, REAL, REAL_BUDGETS, TUNERS, WORLD

MARGIN, INSURED, ADDITIVE = 0.02, 0.05, 0.05
Terms = tuple[tuple[float, Cell], ...]


def cell(recipe: str, tuner: str, tokens: int) -> Cell:
    """An arm at a budget."""
    return {"arm": f"{recipe} {tuner}", "task_tokens": tokens}


def mean(
    weights: dict[str, float], budgets: Sequence[int] = BUDGETS, tuners: Sequence[str] = TUNERS, share: float = 1.0
) -> Terms:
    """Weighted recipes, mean over budgets and tuners."""
    count = len(budgets) * len(tuners)
    return tuple(
        (share * weight / count, cell(recipe, tuner, tokens))
        for recipe, weight in weights.items()
        for tokens in budgets
        for tuner in tuners
    )


UPDATES = {"tell": 1.0, "sft-equal-steps": -1.0}  # tell against as many updates
FUSED = {"tell+fiat": 1.0, "tell": -1.0, "fiat": -1.0, "sft": 1.0}
UNDER_LOREFT = mean({"fiat-own": 1.0, "sft": -1.0}, tuners=("loreft",))
UNDER_LORA = mean({"fiat-own": 1.0, "sft": -1.0}, tuners=("lora",), share=-1.0)
KEPT = tuple((KEEP, {"task_tokens": tokens}) for tokens in BUDGETS)
# Standard deviations between seeds, units and the rest: of one task's utility between two arms (a task counts as one
# unit, and what is left of it is in the seeds), of differences of scores as in the other studies, and of losses.
UTILITIES, SCORES, LOSSES = (0.1, 0.08, 0.0), (0.06, 0.05, 0.2), (0.045, 0.1, 0.3)
REAL_SCORES, REAL_LOSSES = (0.03, 0.1, 0.3), (0.03, 0.3, 0.3)
SEEDS = 10  # planned
PERSONS, PROBED = "all 432 test items of each task by person", "144 items of each of four probes"
REAL_ITEMS, REAL_PROBED = "300 test items", "200 items of each of two probes"
ABOVE, BELOW, INSURANCE = Rule("above", MARGIN), Rule("below", -MARGIN), Rule("below", -INSURED)
Noise = tuple[float, float, float]


def _world(
    part: Contrast, noise: Noise = SCORES, matters: float = 0.03, units: int = 60, items: str = PERSONS
) -> Asked:
    return Asked((part,), part.at or WORLD, SEEDS, units, items, matters, noise)


def _real(part: Contrast, noise: Noise = REAL_SCORES, units: int = 300, items: str = REAL_ITEMS) -> Asked:
    return Asked((part,), REAL, 3, units, items, 0.08, noise)


def _rule(claim: str, world: Asked | str, real: Asked | str) -> SecondRule:
    return SecondRule(claim, "There was none: the study is new.", {"world": world, "real": real})


def _insured(budgets: Sequence[int], probes: tuple[str, ...]) -> Contrast:
    return Contrast("loss, TELL - SFT of equal updates", mean(UPDATES, budgets), INSURANCE, LOSS, probes=probes)


def _leverage(budgets: Sequence[int]) -> Contrast:
    return Contrast("gain, TELL - SFT of equal updates", mean(UPDATES, budgets), ABOVE, GAIN)


NO_RATIONALES = "none of the four real tasks comes with rationales, and SmolLM2's own are at chance"
LEAD = Contrast("regret of the guide - of the best single arm", KEPT, BELOW, REGRET)
LESS = Contrast("gain by the task's own rationale, LoReFT - LoRA", UNDER_LOREFT + UNDER_LORA, BELOW, GAIN)
SUM = Contrast("gain, TELL+FIAT - TELL - FIAT + SFT", mean(FUSED), Rule("within", ADDITIVE), GAIN, at=ASKED_PLACES)
LORA = ((1.0, cell("sft", "lora", REAL_BUDGETS[0])),)
TRANSFERRED = Contrast("regret of the world's guide - of always LoRA", LORA, Rule("below", MARGIN), TRANSFER)

RULES = (
    _rule(
        "crossing-1",
        _world(LEAD, UTILITIES, 0.08, 1, "a task is a unit: what is asked is about a new one"),
        "four tasks are too few to fit a guide on three of them",
    ),
    _rule(
        "crossing-2",
        _world(_insured(BUDGETS, WORLD_PROBES), LOSSES, units=576, items=PROBED),
        _real(_insured(REAL_BUDGETS, REAL_PROBES), REAL_LOSSES, 400, REAL_PROBED),
    ),
    _rule("crossing-3", _world(_leverage(BUDGETS)), _real(_leverage(REAL_BUDGETS))),
    _rule("crossing-4", _world(LESS), NO_RATIONALES),
    _rule("crossing-5", _world(SUM, matters=0.05), NO_RATIONALES),
    _rule(
        "crossing-6",
        "it is about real tasks; in the world it is crossing-1",
        _real(TRANSFERRED, items=f"{REAL_ITEMS}, {REAL_PROBED}"),
    ),
)
