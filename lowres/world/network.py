"""The networks of world models: new ones, as pretraining begins with them, and how one is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowres.world import vocabulary
from lowres.world.names import WorldModel

ROTATION = 10_000.0  # base of the rotary positions
SOFTENED = 0.25  # what layers add to the stream at first: at full size it would drown the words themselves
LOOKING = 5.0  # how firmly heads of the first layer look back at first
CONTENT = 0.3  # and how much less they look at what stands there


def network(model: WorldModel, base: Path | None) -> Any:
    """A new network, or that of the base model."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    if base is not None:
        kind = AutoModelForSeq2SeqLM if model.encdec else AutoModelForCausalLM
        return kind.from_pretrained(base)
    return _encoder_decoder(model) if model.encdec else _decoder(model)


def _decoder(model: WorldModel) -> Any:
    """Llama; with weights of the usual size 0.02 a narrow network stalls, hence the initialisation by its width."""
    from transformers import LlamaConfig, LlamaForCausalLM

    size, known = model.dimensions, vocabulary.ids()
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(known),
            hidden_size=size.width,
            intermediate_size=size.inner,
            num_hidden_layers=size.layers,
            num_attention_heads=_heads(size.width),
            num_key_value_heads=_heads(size.width),
            max_position_embeddings=vocabulary.CONTEXT,
            initializer_range=size.width**-0.5,
            rope_theta=ROTATION,
            attention_bias=True,  # without, a head cannot look at a place whatever stands there
            tie_word_embeddings=True,
            bos_token_id=known[vocabulary.START],
            eos_token_id=known[vocabulary.END],
            pad_token_id=known[vocabulary.PAD],
        )
    )
    _start_with_copying(network)
    return network


def _start_with_copying(network: Any) -> None:
    """Attention starts as the circuit that finds a phrase again and says what followed it (an induction head).

    Head h of the first layer brings the word h + 1 places back. Head h of the second layer stands h places behind some
    word and looks for where the same word is one place further back; it hands on what stands there. All of it stays
    trainable. From random attention no model learnt to read a passage within its budget (after the mimetic
    initialisation of Trockman and Kolter 2023). Later layers start at random: with the circuit in all of them, nobody
    learnt who a pronoun stands for.
    """
    import torch

    first, second = (layer.self_attn for layer in network.model.layers[:2])
    width = first.head_dim
    with torch.no_grad():
        word = first.v_proj.weight[:width].clone()
        first.v_proj.weight.copy_(word.repeat(first.v_proj.weight.shape[0] // width, 1))
        brought = first.o_proj.weight.T.clone()
        second.q_proj.weight.copy_(torch.cat([word, brought[:-width]]))
        second.k_proj.weight.copy_(brought)
        second.o_proj.weight.copy_(second.v_proj.weight.T)
        for layer in network.model.layers:
            layer.mlp.down_proj.weight.mul_(SOFTENED)
            if layer.self_attn is not second:
                layer.self_attn.o_proj.weight.mul_(SOFTENED)
        _look_back(first)


def _look_back(attention: Any) -> None:
    """Biases with which head h, after the rotation of its queries and keys, looks h words back."""
    import torch

    half = attention.head_dim // 2
    angles = ROTATION ** -(torch.arange(half) / half)
    queries, keys = attention.q_proj, attention.k_proj
    for head in range(queries.bias.shape[0] // attention.head_dim):
        turned = -(head + 1) * angles
        at = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
        queries.bias[at] = LOOKING * torch.cat([turned.cos(), turned.sin()])
        keys.bias[at] = LOOKING * torch.cat([torch.ones(half), torch.zeros(half)])
    queries.weight.mul_(CONTENT)
    keys.weight.mul_(CONTENT)


def _encoder_decoder(model: WorldModel) -> Any:
    """T5 with its own initialisation: with embeddings at 0.3 of it the middle size hardly learnt, at whatever rate."""
    from transformers import T5Config, T5ForConditionalGeneration

    size, known = model.dimensions, vocabulary.ids()
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(known),
            d_model=size.width,
            d_kv=size.width // _heads(size.width),
            d_ff=size.inner,
            num_layers=size.encoder_layers,
            num_decoder_layers=size.layers,
            num_heads=_heads(size.width),
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=True,
            max_position_embeddings=vocabulary.CONTEXT,
            decoder_start_token_id=known[vocabulary.PAD],
            eos_token_id=known[vocabulary.END],
            pad_token_id=known[vocabulary.PAD],
        )
    )


def _heads(width: int) -> int:
    return min(4, width // 16) if width <= 128 else width // 32


def save(model: WorldModel, trained: Any, facts: dict[str, Any], folder: Path) -> None:
    """Save a network with its tokenizer and what is known of its pretraining."""
    trained.config.lowres_world = facts
    trained.to("cpu").save_pretrained(folder)
    vocabulary.tokenizer(encdec=model.encdec, instruct=model.instruct).save_pretrained(folder)
