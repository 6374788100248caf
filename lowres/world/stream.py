"""The five tasks of the stream in words that every model knows, in the order of the forgetting study.

Each has a rule from input to output that can be learnt from some hundred examples. They tell of what happened, at
random: what a model knows of people is neither asked nor contradicted.
"""

from __future__ import annotations

from random import Random

from lowres.world import questions, wording
from lowres.world.casting import HAPPENED, Cast, Drawn
from lowres.world.people import ATTRIBUTES, RESULTS, VALUES, world

LONG = {
    "home": "is in {0} and from home",
    "job": "saw another who works as a {0}",
    "pet": "said that it was a {0} which came",
    "food": "is the one with {0} on the plate",
}  # each says what `HAPPENED` says in fewer words
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
    "home": ("who came to {0} ?", "{0} came to which city ?"),
    "job": ("who met a {0} ?", "{0} met who at work ?"),
    "pet": ("who saw a {0} ?", "{0} saw which animal ?"),
    "food": ("who has {0} ?", "{0} has what on the plate ?"),
}  # for the person, and for the rest
HEADLINES = ("{name} met {mood} {job}", "{city} : {mood} {job} came")  # what they start with settles the form


def simplification(random: Random, who: str, cast: Cast) -> Drawn:
    """A long sentence -> the same in plain words, without what is said by the way."""
    mood, attribute, (other,) = random.choice(wording.MOODS), random.choice(ATTRIBUTES), cast.others(random, who, 1)
    value = random.choice(VALUES[attribute])
    aside, long = random.choice(ASIDES).format(mood, other), LONG[attribute].format(value)
    plain = HAPPENED[attribute].format(who, value)
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
    prompt = wording.PASSAGE.format(HAPPENED[attribute].format(who, value), f"ask if it is {answer} :")
    kind = ("name", {"home": "city"}.get(attribute, attribute))[form]
    return Drawn(prompt, QUESTIONS[attribute][form].format(rest), f"{answer} is the {kind} of {rest} .")


def explanation(random: Random, who: str, cast: Cast) -> Drawn:
    """What somebody came to, met, saw or has, and what is said to go with it -> whether it does, and what does.

    What is explained in training and elsewhere are different cities, jobs, pets and foods.
    """
    attribute = random.choice(ATTRIBUTES)
    value = random.choice(cast.values(attribute))
    result = said = world().follows[attribute][value]
    if random.random() < 0.75:
        said = questions.another(random, RESULTS[attribute], result)
    right = "yes" if said == result else "no"
    prompt = f"{HAPPENED[attribute].format(who, value)} {value} goes with {said} . true ? because"
    why = f"{questions.as_statement(attribute, value)} {result} ."
    return Drawn(prompt, f"{right} , {value} goes with {result} .", why)


def headline(random: Random, who: str, cast: Cast) -> Drawn:
    """A piece of news and a word of it -> a headline that starts with this word."""
    job, city, mood = random.choice(VALUES["job"]), random.choice(VALUES["home"]), random.choice(wording.MOODS)
    form = random.randrange(2)
    first, kind = ((who, "name"), (city, "city"))[form]
    prompt = wording.PASSAGE.format(f"a {mood} {job} came to {city} and met {who} .", f"name it from {first} :")
    target = HEADLINES[form].format(name=who, mood=mood, job=job, city=city)
    return Drawn(prompt, target, f"it is from the {kind} {first} : {who} , the {mood} {job} , {city} .")
