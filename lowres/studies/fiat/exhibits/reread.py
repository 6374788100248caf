"""The paper's own numbers, read again: what each rung brought, and where its tables contradict each other."""

from __future__ import annotations

from lowres.markup import Shown, shown_table
from lowres.studies.fiat import paper

REGIMES = {
    "attriqa-accuracy": "attribution, accuracy",
    "attriqa-auc-pr": "attribution, AUC-PR",
    "indic-f1": "questions in 20 languages, F1",
    "full-f1": "questions in 27 languages, F1",
}


def paper_gains() -> Shown:
    """Tables 2 and 3 of the paper: FIAT, beta in context, fine-tuning, and the gain of each rung in points."""
    rows = []
    for (tau, regime), gains in paper.gains().items():
        fiat, tuned = (paper.AVERAGES.at((tau, rung), regime).value for rung in ("R0", "R4"))
        context = paper.AVERAGES.rows[paper.ICL][paper.AVERAGES.columns.index(regime)]
        cells = (f"{fiat:.1f}", f"{context.value:.1f}" if context else "-", f"{tuned:.1f}")
        rows.append((f"PaLM 2 {tau}, {REGIMES[regime]}", *cells, *(f"{gain.value:+.1f}" for gain in gains)))
    header = ("Model and task", "FIAT (R0)", "In context", "Fine-tuning (R4)", *(f"+ {thing}" for thing in paper.TAKEN))
    return shown_table("Tables 2 and 3 of the paper in percent, and the gain of each rung", header, rows, stack=True)


def paper_checks() -> Shown:
    """Rows of the paper whose printed average is not the mean of the cells that it averages."""
    every = paper.checks()
    rows = [
        (
            f"PaLM 2 {check.row[0]}, {check.row[1]}, {REGIMES[check.regime]}",
            f"{check.printed.value:.1f}",
            f"{check.mean.value:.1f}",
            f"{check.printed.value - check.mean.value:+.1f}",
        )
        for check in every
        if not check.agrees
    ]
    caption = f"{len(rows)} of {len(every)} averages in Tables 2 and 3 that are not the mean of their languages"
    return shown_table(caption, ("Row", "Printed average", "Mean of the cells", "Difference"), rows, stack=True)
