"""Rules of the second edition for FIAT's claims, committed before any trial that they judge.

World: tasks of known words that fine-tuning learns, chosen on validation items of seed 0. Two rest on facts (form,
correction), one on relations. Beta is a world model in context: as it is, asked for one step after the other. Three
betas write, a good one and two whose pretraining was stopped early; where a claim is about rationales it is about
their mean. Learning rates are those of the arms without rationale and instruction, as the ladder has it.

Real: SmolLM2 with descriptions of Spanish articles; the French ones would double the hours. Its own rationales answer
whether fusing beats both paradigms; whether a rationale helps is asked with the good ones that come with the data.
Tasks on which beta is at chance on validation items (PrivacyQA, attribution) are a stratum of their own, which no rule
here averages in.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from lowres.claims import Rule
from lowres.claims.rules import Asked, ColumnName, Contrast, SecondRule
from lowres.outcomes import Cell
from lowres.studies.fiat.claims import MARGIN

TAU, BASE, REAL_TAU = "world-s-instruct", "world-s", "smollm2-135m-instruct"
WRITERS = ("world-m", "world-xs~0.75", "world-xs~0.55")  # in context; from good to poor
FACTS, RELATIONS = ("world-form", "world-correction"), ("world-relations",)
REAL_TASKS = ("wiki-crosslingual-es",)
FEW, MANY = 32, 320  # examples, in the world
SIZES, REAL_SIZES = (FEW, MANY), (100,)
OWN = "own"  # the rationales that come with the data
ABOVE, BELOW, NOT_WORSE = Rule("above", MARGIN), Rule("below", -MARGIN), Rule("above", -MARGIN)

Terms = tuple[tuple[float, Cell], ...]


# --- cells, as means over sizes and writers --------------------------------------------------------------------------


def arm(name: str, sizes: tuple[int, ...] = (), weight: float = 1.0, **more: Hashable) -> Terms:
    """The mean over sizes of an arm that nobody writes for; what is not tuned has no size."""
    cells: list[Cell] = [{"arm": name, "task_examples": size, **more} for size in sizes] or [{"arm": name, **more}]
    return tuple((weight / len(cells), cell) for cell in cells)


def written(name: str, writers: tuple[str, ...], sizes: tuple[int, ...] = (), **more: Hashable) -> Terms:
    """The mean over writers, and sizes, of an arm that uses what they wrote."""
    return tuple(term for writer in writers for term in arm(name, sizes, 1.0 / len(writers), writer=writer, **more))


def raw(name: str, sizes: tuple[int, ...]) -> Terms:
    """The same of an arm that starts from the base model before its instruction tuning."""
    return arm(name, sizes, model=BASE)


def less(terms: Terms) -> Terms:
    """The terms with their signs turned."""
    return tuple((-weight, cell) for weight, cell in terms)


def over(name: str, more: Terms, fewer: Terms, rule: Rule = ABOVE, at: tuple[Cell, ...] = ()) -> Contrast:
    """The first terms minus the second."""
    return Contrast(name, more + less(fewer), rule, at=at)


def _places(model: str, tasks: Iterable[str]) -> tuple[Cell, ...]:
    return tuple({"model": model, "task": task} for task in tasks)


# Standard deviations of a difference between two arms, between seeds, units and the rest: of the first edition's
# contrasts, in the world of two-hop questions, the rest for 6 instead of 16 items a person.
MATTERS, WORLD_NOISE, REAL_NOISE = 0.05, (0.06, 0.07, 0.3), (0.02, 0.15, 0.28)
WORLD, REAL = _places(TAU, FACTS + RELATIONS), _places(REAL_TAU, REAL_TASKS)


Columns = dict[ColumnName, Asked | str]


def _both(world: Contrast | tuple[Contrast, ...] | str, real: Contrast | tuple[Contrast, ...] | str) -> Columns:
    """Both columns with their places; where one cannot be asked, why."""
    worlds, reals = ((one,) if isinstance(one, Contrast) else one for one in (world, real))
    items = "all 432 test items of each task, by person (72 or 86)"
    return {
        "world": worlds if isinstance(worlds, str) else Asked(worlds, WORLD, 10, 72, items, MATTERS, WORLD_NOISE),
        "real": reals
        if isinstance(reals, str)
        else Asked(reals, REAL, 5, 306, "all 306 test items", MATTERS, REAL_NOISE),
    }


NO_BASE = "SmolLM2-135M before its instruction tuning is in no package: takes a model from the Hub"
FIAT, BETA = written("R0", WRITERS, SIZES), written("beta", WRITERS)  # in the world
R1, R2, R3, R4 = arm("R1", SIZES), arm("R2", SIZES), arm("R3", SIZES), raw("R4", SIZES)
REAL_FIAT, REAL_BETA, OWN_FIAT = (
    written("R0", (REAL_TAU,), REAL_SIZES),
    written("beta", (REAL_TAU,)),
    written("R0", (OWN,), REAL_SIZES),
)
REAL_R1, REAL_R2, REAL_R3 = (arm(name, REAL_SIZES) for name in ("R1", "R2", "R3"))
INSTRUCTION = R1 + less(R2)  # what it gives while tuning
BASE_GAIN = {size: arm("R3", (size,)) + less(raw("R4", (size,))) for size in SIZES}  # of an instruction-tuned one

RULES = (
    SecondRule(
        "fiat-1",
        "Each of 17 settings had to be above zero, which no effect of zero can fail; eight people; fine-tuning did not "
        "learn the task; beta had been tuned on worked questions of it. Now means over sizes, tasks and three betas in "
        "context, with the study's margin for zero: less than .02 of a score is nothing that pays for a second model.",
        _both(
            (over("FIAT - beta in context", FIAT, BETA), over("FIAT - fine-tuning (R4)", FIAT, R4)),
            (over("FIAT - beta in context", REAL_FIAT, REAL_BETA), over("FIAT - fine-tuning (R3)", REAL_FIAT, REAL_R3)),
        ),
    ),
    SecondRule(
        "fiat-2",
        "The one task could not be learnt by tuning, so that in context led at every size. Now what has to be known, "
        "with few examples, and what can be learnt, with many; the margin of zero is .02 as elsewhere.",
        _both(
            (
                over("in context - fine-tuning, facts, few examples", BETA, raw("R4", (FEW,)), at=_places(TAU, FACTS)),
                over(
                    "in context - fine-tuning, relations, many examples",
                    BETA,
                    raw("R4", (MANY,)),
                    BELOW,
                    _places(TAU, RELATIONS),
                ),
            ),
            "beta is no larger than tau here, so that in context cannot lead: takes a larger model from the Hub",
        ),
    ),
    SecondRule(
        "fiat-3",
        "Eight people and a task that fine-tuning did not learn; margin zero. Now learnable tasks and .02.",
        _both(
            (
                over("R3 - R4, few examples", BASE_GAIN[FEW], ()),
                over("R3 - R4, few - many examples", BASE_GAIN[FEW], BASE_GAIN[MANY]),
            ),
            NO_BASE,
        ),
    ),
    SecondRule(
        "fiat-4",
        "Each of 14 settings had to be above zero, some of one seed; the world's instruction was in words that no "
        "model knew. Now the mean, in known words, and .02: an instruction that gains less need not be written.",
        _both(over("R1 - R2", R1, R2), over("R1 - R2", REAL_R1, REAL_R2)),
    ),
    SecondRule(
        "fiat-5",
        "Each of 13 settings had to be above zero, among them two where beta is at chance and nothing can be gained. "
        "Now the mean where there is something in the rationale, over three betas in the world; .02 for zero.",
        _both(over("R0 - R1", FIAT, R1), over("R0 - R1, rationales of the data", OWN_FIAT, REAL_R1)),
    ),
    SecondRule(
        "fiat-6",
        "One seed, and no language in which the small model was better than in another: without a rationale SmolLM2 "
        "said the same continent in all sixteen.",
        _both(
            "the world has one language",
            "SmolLM2 knows none of the sixteen languages (R1 had .16 in each of them in the first edition), so that "
            "none is weak beside the others: takes a multilingual model from the Hub",
        ),
    ),
    SecondRule(
        "fiat-7",
        "Each of ten settings had to be above zero, among them PrivacyQA, where beta is at chance. Now the mean as in "
        "fiat-5.",
        _both(
            over("R0 - distilled", FIAT, written("distilled", WRITERS, SIZES)),
            over("R0 - distilled, rationales of the data", OWN_FIAT, written("distilled", (OWN,), REAL_SIZES)),
        ),
    ),
    SecondRule(
        "fiat-8",
        "Each of 18 settings had to be above zero; the world's instruction was in unknown words. Now means. Before any "
        "update the world's learnable tasks are all at zero, so two-hop questions are asked, which are not.",
        _both(
            (
                over(
                    "instruction before any update, two-hop questions",
                    arm("untouched-instruction"),
                    arm("untouched"),
                    at=_places(TAU, ("world-two-hop",)),
                ),
                over("instruction at the end: R1 - R2", R1, R2),
            ),
            "before any update nothing is drawn at random on a real model, so that there are no seeds to decide by; at "
            "the end it is the question of fiat-4",
        ),
    ),
    SecondRule(
        "fiat-9",
        "Each of six settings had to be above zero, with eight people, on a task that fine-tuning did not learn.",
        _both(
            over("instruction: tuned base - raw base", INSTRUCTION, raw("IP", SIZES) + less(raw("P", SIZES))), NO_BASE
        ),
    ),
    SecondRule(
        "fiat-10",
        "None of nine settings might lie below the margin, one of which had a rate from the edge of three candidates; "
        "where neither arm had learnt anything a tie counted as evidence. Now the mean over tasks that both learn.",
        _both(over("R2 - R3", R2, R3, NOT_WORSE), over("R2 - R3", REAL_R2, REAL_R3, NOT_WORSE)),
    ),
)
