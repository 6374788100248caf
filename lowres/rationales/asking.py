"""A world model that reasons in context: untouched, it is asked for one step after the other (self-ask).

A world model cannot be prompted to think aloud, but it answers single questions. Which question leads to each sentence
of a rationale is written by hand, as a prompt's worked examples are (Press et al. 2022, arXiv 2210.03350); every
answer is the model's own, right or wrong, and the next question is about what it has said.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lowres import world as worlds
from lowres.data import Example
from lowres.language import LanguageModel, formats
from lowres.rationales.parsing import Parsed
from lowres.rationales.writers import Draft
from lowres.world import known_lists, people, questions, wording

TASKS = ("world-two-hop", "world-form", "world-correction", "world-relations", "world-explanation")
ANSWER = 4  # tokens of an answer at most: one word and the end


def problems(model: str, task: str, samples: int = 0) -> list[str]:
    """What is wrong with asking a model for the steps of a task, in words."""
    found = [] if worlds.is_world_model(model) else [f"only a world model is asked for single steps, not {model!r}"]
    found += [] if task in TASKS else [f"the steps of {task!r} are not known; allowed: {', '.join(TASKS)}"]
    return found + (["a model that is asked for single steps draws no samples: samples must be 0"] if samples else [])


@dataclass(frozen=True)
class Step:
    """A sentence of a rationale: what is asked about `subject`, how the answer is said, and the right one, `value`."""

    question: Callable[[str], str]
    said: Callable[[str, str], str]
    subject: str
    value: str


@dataclass
class _Path:
    """One example on its way: what the model has said for each right value, and the sentences so far."""

    steps: list[Step]
    said: dict[str, str] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)

    def subject(self, step: Step) -> str:
        return self.said.get(step.subject, step.subject)

    def tell(self, step: Step, word: str) -> None:
        self.sentences.append(step.said(self.subject(step), word))
        self.said[step.value] = word


@dataclass
class AskedWriter:
    """Writes with a world model as it is, by asking it; greedily and in batches."""

    language_model: LanguageModel
    chunk: int = 64

    def drafts(self, examples: Sequence[Example]) -> list[Draft]:
        """One draft per example; the time of a batch is shared evenly between its examples."""
        started = time.perf_counter()
        paths = [_Path(steps_of(example)) for example in examples]
        tokens = [0] * len(examples)
        for number in range(max(len(path.steps) for path in paths)):
            asked = [index for index, path in enumerate(paths) if number < len(path.steps)]
            self._ask([paths[index] for index in asked], number)
            for index in asked:
                tokens[index] += len(paths[index].sentences[-1].split())
        seconds = (time.perf_counter() - started) / len(examples)
        return [
            Draft(
                Parsed(" ".join(path.sentences), concluded(example, path.said)),
                len(example.prompt.split()),
                count,
                seconds,
            )
            for example, path, count in zip(examples, paths, tokens, strict=True)
        ]

    def _ask(self, paths: Sequence[_Path], number: int) -> None:
        from lowres.evaluate import Item, answer

        own = self.language_model
        steps = [path.steps[number] for path in paths]
        asked = [step.question(path.subject(step)) for path, step in zip(paths, steps, strict=True)]
        items = [Item(formats.prompt_ids(own, question), (), ()) for question in asked]
        texts = answer(own.model, own, items, ANSWER, "ask").texts
        for path, step, text in zip(paths, steps, texts, strict=True):
            path.tell(step, (text.split() or [""])[0])


def concluded(example: Example, said: dict[str, str]) -> str:
    """The answer that the steps come to: the target with what was said in the place of what is right.

    Where it begins with a judgement, that follows from what was said too: yes if it stands in the prompt.
    """
    words = [said.get(word, word) for word in example.target.split()]
    if words[0] in ("yes", "no"):
        last = next(word for word in reversed(example.target.split()) if word in said)
        words[0] = "yes" if said[last] in example.prompt.split() else "no"
    return " ".join(words)


def steps_of(example: Example) -> list[Step]:
    """The steps of an example, from the rationale that comes with it: only its wording is used, not its facts."""
    sentences = [f"{part.strip()} ." for part in (example.rationale or "").split(" .") if part.strip()]
    return [_steps()[sentence] for sentence in sentences]


@functools.cache
def _steps() -> dict[str, Step]:
    """Every sentence that a rationale of these tasks can hold -> its step."""
    found = {}
    for attribute in people.ATTRIBUTES:
        forms = (f"the {known_lists.ASKED[attribute]} of {{0}} is {{1}} .", wording.TOLD[attribute])
        for person in people.world().people:
            value = person.value(attribute)
            for form in forms:
                found[form.format(person.name, value)] = Step(
                    functools.partial(_question, f"fact-{attribute}", wording.FACTS[attribute]),
                    form.format,
                    person.name,
                    value,
                )
        for value in people.VALUES[attribute]:
            result = people.world().follows[attribute][value]
            found[f"{questions.as_statement(attribute, value)} {result} ."] = Step(
                functools.partial(_question, f"relation-{attribute}", wording.RELATIONS[attribute]),
                functools.partial(_stated, attribute),
                value,
                result,
            )
    return found


def _stated(attribute: str, value: str, result: str) -> str:
    return f"{questions.as_statement(attribute, value)} {result} ."


def _question(kind: str, forms: Sequence[str], subject: str) -> str:
    """The first form in which a model was trained on this question, as in pretraining."""
    kept = questions.held_out(kind, subject, len(forms))
    return forms[1 if kept == 0 else 0].format(subject)
