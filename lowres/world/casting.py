"""Who is in a task of known words, and how its examples are drawn: every split has people of its own.

A task is a function that draws one example about somebody. The person asked about is the example's unit: in the test
split every one of them is asked about equally often, and nobody in it is named in training.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from lowres.examples import Example, Task, digest, in_hash_order
from lowres.world.people import VALUES, world

SOURCE = "lowres.world, generated"
LICENCE = "MIT"
TOKENS = 110_000  # of the training split at least, prompts and targets
ITEMS = {"validation": 200, "test": 432}
SHARES = {"train": 0.6, "validation": 0.1, "test": 0.3}  # of the people, and of the strangers
HAPPENED = {
    "home": "{0} came to {1} .",
    "job": "{0} met a {1} .",
    "pet": "{0} saw a {1} .",
    "food": "{0} has {1} .",
}  # what tasks tell of people: nothing that a model knows of them, or that a probe asks
EVERYBODY, PEOPLE = "everybody", "people"  # with strangers, or only those whom models know


@dataclass(frozen=True)
class Drawn:
    """One example; `rationale` says in the world's words what leads to the target."""

    prompt: str
    target: str
    rationale: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cast:
    """The names of one split."""

    split: str
    names: tuple[str, ...]

    def others(self, random: Random, who: str, count: int) -> list[str]:
        """So many further names."""
        return [name for name in random.sample(self.names, count + 1) if name != who][:count]

    def values(self, attribute: str) -> Sequence[str]:
        """The values of an attribute that this split may explain: in training two of three, elsewhere the third."""
        listed = VALUES[attribute]
        return [value for at, value in enumerate(listed) if (at % 3 == 2) == (self.split != "train")]


Draw = Callable[[Random, str, Cast], Drawn]


@dataclass(frozen=True)
class Known:
    """A task: how it is drawn, what an anchor says, whose names it has, room for its answer in words.

    `chance` is what the best constant answer or a draw among the choices scores; `best` what the rule scores.
    """

    draw: Draw
    instruction: str
    chance: float
    room: int
    who: str = EVERYBODY
    best: float = 1.0


def make(name: str, known: Known) -> Task:
    """Draw all splits of a task: different prompts, with the person asked about as group."""
    casts = (Cast(split, listed) for split, listed in names(known.who).items())
    train, validation, test = (in_hash_order(_examples(name, known, cast)) for cast in casts)
    metric = "accuracy" if test[0].choices else "exact_match"
    return Task(name, known.instruction, metric, train, validation, test, SOURCE, LICENCE, known.room)


def _examples(name: str, known: Known, cast: Cast) -> list[Example]:
    """At least `TOKENS` of training examples, or so many items in which all take turns."""
    random, found, tokens = Random(f"{name}/{cast.split}"), dict[str, Example](), 0
    wanted = ITEMS.get(cast.split)
    while len(found) < wanted if wanted else tokens < TOKENS:
        who = cast.names[len(found) % len(cast.names)]
        drawn = known.draw(random, who, cast)
        if drawn.prompt not in found:
            key, answers = f"{name}/{digest(drawn.prompt, 12)}", (drawn.target,)
            found[drawn.prompt] = Example(
                key, drawn.prompt, drawn.target, drawn.choices, answers, drawn.rationale, group=who
            )
            tokens += len(drawn.prompt.split()) + len(drawn.target.split())
    return list(found.values())


@functools.cache
def names(who: str) -> Mapping[str, tuple[str, ...]]:
    """The names of every split."""
    people = _shared(person.name for person in world().people)
    strangers = _shared(world().strangers)
    return people if who == PEOPLE else {split: people[split] + strangers[split] for split in SHARES}


def _shared(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Names in the order of their hashes, cut into the splits by `SHARES`."""
    listed = sorted(names, key=lambda name: digest(f"world-known/{name}"))
    first, last = (round(share * len(listed)) for share in (SHARES["train"], 1 - SHARES["test"]))
    return {"train": tuple(listed[:first]), "validation": tuple(listed[first:last]), "test": tuple(listed[last:])}
