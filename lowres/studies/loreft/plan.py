"""The trials that follow from the study's parameters, and the rates that they take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lowres.data import TaskOptions
from lowres.models import hubmodels
from lowres.studies import TUNING_SEED, as_tuning, best_rates, seeded, tuned_arm, unseeded
from lowres.studies.loreft.arms import ARMS, DATA_ARMS, DATA_SHARES, MIDDLE, POSITIONS, RANKS, Arm, reach
from lowres.studies.loreft.checks import counter, layer_count, longest_prompt
from lowres.studies.loreft.params import Params

if TYPE_CHECKING:
    from lowres.trial import Record, Trial

# The middle of the rates tried: of world models, of others.
USUAL_RATES = {
    "full": (3e-3, 5e-5),
    **dict.fromkeys(("ia3", "prefix", "prompt", "vera"), (3e-2, 1e-2)),
    **dict.fromkeys(("road", "red"), (1e-2, 3e-3)),
}
OTHER_RATES = (1e-2, 1e-3)


@dataclass(frozen=True)
class Setting:
    """An arm with a budget of task tokens, and where a curve varies LoReFT, what it varies."""

    arm: str
    task_tokens: int
    options: tuple[tuple[str, Any], ...] = ()


def settings(params: Params, layers: int, longest: int) -> list[Setting]:
    """Everything that is to be run for each seed: the arms, then the curves.

    Args:
        layers: blocks of the model, of which the curve edits some.
        longest: tokens of the task's longest prompt; the curve leaves out positions beyond it.
    """
    tokens, chosen = params.task_tokens or 0, params.curves or ()
    found = [Setting(name, tokens) for name in params.arms or ()]
    varied: list[dict[str, Any]] = []
    varied += [{"rank": rank} for rank in RANKS] if "ranks" in chosen else []
    varied += [{"positions": named} for named in POSITIONS if reach(named) <= longest] if "positions" in chosen else []
    varied += [{"layers": named} for named in layer_sets(layers)] if "layers" in chosen else []
    found += [Setting("loreft", tokens, tuple(options.items())) for options in varied]
    if "data" in chosen:
        found += [Setting(arm, round(share * tokens)) for share in DATA_SHARES for arm in DATA_ARMS]
    return found


def layer_sets(layers: int) -> tuple[str, ...]:
    """Sets of layers to edit: one in the middle, the last, each half, a few spread out evenly."""
    middle, spread = layers // 2, sorted({layers // 8, 3 * layers // 8, 5 * layers // 8, 7 * layers // 8})
    listed = ([middle], [layers - 1], range(middle), range(middle, layers), spread)
    return tuple(dict.fromkeys(",".join(map(str, one)) for one in listed if 0 < len(one) < layers))


# --- trials ----------------------------------------------------------------------------------------------------------


def tuning(params: Params) -> list[Trial]:
    """One trial per arm and candidate rate, judged on validation data; as many tries for every arm."""
    params, factors = with_whole_texts(params), params.rate_factors or ()
    if len(factors) < 2:
        return []
    arms = [ARMS[name] for name in params.arms or () if ARMS[name].tuner and not ARMS[name].rate_of]
    if params.curves and all(arm.name != "loreft" for arm in arms):
        arms.append(ARMS["loreft"])
    setting = {arm.name: Setting(arm.name, params.task_tokens or 0) for arm in arms}
    return [
        _tuning_trial(params, setting[arm.name], factor * usual_rate(params.model or "", arm.tuner))
        for factor in factors
        for arm in arms
    ]


def with_whole_texts(params: Params) -> Params:
    """The parameters with the budget of a task that has a single example, such as a text to recite: all of it."""
    from lowres.data import load_task

    if hubmodels.is_away(params.model or ""):
        return params
    train = load_task(params.task or "", TaskOptions.of(params)).train
    if len(train) > 1:
        return params
    return replace(params, task_tokens=counter(params.model or "")(train[0]))


def _tuning_trial(params: Params, setting: Setting, rate: float) -> Trial:
    trial = _trial(params, setting, TUNING_SEED, rate)
    return as_tuning(trial, setting.arm, params.seeds, items=params.tuning_items)


def trials(params: Params, tuned: Sequence[Record] = ()) -> list[Trial]:
    """All trials, seed by seed, the arms before the curves.

    Args:
        tuned: records of `tuning`; without any, the published ones decide.

    Raises:
        InputError: a budget, a rank, a layer or a number of positions that data or model do not have.
    """
    params = with_whole_texts(params)
    rates = learning_rates(params, tuned)
    wanted = settings(params, layer_count(params.model or ""), longest_prompt(params))
    found = [
        (place, _trial(params, setting, seed, _rate(params, setting.arm, rates)))
        for setting in wanted
        for place, seed in enumerate(_seeds(params, ARMS[setting.arm]))
    ]
    return list(
        dict.fromkeys(trial for _, trial in sorted(found, key=lambda one: one[0]))
    )  # the order within a seed stays


def _seeds(params: Params, arm: Arm) -> tuple[int, ...]:
    """An untouched model has no randomness but that of a world model's pretraining."""
    from lowres import world

    seeds = params.seeds or ()
    return seeds if arm.tuner or world.is_world_model(params.model or "") else (0,)


def _trial(params: Params, setting: Setting, seed: int, rate: float) -> Trial:
    from lowres import tuners
    from lowres.optimisation import Optimisation
    from lowres.trial import Evaluation, Recipe, Trial

    arm = ARMS[setting.arm]
    evaluation = Evaluation(items=params.items, probes=tuple(params.probes or ()), probe_items=params.probe_items or 0)
    trial = Trial(
        study="loreft",
        arm=arm.name,
        model=seeded(params.model or "", seed),
        task=params.task or "",
        recipe=Recipe(task_tokens=setting.task_tokens, labels=arm.labels) if arm.tuner else Recipe(),
        tuner=tuners.make(arm.tuner, **_options(params, setting)) if arm.tuner else None,
        optimisation=None,
        evaluation=evaluation,
        seed=seed,
        options=TaskOptions.of(params),
        precision=params.precision,
        chat_format=params.chat_format,
    )
    if not arm.tuner:
        return trial
    optimisation = Optimisation(rate, epochs=params.epochs or 1, batch_size=params.batch_size)
    if arm.epochs != 1.0:
        optimisation = replace(optimisation, steps=_updates(trial, params, arm.epochs))
    return replace(trial, optimisation=optimisation)


def _options(params: Params, setting: Setting) -> dict[str, Any]:
    """The tuner's options, the middle layer by its index."""
    found = {**ARMS[setting.arm].options, **dict(setting.options)}
    if found.get("layers") == MIDDLE:
        found["layers"] = str(layer_count(params.model or "") // 2)
    return found


def _updates(trial: Trial, params: Params, share: float) -> int:
    """A share of the updates that the usual number of epochs makes."""
    from lowres.data import load_task, take_tokens
    from lowres.data.mixing import derived_seed

    if hubmodels.is_away(trial.model):  # a plan, which knows no examples
        from lowres.engine.cost import EXAMPLE

        return max(
            1, math.ceil(share * trial.recipe.task_tokens * (params.epochs or 1) / (EXAMPLE * params.batch_size))
        )
    train, tokens, seed = (
        load_task(trial.task, trial.options).train,
        trial.recipe.task_tokens,
        derived_seed(trial.seed, "subset"),
    )
    drawn = take_tokens(train, tokens, counter(params.model or ""), seed, f"task {trial.task!r}")
    return max(1, math.ceil(share * len(drawn) * (params.epochs or 1) / params.batch_size))


# --- learning rates --------------------------------------------------------------------------------------------------


def usual_rate(model: str, tuner: str) -> float:
    """A rate that is about right: the middle of what is tried."""
    from lowres import world

    small, large = USUAL_RATES.get(tuner, OTHER_RATES)
    return small if world.is_world_model(model) else large


def _rate(params: Params, name: str, rates: Mapping[str, float]) -> float:
    own = ARMS[name].rate_of or name
    tuner = ARMS[own].tuner
    return rates.get(own, usual_rate(params.model or "", tuner)) if tuner else 0.0


def learning_rates(params: Params, tuned: Sequence[Record] = ()) -> dict[str, float]:
    """The learning rate of each arm.

    A single factor is taken as it is. Several were tried on validation data: the rate under which the targets are the
    likeliest wins. With none, the published tuning of the same model and task decides, and where nothing is published
    the usual rate.
    """
    factors, model = params.rate_factors or (), params.model or ""
    if len(factors) == 1:
        return {name: factors[0] * usual_rate(model, arm.tuner) for name, arm in ARMS.items() if arm.tuner}
    if not tuned and not factors:
        tuned = published_tuning(model, params.task or "", params.task_tokens or 0)
    return chosen_rates(record for record in tuned if record.trial["arm"].startswith("tuning "))


def published_tuning(model: str, task: str, tokens: int) -> list[Record]:
    """The newest published tuning of a model (whatever its seed) and a task, of this budget where there is any."""
    from lowres.ledger.published import read_confirmatory, read_first_edition

    for records in (read_confirmatory("loreft"), read_first_edition("loreft")):
        tried = [one for one in records if one.trial["arm"].startswith("tuning ")]
        found = [one for one in tried if (unseeded(one.trial["model"]), one.trial["task"]) == (model, task)]
        if found:
            return [one for one in found if one.trial["recipe"]["task_tokens"] == tokens] or found
    return []


def chosen_rates(tuned: Iterable[Record]) -> dict[str, float]:
    """The rate of each arm's best tuning record, by the likelihood of the validation targets; failed runs never win."""
    return best_rates(tuned, tuned_arm)
