"""Grids of learning rates: several seeds, edges that move, rates that diverge."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lowres import registry
from lowres.optimisation import Optimisation
from lowres.rates import at_rate, beyond, grids, group, on_seeds, tune
from lowres.trial import Evaluation, Recipe, Record, Stage, Trial
from lowres.tuners import LoRA

PLAIN = Trial(
    study="toy",
    arm="tuning sft",
    model="world-s",
    task="world-two-hop",
    recipe=Recipe(task_tokens=100),
    tuner=LoRA(),
    optimisation=Optimisation(1e-3),
    evaluation=Evaluation(split="validation"),
    seed=1000,
)


def at_rates(*rates: float) -> list[Trial]:
    return [at_rate(PLAIN, rate) for rate in rates]


def runner(loss: Callable[[float, int], float], ran: list[Trial]) -> Callable[[Sequence[Trial]], list[Record]]:
    """Runs nothing: the loss follows from rate and seed; nan stands for a trial that failed."""

    def run(trials: Sequence[Trial]) -> list[Record]:
        ran.extend(trials)
        return [_record(trial, loss(trial.optimisation.learning_rate, trial.seed)) for trial in trials]

    return run


def _record(trial: Trial, loss: float) -> Record:
    status = "failed" if math.isnan(loss) else "done"
    key = f"{trial.recipe.task_tokens}/{trial.optimisation.learning_rate}/{trial.seed}"
    return Record(key, status, trial.spec(), {}, outcomes={"task": {"target_nll": [loss]}})


def valley(bottom: float) -> Callable[[float, int], float]:
    return lambda rate, seed: abs(math.log(rate / bottom))


def test_a_best_rate_inside_needs_no_more_trials() -> None:
    ran: list[Trial] = []
    records = tune(at_rates(3e-4, 1e-3, 3e-3), runner(valley(1e-3), ran))
    assert len(ran) == 3
    (grid,) = grids(records).values()
    assert (grid.best, grid.edge) == (1e-3, "")


@pytest.mark.parametrize("bottom", [1e-3, 2.7e-2])
def test_a_plan_follows_a_grid_that_grew(bottom: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished line of a campaign was shown as yet to be run where its best rate lay beyond the first grid."""

    def tested(params: Any, tuned: Sequence[Record]) -> list[Trial]:
        return [replace(at_rate(PLAIN, next(iter(grids(tuned).values())).best if tuned else 1e-3), seed=10)]

    study: Any = SimpleNamespace(tuning=lambda params: at_rates(3e-4, 1e-3, 3e-3), trials=tested)
    ran: list[Trial] = []
    tuned = tune(on_seeds(study.tuning(None), (10,)), runner(valley(bottom), ran))
    recorded = {record.key: record for record in tuned}
    monkeypatch.setattr("lowres.engine.planning.known_key", lambda trial: _record(trial, 0.0).key)
    params = SimpleNamespace(seeds=(10,))
    ledger: Any = SimpleNamespace(get=recorded.get)
    assert registry.planned(study, params, ledger) == [*ran, *tested(params, tuned)]
    recorded.pop(_record(ran[0], 0.0).key)  # half of a first grid says nothing about its edge
    assert registry.planned(study, params, ledger) == [*ran[:9], *tested(params, [])]


@pytest.mark.parametrize(("bottom", "more"), [(2.7e-2, [9e-3, 2.7e-2, 8.1e-2]), (1e-4, [1e-3 / 3 / 3, 1e-3 / 27])])
def test_a_grid_grows_until_the_best_rate_is_inside(bottom: float, more: list[float]) -> None:
    ran: list[Trial] = []
    records = tune(at_rates(1e-3 / 3, 1e-3, 3e-3), runner(valley(bottom), ran))
    assert [trial.optimisation.learning_rate for trial in ran[3:]] == pytest.approx(more)
    (grid,) = grids(records).values()
    assert grid.edge == ""
    assert len(grid.losses) == len(ran)  # every try is counted


def test_a_grid_does_not_grow_for_ever() -> None:
    ran: list[Trial] = []
    records = tune(at_rates(1e-3, 3e-3), runner(lambda rate, seed: -rate, ran))
    assert len(ran) == 2 + 4
    (grid,) = grids(records).values()
    assert grid.edge == "upper"


def test_a_rate_at_which_one_seed_fails_never_wins() -> None:
    ran: list[Trial] = []
    run = runner(lambda rate, seed: math.nan if rate > 2e-3 and seed == 1001 else -rate, ran)
    records = tune(on_seeds(at_rates(3e-4, 1e-3, 3e-3)), run)
    (grid,) = grids(records).values()
    assert (grid.best, grid.edge, len(ran)) == (1e-3, "", 9)


def test_all_rates_failing_asks_for_a_smaller_one() -> None:
    ran: list[Trial] = []
    records = tune(at_rates(1e-3, 3e-3), runner(lambda rate, seed: math.nan if rate > 2e-4 else rate, ran))
    (grid,) = grids(records).values()
    assert grid.best < 2e-4
    assert math.isfinite(grid.losses[grid.best])


def test_the_mean_over_seeds_decides() -> None:
    losses = {3e-4: (9, 9, 9), 1e-3: (1.0, 3.0, 3.0), 3e-3: (1.5, 1.5, 1.5), 9e-3: (9, 9, 9)}
    run = runner(lambda rate, seed: losses[rate][seed - 1000], [])
    (grid,) = grids(tune(on_seeds(at_rates(*losses)), run)).values()
    assert grid.best == 3e-3


def test_validation_seeds_have_models_and_subsets_of_their_own() -> None:
    found = on_seeds([PLAIN], (10, 11))
    assert [(trial.seed, trial.model) for trial in found] == [
        (1000, "world-s@10"),
        (1001, "world-s@11"),
        (1002, "world-s@10"),
    ]
    real = on_seeds([replace(PLAIN, model="smollm2-135m-instruct")], (10, 11))
    assert [(trial.seed, trial.model) for trial in real] == [(s, "smollm2-135m-instruct") for s in (1000, 1001)]
    assert len({group(trial.spec()) for trial in found}) == 1


def test_groups_are_extended_apart() -> None:
    other = replace(PLAIN, recipe=Recipe(task_tokens=1000))
    trials = [*at_rates(1e-3, 3e-3, 9e-3), *(at_rate(other, rate) for rate in (1e-3, 3e-3, 9e-3))]
    bottoms = {100: 3e-3, 1000: 9e-3}
    records = [_record(t, abs(math.log(t.optimisation.learning_rate / bottoms[t.recipe.task_tokens]))) for t in trials]
    (further,) = beyond(trials, records)
    assert (further.recipe.task_tokens, further.optimisation.learning_rate) == (1000, pytest.approx(2.7e-2))


def test_a_single_rate_was_not_tuned() -> None:
    ran: list[Trial] = []
    tune(at_rates(1e-3), runner(valley(1.0), ran))
    assert len(ran) == 1


def test_all_stages_of_a_stream_change_their_rate() -> None:
    stage = Stage("world-two-hop", Recipe(task_tokens=100), Optimisation(1e-3, steps=3))
    streamed = at_rate(replace(PLAIN, stream=(stage,)), 5e-3)
    assert streamed.stream[0].optimisation == Optimisation(5e-3, steps=3)
    assert group(streamed.spec()) == group(replace(PLAIN, stream=(stage,)).spec())


# --- rates that harm -------------------------------------------------------------------------------------------------

PROBES = ("world-fact-home", "world-either")  # chance .25 and .5


def asked(model: str) -> tuple[str, ...]:
    return PROBES


def harming(kept: Callable[[float], float], ran: list[Trial]) -> Callable[[Sequence[Trial]], list[Record]]:
    """Runs nothing: the task is learnt best at 1e-2; at each rate the control keeps a share of what is above chance."""

    def run(trials: Sequence[Trial]) -> list[Record]:
        ran.extend(trials)
        return [record_of(trial) for trial in trials]

    def record_of(trial: Trial) -> Record:
        rate = trial.optimisation.learning_rate if trial.optimisation else 0.0
        if trial.evaluation.probes:
            share = kept(rate) if trial.optimisation else 1.0
            found = {name: 0.25 + 0.6 * share if "fact" in name else 0.5 + 0.4 * share for name in PROBES}
            outcomes = {name: {"accuracy": [value, value]} for name, value in found.items()}
        else:
            outcomes = {"task": {"target_nll": [abs(math.log(rate / 1e-2))]}}
        return Record(f"{trial.arm}/{rate}/{trial.seed}", "done", trial.spec(), {}, outcomes=outcomes)

    return run


def test_the_control_is_as_much_general_data_at_the_same_rate():
    from lowres.rates.harm import controls

    start, unmoved, control = controls(at_rates(1e-3), asked)
    assert (start.tuner, start.recipe) == (None, Recipe())
    assert (unmoved.tuner, unmoved.optimisation.learning_rate, unmoved.optimisation.steps) == (PLAIN.tuner, 1e-12, 1)
    assert control.recipe == Recipe(general_tokens=100)
    assert control.optimisation == PLAIN.optimisation
    assert (control.evaluation.split, control.evaluation.items, control.evaluation.probes) == ("validation", 0, PROBES)


def test_a_rate_that_harms_by_itself_is_not_chosen():
    ran: list[Trial] = []
    records = tune(at_rates(1e-3, 3e-3, 1e-2, 3e-2), harming(lambda rate: 1 - 10 * rate, ran), asked)
    (grid,) = grids(records).values()
    assert grid.harm == pytest.approx({1e-3: 0.01, 3e-3: 0.03, 1e-2: 0.1, 3e-2: 0.3})
    assert (grid.best, grid.edge) == (3e-3, "")  # 1e-2 would be learnt from better


def test_harm_is_found_in_published_records_too():
    """Their specs have another order of names, by which no control was found: its rate was chosen as if harmless."""
    records = tune(at_rates(1e-3, 3e-3, 1e-2, 3e-2), harming(lambda rate: 1 - 10 * rate, []), asked)
    stored = [replace(record, trial=json.loads(json.dumps(record.trial, sort_keys=True))) for record in records]
    assert list(stored[-1].trial["recipe"]) != list(records[-1].trial["recipe"])
    assert grids(stored) == grids(records)


def test_what_a_tuner_costs_before_its_first_update_is_not_the_rates() -> None:
    """LoReFT starts from a random edit: no rate was admissible, and the smallest, which learns nothing, was taken."""
    records = tune(at_rates(1e-3, 3e-3, 1e-2, 3e-2), harming(lambda rate: 0.9 - 10 * rate, []), asked)
    (grid,) = grids(records).values()
    assert grid.harm == pytest.approx({1e-3: 0.01, 3e-3: 0.03, 1e-2: 0.1, 3e-2: 0.3})
    assert (grid.best, grid.edge) == (3e-3, "")


def test_where_all_rates_harm_the_grid_grows_down_until_one_does_not():
    ran: list[Trial] = []
    records = tune(at_rates(1e-2, 3e-2), harming(lambda rate: 1 - 10 * rate, ran), asked)
    (grid,) = grids(records).values()
    assert grid.best == pytest.approx(1e-2 / 3)
    assert sorted(grid.losses) == pytest.approx([1e-2 / 9, 1e-2 / 3, 1e-2, 3e-2])


def test_controls_are_tries_of_no_arm():
    from lowres.studies import best_rates

    records = tune(at_rates(1e-3, 3e-3, 1e-2), harming(lambda rate: 1 - 10 * rate, []), asked)
    assert best_rates(records, lambda record: record.trial["arm"]) == {"tuning sft": 3e-3}
