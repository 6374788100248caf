"""What of an architecture decides whether a tuner reaches it: experts, windows, and what counts as a linear layer."""

from __future__ import annotations

from typing import Any

from torch import nn

from lowres.params import InputError


def is_linear(part: nn.Module) -> bool:
    """Whether a module multiplies by a matrix: a linear layer, or GPT-2's own form of one."""
    return isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"


def has_experts(model: nn.Module) -> bool:
    """Whether feed-forward layers of a model, or this one, choose among experts."""
    return any("experts" in path.split(".") for path, _ in model.named_modules())


def insist_on_no_experts(label: str, model: nn.Module) -> None:
    """Refuse a tuner of all layers where it would pass over the experts, most of the model.

    Raises:
        InputError: names the tuner, the model and what reaches them.
    """
    if has_experts(model):
        raise InputError(
            f"{label} does not reach the experts of {type(model).__name__}, whose weights are no linear layers of "
            "their own: lora, rslora and full do; where a tuner has targets, name other layers with them"
        )


def insist_on_no_window(label: str, model: Any) -> None:
    """Refuse virtual tokens where attention reaches back over a part of the context only.

    The window counts what stands in the cache, virtual tokens and padding too, so what a row sees of them would depend
    on the rows beside it.

    Raises:
        InputError: names the tuner, the model and its window.
    """
    config = model.config
    window, kinds = getattr(config, "sliding_window", None), getattr(config, "layer_types", None)
    if window and window < config.max_position_embeddings and (kinds is None or "sliding_attention" in kinds):
        raise InputError(
            f"{label} does not fit {type(model).__name__}: layers that see the last {window} tokens only would lose "
            "sight of its virtual tokens; lora and loreft have no such limit"
        )
