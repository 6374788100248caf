"""A user's own task, built from rows that a file or a data set gave."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from lowres.data import columns
from lowres.data.overlap import touches_probe
from lowres.data.reading import Rows
from lowres.data.text import one_line
from lowres.examples import METRICS, SPLITS, Example, Task, digest, in_hash_order, normalise, without_repeats
from lowres.params import InputError, parameter

SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing"),
}
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
INSTRUCTION = (
    "This input belongs to the task {}. Answer it in the form that the examples of this task have, and give the answer "
    "only, without an explanation."
)
FEWEST_EXAMPLES = 10
MOST_PROBLEMS = 10
OF_A_KIND = 3  # problems that are told of those that differ in their line only
NO_ANSWER: tuple[Any, ...] = (None, "", -1, "-1", [], {})


@dataclass(frozen=True)
class TaskOptions:
    """How to read a user's own task; None means: found out from the data. A field may be "one+another".

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


@dataclass(frozen=True)
class OwnTask:
    """The options as parameters of a study, which come behind its own."""

    prompt_field: str | None = parameter(None, "your own task - name of the field that holds the input")
    target_field: str | None = parameter(None, "your own task - name of the field that holds the answer")
    choices_field: str | None = parameter(None, "your own task - name of the field that holds the choices")
    instruction: str | None = parameter(None, "your own task - the hand-written text before every input")
    metric: str | None = parameter(None, "your own task - its main metric", choices=tuple(METRICS))
    answer_tokens: int | None = parameter(
        None, "your own task - room for an answer; none - counted from its targets", low=1, unit="tokens"
    )


OF_STUDIES = tuple(field.name for field in fields(OwnTask))


def misplaced_options(params: Any) -> list[str]:
    """The options among the parameters of a study whose task is not the user's own, each with what is wrong."""
    given = [name for name in OF_STUDIES if ":" not in (params.task or "") and getattr(params, name) is not None]
    return [f"{name} is for your own task (jsonl:PATH or hub:ID), but task is {params.task or ''}" for name in given]


def build_task(
    name: str, rows: dict[str, Rows], options: TaskOptions, problems: list[str], licence: str, told: Sequence[str] = ()
) -> Task:
    """The task made of `rows` by split, or InputError with `problems` and those of the rows, options and sizes.

    Its note tells, a line each, how the rows were read, what is not used (`told` of files), and what is odd about them.
    """
    if not options.prompt_field:
        rows = {split: columns.without_chats(part, problems) for split, part in rows.items()}
    found = columns.find(rows, options, problems)
    if found is None:
        refuse(problems or [f"{name} has no rows"])
    assert found
    rows, unanswered = _answered(rows, found.target)
    reading = columns.read(rows, found, problems)
    every = [example for part in reading.examples.values() for example in part]
    metric, why = _metric(every, options, problems)
    refuse(problems)
    distinct = {split: without_repeats(part, _content) for split, part in reading.examples.items()}
    for part in distinct.values():
        used = Counter(example.id for example in part)
        refuse([f"the id {each!r} is used by {count} different examples" for each, count in used.items() if count > 1])
    parts, leaked = _splits(name, distinct, options.split_seed)
    parts, renamed = _own_ids(parts)
    removed = [
        (len(every) - sum(map(len, distinct.values())), "repeated examples removed"),
        (leaked, "examples removed from train that are also in another split"),
        (sum(touches_probe(example) for example in parts["train"]), "training examples share text with a probe"),
    ]
    drawn = {split: "" if split in distinct else " (drawn from train)" for split in SPLITS}
    note = [
        ", ".join(f"{len(parts[split]):,} {split}{drawn[split]}" for split in SPLITS) + " examples",
        *(*reading.told, *told, *unanswered, *renamed),
        f"metric: {metric}, {why}",
        *(f"{count:,} {what}" for count, what in removed if count),
        *_oddities(parts),
    ]
    return Task(
        name=name,
        instruction=options.instruction or INSTRUCTION.format(Path(name.split(":", 1)[1]).stem),
        metric=metric,
        **parts,
        source=name,
        licence=licence,
        max_new_tokens=options.answer_tokens,
        note="\n".join(note),
    )


def _answered(rows: dict[str, Rows], target: str) -> tuple[dict[str, Rows], list[str]]:
    """The splits that have answers: those of a public test set are often kept back."""
    kept = {
        split: part
        for split, part in rows.items()
        if split == "train" or any(row.get(target, "?") not in NO_ANSWER for _, row in part)
    }
    return kept, [f"the split {split} has no answers and is not used" for split in rows if split not in kept]


def _metric(examples: Sequence[Example], options: TaskOptions, problems: list[str]) -> tuple[str, str]:
    """The metric, and why it is that one."""
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
    if options.metric:
        return options.metric, "as asked"
    if with_choices:
        return "accuracy", "because there are choices"
    return "token_f1", f"as for all written answers{_hint(examples)}"


def _hint(examples: Sequence[Example]) -> str:
    """The metric that answers of one kind rather ask for."""
    targets = [example.target for example in examples]
    if targets and all(target.lstrip("-+$").replace(",", "").replace(".", "", 1).isdecimal() for target in targets):
        return "; all answers are numbers, for which there is metric=number"
    if targets and all(target[:1] + target[-1:] in ("{}", "[]") for target in targets):
        return "; all answers look like JSON, for which there is metric=json_match"
    return "; metric=NAME sets another"


def _oddities(parts: Mapping[str, Sequence[Example]]) -> list[str]:
    """What limits every score: one prompt with several answers; and what makes it too good: tested on what was seen."""
    every = [example for part in parts.values() for example in part]
    answers: dict[str, list[str]] = defaultdict(list)
    for example in every:
        answers[one_line(example.prompt)].append(example.target)
    conflicts = [each for each in answers.values() if len(set(each)) > 1]
    seen = {_alike(example.prompt) for example in parts["train"]}
    near = {split: sum(_alike(example.prompt) in seen for example in parts[split]) for split in SPLITS[1:]}
    told = []
    if len({example.target for example in every}) == 1:
        told.append(f"all {len(every):,} answers are the same: any model learns to give it")
    if conflicts:
        rows = sum(map(len, conflicts))
        best = len(every) - rows + sum(max(Counter(each).values()) for each in conflicts)
        told.append(
            f"{len(conflicts):,} prompts have more than one answer ({rows:,} rows): whoever gives one answer to a "
            f"prompt is right in {best / len(every):.0%} of all rows at most"
        )
    told += [
        f"{count:,} prompts of {split} differ from one in train in case, marks, spaces or accents' encoding only"
        for split, count in near.items()
        if count
    ]
    return told


def _alike(prompt: str) -> str:
    return normalise(unicodedata.normalize("NFKC", prompt)) or prompt


def _own_ids(parts: dict[str, tuple[Example, ...]]) -> tuple[dict[str, tuple[Example, ...]], list[str]]:
    """Examples with ids of their own: where splits count from the same number, the content gives them."""
    used = Counter(example.id for part in parts.values() for example in part)
    if max(used.values()) == 1:
        return parts, []
    renamed = {
        split: in_hash_order(replace(example, id=digest(f"{example.prompt}\n{example.target}", 12)) for example in part)
        for split, part in parts.items()
    }
    return renamed, ["ids are not used: several splits have the same ones"]


def refuse(problems: Sequence[str]) -> None:
    """Raise what is wrong, if anything is: some of each kind, and how many more there are.

    Raises:
        InputError: there is something.
    """
    kinds: Counter[str] = Counter()
    shown: list[str] = []
    for problem in problems:
        kind = re.sub(r"'.*'|\d+", "", problem.partition(": ")[2])
        kinds[kind] += 1
        shown += [problem] if kinds[kind] <= OF_A_KIND and len(shown) < MOST_PROBLEMS else []
    more = len(problems) - len(shown)
    if problems:
        raise InputError(*shown, *([f"... and {more} more problems of these kinds"] if more > 0 else []))


def _content(example: Example) -> str:
    """What makes two rows the same; in an answer white space counts, for it may be code."""
    return f"{one_line(example.prompt)}\n{example.target}"


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
