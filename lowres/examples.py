"""What the rest of the book sees of data: examples, tasks, probes and their fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace

METRICS = {  # of a task, with what a reader is told
    "token_f1": "token F1",
    "exact_match": "exact match",
    "rouge_l": "ROUGE-L",
    "rouge_1": "ROUGE-1",
    "bleu": "BLEU",
    "chrf": "chrF",
    "sari": "SARI",
    "number": "share of right numbers",
    "json_match": "same JSON",
    "constraint": "share of met constraints",
    "accuracy": "accuracy",
}
SET_ASIDE = 10  # items of a probe, at least, that no test measures
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Example:
    """One item: a bare input and what should follow it.

    `prompt` carries a minimal marker ("Text: ...\\nDescription:") but no instruction. A scorer joins prompt and target,
    or prompt and choice, with one space; neither begins or ends with white space. `choices` is empty for free text,
    else `target` is one of them. `answers` are all acceptable targets. `group` names what several items share:
    the passage of a task's item (no passage is in two splits), the topic of a wiki item, the source of a pool item.
    """

    id: str
    prompt: str
    target: str
    choices: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    rationale: str | None = None
    group: str = ""


@dataclass(frozen=True, eq=False)
class Task:
    """Named data to train and test on; `instruction` is the hand-written text that an anchored recipe puts first.

    `max_new_tokens` is the room for an answer; None: counted in the model's tokens (`lowres.language.room`).
    """

    name: str
    instruction: str
    metric: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    source: str
    licence: str
    max_new_tokens: int | None
    note: str = ""

    def fingerprint(self, split: str = "train") -> str:
        """16 hexadecimal digits over everything in `split` that can change a result."""
        assert split in SPLITS, split
        return fingerprint(getattr(self, split), self.instruction, self.metric, self.max_new_tokens)


@dataclass(frozen=True, eq=False)
class Probe:
    """Items never trained on that show what a model knows: `kind` "choice" (accuracy) or "nll" (nats of the target).

    Choices are asked as plain text, or with `chat` in the model's chat format, in which tasks are asked.
    """

    name: str
    kind: str
    examples: tuple[Example, ...]
    chance: float | None
    source: str
    licence: str
    warning: str = ""
    chat: bool = False

    def part(self, split: str) -> Probe:
        """The probe with the items that are measured beside a task's split.

        The last quarter is set aside (ten items at least, where that is not more than half): it is measured beside
        validation data alone, so that nothing is chosen on the items that a verdict rests on. All others are for the
        test.
        """
        assert split in SPLITS, split
        last = max(len(self.examples) // 4, min(SET_ASIDE, len(self.examples) // 2))
        first = len(self.examples) - last
        return replace(self, examples=self.examples[first:] if split == "validation" else self.examples[:first])

    def fingerprint(self) -> str:
        """16 hexadecimal digits over everything in the probe that can change a result."""
        return fingerprint(self.examples, self.kind, *(["chat"] if self.chat else []))


def digest(text: str, length: int = 16) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of `text`: the same on every machine and in every run."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def fingerprint(examples: Iterable[Example], *context: object) -> str:
    """16 hexadecimal digits over the content and the order of `examples` and over `context`."""
    return digest(json.dumps([context, [astuple(example) for example in examples]], ensure_ascii=True))


class _Letters(dict[int, str]):
    """A translation table that leaves letters and digits as they are and turns everything else into a space."""

    def __missing__(self, code: int) -> str:
        self[code] = chr(code) if chr(code).isalnum() else " "
        return self[code]


_LETTERS = _Letters()


def normalise(text: str) -> str:
    """Lower-cased words with single spaces: two texts that differ only in case, spacing or punctuation become one."""
    return " ".join(text.casefold().translate(_LETTERS).split())


def in_hash_order(examples: Iterable[Example]) -> tuple[Example, ...]:
    """`examples` in the order of their hashed ids, so that the first n are a fixed random subset."""
    return tuple(sorted(examples, key=lambda example: (digest(example.id), example.id)))


def without_repeats(examples: Iterable[Example], key: Callable[[Example], str]) -> tuple[Example, ...]:
    """The first example of each `key`."""
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(key(example), example)
    return tuple(first.values())


def split_by_hash(key: str, shares: Sequence[tuple[str, float]]) -> str:
    """The name that `key` falls to when the hash range is cut into `shares` (they add up to one)."""
    position = int(digest(key, 13), 16) / 16**13
    for name, share in shares[:-1]:
        if position < share:
            return name
        position -= share
    return shares[-1][0]
