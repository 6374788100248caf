"""Splits of a task: drawn by content hash, without repeats, and with nothing in training that a probe asks about."""

from collections.abc import Iterable, Sequence
from typing import Any

from lowres.data.examples import Example, digest, in_hash_order, normalise, split_by_hash, without_repeats
from lowres.data.overlap import unseen_in_probes

SHARES = (("train", 0.7), ("validation", 0.1), ("test", 0.2))


def three_ways(examples: Iterable[Example]) -> list[tuple[Example, ...]]:
    """Train, validation and test; a group (or, without one, an item) falls to one of them as a whole."""
    found: dict[str, list[Example]] = {name: [] for name, _ in SHARES}
    for example in examples:
        found[split_by_hash(example.group or example.id, SHARES)].append(example)
    return [tidy(part) for part in found.values()]


def parts(
    train: Sequence[Example], validation: Sequence[Example], test: Sequence[Example], *, note: str = ""
) -> dict[str, Any]:
    """The splits as arguments of Task, with nothing in train that a probe asks about, and a note of what that cost."""
    unseen = unseen_in_probes(train)
    note += f"{len(train) - len(unseen)} training items are left out because they share text with a probe"
    return {"train": unseen, "validation": tuple(validation), "test": tuple(test), "note": note}


def tidy(examples: Iterable[Example]) -> tuple[Example, ...]:
    """The first example of each id, in hash order."""
    return in_hash_order(without_repeats(examples, lambda example: example.id))


def content_id(kind: str, text: str) -> str:
    """An id that depends on the words of `text` alone."""
    return f"{kind}/{digest(normalise(text), 12)}"
