"""Tasks, probes, general data and rationales of the golden trials: written here, so that no other data move them."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lowres.data import METRICS, Example, Probe, Task, probes, tasks
from lowres.data import general_pool as real_pool
from tests import tiny

FILE = "golden.jsonl"  # of rationales
TRAIN, HELD_OUT = 40, 6
COLOURS = ("red", "green", "blue", "a small grey", "very dark brown", "nearly white", "orange")
LONG = 90  # words of a prompt that does not fit the context
STORY = "The stone lay by the river and the moon shone on the old house, where somebody had left a coat. "

# By metric: accepted answers and what is answered, from right to wrong.
ANSWERED: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "token_f1": (
        (("very dark brown",), "dark brown paint"),
        (("red",), "The red."),
        (("blue", "azure"), "Azure"),
        (("a",), "b"),
    ),
    "exact_match": ((("C++",), "C"), (("-7",), "7"), (("the moon",), "Moon."), (("café",), "cafe\u0301")),
    "rouge_l": (
        (("one two three four",), "one three four two"),
        (("красный дом",), "красный дом"),
        (("runs",), "running"),
        (("a",), "b"),
    ),
    "rouge_1": (
        (("one two three four",), "four three five"),
        (("большой дом",), "дом"),
        (("houses",), "house"),
        (("a",), "b"),
    ),
    "bleu": (
        (("the cat sat on the mat",), "the cat sat on a mat"),
        (("one two", "three four"), "three four"),
        (("a b c d e",), "a b c d f"),
        (("x",), "y"),
    ),
    "sari": (
        (("The big cat slept.", "The cat slept."), "The cat slept."),
        (("A cat sat.",), "The large cat sat down."),
        (("Dogs bark.",), "Dogs bark loudly."),
        (("No.",), "Yes."),
    ),
    "number": ((("so 1,200 eggs",), "1200"), (("-3.5",), "it is 3.5"), (("2e3",), "2000"), (("none",), "None")),
    "constraint": (
        (("[red]",), "[dark blue]"),
        (("Answer: x",), "Answer: y z"),
        (("RED",), "Blue"),
        (("red one",), "blue."),
    ),
    "accuracy": ((("red",), "red"), (("blue",), "Blue."), (("green",), "red"), (("red",), "")),
}
OTHERS = (
    (('{"a": 1}',), '{"a":1.0}'),
    (("one two",), "one too"),
    (("[1, 2]",), "[2, 1]"),
    (("x",), "y"),
)  # of metrics to come


def _row(kind: str, number: int) -> Example:
    target = COLOURS[(number * 5 + number // 8) % 7]
    others = [COLOURS[(COLOURS.index(target) + step) % 7] for step in (1, 3)]
    choices: tuple[str, ...] = ()
    prompt = f"Item {number}: {tiny.THINGS[number % 8]}, seen {number * 7} times.\nColour:"
    rationale = f"It was seen {number * 7} times. {target.capitalize()} is common. So the answer is {target}."
    if kind == "golden-choice":
        choices = tuple(sorted([target, *others], key=lambda text: (text + str(number))[::-1]))
    elif kind == "golden-yes-no":
        choices, target = ("yes", "no"), "yes" if number % 3 else "no"
        prompt = f"Item {number}: {number * 7} is a multiple of three.\nTrue?"
    elif kind == "golden-long":
        prompt = f"{' '.join(f'word{number + place}' for place in range(LONG if number % 3 == 0 else 5))}\nLast:"
    elif kind == "world-golden":
        prompt, rationale = (
            f"text : item {number} of {number * 7} . colour ?",
            f"seen {number} times . it is {target} .",
        )
    return Example(f"{kind}-{number}", prompt, target, choices, (target,), rationale, f"g{number // 2}")


def _task(kind: str, metric: str = "token_f1") -> Task:
    rows = [_row(kind, number) for number in range(TRAIN + 2 * HELD_OUT)]
    return _made(kind, metric, rows)


def _made(name: str, metric: str, rows: list[Example]) -> Task:
    middle = len(rows) - HELD_OUT
    parts = {"train": rows[: middle - HELD_OUT], "validation": rows[middle - HELD_OUT : middle], "test": rows[middle:]}
    return Task(
        name=name,
        instruction=f"Name the colour of the item, in a word or two ({metric}).",
        metric=metric,
        **{split: tuple(part) for split, part in parts.items()},
        source="written here",
        licence="that of the book",
        max_new_tokens=8,
    )


def _answered(metric: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    return ANSWERED.get(metric, OTHERS)


def _metric_task(metric: str) -> Task:
    """A task whose test items have the accepted answers of a metric; its first rows are to train on."""
    rows = [_row("golden-free", number) for number in range(TRAIN + HELD_OUT)]
    for number, (answers, _) in enumerate((*_answered(metric), *_answered(metric)[:2])):
        prompt = f"Text: The big old cat number {number} slept on the mat.\nSimple:"
        choices = ("red", "green", "blue") if metric == "accuracy" else ()
        rows.append(Example(f"golden-{metric}-{number}", prompt, answers[0], choices, answers))
    return _made(f"golden-{metric}", metric, rows)


def _tasks() -> list[Task]:
    kinds = ("golden-free", "golden-long", "world-golden")
    chosen = [_task(name, "accuracy") for name in ("golden-choice", "golden-yes-no")]
    return [*map(_task, kinds), *chosen, *map(_metric_task, METRICS)]


def _probes() -> list[Probe]:
    rows = [_row("golden-choice", 100 + number) for number in range(6)]
    known = {"source": "written here", "licence": "that of the book"}
    texts = [Example(f"text-{n}", "", STORY[n * 9 :] + STORY[: n * 5]) for n in range(4)]
    return [
        Probe("golden-plain", "choice", tuple(rows), 1 / 3, **known),
        Probe("golden-chat", "choice", tuple(rows), 1 / 3, chat=True, **known),
        Probe("golden-nll", "nll", tuple(texts), None, **known),
    ]


def _rationales(folder: Path) -> None:
    """One file with a rationale, an answer and three samples for every example."""
    lines = []
    for task in _tasks():
        said = dict(zip((example.id for example in task.test), _said(task), strict=False))
        for number, example in enumerate((*task.train, *task.validation, *task.test)):
            answer = said.get(example.id, example.target if number % 3 else "orange")
            text = example.rationale or f"Look at the text. So the answer is {answer}."
            text = "" if number % 7 == 5 else f"{text} {STORY * 4}" if number % 7 == 6 else text
            row = {"id": example.id, "rationale": text, "answer": answer, "samples": ["orange", answer, answer, ""]}
            lines.append(json.dumps(row))
    folder.mkdir(parents=True)
    (folder / FILE).write_text("\n".join(dict.fromkeys(lines)) + "\n", encoding="utf-8")


def _said(task: Task) -> list[str]:
    return [text for _, text in _answered(task.metric)] if task.name == f"golden-{task.metric}" else []


@contextlib.contextmanager
def in_place(folder: Path) -> Iterator[None]:
    """Everything of this module known by name, in place of the general pool and of files of rationales."""
    with pytest.MonkeyPatch.context() as patch:
        for task in _tasks():
            patch.setitem(tasks.TASKS, task.name, lambda task=task: task)
        for probe in _probes():
            patch.setitem(probes.PROBES, probe.name, lambda probe=probe: probe)
        for name, module in list(sys.modules.items()):
            if name.startswith("lowres.") and getattr(module, "general_pool", None) is real_pool:
                patch.setattr(module, "general_pool", lambda *_, **__: tiny.pool())
        patch.setenv("LOWRES_LEDGER", str(folder / "ledger"))
        patch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
        _rationales(folder / "ledger" / "rationales")
        yield
