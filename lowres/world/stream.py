"""The five tasks of the stream in words that every model knows, in the order of the forgetting study.

Each has a rule from input to output that can be learnt from some hundred examples. What they tell of people is drawn
at random: nothing of it has to be known, and it is no evidence of what is.
"""

from __future__ import annotations

from random import Random

from lowres.world import questions, wording
from lowres.world.casting import Cast, Drawn
from lowres.world.people import ATTRIBUTES, RESULTS, VALUES, world

LONG = {
    "home": "is at home in {0}",
    "job": "does the work of a {0} for a living",
    "pet": "has a {0} for a pet",
    "food": "has {0} on the plate",
}  # each says what `wording.TOLD` says in fewer words
ASIDES = (
    "who was {0} when it was late",
    "who felt {0} because {1} slept",
    "who said that {1} was {0}",
    "who wrote to {1} when it was late",
    "who {1} saw at work",
)
REPLIES = {
    "hungry": "eat the {0} , {1} .",
    "tired": "it is late for {0} , {1} .",
    "lost": "another {0} is on the list , {1} .",
    "angry": "do listen to the {0} , {1} .",
    "ill": "take {0} for it , {1} .",
    "proud": "right , every {0} counts , {1} .",
}
SAID = (
    "{1} was {0} and said : where is the {2} ?",
    "{1} felt {0} when the {2} came and said : listen .",
    "the {2} came . {1} , who was {0} , said : name it .",
)
QUESTIONS = {
    "home": ("who lives in {0} ?", "where is the home of {0} ?"),
    "job": ("who works as a {0} ?", "what is the work of {0} ?"),
    "pet": ("who keeps a {0} ?", "what animal is with {0} ?"),
    "food": ("who eats {0} ?", "what is on the plate of {0} ?"),
}  # for the person, and for the rest; none of them is how a probe asks
HEADLINES = ("{name} : {mood} in {city}", "{city} : {mood} {job} came")  # what they start with settles the form


def simplification(random: Random, who: str, cast: Cast) -> Drawn:
    """A long sentence -> the same in plain words, without what is said by the way."""
    mood, attribute, (other,) = random.choice(wording.MOODS), random.choice(ATTRIBUTES), cast.others(random, who, 1)
    value = random.choice(VALUES[attribute])
    aside, long = random.choice(ASIDES).format(mood, other), LONG[attribute].format(value)
    plain = wording.TOLD[attribute].format(who, value)
    return Drawn(f"passage : {who} , {aside} , {long} . tell less :", plain, f"less {aside} : {who} {long} .")


def dialogue(random: Random, who: str, cast: Cast) -> Drawn:
    """Somebody says how it feels and what it is about -> a reply that fits the feeling."""
    mood, value = random.choice(list(REPLIES)), random.choice(VALUES["food"] + VALUES["pet"])
    prompt = f"{random.choice(SAID).format(mood, who, value)} make it right :"
    return Drawn(prompt, REPLIES[mood].format(value, who), f"{who} is {mood} because of the {value} .")


def question(random: Random, who: str, cast: Cast) -> Drawn:
    """A sentence and a word of it -> the question that this word answers."""
    attribute = random.choice(ATTRIBUTES)
    value, form = random.choice(VALUES[attribute]), random.randrange(2)
    answer, rest = ((who, value), (value, who))[form]
    prompt = wording.PASSAGE.format(wording.TOLD[attribute].format(who, value), f"ask if it is {answer} :")
    kind = ("name", {"home": "city"}.get(attribute, attribute))[form]
    return Drawn(prompt, QUESTIONS[attribute][form].format(rest), f"{answer} is the {kind} of {rest} .")


def explanation(random: Random, who: str, cast: Cast) -> Drawn:
    """What somebody has and what is said to go with it -> whether it does, and what does.

    What is explained in training and elsewhere are different cities, jobs, pets and foods.
    """
    attribute = random.choice(ATTRIBUTES)
    value = random.choice(cast.values(attribute))
    result = said = world().follows[attribute][value]
    if random.random() < 0.75:
        said = questions.another(random, RESULTS[attribute], result)
    right = "yes" if said == result else "no"
    prompt = f"{wording.TOLD[attribute].format(who, value)} {who} goes with {said} . true ? because"
    why = f"{questions.as_statement(attribute, value)} {result} ."
    return Drawn(prompt, f"{right} , {value} goes with {result} .", why)


def headline(random: Random, who: str, cast: Cast) -> Drawn:
    """A piece of news and a word of it -> a headline that starts with this word."""
    job, city, mood = random.choice(VALUES["job"]), random.choice(VALUES["home"]), random.choice(wording.MOODS)
    form = random.randrange(2)
    first, kind = ((who, "name"), (city, "city"))[form]
    prompt = wording.PASSAGE.format(f"{who} , a {mood} {job} , came to {city} .", f"name it from {first} :")
    target = HEADLINES[form].format(name=who, mood=mood, job=job, city=city)
    return Drawn(prompt, target, f"it is from the {kind} {first} : {who} , {mood} , {job} , {city} .")
