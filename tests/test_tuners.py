"""Full tuning and LoRA: what is trained, from where it starts, and that merging changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import nn

from lowres import models, tuners
from lowres.engine import counting
from lowres.language import LanguageModel
from lowres.params import InputError
from lowres.tuners import Full, LoRA

IDS = torch.arange(5, 25).reshape(2, 10)


def tuned(language_model: LanguageModel, tuner: tuners.Tuner, seed: int = 0) -> nn.Module:
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


def test_lora_starts_as_the_model_that_it_adapts(chat_model: LanguageModel):
    adapted = tuned(chat_model, LoRA())
    assert torch.equal(logits(adapted), logits(chat_model.model))
    disturb(adapted)
    assert not torch.allclose(logits(adapted), logits(chat_model.model))


@pytest.mark.parametrize("rank", [1, 8])
def test_lora_trains_rank_times_the_sum_of_both_sides_of_each_layer(chat_model: LanguageModel, rank: int):
    sides = [(tiny.HIDDEN, tiny.HIDDEN)] * 2 + [(tiny.HIDDEN, tiny.KEYS)] * 2 + [(tiny.HIDDEN, tiny.INNER)] * 3
    adapters = trained(tuned(chat_model, LoRA(rank=rank)))
    assert sum(map(torch.numel, adapters.values())) == tiny.LAYERS * rank * sum(a + b for a, b in sides)
    assert not any("lm_head" in name or "embed" in name for name in adapters)
    assert {parameter.dtype for parameter in adapters.values()} == {torch.float32}


def test_lora_on_named_layers(chat_model: LanguageModel):
    adapters = trained(tuned(chat_model, LoRA(rank=4, targets="q_proj,v_proj")))
    assert sum(map(torch.numel, adapters.values())) == tiny.LAYERS * 4 * (64 + 48)
    assert {name.split(".")[-4] for name in adapters} == {"q_proj", "v_proj"}


def test_lora_follows_its_equation(chat_model: LanguageModel):
    """W x + (alpha / rank) B A x, at one layer."""
    adapted = tuned(chat_model, LoRA(rank=2, alpha=6, targets="q_proj"))
    disturb(adapted)
    layer = adapted.get_base_model().model.layers[0].self_attn.q_proj
    x = torch.randn(3, tiny.HIDDEN)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.testing.assert_close(layer(x), x @ layer.base_layer.weight.T + 3.0 * (x @ down.T @ up.T))


def test_merging_keeps_the_outputs_and_leaves_a_plain_model(chat_model: LanguageModel):
    adapted = tuned(chat_model, LoRA(rank=4))
    disturb(adapted)
    before = logits(adapted)
    merged = tuners.finish(adapted)
    assert type(merged) is type(chat_model.model)
    assert not merged.training
    torch.testing.assert_close(logits(merged), before, rtol=1e-4, atol=1e-5)


def test_an_adapter_on_bf16_weights_is_not_rounded_away(chat_model: LanguageModel):
    own = models.fresh(chat_model)
    own.model.to(torch.bfloat16)
    adapted = tuners.apply(LoRA(rank=4), own, 0)
    assert {parameter.dtype for parameter in trained(adapted).values()} == {torch.float32}
    disturb(adapted)
    before, finished = logits(adapted), tuners.finish(adapted)
    assert torch.equal(logits(finished), before)
    assert any("lora" in name for name, _ in finished.named_parameters())


def test_full_tuning_trains_everything_in_fp32(chat_model: LanguageModel):
    own = models.fresh(chat_model)
    own.model.to(torch.bfloat16)
    model = tuners.apply(Full(), own, 0)
    every = dict(model.named_parameters())
    assert trained(model).keys() == every.keys()
    assert {parameter.dtype for parameter in every.values()} == {torch.float32}


@pytest.mark.parametrize("tuner", [Full(), LoRA()])
def test_the_shared_model_is_left_alone(chat_model: LanguageModel, tuner: tuners.Tuner):
    before = {name: parameter.clone() for name, parameter in chat_model.model.named_parameters()}
    adapted = tuned(chat_model, tuner)
    disturb(adapted)
    tuners.finish(adapted)
    after = dict(chat_model.model.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in after.values())


def test_the_seed_decides_the_initialisation_and_nothing_else_does(chat_model: LanguageModel):
    first = trained(tuned(chat_model, LoRA(), seed=1))
    torch.rand(7)
    state = torch.random.get_rng_state()
    same, other = trained(tuned(chat_model, LoRA(), seed=1)), trained(tuned(chat_model, LoRA(), seed=2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "lora_A" in name)


# --- the others ------------------------------------------------------------------------------------------------------

IDENTITIES = ("bitfit", "rslora", "dora", "ia3", "vera", "road", "series-adapter", "parallel-adapter", "red")
PER_LAYER = {  # trained parameters of one layer of the tiny model, by hand
    "bitfit": 2 * tiny.HIDDEN + 2 * tiny.KEYS + 2 * tiny.INNER + tiny.HIDDEN,
    "rslora": 8 * (2 * 64 + 2 * 48 + 3 * 96),
    "dora": 8 * (2 * 64 + 2 * 48 + 3 * 96) + 2 * 32 + 2 * 16 + 2 * 64 + 32,
    "ia3": 2 * tiny.KEYS + tiny.INNER,
    "prefix": 8 * 2 * tiny.KEYS,
    "vera": 7 * 256 + 2 * 32 + 2 * 16 + 2 * 64 + 32,
    "road": 2 * (2 * 32 + 2 * 16 + 2 * 64 + 32) // 2,
    "series-adapter": 32 * 64 + 64 + 64 * 32 + 32,
    "parallel-adapter": 32 * 64 + 64 + 64 * 32 + 32,
    "red": 2 * tiny.HIDDEN,
    "loreft": 2 * 32 * 8 + 8,
    "direft": 2 * 32 * 8 + 8,
    "loreft-constant": 32 * 8 + 8,
    "loreft-frozen-rotation": 32 * 8 + 8,
    "loreft-random-direction": 1,
    "lora-at-positions": 2 * 32 * 8,
    "loreft-pyreft": 2 * 32 * 8 + 8,
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_these_leave_the_outputs_as_they_were_until_the_first_update(chat_model: LanguageModel, name: str):
    adapted = tuned(chat_model, tuners.make(name))
    torch.testing.assert_close(logits(adapted), logits(chat_model.model), rtol=1e-5, atol=1e-6)
    disturb(adapted)
    assert not torch.allclose(logits(adapted), logits(chat_model.model))


@pytest.mark.parametrize("name", PER_LAYER)
def test_trained_parameters_by_hand(chat_model: LanguageModel, name: str):
    found = trained(tuned(chat_model, tuners.make(name)))
    assert sum(map(torch.numel, found.values())) == tiny.LAYERS * PER_LAYER[name]
    assert {parameter.dtype for parameter in found.values()} == {torch.float32}


@pytest.mark.parametrize("name", ["lora", "rslora", "dora", "ia3", "vera", "road", "bitfit", "series-adapter", "red"])
def test_the_form_for_evaluation_gives_the_same_outputs(chat_model: LanguageModel, name: str):
    adapted = tuned(chat_model, tuners.make(name))
    disturb(adapted)
    before = logits(adapted)
    torch.testing.assert_close(logits(tuners.finish(adapted)), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["lora", "rslora", "dora", "ia3", "vera", "road"])
def test_peft_tuners_are_pefts_own(chat_model: LanguageModel, name: str):
    """The same configuration given to peft by hand: the same parameters, and the same outputs once they are moved."""
    import peft

    linear = {"target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    by_hand = {
        "lora": lambda: peft.LoraConfig(r=8, lora_alpha=32, **linear),
        "rslora": lambda: peft.LoraConfig(r=8, lora_alpha=11, use_rslora=True, **linear),
        "dora": lambda: peft.LoraConfig(r=8, lora_alpha=32, use_dora=True, **linear),
        "ia3": lambda: peft.IA3Config(task_type="CAUSAL_LM"),
        "vera": lambda: peft.VeraConfig(r=256, projection_prng_key=5, vera_dropout=0.0, **linear),
        "road": lambda: peft.RoadConfig(group_size=16, **linear),
    }[name]()
    ours = tuned(chat_model, tuners.make(name), seed=5)
    torch.manual_seed(5)
    theirs = peft.get_peft_model(models.fresh(chat_model).model, by_hand)
    mine, its = trained(ours), trained(theirs)
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[name], its[name]) for name in mine)
    disturb(ours)
    disturb(theirs)
    assert torch.equal(logits(ours), logits(theirs))


@pytest.mark.parametrize("name", ["prefix", "prompt"])
def test_virtual_tokens_are_pefts_own_and_stand_padding_and_cache(chat_model: LanguageModel, name: str):
    adapted = tuned(chat_model, tuners.make(name, tokens=3)).eval()
    with torch.no_grad():
        expected = adapted.adapted(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits[:, -10:]
        torch.testing.assert_close(adapted(input_ids=IDS).logits[:, -10:], expected, rtol=1e-4, atol=1e-5)
        padded = torch.nn.functional.pad(IDS, (4, 0))
        mask = (torch.arange(14) >= 4).long().expand(2, -1)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        first = adapted(padded[:, :12], mask[:, :12], positions[:, :12], use_cache=True)
        rest = adapted(padded[:, 12:], mask, positions[:, 12:], first.past_key_values, use_cache=True)
        torch.testing.assert_close(rest.logits[:, -2:], expected[:, -2:], rtol=1e-4, atol=1e-5)


def test_bottlenecks_follow_their_equations(chat_model: LanguageModel):
    x = torch.randn(2, 3, tiny.HIDDEN)
    plain = chat_model.model.model.layers[0].mlp(x)
    for name, given in (("series-adapter", plain), ("parallel-adapter", x)):
        adapted = tuned(chat_model, tuners.make(name, width=5))
        disturb(adapted)
        part = adapted.added_modules[0]
        expected = plain + torch.relu(given @ part.down.weight.T + part.down.bias) @ part.up.weight.T + part.up.bias
        torch.testing.assert_close(adapted.model.layers[0].mlp(x), expected)
    red = tuned(chat_model, tuners.make("red"))
    disturb(red)
    expected = plain * red.added_modules[0].scale + red.added_modules[0].shift
    torch.testing.assert_close(red.model.layers[0].mlp(x), expected)


# --- counts of the papers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options", "expected", "percent"),
    [
        ("llama-7b", {}, 2_097_408, "0.0311"),
        ("llama-13b", {}, 3_277_120, "0.0252"),
        ("llama-3-8b", {}, 2_097_408, "0.0261"),
        ("llama-7b", {"rank": 4, "layers": "3,9,18,24", "positions": "p5+s5", "tied": False}, 262_176, "0.0039"),
        ("roberta-base", {"rank": 1, "positions": "p11"}, 18_444, "0.0148"),
        ("roberta-large", {"rank": 1, "positions": "p11"}, 49_176, "0.0138"),
    ],
)
def test_loreft_has_the_parameters_that_its_paper_counts(
    model: str, options: dict[str, Any], expected: int, percent: str
):
    found = counting.count(model, [tuners.make("loreft", **options)])[0]
    assert (found.trained, f"{found.percent:.4f}") == (expected, percent)


def test_what_a_tuner_is_not_defined_for_is_said_beside_the_others():
    counts = counting.count("roberta-base", [tuners.make(name) for name in ("bitfit", "prefix", "red")])
    assert [bool(each.problem) for each in counts] == [False, True, True]
    text = counting.table("roberta-base", counts)
    assert "prefix is defined here for decoder-only models; RobertaModel has an encoder" in text
    assert text.splitlines()[-1] == "roberta-base: 124,645,632 parameters"


def test_counts_from_a_configuration_file_and_from_the_bundled_model(chat_folder: Path, tmp_path: Path):
    by_file = counting.count(str(chat_folder / "config.json"), [LoRA(rank=2)])[0]
    by_folder = counting.count(str(chat_folder), [LoRA(rank=2)])[0]
    assert by_file == by_folder
    assert counting.count("smollm2-135m-instruct", [Full()])[0].total == 134_515_008
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="is not the configuration of a transformers model"):
        counting.configuration(str(tmp_path / "config.json"))
    with pytest.raises(InputError, match=r"did you mean .llama-7b."):
        counting.configuration("llama-7")


# --- wrong input -----------------------------------------------------------------------------------------------------


def test_unknown_layers_are_told_which_there_are(chat_model: LanguageModel):
    with pytest.raises(
        InputError, match=r"LoRA targets 'q_prj': no linear layer q_prj; here are: down_proj, gate_proj, k_proj"
    ):
        tuned(chat_model, LoRA(targets="q_prj"))


def test_one_unknown_layer_among_known_ones_is_refused(chat_model: LanguageModel):
    with pytest.raises(InputError, match="q_prj"):
        tuned(chat_model, LoRA(targets="v_proj,q_prj"))


def test_names_and_options_are_checked():
    assert tuners.make("lora", rank=4) == LoRA(rank=4)
    with pytest.raises(InputError, match=r"unknown tuner 'lorra'\. Did you mean 'lora'\? Known: full, bitfit, lora, "):
        tuners.make("lorra")
    with pytest.raises(InputError, match="tuner 'lora' has no option ranks; it has: rank, alpha, dropout, targets"):
        tuners.make("lora", ranks=4)
    with pytest.raises(InputError, match="tuner 'full' has no option rank"):
        tuners.make("full", rank=4)


def test_options_are_read_by_their_type():
    assert tuners.from_strings("loreft", ["rank=4", "tied=false", "layers=1,2"]) == tuners.make(
        "loreft", rank=4, tied=False, layers="1,2"
    )
    assert tuners.from_strings("road", ["group=8"]) == tuners.make("road", group=8)
    with pytest.raises(InputError, match="rank must be an integer, not 'x'"):
        tuners.from_strings("lora", ["rank=x"])
    with pytest.raises(InputError, match="tied must be true or false, not 'maybe'"):
        tuners.from_strings("loreft", ["tied=maybe"])


def test_a_rank_of_zero_and_a_group_that_does_not_divide_are_refused(chat_model: LanguageModel):
    with pytest.raises(InputError, match="lora does not fit LlamaForCausalLM"):
        tuned(chat_model, LoRA(rank=0))
    with pytest.raises(InputError, match="road: group 24 does not divide the widths of its targets: 16, 32, 64"):
        tuned(chat_model, tuners.make("road", group=24))
