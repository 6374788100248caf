"""Tables of records in plain text."""

from __future__ import annotations

from collections.abc import Sequence

from lowres.trial import Record

CUT = {"cut_prompts": "prompts cut", "cut_rationales": "rationales cut", "cut_answers": "answers cut"}  # of a record


def table(records: Sequence[Record]) -> str:
    """One line per trial: what it is and the mean of each of its main outcomes. Equal runs give equal bytes."""
    rows = [("key", "arm", "task data", "general tokens", "seed", "status", "outcomes")]
    for record in records:
        recipe = record.trial["recipe"]
        shown = (
            "  ".join(f"{name} {value:.4f}" for name, value in headline(record).items())
            or " ".join(record.error.split())[:100]
        )
        lost = ", ".join(f"{count} {what}" for name, what in CUT.items() if (count := record.counts.get(name, 0)))
        rows.append(
            (
                record.key,
                record.trial["arm"],
                task_data(recipe["task_tokens"], recipe.get("task_examples", 0)),
                str(recipe["general_tokens"]),
                str(record.trial["seed"]),
                record.status,
                f"{shown}  ({lost})" if lost else shown,
            )
        )
    return aligned(rows)


def task_data(tokens: int, examples: int) -> str:
    """The budget of a recipe in words: examples where it is given in them, else tokens."""
    if examples:
        return f"{examples:,} examples"
    return f"{tokens:,} tokens" if tokens else "none"


def headline(record: Record) -> dict[str, float]:
    """Mean outcome of each place after the last stage, by its first measure (the task: by every measure)."""
    means = {}
    last = {where: measures for where, measures in record.outcomes.items() if ":" not in where}
    for where, measures in last.items():
        for measure in measures if where == "task" else list(measures)[:1]:
            if measure != "chosen":
                means[measure if where == "task" else where] = record.mean(where, measure)
    return means


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows set in columns as wide as their longest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
