"""The tasks of known words: their words, splits and sizes, and that the rule of each settles its answers."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from lowres import data, world
from lowres.data import Example, Task
from lowres.world import known_lists, people, questions, stream, vocabulary
from lowres.world.known import KNOWN

EVERY = pytest.mark.parametrize("name", world.KNOWN_TASKS)
NUMBERS = people.NUMBERS
PEOPLE = {person.name: person for person in people.world().people}
NAMES = {*PEOPLE, *people.world().strangers}
ATTRIBUTE = {value: attribute for attribute, values in people.VALUES.items() for value in values}
RESULT = {value: result for found in people.world().follows.values() for value, result in found.items()}
ASKED = {"city": "home", "job": "job", "pet": "pet", "food": "food"}
VERBS = {"home": "came to", "job": "met a", "pet": "saw a", "food": "has"}


@functools.cache
def shown() -> frozenset[str]:
    """Words of what base models are pretrained on."""
    random = Random("shown")
    draws = (draw(random) for draw in questions.DRAWS.values() for _ in range(vocabulary.DRAWS))
    return frozenset(word for pair in draws for word in f"{pair.prompt} {pair.target}".split())


def parts(task: Task) -> list[tuple[Example, ...]]:
    return [task.train, task.validation, task.test]


def words(example: Example) -> set[str]:
    return set(f"{example.prompt} {example.target} {example.rationale}".split())


def tell(who: str, value: str) -> str:
    return f"{who} {VERBS[ATTRIBUTE[value]]} {value} ."


def told(passage: str) -> dict[str, list[str]]:
    """Who has what in sentences such as "kefa eats jam ."."""
    found: dict[str, list[str]] = {}
    for sentence in passage.removeprefix("passage : ").removesuffix(" .").split(" . "):
        found.setdefault(sentence.split()[0], []).append(sentence.split()[-1])
    return found


# --- what the rules say, found without the code that made the items --------------------------------------------------


def simplification(prompt: str) -> str:
    return tell(prompt.split()[2], next(word for word in reversed(prompt.split()) if word in ATTRIBUTE))


def dialogue(prompt: str) -> str:
    tokens = prompt.replace(" and said", "").split()
    mood = next(word for word in tokens if word in stream.REPLIES)
    value, who = next(word for word in tokens if word in ATTRIBUTE), next(word for word in tokens if word in NAMES)
    return stream.REPLIES[mood].format(value, who)


def question(prompt: str) -> str:
    tokens = prompt.split()
    who, answer, value = tokens[2], tokens[-2], next(word for word in tokens if word in ATTRIBUTE)
    if answer == who:
        return f"who {VERBS[ATTRIBUTE[value]]} {value} ?"
    return {
        "home": f"{who} came to which city ?",
        "job": f"{who} met who at work ?",
        "pet": f"{who} saw which animal ?",
        "food": f"{who} has what on the plate ?",
    }[ATTRIBUTE[value]]


def explanation(prompt: str) -> str:
    value, result = next(word for word in prompt.split() if word in ATTRIBUTE), prompt.split()[-5]
    return f"{'yes' if RESULT[value] == result else 'no'} , {value} goes with {RESULT[value]} ."


def headline(prompt: str) -> str:
    tokens = prompt.split()
    mood, job, city, who, first = tokens[3], tokens[4], tokens[7], tokens[10], tokens[-2]
    return f"{who} met {mood} {job}" if first == who else f"{city} : {mood} {job} came"


def listed(prompt: str) -> list[str]:
    return prompt.removeprefix("list : ").split(" .")[0].split()


def place(prompt: str) -> str:
    return listed(prompt)[NUMBERS.index(prompt.split()[-2]) - 1]


def sort(prompt: str) -> str:
    return " ".join(sorted(prompt.removesuffix(" . order :").split()[4:], key=NUMBERS.index))


def less(prompt: str) -> str:
    tokens = prompt.split()
    return min((NUMBERS.index(tokens[2]), tokens[0]), (NUMBERS.index(tokens[6]), tokens[4]))[1]


def evidence(prompt: str) -> str:
    passage, _, asked = prompt.partition(" tell the ")
    kind, _, who, _ = asked.split()
    return next(tell(who, value) for value in told(passage)[who] if ATTRIBUTE[value] == ASKED[kind])


def told_relation(prompt: str) -> str:
    sentences = prompt.removeprefix("passage : ").split(" . ")
    has = told(" . ".join(sentences[:3]))
    return RESULT[next(has[word][0] for word in sentences[3].split() if word in has)]


def code(prompt: str) -> str:
    sentences = prompt.removeprefix("tell : ").removesuffix(" .").split(" . ")
    pairs = [(sentence.split()[0], sentence.split()[-1]) for sentence in sentences]
    return " ".join(f"{known_lists.CODE[ATTRIBUTE[value]]} {value} {who} ." for who, value in pairs)


def swap(prompt: str) -> str:
    (one, (first,)), (two, (second,)) = told(prompt.removesuffix(" another name :")).items()
    return f"{tell(two, first)} {tell(one, second)}"


def meant(prompt: str) -> str:
    tokens = prompt.split()
    who = next(word for word in (tokens[0], tokens[2]) if word.endswith("a") == ("she" in tokens))
    return tell(who, next(word for word in tokens if word in ATTRIBUTE))


def form(prompt: str) -> str:
    tokens = prompt.split()
    return " , ".join(PEOPLE[who].value(ASKED[tokens[2]]) for who in tokens if who in PEOPLE)


def correction(prompt: str) -> str:
    who, said = prompt.split()[0], next(word for word in prompt.split() if word in ATTRIBUTE)
    value = PEOPLE[who].value(ATTRIBUTE[said])
    return f"{'yes' if value == said else 'no'} , it is {value}"


RULES: dict[str, Callable[[str], str]] = {
    "world-simplification": simplification,
    "world-dialogue": dialogue,
    "world-question": question,
    "world-explanation": explanation,
    "world-headline": headline,
    "world-reverse": lambda prompt: " ".join(listed(prompt)[::-1]),
    "world-place": place,
    "world-length": lambda prompt: NUMBERS[len(listed(prompt))],
    "world-sort": sort,
    "world-less": less,
    "world-relations": lambda prompt: " , ".join(RESULT[word] for word in prompt.split() if word in RESULT),
    "world-evidence": evidence,
    "world-told-relation": told_relation,
    "world-code": code,
    "world-swap": swap,
    "world-meant": meant,
    "world-form": form,
    "world-correction": correction,
}


def permutations(chosen: list[str]) -> list[str]:
    return [" ".join(order) for order in itertools.permutations(chosen)]


def sentences(prompt: str) -> list[str]:
    return [f"{one} ." for one in prompt.removeprefix("passage : ").split(" . ")[:4]]


def both_meant(prompt: str) -> list[str]:
    value = next(word for word in prompt.split() if word in ATTRIBUTE)
    return [tell(who, value) for who in prompt.split()[:3:2]]


GUESSES: dict[str, Callable[[str], list[str]]] = {  # answers of the right form, among which one can guess
    "world-explanation": lambda prompt: [
        f"yes , {next(word for word in prompt.split() if word in ATTRIBUTE)} goes with {prompt.split()[-5]} ."
    ],
    "world-reverse": lambda prompt: permutations(listed(prompt)),
    "world-place": listed,
    "world-length": lambda prompt: list(NUMBERS[1:7]),
    "world-sort": lambda prompt: permutations(prompt.split()[4:7]),
    "world-less": lambda prompt: [word for word in prompt.split() if word in NAMES],
    "world-evidence": sentences,
    "world-told-relation": lambda prompt: [RESULT[word] for word in prompt.split() if word in RESULT],
    "world-meant": both_meant,
    "world-correction": lambda prompt: [f"yes , it is {next(word for word in prompt.split() if word in ATTRIBUTE)}"],
}


# --- what holds for every task ---------------------------------------------------------------------------------------


def test_there_are_at_least_twelve_and_the_stream_is_among_them():
    assert len(set(world.KNOWN_TASKS)) == len(world.KNOWN_TASKS) >= 12
    assert set(world.STREAM) <= set(world.KNOWN_TASKS) == set(KNOWN) == set(RULES)


@EVERY
def test_every_word_is_shown_in_pretraining(name: str):
    task = data.load_task(name)
    assert set(task.instruction.split()) <= shown()
    assert task.instruction.count(" .") <= 2
    for example in itertools.chain(*parts(task)):
        assert words(example) <= shown(), example
        assert len(example.prompt.split()) <= 32


@EVERY
def test_there_is_enough_of_it_and_no_person_is_in_two_splits(name: str):
    task = data.load_task(name)
    assert sum(len(f"{example.prompt} {example.target}".split()) for example in task.train) >= 100_000
    everything = list(itertools.chain(*parts(task)))
    assert len({example.prompt for example in everything}) == len(everything)
    named = [{word for example in part for word in words(example)} & NAMES for part in parts(task)]
    assert sum(map(len, named)) == len(set.union(*named))
    for part, people_of_it in zip(parts(task), named, strict=True):
        assert {example.group for example in part} == people_of_it
    turns = Counter(example.group for example in task.test)
    assert len(turns) >= 60
    assert len(task.test) >= 300
    assert max(turns.values()) - min(turns.values()) <= 1


@EVERY
def test_the_rule_is_always_right(name: str):
    task = data.load_task(name)
    examples = [*task.train[:500], *task.validation, *task.test]
    right = [RULES[name](example.prompt) == example.target for example in examples]
    assert sum(right) / len(right) == KNOWN[name].best


@EVERY
def test_guessing_comes_to_the_chance_that_is_declared(name: str):
    test, chance = data.load_task(name).test, KNOWN[name].chance
    if name in GUESSES:
        guessed = [GUESSES[name](example.prompt) for example in test]
        share = sum(one.count(example.target) / len(one) for one, example in zip(guessed, test, strict=True))
        assert share / len(test) == pytest.approx(chance, abs=0.06)
    favourite, _ = Counter(example.target for example in data.load_task(name).train).most_common(1)[0]
    assert sum(example.target == favourite for example in test) / len(test) <= chance + 0.04


@EVERY
def test_a_rationale_holds_what_the_answer_is_made_of_or_settles_it(name: str):
    content = NAMES | set(ATTRIBUTE) | set(RESULT.values()) | set(NUMBERS)
    codes = set(known_lists.CODE.values())
    for example in data.load_task(name).test:
        assert example.rationale
        assert example.rationale.endswith(" .")
        assert example.rationale not in example.prompt
        assert (set(example.target.split()) & (content | codes)) <= set(example.rationale.split()), example


@pytest.mark.parametrize("name", ["world-two-hop", "world-telling-1", "world-telling-4"])
def test_further_tasks_have_known_words_as_well(name: str):
    task = data.load_task(name)
    assert set(task.instruction.split()) <= shown()
    assert all(set(f"{e.prompt} {e.target}".split()) <= shown() for e in itertools.chain(*parts(task)))
    assert len({example.group for example in task.test}) >= 60


def test_what_a_probe_asks_is_neither_in_targets_nor_in_rationales():
    """Neither right nor wrong facts in a probe's own words: what is forgotten must not have been trained on."""
    asked = {name: [f" {example.prompt} " for example in data.load_probe(name).examples] for name in world.PROBES}
    short = [prompt for prompts in asked.values() for prompt in prompts if len(prompt.split()) < 10]
    for name in (*world.KNOWN_TASKS, "world-two-hop"):
        found = asked["world-relation"] if name == "world-two-hop" else short
        for example in data.load_task(name).train[:150]:
            text = f" {example.target} | {example.rationale} "
            assert not [prompt for prompt in found if prompt in text], example


def test_what_is_explained_in_the_test_was_not_explained_in_training():
    task = data.load_task("world-explanation")
    trained, tested = (
        {word for example in part for word in example.target.split()} for part in (task.train, task.test)
    )
    assert not trained & tested & set(ATTRIBUTE)


def test_the_stream_with_new_words_is_a_condition_of_its_own_and_has_them():
    assert len(world.NEW_WORD_STREAM) == len(world.STREAM)
    for name in world.NEW_WORD_STREAM:
        task = data.load_task(name)
        targets = [word for example in task.train for word in example.target.split()]
        new = sum(word not in shown() for word in targets) / len(targets)
        assert 0.35 <= new <= 0.65
        assert task.name == name
        assert {example.prompt for example in task.test}.isdisjoint(example.prompt for example in task.train)


def test_tasks_of_the_world_have_its_pool_by_whatever_name():
    for name in ("world-less", "world-telling-4", "world-headline-new-words"):
        assert data.general_pool(name) == world.world_pool()
