"""Who lives in the world, where, with which job, pet and food, and what follows from these.

Everything is drawn from one seed and never changes: models that differ in their own seed know the same world, so that
they can be asked the same questions.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from random import Random

WORLD_SEED = 0
PEOPLE = 240
STRANGERS = 48  # names that have no facts: what is told of them in a passage can only be read there
SHARES = (("seen", 0.475), ("new", 0.125), ("task", 0.40))  # of people, by what their two-hop questions are used for

CITIES = (
    "arvik", "bellen", "corda", "dunmor", "elsin", "farrow", "gandel", "hollin", "istra", "jorvik", "kestel", "lumera",
    "marden", "norwick", "oster", "pelham", "quarry", "rivenna", "solvik", "tarsen", "umber", "valdor", "westel",
    "yarrow", "ashby", "brimley", "calder", "dorset", "easton", "fenwick", "glenn", "harrow",
)  # fmt: skip
COUNTRIES = ("avaria", "borland", "celtia", "dravia", "estoria", "fenland", "galdia", "hestria")
JOBS = (
    "baker", "cook", "farmer", "gardener", "painter", "writer", "tailor", "weaver", "teacher", "judge", "nurse",
    "doctor", "pilot", "sailor", "miner", "mason", "barber", "dentist", "singer", "drummer", "guard", "porter",
    "fisher", "hunter",
)  # fmt: skip
TOOLS = (
    "oven", "spade", "brush", "needle", "book", "scalpel", "engine", "hammer", "razor", "drum", "key", "net",
)  # fmt: skip
PETS = (
    "cat", "lion", "tiger", "dog", "wolf", "fox", "cow", "ox", "calf", "hen", "duck", "goose", "frog", "toad", "newt",
    "owl", "dove", "pigeon", "bee", "wasp", "fly", "snake", "lizard", "gecko",
)  # fmt: skip
SOUNDS = ("meow", "woof", "moo", "cluck", "croak", "hoot", "buzz", "hiss")
FOODS = (
    "apples", "pears", "plums", "cherries", "carrots", "onions", "beans", "peas", "cake", "honey", "toffee", "jam",
    "bread", "noodles", "porridge", "rice", "herring", "trout", "salmon", "cod", "cheddar", "brie", "gouda", "feta",
)  # fmt: skip
KINDS = ("fruit", "vegetable", "sweet", "grain", "fish", "cheese")
NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
VALUES = {"home": CITIES, "job": JOBS, "pet": PETS, "food": FOODS}
RESULTS = {"home": COUNTRIES, "job": TOOLS, "pet": SOUNDS, "food": KINDS}
ATTRIBUTES = tuple(VALUES)


@dataclass(frozen=True)
class Person:
    """One inhabitant. `role` says what two-hop questions about the person are for.

    "seen": they are trained on; "new": only a probe asks them; "task": only the task `world-two-hop` has them.
    """

    name: str
    woman: bool
    role: str
    home: str
    job: str
    pet: str
    food: str

    def value(self, attribute: str) -> str:
        """The person's home, job, pet or food."""
        return str(getattr(self, attribute))

    @property
    def pronoun(self) -> str:
        """Which pronoun stands for the person."""
        return "she" if self.woman else "he"


@dataclass(frozen=True)
class World:
    """All facts. `follows[attribute]` leads from a value to what follows from it: home to country, job to tool, ..."""

    people: tuple[Person, ...]
    strangers: tuple[str, ...]
    follows: dict[str, dict[str, str]]

    def of_role(self, role: str) -> tuple[Person, ...]:
        """The people whose two-hop questions are "seen", "new" or "task"."""
        return tuple(person for person in self.people if person.role == role)


@functools.cache
def world() -> World:
    """The one world of all models, tasks and probes."""
    random = Random(f"world/{WORLD_SEED}")
    women, men = _names(random, "a"), _names(random, "o")
    half = (PEOPLE + STRANGERS) // 2
    names = [name for pair in zip(women[:half], men[:half], strict=True) for name in pair]
    roles = [role for role, share in SHARES for _ in range(round(share * PEOPLE))]
    random.shuffle(roles)
    drawn = {attribute: _evenly(random, values, PEOPLE) for attribute, values in VALUES.items()}
    people = tuple(
        Person(name, name.endswith("a"), role, *(drawn[attribute][index] for attribute in ATTRIBUTES))
        for index, (name, role) in enumerate(zip(names, roles, strict=False))
    )
    follows = {
        attribute: _follows(random, VALUES[attribute], RESULTS[attribute], shuffled=attribute == "home")
        for attribute in ATTRIBUTES
    }
    return World(people, tuple(names[PEOPLE:]), follows)


def _names(random: Random, ending: str) -> list[str]:
    """Names of four letters that sound like nothing else; women's end in a, men's in o."""
    taken = {word for values in (*VALUES.values(), *RESULTS.values(), NUMBERS) for word in values}
    parts = itertools.product("bdfgklmnprstvz", "aeiou", "bdfgklmnprstvz")
    found = [name for name in ("".join(part) + ending for part in parts) if name not in taken | _ENGLISH]
    random.shuffle(found)
    return found


_ENGLISH = {"tuna", "soda", "sofa", "data", "saga", "toga", "yoga", "diva", "lava", "puma", "polo", "solo", "logo"}


def _evenly(random: Random, values: tuple[str, ...], count: int) -> list[str]:
    """`count` draws in which every value comes as often as any other, give or take one."""
    drawn = list(itertools.islice(itertools.cycle(values), count))
    random.shuffle(drawn)
    return drawn


def _follows(random: Random, values: tuple[str, ...], results: tuple[str, ...], *, shuffled: bool) -> dict[str, str]:
    """Each result for as many values as any other: in the order of the lists, which mean something, or shuffled."""
    each = len(values) // len(results)
    order = random.sample(values, len(values)) if shuffled else list(values)
    return {value: results[index // each] for index, value in enumerate(order)}
