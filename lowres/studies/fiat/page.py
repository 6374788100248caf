"""What the page of FIAT shows beside its verdicts: each figure is a mapping from its axes to means over cells."""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres.claims.rules import Contrast
from lowres.data import TaskOptions, load_task
from lowres.outcomes import Cell, by_unit, units
from lowres.page import drawing, parts
from lowres.page.diagrams import Box, diagram
from lowres.page.markup import Shown, shown_table
from lowres.page.parts import Control
from lowres.stats.anova import anova_effect
from lowres.studies.fiat import rules
from lowres.studies.fiat.arms import ARMS, CELLS, FACTORS, LADDER
from lowres.studies.fiat.claims import MARGIN

if TYPE_CHECKING:
    from lowres.stats import Effect

STUDY = "fiat"


@dataclass(frozen=True)
class Grid:
    """Where arms are looked for: places, sizes of the training set, who wrote the rationales, number of updates."""

    places: tuple[Cell, ...]
    sizes: tuple[int, ...]
    writers: tuple[str, ...]
    updates: int
    first: bool = False  # records of the first edition

    def terms(self, name: str, *sizes: int) -> rules.Terms:
        """The mean of an arm over writers and sizes: those given, or else all."""
        arm = ARMS[name]
        base = {} if "B" in arm.factors else {"model": rules.BASE}
        more: dict[str, Any] = {"steps": self.updates, **base} if arm.tuned else {}
        sizes = (sizes or self.sizes) if arm.tuned else ()
        if arm.use == "none":
            return rules.arm(name, sizes, **more)
        return rules.written(name, (arm.rationales,) if arm.rationales else self.writers, sizes, **more)

    def level(self, name: str, *sizes: int, measure: str = "") -> Contrast:
        """What is measured in an arm by itself."""
        return Contrast("", self.terms(name, *sizes), rules.ABOVE, measure)

    def minus(self, more: str, fewer: str, *sizes: int) -> Contrast:
        """One arm minus another."""
        return rules.over("", self.terms(more, *sizes), self.terms(fewer, *sizes))

    def asked(self) -> dict[str, tuple[Cell, ...]]:
        """The places as exhibits take them."""
        return {"places": (), "first": self.places} if self.first else {"places": self.places}


TWO_HOP = "world-two-hop"  # the one task of the world in the first edition
NOW = Grid(rules.WORLD, rules.SIZES, rules.WRITERS, 100)
BEFORE = Grid(({"model": rules.TAU, "task": TWO_HOP},), (24, 96, 384), (rules.TAU,), 60, first=True)
BETAS = (rules.TAU, "world-s~0.55", "world-xs")
BETAS_BEFORE = Grid(({"model": "world-xs-instruct", "task": TWO_HOP},), (96,), BETAS, 60, first=True)


def _grid(*names: str, before: Grid = BEFORE) -> Grid:
    """Today's grid where records that the rules may judge have these arms in it, else the first edition's."""
    there = drawing.found(drawing.evidence(STUDY), {name: NOW.level(name) for name in names}, NOW.places)
    return NOW if there and len(there.effects) == len(names) else before


def idea() -> Shown:
    """The two models of FIAT."""
    reads = [Box(4, 4, 130, 44, "input"), Box(4, 84, 130, 60, "worked examples\nwith reasoning")]
    beta = [Box(194, 60, 120, 60, "beta, large,\nfrozen", soft=True), Box(374, 68, 110, 44, "rationale")]
    tau = [Box(374, 134, 110, 44, "instruction"), Box(544, 60, 130, 60, "tau, small,\ntuned by LoRA")]
    arrows = [(134, 26, 192, 72), (134, 114, 192, 98), (314, 90, 372, 90), (484, 90, 542, 90)]
    arrows += [(134, 20, 542, 66), (484, 156, 542, 112), (674, 90, 732, 90)]
    alt = (
        "Beta, which is frozen, reads the input and a few worked examples and writes a rationale. Tau reads input, "
        "rationale and instruction, and is tuned to answer."
    )
    caption = "FIAT: beta thinks aloud in context, tau is tuned to answer with those thoughts before its eyes."
    return diagram("fiat-idea", alt, caption, [*reads, *beta, *tau, Box(734, 68, 90, 44, "answer")], arrows)


# --- what each part brings -------------------------------------------------------------------------------------------


def _forest(name: str, caption: str, rows: drawing.Rows, grid: Grid, x: str) -> Shown:
    marks = {"no difference": 0.0, "margin": MARGIN}
    return drawing.forest(drawing.evidence(STUDY), f"fiat-{name}", caption, rows, x=x, marks=marks, **grid.asked())


def gains() -> Shown:
    """What each thing brought that the ladder takes away."""
    grid = _grid("R0", "R4")
    taken = ("rationale", "instruction", "LoRA", "instruction-tuned base")
    rows = {
        f"{thing} ({more} - {fewer}), {size} examples": grid.minus(more, fewer, size)
        for thing, (more, fewer) in zip(taken, itertools.pairwise(LADDER), strict=True)
        for size in grid.sizes
    }
    return _forest("gains", "What does each rung of the ladder bring?", rows, grid, "score with it minus without it")


def regimes() -> Shown:
    """In context, tuned, and both, over the size of the training set."""
    grid = _grid("R0", "R4", "beta")
    names = {"FIAT (R0)": "R0", "beta in context": "beta", "without rationale (R1)": "R1", "fine-tuning (R4)": "R4"}
    lines = {words: {float(size): grid.level(name, size) for size in grid.sizes} for words, name in names.items()}
    caption = "How much data does it take until tuning overtakes in-context learning, and is FIAT above both all along?"
    e, x = drawing.evidence(STUDY), "examples of the task"
    return drawing.curve(e, "fiat-regimes", caption, lines, x=x, y="score", x_scale="tokens", **grid.asked())


def effect_of(grid: Grid, letters: str) -> Contrast:
    """A main effect of the factorial (one letter), or what one letter brings beside another minus without it (two)."""
    share = 2 ** len(letters) / len(CELLS)
    signs = {name: (-1.0) ** sum(letter not in cell for letter in letters) for cell, name in CELLS.items()}
    terms = tuple((sign * share * weight, cell) for name, sign in signs.items() for weight, cell in grid.terms(name))
    return Contrast("", terms, rules.ABOVE)


def factorial() -> Shown:
    """Every factor beside all combinations of the others."""
    grid = _grid("CIB")
    rows = {FACTORS[letter]: effect_of(grid, letter) for letter in FACTORS}
    rows |= {f"rationale x {FACTORS[letter]}": effect_of(grid, f"C{letter}") for letter in "IPB"}
    caption = (
        "And in any other order? Mean over the eight pairs of arms that differ in one thing alone; with an x, what the "
        "rationale brings beside another thing minus without it."
    )
    return _forest("factorial", caption, rows, grid, "effect on the score")


def uses() -> Shown:
    """Every use of a rationale minus R1, which has none."""
    grid = _grid("wrong")
    rows = {
        "rationale (R0)": grid.minus("R0", "R1"),
        "beta's answer alone": grid.minus("answer-only", "R1"),
        "reasoning without the answer": grid.minus("stripped", "R1"),
        "rationale of another example": grid.minus("wrong", "R1"),
        "rationale of the data": grid.minus("own-rationale", "R1"),
        "rationale as a target": grid.minus("distilled", "R1"),
    }
    return _forest("uses", "Reasoning, answer, or just more text?", rows, grid, "score minus that of R1")


def moved() -> Shown:
    """How far each way of tuning took the model away from where it began."""
    rows = {f"{name}, {size} examples": NOW.level(name, size, measure="kl") for name in LADDER for size in NOW.sizes}
    caption = "How far did tuning move the model? KL divergence from the start, on the prompts of the task."
    e, x = drawing.evidence(STUDY), "nats per token (left is less)"
    return drawing.forest(e, "fiat-moved", caption, rows, places=NOW.places, x=x)


# --- what beta is worth ----------------------------------------------------------------------------------------------


def writers() -> Shown:
    """Per beta: its answers, FIAT with it, and what tau does where beta is wrong."""
    grid, e = _grid("R0", "beta", before=BETAS_BEFORE), drawing.evidence(STUDY)
    rows, told = [], ""
    for writer in grid.writers:
        own = replace(grid, writers=(writer,))
        wanted = {"beta": own.level("beta"), "R0": own.level("R0"), "gain": own.minus("R0", "R1")}
        here = drawing.found(e, wanted, **own.asked())
        if here and len(here.effects) == len(wanted):
            beta, fiat, gain = here.effects.values()
            shares = map(_share, (beta, fiat, *where_wrong(replace(own, places=here.places))))
            rows.append((writer, *itertools.islice(shares, 2), gain.text(), *shares))
            told = here.told()
    if not rows:
        return drawing.not_run(e, "What beta is worth")
    right, same = (
        ("Wrong, and FIAT right", "Wrong, and R1 right"),
        ("Wrong, and FIAT repeats it", "Wrong, and R1 says the same"),
    )
    header = ("Beta", "Its own answers", "FIAT with it", "FIAT - R1", "Beta wrong", *right, *same)
    return shown_table(f"What is beta worth? Shares of all test items. {told}", header, rows, stack=True)


def _share(one: Effect) -> str:
    low, high = one.interval
    return f"{one.estimate:.2f} [{max(0.0, low):.2f}, {min(1.0, high):.2f}]"


def where_wrong(grid: Grid) -> list[Effect]:
    """Shares of items: beta is wrong, and FIAT or R1 is right, and FIAT or R1 says the very same; R1 never saw it."""
    import numpy as np

    e, count = drawing.evidence(STUDY), len(grid.sizes)
    ends, tables = (slice(1, 1 + count), slice(1 + count, None)), []
    for place in grid.places:
        cells = [{**place, **cell} for name in ("beta", "R0", "R1") for _, cell in grid.terms(name)]
        runs = [(e.first if grid.first else e.judged).by_seed(**cell) for cell in cells]
        found = []
        for seed in sorted(set.intersection(*map(set, runs))):
            task = load_task(str(place["task"]), TaskOptions())
            right = np.array([run[seed].outcomes["task"][task.metric] for run in runs])
            said = np.array([run[seed].texts["task"] for run in runs])
            wrong = right[0] < 1
            values = [wrong, *(wrong * part[at].mean(0) for part in (right, said == said[0]) for at in ends)]
            found.append([by_unit(np.asarray(value, float), units(task, len(wrong))) for value in values])
        tables.append(np.array(found).swapaxes(0, 1) / len(grid.places))
    return [anova_effect(list(terms)) for terms in zip(*tables, strict=True)]


# --- controls, and the paper's own numbers ---------------------------------------------------------------------------


def controls() -> Shown:
    """What has to hold before a verdict means anything."""
    grid = _grid("wrong")
    rows = {
        "Another example's rationale does not help": Control(grid.minus("wrong", "R1"), "no gain"),
        "It is the right rationale that helps": Control(grid.minus("R0", "wrong"), "gain"),
        "Tuning helps at all": Control(grid.minus("R1", "untouched-instruction"), "gain"),
        "Is it more than beta's answer?": Control(grid.minus("R0", "answer-only"), "open"),
        "What is left without the answer": Control(grid.minus("stripped", "R1"), "open"),
        "What perfect reasoning would add": Control(grid.minus("own-rationale", "R0"), "open"),
        "Does tau add to beta?": Control(grid.minus("R0", "beta"), "open"),
    }
    return parts.controls(STUDY, rows, **grid.asked())


def paper_rows() -> list[dict[str, str]]:
    """Scores of the paper in percent: its Tables 2 and 3, then R0 and R1 of each language of its Table 7."""
    with Path(__file__).with_name("paper.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def paper() -> Shown:
    """Tables 2 and 3 of the paper: FIAT, beta in context, fine-tuning, and what each rung brought, in points."""
    rows = []
    for row in (row for row in paper_rows() if row["R4"]):
        steps = (f"{float(row[more]) - float(row[fewer]):+.1f}" for more, fewer in itertools.pairwise(LADDER))
        rows.append((f"PaLM 2 {row['model']}, {row['task']}", row["R0"], row["in context"], row["R4"], *steps))
    header = ("Model and task", "FIAT", "In context", "Fine-tuning", "+ rationale", "+ instruction", "+ LoRA", "+ base")
    return shown_table("The paper: scores in percent, and what each rung brought", header, rows, stack=True)
