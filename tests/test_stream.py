"""Continual tuning: a trial with a stream of tasks before its own."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from lowres import trial
from lowres.optimisation import Optimisation
from lowres.trial import Recipe, Stage, trial_from
from lowres.tuners import Full, LoRA

STAGE_RECIPE = Recipe(task_tokens=150)
STAGE_TRAINING = Optimisation(learning_rate=1e-2, epochs=1, batch_size=4)


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=2)])
def test_after_its_first_stage_a_stream_is_where_that_stage_alone_ends(
    chat_folder: Path, task: str, choice_task: str, tuner: Full | LoRA
):
    own = tiny.trial(chat_folder, task, tuner=tuner)
    streamed = trial.run(replace(own, stream=(Stage(choice_task, STAGE_RECIPE, STAGE_TRAINING),)))
    first = trial.run(replace(own, task=choice_task, recipe=STAGE_RECIPE, optimisation=STAGE_TRAINING))
    for measure, values in first.outcomes["task"].items():
        assert streamed.outcomes["1:task"][measure] == pytest.approx(values, rel=1e-4), measure
    updates = len(first.curves["loss"])
    assert streamed.curves["loss"][:updates] == first.curves["loss"]
    assert len(streamed.curves["loss"]) > updates
    assert streamed.counts["1:task_tokens"] == first.counts["task_tokens"]


def test_what_was_learnt_before_is_there_when_the_own_task_begins(chat_folder: Path, task: str):
    own = tiny.trial(chat_folder, task, tuner=Full())
    stage = Stage(task, own.recipe, Optimisation(learning_rate=1e-2, epochs=6, batch_size=4))
    alone, streamed = trial.run(own), trial.run(replace(own, stream=(stage,)))
    begun = len(streamed.curves["loss"]) - len(alone.curves["loss"])
    assert streamed.curves["loss"][begun] < 0.8 * alone.curves["loss"][0]


def test_a_stream_counts_in_the_key_and_survives_the_record(chat_folder: Path, task: str, choice_task: str):
    own = tiny.trial(chat_folder, task)
    streamed = replace(own, stream=(Stage(choice_task, STAGE_RECIPE, STAGE_TRAINING),))
    other = replace(own, stream=(Stage(choice_task, replace(STAGE_RECIPE, task_tokens=160), STAGE_TRAINING),))
    assert len({own.key(), streamed.key(), other.key()}) == 3
    assert trial_from(streamed.spec()) == streamed
    assert "stream" not in own.spec()


def test_an_untouched_model_is_measured_on_every_task_of_a_stream(chat_folder: Path, task: str, choice_task: str):
    own = tiny.trial(chat_folder, task, tuner=None, optimisation=None)
    found = trial.run(replace(own, stream=(Stage(choice_task, STAGE_RECIPE, STAGE_TRAINING),)))
    assert set(found.outcomes) == {"1:task", "task"}
    assert found.curves == {}
