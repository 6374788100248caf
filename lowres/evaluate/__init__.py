"""Score choices, generate, and measure; every outcome is kept per item.

The prompt of an item runs through the model once, however many choices or answer tokens continue it, and what all
prompts begin with runs through it once for all of them.
"""

from lowres.evaluate.answers import Answers, Item, answer
from lowres.evaluate.divergence import divergence
from lowres.evaluate.metrics import (
    bleu,
    chosen_letter,
    chrf,
    exact_match,
    json_match,
    last_number,
    number_match,
    rouge_1,
    rouge_l,
    sari,
    token_f1,
)
from lowres.evaluate.normalisation import normalise
from lowres.evaluate.outcomes import (
    CUT_ANSWER,
    Outcomes,
    bits_per_byte,
    evaluate_probe,
    evaluate_task,
    judge,
    plain_items,
    probe_items,
    right_ones,
    task_items,
    task_outcomes,
    text_nll,
)

__all__ = [
    "CUT_ANSWER",
    "Answers",
    "Item",
    "Outcomes",
    "answer",
    "bits_per_byte",
    "bleu",
    "chosen_letter",
    "chrf",
    "divergence",
    "evaluate_probe",
    "evaluate_task",
    "exact_match",
    "json_match",
    "judge",
    "last_number",
    "normalise",
    "number_match",
    "plain_items",
    "probe_items",
    "right_ones",
    "rouge_1",
    "rouge_l",
    "sari",
    "task_items",
    "task_outcomes",
    "text_nll",
    "token_f1",
]
