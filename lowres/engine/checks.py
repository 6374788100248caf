"""What there is to tell about trials before any runs: how own rows and an own model were read, and what is too long.

What cannot work is refused here, in one go, and not once per trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lowres import models
from lowres.data import TaskOptions, load_task, rationales
from lowres.engine import examination
from lowres.language.prompt import Fitting, insist_on_room
from lowres.language.room import answer_room
from lowres.params import InputError
from lowres.rates import unseeded
from lowres.trial import Trial
from lowres.trial.material import Fits, anchor_text, solved

LOOKED_AT = 2_000  # examples of a split whose length is counted: enough to tell, and a second of counting


def told_before(trials: Sequence[Trial]) -> list[str]:
    """Lines for a reader: each own task with its note, splits shorter than asked, each own model with what is odd.

    Where a task or its model is the user's own, also how many examples and prompts its context does not hold.

    Raises:
        InputError: all that is wrong with the models, or a context that holds nothing to train on.
    """
    stages = [stage for trial in trials for stage in trial.stages()]
    places = dict.fromkeys((stage.task, stage.options) for stage in stages)
    lines = [line for place in places if ":" in place[0] for line in _read(*place)]
    wanted = dict.fromkeys((stage.task, stage.options, stage.evaluation) for stage in stages)
    for name, options, evaluation in wanted:
        there = len(getattr(load_task(name, options), evaluation.split))
        if evaluation.items and there < evaluation.items:
            lines.append(f"{name}: {there:,} {evaluation.split} items are all there are, not {evaluation.items:,}")
    return list(dict.fromkeys([*lines, *_examined(trials), *_too_long(stages)]))


def _examined(trials: Sequence[Trial]) -> list[str]:
    lines: list[str] = []
    problems: list[str] = []
    for name, *how in dict.fromkeys((trial.model, trial.precision, trial.chat_format) for trial in trials):
        try:
            told = examination.insist(name, *how)
        except InputError as error:
            problems += error.problems
            continue
        lines += [f"{name}:", *(f"  {line}" for line in told)] if told else []
    if problems:
        raise InputError(*problems)
    return lines


def _too_long(stages: Sequence[Trial]) -> Iterator[str]:
    """One line per model and task whose prompts or training examples do not all fit; the same for every seed."""
    places: dict[tuple[str, str, TaskOptions], dict[tuple[object, ...], Trial]] = {}
    for stage in stages:
        model, recipe = unseeded(stage.model), stage.recipe
        if ":" in stage.task or not models.is_known(model):
            trained = bool(stage.tuner and (recipe.task_tokens or recipe.task_examples))
            way = (stage.chat_format, stage.evaluation.split, recipe.anchor, recipe.shots, recipe.pool, trained)
            places.setdefault((model, stage.task, stage.options), {})[way] = stage
    for (model, name, _), ways in places.items():
        told = dict.fromkeys(line for stage in ways.values() for line in _lost(stage))
        if told:
            yield f"{name}, where {model} has not enough context:"
            yield from (f"  {line}" for line in told)


def _lost(stage: Trial) -> Iterator[str]:
    """What of a task does not fit the context, counted as the run will count it."""
    own, task = models.without_weights(stage.model, stage.chat_format), load_task(stage.task, stage.options)
    room, split, recipe = answer_room(task, own), stage.evaluation.split, stage.recipe
    insist_on_room(own, room, f"task {task.name!r}")
    if stage.tuner and (recipe.task_tokens or recipe.task_examples):
        fits, pool = Fits.task(task, own), rationales.pool_of(task, recipe.pool)
        fitting = sum(map(fits, pool[:LOOKED_AT]))
        if not fitting and not any(map(fits, pool)):
            raise InputError(
                f"model {own.name!r} has a context of {own.context} tokens: none of the {len(pool):,} training "
                f"examples of task {task.name!r} fits it together with its answer"
            )
        yield from _counted(len(pool[:LOOKED_AT]) - fitting, len(pool), "training examples are left out")
    known = recipe.anchor != "model-written"  # else it is not written yet
    anchor = anchor_text(recipe.anchor, task, own, stage.seed) if known else ""
    items = getattr(task, split)[: stage.evaluation.items]
    fitted = Fitting(own, anchor, solved(stage, task), room)
    for example in items[:LOOKED_AT]:
        fitted.ids(example.prompt)
    behind = f" behind the {recipe.anchor} anchor" if anchor else ""
    yield from _counted(fitted.counts["cut_prompts"], len(items), f"{split} prompts lose their beginning{behind}")
    if dropped := fitted.counts["shots_dropped"]:
        yield f"{dropped:,} solved examples are left out of {split} prompts"


def _counted(number: int, of: int, what: str) -> Iterator[str]:
    if number:
        yield f"{number:,} of {f'the first {LOOKED_AT:,}' if of > LOOKED_AT else f'{of:,}'} {what}"


def _read(name: str, options: TaskOptions) -> list[str]:
    return [f"{name}:", *(f"  {line}" for line in load_task(name, options).note.split("\n"))]
