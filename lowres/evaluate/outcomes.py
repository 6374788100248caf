"""Outcomes per item of tasks and probes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from tqdm import tqdm

from lowres import fast, tuners
from lowres.data import Example, Probe
from lowres.evaluate import passes
from lowres.evaluate.answers import Answers, Item, answer, batches, padded
from lowres.evaluate.metrics import ALWAYS, MEASURES, exact_match
from lowres.models import (
    LanguageModel,
    encode,
    plain_ids,
    prompt_ids,
    shorten,
    token_ids,
)
from lowres.precision import cast_once
from lowres.prompt import with_anchor

Outcomes = dict[str, list[float]]
CUT_ANSWER = "cut_answer"  # 1 where a generated answer filled its room without ending
CHOICE_ROOM = 64  # tokens that a prompt leaves for the choices of a probe in the chat format
TEXT_ROOM = {"cpu": 512, "cuda": 8192}  # tokens of plain text at a time: each has logits over the whole vocabulary


# --- items from examples ---------------------------------------------------------------------------------------------


def task_items(
    language_model: LanguageModel, examples: Sequence[Example], anchor: str, room: int
) -> tuple[list[Item], int]:
    """Items in the model's chat format, continued by every choice (or by the target where there are none).

    Returns:
        The items, and how many prompts had to be cut from their start because they left less than `room` tokens.
    """
    items, cut = [], 0
    for example in examples:
        prompt = with_anchor(anchor, example.prompt)
        context = prompt_ids(language_model, prompt)
        if len(context) > language_model.context - room:
            cut += 1
            spare = language_model.context - room - len(prompt_ids(language_model, with_anchor(anchor, "")))
            body = shorten(language_model, example.prompt, spare + len(prompt_ids(language_model, "")))
            context = prompt_ids(language_model, with_anchor(anchor, body))
        endings = example.choices or (example.target,)
        encoded = [encode(language_model, "", ending).target for ending in endings]
        items.append(Item(context, tuple(encoded), tuple(len(ending) for ending in endings)))
    return items, cut


def plain_items(language_model: LanguageModel, examples: Sequence[Example]) -> list[Item]:
    """Items without chat format: context, then " choice"; split where lm-evaluation-harness splits them.

    An encoder reads the context and a decoder the choice, so there nothing is split.
    """
    items, apart = [], passes.is_encoder_decoder(language_model)
    for example in examples:
        context = plain_ids(language_model, example.prompt)
        if apart:
            endings = tuple(_bare_ids(language_model, f" {choice}") for choice in example.choices)
        else:
            whole = [plain_ids(language_model, f"{example.prompt} {choice}") for choice in example.choices]
            endings = tuple(ids[len(context) :] for ids in whole)
        items.append(Item(context, endings, tuple(len(choice) for choice in example.choices)))
    return items


def _bare_ids(language_model: LanguageModel, text: str) -> tuple[int, ...]:
    return token_ids(language_model.tokenizer, text)


# --- outcomes --------------------------------------------------------------------------------------------------------


def evaluate_task(
    model: nn.Module,
    language_model: LanguageModel,
    examples: Sequence[Example],
    anchor: str,
    max_new_tokens: int,
    metric: str = "",
) -> tuple[Outcomes, list[str], int]:
    """Outcomes on a task's examples, the generated texts, and the number of prompts that had to be cut.

    Choices are scored ("accuracy" by summed log-likelihood, and normalised per token and per character); free answers
    are generated ("exact_match", "token_f1", "rouge_l", and `metric` where it is another one). "target_nll" is the
    target's negative log-likelihood per token, end of turn included, in nats: the continuous companion of every
    discrete metric. CUT_ANSWER tells which answers were cut.
    """
    items, cut = task_items(language_model, examples, anchor, max_new_tokens)
    choices = bool(examples[0].choices)
    answers = answer(model, language_model, items, 0 if choices else max_new_tokens, "task")
    if choices:
        return {**_choice_outcomes(examples, items, answers), **_positive(examples, answers)}, [], cut
    outcomes = judge(examples, answers.texts, metric)
    outcomes[CUT_ANSWER] = list(map(float, answers.cut))
    outcomes["target_nll"] = [
        -score[0] / len(item.continuations[0]) for item, score in zip(items, answers.log_likelihoods, strict=True)
    ]
    return outcomes, list(answers.texts), cut


def judge(examples: Sequence[Example], texts: Sequence[str], metric: str) -> Outcomes:
    """Outcomes of given texts: "accuracy" where there are choices (the right one is named), else those of free text."""
    pairs = list(zip(examples, texts, strict=True))
    if examples[0].choices:
        return {"accuracy": [exact_match(text, example.target) for example, text in pairs]}
    return {
        name: [MEASURES[name](example.prompt, text, example.answers or (example.target,)) for example, text in pairs]
        for name in dict.fromkeys((*ALWAYS, *([metric] if metric in MEASURES else [])))
    }


def _positive(examples: Sequence[Example], answers: Answers) -> Outcomes:
    """Where all examples have the same two choices: the probability of the first of them, and whether it is right.

    The probability is renormalised over both; "positive_probability" and "positive" are what AUC-PR is made of.
    """
    if any(len(example.choices) != 2 or example.choices != examples[0].choices for example in examples):
        return {}
    return {
        "positive_probability": [1 / (1 + math.exp(min(700.0, no - yes))) for yes, no in answers.log_likelihoods],
        "positive": [float(example.target == example.choices[0]) for example in examples],
    }


def evaluate_probe(model: nn.Module, language_model: LanguageModel, probe: Probe, count: int) -> Outcomes:
    """Outcomes on the first `count` examples of a probe: choices, or "nll" per token of a text (nats)."""
    examples = probe.examples[:count]
    if probe.kind == "nll":
        return {"nll": text_nll(model, language_model, [example.target for example in examples], probe.name)}
    if probe.chat:
        items, _ = task_items(language_model, examples, "", CHOICE_ROOM)
    else:
        items = plain_items(language_model, examples)
    return _choice_outcomes(examples, items, answer(model, language_model, items, title=probe.name))


def _choice_outcomes(examples: Sequence[Example], items: Sequence[Item], answers: Answers) -> Outcomes:
    names = ("accuracy", "accuracy_per_token", "accuracy_per_character", "target_nll", "chosen")
    outcomes: Outcomes = {name: [] for name in names}
    for example, item, scores in zip(examples, items, answers.log_likelihoods, strict=True):
        gold = example.choices.index(example.target)
        lengths = [len(tokens) for tokens in item.continuations]
        per_token = [score / length for score, length in zip(scores, lengths, strict=True)]
        per_character = [score / max(1, size) for score, size in zip(scores, item.characters, strict=True)]
        outcomes["accuracy"].append(float(_best(scores) == gold))
        outcomes["accuracy_per_token"].append(float(_best(per_token) == gold))
        outcomes["accuracy_per_character"].append(float(_best(per_character) == gold))
        outcomes["target_nll"].append(-per_token[gold])
        outcomes["chosen"].append(float(_best(scores)))
    return outcomes


def _best(scores: Sequence[float]) -> int:
    """Index of the largest score, the first among equals."""
    return max(range(len(scores)), key=lambda index: scores[index])


@torch.inference_mode()
def text_nll(model: nn.Module, language_model: LanguageModel, texts: Sequence[str], title: str = "nll") -> list[float]:
    """Negative log-likelihood per token of each text (nats), its first token taken as given.

    An encoder-decoder reads the first half of the text's tokens (rounded up) and is scored on the rest.
    """
    rows = [plain_ids(language_model, text)[: language_model.context] for text in texts]
    if passes.is_encoder_decoder(language_model):
        halves = [(len(row) + 1) // 2 for row in rows]
        items = [Item(row[:half], (row[half:],), (0,)) for row, half in zip(rows, halves, strict=True)]
        scores = answer(model, language_model, items, title=title).log_likelihoods
        return [-score[0] / len(item.continuations[0]) for item, score in zip(items, scores, strict=True)]
    values = [0.0] * len(rows)
    room = TEXT_ROOM.get(language_model.device.type, TEXT_ROOM["cpu"])
    reader = fast.reader(model, language_model.autocast)
    with (
        cast_once(model, language_model),
        tqdm(total=len(rows), desc=title, unit="text", leave=False, mininterval=1.0) as bar,
    ):
        for indices in batches([Item(row, (), ()) for row in rows], room, mixed=True):
            some = [rows[index] for index in indices]
            found = _nll(model, language_model, some) if reader is None else reader.texts(some)
            for index, value in zip(indices, found, strict=True):
                values[index] = value
            bar.update(len(indices))
    return values


def _nll(model: nn.Module, language_model: LanguageModel, rows: Sequence[Sequence[int]]) -> list[float]:
    ids, mask = padded(rows, int(language_model.tokenizer.pad_token_id), False, language_model.device)
    wanted = mask.clone()
    wanted[:, :-1] &= mask[:, 1:]
    wanted[:, -1] = False
    positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    given = {"input_ids": ids, "attention_mask": mask.long(), "position_ids": positions, "use_cache": False}
    with tuners.prompt_at(model, mask):
        logits, _ = passes.forward(model, language_model, given, wanted)
    losses = nn.functional.cross_entropy(logits, ids[:, 1:][wanted[:, :-1]], reduction="none").double()
    totals = losses.new_zeros(len(rows)).index_add(0, wanted.nonzero()[:, 0], losses)
    return (totals / wanted.sum(1)).tolist()
