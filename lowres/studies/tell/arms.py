"""The arms of the TELL study and the trials that follow from its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lowres.data import TaskOptions
from lowres.studies import TUNING_SEED, best_rates, tuned_arm
from lowres.studies.tell.params import Params

if TYPE_CHECKING:
    from lowres.trial import Evaluation, Recipe, Record, Trial

USUAL_RATE = 3e-4
FAMILIES = ("task-only", "equal-steps", "mixed")


@dataclass(frozen=True)
class Arm:
    """One way of using the data. Arms of one family share a learning rate, chosen with the same number of tries."""

    name: str
    meaning: str
    family: str = ""
    task: bool = True
    general: bool = False
    anchored: bool = False
    order: str = "shuffle"
    labels: str = "true"
    few_shot: bool = False
    equal_steps: bool = False


ARMS = {
    arm.name: arm
    for arm in (
        Arm("untouched", "the model as it is, told the task by the anchor", task=False, anchored=True),
        Arm("few-shot", "the model as it is, shown solved examples", task=False, anchored=True, few_shot=True),
        Arm("sft", "tuned on the task data, inputs bare", "task-only"),
        Arm("sft+anchor", "tuned on the task data behind the anchor", "task-only", anchored=True),
        Arm(
            "sft-equal-steps",
            "sft+anchor, repeated for as many updates as tell",
            "equal-steps",
            anchored=True,
            equal_steps=True,
        ),
        Arm(
            "general-only",
            "tuned on the general data of tell and nothing else",
            "mixed",
            task=False,
            general=True,
            anchored=True,
        ),
        Arm("tell", "task data behind the anchor, shuffled into general data", "mixed", general=True, anchored=True),
        Arm("tell-no-anchor", "tell with bare inputs", "mixed", general=True),
        Arm(
            "tell-task-first",
            "tell, all task data before all general data",
            "mixed",
            general=True,
            anchored=True,
            order="task-first",
        ),
        Arm(
            "tell-task-last",
            "tell, all general data before all task data",
            "mixed",
            general=True,
            anchored=True,
            order="task-last",
        ),
        Arm(
            "random-labels",
            "tell with the task's targets shuffled among its inputs",
            "mixed",
            general=True,
            anchored=True,
            labels="random",
        ),
    )
}
FAMILY_HEADS = {"task-only": "sft", "equal-steps": "sft-equal-steps", "mixed": "tell"}


def tuning(params: Params) -> list[Trial]:
    """One trial per arm family and candidate learning rate, judged on validation data at the smallest budget."""
    if len(params.learning_rates or ()) < 2:
        return []
    families = [family for family in FAMILIES if any(ARMS[name].family == family for name in params.arms or ())]
    tokens = min(params.task_tokens or ())
    found = []
    for family in families:
        arm = ARMS[FAMILY_HEADS[family]]
        for rate in params.learning_rates or ():
            trial = _trial(params, arm, tokens, params.ratio, TUNING_SEED, {family: rate})
            evaluation = replace(trial.evaluation, split="validation", probes=())
            found.append(replace(trial, arm=f"tuning {family}", evaluation=evaluation))
    return found


def trials(params: Params, tuned: Sequence[Record] = ()) -> list[Trial]:
    """All trials, the most informative first: every arm at every budget, then the sweeps.

    Args:
        tuned: records of `tuning`; without any, the published ones decide.

    Raises:
        InputError: a budget is larger than the data; says how much there is.
    """
    rates = learning_rates(params, tuned)
    budgets, ratio = params.task_tokens or (), params.ratio
    points = [(ARMS[name], tokens, ratio) for tokens in budgets for name in params.arms or ()]
    points += [(ARMS["sft"], tokens, ratio) for tokens in params.sft_tokens or () if tokens not in budgets]
    points += [
        (ARMS["tell"], t, r) for t in budgets for r in params.ratios or () if r != ratio and _is_available(params, t, r)
    ]
    found = [_trial(params, arm, t, r, seed, rates) for arm, t, r in points for seed in _seeds(params, arm)]
    _insist_on_budgets(found)
    return list(dict.fromkeys(found))


def _insist_on_budgets(trials: Sequence[Trial]) -> None:
    """Draw the largest budgets once, so that one that is larger than the data is refused before anything runs."""
    from lowres import models
    from lowres.data import load_task
    from lowres.trial import draw

    largest = {max(trials, key=lambda t: t.recipe.task_tokens), max(trials, key=lambda t: t.recipe.general_tokens)}
    for trial in largest:
        draw(trial, load_task(trial.task, trial.options), models.load(trial.model, trial.precision))


def _seeds(params: Params, arm: Arm) -> tuple[int, ...]:
    """The untouched model has no randomness: one trial stands for all seeds."""
    return (0,) if arm.name == "untouched" else params.seeds or ()


def _is_available(params: Params, task_tokens: int, ratio: float) -> bool:
    """Whether the general pool holds that many tokens; the sweep leaves out what it does not."""
    return task_tokens * ratio <= POOL_TOKENS


POOL_TOKENS = 2_500_000  # what the general pool holds whichever task is left out of it


def _trial(params: Params, arm: Arm, task_tokens: int, ratio: float, seed: int, rates: dict[str, float]) -> Trial:
    from lowres import tuners
    from lowres.trial import Trial

    trial = Trial(
        study="tell",
        arm=arm.name,
        model=params.model,
        task=params.task,
        recipe=_recipe(params, arm, task_tokens, ratio),
        tuner=tuners.make(params.tuner) if arm.family else None,
        optimisation=None,
        evaluation=_evaluation(params),
        seed=seed,
        options=TaskOptions.of(params),
        precision=params.precision,
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
        shots=params.shots if arm.few_shot else 0,
    )


def _evaluation(params: Params) -> Evaluation:
    from lowres.trial import Evaluation

    return Evaluation(items=params.items, probes=tuple(params.probes or ()), probe_items=params.probe_items or 0)


def _with_optimisation(trial: Trial, params: Params, arm: Arm, ratio: float, rates: dict[str, float]) -> Trial:
    from lowres.train import Optimisation

    steps = _steps_of_tell(trial, params, ratio) if arm.equal_steps else None
    rate = rates.get(arm.family, USUAL_RATE)
    optimisation = Optimisation(learning_rate=rate, epochs=params.epochs, batch_size=params.batch_size, steps=steps)
    return replace(trial, optimisation=optimisation)


def _steps_of_tell(trial: Trial, params: Params, ratio: float) -> int:
    """Updates that tell makes with the same seed and budget."""
    from lowres import models
    from lowres.data import load_task
    from lowres.train import Optimisation, update_count
    from lowres.trial import draw

    mixed = replace(trial, recipe=_recipe(params, ARMS["tell"], trial.recipe.task_tokens, ratio))
    own, general = draw(mixed, load_task(trial.task, trial.options), models.load(trial.model, trial.precision))
    plain = Optimisation(USUAL_RATE, batch_size=params.batch_size)
    return update_count((len(own) + len(general)) * params.epochs, plain)


# --- learning rates --------------------------------------------------------------------------------------------------


def learning_rates(params: Params, tuned: Sequence[Record] = ()) -> dict[str, float]:
    """The learning rate of each arm family.

    A single candidate is taken as it is. Several were tried on validation data: the one under which the targets are
    the most likely wins. With none, the published tuning of the same model, task and tuner decides, and where nothing
    is published a usual rate.
    """
    candidates = params.learning_rates or ()
    if len(candidates) == 1:
        return dict.fromkeys(FAMILIES, candidates[0])
    if not tuned and not candidates:
        from lowres.ledger import read_published

        tuned = [record for record in read_published("tell") if _is_tuning_for(params, record)]
    return chosen_rates(tuned)


def chosen_rates(tuned: Sequence[Record]) -> dict[str, float]:
    """The rate of each family's best tuning record, by the likelihood of the validation targets.

    The task's metric is what counts in the end, but on some dozens of items it is mostly noise: in a first look rates
    a factor of ten apart differed by 0.003 in token F1 and by 1.2 nats per token.
    """
    return best_rates(tuned, tuned_arm)


def _is_tuning_for(params: Params, record: Record) -> bool:
    trial = record.trial
    same = trial["model"] == params.model and trial["task"] == params.task
    return same and trial["arm"].startswith("tuning ") and trial["tuner"]["name"] == params.tuner
