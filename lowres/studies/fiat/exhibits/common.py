"""What the tables and figures of the page share: places, names, sizes of models, files of rationales."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lowres import world
from lowres.data import rationales
from lowres.markup import Shown, folded, joined
from lowres.params import InputError, resolve
from lowres.studies import Where, unseeded
from lowres.studies.fiat.arms import ARMS
from lowres.studies.fiat.evidence import Evidence, Point, named
from lowres.studies.fiat.params import Params

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.data import Example
    from lowres.data.rationales import Written
    from lowres.trial import Record

Row = tuple[object, ...]
SHORT = {
    "R0": "R0, FIAT",
    "R1": "R1, no rationale",
    "R2": "R2, nor instruction",
    "R3": "R3, nor LoRA",
    "R4": "R4, nor tuned base",
}


def label(place: Where) -> str:
    """A place in words."""
    return named(place)


def slug(place: Where) -> str:
    """A place as a part of a figure's name."""
    return re.sub("[^a-z0-9]+", "-", named(place).lower()).strip("-")


def places(evidence: Evidence) -> list[Where]:
    """Where something was run: first the place that a reader asked for, then those with the most seeds."""
    usual, given = resolve(Params(tier=evidence.params.tier)), evidence.params
    asked = evidence.main if (given.tau, given.task) != (usual.tau, usual.task) else None
    seeds: Counter[Where] = Counter()
    for point, runs in evidence.points.items():
        seeds[point.place] = max(seeds[point.place], len(runs))
    return sorted(evidence.places, key=lambda place: (place != asked, -seeds[place]))


def per_place(listed: Sequence[Where], draw: Callable[[Where], Shown], otherwise: Shown) -> Shown:
    """The first place in full, the others folded."""
    if not listed:
        return otherwise
    return joined([draw(listed[0]), *(folded(f"The same for {label(place)}", draw(place)) for place in listed[1:])])


def sizes_of(evidence: Evidence, place: Where, arm: str) -> list[int]:
    """The sizes of the training set to look for an arm at; 0 for one that is not tuned."""
    return evidence.sizes(place) if ARMS[arm].tuned else [0]


def spoken(arm: str, size: int) -> str:
    """An arm with its size in words."""
    return f"{arm}, {size:,} examples" if size else arm


def seeds_of(evidence: Evidence, point: Point) -> list[Record]:
    """The records of a point."""
    return list(evidence.points.get(point, {}).values())


def examples_of(place: Where, record: Record) -> Sequence[Example]:
    """The test examples that a record was measured on."""
    return place.load().test[: record.trial["evaluation"]["items"]]


def level(evidence: Evidence, point: Point, measure: str = "") -> NDArray | None:
    """Scores [seeds, groups of items] of a point, whose mean is that of the items; None where it was not run."""
    scores = evidence.scores(point, measure)
    return None if scores is None else evidence.grouped(point.place, scores)


def written_for(place: Where, record: Record) -> Mapping[str, Written]:
    """The rationales that a record's arm had, by the id of their example; none where the file is not at hand."""
    name = record.trial["recipe"].get("rationales", "")
    if name == rationales.OWN:
        found = examples_of(place, record)
        return {e.id: rationales.Written(e.rationale, e.target) for e in found if e.rationale is not None}
    try:
        return rationales.read(rationales.find(name)) if name else {}
    except InputError:
        return {}


def parameters(evidence: Evidence, model: str) -> int:
    """Parameters of a model: what full tuning trained of it or of one of its size, the architecture's count, or 0."""
    for point, seeds in evidence.points.items():
        if ARMS[point.arm].tuner == "full":
            for record in seeds.values():
                if _alike(unseeded(record.trial["model"]), model):
                    return record.counts.get("trained_parameters", 0)
    return 0 if world.is_world_model(model) else _counted(model)


def _alike(one: str, other: str) -> bool:
    """Whether two models have as many parameters: the same model, or world models of a size and architecture."""
    if not (world.is_world_model(one) and world.is_world_model(other)):
        return one == other
    first, second = world.parse(one), world.parse(other)
    if isinstance(first, str) or isinstance(second, str):
        return False
    return (first.size, first.encdec) == (second.size, second.encdec)


@functools.cache
def _counted(model: str) -> int:
    from lowres import models
    from lowres.counting import count
    from lowres.tuners import Full

    if model not in models.IN_WHEELS:
        return 0
    return count(model, [Full()])[0].total


def listed_or_none(words: Sequence[str]) -> str:
    """Words with commas, or none."""
    return ", ".join(words) or "none"
