"""Tasks of the study of representation finetuning (Wu et al. 2024), from the nearest data to be had.

Common sense without HellaSwag, WinoGrande and ARC; arithmetic, of which one task has long answers; classification in
place of GLUE. Tasks that are made by rules are in `made_tasks`.
"""

import functools
import re
from collections.abc import Callable

from lowres.data import bundled, probes, wiki
from lowres.data.building import content_id, task_of, three_ways, tidy, yes_or_no
from lowres.data.text import one_line, opening, sentences
from lowres.examples import SPLITS, Example, Task, in_hash_order, normalise, split_by_hash, without_repeats

COMMONSENSE_SHARES = (("train", 0.75), ("validation", 0.05), ("test", 0.2))
TRAINED_PROBES = {
    "commonsense": ("piqa", "siqa", "commonsenseqa", "openbookqa"),
    "siqa-csqa": ("siqa", "commonsenseqa"),
}
TOPIC_WORDS = 30  # of input

Splits = tuple[tuple[Example, ...], ...]

_NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)(?: [^\d;:/]*)?")  # with its unit; no ratio, ordinal, time or list


def shares_items(task: str, probe: str) -> bool:
    """Whether the task of that name trains on items of the probe, which then says nothing about retention."""
    return probe in TRAINED_PROBES.get(task, ())


def commonsense(boolq: Callable[[], Task]) -> Task:
    """Five sources of questions with choices in one mixture; `boolq` keeps the splits that it has as a task."""
    part = boolq()
    passages = ([_of_source(item, "boolq") for item in getattr(part, split)] for split in SPLITS)
    mixed = ((*one, *other) for one, other in zip(_probe_splits("commonsense"), passages, strict=True))
    return task_of("commonsense", map(in_hash_order, mixed), asked_by_probes=True)


@functools.cache
def siqa_csqa() -> Task:
    """The two parts of the mixture with short prompts about people and things."""
    return task_of("siqa-csqa", _probe_splits("siqa-csqa"), asked_by_probes=True)


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
    return task_of("arithmetic", three_ways(examples))


@functools.cache
def privacy_qa() -> Task:
    """A clause of a privacy policy and a question -> whether it bears on the question; split by question."""
    examples = []
    for row in bundled.json_lines("Privacy-Policy", "test.jsonl"):
        question = one_line(row["question"])
        prompt = f"Clause: {one_line(row['context'])}\nQuestion: {question}\nRelevant:"
        group = content_id("question", question)
        examples.append(yes_or_no("privacy-qa", prompt, row["answer"] == "True", group))
    return task_of("privacy-qa", three_ways(examples))


@functools.cache
def wiki_topic() -> Task:
    """The opening of an encyclopaedia article -> its topic among all eleven; split by title."""
    topics = {article.topic for split in SPLITS for article in wiki.articles(split)} - {"Uncategorized"}
    return task_of("wiki-topic", (_topics(split, tuple(sorted(topics))) for split in SPLITS))


@functools.cache
def factual_consistency() -> Task:
    """A sentence and a shorter one -> whether the second says the same; half are; split by the first."""
    pairs: dict[str, Example] = {}
    for row in bundled.json_lines("Factual-Summary-Pairs", "test.jsonl"):
        text = one_line(row["article_sent"])
        group = content_id("article", text)
        both = [
            yes_or_no("factual-consistency", f"Text: {text}\nSummary: {one_line(row[key])}\nConsistent:", right, group)
            for key, right in (("correct_sent", True), ("incorrect_sent", False))
        ]
        if both[0].id != both[1].id and not any(example.id in pairs for example in both):
            pairs.update({example.id: example for example in both})
    return task_of("factual-consistency", three_ways(pairs.values()))


def _probe_splits(task: str) -> Splits:
    """Items of the probes that `task` is made of; those with the same first sentence fall to one split."""
    found: dict[str, list[Example]] = {name: [] for name, _ in COMMONSENSE_SHARES}
    for name in TRAINED_PROBES[task]:
        for example in probes.PROBES[name]().examples:
            beginning = normalise(sentences(example.prompt.split("\n")[0])[0])
            found[split_by_hash(beginning, COMMONSENSE_SHARES)].append(_of_source(example, name))
    return tuple(tidy(items) for items in found.values())


def _of_source(example: Example, source: str) -> Example:
    return Example(example.id, example.prompt, example.target, example.choices, example.answers, group=source)


def _topics(split: str, topics: tuple[str, ...]) -> tuple[Example, ...]:
    found = []
    for article in wiki.articles(split):
        if article.topic in topics:
            prompt = f"Text: {opening(article.text, TOPIC_WORDS)}\nTopic:"
            identity = f"wiki-topic/{article.title}"
            found.append(Example(identity, prompt, article.topic, topics, (article.topic,), group=article.topic))
    return in_hash_order(without_repeats(found, lambda example: normalise(example.prompt)))
