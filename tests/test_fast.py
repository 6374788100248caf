"""Decoders computed by hand, held against the transformers forward and backward pass."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from torch import nn

from lowres import evaluate, fast, tuners
from lowres.evaluate import Item
from lowres.fast import decoder as decoding
from lowres.fast import frozen, steps
from lowres.fast import layout as laying
from lowres.language import LanguageModel, formats
from lowres.language.formats import Encoded
from lowres.optimisation import Optimisation
from lowres.trial import train
from lowres.tuners import Full, LoRA, LoReFT, Tuner
from lowres.tuners.configurations import BitFit, DiReFT, LoReFTBiasOnly, RsLoRA

WORDS = 97
MIXED = (5, 9, 17, 33, 34, 20, 7, 2)


def made(*, tied: bool = True, keyed: int = 2, biased: bool = True, layers: int = 3) -> LanguageModel:
    """A random Llama whose norms and biases are not what they start from, with a chat model's tokenizer left out."""
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=WORDS,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=layers,
                num_attention_heads=4,
                num_key_value_heads=keyed,
                max_position_embeddings=512,
                initializer_range=0.15,
                attention_bias=biased,
                tie_word_embeddings=tied,
                pad_token_id=0,
            )
        )
        for name, parameter in network.named_parameters():
            if "norm" in name or "bias" in name:
                nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.2)
    tokenizer: Any = type("Tokenizer", (), {"pad_token_id": 0})()
    return LanguageModel("random", "", network.eval().requires_grad_(False), tokenizer, 512, torch.device("cpu"), False)


def drawn(lengths: Sequence[int]) -> list[Encoded]:
    draw = random.Random(0)
    return [Encoded(tuple(draw.randrange(WORDS) for _ in range(n)), max(1, n - draw.randrange(1, 4))) for n in lengths]


def tuned(language_model: LanguageModel, tuner: Tuner) -> nn.Module:
    """A model in training, its new parameters away from where they start."""
    model = tuners.apply(tuner, language_model, 0)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for parameter in model.parameters():
            if parameter.requires_grad and not isinstance(tuner, Full):
                parameter.add_(0.02 * torch.randn(parameter.shape))
    return model.train()


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def by_transformers(model: nn.Module, rows: Sequence[Encoded]) -> float:
    """Loss and gradient one row at a time, without padding: the mean over all target tokens."""
    total, loss = sum(len(row.target) for row in rows), 0.0
    for row in rows:
        prompt = torch.arange(len(row.ids))[None] < row.prompt_length
        with tuners.prompt_at(model, prompt):
            logits = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0, row.prompt_length - 1 : -1]
        part = nn.functional.cross_entropy(logits, torch.tensor(row.target), reduction="sum") / total
        part.backward()
        loss += part.item()
    return loss


def distance(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest relative distance of two gradients of a parameter; one that is all rounding counts as nothing."""
    assert ours.keys() == theirs.keys()
    nothing = 1e-4 * max(float(each.norm()) for each in theirs.values()) + 1e-12
    return max(float((ours[name] - theirs[name]).norm() / theirs[name].norm().clamp(min=nothing)) for name in theirs)


# --- training --------------------------------------------------------------------------------------------------------

TUNERS = (
    Full(),
    LoRA(rank=2, alpha=6),
    LoRA(rank=3, targets="q_proj,down_proj"),
    RsLoRA(rank=2),
    BitFit(),
    LoReFT(rank=3),
    LoReFT(rank=2, layers="1", positions="p3"),
    DiReFT(rank=2, tied=False),
    LoReFTBiasOnly(rank=2),
)


@pytest.mark.parametrize("lengths", [MIXED, (40,), (2,)], ids=str)
@pytest.mark.parametrize("tuner", TUNERS, ids=str)
def test_loss_and_gradients_are_those_of_transformers(tuner: Tuner, lengths: tuple[int, ...]):
    language_model = made()
    model, rows = tuned(language_model, tuner), drawn(lengths)
    assert fast.supports(model)
    expected = by_transformers(model, rows)
    wanted = gradients(model)
    assert fast.Decoder(model).accumulate(rows) == pytest.approx(expected, rel=1e-5)
    assert distance(gradients(model), wanted) < 1e-5


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=2), LoReFT(rank=2)], ids=str)
@pytest.mark.parametrize("keyed", [1, 4])
@pytest.mark.parametrize("tied", [True, False])
def test_heads_that_share_keys_and_an_output_layer_of_its_own(tuner: Tuner, keyed: int, tied: bool):
    model, rows = tuned(made(tied=tied, keyed=keyed, biased=False), tuner), drawn(MIXED)
    expected = by_transformers(model, rows)
    wanted = gradients(model)
    assert fast.Decoder(model).accumulate(rows) == pytest.approx(expected, rel=1e-5)
    assert distance(gradients(model), wanted) < 1e-5


@pytest.mark.parametrize("trained", [False, True], ids=["adapters", "weights too"])
@pytest.mark.parametrize("targets", ["all-linear", "v_proj,o_proj,gate_proj"])
def test_adapters_beside_large_weights(targets: str, trained: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding, "SMALL", 0)
    model, rows = tuned(made(), LoRA(rank=3, alpha=6, targets=targets)), drawn(MIXED)
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.requires_grad or trained)
    expected = by_transformers(model, rows)
    wanted = gradients(model)
    assert fast.Decoder(model).accumulate(rows) == pytest.approx(expected, rel=1e-5)
    assert distance(gradients(model), wanted) < 1e-5


@pytest.mark.parametrize(
    ("place", "name", "value"), [(decoding, "ROOM", 40), (steps, "SHORT", 8), (laying, "WASTED", 0)]
)
def test_nothing_depends_on_how_a_batch_is_cut(place: Any, name: str, value: int, monkeypatch: pytest.MonkeyPatch):
    model, rows = tuned(made(), Full()), drawn(MIXED)
    loss = fast.Decoder(model).accumulate(rows)
    whole = gradients(model)
    monkeypatch.setattr(place, name, value)
    assert fast.Decoder(model).accumulate(rows) == pytest.approx(loss, rel=1e-6)
    assert distance(gradients(model), whole) < 1e-5


@pytest.mark.parametrize(
    "tuner", [Full(), LoRA(rank=2), LoReFT(rank=2, layers="1,2"), LoReFT(rank=2, layers="2")], ids=str
)
def test_a_training_goes_as_on_the_general_way(tuner: Tuner, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frozen, "FEWEST", 1)
    rows, how = drawn(MIXED * 3), Optimisation(3e-3, batch_size=5, steps=12)
    logs = []
    for off in (False, True):
        language_model = made()
        model = tuners.apply(tuner, language_model, 0)
        if off:
            with fast.switched_off():
                logs.append(train.train(model, language_model, rows, how))
        else:
            logs.append(train.train(model, language_model, rows, how))
    assert logs[0].losses == pytest.approx(logs[1].losses, rel=1e-4)
    assert logs[0].gradient_norms == pytest.approx(logs[1].gradient_norms, rel=1e-3)
    assert logs[0].tokens == logs[1].tokens


def test_dropout_of_edits_is_drawn_in_training_alone():
    rows, losses = drawn(MIXED), []
    for rate, seed in ((0.0, 0), (0.5, 0), (0.5, 0), (0.5, 1)):
        model = tuned(made(), LoReFT(rank=2, dropout=rate))
        torch.manual_seed(seed)
        losses.append(fast.Decoder(model).accumulate(rows))
    assert losses[1] == losses[2]
    assert len({*losses}) == 3
    assert fast.Decoder(tuned(made(), LoReFT(rank=2, dropout=0.5)).eval()).accumulate(rows) == losses[0]


def test_in_bf16_gradients_are_as_near_to_fp32_as_on_the_general_way():
    exact = tuned(made(), LoRA(rank=4))
    by_transformers(exact, rows := drawn(MIXED))
    wanted, far = gradients(exact), []
    for off in (False, True):
        language_model = replace(made(), autocast=True)
        model = tuned(language_model, LoRA(rank=4))
        train._accumulate(model, language_model, rows) if off else fast.Decoder(model, True).accumulate(rows)
        mine = gradients(model)
        far.append(sum(float((mine[n] - wanted[n]).square().sum()) for n in wanted) ** 0.5)
    size = sum(float(each.square().sum()) for each in wanted.values()) ** 0.5
    assert far[0] < 0.05 * size
    assert far[0] < 2 * far[1]


# --- which models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dora", "ia3", "vera", "road", "prefix", "prompt", "series-adapter", "red"])
def test_other_tuners_take_the_general_way(name: str):
    assert not fast.supports(tuners.apply(tuners.make(name), made(), 0))


def test_what_was_changed_in_any_other_way_takes_the_general_way():
    assert fast.supports(made().model)
    hooked, replaced, low, derived = (copy.deepcopy(made().model) for _ in range(4))
    hooked.model.layers[0].mlp.register_forward_hook(lambda *_: None)
    replaced.model.layers[0].forward = lambda hidden, **_: hidden
    low.bfloat16()
    derived.model.norm.__class__ = type("Other", (type(derived.model.norm),), {})
    adapted = tuners.apply(LoRA(rank=2, dropout=0.1), made(), 0)
    for model in (
        hooked,
        replaced,
        low,
        derived,
        adapted.train(),
        tuners.apply(tuners.make("lora-at-positions"), made(), 0),
    ):
        assert not fast.supports(model)
    assert fast.supports(adapted.eval())
    with fast.switched_off():
        assert not fast.supports(made().model)


def test_another_architecture_takes_the_general_way():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sizes = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    assert not fast.supports(Qwen2ForCausalLM(Qwen2Config(**sizes, num_attention_heads=2, num_key_value_heads=2)))


# --- evaluation ------------------------------------------------------------------------------------------------------


def items(common: tuple[int, ...]) -> list[Item]:
    draw = random.Random(0)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw.randrange(WORDS) for _ in range(draw.randrange(low, high)))

    return [Item(common + ids(1, 50), tuple(ids(1, 5) for _ in range(draw.randrange(1, 5))), ()) for _ in range(30)]


@pytest.mark.parametrize("common", [(), tuple(range(30))], ids=["apart", "common beginning"])
@pytest.mark.parametrize("tuner", [LoRA(rank=2), LoReFT(rank=2)], ids=str)
def test_scores_of_choices_are_sums_over_the_whole_text(tuner: Tuner, common: tuple[int, ...]):
    language_model = made()
    model = tuners.inner(tuned(language_model, tuner))
    asked = items(common)
    found = evaluate.answer(model, language_model, asked).log_likelihoods
    for item, scores in zip(asked, found, strict=True):
        for tokens, score in zip(item.continuations, scores, strict=True):
            ids = torch.tensor([item.context + tokens])
            with torch.no_grad(), tuners.prompt_at(model, torch.arange(ids.shape[1])[None] < len(item.context)):
                likely = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
            expected = sum(float(likely[len(item.context) - 1 + at, token]) for at, token in enumerate(tokens))
            assert score == pytest.approx(expected, rel=1e-5)


def test_weights_laid_out_once_are_those_of_the_model_and_no_longer():
    language_model = made()
    model, asked = language_model.model, items(())
    before = evaluate.answer(model, language_model, asked).log_likelihoods
    with fast.unchanged(model, False):
        assert evaluate.answer(model, language_model, asked).log_likelihoods == before
        other = made(keyed=4)
        assert evaluate.answer(other.model, other, asked).log_likelihoods != before
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(0.5)
    after = evaluate.answer(model, language_model, asked).log_likelihoods
    assert after != before
    with fast.switched_off():
        general = evaluate.answer(model, language_model, asked).log_likelihoods
    for ours, theirs in zip(after, general, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_texts_are_scored_as_on_the_general_way(chat_model: LanguageModel):
    texts = [row["prompt"] for row in tiny.rows(20)]
    found = evaluate.outcomes.text_nll(chat_model.model, chat_model, texts)
    with fast.switched_off():
        assert evaluate.outcomes.text_nll(chat_model.model, chat_model, texts) == pytest.approx(found, rel=1e-5)


def test_remembered_tokens_are_those_of_the_tokenizer(chat_model: LanguageModel, plain_model: LanguageModel):
    for model in (chat_model, plain_model, chat_model):
        for text in ("a stone", "the river", "a stone"):
            assert formats.token_ids(model.tokenizer, text) == tuple(
                model.tokenizer(text, add_special_tokens=False)["input_ids"]
            )
            assert formats.plain_ids(model, text)[-1] == formats.token_ids(model.tokenizer, text)[-1]
