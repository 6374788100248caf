"""What the page of LoReFT shows beside its verdicts: each figure is a mapping from its axes to cells."""

from __future__ import annotations

import json
from statistics import fmean

from lowres.claims.rules import LOSS
from lowres.outcomes import Cell
from lowres.page import drawing, parts
from lowres.page.diagrams import Box, diagram
from lowres.page.drawing import level, minus
from lowres.page.markup import Shown, folded, joined, shown_table, shown_text
from lowres.page.parts import Control
from lowres.places import RESULTS
from lowres.studies.loreft import rules
from lowres.studies.loreft.arms import ARMS
from lowres.studies.loreft.claims import MARGIN
from lowres.studies.loreft.params import WORLD_PROBES

STUDY = "loreft"
START: Cell = {"arm": "untouched", "task_tokens": 0}
USUAL: Cell = {"rank": 8, "positions": "p7+s7", "layers": "all"}  # of LoReFT where nothing is varied
_SMALL, _LARGE = "prompt red ia3 prefix loreft-half-rank bitfit road vera", "lora-small series-adapter parallel-adapter"
TUNERS = (
    f"{_SMALL} lora-matched lora-at-positions loreft direft {_LARGE} lora dora full".split()
)  # fewest parameters first
IN_USE = ("full", "bitfit", "lora", "dora", "prefix", "series-adapter", "red", "direft", "loreft")  # one of each kind
WORLD = rules.places(rules.KNOWING)
# Of the first edition, which alone had so many tuners, ranks, positions, layers and amounts of data.
FIRST_TASK: Cell = {"model": "world-s", "task": "world-question-new-words"}
FIRST: Cell = {**FIRST_TASK, "task_tokens": 6_000}
FIRST_TOPICS: Cell = {**rules.TOPICS, "probes": ()}
FIRST_PROBES = ("world-fact-home", "world-two-hop-new", "world-either")


def _arm(name: str) -> Cell:
    """An arm with the usual options."""
    return {"arm": name, **(USUAL if name == "loreft" else {})}


def idea() -> Shown:
    """Which positions are edited, in which layers."""
    columns = ("first 7 tokens\nof the prompt", "the rest of it", "last 7 tokens\nof the prompt", "the answer")
    boxes, arrows = [], []
    for column, words in enumerate(columns):
        x, edited = 4 + 186.0 * column, column in (0, 2)
        text = "h + Rᵀ(Wh + b - Rh)" if edited else "h"
        layers = {4: "top", 60: "...", 116: "1"}
        boxes += [Box(x, y, 170, 36, f"{name}: {text}", not edited) for y, name in layers.items()]
        boxes.append(Box(x, 176, 170, 44, words, soft=True))
        arrows += [(x + 85, y, x + 85, y - 18) for y in (58.0, 114.0, 174.0)]
    alt = "A grid of layers over positions: behind every layer the first and the last seven prompt tokens are edited."
    caption = (
        "LoReFT edits h at a few positions of the prompt (solid) behind every layer, from the first to the top. All "
        "weights stay. The answer feels the edits through what it looks back at."
    )
    return diagram("loreft-idea", alt, caption, boxes, arrows)


def arms_table() -> Shown:
    """Every arm of the page."""
    return folded("What each arm trains", parts.arms_table(ARMS, ARMS))


def budgets() -> Shown:
    """Score against trained parameters, in the world."""
    return drawing.scatter(
        drawing.evidence(STUDY),
        "loreft-budgets",
        "Which tuner for how many trained parameters? The higher and the further left, the better. Line: untouched.",
        {"untouched": level(START)} | {name: level(_arm(name)) for name in TUNERS},
        "trained_parameters",
        places=WORLD,
        first=(FIRST,),
        x="trained parameters",
        y="score",
        x_scale="log",
    )


def budgets_real() -> Shown:
    """Scores in the order of trained parameters, on real text."""
    return _older(
        "budgets-real",
        "The same on real text: the untouched model, then from the fewest trained parameters (top) to all of them.",
        {name: level(START if name == "untouched" else _arm(name)) for name in ("untouched", *TUNERS)},
        FIRST_TOPICS,
    )


def settings() -> Shown:
    """LoReFT with other ranks, positions and layers."""
    e = drawing.evidence(STUDY)
    tried = [{name: value} for name in USUAL for value in e.first.values(name, arm="loreft", **FIRST)]
    rows = {" ".join(map(str, *one.items())): level({**_arm("loreft"), **one}) for one in tried}
    caption = "Which rank, positions, layers? p7+s7: the first and the last seven tokens. All at the rate of rank 8."
    return _older("settings", caption, rows, FIRST)


def _older(name: str, caption: str, rows: drawing.Rows, place: Cell) -> Shown:
    """Scores of the first edition, which alone has them."""
    e, marks = drawing.evidence(STUDY), {"nothing": 0.0}
    return drawing.forest(e, f"loreft-{name}", caption, rows, places=(), first=(place,), x="score", marks=marks)


def against_lora() -> Shown:
    """LoReFT minus LoRA, task by task."""
    tasks = dict.fromkeys((*rules.KNOWING, *rules.CHOICE, rules.SHORT, *rules.LONGER))
    first = [FIRST_TOPICS, *({**FIRST, "model": model} for model in ("world-xs", "world-s", "world-m")), _told(2)]
    here = [*rules.places(tuple(tasks)), rules.QUESTIONS, rules.TOPICS, rules.INSTRUCTIONS, *first]
    names = [f"{place['task']}, {str(place['model']).removesuffix('-135m-instruct')}" for place in here]
    pairs = [minus({**place, **_arm("loreft")}, {**place, **_arm("lora")}) for place in here]
    return drawing.forest(
        drawing.evidence(STUDY),
        "loreft-against-lora",
        "Where is LoReFT ahead of LoRA? Each task by itself, by its own metric; the claims ask for means of several.",
        dict(zip(names, pairs, strict=True)),
        places=({},),
        first=({},),
        x="score of LoReFT minus that of LoRA",
        marks={"no difference": 0.0, "margin": MARGIN, "margin below": -MARGIN},
    )


def forms() -> Shown:
    """Other forms of the edit minus LoReFT's."""
    names = ("no-subtraction", "non-orthogonal", "constant", "bias-only", "frozen-rotation", "untied")
    rows = {name: minus(_arm(name), _arm("loreft")) for name in ("direft", *(f"loreft-{name}" for name in names))}
    return drawing.forest(
        drawing.evidence(STUDY),
        "loreft-forms",
        f"What in the edit matters? Each other form minus LoReFT; within {rules.ON_A_PAR:g} they count as alike.",
        rows,
        places=rules.places(rules.FORMS),
        first=(FIRST,),
        x="score minus that of LoReFT",
        marks={"no difference": 0.0, "alike, below": rules.ON_A_PAR, "alike, above": -rules.ON_A_PAR},
    )


def data() -> Shown:
    """LoReFT and LoRA against the task data, in the first edition."""
    e = drawing.evidence(STUDY)
    tried = e.first.values("task_tokens", arm="lora", **FIRST_TASK)
    lines = {name: {t: level({**_arm(name), "task_tokens": t}) for t in tried} for name in ("loreft", "lora")}
    caption = "How much data? Both at the rate that was chosen with all of them."
    axes = {"x": "task tokens", "y": "score", "x_scale": "tokens"}
    return drawing.curve(e, "loreft-data", caption, lines, places=(), first=(FIRST_TASK,), **axes)


def _told(sentences: int) -> Cell:
    """The place where so many sentences are to be told; two of them in the first edition alone."""
    task = f"world-telling-{sentences}"
    return {"model": "world-s", "task": task, "task_tokens": 5_000 if sentences == 2 else rules.budget(task)}


def lengths() -> Shown:
    """The score against the number of sentences that are to be told."""
    names = ("full", "lora", "lora-matched", "lora-at-positions", "loreft", "prefix")
    return drawing.curve(
        drawing.evidence(STUDY),
        "loreft-lengths",
        "Does a long answer dilute an edit of the prompt? Sentences told about a person, after equally long prompts.",
        {name: {n: level({**_told(n), **_arm(name)}, rules.WORDS) for n in (1, 2, 4)} for name in names},
        places=({},),
        first=({},),
        x="sentences in the answer",
        y="ROUGE-L",
    )


def price() -> Shown:
    """What was gained on the task against what was lost of what the model knew."""
    e = drawing.evidence(STUDY)
    probes = WORLD_PROBES if e.judged.records else FIRST_PROBES
    return drawing.scatter(
        e,
        "loreft-price",
        f"What was learnt, and at what cost? Higher: more learnt. Further left: less lost of {', '.join(probes)}.",
        {name: minus(_arm(name), START) for name in TUNERS},
        {name: level(_arm(name), LOSS, probes) for name in TUNERS},
        places=WORLD,
        first=(FIRST,),
        x="chance-corrected loss of what the model knew",
        y="score gained over the untouched model",
    )


def composition() -> Shown:
    """What two halves of a subspace do alone and together, as `make composition` measured it."""
    found = json.loads((RESULTS / "composition.json").read_text(encoding="utf-8"))["outcomes"]
    topic, form, together, whole = (
        fmean(map(fmean, found[name][what]))
        for name, what in (("content", "topic"), ("form", "capitals"), ("together", "both"), ("directly", "both"))
    )
    return shown_text(
        f"Alone, the first half names the right topic of {topic:.2f} of the articles, and the second writes {form:.2f} "
        f"of its answers in capitals. Together they do both for {together:.2f}; the whole rank, trained on just that, "
        f"for {whole:.2f}."
    )


def controls() -> Shown:
    """What has to hold before a verdict means anything; the second table was asked in the first edition alone."""
    usual = _arm("loreft")
    rows = {
        "LoReFT beats the untouched model": Control(minus(usual, START), "gain"),
        "LoReFT against lora-at-positions": Control(minus(usual, _arm("lora-at-positions")), "open"),
    }
    older = {
        "Shuffled targets teach nothing": Control(minus(_arm("loreft-random-labels"), START), "no gain"),
        "A random edit teaches nothing": Control(minus(_arm("loreft-random-direction"), START), "no gain"),
        "LoReFT against lora-matched": Control(minus(usual, _arm("lora-matched")), "open"),
        "LoReFT against pyreft's": Control(minus(usual, _arm("loreft-pyreft")), "open"),
    }
    return joined([parts.controls(STUDY, rows, WORLD, (FIRST,)), parts.controls(STUDY, older, (), (FIRST,))])


def in_use() -> Shown:
    """What a tuned model costs in training and in use, as `make bench-tuners` measured it."""
    kept = json.loads((RESULTS / "bench_tuners.json").read_text(encoding="utf-8"))
    rows = [
        (
            row["arm"],
            row["trained_parameters"],
            round(row["training_tokens_per_second"]),
            f"{row['training_memory_bytes'] / 2**30:.2f} GiB",
            *(f"{row[kind]['1'] / row[f'{kind}_untouched']['1']:.2f} ×" for kind in ("first_token", "decoding")),
            "yes" if row["mergeable"] else "no",
        )
        for row in kept["tuners"]
        if row["arm"] in IN_USE
    ]
    header = ("Arm", "Trained parameters", "Tokens/s in training", "Memory", "First token", "Tokens/s in use", "Merged")
    where = f"{kept['gpu'] or kept['processor']}, {kept['threads']} threads, {kept['date']}"
    caption = f"{kept['model']}: each tuner in training, and in use as a multiple of the untouched model ({where})"
    return shown_table(caption, header, rows, stack=True)


def cost() -> Shown:
    """What trials took, arm by arm."""
    return folded("What each trial took", parts.cost_table(STUDY))
