"""Questions of the general pool, to be answered in a prescribed form."""

import functools
from collections.abc import Callable
from dataclasses import replace

from lowres.data.building import task_of, three_ways
from lowres.data.pool import TASK_SOURCES, general_pool
from lowres.examples import Example, Task, digest, normalise

NAME = "instruction-following"
CONSTRAINT_ITEMS = 3000
CONSTRAINT_WORDS = 12  # of the target
CONSTRAINTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "capitals": ("Answer in capital letters.", str.upper),
    "brackets": ("Put the answer in square brackets.", lambda text: f"[{text}]"),
    "beginning": ("Begin the answer with the word Answer:", lambda text: f"Answer: {text}"),
    "ending": ("End the answer with the word done.", lambda text: f"{text.rstrip('.')} done."),
    "lower-case": ("Answer in lower case letters without punctuation.", normalise),
}


@functools.cache
def instruction_following() -> Task:
    """A question and the form its answer must have -> the answer in that form; `group` names the form."""
    suitable = [item for item in general_pool() if item.group in TASK_SOURCES[NAME] and _can_be_formed(item.target)]
    made = [_constrained(item) for item in suitable[:CONSTRAINT_ITEMS]]
    forms = {example.id: example for example in made}
    splits = three_ways(replace(example, group="") for example in made)  # no split has all items of one form
    return task_of(NAME, ([forms[item.id] for item in part] for part in splits))


def _can_be_formed(target: str) -> bool:
    return target.upper().isupper() and normalise(target).islower() and len(target.split()) <= CONSTRAINT_WORDS


def _constrained(item: Example) -> Example:
    names = tuple(CONSTRAINTS)
    name = names[int(digest(f"constraint/{item.id}"), 16) % len(names)]
    asked, form = CONSTRAINTS[name]
    instruction, body = item.prompt.split("\n", 1)
    target = form(item.target)
    return Example(f"{NAME}/{item.id}", f"{instruction} {asked}\n{body}", target, (), (target,), None, name)
