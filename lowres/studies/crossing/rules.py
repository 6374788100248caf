"""Rules for the claims of the crossing, committed before any trial that they judge.

Twelve tasks of known words, those that the other studies take from the world and that have rationales, a rule that
scores 1 and more than 4,000 tokens. For four of them a beta can be asked for the steps. Where nothing else is said, a
rule is about the mean over tasks, budgets and three tuners.
"""

from __future__ import annotations

from collections.abc import Sequence

from lowres.claims import Rule
from lowres.outcomes import Cell
from lowres.rules import LOSS, Asked, ColumnName, Contrast, SecondRule
from lowres.studies.crossing.arms import REAL_PROBES, WORLD_PROBES
from lowres.studies.crossing.measures import GAIN, KEEP, REGRET, TRANSFER
from lowres.studies.crossing.params import REAL_TASKS

ASKED_TASKS = ("world-form", "world-correction", "world-relations", "world-explanation")
READ_TASKS = (
    *("world-reverse", "world-place", "world-length", "world-sort", "world-less"),
    *("world-evidence", "world-told-relation", "world-swap"),
)
BUDGETS, REAL_BUDGETS, TUNERS = (250, 1_000, 4_000), (1_000,), ("full", "lora", "loreft")
MODEL, REAL_MODEL = "world-s", "smollm2-135m-instruct"
ASKED_PLACES = tuple({"model": MODEL, "task": task} for task in ASKED_TASKS)
WORLD = (*ASKED_PLACES, *({"model": MODEL, "task": task} for task in READ_TASKS))
REAL = tuple({"model": REAL_MODEL, "task": task} for task in REAL_TASKS)
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


AT_EQUAL_UPDATES = {"tell": 1.0, "sft-equal-steps": -1.0}
# Standard deviations between seeds, units and the rest: of one task's utility between two arms (a task counts as one
# unit, and what is left of it is in the seeds), of differences of scores as in the other studies, and of losses.
UTILITIES, SCORES, LOSSES = (0.1, 0.08, 0.0), (0.06, 0.05, 0.2), (0.045, 0.1, 0.3)
REAL_SCORES, REAL_LOSSES = (0.03, 0.1, 0.3), (0.03, 0.3, 0.3)
PERSONS, REAL_ITEMS = "all 432 test items of each task by person", "300 test items"
PROBED, REAL_PROBED = "144 items of each of four probes", "200 items of each of two probes"


def _world(part: Contrast, noise: tuple[float, float, float] = SCORES, **more: object) -> Asked:
    usual = {"places": WORLD, "units": 60, "items": PERSONS, "matters": 0.03}
    return Asked(parts=(part,), seeds=10, noise=noise, **{**usual, **more})  # type: ignore[arg-type]


def _real(part: Contrast, noise: tuple[float, float, float], items: str, units: int) -> Asked:
    return Asked((part,), REAL, 3, units, items, 0.08, noise)


def _both(world: Asked | str, real: Asked | str) -> dict[ColumnName, Asked | str]:
    return {"world": world, "real": real}


NO_RATIONALES = "none of the four real tasks comes with rationales, and SmolLM2's own are at chance"
FIRST = "There was none: the study is new."

RULES = (
    SecondRule(
        "crossing-1",
        FIRST,
        _both(
            _world(
                Contrast(
                    "regret of the guide - of the best single arm",
                    tuple((KEEP, {"task_tokens": tokens}) for tokens in BUDGETS),
                    Rule("below", -MARGIN),
                    REGRET,
                ),
                UTILITIES,
                units=1,
                items="a task is a unit: what is asked is about a new one",
                matters=0.08,
            ),
            "four tasks are too few to fit a guide on three of them",
        ),
    ),
    SecondRule(
        "crossing-2",
        FIRST,
        _both(
            _world(
                Contrast(
                    "loss, TELL - SFT of equal updates",
                    mean(AT_EQUAL_UPDATES),
                    Rule("below", -INSURED),
                    LOSS,
                    probes=WORLD_PROBES,
                ),
                LOSSES,
                units=576,
                items=PROBED,
            ),
            _real(
                Contrast(
                    "loss, TELL - SFT of equal updates",
                    mean(AT_EQUAL_UPDATES, REAL_BUDGETS),
                    Rule("below", -INSURED),
                    LOSS,
                    probes=REAL_PROBES,
                ),
                REAL_LOSSES,
                REAL_PROBED,
                400,
            ),
        ),
    ),
    SecondRule(
        "crossing-3",
        FIRST,
        _both(
            _world(Contrast("gain, TELL - SFT of equal updates", mean(AT_EQUAL_UPDATES), Rule("above", MARGIN), GAIN)),
            _real(
                Contrast(
                    "gain, TELL - SFT of equal updates",
                    mean(AT_EQUAL_UPDATES, REAL_BUDGETS),
                    Rule("above", MARGIN),
                    GAIN,
                ),
                REAL_SCORES,
                REAL_ITEMS,
                300,
            ),
        ),
    ),
    SecondRule(
        "crossing-4",
        FIRST,
        _both(
            _world(
                Contrast(
                    "gain by its own rationale, LoReFT - LoRA",
                    mean({"fiat-own": 1.0, "sft": -1.0}, tuners=("loreft",))
                    + mean({"fiat-own": -1.0, "sft": 1.0}, tuners=("lora",)),
                    Rule("below", -MARGIN),
                    GAIN,
                )
            ),
            NO_RATIONALES,
        ),
    ),
    SecondRule(
        "crossing-5",
        FIRST,
        _both(
            _world(
                Contrast(
                    "gain, TELL+FIAT - TELL - FIAT + SFT",
                    mean({"tell+fiat": 1.0, "tell": -1.0, "fiat": -1.0, "sft": 1.0}),
                    Rule("within", ADDITIVE),
                    GAIN,
                ),
                places=ASKED_PLACES,
                matters=0.05,
            ),
            NO_RATIONALES,
        ),
    ),
    SecondRule(
        "crossing-6",
        FIRST,
        _both(
            "it is about real tasks; in the world it is crossing-1",
            _real(
                Contrast(
                    "regret of the world's guide - of always LoRA",
                    ((1.0, cell("sft", "lora", REAL_BUDGETS[0])),),
                    Rule("below", MARGIN),
                    TRANSFER,
                ),
                REAL_SCORES,
                f"{REAL_ITEMS}, {REAL_PROBED}",
                300,
            ),
        ),
    ),
)
