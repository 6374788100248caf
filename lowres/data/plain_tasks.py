"""Tasks of four public data sets. Splits go by content hash: no passage, narrative or title is in two of them."""

import functools

from lowres.data import bundled, wiki
from lowres.data.building import content_id, task_of, three_ways, tidy, yes_or_no
from lowres.data.text import detokenise, lettered, one_line, opening
from lowres.examples import SPLITS, Example, Task, in_hash_order, normalise, split_by_hash, without_repeats

WIKI_OPENING = 50  # words of input
WIKI_DESCRIPTION = 12  # words of target


@functools.cache
def disflqa() -> Task:
    """Questions with self-corrections about a passage, some without an answer; split by passage."""
    examples = []
    for row in bundled.json_lines("Bigbench", "DisflQA", "test.jsonl"):
        passage, question = (detokenise(row["passage"]), detokenise(row["question"]))
        prompt = f"Passage: {passage}\nQuestion: {question}\nAnswer:"
        answer = one_line(row["answer"])  # the answers were never tokenised
        group = content_id("passage", passage)
        examples.append(Example(content_id("disflqa", prompt), prompt, answer, answers=(answer,), group=group))
    return task_of("disflqa", three_ways(examples))


@functools.cache
def wiki_description() -> Task:
    """The opening of an encyclopaedia article -> its short description; split by title."""
    return task_of("wiki-description", map(_descriptions, SPLITS))


@functools.cache
def abstract_narrative() -> Task:
    """A short narrative -> the proverb among five that fits it."""
    examples = []
    for row in bundled.json_lines("Bigbench", "Abstract-narrative-understanding", "test.jsonl"):
        options = lettered(row["options"])
        prompt = f"Narrative: {one_line(row['question'])}\nProverb:"
        target = options[row["answer"][0]]
        choices = tuple(options.values())
        examples.append(Example(content_id("abstract-narrative", prompt), prompt, target, choices, (target,)))
    return task_of("abstract-narrative", three_ways(examples))


@functools.cache
def boolq() -> Task:
    """A naturally asked question about a passage -> yes or no; its dev set is the test here."""
    splits, shared = _boolq_splits()
    return task_of("boolq", splits, shared=shared)


def _boolq_splits() -> tuple[list[tuple[Example, ...]], int]:
    """Train, validation and test, and how many rows were dropped because their passage is in the test."""
    asked = {normalise(row["question"]) for row in bundled.json_lines("BoolQ", "dev.jsonl")}
    found: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for row in bundled.json_lines("BoolQ", "combined.jsonl"):
        if "label" in row:  # the rows of the original test set have none
            example = _boolq_item(row)
            drawn = split_by_hash(example.group, (("train", 0.9), ("validation", 0.1)))
            found["test" if normalise(row["question"]) in asked else drawn].append(example)
    tested = {example.group for example in found["test"]}
    train, validation = ([item for item in found[name] if item.group not in tested] for name in ("train", "validation"))
    shared = len(found["train"]) + len(found["validation"]) - len(train) - len(validation)
    return [tidy(train), tidy(validation), tidy(found["test"])], shared


def _boolq_item(row: dict[str, object]) -> Example:
    passage, question = one_line(str(row["passage"])), one_line(str(row["question"])).rstrip("? ")
    prompt = f"Passage: {passage}\nQuestion: {question}?\nAnswer:"
    return yes_or_no("boolq", prompt, bool(row["label"]), content_id("passage", passage))


def _descriptions(split: str) -> tuple[Example, ...]:
    examples = [
        Example(
            id=f"wiki-description/{article.title}",
            prompt=f"Text: {opening(article.text, WIKI_OPENING)}\nDescription:",
            target=article.description,
            answers=(article.description,),
            group=article.topic,
        )
        for article in wiki.articles(split)
        if article.description and len(article.description.split()) <= WIKI_DESCRIPTION
    ]
    return in_hash_order(without_repeats(examples, lambda example: normalise(example.prompt)))
