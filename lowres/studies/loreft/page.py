"""What the page of LoReFT shows beside its verdicts: each figure is a mapping from its axes to cells."""

from __future__ import annotations

import json
from functools import partial
from statistics import fmean

from lowres import places as folders
from lowres.outcomes import Cell
from lowres.page import drawing, parts, verdicts
from lowres.page.diagrams import Box, diagram
from lowres.page.drawing import level, minus
from lowres.page.markup import Shown, folded, joined, shown_table, shown_text
from lowres.page.parts import Control
from lowres.rules import LOSS
from lowres.studies.loreft.arms import ARMS
from lowres.studies.loreft.claims import MARGIN
from lowres.studies.loreft.rules import (
    CHOICE,
    FORMS,
    INSTRUCTIONS,
    KNOWING,
    LONGER,
    ON_A_PAR,
    QUESTIONS,
    RECITATION,
    SHORT,
    TOPICS,
    WORDS,
    budget,
    places,
)

STUDY = "loreft"
PROBES = ("world-fact-home", "world-relation", "world-either", "world-reading-new")
START: Cell = {"arm": "untouched", "task_tokens": 0}
USUAL: Cell = {"rank": 8, "positions": "p7+s7", "layers": "all"}  # of LoReFT where nothing is varied
TUNERS = (
    *("full", "bitfit", "lora", "lora-small", "dora", "ia3", "prefix", "prompt", "series-adapter", "parallel-adapter"),
    *("vera", "road", "red", "direft", "loreft", "lora-matched", "lora-at-positions", "loreft-half-rank"),
)
WORLD = places(KNOWING)
# of the first edition
FIRST_WORLD = tuple({"model": model, "task": "world-question-new-words"} for model in ("world-xs", "world-s", "world-m"))
FIRST: Cell = {**FIRST_WORLD[1], "task_tokens": 6_000}
FIRST_PROBES = ("world-fact-home", "world-two-hop-new", "world-either")
FIRST_TOPICS: Cell = {**TOPICS, "probes": ()}
NAMED = ("smollm2-135m-instruct", "SmolLM2")

strip = partial(verdicts.strip, STUDY)
cards = partial(verdicts.cards, STUDY)
origin = partial(parts.origin, STUDY)
rates = partial(parts.rates_table, STUDY)
drift = partial(parts.drift, STUDY)
verification = partial(parts.verification, STUDY)
deviations = partial(parts.deviations, STUDY)


def arm(name: str) -> Cell:
    """An arm with the usual options."""
    return {"arm": name, **(USUAL if name == "loreft" else {})}


def idea() -> Shown:
    """Which positions are edited, in which layers."""
    columns = ("first 7 tokens\nof the prompt", "the rest of it", "last 7 tokens\nof the prompt", "the answer")
    edited, boxes, arrows = (True, False, True, False), [], []
    for column, (words, edit) in enumerate(zip(columns, edited, strict=True)):
        x = 4 + 186.0 * column
        text = "h + Rᵀ(Wh + b - Rh)" if edit else "h"
        boxes += [Box(x, y, 170, 36, f"{name}: {text}", not edit) for y, name in ((4, "top"), (60, "..."), (116, "1"))]
        boxes.append(Box(x, 176, 170, 44, words, soft=True))
        arrows += [(x + 85, y, x + 85, y - 18) for y in (58.0, 114.0, 174.0)]
    return diagram(
        "loreft-idea",
        "A grid of layers over positions. In every layer the hidden states of the first and the last seven prompt tokens "
        "are edited; those between them and those of the answer are not.",
        "LoReFT edits h at a few positions of the prompt (solid) behind every layer, from the first to the top. All "
        "weights stay. The answer feels the edits through what it looks back at.",
        boxes,
        arrows,
    )


def arms_table() -> Shown:
    """Every arm of the page."""
    return folded("What each arm trains", parts.arms_table(ARMS, ARMS))


def budgets(real: bool = False) -> Shown:
    """Score against trained parameters; on real text the first edition alone has so many tuners."""
    return drawing.scatter(
        drawing.evidence(STUDY),
        f"loreft-budgets{'-real' if real else ''}",
        "Which tuner for how many trained parameters? The higher and the further left, the better. Line: untouched.",
        {"untouched": level(START)} | {name: level(arm(name)) for name in TUNERS},
        "trained_parameters",
        places=() if real else WORLD,
        first=(FIRST_TOPICS if real else FIRST,),
        x="trained parameters",
        y="score",
        x_scale="log",
    )


def against_lora() -> Shown:
    """LoReFT minus LoRA, task by task."""
    tasks = places(tuple(dict.fromkeys((*KNOWING, *CHOICE, SHORT, *LONGER))))
    first = [FIRST_TOPICS, *({**place, "task_tokens": 6_000} for place in FIRST_WORLD)]
    first += [{**QUESTIONS, "task_tokens": 29_000}, _told(2)]
    here = [*tasks, QUESTIONS, INSTRUCTIONS, TOPICS, *first]
    rows = {_name(place): minus({**place, **arm("loreft")}, {**place, **arm("lora")}) for place in here}
    return drawing.forest(
        drawing.evidence(STUDY),
        "loreft-against-lora",
        "Where is LoReFT ahead of LoRA? Each task by itself; the claims ask for means over several.",
        rows,
        places=({},),
        first=({},),
        x="score of LoReFT minus that of LoRA",
        marks={"no difference": 0.0, "margin": MARGIN, "margin below": -MARGIN},
    )


def _name(place: Cell) -> str:
    return f"{place['task']}, {str(place['model']).replace(*NAMED)}, {place['task_tokens']:,} tokens"


def forms() -> Shown:
    """Other forms of the edit minus LoReFT's."""
    names = ("no-subtraction", "non-orthogonal", "constant", "bias-only", "frozen-rotation", "untied")
    rows = {"direft": minus(arm("direft"), arm("loreft"))}
    rows |= {name: minus(arm(f"loreft-{name}"), arm("loreft")) for name in names}
    return drawing.forest(
        drawing.evidence(STUDY),
        "loreft-forms",
        "What in the edit matters? Each other form minus LoReFT; between the dotted lines they count as alike.",
        rows,
        places=places(FORMS),
        first=(FIRST,),
        x="score minus that of LoReFT",
        marks={"no difference": 0.0, "alike up to": ON_A_PAR, "alike from": -ON_A_PAR},
    )


def ranks() -> Shown:
    """LoReFT against its rank; the rules vary nothing of the kind."""
    e = drawing.evidence(STUDY)
    tried = e.first.values("rank", arm="loreft")
    lines = {"LoReFT": {rank: level({**arm("loreft"), "rank": rank}) for rank in tried}}
    caption = "How many dimensions? All at the rate that was chosen for rank 8."
    return drawing.curve(
        e, "loreft-ranks", caption, lines, places=(), first=(FIRST,), x="rank", y="score", x_scale="tokens"
    )


def where() -> Shown:
    """LoReFT with other positions and layers."""
    e = drawing.evidence(STUDY)
    tried = [{"positions": p} for p in e.first.values("positions", arm="loreft")]
    tried += [{"layers": each} for each in e.first.values("layers", arm="loreft") if each != "all"]
    rows = {" ".join(*one.items()): level({**arm("loreft"), **one}) for one in tried}
    caption = "Which positions and layers? p7+s7: the first and last seven tokens; layers count from 0. Usual: p7+s7, all."
    return drawing.forest(e, "loreft-where", caption, rows, places=(), first=(FIRST,), x="score", marks={"nothing": 0.0})


def data() -> Shown:
    """LoReFT and LoRA against the task data, all at the rate that was chosen with most."""
    e, (place,) = drawing.evidence(STUDY), FIRST_WORLD[1:2]
    tried = e.first.values("task_tokens", arm="lora", **place)
    lines = {name: {t: level({**arm(name), "task_tokens": t}) for t in tried} for name in ("loreft", "lora")}
    caption = "How much data? Both at the rate that was chosen with all of them."
    return drawing.curve(
        e, "loreft-data", caption, lines, places=(), first=(place,), x="task tokens", y="score", x_scale="tokens"
    )


def _told(sentences: int) -> Cell:
    task = f"world-telling-{sentences}"
    return {"model": "world-s", "task": task, "task_tokens": 5_000 if sentences == 2 else budget(task)}


def lengths() -> Shown:
    """The score against the number of sentences that are to be told."""
    names = ("full", "lora", "lora-matched", "lora-at-positions", "loreft", "prefix")
    lines = {name: {n: level({**_told(n), **arm(name)}, WORDS) for n in (1, 2, 4)} for name in names}
    return drawing.curve(
        drawing.evidence(STUDY),
        "loreft-lengths",
        "Does a long answer dilute an edit of the prompt? Sentences told about a person, after equally long prompts.",
        lines,
        places=({},),
        first=({},),
        x="sentences in the answer",
        y="ROUGE-L",
    )


def price() -> Shown:
    """What was gained on the task against what was lost of what the model knew."""
    e = drawing.evidence(STUDY)
    probes = PROBES if e.judged.records else FIRST_PROBES
    return drawing.scatter(
        e,
        "loreft-price",
        f"What was learnt, and what did it cost? To the left less is lost of {', '.join(probes)}; higher up more is "
        "learnt.",
        {name: minus(arm(name), START) for name in TUNERS},
        {name: level(arm(name), LOSS, probes) for name in TUNERS},
        places=WORLD,
        first=(FIRST,),
        x="chance-corrected loss of what the model knew",
        y="score gained over the untouched model",
    )


def recitation() -> Shown:
    """A text and random words, recited by one edit of rank 1."""
    columns = {"a text of 32 words": "recitation-32", "32 random words": "recitation-random-32"}
    e, rows = drawing.evidence(STUDY), {"one shift of rank 1 (recall)": {"arm": "recall"}}
    asked = {name: lambda cell, task=task: level({**cell, "task": task}) for name, task in columns.items()}
    place = ({"model": RECITATION["model"]},)
    return drawing.table(e, "How much fits into one edit? Share recited.", rows, asked, places=place, first=place)


def composition() -> Shown:
    """What two halves of a subspace do alone and together, as `make composition` measured it."""
    path = folders.RESULTS / "composition.json"
    if not path.is_file():
        return shown_text("Halves of a subspace were not measured yet: make composition does it.")
    found = json.loads(path.read_text(encoding="utf-8"))["outcomes"]
    mean = {name: {kind: fmean(map(fmean, rows)) for kind, rows in one.items()} for name, one in found.items()}
    return shown_text(
        f"Alone, the first half names the right topic of {mean['content']['topic']:.2f} of the articles, and the second "
        f"writes {mean['form']['capitals']:.2f} of its answers in capitals. Together they do both for "
        f"{mean['together']['both']:.2f}; the whole rank, trained on just that, for {mean['directly']['both']:.2f}."
    )


def controls() -> Shown:
    """What has to hold before a verdict means anything; the second table was asked in the first edition alone."""
    start, usual = START, arm("loreft")
    rows = {
        "LoReFT beats the untouched model": Control(minus(usual, start), "gain"),
        "LoReFT against LoRA of as many parameters at the same positions": Control(
            minus(usual, arm("lora-at-positions")), "open"
        ),
    }
    older = {
        "Shuffled targets teach nothing": Control(minus(arm("loreft-random-labels"), start), "no gain"),
        "A random edit of which the size is learned does not help": Control(
            minus(arm("loreft-random-direction"), start), "no gain"
        ),
        "LoReFT against pyreft's": Control(minus(usual, arm("loreft-pyreft")), "open"),
        "Against LoRA of as many parameters at all positions": Control(minus(usual, arm("lora-matched")), "open"),
    }
    return joined([parts.controls(STUDY, rows, WORLD, (FIRST,)), parts.controls(STUDY, older, (), (FIRST,))])


def in_use() -> Shown:
    """What a tuned model costs in training and in use, as `make bench-tuners` measured it."""
    path = folders.RESULTS / "bench_tuners.json"
    if not path.is_file():
        return shown_text("What tuned models cost in use was not measured yet: make bench-tuners does it.")
    kept = json.loads(path.read_text(encoding="utf-8"))
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
    ]
    header = ("Arm", "Trained parameters", "Tokens/s in training", "Memory", "First token", "Tokens/s in use", "Merged")
    where = f"{kept['gpu'] or kept['processor']}, {kept['threads']} threads, {kept['date']}"
    caption = f"Tuners of {kept['model']} in training, and in use as multiples of the untouched model ({where})"
    return shown_table(caption, header, rows, stack=True)


def cost() -> Shown:
    """What trials took, arm by arm."""
    return folded("What each trial took", parts.cost_table(STUDY))
