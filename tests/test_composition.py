"""Halves of one subspace: what is edited, what stays, what is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from benchmarks import composition
from benchmarks.composition import CONDITIONS, Halves, Setup, Texts, chosen, held, judge, only
from lowres.language import LanguageModel

RANK = 4


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Texts:
    """Ten examples for each half, in place of articles and questions."""
    rows = tiny.pool(30)
    found = Texts(rows[:10], composition.in_capitals(rows[10:20]), rows[20:22], rows[22:25])
    monkeypatch.setattr(Texts, "of", lambda *_: found)
    return found


@pytest.fixture
def setup(chat_folder: Path) -> Setup:
    return Setup(model=str(chat_folder), rank=RANK, epochs=1, batch_size=4, rates=(1e-2, 1e-1), seeds=(0, 1))


@pytest.fixture
def halves(setup: Setup, chat_model: LanguageModel) -> Halves:
    return Halves(setup, chat_model, 0)


def hidden(halves: Halves, dimensions: slice) -> torch.Tensor:
    """The model's logits with these dimensions edited."""
    ids = torch.arange(5, 25)[None]
    with torch.no_grad(), only(halves.edits, dimensions):
        return halves.model(input_ids=ids).logits


def test_without_dimensions_the_model_is_the_untouched_one(halves: Halves, chat_model: LanguageModel):
    with torch.no_grad():
        untouched = chat_model.model(input_ids=torch.arange(5, 25)[None]).logits
    assert torch.equal(hidden(halves, slice(0, 0)), untouched)
    assert not torch.allclose(hidden(halves, halves.whole), untouched)


def test_a_half_edits_within_its_own_directions_and_both_add_up(halves: Halves):
    edits, state = halves.edits, torch.randn(6, tiny.HIDDEN)
    whole = edits.directions()[0]
    shifts = []
    for part in (halves.first, halves.second, halves.whole):
        with only(edits, part):
            shifts.append(edits.shift(state, 0, edits.directions()[0]))
    first, second, both = (shift.detach() for shift in shifts)
    assert torch.allclose(first @ whole[:, halves.second], torch.zeros(6, RANK // 2), atol=1e-5)
    assert torch.allclose(second @ whole[:, halves.first], torch.zeros(6, RANK // 2), atol=1e-5)
    assert torch.allclose(first + second, both, atol=1e-5)
    assert first.abs().max() > 0.01


def test_training_the_second_half_leaves_the_first_as_it_was(halves: Halves, texts: Texts):
    halves.learn(texts.content, halves.first, 1e-2)
    before, other = hidden(halves, halves.first), hidden(halves, halves.second)
    directions = halves.edits.directions().detach().clone()
    halves.learn(texts.form, halves.second, 1e-2)
    after = halves.edits.directions().detach()
    assert torch.allclose(hidden(halves, halves.first), before, atol=1e-5)
    assert not torch.allclose(hidden(halves, halves.second), other, atol=1e-3)
    assert torch.allclose(after[..., halves.first], directions[..., halves.first], atol=1e-6)
    assert not torch.allclose(after[..., halves.second], directions[..., halves.second], atol=1e-3)
    product = after.mT @ after  # all directions stay orthonormal, across halves too
    assert torch.allclose(product, torch.eye(RANK).expand_as(product), atol=1e-5)


def test_unheld_the_first_directions_do_turn(halves: Halves, texts: Texts, monkeypatch: pytest.MonkeyPatch):
    """That the first half stays is due to `held`, not to chance."""
    monkeypatch.setattr(composition, "held", lambda edits, _: held(edits, slice(0, 0)))
    directions = halves.edits.directions().detach().clone()
    halves.learn(texts.form, halves.second, 1e-2)
    after = halves.edits.directions().detach()
    assert not torch.allclose(after[..., halves.first], directions[..., halves.first], atol=1e-3)


def test_answers_are_judged_by_topic_and_by_letters():
    examples = [tiny.pool(1)[0].__class__(f"e{n}", "Text", "Physical sciences") for n in range(5)]
    answers = ["PHYSICAL SCIENCES", "physical sciences.", "HISTORY", "People", ""]
    assert judge(examples, answers) == {
        "topic": [1.0, 1.0, 0.0, 0.0, 0.0],
        "capitals": [1.0, 0.0, 1.0, 0.0, 0.0],
        "both": [1.0, 0.0, 0.0, 0.0, 0.0],
    }


def tried(*rates: float, topic: float = 0.0, capitals: float = 0.0, both: float = 0.0) -> dict[str, Any]:
    return {"rates": list(rates), "topic": topic, "capitals": capitals, "both": both}


def test_the_pair_that_does_both_wins_and_else_the_one_closest_to_it():
    strong, even = tried(1, 2, topic=0.9), tried(2, 2, topic=0.4, capitals=0.3)
    whole = [tried(1, both=0.5), tried(2, both=0.6)]
    assert chosen([strong, even, *whole]) == {2: (2, 2), 1: (2,)}
    assert chosen([strong, even, tried(3, 3, topic=0.1, capitals=0.1, both=0.1), *whole])[2] == (3, 3)


@pytest.mark.usefixtures("texts")
def test_what_is_measured_is_kept(setup: Setup, results: Path, monkeypatch: pytest.MonkeyPatch):
    results.mkdir()
    monkeypatch.setattr(composition, "Setup", lambda: setup)
    composition.main()
    assert [path.name for path in results.iterdir()] == [composition.FILE]
    kept = json.loads((results / composition.FILE).read_text(encoding="utf-8"))
    assert len(kept["tried"]) == 4 + 2
    assert set(kept["outcomes"]) == set(CONDITIONS)
    assert all([len(seed) for seed in one["both"]] == [3, 3] for one in kept["outcomes"].values())
