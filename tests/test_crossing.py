"""The crossing: what is possible, rates over several tasks, gains, the guide on tables made by hand, advice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from lowres import cli
from lowres.book import advice
from lowres.claims import rulebook
from lowres.claims.rules import Contrast, decide, terms_of
from lowres.ledger import Ledger
from lowres.outcomes import Ambiguous, NotRun, Outcomes
from lowres.params import InputError, from_mapping, resolve
from lowres.rates.harm import CONTROL
from lowres.stats import guide
from lowres.stats.guide import Case, Leaf, Split
from lowres.studies import crossing
from lowres.studies.crossing import arms, measures, plan
from lowres.studies.crossing.measures import NO_RULE, Row, gained
from lowres.studies.crossing.params import Params
from lowres.trial import Record, Trial

pytestmark = pytest.mark.usefixtures("general_pool", "results")


@pytest.fixture
def given(chat_folder: Path, task: str) -> dict[str, Any]:
    """Parameters under which a trial takes a blink."""
    few = {"task_tokens": [120], "ratio": 2.0, "seeds": [0, 1], "items": 4, "probe_items": 2, "rate_factors": [1.0]}
    return {"model": str(chat_folder), "tasks": [task], "probes": ["siqa"], "precision": "fp32", **few}


def params(values: dict[str, Any], **changes: Any) -> Params:
    return resolve(from_mapping(Params, values | changes))


# --- arms ------------------------------------------------------------------------------------------------------------


def test_every_possible_arm_has_a_trial_per_seed(given: dict[str, Any]):
    asked = params(given, recipes=["sft", "sft-equal-steps", "tell", "fiat-own"], tuners=["full", "lora-small"])
    found = crossing.trials(asked)
    assert {(one.arm, one.seed) for one in found if one.tuner} == {
        (f"{recipe} {tuner}", seed)
        for recipe in ("sft", "sft-equal-steps", "tell")
        for tuner in ("full", "lora-small")
        for seed in (0, 1)
    }  # the task has no rationales
    assert crossing.left_out(asked) == [f"left out: fiat-own on {asked.tasks[0]}, for which there are no rationales"]
    by_arm = {one.arm: one for one in found}
    assert by_arm["tell full"].recipe.general_tokens == 240
    assert by_arm["sft-equal-steps full"].optimisation.steps > len(by_arm["sft full"].evaluation.probes)
    assert (by_arm["sft lora-small"].tuner.rank, by_arm["sft lora-small"].tuner.alpha) == (1, 4)
    assert all(one.recipe.anchor == "hand-written" for one in found)


def test_a_beta_of_the_world_writes_where_its_steps_can_be_asked_for():
    asked = params({"tier": "smoke", "tasks": ["world-form", "world-sort"], "recipes": ["fiat", "fiat-own"]})
    possible = {(t, r) for t in asked.tasks for r in asked.recipes if plan.is_possible(asked, t, r)}
    assert possible == {("world-form", "fiat"), ("world-form", "fiat-own"), ("world-sort", "fiat-own")}


def test_fields_of_an_own_task_are_for_that_task_alone(given: dict[str, Any]):
    both = params(given, tasks=["wiki-topic", *given["tasks"]], prompt_field="prompt", target_field="target")
    assert plan.options_of(both, "wiki-topic") != plan.options_of(both, given["tasks"][0])
    with pytest.raises(InputError, match="prompt_field is for your own task"):
        params(given, tasks=["wiki-topic"], prompt_field="prompt")


# --- rates -----------------------------------------------------------------------------------------------------------


def tuned(task: str, rate: float, nll: float, arm: str = "tuning task lora", model: str = "model") -> Record:
    trial = tiny.trial(model, task, arm=arm)
    trial = replace(trial, optimisation=replace(trial.optimisation, learning_rate=rate))
    return tiny.record(f"{task}{rate}{arm}", trial, {"task": {"target_nll": [nll]}})


def test_one_rate_serves_all_tuning_tasks():
    a = [tuned("wiki-topic", rate, nll) for rate, nll in ((1e-3, 1.0), (3e-3, 1.2), (9e-3, 0.1))]
    b = [tuned("siqa-csqa", rate, nll) for rate, nll in ((1e-3, 1.0), (3e-3, 0.5))]
    (found,) = plan.chosen_rates([*a, *b]).values()  # 9e-3 was tried on one of them alone
    assert found == 3e-3
    assert plan.chosen_rates([*a, *b, tuned("siqa-csqa", 9e-3, 9.0, CONTROL)]) == plan.chosen_rates([*a, *b])


def test_another_model_with_other_tasks_rules_out_no_rate():
    own = [tuned("wiki-topic", rate, rate) for rate in (1e-3, 3e-3)]
    other = [tuned("world-sort", rate, rate, model="world-s@1000") for rate in (1e-3, 9e-3)]
    assert plan.competing([*own, *other]) == [*own, *other]


# --- gains -----------------------------------------------------------------------------------------------------------


def test_gain_is_the_share_of_what_the_rule_gains():
    before, after = np.array([[0.0, 0.5]]), np.array([[0.5, 1.0]])
    assert gained(before, after).mean() == pytest.approx((0.75 - 0.25) / (1 - 0.25))
    assert gained(np.ones((1, 2)), np.zeros((1, 2))).mean() == pytest.approx(-1 / measures.LEAST)


def test_items_enter_a_gain_by_its_slope():
    random = np.random.default_rng(0)
    before, after = random.random((1, 500)) < 0.3, random.random((1, 500)) < 0.7
    table = gained(before.astype(float), after.astype(float))[0]
    left = [(np.delete(after[0], i).mean() - np.delete(before[0], i).mean()) / (1 - np.delete(before[0], i).mean())
            for i in range(500)]  # fmt: skip
    jackknife = np.sqrt(499 / 500 * np.square(np.array(left) - np.mean(left)).sum())
    assert table.std(ddof=1) / np.sqrt(500) == pytest.approx(jackknife, rel=0.02)


# --- the guide -------------------------------------------------------------------------------------------------------

A, B, R = "sft lora", "tell lora", "fiat lora"
PLAIN = frozenset({A, B})


def case(task: str, tokens: int, a: float, b: float, start: float = 5.0, **more: float) -> Case:
    return Case(task, tokens, start, {A: a, B: b, **({R: more["r"]} if more else {})})


FEW, MANY = 250, 4000
TABLE = [case(t, FEW, 0.1, 0.3) for t in "pqrs"] + [case(t, MANY, 0.9, 0.5) for t in "pqrs"]


def test_a_tree_asks_what_pays_to_ask():
    tree = guide.fit(TABLE, PLAIN)
    assert isinstance(tree, Split)
    assert (tree.feature, tree.at) == ("tokens", 2125.0)
    assert isinstance(tree.below, Leaf)  # a second question would gain nothing
    assert [guide.leaf_of(tree, tokens, 5.0).arm(PLAIN) for tokens in (FEW, MANY)] == [B, A]
    assert [when for when, _ in guide.leaves(tree)] == ["task tokens below 2125", "task tokens from 2125"]


def test_a_leaf_needs_three_tasks():
    cases = [case("p", FEW, 0, 1, start=1.0), case("q", FEW, 0, 1, start=1.0)] + [
        case(t, FEW, 1, 0, start=9.0) for t in "rstu"
    ]
    assert isinstance(guide.fit(cases, PLAIN), Leaf)


def test_regret_on_the_task_left_out_is_worked_by_hand():
    choices = guide.left_out(TABLE, PLAIN)
    assert [(one.guide, one.fixed) for one in choices[:2]] == [(B, A), (A, A)]  # fixed: .1 + .9 beats .3 + .5
    regrets = guide.regrets(TABLE, choices, (A, B))
    assert regrets["the guide"] == 0
    assert regrets["the best single arm of the others"] == pytest.approx(0.1)  # .2 in half of the cases
    assert regrets[f"always {B}"] == pytest.approx(0.2)
    assert regrets["a coin"] == pytest.approx((0.1 + 0.2) / 2)


def test_arms_with_rationales_are_for_those_who_have_some():
    cases = [case(t, FEW, 0.1, 0.3, r=0.9) for t in "pqr"] + [case("s", FEW, 0.1, 0.3)]
    leaf = Leaf(tuple(cases))
    assert leaf.arm(PLAIN) == B
    assert leaf.arm(PLAIN | {R}) == R
    assert [sorted(one.allowed) for one in guide.left_out(cases, PLAIN)][-1] == sorted(PLAIN)
    assert Leaf((cases[-1],)).arm(PLAIN | {R}) == B  # nothing is known of rationales here


def test_a_task_judges_a_guide_that_it_was_not_fitted_on():
    odd = [*(case(t, FEW, 0.0, 1.0) for t in "pqr"), case("odd", FEW, 1.0, 0.0)]
    assert {one.guide for one in guide.left_out(odd, PLAIN) if one.task == "odd"} == {B}


# --- from records to the guide's regret ------------------------------------------------------------------------------


def made(task: str, arm: str, tokens: int, seed: int, score: float) -> Record:
    model = "world-s"
    trial: Trial = tiny.trial(model, task, arm=arm, seed=seed)
    recipe = replace(trial.recipe, task_tokens=0 if arm == "untouched" else tokens)
    kept = {name: {"accuracy": [1.0, 1.0, 0.9]} for name in arms.WORLD_PROBES}
    outcome = {"task": {"score": [score] * 432, "target_nll": [3.0] * 432}, **kept}
    return tiny.record(f"{task}{arm}{tokens}{seed}", replace(trial, recipe=recipe), outcome)


def test_regret_and_its_seeds_come_from_records(monkeypatch: pytest.MonkeyPatch):
    from lowres.outcomes import of_task

    monkeypatch.setattr(measures, "of_task", lambda measure="score": of_task(measure or "score"))
    monkeypatch.setattr(measures, "OFFERED", (arms.Arm("sft", "lora"), arms.Arm("tell", "lora")))
    monkeypatch.setattr(measures, "UNWRITTEN", PLAIN)
    tasks = ("world-reverse", "world-sort", "world-place", "world-length")
    records = [made(t, "untouched", 0, s, 0.0) for t in tasks for s in range(3)]
    for tokens, a, b in ((FEW, 0.1, 0.3), (MANY, 0.9, 0.5)):
        records += [
            made(t, arm, tokens, s, x + s / 100) for t in tasks for arm, x in ((A, a), (B, b)) for s in range(3)
        ]
    outcomes, places = Outcomes.of(records), [{"model": "world-s", "task": task} for task in tasks]
    part = Contrast("", tuple((0.5, {"task_tokens": tokens}) for tokens in (FEW, MANY)), NO_RULE, measures.REGRET)
    seeds, (table,) = terms_of(outcomes, places, part)
    assert seeds == [0, 1, 2]
    assert table.shape == (3, 4)
    assert table.mean() == pytest.approx(-0.1)  # of .1 by the guide's lead at few tokens, which half of the cases have
    with pytest.raises(NotRun, match="8 of 12"):
        terms_of(outcomes, places, replace(part, terms=(*part.terms, (0.5, {"task_tokens": 9}))))


def test_a_guide_that_takes_the_usual_arm_everywhere_is_not_compared_with_it(monkeypatch: pytest.MonkeyPatch):
    """It would be no worse than itself, whatever it is worth."""
    lead: dict[str, dict[int, float]] = {A: {0: 0.2, 1: 0.3}, B: {0: 0.1, 1: 0.1}}
    free = {arm: {0: 0.0, 1: 0.0} for arm in lead}
    monkeypatch.setattr(
        measures, "rows_of", lambda _, places, __: [Row(p["task"], FEW, 3.0, lead, free) for p in places]
    )
    monkeypatch.setattr(measures, "UNWRITTEN", PLAIN)
    monkeypatch.setattr(measures, "_utility_terms", lambda *_: ([0, 1], [np.full((2, 4), 0.3)]))
    places = [{"model": "smollm2-135m-instruct", "task": task} for task in "pqrs"]
    same, other = (
        Contrast("", ((1.0, {"arm": arm, "task_tokens": FEW}),), NO_RULE, measures.TRANSFER) for arm in (A, B)
    )
    with pytest.raises(Ambiguous, match="nothing to compare"):
        measures.transfer(Outcomes.of([]), places, same)
    seeds, tables = measures.transfer(Outcomes.of([]), places, other)
    assert seeds == [0, 1]
    assert sum(table.mean() for table in tables) == pytest.approx(4 * 2 * 0.3 / 4)


def test_the_page_shows_the_guide_and_its_regret(monkeypatch: pytest.MonkeyPatch):
    from lowres.studies.crossing import page

    def table(model: str) -> tuple[Row, ...]:
        best = {FEW: "tell lora", MANY: "sft full"}
        gains = {
            at: {a.name: dict.fromkeys(range(3), float(a.name == best[at])) for a in measures.OFFERED} for at in best
        }
        lost = {a.name: dict.fromkeys(range(3), 0.0) for a in measures.OFFERED}
        return tuple(Row(t, at, 5.0, gains[at], lost) for t in "pqrs" for at in best) if model == "world-s" else ()

    monkeypatch.setattr(page, "_rows", table)
    shown = repr(page.the_guide())
    assert "task tokens below 2125" in shown
    assert "tell lora" in shown
    regret = repr(page.the_regret())
    assert "| world-s | 0.5 | 0.000 | 0.500 |" in regret  # the guide, the best single arm of the others
    assert "world-xs" not in regret


def test_nothing_is_decided_without_records():
    for rule in rulebook.rules_of("crossing"):
        for column in ("world", "real"):
            assert decide(rule, column, Outcomes.of([])).outcome == "cannot tell"


# --- advice ----------------------------------------------------------------------------------------------------------


NOTHING = {A: {0: 0.0}, B: {0: 0.0}}


def rows() -> list[Row]:
    def by_seed(value: float) -> dict[int, float]:
        return {seed: value + seed / 100 for seed in range(3)}

    free = {A: by_seed(0), B: by_seed(0)}
    return [Row(c.task, c.tokens, c.start, {arm: by_seed(u) for arm, u in c.utility.items()}, free) for c in TABLE]


def test_advice_names_arm_interval_evidence_and_command():
    told = "\n".join(advice.recommended(advice.Asked("wiki-topic"), 300, 5.0, rows()))
    assert f"Take: {B}" in told
    assert "gain elsewhere: +0.31" in told
    assert "4 tasks" in told
    assert "-p 'recipes=[tell]' -p 'tuners=[lora]'" in told
    assert "outside its range" not in told
    beyond = "\n".join(advice.recommended(advice.Asked("wiki-topic", "m"), 90_000, None, rows()))
    assert f"Take: {A}" in beyond
    assert "outside its range: 90,000 task tokens" in beyond
    assert "-p model=m" in beyond
    assert "outside its range: 9 nats" in "\n".join(advice.recommended(advice.Asked("t"), 300, 9.0, rows()))


def test_an_unknown_start_is_taken_to_be_the_usual_one():
    cases = [case(t, FEW, 0.1, 0.3, start=1.0) for t in "pqr"] + [case(t, FEW, 0.9, 0.5, start=9.0) for t in "stuv"]
    table = [Row(c.task, c.tokens, c.start, {a: {0: u} for a, u in c.utility.items()}, NOTHING) for c in cases]
    told = [advice.recommended(advice.Asked("t"), FEW, start, table)[0] for start in (None, 1.0, 9.0)]
    assert [A in each for each in told] == [True, False, True]


def test_a_loss_weighs_as_the_user_says():
    costly = [replace(row, loss={A: {0: 0.0}, B: {0: 0.5}}) for row in rows()]
    few = [advice.recommended(advice.Asked("t", keep=keep), 300, 5.0, costly)[0] for keep in (0.0, 1.0)]
    assert B in few[0]
    assert A in few[1]


def test_without_records_there_is_no_advice(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = task.removeprefix("jsonl:")
    assert cli.main(["advise", "--task", file, "--ledger", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "No advice yet" in told
    assert f'tasks=["jsonl:{file}"]' in told
    assert cli.main(["advise", "--task", file, "--keep", "much"]) == cli.REFUSED
    assert cli.main(["advise", "--task", file, "--keep", "-1"]) == cli.REFUSED


def test_a_model_at_hand_is_asked_first(task: str, chat_folder: Path, tmp_path: Path):
    asked = advice.Asked(task, str(chat_folder))
    told = advice.advise(asked, Ledger(tmp_path))
    assert "nats per target token before: " in told
    assert "not measured" not in told


def test_arms_of_a_row_are_compared_on_the_same_seeds() -> None:
    gains, losses = measures._on_common_seeds(
        {"sft lora": {10: 0.1, 11: 0.9}, "tell lora": {10: 0.2}},
        {"sft lora": {10: 0.0, 11: 0.0}, "tell lora": {10: 0.3}, "fiat lora": {10: 0.1}},
    )
    assert gains == {"sft lora": {10: 0.1}, "tell lora": {10: 0.2}}
    assert losses == {"sft lora": {10: 0.0}, "tell lora": {10: 0.3}}
