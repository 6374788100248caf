"""The golden trials come out as recorded, cover what there is, and a result moves only together with its version."""

from __future__ import annotations

from typing import Any

import pytest

from lowres import tuners
from lowres.data import METRICS, ORDERS, load_probe
from lowres.data.rationales import USES
from lowres.evaluate.metrics import MEASURES
from lowres.trial.material import ANCHORS
from tests.golden import cases, verdict
from tests.golden.architectures import ARCHITECTURES
from tests.golden.running import outcomes_of
from tests.golden.verdict import Expected

EVERY = cases.all_cases()
FOUND = {"a": {"outcomes": {"task": {"token_f1": [1, 0.25]}}, "texts": {"task": ["red"]}}, "b": {"counts": {"cut": 2}}}


def test_the_record_making_half_gives_what_is_recorded():
    expected, found = Expected.read(), outcomes_of(EVERY)
    moved = verdict.moved_cases(expected, found, EVERY)
    assert not moved
    assert verdict.problems(expected, found, moved) == []


# --- what the cases cover --------------------------------------------------------------------------------------------


def test_every_kind_of_trial_is_among_the_cases():
    trials = list(EVERY.values())
    recipes = [recipe for made in trials for recipe in (made.recipe, *(stage.recipe for stage in made.stream))]
    judged = {made.task for made in trials}
    assert len(trials) >= 80
    assert {made.tuner.name for made in trials if made.tuner} == set(tuners.tuner_names())
    assert {recipe.anchor for recipe in recipes} == set(ANCHORS)
    assert {recipe.order for recipe in recipes} == set(ORDERS)
    assert {recipe.labels for recipe in recipes} == {"true", "random"}
    assert {recipe.rationale for recipe in recipes} == set(USES)
    assert {f"golden-{metric}" for metric in {*METRICS, *MEASURES}} <= judged
    assert {made.model for made in trials} == set(ARCHITECTURES)
    assert {made.precision for made in trials} == {"fp32", "bf16"}
    assert any(recipe.shots for recipe in recipes)
    assert any(recipe.task_examples for recipe in recipes)
    assert any(recipe.pool for recipe in recipes)


def test_every_kind_of_probe_is_among_the_cases(tmp_path):
    from tests.golden import content

    with content.in_place(tmp_path):
        probes = [load_probe(name) for made in EVERY.values() for name in made.evaluation.probes]
    assert {(probe.kind, probe.chat) for probe in probes} == {("choice", False), ("choice", True), ("nll", False)}


def test_measures_are_tried_on_answers_that_are_right_wrong_and_in_between():
    """A measure that gave every stored answer the same could change without a sign."""
    recorded = Expected.read().cases
    for metric in METRICS:
        values = recorded[f"metric {metric}"]["outcomes"]["task"][metric]
        assert len(set(values)) > 1, metric


# --- the rule --------------------------------------------------------------------------------------------------------


def changed(**parts: Any) -> dict[str, Any]:
    return {**FOUND, "a": {**FOUND["a"], **parts}}


TRIALS = dict.fromkeys(("a", "b", "c"), cases.BASE)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (FOUND, []),
        (changed(outcomes={"task": {"token_f1": [1, 0.25 * (1 + 5e-6)]}}), []),
        (changed(outcomes={"task": {"token_f1": [1, 0.25], "new": [3]}, "probe": {}}), []),
        (changed(outcomes={"task": {"token_f1": [1, 0.2501]}}), ["outcomes task token_f1[1]: 0.25, now 0.2501"]),
        (changed(outcomes={"task": {"token_f1": [0, 0.25]}}), ["outcomes task token_f1[0]: 1, now 0"]),
        (changed(outcomes={"task": {"token_f1": [1]}}), ["outcomes task token_f1: [1, 0.25], now [1]"]),
        (changed(outcomes={"task": {}}), ["outcomes task token_f1: gone"]),
        (changed(texts={"task": ["Red"]}), ["texts task[0]: 'red', now 'Red'"]),
        ({"b": FOUND["b"]}, ["gone"]),
    ],
)
def test_what_a_moved_result_is(now: dict[str, Any], told: list[str]):
    moved = verdict.moved_cases(Expected(1, {}, FOUND), now, TRIALS)
    assert moved == ({"a": told} if told else {})


def test_nan_is_not_what_was_recorded():
    assert list(verdict.differences([0.5], [float("nan")], "fp32"))


def test_a_result_moves_together_with_the_version_and_the_version_with_a_result():
    expected, moved = Expected(1, {}, FOUND), {"a": ["moved"]}
    assert verdict.problems(expected, FOUND, {}, 1) == []
    assert "RESULT_VERSION is still 1" in verdict.problems(expected, FOUND, moved, 1)[0]
    assert "those of 1" in verdict.problems(expected, FOUND, moved, 2)[0]  # until they are recorded
    assert "no result moved" in verdict.problems(expected, FOUND, {}, 2)[0]
    assert "not recorded: c" in verdict.problems(expected, {**FOUND, "c": {}}, {}, 1)[0]
    risen = Expected(2, {"2": 0}, FOUND)
    assert "without a result that moved" in verdict.problems(risen, FOUND, {}, 2)[0]


def test_recording_keeps_the_numbers_that_did_not_move():
    now = changed(outcomes={"task": {"token_f1": [1, 0.25 * (1 + 5e-6)], "new": [3]}})
    now |= {"b": {"counts": {"cut": 3}}, "c": {"counts": {}}}
    expected = Expected(1, {}, FOUND)
    moved = verdict.moved_cases(expected, now, TRIALS)
    again = verdict.recorded(expected, now, moved, 2)
    assert (again.version, again.moved) == (2, {"2": 1})
    assert again.cases["a"]["outcomes"] == {"task": {"token_f1": [1, 0.25], "new": [3]}}
    assert (again.cases["b"], again.cases["c"]) == (now["b"], now["c"])
    assert verdict.problems(again, now, verdict.moved_cases(again, now, TRIALS), 2) == []


def test_what_is_written_is_read_again(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(verdict, "EXPECTED", tmp_path / "expected.json")
    assert Expected.read().cases == {}
    written = Expected(3, {"3": 2}, FOUND)
    written.write()
    assert Expected.read() == written
