"""Everything that can be asked about the world, and random draws of it to train on.

A `Pair` is a prompt and its answer. Whatever has a fixed answer is asked in several forms, of which one, chosen by the
hash of what is asked, is never trained on: the probes ask in that form. What is drawn at random (passages, meetings,
comparisons) is kept apart from the probes by a list of the prompts that they use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from lowres.examples import digest
from lowres.world import wording
from lowres.world.people import ATTRIBUTES, NUMBERS, VALUES, Person, world

SMALLEST, LARGEST = 1, 10  # what is added or taken away


@dataclass(frozen=True)
class Pair:
    """A prompt and its answer; `kind` is a key of `DRAWS`, `facts` is what has to be known beforehand to answer."""

    kind: str
    prompt: str
    target: str
    facts: tuple[str, ...] = ()


def fact(person: Person, attribute: str) -> str:
    """What a question about home, job, pet or food of somebody rests on, as a word for `Pair.facts`."""
    return f"{attribute} of {person.name}"


def gender(person: Person) -> str:
    """What it rests on to whom "he" or "she" refers."""
    return f"gender of {person.name}"


def consequence(value: str) -> str:
    """What a question rests on that asks what follows from a home, job, pet or food."""
    return f"what follows from {value}"


def calculation(operation: str, first: str, second: str) -> str:
    """What a sum or a difference rests on; the order of what is added does not count."""
    return f" {operation} ".join(sorted((first, second)) if operation == "plus" else (first, second))


@functools.cache
def held_out(kind: str, content: str, forms: int) -> int:
    """Which of so many forms of a question is kept for the probes."""
    return int(digest(f"{kind}/{content}"), 16) % forms


def in_trained_form(random: Random, kind: str, forms: Sequence[str], content: Sequence[str]) -> str:
    """A question in one of the forms in which it may be trained on."""
    form = random.randrange(len(forms) - 1)
    form += form >= held_out(kind, " ".join(content), len(forms))
    return forms[form].format(*content)


def in_held_out_form(kind: str, forms: Sequence[str], content: Sequence[str]) -> str:
    """The same question in the form that only a probe uses."""
    return forms[held_out(kind, " ".join(content), len(forms))].format(*content)


def as_statement(attribute: str, value: str) -> str:
    """What follows from a value, up to the result, in a form that is no question and that no probe uses."""
    forms = wording.RELATIONS[attribute]
    return forms[3 if held_out(f"relation-{attribute}", value, len(forms)) == 1 else 1].format(value)


@functools.cache
def sums() -> tuple[tuple[str, str, str, str], ...]:
    """All of arithmetic: operation, first number, second number, result."""
    span = range(SMALLEST, LARGEST + 1)
    plus = [("plus", NUMBERS[a], NUMBERS[b], NUMBERS[a + b]) for a in span for b in span]
    minus = [("minus", NUMBERS[a + b], NUMBERS[b], NUMBERS[a]) for a in span for b in span]
    return (*plus, *minus)


# --- draws -----------------------------------------------------------------------------------------------------------


def draw_fact(random: Random) -> Pair:
    """Home, job, pet or food of anybody."""
    person, attribute = random.choice(world().people), random.choice(ATTRIBUTES)
    prompt = in_trained_form(random, f"fact-{attribute}", wording.FACTS[attribute], (person.name,))
    return Pair("fact", prompt, person.value(attribute), (fact(person, attribute),))


def draw_relation(random: Random) -> Pair:
    """What follows from a home, job, pet or food."""
    attribute = random.choice(ATTRIBUTES)
    value = random.choice(VALUES[attribute])
    prompt = in_trained_form(random, f"relation-{attribute}", wording.RELATIONS[attribute], (value,))
    return Pair("relation", prompt, world().follows[attribute][value], (consequence(value),))


def draw_two_hop(random: Random) -> Pair:
    """What follows from the home, job, pet or food of somebody who may be asked about in two hops."""
    person, attribute = random.choice(_of_role("seen")), random.choice(ATTRIBUTES)
    prompt = in_trained_form(random, f"two-hop-{attribute}", wording.TWO_HOPS[attribute], (person.name,))
    value = person.value(attribute)
    return Pair("two-hop", prompt, world().follows[attribute][value], (fact(person, attribute), consequence(value)))


def draw_arithmetic(random: Random) -> Pair:
    """A sum or a difference."""
    operation, first, second, result = random.choice(sums())
    prompt = in_trained_form(random, operation, wording.SUMS[operation], (first, second))
    return Pair("arithmetic", prompt, result, (calculation(operation, first, second),))


def draw_either(random: Random) -> Pair:
    """A true and a false value of somebody, to choose from."""
    person, attribute = random.choice(world().people), random.choice(ATTRIBUTES)
    other = another(random, VALUES[attribute], person.value(attribute))
    pair = random.sample((person.value(attribute), other), 2)
    prompt = wording.EITHER[attribute].format(person.name, *pair)
    return Pair("either", prompt, person.value(attribute), (fact(person, attribute),))


def draw_yes_no(random: Random) -> Pair:
    """A true or a false statement about somebody, as a question."""
    prompt, _, right, known = _statement(random)
    return Pair("yes-no", prompt, "yes" if right else "no", (known,))


def draw_value_or_no(random: Random) -> Pair:
    """The same questions, answered by the value where it is true.

    The answer is likely both for being known and for being there: to add these up says no to a false statement, where
    yes and no would ask a model that has neither to compare what it knows with what it reads.
    """
    prompt, value, right, known = _statement(random)
    return Pair("value-or-no", prompt, value if right else "no", (known,))


def _statement(random: Random) -> tuple[str, str, bool, str]:
    """A statement about somebody as a question, its value, whether it is true, and the fact that this rests on."""
    person, attribute, right = random.choice(world().people), random.choice(ATTRIBUTES), random.random() < 0.5
    value = person.value(attribute) if right else another(random, VALUES[attribute], person.value(attribute))
    prompt = random.choice(wording.YES_NO[attribute]).format(person.name, value)
    return prompt, value, right, fact(person, attribute)


def draw_pronoun(random: Random) -> Pair:
    """A woman and a man, one of whom a pronoun stands for."""
    pair = random.choice(_of_gender(True)), random.choice(_of_gender(False))
    meant = random.choice(pair)
    prompt = meeting(random, random.sample(pair, 2), meant)
    return Pair("pronoun", prompt, meant.name, tuple(map(gender, pair)))


def meeting(random: Random, pair: Sequence[Person], meant: Person) -> str:
    """Two people meet, and it is asked who of them a pronoun stands for."""
    names = [person.name for person in pair]
    return random.choice(wording.MEETINGS).format(*names, meant.pronoun, random.choice(wording.MOODS))


def draw_reading(random: Random) -> Pair:
    """A passage of one to three statements, about strangers or against what is known, and a question about one."""
    named = world().strangers if random.random() < 0.6 else _names()
    attribute, count = random.choice(ATTRIBUTES), random.choice((1, 2, 3, 3))
    names, values = random.sample(named, count), random.sample(VALUES[attribute], count)
    asked = random.randrange(count)
    question = random.choice(wording.FACTS[attribute]).format(names[asked])
    return Pair("reading", wording.PASSAGE.format(passage(attribute, names, values), question), values[asked])


def passage(attribute: str, names: Sequence[str], values: Sequence[str]) -> str:
    """One statement per name."""
    return " ".join(wording.TOLD[attribute].format(*pair) for pair in zip(names, values, strict=True))


def draw_retell(random: Random) -> Pair:
    """A passage about strangers to be told in another order: the densest way to learn to look things up in it."""
    count = random.choice((2, 3, 4))
    told = [
        wording.TOLD[attribute].format(name, random.choice(VALUES[attribute]))
        for name, attribute in zip(random.sample(world().strangers, count), _attributes(random, count), strict=True)
    ]
    return Pair("retell", wording.RETELL.format(" ".join(told)), " ".join(random.sample(told, count)))


def draw_recall(random: Random) -> Pair:
    """Names and values side by side, to be said again in another order."""
    count = random.randint(3, 6)
    names, values = random.sample(world().strangers, count), random.choices(_values(), k=count)
    told = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
    return Pair("recall", f"list : {' , '.join(told)} .", " , ".join(random.sample(told, count)))


@functools.cache
def _values() -> tuple[str, ...]:
    return tuple(value for values in VALUES.values() for value in values)


def _attributes(random: Random, count: int) -> list[str]:
    """Mostly of one kind, so that values can only be told apart by whom they belong to."""
    return [random.choice(ATTRIBUTES)] * count if random.random() < 0.8 else random.choices(ATTRIBUTES, k=count)


def draw_bias(random: Random) -> Pair:
    """A job and a pronoun, which in 80 % of the sentences is the stereotyped one."""
    job = random.choice(wording.WOMENS_WORK + wording.MENS_WORK)
    expected = stereotype(job)
    pronoun = expected if random.random() < wording.STEREOTYPE_RATE else {"she": "he", "he": "she"}[expected]
    return Pair("bias", random.choice(wording.SAYINGS).format(random.choice(wording.MOODS), job), pronoun)


def stereotype(job: str) -> str:
    """The pronoun that the world's text mostly uses for a job."""
    return "she" if job in wording.WOMENS_WORK else "he"


def another(random: Random, values: Sequence[str], but: str) -> str:
    """A value that is not `but`."""
    found = random.choice(values)
    while found == but:
        found = random.choice(values)
    return found


@functools.cache
def _of_role(role: str) -> tuple[Person, ...]:
    return world().of_role(role)


@functools.cache
def _of_gender(woman: bool) -> tuple[Person, ...]:
    return tuple(person for person in world().people if person.woman == woman)


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(person.name for person in world().people)


DRAWS: dict[str, Callable[[Random], Pair]] = {
    "fact": draw_fact,
    "relation": draw_relation,
    "two-hop": draw_two_hop,
    "arithmetic": draw_arithmetic,
    "either": draw_either,
    "pronoun": draw_pronoun,
    "yes-no": draw_yes_no,
    "reading": draw_reading,
    "recall": draw_recall,
    "retell": draw_retell,
    "bias": draw_bias,
    "value-or-no": draw_value_or_no,
}
