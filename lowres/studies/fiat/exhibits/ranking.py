"""AUC-PR beside accuracy, where a task's answers are yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lowres.exhibits import spelled
from lowres.markup import Shown, joined, shown_table, shown_text
from lowres.studies import Where
from lowres.studies.fiat import paper
from lowres.studies.fiat.arms import LADDER
from lowres.studies.fiat.evidence import Evidence, groups_of
from lowres.studies.fiat.exhibits.common import Row, label, level, per_place, places, sizes_of, spoken

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ARMS_SHOWN = (*LADDER, "untouched", "untouched-instruction", "untouched-rationale")
RESAMPLES = 300
PERCENTILES = (2.5, 97.5)
REGIME = "attriqa-auc-pr"


def average_precisions(
    positive: ArrayLike, probability: ArrayLike, groups: Sequence[str], resamples: int = RESAMPLES
) -> NDArray:
    """Average precision, mean over seeds: of the scores themselves, then of resamples of seeds and of items.

    Args:
        positive: [seeds, items] or [items], 1 or 0.
        probability: [seeds, items] of the positive class.
        groups: [items]; items of one group are drawn together.

    Returns:
        [1 + resamples]. The same draws for tables of the same shape, so that two of them can be subtracted.
    """
    import numpy as np

    from lowres.stats import average_precision

    scores = np.atleast_2d(np.asarray(probability, dtype=float))
    labels = np.broadcast_to(np.asarray(positive, dtype=float), scores.shape)
    random, seeds = np.random.default_rng(0), len(scores)
    members = [np.flatnonzero(np.asarray(groups) == name) for name in dict.fromkeys(groups)]
    found = [np.mean([average_precision(labels[seed], scores[seed]) for seed in range(seeds)])]
    for _ in range(resamples):
        own, chosen = (np.asarray(random.integers(count, size=count)) for count in (seeds, len(members)))
        drawn = np.concatenate([members[group] for group in chosen])
        parts = [average_precision(labels[seed][drawn], scores[seed][drawn]) for seed in own]
        found.append(np.mean(parts))
    return np.array(found)


def ranking_table(evidence: Evidence) -> Shown:
    """Accuracy and AUC-PR per arm with intervals, gain in AUC-PR over the next rung, and the paper's."""
    listed = [place for place in places(evidence) if _tables(evidence, place)]
    nothing = shown_text("No AUC-PR: no task with the same two answers for every item was run.")
    return per_place(listed, lambda place: _ranking(evidence, place), nothing)


def _tables(evidence: Evidence, place: Where) -> dict[tuple[str, int], tuple[NDArray, NDArray]]:
    """Labels and probabilities [seeds, items] by arm and size."""
    found = {}
    for name in ARMS_SHOWN:
        for size in sizes_of(evidence, place, name):
            point = evidence.at(place, name, size)
            labels, scores = (evidence.scores(point, key) for key in ("positive", "positive_probability"))
            if labels is not None and scores is not None:
                found[name, size] = labels, scores
    return found


def _ranking(evidence: Evidence, place: Where) -> Shown:

    tables = _tables(evidence, place)
    drawn = {key: average_precisions(*table, groups_of(place, table[0].shape[1])) for key, table in tables.items()}
    rows: list[Row] = []
    for (name, size), values in drawn.items():
        accuracy = level(evidence, evidence.at(place, name, size))
        rungs = list(LADDER)
        below = rungs[rungs.index(name) + 1] if name in rungs[:-1] else ""
        other = drawn.get((below, size))
        gain = "-"
        if other is not None and tables[name, size][1].shape == tables[below, size][1].shape:
            gain = f"{values[0] - other[0]:+.3f} {_ends(values - other)}"
        score = "-" if accuracy is None else spelled(accuracy)
        rows.append((spoken(name, size), score, f"{values[0]:.3f} {_ends(values)}", gain, _reported(name)))
    header = ("Arm", "Accuracy (95 %)", "AUC-PR [95 %]", "Minus the next rung", "Paper, AUC-PR of XS / S")
    first = next(iter(tables.values()))[0]
    caption = f"Ranking by the probability of yes on {label(place)}; chance is the share of yes, {first.mean():.3f}"
    note = place.load().note
    bar = [shown_text(f"What words alone can do, from the note of the data: {note.split(';')[0]}.")] if note else []
    return joined([shown_table(caption, header, rows, stack=True), *bar])


def _ends(values: Sequence[float] | NDArray) -> str:
    import numpy as np

    low, high = np.nanpercentile(np.asarray(values)[1:], PERCENTILES)
    return f"[{low:.3f}, {high:.3f}]"


def _reported(name: str) -> str:
    if name not in paper.RUNGS:
        return "-"
    return " / ".join(f"{paper.AVERAGES.at((tau, name), REGIME).value / 100:.3f}" for tau in paper.TAUS)
