"""A guide to adaptation: a small tree that says which arm to take, fitted on some tasks and judged on another.

Pure functions over a table of cases. What a user knows exactly is not learnt: whether rationales can be had and what
may be stored say which arms there are, and how much old knowledge matters is in the utilities. The tree looks at what
is left: how much task data there are, and how unlikely the model finds the right answers before anything is done. The
task whose cases are judged is in no fit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

DEPTH, FEWEST = 2, 3  # questions at most, tasks in a leaf at least
Arms = frozenset[str]


@dataclass(frozen=True)
class Case:
    """A task with a budget: task tokens, nats per target token before, and the utility of every arm that was run."""

    task: str
    tokens: int
    start: float
    utility: Mapping[str, float]

    @property
    def arms(self) -> Arms:
        """What was run."""
        return frozenset(self.utility)


FEATURES = ("tokens", "start")


@dataclass(frozen=True)
class Leaf:
    """The cases in which the best arm is looked up."""

    cases: tuple[Case, ...]

    def arm(self, allowed: Arms) -> str:
        """The allowed arm with the highest mean utility, the first by name of equals.

        Cases count that have all allowed arms; where there is none, the arms that all cases have.
        """
        cases = [case for case in self.cases if allowed <= case.arms]
        arms = allowed if cases else frozenset.intersection(allowed, *(case.arms for case in self.cases))
        return max(sorted(arms), key=lambda arm: sum(case.utility[arm] for case in cases or self.cases))


@dataclass(frozen=True)
class Split:
    """A question, whether a feature is below a value, and what follows."""

    feature: str
    at: float
    below: Tree
    above: Tree


Tree = Leaf | Split


def leaf_of(tree: Tree, tokens: int, start: float) -> Leaf:
    """Where a case belongs."""
    while isinstance(tree, Split):
        tree = tree.below if {"tokens": tokens, "start": start}[tree.feature] < tree.at else tree.above
    return tree


def leaves(tree: Tree, so_far: str = "") -> Iterator[tuple[str, Leaf]]:
    """Every leaf with the answers that lead to it, in words."""
    if isinstance(tree, Leaf):
        yield so_far or "always", tree
        return
    name = "task tokens" if tree.feature == "tokens" else "nats before"
    for words, part in ((f"{name} below {tree.at:g}", tree.below), (f"{name} from {tree.at:g}", tree.above)):
        yield from leaves(part, f"{so_far}, {words}" if so_far else words)


def situations(cases: Iterable[Case], unwritten: Arms) -> Iterator[tuple[Case, Arms]]:
    """Every case without rationales, and where arms with rationales were run once more with them.

    Args:
        unwritten: the arms that need no rationale.
    """
    for case in cases:
        yield case, case.arms & unwritten
        if case.arms - unwritten:
            yield case, case.arms


def fit(cases: Sequence[Case], unwritten: Arms, depth: int = DEPTH) -> Tree:
    """The tree with the highest mean utility over the situations of these cases, among all of that depth.

    Thresholds lie half way between neighbouring values; a leaf holds three tasks at least; a question that gains
    nothing is not asked.
    """
    return _best(tuple(cases), unwritten, depth)[1]


def _best(cases: tuple[Case, ...], unwritten: Arms, depth: int) -> tuple[float, Tree]:
    leaf = Leaf(cases)
    best: tuple[float, Tree] = (
        sum(case.utility[leaf.arm(allowed)] for case, allowed in situations(cases, unwritten)),
        leaf,
    )
    for feature in FEATURES if depth else ():
        values = sorted({getattr(case, feature) for case in cases})
        for low, high in itertools.pairwise(values):
            at = round((low + high) / 2, 3)
            sides = [tuple(case for case in cases if (getattr(case, feature) < at) == below) for below in (True, False)]
            if min(len({case.task for case in side}) for side in sides) < FEWEST:
                continue
            (one, below), (two, above) = (_best(side, unwritten, depth - 1) for side in sides)
            if one + two > best[0] + 1e-9:
                best = (one + two, Split(feature, at, below, above))
    return best


@dataclass(frozen=True)
class Choice:
    """What is chosen in a situation of a task that was left out: by the guide, and by always taking the best arm."""

    task: str
    tokens: int
    allowed: Arms
    guide: str
    fixed: str


def left_out(cases: Sequence[Case], unwritten: Arms, small: Arms | None = None) -> list[Choice]:
    """The choices for every task from the cases of all others; the best single arm is that of the same allowed arms.

    Args:
        small: the arms that may be stored, where not all may.
    """
    found = []
    for task in dict.fromkeys(case.task for case in cases):
        others = tuple(case for case in cases if case.task != task)
        tree, everything = fit(others, unwritten), Leaf(others)
        for case, arms in situations([case for case in cases if case.task == task], unwritten):
            allowed = arms & small if small else arms
            guide = leaf_of(tree, case.tokens, case.start).arm(allowed)
            found.append(Choice(task, case.tokens, allowed, guide, everything.arm(allowed)))
    return found


def regrets(cases: Sequence[Case], choices: Sequence[Choice], always: Sequence[str] = ()) -> dict[str, float]:
    """Mean regret over the choices of: the guide, the best fixed arm, each arm of `always`, a coin among the allowed.

    Regret is the utility of the best allowed arm minus that of the arm that was taken, 0 at best.
    """
    known = {(case.task, case.tokens): case.utility for case in cases}
    total: dict[str, float] = {}
    for one in choices:
        utility = known[one.task, one.tokens]
        best = max(utility[arm] for arm in one.allowed)
        taken = {"the guide": utility[one.guide], "the best single arm of the others": utility[one.fixed]}
        taken |= {f"always {arm}": utility[arm] for arm in always}
        taken["a coin"] = sum(utility[arm] for arm in one.allowed) / len(one.allowed)
        for name, value in taken.items():
            total[name] = total.get(name, 0.0) + (best - value) / len(choices)
    return total
