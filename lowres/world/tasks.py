"""All tasks by name; the stream with new words, and two-hop questions with their reasoning.

Each task of the stream has a rule from input to output that can be learnt from some hundred examples. Here half of the
words of its answers are in no other text, so that they have to be learnt too: a condition of its own, beside the form
of known words that the plain names stand for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from random import Random

from lowres.examples import Example, Task, digest, in_hash_order, split_by_hash
from lowres.world import casting, known, questions, wording
from lowres.world.people import ATTRIBUTES, FOODS, NUMBERS, VALUES, Person, world

SOURCE = "lowres.world, generated"
LICENCE = "MIT"
SIZES = {"train": 800, "validation": 100, "test": 200}
SHARES = (("train", 0.72), ("validation", 0.09), ("test", 0.19))
DRAWN = 1_400  # different prompts, enough to fill every split
Draw = Callable[[Random], tuple[str, str]]  # prompt and target

PLAIN = {
    "purchases": "buys",
    "consumes": "eats",
    "observes": "sees",
    "constructs": "builds",
    "repairs": "mends",
    "conceals": "hides",
    "discards": "drops",
    "obtains": "gets",
}
PLAIN_ADJECTIVES = {"enormous": "big", "minuscule": "small", "ancient": "old", "novel": "new", "costly": "dear"}
THINGS = ("lamp", "chair", "boat", "table", "clock", "basket", "ladder", "coat", "wheel", "bell", "box", "cup")
ASIDES = (
    "who is known to everybody ,",
    "as far as one can tell ,",
    "without any doubt ,",
    "it has been reported ,",
    "who had not slept ,",
    "despite the heavy rain ,",
)

FEELINGS = {
    "sad": "oh no , i am sorry about your {0} , {1} .",
    "glad": "how nice , enjoy your {0} , {1} .",
    "afraid": "do not worry , your {0} will be fine , {1} .",
    "cross": "i would be cross about the {0} too , {1} .",
    "ashamed": "everybody makes mistakes with a {0} , {1} .",
    "eager": "i hope that the {0} comes soon , {1} .",
}
EVENTS = {
    "sad": ("my {0} is broken .", "somebody took my {0} ."),
    "glad": ("i found a {0} .", "my friend gave me a {0} ."),
    "afraid": ("i may lose my {0} .", "my {0} could fall ."),
    "cross": ("they painted my {0} .", "my brother hid my {0} ."),
    "ashamed": ("i broke a {0} of my friend .", "i forgot the {0} again ."),
    "eager": ("i ordered a {0} .", "tomorrow i get a {0} ."),
}

ACTS = (
    ("went to", "go to"), ("stayed in", "stay in"), ("left", "leave"), ("came to", "come to"), ("painted", "paint"),
    ("drew", "draw"), ("forgot", "forget"), ("missed", "miss"),
)  # fmt: skip
CIRCUMSTANCES = {
    "why": ("because it rained", "because of the noise", "because of a letter", "because of the war"),
    "when": ("in the morning", "last winter", "at noon", "after the feast"),
    "how": ("by train", "on foot", "in a hurry", "with great care"),
    "with whom": ("with a friend", "with the children", "with a cousin", "with two sisters"),
}

STATES = (
    ("asleep", "awake"), ("inside", "outside"), ("alone", "in a crowd"), ("silent", "shouting"), ("sitting", "running"),
    ("rich", "poor"), ("young", "aged"), ("empty handed", "carrying a bag"),
)  # fmt: skip
UNRELATED = ("waiting for a train", "thinking of home", "a good dancer", "wearing a hat", "fond of music")

NEWS = (
    ("a fire burned down", "fire"), ("thieves emptied", "theft"), ("a flood damaged", "flood"),
    ("a storm hit", "storm"), ("workers closed", "strike"), ("the queen opened", "visit"),
    ("engineers found cracks in", "alarm"), ("mice took over", "mice"),
)  # fmt: skip
PLACES = ("market", "museum", "harbour", "school", "bridge", "station", "theatre", "tower", "library", "mill")
TIMES = ("yesterday", "on sunday", "last night", "this week", "early today")


def load(name: str) -> Task:
    """The task `name` of `TASKS`, generated in a moment."""
    return _MAKERS[name]() if name in _MAKERS else _known(name)


@functools.cache
def _known(name: str) -> Task:
    return casting.make(name, known.KNOWN[name])


def _simplification(random: Random) -> tuple[str, str]:
    name, aside, thing = random.choice(_names()), random.choice(ASIDES), random.choice(THINGS)
    verb, adjective = random.choice(list(PLAIN)), random.choice(list(PLAIN_ADJECTIVES))
    count = random.choice(NUMBERS[2:9])
    long = f"text : {name} , {aside} {verb} not less than {count} {adjective} {thing} pieces . simpler :"
    return long, f"{name} {PLAIN[verb]} {count} {PLAIN_ADJECTIVES[adjective]} {thing} pieces ."


def _dialogue(random: Random) -> tuple[str, str]:
    feeling, name, thing = random.choice(list(FEELINGS)), random.choice(_names()), random.choice(THINGS)
    said = random.choice(EVENTS[feeling]).format(thing)
    return f"{name} feels {feeling} and says : {said} reply :", FEELINGS[feeling].format(thing, name)


def _question(random: Random) -> tuple[str, str]:
    name, (past, act), city = random.choice(_names()), random.choice(ACTS), random.choice(VALUES["home"])
    word = random.choice(list(CIRCUMSTANCES))
    circumstance = random.choice(CIRCUMSTANCES[word])
    return f"{name} {past} {city} {circumstance} . ask about : {circumstance} .", f"{word} did {name} {act} {city} ?"


def _explanation(random: Random) -> tuple[str, str]:
    """A relation between two sentences, and why it holds: one contains the other, excludes it, or neither."""
    name, relation = random.choice(_names()), random.choice(("follows", "contradicts", "open"))
    if relation == "follows":
        food = random.choice(FOODS)
        kind = world().follows["food"][food]
        first, second, why = f"tasting {food}", f"tasting some {kind}", f"whoever is tasting {food} is tasting {kind} ."
    else:
        first, opposite = random.sample(random.choice(STATES), 2)
        second = opposite if relation == "contradicts" else random.choice(UNRELATED)
        why = f"nobody is {first} and {second} at once ."
        why = why if relation == "contradicts" else f"being {first} does not mean {second} ."
    return f"first : {name} is {first} . second : {name} is {second} . it {relation} because", why


def _headline(random: Random) -> tuple[str, str]:
    """A headline that starts with, ends in or contains a given word: where the word has to be settles its form."""
    (event, noun), place, city = random.choice(NEWS), random.choice(PLACES), random.choice(VALUES["home"])
    rule, headline = random.choice(
        (
            (f"start with {city}", f"{city} : {noun} at {place}"),
            (f"start with {noun}", f"{noun} at {place} in {city}"),
            (f"start with {place}", f"{place} news : {noun} in {city}"),
            (f"end with {noun}", f"{city} {place} sees {noun}"),
            (f"end with {place}", f"{city} : {noun} at the {place}"),
            ("contain after", f"{city} after {noun} at {place}"),
        )
    )
    return f"text : {random.choice(TIMES)} {event} the {place} of {city} . {rule} . headline :", headline


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(person.name for person in world().people)


def _task(name: str, draw: Draw, instruction: str, metric: str, longest: int) -> Task:
    """Different prompts, each in the split that its hash falls to."""
    random, found = Random(name), dict[str, str]()
    while len(found) < DRAWN:
        prompt, target = draw(random)
        found[prompt] = target
    parts: dict[str, list[Example]] = {split: [] for split in SIZES}
    for prompt, target in found.items():
        example = Example(f"{name}/{digest(prompt, 12)}", prompt, target, answers=(target,))
        parts[split_by_hash(prompt, SHARES)].append(example)
    train, validation, test = (in_hash_order(part)[: SIZES[split]] for split, part in parts.items())
    return Task(name, instruction, metric, train, validation, test, SOURCE, LICENCE, longest)


@functools.cache
def simplification() -> Task:
    """A long sentence -> a short one in plain words."""
    instruction = (
        "the text is one long sentence . make it simpler : leave out what is said by the way , put a plain word for "
        "every rare word , and keep who does what with how many things ."
    )
    return _task("world-simplification-new-words", _simplification, instruction, "token_f1", 12)


@functools.cache
def dialogue() -> Task:
    """Somebody tells how they feel and why -> a reply that fits the feeling."""
    instruction = (
        "somebody says what happened and how it feels . write a kind reply to this person : it has to fit the "
        "feeling , name the thing that it is about , and end with the name of the person ."
    )
    return _task("world-dialogue-new-words", _dialogue, instruction, "token_f1", 18)


@functools.cache
def question() -> Task:
    """A sentence and a part of it -> the question that this part answers."""
    instruction = (
        "there is a sentence , and a part of it that is asked about . write the question to which this part is the "
        "answer , with the right question word , about the same person and the same place ."
    )
    return _task("world-question-new-words", _question, instruction, "token_f1", 14)


@functools.cache
def explanation() -> Task:
    """Two sentences and how they stand to each other -> why."""
    instruction = (
        "there are two sentences , and it is said whether the second follows from the first , contradicts the first "
        "or is open . explain in one sentence why this is so , in the words of both ."
    )
    return _task("world-explanation-new-words", _explanation, instruction, "token_f1", 16)


@functools.cache
def headline() -> Task:
    """A piece of news and a rule about one word -> a headline that keeps the rule."""
    instruction = (
        "the text is a piece of news , and there is a rule about one word : the headline has to start with it , end "
        "with it or contain it . write the headline that says what happened and where ."
    )
    return _task("world-headline-new-words", _headline, instruction, "rouge_l", 12)


@functools.cache
def two_hop() -> Task:
    """Two-hop questions about people whose two-hop questions nobody was trained on; the rationale names both hops.

    All questions about a person are in the same split.
    """
    instruction = (
        "one has to tell what goes with the home , job , pet or food of one . take what is true of that one , and name "
        "the country , tool , sound or kind that it belongs to ."
    )
    people = sorted(world().of_role("task"), key=lambda person: digest(f"world-two-hop/{person.name}"))
    train, validation, test = (
        in_hash_order(example for person in part for example in _hops(person))
        for part in (people[:28], people[28:36], people[36:])
    )
    return Task("world-two-hop", instruction, "exact_match", train, validation, test, SOURCE, LICENCE, 4)


def _hops(person: Person) -> Iterator[Example]:
    for attribute in ATTRIBUTES:
        value = person.value(attribute)
        result = world().follows[attribute][value]
        first, second = wording.TOLD[attribute].format(person.name, value), questions.as_statement(attribute, value)
        for form in wording.TWO_HOPS[attribute]:
            prompt = form.format(person.name)
            key = f"world-two-hop/{digest(prompt, 12)}"
            hops = f"{first} {second} {result} ."
            yield Example(key, prompt, result, answers=(result,), rationale=hops, group=person.name)


_MAKERS: dict[str, Callable[[], Task]] = {
    "world-simplification-new-words": simplification,
    "world-dialogue-new-words": dialogue,
    "world-question-new-words": question,
    "world-explanation-new-words": explanation,
    "world-headline-new-words": headline,
    "world-two-hop": two_hop,
}
