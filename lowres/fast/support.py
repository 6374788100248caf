"""Which models are computed by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from lowres.language.inside import inner_model
from lowres.tuners.configurations import LoRAAtPositions
from lowres.tuners.representation import Edits, _edit_block, edits_of

_LLAMA, _TORCH, _PEFT = "transformers.models.llama.modeling_llama.", "torch.nn.modules.", "peft.tuners.lora.layer."
_KNOWN = {
    *(
        _LLAMA + "Llama" + n
        for n in ("ForCausalLM", "Model", "DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding")
    ),
    *(_TORCH + n for n in ("linear.Linear", "linear.Identity", "sparse.Embedding", "container.ModuleList")),
    *(_TORCH + n for n in ("container.ModuleDict", "container.ParameterDict", "activation.SiLU", "dropout.Dropout")),
    "transformers.activations.SiLUActivation",
    _PEFT + "Linear",
    *("lowres.tuners.representation." + n for n in ("Edits", "Orthonormal")),
}
_LORA = "peft.tuners.lora.model.LoraModel"
_off = False


def supports(model: nn.Module) -> bool:
    """Whether a model is computed here: a Llama on the CPU, all of whose modules are of kinds known to this file.

    Kinds are compared by name, exactly: whatever is wrapped, quantised, hooked to or derived takes the general way.
    """
    base, outside = inner_model(model), _kind(model)
    lora = outside == "peft.peft_model.PeftModelForCausalLM" and _kind(model.base_model) == _LORA
    wrapped = lora or outside == "lowres.tuners.representation.RepresentationModel"
    if _off or _kind(base) != _LLAMA + "LlamaForCausalLM" or not (model is base or wrapped):
        return False
    config, edits = base.config, edits_of(model)
    static = base.model.rotary_emb.rope_type in ("default", "linear", "llama3", "yarn")
    if (
        config.hidden_act not in ("silu", "swish")
        or config.attention_dropout
        or not static
        or base.lm_head.bias is not None
    ):
        return False
    if edits is not None and isinstance(edits.tuner, LoRAAtPositions):
        return False
    return all(p.device.type == "cpu" and p.dtype == torch.float32 for p in base.parameters()) and all(
        _plain(part, edits) for part in base.modules()
    )


def _plain(part: Any, edits: Edits | None) -> bool:
    """Whether a module is of a known kind, and does what its kind does."""
    hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
    known = all(
        getattr(hook, "__self__", None) is edits or getattr(hook, "func", None) is _edit_block for hook in hooks
    )
    if _kind(part) not in _KNOWN or "forward" in part.__dict__ or (hooks and (edits is None or not known)):
        return False
    if _kind(part) != _PEFT + "Linear":
        return True
    one = len(part.active_adapters) == 1 and part.active_adapters[0] in part.lora_A
    drops = any(isinstance(drop, nn.Dropout) and drop.p for drop in part.lora_dropout.values())
    odd = part.merged or part.disable_adapters or part.lora_variant or any(part.lora_bias.values())
    return one and not odd and not (drops and part.training)


def _kind(part: Any) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Everything takes the general way inside (to compare the two)."""
    global _off
    before, _off = _off, True
    try:
        yield
    finally:
        _off = before
