"""Scoring of choices beside lm-evaluation-harness, and greedy generation beside transformers.

Time: both sides in one process, in turns, each from texts (or, in chat format, from token ids) to results. The peer's
weights are in the precision that the row names; ours, and those of generate, are as everywhere in this package (bf16 is
autocast). Memory: one fresh process per side.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.parity import harness_model
from benchmarks.rows import Row, compare, peak_memory
from lowres import evaluate, models
from lowres.data import Example, load_probe, load_task
from lowres.language import LanguageModel, inside

MODEL, BATCH, NEW = "smollm2-135m-instruct", 16, 24
ONE_TOKEN = "the peer, too, reads a context once for choices of a single token"
HARNESS, GENERATE = "lm-evaluation-harness 0.4.13", "transformers generate"
Side = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """One comparison: the first items of a data set, done in one way."""

    title: str
    kind: str
    data: str
    items: int
    reach: float
    peer: str = HARNESS
    note: str = ""
    in_bf16: bool = False


WORKS = (
    Work("choices, SIQA (3 short choices, short context)", "plain", "siqa", 32, 2.5, in_bf16=True),
    Work("choices, abstract narratives (5 choices, long context)", "plain", "abstract-narrative", 12, 4),
    Work(
        "choices, BoolQ (yes or no, long context)",
        "plain",
        "boolq",
        16,
        4,
        note="the peer keeps one-token choices",
        in_bf16=True,
    ),
    Work("choices in chat format behind an anchor, BoolQ", "chat", "boolq", 16, 4),
    Work("generation, DisflQA, 16 prompts", "generate", "disflqa", 16, 2, GENERATE, in_bf16=True),
)


def rows(rounds: int) -> Iterator[Row]:
    """All comparisons in fp32, and some in bf16 where the machine is faster in it."""
    again = [work for work in WORKS if work.in_bf16 and models.chosen_precision("cpu") == "bf16"]
    pairs = [(work, "fp32") for work in WORKS] + [(work, "bf16") for work in again]
    return (_row(work, precision, rounds) for work, precision in pairs)


def _row(work: Work, precision: str, rounds: int) -> Row:
    place = str(WORKS.index(work))
    sides = [side(name, place, precision) for name in ("ours", "peer")]
    for once in sides:
        once()
    ours, theirs = compare(*sides, rounds)
    memory = [0.0, 0.0]
    if precision == "fp32":
        memory = [peak_memory("benchmarks.scoring:side", name, place, precision) for name in ("ours", "peer")]
    return Row(work.title, work.peer, "items", work.items, ours, theirs, work.reach, precision, *memory, note=work.note)


def side(name: str, place: str, precision: str) -> Side:
    """The piece of work of one side, everything loaded."""
    work = WORKS[int(place)]
    language_model = _loaded(precision)
    examples = (load_probe if work.data == "siqa" else _task)(work.data).examples[: work.items]
    if work.kind == "generate":
        return _generation(name, language_model, examples)
    return _choices(name, language_model, examples, work)


@functools.cache
def _loaded(precision: str) -> LanguageModel:
    return models.load(MODEL, precision, "cpu")


def _task(name: str) -> Any:
    """A task's test items in the form of a probe."""

    @dataclass(frozen=True)
    class Items:
        examples: tuple[Example, ...]

    return Items(load_task(name).test)


@functools.cache
def _peer_weights(precision: str) -> Any:
    import torch

    model = copy.deepcopy(_loaded(precision).model)
    return model.to(torch.bfloat16) if precision == "bf16" else model


# --- choices ---------------------------------------------------------------------------------------------------------


def _choices(name: str, language_model: LanguageModel, examples: tuple[Example, ...], work: Work) -> Side:
    if name == "ours":
        return functools.partial(_score, language_model, examples, work)
    precision = "bf16" if language_model.autocast else "fp32"
    harness = harness_model(replace(language_model, model=_peer_weights(precision)), BATCH)
    if work.kind == "plain":
        from lm_eval.api.instance import Instance

        asked = [
            Instance("loglikelihood", {}, (example.prompt, f" {choice}"), number)
            for number, example in enumerate(examples)
            for choice in example.choices
        ]
        return functools.partial(harness.loglikelihood, asked, disable_tqdm=True)
    items, _ = evaluate.task_items(language_model, examples, load_task(work.data).instruction, 0)
    pairs = [(("", ""), list(item.context), list(tokens)) for item in items for tokens in item.continuations]
    return functools.partial(harness._loglikelihood_tokens, pairs, disable_tqdm=True)


def _score(language_model: LanguageModel, examples: tuple[Example, ...], work: Work) -> object:
    if work.kind == "plain":
        items = evaluate.plain_items(language_model, examples)
    else:
        items, _ = evaluate.task_items(language_model, examples, load_task(work.data).instruction, 0)
    return evaluate.answer(language_model.model, language_model, items)


# --- generation ------------------------------------------------------------------------------------------------------


def _generation(name: str, language_model: LanguageModel, examples: tuple[Example, ...]) -> Side:
    items, _ = evaluate.task_items(language_model, examples, "", NEW)
    bare = [evaluate.Item(item.context, (), ()) for item in items]
    if name == "ours":
        return functools.partial(evaluate.answer, language_model.model, language_model, bare, NEW)
    return functools.partial(_by_generate, language_model.model, language_model, bare)


def _by_generate(model: Any, language_model: LanguageModel, items: list[evaluate.Item]) -> object:
    """One batch, padded on the left, in the precision of the row."""
    import torch

    from lowres.evaluate.answers import padded

    pad = int(language_model.tokenizer.pad_token_id)
    ids, mask = padded([item.context for item in items], pad, True, language_model.device)
    with torch.inference_mode(), inside.precision_context(language_model):
        return model.generate(input_ids=ids, attention_mask=mask.long(), max_new_tokens=NEW, do_sample=False)
