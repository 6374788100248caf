"""Forgetting item by item: tables [seeds, slots] whose mean is FG or another drop, so that their noise can be told.

A slot stands for one item of every probe of a group; its value is the mean over the probes of what was lost on that
item, each divided by its probe's score. So the mean over slots is the mean of ratios of the paper's equation 1, and
tables of different groups and models have the same shape and can be subtracted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowres.studies.forgetting.claims import ABOVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.trial import Record


@dataclass(frozen=True)
class Course:
    """One probe over the stream: scores before it [seeds, items], after each task [seeds, checkpoints, items]."""

    probe: str
    chance: float
    before: NDArray
    after: NDArray

    @property
    def starts(self) -> NDArray:
        """R(0) of every seed."""
        return self.before.mean(axis=1)

    @property
    def levels(self) -> NDArray:
        """R(0), R(1), ... [seeds, 1 + checkpoints]."""
        import numpy as np

        return np.concatenate([self.starts[:, None], self.after.mean(axis=2)], axis=1)

    def is_above_chance(self) -> bool:
        """Whether every seed starts far enough above chance to have something to lose."""
        return bool((self.starts >= self.chance + ABOVE).all())


def score_name(probe: str) -> str:
    """The measure of a probe that counts as R: choices of one word need no normalisation, others are per character."""
    return "accuracy" if probe.startswith("world-") else "accuracy_per_character"


def prefixes(record: Record) -> list[str]:
    """Where the outcomes after each task of the stream stand, in order; the last task's have no prefix."""
    return [f"{number}:" for number in range(1, len(record.trial.get("stream", ())) + 1)] + [""]


def course(starts: Sequence[Record], ends: Sequence[Record], probe: str) -> Course | None:
    """A probe over the stream, from the records before and of the stream of the same seeds; None if not measured."""
    import numpy as np

    from lowres.data import load_probe

    name = score_name(probe)
    if not starts or any(probe not in record.outcomes for record in (*starts, *ends)):
        return None
    before = np.array([record.outcomes[probe][name] for record in starts])
    after = np.array([[record.outcomes[p + probe][name] for p in prefixes(record)] for record in ends])
    return Course(probe, load_probe(probe).chance or 0.0, before, after)


def lost(courses: Sequence[Course], slots: int, corrected: bool = False, final: bool = False) -> NDArray | None:
    """What a group lost, [seeds, slots]: its mean is FG (as a share), or with R(0) - chance below, the corrected drop.

    final: after the last task alone instead of the mean over all. None without a probe that it can be asked of: FG
    needs R(0) > 0, the corrected drop R(0) well above chance.
    """
    import numpy as np

    from lowres.stats import spread

    usable = [c for c in courses if (c.is_above_chance() if corrected else (c.starts > 0).all())]
    if not usable:
        return None
    tables = []
    for one in usable:
        after = one.after[:, -1] if final else one.after.mean(axis=1)
        base = one.starts - (one.chance if corrected else 0.0)
        tables.append(spread((one.before - after) / base[:, None], slots))
    return np.mean(tables, axis=0)


def at_loss(tables: Mapping[float, NDArray], loss: float) -> NDArray:
    """The table at a task loss between those measured, linear in the loss; at their ends outside of them."""
    ordered = sorted(tables)
    upper = next((one for one in ordered if one >= loss), ordered[-1])
    lower = next((one for one in reversed(ordered) if one <= loss), ordered[0])
    if upper == lower or not lower <= loss <= upper:
        return tables[upper if loss > upper else lower]
    share = (loss - lower) / (upper - lower)
    return (1 - share) * tables[lower] + share * tables[upper]


def common_loss(curves: Iterable[Mapping[float, NDArray]]) -> float | None:
    """The lowest loss that every curve reaches, if all of them were measured on both sides of it."""
    curves = list(curves)
    if not curves or any(len(curve) < 2 for curve in curves):
        return None
    loss = max(min(curve) for curve in curves)
    return loss if all(loss <= max(curve) for curve in curves) else None
