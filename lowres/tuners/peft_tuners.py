"""The tuners of the peft library behind one call each, and full tuning."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from lowres.language import LanguageModel
from lowres.params import InputError
from lowres.tuners.architecture import insist_on_no_experts, insist_on_no_window
from lowres.tuners.configurations import IA3, DoRA, LoRA, Prefix, Prompt, RoAd, RsLoRA, Tuner, VeRA
from lowres.tuners.representation import RepresentationModel
from lowres.tuners.virtual_tokens import VirtualTokens


def apply_full(language_model: LanguageModel) -> nn.Module:
    """All parameters in fp32, all trained."""
    return language_model.model.float().requires_grad_(True)


def apply_peft(tuner: Tuner, language_model: LanguageModel, seed: int) -> nn.Module:
    """A model wrapped by peft, the initialisation of what was added drawn from `seed`.

    Raises:
        InputError: targets that are not there, or a tuner that is not defined for the architecture.
    """
    import peft

    configuration = _configuration(tuner, language_model.model, seed)
    configuration.task_type = _kind(language_model.model)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for names that will change
        torch.manual_seed(seed)
        try:
            adapted = peft.get_peft_model(language_model.model, configuration)
        except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError, RuntimeError) as error:
            name, reason = type(language_model.model).__name__, (str(error).splitlines() or [""])[0]
            if "target_modules" in reason:
                reason = f"name its layers with targets{' and feedforward' * isinstance(tuner, IA3)}"
            raise InputError(f"{tuner.name} does not fit {name}: {reason}") from error
    return VirtualTokens(adapted) if isinstance(tuner, Prefix | Prompt) else adapted


def _kind(model: Any) -> str:
    """What peft calls the kind of model; an encoder alone occurs where parameters are counted."""
    if model.config.is_encoder_decoder:
        return "SEQ_2_SEQ_LM"
    return "FEATURE_EXTRACTION" if model.get_output_embeddings() is None else "CAUSAL_LM"


def _configuration(tuner: Tuner, model: nn.Module, seed: int) -> Any:
    """Peft's configuration for one of the book's."""
    import peft

    if isinstance(tuner, LoRA):
        return peft.LoraConfig(
            r=tuner.rank,
            lora_alpha=tuner.alpha,
            lora_dropout=tuner.dropout,
            target_modules=_targets(tuner, model),
            use_rslora=isinstance(tuner, RsLoRA),
            use_dora=isinstance(tuner, DoRA),
        )
    if isinstance(tuner, VeRA | RoAd) and tuner.targets == "all-linear":
        insist_on_no_experts(LABELS[tuner.name], model)
    if isinstance(tuner, VeRA):
        return peft.VeraConfig(
            r=tuner.rank, vera_dropout=tuner.dropout, target_modules=_targets(tuner, model), projection_prng_key=seed
        )
    if isinstance(tuner, RoAd):
        return peft.RoadConfig(group_size=_group(tuner, model), target_modules=_targets(tuner, model))
    if isinstance(tuner, IA3):
        both = (tuner.targets, tuner.feedforward)
        if "auto" in both:
            insist_on_no_experts(LABELS[tuner.name], model)
            return peft.IA3Config()
        named = [_named_layers(text, tuner.name, model) for text in both]
        return peft.IA3Config(target_modules=named[0] + named[1], feedforward_modules=named[1])
    return _virtual_tokens(tuner, model)


def _virtual_tokens(tuner: Tuner, model: nn.Module) -> Any:
    import peft

    assert isinstance(tuner, Prefix | Prompt)
    if _kind(model) != "CAUSAL_LM":
        raise InputError(f"{tuner.name} is defined here for decoder-only models; {type(model).__name__} has an encoder")
    insist_on_no_window(tuner.name, model)
    if tuner.tokens < 1:
        raise InputError(f"{tuner.name}: tokens is {tuner.tokens}; allowed: at least 1")
    if isinstance(tuner, Prefix):
        return peft.PrefixTuningConfig(num_virtual_tokens=tuner.tokens)
    return peft.PromptTuningConfig(num_virtual_tokens=tuner.tokens, prompt_tuning_init="SAMPLE_VOCAB")


def _targets(tuner: LoRA | VeRA | RoAd, model: nn.Module) -> str | list[str]:
    """The layers to adapt; peft itself would pass over a name that does not exist as long as another one does."""
    return tuner.targets if tuner.targets == "all-linear" else _named_layers(tuner.targets, tuner.name, model)


LABELS = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA", "ia3": "(IA)3", "vera": "VeRA", "road": "RoAd"}


def _named_layers(named: str, tuner: str, model: nn.Module) -> list[str]:
    linear = {name.split(".")[-1] for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    targets = [name.strip() for name in named.split(",")]
    unknown = [name for name in targets if name not in linear]
    if unknown:
        here = ", ".join(sorted(linear))
        raise InputError(
            f"{LABELS.get(tuner, tuner)} targets {named!r}: no linear layer {', '.join(unknown)}; here are: {here}"
        )
    return targets


def _group(tuner: RoAd, model: nn.Module) -> int:
    """The group width of RoAd."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    targets = _targets(tuner, model)
    linear = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear) and part is not head}
    chosen = [part for name, part in linear.items() if targets == "all-linear" or name.split(".")[-1] in targets]
    widths = {part.out_features for part in chosen}
    fitting = [group for group in (64, 32, 16, 8, 4, 2) if not any(width % group for width in widths)]
    if tuner.group is None and fitting:
        return fitting[0]
    if tuner.group is None or tuner.group < 2 or any(width % tuner.group for width in widths):
        shown = ", ".join(map(str, sorted(widths)))
        raise InputError(f"road: group {tuner.group} does not divide the widths of its targets: {shown}")
    return tuner.group


def unwrapped(model: nn.Module) -> nn.Module:
    """The transformers model inside a wrapper, adapters or edits in place, or the model itself."""
    import peft

    return model.get_base_model() if isinstance(model, peft.PeftModel | RepresentationModel) else model


def merged(model: nn.Module) -> nn.Module:
    """Fold adapters into fp32 weights; a merge into bf16 weights would round the adapter away, so those stay apart."""
    import peft

    base = unwrapped(model)
    if isinstance(model, peft.PeftModel) and next(base.parameters()).dtype == torch.float32:
        return model.merge_and_unload().eval()
    return base.eval()
