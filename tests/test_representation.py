"""Representation edits: their equations by hand, where they are made, and parity with pyreft 0.1.0."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from benchmarks import saving
from lowres import models, tuners
from lowres.evaluate import Item, answer, passes
from lowres.language import LanguageModel
from lowres.params import InputError
from lowres.tuners.configurations import LoReFT
from lowres.tuners.representation import Edits, chosen_layers, edited_positions, edits_of, position_counts

KINDS = [kind for kind in tuners.tuner_names() if "reft" in kind and "pyreft" not in kind]
PROMPTS = ((7, 8, 9, 10, 11, 12, 13), (20, 21, 22, 23, 24), (30, 31, 32, 33, 34, 35), (40, 41, 42))
ANSWERS = ((50, 51), (60, 61, 62), (70,), (80, 81))


def edited(language_model: LanguageModel, tuner: LoReFT, seed: int = 3) -> tuple[Any, LanguageModel]:
    own = models.fresh(language_model)
    model = tuners.apply(tuner, own, seed)
    edits = edits_of(model)
    with torch.no_grad():  # turn R away from where it starts
        for name, parameter in edits.named_parameters():
            if "turned" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    return model.eval(), own


def right_padded(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> tuple[torch.Tensor, ...]:
    """Ids, mask, prompt positions and labels (-100 where there is no target)."""
    length = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids, labels = torch.zeros(len(prompts), length, dtype=torch.long), torch.full((len(prompts), length), -100)
    mask, prompt = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for row, (p, a) in enumerate(zip(prompts, answers, strict=True)):
        end = len(p) + len(a)
        ids[row, :end], mask[row, :end] = torch.tensor([*p, *a]), 1
        prompt[row, : len(p)], labels[row, len(p) : end] = True, torch.tensor(a)
    return ids, mask, prompt, labels


def left_padded(prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(map(len, prompts))
    ids = torch.tensor([[0] * (length - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts])
    return ids, mask


# --- equations and places --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_each_edit_follows_its_equation(chat_model: LanguageModel, name: str):
    """One row, one layer, one position, with matrices built from the stored parameters."""
    model, _ = edited(chat_model, tuners.make(name, rank=3, layers="1", positions="s1"))
    edits, h = edits_of(model), torch.randn(5, tiny.HIDDEN)
    columns = edits.directions()[0]  # R^T, or W2^T
    b = edits.bias[0]
    if edits.size is not None:
        edits.size.data.fill_(0.7)
    w = None if edits.source is None else edits.source[0]
    expected = {
        "loreft": lambda: h + ((h @ w.T + b) - h @ columns) @ columns.T,
        "loreft-no-subtraction": lambda: h + (h @ w.T + b) @ columns.T,
        "loreft-non-orthogonal": lambda: h + ((h @ w.T + b) - h @ columns) @ columns.T,
        "loreft-constant": lambda: h + (b - h @ columns) @ columns.T,
        "loreft-bias-only": lambda: h + b @ columns.T,
        "direft": lambda: h + (h @ w.T + b) @ columns.T,
        "loreft-frozen-rotation": lambda: h + ((h @ w.T + b) - h @ columns) @ columns.T,
        "loreft-random-direction": lambda: h + 0.7 * ((h @ w.T + b) - h @ columns) @ columns.T,
    }[name]()
    torch.testing.assert_close(h + edits.shift(h, 0, columns), expected)
    orthonormal = torch.allclose(columns.T @ columns, torch.eye(3), atol=1e-5)
    assert orthonormal == (name not in ("direft", "loreft-non-orthogonal"))


def test_controls_train_what_they_say(chat_model: LanguageModel):
    def trained(name: str) -> set[str]:
        model, _ = edited(chat_model, tuners.make(name, rank=3))
        return {part.split(".", 2)[2] for part, each in model.named_parameters() if each.requires_grad}

    assert trained("loreft") == {"rotation.turned", "source", "bias"}
    assert trained("loreft-frozen-rotation") == {"source", "bias"}
    assert trained("loreft-random-direction") == {"size"}


def test_lora_at_every_position_is_pefts_lora(chat_model: LanguageModel):
    """An even prompt whose halves are both edited whole: LoRA on the attention outputs, with the same matrices."""
    import peft

    model, _ = edited(chat_model, tuners.make("lora-at-positions", rank=4, positions="p99+s99"))
    edits, ids = edits_of(model), torch.arange(4, 24)[None]
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, chat_model.model(input_ids=ids).logits)
        edits.projection.normal_(generator=torch.Generator().manual_seed(2))
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["o_proj"], task_type="CAUSAL_LM")
    theirs = peft.get_peft_model(models.fresh(chat_model).model, config).eval()
    with torch.no_grad():
        for layer, block in enumerate(theirs.base_model.model.model.layers):
            block.self_attn.o_proj.lora_A["default"].weight.copy_(edits.source[layer])
            block.self_attn.o_proj.lora_B["default"].weight.copy_(edits.projection[layer].T)
        torch.testing.assert_close(model(input_ids=ids).logits, theirs(input_ids=ids).logits, rtol=1e-4, atol=1e-5)


def test_lora_at_positions_leaves_the_rest_of_the_prompt_alone(chat_model: LanguageModel):
    """In the first layer alone: what stands before the edited end of the prompt is as it was, the end is not."""
    model, _ = edited(chat_model, tuners.make("lora-at-positions", rank=4, positions="s3", layers="0"))
    edits_of(model).projection.data.normal_(generator=torch.Generator().manual_seed(2))
    ids = torch.arange(4, 24)[None]
    with torch.no_grad():
        ours, plain = (each(input_ids=ids).logits[0] for each in (model, chat_model.model))
    assert torch.equal(ours[:-3], plain[:-3])
    assert not torch.isclose(ours[-3:], plain[-3:]).all(-1).any()


def test_r_stays_orthonormal_through_training(chat_model: LanguageModel):
    model, _ = edited(chat_model, LoReFT(rank=4, positions="p2+s2"))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05, weight_decay=0.0)
    for _ in range(5):
        model(input_ids=torch.arange(4, 24)[None], use_cache=False).logits.logsumexp(-1).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    r = edits_of(model).directions()
    torch.testing.assert_close(r.mT @ r, torch.eye(4).expand(tiny.LAYERS, 4, 4), rtol=0, atol=1e-5)
    assert r.dtype == torch.float32


@pytest.mark.parametrize(
    ("prompt", "first", "last", "start", "end"),
    [
        ("0111111100", 2, 3, "0110000000", "0000011100"),  # left and right padding around seven tokens
        ("1111100000", 7, 7, "1100000000", "0001100000"),  # five tokens: 5 // 2 on either side
        ("0001000000", 1, 1, "0000000000", "0000000000"),  # one token: none
        ("1111000000", 0, 1, "0000000000", "0001000000"),
    ],
)
def test_edited_positions(prompt: str, first: int, last: int, start: str, end: str):
    def mask(bits: str) -> torch.Tensor:
        return torch.tensor([[bit == "1" for bit in bits]])

    found = edited_positions(mask(prompt), first, last)
    assert [each.tolist() for each in found] == [mask(start).tolist(), mask(end).tolist()]


@given(st.integers(0, 12), st.integers(0, 4), st.integers(0, 4), st.integers(1, 9), st.integers(0, 9))
def test_edited_positions_lie_in_the_prompt_and_never_overlap(n: int, left: int, right: int, first: int, last: int):
    prompt = torch.tensor([[False] * left + [True] * n + [False] * right])
    if not prompt.numel():
        return
    start, end = edited_positions(prompt, first, last)
    assert not (start & end).any()
    assert not ((start | end) & ~prompt).any()
    assert (int(start.sum()), int(end.sum())) == (min(first, n // 2), min(last, n // 2))


def test_names_of_positions_and_layers():
    assert [position_counts(text) for text in ("p7+s7", "p3", "s5", " p1+s2 ")] == [(7, 7), (3, 0), (0, 5), (1, 2)]
    assert (chosen_layers("all", 3), chosen_layers("2, 0", 3)) == ((0, 1, 2), (0, 2))
    for wrong in ("", "7", "p0+s0", "f7+l7", "p-1"):
        with pytest.raises(InputError, match=r"positions .*write \"p7\+s7\""):
            position_counts(wrong)
    with pytest.raises(InputError, match=r"layers '3,30': no layer 30; the model has 0 to 29"):
        chosen_layers("3,30", 30)
    with pytest.raises(InputError, match='write "all" or different indices'):
        chosen_layers("1,1", 30)


def test_what_does_not_fit_is_refused(chat_model: LanguageModel):
    for tuner, message in (
        (LoReFT(rank=33), "loreft: rank is 33; allowed: 1 to 32, the width of the model"),
        (LoReFT(rank=0), "rank is 0"),
        (LoReFT(layers="2"), "no layer 2; the model has 0 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            tuners.apply(tuner, models.fresh(chat_model), 0)


# --- prompts, padding and the cache ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_only_the_prompt_is_edited_and_padding_does_not_matter(chat_model: LanguageModel, tied: bool):
    model, _ = edited(chat_model, LoReFT(rank=2, positions="p2+s1", tied=tied))
    ids, mask, prompt, _ = right_padded(PROMPTS, ANSWERS)
    with torch.no_grad(), tuners.prompt_at(model, prompt):
        together = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    for row, (p, a) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        alone = torch.tensor([[*p, *a]])
        where = torch.arange(alone.shape[1])[None] < len(p)
        with torch.no_grad(), tuners.prompt_at(model, where):
            expected = model(input_ids=alone, use_cache=False).logits[0]
        torch.testing.assert_close(together[row, : alone.shape[1]], expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():  # undeclared, the answer counts as prompt
        other = model(input_ids=ids[:1], attention_mask=mask[:1], use_cache=False).logits
    assert not torch.allclose(other[0, :9], together[0, :9], atol=1e-3)


def test_edits_live_on_in_the_cache(chat_model: LanguageModel):
    """Prompt first, answer from the cache: the same logits as in one pass in which only the prompt is edited."""
    model, _ = edited(chat_model, LoReFT(rank=2, positions="p2+s2"))
    p, a = PROMPTS[0], ANSWERS[1]
    whole = torch.tensor([[*p, *a]])
    with torch.no_grad():
        with tuners.prompt_at(model, torch.arange(whole.shape[1])[None] < len(p)):
            expected = model(input_ids=whole, use_cache=False).logits[0, len(p) :]
        cache = model(input_ids=torch.tensor([p]), use_cache=True).past_key_values
        found = model(input_ids=torch.tensor([a]), past_key_values=cache, use_cache=True).logits[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_scorer_of_the_book_and_generate_agree(chat_model: LanguageModel):
    model, own = edited(chat_model, LoReFT(rank=2, positions="p2+s2"))
    texts = answer(model, own, [Item(p, (), ()) for p in PROMPTS], max_new_tokens=6).texts
    ids, mask = left_padded(PROMPTS)
    generated = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=6, do_sample=False, pad_token_id=own.tokenizer.pad_token_id
    )
    end = own.tokenizer.eos_token_id
    rows = [[*row, end][: [*row, end].index(end)] for row in generated[:, ids.shape[1] :].tolist()]
    assert texts == tuple(own.tokenizer.decode(row).strip() for row in rows)
    plain = answer(chat_model.model, chat_model, [Item(p, (), ()) for p in PROMPTS], max_new_tokens=6).texts
    assert texts != plain


def test_choices_in_one_row_with_their_prompt_score_as_from_the_cache(
    chat_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
):
    model, own = edited(chat_model, LoReFT(rank=2, positions="p2+s2"))
    items = [Item(p, (a, (5, 6, 7), (9,)), (1, 1, 1)) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    model = tuners.finish(model)
    assert passes.packs(model)
    found = [answer(model, own, items).log_likelihoods]
    monkeypatch.setattr(passes, "PACKED", ())
    found.append(answer(model, own, items).log_likelihoods)
    for packed, continued in zip(*found, strict=True):
        assert packed == pytest.approx(continued, abs=1e-4)


def test_beams_are_edited_like_single_rows(chat_model: LanguageModel):
    model, own = edited(chat_model, LoReFT(rank=2, positions="p2+s2"))
    ids = torch.tensor([PROMPTS[0]])
    how = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": own.tokenizer.pad_token_id}
    beams = model.generate(input_ids=ids, num_beams=3, num_return_sequences=3, **how)
    assert beams.shape[0] == 3


def test_generation_without_a_cache_is_refused(chat_model: LanguageModel):
    model, _ = edited(chat_model, LoReFT(rank=2))
    with pytest.raises(InputError, match="edits are made when the prompt is read"):
        model.generate(input_ids=torch.tensor([PROMPTS[0]]), max_new_tokens=2, use_cache=False)


def test_a_copy_has_edits_of_its_own(chat_model: LanguageModel):
    model, own = edited(chat_model, LoReFT(rank=2))
    copy = models.fresh(own)
    with torch.no_grad():
        edits_of(copy.model).bias.add_(5.0)
        ids = torch.tensor([PROMPTS[0]])
        before, after = (each(input_ids=ids, use_cache=False).logits for each in (model, copy.model))
    assert not torch.allclose(before, after)


# --- other architectures ---------------------------------------------------------------------------------------------

SMALL = {"vocab_size": 90, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3}
WIDE = {"intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 64}
FAMILIES: dict[str, Any] = {
    "llama": lambda: transformers.LlamaConfig(**SMALL, **WIDE),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SMALL, intermediate_size=48),
    "bloom": lambda: transformers.BloomConfig(vocab_size=90, hidden_size=32, n_layer=3, n_head=4),
    "gemma": lambda: transformers.GemmaConfig(**SMALL, **WIDE, head_dim=8),
    "gemma3_text": lambda: transformers.Gemma3TextConfig(**SMALL, **WIDE, head_dim=8),
    "qwen2": lambda: transformers.Qwen2Config(**SMALL, **WIDE),
}


def family(name: str) -> LanguageModel:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES[name]()).eval()
    return LanguageModel(name, name, model, None, 64, torch.device("cpu"), False)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_edited_through_padding_and_cache(name: str):
    own = family(name)
    plain = models.fresh(own).model
    model = tuners.apply(LoReFT(rank=2, positions="p2+s2"), own, 0).eval()
    with torch.no_grad():
        edits_of(model).bias.add_(2.0)
    ids, mask = left_padded(PROMPTS)
    how = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": 89}
    together = model.generate(input_ids=ids, attention_mask=mask, **how)[:, ids.shape[1] :]
    for row, p in enumerate(PROMPTS):
        alone = model.generate(input_ids=torch.tensor([p]), attention_mask=torch.ones(1, len(p)).long(), **how)
        assert alone[0, len(p) :].tolist() == together[row, : alone.shape[1] - len(p)].tolist()
    assert not torch.equal(together, plain.generate(input_ids=ids, attention_mask=mask, **how)[:, ids.shape[1] :])


def test_of_an_encoder_decoder_the_encoder_is_edited():
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=90, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4, decoder_start_token_id=0
    )
    own = LanguageModel(
        "t5", "t5", transformers.T5ForConditionalGeneration(config).eval(), None, 64, torch.device("cpu"), False
    )
    plain = models.fresh(own).model
    model = tuners.apply(LoReFT(rank=2, positions="p1+s2", layers="2"), own, 0).eval()
    ids, _, prompt, _ = right_padded(PROMPTS, [()] * 4)
    with torch.no_grad():
        before = plain.encoder(input_ids=ids, attention_mask=prompt.long())[0]
        after = model.base.encoder(input_ids=ids, attention_mask=prompt.long())[0]
        edits = edits_of(model)
        start, end = edited_positions(prompt, 1, 2)
        where = start | end
        # The last block's output is edited, then normalised: positions that are not edited stay as they were.
        torch.testing.assert_close(after[~where & prompt], before[~where & prompt])
        assert not torch.isclose(after[where], before[where]).all(-1).any()
    assert edits.layers == (2,)
    out = model.generate(input_ids=ids, attention_mask=prompt.long(), max_new_tokens=4, do_sample=False)
    assert out.shape[0] == 4


# --- parity with pyreft ----------------------------------------------------------------------------------------------

PAIRS = {
    "loreft": "LoreftIntervention",
    "direft": "NodireftIntervention",
    "loreft-no-subtraction": "DireftIntervention",
    "loreft-non-orthogonal": "NoreftIntervention",
    "loreft-constant": "ConsreftIntervention",
    "loreft-bias-only": "LobireftIntervention",
}


def reference(language_model: LanguageModel, kind: str, edits: Edits) -> Any:
    """A pyreft model on the same weights, its interventions set to ours."""
    with contextlib.redirect_stdout(io.StringIO()):
        import pyreft

        places = [(layer, side) for side in range(edits.sides) for layer in range(len(edits.layers))]
        made = [
            getattr(pyreft.interventions, PAIRS[kind])(
                embed_dim=edits.width, low_rank_dimension=edits.tuner.rank, dtype=torch.float32, add_bias=False
            )
            for _ in places
        ]
        for (layer, side), intervention in zip(places, made, strict=True):
            _set(intervention, edits, layer * edits.sides + side)
        shared = {"component": "block_output", "low_rank_dimension": edits.tuner.rank}
        configuration = pyreft.ReftConfig(
            representations=[
                {"layer": edits.layers[layer], "intervention": each, **shared}
                for (layer, _), each in zip(places, made, strict=True)
            ]
        )
        reft = pyreft.get_reft_model(models.fresh(language_model).model, configuration)
    reft.eval()
    return reft, made


@torch.no_grad()
def _set(intervention: Any, edits: Edits, which: int) -> None:
    if edits.rotation is not None:
        parametrised = intervention.rotate_layer.parametrizations.weight
        square = torch.eye(edits.width)
        parametrised[0].base = torch.ormqr(edits.rotation.reflectors[which], edits.rotation.scales[which], square)
        parametrised.original.copy_(edits.rotation.turned[which].tril(-1))
        parametrised.original.diagonal().fill_(-1.0)
    else:
        intervention.proj_layer.weight.copy_(edits.projection[which])
    if edits.source is None:
        intervention.learned_source.copy_(edits.bias[which])
    else:
        intervention.learned_source.weight.copy_(edits.source[which])
        intervention.learned_source.bias.copy_(edits.bias[which])


def reference_gradients(made: Sequence[Any]) -> list[list[torch.Tensor]]:
    return [[p.grad for p in each.parameters() if p.grad is not None] for each in made]


def locations(edits: Edits, lengths: Sequence[int], shift: Sequence[int]) -> list[Any]:
    """As pyreft's own data set makes them: [intervention][row][position]."""
    with contextlib.redirect_stdout(io.StringIO()):
        from pyreft.dataset import get_intervention_locations

    per_row = [
        get_intervention_locations(
            last_position=n, first_n=edits.first, last_n=edits.last, share_weights=edits.sides == 1,
            num_interventions=len(edits.layers) * edits.sides, pad_mode="first",
        )
        for n in lengths
    ]  # fmt: skip
    rows = [[[at + by for at in each] for each in row] for row, by in zip(per_row, shift, strict=True)]
    return [list(each) for each in zip(*rows, strict=True)]


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("tied", [True, False])
def test_outputs_loss_and_gradients_are_those_of_pyreft(chat_model: LanguageModel, kind: str, tied: bool):
    """Right-padded; where a prompt is shorter than p + s, pyreft points free places at a dummy token in front."""
    model, _ = edited(chat_model, tuners.make(kind, rank=3, positions="p3+s3", tied=tied))
    edits = edits_of(model)
    reft, made = reference(chat_model, kind, edits)
    ids, mask, prompt, labels = right_padded(PROMPTS, ANSWERS)
    with tuners.prompt_at(model, prompt):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    ours = nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1))
    ours.backward()
    front = (
        nn.functional.pad(ids, (1, 0)),
        nn.functional.pad(mask, (1, 0)),
        nn.functional.pad(labels, (1, 0), value=-100),
    )
    where = {"sources->base": (None, locations(edits, [len(p) for p in PROMPTS], [1] * 4))}
    positions = (front[1].cumsum(1) - 1).clamp(min=0)
    given = {"input_ids": front[0], "attention_mask": front[1], "position_ids": positions}
    _, output = reft(given, unit_locations=where, labels=front[2], use_cache=False)
    output.loss.backward()
    assert ours.item() == pytest.approx(output.loss.item(), rel=1e-5)
    real = mask.bool()
    torch.testing.assert_close(logits[real], output.logits[:, 1:][real], rtol=1e-4, atol=1e-5)
    _assert_same_gradients(edits, made)


def _assert_same_gradients(edits: Edits, made: Sequence[Any]) -> None:
    places = [(layer, side) for side in range(edits.sides) for layer in range(len(edits.layers))]
    for (layer, side), each in zip(places, made, strict=True):
        which, pairs = layer * edits.sides + side, []
        if edits.rotation is not None:
            theirs = each.rotate_layer.parametrizations.weight.original.grad.tril(-1)
            pairs.append((edits.rotation.turned.grad[which].tril(-1), theirs))
        else:
            pairs.append((edits.projection.grad[which], each.proj_layer.weight.grad))
        if edits.source is None:
            pairs.append((edits.bias.grad[which], each.learned_source.grad))
        else:
            pairs.append((edits.source.grad[which], each.learned_source.weight.grad))
            pairs.append((edits.bias.grad[which], each.learned_source.bias.grad))
        for ours, theirs in pairs:
            # Not a quotient: an edit of the prompt's beginning in the last layer changes nothing; its gradient is 0.
            assert float((ours - theirs).norm()) <= 1e-5 * float(theirs.norm())


@pytest.mark.parametrize("kind", ["loreft", "direft"])
@pytest.mark.parametrize("tied", [True, False])
def test_greedy_generations_are_those_of_pyreft_token_for_token(chat_model: LanguageModel, kind: str, tied: bool):
    """Left-padded, as pyreft evaluates: places move by the padding and, for short prompts, by the dummy token."""
    model, own = edited(chat_model, tuners.make(kind, rank=3, positions="p3+s3", tied=tied))
    reft, _ = reference(chat_model, kind, edits_of(model))
    end = own.tokenizer.eos_token_id
    how = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": end, "eos_token_id": end}
    ids, mask = left_padded(PROMPTS)
    ours = model.generate(input_ids=ids, attention_mask=mask, **how)[:, ids.shape[1] :]
    ids, mask = nn.functional.pad(ids, (1, 0)), nn.functional.pad(mask, (1, 0))
    shift = [ids.shape[1] - len(p) for p in PROMPTS]
    where = {"sources->base": (None, locations(edits_of(model), [len(p) for p in PROMPTS], shift))}
    given = {"input_ids": ids, "attention_mask": mask}
    _, theirs = reft.generate(given, unit_locations=where, intervene_on_prompt=True, **how)
    assert ours.tolist() == theirs[:, ids.shape[1] :].tolist()


@pytest.mark.parametrize("kind", ["loreft", "direft"])
@pytest.mark.parametrize("tied", [True, False])
def test_pyreft_as_a_backend_gives_the_same_numbers(chat_model: LanguageModel, kind: str, tied: bool):
    model, own = edited(chat_model, tuners.make(kind, rank=2, positions="p3+s2", tied=tied))
    other = models.fresh(chat_model)
    backend = tuners.apply(tuners.make(f"{kind}-pyreft", rank=2, positions="p3+s2", tied=tied), other, 0).eval()
    edits = edits_of(model)
    places = [(layer, side) for side in range(edits.sides) for layer in range(len(edits.layers))]
    for (layer, side), each in zip(places, backend.reft.interventions.values(), strict=True):
        _set(each[0] if isinstance(each, tuple | list) else each, edits, layer * edits.sides + side)
    items = [Item(p, (a, (5,)), (1, 1)) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    ours, theirs = (answer(m, lm, items, max_new_tokens=5) for m, lm in ((model, own), (backend, other)))
    assert ours.texts == theirs.texts
    for one, two in zip(ours.log_likelihoods, theirs.log_likelihoods, strict=True):
        assert one == pytest.approx(two, abs=1e-4)


@pytest.mark.parametrize("kind", ["loreft", "direft"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows", [4, 1], ids=["short and long", "no padding"])
def test_a_position_repeated_for_pyreft_counts_once(chat_model: LanguageModel, kind: str, tied: bool, rows: int):
    """p4+s2: of 4 + 2 places a prompt of 3 tokens fills 1 + 1, one of 7 tokens 3 + 2."""
    options = {"rank": 2, "positions": "p4+s2", "tied": tied}
    model, _ = edited(chat_model, tuners.make(kind, **options))
    backend = tuners.apply(tuners.make(f"{kind}-pyreft", **options), models.fresh(chat_model), 0).eval()
    edits, made = edits_of(model), list(backend.reft.interventions.values())
    places = [(layer, side) for side in range(edits.sides) for layer in range(len(edits.layers))]
    for (layer, side), each in zip(places, made, strict=True):
        _set(each, edits, layer * edits.sides + side)
    ids, mask, prompt, labels = right_padded(PROMPTS[:rows], ANSWERS[:rows])
    losses = []
    for each in (model, backend):
        with tuners.prompt_at(each, prompt):
            logits = each(input_ids=ids, attention_mask=mask, use_cache=False).logits
        losses.append(nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:]))
        losses[-1].backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    _assert_same_gradients(edits, made)


def test_dropout_leaves_a_repeated_position_one_value(chat_model: LanguageModel):
    tuner = tuners.make("loreft-pyreft", rank=2, positions="p4+s4", dropout=0.5)
    backend = tuners.apply(tuner, models.fresh(chat_model), 0).train()
    written = []
    next(iter(backend.reft.interventions.values())).register_forward_hook(lambda _, __, out: written.append(out))
    ids, _, prompt, _ = right_padded(PROMPTS, ANSWERS)
    with tuners.prompt_at(backend, prompt):
        backend(input_ids=ids)
    for row, own in zip(written[0], (6, 4, 6, 2), strict=True):
        assert torch.equal(row[own:], row[own - 1].expand_as(row[own:]))
        assert not torch.equal(row[own - 1], row[own - 2])


# --- saving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [each for each in tuners.tuner_names() if each != "full"])
def test_what_is_saved_comes_back_exactly(chat_model: LanguageModel, tmp_path: Path, name: str):
    tuner, own = tuners.make(name), models.fresh(chat_model)
    model = tuners.apply(tuner, own, 7).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.01 * (parameter.ndim < 3))
    saving.save(model, tuner, 7, own, tmp_path / "adapter")
    again = saving.load(models.fresh(chat_model), tmp_path / "adapter").eval()
    ids = torch.tensor([PROMPTS[0]])
    with torch.no_grad():
        before, after = (each(input_ids=ids, use_cache=False).logits for each in (model, again))
    assert torch.equal(before, after)


def test_a_saved_tuner_of_another_model_is_refused(chat_model: LanguageModel, plain_folder: Path, tmp_path: Path):
    own = models.fresh(chat_model)
    saving.save(tuners.apply(LoReFT(rank=2), own, 0), LoReFT(rank=2), 0, own, tmp_path)
    with pytest.raises(InputError, match=r"was tuned on .* which is not"):
        saving.load(models.fresh(models.load(str(plain_folder), "fp32", "cpu")), tmp_path)
    with pytest.raises(InputError, match=r"is no saved tuner: adapter\.safetensors and adapter\.json missing"):
        saving.load(own, tmp_path / "nothing")
