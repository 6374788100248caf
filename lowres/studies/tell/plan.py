"""The trials that follow from the study's parameters, and the rates that they take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lowres import world
from lowres.data import TaskOptions
from lowres.models import hubmodels
from lowres.studies import TUNING_SEED, as_tuning, best_rates, seeded, tuned_arm, unseeded
from lowres.studies.tell.arms import ARMS, FAMILIES, Arm
from lowres.studies.tell.params import Params
from lowres.studies.tell.sizes import drawn, equal_steps, equal_tokens, pool_size

if TYPE_CHECKING:
    from lowres.trial import Evaluation, Recipe, Record, Trial

# The middle of the rates tried: of world models, of others.
USUAL_RATES = {"full": (3e-3, 2e-5)}
OTHER_RATES = (1e-2, 3e-4)
SHOTS = 3  # solved examples in the prompt of the few-shot arm
Rates = Mapping[tuple[str, int], float]  # by family and task tokens
FAMILY_HEADS = {
    "task-only": "sft",
    "equal-steps": "sft-equal-steps",
    "equal-tokens": "sft-equal-tokens",
    "mixed": "tell",
}


def tuning(params: Params) -> list[Trial]:
    """One trial per arm family, budget and candidate learning rate, judged on validation data."""
    if len(params.learning_rates or ()) < 2:
        return []
    families = [family for family in FAMILIES if any(ARMS[name].family == family for name in params.arms or ())]
    heads = [ARMS[FAMILY_HEADS[family]] for family in families]
    points, _ = _possible(params, [(arm, tokens, params.ratio) for tokens in params.task_tokens or () for arm in heads])
    found = []
    for arm, tokens, ratio in points:
        for rate in params.learning_rates or ():
            trial = _trial(params, arm, tokens, ratio, TUNING_SEED, {(arm.family, tokens): rate})
            found.append(as_tuning(trial, arm.family, params.seeds))
    return found


def trials(params: Params, tuned: Sequence[Record] = ()) -> list[Trial]:
    """All trials, the most informative first: every arm at every budget, then the sweeps.

    Args:
        tuned: records of `tuning`; without any, the published ones decide.

    Raises:
        InputError: a budget is larger than the data; says how much there is.
    """
    rates = learning_rates(params, tuned)
    points, _ = _possible(params, _points(params))
    found = [_trial(params, arm, t, r, seed, rates) for arm, t, r in points for seed in _seeds(params, arm)]
    return list(dict.fromkeys(found))


def left_out(params: Params) -> list[str]:
    """What is not run because the general pool is too small for it, in words."""
    _, missing = _possible(params, _points(params))
    size = f"{pool_size(params, max(missing.values())):,}" if missing else ""
    return [
        f"left out: ratio {ratio:g} at {tokens:,} task tokens needs {general:,} general tokens, and the pool has {size}"
        for (tokens, ratio), general in missing.items()
    ]


Points = Sequence[tuple[Arm, int, float]]  # an arm, its task tokens, its general tokens for each of them


def _points(params: Params) -> Points:
    """Everything that is asked for: every arm at every budget, then the sweep of ratios."""
    budgets, ratio = params.task_tokens or (), params.ratio
    points = [(ARMS[name], tokens, ratio) for tokens in budgets for name in params.arms or ()]
    return points + [(ARMS["tell"], t, r) for t in budgets for r in params.ratios or () if r != ratio]


def _possible(params: Params, points: Points) -> tuple[Points, dict[tuple[int, float], int]]:
    """Those of the points for which the general pool suffices, and what the others ask of it.

    Where it suffices for none, all are kept: running them then says so.
    """
    wanted = {(t, r): general for arm, t, r in points if arm.needs_pool and (general := round(t * r))}
    size = pool_size(params, max(wanted.values(), default=0))
    missing = {point: general for point, general in wanted.items() if general > size}
    if len(missing) == len(wanted):
        return points, {}
    return [one for one in points if not (one[0].needs_pool and one[1:] in missing)], missing


def insist_on_possible(params: Params, trials: Sequence[Trial]) -> None:
    """Draw the largest budgets once, so that one that is larger than the data is refused before anything runs.

    Raises:
        InputError: a budget is larger than the data; says how much there is.
    """
    if hubmodels.is_away(params.model):
        return
    for part in ("task_tokens", "general_tokens"):
        drawn(params, max(trials, key=lambda trial: getattr(trial.recipe, part)))


def _seeds(params: Params, arm: Arm) -> tuple[int, ...]:
    """An untouched model has no randomness but that of a world model's pretraining: else one trial stands for all."""
    seeds = params.seeds or ()
    return seeds if arm.name != "untouched" or world.is_world_model(params.model) else (0,)


def _trial(params: Params, arm: Arm, task_tokens: int, ratio: float, seed: int, rates: Rates) -> Trial:
    from lowres import tuners
    from lowres.trial import Trial

    trial = Trial(
        study="tell",
        arm=arm.name,
        model=seeded(params.model, seed),
        task=params.task,
        recipe=_recipe(params, arm, task_tokens, ratio),
        tuner=tuners.make(params.tuner) if arm.family else None,
        optimisation=None,
        evaluation=_evaluation(params),
        seed=seed,
        options=TaskOptions.of(params),
        precision=params.precision,
        chat_format=params.chat_format,
    )
    return _with_optimisation(trial, params, arm, ratio, rates) if arm.family else trial


def _recipe(params: Params, arm: Arm, task_tokens: int, ratio: float) -> Recipe:
    from lowres.trial import Recipe

    return Recipe(
        task_tokens=task_tokens if arm.task else 0,
        general_tokens=round(task_tokens * ratio) if arm.general else 0,
        anchor=params.anchor if arm.anchored else "none",
        order=arm.order,
        labels=arm.labels,
        shots=SHOTS if arm.few_shot else 0,
        general=params.general if arm.general else "usual",
    )


def _evaluation(params: Params) -> Evaluation:
    from lowres.trial import Evaluation

    return Evaluation(items=params.items, probes=tuple(params.probes or ()), probe_items=params.probe_items or 0)


def _with_optimisation(trial: Trial, params: Params, arm: Arm, ratio: float, rates: Rates) -> Trial:
    from lowres.optimisation import Optimisation

    tokens = trial.recipe.task_tokens or round(trial.recipe.general_tokens / ratio)
    rate, steps = rate_at(rates, arm.family, tokens, usual_rate(params)), None
    if arm.equals:
        tell = replace(trial, recipe=_recipe(params, ARMS["tell"], tokens, ratio))
        steps = (equal_steps if arm.equals == "steps" else equal_tokens)(params, tell)
    optimisation = Optimisation(learning_rate=rate, epochs=params.epochs, batch_size=params.batch_size, steps=steps)
    return replace(trial, optimisation=optimisation)


# --- learning rates --------------------------------------------------------------------------------------------------


def usual_rate(params: Params) -> float:
    """A rate that is about right, where nothing was tuned."""
    small, large = USUAL_RATES.get(params.tuner, OTHER_RATES)
    return small if world.is_world_model(params.model) else large


def rate_at(rates: Rates, family: str, tokens: int, usual: float) -> float:
    """The rate of a family at a budget: that of the nearest budget (in the logarithm) at which it was tuned."""
    tuned = sorted(budget for name, budget in rates if name == family)
    if not tuned:
        return usual
    return rates[family, min(tuned, key=lambda budget: abs(math.log(budget / tokens)))]


def learning_rates(params: Params, tuned: Sequence[Record] = ()) -> Rates:
    """The learning rate of each arm family at each budget at which it was tuned.

    A single candidate is taken as it is. Several were tried on validation data: the one under which the targets are
    the most likely wins. With none, the published tuning of the same model, task and tuner decides, and where nothing
    is published a usual rate.
    """
    candidates = params.learning_rates or ()
    if len(candidates) == 1:
        return {(family, tokens): candidates[0] for family in FAMILIES for tokens in params.task_tokens or ()}
    if not tuned and not candidates:
        from lowres.ledger.published import read_published

        tuned = [record for record in read_published("tell") if _is_tuning_for(params, record)]
    return chosen_rates(tuned)


def chosen_rates(tuned: Sequence[Record]) -> Rates:
    """The rate of the best tuning record of each family and budget, by the likelihood of the validation targets.

    The task's metric is what counts in the end, but on some dozens of items it is mostly noise: in a first look rates
    a factor of ten apart differed by 0.003 in token F1 and by 1.2 nats per token.
    """
    return best_rates(tuned, lambda record: (tuned_arm(record), record.trial["recipe"]["task_tokens"]))


def _is_tuning_for(params: Params, record: Record) -> bool:
    trial = record.trial
    same = unseeded(trial["model"]) == params.model and trial["task"] == params.task
    return same and trial["arm"].startswith("tuning ") and trial["tuner"]["name"] == params.tuner
