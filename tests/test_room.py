"""Room for an answer: counted with the model's tokenizer, told where it did not suffice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny

from lowres import trial
from lowres.data import TaskOptions, load_task, task_names
from lowres.engine.tables import table
from lowres.language import LanguageModel, formats
from lowres.language.room import SLACK, answer_room, longest_answer
from lowres.optimisation import Optimisation
from lowres.params import InputError
from lowres.trial import Recipe
from lowres.tuners import Full

WITHOUT_SPACES = ['{"name":"x1","id":[7,8],"ok":true}', "今天天气很好我们去公园", "https://e.org/a?b=c&d=e"]


def constant(folder: Path, target: str, **more: Any) -> str:
    return tiny.write_rows(
        folder / "rows.jsonl", [{"prompt": f"Row {i}:", "target": target, **more} for i in range(20)]
    )


@pytest.mark.parametrize("target", WITHOUT_SPACES)
def test_an_answer_without_spaces_has_room(tmp_path: Path, chat_model: LanguageModel, target: str):
    task = load_task(constant(tmp_path, target))
    length = len(formats.encode(chat_model, "", target).target)
    assert length > 2 * len(target.split())
    assert answer_room(task, chat_model) == length + length // 4 + SLACK


def test_the_longest_answer_of_any_split_counts(tmp_path: Path, plain_model: LanguageModel):
    rows = [{"prompt": f"Row {i}:", "target": ["red", "a stone " * (i == 7) + "green"]} for i in range(20)]
    task = load_task(tiny.write_rows(tmp_path / "rows.jsonl", rows))
    longest = len(formats.encode(plain_model, "", "a stone green").target)
    assert longest_answer(["red", "a stone green"], plain_model.tokenizer) == longest
    assert answer_room(task, plain_model) == longest + longest // 4 + SLACK


def test_a_prompt_keeps_half_of_the_context(tmp_path: Path, chat_model: LanguageModel):
    task = load_task(constant(tmp_path, "zq" * tiny.CONTEXT))
    assert answer_room(task, chat_model) == tiny.CONTEXT // 2


def test_a_number_that_is_given_counts(tmp_path: Path, chat_model: LanguageModel):
    name = constant(tmp_path, "red")
    assert answer_room(load_task(name, TaskOptions(answer_tokens=3)), chat_model) == 3
    choices = load_task(constant(tmp_path, "red", choices=["red", "very dark brown"]), TaskOptions(answer_tokens=1))
    assert answer_room(choices, chat_model) == len(formats.encode(chat_model, "", "very dark brown").target)


def test_what_was_learnt_by_heart_is_right_and_what_is_cut_is_told(chat_folder: Path, tmp_path: Path):
    name = constant(tmp_path, WITHOUT_SPACES[0])
    how = {"tuner": Full(), "optimisation": Optimisation(1e-2, epochs=12, batch_size=4)}
    made = tiny.trial(chat_folder, name, recipe=Recipe(task_tokens=400), **how)
    record = trial.run(made, "cpu")
    assert record.mean("task", "exact_match") == 1
    assert record.counts["cut_answers"] == 0
    short = tiny.trial(chat_folder, name, recipe=Recipe(task_tokens=400), options=TaskOptions(answer_tokens=5), **how)
    assert short.key() != made.key()
    record = trial.run(short, "cpu")
    assert record.mean("task", "exact_match") == 0
    assert record.counts["cut_answers"] == len(record.texts["task"]) == 4
    assert "4 answers were cut" in table([record])


def test_records_from_before_the_parameter_can_be_read(chat_folder: Path, task: str):
    made = tiny.trial(chat_folder, task)
    spec = json.loads(json.dumps(made.spec()))
    del spec["options"]["answer_tokens"]
    assert trial.trial_from(spec) == made


@pytest.mark.parametrize("metric", ["exact_match", "bleu", "token_f1", "json_match"])
def test_a_metric_of_free_text_is_refused_where_there_are_choices(tmp_path: Path, metric: str):
    name = constant(tmp_path, "red", choices=["red", "green"])
    with pytest.raises(InputError, match=f"{metric} is for free text, but 20 examples have choices: .* is accuracy"):
        load_task(name, TaskOptions(metric=metric))
    assert load_task(name, TaskOptions(metric="accuracy")).metric == "accuracy"


@pytest.mark.parametrize("name", [name for name in task_names() if not name.startswith("world-")])
def test_no_bundled_task_cuts_its_own_answers(real_model: LanguageModel, name: str):
    task = load_task(name)
    examples = (*task.train, *task.validation, *task.test)
    answers = {text for one in examples for text in (*one.answers, one.target, *one.choices)}
    assert task.max_new_tokens is not None
    assert longest_answer(sorted(answers), real_model.tokenizer) <= task.max_new_tokens


@pytest.mark.parametrize("name", [name for name in task_names() if name.startswith("world-")])
def test_no_task_of_the_world_cuts_its_own_answers(name: str):
    from lowres.world import vocabulary

    task = load_task(name)
    assert task.max_new_tokens is not None
    for example in (*task.train, *task.validation, *task.test):
        assert len(vocabulary.encode(example.target)) + 1 <= task.max_new_tokens
