"""Tasks made of their card and their examples: what probes ask is taken out, the rest is split by content."""

from collections.abc import Iterable, Sequence
from typing import Any

from lowres.data.cards import cards
from lowres.data.overlap import unseen_in_probes
from lowres.examples import Example, Task, digest, in_hash_order, normalise, split_by_hash, without_repeats

SHARES = (("train", 0.7), ("validation", 0.1), ("test", 0.2))
LEFT_OUT = "training items are left out because they share text with a probe"


def task_of(
    name: str, splits: Iterable[Sequence[Example]], *, card: str = "", asked_by_probes: bool = False, **facts: Any
) -> Task:
    """The task `name` with its train, validation and test; `near` in its note is how many of train were left out.

    Args:
        card: the name of its card, where several tasks share one.
        asked_by_probes: it is made of items of probes; from all others what a probe asks about is taken out of train.
        facts: what stands for {names} in the card, or fields that the card leaves open.
    """
    train, validation, test = map(tuple, splits)
    kept = train if asked_by_probes else unseen_in_probes(train)
    facts["near"] = f"{len(train) - len(kept)} {LEFT_OUT}"
    given = {"max_new_tokens": facts.get("max_new_tokens"), **cards("tasks")[card or name]}
    told: dict[str, Any] = {
        field: text.format(**facts) if isinstance(text, str) else text for field, text in given.items()
    }
    return Task(name, train=kept, validation=validation, test=test, **told)


def three_ways(examples: Iterable[Example]) -> list[tuple[Example, ...]]:
    """Train, validation and test by content hash; a group (or else an item) falls to one of them as a whole."""
    found: dict[str, list[Example]] = {name: [] for name, _ in SHARES}
    for example in examples:
        found[split_by_hash(example.group or example.id, SHARES)].append(example)
    return [tidy(part) for part in found.values()]


def tidy(examples: Iterable[Example]) -> tuple[Example, ...]:
    """The first example of each id, in hash order."""
    return in_hash_order(without_repeats(examples, lambda example: example.id))


def content_id(kind: str, text: str) -> str:
    """An id that depends on the words of `text` alone."""
    return f"{kind}/{digest(normalise(text), 12)}"


def yes_or_no(name: str, prompt: str, right: bool, group: str) -> Example:
    """An item that is answered with yes or no."""
    target = "yes" if right else "no"
    return Example(content_id(name, prompt), prompt, target, ("yes", "no"), (target,), group=group)
