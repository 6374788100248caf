"""Tiny random models of several architectures, the same weights on every machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests import tiny

SPREAD = 0.35  # of weights, uniform: as wide as a normal distribution of deviation 0.2; narrower in a wide model
SMALL = 0.1  # of biases, and of norms around where they start
CONTEXT = 192
SPARE = 8  # tokens that some tokenizers add to themselves when they are loaded
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
SLIDING = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
WIDE = {**GROUPED, "hidden_size": 128, "intermediate_size": 512}  # weights large enough to be cast once to bfloat16
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
GPT2 = {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 4}
OPT = {**{name: size for name, size in SIZES.items() if name != "intermediate_size"}, "ffn_dim": 64}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}

# By name: the kind of transformers' configuration, its sizes, and whether the tokenizer has a chat template.
ARCHITECTURES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "llama": ("llama", {**GROUPED, "tie_word_embeddings": True}, True),
    "plain": ("llama", GROUPED, False),
    "wide": ("llama", {**WIDE, "tie_word_embeddings": True}, True),
    "qwen2": ("qwen2", GROUPED, True),
    "gpt2": ("gpt2", GPT2, False),
    "gpt_neox": ("gpt_neox", SIZES, False),
    "opt": ("opt", {**OPT, "word_embed_proj_dim": 32}, False),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, False),
    "gemma3": ("gemma3_text", {**GROUPED, **SLIDING, "head_dim": 8, "query_pre_attn_scalar": 8}, True),
    "experts": ("qwen3_moe", {**GROUPED, **EXPERTS, "head_dim": 8}, False),
    "t5": ("t5", T5, False),
}


class Shelf:
    """Models in a folder, each built when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> str:
        """The folder of a model, which is its name in a trial."""
        place = self.folder / name
        if not place.is_dir():
            build(name, place)
        return str(place)


def build(name: str, folder: Path) -> None:
    """Write configuration, weights and tokenizer of a model."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind, sizes, chat = ARCHITECTURES[name]
    tokenizer = tiny._tokenizer(chat)
    if kind == "t5":
        _end_after_input(tokenizer)
    tokens = {part: getattr(tokenizer, part) for part in ("bos_token_id", "eos_token_id")}
    tokens |= {"vocab_size": len(tokenizer) + SPARE, "pad_token_id": tokenizer.eos_token_id}
    config = AutoConfig.for_model(kind, **tokens, **sizes)
    make: Callable[..., Any] = (AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM).from_config
    model = make(config)
    fill(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _end_after_input(tokenizer: Any) -> None:
    from tokenizers import processors

    ending = processors.TemplateProcessing(single="$A <|end|>", special_tokens=[("<|end|>", 1)])
    tokenizer._tokenizer.post_processor = ending


def fill(model: Any) -> None:
    """Weights from numpy's generator, whose uniform numbers are the same to the last bit everywhere."""
    import torch

    generator = np.random.Generator(np.random.PCG64(0))
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            drawn = torch.from_numpy(generator.uniform(-1, 1, tuple(parameter.shape)).astype(np.float32))
            if parameter.ndim == 1:  # biases start at zero, norms at one (in Gemma at zero, which stands for one)
                parameter.add_(SMALL * drawn)
            else:
                parameter.copy_(SPREAD * (SIZES["hidden_size"] / model.config.hidden_size) ** 0.5 * drawn)
    model.tie_weights()
