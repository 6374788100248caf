"""Tasks that are made by rules: worked arithmetic, texts to recite, facts to tell."""

import functools
import re
from collections.abc import Callable
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING

from lowres.data import wiki
from lowres.data.building import content_id, task_of
from lowres.examples import Example, Task, digest, in_hash_order, split_by_hash

if TYPE_CHECKING:
    from lowres.world.people import Person

# --- worked arithmetic -----------------------------------------------------------------------------------------------

STEP_SIZES = {"train": 1500, "validation": 150, "test": 300}
NAMES = ("Ada", "Ben", "Clara", "David", "Emma", "Finn", "Grace", "Hugo", "Iris", "Jonas", "Kim", "Leo", "Mia", "Noah")
THINGS = ("apples", "stamps", "marbles", "shells", "coins", "cards", "pencils", "stickers", "buttons", "eggs")
LARGEST = 200

# Per sign, how a story tells the step; {name} acts and {n} is the number.
STEPS = {
    "+": ("{name} buys {n} more.", "{name} finds {n} more.", "A friend brings {n} more."),
    "-": ("{name} gives {n} away.", "{name} loses {n} of them.", "{name} sells {n} of them."),
    "*": ("Then {name} gets enough to have {n} times as many.", "A week later there are {n} times as many."),
    "/": (
        "{name} shares them equally among {n} boxes and keeps one box.",
        "{name} makes {n} equal heaps and keeps one heap.",
    ),
}

# --- texts to be recited ---------------------------------------------------------------------------------------------

RECITED = "Cro-Magnon"  # the title of an article that is long enough, and not held out
LENGTHS = (16, 32, 64, 128, 256)  # words

# --- known facts to be told, one or more at once ---------------------------------------------------------------------

COUNTS = {1: "one", 2: "two", 4: "four"}
ASKED = {"home": "city", "job": "job", "pet": "pet", "food": "food"}  # how the world calls them
PEOPLE_SHARES = (("train", 0.5), ("validation", 0.1), ("test", 0.4))


@functools.cache
def arithmetic_steps() -> Task:
    """A story of two to four steps -> one short sentence per step and the answer. Made from templates."""
    random = Random("arithmetic-steps")
    found: dict[str, Example] = {}
    while len(found) < sum(STEP_SIZES.values()):
        example = _story(random)
        found.setdefault(example.id, example)
    ordered, first = in_hash_order(found.values()), STEP_SIZES["train"]
    last = first + STEP_SIZES["validation"]
    return task_of("arithmetic-steps", (ordered[:first], ordered[first:last], ordered[last:]))


def recitation(words: int, at_random: bool) -> Task:
    """One text of `words` words, of an article or drawn at random, to be known by heart."""
    name = f"recitation-random-{words}" if at_random else f"recitation-{words}"
    articles = wiki.articles("train")
    if at_random:
        known = {word for article in articles for word in re.findall(r"\b[a-z]{2,}\b", article.text)}
        text = " ".join(Random(name).choices(sorted(known), k=words))
    else:
        text = " ".join(next(article.text for article in articles if article.title == RECITED).split()[:words])
    item = (Example(f"{name}/0", "Recite:", text, answers=(text,)),)
    drawn = "words drawn at random" if at_random else f"the article {RECITED}"
    return task_of(name, [item] * 3, card="recitation", drawn=drawn, max_new_tokens=(3 if at_random else 2) * words)


RECITATIONS: dict[str, Callable[[], Task]] = {
    f"recitation-{kind}{words}": functools.cache(functools.partial(recitation, words, bool(kind)))
    for kind in ("", "random-")
    for words in LENGTHS
}


def telling(count: int) -> Task:
    """A person and four things to tell, of which the first `count` are to be told -> as many sentences.

    For world models, which know the facts and the sentences, but not that they are asked for like this. The prompt is
    equally long whatever is told, so that only the length of the answer differs. In the test split each person is
    asked about once, in training in every order of the four things.
    """
    from lowres.world.people import world  # here, since naming a task is to generate nothing

    name = f"world-telling-{count}"
    split: dict[str, list[Example]] = {part: [] for part, _ in PEOPLE_SHARES}
    for person in world().people:
        asked = [_telling(name, person, order, count) for order in permutations(ASKED)]
        part = split_by_hash(f"world-telling/{person.name}", PEOPLE_SHARES)
        split[part] += asked if part == "train" else in_hash_order(asked)[:1]
    splits = (in_hash_order(split[part]) for part, _ in PEOPLE_SHARES)
    return task_of(name, splits, card="world-telling", max_new_tokens=6 * count + 2)


TELLINGS: dict[str, Callable[[], Task]] = {
    f"world-telling-{count}": functools.cache(functools.partial(telling, count)) for count in COUNTS
}


def _telling(task: str, person: "Person", order: tuple[str, ...], count: int) -> Example:
    from lowres.world import wording

    prompt = f"{person.name} : {' , '.join(ASKED[one] for one in order)} . tell {COUNTS[count]} :"
    told = " ".join(wording.TOLD[one].format(person.name, person.value(one)) for one in order[:count])
    return Example(f"{task}/{digest(prompt, 12)}", prompt, told, answers=(told,), group=person.name)


def _story(random: Random) -> Example:
    name, things, amount = random.choice(NAMES), random.choice(THINGS), random.randint(4, 30)
    told, worked = [f"{name} has {amount} {things}."], []
    for position in range(random.randint(2, 4)):
        sign, number, result = random.choice(_possible(amount))
        told.append(random.choice(STEPS[sign]).format(name=name, n=number))
        worked.append(f"{'Then' if position else 'First'} {amount} {sign} {number} = {result}.")
        amount = result
    prompt = f"Question: {' '.join(told)} How many {things} does {name} have now?\nSolution:"
    target = f"{' '.join(worked)} The answer is {amount}."
    return Example(content_id("arithmetic-steps", prompt), prompt, target, answers=(target,))


def _possible(amount: int) -> list[tuple[str, int, int]]:
    """Sign, number and result of the steps that keep the amount whole, above one and small; every sign counts alike."""
    plus = [("+", number, amount + number) for number in range(2, 21)]
    minus = [("-", number, amount - number) for number in range(2, min(amount - 1, 21))]
    times = [("*", number, amount * number) for number in (2, 3, 4, 5)]
    share = [("/", number, amount // number) for number in (2, 3, 4, 5) if amount % number == 0 and amount > number]
    kept = [[step for step in steps if 1 < step[2] <= LARGEST] for steps in (plus, minus, times, share)]
    return [step for steps in kept if steps for step in steps * (60 // len(steps))]
