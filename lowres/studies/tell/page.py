"""What the page of TELL shows beside its verdicts: each figure is a mapping from its axes to cells."""

from __future__ import annotations

from lowres.claims.rules import LOSS, UNTOUCHED
from lowres.outcomes import Cell
from lowres.page import drawing, parts
from lowres.page.diagrams import Box, diagram
from lowres.page.drawing import level, minus
from lowres.page.markup import Shown
from lowres.page.parts import Control
from lowres.studies.tell.claims import MARGIN
from lowres.studies.tell.rules import BOTH, RATIO, SMALL, WORLD, Parts, alone, minus_over, sft, tell

STUDY = "tell"
FIRST: tuple[Cell, ...] = ({"model": "smollm2-135m-instruct", "task": "wiki-description"},)  # of the first edition
PROBES = ("world-fact-home", "world-relation", "world-either", "world-reading-new")
AGAINST = ("sft", "sft+anchor", "sft-equal-steps", "sft-equal-tokens")


def idea() -> Shown:
    """How TELL puts its training data together."""
    boxes = [
        Box(4, 4, 150, 44, "few task examples"),
        Box(4, 74, 150, 44, "many general\nexamples"),
        Box(214, 4, 150, 44, "anchor prompt\nbefore each input"),
        Box(424, 40, 110, 44, "shuffle"),
        Box(594, 40, 120, 44, "one run of\nfine-tuning"),
    ]
    arrows = [(154, 26, 212, 26), (364, 26, 422, 54), (154, 96, 422, 72), (534, 62, 592, 62)]
    return diagram(
        "tell-idea",
        "A few task examples get the anchor prompt before each input, are shuffled into many general examples, and the "
        "mixture is trained on in one run.",
        "TELL: anchored task examples in a stream of general ones. The ratio says how many general tokens come with "
        "each task token.",
        boxes,
        arrows,
    )


def learning_curve() -> Shown:
    """Score against task tokens: SFT, TELL, and the untouched model as a level."""
    e = drawing.evidence(STUDY)
    budgets = sorted({*e.judged.values("task_tokens", arm="sft"), *e.first.values("task_tokens", arm="sft")})
    lines = {
        "SFT": {tokens: level(sft(tokens)) for tokens in budgets},
        f"TELL, {RATIO:g} general tokens per task token": {tokens: level(tell(tokens)) for tokens in budgets},
        "untouched": {tokens: level(UNTOUCHED) for tokens in budgets},
    }
    return drawing.curve(
        e,
        "tell-learning-curve",
        "How much task data does TELL save? Go to the right on SFT's curve until it reaches TELL's score.",
        lines,
        places=WORLD,
        first=FIRST,
        x="task tokens",
        y="score",
        x_scale="tokens",
    )


def differences() -> Shown:
    """TELL minus every other arm."""
    rows = {f"TELL - {arm}": minus_over("", *((tell(t), sft(t, arm)) for t in BOTH)) for arm in AGAINST}
    rows |= {
        f"TELL - {arm}": minus_over("", *((tell(t), tell(t, arm=arm)) for t in BOTH))
        for arm in ("tell-no-anchor", "tell-task-first", "tell-task-last", "random-labels")
    }
    rows["TELL - general data alone"] = minus_over("", *((tell(t), alone(t)) for t in BOTH))
    return drawing.forest(
        drawing.evidence(STUDY),
        "tell-differences",
        f"What is it that helps? TELL minus each other arm, mean over {BOTH[0]:,} and {BOTH[1]:,} task tokens.",
        rows,
        places=WORLD,
        x="score of TELL minus that of the arm",
        marks={"no difference": 0.0, "margin": MARGIN},
    )


def ratios(measure: str = "") -> Shown:
    """TELL against the ratio of general to task tokens, by the score or by another measure of the task."""
    e = drawing.evidence(STUDY)
    known = [each for each in e.judged.values("ratio", arm="tell") if each is not None]
    lines = {
        f"{tokens:,} task tokens": {ratio: level(tell(tokens, ratio), measure) for ratio in known} for tokens in BOTH
    }
    what = "nats per target token (lower is better)" if measure else "score"
    return drawing.curve(
        e,
        f"tell-ratios{'-nats' if measure else ''}",
        "More general data: a jump, or a slope? Ratio 0 is SFT with the anchor.",
        lines,
        places=WORLD,
        x="general tokens per task token",
        y=what,
        x_scale="ratio",
    )


def retention() -> Shown:
    """What each arm costs of what the model knew."""
    rows = {arm: level(sft(SMALL, arm), LOSS, PROBES) for arm in AGAINST}
    rows["tell"] = level(tell(SMALL), LOSS, PROBES)
    rows["general data alone"] = level(alone(SMALL), LOSS, PROBES)
    return drawing.forest(
        drawing.evidence(STUDY),
        "tell-retention",
        f"What was forgotten at {SMALL} task tokens: the share of old skill above chance that is gone.",
        rows,
        places=WORLD,
        x="chance-corrected loss (left is better)",
        marks={"nothing lost": 0.0},
    )


def controls() -> Shown:
    """What has to hold before a verdict means anything."""
    cells: Parts = (minus(tell(SMALL), tell(SMALL, arm="random-labels")), minus(sft(SMALL), UNTOUCHED))
    rows = {
        "TELL with true labels beats TELL with shuffled ones": Control(cells[0], "gain"),
        "SFT beats the untouched model": Control(cells[1], "gain"),
        "General data alone does not teach the task": Control(minus(alone(SMALL), UNTOUCHED), "no gain"),
        "TELL beats examples shown in the prompt": Control(minus(tell(SMALL), {"arm": "few-shot"}), "open"),
    }
    return parts.controls(STUDY, rows, WORLD)
