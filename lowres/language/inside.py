"""What is done to the network inside a language model: found in its wrapper, run in a number format, asked in part."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from lowres.language import LanguageModel


def inner_model(model: nn.Module) -> Any:
    """The transformers model inside a tuner's wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]


def precision_context(language_model: LanguageModel) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 matrix products where the model asks for them."""
    import torch

    if not language_model.autocast:
        return contextlib.nullcontext()
    return torch.autocast(language_model.device.type, dtype=torch.bfloat16)


@contextlib.contextmanager
def logits_only_at(model: PreTrainedModel, positions: torch.Tensor) -> Iterator[None]:
    """Compute the output layer at some positions only.

    For a small model the output layer costs a third of a forward pass, and most positions need no prediction. A hook
    hands it only the hidden states at `positions` (bool, [batch, length]), so `model(...).logits` has shape
    [positions.sum(), vocabulary], in row-major order; whatever the architecture does to its logits still happens.
    """
    head = model.get_output_embeddings()

    def select(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        # Virtual tokens of prompt tuning stand before the text: align from the right.
        return (inputs[0][:, -positions.shape[1] :][positions], *inputs[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
