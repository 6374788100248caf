"""How much there is to train on, and how many updates the arms make that are to equal TELL. Loads no world model."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lowres import world
from lowres.language import formats
from lowres.models import hubmodels
from lowres.studies.tell.params import Params

if TYPE_CHECKING:
    from lowres.data import Example
    from lowres.trial import Trial

POOL, WORLD_POOL = 3_400_000, 1_050_000  # tokens of the general pools, about: for a plan that reads neither of them
WORDS = re.compile(r"\w+|[^\w\s]+")  # each a token of a world model, also one that it does not know


def counter(params: Params) -> Callable[[Example], int]:
    """Tokens of an example's prompt and target; those of a world model are words, which need no model."""
    if world.is_world_model(params.model):
        return lambda example: len(WORDS.findall(example.prompt)) + len(WORDS.findall(example.target))
    from lowres import models
    from lowres.trial.material import token_counter

    return token_counter(models.without_weights(params.model))


def drawn(params: Params, trial: Trial) -> tuple[Sequence[Example], Sequence[Example]]:
    """Task examples and general examples of a trial, as it will draw them.

    Raises:
        InputError: a budget is larger than the data; says how much there is.
    """
    from lowres.data import TaskOptions, general_pool, load_task, take_tokens
    from lowres.data.mixing import derived_seed
    from lowres.data.rationales import pool_of
    from lowres.trial.material import draw

    task = load_task(params.task, TaskOptions.of(params))
    if not world.is_world_model(params.model):
        from lowres import models

        return draw(trial, task, models.without_weights(params.model, params.chat_format))
    count, recipe = counter(params), trial.recipe
    own: tuple[Example, ...] = ()
    general: tuple[Example, ...] = ()
    if recipe.task_tokens:
        seed = derived_seed(trial.seed, "subset")
        own = take_tokens(pool_of(task, recipe.pool), recipe.task_tokens, count, seed, f"task {task.name!r}")
    if recipe.general_tokens:
        seed, pool = derived_seed(trial.seed, "general"), general_pool(params.task, recipe.general)
        general = take_tokens(pool, recipe.general_tokens, count, seed, "the general pool")
    return own, general


def pool_size(params: Params, wanted: int) -> int:
    """Tokens that the general pool of the task holds for the model, counted no further than `wanted`."""
    from lowres.data import general_pool

    if not wanted:
        return 0
    if hubmodels.is_away(params.model):
        return WORLD_POOL if world.is_world_model(params.model) else POOL
    totals = itertools.accumulate(map(counter(params), general_pool(params.task, params.general)))
    total = 0
    for total in totals:
        if total >= wanted:
            break
    return total


def equal_steps(params: Params, tell: Trial) -> int:
    """Updates that a trial of tell makes."""
    from lowres.optimisation import Optimisation, update_count

    if hubmodels.is_away(params.model):
        from lowres.engine.cost import example_tokens

        tokens = tell.recipe.task_tokens + tell.recipe.general_tokens
        return max(1, round(params.epochs * tokens / (example_tokens(params.model) * params.batch_size)))
    own, general = drawn(params, tell)
    plain = Optimisation(1e-3, batch_size=params.batch_size)
    return update_count((len(own) + len(general)) * params.epochs, plain)


def equal_tokens(params: Params, tell: Trial) -> int:
    """Updates on the task's examples alone after which as many tokens were read as a trial of tell reads.

    What stands around an example counts: the chat format, the end of the answer, the anchor.
    """
    from lowres.data import Example, TaskOptions, load_task

    if hubmodels.is_away(params.model):
        return equal_steps(params, tell)  # of equal length, as far as is known
    count, around = counter(params), _around(params)
    own, general = drawn(params, tell)
    anchor = count(Example("", load_task(params.task, TaskOptions.of(params)).instruction, ""))
    anchored = sum(count(example) + around + anchor for example in own)
    everything = anchored + sum(count(example) + around for example in general)
    of_an_update = params.batch_size * anchored / len(own)
    return max(1, round(params.epochs * everything / of_an_update))


def _around(params: Params) -> int:
    """Tokens around prompt and target."""
    if world.is_world_model(params.model):
        parsed = world.parse(params.model)
        assert not isinstance(parsed, str), parsed
        return 3 if parsed.instruct and params.chat_format != "off" else 2  # <user> ... <reply> ... </s>, or <s> ...
    from lowres import models

    return len(formats.prompt_ids(models.without_weights(params.model, params.chat_format), "")) + 1
