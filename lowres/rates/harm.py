"""What a learning rate costs without any new task, so that a rate which destroys by itself is not chosen.

Beside every tuning trial stands its control: as many tokens and updates of general data alone, at the same rate, asked
the probes' set-aside items. A rate is admissible if the control loses no more than `HARMLESS` of what the model knew:
L = 1 - sum over probes (R - c) / sum over probes (R0 - c), R0 of the model before, c of guessing (`anova.retained`).

What a tuner costs before its first update is not the rate's: an edit that starts at random, such as LoReFT's, loses a
tenth at any rate. It is measured by an update too small to move a weight, and taken off.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowres.trial import Evaluation, Recipe, Record, Trial

CONTROL, START = "tuning control", "tuning start"  # arms
HARMLESS = 0.05
NO_RATE, NO_DATA = 1e-12, 250  # of the update that moves nothing: rate, tokens of general data
ALL = 10_000  # items of a probe


def controls(trials: Iterable[Trial], probes: Callable[[str], Sequence[str]]) -> list[Trial]:
    """The controls of tuning trials, and the models that these start from, without the tuner and with it; each once.

    Args:
        probes: what each model is asked.
    """
    found: list[Trial] = []
    for trial in trials:
        evaluation = _evaluation(probes(trial.model))
        found += [_start(trial, evaluation), _unmoved(trial, evaluation), _control(trial, evaluation)]
    return list(dict.fromkeys(found))


def is_control(record: Record) -> bool:
    """Whether a record tells what a rate harms, and nothing of a task."""
    return record.trial["arm"] in (CONTROL, START)


class Harms:
    """Which loss the control of a tuning trial has; from all records of a tuning, the controls among them."""

    def __init__(self, records: Iterable[Record]) -> None:
        done = [record for record in records if record.status == "done" and is_control(record)]
        starts = [record for record in done if record.trial["arm"] == START]
        self._starts = {_model(record.trial): record for record in starts if not record.trial["tuner"]}
        self._unmoved = {_identity(record.trial): record for record in starts if record.trial["tuner"]}
        self._controls = {_identity(record.trial): record for record in done if record.trial["arm"] == CONTROL}
        self._losses: dict[str, float] = {}

    def loss(self, tried: Record) -> float | None:
        """The loss of the control of a tuning record beyond the tuner's own; None where none was run."""
        if not self._controls:
            return None
        from lowres.trial import trial_from

        trial = trial_from(tried.trial)
        name = _identity(_control(trial, trial.evaluation).spec())
        record, start = self._controls.get(name), self._starts.get(_model(tried.trial))
        if record is None or start is None:
            return None
        if name not in self._losses:
            unmoved = self._unmoved.get(_identity(_unmoved(trial, trial.evaluation).spec()))
            self._losses[name] = _loss(start, record) - (max(0.0, _loss(start, unmoved)) if unmoved else 0.0)
        return self._losses[name]


def _loss(start: Record, record: Record) -> float:
    from lowres.data import load_probe
    from lowres.stats.anova import retained

    probes = list(record.trial["evaluation"]["probes"])
    before, after = ({name: [each.outcomes[name]["accuracy"]] for name in probes} for each in (start, record))
    chance = {name: load_probe(name).chance or 0.0 for name in probes}
    return float(sum(table.mean() for table in retained(before, after, chance)))


def _control(trial: Trial, evaluation: Evaluation) -> Trial:
    """The trial on as many tokens of general data alone, in each of its stages."""
    stream = tuple(replace(stage, recipe=_general(stage.recipe)) for stage in trial.stream)
    return replace(trial, arm=CONTROL, recipe=_general(trial.recipe), stream=stream, evaluation=evaluation)


def _start(trial: Trial, evaluation: Evaluation) -> Trial:
    from lowres.trial import Recipe

    return replace(trial, arm=START, evaluation=evaluation, tuner=None, optimisation=None, stream=(), recipe=Recipe())


def _unmoved(trial: Trial, evaluation: Evaluation) -> Trial:
    """The trial's tuner as it starts."""
    from lowres.trial import Recipe

    assert trial.optimisation is not None
    how = replace(trial.optimisation, learning_rate=NO_RATE, epochs=1, steps=1)
    recipe = Recipe(general_tokens=NO_DATA, general=trial.recipe.general)
    return replace(trial, arm=START, evaluation=evaluation, optimisation=how, stream=(), recipe=recipe)


def _general(recipe: Recipe) -> Recipe:
    from lowres.trial import Recipe

    return Recipe(general_tokens=recipe.task_tokens + recipe.general_tokens, general=recipe.general)


def _evaluation(probes: Sequence[str]) -> Evaluation:
    from lowres.trial import Evaluation

    return Evaluation(split="validation", items=0, probes=tuple(probes), probe_items=ALL)


def _model(spec: Mapping[str, object]) -> str:
    return f"{spec['model']} {spec['precision']}"


def _identity(spec: Mapping[str, object]) -> str:
    """A control by all but what is measured and what it is called."""
    own = {name: spec[name] for name in spec if name not in ("study", "arm", "evaluation")}
    return json.dumps(own, sort_keys=True)  # a published record has another order


def mean_losses(records: Iterable[Record], harms: Harms) -> dict[float, float]:
    """The mean loss of the controls at each rate of tuning records that compete with each other."""
    found: dict[float, list[float]] = defaultdict(list)
    for record in records:
        loss = harms.loss(record)
        if loss is not None:
            found[float(record.trial["optimisation"]["learning_rate"])].append(loss)
    return {rate: sum(losses) / len(losses) for rate, losses in found.items()}
