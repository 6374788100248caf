"""Tuners: how parameters change. One name and one frozen configuration each; `apply` does the work.

This module is light (no torch), so that a misspelt tuner is refused at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

from lowres.params import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lowres.models import LanguageModel


@dataclass(frozen=True)
class Full:
    """Every parameter is trained."""

    name: ClassVar[str] = "full"


@dataclass(frozen=True)
class LoRA:
    """Low-rank adaptation (Hu et al. 2021, eq. 3): W x + (alpha / rank) B A x, with B = 0 at the start.

    `targets` is "all-linear" (every linear layer but the output layer) or module names joined by commas.
    """

    name: ClassVar[str] = "lora"
    rank: int = 8
    alpha: int = 32
    dropout: float = 0.0
    targets: str = "all-linear"


Tuner = Full | LoRA
TUNERS: dict[str, type[Full] | type[LoRA]] = {kind.name: kind for kind in (Full, LoRA)}


def tuner_names() -> tuple[str, ...]:
    """All tuners."""
    return tuple(TUNERS)


def check_name(name: str) -> str | None:
    """Say what is wrong with a tuner name, or None."""
    if name in TUNERS:
        return None
    close = get_close_matches(name, TUNERS, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown tuner {name!r}.{hint} Known: {', '.join(TUNERS)}."


def make(name: str, **options: object) -> Tuner:
    """A tuner's configuration from its name and options.

    Raises:
        InputError: unknown name or unknown option.
    """
    problem = check_name(name)
    if problem:
        raise InputError(problem)
    kind = TUNERS[name]
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"tuner {name!r} has no option {', '.join(unknown)}; it has: {', '.join(known) or 'none'}")
    return kind(**options)  # type: ignore[arg-type]


def apply(tuner: Tuner, language_model: LanguageModel, seed: int) -> nn.Module:
    """Make `language_model.model` trainable in the tuner's way, changing it in place.

    Returns:
        The module to call in training; its parameters with requires_grad are the ones to train, in fp32.

    Raises:
        InputError: the tuner does not fit the architecture (names what is allowed).
    """
    from lowres.tuners.peft_tuners import apply_full, apply_lora

    return apply_full(language_model) if isinstance(tuner, Full) else apply_lora(tuner, language_model, seed)


def inner(model: nn.Module) -> nn.Module:
    """The model with its adapters in place, ready to be evaluated and to be trained on afterwards."""
    from lowres.tuners.peft_tuners import unwrapped

    return unwrapped(model).eval()


def finish(model: nn.Module) -> nn.Module:
    """The tuned model in its cheapest exact form for evaluation: adapters merged where the weights are fp32."""
    from lowres.tuners.peft_tuners import merged

    return merged(model)


def edits_prompts(model: nn.Module) -> bool:
    """Whether the model edits hidden states at positions counted from a prompt's own start and end."""
    return False


@contextlib.contextmanager
def prompt_at(model: nn.Module, mask: torch.Tensor) -> Iterator[None]:
    """Declare which positions (bool, [batch, length]) of the next forward pass are prompt."""
    yield
