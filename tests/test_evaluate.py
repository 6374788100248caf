"""Scores and generation against one full pass per sequence, and metrics worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch

from lowres import evaluate, models
from lowres.data import Example, Probe
from lowres.evaluate import Answers, Item, answers, metrics, outcomes
from lowres.language import LanguageModel, formats, prompt

FREE = [Example(f"e{i}", row["prompt"], row["target"], answers=(row["target"],)) for i, row in enumerate(tiny.rows(9))]
CHOICE = [
    Example(f"c{i}", row["prompt"], row["target"], tuple(row["choices"]), (row["target"],))
    for i, row in enumerate(tiny.choice_rows(9))
]


def log_likelihood(language_model: LanguageModel, context: Any, continuation: Any) -> float:
    """One sequence, one pass, no cache, no padding."""
    with torch.no_grad():
        logits = language_model.model(input_ids=torch.tensor([[*context, *continuation]])).logits[0]
    scores = logits.log_softmax(-1)[len(context) - 1 : -1]
    return float(scores.gather(1, torch.tensor(continuation)[:, None]).sum())


def separately(language_model: LanguageModel, items: list[Item]) -> list[list[float]]:
    return [[log_likelihood(language_model, item.context, ids) for ids in item.continuations] for item in items]


def assert_scores(language_model: LanguageModel, items: list[Item]) -> None:
    found = evaluate.answer(language_model.model, language_model, items).log_likelihoods
    for ours, alone in zip(found, separately(language_model, items), strict=True):
        assert ours == pytest.approx(alone, abs=2e-4)


# --- choices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chat_model", "plain_model"])
def test_choices_of_a_task_score_as_full_sequences(kind: str, request: pytest.FixtureRequest):
    language_model: LanguageModel = request.getfixturevalue(kind)
    items, cut = evaluate.task_items(language_model, CHOICE, "Name the colour.", 8)
    assert len({len(ids) for item in items for ids in item.continuations}) > 1
    assert len({len(item.context) for item in items}) > 1
    assert cut["cut_prompts"] == 0
    assert cut["prompt_tokens"] == sum(len(item.context) for item in items)
    assert_scores(language_model, items)


@pytest.mark.parametrize("kind", ["chat_model", "plain_model"])
def test_what_is_scored_is_what_training_shows(kind: str, request: pytest.FixtureRequest):
    language_model: LanguageModel = request.getfixturevalue(kind)
    items, _ = evaluate.task_items(language_model, FREE, "Name the colour.", 8)
    for item, example in zip(items, FREE, strict=True):
        asked = prompt.with_anchor("Name the colour.", example.prompt)
        row = formats.encode(language_model, asked, example.target)
        assert (row.ids, row.prompt_length) == ((*item.context, *item.continuations[0]), len(item.context))


def test_choices_of_a_probe_score_as_full_sequences(plain_model: LanguageModel):
    items = evaluate.plain_items(plain_model, CHOICE)
    for item, example in zip(items, CHOICE, strict=True):
        for ids, choice in zip(item.continuations, example.choices, strict=True):
            assert (*item.context, *ids) == formats.plain_ids(plain_model, f"{example.prompt} {choice}")
    assert_scores(plain_model, items)


def test_single_tokens_many_choices_and_uneven_items_in_one_call(chat_model: LanguageModel):
    generator = torch.Generator().manual_seed(5)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(4, 380, (count,), generator=generator).tolist())

    shapes = [
        (3, (1, 1)),
        (30, (1, 4)),
        (1, (1, 1)),
        (12, (2, 7, 1)),
        (5, (3,)),
        (40, (1, 1, 1)),
        (12, (9, 1, 2)),
        (2, ()),
    ]
    items = [Item(ids(n), tuple(ids(m) for m in lengths), tuple(lengths)) for n, lengths in shapes]
    assert_scores(chat_model, items)


def test_padding_moves_no_position(chat_model: LanguageModel):
    """A model with absolute positions would notice."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": tiny.CONTEXT, "initializer_range": 0.2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=len(chat_model.tokenizer), **sizes)).eval()
    other = replace(chat_model, model=model)
    items, _ = evaluate.task_items(other, CHOICE, "Name the colour.", 8)
    assert_scores(other, items)
    expected = [by_transformers(other, item.context, [1], 8) for item in items]
    found = evaluate.answer(model, replace(other, tokenizer=Ids(1)), items, max_new_tokens=8).texts  # type: ignore[arg-type]
    assert list(found) == [" ".join(map(str, row)) for row in expected]


def test_items_without_continuations_have_no_scores(chat_model: LanguageModel):
    bare = [Item((5, 6, 7), (), ()), Item((8,), (), ())]
    assert evaluate.answer(chat_model.model, chat_model, bare).log_likelihoods == ((), ())
    assert evaluate.answer(chat_model.model, chat_model, []).texts == ()


def test_many_items_come_back_in_their_order(chat_model: LanguageModel, monkeypatch: pytest.MonkeyPatch):
    items, _ = evaluate.task_items(chat_model, CHOICE * 3, "", 8)
    batches = list(answers.batches(items, 300, mixed=True))
    assert len(batches) > 2
    assert sorted(index for batch in batches for index in batch) == list(range(27))
    expected = evaluate.answer(chat_model.model, chat_model, items).log_likelihoods
    monkeypatch.setattr(answers, "batches", lambda items, *_: ([index] for index in range(len(items))))
    apart = evaluate.answer(chat_model.model, chat_model, items).log_likelihoods
    for ours, alone in zip(expected, apart, strict=True):
        assert ours == pytest.approx(alone, abs=2e-4)


@pytest.mark.parametrize("mixed", [True, False])
def test_batches_are_alike_and_bounded(mixed: bool):
    items = [Item((1,) * (1 + 37 * i % 500), ((1, 1),) * (1 + i % 2), (1,)) for i in range(60)]
    for batch in answers.batches(items, 2048, mixed):
        kinds = {len(items[index].continuations) for index in batch}
        longest = max(len(items[index].context) + mixed * len(items[index].continuations) for index in batch)
        assert mixed or len(kinds) == 1
        assert len(batch) == 1 or len(batch) * longest <= 2048


def outcomes_by_hand() -> dict[str, list[float]]:
    """Two choices, the first right: it wins by sum, by token or by character, as the item's name says."""
    example = Example("x", "Q", "aa", ("aa", "bbbb"), ("aa",))
    item = Item((1,), ((1, 1), (1, 1, 1, 1)), (2, 4))
    longer = Item((1,), ((1, 1), (1,)), (2, 4))
    scores = ((-3.0, -4.0), (-3.0, -8.0), (-3.0, -2.0), (-3.0, -3.0))
    return outcomes._choice_outcomes([example] * 4, [item, item, longer, longer], Answers(scores, ("",) * 4))


def test_accuracy_by_sum_by_token_and_by_character():
    # Sums            -3 against -4, -8, -2, -3 (the first among equals)
    # per token      -1.5 against -1, -2, -2, -3
    # per character  -1.5 against -1, -2, -.5, -.75
    found = outcomes_by_hand()
    assert found["accuracy"] == [1, 1, 0, 1]
    assert found["accuracy_per_token"] == [0, 1, 1, 1]
    assert found["accuracy_per_character"] == [0, 1, 0, 0]
    assert found["target_nll"] == [1.5, 1.5, 1.5, 1.5]
    assert found["chosen"] == [0, 0, 1, 0]


def test_outcomes_of_a_choice_task_follow_from_the_scores(chat_model: LanguageModel):
    found, texts, cut = tiny.evaluate_task(chat_model.model, chat_model, CHOICE, "Name it.", 8)
    items, _ = evaluate.task_items(chat_model, CHOICE, "Name it.", 8)
    scores = separately(chat_model, items)
    gold = [example.choices.index(example.target) for example in CHOICE]
    assert (texts, cut["cut_prompts"]) == ([], 0)
    assert found["accuracy"] == [
        float(max(range(3), key=row.__getitem__) == g) for row, g in zip(scores, gold, strict=True)
    ]
    lengths = [len(formats.encode(chat_model, "", example.target).target) for example in CHOICE]
    nll = [-row[g] / length for row, g, length in zip(scores, gold, lengths, strict=True)]
    assert found["target_nll"] == pytest.approx(nll, abs=1e-4)


# --- generation ------------------------------------------------------------------------------------------------------


def by_transformers(language_model: LanguageModel, context: Any, ends: list[int], most: int) -> list[int]:
    """Greedy, one at a time, without the end token."""
    prompt = torch.tensor([list(context)])
    made = language_model.model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=most, do_sample=False, eos_token_id=ends
    )
    new = made[0, len(context) :].tolist()
    return new[: min([new.index(end) for end in ends if end in new], default=len(new))]


class Ids:
    """A tokenizer that shows the ids themselves."""

    pad_token_id, chat_template = 7, None

    def __init__(self, end: int) -> None:
        self.eos_token_id = end

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def with_ends(language_model: LanguageModel, *ends: int) -> LanguageModel:
    """The model with other end tokens, answering in ids."""
    own = models.fresh(language_model)
    own.model.generation_config.eos_token_id = list(ends)
    return replace(own, tokenizer=Ids(ends[0]))  # type: ignore[arg-type]


@pytest.mark.parametrize("extra", [0, 1])
def test_greedy_generation_is_that_of_transformers_token_for_token(chat_model: LanguageModel, extra: int):
    items, _ = evaluate.task_items(chat_model, FREE, "Name the colour.", 20)
    unstopped = [by_transformers(chat_model, item.context, [399], 20) for item in items]
    common = sorted({token for row in unstopped for token in row}, key=lambda t: -sum(t in row for row in unstopped))
    stopping = with_ends(chat_model, *common[: 1 + extra])
    expected = [by_transformers(chat_model, item.context, list(common[: 1 + extra]), 20) for item in items]
    assert len({len(row) for row in expected}) > 2
    found = evaluate.answer(stopping.model, stopping, items, max_new_tokens=20).texts
    assert list(found) == [" ".join(map(str, row)) for row in expected]


def test_generation_after_scoring_starts_from_the_prompt_again(chat_model: LanguageModel):
    items, _ = evaluate.task_items(chat_model, FREE, "", 12)
    bare = [replace(item, continuations=(), characters=()) for item in items]
    both = evaluate.answer(chat_model.model, chat_model, items, max_new_tokens=12)
    alone = evaluate.answer(chat_model.model, chat_model, bare, max_new_tokens=12)
    assert both.texts == alone.texts
    assert alone.log_likelihoods == ((),) * len(items)
    assert any(both.texts)
    ends = set(formats.end_tokens(chat_model))
    lengths = [len(by_transformers(chat_model, item.context, list(ends), 12)) for item in items]
    assert both.cut == alone.cut == tuple(length == 12 for length in lengths)


def test_one_new_token_is_one_token(chat_model: LanguageModel):
    shown = with_ends(chat_model, 399)
    items, _ = evaluate.task_items(chat_model, FREE[:3], "", 1)
    assert [len(text.split()) for text in evaluate.answer(shown.model, shown, items, max_new_tokens=1).texts] == [1] * 3


def test_outcomes_of_a_free_answer_task(chat_model: LanguageModel):
    several = [replace(FREE[0], answers=("nothing like it", "red"))]
    found, texts, _ = tiny.evaluate_task(chat_model.model, chat_model, FREE, "", 6)
    assert set(found) == {"exact_match", "token_f1", "rouge_l", "cut_answer", "target_nll", "bits_per_byte"}
    assert {len(values) for values in found.values()} | {len(texts)} == {9}
    for text, example, score in zip(texts, FREE, found["token_f1"], strict=True):
        assert score == metrics.token_f1(text, example.target)
    items, _ = evaluate.task_items(chat_model, FREE, "", 6)
    nll = [-row[0] / len(i.continuations[0]) for row, i in zip(separately(chat_model, items), items, strict=True)]
    assert found["target_nll"] == pytest.approx(nll, abs=1e-4)
    model = SimpleNamespace(texts=("the Red!",), log_likelihoods=((-1.0,),), cut=(False,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcomes, "answer", lambda *_: model)
        best, _, _ = tiny.evaluate_task(chat_model.model, chat_model, several, "", 6)
    assert (best["exact_match"], best["token_f1"], best["rouge_l"]) == ([1.0], [1.0], [pytest.approx(2 / 3)])


@pytest.mark.parametrize(
    "metric", ["number", "bleu", "chrf", "json_match", "sari", "rouge_1", "token_f1", "accuracy", ""]
)
def test_a_tasks_own_metric_is_measured_too(chat_model: LanguageModel, metric: str):
    found, texts, _ = tiny.evaluate_task(chat_model.model, chat_model, FREE[:3], "", 4, metric)
    more = {metric} - {"accuracy", ""}
    assert set(found) == {"exact_match", "token_f1", "rouge_l", "cut_answer", "target_nll", "bits_per_byte"} | more
    for name in more:
        by_hand = [
            metrics.MEASURES[name](example.prompt, text, example.answers)
            for example, text in zip(FREE, texts, strict=False)
        ]
        assert found[name] == by_hand


# --- long prompts ----------------------------------------------------------------------------------------------------


def test_an_overlong_prompt_loses_its_start_and_never_the_anchor(chat_model: LanguageModel):
    anchor = "Name the colour of the item."
    long = replace(FREE[0], prompt=f"{'Noise. ' * 80}{FREE[0].prompt}")
    items, cut = evaluate.task_items(chat_model, [FREE[1], long, long], anchor, 20)
    assert cut["cut_prompts"] == 2
    assert len(items[1].context) <= tiny.CONTEXT - 20
    assert len(items[1].context) > tiny.CONTEXT - 20 - 8
    text = chat_model.tokenizer.decode(items[1].context)
    assert text.startswith(f"<|user|>{anchor}\n\n")
    assert text.endswith(f"{FREE[0].prompt}<|end|><|answer|>")
    assert items[0].context == formats.prompt_ids(chat_model, f"{anchor}\n\n{FREE[1].prompt}")


def test_a_prompt_that_just_fits_is_not_cut(chat_model: LanguageModel):
    length = len(formats.prompt_ids(chat_model, FREE[0].prompt))
    assert evaluate.task_items(chat_model, FREE[:1], "", tiny.CONTEXT - length)[1]["cut_prompts"] == 0
    assert evaluate.task_items(chat_model, FREE[:1], "", tiny.CONTEXT - length + 1)[1]["cut_prompts"] == 1


# --- plain text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chat_model", "plain_model"])
def test_likelihood_of_a_text_by_hand(kind: str, request: pytest.FixtureRequest):
    language_model: LanguageModel = request.getfixturevalue(kind)
    texts = ["a stone", FREE[0].prompt, "word " * 300]
    found = outcomes.text_nll(language_model.model, language_model, texts)
    for text, value in zip(texts, found, strict=True):
        ids = formats.plain_ids(language_model, text)[: tiny.CONTEXT]
        assert value == pytest.approx(-log_likelihood(language_model, ids[:1], ids[1:]) / (len(ids) - 1), abs=1e-4)


def test_probes_of_both_kinds(chat_model: LanguageModel):
    choices = Probe("made-up", "choice", tuple(CHOICE), 1 / 3, "", "")
    texts = Probe("texts", "nll", tuple(replace(e, target=e.prompt, prompt="") for e in FREE), None, "", "")
    scored = evaluate.evaluate_probe(chat_model.model, chat_model, choices, 5)
    assert {len(values) for values in scored.values()} == {5}
    expected = outcomes.text_nll(chat_model.model, chat_model, [example.prompt for example in FREE[:4]])
    assert evaluate.evaluate_probe(chat_model.model, chat_model, texts, 4) == {"nll": expected}


def test_a_probe_in_the_chat_format_is_asked_like_a_task(chat_model: LanguageModel):
    chat = Probe("made-up", "choice", tuple(CHOICE), 1 / 3, "", "", chat=True)
    plain = replace(chat, chat=False)
    asked, bare = (evaluate.evaluate_probe(chat_model.model, chat_model, probe, 5) for probe in (chat, plain))
    as_task, _, _ = tiny.evaluate_task(chat_model.model, chat_model, CHOICE[:5], "", 8)
    assert asked["target_nll"] == pytest.approx(as_task["target_nll"])
    assert asked["target_nll"] != pytest.approx(bare["target_nll"])
    assert chat.fingerprint() != plain.fingerprint()


# --- anchors and precision --------------------------------------------------------------------------------------------


def test_an_anchor_stands_before_the_prompt():
    assert prompt.with_anchor("Do it.", "Input") == "Do it.\n\nInput"
    assert prompt.with_anchor("", "Input") == "Input"


def test_bf16_scores_come_close(chat_model: LanguageModel):
    items, _ = evaluate.task_items(chat_model, CHOICE, "", 8)
    exact = evaluate.answer(chat_model.model, chat_model, items).log_likelihoods
    rough = evaluate.answer(chat_model.model, replace(chat_model, autocast=True), items).log_likelihoods
    assert rough != exact
    for one, other in zip(exact, rough, strict=True):
        assert not any(map(math.isnan, other))
        assert other == pytest.approx(one, rel=0.05)
