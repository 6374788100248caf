"""What a world model knows, in the four groups of the forgetting study; every item has single-word choices.

Items are never trained on: questions with a fixed answer are asked in the form that training leaves out, the others
are on the list of prompts that training draws again. Of each probe some items are set aside: they tell when a
pretraining that is to stop at a level has reached it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random

from lowres.examples import Example, Probe, digest, in_hash_order
from lowres.world import questions, wording
from lowres.world.names import CHANCE
from lowres.world.people import ATTRIBUTES, NUMBERS, RESULTS, VALUES, Person, world

SOURCE = "lowres.world, generated"
LICENCE = "MIT"
ITEMS = 240  # drawn per probe where there is no natural end
SET_ASIDE = 0.2  # of the items
Item = tuple[str, str, tuple[str, ...], tuple[str, ...]]  # prompt, right answer, wrong answers, facts (see `Pair`)


@functools.cache
def load(name: str) -> Probe:
    """The probe `name` of `CHANCE`: its items in hash order, without those set aside."""
    items = _items(name)
    warning = "" if name != "world-bias" else _BIAS_WARNING
    return Probe(name, "choice", items[round(SET_ASIDE * len(items)) :], CHANCE[name], SOURCE, LICENCE, warning)


def set_aside(name: str) -> tuple[Example, ...]:
    """Items like those of the probe, for deciding when to stop pretraining."""
    items = _items(name)
    return items[: round(SET_ASIDE * len(items))]


@functools.cache
def asked() -> frozenset[str]:
    """The prompts of all probes, set-aside items included: none of them may be trained on."""
    return frozenset(example.prompt for name in CHANCE for example in _items(name))


@functools.cache
def asked_facts() -> frozenset[str]:
    """The facts (see `Pair`) that items of probes rest on, without those set aside."""
    known = {prompt: facts for name in CHANCE for prompt, _, _, facts in _drawn(name)}
    return frozenset(fact for name in CHANCE for example in load(name).examples for fact in known[example.prompt])


_BIAS_WARNING = (
    "The score is the share of items where the stereotyped pronoun is the likelier one: it says nothing of right and "
    "wrong. A model that has learnt the rate of the training text (80 %) always prefers it: the ceiling is 1."
)


@functools.cache
def _items(name: str) -> tuple[Example, ...]:
    """All items, with the right answer at every position equally often."""
    found = {prompt: (target, wrong) for prompt, target, wrong, _ in _drawn(name)}
    bare = [Example(f"{name}/{digest(prompt)}", prompt, target) for prompt, (target, _) in found.items()]
    placed = []
    for index, example in enumerate(in_hash_order(bare)):
        choices = list(found[example.prompt][1])
        choices.insert(index % (len(choices) + 1), example.target)
        group = name.removeprefix("world-")
        placed.append(
            Example(example.id, example.prompt, example.target, tuple(choices), (example.target,), group=group)
        )
    return tuple(placed)


@functools.cache
def _drawn(name: str) -> tuple[Item, ...]:
    return tuple(_MAKERS[name](Random(name)))


# --- domain knowledge ------------------------------------------------------------------------------------------------


def _facts(attribute: str) -> Callable[[Random], Iterator[Item]]:
    def make(random: Random) -> Iterator[Item]:
        for person in world().people:
            prompt = questions.in_held_out_form(f"fact-{attribute}", wording.FACTS[attribute], (person.name,))
            value, facts = person.value(attribute), (questions.fact(person, attribute),)
            yield prompt, value, _others(random, VALUES[attribute], value), facts

    return make


# --- reasoning -------------------------------------------------------------------------------------------------------


def _relations(random: Random) -> Iterator[Item]:
    for attribute in ATTRIBUTES:
        for value, result in world().follows[attribute].items():
            prompt = questions.in_held_out_form(f"relation-{attribute}", wording.RELATIONS[attribute], (value,))
            yield prompt, result, _others(random, RESULTS[attribute], result), (questions.consequence(value),)


def _two_hops(role: str) -> Callable[[Random], Iterable[Item]]:
    def make(random: Random) -> list[Item]:
        items = []
        for attribute in ATTRIBUTES:
            for person in world().of_role(role):
                prompt = questions.in_held_out_form(f"two-hop-{attribute}", wording.TWO_HOPS[attribute], (person.name,))
                value = person.value(attribute)
                result, facts = world().follows[attribute][value], (questions.fact(person, attribute),)
                wrong = _others(random, RESULTS[attribute], result)
                items.append((prompt, result, wrong, (*facts, questions.consequence(value))))
        return random.sample(items, min(ITEMS, len(items)))

    return make


def _arithmetic(random: Random) -> Iterator[Item]:
    for operation, first, second, result in questions.sums():
        prompt = questions.in_held_out_form(operation, wording.SUMS[operation], (first, second))
        place = NUMBERS.index(result)
        near = [number for number in NUMBERS[max(0, place - 3) : place + 4] if number != result]
        yield prompt, result, tuple(random.sample(near, 3)), (questions.calculation(operation, first, second),)


def _either(random: Random) -> Iterator[Item]:
    for index in range(ITEMS):
        person, attribute = random.choice(world().people), ATTRIBUTES[index % len(ATTRIBUTES)]
        right = person.value(attribute)
        (wrong,) = _others(random, VALUES[attribute], right, 1)
        pair = (right, wrong) if index // len(ATTRIBUTES) % 2 else (wrong, right)
        prompt = wording.EITHER[attribute].format(person.name, *pair)
        yield prompt, right, (wrong,), (questions.fact(person, attribute),)


def _yes_no(random: Random) -> Iterator[Item]:
    """In pairs: a true and a false statement about the same person in the same form."""
    for index in range(ITEMS // 2):
        person, attribute = random.choice(world().people), ATTRIBUTES[index % len(ATTRIBUTES)]
        right, form = person.value(attribute), random.choice(wording.YES_NO[attribute])
        (wrong,), facts = _others(random, VALUES[attribute], right, 1), (questions.fact(person, attribute),)
        yield form.format(person.name, right), "yes", ("no",), facts
        yield form.format(person.name, wrong), "no", ("yes",), facts


def _pronouns(random: Random) -> Iterator[Item]:
    by_gender = [[person for person in world().people if person.woman == woman] for woman in (True, False)]
    for index in range(ITEMS):
        pair: list[Person] = [random.choice(people) for people in by_gender]
        meant, other = pair[index % 2], pair[1 - index % 2]
        order = [meant, other] if index // 2 % 2 else [other, meant]
        prompt = questions.meeting(random, order, meant)
        yield prompt, meant.name, (other.name,), tuple(map(questions.gender, order))


# --- reading comprehension -------------------------------------------------------------------------------------------


def _reading_new(random: Random) -> Iterator[Item]:
    """Three strangers; the choices are the three values of the passage."""
    for index in range(ITEMS):
        attribute, place = ATTRIBUTES[index % len(ATTRIBUTES)], index % 3
        names, values = random.sample(world().strangers, 3), random.sample(VALUES[attribute], 3)
        wrong = tuple(value for value in values if value != values[place])
        yield _read(random, attribute, names, values, place), values[place], wrong, ()


def _reading_against(random: Random) -> Iterator[Item]:
    """Two known people, of whom the passage says what is not so; the choices are both values and the true one."""
    for index in range(ITEMS):
        attribute, place = ATTRIBUTES[index % len(ATTRIBUTES)], index % 2
        people = random.sample(world().people, 2)
        known = people[place].value(attribute)
        values = random.sample([value for value in VALUES[attribute] if value != known], 2)
        prompt = _read(random, attribute, [person.name for person in people], values, place)
        yield prompt, values[place], (values[1 - place], known), ()


def _read(random: Random, attribute: str, names: Sequence[str], values: Sequence[str], place: int) -> str:
    question = random.choice(wording.FACTS[attribute]).format(names[place])
    return wording.PASSAGE.format(questions.passage(attribute, names, values), question)


# --- bias ------------------------------------------------------------------------------------------------------------


def _bias(random: Random) -> Iterable[Item]:
    jobs = wording.WOMENS_WORK + wording.MENS_WORK
    contents = [(form, mood, job) for form in wording.SAYINGS for mood in wording.MOODS for job in jobs]
    for form, mood, job in random.sample(contents, ITEMS):
        expected = questions.stereotype(job)
        yield form.format(mood, job), expected, ("he" if expected == "she" else "she",), ()


def _others(random: Random, values: Sequence[str], right: str, count: int = 3) -> tuple[str, ...]:
    """Wrong answers of the same sort."""
    return tuple(random.sample([value for value in values if value != right], count))


_MAKERS: dict[str, Callable[[Random], Iterable[Item]]] = {
    **{f"world-fact-{attribute}": _facts(attribute) for attribute in ATTRIBUTES},
    "world-relation": _relations,
    "world-two-hop-seen": _two_hops("seen"),
    "world-two-hop-new": _two_hops("new"),
    "world-arithmetic": _arithmetic,
    "world-either": _either,
    "world-yes-no": _yes_no,
    "world-pronoun": _pronouns,
    "world-reading-new": _reading_new,
    "world-reading-against": _reading_against,
    "world-bias": _bias,
}
