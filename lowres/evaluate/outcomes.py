"""Outcomes per item of tasks and probes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import nn
from tqdm import tqdm

from lowres import fast, tuners
from lowres.data import Example, Probe
from lowres.evaluate import passes
from lowres.evaluate.answers import Answers, Item, answer, batches, padded
from lowres.evaluate.metrics import ALWAYS, MEASURES, exact_match
from lowres.language import LanguageModel
from lowres.language.formats import encode, frame, is_encoder_decoder, plain_ids, token_ids
from lowres.language.precision import cast_once
from lowres.language.prompt import Fitting

Outcomes = dict[str, list[float]]
CUT_ANSWER = "cut_answer"  # 1 where a generated answer filled its room without ending
CHOICE_ROOM = 64  # tokens that a prompt leaves for the choices of a probe in the chat format
TEXT_ROOM = {"cpu": 512, "cuda": 8192}  # tokens of plain text at a time: each has logits over the whole vocabulary


# --- items from examples ---------------------------------------------------------------------------------------------


def task_items(
    language_model: LanguageModel, examples: Sequence[Example], anchor: str, room: int, shots: Sequence[str] = ()
) -> tuple[list[Item], Counter[str]]:
    """Items in the model's chat format, continued by every choice (or by the target where there are none).

    Returns:
        The items, whose prompts leave `room` tokens of the context; and what prompts lost for it: `shots_dropped`
        solved examples, and their start in `cut_prompts` of them. `prompt_tokens` is their length.
    """
    items, fitting = [], Fitting(language_model, anchor, shots, room)
    for example in examples:
        context = fitting.ids(example.prompt)
        endings = example.choices or (example.target,)
        encoded = [encode(language_model, "", ending).target for ending in endings]
        items.append(Item(context, tuple(encoded), tuple(len(ending) for ending in endings)))
    return items, fitting.counts


def plain_items(language_model: LanguageModel, examples: Sequence[Example]) -> list[Item]:
    """Items without chat format: context, then " choice"; split where lm-evaluation-harness splits them.

    An encoder reads the context and a decoder the choice, so there nothing is split.
    """
    items, apart = [], is_encoder_decoder(language_model)
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


def task_outcomes(
    model: nn.Module,
    language_model: LanguageModel,
    examples: Sequence[Example],
    items: Sequence[Item],
    max_new_tokens: int,
    metric: str = "",
) -> tuple[Outcomes, list[str]]:
    """Outcomes on a task's examples, asked as `items`, and the generated texts.

    Choices are scored ("accuracy" by summed log-likelihood, and normalised per token and per character); free answers
    are generated ("exact_match", "token_f1", "rouge_l", and `metric` where it is another one). "target_nll" is the
    right answer's negative log-likelihood per token, end of turn included, in nats: the continuous companion of every
    discrete metric. "bits_per_byte" is the same sum in bits, divided by the answer's bytes in UTF-8 (the end of turn
    adds bits and no byte): it does not depend on how a tokenizer splits. CUT_ANSWER tells
    which generated answers were cut.
    """
    choices = bool(examples[0].choices)
    answers = answer(model, language_model, items, 0 if choices else max_new_tokens, "task")
    outcomes = _choice_outcomes(examples, items, answers) if choices else judge(examples, answers.texts, metric)
    scored = list(zip(examples, items, answers.log_likelihoods, right_ones(examples), strict=True))
    outcomes["target_nll"] = [-scores[right] / len(item.continuations[right]) for _, item, scores, right in scored]
    outcomes["bits_per_byte"] = [bits_per_byte(scores[right], example.target) for example, _, scores, right in scored]
    if choices:
        outcomes |= _positive(examples, answers)
    else:
        outcomes[CUT_ANSWER] = list(map(float, answers.cut))
    return outcomes, [] if choices else list(answers.texts)


def right_ones(examples: Sequence[Example]) -> list[int]:
    """Which continuation of each example's item is the right answer."""
    return [example.choices.index(example.target) if example.choices else 0 for example in examples]


def bits_per_byte(log_likelihood: float, text: str) -> float:
    """Bits that a model needs for a text, per byte of it in UTF-8, from its log-likelihood in nats."""
    return -log_likelihood / math.log(2) / max(1, len(text.encode()))


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
    items = probe_items(language_model, probe, examples)
    return _choice_outcomes(examples, items, answer(model, language_model, items, title=probe.name))


def probe_items(language_model: LanguageModel, probe: Probe, examples: Sequence[Example]) -> list[Item]:
    """Items of a probe with choices, as plain text or in the model's chat format."""
    if probe.chat:
        return task_items(language_model, examples, "", CHOICE_ROOM)[0]
    return plain_items(language_model, examples)


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
    if is_encoder_decoder(language_model):
        items = [halved(language_model, text) for text in texts]
        scores = answer(model, language_model, items, title=title).log_likelihoods
        return [-score[0] / len(item.continuations[0]) for item, score in zip(items, scores, strict=True)]
    rows = [plain_ids(language_model, text)[: language_model.context] for text in texts]
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


def halved(language_model: LanguageModel, text: str) -> Item:
    """A text for an encoder-decoder: its first half (rounded up) as an encoder reads one, then the rest to be said."""
    before, behind = frame(language_model.tokenizer)
    ids = _bare_ids(language_model, text)[: language_model.context - len(before) - len(behind)]
    half = (len(ids) + 1) // 2
    return Item((*before, *ids[:half], *behind), (ids[half:],), (0,))


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
