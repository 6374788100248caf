"""Tuners of a few lines that no kept library offers for this stack: BitFit, bottleneck adapters, RED.

Each hangs its modules on the model and hooks into the layers that they change, so the model is called as before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn

from lowres.language import LanguageModel
from lowres.params import InputError
from lowres.tuners.architecture import has_experts, insist_on_no_experts, is_linear
from lowres.tuners.configurations import RED, ParallelAdapter, SeriesAdapter

ATTRIBUTE = "added_modules"
FEEDFORWARD = ("mlp", "DenseReluDense")  # Llama, GPT-NeoX, Bloom, Gemma, Qwen ...; T5


def apply_bitfit(language_model: LanguageModel) -> nn.Module:
    """Train every bias; a linear layer without one gets one of zeros (the output layer excepted)."""
    insist_on_no_experts("bitfit", language_model.model)
    model = language_model.model.requires_grad_(False)
    head = model.get_output_embeddings()
    for part in model.modules():
        if isinstance(part, nn.Linear) and part is not head and part.bias is None:
            part.bias = nn.Parameter(torch.zeros(part.out_features, device=part.weight.device))
    for name, parameter in model.named_parameters():
        if name.split(".")[-1] == "bias":
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
    return model


def apply_adapters(tuner: SeriesAdapter, language_model: LanguageModel, seed: int) -> nn.Module:
    """A bottleneck behind or beside each feed-forward layer, its first matrix drawn from `seed`.

    Raises:
        InputError: a width below 1, or an architecture whose feed-forward layers are no modules of their own.
    """
    if tuner.width < 1:
        raise InputError(f"{tuner.name}: width is {tuner.width}; allowed: at least 1")
    width = int(language_model.model.config.hidden_size)
    add = _add_beside if isinstance(tuner, ParallelAdapter) else _add_behind
    return _hooked(language_model, tuner.name, seed, lambda: Bottleneck(width, tuner.width, tuner.dropout), add)


def apply_red(tuner: RED, language_model: LanguageModel, seed: int) -> nn.Module:
    """A scale and a shift behind each feed-forward layer.

    Raises:
        InputError: an architecture whose feed-forward layers are no modules of their own.
    """
    width = int(language_model.model.config.hidden_size)
    return _hooked(language_model, tuner.name, seed, lambda: ScaleAndShift(width), _replace)


class Bottleneck(nn.Module):
    """x -> U relu(D x + c) + b; D [width, hidden], U [hidden, width] and b zero at the start."""

    def __init__(self, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(hidden, width), nn.Linear(width, hidden)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """What is added; the shape of `hidden` [..., hidden]."""
        given = hidden if torch.is_autocast_enabled(hidden.device.type) else hidden.float()
        return self.up(self.dropout(torch.relu(self.down(given)))).to(hidden.dtype)


class ScaleAndShift(nn.Module):
    """y -> s * y + b, s [hidden] one and b [hidden] zero at the start."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(hidden)), nn.Parameter(torch.zeros(hidden))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The edited vectors, [..., hidden]."""
        return (hidden * self.scale + self.shift).to(hidden.dtype)


Hook = Callable[[nn.Module, nn.Module, tuple[torch.Tensor, ...], torch.Tensor], torch.Tensor]


def _hooked(
    language_model: LanguageModel, name: str, seed: int, make: Callable[[], nn.Module], hook: Hook
) -> nn.Module:
    """The frozen model with one new module hooked to each feed-forward layer."""
    model = language_model.model.requires_grad_(False)
    layers = [part for path, part in model.named_modules() if path.split(".")[-1] in FEEDFORWARD]
    if not layers:
        raise InputError(
            f"{name} is not defined for {type(model).__name__}: it has no feed-forward layers named "
            f"{' or '.join(FEEDFORWARD)}"
        )
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        added = nn.ModuleList(make() for _ in layers).to(device)
    setattr(model, ATTRIBUTE, added)
    for layer, module in zip(layers, added, strict=True):
        place = layer if hook is _add_beside or has_experts(layer) else _last_linear(layer)
        place.register_forward_hook(functools.partial(hook, module))
    return model


def _last_linear(layer: nn.Module) -> nn.Module:
    """Where a feed-forward layer's own output stands: some architectures add the residual before they return it."""
    return [part for part in layer.modules() if is_linear(part)][-1]


def _add_behind(module: nn.Module, _: nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
    return output + module(output)


def _add_beside(module: nn.Module, _: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
    return output + module(given[0])


def _replace(module: nn.Module, _: nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(module(output))
