"""What no published record decides yet, for an exercise: the claim, the seeds that are missing, what they cost."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lowres.campaign import Line
from lowres.claims import rulebook
from lowres.claims.rules import ColumnName
from lowres.page.markup import Shown, joined, markup, shown_text
from lowres.page.parts import data_of, seeds_of
from lowres.page.verdicts import WHERE, Entry, entries, typed
from lowres.rates import unseeded

SHOWN = 3  # commands, the cheapest first


@dataclass(frozen=True)
class Left:
    """What is not published: the column it is for, its seeds, how many trials, core hours."""

    column: ColumnName
    seeds: frozenset[int]
    trials: int
    hours: float


@dataclass(frozen=True)
class Missing:
    """What is not published of a claim, and the lines of the campaign that hold it."""

    entry: Entry
    lines: tuple[Line, ...]
    left: Left


def still_open(study: str) -> Shown:
    """The claims of a study that trials are missing for, the cheapest first, each with the command that runs them."""
    found = sorted(missing(study), key=lambda one: one.left.hours)
    if not found:
        asked = [(one.claim.name, one.decisions[column].outcome) for one in entries(study) for column, _ in one.asked()]
        names = ", ".join(dict.fromkeys(name for name, outcome in asked if outcome == "cannot tell")) or "nothing"
        return shown_text(f"Every trial is published. Take other seeds for what was too close to tell: {names}.")
    together: dict[tuple[str, ...], list[Missing]] = {}
    for one in found:
        together.setdefault(tuple(line.name for line in one.lines), []).append(one)
    return joined([_shown(names, several) for names, several in list(together.items())[:SHOWN]])


def missing(study: str) -> list[Missing]:
    """What is missing of every claim that lacks seeds in a column."""
    published = {_same(record.trial) for record in rulebook.judged(study)}
    lines = {line.name: line for entry in entries(study) for line in entry.lines}
    left = {name: _left(line, published) for name, line in lines.items()}
    found = []
    for entry in entries(study):
        for column in (column for column, asked in entry.asked() if entry.decisions[column].seeds < asked.seeds):
            own = [line for line in entry.lines if left[line.name].column == column and left[line.name].trials]
            if own:
                seeds = frozenset[int]().union(*(left[line.name].seeds for line in own))
                trials, hours = (sum(getattr(left[line.name], of) for line in own) for of in ("trials", "hours"))
                found.append(Missing(entry, tuple(own), Left(column, seeds, trials, hours)))
    return found


def _left(line: Line, published: Collection[Hashable]) -> Left:
    specs = [trial.spec() for trial in line.module().trials(line.resolved())]
    absent = [spec for spec in specs if _same(spec) not in published]
    column: ColumnName = "world" if all(spec["model"].startswith("world-") for spec in specs) else "real"
    return Left(column, frozenset(spec["seed"] for spec in absent), len(absent), line.hours * len(absent) / len(specs))


def _same(spec: Mapping[str, Any]) -> Hashable:
    """What a trial is known by before the settings are that its tuning finds."""
    return spec["arm"], unseeded(spec["model"].partition("@")[0]), spec["task"], data_of(spec), spec["seed"]


def _shown(lines: Sequence[str], several: Sequence[Missing]) -> Shown:
    """The claims that the same lines decide."""
    left = several[0].left
    told = (
        f"{WHERE[left.column].capitalize()}; missing: {left.trials} trials, seeds {seeds_of(left.seeds)}; price: about "
        f"{left.hours:.2g} core hours."
    )
    claims = [(one.entry.claim.name, one.entry.claim.statement) for one in several]
    listed = "".join(f'<li><a href="#claim-{name}">{name}</a> {markup(says)}</li>' for name, says in claims)
    command = f"lowres campaign {' '.join(lines)}"
    words = "\n".join(f"- {name}: {says}" for name, says in claims)
    return Shown(f"<ul>{listed}</ul><p>{markup(told)}</p>{typed(command)}", f"{words}\n\n{told}\n\n    {command}")
