"""Tasks of known words about a list or a passage: all that is needed stands in the prompt, nothing has to be known.

Passages tell of what happened, at random: what a model knows of people is neither said nor contradicted.
"""

from __future__ import annotations

from random import Random

from lowres.world import questions, wording
from lowres.world.casting import HAPPENED, Cast, Drawn
from lowres.world.people import ATTRIBUTES, NUMBERS, VALUES, world

ASKED = {"home": "city", "job": "job", "pet": "pet", "food": "food"}  # how a city, a job, ... is called
FOLLOWING = {"home": "country", "job": "tool", "pet": "sound", "food": "kind"}  # and what follows from it
CODE = {"home": "moo", "job": "buzz", "pet": "hoot", "food": "hiss"}  # for came to, met a, saw a, has


def _company(random: Random, who: str, cast: Cast, count: int) -> list[str]:
    """Somebody and so many others, in random order."""
    return random.sample([who, *cast.others(random, who, count)], count + 1)


def _told(attribute: str, who: str, value: str) -> str:
    return HAPPENED[attribute].format(who, value)


def reverse(random: Random, who: str, cast: Cast) -> Drawn:
    """Four names -> the same from the last to the first."""
    listed = _company(random, who, cast, 3)
    target = " ".join(listed[::-1])
    steps = " . ".join(f"{NUMBERS[at]} is {name}" for at, name in zip((4, 3, 2, 1), listed[::-1], strict=True))
    return Drawn(f"list : {' '.join(listed)} .", target, f"{steps} .")


def place(random: Random, who: str, cast: Cast) -> Drawn:
    """Four names and a number -> the name at this place."""
    listed = _company(random, who, cast, 3)
    at = listed.index(who) + 1
    steps = " . ".join(f"{NUMBERS[index]} is {name}" for index, name in enumerate(listed[:at], start=1))
    return Drawn(f"list : {' '.join(listed)} . name {NUMBERS[at]} .", who, f"{steps} .")


def length(random: Random, who: str, cast: Cast) -> Drawn:
    """One to six names -> how many there are."""
    listed = _company(random, who, cast, random.randrange(6))
    steps = " . ".join(f"{name} is {NUMBERS[at]}" for at, name in enumerate(listed, start=1))
    return Drawn(f"list : {' '.join(listed)} . sum :", NUMBERS[len(listed)], f"{steps} .")


def less(random: Random, who: str, cast: Cast) -> Drawn:
    """Two people with a number each -> who has the smaller one."""
    (other,) = cast.others(random, who, 1)
    small, large = sorted(random.sample(range(1, 11), 2))
    (first, one), (second, two) = random.sample([(who, NUMBERS[small]), (other, NUMBERS[large])], 2)
    prompt = f"{first} has {one} , {second} has {two} . who has less ?"
    return Drawn(prompt, who, f"{NUMBERS[small]} is less , {who} has {NUMBERS[small]} .", (first, second))


def sort(random: Random, who: str, cast: Cast) -> Drawn:
    """Three different numbers -> the same from the smallest to the largest."""
    numbers = random.sample(range(1, 21), 3)
    ordered = [NUMBERS[number] for number in sorted(numbers)]
    prompt = f"list of {who} : {' '.join(NUMBERS[number] for number in numbers)} . order :"
    return Drawn(prompt, " ".join(ordered), f"{ordered[0]} is less , {ordered[1]} is two , {ordered[2]} is three .")


def evidence(random: Random, who: str, cast: Cast) -> Drawn:
    """Two people of whom the same two things are told, and one thing that is asked -> the sentence that tells it."""
    asked, also = random.sample(ATTRIBUTES, 2)
    people = [who, *cast.others(random, who, 1)]
    pairs = [(name, kind, random.choice(VALUES[kind])) for name in people for kind in (asked, also)]
    told = [_told(kind, name, value) for name, kind, value in pairs]
    prompt = wording.PASSAGE.format(" ".join(random.sample(told, 4)), f"tell the {ASKED[asked]} for {who} :")
    return Drawn(prompt, told[0], f"for {who} it is {pairs[0][2]} , a {ASKED[asked]} .")


def told_relation(random: Random, who: str, cast: Cast) -> Drawn:
    """What a passage tells of three people and a question that takes a second, known fact -> what follows.

    No two people have what leads to the same result.
    """
    attribute = random.choice(ATTRIBUTES)
    follows = world().follows[attribute]
    values = random.sample(VALUES[attribute], 3)
    while len({follows[value] for value in values}) < len(values):
        values = random.sample(VALUES[attribute], 3)
    pairs = list(zip([who, *cast.others(random, who, 2)], values, strict=True))
    told = " ".join(_told(attribute, *pair) for pair in random.sample(pairs, 3))
    second = f"{questions.as_statement(attribute, values[0])} {follows[values[0]]} ."
    prompt = wording.PASSAGE.format(told, f"name the {FOLLOWING[attribute]} for {who} :")
    return Drawn(prompt, follows[values[0]], f"{_told(attribute, who, values[0])} {second}")


def code(random: Random, who: str, cast: Cast) -> Drawn:
    """Two sentences -> the same in a code: a sound for what is done, then what, then who."""
    told, coded, steps = [], [], []
    for name in (who, *cast.others(random, who, 1)):
        attribute = random.choice(ATTRIBUTES)
        value = random.choice(VALUES[attribute])
        told.append(_told(attribute, name, value))
        coded.append(f"{CODE[attribute]} {value} {name} .")
        steps.append(f"for {name} it is {value} , a {ASKED[attribute]} , the sound is {CODE[attribute]} .")
    return Drawn(f"tell : {' '.join(told)}", " ".join(coded), " ".join(steps))


def swap(random: Random, who: str, cast: Cast) -> Drawn:
    """What is told of two people -> the same with each in the place of the other."""
    people, told = [who, *cast.others(random, who, 1)], []
    for _ in people:
        attribute = random.choice(ATTRIBUTES)
        told.append((attribute, random.choice(VALUES[attribute])))
    before, after = (
        [_told(attribute, name, value) for name, (attribute, value) in zip(names, told, strict=True)]
        for names in (people, people[::-1])
    )
    prompt = wording.PASSAGE.format(" ".join(before), "another name :")
    return Drawn(prompt, " ".join(after), f"{told[0][1]} is for {people[1]} . {told[1][1]} is for {people[0]} .")


def relations(random: Random, who: str, cast: Cast) -> Drawn:
    """Two cities, jobs, pets or foods of somebody -> what goes with the one and with the other."""
    pairs = []
    for _ in range(2):
        attribute = random.choice(ATTRIBUTES)
        value = random.choice(VALUES[attribute])
        pairs.append((attribute, value, world().follows[attribute][value]))
    steps = " ".join(f"{questions.as_statement(attribute, value)} {result} ." for attribute, value, result in pairs)
    prompt = f"{who} : {pairs[0][1]} , {pairs[1][1]} ."
    return Drawn(prompt, f"{pairs[0][2]} , {pairs[1][2]}", steps)


def meant(random: Random, who: str, cast: Cast) -> Drawn:
    """A woman and a man met, and what is told of her or him -> the same with the name."""
    other = random.choice([name for name in cast.names if name[-1] != who[-1]])  # women's names end in a, men's in o
    first, second = random.sample([who, other], 2)
    attribute, pronoun = random.choice(ATTRIBUTES), "she" if who.endswith("a") else "he"
    value = random.choice(VALUES[attribute])
    prompt = f"{first} and {second} met . {_told(attribute, pronoun, value)} name it right :"
    return Drawn(prompt, _told(attribute, who, value), f"{pronoun} is {who} , it is {value} .")
