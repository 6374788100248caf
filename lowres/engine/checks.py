"""What there is to tell about trials before any of them runs: how a user's own rows and model were read.

What cannot work is refused here, in one go, and not once per trial.
"""

from __future__ import annotations

from collections.abc import Sequence

from lowres import examination
from lowres.data import load_task
from lowres.params import InputError
from lowres.trial import Trial


def told_before(trials: Sequence[Trial]) -> list[str]:
    """Lines for a reader: each own task with its note, splits shorter than asked, and each own model with what is odd.

    Raises:
        InputError: all that is wrong with the models.
    """
    stages = [stage for trial in trials for stage in trial.stages()]
    places = dict.fromkeys((stage.task, stage.options) for stage in stages)
    lines: list[str] = []
    for name, options in places:
        if ":" in name:
            lines += [f"{name}:", *(f"  {line}" for line in load_task(name, options).note.split("\n"))]
    wanted = dict.fromkeys((stage.task, stage.options, stage.evaluation) for stage in stages)
    for name, options, evaluation in wanted:
        there = len(getattr(load_task(name, options), evaluation.split))
        if evaluation.items and there < evaluation.items:
            lines.append(f"{name}: {there:,} {evaluation.split} items are all there are, not {evaluation.items:,}")
    return list(dict.fromkeys([*lines, *_examined(trials)]))


def _examined(trials: Sequence[Trial]) -> list[str]:
    lines: list[str] = []
    problems: list[str] = []
    for name, precision in dict.fromkeys((trial.model, trial.precision) for trial in trials):
        try:
            told = examination.insist(name, precision)
        except InputError as error:
            problems += error.problems
            continue
        lines += [f"{name}:", *(f"  {line}" for line in told)] if told else []
    if problems:
        raise InputError(*problems)
    return lines
