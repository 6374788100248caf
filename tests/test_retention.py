"""How far a model moved, what its answers cost in bits, and what ten examples bring back."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from lowres import evaluate, models, tuners
from lowres.data import Example, Probe
from lowres.evaluate import Item, divergence, outcomes
from lowres.evaluate.divergence import NUMBERS
from lowres.language import LanguageModel, formats
from lowres.params import InputError
from lowres.trial import recovery

FREE = [Example(f"e{i}", row["prompt"], row["target"], answers=(row["target"],)) for i, row in enumerate(tiny.rows(20))]
CHOICE = tuple(
    Example(f"c{i}", row["prompt"], row["target"], tuple(row["choices"]), (row["target"],))
    for i, row in enumerate(tiny.choice_rows(20))
)

# --- divergence ------------------------------------------------------------------------------------------------------


class Fixed(nn.Module):
    """A decoder of two tokens that gives both the same odds at every place, whatever it reads."""

    def __init__(self, first: float) -> None:
        super().__init__()
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.tensor([first, 1 - first]).log())
        self.config = SimpleNamespace(vocab_size=2, is_encoder_decoder=False)

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.head(torch.zeros(*input_ids.shape, 1)), past_key_values=None)


def of_odds(first: float) -> LanguageModel:
    tokenizer = SimpleNamespace(pad_token_id=0)
    return LanguageModel("fixed", "", Fixed(first), tokenizer, 64, torch.device("cpu"), False)  # type: ignore[arg-type]


def kl(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def test_the_divergence_of_two_odds_by_hand():
    """Three to one against one to one: .75 ln 1.5 + .25 ln .5 = .1308 nats, however long the answer."""
    untouched, tuned = of_odds(0.75), of_odds(0.5)
    items = [Item((0, 1), ((1, 0, 1), (0,)), (1, 1)), Item((1,), ((0,), (1, 1)), (1, 1))]
    for right in ([0, 0], [1, 1]):
        found = divergence(untouched, tuned.model, tuned, items, right)
        assert found == pytest.approx([0.75 * math.log(1.5) + 0.25 * math.log(0.5)] * 2, abs=1e-6)
    back = divergence(tuned, untouched.model, untouched, items, [0, 0])
    assert back == pytest.approx([kl(0.5, 0.75)] * 2, abs=1e-6)
    assert back[0] != pytest.approx(kl(0.75, 0.5), abs=1e-3)
    assert divergence(untouched, of_odds(0.75).model, untouched, items, [0, 0]) == [0.0, 0.0]
    assert divergence(untouched, untouched.model, untouched, items, [0, 0]) == [0.0, 0.0]


def test_what_was_never_possible_adds_nothing_and_what_no_longer_is_adds_everything():
    sure, open_ = of_odds(1.0), of_odds(0.5)
    items = [Item((0,), ((0,),), (1,))]
    assert divergence(sure, open_.model, open_, items, [0]) == pytest.approx([math.log(2)])
    assert divergence(open_, sure.model, sure, items, [0]) == [math.inf]


def moved(language_model: LanguageModel, by: float = 0.1) -> LanguageModel:
    """The model with all weights nudged."""
    own = models.fresh(language_model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in own.model.parameters():
            parameter.add_(by * 0.2 * torch.randn(parameter.shape, generator=generator))
    return own


def by_hand(before: LanguageModel, after: LanguageModel, item: Item, place: int) -> float:
    """One sequence, no padding: the mean over the answer's positions."""
    tokens = item.continuations[place]
    with torch.no_grad():
        p, q = (
            one.model(input_ids=torch.tensor([[*item.context, *tokens]])).logits[0].double().log_softmax(-1)
            for one in (before, after)
        )
    here = slice(len(item.context) - 1, -1)
    return float((p[here].exp() * (p[here] - q[here])).sum(-1).mean())


@pytest.mark.parametrize("kind", ["chat_model", "plain_model"])
@pytest.mark.parametrize("numbers", [2**24, 3 * 400, 1])
def test_divergence_is_that_of_single_rows(
    kind: str, numbers: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    """Also in pieces of three positions, and of one."""
    monkeypatch.setitem(NUMBERS, "cpu", numbers)
    language_model: LanguageModel = request.getfixturevalue(kind)
    own = moved(language_model)
    for examples in (FREE[:7], list(CHOICE[:7])):
        items, _counts = evaluate.task_items(language_model, examples, "Name it.", 8)
        right = evaluate.right_ones(examples)
        found = divergence(language_model, own.model, own, items, right)
        expected = [by_hand(language_model, own, item, place) for item, place in zip(items, right, strict=True)]
        assert found == pytest.approx(expected, rel=1e-3)
        assert min(found) > 0


@pytest.mark.parametrize("name", ["prefix", "prompt", "loreft", "lora", "series-adapter", "ia3"])
def test_every_kind_of_tuner_can_be_compared(name: str, chat_model: LanguageModel):
    """Virtual tokens stand before the tuned model's text alone; edits touch its prompt alone."""
    own = models.fresh(chat_model)
    tuned = tuners.apply(tuners.make(name), own, 0)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3)
    items, _ = evaluate.task_items(chat_model, FREE[:5], "", 8)
    unfinished = divergence(chat_model, tuners.inner(tuned), own, items, [0] * 5)
    assert min(unfinished) > 1e-4
    nll = evaluate.answer(tuners.inner(tuned), own, items).log_likelihoods
    finished = divergence(chat_model, tuners.finish(tuned), own, items, [0] * 5)
    assert finished == pytest.approx(unfinished, rel=1e-3)
    assert all(math.isfinite(score[0]) for score in nll)


# --- bits ------------------------------------------------------------------------------------------------------------


def test_bits_per_byte_of_known_texts():
    assert outcomes.bits_per_byte(-8 * math.log(2), "blue") == pytest.approx(2.0)
    assert outcomes.bits_per_byte(-8 * math.log(2), "été") == pytest.approx(8 / 5)  # two bytes for each é
    assert outcomes.bits_per_byte(-3 * math.log(2), "日") == pytest.approx(1.0)
    assert outcomes.bits_per_byte(0.0, "x") == 0.0


def test_bits_are_those_of_the_right_answer(chat_model: LanguageModel):
    for examples in (FREE[:6], list(CHOICE[:6])):
        found, _, _ = tiny.evaluate_task(chat_model.model, chat_model, examples, "", 4)
        for example, bits, nll in zip(examples, found["bits_per_byte"], found["target_nll"], strict=True):
            tokens = len(formats.encode(chat_model, "", example.target).target)
            assert bits == pytest.approx(nll * tokens / math.log(2) / len(example.target.encode()), rel=1e-5)


# --- recovery --------------------------------------------------------------------------------------------------------

ASKED = Probe("asked", "choice", CHOICE, 1 / 3, "", "")
TEXTS = Probe("texts", "nll", tuple(Example(f"t{i}", "", e.prompt) for i, e in enumerate(FREE)), None, "", "")


@pytest.mark.parametrize(("items", "aside"), [(192, 48), (20, 10), (9, 4), (1, 0)])
def test_a_quarter_of_a_probe_is_set_aside(items: int, aside: int):
    probe = replace(ASKED, examples=CHOICE[:1] * items)
    numbered = replace(probe, examples=tuple(replace(CHOICE[0], id=str(number)) for number in range(items)))
    test, validation = numbered.part("test").examples, numbered.part("validation").examples
    assert (len(test), len(validation)) == (items - aside, aside)
    assert (*test, *validation) == numbered.examples


def test_ten_are_left_to_be_shown(chat_model: LanguageModel):
    few = replace(ASKED, examples=CHOICE[:10])
    with pytest.raises(InputError, match="probe 'asked' has 10 items, of which 5 are set aside: recovery shows 10"):
        recovery.recovered(chat_model.model, chat_model, (few,), 4)


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("kind", ["chat_model", "plain_model"])
def test_what_is_shown_is_what_is_scored(kind: str, chat: bool, request: pytest.FixtureRequest):
    language_model: LanguageModel = request.getfixturevalue(kind)
    probe = replace(ASKED, chat=chat)
    rows = recovery.shown_rows(language_model, probe, CHOICE[:4])
    items = evaluate.probe_items(language_model, probe, CHOICE[:4])
    for row, item, example in zip(rows, items, CHOICE, strict=False):
        assert row.ids[: row.prompt_length] == item.context
        assert row.target == item.continuations[example.choices.index(example.target)]
    texts = recovery.shown_rows(language_model, TEXTS, TEXTS.examples[:2])
    assert [row.ids for row in texts] == [formats.plain_ids(language_model, e.target) for e in TEXTS.examples[:2]]
    assert {row.prompt_length for row in texts} == {1}


@pytest.mark.parametrize("name", ["", "full", "lora", "prefix", "loreft"])
def test_recovery_trains_on_the_form_and_leaves_the_model_as_it_was(
    name: str, chat_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recovery, "RATE", 3e-3)
    own = models.fresh(chat_model) if name else chat_model
    model = tuners.finish(tuners.apply(tuners.make(name), own, 0)) if name else own.model
    before = {key: each.clone() for key, each in model.state_dict().items()}
    addresses = [each.data_ptr() for each in model.parameters()]
    found = recovery.recovered(model, own, (ASKED, TEXTS), 500)
    assert set(found) == {"recovery:asked", "recovery:texts"}
    assert len(found["recovery:asked"]["accuracy"]) == len(found["recovery:texts"]["nll"]) == 10
    assert all(torch.equal(each, before[key]) for key, each in model.state_dict().items())
    assert [each.data_ptr() for each in model.parameters()] == addresses
    assert not any(each.requires_grad or each.grad is not None for each in model.parameters()) or name
    assert not model.training
    for place, probe, measure in (("asked", ASKED, "target_nll"), ("texts", TEXTS, "nll")):
        start = evaluate.evaluate_probe(model, own, probe.part("test"), 10)[measure]
        assert np.mean(found[f"recovery:{place}"][measure]) < np.mean(start)


def test_recovery_trains_on_ten_that_are_set_aside(chat_model: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    shown: list[Any] = []
    monkeypatch.setattr(recovery, "train", lambda model, own, rows, how, title: shown.append((rows, how)))
    recovery.recovered(chat_model.model, chat_model, (ASKED,), 4)
    rows, how = shown[0]
    assert rows == recovery.shown_rows(chat_model, ASKED, CHOICE[10:20])
    assert (how.steps, how.batch_size, how.learning_rate) == (3, 10, recovery.RATE)
