"""Rules of the second edition for TELL's claims, committed before any trial that they judge.

Two budgets are averaged where the paper names none: SMALL, in the world some fifteen entries as in the paper's smallest
setting, and LARGER. Ratio 4 is the study's usual one. The world's tasks use known words only; their general data are
the text that its models were pretrained on, so gains through what is kept are an upper bound there.
"""

from __future__ import annotations

from lowres.claims import Rule
from lowres.claims.rules import Asked, ColumnName, Contrast, SecondRule
from lowres.outcomes import Cell
from lowres.studies.tell.claims import MARGIN

WORLD_TASKS = ("world-reverse", "world-sort", "world-evidence", "world-form")  # lists, numbers, reading, facts
REAL_TASKS = ("wiki-description", "wiki-topic")
SMALL, LARGER, LARGEST, RATIO = 250, 1_000, 100_000, 4.0
REAL_BUDGET = 1_000
WORLD = tuple({"model": "world-s", "task": task} for task in WORLD_TASKS)
SIZES = tuple({"model": model, "task": task} for model in ("world-xs", "world-s", "world-m") for task in WORLD_TASKS)
REAL = tuple({"model": "smollm2-135m-instruct", "task": task} for task in REAL_TASKS)
ABOVE, NOT_WORSE, ALIKE = Rule("above", MARGIN), Rule("above", -MARGIN), Rule("within", MARGIN)


def tell(tokens: int, ratio: float = RATIO, arm: str = "tell", **more: str) -> Cell:
    """An arm that mixes, at a budget and a ratio; hand-written anchor and usual pool unless said otherwise."""
    usual = {"anchor": "none" if arm == "tell-no-anchor" else "hand-written", "general": "usual"}
    return {"arm": arm, "task_tokens": tokens, "ratio": ratio, **usual, **more}


def sft(tokens: int, arm: str = "sft") -> Cell:
    """An arm of task data alone."""
    return {"arm": arm, "task_tokens": tokens, "general_tokens": 0}


def alone(tokens: int) -> Cell:
    """The general data of tell at a budget, and nothing else."""
    return {"arm": "general-only", "general_tokens": round(tokens * RATIO)}


def minus_over(name: str, *pairs: tuple[Cell, Cell], rule: Rule = ABOVE) -> Contrast:
    """The mean over pairs (budgets) of the first minus the second."""
    terms = [(sign / len(pairs), cell) for pair in pairs for sign, cell in zip((1.0, -1.0), pair, strict=True)]
    return Contrast(name, tuple(terms), rule)


def _minus(name: str, rule: Rule, *pairs: tuple[Cell, Cell]) -> Contrast:
    return minus_over(name, *pairs, rule=rule)


def _at(budgets: tuple[int, ...], name: str, rule: Rule, less: str) -> Contrast:
    """Tell minus an arm that has no general data, mean over budgets."""
    return _minus(name, rule, *((tell(tokens), sft(tokens, less)) for tokens in budgets))


# Standard deviations of a difference between two arms, between seeds, units and the rest: in the world of LoReFT's and
# FIAT's contrasts (a person counts as one unit), on real data of TELL's own, an item of which is a unit.
WORLD_NOISE, REAL_NOISE = (0.06, 0.05, 0.2), (0.02, 0.1, 0.23)
MATTERS = 0.05
Parts = tuple[Contrast, ...]


def _world(parts: Parts, places: tuple[Cell, ...] = WORLD) -> Asked:
    return Asked(parts, places, 10, 60, "all test items, by person", MATTERS, WORLD_NOISE)


def _real(parts: Parts, seeds: int = 4) -> Asked:
    return Asked(parts, REAL, seeds, 400, "all test items (492 of wiki-description)", MATTERS, REAL_NOISE)


def _two(world: Parts, real: Parts) -> dict[ColumnName, Asked | str]:
    """Both columns with the usual places."""
    return {"world": _world(world), "real": _real(real)}


BOTH = (SMALL, LARGER)
ONE = (REAL_BUDGET,)


def _ten_times(budget: int) -> tuple[Contrast, ...]:
    return (
        _minus("SFT - untouched", Rule("below", MARGIN), (sft(budget), {"arm": "untouched"})),
        _minus("TELL - untouched", ABOVE, (tell(budget), {"arm": "untouched"})),
        _minus("TELL - SFT with ten times the data", NOT_WORSE, (tell(budget), sft(10 * budget))),
    )


def _ingredients(budgets: tuple[int, ...]) -> tuple[Contrast, ...]:
    return (
        _at(budgets, "TELL - SFT+anchor", ABOVE, "sft+anchor"),
        _minus("TELL - TELL without anchor", ABOVE, *((tell(t), tell(t, arm="tell-no-anchor")) for t in budgets)),
        _minus("TELL - general data alone", ABOVE, *((tell(t), alone(t)) for t in budgets)),
    )


def _written(tokens: int) -> Cell:
    """Tell behind an anchor that the model wrote."""
    return tell(tokens, anchor="model-written")


def _order(budgets: tuple[int, ...]) -> Contrast:
    terms: list[tuple[float, Cell]] = []
    for tokens in budgets:
        terms.append((1.0 / len(budgets), tell(tokens)))
        terms += [(-0.5 / len(budgets), tell(tokens, arm=arm)) for arm in ("tell-task-first", "tell-task-last")]
    return Contrast("TELL - mean of the two orders", tuple(terms), ABOVE)


def _convex(budgets: tuple[int, ...]) -> Contrast:
    """Later growth of general data gains more than earlier growth: flat first, then a rise."""
    late_and_early = ((1.0, 16.0), (-1.0, 4.0), (-1.0, 2.0), (1.0, 0.0))
    terms = [(sign / len(budgets), tell(tokens, ratio)) for tokens in budgets for sign, ratio in late_and_early]
    return Contrast("gain from ratio 4 to 16 - gain from ratio 0 to 2", tuple(terms), ABOVE)


def _prerequisite() -> Contrast:
    """What a model that never met two-hop questions gains from general data with them over general data without."""
    place = {"model": "world-s-without-two-hop", "task": "world-two-hop"}
    pools = ((1.0, "usual"), (-1.0, "without-two-hop"))
    terms = tuple((weight, tell(LARGER, 16.0, general=pool)) for weight, pool in pools)
    return Contrast("general data with the prerequisite - without it", terms, ABOVE, at=(place,))


# With nothing mixed in, and at one rate, both are the same trial, recorded under the name of whichever came first.
SAME = {"sft+anchor": ("tell", {"general_tokens": 0}), "tell": ("sft+anchor", {"general_tokens": 0})}

RULES = (
    SecondRule(
        "tell-1",
        "60 of 492 test items; SFT at ten times the data used a rate tuned at a tenth of it; one task.",
        _two(_ten_times(SMALL), _ten_times(REAL_BUDGET)),
    ),
    SecondRule(
        "tell-2",
        "No budget of 100,000 tokens was run.",
        _two(
            (_at((LARGEST,), "TELL - SFT at 100,000 tokens", ABOVE, "sft"),),
            (_at((LARGEST,), "TELL - SFT at 100,000 tokens", ABOVE, "sft"),),
        ),
    ),
    SecondRule(
        "tell-3",
        "An interval of a ratio of tokens, read off a curve of four budgets; a saving of exactly five was its "
        "boundary, with no margin on either side. Now: TELL is no worse than SFT with five times the task data.",
        _two(
            (_minus("TELL - SFT with five times the data", NOT_WORSE, *((tell(t), sft(5 * t)) for t in BOTH)),),
            (_minus("TELL - SFT with five times the data", NOT_WORSE, *((tell(t), sft(5 * t)) for t in ONE)),),
        ),
    ),
    SecondRule("tell-4", "60 test items left two of three parts unclear.", _two(_ingredients(BOTH), _ingredients(ONE))),
    SecondRule(
        "tell-5",
        "Eight means of one seed each would have been fitted by a line or a jump, and BIC has no margin. Now: the rise "
        "comes late, measured per seed and item.",
        _two((_convex(BOTH),), (_convex(ONE),)),
    ),
    SecondRule(
        "tell-6",
        "Not run; both orders had to lose, each by the margin. Now their mean, and in the world the other half of the "
        "argument: general data without the prerequisite of a task must not help as much as data with it.",
        _two((_order(BOTH), _prerequisite()), (_order(ONE),)),
    ),
    SecondRule(
        "tell-7",
        "Had no rule. Now: an anchor that the model writes itself is as good as the hand-written one.",
        {
            "world": "the world's models cannot write an instruction: they have no text that describes a task",
            "real": _real((_minus("model-written - hand-written", ALIKE, *((_written(t), tell(t)) for t in ONE)),), 5),
        },
    ),
    SecondRule(
        "tell-8",
        "Had no rule. Now: the gain over SFT with the anchor, averaged over three sizes and four tasks; what differs "
        "between them is shown as a prediction interval, not demanded of each.",
        {
            "world": _world((_at(BOTH, "TELL - SFT+anchor over sizes and tasks", ABOVE, "sft+anchor"),), SIZES),
            "real": "one real model runs without a network: several take the tier gpu",
        },
    ),
    SecondRule(
        "tell-9",
        "60 test items; equal updates alone leave open whether more tokens would do. Now both controls.",
        _two(
            (
                _at(BOTH, "TELL - SFT of equal updates", ABOVE, "sft-equal-steps"),
                _at(BOTH, "TELL - SFT of equal tokens", ABOVE, "sft-equal-tokens"),
            ),
            (
                _at(ONE, "TELL - SFT of equal updates", ABOVE, "sft-equal-steps"),
                _at(ONE, "TELL - SFT of equal tokens", ABOVE, "sft-equal-tokens"),
            ),
        ),
    ),
)
