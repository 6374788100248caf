"""Deals out wrong descriptions: each once, near to the text it goes to, and not true of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lowres.data.examples import normalise

if TYPE_CHECKING:
    import numpy as np

FUNCTION_WORDS = frozenset(("a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to"))
FORBIDDEN = 10_000  # what it costs to deal out a description that may be true; a thousandth of shared words costs -1


def nearest_others(texts: Sequence[str], descriptions: Sequence[str]) -> list[int]:
    """Whose description each text gets, for texts with one description each: a permutation without fixed points.

    A linear assignment makes the mean share of a description's words that are in its text as large as can be. A
    description may be true, and is not dealt out, if the text and its own description have all its words, or if it
    has all words of the text's own. Function words do not count; every description must have another word.
    """
    import numpy as np  # here, because both are slow to import
    from scipy.optimize import linear_sum_assignment

    own = [content_words(description) for description in descriptions]
    read = [content_words(text) | words for text, words in zip(texts, own, strict=True)]
    columns = {word: column for column, word in enumerate(sorted(set().union(*read)))}
    described, told = _incidence(own, columns), _incidence(read, columns)
    sizes, shared, common = described.sum(1), told @ described.T, described @ described.T
    may_be_true = (shared == sizes) | (common == sizes[:, None])
    cost = np.where(may_be_true, FORBIDDEN, -(1000 * shared // sizes))  # whole numbers: the same on every machine
    _, chosen = linear_sum_assignment(cost)
    assert not may_be_true[np.arange(len(texts)), chosen].any(), "too few descriptions to deal out"
    return [int(index) for index in chosen]


def content_words(text: str) -> set[str]:
    """The words of `text`, lower-cased, without function words."""
    return set(normalise(text).split()) - FUNCTION_WORDS


def _incidence(texts: Sequence[set[str]], columns: dict[str, int]) -> np.ndarray:
    """Which text has which word: ones and zeros, (texts, words)."""
    import numpy as np

    table = np.zeros((len(texts), len(columns)), dtype=np.float32)
    for row, words in enumerate(texts):
        table[row, [columns[word] for word in words]] = 1
    return table
