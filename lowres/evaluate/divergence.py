"""How far tuning moved a model's next-token distributions on the prompts of a task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from lowres import tuners
from lowres.evaluate import passes
from lowres.evaluate.answers import Item, padded
from lowres.language import LanguageModel
from lowres.language.formats import decoder_start, is_encoder_decoder
from lowres.language.precision import cast_once

ROOM = {"cpu": 1024, "cuda": 32768}  # tokens at a time, with their padding
NUMBERS = {"cpu": 2**24, "cuda": 2**28}  # probabilities at a time and model: positions times vocabulary


@dataclass(frozen=True)
class _Piece:
    """Positions `start` to `stop` of an item's right answer, with all that stands before them."""

    item: int
    context: tuple[int, ...]
    answer: tuple[int, ...]  # up to `stop`
    start: int

    @property
    def length(self) -> int:
        """Tokens that a model reads; the last token of the answer is only predicted."""
        return len(self.context) + len(self.answer) - 1


@torch.inference_mode()
def divergence(
    untouched: LanguageModel,
    model: nn.Module,
    language_model: LanguageModel,
    items: Sequence[Item],
    right: Sequence[int],
) -> list[float]:
    """Forward Kullback-Leibler divergence of a tuned model from the untouched one, in nats per token, for each item.

    Both models read the same prompt (anchor and solved examples included) followed by the right answer, and at every
    position t that predicts one of its T tokens, the end of the turn included, the divergence of whole next-token
    distributions is taken and averaged:

        KL = 1/T sum_t sum_v p_0(v | prompt, y_<t) ln [p_0(v | prompt, y_<t) / p(v | prompt, y_<t)]

    with p_0 the untouched model, p the tuned one and y the right answer (teacher forcing). It is 0 exactly where no
    probability has moved, and infinite where the tuned model rules out what the untouched one allows.

    Both models run over the same batches, one after the other, so that no more than `NUMBERS` probabilities of each
    are held at a time; the positions of an answer that is too long for that are taken in pieces.

    Args:
        untouched: the model before tuning. Where its weights are the tuned model's own object nothing is computed.
        right: which continuation of each item is the right answer.
    """
    if untouched.model is model:
        return [0.0] * len(items)
    device = language_model.device.type
    most = max(1, NUMBERS.get(device, NUMBERS["cpu"]) // int(language_model.model.config.vocab_size))
    pieces = [
        piece for number, pair in enumerate(zip(items, right, strict=True)) for piece in _cut(number, *pair, most)
    ]
    totals = torch.zeros(len(items), dtype=torch.float64)
    with (
        cast_once(model, language_model),
        cast_once(untouched.model, untouched),
        tqdm(total=len(pieces), desc="divergence", unit="item", leave=False, mininterval=1.0) as bar,
    ):
        for batch in _batches(pieces, ROOM.get(device, ROOM["cpu"]), most):
            moved = _moved(untouched.model, model, language_model, batch)
            owners = [piece.item for piece in batch for _ in range(piece.start, len(piece.answer))]
            totals.index_add_(0, torch.tensor(owners), moved.cpu())
            bar.update(len(batch))
    lengths = [len(item.continuations[place]) for item, place in zip(items, right, strict=True)]
    return [total / length for total, length in zip(totals.tolist(), lengths, strict=True)]


def _cut(number: int, item: Item, place: int, most: int) -> Iterator[_Piece]:
    """An item's right answer in pieces of at most `most` positions, mostly one."""
    answer = item.continuations[place]
    for start in range(0, len(answer), most):
        yield _Piece(number, item.context, answer[: start + most], start)


def _batches(pieces: Sequence[_Piece], room: int, most: int) -> Iterator[list[_Piece]]:
    """Pieces of similar length, so many that neither their tokens nor their positions are too many."""
    batch: list[_Piece] = []
    positions = 0
    for piece in sorted(pieces, key=lambda piece: piece.length):
        new = len(piece.answer) - piece.start
        if batch and ((len(batch) + 1) * piece.length > room or positions + new > most):
            yield batch
            batch, positions = [], 0
        batch.append(piece)
        positions += new
    if batch:
        yield batch


def _moved(untouched: nn.Module, model: nn.Module, language_model: LanguageModel, batch: Sequence[_Piece]) -> Any:
    """The divergence at every position of a batch, [positions], in the order of its pieces."""
    before, after = (
        _logits(one, language_model, batch).log_softmax(-1)  # [positions, vocabulary]
        for one in (untouched, model)
    )
    impossible = before == -torch.inf  # adds nothing, whatever the tuned model makes of it
    terms = before.exp() * (before - after).masked_fill(impossible, 0.0)
    return terms.sum(-1, dtype=torch.float64).clamp(min=0.0)  # rounding may leave it a hair below


def _logits(model: nn.Module, language_model: LanguageModel, batch: Sequence[_Piece]) -> torch.Tensor:
    """Logits at the positions that predict the answers, row by row, [positions, vocabulary]."""
    given, prompt, wanted = (_for_both if is_encoder_decoder(language_model) else _for_decoder)(language_model, batch)
    with tuners.prompt_at(model, prompt):
        return passes.forward(model, language_model, {**given, "use_cache": False}, wanted)[0]


Inputs = tuple[dict[str, Any], torch.Tensor, torch.Tensor]


def _for_decoder(language_model: LanguageModel, batch: Sequence[_Piece]) -> Inputs:
    """Prompt and answer in one row, padded on the right: what is given; where the prompt is; which positions count."""
    rows = [(*piece.context, *piece.answer[:-1]) for piece in batch]
    ids, mask = padded(rows, int(language_model.tokenizer.pad_token_id), False, language_model.device)
    at = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)  # [batch, length]
    ends = torch.tensor([[len(piece.context), piece.start] for piece in batch], device=ids.device)
    prompt = at < ends[:, :1]
    wanted = mask & (at >= ends.sum(1, keepdim=True) - 1)  # the last token before a piece predicts its first
    return {"input_ids": ids, "attention_mask": mask.long(), "position_ids": at}, prompt, wanted


def _for_both(language_model: LanguageModel, batch: Sequence[_Piece]) -> Inputs:
    """The prompt for the encoder, the answer behind what its decoder is given to begin with."""
    pad, start = int(language_model.tokenizer.pad_token_id), decoder_start(language_model)
    ids, prompt = padded([piece.context for piece in batch], pad, False, language_model.device)
    rows = [(*start, *piece.answer[:-1]) for piece in batch]
    answers, mask = padded(rows, pad, False, language_model.device)
    at = torch.arange(answers.shape[1], device=ids.device).expand_as(answers)
    first = torch.tensor([[piece.start] for piece in batch], device=ids.device)
    wanted = mask & (at >= first + len(start) - 1)
    return {"input_ids": ids, "attention_mask": prompt.long(), "decoder_input_ids": answers}, prompt, wanted
