"""Prefix and prompt tuning in passes with padding and a cache.

Peft's own forward pass drops the position ids that left-padded rows need, and does not go on from a cache that already
holds the virtual tokens. Here the virtual tokens stand before the row, padding after them is masked as usual.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class VirtualTokens(nn.Module):
    """A peft model with virtual tokens, called like the model inside: masks and positions are of the text alone."""

    def __init__(self, adapted: Any) -> None:
        super().__init__()
        self.adapted = adapted
        self.count = int(adapted.active_peft_config.num_virtual_tokens)
        self.as_keys = not hasattr(adapted.active_peft_config, "prompt_tuning_init")

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("adapted"), name)

    def get_base_model(self) -> Any:
        """The transformers model, which does not know of the virtual tokens."""
        return self.adapted.get_base_model()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
    ) -> Any:
        """The model's output; of learned embeddings there are logits too, before those of the text.

        Args:
            input_ids: [batch, length].
            attention_mask: [batch, cached and new text], without the virtual tokens.
            position_ids: [batch, length], counted from the beginning of the text.
        """
        base = self.get_base_model()
        rows, length = input_ids.shape
        given: dict[str, Any] = {"input_ids": input_ids, "past_key_values": past_key_values}
        if position_ids is None:
            position_ids = torch.arange(length, device=input_ids.device).expand(rows, -1)
        position_ids = position_ids + self.count
        if past_key_values is None and self.as_keys:
            given["past_key_values"] = self.adapted.get_prompt(rows)
        elif past_key_values is None:
            learned = self.adapted.get_prompt(rows)
            embedded = base.get_input_embeddings()(input_ids)
            given = {"inputs_embeds": torch.cat([learned.to(embedded.dtype), embedded], 1)}
            own = torch.arange(self.count, device=input_ids.device).expand(rows, -1)
            position_ids = torch.cat([own, position_ids], 1)
        if attention_mask is not None:
            ones = attention_mask.new_ones(rows, self.count)
            attention_mask = torch.cat([ones, attention_mask], 1)
        return base(attention_mask=attention_mask, position_ids=position_ids, use_cache=use_cache, **given)
