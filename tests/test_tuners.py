"""Full tuning and LoRA: what is trained, from where it starts, and that merging changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from torch import nn

from lowres import models, tuners
from lowres.params import InputError
from lowres.tuners import Full, LoRA

IDS = torch.arange(5, 25).reshape(2, 10)


def tuned(language_model: models.LanguageModel, tuner: tuners.Tuner, seed: int = 0) -> nn.Module:
    return tuners.apply(tuner, models.fresh(language_model), seed)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def trained(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def disturb(model: nn.Module) -> None:
    """Move the trained parameters, so that an adapter is no longer zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def test_lora_starts_as_the_model_that_it_adapts(chat_model: models.LanguageModel):
    adapted = tuned(chat_model, LoRA())
    assert torch.equal(logits(adapted), logits(chat_model.model))
    disturb(adapted)
    assert not torch.allclose(logits(adapted), logits(chat_model.model))


@pytest.mark.parametrize("rank", [1, 8])
def test_lora_trains_rank_times_the_sum_of_both_sides_of_each_layer(chat_model: models.LanguageModel, rank: int):
    sides = [(tiny.HIDDEN, tiny.HIDDEN)] * 2 + [(tiny.HIDDEN, tiny.KEYS)] * 2 + [(tiny.HIDDEN, tiny.INNER)] * 3
    adapters = trained(tuned(chat_model, LoRA(rank=rank)))
    assert sum(map(torch.numel, adapters.values())) == tiny.LAYERS * rank * sum(a + b for a, b in sides)
    assert not any("lm_head" in name or "embed" in name for name in adapters)
    assert {parameter.dtype for parameter in adapters.values()} == {torch.float32}


def test_lora_on_named_layers(chat_model: models.LanguageModel):
    adapters = trained(tuned(chat_model, LoRA(rank=4, targets="q_proj,v_proj")))
    assert sum(map(torch.numel, adapters.values())) == tiny.LAYERS * 4 * (64 + 48)
    assert {name.split(".")[-4] for name in adapters} == {"q_proj", "v_proj"}


def test_lora_follows_its_equation(chat_model: models.LanguageModel):
    """W x + (alpha / rank) B A x, at one layer."""
    adapted = tuned(chat_model, LoRA(rank=2, alpha=6, targets="q_proj"))
    disturb(adapted)
    layer = adapted.get_base_model().model.layers[0].self_attn.q_proj
    x = torch.randn(3, tiny.HIDDEN)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.testing.assert_close(layer(x), x @ layer.base_layer.weight.T + 3.0 * (x @ down.T @ up.T))


def test_merging_keeps_the_outputs_and_leaves_a_plain_model(chat_model: models.LanguageModel):
    adapted = tuned(chat_model, LoRA(rank=4))
    disturb(adapted)
    before = logits(adapted)
    merged = tuners.finish(adapted)
    assert type(merged) is type(chat_model.model)
    assert not merged.training
    torch.testing.assert_close(logits(merged), before, rtol=1e-4, atol=1e-5)


def test_an_adapter_on_bf16_weights_is_not_rounded_away(chat_model: models.LanguageModel):
    own = models.fresh(chat_model)
    own.model.to(torch.bfloat16)
    adapted = tuners.apply(LoRA(rank=4), own, 0)
    assert {parameter.dtype for parameter in trained(adapted).values()} == {torch.float32}
    disturb(adapted)
    before, finished = logits(adapted), tuners.finish(adapted)
    assert torch.equal(logits(finished), before)
    assert any("lora" in name for name, _ in finished.named_parameters())


def test_full_tuning_trains_everything_in_fp32(chat_model: models.LanguageModel):
    own = models.fresh(chat_model)
    own.model.to(torch.bfloat16)
    model = tuners.apply(Full(), own, 0)
    every = dict(model.named_parameters())
    assert trained(model).keys() == every.keys()
    assert {parameter.dtype for parameter in every.values()} == {torch.float32}


@pytest.mark.parametrize("tuner", [Full(), LoRA()])
def test_the_shared_model_is_left_alone(chat_model: models.LanguageModel, tuner: tuners.Tuner):
    before = {name: parameter.clone() for name, parameter in chat_model.model.named_parameters()}
    adapted = tuned(chat_model, tuner)
    disturb(adapted)
    tuners.finish(adapted)
    after = dict(chat_model.model.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in after.values())


def test_the_seed_decides_the_initialisation_and_nothing_else_does(chat_model: models.LanguageModel):
    first = trained(tuned(chat_model, LoRA(), seed=1))
    torch.rand(7)
    state = torch.random.get_rng_state()
    same, other = trained(tuned(chat_model, LoRA(), seed=1)), trained(tuned(chat_model, LoRA(), seed=2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "lora_A" in name)


# --- wrong input -----------------------------------------------------------------------------------------------------


def test_unknown_layers_are_told_which_there_are(chat_model: models.LanguageModel):
    with pytest.raises(
        InputError, match=r"LoRA targets 'q_prj': no linear layer q_prj; here are: down_proj, gate_proj, k_proj"
    ):
        tuned(chat_model, LoRA(targets="q_prj"))


def test_one_unknown_layer_among_known_ones_is_refused(chat_model: models.LanguageModel):
    with pytest.raises(InputError, match="q_prj"):
        tuned(chat_model, LoRA(targets="v_proj,q_prj"))


def test_names_and_options_are_checked():
    assert tuners.make("lora", rank=4) == LoRA(rank=4)
    assert tuners.tuner_names() == ("full", "lora")
    with pytest.raises(InputError, match=r"unknown tuner 'lorra'\. Did you mean 'lora'\? Known: full, lora\."):
        tuners.make("lorra")
    with pytest.raises(InputError, match="tuner 'lora' has no option ranks; it has: rank, alpha, dropout, targets"):
        tuners.make("lora", ranks=4)
    with pytest.raises(InputError, match="tuner 'full' has no option rank"):
        tuners.make("full", rank=4)
