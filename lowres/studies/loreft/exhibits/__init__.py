"""The tables and figures of the LoReFT page, each drawn from records, from a bench, or from the paper's own tables."""

from lowres.studies.loreft.exhibits.budgets import answer, budgets_table, pareto
from lowres.studies.loreft.exhibits.capacity import composition, recitation
from lowres.studies.loreft.exhibits.design import (
    arms_table,
    cost_table,
    deviations,
    drift,
    live_table,
    origin,
    parameters_table,
    stability,
    trial_table,
    tuning_curve,
    tuning_table,
    verification,
)
from lowres.studies.loreft.exhibits.questions import (
    ablations,
    beside_paper,
    controls,
    lengths,
    overhead,
    reference,
    same_start,
)
from lowres.studies.loreft.exhibits.retention import price, retention, retention_table
from lowres.studies.loreft.exhibits.scores import curves, differences, scores_table

__all__ = [
    "ablations",
    "answer",
    "arms_table",
    "beside_paper",
    "budgets_table",
    "composition",
    "controls",
    "cost_table",
    "curves",
    "deviations",
    "differences",
    "drift",
    "lengths",
    "live_table",
    "origin",
    "overhead",
    "parameters_table",
    "pareto",
    "price",
    "recitation",
    "reference",
    "retention",
    "retention_table",
    "same_start",
    "scores_table",
    "stability",
    "trial_table",
    "tuning_curve",
    "tuning_table",
    "verification",
]
