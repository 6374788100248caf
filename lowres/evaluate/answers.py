"""Log-likelihoods of continuations, and greedy generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel

from lowres import fast, tuners
from lowres.evaluate import passes
from lowres.language import LanguageModel
from lowres.language.formats import decoder_start, end_tokens, is_encoder_decoder
from lowres.language.inside import inner_model, precision_context
from lowres.language.precision import cast_once

SHARED = 8  # tokens that all prompts must begin with for it to pay to read them once
ROOM = 1024  # prompt tokens at a time on a CPU: larger batches hold rows of more unequal length
ROOM_PACKED = 2048  # without padding
ROOM_TO_GENERATE = 8192  # prompt tokens kept on a CPU, to be continued at a time: a step reads all weights
ROOM_ON_GPU = 65536


@dataclass(frozen=True)
class Item:
    """A prompt and its continuations as token ids, with their lengths in characters."""

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    characters: tuple[int, ...]


@dataclass(frozen=True)
class Answers:
    """Per item: summed log-likelihood of each continuation (nats); the generated text ("" if none was asked for).

    `cut` tells which texts did not come to their end.
    """

    log_likelihoods: tuple[tuple[float, ...], ...]
    texts: tuple[str, ...]
    cut: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Generated:
    """A generated text, and whether it was cut because it did not end in time."""

    text: str = ""
    cut: bool = False


@torch.inference_mode()
def answer(
    model: nn.Module, language_model: LanguageModel, items: Sequence[Item], max_new_tokens: int = 0, title: str = ""
) -> Answers:
    """Log-likelihood of every continuation, and greedy generation, in length-sorted batches.

    Args:
        items: all with the same number of continuations, or mixed.
        max_new_tokens: 0 for no generation; it ends at the model's end-of-turn token.
    """
    likelihoods: list[tuple[float, ...]] = [()] * len(items)
    texts = [Generated()] * len(items)
    reader = None if max_new_tokens else fast.reader(model, language_model.autocast)
    if reader is not None:
        return Answers(_score(reader, items, title), ("",) * len(items), (False,) * len(items))
    packing = not max_new_tokens and passes.packs(model)
    with (
        cast_once(model, language_model),
        tqdm(total=len(items), desc=title or "evaluate", unit="item", leave=False, mininterval=1.0) as bar,
    ):
        beginning = Beginning.of(model, language_model, items)
        for indices in batches(items, _room(language_model, max_new_tokens), packing):
            rows = [items[index] for index in indices]
            if packing:
                scores, made = _score_packed(model, language_model, rows, beginning), [Generated()] * len(rows)
            else:
                scores, made = _continue(model, language_model, rows, beginning, max_new_tokens)
            for index, row_scores, text in zip(indices, scores, made, strict=True):
                likelihoods[index], texts[index] = row_scores, text
            bar.update(len(rows))
    return Answers(tuple(likelihoods), tuple(one.text for one in texts), tuple(one.cut for one in texts))


def _room(language_model: LanguageModel, max_new_tokens: int) -> int:
    if language_model.device.type != "cpu":
        return ROOM_ON_GPU
    return ROOM_TO_GENERATE if max_new_tokens else ROOM


def batches(items: Sequence[Item], room: int, mixed: bool) -> Iterator[list[int]]:
    """Indices of items of similar lengths, at most `room` tokens at a time with their padding.

    Unless `mixed`, the items of a batch have as many continuations each, and their prompts alone count.
    """

    def size(index: int) -> tuple[int, int]:
        item = items[index]
        if mixed:
            return 0, passes.packed_length(item.context, item.continuations)
        return len(item.continuations), len(item.context)

    batch: list[int] = []
    for index in sorted(range(len(items)), key=lambda index: (*size(index), index)):
        kind, longest = size(index)
        if batch and ((len(batch) + 1) * longest > room or kind != size(batch[0])[0]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


# --- what all prompts begin with -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beginning:
    """The first tokens of all prompts (a chat format's system prompt, an anchor, solved examples), read once."""

    ids: tuple[int, ...] = ()
    cache: Any = None

    @classmethod
    def of(cls, model: nn.Module, language_model: LanguageModel, items: Sequence[Item]) -> Beginning:
        """Empty where there is little to share, or where the model does not treat all prompts' beginnings alike."""
        ids = _common_beginning([item.context for item in items])
        if len(items) < 2 or len(ids) < SHARED or tuners.edits_prompts(model) or not _plainly_cached(model):
            return cls()
        inputs = torch.tensor([ids], device=language_model.device)
        given = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs), "use_cache": True}
        _, cache = passes.forward(model, language_model, given, torch.zeros_like(inputs, dtype=torch.bool))
        return cls(ids, cache)

    def cached(self, rows: int) -> Any:
        """The cache for a batch, to be grown by it."""
        return passes.one_for_all(self.cache, rows) if self.ids else None


def _common_beginning(contexts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The tokens that all contexts begin with, leaving each at least one more."""
    first, last = min(contexts, default=()), max(contexts, default=())  # in between, nothing can begin otherwise
    same = 0
    while same < min(len(first) - 1, len(last)) and first[same] == last[same]:
        same += 1
    return first[:same]


def _plainly_cached(model: nn.Module) -> bool:
    """Whether a cache holds keys and values per token and nothing else, so that it can be shared, joined and padded."""
    known = isinstance(model, PreTrainedModel) and model.config.model_type in (*passes.PACKED, "bloom")
    return known and not passes.slides(model)


# --- scoring alone ---------------------------------------------------------------------------------------------------


def _score(reader: fast.Reader, items: Sequence[Item], title: str) -> tuple[tuple[float, ...], ...]:
    """Scores of all continuations, where prompts can be read without padding."""
    likelihoods: list[tuple[float, ...]] = [()] * len(items)
    common = 0 if reader.decoder.edits is not None else len(_common_beginning([item.context for item in items]))
    common = common if common >= SHARED else 0
    with tqdm(total=len(items), desc=title or "evaluate", unit="item", leave=False, mininterval=1.0) as bar:
        for indices in batches(items, max(ROOM_PACKED, 4 * common), True):
            rows = [(items[index].context, items[index].continuations) for index in indices]
            for index, scores in zip(indices, reader.choices(rows, common), strict=True):
                likelihoods[index] = scores
            bar.update(len(rows))
    return tuple(likelihoods)


def _score_packed(
    model: nn.Module, language_model: LanguageModel, rows: Sequence[Item], beginning: Beginning
) -> list[tuple[float, ...]]:
    """Scores of all continuations from one pass, each prompt and its continuations in a row."""
    skip = len(beginning.ids)
    pairs = [(row.context, row.continuations) for row in rows]
    packed = passes.Packed.of(pairs, skip, int(language_model.tokenizer.pad_token_id), language_model.device)
    given = {
        "input_ids": packed.ids,
        "attention_mask": passes.packed_mask(model, packed, skip),
        "position_ids": packed.positions,
        "past_key_values": beginning.cached(len(rows)),
        "use_cache": skip > 0,
    }
    with tuners.prompt_at(model, packed.branch == 0):
        logits, _ = passes.forward(model, language_model, given, packed.wanted)
    picked = logits[packed.source, packed.label] - logits.logsumexp(-1)[packed.source]
    totals = torch.zeros(sum(len(row.continuations) for row in rows), dtype=torch.float64, device=logits.device)
    values = iter(totals.index_add(0, packed.owner, picked.double()).tolist())
    return [tuple(next(values) for _ in row.continuations) for row in rows]


# --- reading prompts and going on from there -------------------------------------------------------------------------


def _continue(
    model: nn.Module, language_model: LanguageModel, rows: Sequence[Item], beginning: Beginning, max_new_tokens: int
) -> tuple[list[tuple[float, ...]], list[Generated]]:
    """Scores and texts of rows of similar length; where caches can be joined, they are read in smaller batches."""
    several = max_new_tokens and _plainly_cached(model)
    bare = [Item(row.context, (), ()) for row in rows]
    scores: list[tuple[float, ...]] = []
    parts = []
    for indices in batches(bare, _room(language_model, 0), mixed=True) if several else [range(len(rows))]:
        part = [rows[index] for index in indices]
        parts.append(_read(model, language_model, part, beginning))
        if rows[0].continuations:
            scores += parts[-1].score([row.continuations for row in part])
    whole = parts[0] if len(parts) == 1 else Contexts.joined(parts)
    return scores or [()] * len(rows), whole.generate(max_new_tokens) if max_new_tokens else [Generated()] * len(rows)


def _read(model: nn.Module, language_model: LanguageModel, rows: Sequence[Item], beginning: Beginning) -> Contexts:
    contexts = [row.context for row in rows]
    if is_encoder_decoder(language_model):
        return EncodedContexts.read(model, language_model, contexts)
    return Contexts.read_after(model, language_model, contexts, beginning)


def padded(rows: Sequence[Sequence[int]], pad: int, left: bool, device: torch.device) -> tuple[Any, Any]:
    """Token ids [rows, longest] and a bool mask that is False on the padding."""
    length = max(len(row) for row in rows)
    ids, mask = torch.full((len(rows), length), pad), torch.zeros(len(rows), length, dtype=torch.bool)
    for number, row in enumerate(rows):
        place = slice(length - len(row), length) if left else slice(0, len(row))
        ids[number, place] = torch.tensor(row, dtype=torch.long)
        mask[number, place] = True
    return ids.to(device), mask.to(device)


@dataclass
class Contexts:
    """A batch of prompts after one forward pass: keys and values, and the logits of the next token."""

    model: nn.Module
    language_model: LanguageModel
    cache: Any
    mask: torch.Tensor  # [batch, cached], False on the left padding
    following: torch.Tensor  # [batch, vocabulary]

    @classmethod
    def read_after(
        cls, model: nn.Module, language_model: LanguageModel, contexts: Sequence[Sequence[int]], beginning: Beginning
    ) -> Contexts:
        """Read the prompts, whose common beginning may have been read before."""
        skip, pad = len(beginning.ids), int(language_model.tokenizer.pad_token_id)
        ids, prompt = padded([context[skip:] for context in contexts], pad, True, language_model.device)
        mask = torch.cat([prompt.new_ones(len(prompt), skip), prompt], 1)
        found = cls(model, language_model, beginning.cached(len(contexts)), mask, torch.empty(0))
        last = torch.zeros_like(prompt)
        last[:, -1] = True
        with tuners.prompt_at(model, prompt):
            found.following, found.cache = found.step(ids, mask, found.cache, last)
        return found

    def step(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, wanted: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Logits at the wanted of these new tokens, and the cache with them in it."""
        positions = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": mask.long(), "position_ids": positions}
        given |= {"past_key_values": cache, "use_cache": True}
        return passes.forward(self.model, self.language_model, given, wanted)

    @classmethod
    def joined(cls, parts: Sequence[Contexts]) -> Contexts:
        """One batch of several, all padded on the left to the longest."""
        width = max(part.mask.shape[1] for part in parts)
        mask = torch.cat([nn.functional.pad(part.mask, (width - part.mask.shape[1], 0)) for part in parts])
        following = torch.cat([part.following for part in parts])
        cache = passes.joined([part.cache for part in parts])
        return cls(parts[0].model, parts[0].language_model, cache, mask, following)

    def score(self, continuations: Sequence[Sequence[Sequence[int]]]) -> list[tuple[float, ...]]:
        """Summed log-likelihood of each continuation of each row, in nats."""
        count = len(continuations[0])
        flat = [tokens for row in continuations for tokens in row]
        first = torch.tensor([tokens[0] for tokens in flat], device=self.mask.device)
        rows = torch.arange(len(flat), device=self.mask.device) // count
        totals = (self.following[rows, first] - self.following.logsumexp(-1)[rows]).double()
        if max(len(tokens) for tokens in flat) > 1:
            totals = totals + self._rest(flat, count)
        values = totals.tolist()
        return [tuple(values[start : start + count]) for start in range(0, len(values), count)]

    def _rest(self, flat: Sequence[Sequence[int]], count: int) -> torch.Tensor:
        """Log-likelihood of all tokens after the first: continuations stand right-padded behind the prompts."""
        device, pad = self.mask.device, int(self.language_model.tokenizer.pad_token_id)
        ids, wanted = padded([tokens[:-1] for tokens in flat], pad, False, device)
        labels = torch.tensor([token for tokens in flat for token in tokens[1:]], device=device)
        mask = torch.cat([self.mask.repeat_interleave(count, 0), torch.ones_like(wanted)], 1)
        logits, _ = self.repeated(count).step(ids, mask, passes.branched(self.cache, count), wanted)
        picked = (logits.gather(1, labels[:, None])[:, 0] - logits.logsumexp(-1)).double()
        totals = torch.zeros(len(flat), dtype=torch.float64, device=device)
        return totals.index_add(0, wanted.nonzero()[:, 0], picked)

    def repeated(self, count: int) -> Contexts:
        """What `step` needs, besides its arguments, for `count` continuations of each row."""
        return self

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with some of the rows."""
        self.cache.batch_select_indices(rows)
        self.mask = self.mask[rows]

    def generate(self, max_new_tokens: int) -> list[Generated]:
        """Greedy continuation of each row up to a token that ends an answer; uses the cache up."""
        made: list[list[int]] = [[] for _ in range(len(self.mask))]
        ends = set(end_tokens(self.language_model))
        rows = list(range(len(made)))  # those that still go on, or did when rows were last left out
        token = self.following.argmax(-1)
        self.cache = passes.with_room(self.cache, max_new_tokens)
        for number in range(max_new_tokens):
            going = []
            for place, (row, new) in enumerate(zip(rows, token.tolist(), strict=True)):
                if not (made[row] and made[row][-1] in ends):
                    made[row].append(new)
                    going += [place] * (new not in ends)
            if not going or number == max_new_tokens - 1:
                break
            if len(going) <= len(rows) - max(1, len(rows) // 8):  # leaving rows out copies the cache
                rows = [rows[place] for place in going]
                kept = torch.tensor(going, device=self.mask.device)
                self.keep(kept)
                token = token[kept]
            self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], 1)
            here = torch.ones_like(token[:, None], dtype=torch.bool)
            logits, self.cache = self.step(token[:, None], self.mask, self.cache, here)
            token = logits.argmax(-1)
        return [self._text(tokens, ends) for tokens in made]

    def _text(self, tokens: list[int], ends: set[int]) -> Generated:
        cut = tokens[-1] not in ends
        text = self.language_model.tokenizer.decode(tokens if cut else tokens[:-1])
        return Generated(str(text).strip(), cut)


@dataclass
class EncodedContexts(Contexts):
    """Prompts after the encoder, and after the decoder's first step: `mask` and cache are the decoder's."""

    encoded: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    prompt: torch.Tensor = field(default_factory=lambda: torch.empty(0))  # bool [batch, length of the encoder's input]

    @classmethod
    def read(
        cls, model: nn.Module, language_model: LanguageModel, contexts: Sequence[Sequence[int]]
    ) -> EncodedContexts:
        """Run the encoder once, then the decoder on what it is given to begin with."""
        ids, prompt = padded(contexts, int(language_model.tokenizer.pad_token_id), False, language_model.device)
        with tuners.prompt_at(model, prompt), precision_context(language_model):
            encoder: Any = inner_model(model).get_encoder()
            encoded = encoder(input_ids=ids, attention_mask=prompt.long()).last_hidden_state
        given = decoder_start(language_model)
        start = torch.tensor([given], device=ids.device).expand(len(ids), -1)  # [batch, 1 or 2]
        mask = torch.ones_like(start, dtype=torch.bool)
        last = torch.zeros_like(mask)
        last[:, -1] = True
        found = cls(model, language_model, None, mask, torch.empty(0), encoded, prompt)
        found.following, found.cache = found.step(start, mask, None, last)
        return found

    def step(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, wanted: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Logits at the wanted of these new tokens of the decoder, and the cache with them in it."""
        from transformers.modeling_outputs import BaseModelOutput

        given = {
            "decoder_input_ids": ids,
            "encoder_outputs": BaseModelOutput(last_hidden_state=self.encoded),
            "attention_mask": self.prompt.long(),
            "past_key_values": cache,
            "use_cache": True,
        }
        return passes.forward(self.model, self.language_model, given, wanted)

    def repeated(self, count: int) -> EncodedContexts:
        """The encoder's side for `count` continuations of each row."""
        encoded, prompt = (part.repeat_interleave(count, 0) for part in (self.encoded, self.prompt))
        return EncodedContexts(self.model, self.language_model, self.cache, self.mask, self.following, encoded, prompt)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with some of the rows."""
        self.cache.batch_select_indices(rows)
        self.mask, self.encoded, self.prompt = self.mask[rows], self.encoded[rows], self.prompt[rows]
