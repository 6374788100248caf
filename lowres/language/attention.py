"""Attention for training in bf16 on a CPU.

There, the backward pass of torch's fused attention takes three times as long as plain matrix products do, as long as
sequences are short enough for the scores to be written out (measured in the lab book, 2026-11-24).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch

NAME = "lowres_short"
LONGEST = 320  # tokens; beyond, writing the scores out costs more than it saves


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **named: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it: causal without a mask; written out where that pays, else fused.

    Args:
        query: [batch, heads, length, width].
        key, value: [batch, key-value heads, length, width].

    Returns:
        [batch, length, heads, width], and no attention weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    short = attention_mask is None and query.shape[2] == key.shape[2] <= LONGEST
    plain = not named.get("dropout") and named.get("is_causal") is not False and getattr(module, "is_causal", True)
    # Rotated queries and keys are fp32 even under autocast; the fused attention, too, would round them.
    trained = query.requires_grad and query.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    if not (short and plain and trained):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **named)
    query, key, value = (each.to(torch.bfloat16) for each in (query, key, value))
    return written_out(query, key, value, named.get("scaling")).transpose(1, 2), None


def written_out(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None = None
) -> torch.Tensor:
    """Causal attention softmax(s Q K^T) V, [batch, heads, length, width]; heads that share a key go in one product."""
    batch, heads, length, width = query.shape
    shared = key.shape[1]
    rows = query.reshape(batch, shared, heads // shared * length, width)
    scores = (rows @ key.mT).view(batch, shared, heads // shared, length, length)
    scores = scores * (width**-0.5 if scaling is None else scaling) + _future(length, query.dtype, query.device)
    weights = scores.softmax(-1).reshape(batch, shared, heads // shared * length, length)
    return (weights @ value).view(batch, heads, length, width)


@functools.lru_cache(maxsize=8)
def _future(length: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Minus infinity above the diagonal, [length, length]."""
    return torch.full((length, length), -torch.inf, dtype=dtype, device=device).triu(1)


@contextlib.contextmanager
def short_attention(model: Any) -> Iterator[None]:
    """Let a model use `attend` inside, if it takes its attention from outside and would use the fused one."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    config = model.config
    before = config._attn_implementation
    if before != "sdpa" or not getattr(model, "_supports_attention_backend", False):
        yield
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
