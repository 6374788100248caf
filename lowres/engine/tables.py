"""Tables of records in plain text."""

from __future__ import annotations

from collections.abc import Sequence

from lowres.texts import aligned as aligned  # looked for here
from lowres.trial import Record

NOT_SHOWN = ("chosen", "bits_per_byte", "kl")  # measures of a task that are in the record alone
FILLED = 0.95  # share of a budget from which nothing is said
LOST = {
    "left_out_too_long": "training examples were passed over, because with their answer they do not fit the context",
    "dropped_too_long": "drawn training rows were dropped: they do not fit the context",
    "cut_anchors": "anchors lost their end: an anchor takes at most three quarters of what a prompt may have",
    "shots_dropped": "solved examples were left out of prompts, so that the question fits the context",
    "cut_prompts": "prompts lost the beginning of their input: it does not fit the context",
    "cut_rationales": "rationales lost their beginning: beside the input they do not fit the context",
    "cut_answers": "answers were cut: they filled their room without ending (answer_tokens sets it for your own task)",
}


def table(records: Sequence[Record]) -> str:
    """One line per trial: what it is and the mean of each of its main outcomes; below, what did not fit or is short.

    Equal runs give equal bytes.
    """
    rows = [("key", "arm", "task data", "general tokens", "seed", "status", "outcomes")]
    for record in records:
        recipe = record.trial["recipe"]
        shown = (
            "  ".join(f"{name} {value:.4f}" for name, value in headline(record).items())
            or " ".join(record.error.split())[:100]
        )
        rows.append(
            (
                record.key,
                record.trial["arm"],
                task_data(recipe["task_tokens"], recipe.get("task_examples", 0)),
                str(recipe["general_tokens"]),
                str(record.trial["seed"]),
                record.status,
                shown,
            )
        )
    return "\n".join([aligned(rows), *remarks(records)])


def remarks(records: Sequence[Record]) -> list[str]:
    """A line for each way in which trials had less than was asked for: budgets not filled, texts too long, few items.

    Counts add up over the trials and over the stages of each.
    """
    found = []
    for part in ("task", "general"):
        budgets = [pair for record in records for pair in _budgets(record, part)]
        short = [(spent, budget) for spent, budget in budgets if spent < FILLED * budget]
        if short:
            spent, budget = min(short, key=lambda pair: pair[0] / pair[1])
            found.append(
                f"{len(short)} of {len(budgets)} budgets of {part} tokens were filled to less than {FILLED:.0%}, the "
                f"least to {spent:,} of {budget:,}: no further example of the data fits the rest."
            )
    for name, words in LOST.items():
        total = sum(count for record in records for key, count in record.counts.items() if _bare(key) == name)
        found += [f"{total:,} {words}."] if total else []
    wanted = [(r.trial.get("evaluation", {}).get("items") or 0, r.counts.get("items")) for r in records]
    fewer = [(asked, there) for asked, there in wanted if there is not None and there < asked]
    if fewer:
        asked, there = fewer[0]
        found.append(
            f"{len(fewer)} of {len(records)} trials were measured on the {there:,} items there are, not {asked:,}."
        )
    return found


def _bare(name: str) -> str:
    """A count's name without the stage that it belongs to."""
    return name.rpartition(":")[2]


def _budgets(record: Record, part: str) -> list[tuple[int, int]]:
    """Tokens trained on and budget of each stage that has a budget in tokens."""
    counts, short = record.counts, f"{part}_tokens_short"
    stages = [key.removesuffix(short) for key in counts if _bare(key) == short]
    spent = [(counts[f"{stage}{part}_tokens"], counts[stage + short]) for stage in stages]
    return [(tokens, tokens + missing) for tokens, missing in spent]


def task_data(tokens: int, examples: int) -> str:
    """The budget of a recipe in words: examples where it is given in them, else tokens."""
    if examples:
        return f"{examples:,} examples"
    return f"{tokens:,} tokens" if tokens else "none"


def headline(record: Record) -> dict[str, float]:
    """Mean outcome of each place after the last stage, by its first measure (the task: by most of its measures)."""
    means = {}
    last = {where: measures for where, measures in record.outcomes.items() if ":" not in where}
    for where, measures in last.items():
        for measure in measures if where == "task" else list(measures)[:1]:
            if measure not in NOT_SHOWN:
                means[measure if where == "task" else where] = record.mean(where, measure)
    return means
