"""Full tuning, and the tuners of the peft library behind one call each."""

from __future__ import annotations

from typing import Any

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

    targets: Any = tuner.targets if tuner.targets == "all-linear" else tuner.targets.split(",")
    configuration = peft.LoraConfig(
        r=tuner.rank,
        lora_alpha=tuner.alpha,
        lora_dropout=tuner.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            return peft.get_peft_model(language_model.model, configuration)
        except ValueError as error:
            linear = {
                name.split(".")[-1]
                for name, part in language_model.model.named_modules()
                if isinstance(part, nn.Linear)
            }
            raise InputError(
                f"LoRA targets {tuner.targets!r}: {error}; linear layers here: {', '.join(sorted(linear))}"
            ) from error


def merged(model: nn.Module) -> nn.Module:
    """Fold adapters into fp32 weights; a merge into bf16 weights would round the adapter away, so those stay apart."""
    import peft

    if isinstance(model, peft.PeftModel):
        base = model.get_base_model()
        if next(base.parameters()).dtype == torch.float32:
            return model.merge_and_unload().eval()
        return base.eval()
    return model.eval()
