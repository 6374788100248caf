"""Score choices, generate, and measure; every outcome is kept per item.

The prompt of an item runs through the model once. Its choices, its target and the generated answer all continue from
the cached keys and values, so a long context costs the same with one choice or with five.
"""

from __future__ import annotations

import copy
import functools
import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from lowres.data import Example, Probe
from lowres.models import (
    LanguageModel,
    encode,
    end_tokens,
    logits_only_at,
    plain_ids,
    precision_context,
    prompt_ids,
    shorten,
)

Outcomes = dict[str, list[float]]


@dataclass(frozen=True)
class Item:
    """A prompt and its continuations as token ids, with their lengths in characters."""

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    characters: tuple[int, ...]


@dataclass(frozen=True)
class Answers:
    """Per item: summed log-likelihood of each continuation (nats); the generated text ("" if none was asked for)."""

    log_likelihoods: tuple[tuple[float, ...], ...]
    texts: tuple[str, ...]


# --- one pass over the items -----------------------------------------------------------------------------------------


@torch.inference_mode()
def answer(
    model: nn.Module, language_model: LanguageModel, items: Sequence[Item], max_new_tokens: int = 0, title: str = ""
) -> Answers:
    """Log-likelihood of every continuation, and greedy generation, in length-sorted batches.

    Args:
        items: all with the same number of continuations, or mixed (they are grouped).
        max_new_tokens: 0 for no generation; it ends at the model's end-of-turn token.
    """
    likelihoods: list[tuple[float, ...]] = [()] * len(items)
    texts = [""] * len(items)
    with tqdm(total=len(items), desc=title or "evaluate", unit="item", leave=False, mininterval=1.0) as bar:
        for indices in _batches(items, language_model.device.type):
            rows = [items[index] for index in indices]
            contexts = _Contexts.read(model, language_model, [row.context for row in rows])
            if rows[0].continuations:
                for index, scores in zip(indices, contexts.score([row.continuations for row in rows]), strict=True):
                    likelihoods[index] = scores
            if max_new_tokens:
                for index, text in zip(indices, contexts.generate(max_new_tokens), strict=True):
                    texts[index] = text
            bar.update(len(rows))
    return Answers(tuple(likelihoods), tuple(texts))


def _batches(items: Sequence[Item], device: str) -> Iterator[list[int]]:
    """Indices of items with as many continuations and similar lengths; at most `room` context tokens at a time."""
    room = 2048 if device == "cpu" else 65536
    order = sorted(range(len(items)), key=lambda i: (len(items[i].continuations), len(items[i].context), i))
    batch: list[int] = []
    for index in order:
        longest = len(items[index].context)
        full = (len(batch) + 1) * longest > room
        if batch and (full or len(items[index].continuations) != len(items[batch[0]].continuations)):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


@dataclass
class _Contexts:
    """A batch of prompts after one forward pass: keys and values, and the log-probabilities of the next token."""

    model: nn.Module
    language_model: LanguageModel
    cache: Any
    mask: torch.Tensor  # [batch, length], False on the left padding
    following: torch.Tensor  # [batch, vocabulary], log-probabilities

    @classmethod
    def read(cls, model: nn.Module, language_model: LanguageModel, contexts: Sequence[Sequence[int]]) -> _Contexts:
        length = max(len(context) for context in contexts)
        ids = torch.full((len(contexts), length), int(language_model.tokenizer.pad_token_id))
        mask = torch.zeros(len(contexts), length, dtype=torch.bool)
        for row, context in enumerate(contexts):
            ids[row, length - len(context) :] = torch.tensor(context)
            mask[row, length - len(context) :] = True
        ids, mask = ids.to(language_model.device), mask.to(language_model.device)
        last = torch.zeros_like(mask)
        last[:, -1] = True
        logits, cache = _forward(model, language_model, ids, mask, None, last)
        return cls(model, language_model, cache, mask, logits.log_softmax(-1))

    def score(self, continuations: Sequence[Sequence[Sequence[int]]]) -> list[tuple[float, ...]]:
        """Summed log-likelihood of each continuation of each row, in nats."""
        count = len(continuations[0])
        flat = [list(tokens) for row in continuations for tokens in row]
        first = torch.tensor([tokens[0] for tokens in flat], device=self.mask.device)
        rows = torch.arange(len(flat), device=self.mask.device) // count
        totals = self.following[rows, first].double()
        if max(len(tokens) for tokens in flat) > 1:
            totals = totals + self._rest(flat, count)
        values = totals.tolist()
        return [tuple(values[start : start + count]) for start in range(0, len(values), count)]

    def _rest(self, flat: Sequence[Sequence[int]], count: int) -> torch.Tensor:
        """Log-likelihood of all tokens after the first: continuations stand right-padded behind a copy of the cache."""
        length = max(len(tokens) for tokens in flat) - 1
        device = self.mask.device
        ids = torch.full((len(flat), length), int(self.language_model.tokenizer.pad_token_id))
        wanted = torch.zeros(len(flat), length, dtype=torch.bool)
        for row, tokens in enumerate(flat):
            ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
            wanted[row, : len(tokens) - 1] = True
        labels = torch.tensor([token for tokens in flat for token in tokens[1:]], device=device)
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(count)
        mask = torch.cat([self.mask.repeat_interleave(count, 0), torch.ones_like(ids, dtype=torch.bool).to(device)], 1)
        wanted = wanted.to(device)
        logits, _ = _forward(self.model, self.language_model, ids.to(device), mask, cache, wanted)
        picked = logits.log_softmax(-1).gather(1, labels[:, None])[:, 0].double()
        totals = torch.zeros(len(flat), dtype=torch.float64, device=device)
        return totals.index_add(0, wanted.nonzero()[:, 0], picked)

    def generate(self, max_new_tokens: int) -> list[str]:
        """Greedy continuation of each row up to a token that ends an answer; uses the cache up."""
        tokenizer = self.language_model.tokenizer
        ends = torch.tensor(end_tokens(self.language_model), device=self.mask.device)
        end = int(ends[0])
        token = self._ended(self.following.argmax(-1), ends)
        done = token == end
        chosen = [token]
        for _ in range(max_new_tokens - 1):
            if bool(done.all()):
                break
            self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], 1)
            here = torch.ones_like(token[:, None], dtype=torch.bool)
            logits, self.cache = _forward(self.model, self.language_model, token[:, None], self.mask, self.cache, here)
            token = torch.where(done, end, self._ended(logits.argmax(-1), ends))
            done = done | (token == end)
            chosen.append(token)
        rows = torch.stack(chosen, 1).tolist()
        return [tokenizer.decode(row[: row.index(end)] if end in row else row).strip() for row in rows]

    @staticmethod
    def _ended(token: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """The first of the end tokens in place of any of them."""
        return torch.where(torch.isin(token, ends), ends[0], token)


def _forward(
    model: nn.Module,
    language_model: LanguageModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    cache: Any,
    wanted: torch.Tensor,
) -> tuple[torch.Tensor, Any]:
    """Logits [wanted.sum(), vocabulary] in fp32 at the wanted positions, and the cache grown by these tokens."""
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    with precision_context(language_model), logits_only_at(model, wanted):
        output = model(
            input_ids=ids, attention_mask=mask.long(), position_ids=positions, past_key_values=cache, use_cache=True
        )
    return output.logits.float(), output.past_key_values


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


def with_anchor(anchor: str, prompt: str) -> str:
    """TELL's anchor prompt stands before the input, in the user's turn."""
    return f"{anchor}\n\n{prompt}" if anchor else prompt


def plain_items(language_model: LanguageModel, examples: Sequence[Example]) -> list[Item]:
    """Items without chat format: context, then " choice"; split where lm-evaluation-harness splits them."""
    items = []
    for example in examples:
        context = plain_ids(language_model, example.prompt)
        whole = [plain_ids(language_model, f"{example.prompt} {choice}") for choice in example.choices]
        endings = tuple(ids[len(context) :] for ids in whole)
        items.append(Item(context, endings, tuple(len(choice) for choice in example.choices)))
    return items


# --- outcomes --------------------------------------------------------------------------------------------------------


def evaluate_task(
    model: nn.Module, language_model: LanguageModel, examples: Sequence[Example], anchor: str, max_new_tokens: int
) -> tuple[Outcomes, list[str], int]:
    """Outcomes on a task's examples, the generated texts, and the number of prompts that had to be cut.

    Choices are scored ("accuracy" by summed log-likelihood, and normalised per token and per character); free answers
    are generated ("exact_match", "token_f1", "rouge_l"). "target_nll" is the target's negative log-likelihood per
    token, end of turn included, in nats: the continuous companion of every discrete metric.
    """
    items, cut = task_items(language_model, examples, anchor, max_new_tokens)
    choices = bool(examples[0].choices)
    answers = answer(model, language_model, items, 0 if choices else max_new_tokens, "task")
    if choices:
        return _choice_outcomes(examples, items, answers), [], cut
    outcomes: Outcomes = {"exact_match": [], "token_f1": [], "rouge_l": [], "target_nll": []}
    for example, item, score, text in zip(examples, items, answers.log_likelihoods, answers.texts, strict=True):
        accepted = example.answers or (example.target,)
        outcomes["exact_match"].append(max(exact_match(text, gold) for gold in accepted))
        outcomes["token_f1"].append(max(token_f1(text, gold) for gold in accepted))
        outcomes["rouge_l"].append(max(rouge_l(text, gold) for gold in accepted))
        outcomes["target_nll"].append(-score[0] / len(item.continuations[0]))
    return outcomes, list(answers.texts), cut


def evaluate_probe(model: nn.Module, language_model: LanguageModel, probe: Probe, count: int) -> Outcomes:
    """Outcomes on the first `count` examples of a probe: choices, or "nll" per token of a text (nats)."""
    examples = probe.examples[:count]
    if probe.kind == "nll":
        return {"nll": text_nll(model, language_model, [example.target for example in examples], probe.name)}
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
    """Negative log-likelihood per token of each text (nats), its first token taken as given."""
    values = []
    for text in tqdm(texts, desc=title, unit="text", leave=False, mininterval=1.0):
        tokens = plain_ids(language_model, text)[: language_model.context]
        ids = torch.tensor([tokens], device=language_model.device)
        positions = torch.ones_like(ids, dtype=torch.bool)
        positions[0, -1] = False
        with precision_context(language_model), logits_only_at(model, positions):
            logits = model(input_ids=ids, use_cache=False).logits.float()
        values.append(nn.functional.cross_entropy(logits, ids[0, 1:]).item())
    return values


# --- metrics ---------------------------------------------------------------------------------------------------------


def normalise(text: str) -> str:
    """SQuAD normalisation (Rajpurkar et al. 2016): lower case, no punctuation, no articles, single spaces."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(prediction: str, gold: str) -> float:
    """1.0 when prediction and gold answer are equal after normalisation."""
    return float(normalise(prediction) == normalise(gold))


def token_f1(prediction: str, gold: str) -> float:
    """Harmonic mean of precision and recall over normalised words; 1.0 when both are empty (SQuAD)."""
    predicted, expected = normalise(prediction).split(), normalise(gold).split()
    if not predicted or not expected:
        return float(predicted == expected)
    shared = sum((Counter(predicted) & Counter(expected)).values())
    return 2 * shared / (len(predicted) + len(expected))


def rouge_l(prediction: str, gold: str) -> float:
    """ROUGE-L F-measure with stemming, by the rouge-score package (Lin 2004)."""
    return float(_rouge().score(gold, prediction)["rougeL"].fmeasure)


@functools.cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)
