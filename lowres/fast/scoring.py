"""Log-likelihoods by hand: prompts read once, their choices behind them, without padding."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lowres.fast.decoder import Decoder
from lowres.fast.layout import Layout
from lowres.fast.support import supports

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Reader:
    """A decoder with its weights laid out, for as long as they do not change."""

    decoder: Decoder
    weights: Sequence[Any]

    def choices(self, rows: Sequence[tuple[Ids, Sequence[Ids]]], beginning: int = 0) -> list[tuple[float, ...]]:
        """Summed log-likelihood (nats) of every continuation of every context.

        Args:
            rows: contexts of at least one token, each with its continuations of at least one.
            beginning: so many first tokens are the same in all contexts, and read once; each context has more.
        """
        segments, parents, prompts = [rows[0][0][:beginning]], [-1], [0]
        wanted: list[tuple[int, int, int]] = []  # segment, first token, tokens
        source: list[int] = []
        label: list[int] = []
        owner: list[int] = []
        place = number = 0
        for context, continuations in rows:
            here, end = len(segments), place
            segments.append(context[beginning:])
            parents.append(0 if beginning else -1)
            prompts.append(len(context))
            wanted.append((here, len(context) - beginning - 1, 1))
            place += 1
            for tokens in continuations:
                more = len(tokens) - 1
                segments.append(tokens[:-1])
                parents.append(here)
                prompts.append(0)
                wanted.append((len(segments) - 1, 0, more))
                source += [end, *range(place, place + more)]
                label += tokens
                owner += [number] * len(tokens)
                place, number = place + more, number + 1
        logits = self._logits(segments, parents, wanted, prompts)
        at, token, of = (torch.tensor(each, dtype=torch.long) for each in (source, label, owner))
        scores = logits[at, token] - logits.logsumexp(-1)[at]  # [tokens]
        totals = torch.zeros(number, dtype=torch.float64).index_add(0, of, scores.double())
        values = iter(totals.tolist())
        return [tuple(next(values) for _ in continuations) for _, continuations in rows]

    def texts(self, rows: Sequence[Ids]) -> list[float]:
        """Mean negative log-likelihood per token (nats) of each text of at least two tokens, its first one given."""
        wanted = [(number, 0, len(row) - 1) for number, row in enumerate(rows)]
        logits = self._logits(rows, (), wanted, [len(row) for row in rows])
        losses = F.cross_entropy(logits, torch.tensor([t for row in rows for t in row[1:]]), reduction="none").double()
        return [float(part.mean()) for part in losses.split([len(row) - 1 for row in rows])]

    def _logits(
        self, segments: Sequence[Ids], parents: Sequence[int], wanted: Sequence[Any], prompts: Sequence[int]
    ) -> torch.Tensor:
        layout = Layout(segments, parents, self.decoder.shape)
        at = torch.from_numpy(np.concatenate([layout.at(*span) for span in wanted]))
        return self.decoder.logits(self.decoder.hidden(layout, self.weights, at, prompts), self.weights[-2])


_held: list[tuple[nn.Module, Reader]] = []


@contextlib.contextmanager
def unchanged(model: nn.Module, autocast: bool) -> Iterator[None]:
    """Inside, the weights of the model do not change, so that they are laid out once for all that is read."""
    found = reader(model, autocast)
    if found is not None:
        _held.append((model, found))
    try:
        yield
    finally:
        if found is not None:
            _held.pop()


@torch.no_grad()
def reader(model: nn.Module, autocast: bool) -> Reader | None:
    """What reads by hand for a model, if it is one that `supports` accepts."""
    if not supports(model):
        return None
    for held, found in _held:
        if held is model:
            return found
    decoder = Decoder(model, autocast)
    return Reader(decoder, decoder.weights())
