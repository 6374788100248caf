"""The 2^4 factorial that the ladder is one path through: main effects, and what the rationale does beside the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from lowres.exhibits import BARS, frame, measure
from lowres.markup import Shown, joined, shown_table, shown_text
from lowres.studies import Where
from lowres.studies.fiat.arms import ARMS, FACTORS
from lowres.studies.fiat.evidence import Evidence
from lowres.studies.fiat.exhibits.common import label, per_place, places, slug

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.stats import Effect

ARM_OF = {arm.factors: arm.name for arm in ARMS.values() if arm.kind in ("ladder", "factorial")}
LETTERS = "CIPB"


@dataclass(frozen=True)
class Factorial:
    """All cells of a factorial in the letters that vary, on the seeds that they share, each [seeds, groups].

    Without a base model the letter B is there in every cell, and three letters vary.
    """

    letters: str
    cells: Mapping[str, NDArray]

    def main(self, letter: str) -> Effect:
        """Mean over the pairs of cells that differ in this letter alone: with it minus without it."""
        from lowres.stats import paired_effect

        return paired_effect(*(self._mean(letter * there, letter) for there in (True, False)))

    def interaction(self, one: str, other: str) -> Effect:
        """What a letter brings beside another one minus what it brings without that."""
        from lowres.stats import paired_effect

        gains = [self._mean(one + beside, one + other) - self._mean(beside, one + other) for beside in (other, "")]
        return paired_effect(*gains)

    def _mean(self, present: str, fixed: str) -> NDArray:
        """Mean over the cells that have the letters `present` of those `fixed`, and the others in all ways."""
        import numpy as np

        free = [letter for letter in self.letters if letter not in fixed]
        ways = [set(chosen) | set(present) for size in range(len(free) + 1) for chosen in combinations(free, size)]
        return np.asarray(np.mean([self.cells[_ordered(way)] for way in ways], axis=0))


def _ordered(letters: set[str]) -> str:
    return "".join(letter for letter in LETTERS if letter in letters)


def factorial_of(evidence: Evidence, place: Where, size: int) -> Factorial | None:
    """The factorial at a place and size: of all four letters, else of those beside B; None where cells are missing."""
    for letters, fixed in ((LETTERS, ""), ("CIP", "B")):
        ways = {_ordered(set(way) | set(fixed)): way for way in _subsets(letters)}
        cells = _cells(evidence, place, size, list(ways))
        if cells:
            named = {"".join(ways[cell]): scores for cell, scores in cells.items()}
            return Factorial(letters, named)
    return None


def _subsets(letters: str) -> list[tuple[str, ...]]:
    return [chosen for size in range(len(letters) + 1) for chosen in combinations(letters, size)]


def _cells(evidence: Evidence, place: Where, size: int, cells: Sequence[str]) -> dict[str, NDArray]:
    """Scores of cells on the seeds that all of them have; nothing where there are none."""
    import numpy as np

    found = {cell: evidence.points.get(evidence.at(place, ARM_OF[cell], size), {}) for cell in cells}
    seeds = sorted(set.intersection(*(set(records) for records in found.values())))
    name = place.metric
    if not seeds:
        return {}
    tables = {cell: np.array([own[seed].outcomes["task"][name] for seed in seeds]) for cell, own in found.items()}
    return {cell: evidence.grouped(place, table) for cell, table in tables.items()}


def _all(evidence: Evidence, place: Where) -> dict[int, Factorial]:
    found = {size: factorial_of(evidence, place, size) for size in evidence.sizes(place)}
    return {size: one for size, one in found.items() if one is not None}


def factorial(evidence: Evidence) -> Shown:
    """Main effect of each factor in a figure, interactions with the rationale in a table."""
    listed = [place for place in places(evidence) if _all(evidence, place)]
    nothing = shown_text(
        "No factorial: its cells were not all run. They are the arms named by what is present: "
        f"{', '.join(arm.name for arm in ARMS.values() if arm.kind == 'factorial')}."
    )
    return per_place(listed, lambda place: joined([_figure(evidence, place), _table(evidence, place)]), nothing)


def _figure(evidence: Evidence, place: Where) -> Shown:
    from lowres.figures import Plot, forest

    found, rows, told = _all(evidence, place), [], []
    for letter in LETTERS:
        for size, one in found.items():
            if letter in one.letters:
                effect = one.main(letter)
                rows.append((FACTORS[letter], f"{size:,} examples", effect.estimate, *effect.interval))
                told.append(f"{FACTORS[letter]} with {size:,} examples {effect.text()}")
    pairs = {len(one.cells) // 2 for one in found.values()}
    plot = Plot(
        name=f"fiat-factorial-{slug(place)}",
        alt=f"Main effect of each factor on {measure(place)} on {label(place)}: {'; '.join(told)}.",
        caption=f"{label(place)}: with the factor minus without it, mean over {' or '.join(map(str, sorted(pairs)))} "
        "pairs of cells that differ in nothing else, same seeds and items.",
        x=f"main effect on {measure(place)}",
        y="Factor",
        error=BARS,
    )
    return forest(frame(rows, "row", "series", "estimate", "low", "high"), plot, marks={"no effect": 0.0})


def _table(evidence: Evidence, place: Where) -> Shown:
    rows = []
    for size, one in _all(evidence, place).items():
        for letter in one.letters.removeprefix("C"):
            effect = one.interaction("C", letter)
            rows.append((f"{FACTORS['C']} x {FACTORS[letter]}, {size:,} examples", effect.text(), _words(effect)))
    caption = f"Interactions with the rationale on {label(place)}: what it brings beside the other minus without it"
    return shown_table(caption, ("Factors", "Difference of the effects", "In words"), rows, stack=True)


def _words(effect: Effect) -> str:
    low, high = effect.interval
    return "they help each other" if low > 0 else "one stands in for the other" if high < 0 else "not told from zero"
