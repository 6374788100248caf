"""Budgets in tokens, mixtures of task and general data, and the random-label control. All randomness is seeded."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from lowres.examples import Example
from lowres.params import InputError

T = TypeVar("T")

ORDERS = ("shuffle", "task-first", "task-last")
FILLED = 0.95  # share of a budget from which the first example that is too large for the rest ends the drawing


def derived_seed(seed: int, purpose: str) -> int:
    """An independent seed for one purpose ("subset", "shuffle", "initialisation", ...)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:4], "big")


def take_tokens(
    examples: Sequence[Example],
    budget: int,
    count: Callable[[Example], int],
    seed: int,
    what: str,
    fits: Callable[[Example], bool] = lambda _: True,
) -> tuple[Example, ...]:
    """A random subset of `examples` of at most `budget` tokens, which `count` gives for one example.

    Examples are taken in a random order; those that cannot be trained on, because `fits` says no, are left out and
    count for nothing. Until 95 % of the budget is filled, one that is too large for the rest is passed over and smaller
    ones are tried, down to the last; what is still open then no example can fill.
    Raises InputError, in which `what` names the data, if the budget is not positive, is larger than all that there is,
    or holds not even one example.
    """
    if budget <= 0:
        raise InputError(f"the token budget of {what} is {budget}: it must be at least 1")
    taken: list[Example] = []
    passed_over: list[Example] = []
    total = unfit = 0
    for example in _permuted(examples, seed):
        size = count(example)
        if total + size > budget:
            if total >= FILLED * budget:
                return tuple(taken)
            passed_over.append(example)
        elif fits(example):
            taken.append(example)
            total += size
        else:
            unfit += 1
    too_large = [count(example) for example in passed_over if fits(example)]
    unfit += len(passed_over) - len(too_large)
    left_out = f" in examples that fit the context; {unfit:,} do not" if unfit else ""
    if not too_large and total < budget:
        raise InputError(f"the budget of {budget:,} tokens is more than {what} has: {total:,} tokens{left_out}")
    if not taken:
        smallest = f"the smallest has {min(too_large):,}{left_out}"
        raise InputError(f"the budget of {budget:,} tokens holds no example of {what}: {smallest}")
    return tuple(taken)


def take_examples(
    examples: Sequence[Example], count: int, seed: int, what: str, fits: Callable[[Example], bool] = lambda _: True
) -> tuple[Example, ...]:
    """A random subset of `count` examples that fit; with the same seed a smaller one is part of a larger one.

    Raises InputError, in which `what` names the data, if there are not so many.
    """
    if count > len(examples):
        raise InputError(f"a budget of {count:,} examples is more than {what} has: {len(examples):,}")
    taken = tuple(itertools.islice(filter(fits, _permuted(examples, seed)), count))
    if len(taken) < count:
        unfit = f"{len(examples) - len(taken):,} of {len(examples):,} do not fit the context"
        raise InputError(f"a budget of {count:,} examples is more than {what} has: {len(taken):,}; {unfit}")
    return taken


def mix(task: Sequence[Example], general: Sequence[Example], order: str, seed: int) -> tuple[tuple[Example, bool], ...]:
    """Task and general examples in one sequence, each with whether it is of the task.

    `order` is "shuffle" (all together), "task-first" or "task-last" (each part shuffled in itself).
    """
    if order not in ORDERS:
        raise InputError(f"unknown order {order!r} of task and general data; allowed: {', '.join(ORDERS)}")
    marked = [(example, True) for example in task], [(example, False) for example in general]
    if order == "shuffle":
        return tuple(_permuted(marked[0] + marked[1], seed))
    first, second = marked if order == "task-first" else marked[::-1]
    return (*_permuted(first, seed), *_permuted(second, seed + 1))


def random_labels(examples: Sequence[Example], seed: int) -> tuple[Example, ...]:
    """The same inputs with the targets of other examples: a control from which only the output form can be learnt.

    Free-text targets go round in a random cycle, so that none stays where it was. Of choices the positions of the right
    ones are permuted among examples with as many choices; that some stay is wanted (with two choices the
    opposite answer everywhere would be information, not noise). Rationales are dropped.
    """
    free = [index for index, example in enumerate(examples) if not example.choices]
    relabelled = dict(enumerate(examples))
    for index, donor in _cycle(free, seed):
        relabelled[index] = _with_target(examples[index], examples[donor].target, examples[donor].answers)
    for size in sorted({len(example.choices) for example in examples} - {0}):
        alike = [index for index, example in enumerate(examples) if len(example.choices) == size]
        for index, donor in zip(alike, _permuted(alike, seed), strict=True):
            position = examples[donor].choices.index(examples[donor].target)
            relabelled[index] = _with_target(examples[index], examples[index].choices[position])
    return tuple(relabelled[index] for index in range(len(examples)))


def _with_target(example: Example, target: str, answers: tuple[str, ...] = ()) -> Example:
    return replace(example, target=target, answers=answers or (target,), rationale=None)


def _cycle(indices: list[int], seed: int) -> list[tuple[int, int]]:
    order = list(_permuted(indices, seed))
    return list(zip(order, order[1:] + order[:1], strict=True))


def _permuted(items: Sequence[T], seed: int) -> Iterator[T]:
    """All items in a random order, one by one: of a large pool most are never looked at."""
    from numpy.random import PCG64, Generator  # here, so that importing the package stays fast

    return map(items.__getitem__, Generator(PCG64(seed)).permutation(len(items)).tolist())
