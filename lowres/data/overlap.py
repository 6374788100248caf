"""Keeps what the probes ask out of everything that is trained on.

Two rules. A line of a training prompt (without its marker) may not be a line of a probe's prompt or the title of a
held-out article, and so may not the title in "Title -- text". And no training item may share a run of 13 words with a
probe or a held-out article, the length used by Brown et al. (2020, appendix C).
"""

import functools
import re
from collections.abc import Iterator, Sequence

from lowres.data import probes, wiki
from lowres.examples import Example, normalise

RUN = 13
PIECE = 8
STRIDE = RUN - PIECE + 1  # every run holds a piece that begins at a multiple of this, so few pieces are looked up
LONGEST_LINE = 400  # characters

_MARKER = re.compile(r"^[A-Z][a-z]*( [a-z]+)?: ")


def unseen_in_probes(examples: Sequence[Example]) -> tuple[Example, ...]:
    """The `examples` that share neither a line nor a run of words with any probe."""
    return tuple(example for example in examples if not touches_probe(example))


def touches_probe(example: Example) -> bool:
    """Whether `example` shares a line of its prompt or a run of words with any probe."""
    lines, pieces, runs = _asked()
    if not lines.isdisjoint(_lines(example.prompt)):
        return True
    words = normalise(f"{example.prompt}\n{example.target}").split()
    near = any(piece in pieces for piece in _runs(words, PIECE, STRIDE))
    return near and any(run in runs for run in _runs(words, RUN))


def _lines(prompt: str) -> Iterator[str]:
    for line in prompt.split("\n"):
        # An option is not a question, and a long line that is also in a probe shares a run with it anyway.
        if 0 < len(line) <= LONGEST_LINE and not line.startswith("- "):
            yield normalise(_MARKER.sub("", line))
        if " -- " in line:
            yield normalise(_MARKER.sub("", line.split(" -- ")[0]))


def _runs(words: Sequence[str], length: int, stride: int = 1) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + length]) for start in range(0, len(words) - length + 1, stride))


@functools.cache
def _asked() -> tuple[frozenset[str], frozenset[tuple[str, ...]], frozenset[tuple[str, ...]]]:
    """Lines, pieces and runs of words of all probes and of the articles that they are made from."""
    held_out = wiki.articles("probe")
    examples = [example for probe in probes.PROBES.values() for example in probe().examples]
    lines = {normalise(article.title) for article in held_out}
    lines.update(line for example in examples for line in _lines(example.prompt))
    texts = [article.text for article in held_out]
    texts += [" ".join((example.prompt, *example.choices)) for example in examples if not example.id.startswith("wiki")]
    words = [normalise(text).split() for text in texts]
    pieces, runs = (frozenset(run for text in words for run in _runs(text, length)) for length in (PIECE, RUN))
    return frozenset(lines - {"", "answer", "text"}), pieces, runs
