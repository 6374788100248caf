"""Which arms pay for their cost: the Pareto front, and who cannot be told from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lowres.stats import Effect

Place = Literal["front", "not told apart", "beaten"]


@dataclass(frozen=True)
class Candidate:
    """One arm: what it costs (lower is better) and what it scores on average (higher is better)."""

    cost: float
    score: float


def front(candidates: Mapping[str, Candidate]) -> set[str]:
    """The arms that no other arm dominates: none is at least as good in both and better in one. Ties stay."""
    return {
        name
        for name, one in candidates.items()
        if not any(_dominates(other, one) for other in candidates.values() if other is not one)
    }


def _dominates(one: Candidate, other: Candidate) -> bool:
    return one.cost <= other.cost and one.score >= other.score and one != other


def places(candidates: Mapping[str, Candidate], effect: Callable[[str, str], Effect | None]) -> dict[str, Place]:
    """Where each arm stands once noise counts.

    An arm off the front is beaten only if some arm that costs no more is better by an interval wholly above zero;
    otherwise it cannot be told from the front.

    Args:
        effect: score of the first arm minus that of the second, with its interval; None where they cannot be paired.
    """
    best = front(candidates)
    found: dict[str, Place] = {}
    for name, one in candidates.items():
        rivals = [other for other, two in candidates.items() if other != name and two.cost <= one.cost]
        beaten = any(found_effect.interval[0] > 0 for r in rivals if (found_effect := effect(r, name)) is not None)
        found[name] = "front" if name in best else "beaten" if beaten else "not told apart"
    return found
