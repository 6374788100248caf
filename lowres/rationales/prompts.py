"""Reasoning prompts (I_b in FIAT, Wang et al. 2023): an instruction and worked examples, kept as text files.

A file of the folder `prompts/` looks like this; its version changes with every change of its words:

    version: 1
    # Instruction
    ...
    # Example
    ## Input
    ...
    ## Reasoning
    ...
    ## Answer
    ...
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lowres.data import Example, Task
from lowres.data.examples import SPLITS, normalise
from lowres.params import InputError
from lowres.rationales.parsing import CONCLUSION

FOLDER = Path(__file__).parent / "prompts"
REASONING = "Reasoning:"  # the marker where there is no chat format
ROLES = ("user", "assistant")
INSTRUCTION = (
    "Think about the input in one or two short sentences: say what in it settles the answer. Then end with "
    f'"{CONCLUSION}" and the answer alone.'
)
LONG_LINE = 12  # words: a line this long that is also in the data is no coincidence
FIELDS = ("input", "reasoning", "answer")

_HEADING = re.compile(r"^(#{1,2}) (.+?)\s*$", re.MULTILINE)
_MARKER = re.compile(r"\n[^\n:]{1,30}:$")


@dataclass(frozen=True)
class Exemplar:
    """A worked example; `input` has the form of the task's prompts."""

    input: str
    reasoning: str
    answer: str

    @property
    def rationale(self) -> str:
        """The reasoning and its conclusion, as a model should write them."""
        return f"{self.reasoning} {CONCLUSION} {self.answer}"


@dataclass(frozen=True)
class ReasoningPrompt:
    """What a model reads before an input that it has to reason about; `place` names the file it is from."""

    place: str
    version: int
    instruction: str
    exemplars: tuple[Exemplar, ...]

    def turns(self, prompt: str) -> list[dict[str, str]]:
        """The messages of a chat: worked examples as earlier turns, so that a small model does not copy from them."""
        asked = [*(exemplar.input for exemplar in self.exemplars), prompt]
        contents = [without_marker(each) for each in asked]
        contents[0] = f"{self.instruction}\n\n{contents[0]}"
        replies = [exemplar.rationale for exemplar in self.exemplars]
        pairs = zip(contents, [*replies, ""], strict=True)
        roles = [{"role": role, "content": text} for pair in pairs for role, text in zip(ROLES, pair, strict=True)]
        return roles[:-1]

    def text(self, prompt: str) -> str:
        """The same as plain text, up to where the reasoning begins, for a model that has no chat format."""
        shown = [f"{self._asked(exemplar.input)} {exemplar.rationale}" for exemplar in self.exemplars]
        return "\n\n".join([self.instruction, *shown, self._asked(prompt)])

    @staticmethod
    def _asked(prompt: str) -> str:
        return f"{without_marker(prompt)}\n{REASONING}"


def without_marker(prompt: str) -> str:
    """A prompt without the last line that only asks for the answer ("Relevant:", "Description:")."""
    return _MARKER.sub("", prompt)


def names() -> tuple[str, ...]:
    """The tasks that have a reasoning prompt."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.md")))


def load(task: str, exemplars: str = "") -> ReasoningPrompt:
    """The reasoning prompt of a task, or the generic one with the worked examples of a JSONL file.

    Raises:
        InputError: the task has no prompt and no file is named; the file is malformed (names the place in it).
    """
    if exemplars:
        return from_jsonl(Path(exemplars).expanduser())
    task = task.partition(":")[0] if _is_release(task) else task
    if task not in names():
        raise InputError(
            f"task {task!r} has no reasoning prompt (there are: {', '.join(names())}): name a JSONL file of worked "
            f"examples, one per line, with the fields {', '.join(FIELDS)}"
        )
    return from_markdown(FOLDER / f"{task}.md")


def _is_release(task: str) -> bool:
    from lowres.data.load import RELEASES

    return task.startswith(tuple(RELEASES))


def from_jsonl(path: Path) -> ReasoningPrompt:
    """The generic instruction with the worked examples of a file: one object per line, with `FIELDS`.

    Raises:
        InputError: names every broken line and field.
    """
    problems: list[str] = []
    found = [
        exemplar
        for number, line in enumerate(_read(path).split("\n"), start=1)
        if line.strip() and (exemplar := _exemplar(line, f"{path} line {number}", problems))
    ]
    if not found and not problems:
        problems.append(f"{path}: no worked example in it")
    if problems:
        raise InputError(*problems)
    return ReasoningPrompt(str(path), 1, INSTRUCTION, tuple(found))


def _exemplar(line: str, where: str, problems: list[str]) -> Exemplar | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        problems.append(f"{where}: not valid JSON ({error})")
        return None
    if not isinstance(row, dict):
        problems.append(f"{where}: not a JSON object with the fields {', '.join(FIELDS)}")
        return None
    wrong = [name for name in FIELDS if not isinstance(row.get(name), str) or not row[name].strip()]
    problems += [f"{where}: field {name!r} has to be a text that is not empty" for name in wrong]
    return None if wrong else Exemplar(*(row[name].strip() for name in FIELDS))


def from_markdown(path: Path) -> ReasoningPrompt:
    """The reasoning prompt in a file.

    Raises:
        InputError: names the file and the section that is missing, empty or unknown.
    """
    return _parsed(path, _read(path))


@functools.lru_cache(maxsize=32)
def _parsed(path: Path, content: str) -> ReasoningPrompt:
    head, *rest = _HEADING.split(content)
    version = re.fullmatch(r"version: (\d+)", head.strip())
    if not version:
        raise InputError(f'{path}: the file has to begin with a line "version: " and a number')
    sections = list(zip(rest[::3], rest[1::3], (text.strip() for text in rest[2::3]), strict=True))
    if not sections or sections[0][:2] != ("#", "Instruction"):
        raise InputError(f'{path}: the first section has to be "# Instruction"')
    instruction = _filled(path, "# Instruction", sections[0][2])
    return ReasoningPrompt(str(path), int(version[1]), instruction, _exemplars(path, sections[1:]))


def _exemplars(path: Path, sections: Sequence[tuple[str, str, str]]) -> tuple[Exemplar, ...]:
    """Groups of four sections: the heading of an example and its three fields."""
    expected = ("# Example", *(f"## {name.capitalize()}" for name in FIELDS))
    found: list[Exemplar] = []
    for start in range(0, max(1, len(sections)), len(expected)):
        group = sections[start : start + len(expected)]
        where = f"{path}, example {len(found) + 1}"
        headings = [f"{marks} {title}" for marks, title, _ in group]
        for index, wanted in enumerate(expected):
            if headings[index : index + 1] != [wanted]:
                there = f", not {headings[index]!r}" if index < len(headings) else ""
                raise InputError(f"{where}: section {wanted!r} has to come here{there}")
        found.append(Exemplar(*(_filled(where, f"## {group[1 + at][1]}", group[1 + at][2]) for at in range(3))))
    return tuple(found)


def _filled(where: object, section: str, text: str) -> str:
    if not text:
        raise InputError(f"{where}: section {section!r} is empty")
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start + 1})") from error


# --- leaks -----------------------------------------------------------------------------------------------------------


def check_leaks(prompt: ReasoningPrompt, task: Task) -> None:
    """Refuse worked examples that are also in a task's data, as a whole or in a line of at least `LONG_LINE` words.

    Raises:
        InputError: names each such example and the split that it is in.
    """
    problems = [
        f"{prompt.place}: the input of example {number} is also in the {split} split of task {task.name!r} "
        f"({found}): a worked example must not be one of the data"
        for number, exemplar in enumerate(prompt.exemplars, start=1)
        for split in SPLITS
        if (found := _found(exemplar, _contents(task, split)))
    ]
    if problems:
        raise InputError(*problems)


def _found(exemplar: Exemplar, contents: dict[str, str]) -> str:
    """The id of an example that shares its content with the exemplar, or ""."""
    return next((contents[key] for key in _keys(exemplar.input) if key in contents), "")


@functools.lru_cache(maxsize=16)
def _contents(task: Task, split: str) -> dict[str, str]:
    examples: tuple[Example, ...] = getattr(task, split)
    return {key: example.id for example in examples for key in _keys(example.prompt)}


def _keys(text: str) -> list[str]:
    """The normalised text without its marker, and its long lines."""
    body = without_marker(text)
    lines = [normalise(line) for line in body.split("\n")]
    return [normalise(body) or body, *(line for line in lines if len(line.split()) >= LONG_LINE)]
