"""Tiny random models of many families, two layers each, with the tokenizer of `tests/tiny.py`.

`python tests/families.py` tries each tuner on each of them, and writes results/families.json for the re-run guide.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import tiny

from lowres import models, places, tuners
from lowres.engine import examination
from lowres.language import formats
from lowres.params import InputError

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 160,
    "initializer_range": 0.2,
}
ENCODING = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
EXPERTS = {"num_experts_per_tok": 2, "head_dim": 8}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {  # class of the configuration, and what is different from SIZES
    "llama": ("LlamaConfig", {}),
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {"head_dim": 8}),
    "gemma": ("GemmaConfig", {"head_dim": 8}),
    "gemma3_text": ("Gemma3TextConfig", {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8}),
    "mistral": ("MistralConfig", {"head_dim": 8, "sliding_window": None}),
    "mixtral": ("MixtralConfig", {**EXPERTS, "num_local_experts": 4}),
    "phi3": ("Phi3Config", {}),
    "olmo2": ("Olmo2Config", {}),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 160}),
    "gpt_neox": ("GPTNeoXConfig", {}),
    "opt": ("OPTConfig", {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.2}),
    "bloom": ("BloomConfig", {"n_layer": 2, "n_head": 4}),
    "t5": ("T5Config", {}),
    "mamba": ("MambaConfig", {"state_size": 4}),
    "bert": ("BertConfig", {}),
}
BARE = ("gpt2", "bloom", "t5", "mamba")  # have their own names for the sizes


def config_of(name: str, vocabulary: int) -> Any:
    """The configuration of a family."""
    import transformers

    kind, more = FAMILIES[name]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2} if name in ("bloom", "mamba") else {}
    sizes = ENCODING if name == "t5" else sizes if name in BARE else SIZES
    if name in ("gpt_neox", "opt", "bert"):  # know no groups of heads
        sizes = {key: value for key, value in sizes.items() if key != "num_key_value_heads"}
    tokens = {"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return getattr(transformers, kind)(**{**tokens, **sizes, **more})


def save(name: str, folder: Path, *, chat: bool = True, **changes: Any) -> str:
    """Save a random model of a family; returns its folder as a name. `changes` are of its configuration."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

    tokenizer = tiny._tokenizer(chat)
    config = config_of(name, len(tokenizer) + 1)  # some families' tokenizers add a token when they are loaded
    for key, value in changes.items():
        setattr(config, key, value)
    kind = {"t5": AutoModelForSeq2SeqLM, "bert": AutoModelForMaskedLM}.get(name, AutoModelForCausalLM)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


# --- families and tuners ---------------------------------------------------------------------------------------------

SMALL = {"prefix": {"tokens": 3}, "prompt": {"tokens": 3}, "vera": {"rank": 8}, "series-adapter": {"width": 4}}
TRIED = tuple(name for name in tuners.tuner_names() if not name.endswith("pyreft"))  # the others, computed elsewhere


def refusals(name: str) -> dict[str, str]:
    """By tuner, why a model refuses it; empty where all work. A reason under "" is against the model itself."""
    try:
        examination.insist(name, "fp32")
    except InputError as error:
        told = [problem.rpartition("', ")[2].partition("; families that work")[0] for problem in error.problems]
        return {"": "; ".join(told)}
    found = {tuner: _refusal(name, tuner) for tuner in TRIED}
    return {tuner: reason for tuner, reason in found.items() if reason}


def _refusal(name: str, tuner: str) -> str:
    """Why a model refuses a tuner, without the tuner's name; "" where it trains something that the loss reaches."""
    import torch

    fresh = models.fresh(models.load(name, "fp32", "cpu"))
    try:
        tuned = tuners.apply(tuners.make(tuner, **SMALL.get(tuner, {})), fresh, 0)
    except InputError as error:
        return str(error).partition(" ")[2]
    row = formats.encode(fresh, "Hi", "yes")
    read = {"input_ids": torch.tensor([row.ids]), "attention_mask": torch.ones(1, len(row.ids))}
    if fresh.model.config.is_encoder_decoder:
        read["decoder_input_ids"] = torch.tensor([row.target])
    tuned(**read).logits.sum().backward()
    assert any(each.grad is not None for each in tuned.parameters() if each.requires_grad), (name, tuner)
    return ""


def main() -> None:
    """Try all, and write down what is refused."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: refusals(save(name, Path(folder) / name)) for name in FAMILIES}
    content = json.dumps({"tuners": TRIED, "refused": found}, indent=1) + "\n"
    (places.RESULTS / "families.json").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
