"""Contrasts over places, decisions and their reasons, on records made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lowres.claims import Rule
from lowres.claims.rules import (
    LOSS,
    Asked,
    Contrast,
    Decision,
    SecondRule,
    decide,
    decisions,
    difference,
    terms_of,
    with_holm,
)
from lowres.data import load_task
from lowres.optimisation import Optimisation
from lowres.outcomes import Ambiguous, NotRun, Outcomes, by_unit, of_task, units
from lowres.stats.anova import anova_effect
from lowres.trial import Evaluation, Recipe, Record, Trial
from lowres.tuners import LoRA

TASKS = ("country-language", "boolq")  # any two tasks of the book
PROBES = ("siqa", "commonsenseqa")
ITEMS = 40


def record(arm: str, model: str, task: str, seed: int, level: float, probe: float = 0.9, **recipe: Any) -> Record:
    """A record whose task and probe items are right with these probabilities, the same items for every arm."""
    tuned = arm != "untouched"
    trial = Trial(
        study="toy",
        arm=arm,
        model=model,
        task=task,
        recipe=Recipe(**({"task_tokens": 100} if tuned else {}), **recipe),
        tuner=LoRA() if tuned else None,
        optimisation=Optimisation(1e-3) if tuned else None,
        evaluation=Evaluation(probes=PROBES),
        seed=seed,
    )
    random = np.random.default_rng([seed, len(arm), int(100 * level)])
    outcomes: dict[str, dict[str, list[float]]] = {
        "task": {"score": (level + 0.05 * random.standard_normal(ITEMS)).tolist()},
        **{name: {"accuracy_per_character": (random.random(ITEMS) < probe).astype(float).tolist()} for name in PROBES},
    }
    return Record(f"{arm}-{model}-{task}-{seed}", "done", trial.spec(), {}, outcomes=outcomes)


def table(levels: Mapping[str, float], seeds: int = 5, model: str = "smollm2-135m-instruct") -> Outcomes:
    return Outcomes.of(
        record(arm, model, task, seed, level)
        for arm, level in levels.items()
        for task in TASKS
        for seed in ([0] if arm == "untouched" else range(seeds))
    )


PLACES = tuple({"model": "smollm2-135m-instruct", "task": task} for task in TASKS)


def asked(*parts: Contrast, seeds: int = 5, **more: Any) -> Asked:
    return Asked(parts, PLACES, seeds, ITEMS, "all", 0.05, (0.02, 0.1, 0.2), **more)


def ruled(*parts: Contrast, **more: Any) -> SecondRule:
    return SecondRule("toy-1", "", {"world": "no world here", "real": asked(*parts, **more)})


def gain(name: str = "tell - sft", boundary: float = 0.02, less: str = "sft") -> Contrast:
    return difference(name, {"arm": "tell"}, {"arm": less}, Rule("above", boundary), "score")


def test_a_single_number_is_not_judged_and_stops_no_other_verdict() -> None:
    """A text to recite is one item, and its first seed may be published before the others."""
    one = []
    for arm in ("tell", "sft"):
        made = record(arm, "smollm2-135m-instruct", TASKS[0], 0, 0.5)
        cut = {name: own[:1] for name, own in made.outcomes["task"].items()}
        one.append(replace(made, outcomes={"task": cut}))
    rule = SecondRule("toy-1", "", {"world": "no world here", "real": replace(asked(gain()), places=PLACES[:1])})
    decision = decide(rule, "real", Outcomes.of(one))
    assert decision.outcome == "cannot tell"
    assert decision.reason.startswith("no interval: tell - sft: one seed and one item")


def test_a_model_that_knew_nothing_before_has_no_loss_and_stops_no_other_verdict() -> None:
    guessing = [record(arm, *PLACES[1].values(), 0, 0.5, probe=0.0) for arm in ("untouched", "tell")]
    lost = Contrast("loss", ((1.0, {"arm": "tell"}),), Rule("above", 0.02), LOSS, at=(PLACES[1],), probes=PROBES)
    decision = decide(ruled(lost), "real", Outcomes.of(guessing))
    assert decision.outcome == "cannot tell"
    assert decision.reason.startswith("no interval: loss: probes")


def test_a_clear_gain_is_reproduced_and_a_clear_lack_is_not() -> None:
    good = decide(ruled(gain()), "real", table({"tell": 0.6, "sft": 0.4}))
    assert (good.outcome, good.seeds, good.places) == ("reproduced", 5, 2)
    assert good.effects["tell - sft"].estimate == pytest.approx(0.2, abs=0.02)
    bad = decide(ruled(gain()), "real", table({"tell": 0.41, "sft": 0.41}))
    assert bad.outcome == "not reproduced"


def test_the_untouched_model_stands_beside_every_seed() -> None:
    found = decide(ruled(gain(less="untouched")), "real", table({"tell": 0.6, "untouched": 0.3}))
    assert (found.outcome, found.seeds) == ("reproduced", 5)


def test_a_difference_of_differences() -> None:
    cells = tuple((w, {"arm": arm}) for w, arm in ((1, "a"), (-1, "b"), (-1, "c"), (1, "d")))
    part = Contrast("twice", cells, Rule("above", 0.02), "score")
    found = decide(ruled(part), "real", table({"a": 0.9, "b": 0.5, "c": 0.6, "d": 0.5}))
    assert found.effects["twice"].estimate == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("levels", "seeds", "reason"),
    [
        ({"tell": 0.6}, 5, "not run: tell - sft"),
        ({"tell": 0.6, "sft": 0.4}, 2, "too few seeds: planned 5, there are 2"),
        ({"tell": 0.9, "sft": 0.1}, 4, "too few seeds: planned 5, there are 4"),  # however clear
        ({"tell": 0.43, "sft": 0.41}, 5, "the effect lies at the margin"),
    ],
)
def test_cannot_tell_has_a_reason(levels: Mapping[str, float], seeds: int, reason: str) -> None:
    found = decide(ruled(gain()), "real", table(levels, seeds))
    assert found.outcome == "cannot tell"
    assert found.reason.startswith(reason)


def test_a_column_that_cannot_be_asked_says_why() -> None:
    found = decide(ruled(gain()), "world", table({"tell": 0.6}))
    assert (found.outcome, found.reason) == ("cannot tell", "not asked: no world here")


def test_parts_that_disagree_make_it_partly() -> None:
    parts = (gain("a"), gain("b", less="other"))
    found = decide(ruled(*parts), "real", table({"tell": 0.6, "sft": 0.4, "other": 0.6}))
    assert found.outcome == "partly"
    assert found.answers == {"a": "yes", "b": "no"}


def test_two_records_of_one_seed_are_never_mixed() -> None:
    outcomes = table({"tell": 0.6, "sft": 0.4})
    double = Outcomes((*outcomes.records, record("tell", "smollm2-135m-instruct", "boolq", 0, 0.1, general_tokens=50)))
    found = decide(ruled(gain()), "real", double)
    assert found.reason.startswith("ambiguous")
    assert "general_tokens 0 or 50" in found.reason
    with pytest.raises(Ambiguous):
        double.by_seed(arm="tell", task="boolq")
    assert len(double.by_seed(arm="tell", task="boolq", general_tokens=0)) == 5


def test_seeds_are_those_that_all_places_have() -> None:
    records = list(table({"tell": 0.6, "sft": 0.4}).records)
    fewer = Outcomes(tuple(one for one in records if not (one.trial["task"] == "boolq" and one.trial["seed"] == 4)))
    seeds, terms = terms_of(fewer, asked(gain()).places, gain())
    assert seeds == [0, 1, 2, 3]
    assert {len(term) for term in terms} == {4}


def test_models_that_share_a_task_share_its_items() -> None:
    both = Outcomes(table({"tell": 0.6, "sft": 0.4}).records + table({"tell": 0.8, "sft": 0.4}, model="gpt2").records)
    places = tuple({"model": model, "task": "boolq"} for model in ("smollm2-135m-instruct", "gpt2"))
    wide = Asked((gain(),), places, 5, ITEMS, "all", 0.05, (0.02, 0.1, 0.2))
    _, terms = terms_of(both, wide.places, gain())
    assert len(terms) == 1  # one set of items
    assert terms[0].mean() == pytest.approx(0.3, abs=0.02)


def test_loss_is_that_of_the_probes_against_the_untouched_model() -> None:
    kept = [record("untouched", "smollm2-135m-instruct", "boolq", 0, 0.3, probe=1.0)]
    kept += [record("tell", "smollm2-135m-instruct", "boolq", seed, 0.5, probe=0.7) for seed in range(5)]
    part = Contrast(
        "loss of tell", ((1.0, {"arm": "tell"}),), Rule("above", 0.02), LOSS, at=(PLACES[1],), probes=PROBES
    )
    found = decide(ruled(part), "real", Outcomes.of(kept))
    assert found.outcome == "reproduced"
    assert found.effects["loss of tell"].estimate == pytest.approx(0.3 / (1 - (1 / 3 + 1 / 5) / 2), abs=0.08)


def test_what_two_groups_of_probes_lose_can_be_compared() -> None:
    kept = [lossy("untouched", "gpt2", 0, 1.0, {}), *(lossy("tell", "gpt2", s, 1.0, {"siqa": 0.4}) for s in range(5))]
    terms = ((1.0, {"arm": "tell", "probes": ("siqa",)}), (-1.0, {"arm": "tell", "probes": ("commonsenseqa",)}))
    _, found = terms_of(
        Outcomes.of(kept), asked().places, Contrast("a - b", terms, Rule("above", 0.02), LOSS, at=(ALONE,))
    )
    assert sum(table.mean() for table in found) == pytest.approx(0.4 / (1 - 1 / 3))  # of siqa, of the other nothing


ALONE = {"task": "boolq"}
CURVES = {  # rate: nats on the new task, share kept of what probes ask
    "small": {1e-3: (2.0, 0.9), 3e-3: (1.0, 0.8), 9e-3: (0.5, 0.4)},
    "large": {1e-3: (1.5, 1.0), 3e-3: (0.9, 0.5), 9e-3: (0.95, 0.2)},
}


def lossy(arm: str, model: str, seed: int, nats: float, lost: Mapping[str, float], rate: float = 1e-3) -> Record:
    """A record with so many nats per target on its task, which lost these shares of two probes; half the items each."""
    tuned = None if arm == "untouched" else LoRA()
    optimisation = Optimisation(rate) if tuned else None
    recipe = Recipe(task_tokens=100) if tuned else Recipe()
    evaluation = Evaluation(probes=PROBES)
    trial = Trial("toy", arm, model, "boolq", recipe, tuned, optimisation, evaluation, seed)
    right = {name: [1.0 - lost.get(name, 0.0)] * 4 for name in PROBES}
    outcomes = {"task": {"target_nll": [nats] * 4}, **{n: {"accuracy_per_character": v} for n, v in right.items()}}
    return Record(f"{arm}-{model}-{seed}-{rate}", "done", trial.spec(), {}, outcomes=outcomes)


def curves(of: Mapping[str, Mapping[float, tuple[float, float]]] = CURVES) -> Outcomes:
    kept = [lossy("untouched", model, 0, 3.0, {}) for model in of]
    for model, curve in of.items():
        for rate, (nats, share) in curve.items():
            kept += [lossy("stream", model, seed, nats, {"siqa": (1 - share) * (1 - 1 / 3)}, rate) for seed in range(3)]
    return Outcomes.of(kept)


def at_same_loss(*rates: float) -> Contrast:
    terms = ((1.0, {"arm": "stream", "model": "large"}), (-1.0, {"arm": "stream", "model": "small"}))
    return Contrast("large - small", terms, Rule("above", 0.02), LOSS, at=(ALONE,), probes=("siqa",), rates=rates)


def test_curves_are_read_where_the_loss_on_the_tasks_is_the_same() -> None:
    # Both reach .9: the larger at 3e-3 (loss of the probe .5), the smaller a fifth of the way from 3e-3 to 9e-3
    # (.2 and .6, so .28).
    _, found = terms_of(curves(), asked().places, at_same_loss(1e-3, 3e-3, 9e-3))
    assert sum(table.mean() for table in found) == pytest.approx(0.5 - 0.28)


def test_a_curve_that_starts_below_the_common_loss_cannot_be_read() -> None:
    steep = {**CURVES, "small": {1e-3: (0.6, 0.9), 3e-3: (0.55, 0.8), 9e-3: (0.5, 0.4)}}
    found = decide(ruled(at_same_loss(1e-3, 3e-3, 9e-3)), "real", curves(steep))
    assert found.outcome == "cannot tell"
    assert "a rate below 0.001" in found.reason


def test_a_rate_that_was_not_run_is_named() -> None:
    found = decide(ruled(at_same_loss(1e-3, 3e-3, 2e-2)), "real", curves())
    assert found.reason.startswith("not run")
    assert "0.02" in found.reason


def test_one_trial_of_two_names_is_found_under_both() -> None:
    """Of seed 0 the trial without general data has the name of the other arm; of seed 1 both were run."""
    plain, mixed = "sft+anchor", "tell"
    kept = [record(mixed, "gpt2", "boolq", 0, 0.5), *(record(arm, "gpt2", "boolq", 1, 0.5) for arm in (plain, mixed))]
    kept.append(record(mixed, "gpt2", "boolq", 2, 0.5, general_tokens=400))
    same = {plain: (mixed, {"general_tokens": 0}), mixed: (plain, {"general_tokens": 0})}
    found = Outcomes.of(kept, same)
    assert {seed: one.trial["arm"] for seed, one in found.by_seed(arm=plain).items()} == {0: mixed, 1: plain}
    assert list(found.by_seed(arm=mixed, ratio=4.0)) == [2]
    assert list(Outcomes.of(kept).by_seed(arm=plain)) == [1]


def test_holm_counts_claims_that_were_not_run() -> None:
    surely = Decision("a", "real", "reproduced", "", p_value=0.02)
    (alone,) = with_holm([surely], 1)
    (among,) = with_holm([surely], 4)
    assert alone.outcome == "reproduced"
    assert (among.outcome, among.p_adjusted) == ("cannot tell", pytest.approx(0.08))
    assert "not among 4 claims (Holm)" in among.reason


def test_columns_are_decided_apart() -> None:
    found = decisions([ruled(gain())], table({"tell": 0.6, "sft": 0.4}))
    assert [(one.column, one.outcome) for one in found] == [("world", "cannot tell"), ("real", "reproduced")]


def test_items_of_a_group_count_as_one() -> None:
    assert by_unit(np.array([1.0, 0.0, 1.0, 1.0]), ("a", "a", "b", "c")).tolist() == [0.375, 0.9375, 0.9375]
    assert by_unit(np.array([0.5, 0.5, 0.5]), ("a", "a", "b")).tolist() == [0.5, 0.5]  # sizes alone are no difference
    assert by_unit(np.array([1.0, 0.0, 4.0]), ("a", "a", "b")).mean() == pytest.approx(5 / 3)
    outcomes = table({"tell": 0.6})
    (first, *_) = outcomes.records
    assert of_task("score")(first).mean() == pytest.approx(np.mean(first.outcomes["task"]["score"]))
    with pytest.raises(NotRun):
        outcomes.by_seed(arm="nobody")


def test_a_person_is_a_unit_and_a_kind_of_item_is_none() -> None:
    passages, topics = load_task("boolq"), load_task("wiki-topic")
    assert set(units(passages, 100)) == {item.group for item in passages.test[:100]}
    assert units(topics, 100) == tuple(item.id for item in topics.test[:100])


def test_power_is_that_of_simulated_decisions() -> None:
    plan = Asked((gain(),), PLACES[:1], 10, 60, "all", 0.05, (0.04, 0.05, 0.2))
    random, decided, rounds, shapes = np.random.default_rng(0), 0, 400, ((10, 1), (1, 60), (10, 60))
    for _ in range(rounds):
        noise = (sd * random.standard_normal(shape) for sd, shape in zip(plan.noise, shapes, strict=True))
        low, _ = anova_effect([plan.matters + sum(noise)]).interval
        decided += low > 0
    assert decided / rounds == pytest.approx(plan.power(), abs=0.08)
