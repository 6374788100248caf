"""The tables and figures of the FIAT page, each drawn from records, from rationales, or from the paper's own tables."""

from lowres.studies.fiat.exhibits.beta import by_beta, copying, quality_table
from lowres.studies.fiat.exhibits.cost import cost_table, vote
from lowres.studies.fiat.exhibits.design import (
    arms_table,
    deviations,
    drift,
    ladder_prompts,
    left_out_arms,
    live_table,
    origin,
    parameters_table,
    rationales_table,
    reasoning_prompt,
    trial_table,
    tuning_table,
    verification,
)
from lowres.studies.fiat.exhibits.effects import factorial
from lowres.studies.fiat.exhibits.languages import languages_figure, languages_table
from lowres.studies.fiat.exhibits.ranking import ranking_table
from lowres.studies.fiat.exhibits.reread import paper_checks, paper_gains
from lowres.studies.fiat.exhibits.rivals import controls, levels_table, shots, uses
from lowres.studies.fiat.exhibits.rungs import answer, bases, gains, ladder, learning_curve, regimes, scores_table

__all__ = [
    "answer",
    "arms_table",
    "bases",
    "by_beta",
    "controls",
    "copying",
    "cost_table",
    "deviations",
    "drift",
    "factorial",
    "gains",
    "ladder",
    "ladder_prompts",
    "languages_figure",
    "languages_table",
    "learning_curve",
    "left_out_arms",
    "levels_table",
    "live_table",
    "origin",
    "paper_checks",
    "paper_gains",
    "parameters_table",
    "quality_table",
    "ranking_table",
    "rationales_table",
    "reasoning_prompt",
    "regimes",
    "scores_table",
    "shots",
    "trial_table",
    "tuning_table",
    "uses",
    "verification",
    "vote",
]
