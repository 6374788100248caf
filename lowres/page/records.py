"""All published records of a study: one table of cells for its page of records, one line per trial in a file."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lowres.data import METRICS
from lowres.ledger.published import read_confirmatory, read_first_edition
from lowres.page.markup import Html, html_table
from lowres.page.parts import name_of, seeds_of

if TYPE_CHECKING:
    from lowres.trial import Record

HEADER = (
    "Edition",
    "Arm",
    "Model",
    "Task",
    "Data",
    "Seeds",
    "Metric",
    "Score",
    "Nats per target token",
    "Seconds each",
)


def trials(study: str) -> list[tuple[str, Record]]:
    """Every finished test trial with its edition: "first", kept but not judged, or "second"."""
    both = {"second": read_confirmatory(study), "first": read_first_edition(study)}
    return [
        (edition, record)
        for edition, records in both.items()
        for record in records
        if record.status == "done" and record.trial["evaluation"]["split"] == "test"
    ]


def table(study: str) -> Html:
    """One line per cell: what was run, with which seeds, its mean score and likelihood, and what a trial took."""
    cells: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for edition, record in trials(study):
        cells[(edition, *name_of(record))].append(record)
    rows = [(*name, seeds_of(r.trial["seed"] for r in own), *_measured(own)) for name, own in sorted(cells.items())]
    caption = f"{len(cells):,} lines from {sum(map(len, cells.values())):,} trials: means over seeds"
    if not cells:
        return Html("<p>No test trial is published yet; what follows are the trials that chose the rates.</p>")
    return Html(f'<div class="lowres-records">{html_table(caption, HEADER, rows)}</div>')


def _measured(records: list[Record]) -> tuple[object, ...]:
    """Metric, mean score, nats and seconds of the trials of a cell; empty where it has none."""
    found = [_score(record) for record in records]
    seconds = round(sum(record.cost["seconds"] for record in records) / len(records))
    return found[0][0], _mean(score for _, score, _ in found), _mean(nats for *_, nats in found), seconds


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else ""


def _score(record: Record) -> tuple[str, float | None, float | None]:
    """Name and mean of what the trial's task is measured by, and nats per target token; None for what it lacks."""
    measured = record.outcomes.get("task", {})
    metric = next((name for name in measured if name in METRICS), None)
    score = record.mean("task", metric) if metric else None
    nats = record.mean("task", "target_nll") if "target_nll" in measured else None
    return METRICS[metric] if metric else "", score, nats


def as_csv(study: str) -> str:
    """One line per trial."""
    written = io.StringIO()
    lines = csv.writer(written)
    lines.writerow(
        ("edition", "key", "arm", "model", "task", "data", "seed", "metric", "score", "nats", "seconds", "date")
    )
    for edition, record in trials(study):
        seconds, date = record.cost["seconds"], record.provenance.get("date", "")
        arm, _, task, data = name_of(record)
        metric, score, nats = _score(record)
        lines.writerow(
            (
                edition,
                record.key,
                arm,
                record.trial["model"],
                task,
                data,
                record.trial["seed"],
                metric,
                score,
                nats,
                f"{seconds:.1f}",
                date,
            )
        )
    return written.getvalue()
