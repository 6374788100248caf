"""Weights in bfloat16 for as long as they are only read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from lowres.language import LanguageModel

_WORTH_CASTING = 2**16  # elements of a weight


@contextlib.contextmanager
def cast_once(model: nn.Module, language_model: LanguageModel, training: bool = False) -> Iterator[None]:
    """Large weights of linear layers in bfloat16 for many passes; in training, those that stay as they are.

    Autocast would round the same fp32 weights to the same numbers at every pass, which for a short batch takes longer
    than the pass itself. DoRA reads its weights in fp32 and keeps them.
    """
    replaced: list[tuple[nn.Module, nn.Parameter]] = []
    if language_model.autocast:
        copies: dict[int, nn.Parameter] = {}
        for layer in _castable(model):
            own = layer._parameters["weight"]
            assert own is not None
            if training and own.requires_grad:
                continue
            if id(own) not in copies:
                copies[id(own)] = nn.Parameter(own.detach().to(torch.bfloat16), requires_grad=False)
            replaced.append((layer, own))
            layer._parameters["weight"] = copies[id(own)]
    try:
        yield
    finally:
        for layer, own in replaced:
            layer._parameters["weight"] = own


def _castable(model: nn.Module) -> list[nn.Module]:
    layers = {layer for layer in model.modules() if type(layer) is nn.Linear}
    layers = {x for x in layers if x.weight.dtype == torch.float32 and x.weight.numel() >= _WORTH_CASTING}
    for part in model.modules():
        if len(getattr(part, "lora_magnitude_vector", ())):
            layers -= {layer for layer in part.modules() if type(layer) is nn.Linear}
    return list(layers)
