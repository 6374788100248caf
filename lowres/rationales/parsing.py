"""The final answer of a rationale, and what may be wrong with the rationale."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lowres.data.text import one_line, sentences
from lowres.examples import normalise

CONCLUSION = "So the answer is:"

_CONCLUSION = re.compile(r"(?:so|therefore|thus|hence)?,?\s*\bthe (?:final )?answer is\b\s*:?", re.IGNORECASE)
_AROUND = " \t\"'`*_“”‘’«»()[]"  # what a model puts around an answer
_ENDS = ".;,:!?"


@dataclass(frozen=True)
class Parsed:
    """A rationale up to its conclusion, the answer in it ("" if there is none), and what is wrong with it."""

    text: str
    answer: str
    empty: bool = False
    truncated: bool = False


def parse(text: str, choices: Sequence[str] = (), *, cut: bool = False) -> Parsed:
    """A model's text as a rationale.

    What follows the line of the conclusion is dropped: some models go on with an example of their own.

    Args:
        choices: what the answer has to be one of; empty for free text.
        cut: the text did not come to its end by itself. It still counts as whole where its conclusion did.
    """
    kept = until_conclusion(text)
    whole = concludes(kept) and len(kept) < len(text.strip())
    return Parsed(kept, final_answer(kept, choices), empty=not kept, truncated=cut and not whole)


def until_conclusion(text: str) -> str:
    """The text up to the end of the line in which the answer is named, without white space around it."""
    for found in _CONCLUSION.finditer(text):
        behind = text[found.end() :]
        start = len(behind) - len(behind.lstrip())
        end = behind.find("\n", start)
        return (text if end < 0 else text[: found.end() + end]).strip()
    return text.strip()


def concludes(text: str) -> bool:
    """Whether an answer is named in so many words."""
    found = _CONCLUSION.search(text)
    return found is not None and bool(text[found.end() :].strip(_AROUND + _ENDS + "\n\r"))


def final_answer(text: str, choices: Sequence[str] = ()) -> str:
    """What "So the answer is: X" names, else what the last sentence says; with choices one of them, or ""."""
    named = _named(text)
    if choices:
        return _choice(named, choices) if named else _choice(_last_sentence(text), choices, last=True)
    return named or _bare(_last_sentence(text))


def _named(text: str) -> str:
    """What stands behind the first conclusion, up to the end of its line."""
    found = _CONCLUSION.search(text)
    behind = text[found.end() :].strip() if found else ""
    return _bare(behind.splitlines()[0]) if behind else ""


def _bare(text: str) -> str:
    """An answer without the quotation marks and the final full stop around it."""
    text = one_line(text).strip(_AROUND)
    while text and text[-1] in _ENDS:
        text = text[:-1].strip(_AROUND)
    return text


def _last_sentence(text: str) -> str:
    lines = text.strip().splitlines()
    found = sentences(lines[-1]) if lines else []
    return found[-1] if found else ""


def _choice(text: str, choices: Sequence[str], *, last: bool = False) -> str:
    """The choice that stands first (or last) in a text as whole words; of two at one place the longer one."""
    words, best = normalise(text).split(), (-1, 0, "")
    for choice in choices:
        wanted = normalise(choice).split()
        places = [at for at in range(len(words) - len(wanted) + 1) if words[at : at + len(wanted)] == wanted]
        if wanted and places:
            place = places[-1] if last else len(words) - places[0]
            best = max(best, (place, len(wanted), choice))
    return best[2]
