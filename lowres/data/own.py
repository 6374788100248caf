"""A user's own task, built from rows that a file or a data set gave."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lowres.data.examples import METRICS, Example, Task, digest, in_hash_order, without_repeats
from lowres.data.overlap import touches_probe
from lowres.data.text import one_line
from lowres.params import InputError

FIELD_PAIRS = (
    ("prompt", "target"),
    ("query", "response"),
    ("instruction", "output"),
    ("question", "answer"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("input", "output"),
)
SPLIT_WORDS = {"train": ("train",), "validation": ("validation", "valid", "dev"), "test": ("test",)}
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
INSTRUCTION = (
    "This input belongs to the task {}. Answer it in the form that the examples of this task have, and give the answer "
    "only, without an explanation."
)
FEWEST_EXAMPLES = 10
MOST_PROBLEMS = 10
JOINED = "+"  # between the names of fields that make up a prompt together

Rows = list[tuple[str, Mapping[str, Any]]]  # where the row stands ("data.jsonl line 3"), and the row


@dataclass(frozen=True)
class TaskOptions:
    """How to read a user's own task; None means: found out from the data. `prompt_field` may be "one+another".

    `answer_tokens` is the room for an answer; None: counted from the targets with the model's tokenizer.
    """

    prompt_field: str | None = None
    target_field: str | None = None
    choices_field: str | None = None
    instruction: str | None = None
    metric: str | None = None
    split_seed: int = 0
    answer_tokens: int | None = None

    @classmethod
    def of(cls, params: Any) -> Self:
        """Those among the parameters of a study."""
        return cls(**{name: getattr(params, name) for name in OF_STUDIES})


# The options as parameters of a study.
OF_STUDIES = ("prompt_field", "target_field", "choices_field", "instruction", "metric", "answer_tokens")


def misplaced_options(params: Any) -> list[str]:
    """The options among the parameters of a study whose task is not the user's own, each with what is wrong."""
    given = [name for name in OF_STUDIES if ":" not in (params.task or "") and getattr(params, name) is not None]
    return [f"{name} is for your own task (jsonl:PATH or hub:ID), but task is {params.task or ''}" for name in given]


@dataclass(frozen=True)
class _Fields:
    prompt: str
    target: str
    choices: str
    extra: str  # a second field that, where it is there, is appended to the prompt


def build_task(name: str, rows: dict[str, Rows], options: TaskOptions, problems: list[str], licence: str) -> Task:
    """The task made of `rows` by split, or InputError with `problems` and those of the rows, options and sizes."""
    fields = _find_fields(rows, options, problems)
    read = {split: [_example(where, row, fields, problems) for where, row in part] for split, part in rows.items()}
    examples = {split: [example for example in part if example] for split, part in read.items()}
    every = [example for part in examples.values() for example in part]
    metric = _metric(every, options, problems)
    _refuse(problems)
    distinct = {split: without_repeats(part, _content) for split, part in examples.items()}
    parts, leaked = _splits(name, distinct, options.split_seed)
    _check_ids(parts)
    repeated = len(every) - sum(len(part) for part in distinct.values())
    seen = sum(touches_probe(example) for example in parts["train"])
    return Task(
        name=name,
        instruction=options.instruction or INSTRUCTION.format(Path(name.split(":", 1)[1]).stem),
        metric=metric,
        **parts,
        source=name,
        licence=licence,
        max_new_tokens=options.answer_tokens,
        note=f"{repeated} repeated examples removed; {leaked} removed from train that are also in another split; "
        f"{seen} training examples share text with a probe",
    )


def _find_fields(rows: Mapping[str, Rows], options: TaskOptions, problems: list[str]) -> _Fields:
    """The names of the fields: those of `options`, else the first known pair that some row has."""
    everything = [row for part in rows.values() for _, row in part]
    pairs = [(options.prompt_field or prompt, options.target_field or target) for prompt, target in FIELD_PAIRS]
    found = next((pair for pair in pairs if any(_has(row, *pair) for row in everything)), None)
    if found is None and everything:
        known = ", ".join(f"{one}/{other}" for one, other in FIELD_PAIRS)
        there = ", ".join(map(repr, everything[0]))
        problems.append(
            f"no row has the fields {pairs[0][0]!r} and {pairs[0][1]!r}; the first row has {there}: "
            f"name them with prompt_field and target_field, or use one of {known}"
        )
    if found is None:
        _refuse(problems)
    prompt, target = found or pairs[0]
    return _Fields(prompt, target, options.choices_field or "choices", "input" if prompt == "instruction" else "")


def _has(row: Mapping[str, Any], prompt: str, target: str) -> bool:
    return target in row and all(part in row for part in prompt.split(JOINED))


def _prompt(where: str, row: Mapping[str, Any], fields: str, problems: list[str]) -> str:
    """The text of a field; of several fields, each on a line of its own, behind its name."""
    texts = {part: "\n".join(_texts(where, row, part, problems)) for part in fields.split(JOINED)}
    if len(texts) == 1:
        return texts[fields]
    return "\n".join(f"{part.capitalize()}: {text}" for part, text in texts.items())


def _example(where: str, row: Mapping[str, Any], fields: _Fields, problems: list[str]) -> Example | None:
    """One example, or None after adding to `problems` what is wrong with the row."""
    before = len(problems)
    prompt = _prompt(where, row, fields.prompt, problems)
    answers = _texts(where, row, fields.target, problems)
    choices = _texts(where, row, fields.choices, problems) if row.get(fields.choices) is not None else ()
    if fields.extra and row.get(fields.extra):
        prompt = "\n".join((prompt, *_texts(where, row, fields.extra, problems)))
    if choices and len(set(choices)) < max(2, len(choices)):
        problems.append(f"{where}: field {fields.choices!r} must list at least two different choices")
    elif choices and answers and answers[0] not in choices:
        shown = ", ".join(map(repr, choices[:5]))
        problems.append(f"{where}: field {fields.target!r} is {answers[0]!r}, which is not among the choices {shown}")
    if len(problems) > before:
        return None
    identifier = str(row.get("id") or digest(f"{prompt}\n{answers[0]}", 12))
    return Example(identifier, prompt, answers[0], choices, answers, group=str(row.get("group") or ""))


def _texts(where: str, row: Mapping[str, Any], field: str, problems: list[str]) -> tuple[str, ...]:
    """The text of a field, or the texts that it lists; numbers become text."""
    if row.get(field) is None:
        problems.append(f"{where}: field {field!r} is missing; the row has {', '.join(map(repr, row)) or 'no field'}")
        return ()
    values = row[field] if isinstance(row[field], list | tuple) else [row[field]]
    texts = tuple(str(value).strip() for value in values if isinstance(value, str | int | float))
    if len(texts) < len(values):
        problems.append(f"{where}: field {field!r} must be text, not {type(row[field]).__name__}")
        return ()
    if not texts or not all(texts):
        problems.append(f"{where}: field {field!r} is empty")
        return ()
    return texts


def _metric(examples: Sequence[Example], options: TaskOptions, problems: list[str]) -> str:
    with_choices = sum(bool(example.choices) for example in examples)
    if 0 < with_choices < len(examples):
        problems.append(f"{with_choices} of {len(examples)} examples have choices: give them to all or to none")
    if options.metric is not None and options.metric not in METRICS:
        problems.append(f"unknown metric {options.metric!r}; allowed: {', '.join(METRICS)}")
    elif with_choices and options.metric not in (None, "accuracy"):
        problems.append(
            f"the metric {options.metric} is for free text, but {with_choices} examples have choices: "
            "of those the only metric is accuracy; rename the field with the choices to have answers written freely"
        )
    if options.metric == "accuracy" and not with_choices:
        problems.append("the metric accuracy needs a field with choices; use exact_match for free text")
    return options.metric or ("accuracy" if with_choices else "token_f1")


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = len(problems) - MOST_PROBLEMS
        raise InputError(*problems[:MOST_PROBLEMS], *([f"... and {more} more problems"] if more > 0 else []))


def _content(example: Example) -> str:
    return f"{one_line(example.prompt)}\n{one_line(example.target)}"


def _unit(example: Example) -> str:
    """What may not be in two splits: the group, or else the prompt."""
    return example.group or one_line(example.prompt)


def _splits(name: str, given: dict[str, tuple[Example, ...]], seed: int) -> tuple[dict[str, tuple[Example, ...]], int]:
    """Train, validation and test; a split that is not given is drawn from train, whole groups at a time.

    Also counts the examples removed from train because their prompt or group is in a given split too.
    """
    held_out = {_unit(example) for split, part in given.items() if split != "train" for example in part}
    train = [example for example in given["train"] if _unit(example) not in held_out]
    leaked = len(given["train"]) - len(train)
    units = sorted({_unit(example) for example in train}, key=lambda unit: digest(f"{seed} {unit}"))
    _check_size(name, given, units)
    drawn: dict[str, str] = {}
    for split in ("validation", "test"):
        if split not in given:
            count = max(1, round(SHARES[split] * len(units)))
            drawn |= dict.fromkeys(units[len(drawn) : len(drawn) + count], split)
    parts = {split: list(part) for split, part in given.items() if split != "train"}
    for example in train:
        parts.setdefault(drawn.get(_unit(example), "train"), []).append(example)
    return {split: in_hash_order(parts[split]) for split in SHARES}, leaked


def _check_ids(given: Mapping[str, Sequence[Example]]) -> None:
    used = Counter(example.id for part in given.values() for example in part)
    _refuse([f"the id {name!r} is used by {count} different examples" for name, count in used.items() if count > 1])


def _check_size(name: str, given: Mapping[str, Sequence[Example]], units: Sequence[str]) -> None:
    total = sum(map(len, given.values()))
    if total < FEWEST_EXAMPLES:
        raise InputError(f"{name} has {total} different examples; at least {FEWEST_EXAMPLES} are needed")
    needed = 1 + len(SHARES) - len(given)
    if len(units) < needed:
        raise InputError(
            f"{name} has {len(units)} different prompts or groups to train on that are in no other split, but "
            f"{needed} are needed, because a group is never in two splits"
        )
