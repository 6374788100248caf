"""Tuners: how parameters change. One name and one frozen configuration each; `apply` does the work.

This module is light (no torch), so that a misspelt tuner is refused at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from lowres.params import InputError
from lowres.tuners.configurations import (
    KINDS,
    RED,
    BitFit,
    DiReFTPyreft,
    Full,
    LoRA,
    LoReFT,
    LoReFTPyreft,
    SeriesAdapter,
    Tuner,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lowres.language import LanguageModel


TUNERS: dict[str, type[Tuner]] = {kind.name: kind for kind in KINDS}


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


def from_strings(name: str, assignments: Sequence[str]) -> Tuner:
    """A tuner's configuration from its name and options written as `name=value`.

    Raises:
        InputError: unknown name or option, or a value that is not of the option's type.
    """
    pairs = [assignment.partition("=")[::2] for assignment in assignments]
    kinds = {key: type(value) for key, value in asdict(make(name)).items()}
    return make(name, **{key.strip(): _read(key.strip(), text.strip(), kinds) for key, text in pairs})


def _read(option: str, text: str, kinds: dict[str, type]) -> object:
    kind = kinds.get(option, str)
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return kind(text) if kind in (int, float, str) else int(text)
    except ValueError:
        words = {int: "an integer", float: "a number", bool: "true or false"}
        raise InputError(f"{option} must be {words.get(kind, 'an integer')}, not {text!r}") from None


def apply(tuner: Tuner, language_model: LanguageModel, seed: int) -> nn.Module:
    """Make `language_model.model` trainable in the tuner's way, changing it in place.

    Returns:
        The module to call in training; its parameters with requires_grad are the ones to train, in fp32.

    Raises:
        InputError: the tuner does not fit the architecture (names what is allowed).
    """
    from lowres.tuners import peft_tuners, pyreft_backend, representation, small_modules

    match tuner:
        case Full():
            return peft_tuners.apply_full(language_model)
        case BitFit():
            return small_modules.apply_bitfit(language_model)
        case SeriesAdapter():
            return small_modules.apply_adapters(tuner, language_model, seed)
        case RED():
            return small_modules.apply_red(tuner, language_model, seed)
        case LoReFTPyreft() | DiReFTPyreft():
            return pyreft_backend.apply_pyreft(tuner, language_model, seed)
        case LoReFT():
            return representation.apply_representation(tuner, language_model, seed)
        case _:
            return peft_tuners.apply_peft(tuner, language_model, seed)


def inner(model: nn.Module) -> nn.Module:
    """The model with its adapters in place, ready to be evaluated and to be trained on afterwards."""
    from lowres.tuners.peft_tuners import unwrapped

    return unwrapped(model).eval()


def finish(model: nn.Module) -> nn.Module:
    """The tuned model in its cheapest exact form for evaluation: adapters merged where the weights are fp32."""
    from lowres.tuners.peft_tuners import merged

    return merged(model)


def edits_prompts(model: nn.Module) -> bool:
    """Whether the model edits the representations of its prompt, counted from where each prompt begins and ends."""
    return _edits(model) is not None


@contextlib.contextmanager
def prompt_at(model: nn.Module, prompt: torch.Tensor) -> Iterator[None]:
    """Declare which positions of the forward passes inside are prompt.

    Representation tuning edits the prompt alone, and a batch does not tell where the prompt ends. For any other
    model this does nothing.

    Args:
        prompt: bool [batch, length], True on the tokens of the prompt, False on padding and on the answer.
    """
    edits = _edits(model)
    if edits is None:
        yield
        return
    edits.declared = prompt
    try:
        yield
    finally:
        edits.declared = None


def _edits(model: nn.Module) -> Any:
    from lowres.tuners.pyreft_backend import PyreftModel
    from lowres.tuners.representation import edits_of

    return model if isinstance(model, PyreftModel) else edits_of(model)
