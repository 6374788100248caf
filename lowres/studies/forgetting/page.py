"""What the page of forgetting shows beside its verdicts: each figure is a mapping from its axes to cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from random import Random
from statistics import fmean
from typing import Any

from lowres import world
from lowres.claims.rules import LOSS, RELATIVE, Contrast
from lowres.data import load_probe, load_task
from lowres.outcomes import Cell, Outcomes
from lowres.page import drawing, parts
from lowres.page.diagrams import Box, diagram
from lowres.page.drawing import Rows, level, minus
from lowres.page.markup import Shown, shown_lines, shown_table, shown_text
from lowres.page.parts import Control
from lowres.rates import task_loss
from lowres.studies.forgetting import paper, rules
from lowres.studies.forgetting.claims import MARGIN
from lowres.studies.forgetting.rules import GROUPS, KNOWLEDGE, RATE, SIZES, STREAM, WORLD
from lowres.trial import Record
from lowres.world import pretraining

STUDY = "forgetting"
Lines = Mapping[str, Mapping[float, Contrast]]
ANYWHERE: tuple[Cell, ...] = ({},)  # where the cells name their models
AT_RATE: tuple[Cell, ...] = ({"learning_rate": RATE},)
FIRST_REAL: tuple[Cell, ...] = ({**rules.ONE_REAL[0], "learning_rate": 6e-5},)  # of two rates the one that was chosen
STAGES = range(1, len(world.STREAM) + 1)
ARMS: dict[str, Cell] = {
    "the stream alone": STREAM,
    "10 % general data": {"arm": "mixed", "share": 0.1, "general": "usual"},
    "30 % general data": {"arm": "mixed", "share": 0.3, "general": "usual"},
    "30 %, none of the facts asked": {"arm": "mixed", "share": 0.3, "general": "without-asked-facts"},
    "30 % and TELL's anchor": {"arm": "mixed+anchor", "share": 0.3},
    "reverse order": {"arm": "reverse"},
    "LoRA": {"arm": "lora"},
    "LoReFT": {"arm": "loreft", "learning_rate": 0.03},
    "general data alone": {"arm": "general-only"},
    "shuffled targets": {"arm": "random-labels"},
    "no update": {"arm": "no-op", "learning_rate": 0.0},
}


def idea() -> Shown:
    """The stream: tuned on one task after the other, asked the same questions before it and after each task."""
    boxes, arrows = [], []
    for number, name in enumerate(("untouched", *world.STREAM)):
        x = 4 + 128 * number
        boxes.append(Box(x, 4, 104, 40, name.removeprefix("world-")))
        boxes.append(Box(x, 84, 104, 40, f"probes: R({number})", soft=True))
        arrows += [(x + 52, 44, x + 52, 82), (x + 104, 24, x + 126, 24)]
    return diagram(
        "forgetting-idea",
        "A model is tuned on five tasks in a row; before the first and after each of them it is asked the same probes.",
        "The stream. Each task starts from the weights that the last one left; the same old questions are asked again.",
        boxes,
        arrows[:-1],
    )


def met(lines: int = 10) -> Shown:
    """Text that world models are pretrained on, a question of a probe, and an item of a task."""
    text = pretraining.pairs(Random(4), pretraining.MIXTURE)
    known = [f"{pair.prompt} {pair.target}" for _, pair in zip(range(lines), text, strict=False)]
    asked, item = load_probe("world-fact-home").examples[0], load_task(world.STREAM[-1]).train[0]
    question = f"{asked.prompt} ...\n({', '.join(asked.choices)}; right: {asked.target})"
    new = f"{item.prompt} {item.target}"
    return shown_lines("\n".join(["PRETRAINED ON", *known, "\nA PROBE ASKS", question, "\nA NEW TASK", new]))


def reread() -> Shown:
    """The paper's tables: its FG, and what share of the skill above chance was gone after the last task."""
    chance = paper.CHANCE.values()
    rows = [
        (name, f"{n:g}", *(f"{fg:.1f} / {(a - b) / (a - c):.0%}" for (a, b, fg), c in zip(row, chance, strict=True)))
        for name, (n, *row) in paper.TABLES_4_AND_6.items()
    ]
    header = ("Model", "Billions of parameters", *(group.capitalize() for group in paper.CHANCE))
    caption = "The paper's own numbers, read twice: FG in percent / share of the skill above chance gone in the end"
    return shown_table(caption, header, rows, stack=True)


def sizes() -> Shown:
    """What each size has lost at the end of the stream."""
    rows = _by_size(lambda size, probes: level({**STREAM, "model": size}, LOSS, probes))
    return _forest("sizes", f"What is gone at the end of the stream, at a rate of {RATE:g}?", rows)


def instructed() -> Shown:
    """What instruction tuning beforehand saves, by size and group."""
    cells = {size: ({**STREAM, "model": size}, {**STREAM, "model": f"{size}-instruct"}) for size in SIZES}
    rows = _by_size(lambda size, probes: minus(*cells[size], LOSS, probes))
    caption = "Does instruction tuning first protect? To the right, the base model loses more."
    marks = {"no difference": 0.0, "margin": rules.LESS_PROTECTION}
    return _forest("instructed", caption, rows, x="loss of base - loss of instructed", marks=marks)


def _by_size(asked: Callable[[str, tuple[str, ...]], Contrast]) -> Rows:
    """A row per group of probes and size."""
    return {f"{group}, {size}": asked(size, probes) for group, probes in GROUPS.items() for size in SIZES}


def measures() -> Shown:
    """Knowledge lost by size: in the paper's measure, and corrected for chance; both over all five checkpoints."""
    named = {"share of the score (FG)": RELATIVE, "share of the skill above chance": LOSS}
    rows = {f"{name}, {size}": _over_stream(size, measure) for name, measure in named.items() for size in SIZES}
    caption = "Does the size of the model or the choice of the measure make the trend? Knowledge, mean over all stages."
    return _forest("measures", caption, rows, x="loss (left is better)")


def _over_stream(model: str, measure: str) -> Contrast:
    """The mean of what is lost after each task."""
    cells = [{**STREAM, "model": model, "probes": _after(KNOWLEDGE, stage)} for stage in STAGES]
    return Contrast("", tuple((1.0 / len(cells), cell) for cell in cells), drawing.NO_RULE, measure)


def _after(probes: tuple[str, ...], stage: int) -> tuple[str, ...]:
    """The probes as they were answered after a task of the stream; the last task's are the trial's own."""
    return probes if stage == len(STAGES) else tuple(f"{stage}:{probe}" for probe in probes)


def stream() -> Shown:
    """What is lost after each task."""
    lines = {name: {float(n): level(STREAM, LOSS, _after(own, n)) for n in STAGES} for name, own in GROUPS.items()}
    return _curve("stream", "Does every task take its share, or is most gone at once?", lines, WORLD, "tasks learnt")


def _learnt(name: str, caption: str, models: Iterable[str], probes: tuple[str, ...]) -> Shown:
    """Loss against nats on the new tasks: one point per learning rate, up to the one that learns best."""
    e = drawing.evidence(STUDY)
    both = ({m: line for m in models if (line := _points(each, m, probes))} for each in (e.judged, e.first))
    lines = next(filter(None, both), {})
    told = f"{caption} Each point is a learning rate; compare what lies straight above each other."
    return _curve(name, told, lines, ANYWHERE, "nats per target token of the new tasks (left has learnt more)")


def _points(outcomes: Outcomes, model: str, probes: tuple[str, ...]) -> dict[float, Contrast]:
    found: dict[float, Contrast] = {}
    for rate in outcomes.values("learning_rate", **STREAM, model=model, split="test"):
        cell = {**STREAM, "model": model, "learning_rate": rate}
        mean = fmean(map(task_loss, outcomes.by_seed(**cell).values()))
        if mean < min(found, default=inf):
            found[mean] = level(cell, LOSS, probes)
    return found


KINDS = [f"{size}{kind}~0.55" for size in rules.COMPARED for kind in ("", "-encdec")]
at_task_loss = partial(_learnt, "learnt", "Do larger models lose more once they have learnt as much?", SIZES, KNOWLEDGE)
architectures = partial(_learnt, "kinds", "And the architecture, from the same start?", KINDS, rules.STOPPED)


def replay() -> Shown:
    """Knowledge lost in every arm: general data mixed in, other orders and tuners, and controls."""
    rows = {name: level(cell, LOSS, KNOWLEDGE) for name, cell in ARMS.items()}
    return _forest("replay", "How much general data keeps how much knowledge? Controls stand below.", rows, WORLD)


def bias() -> Shown:
    """The preference for the stereotype, beside choices between two that have nothing to do with it."""
    names = {"preference for the stereotype": rules.BIAS, "choices between two without one": rules.NEUTRAL}
    rows = {name: level(STREAM, LOSS, probes) for name, probes in names.items()}
    caption = "Is bias unlearnt, or is the model less sure of everything?"
    return _forest("bias", caption, rows, WORLD, x="loss of the preference, of the skill")


def real() -> Shown:
    """What the real model loses on real tasks, with general data mixed in, and by general data alone."""
    arms = ("the stream alone", "30 % general data", "general data alone")
    rows = {f"{group}, {arm}": level(ARMS[arm], LOSS, own) for group, own in rules.REAL.items() for arm in arms}
    return _forest("real", "And a real model on real tasks?", rows, rules.ONE_REAL, first=FIRST_REAL)


def _forest(name: str, caption: str, rows: Rows, places: Sequence[Cell] = AT_RATE, **more: Any) -> Shown:
    usual = {"x": "chance-corrected loss (left is better)", "marks": {"nothing lost": 0.0, "margin": MARGIN}}
    how = {"first": places, **usual, **more}
    return drawing.forest(drawing.evidence(STUDY), f"forgetting-{name}", caption, rows, places=places, **how)


def _curve(name: str, caption: str, lines: Lines, places: Sequence[Cell], x: str) -> Shown:
    e, y = drawing.evidence(STUDY), "chance-corrected loss"
    return drawing.curve(e, f"forgetting-{name}", caption, lines, places=places, first=places, x=x, y=y)


def controls() -> Shown:
    """What has to hold before a verdict means anything."""
    still, general, random = (ARMS[name] for name in ("no update", "general data alone", "shuffled targets"))
    untouched: Cell = {"arm": "untouched", "learning_rate": None}
    rows = {
        "Without an update nothing is lost": Control(level(still, LOSS, KNOWLEDGE), "no gain"),
        "The last task is learnt": Control(minus(STREAM, untouched), "gain"),
        "Shuffled targets are not learnt as well": Control(minus(STREAM, random), "gain"),
        "General data alone lose knowledge": Control(level(general, LOSS, KNOWLEDGE), "open"),
        "The stream loses more than general data alone": Control(minus(STREAM, general, LOSS, KNOWLEDGE), "open"),
        "True targets lose more than shuffled ones": Control(minus(STREAM, random, LOSS, KNOWLEDGE), "open"),
    }
    return parts.controls(STUDY, rows, WORLD, WORLD)


def live(records: Sequence[Record]) -> Shown:
    """What was lost in the live run."""
    if not records:
        return shown_text(parts.NOTHING_RUN)
    e = drawing.Evidence(STUDY, Outcomes.of(records))
    tested = [row for row in e.judged.rows if row["split"] == "test" and row["tuner"]]
    cells = dict.fromkeys((row["arm"], row["model"]) for row in tested)
    rows: dict[str, Cell] = {f"{arm}, {model}": {"arm": arm, "model": model} for arm, model in cells}
    groups = GROUPS if any(world.is_world_model(model) for _, model in cells) else rules.REAL
    columns = {name: partial(level, measure=LOSS, probes=probes) for name, probes in groups.items()}
    return drawing.table(e, "Chance-corrected loss in the live run.", rows, columns, places=ANYWHERE)
