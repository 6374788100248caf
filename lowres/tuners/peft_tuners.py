"""Full tuning, and the tuners of the peft library behind one call each."""

from __future__ import annotations

import torch
from torch import nn

from lowres.models import LanguageModel
from lowres.params import InputError
from lowres.tuners import LoRA


def apply_full(language_model: LanguageModel) -> nn.Module:
    """All parameters in fp32, all trained."""
    return language_model.model.float().requires_grad_(True)


def apply_lora(tuner: LoRA, language_model: LanguageModel, seed: int) -> nn.Module:
    """Low-rank adapters on the targets, their initialisation drawn from `seed`."""
    import peft

    configuration = peft.LoraConfig(
        r=tuner.rank,
        lora_alpha=tuner.alpha,
        lora_dropout=tuner.dropout,
        target_modules=_targets(tuner.targets, language_model.model),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return peft.get_peft_model(language_model.model, configuration)


def _targets(named: str, model: nn.Module) -> str | list[str]:
    """The layers to adapt; peft itself would pass over a name that does not exist as long as another one does."""
    if named == "all-linear":
        return named
    linear = {name.split(".")[-1] for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    targets = [name.strip() for name in named.split(",")]
    unknown = [name for name in targets if name not in linear]
    if unknown:
        raise InputError(
            f"LoRA targets {named!r}: no linear layer {', '.join(unknown)}; here are: {', '.join(sorted(linear))}"
        )
    return targets


def unwrapped(model: nn.Module) -> nn.Module:
    """The transformers model inside a peft wrapper, adapters in place, or the model itself."""
    import peft

    return model.get_base_model() if isinstance(model, peft.PeftModel) else model


def merged(model: nn.Module) -> nn.Module:
    """Fold adapters into fp32 weights; a merge into bf16 weights would round the adapter away, so those stay apart."""
    import peft

    base = unwrapped(model)
    if isinstance(model, peft.PeftModel) and next(base.parameters()).dtype == torch.float32:
        return model.merge_and_unload().eval()
    return base.eval()
