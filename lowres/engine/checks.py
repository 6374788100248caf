"""What there is to tell about trials before any of them runs: how a user's own rows were read, and what is short."""

from __future__ import annotations

from collections.abc import Sequence

from lowres.data import TaskOptions, load_task
from lowres.trial import Trial


def told_before(trials: Sequence[Trial]) -> list[str]:
    """Lines for a reader, in the order of the trials: each own task with its note, and splits shorter than asked."""
    stages = [stage for trial in trials for stage in trial.stages()]
    places = dict.fromkeys((stage.task, stage.options) for stage in stages)
    lines = [line for place in places if ":" in place[0] for line in _read(*place)]
    wanted = dict.fromkeys((stage.task, stage.options, stage.evaluation) for stage in stages)
    for name, options, evaluation in wanted:
        there = len(getattr(load_task(name, options), evaluation.split))
        if evaluation.items and there < evaluation.items:
            lines.append(f"{name}: {there:,} {evaluation.split} items are all there are, not {evaluation.items:,}")
    return list(dict.fromkeys(lines))


def _read(name: str, options: TaskOptions) -> list[str]:
    return [f"{name}:", *(f"  {line}" for line in load_task(name, options).note.split("\n"))]
