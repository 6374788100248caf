"""Passes of a model over token ids: what it is given, what it remembers, what it is asked for."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from lowres.language import LanguageModel
from lowres.language.inside import inner_model, logits_only_at, precision_context

# Architectures that take a mask of their own making, [batch, 1, length, length], as it is. Others read the mask as
# padding (Bloom makes distances of it) or attend in a way that leaves no room for one.
PACKED = ("llama", "qwen2", "gpt_neox", "gpt2", "gemma", "gemma3_text")


def forward(
    model: nn.Module, language_model: LanguageModel, given: dict[str, Any], wanted: torch.Tensor
) -> tuple[torch.Tensor, Any]:
    """Logits [wanted.sum(), vocabulary] in fp32 at the wanted positions, and the cache grown by these tokens."""
    if not takes_positions(model):
        given.pop("position_ids", None)
    with precision_context(language_model), logits_only_at(model, wanted):
        output = model(**given)
    return output.logits.float(), output.past_key_values


def takes_positions(model: nn.Module) -> bool:
    """Whether positions can be told; Bloom's follow from the mask, T5's from the order of the tokens.

    What stands around a transformers model may pass on arguments that it does not name.
    """
    named, inside = (_arguments(type(part).forward) for part in (model, inner_model(model)))
    return "position_ids" in inside and bool(named & {"position_ids", "any"})


@functools.lru_cache(maxsize=32)
def _arguments(forward: Callable[..., Any]) -> set[str]:
    """Names of a function's arguments; "any" where it takes any."""
    found = inspect.signature(forward).parameters
    return {*found, *("any" for kind in found.values() if kind.kind is inspect.Parameter.VAR_KEYWORD)}


# --- caches ----------------------------------------------------------------------------------------------------------


def branched(cache: Any, times: int) -> Any:
    """A cache to go on from that leaves the given one as it is, each row `times` times.

    Keys and values are never written in place by the layers named here, so they are shared, not copied, until they
    grow.
    """
    found = _shared(cache)
    if times > 1:
        found.batch_repeat_interleave(times)
    return found


def _shared(cache: Any) -> Any:
    if isinstance(cache, EncoderDecoderCache):
        found = copy.copy(cache)
        found.self_attention_cache = _shared(cache.self_attention_cache)
        found.cross_attention_cache = _shared(cache.cross_attention_cache)
        found.is_updated = dict(cache.is_updated)
        return found
    if type(cache) is not DynamicCache:
        return copy.deepcopy(cache)
    found = copy.copy(cache)
    found.layers = [copy.copy(layer) for layer in cache.layers]
    return found


def one_for_all(cache: DynamicCache, rows: int) -> DynamicCache:
    """The cache of a single row as that of `rows` rows, without a copy."""
    found: DynamicCache = _shared(cache)
    for layer in found.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    return found


def joined(caches: Sequence[DynamicCache]) -> DynamicCache:
    """The rows of several caches in one, with empty places on the left of the shorter ones; uses the first one up."""
    width = max(cache.layers[-1].keys.shape[-2] for cache in caches)
    for number, first in enumerate(caches[0].layers):
        for name in ("keys", "values"):
            parts = [getattr(cache.layers[number], name) for cache in caches]
            wide = [nn.functional.pad(part, (0, 0, width - part.shape[-2], 0)) for part in parts]
            setattr(first, name, torch.cat(wide))
    return caches[0]


class Roomy(DynamicLayer):
    """Keys and values of one layer in a buffer with room for the tokens to come; growing would copy all at each one."""

    def __init__(self, layer: Any, more: int) -> None:
        super().__init__()
        self.length = layer.keys.shape[-2]
        self.dtype, self.device, self.is_initialized = layer.keys.dtype, layer.keys.device, True
        self._rooms = [nn.functional.pad(part, (0, 0, 0, more)) for part in (layer.keys, layer.values)]
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (room[..., : self.length, :] for room in self._rooms)

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Keys and values with the new ones written behind them."""
        end = self.length + key_states.shape[-2]
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[..., self.length : end, :] = new
        self.length = end
        self._show()
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows."""
        self._rooms = [room.index_select(0, indices) for room in self._rooms]
        self._show()


def with_room(cache: Any, more: int) -> Any:
    """The same cache, its plain layers ready to take `more` tokens."""
    if isinstance(cache, EncoderDecoderCache):
        cache.self_attention_cache = with_room(cache.self_attention_cache, more)
        return cache
    if type(cache) is DynamicCache:
        cache.layers = [Roomy(layer, more) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


# --- several continuations in one row --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Packed:
    """Prompts, each with all its continuations behind it in one row.

    A continuation sees its prompt and itself, at the positions that it would have on its own. `branch` is 0 on the
    prompt, 1, 2, ... on its continuations and -1 on the padding at the end. Logits at `wanted`, in row-major order,
    are read by `source` and `label`: one entry per token of a continuation, which counts for number `owner`.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    branch: torch.Tensor
    wanted: torch.Tensor
    source: torch.Tensor
    label: torch.Tensor
    owner: torch.Tensor

    @classmethod
    def of(
        cls, rows: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]], skip: int, pad: int, device: torch.device
    ) -> Packed:
        """Rows of prompt and continuations; the first `skip` tokens of each prompt are already cached."""
        length = max(packed_length(context, endings) for context, endings in rows) - skip
        shape = (len(rows), length)
        ids, positions = torch.full(shape, pad), torch.zeros(shape, dtype=torch.long)
        branch, wanted = torch.full(shape, -1), torch.zeros(shape, dtype=torch.bool)
        source: list[int] = []
        label: list[int] = []
        owner: list[int] = []
        logits = number = 0
        for row, (context, endings) in enumerate(rows):
            end = len(context) - skip
            flat = [*context[skip:], *(token for tokens in endings for token in tokens[:-1])]
            ids[row, : len(flat)] = torch.tensor(flat)
            positions[row, :end] = torch.arange(skip, len(context))
            branch[row, :end] = 0
            wanted[row, end - 1 : len(flat)] = True
            here = logits + 1
            for which, tokens in enumerate(endings, start=1):
                more = len(tokens) - 1
                positions[row, end : end + more] = torch.arange(len(context), len(context) + more)
                branch[row, end : end + more] = which
                source += [logits, *range(here, here + more)]
                label += tokens
                owner += [number] * len(tokens)
                here, end, number = here + more, end + more, number + 1
            logits = here
        read = (torch.tensor(numbers, dtype=torch.long) for numbers in (source, label, owner))
        tensors = (ids, positions, branch, wanted, *read)
        return cls(*(tensor.to(device) for tensor in tensors))

    def mask(self, skip: int, window: int | None = None) -> torch.Tensor:
        """Which keys each position sees, bool [rows, 1, length, skip + length]; in a sliding window, the near ones."""
        length = self.ids.shape[1]
        same = self.branch[:, :, None] == self.branch[:, None, :]
        seen = (same | (self.branch == 0)[:, None, :]) & torch.ones_like(same[0]).tril()
        if window:
            seen = seen & (self.positions[:, :, None] - self.positions[:, None, :] < window)
        return torch.cat([seen.new_ones(len(seen), length, skip), seen], -1)[:, None]


def packed_length(context: Sequence[int], continuations: Sequence[Sequence[int]]) -> int:
    """Positions that a prompt with its continuations takes; the last token of each needs none."""
    return len(context) + sum(len(tokens) - 1 for tokens in continuations)


def packs(model: nn.Module) -> bool:
    """Whether continuations can share a row in this model."""
    if not isinstance(model, PreTrainedModel):
        return False
    config = model.config
    return config.model_type in PACKED and config._attn_implementation == "sdpa" and takes_positions(model)


def slides(model: nn.Module) -> bool:
    """Whether some layers see a window of the text only: their caches cannot be put together from parts."""
    config = inner_model(model).config
    return "sliding_attention" in (getattr(config, "layer_types", None) or ())


def packed_mask(model: nn.Module, packed: Packed, skip: int) -> Any:
    """The mask in the form that the model takes: one for all layers, or one per kind of layer."""
    if not slides(model):
        return packed.mask(skip)
    window = int(model.config.sliding_window)  # type: ignore[union-attr, arg-type]
    return {"full_attention": packed.mask(skip), "sliding_attention": packed.mask(skip, window)}
