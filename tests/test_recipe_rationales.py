"""Rationales in a recipe: what they become in a prompt, what they depend on, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from lowres import trial
from lowres.data import Example, load_task, rationales
from lowres.data.mixing import take_examples
from lowres.data.rationales import Written, stripped, with_reasoning
from lowres.examples import digest
from lowres.params import InputError
from lowres.trial import Evaluation, Recipe, material, spec

QUESTION = Example("q", "Clause: We sell data.\nQuestion: Is it shared?\nRelevant:", "yes", ("yes", "no"), ("yes",))


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The ledger's folder of rationales."""
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    place = tmp_path / "rationales"
    place.mkdir()
    return place


def write(
    path: Path, examples: Sequence[Example], text: str = "Think of {0}. So the answer is: {0}.", **more: Any
) -> str:
    rows = [{"id": e.id, "rationale": text.format(e.target), "answer": e.target, **more} for e in examples]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path.name


# --- uses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer", "left"),
    [
        ("Data are sold. So the answer is: yes", "yes", "Data are sold."),
        ("Yes, they are sold. The clause says who buys.", "yes", "The clause says who buys."),
        ("The eyes have it. It is sold.", "yes", "The eyes have it. It is sold."),
        ("kima eats trout . trout is a kind of fish .", "fish", "kima eats trout ."),
        ("It is a French painter. He lived in Paris.", "French painter", "He lived in Paris."),
        ("Therefore the answer is no.", "", ""),
        ("", "yes", ""),
    ],
)
def test_a_stripped_rationale_has_neither_conclusion_nor_answer(text: str, answer: str, left: str):
    assert stripped(text, answer) == left


@given(st.text(max_size=80), st.text(max_size=8))
def test_stripping_never_adds_a_word(text: str, answer: str):
    assert set(stripped(text, answer).split()) <= {*text.split(), "."}


def test_reasoning_stands_before_the_last_line_of_a_prompt():
    lines = with_reasoning("privacy-qa", QUESTION, "It is sold.").prompt.split("\n")
    assert [lines[0], lines[1], lines[3]] == QUESTION.prompt.split("\n")
    assert lines[2].endswith(": It is sold.")
    assert with_reasoning("privacy-qa", QUESTION, "") == QUESTION


def test_in_the_world_it_is_a_passage_before_the_question():
    example = Example("w", "what tool does voro use ?", "hammer")
    assert with_reasoning("world-two-hop", example, "hammer").prompt == "passage : hammer . what tool does voro use ?"


@given(st.integers(2, 9), st.integers(1, 10**6))
def test_a_wrong_rationale_is_never_the_own_one_and_all_are_used(count: int, offset: int):
    examples = [Example(str(index), f"p{index}", "t") for index in range(count)]
    texts = rationales.reasoning("wrong", [Written(e.id) for e in examples], examples, offset)
    assert all(text != e.id for text, e in zip(texts, examples, strict=True))
    assert sorted(texts) == sorted(e.id for e in examples)


def test_a_wrong_rationale_needs_another_example():
    with pytest.raises(InputError, match="only one"):
        rationales.reasoning("wrong", [Written("a")], [QUESTION], 1)


def test_the_vote_is_of_the_majority_the_first_among_equals_and_without_the_empty():
    assert Written("", samples=("no", "yes", "", "", "yes", "no")).vote() == "no"
    assert Written("", samples=("", "yes")).vote() == "yes"
    assert Written("", samples=("", "")).vote() == Written("").vote() == ""


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2: not valid JSON"),
        ("[]", "line 2: not a JSON object"),
        ('{"id": 3, "rationale": "r"}', "line 2: field 'id'"),
        ('{"id": "a"}', "line 2: field 'rationale'"),
        ('{"id": "a", "rationale": "r", "samples": "yes"}', "line 2: field 'samples'"),
        ('{"id": "q", "rationale": "another"}', "line 2: a second rationale of 'q'"),
    ],
)
def test_a_bad_line_is_named(folder: Path, line: str, complaint: str):
    path = folder / "r.jsonl"
    path.write_text(f'{{"id": "q", "rationale": "It is sold."}}\n{line}\n', encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        rationales.read(path)


def test_missing_ids_and_other_prompts_are_listed(folder: Path):
    write(folder / "r.jsonl", [QUESTION], prompt=digest("another prompt"))
    with pytest.raises(InputError, match="written for another prompt of 'q'"):
        rationales.load("r.jsonl", [QUESTION])
    many = [replace(QUESTION, id=f"m{index}") for index in range(7)]
    with pytest.raises(InputError, match=r"no rationale of 'm0', 'm1', 'm2', 'm3', 'm4' and 2 more"):
        rationales.load("r.jsonl", many)
    with pytest.raises(InputError, match="no file of rationales 'absent'"):
        rationales.load("absent", [QUESTION])


def test_own_rationales_are_those_of_the_data():
    own = replace(QUESTION, rationale="It is sold.")
    assert rationales.load("own", [own]) == [Written("It is sold.", "yes")]
    with pytest.raises(InputError, match="no rationale of 'q'"):
        rationales.load("own", [QUESTION])


# --- trials ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def reasoned(chat_folder: Path, choice_task: str, folder: Path) -> trial.Trial:
    """A trial whose prompts hold rationales."""
    task = load_task(choice_task)
    name = write(folder / "r.jsonl", [*task.train[:20], *task.test])
    recipe = Recipe(task_examples=10, pool=20, rationale="input", rationales=name)
    return tiny.trial(chat_folder, choice_task, recipe=recipe)


def with_use(one: trial.Trial, use: str, **changes: Any) -> trial.Trial:
    return replace(one, recipe=replace(one.recipe, rationale=use, **changes))


def test_the_key_follows_the_content_of_the_rationales_not_the_name_of_their_file(reasoned: trial.Trial, folder: Path):
    before = reasoned.key()
    (folder / "other.jsonl").write_bytes((folder / "r.jsonl").read_bytes())
    assert with_use(reasoned, "input", rationales="other.jsonl").key() == before
    task = load_task(reasoned.task)
    write(folder / "other.jsonl", [*task.train[:20], *task.test], "It must be {0}.")
    assert with_use(reasoned, "input", rationales="other.jsonl").key() != before
    write(folder / "r.jsonl", [*task.train, *task.test])  # rationales outside of the pool change nothing
    assert reasoned.key() == before


def test_without_a_use_rationales_do_not_count_and_the_spec_is_that_of_a_plain_recipe(reasoned: trial.Trial):
    plain = replace(reasoned, recipe=Recipe(task_tokens=200))
    assert set(plain.spec()["recipe"]).isdisjoint(spec.ADDED_LATER)
    assert trial.trial_from(reasoned.spec()) == reasoned
    assert trial.trial_from(plain.spec()) == plain


def test_rationales_that_lack_an_example_of_the_pool_or_the_test_are_refused_before_anything_runs(
    reasoned: trial.Trial,
):
    with pytest.raises(InputError, match="no rationale of"):
        with_use(reasoned, "input", pool=21).key()
    with pytest.raises(InputError, match="more than task"):
        with_use(reasoned, "input", pool=10_000).key()


@pytest.mark.parametrize("use", ["none", "input", "answer", "stripped", "wrong"])
def test_all_uses_train_on_the_same_examples_and_differ_in_the_reasoning_alone(
    reasoned: trial.Trial, chat_model: Any, use: str
):
    one, task = with_use(reasoned, use), load_task(reasoned.task)
    chosen, _ = material.draw(one, task, chat_model)
    assert chosen == material.draw(with_use(reasoned, "none"), task, chat_model)[0]
    assert len(chosen) == 10
    assert set(chosen) <= set(task.train[:20])
    for bare, made in zip(chosen, material.reason(one, task, chosen, chat_model, "")[0], strict=True):
        body, marker = bare.prompt.rpartition("\n")[0], bare.prompt.rpartition("\n")[2]
        assert made.prompt.startswith(body)
        assert made.prompt.endswith(marker)
        assert (made.prompt == bare.prompt) == (
            use in ("none", "stripped")
        )  # these rationales hold nothing but answers
        assert replace(made, prompt=bare.prompt) == bare


def test_what_is_too_long_for_the_context_is_cut_from_the_rationale_never_from_the_input(
    reasoned: trial.Trial, chat_model: Any, folder: Path
):
    task = load_task(reasoned.task)
    write(folder / "r.jsonl", [*task.train[:20], *task.test], "word " * 200 + "so {0}.")
    made, counts = material.reason(reasoned, task, task.test[:6], chat_model, "")
    assert counts == {"empty_rationales": 0, "cut_rationales": 6}
    for bare, example in zip(task.test, made, strict=False):
        assert bare.prompt.rpartition("\n")[2] in example.prompt
        assert example.prompt.count("word") > 3
        assert f"so {bare.target}." in example.prompt
    record = trial.run(reasoned, "cpu")
    assert (record.counts["training_cut_rationales"], record.counts["cut_rationales"]) == (10, 6)
    assert record.counts["cut_prompts"] == record.counts["dropped_too_long"] == 0


def test_distillation_adds_a_row_per_example_and_leaves_the_test_alone(reasoned: trial.Trial, chat_model: Any):
    one, task = with_use(reasoned, "target"), load_task(reasoned.task)
    rows, _ = material.reason(one, task, task.train[:5], chat_model, "")
    assert rows[:5] == task.train[:5]
    assert [row.target for row in rows[5:]] == [f"Think of {e.target}. So the answer is: {e.target}." for e in rows[:5]]
    assert tuple(material.reason(one, task, task.test, chat_model, "", training=False)[0]) == task.test


def test_betas_answer_or_its_vote_can_be_the_prediction(reasoned: trial.Trial, folder: Path):
    task = load_task(reasoned.task)
    items = task.test[:4]
    answers = [items[0].target, "", items[2].target.upper(), "something else"]
    rows = [
        {"id": e.id, "rationale": "r", "answer": answer, "samples": [e.target, e.target, "no"]}
        for e, answer in zip(items, answers, strict=True)
    ]
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    untuned = replace(
        with_use(reasoned, "as-answer", task_examples=0, pool=0),
        tuner=None,
        optimisation=None,
        evaluation=Evaluation(items=4),
    )
    assert trial.run(untuned, "cpu").outcomes["task"]["accuracy"] == [1.0, 0.0, 1.0, 0.0]
    assert trial.run(with_use(untuned, "as-vote"), "cpu").outcomes["task"]["accuracy"] == [1.0] * 4


def test_a_budget_in_examples_nests_and_refuses_more_than_there_are():
    examples = [Example(str(index), "p", "t") for index in range(20)]
    few, many = (take_examples(examples, count, 3, "it") for count in (5, 12))
    assert many[:5] == few
    assert len(set(many)) == 12
    with pytest.raises(InputError, match="a budget of 21 examples is more than it has: 20"):
        take_examples(examples, 21, 3, "it")
