"""The training loop, held against transformers, a plain loop and sums by hand."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

from lowres import fast, models, tuners
from lowres.fast import frozen
from lowres.language import LanguageModel, attention, formats
from lowres.language.formats import Encoded
from lowres.optimisation import Diverged, Optimisation
from lowres.trial import train
from lowres.tuners import Full, LoRA, Tuner
from lowres.tuners.representation import edits_of


def encoded(language_model: LanguageModel, count: int = 12) -> list[Encoded]:
    """Examples of quite different lengths."""
    filler = [" very" * (index * 15 % 39) for index in range(count)]
    rows = zip(tiny.rows(count), filler, strict=True)
    return [formats.encode(language_model, row["prompt"] + more, row["target"]) for row, more in rows]


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
            assert sum(lengths[-1] - length for length in lengths) <= train.PADDING
            assert len(group) == 1 or len(group) * lengths[-1] <= train.ROOM


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
    real, calls = fast.Decoder.accumulate, []

    def broken(*arguments: object) -> float:
        calls.append(len(calls))
        loss = real(*arguments)  # type: ignore[arg-type]
        return bad if len(calls) == 3 else loss

    monkeypatch.setattr(fast.Decoder, "accumulate", broken)
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


# --- against the Trainer of transformers -----------------------------------------------------------------------------


def trainer_losses(model: nn.Module, sequence: Sequence[Encoded], how: Optimisation, folder: Path) -> list[float]:
    """The loss of every update of transformers' own Trainer on the same examples in the same order, in fp32."""
    import transformers

    rows = [{"input_ids": list(row.ids), "labels": [-100] * row.prompt_length + list(row.target)} for row in sequence]

    def collate(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        length = max(len(row["input_ids"]) for row in batch)
        fills = {"input_ids": 1, "labels": -100}
        padded = {
            name: torch.tensor([row[name] + [fill] * (length - len(row[name])) for row in batch])
            for name, fill in fills.items()
        }
        sizes = torch.tensor([[len(row["input_ids"])] for row in batch])
        return padded | {"attention_mask": (torch.arange(length)[None] < sizes).long()}

    losses = []

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_: object) -> torch.utils.data.Sampler:
            return torch.utils.data.SequentialSampler(rows)

        def compute_loss(self, *arguments: object, **named: object) -> object:
            loss = super().compute_loss(*arguments, **named)
            losses.append(float(loss.detach()))
            return loss

    steps = train.update_count(len(rows), how)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=how.learning_rate, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, train._warmup_then_decay(steps, how.warmup))
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=how.batch_size,
        num_train_epochs=1,
        max_grad_norm=how.clip,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
    )
    InOrder(
        model=model, args=arguments, train_dataset=rows, data_collator=collate, optimizers=(optimiser, schedule)
    ).train()
    return losses


def test_twenty_steps_of_lora_follow_the_trainer_with_peft(chat_model: LanguageModel, tmp_path: Path):
    sequence, how = encoded(chat_model, 80), Optimisation(5e-3, batch_size=4)
    model, own = ready(chat_model, LoRA(rank=4))
    ours = train.train(model, own, sequence, how).losses
    model, own = ready(chat_model, LoRA(rank=4))
    theirs = trainer_losses(model, sequence, how, tmp_path)
    assert len(ours) == len(theirs) == 20
    assert max(abs(one - two) for one, two in zip(ours, theirs, strict=True)) < 1e-4
    assert ours[-1] < ours[0] - 0.5


# --- LoReFT, encoder-decoders, short attention -----------------------------------------------------------------------


@pytest.mark.parametrize("positions", ["p3+s3", "p12+s11"])  # of the latter some prompts have too few
def test_a_trial_of_loreft_is_that_of_pyreft(chat_model: LanguageModel, positions: str):
    """Both start from the same weights and see the same batches: twelve losses in fp32."""
    sequence, how = encoded(chat_model, 48), Optimisation(4e-3, batch_size=4, weight_decay=0.02)
    if positions != "p3+s3":
        lengths = {row.prompt_length for row in sequence}
        assert min(lengths) < 23 <= max(lengths)
    tuner = tuners.make("loreft", rank=3, positions=positions)
    model, own = ready(chat_model, tuner)
    edits = edits_of(model)
    backend, other = ready(chat_model, tuners.make("loreft-pyreft", rank=3, positions=positions))
    with torch.no_grad():
        for which, each in enumerate(backend.reft.interventions.values()):
            rotation, square = each.rotate_layer.parametrizations.weight, torch.eye(edits.width)
            rotation[0].base = torch.ormqr(edits.rotation.reflectors[which], edits.rotation.scales[which], square)
            each.learned_source.weight.copy_(edits.source[which])
            each.learned_source.bias.copy_(edits.bias[which])
    ours, theirs = (train.train(m, lm, sequence, how).losses for m, lm in ((model, own), (backend, other)))
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert ours[-1] < ours[0] - 0.2


def test_a_rotation_is_never_decayed(chat_model: LanguageModel):
    """Pyreft reads signs off its parameter's diagonal as integers: one decay would make them zero, and R with it."""
    for name in ("loreft", "loreft-pyreft"):
        model, own = ready(chat_model, tuners.make(name, rank=2))
        train.train(model, own, encoded(chat_model, 8), Optimisation(1e-2, batch_size=4, weight_decay=0.5))
        if name == "loreft":
            columns = edits_of(model).directions()[0]
        else:
            columns = next(iter(model.reft.interventions.values())).rotate_layer.weight
        torch.testing.assert_close(columns.T @ columns, torch.eye(2), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["full", "lora", "ia3", "loreft"])
def test_an_encoder_decoder_reads_the_prompt_and_learns_the_target(chat_model: LanguageModel, name: str):
    own = t5(chat_model)
    batch = encoded(chat_model, 6)
    model = tuners.apply(tuners.make(name), own, 0)
    length, longest = max(row.prompt_length for row in batch), max(len(row.target) for row in batch)
    ids, labels = torch.zeros(6, length, dtype=torch.long), torch.full((6, longest), -100)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(batch):
        ids[index, : row.prompt_length] = torch.tensor(row.ids[: row.prompt_length])
        mask[index, : row.prompt_length] = 1
        labels[index, : len(row.target)] = torch.tensor(row.target)
    expected = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    assert train._accumulate(model, own, batch) == pytest.approx(expected.item(), abs=1e-5)
    losses = train.train(model, own, batch * 8, Optimisation(1e-2, batch_size=6)).losses
    assert losses[-1] < losses[0]


def t5(chat_model: LanguageModel) -> LanguageModel:
    """A random encoder-decoder with the tokenizer of the tiny model."""
    import transformers

    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
    special = {"decoder_start_token_id": 0, "pad_token_id": 0}
    config = transformers.T5Config(vocab_size=len(chat_model.tokenizer), **sizes, **special)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.T5ForConditionalGeneration(config).eval()
    return replace(chat_model, model=model)


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (3, 1)])
def test_attention_written_out_is_the_fused_one(heads: tuple[int, int]):
    torch.manual_seed(0)
    query = torch.randn(2, heads[0], 17, 8, requires_grad=True)
    key, value = (torch.randn(2, heads[1], 17, 8, requires_grad=True) for _ in range(2))
    fused = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    ours = attention.written_out(query, key, value)
    torch.testing.assert_close(ours, fused)
    weights = torch.randn_like(fused)
    given = (query, key, value)
    found, expected = (torch.autograd.grad((each * weights).sum(), given) for each in (ours, fused))
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)


def test_short_attention_serves_training_in_bf16_and_leaves_no_trace(
    chat_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
):
    batch, seen = encoded(chat_model, 8), []
    written_out = attention.written_out
    monkeypatch.setattr(attention, "written_out", lambda *given: seen.append(1) or written_out(*given))
    losses = []
    for inside in (False, True):
        model, own = ready(chat_model, LoRA(rank=2))
        own = replace(own, autocast=True)
        with attention.short_attention(own.model) if inside else contextlib.nullcontext():
            losses.append(train._accumulate(model, own, batch))
        assert bool(seen) == inside
        assert own.model.config._attn_implementation == "sdpa"
    assert losses[0] == pytest.approx(losses[1], abs=2e-2)


# --- the frozen beginning --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tuner", "blocks"),
    [
        (tuners.make("loreft", rank=2, layers="1"), 2),  # the edited block itself works alike in every epoch
        (tuners.make("loreft", rank=2, layers="0,1"), 1),
        (tuners.make("lora", rank=2), 0),
        (tuners.make("full"), 0),
        (tuners.make("prefix"), 0),
        (tuners.make("prompt"), 0),
        (tuners.make("red"), 0),
    ],
)
def test_blocks_below_what_is_trained_are_frozen(chat_model: LanguageModel, tuner: Tuner, blocks: int):
    assert frozen.frozen_blocks(ready(chat_model, tuner)[0]) == blocks


def test_what_is_kept_of_frozen_blocks_changes_nothing(chat_model: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    sequence, how = encoded(chat_model, 8) * 3, Optimisation(5e-3, batch_size=4)
    found = []
    for fewest in (99, 2):
        monkeypatch.setattr(frozen, "FEWEST", fewest)
        model, own = ready(chat_model, tuners.make("loreft", rank=2, layers="1", positions="p2+s2"))
        passes = []
        own.model.model.layers[0].self_attn.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        found.append((train.train(model, own, sequence, how).losses, len(passes)))
        assert "forward" not in vars(own.model.model.layers[1])
    (apart, many), (kept, few) = found
    assert kept == pytest.approx(apart, abs=1e-6)
    assert few * 3 == many
