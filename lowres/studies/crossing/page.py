"""What the page of the crossing shows beside its verdicts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache, partial

from lowres.claims.rules import LOSS, UNTOUCHED, Contrast
from lowres.outcomes import Cell
from lowres.page import drawing, parts
from lowres.page.diagrams import Box, diagram
from lowres.page.drawing import level, minus
from lowres.page.markup import Shown, shown_table
from lowres.page.parts import Control
from lowres.stats import guide
from lowres.stats.anova import anova_effect
from lowres.studies.crossing.arms import WORLD_PROBES
from lowres.studies.crossing.measures import GAIN, KEEP, OFFERED, SMALL, UNWRITTEN, Row, difference, rows_of
from lowres.studies.crossing.params import RECIPES
from lowres.studies.crossing.places import ASKED_PLACES, BUDGETS, MODEL, TUNERS, WORLD
from lowres.studies.crossing.rules import SEEDS, cell, mean

STUDY = "crossing"
KEEPS, MODELS = (0.0, KEEP, 1.0), (MODEL, "world-xs", "world-m")
MIDDLE = 1_000


def idea() -> Shown:
    """How the study is put together."""
    boxes = [
        Box(4, 4, 150, 44, "six recipes"),
        Box(4, 74, 150, 44, "three tuners"),
        Box(214, 40, 150, 44, "twelve tasks,\nthree budgets"),
        Box(424, 40, 110, 44, "utility\nof each arm"),
        Box(594, 40, 150, 44, "a guide, judged\non the task left out"),
    ]
    arrows = [(154, 26, 212, 54), (154, 96, 212, 70), (364, 62, 422, 62), (534, 62, 592, 62)]
    alt = (
        "Six recipes are crossed with three tuners on twelve tasks with three budgets each; every arm has a utility, "
        "and a guide that is fitted on eleven tasks chooses on the twelfth."
    )
    return diagram("crossing-idea", alt, "The crossing, and how its guide is judged.", boxes, arrows)


def _means(measure: str, *recipes: str) -> dict[str, Contrast]:
    """A row per recipe, or pair of recipes whose difference it is, and tuner; mean over budgets."""
    rows = {}
    for name in recipes:
        more, _, less = name.partition(" - ")
        weights = {more: 1.0, **({less: -1.0} if less else {})}
        for tuner in TUNERS:
            terms = mean(weights, tuners=(tuner,))
            rows[f"{name}, {tuner}"] = Contrast("", terms, drawing.NO_RULE, measure, probes=WORLD_PROBES)
    return rows


def _forest(name: str, caption: str, rows: dict[str, Contrast], x: str, places: tuple[Cell, ...]) -> Shown:
    told = f"{caption} Mean over budgets."
    return drawing.forest(drawing.evidence(STUDY), name, told, rows, places=places, x=x, marks={"nothing": 0.0})


def gains() -> Shown:
    """What every arm gains."""
    caption = "What is gained, as a share of what the task's rule gains."
    return _forest("crossing-gains", caption, _means(GAIN, *RECIPES), "gain", ASKED_PLACES)


def losses() -> Shown:
    """What every arm loses."""
    caption = "What is lost of what the model knew, as a share."
    return _forest("crossing-losses", caption, _means(LOSS, *RECIPES), "loss (left is better)", ASKED_PLACES)


def interactions() -> Shown:
    """What a recipe adds under each tuner."""
    rows = _means(GAIN, "tell - sft-equal-steps", "fiat-own - sft")
    caption = "Does a recipe give the same under every tuner?"
    return _forest("crossing-interactions", caption, rows, "difference of gains", WORLD)


def curves() -> Shown:
    """Gain against task tokens, a line per recipe that needs no beta."""
    points: dict[str, dict[float, Contrast]] = {
        recipe: {tokens: Contrast("", mean({recipe: 1.0}, (tokens,)), drawing.NO_RULE, GAIN) for tokens in BUDGETS}
        for recipe in RECIPES[:4]
    }
    caption = "How much task data does each recipe need? Mean over three tuners and all tasks."
    e, x = drawing.evidence(STUDY), "task tokens"
    return drawing.curve(e, "crossing-curves", caption, points, places=WORLD, x=x, y="gain", x_scale="tokens")


# --- the guide -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _rows(model: str) -> tuple[Row, ...]:
    """The table that a guide is fitted on; empty while too few tasks were run."""
    places = [{**place, "model": model} for place in WORLD]
    rows = tuple(rows_of(drawing.evidence(STUDY).judged, places, BUDGETS))
    return rows if len({row.task for row in rows}) > guide.FEWEST else ()


def the_guide(keep: float = KEEP) -> Shown:
    """The guide that is fitted on all tasks, a line per leaf."""
    rows, every = _rows(MODEL), frozenset(arm.name for arm in OFFERED)
    if not rows:
        return drawing.not_run(drawing.evidence(STUDY), "The guide")
    kinds = (UNWRITTEN, every, UNWRITTEN & SMALL, SMALL)
    listed = [
        (when, *(leaf.arm(kind) for kind in kinds), len({case.task for case in leaf.cases}))
        for when, leaf in guide.leaves(guide.fit([row.case(keep) for row in rows], UNWRITTEN))
    ]
    header = ("When", "Take", "With rationales", "Stored small", "Small, with rationales", "Tasks")
    caption = f"The guide, where keeping counts {keep:g} times as much as gaining.{_so_far(rows)}"
    return shown_table(caption, header, listed, stack=True)


def _so_far(rows: Sequence[Row]) -> str:
    """How many seeds there are, where some are still to come."""
    seeds = min(len(gain) for row in rows for gain in row.gain.values())
    return f" Planned are {SEEDS} seeds, there {'is' if seeds == 1 else 'are'} {seeds}." if seeds < SEEDS else ""


def the_regret() -> Shown:
    """Mean regret on the left-out task by model; the guide's minus that of the best single arm with its interval."""
    listed, header = [], list[str]()
    for model, keep in itertools.product(MODELS, KEEPS):
        if rows := _rows(model):
            cases = [row.case(keep) for row in rows]
            choices = guide.left_out(cases, UNWRITTEN)
            regrets = guide.regrets(cases, choices, ("sft lora", "sft full"))
            header = ["Model", "Keeping counts", *regrets, "Guide - best single arm"]
            lead = anova_effect(difference(rows, keep, choices)[1]).text()
            listed.append((model, f"{keep:g}", *(f"{value:.3f}" for value in regrets.values()), lead))
    if not listed:
        return drawing.not_run(drawing.evidence(STUDY), "The guide's regret on tasks that it has not seen")
    caption = f"Mean regret on the task that was left out (0 is best).{_so_far(_rows(MODEL))}"
    return shown_table(caption, header, listed, stack=True)


# --- controls and cost -----------------------------------------------------------------------------------------------


GENERAL: Cell = {"arm": "general-only lora", "general_tokens": 4 * MIDDLE}


def controls() -> Shown:
    """What has to hold before a verdict means anything."""
    names = ("tell", "sft", "fiat-own", "tell-shuffled", "fiat-wrong", "sft-equal-tokens")
    lora = {name: cell(name, "lora", MIDDLE) for name in names}
    small = cell("sft", "lora-small", MIDDLE)
    rows = {
        "SFT beats the untouched model": Control(minus(lora["sft"], UNTOUCHED), "gain"),
        "TELL beats TELL with shuffled targets": Control(minus(lora["tell"], lora["tell-shuffled"]), "gain"),
        "The right rationale beats a wrong one": Control(minus(lora["fiat-own"], lora["fiat-wrong"]), "gain"),
        "General data alone do not teach the task": Control(minus(GENERAL, UNTOUCHED), "no gain"),
        "TELL and SFT that has read as much": Control(minus(lora["tell"], lora["sft-equal-tokens"]), "open"),
        "LoRA and LoRA of LoReFT's size": Control(minus(lora["sft"], small), "open"),
    }
    return parts.controls(STUDY, rows, WORLD)


def harmless() -> Shown:
    """What general data alone cost of what the model knew."""
    return parts.harmless(STUDY, WORLD, {"general data alone, LoRA": level(GENERAL, LOSS, WORLD_PROBES)})


def divergence() -> Shown:
    """How far each recipe moves the model's answers from where they were."""
    rows = {recipe: cell(recipe, "lora", MIDDLE) for recipe in RECIPES}
    named = {"KL on the task's inputs": "kl", "Nats per target token": "target_nll"}
    columns = {name: partial(level, measure=measure) for name, measure in named.items()}
    caption = f"How far the model moved, LoRA at {MIDDLE:,} task tokens."
    return drawing.table(drawing.evidence(STUDY), caption, rows, columns, places=ASKED_PLACES)
