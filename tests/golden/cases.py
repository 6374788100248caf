"""The golden trials, one line each: what differs from `BASE`, and on which architecture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lowres import tuners
from lowres.data import METRICS, ORDERS
from lowres.data.rationales import AS_PREDICTION, USES
from lowres.optimisation import Optimisation
from lowres.trial import Evaluation, Recipe, Stage, Trial
from lowres.trial.material import ANCHORS
from tests.golden.content import FILE

RATE = Optimisation(1e-2, epochs=1, batch_size=4)
TWICE = replace(RATE, epochs=2)
GENTLE = 1e-3  # where a larger rate would blow up the rounding of a processor
PROBES = ("golden-plain", "golden-chat", "golden-nll")
EVERY = Evaluation(items=4, probes=PROBES, probe_items=4)
BASE = Trial(
    study="golden",
    arm="",
    model="llama",
    task="golden-free",
    recipe=Recipe(task_tokens=240),
    tuner=tuners.LoRA(rank=2),
    optimisation=RATE,
    evaluation=Evaluation(items=4),
    seed=0,
    precision="fp32",
)
UNTOUCHED: dict[str, Any] = {"tuner": None, "optimisation": None}
MIXED = {"general_tokens": 300, "anchor": "hand-written"}
OTHERS = ("plain", "qwen2", "gpt2", "gpt_neox", "opt", "bloom", "gemma3", "experts", "t5")
# Which of the tuners fit an architecture besides LoRA and full tuning.
FITTING = {
    "plain": ("prefix", "loreft"),
    "qwen2": ("bitfit", "loreft"),
    "gpt2": ("bitfit", "loreft"),
    "gpt_neox": ("series-adapter", "lora-at-positions"),
    "opt": ("prompt", "lora-at-positions"),
    "bloom": ("red", "loreft"),
    "gemma3": ("parallel-adapter", "loreft"),
    "experts": ("loreft",),
    "t5": ("ia3", "loreft", "series-adapter"),
}
SMALLER = {"prefix": {"tokens": 3}, "prompt": {"tokens": 3}, "vera": {"rank": 16}, "series-adapter": {"width": 4}}
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {  # of tuners, at other values than their own
    "lora, dropout": ("lora", {"dropout": 0.2}),
    "lora, named layers": ("lora", {"rank": 4, "alpha": 6, "targets": "q_proj,down_proj"}),
    "ia3, named layers": ("ia3", {"targets": "k_proj", "feedforward": "down_proj"}),
    "road, group": ("road", {"group": 4, "targets": "v_proj"}),
    "vera, named layers": ("vera", {"rank": 8, "targets": "q_proj"}),
    "series-adapter, dropout": ("series-adapter", {"width": 4, "dropout": 0.2}),
    "loreft, untied": ("loreft", {"rank": 2, "positions": "p2+s3", "tied": False}),
    "loreft, last block": ("loreft", {"rank": 2, "positions": "s2", "layers": "1"}),
    "loreft, dropout": ("loreft", {"rank": 2, "positions": "p3", "dropout": 0.2}),
    "loreft-pyreft, untied": ("loreft-pyreft", {"rank": 2, "positions": "p1+s2", "tied": False}),
}


def _recipes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every way to put the data together."""
    for anchor in ANCHORS:
        yield f"anchor {anchor}", {"recipe": Recipe(task_tokens=240, anchor=anchor)}
    for order in ORDERS:
        yield f"order {order}", {"recipe": Recipe(task_tokens=160, order=order, **MIXED), "optimisation": TWICE}
    yield "general data alone", {"recipe": Recipe(general_tokens=400)}
    yield "random labels", {"recipe": Recipe(task_tokens=240, labels="random")}
    yield "random labels, choices", {"task": "golden-choice", "recipe": Recipe(task_tokens=240, labels="random")}
    yield "shots", {**UNTOUCHED, "recipe": Recipe(shots=2, anchor="hand-written")}
    yield "shots, trained", {"recipe": Recipe(task_tokens=160, shots=1)}
    yield "examples", {"recipe": Recipe(task_examples=6)}
    yield "examples of a pool", {"recipe": Recipe(task_examples=6, pool=9)}
    yield "too long", {"task": "golden-long", "recipe": Recipe(task_examples=9, anchor="hand-written")}
    many = Recipe(shots=6, anchor="hand-written")  # more prompts than are read at a time
    yield "shots, all that fit", {**UNTOUCHED, "recipe": many, "evaluation": Evaluation(items=6)}
    yield "too long, choices", {"task": "golden-choice", "recipe": Recipe(shots=9), **UNTOUCHED}
    for seed in (1, 2):
        yield f"seed {seed}", {"seed": seed, "recipe": Recipe(task_tokens=160, **MIXED)}
    yield "all items", {"evaluation": Evaluation()}
    for model in ("llama", "opt", "t5"):
        yield f"recovery, {model}", {"model": model, "evaluation": replace(EVERY, recovery=True)}
    yield "recovery, loreft", {**_tuned("loreft", rank=2), "evaluation": replace(EVERY, recovery=True)}
    yield "validation", {"evaluation": replace(EVERY, split="validation")}


def _rationales() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every use of rationales; those of a file, those that come with the data, those of the world."""
    for use in USES:
        if use == "none":
            continue
        here = UNTOUCHED if use in AS_PREDICTION else {}
        yield f"rationale {use}", {"recipe": Recipe(task_examples=8, rationale=use, rationales=FILE), **here}
    for use in ("input", "target"):
        own = {"rationale": use, "rationales": "own", "anchor": "hand-written"}
        yield f"own rationale {use}", {"recipe": Recipe(task_examples=8, **own)}
        yield f"world rationale {use}", {"task": "world-golden", "recipe": Recipe(task_examples=6, **own)}
    stripped = Recipe(rationale="stripped", rationales="own")
    yield "world rationale stripped", {"task": "world-golden", "recipe": stripped, **UNTOUCHED}
    asked = Recipe(rationale="input", rationales=FILE)
    yield "rationale input, choices", {"task": "golden-choice", "recipe": asked, **UNTOUCHED}
    voted = Recipe(rationale="as-vote", rationales=FILE)
    yield "rationale as-vote, choices", {"task": "golden-yes-no", "recipe": voted, **UNTOUCHED}


def _optimisations() -> Iterator[tuple[str, dict[str, Any]]]:
    full = {"tuner": tuners.Full(), "recipe": Recipe(task_examples=6)}
    slow = replace(RATE, learning_rate=GENTLE)
    yield "steps", {**full, "optimisation": replace(slow, steps=5)}
    yield "warm-up", {**full, "optimisation": replace(slow, epochs=3, warmup=0.5)}
    yield "weight decay", {**full, "optimisation": replace(slow, epochs=3, weight_decay=0.5)}
    yield "clipping", {**full, "optimisation": replace(slow, epochs=3, clip=0.1)}
    yield "one batch", {**full, "optimisation": replace(slow, epochs=3, batch_size=16)}
    last = tuners.make("loreft", rank=2, layers="1")
    often = {"tuner": last, "recipe": Recipe(task_examples=6), "optimisation": replace(RATE, epochs=3)}
    yield "frozen beginning", often
    yield "frozen beginning, qwen2", {**often, "model": "qwen2"}


def _tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every metric, kind of answer and kind of probe; streams."""
    for metric in METRICS:
        judged = Recipe(rationale="as-answer", rationales=FILE)
        yield (
            f"metric {metric}",
            {"task": f"golden-{metric}", "recipe": judged, **UNTOUCHED, "evaluation": Evaluation(items=6)},
        )
        if metric != "accuracy":
            yield f"metric {metric}, generated", {"task": f"golden-{metric}", "evaluation": Evaluation(items=3)}
    yield "choices", {"task": "golden-choice", "evaluation": EVERY}
    yield "two choices", {"task": "golden-yes-no", "evaluation": EVERY}
    yield "untouched", {**UNTOUCHED, "evaluation": EVERY}
    yield "probes alone", {**UNTOUCHED, "evaluation": replace(EVERY, items=0)}
    before = (
        Stage("golden-choice", Recipe(task_examples=6), RATE),
        Stage("golden-yes-no", Recipe(task_examples=6, **MIXED), RATE),
    )
    for name, tuner in (
        ("lora", tuners.LoRA(rank=2)),
        ("full", tuners.Full()),
        ("loreft", tuners.make("loreft", rank=2)),
    ):
        rate = replace(RATE, learning_rate=GENTLE if name == "full" else RATE.learning_rate)
        stream = tuple(replace(stage, optimisation=rate) for stage in before)
        yield f"stream, {name}", {"tuner": tuner, "stream": stream, "optimisation": rate, "evaluation": EVERY}
    yield "stream, untouched", {**UNTOUCHED, "stream": before, "evaluation": replace(EVERY, items=3)}


def _tuners() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in tuners.tuner_names():
        yield f"tuner {name}", _tuned(name)
    for title, (name, options) in OPTIONS.items():
        yield title, _tuned(name, **options)
    yield "loreft, choices", {**_tuned("loreft", rank=2), "task": "golden-choice", "evaluation": EVERY}
    yield "prompt, choices", {**_tuned("prompt", tokens=2), "task": "golden-choice", "evaluation": EVERY}
    yield "loreft-pyreft, choices", {**_tuned("loreft-pyreft", rank=2), "task": "golden-choice"}


def _tuned(name: str, **options: Any) -> dict[str, Any]:
    rate = replace(TWICE, learning_rate=GENTLE if name in ("full", "dora") else RATE.learning_rate)
    return {"tuner": tuners.make(name, **{**SMALLER.get(name, {}), **options}), "optimisation": rate}


def _architectures() -> Iterator[tuple[str, dict[str, Any]]]:
    for model in OTHERS:
        for name in ("lora", "full", *FITTING[model]):
            choices = {"task": "golden-choice"} if name == "full" else {}
            yield f"{model}, {name}", {"model": model, **_tuned(name), **choices, "evaluation": EVERY}
    anchored = Recipe(task_examples=6, anchor="model-written")
    yield "t5, model-written anchor", {"model": "t5", "recipe": anchored}


def _precisions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Products in bfloat16, with weights that are large enough to be cast once, and with small ones.

    Choices only: a generated text may turn on the last bit of such a product, which differs between processors.
    """
    gentle = replace(RATE, learning_rate=GENTLE)
    measured = {"precision": "bf16", "task": "golden-choice", "evaluation": EVERY}
    for name in ("lora", "full", "dora", "loreft", "bitfit", "series-adapter"):
        yield f"bf16, wide, {name}", {"model": "wide", **measured, **_tuned(name), "optimisation": gentle}
    yield "bf16, opt, lora", {"model": "opt", **measured, "optimisation": gentle}
    yield "bf16, t5, lora", {"model": "t5", **measured, "optimisation": replace(gentle, steps=2)}
    yield "wide, lora", {"model": "wide", "optimisation": gentle, "evaluation": EVERY}


def all_cases() -> dict[str, Trial]:
    """The trials by name, those of one model and precision together; a model is named by its architecture."""
    groups = (_tuners, _recipes, _rationales, _optimisations, _tasks, _architectures, _precisions)
    found = [(name, replace(BASE, arm=name, **changes)) for group in groups for name, changes in group()]
    assert len(dict(found)) == len(found), "two cases of one name"
    return dict(sorted(found, key=lambda pair: (pair[1].model, pair[1].precision)))
