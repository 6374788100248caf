"""The general instruction mixture of the world: what a model was pretrained on, asked with an instruction."""

from __future__ import annotations

import functools
from random import Random

from lowres.examples import Example, digest, in_hash_order
from lowres.world import pretraining, probes
from lowres.world.names import ASKED_FACTS, USUAL, WITHOUT

# Items of each kind, a million tokens in all. Of questions with a fixed answer there are few (in all forms, under all
# instructions, 8,640 of facts, 4,104 of two hops, 1,800 of sums): longer texts have more of the pool than of MIXTURE.
ITEMS = {
    "fact": 7_500,
    "relation": 840,
    "two-hop": 3_600,
    "arithmetic": 1_600,
    "either": 7_500,
    "pronoun": 6_000,
    "yes-no": 9_000,
    "recall": 1_500,
    "retell": 5_000,
    "reading": 11_500,
}
READ = ("recall", "retell", "reading")  # kinds that rest on nothing but their own prompt
DRY = 2_000  # draws in a row without a new item, after which a kind has no more: fewer facts may be asked than usual


@functools.cache
def world_pool(form: str = USUAL) -> tuple[Example, ...]:
    """Different prompts in hash order, with their kind as group; none of them is asked by a probe.

    Args:
        form: one of `lowres.world.POOLS`. "without-asked-facts" has only items that rest on nothing that an item of a
            probe rests on, "without-KIND" has all kinds but one; the other kinds are the same items as in "usual".
    """
    left_out, unasked = form.removeprefix(WITHOUT), form == ASKED_FACTS
    return in_hash_order(e for kind in ITEMS if kind != left_out for e in _part(kind, unasked and kind not in READ))


@functools.cache
def _part(kind: str, unasked: bool) -> tuple[Example, ...]:
    """The items of one kind; a question may come again with another instruction."""
    random, found = Random(f"world-pool/{kind}"), dict[str, Example]()
    source = pretraining.pairs(random, {kind: 1})
    asked = probes.asked_facts() if unasked else frozenset[str]()
    dry = 0
    while len(found) < ITEMS[kind] and dry < DRY:
        pair, dry = next(source), dry + 1
        if asked.isdisjoint(pair.facts) and (prompt := pretraining.instructed(random, pair)) not in found:
            key, dry = f"world-{kind}/{digest(prompt, 12)}", 0
            found[prompt] = Example(key, prompt, pair.target, answers=(pair.target,), group=f"world-{kind}")
    return tuple(found.values())
