"""What stands before an input never pushes it out."""

from __future__ import annotations

import pytest
import tiny

from lowres.language import LanguageModel, formats, prompt
from lowres.params import InputError

QUESTION = "Item 7: some paint, seen 49 times. Colour:"
SHOTS = [f"{row['prompt']} {row['target']}" for row in tiny.rows(12)]


def text(language_model: LanguageModel, fitting: prompt.Fitting, asked: str) -> str:
    return language_model.tokenizer.decode(fitting.ids(asked))


def test_parts_stand_apart_by_an_empty_line():
    assert prompt.with_shots("Do it.", ["a b", "c d"], "e") == "Do it.\n\na b\n\nc d\n\ne"
    assert prompt.with_shots("", ["a b"], "e") == "a b\n\ne"
    assert prompt.with_shots("Do it.", [], "e") == prompt.with_anchor("Do it.", "e") == "Do it.\n\ne"
    assert prompt.with_shots("", [], "e") == prompt.with_anchor("", "e") == "e"


@pytest.mark.parametrize("anchor", ["", "Name the colour."])
@pytest.mark.parametrize("answer", [4, 40, 100])
def test_as_many_solved_examples_as_fit(chat_model: LanguageModel, anchor: str, answer: int):
    fitting = prompt.Fitting(chat_model, anchor, SHOTS, answer)
    found = fitting.ids(QUESTION)
    shown = len(SHOTS) - fitting.counts["shots_dropped"]
    assert 0 < shown < len(SHOTS)
    assert len(found) <= tiny.CONTEXT - answer
    assert found == formats.prompt_ids(chat_model, prompt.with_shots(anchor, SHOTS[:shown], QUESTION))
    one_more = prompt.with_shots(anchor, SHOTS[: shown + 1], QUESTION)
    assert len(formats.prompt_ids(chat_model, one_more)) > tiny.CONTEXT - answer
    assert (fitting.counts["cut_prompts"], fitting.counts["prompt_tokens"]) == (0, len(found))


def test_an_input_that_does_not_fit_alone_loses_its_start_after_all_examples(chat_model: LanguageModel):
    fitting = prompt.Fitting(chat_model, "Name the colour.", SHOTS, 20)
    made = text(chat_model, fitting, "Noise. " * 80 + QUESTION)
    assert made.startswith("<|user|>Name the colour.\n\n")
    assert made.endswith(f"Noise. {QUESTION}<|end|><|answer|>")
    assert not any(shot in made for shot in SHOTS)
    assert fitting.counts == {"shots_dropped": len(SHOTS), "cut_prompts": 1, "prompt_tokens": tiny.CONTEXT - 20}


@pytest.mark.parametrize("anchor", ["Name the colour. " * 80, "龘靐齉爩" * 60, "a" * 900])
@pytest.mark.parametrize("answer", [4, 60, 120])
def test_an_anchor_longer_than_the_context_keeps_its_beginning_and_the_question_its_end(
    chat_model: LanguageModel, anchor: str, answer: int
):
    frame = len(formats.prompt_ids(chat_model, ""))
    spare = tiny.CONTEXT - answer - frame
    cut = prompt.clipped_anchor(chat_model, anchor, answer)
    assert anchor.startswith(cut)
    length = len(chat_model.tokenizer(cut, add_special_tokens=False).input_ids)
    assert 0.6 * spare < length <= 0.75 * spare
    assert prompt.clipped_anchor(chat_model, cut, answer) == cut
    fitting = prompt.Fitting(chat_model, anchor, SHOTS, answer)
    made = text(chat_model, fitting, QUESTION)
    assert made.startswith(f"<|user|>{cut}\n\n")
    assert made.endswith("Colour:<|end|><|answer|>")
    assert fitting.counts["prompt_tokens"] <= tiny.CONTEXT - answer


def test_an_anchor_that_fits_is_left_alone(chat_model: LanguageModel):
    anchor = "Name the colour of the item."
    assert prompt.clipped_anchor(chat_model, anchor, 20) == anchor
    assert prompt.clipped(chat_model, "red green blue", 0) == ""
    assert prompt.clipped(chat_model, "", 5) == ""


def test_an_answer_that_takes_the_whole_context_is_refused(chat_model: LanguageModel):
    frame = len(formats.prompt_ids(chat_model, ""))
    prompt.insist_on_room(chat_model, tiny.CONTEXT - frame - 1, "task 'colours'")
    with pytest.raises(InputError, match="context of 160 tokens: 157 for an answer of task 'colours' leave nothing"):
        prompt.insist_on_room(chat_model, tiny.CONTEXT - frame, "task 'colours'")
