"""What stands before a task's input: one wording for training and for scoring, and how much of it a context holds.

An input is never pushed out by what stands before it. Of the solved examples as many stand in a prompt as leave the
input whole. An anchor takes at most three quarters of what a prompt may have: it is one text for all inputs, so a
longer one is cut once for all. Only an input that does not fit behind the anchor alone is cut, from its start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lowres.language import LanguageModel
from lowres.language.formats import prompt_ids, prompt_room, shorten
from lowres.params import InputError

ANCHOR_SHARE = 0.75  # of the tokens that a prompt may have, at most


def with_anchor(anchor: str, prompt: str) -> str:
    """TELL's anchor prompt stands before the input, in the user's turn."""
    return f"{anchor}\n\n{prompt}" if anchor else prompt


def with_shots(anchor: str, shots: Sequence[str], prompt: str) -> str:
    """Anchor, solved examples and input, with an empty line between any two of them."""
    return "\n\n".join([*([anchor] if anchor else []), *shots, prompt])


def insist_on_room(language_model: LanguageModel, answer: int, what: str) -> None:
    """Refuse a context that the room for an answer fills.

    Raises:
        InputError: names the model, its context, and how many tokens `what` wants for an answer.
    """
    left = prompt_room(language_model, answer) - len(prompt_ids(language_model, ""))
    if left < 1:
        raise InputError(
            f"model {language_model.name!r} has a context of {language_model.context} tokens: {answer} for an answer "
            f"of {what} leave nothing for its input"
        )


def clipped_anchor(language_model: LanguageModel, anchor: str, answer: int) -> str:
    """An anchor, its end cut off where it takes more than three quarters of what a prompt may have.

    Args:
        answer: tokens that are kept free for the answer.
    """
    spare = prompt_room(language_model, answer) - len(prompt_ids(language_model, ""))
    return clipped(language_model, anchor, int(ANCHOR_SHARE * spare))


def clipped(language_model: LanguageModel, text: str, most: int) -> str:
    """The beginning of a text, at most `most` tokens long; never ends inside a character."""
    tokenizer = language_model.tokenizer
    keep = most
    while text and len(ids := tokenizer(text, add_special_tokens=False).input_ids) > most:
        text = str(tokenizer.decode(ids[:keep])).rstrip("\ufffd ") if keep > 0 else ""
        keep -= 1  # what is cut may be split in another way, into more tokens
    return text


@dataclass
class Fitting:
    """Prompts made to fit; `counts` tells what they lost: solved examples left out, prompts whose start was cut."""

    language_model: LanguageModel
    anchor: str
    shots: Sequence[str]
    answer: int
    counts: Counter[str] = field(default_factory=lambda: Counter(shots_dropped=0, cut_prompts=0, prompt_tokens=0))

    def __post_init__(self) -> None:
        self.anchor = clipped_anchor(self.language_model, self.anchor, self.answer)

    def ids(self, prompt: str) -> tuple[int, ...]:
        """Token ids of a prompt that leaves `answer` tokens of the context."""
        found = self._fitted(prompt)
        self.counts["prompt_tokens"] += len(found)
        return found

    def _fitted(self, prompt: str) -> tuple[int, ...]:
        own, most = self.language_model, prompt_room(self.language_model, self.answer)
        for left_out in range(len(self.shots) + 1):
            shown = self.shots[: len(self.shots) - left_out]  # the first ones, so that prompts still begin alike
            found = prompt_ids(own, with_shots(self.anchor, shown, prompt))
            if len(found) <= most or not shown:
                self.counts["shots_dropped"] += left_out
                break
        if len(found) <= most:
            return found
        self.counts["cut_prompts"] += 1
        spare = most - len(prompt_ids(own, with_anchor(self.anchor, "")))
        while len(found) > most and prompt:
            prompt = shorten(own, prompt, spare + len(prompt_ids(own, "")))
            found = prompt_ids(own, with_anchor(self.anchor, prompt))
            spare -= 1  # joined to its anchor, a text may be split into more tokens
        return found
