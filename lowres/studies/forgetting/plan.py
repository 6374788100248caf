"""The trials that follow from the study's parameters, and the rates that they take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lowres import world
from lowres.studies import TUNING_SEED, as_tuning, best_rates, seeded, unseeded
from lowres.studies.forgetting.arms import ARMS, MAIN, Arm, arm_of, further_arms
from lowres.studies.forgetting.params import LANGUAGE, REAL_GROUPS, REAL_STREAM, Params

if TYPE_CHECKING:
    from lowres.data import Example
    from lowres.optimisation import Optimisation
    from lowres.trial import Recipe, Record, Trial

USUAL_RATES = {"full": (3e-3, 2e-5), "lora": (1e-2, 3e-4), "loreft": (3e-2, 1e-3)}  # of world models, of others
OTHER_RATES = (1e-2, 3e-4)


# --- what goes with a model ------------------------------------------------------------------------------------------


def tasks_of(params: Params, model: str) -> tuple[str, ...]:
    """The stream of a model in its forward order."""
    return tuple(params.tasks or (world.STREAM if world.is_world_model(model) else REAL_STREAM))


def probes_of(params: Params, model: str) -> tuple[str, ...]:
    """What is measured before the stream and after each of its tasks."""
    if params.probes is not None:
        return params.probes
    real = [name for group in REAL_GROUPS.values() for name in group]
    return world.PROBES if world.is_world_model(model) else (*real, *LANGUAGE)


def usual_rate(model: str, tuner: str) -> float:
    """A rate that is about right: the middle of what is tried."""
    small, large = USUAL_RATES.get(tuner, OTHER_RATES)
    return small if world.is_world_model(model) else large


# --- trials ----------------------------------------------------------------------------------------------------------


def tuning(params: Params) -> list[Trial]:
    """One trial per model, tuner and candidate rate, judged by the validation loss of each task when it was learnt."""
    if len(params.rate_factors or ()) < 2:
        return []
    pairs = [(model, "full") for model in params.models or ()]
    pairs += [(model, tuner) for model in params.ablated or () for tuner in params.tuners or () if tuner != "full"]
    return [
        _tuning_trial(params, model, tuner, factor) for factor in params.rate_factors or () for model, tuner in pairs
    ]


def _tuning_trial(params: Params, model: str, tuner: str, factor: float) -> Trial:
    arm, rate = ARMS[MAIN] if tuner == "full" else arm_of(tuner), factor * usual_rate(model, tuner)
    return as_tuning(_trial(params, arm, model, TUNING_SEED, rate), tuner, params.seeds)


def trials(params: Params, tuned: Sequence[Record] = ()) -> list[Trial]:
    """All trials, seed by seed: every model before the stream, so that workers pretrain different ones, then the rest.

    Args:
        tuned: records of `tuning`; without any, the usual rates are taken.

    Raises:
        InputError: a budget is larger than the data; says how much there is.
    """
    rates = learning_rates(params, tuned)
    found: list[Trial] = []
    for seed in params.seeds or ():
        found += [_untouched(params, model, seed) for model in params.models or ()]
        found += [trial for model in params.models or () for trial in _trials_of(params, model, seed, rates)]
    return list(dict.fromkeys(found))


def _trials_of(params: Params, model: str, seed: int, rates: dict[tuple[str, str], float]) -> Iterator[Trial]:
    """The trials of one model and seed: the stream, and what else is asked for."""
    rate = rates.get((model, "full"), usual_rate(model, "full"))
    yield _trial(params, ARMS[MAIN], model, seed, rate)
    if seed in (params.sweep_seeds or ()):
        for factor in params.sweep_factors or params.rate_factors or ():
            yield _trial(params, ARMS[MAIN], model, seed, factor * usual_rate(model, "full"))
    if model in (params.ablated or ()):
        for arm in further_arms(params):
            own = rates.get((model, arm.tuner), usual_rate(model, arm.tuner))
            yield _trial(params, arm, model, seed, own)


def _untouched(params: Params, model: str, seed: int) -> Trial:
    """The model before the stream, measured once: R(0). A world model has one for each seed."""
    from lowres.trial import Recipe

    own = seed if world.is_world_model(model) else 0
    trial = _trial(params, ARMS[MAIN], model, own, usual_rate(model, "full"))
    return replace(trial, arm="untouched", recipe=Recipe(), tuner=None, optimisation=None, stream=())


def _trial(params: Params, arm: Arm, model: str, seed: int, rate: float) -> Trial:
    """A trial over the whole stream; its last task is the trial's own."""
    from lowres import tuners
    from lowres.trial import Evaluation, Stage, Trial

    tasks, probes = tasks_of(params, model), probes_of(params, model)
    *before, last = tasks[::-1] if arm.reverse else tasks
    recipe, optimisation = _recipe(params, arm, model), _optimisation(params, arm, rate)
    return Trial(
        study="forgetting",
        arm=arm.name,
        model=seeded(model, seed),
        task=last,
        recipe=recipe,
        tuner=tuners.make(arm.tuner),
        optimisation=optimisation,
        evaluation=Evaluation(items=params.items, probes=probes, probe_items=params.probe_items or 0),
        seed=seed,
        precision=params.precision,
        chat_format=params.chat_format,
        stream=tuple(Stage(task, recipe, optimisation) for task in before),
    )


def _recipe(params: Params, arm: Arm, model: str) -> Recipe:
    from lowres.trial import Recipe

    tokens = params.task_tokens or 0
    general = round(tokens * arm.share / (1 - arm.share)) if arm.task else tokens
    anchor = "hand-written" if arm.anchored else "none"
    form = params.general if general and world.is_world_model(model) else world.POOLS[0]
    return Recipe(tokens if arm.task else 0, general, anchor, labels=arm.labels, general=form)


def _optimisation(params: Params, arm: Arm, rate: float) -> Optimisation:
    """General data come with updates of their own, so that as much of the task is seen with them as without."""
    from lowres.optimisation import Optimisation

    steps = round((params.steps or 0) / (1 - arm.share))
    return Optimisation(0.0 if arm.frozen else rate, batch_size=params.batch_size or 1, steps=steps)


# --- budgets ---------------------------------------------------------------------------------------------------------


def insist_on_possible(params: Params, trials: Sequence[Trial]) -> None:
    """Draw every task once, so that a budget that is larger than the data is refused before anything is pretrained.

    Raises:
        InputError: a budget is larger than the data; says how much there is.
    """
    from lowres.data import general_pool, load_task, take_tokens

    for model in params.models or ():
        largest = max((_recipe(params, arm, model).general_tokens for arm in further_arms(params)), default=0)
        count = _counter(params, model)
        if count is None:
            continue
        for name in tasks_of(params, model):
            take_tokens(load_task(name).train, params.task_tokens or 0, count, 0, f"task {name!r}")
        if largest and model in (params.ablated or ()):
            pool = general_pool(tasks_of(params, model)[0], _recipe(params, ARMS["mixed"], model).general)
            take_tokens(pool, largest, count, 0, "the general pool")


def _counter(params: Params, model: str) -> Callable[[Example], int] | None:
    """Tokens of an example for a model; those of a world model are words. None for a Hub model: it may not be here."""
    from pathlib import Path

    from lowres import models
    from lowres.trial.material import token_counter

    if world.is_world_model(model):
        from lowres.world import vocabulary

        return lambda example: len(vocabulary.encode(example.prompt)) + len(vocabulary.encode(example.target))
    if model in models.IN_WHEELS or Path(model).expanduser().is_dir():
        return token_counter(models.without_weights(model))
    return None


# --- learning rates --------------------------------------------------------------------------------------------------


def learning_rates(params: Params, tuned: Iterable[Record] = ()) -> dict[tuple[str, str], float]:
    """The learning rate of each model (without its seed) and tuner; one that was not tuned has its usual rate.

    A single factor is taken as it is. Several were tried on validation data: the rate under which the targets of the
    tasks are the likeliest, each right after its own stage, wins.
    """
    factors = params.rate_factors or ()
    if len(factors) > 1:
        return best_rates(tuned, lambda r: (unseeded(r.trial["model"]), r.trial["tuner"]["name"]))
    pairs = [(model, tuner) for model in params.models or () for tuner in ("full", *(params.tuners or ()))]
    return {(model, tuner): factors[0] * usual_rate(model, tuner) for model, tuner in pairs if factors}
