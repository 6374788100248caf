"""Score choices, generate, and measure; every outcome is kept per item.

The prompt of an item runs through the model once, however many choices or answer tokens continue it, and what all
prompts begin with runs through it once for all of them.
"""

from lowres.evaluate.answers import Answers, Item, answer
from lowres.evaluate.divergence import divergence
from lowres.evaluate.metrics import exact_match
from lowres.evaluate.outcomes import (
    CUT_ANSWER,
    Outcomes,
    evaluate_probe,
    judge,
    plain_items,
    probe_items,
    right_ones,
    task_items,
    task_outcomes,
)
