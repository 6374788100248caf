"""The grammar of exhibits: every number of a page is a contrast of cells, averaged over places named beside it.

A figure or table is a mapping from what stands on its axes to contrasts. They are asked of the records that the rules
may judge; where these have nothing yet, of the first edition's, and the caption then says so. Intervals are those that
decide verdicts (`lowres.stats.anova`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from pandas import DataFrame

from lowres.claims import Rule, rulebook
from lowres.claims.rules import LOSS, RELATIVE, Contrast, terms_of
from lowres.ledger.published import read_first_edition
from lowres.outcomes import Ambiguous, Cell, NotRun, Outcomes
from lowres.page import figures
from lowres.page.figures import Plot
from lowres.page.markup import Shown, shown_table, shown_text
from lowres.stats import Undetermined
from lowres.stats.anova import anova_effect

if TYPE_CHECKING:
    from lowres.stats import Effect

BARS = "95 % intervals over seeds and items"
FIRST = "Exploratory: records of the first edition, older than the rules"
NO_RULE = Rule("above", 0.0)
Rows = Mapping[str, Contrast]


@dataclass(frozen=True)
class Evidence:
    """The records that a page is drawn from: what the rules may judge, and what was published before them."""

    study: str
    judged: Outcomes
    first: Outcomes = field(default_factory=lambda: Outcomes.of([]))


@lru_cache(maxsize=8)
def evidence(study: str) -> Evidence:
    """The published records of a study."""
    return Evidence(
        study,
        rulebook.outcomes_of(study, rulebook.judged(study)),
        rulebook.outcomes_of(study, read_first_edition(study)),
    )


def level(cell: Cell, measure: str = "", probes: Sequence[str] = ()) -> Contrast:
    """What is measured in one cell."""
    return Contrast("", ((1.0, cell),), NO_RULE, measure, probes=tuple(probes))


def minus(more: Cell, less: Cell, measure: str = "", probes: Sequence[str] = ()) -> Contrast:
    """One cell minus another."""
    return Contrast("", ((1.0, more), (-1.0, less)), NO_RULE, measure, probes=tuple(probes))


def effect(outcomes: Outcomes, places: Sequence[Cell], contrast: Contrast) -> Effect | None:
    """The mean of a contrast over places, with its interval; None where a cell has no record or several."""
    try:
        terms = terms_of(outcomes, tuple(places), replace(contrast, at=()))[1]
        return anova_effect(terms)
    except (NotRun, Ambiguous, Undetermined):
        return None


@dataclass(frozen=True)
class Found:
    """The rows of an exhibit that there are records for, over which places, and from which edition."""

    effects: Mapping[str, Effect]
    places: tuple[Cell, ...]
    exploratory: bool = False

    def told(self) -> str:
        """Where the numbers come from, for a caption."""
        seeds = sorted({one.seeds for one in self.effects.values()})
        count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        many = "" if seeds == [1] else "s"
        where = f"Mean over {spelled(self.places)}" if len(self.places) > 1 else spelled(self.places)
        told = "; ".join(part for part in (where, f"{count} seed{many}") if part)
        return f"{told}. {FIRST + '.' if self.exploratory else ''}".strip()


def spelled(places: Sequence[Cell]) -> str:
    """Places in words: the model and its tasks, models with the same tasks together; what a row names is left out."""
    tasks: dict[str, list[str]] = {}
    for place in places:
        tasks.setdefault(str(place.get("model", "")), []).append(str(place.get("task", "")))
    models: dict[tuple[str, ...], list[str]] = {}
    for model, own in tasks.items():
        models.setdefault(tuple(own), []).append(model)
    parts = ((", ".join(own), ", ".join(names)) for own, names in models.items())
    return "; ".join(" with ".join(part for part in pair if part) for pair in parts)


def found(e: Evidence, rows: Rows, places: Sequence[Cell], first: Sequence[Cell] = ()) -> Found | None:
    """The rows at those places where most of them were run, from records of today if any, else of the first edition."""
    for outcomes, asked in ((e.judged, places), (e.first, first)):
        best = _most(outcomes, rows, asked)
        if best:
            effects = {name: effect(outcomes, best, contrast) for name, contrast in rows.items()}
            known = {name: one for name, one in effects.items() if one is not None}
            return Found(known, best, outcomes is e.first)
    return None


def _most(outcomes: Outcomes, rows: Rows, places: Sequence[Cell]) -> tuple[Cell, ...]:
    """Those places at which the largest number of rows was run, the same rows at each."""
    run = [tuple(name for name, one in rows.items() if effect(outcomes, [place], one)) for place in places]
    best = max(run, key=len, default=())
    return tuple(place for place, names in zip(places, run, strict=True) if names == best) if best else ()


def not_run(e: Evidence, what: str) -> Shown:
    """What stands in place of an exhibit without records."""
    return shown_text(
        f"{what.rstrip('.?')}: not run yet. `lowres campaign --show` lists the trials of {e.study} that are planned."
    )


# --- exhibits --------------------------------------------------------------------------------------------------------


def forest(  # noqa: PLR0913 - what a figure says
    e: Evidence,
    name: str,
    caption: str,
    rows: Rows,
    *,
    places: Sequence[Cell],
    first: Sequence[Cell] = (),
    x: str,
    marks: Mapping[str, float] | None = None,
) -> Shown:
    """One interval per row."""
    here = found(e, rows, places, first)
    if here is None:
        return not_run(e, caption)
    plot = Plot(name, _alt(f"{x}, one row each", here.effects), f"{caption} {here.told()}", x=x, error=BARS)
    drawn = [(key, one.estimate, *_clipped(one, {0.0: rows[key]})) for key, one in here.effects.items()]
    data = DataFrame(drawn, columns=["row", "estimate", "low", "high"])
    return figures.forest(data, plot, marks=marks or {"no difference": 0.0})


def scatter(  # noqa: PLR0913 - what a figure says
    e: Evidence,
    name: str,
    caption: str,
    rows: Rows,
    across: Rows | str,
    *,
    places: Sequence[Cell],
    first: Sequence[Cell] = (),
    x: str,
    y: str,
    x_scale: str = "linear",
) -> Shown:
    """A point per row: one contrast upwards, sideways another or a count, such as `trained_parameters`.

    A row whose count is zero, such as a model of which nothing is trained, is a line.
    """
    sideways = {} if isinstance(across, str) else {f"{key} sideways": across[key] for key in rows}
    here = found(e, {**rows, **sideways}, places, first)
    if here is None:
        return not_run(e, caption)
    effects = {key: here.effects[key] for key in rows if key in here.effects}
    at = {key: _sideways(e, here, key, rows[key], across) for key in effects}
    known = {key: one for key, one in effects.items() if at[key] is not None}
    points = [(key, at[key], one.estimate, *_clipped(one, {0.0: rows[key]})) for key, one in known.items()]
    marks = {key: one.estimate for key, one in effects.items() if key not in known and not sideways}
    data = DataFrame(points, columns=["name", "x", "y", "low", "high"])
    told, size = f"{caption} {here.told()}", (8.0, 6.0)
    plot = Plot(name, _alt(f"{y} against {x}", effects), told, x, y, BARS, x_scale, size)  # type: ignore[arg-type]
    return figures.scatter(data, plot, marks) if points else not_run(e, caption)


def _sideways(e: Evidence, here: Found, key: str, contrast: Contrast, across: Rows | str) -> float | None:
    """Where a row stands sideways: the estimate of another contrast, or the largest count among its first cell's."""
    if not isinstance(across, str):
        one = here.effects.get(f"{key} sideways")
        return one.estimate if one else None
    outcomes = e.first if here.exploratory else e.judged
    runs = [outcomes.by_seed(**{**place, **contrast.terms[0][1]}) for place in here.places]
    return max(record.counts.get(across, 0) for run in runs for record in run.values()) or None


def curve(  # noqa: PLR0913 - what a figure says
    e: Evidence,
    name: str,
    caption: str,
    lines: Mapping[str, Mapping[float, Contrast]],
    *,
    places: Sequence[Cell],
    first: Sequence[Cell] = (),
    x: str,
    y: str,
    x_scale: str = "linear",
) -> Shown:
    """One line per series over an axis."""
    keys = {f"{line} at {at:g}": (line, at) for line, points in lines.items() for at in points}
    here = found(e, {key: lines[line][at] for key, (line, at) in keys.items()}, places, first)
    if here is None:
        return not_run(e, caption)
    rows = [(*keys[key], one.estimate, *_clipped(one, lines[keys[key][0]])) for key, one in here.effects.items()]
    data = DataFrame(rows, columns=["series", "x", "y", "low", "high"])
    alt = _alt(f"{y} against {x}", here.effects)
    told = f"{caption} {here.told()}"
    return figures.curve(data, Plot(name, alt, told, x=x, y=y, error=BARS, x_scale=x_scale))  # type: ignore[arg-type]


def _clipped(one: Effect, line: Mapping[float, Contrast]) -> tuple[float, float]:
    """The interval, a score's own within [0, 1]: no share of right answers lies beyond."""
    alone = all(
        each.measure not in (LOSS, RELATIVE)
        and "nll" not in each.measure
        and all(weight > 0 for weight, _ in each.terms)
        for each in line.values()
    )
    low, high = one.interval
    return (max(0.0, low), min(1.0, high)) if alone and 0 <= one.estimate <= 1 else (low, high)


def table(
    e: Evidence,
    caption: str,
    rows: Mapping[str, Cell],
    columns: Mapping[str, Callable[[Cell], Contrast]],
    *,
    places: Sequence[Cell],
    first: Sequence[Cell] = (),
) -> Shown:
    """Cells below each other, one contrast per column."""
    keys = {f"{row}: {column}": (row, column) for row in rows for column in columns}
    here = found(e, {key: columns[column](rows[row]) for key, (row, column) in keys.items()}, places, first)
    if here is None:
        return not_run(e, caption)
    cells = {(row, column): here.effects.get(f"{row}: {column}") for row, column in keys.values()}
    listed = [(row, *(_words(cells[row, column]) for column in columns)) for row in rows]
    kept = [line for line in listed if any(line[1:])]
    return shown_table(f"{caption} {here.told()}", ("", *columns), kept, stack=True)


def _words(one: Effect | None) -> str:
    return one.text() if one else ""


def _alt(what: str, effects: Mapping[str, Effect]) -> str:
    """The figure in words: all numbers of a small one, the ends of a large one."""
    ordered = sorted(effects.items(), key=lambda entry: entry[1].estimate)
    told = list(effects.items()) if len(ordered) <= 8 else [ordered[0], ordered[-1]]
    between = "" if len(ordered) <= 8 else f" {len(ordered)} values, the smallest and the largest:"
    return f"{what}.{between} " + "; ".join(f"{name} {one.text()}" for name, one in told) + "."
