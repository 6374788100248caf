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
LENGTHY = " Take your time and look at every word of it." * 20
STORY = "The stone lay by the river and the moon shone on the old house, where somebody had left a coat. "

# By metric: accepted answers and what is answered, right, wrong and in between.
Answered = tuple[tuple[tuple[str, ...], str], ...]
ANSWERED: dict[str, Answered] = {
    "token_f1": (
        (("very dark brown",), "dark brown paint"),
        (("red",), "The red."),
        (("blue", "azure"), "Azure"),
        (("the 3 cats",), "3 *big* cats"),
        (("a",), "b"),
    ),
    "exact_match": (
        (("C++",), "C"),
        (("-7",), "7"),
        (("the moon",), '"Moon."'),
        (("caf\u00e9",), "cafe\u0301"),
        ((":)",), ":("),
        (("U.S.A.",), "USA"),
        (("(b)",), "B"),
        (("\uff11\uff12",), "12"),
        (("\u6771\u4eac\u3002",), "\u6771\u4eac"),
        (("\u6771\u4eac:)",), "\u6771\u4eac"),
        (("1,200",), "1200"),
        (("well-known; 'red'",), "well known red"),
        (("!x",), "x"),
        (("...",), "?"),
    ),
    "rouge_l": (
        (("one two three four",), "one three four two"),
        (
            ("\u043a\u0440\u0430\u0441\u043d\u044b\u0439 \u0434\u043e\u043c",),
            "\u043a\u0440\u0430\u0441\u043d\u044b\u0439",
        ),
        (("runs",), "running"),
        (("a",), "b"),
    ),
    "rouge_1": (
        (("one two three four",), "four three five"),
        (
            ("\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",),
            "\u0928\u092e\u0938\u094d\u0924\u0947",
        ),
        (("\u6771\u4eac\u90fd",), "\u4eac\u6771"),
        (("houses, it's",), "house its"),
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
    "number": (
        (("so 1,200 eggs",), "1200"),
        (("-3.5",), "it is 3.5"),
        (("2e3",), "2000"),
        (("1.2 x 10^-3",), "0.0012"),
        (("10:30",), "at 11:30"),
        (("1/2",), "0.5"),
        (("3 1/2",), "-3 1/2"),
        (("1000000",), "1000000.5"),
        (("none",), "None"),
        (("7",), "seven"),
    ),
    "constraint": (
        (("[red]",), "[dark blue]"),
        (("Answer: x",), "Answer: y z"),
        (("it is done.",), "that is done"),
        (("RED",), "Blue"),
        (("red one",), "blue."),
        (("Red one.",), "red one"),
    ),
    "json_match": (
        (('{"a": 1}',), 'So: ```json\n{"a":1.0}\n```'),
        (('{"a": [1, "x"], "b": null}',), '{"b": null, "a": [1, "X"]}'),
        (("[1, 2]",), "[2, 1]"),
        (('{"a": true}',), '{"a": 1}'),
        (("{}",), "{"),
        (("no json",), "No JSON."),
    ),
    "accuracy": ((("red",), "red"), (("blue",), "Blue."), (("green",), "red"), (("red",), "")),
}
OTHERS: Answered = (
    (("one two",), "one too"),
    (("x",), "y"),
    (("red",), "red"),
)  # of metrics without a list of their own


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
    return _made(kind, metric, rows[:-HELD_OUT], rows[-HELD_OUT:])


def _made(name: str, metric: str, rows: list[Example], tested: list[Example]) -> Task:
    return Task(
        name=name,
        instruction=f"Name the colour of the item, in a word or two ({metric})." + LENGTHY * (name == "golden-long"),
        metric=metric,
        train=tuple(rows[:-HELD_OUT]),
        validation=tuple(rows[-HELD_OUT:]),
        test=tuple(tested),
        source="written here",
        licence="that of the book",
        max_new_tokens=None if name == "golden-long" else 8,
    )


def _answered(metric: str) -> Answered:
    return ANSWERED.get(metric, OTHERS)


def _metric_task(metric: str) -> Task:
    """A task whose test items have the accepted answers of a metric."""
    rows, tested = [_row("golden-free", number) for number in range(TRAIN + HELD_OUT)], []
    for number, (answers, _) in enumerate(_answered(metric)):
        prompt = f"Text: The big old cat number {number} slept on the mat.\nSimple:"
        choices = ("red", "green", "blue") if metric == "accuracy" else ()
        tested.append(Example(f"golden-{metric}-{number}", prompt, answers[0], choices, answers))
    return _made(f"golden-{metric}", metric, rows, tested)


def _tasks() -> list[Task]:
    kinds = ("golden-free", "golden-long", "world-golden")
    chosen = [_task(name, "accuracy") for name in ("golden-choice", "golden-yes-no")]
    return [*map(_task, kinds), *chosen, *map(_metric_task, METRICS)]


def _probes() -> list[Probe]:
    rows = [_row("golden-choice", 100 + number) for number in range(24)]
    known = {"source": "written here", "licence": "that of the book"}
    texts = [Example(f"text-{n}", "", STORY[n * 5 :] + STORY[: n * 3]) for n in range(23)]
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
