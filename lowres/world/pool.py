"""The general instruction mixture of the world: what a model was pretrained on, asked with an instruction."""

from __future__ import annotations

import functools
from random import Random

from lowres.data.examples import Example, digest, in_hash_order
from lowres.world import pretraining

ITEMS = 6_000
MIXTURE = {kind: parts for kind, parts in pretraining.MIXTURE.items() if kind != "bias"}


@functools.cache
def world_pool() -> tuple[Example, ...]:
    """Different prompts in hash order, with their kind as group; none of them is asked by a probe or a task."""
    random = Random("world-pool")
    source, found = pretraining.pairs(random, MIXTURE), dict[str, Example]()
    while len(found) < ITEMS:
        pair = next(source)
        if pair.prompt not in found:
            prompt, key = pretraining.instructed(random, pair), f"world-{pair.kind}/{digest(pair.prompt, 12)}"
            found[pair.prompt] = Example(key, prompt, pair.target, answers=(pair.target,), group=f"world-{pair.kind}")
    return in_hash_order(found.values())
