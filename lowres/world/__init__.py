"""A small generated world, and language models that know it.

Its people, places and what follows from them are drawn from one seed and never change. Probes ask about them in the
groups of the forgetting study; tasks of known words ask for rules that can be learnt, five of them make up the stream;
`pretrain` makes models of any size in a minute. Names are cheap: the rest is made when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowres.world.names import (
    CHANCE,
    GROUPS,
    KINDS,
    KNOWN_TASKS,
    LEVEL_PROBES,
    NEW_WORD_STREAM,
    POOLS,
    PROBES,
    STREAM,
    TASKS,
    WORLD_VERSION,
    WorldModel,
    is_world_model,
    model_names,
    parse,
)
from lowres.world.sizes import DECODERS, ENCODER_DECODERS, Size

if TYPE_CHECKING:
    from lowres.examples import Example, Probe, Task


def load_task(name: str) -> Task:
    """The task `name` of `TASKS`."""
    from lowres.world import tasks

    return tasks.load(name)


def load_probe(name: str) -> Probe:
    """The probe `name` of `PROBES`."""
    from lowres.world import probes

    return probes.load(name)


def world_pool(form: str = "usual") -> tuple[Example, ...]:
    """The general instruction mixture of the world, in one of the forms of `POOLS`."""
    from lowres.world import pool

    return pool.world_pool(form)
