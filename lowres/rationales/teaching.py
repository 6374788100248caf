"""Teach a world model to think aloud before it is asked for rationales.

A world model cannot reason from a few shots: it knows facts and what follows from them, but has never put both into
words one after the other. It is fully tuned on worked two-hop questions about the people of the role "seen" alone, so
that about the people of the task it has to find both facts itself. The taught model stays in the process.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from lowres import models, tuners, world
from lowres.examples import Example
from lowres.language import LanguageModel, formats
from lowres.language.formats import Encoded
from lowres.params import InputError
from lowres.world import people, questions, wording


@dataclass(frozen=True)
class Teaching:
    """How long and how fast a world model is taught; `seed` orders the worked questions.

    Chosen on the validation people of world-two-hop with models of sizes s and m: with fewer steps or a lower rate a
    model does not yet write both sentences, with a higher rate it forgets facts about people who are not taught.
    """

    steps: int = 120
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0


def traces() -> tuple[Example, ...]:
    """Worked two-hop questions about everybody of the role "seen": the target names both hops, the answer last."""
    return tuple(trace for person in people.world().of_role("seen") for trace in _traces_of(person))


def _traces_of(person: people.Person) -> list[Example]:
    found = []
    for attribute in people.ATTRIBUTES:
        value = person.value(attribute)
        result = people.world().follows[attribute][value]
        first = wording.TOLD[attribute].format(person.name, value)
        target = f"{first} {questions.as_statement(attribute, value)} {result} ."
        for form in wording.TWO_HOPS[attribute]:
            prompt = form.format(person.name)
            found.append(Example(f"trace/{prompt}", prompt, target, answers=(result,), group=person.name))
    return found


@functools.lru_cache(maxsize=2)
def taught(model: str, teaching: Teaching, device: str = "auto") -> LanguageModel:
    """The world model after its teaching; deterministic on one machine and thread count.

    Raises:
        InputError: the model is no world model, or reads and writes with an encoder and a decoder of its own.
    """
    if not world.is_world_model(model):
        raise InputError(f"only a world model is taught to think aloud, not {model!r}")
    import torch

    from lowres.optimisation import Optimisation
    from lowres.trial.train import train

    own = models.fresh(models.load(model, device=device))
    sequence = _sequence(own, teaching)
    plan = Optimisation(teaching.learning_rate, batch_size=teaching.batch_size, steps=teaching.steps)
    with torch.random.fork_rng([own.device] if own.device.type == "cuda" else []):
        torch.manual_seed(teaching.seed)
        tuned = tuners.apply(tuners.Full(), own, teaching.seed)
        train(tuned, own, sequence, plan, f"teach {model}")
    tuners.finish(tuned)
    own.model.requires_grad_(False)
    return own


def _sequence(language_model: LanguageModel, teaching: Teaching) -> list[Encoded]:
    """As many worked questions as the updates will see, each pass over them in an order of its own."""
    random, rows = Random(f"teaching/{teaching.seed}"), list[Encoded]()
    encoded = [formats.encode(language_model, trace.prompt, trace.target) for trace in traces()]
    while len(rows) < teaching.steps * teaching.batch_size:
        rows += random.sample(encoded, len(encoded))
    return rows[: teaching.steps * teaching.batch_size]


def conclusion(text: str) -> str:
    """The answer of a worked question: the last word before the full stop that ends it; "" if it does not end so."""
    words: Sequence[str] = text.split()
    return words[-2] if len(words) > 1 and words[-1] == "." else ""
