"""Rationales: a line of reasoning per example, written by a model or a person, and the ways to use it (FIAT, eq. 2)."""

from __future__ import annotations

import functools
import gzip
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowres.contents import content
from lowres.data.text import sentences
from lowres.examples import Example, Task, digest, normalise
from lowres.params import InputError
from lowres.places import RESULTS, ledger_folder

OWN = "own"  # the rationales that come with the data
USES = ("none", "input", "answer", "stripped", "wrong", "target", "as-answer", "as-vote")
AS_PREDICTION = ("as-answer", "as-vote")
NAMED = 5  # ids in an error
_CONCLUSION = re.compile(r"\b(?:so|thus|therefore|hence)?,? ?the answer is\b", re.IGNORECASE)


@dataclass(frozen=True)
class Written:
    """A rationale, and the answer that it comes to ("" where it comes to none); counts in tokens.

    `samples` are the answers of further lines of reasoning about the same example, drawn at random.
    """

    text: str
    answer: str = ""
    samples: tuple[str, ...] = ()
    prompt: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0
    truncated: bool = False

    def vote(self) -> str:
        """The most frequent answer of the samples, the earliest among equals; empty answers do not vote."""
        given = Counter(answer for answer in self.samples if answer)
        return given.most_common(1)[0][0] if given else ""


# --- files -----------------------------------------------------------------------------------------------------------


def folders() -> tuple[Path, Path]:
    """Where files of rationales are: beside the ledger's records, and packed among the published results."""
    return ledger_folder() / "rationales", RESULTS / "rationales"


def find(name: str) -> Path:
    """The file of this name; among the published ones it is packed.

    Raises:
        InputError: there is none in either folder.
    """
    for path in (folder / file for folder, file in zip(folders(), (name, f"{name}.gz"), strict=True)):
        if path.is_file():
            return path
    raise InputError(f"no file of rationales {name!r} in {' or '.join(map(str, folders()))}")


def read(path: Path) -> Mapping[str, Written]:
    """Rationales by the id of their example; a changed file is read again.

    Raises:
        InputError: names file, line and field of the first row that is wrong.
    """
    return _read(path, content(path))


@functools.lru_cache(maxsize=16)
def _read(path: Path, identity: str) -> Mapping[str, Written]:
    found: dict[str, Written] = {}
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for number, line in enumerate(text.decode("utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: not valid JSON ({error})") from error
        identity, written = _row(row, where)
        before = found.get(identity, written)
        if before.prompt == written.prompt and before != written:
            raise InputError(f"{where}: a second rationale of {identity!r}")
        found[identity] = written  # the example has another prompt by now: the later one was written for it
    return found


def _row(row: Any, where: str) -> tuple[str, Written]:
    if not isinstance(row, dict):
        raise InputError(f"{where}: not a JSON object with the fields id and rationale")
    for field in ("id", "rationale"):
        if not isinstance(row.get(field), str):
            raise InputError(f"{where}: field {field!r} must be text; the row has {', '.join(map(repr, row))}")
    samples = row.get("samples", [])
    if not isinstance(samples, list) or not all(isinstance(answer, str) for answer in samples):
        raise InputError(f"{where}: field 'samples' must be a list of texts")
    named = ("answer", "prompt", "prompt_tokens", "new_tokens", "seconds", "truncated")
    rest = {name: row[name] for name in named if name in row}
    return row["id"], Written(row["rationale"].strip(), samples=tuple(samples), **rest)


def load(name: str, examples: Sequence[Example]) -> list[Written]:
    """The rationales of examples, in their order: of the file `name`, or their own.

    Raises:
        InputError: lists the ids that have none, or whose prompt is another one than the rationale was written for.
    """
    if name == OWN:
        found = {e.id: Written(e.rationale, e.target) for e in examples if e.rationale is not None}
    else:
        found = dict(read(find(name)))
    missing = [e.id for e in examples if e.id not in found]
    other = [e.id for e in examples if e.id in found and found[e.id].prompt not in ("", digest(e.prompt))]
    for ids, problem in ((missing, "no rationale of"), (other, "the rationale was written for another prompt of")):
        if ids:
            more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
            raise InputError(f"rationales {name!r}: {problem} {', '.join(map(repr, ids[:NAMED]))}{more}")
    return [found[e.id] for e in examples]


def state(name: str) -> str:
    """What the rationales of this name are now: the hash of the file; "" for the examples' own."""
    return "" if name == OWN else content(find(name))


def pool_of(task: Task, pool: int) -> tuple[Example, ...]:
    """The training examples that may be drawn: the first `pool`, or all (0)."""
    if pool > len(task.train):
        raise InputError(f"a pool of {pool:,} examples is more than task {task.name!r} has: {len(task.train):,}")
    return task.train[:pool] if pool else task.train


def predictions(use: str, name: str, examples: Sequence[Example]) -> list[str]:
    """Answers that the rationales come to ("as-answer"), or the vote of all their samples ("as-vote")."""
    written = load(name, examples)
    return [one.vote() for one in written] if use == "as-vote" else [one.answer for one in written]


# --- uses ------------------------------------------------------------------------------------------------------------


def reasoning(use: str, written: Sequence[Written], examples: Sequence[Example], offset: int) -> list[str]:
    """What stands in the prompt of each example as its reasoning; "" for nothing.

    Args:
        use: "input" (the rationale), "answer" (only what it comes to), "stripped" (all but that), "wrong" (the
            rationale of the example `offset` places on); anything else puts nothing into the prompt.
        offset: 1 or more; it is taken modulo what leaves no example its own.
    """
    if use == "input":
        return [one.text for one in written]
    if use == "answer":
        return [one.answer for one in written]
    if use == "stripped":
        return [stripped(one.text, one.answer) for one in written]
    if use == "wrong":
        if len(examples) < 2:
            raise InputError("a wrong rationale is that of another example, but there is only one")
        step = 1 + (offset - 1) % (len(examples) - 1)
        return [written[(index + step) % len(written)].text for index in range(len(written))]
    return [""] * len(written)


def stripped(text: str, answer: str) -> str:
    """The sentences of a rationale that neither conclude ("the answer is") nor hold the answer."""
    hidden = f" {normalise(answer)} "
    kept = [
        sentence
        for sentence in _sentences(text)
        if not _CONCLUSION.search(sentence) and (not answer or hidden not in f" {normalise(sentence)} ")
    ]
    return " ".join(kept)


def _sentences(text: str) -> list[str]:
    """Sentences of usual text, or of the world's, in which a full stop is a word of its own."""
    if " ." in text:
        return [f"{part.strip()} ." for part in text.split(" .") if part.strip()]
    return sentences(text)


def with_reasoning(task: str, example: Example, text: str) -> Example:
    """The example with reasoning in its prompt: before the question in the world, else before the last line."""
    if not text:
        return example
    if task.startswith("world-"):
        from lowres.world import wording

        ended = text if text.endswith(" .") else f"{text} ."
        return replace(example, prompt=wording.PASSAGE.format(ended, example.prompt))
    body, _, marker = example.prompt.rpartition("\n")
    block = f"Reasoning of another model, which may be wrong: {text}"
    return replace(example, prompt="\n".join(part for part in (body, block, marker) if part))


def to_explain(task: str, example: Example, written: Written) -> Example:
    """The second row of an example for distillation: its rationale is the target (Hsieh et al. 2023)."""
    if task.startswith("world-"):
        return replace(example, prompt=f"text : {example.prompt}", target=written.text, choices=())
    body, _, _ = example.prompt.rpartition("\n")
    return replace(example, prompt=f"{body or example.prompt}\nReasoning:", target=written.text, choices=())
