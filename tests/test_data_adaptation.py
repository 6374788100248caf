"""Tasks of common sense, arithmetic, form, classification and recitation."""

import re
from collections import Counter

import pytest

from lowres import data
from lowres.data import adaptation_tasks, form_tasks, made_tasks, pool, tasks, wiki
from lowres.evaluate import metrics
from lowres.world import people, vocabulary

SPLIT_SOURCES = {
    "commonsense": {"piqa", "siqa", "commonsenseqa", "openbookqa", "boolq"},
    "siqa-csqa": {"siqa", "commonsenseqa"},
}


def everything(name):
    task = data.load_task(name)
    return (*task.train, *task.validation, *task.test)


@pytest.mark.parametrize("name", SPLIT_SOURCES)
def test_a_mixture_has_all_its_sources_and_boolq_its_splits(name):
    task = data.load_task(name)
    for split in data.SPLITS:
        counts = Counter(item.group for item in getattr(task, split))
        assert set(counts) == SPLIT_SOURCES[name]
        assert counts.get("boolq", 0) in (0, len(getattr(data.load_task("boolq"), split)))
    sizes = Counter(item.group for item in task.train)
    assert sizes["siqa"] == pytest.approx(0.75 * 1920, rel=0.05)
    assert sizes["commonsenseqa"] == pytest.approx(0.75 * 1196, rel=0.05)
    assert all(len(item.choices) == {"siqa": 3, "commonsenseqa": 5}[item.group] for item in everything("siqa-csqa"))


@pytest.mark.parametrize("task", [name for name in tasks.TASKS if "recitation" not in name])
def test_which_probes_share_items_with_a_task(task):
    ids = {item.id for item in everything(task)}
    for probe in data.probe_names():
        shared = not ids.isdisjoint(item.id for item in data.load_probe(probe).examples)
        assert data.shares_items(task, probe) == shared


def test_chance_of_a_mixture_is_the_mean_of_its_items():
    chances = {row.name: row.chance for row in data.catalogue() if row.kind == "task"}
    test = Counter(item.group for item in data.load_task("siqa-csqa").test)
    expected = (test["siqa"] / 3 + test["commonsenseqa"] / 5) / test.total()
    assert chances["siqa-csqa"] == pytest.approx(expected)
    assert chances["wiki-topic"] == pytest.approx(1 / 11)
    assert chances["privacy-qa"] == chances["factual-consistency"] == 1 / 2


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("8484 eggs", "8484"),
        ("1,200 sq. ft", "1,200"),
        ("-3.5", "-3.5"),
        ("6th", None),
        ("3:4", None),
        ("5; 6", None),
        ("6 cm; 15 cm", None),
        ("1/6", None),
        ("Yes", None),
    ],
)
def test_the_number_of_an_answer(answer, number):
    found = adaptation_tasks._NUMBER.fullmatch(answer)
    assert (found and found[1]) == number


def test_arithmetic_by_hand():
    targets = {item.prompt: item.target for item in everything("arithmetic")}
    story = "Seven red apples and two green apples are in the basket. How many apples are in the basket?"
    assert targets[f"Question: {story}\nAnswer:"] == "9"
    assert all(metrics.number_match(target, target) == 1 and "," not in target for target in targets.values())


def test_worked_steps_are_right_and_tell_the_story():
    for item in everything("arithmetic-steps"):
        *steps, last = re.split(r"(?<=\.) ", item.target)
        assert 2 <= len(steps) <= 4
        told = [int(number) for number in re.findall(r"\d+", item.prompt)]
        value = told[0]
        for step, number in zip(steps, told[1:], strict=True):
            left, sign, right, result = re.fullmatch(r"(?:First|Then) (\d+) ([-+*/]) (\d+) = (\d+)\.", step).groups()
            assert (int(left), int(right)) == (value, number)
            value = {"+": value + number, "-": value - number, "*": value * number, "/": value / number}[sign]
            assert value == int(result)
        assert last == f"The answer is {int(result)}."
        assert metrics.last_number(item.target) == value
    assert Counter(
        sign for item in everything("arithmetic-steps") for sign in set("+-*/") & set(item.target)
    ).keys() == {*"+-*/"}


@pytest.mark.parametrize("count", made_tasks.COUNTS)
def test_facts_are_told_in_the_order_asked_for_and_prompts_are_equally_long(count: int):
    task = data.load_task(f"world-telling-{count}")
    known = {person.name: person for person in people.world().people}
    assert [len({item.group for item in getattr(task, split)}) for split in data.SPLITS] == [97, 26, 117]
    assert not {item.group for item in task.train} & {item.group for item in (*task.validation, *task.test)}
    for item in (*task.train, *task.validation, *task.test):
        name, asked, number = re.fullmatch(r"(\w+) : ([\w, ]+) \. tell (\w+) :", item.prompt).groups()
        person, things = known[name], asked.split(" , ")
        values = {"city": person.home, "job": person.job, "pet": person.pet, "food": person.food}
        told = [sentence.split() for sentence in item.target.removesuffix(" .").split(" . ")]
        assert (item.group, number, len(told)) == (name, made_tasks.COUNTS[count], count)
        assert [sentence[-1] for sentence in told] == [values[thing] for thing in things[:count]]
        assert {sentence[0] for sentence in told} == {name}
        assert len(item.prompt.split()) == 13
    words = {word for item in task.train for word in f"{item.prompt} {item.target} {task.instruction}".split()}
    assert words <= set(vocabulary.ids())


def test_every_form_is_met_by_its_own_targets_and_by_no_plain_answer():
    items = everything("instruction-following")
    assert {item.group for item in items} == set(form_tasks.CONSTRAINTS)
    for item in items:
        asked = form_tasks.CONSTRAINTS[item.group][0]
        assert asked in item.prompt.split("\n")[0]
        assert metrics.constraint_met(item.target, item.target) == 1
        assert metrics.constraint_met("A plain Answer.", item.target) == metrics.constraint_met("", item.target) == 0
    for split in data.SPLITS:
        counts = Counter(item.group for item in getattr(data.load_task("instruction-following"), split))
        assert max(counts.values()) < 1.6 * min(counts.values())
    others = {item.group for item in data.general_pool("instruction-following")}
    assert others.isdisjoint(pool.TASK_SOURCES["instruction-following"])


def test_the_pool_leaves_out_what_a_task_with_another_name_is_made_from():
    for name, part in (("privacy-qa", "privacyqa"), ("commonsense", "boolq"), ("wiki-topic", "wiki-description")):
        assert part not in {item.group for item in data.general_pool(name)}


@pytest.mark.parametrize("name", ["privacy-qa", "factual-consistency", "arithmetic"])
def test_no_question_or_article_is_in_two_splits(name):
    groups = [{item.group for item in getattr(data.load_task(name), split)} for split in data.SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_consistency_is_balanced_and_privacy_names_its_bar():
    for split in data.SPLITS:
        counts = Counter(item.target for item in getattr(data.load_task("factual-consistency"), split))
        assert counts["yes"] == counts["no"]
    assert "74 %" in data.load_task("privacy-qa").note
    clause = (
        "In certain Games we will create and assign to your device an identifier that is similar to an account number."
    )
    question = "does this app use data on my phone not within the app?"
    targets = {item.prompt: item.target for item in everything("privacy-qa")}
    assert targets[f"Clause: {clause}\nQuestion: {question}\nRelevant:"] == "yes"


def test_topics_are_those_of_the_articles():
    topics = {article.title: article.topic for split, _ in wiki.SHARES for article in wiki.articles(split)}
    for item in everything("wiki-topic"):
        assert item.target == topics[item.id.removeprefix("wiki-topic/")] != "Uncategorized"
        assert len(item.prompt.split()) <= 32


@pytest.mark.parametrize("words", made_tasks.LENGTHS)
def test_a_recited_text_is_as_long_as_its_name_says(words):
    for name in (f"recitation-{words}", f"recitation-random-{words}"):
        task = data.load_task(name)
        assert task.train == task.validation == task.test
        assert len(task.train[0].target.split()) == words
        assert "the same in all three splits" in task.note
    longest = data.load_task("recitation-256").train[0].target
    assert longest.startswith(data.load_task(f"recitation-{words}").train[0].target)
    assert longest.startswith("Cro-Magnons or European early modern humans")
