"""Reasoning prompts (I_b in FIAT, Wang et al. 2023): an instruction and worked examples, kept as YAML in `prompts/`.

The version of a file changes with every change of its words.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowres.data import Example, Task
from lowres.data.reading import Rows, read_rows
from lowres.examples import SPLITS, normalise
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
PARTS, FIELDS = ("version", "instruction", "examples"), ("input", "reasoning", "answer")

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
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(task: str, exemplars: str = "") -> ReasoningPrompt:
    """The reasoning prompt of a task, or the generic one with the worked examples of a JSONL file.

    Raises:
        InputError: the task has no prompt and no file is named; the file is malformed (names the place in it).
    """
    if exemplars:
        return from_rows(Path(exemplars).expanduser())
    from lowres.data.load import RELEASES

    task = task.partition(":")[0] if task.startswith(tuple(RELEASES)) else task
    if task not in names():
        raise InputError(
            f"task {task!r} has no reasoning prompt (there are: {', '.join(names())}): name a JSONL file of worked "
            f"examples, one per line, with the fields {', '.join(FIELDS)}"
        )
    return from_yaml(FOLDER / f"{task}.yaml")


def from_rows(path: Path) -> ReasoningPrompt:
    """The generic instruction with the worked examples of a file: rows with `FIELDS`, as JSON lines or otherwise.

    Raises:
        InputError: names every broken line and field.
    """
    problems: list[str] = []
    return _prompt(path, 1, INSTRUCTION, read_rows(path, problems), problems)


def from_yaml(path: Path) -> ReasoningPrompt:
    """The reasoning prompt in a file: its `version`, `instruction` and `examples`, each of these with `FIELDS`.

    Raises:
        InputError: names the file and what is missing, empty or unknown in it.
    """
    try:
        return _parsed(path, path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start + 1})") from error


@functools.lru_cache(maxsize=32)
def _parsed(path: Path, content: str) -> ReasoningPrompt:
    import yaml  # here, because no study needs it before it is read

    try:
        values = yaml.load(content, yaml.BaseLoader)  # which takes all for text: an answer may be "no", or 1931
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict) or set(values) != set(PARTS):
        found = ", ".join(map(str, values)) if isinstance(values, dict) else "no names"
        raise InputError(f"{path}: has to hold {', '.join(PARTS)}, and holds {found}")
    version, instruction, examples = (values[part] for part in PARTS)
    problems = [] if str(version).isdecimal() else [f"{path}: version has to be a whole number, not {version!r}"]
    if not isinstance(instruction, str) or not instruction.strip():
        problems.append(f"{path}: instruction has to be a text that is not empty")
    rows: Rows = []
    for number, row in enumerate(examples if isinstance(examples, list) else [], start=1):
        if isinstance(row, dict) and not set(row) - set(FIELDS):
            rows.append((f"{path} example {number}", row))
        else:
            problems.append(f"{path} example {number}: has to have the fields {', '.join(FIELDS)} and no other")
    return _prompt(path, version, instruction, rows, problems)


def _prompt(path: Path, version: Any, instruction: str, rows: Rows, problems: list[str]) -> ReasoningPrompt:
    """The prompt with the worked examples of rows, each with its place; raises what is wrong with any."""
    for where, row in rows:
        wrong = [name for name in FIELDS if not isinstance(row.get(name), str) or not row[name].strip()]
        problems += [f"{where}: field {name!r} has to be a text that is not empty" for name in wrong]
    if problems or not rows:
        raise InputError(*problems or [f"{path}: no worked example in it"])
    exemplars = tuple(Exemplar(*(row[name].strip() for name in FIELDS)) for _, row in rows)
    return ReasoningPrompt(str(path), int(version), instruction.strip(), exemplars)


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
        if (held := _contents(task, split))
        and (found := next((held[key] for key in _keys(exemplar.input) if key in held), ""))
    ]
    if problems:
        raise InputError(*problems)


@functools.lru_cache(maxsize=16)
def _contents(task: Task, split: str) -> dict[str, str]:
    examples: tuple[Example, ...] = getattr(task, split)
    return {key: example.id for example in examples for key in _keys(example.prompt)}


def _keys(text: str) -> list[str]:
    """The normalised text without its marker, and its long lines."""
    body = without_marker(text)
    lines = [normalise(line) for line in body.split("\n")]
    return [normalise(body) or body, *(line for line in lines if len(line.split()) >= LONG_LINE)]
