"""The trials that follow from the study's parameters, and the rates that they take."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lowres.data import TaskOptions, load_task
from lowres.studies import TUNING_SEED, as_tuning, best_rates, seeded, tuned_arm, unseeded
from lowres.studies.fiat import writing
from lowres.studies.fiat.arms import ARMS, RATE_OF, Arm
from lowres.studies.fiat.params import Params
from lowres.studies.fiat.settings import Setting, settings

if TYPE_CHECKING:
    from lowres.trial import Record, Trial

USUAL_RATES = {"lora": (3e-3, 1e-3), "full": (1e-3, 5e-5)}  # the middle of the rates tried: of world models, of others
TUNING_ITEMS = 100  # validation examples that decide on a learning rate


def tuning(params: Params) -> list[Trial]:
    """One trial per way of tuning, base and size, at each candidate rate, judged on validation data.

    The arms that decide have neither rationale nor instruction; all others of the same tuner and base take their rate.
    So the rate is the baseline's best, and whatever is put on top has not been tuned for.
    """
    factors = params.rate_factors or ()
    if len(factors) < 2:
        return []
    needed = {rate_arm(setting.arm) for setting in settings(params) if ARMS[setting.arm].tuned}
    found = []
    for factor, size, name in itertools.product(factors, params.examples or (), RATE_OF.values()):
        if name in needed:
            rate = factor * usual_rate(params.tau or "", ARMS[name].tuner)
            trial = _trial(params, Setting(name, size), TUNING_SEED, rate, min(params.seeds or (0,)))
            found.append(as_tuning(trial, name, params.seeds, items=TUNING_ITEMS))
    return found


def rate_arm(name: str) -> str:
    """The arm whose learning rate an arm takes: same tuner, same base, bare input."""
    arm = ARMS[name]
    return RATE_OF[arm.tuner, "B" in arm.factors]


def trials(params: Params, tuned: Sequence[Record] = ()) -> list[Trial]:
    """All trials, seed by seed.

    Args:
        tuned: records of `tuning`; without any, the published ones decide.

    Raises:
        InputError: more examples than the data have.
    """
    from lowres.data import rationales
    from lowres.data.mixing import take_examples

    task = load_task(params.task or "", TaskOptions.of(params))
    take_examples(rationales.pool_of(task, params.pool or 0), max(params.examples or (0,)), 0, f"task {task.name!r}")
    rates = learning_rates(params, tuned)
    found = [
        (place, _trial(params, setting, seed, _rate(params, setting, rates), seed))
        for setting in settings(params)
        for place, seed in enumerate(_seeds(params, ARMS[setting.arm]))
    ]
    return list(dict.fromkeys(trial for _, trial in sorted(found, key=lambda one: one[0])))


def _seeds(params: Params, arm: Arm) -> tuple[int, ...]:
    """What is not tuned has no randomness but that of a world model's pretraining, or of the solved examples shown."""
    from lowres import world

    seeds = params.seeds or ()
    return seeds if arm.tuned or arm.shots or world.is_world_model(params.tau or "") else seeds[:1]


def _trial(params: Params, setting: Setting, seed: int, rate: float, model_seed: int) -> Trial:
    from lowres import tuners
    from lowres.optimisation import Optimisation
    from lowres.trial import Evaluation, Recipe, Trial

    arm = ARMS[setting.arm]
    instructed = "B" in arm.factors or not arm.tuned
    optimisation = Optimisation(rate, steps=params.updates, batch_size=params.batch_size)
    return Trial(
        study="fiat",
        arm=arm.name,
        model=seeded((params.tau if instructed else params.base) or "", model_seed),
        task=params.task or "",
        recipe=Recipe(
            task_examples=setting.examples,
            pool=(params.pool or 0) if arm.tuned or arm.use == "input" else 0,  # beta writes for the pool alone
            anchor=arm.anchor,
            shots=arm.shots,
            rationale=arm.use,
            rationales=writing.file_name(params, arm, model_seed) if arm.use != "none" else "",
        ),
        tuner=tuners.make(arm.tuner) if arm.tuned else None,
        optimisation=optimisation if arm.tuned else None,
        evaluation=Evaluation(items=params.items),
        seed=seed,
        options=TaskOptions.of(params),
        chat_format="auto" if params.chat_format == "on" and not instructed else params.chat_format,  # a base has none
    )


# --- learning rates --------------------------------------------------------------------------------------------------


def usual_rate(model: str, tuner: str) -> float:
    """A rate that is about right: the middle of what is tried."""
    from lowres import world

    small, large = USUAL_RATES[tuner]
    return small if world.is_world_model(model) else large


def _rate(params: Params, setting: Setting, rates: Mapping[tuple[str, int], float]) -> float:
    if not ARMS[setting.arm].tuned:
        return 0.0
    factors, tuner = params.rate_factors or (), ARMS[setting.arm].tuner
    usual = usual_rate(params.tau or "", tuner) * (factors[0] if len(factors) == 1 else 1.0)
    return rates.get((rate_arm(setting.arm), setting.examples), usual)


def learning_rates(params: Params, tuned: Sequence[Record] = ()) -> dict[tuple[str, int], float]:
    """The learning rate of each deciding arm at each size: where the validation targets are the likeliest.

    With no candidate rates, the published tuning of the same model and task decides, and where nothing is published the
    usual rate.
    """
    if not tuned and not params.rate_factors:
        from lowres.ledger.published import read_published

        tuned = [r for r in read_published("fiat") if r.trial["task"] == params.task]
        alike = {unseeded(name or "") for name in (params.tau, params.base)}
        tuned = [r for r in tuned if unseeded(r.trial["model"]) in alike]
    tuned = [record for record in tuned if record.trial["arm"].startswith("tuning ")]
    return best_rates(tuned, lambda record: (tuned_arm(record), record.trial["recipe"]["task_examples"]))
