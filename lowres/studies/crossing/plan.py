"""The trials that follow from the study's parameters, and the rates that they take."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from lowres import world
from lowres.data import TaskOptions
from lowres.params import InputError
from lowres.rates.harm import is_control
from lowres.studies import TUNING_SEED, as_tuning, best_rates, seeded, tuned_arm, unseeded
from lowres.studies.crossing.arms import ARMS, UNTOUCHED, WAYS, Arm, Way, probes_of
from lowres.studies.crossing.params import Params
from lowres.studies.tell.plan import rate_at

if TYPE_CHECKING:
    from lowres import tuners
    from lowres.data import Task
    from lowres.rationales import Request
    from lowres.trial import Recipe, Record, Trial

# The middle of the rates tried: of world models, of others.
USUAL_RATES = {"full": (1e-3, 5e-5), "lora": (3e-3, 1e-3), "loreft": (1e-2, 2e-3)}
TUNING_ITEMS = 200
FAMILY_HEADS = {"task": "sft", "repeated": "sft-equal-steps", "mixed": "tell", "reasoned": "fiat-own"}
Rates = Mapping[tuple[str, int], float]  # by family with tuner, and task tokens


def is_possible(params: Params, task: str, recipe: str) -> bool:
    """Whether a task and the models at hand allow a recipe: rationales of its own, or a beta that can write some."""
    written = WAYS[recipe].written
    if written != "beta":
        return not written or _loaded(params, task).train[0].rationale is not None
    try:
        asked = request(params, task, 0)
        return not asked.problems() and (asked.asked or asked.prompt() is not None)
    except InputError:  # there is no prompt that asks for the reasoning of this task
        return False


def left_out(params: Params) -> list[str]:
    """What is asked for and not run, in words."""
    return [
        f"left out: {recipe} on {task}, for which there are no rationales"
        for task in params.tasks or ()
        for recipe in params.recipes or ()
        if not is_possible(params, task, recipe)
    ]


def _loaded(params: Params, task: str) -> Task:
    from lowres.data import load_task

    return load_task(task, options_of(params, task))


def options_of(params: Params, task: str) -> TaskOptions:
    """How to read a task; the fields are for one's own."""
    return TaskOptions.of(params) if ":" in task else TaskOptions()


def _pool(params: Params, task: str) -> int:
    """Training examples that are drawn from; 0 for all, also where there are no more."""
    return params.pool if 0 < params.pool < len(_loaded(params, task).train) else 0


def request(params: Params, task: str, seed: int) -> Request:
    """What is asked of beta; a world model is asked for one step after the other, that of the seed."""
    from lowres.rationales import Request

    beta, options = params.beta or "", options_of(params, task)
    return Request(
        model=seeded(beta, seed),
        task=task,
        options=options,
        asked=world.is_world_model(beta),
        chat_format=params.chat_format,
    )


def prepare(params: Params, progress: bool = True) -> None:
    """Have beta write the rationales that trials will read: of the pool and of the test items."""
    from lowres.data import rationales
    from lowres.rationales import write

    for task in params.tasks or ():
        if any(WAYS[name].written == "beta" and is_possible(params, task, name) for name in params.recipes or ()):
            loaded = _loaded(params, task)
            examples = (*rationales.pool_of(loaded, _pool(params, task)), *loaded.test[: params.items])
            for seed in params.seeds or ():
                write(request(params, task, seed), examples, progress=progress)


# --- trials ----------------------------------------------------------------------------------------------------------


def tuning(params: Params) -> list[Trial]:
    """One trial per family, tuner, budget, tuning task and candidate rate, judged on validation data."""
    factors, found = params.rate_factors or (), []
    if len(factors) < 2:
        return []
    wanted = dict.fromkeys(ARMS[f"{r} {t}"].rate_of for r in params.recipes or () for t in params.tuners or ())
    for task in params.tuning_tasks or params.tasks or ():
        for family, tuner in (name.split(" ") for name in wanted):
            if is_possible(params, task, FAMILY_HEADS[family]):
                arm = Arm(FAMILY_HEADS[family], tuner)
                for tokens in params.task_tokens or ():
                    rates = (factor * usual_rate(params, tuner) for factor in factors)
                    found += [_tuning_trial(params, task, arm, tokens, rate) for rate in rates]
    return found


def _tuning_trial(params: Params, task: str, arm: Arm, tokens: int, rate: float) -> Trial:
    trial = _trial(params, task, arm, tokens, TUNING_SEED, {(arm.rate_of, tokens): rate})
    return as_tuning(trial, arm.rate_of, params.seeds, items=TUNING_ITEMS)


def trials(params: Params, tuned: Sequence[Record] = ()) -> list[Trial]:
    """All trials, seed by seed, so that a run that is stopped has whole cells of fewer seeds.

    Args:
        tuned: records of `tuning`; without any, the published ones decide.

    Raises:
        InputError: a budget is larger than the data; says how much there is.
    """
    rates = learning_rates(params, tuned)
    found: list[Trial] = []
    for task in params.tasks or ():
        alone = (params.seeds or ()) if world.is_world_model(params.model or "") else (0,)
        found += [untouched(params, task, seed) for seed in alone]
        recipes = [name for name in params.recipes or () if is_possible(params, task, name)]
        found += [
            _trial(params, task, Arm(recipe, tuner), tokens, seed, rates)
            for tokens in params.task_tokens or ()
            for seed in params.seeds or ()
            for recipe in recipes
            for tuner in params.tuners or ()
        ]
    return sorted(dict.fromkeys(found), key=lambda trial: (params.seeds or ()).index(trial.seed) if trial.tuner else -1)


def untouched(params: Params, task: str, seed: int) -> Trial:
    """The model as it is, told what to do."""
    from lowres.trial import Evaluation, Recipe, Trial

    probes = params.probes or probes_of(params.model or "")
    return Trial(
        study="crossing",
        arm=UNTOUCHED,
        model=seeded(params.model or "", seed),
        task=task,
        recipe=Recipe(anchor="hand-written"),
        tuner=None,
        optimisation=None,
        evaluation=Evaluation(items=params.items, probes=probes, probe_items=params.probe_items or 0),
        seed=seed,
        options=options_of(params, task),
        precision=params.precision,
        chat_format=params.chat_format,
    )


def _trial(params: Params, task: str, arm: Arm, tokens: int, seed: int, rates: Rates) -> Trial:
    from lowres.optimisation import Optimisation

    way, start = WAYS[arm.recipe], untouched(params, task, seed)
    recipe = _recipe(params, task, way, tokens, seed)
    rate = rate_at(rates, arm.rate_of, tokens, usual_rate(params, arm.tuner))
    steps = _steps(params, replace(start, recipe=_recipe(params, task, WAYS["tell"], tokens, seed)), way.equals)
    optimisation = Optimisation(rate, epochs=params.epochs, batch_size=params.batch_size, steps=steps)
    return replace(start, arm=arm.name, recipe=recipe, tuner=tuner_of(arm.tuner), optimisation=optimisation)


def _recipe(params: Params, task: str, way: Way, tokens: int, seed: int) -> Recipe:
    from lowres.trial import Recipe

    return Recipe(
        task_tokens=tokens if way.task else 0,
        general_tokens=round(tokens * params.ratio) if way.general else 0,
        anchor="hand-written",
        labels=way.labels,
        pool=_pool(params, task),
        rationale=way.rationale,
        rationales=request(params, task, seed).file_name() if way.written == "beta" else way.written,
    )


def tuner_of(name: str) -> tuners.Tuner:
    """The tuner of an arm."""
    from lowres import tuners

    return tuners.LoRA(rank=1, alpha=4) if name == "lora-small" else tuners.make(name)


@functools.lru_cache(maxsize=512)
def _steps(params: Params, tell: Trial, equals: str) -> int | None:
    """Updates of a recipe that has as many of something as tell has."""
    from lowres.studies.tell import Params as TellParams
    from lowres.studies.tell.sizes import equal_steps, equal_tokens

    if not equals:
        return None
    own = {field.name: getattr(tell.options, field.name) for field in fields(TaskOptions) if field.name != "split_seed"}
    like = TellParams(
        task=tell.task, model=params.model or "", epochs=params.epochs, batch_size=params.batch_size, **own
    )
    like = replace(like, chat_format=params.chat_format)
    return (equal_steps if equals == "steps" else equal_tokens)(like, tell)


# --- learning rates --------------------------------------------------------------------------------------------------


def usual_rate(params: Params, tuner: str) -> float:
    """A rate that is about right: the middle of what is tried, or the only one."""
    small, large = USUAL_RATES[tuner.removesuffix("-small")]
    factors = params.rate_factors or ()
    return (small if world.is_world_model(params.model or "") else large) * (factors[0] if len(factors) == 1 else 1.0)


def learning_rates(params: Params, tuned: Sequence[Record] = ()) -> Rates:
    """The learning rate of each family with each tuner at each budget at which it was tuned.

    With no candidates the published tuning of the same model decides, and where nothing is published the usual rate.
    """
    if not tuned and not params.rate_factors:
        from lowres.ledger.published import read_published

        tuned = [one for one in read_published("crossing") if unseeded(one.trial["model"]) == params.model]
    return chosen_rates([one for one in tuned if one.trial["arm"].startswith("tuning ")])


def chosen_rates(tuned: Sequence[Record]) -> Rates:
    """The best rate of each group: the likeliest validation targets, mean over the tuning tasks and seeds.

    Where a grid grew on one task alone, its further rates are left out: another task might be worse off there.
    """
    return best_rates([*competing(tuned), *(one for one in tuned if is_control(one))], _group)


def competing(tuned: Sequence[Record]) -> list[Record]:
    """The tuning records at rates that were tried on all tasks of their model and group."""
    tried = [one for one in tuned if not is_control(one)]
    tasks: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for one in tried:
        for alike in (_alike(one), (*_alike(one), _rate(one))):
            tasks[alike].add(one.trial["task"])
    return [one for one in tried if tasks[*_alike(one), _rate(one)] == tasks[_alike(one)]]


def _alike(record: Record) -> tuple[object, ...]:
    return unseeded(record.trial["model"]), *_group(record)


def _group(record: Record) -> tuple[str, int]:
    return tuned_arm(record), record.trial["recipe"]["task_tokens"]


def _rate(record: Record) -> str:
    return f"{record.trial['optimisation']['learning_rate']:.6g}"
