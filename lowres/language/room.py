"""How many tokens an answer may have: counted with the tokenizer of the model that gives it, never in words.

A task that declares a number keeps it. For any other (the user's own) it follows from the right answers of all splits:
the longest of them, a quarter more, and some. What a model writes beyond is cut, and counted as `cut_answers`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lowres.examples import Task
from lowres.language import LanguageModel
from lowres.language.formats import names_control_token, token_ids

SLACK = 8  # tokens; an answer that is put in other words, or split in another way, may be longer


def answer_room(task: Task, language_model: LanguageModel) -> int:
    """Tokens that a prompt of the task leaves for the answer, and that may be generated, end of turn included.

    Where there are choices, the longest of them has to fit. What is counted is at most half of the context, of which a
    prompt needs some too.
    """
    declared, choices = task.max_new_tokens, bool(task.train and task.train[0].choices)
    if declared is not None and not choices:
        return declared
    longest = _longest(task, language_model.tokenizer)
    counted = longest if choices else longest + longest // 4 + SLACK
    return max(declared or 0, min(counted, language_model.context // 2))


@functools.lru_cache(maxsize=64)
def _longest(task: Task, tokenizer: Any) -> int:
    """Tokens of the longest text of a task that may have to be said; remembered per loaded task."""
    examples = (*task.train, *task.validation, *task.test)
    return longest_answer([said for one in examples for said in (*one.answers, one.target, *one.choices)], tokenizer)


def longest_answer(answers: Sequence[str], tokenizer: Any) -> int:
    """Tokens of the longest of these answers, with the one that ends it (as in `formats.encode`)."""
    space = "" if tokenizer.chat_template else " "
    texts = [space + answer for answer in dict.fromkeys(answers)]
    lengths = list(map(len, tokenizer(texts, add_special_tokens=False).input_ids))
    lengths += [len(token_ids(tokenizer, text)) for text in texts if names_control_token(tokenizer, text)]
    return 1 + max(lengths)
