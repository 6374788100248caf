"""The training loop, held against transformers, a plain loop and sums by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import tiny
import torch
from torch import nn

from lowres import models, train, tuners
from lowres.models import Encoded, LanguageModel
from lowres.train import Diverged, Optimisation
from lowres.tuners import Full, LoRA, Tuner


def encoded(language_model: LanguageModel, count: int = 12) -> list[Encoded]:
    """Examples of quite different lengths."""
    filler = [" very" * (index * 15 % 39) for index in range(count)]
    rows = zip(tiny.rows(count), filler, strict=True)
    return [models.encode(language_model, row["prompt"] + more, row["target"]) for row, more in rows]


def ready(language_model: LanguageModel, tuner: Tuner) -> tuple[nn.Module, LanguageModel]:
    own = models.fresh(language_model)
    return tuners.apply(tuner, own, 0), own


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def padded_loss(model: nn.Module, rows: Sequence[Encoded], padding: int) -> torch.Tensor:
    """What transformers makes of one big batch: mask on the padding, labels -100 on prompts and padding."""
    length = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), length), padding)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for index, row in enumerate(rows):
        end = len(row.ids)
        ids[index, :end] = torch.tensor(row.ids)
        mask[index, :end] = 1
        labels[index, row.prompt_length : end] = torch.tensor(row.target)
    return model(input_ids=ids, attention_mask=mask, labels=labels).loss


# --- one update ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=2)])
def test_loss_and_gradient_are_those_of_one_big_masked_batch(chat_model: LanguageModel, tuner: Tuner):
    batch = encoded(chat_model)
    model, own = ready(chat_model, tuner)
    expected = padded_loss(model, batch, padding=7)
    expected.backward()
    wanted = gradients(model)
    model.zero_grad()
    assert len(train.micro_batches(batch, "cpu")) > 1
    assert train._accumulate(model, own, batch) == pytest.approx(expected.item(), abs=1e-5)
    for ours, theirs in zip(gradients(model), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_the_update_does_not_depend_on_the_cutting(chat_model: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    batch = encoded(chat_model)
    found = []
    for cut in (lambda rows, _: [[row] for row in rows], lambda rows, _: [list(rows)], train.micro_batches):
        monkeypatch.setattr(train, "micro_batches", cut)
        model, own = ready(chat_model, LoRA(rank=2))
        found.append((train._accumulate(model, own, batch), gradients(model)))
    for loss, other in found[1:]:
        assert loss == pytest.approx(found[0][0], abs=1e-5)
        for ours, theirs in zip(other, found[0][1], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_right_padding_without_a_mask_changes_nothing(chat_model: LanguageModel):
    rows = sorted(encoded(chat_model), key=lambda row: len(row.ids))
    inputs, _, positions, labels = train._joined(rows, chat_model)
    with torch.no_grad():
        together = chat_model.model(**inputs).logits[positions]
        apart = [
            chat_model.model(input_ids=torch.tensor([row.ids])).logits[0, row.prompt_length - 1 : -1] for row in rows
        ]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-5, atol=1e-5)
    assert labels.tolist() == [token for row in rows for token in row.target]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_micro_batches_keep_every_example_and_little_padding(chat_model: LanguageModel, device: str):
    batch = encoded(chat_model, 40)
    groups = train.micro_batches(batch, device)
    assert sorted(row.ids for group in groups for row in group) == sorted(row.ids for row in batch)
    for group in groups:
        lengths = [len(row.ids) for row in group]
        assert lengths == sorted(lengths)
        if device == "cpu":
            assert lengths[-1] - lengths[0] <= train.PADDING_SLACK
            assert len(group) == 1 or len(group) * lengths[-1] <= 1024


# --- the whole loop --------------------------------------------------------------------------------------------------

GOLDEN = (6.917823076, 6.341681480, 6.119831324, 5.607477188, 5.426547289, 5.464942217)


def test_golden_run(chat_model: LanguageModel):
    model, own = ready(chat_model, LoRA(rank=2))
    log = train.train(model, own, encoded(chat_model, 24), Optimisation(1e-2, batch_size=4))
    assert log.losses == pytest.approx(GOLDEN, abs=1e-5)
    assert log.target_tokens == sum(len(row.target) for row in encoded(chat_model, 24))
    assert log.tokens == sum(len(row.ids) for row in encoded(chat_model, 24))


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=2)])
@pytest.mark.parametrize("clip", [1.0, 0.05])
def test_five_steps_equal_a_plain_loop(chat_model: LanguageModel, tuner: Tuner, clip: float):
    sequence = encoded(chat_model, 20)
    how = Optimisation(2e-3, batch_size=4, warmup=0.4, weight_decay=0.1, clip=clip)
    ours, own = ready(chat_model, tuner)
    log = train.train(ours, own, sequence, how)
    model, own = ready(chat_model, tuner)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.1)
    losses, norms = [], []
    for step, factor in enumerate((1 / 2, 1.0, 1.0, 2 / 3, 1 / 3)):
        optimiser.param_groups[0]["lr"] = 2e-3 * factor
        optimiser.zero_grad()
        loss = padded_loss(model, sequence[4 * step : 4 * step + 4], padding=9)
        loss.backward()
        norm = torch.sqrt(sum((parameter.grad**2).sum() for parameter in trained))
        for parameter in trained:
            parameter.grad *= min(1.0, clip / float(norm))
        optimiser.step()
        losses.append(loss.item())
        norms.append(float(norm))
    assert log.losses == pytest.approx(losses, rel=2e-5)
    assert log.gradient_norms == pytest.approx(norms, rel=1e-3)
    assert min(norms) > 0.05
    for mine, plain in zip(ours.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, plain, rtol=2e-3, atol=2e-5)


def test_warm_up_and_decay_by_hand():
    def factors(steps: int, warmup: float) -> list[float]:
        factor = train._warmup_then_decay(steps, warmup)
        return [factor(step) for step in range(steps)]

    assert factors(6, 0.34) == pytest.approx([0.5, 1, 1, 3 / 4, 2 / 4, 1 / 4])
    assert factors(4, 0.0) == pytest.approx([1, 1, 2 / 3, 1 / 3])
    assert factors(1, 0.05) == [1.0]
    assert factors(2, 1.0) == [0.5, 1.0]
    assert len(factors(1000, 0.05)) == 1000
    assert max(factors(1000, 0.05)) == 1.0


def test_only_what_requires_a_gradient_changes(chat_model: LanguageModel):
    model, own = ready(chat_model, LoRA(rank=2))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    train.train(model, own, encoded(chat_model, 8), Optimisation(1e-2, batch_size=4))
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {name for name in before if "lora_" in name}
    assert not model.training


@pytest.mark.parametrize(("examples", "size", "steps", "updates"), [(12, 4, None, 3), (13, 4, None, 4), (3, 8, 5, 5)])
def test_updates_are_counted(chat_model: LanguageModel, examples: int, size: int, steps: int | None, updates: int):
    how = Optimisation(1e-3, batch_size=size, steps=steps)
    model, own = ready(chat_model, LoRA(rank=1))
    assert train.update_count(examples, how) == updates
    assert len(train.train(model, own, encoded(chat_model, examples), how).losses) == updates


def batches(count: int, size: int, steps: int | None = None) -> list[list[int]]:
    sequence, how = [Encoded((index,), 0) for index in range(count)], Optimisation(1e-3, batch_size=size, steps=steps)
    updates = range(train.update_count(count, how))
    return [[row.ids[0] for row in train._batch(sequence, step, how)] for step in updates]


def test_one_pass_is_in_order_and_ends_with_what_is_left():
    assert batches(10, 4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches(3, 8) == [[0, 1, 2]]


def test_more_steps_than_data_go_round_and_skip_nothing():
    assert batches(4, 4, 3) == [[0, 1, 2, 3]] * 3
    assert batches(6, 2, 4) == [[0, 1], [2, 3], [4, 5], [0, 1]]
    assert batches(5, 4, 3) == [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4, 0, 1]]
    assert batches(2, 5, 1) == [[0, 1, 0, 1, 0]]


def test_fewer_steps_than_data_stop_early():
    assert batches(9, 2, 2) == [[0, 1], [2, 3]]


# --- divergence ------------------------------------------------------------------------------------------------------


def test_a_huge_rate_diverges_and_names_the_update(chat_model: LanguageModel):
    model, own = ready(chat_model, Full())
    with pytest.raises(Diverged, match=r"at update [2-6] of 6; lower the learning rate"):
        train.train(model, own, encoded(chat_model, 24), Optimisation(1e30, batch_size=4, warmup=0.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_update(
    chat_model: LanguageModel, monkeypatch: pytest.MonkeyPatch, bad: float
):
    model, own = ready(chat_model, LoRA(rank=1))
    real, calls = train._accumulate, []

    def broken(*arguments: object) -> float:
        calls.append(len(calls))
        loss = real(*arguments)  # type: ignore[arg-type]
        return bad if len(calls) == 3 else loss

    monkeypatch.setattr(train, "_accumulate", broken)
    with pytest.raises(Diverged, match=f"loss {bad}, gradient norm .* at update 3 of 6"):
        train.train(model, own, encoded(chat_model, 24), Optimisation(1e-3, batch_size=4))
    assert len(calls) == 3


def test_a_gradient_that_is_not_finite_stops_too(chat_model: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    model, own = ready(chat_model, LoRA(rank=1))
    monkeypatch.setattr(train.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(math.inf))
    with pytest.raises(Diverged, match="gradient norm inf at update 1 of 6"):
        train.train(model, own, encoded(chat_model, 24), Optimisation(1e-3, batch_size=4))


# --- other number formats and devices --------------------------------------------------------------------------------


def test_bf16_comes_close_and_trains_fp32_weights(chat_model: LanguageModel):
    sequence = encoded(chat_model, 8)
    losses = []
    for autocast in (False, True):
        model, own = ready(replace(chat_model, autocast=autocast), LoRA(rank=2))
        losses.append(train.train(model, own, sequence, Optimisation(1e-3, batch_size=4)).losses)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
