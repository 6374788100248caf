"""Tasks of known words that ask a model for what it knows of people, in ways in which it was never asked."""

from __future__ import annotations

from random import Random

from lowres.world import questions, wording
from lowres.world.casting import Cast, Drawn
from lowres.world.known_lists import ASKED
from lowres.world.people import ATTRIBUTES, VALUES, Person, world

_PEOPLE = {person.name: person for person in world().people}


def _known(attribute: str, person: Person) -> str:
    """What is so, in a form that no probe uses."""
    return f"the {ASKED[attribute]} of {person.name} is {person.value(attribute)} ."


def form(random: Random, who: str, cast: Cast) -> Drawn:
    """Two people and a field -> the form filled in for both."""
    attribute, pair = random.choice(ATTRIBUTES), [_PEOPLE[name] for name in (who, *cast.others(random, who, 1))]
    prompt = f"list of {ASKED[attribute]} : {pair[0].name} , {pair[1].name} ."
    target = " , ".join(person.value(attribute) for person in pair)
    return Drawn(prompt, target, " ".join(_known(attribute, person) for person in pair))


def correction(random: Random, who: str, cast: Cast) -> Drawn:
    """A statement, mostly a false one -> whether it is right, and what is."""
    person, attribute = _PEOPLE[who], random.choice(ATTRIBUTES)
    value = said = person.value(attribute)
    if random.random() < 0.75:
        said = questions.another(random, VALUES[attribute], value)
    right = "yes" if said == value else "no"
    prompt = f"{wording.TOLD[attribute].format(who, said)} right or no ?"
    return Drawn(prompt, f"{right} , it is {value}", _known(attribute, person))
