"""What is refused before anything runs: budgets, ranks, layers and positions that data or model do not have."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lowres.data import TaskOptions
from lowres.language import formats
from lowres.models import hubmodels
from lowres.params import InputError
from lowres.studies.loreft.arms import reach
from lowres.studies.loreft.params import Params

if TYPE_CHECKING:
    from lowres.data import Example
    from lowres.trial import Trial

PROMPTS_LOOKED_AT = 200
FAR = 10**6  # tokens: longer than any prompt


def insist_on_possible(params: Params, trials: Sequence[Trial]) -> None:
    """Refuse what cannot be run.

    Raises:
        InputError: a budget larger than the data; a tuner that the architecture, its width or its layers do not allow;
            more positions than any prompt of the task has.
    """
    from lowres.data import load_task, take_tokens

    tuned = [trial for trial in trials if trial.tuner is not None]
    if not tuned or hubmodels.is_away(params.model or ""):
        return
    task = load_task(params.task or "", TaskOptions.of(params))
    count = counter(params.model or "")
    largest = max(trial.recipe.task_tokens for trial in tuned)
    take_tokens(task.train, largest, count, 0, f"task {task.name!r}")
    _insist_on_architecture(params.model or "", tuned)
    _insist_on_positions(params, tuned)


def counter(model: str) -> Callable[[Example], int]:
    """Tokens of an example's prompt and target for a model; those of a world model are words."""
    from lowres import models, world
    from lowres.trial.material import token_counter

    if world.is_world_model(model):
        return functools.partial(_words, model)
    return token_counter(models.without_weights(model))


def _words(model: str, example: Example) -> int:
    from lowres.world import vocabulary

    try:
        return len(vocabulary.encode(example.prompt)) + len(vocabulary.encode(example.target))
    except KeyError as error:
        raise InputError(
            f"model {model!r} does not know the word {error.args[0]!r}: models of the world know the words of their "
            "world alone; allowed for other tasks: any other model, such as -p model=smollm2-135m-instruct"
        ) from error


@functools.cache
def layer_count(model: str) -> int:
    """Blocks of a model: those of its encoder where it has one."""
    from lowres import models, world
    from lowres.engine.counting import configuration

    if world.is_world_model(model):
        parsed = world.parse(model)
        assert not isinstance(parsed, str), parsed
        return parsed.dimensions.encoder_layers or parsed.dimensions.layers
    if model in models.IN_WHEELS:
        return models.IN_WHEELS[model].layers
    if hubmodels.is_away(model):
        from lowres.engine.cost import size

        return size(model).layers
    return int(configuration(model).num_hidden_layers)


def _insist_on_architecture(model: str, trials: Sequence[Trial]) -> None:
    """Build each tuner on the model's architecture without weights; a world model's is known to take them all."""
    from lowres import world
    from lowres.engine.counting import count

    if world.is_world_model(model):
        return
    different = {trial.tuner: trial for trial in trials if trial.tuner is not None}
    for counted in count(model, list(different)):
        if counted.problem:
            raise InputError(f"arm {different[counted.tuner].arm!r}: {counted.problem}")


def _insist_on_positions(params: Params, trials: Sequence[Trial]) -> None:
    from lowres.tuners.configurations import LoReFT

    longest = longest_prompt(params)
    for trial in trials:
        if isinstance(trial.tuner, LoReFT) and reach(trial.tuner.positions) > longest:
            raise InputError(
                f"arm {trial.arm!r}: positions {trial.tuner.positions!r} are longer than any prompt of "
                f"{params.task!r}: the longest of {PROMPTS_LOOKED_AT} has {longest} tokens; allowed: up to "
                f"p{longest}+s{longest} (in a shorter prompt either side is cut to half of it)"
            )


def longest_prompt(params: Params) -> int:
    """Tokens of the longest of the first prompts of the task, chat format included; of a world model's, the words."""
    from lowres import models, world
    from lowres.data import load_task

    model = params.model or ""
    if hubmodels.is_away(model):  # a plan: every curve is counted
        return FAR
    examples = load_task(params.task or "", TaskOptions.of(params)).train[:PROMPTS_LOOKED_AT]
    if world.is_world_model(model):
        return max(len(example.prompt.split()) + 1 for example in examples)
    loaded = models.load(model, params.precision, chat_format=params.chat_format)
    return max(len(formats.prompt_ids(loaded, example.prompt)) for example in examples)
