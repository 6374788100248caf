"""What the tables and figures of the page share: places, names, intervals, trained parameters."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lowres.markup import Shown, folded, joined
from lowres.params import InputError, resolve
from lowres.studies import Where
from lowres.studies.loreft.arms import ARMS
from lowres.studies.loreft.claims import RECITED, TELLING
from lowres.studies.loreft.evidence import Evidence, Point
from lowres.studies.loreft.params import Params

if TYPE_CHECKING:
    from lowres.trial import Record

Row = tuple[object, ...]


def label(where: Where) -> str:
    """A place in words."""
    return f"{where.task} with {where.model}"


def slug(where: Where) -> str:
    """A place as a part of a figure's name."""
    return re.sub("[^a-z0-9]+", "-", f"{where.task}-{where.model}".lower()).strip("-")


def places(evidence: Evidence) -> list[Where]:
    """Where something was tuned: first the place that a reader asked for, then real ones, those with most arms first.

    Texts recited and facts told have sections of their own.
    """
    usual, given = resolve(Params(tier=evidence.params.tier)), evidence.params
    asked = evidence.main if (given.model, given.task) != (usual.model, usual.task) else None
    tuned = {(point.where, point.arm) for point in evidence.points if ARMS[point.arm].tuner}
    arms = Counter(where for where, _ in tuned)
    found = [where for where in evidence.places if where in arms and not where.task.startswith((RECITED, TELLING))]
    return sorted(found, key=lambda where: (where != asked, where.is_world, -arms[where]))


def per_place(listed: Sequence[Where], draw: Callable[[Where], Shown], otherwise: Shown) -> Shown:
    """The first place in full, the others folded."""
    if not listed:
        return otherwise
    return joined([draw(listed[0]), *(folded(f"The same for {label(where)}", draw(where)) for where in listed[1:])])


def seeds_of(evidence: Evidence, point: Point) -> list[Record]:
    """The records of a point."""
    return list(evidence.points.get(point, {}).values())


def trained(evidence: Evidence, point: Point) -> int:
    """Trained parameters of a point; none for the untouched model."""
    return max((record.counts.get("trained_parameters", 0) for record in seeds_of(evidence, point)), default=0)


def contenders(evidence: Evidence, where: Where) -> dict[str, Point]:
    """What somebody could choose at a place: every arm that is a tuner, and LoReFT of other ranks.

    The two LoRAs that were made to match LoReFT count too; the other controls and the ablations do not.
    """
    chosen = [
        arm.name for arm in ARMS.values() if arm.kind in ("start", "tuner") or arm.name in ("lora-matched", LIMITED)
    ]
    found = {name: evidence.at(where, name) for name in chosen}
    ranks = [point for point in varied(evidence, where, "loreft") if [name for name, _ in point.options] == ["rank"]]
    found |= {f"loreft rank {dict(point.options)['rank']}": point for point in ranks}
    return {name: point for name, point in found.items() if evidence.scores(point) is not None}


LIMITED = "lora-at-positions"


def varied(evidence: Evidence, where: Where, arm: str) -> list[Point]:
    """The points of an arm at its full budget whose options differ from the arm's."""
    tokens = evidence.budget(where)
    return [p for p in evidence.points if (p.where, p.arm, p.task_tokens) == (where, arm, tokens) and p.options]


def total(evidence: Evidence, where: Where) -> int:
    """Parameters of the model at a place: what full tuning trained there, or the architecture's count; 0 if unknown."""
    counted = [
        trained(evidence, point)
        for point in evidence.points
        if point.arm == "full" and point.where.model == where.model
    ]
    return max(counted, default=0) or _counted(where.model)


@functools.cache
def _counted(model: str) -> int:
    from lowres import world
    from lowres.counting import count
    from lowres.tuners import Full

    if world.is_world_model(model):
        return 0
    try:
        return count(model, [Full()])[0].total
    except InputError:  # a model of somebody else's, out of reach
        return 0


def percent(count: int, of: int) -> str:
    """A share of the model's parameters in words."""
    return f"{100 * count / of:.3g} %" if of else "unknown"
