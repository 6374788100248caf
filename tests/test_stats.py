"""Every statistic against a case worked by hand, the intervals against simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.stats import Components, Effect, holm, mean_interval, paired_effect

Scores = np.ndarray


def world(
    seeds: int, items: int, noise: tuple[float, float, float], random_seed: int = 0, effect: float = 0.0
) -> Scores:
    """Scores [seeds, items] with known noise: between seeds, between items, rest."""
    draw = np.random.default_rng(random_seed).standard_normal
    between_seeds, between_items, rest = noise
    return effect + between_seeds * draw((seeds, 1)) + between_items * draw((1, items)) + rest * draw((seeds, items))


# --- paired effect ----------------------------------------------------------------------------------------------------


def test_paired_effect_by_hand() -> None:
    # differences [[1, 3], [3, 5]]: seed means 2 and 4, item means 2 and 4, mean 3, nothing left over.
    effect = paired_effect([[2, 5], [5, 9]], [[1, 2], [2, 4]])
    assert effect.estimate == 3
    # Vs = Vi = var(2, 4) / 2 = 1, degrees (1 + 1)^2 / (1/1 + 1/1) = 2, hence t / z = 4.30265 / 1.95996 = 2.19527.
    assert effect.degrees == 2
    # Resampling two seeds moves the mean by -1, 0 or 1 (probability 1/4, 1/2, 1/4), so the 2.5 % quantile is -1, times
    # sqrt(2 / 1), times 2.19527: 3 -/+ 3.1046. Items the same.
    assert effect.seed_interval == pytest.approx((-0.1046, 6.1046), abs=1e-3)
    assert effect.item_interval == pytest.approx((-0.1046, 6.1046), abs=1e-3)
    # Both together: -2 has probability 1/16 > 2.5 %, half width 2 * sqrt(2) * 2.19527 = 6.2092.
    assert effect.interval == pytest.approx((-3.2092, 9.2092), abs=1e-3)
    # t = 3 / 6.2092 * 4.30265 = 2.0788; with 2 degrees p = 1 - t / sqrt(2 + t^2) = 0.1732.
    assert effect.p_value == pytest.approx(0.1732, abs=1e-4)
    assert (effect.seeds, effect.items) == (2, 2)
    # var(2, 4) = 2 between seeds and between items, no rest.
    assert effect.components == Components(2.0, 2.0, 0.0)


def test_components_by_hand() -> None:
    # [[0, 2], [2, 0]]: all seed means and item means are 1, so everything is rest: (4 * 1) / (1 * 1) = 4.
    assert mean_interval([[0, 2], [2, 0]]).components == Components(0.0, 0.0, 4.0)


def test_components_find_what_was_put_in() -> None:
    parts = mean_interval(world(200, 300, (0.5, 1.0, 2.0))).components
    assert (parts.seeds, parts.items, parts.rest) == pytest.approx((0.25, 1.0, 4.0), rel=0.2)


def test_widths_of_the_sources_add_up_in_squares() -> None:
    effect = mean_interval(world(5, 80, (0.1, 0.8, 0.1)))
    whole, seeds, items = (high - low for low, high in (effect.interval, effect.seed_interval, effect.item_interval))
    assert whole == pytest.approx(math.hypot(seeds, items), rel=0.05)


def test_one_seed_leaves_the_item_interval_and_says_so() -> None:
    effect = paired_effect([[1.0, 0.0, 1.0, 1.0]], [[0.0, 0.0, 1.0, 0.0]])
    assert effect.seeds == 1
    assert all(math.isnan(bound) for bound in effect.seed_interval)
    assert effect.interval == effect.item_interval
    assert effect.text().endswith("(one seed: item noise only)")


def test_one_item_leaves_the_seed_interval() -> None:
    effect = mean_interval([[1.0], [2.0], [4.0]])
    assert effect.interval == effect.seed_interval
    assert all(math.isnan(bound) for bound in effect.item_interval)


def test_control_without_seeds_stands_beside_every_seed() -> None:
    treatment, base = world(3, 40, (0.1, 0.3, 0.3)), world(1, 40, (0.0, 0.3, 0.3), random_seed=1)
    assert repr(paired_effect(treatment, base)) == repr(paired_effect(treatment, np.repeat(base, 3, axis=0)))


def test_no_noise_gives_a_point() -> None:
    same = mean_interval(np.zeros((3, 5)))
    assert (same.interval, same.p_value) == ((0.0, 0.0), 1.0)
    shifted = mean_interval(np.full((3, 5), 0.5))
    assert (shifted.interval, shifted.p_value) == ((0.5, 0.5), 0.0)


def test_same_random_seed_same_result() -> None:
    scores = world(3, 50, (0.1, 0.3, 0.3))
    assert mean_interval(scores, random_seed=4) == mean_interval(scores, random_seed=4)
    assert mean_interval(scores, random_seed=4) != mean_interval(scores, random_seed=5)


def test_p_value_agrees_with_the_interval() -> None:
    effect = mean_interval(world(4, 50, (0.05, 0.3, 0.3), effect=0.2))
    for bound in effect.interval:
        assert effect.p_against(bound) == pytest.approx(0.05)
    assert effect.p_against(effect.estimate) == 1
    assert effect.p_against(effect.interval[1] + 0.1) < 0.05 < effect.p_against(effect.interval[1] - 0.01)


tables = st.tuples(st.integers(1, 4), st.integers(2, 6)).flatmap(
    lambda shape: st.lists(
        st.lists(st.floats(-100, 100, width=32), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


@settings(max_examples=40, deadline=None)
@given(tables)
def test_swapping_the_sides_turns_the_effect_round(scores: list[list[float]]) -> None:
    zero = np.zeros_like(scores)
    there, back = paired_effect(scores, zero, resamples=200), paired_effect(zero, scores, resamples=200)
    assert back.estimate == -there.estimate
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]), abs=1e-6)
    assert back.p_value == pytest.approx(there.p_value, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(tables)
def test_the_interval_holds_the_estimate(scores: list[list[float]]) -> None:
    effect = mean_interval(scores, resamples=400)
    assert effect.interval[0] <= effect.estimate + 1e-6
    assert effect.interval[1] >= effect.estimate - 1e-6
    assert 0 <= effect.p_value <= 1


@pytest.mark.parametrize(
    ("noise", "without_seeds"),
    [
        pytest.param((0.05, 0.3, 0.3), False, id="both sources"),
        pytest.param((0.10, 0.3, 0.1), False, id="mostly seeds"),
        pytest.param((0.01, 0.4, 0.4), False, id="mostly items"),
        pytest.param((0.05, 0.2, 0.2), True, id="control without seeds"),
    ],
)
def test_headline_interval_covers_the_truth(noise: tuple[float, float, float], without_seeds: bool) -> None:
    covered = 0
    for trial in range(200):
        treatment = world(3, 60, noise, 2 * trial, effect=0.1)
        untouched = world(1, 60, (0.0, *noise[1:]), 2 * trial + 1)
        control = untouched if without_seeds else world(3, 60, noise, 2 * trial + 1)
        low, high = paired_effect(treatment, control, resamples=1000).interval
        covered += low <= 0.1 <= high
    assert 0.90 <= covered / 200 <= 0.995


@pytest.mark.parametrize(
    ("treatment", "control", "message"),
    [
        ([[1, 2], [1]], [[1, 2]], "treatment is ragged: seed 0 has 2 items, seed 1 has 1"),
        ([[1, 2], [1, math.nan]], [[1, 2]], "treatment: seed 1, item 1 is nan"),
        ([[1, 2]], [[math.inf, 2]], "control: seed 0, item 0 is inf"),
        ([[1, 2]], [[1, 2, 3]], "treatment has 2 items, control has 3"),
        ([[1, 2]], [[1, 2], [1, 2]], "treatment has 1 seeds, control has 2"),
        ([1, 2], [[1, 2]], r"treatment has shape \[2\]"),
        ([], [[1, 2]], r"treatment has shape \[0\]"),
        ([["a", "b"]], [[1, 2]], "treatment is no table of numbers"),
        ([[1]], [[2]], "one seed and one item"),
    ],
)
def test_wrong_tables_are_named(treatment: list[list[float]], control: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_effect(treatment, control)


def effect_of(estimate: float, interval: tuple[float, float], components: Components | None = None) -> Effect:
    components = components or Components()
    return Effect(estimate, interval, (math.nan, math.nan), interval, 0.5, 3, 100, degrees=2, components=components)


def test_effect_in_words() -> None:
    effect = effect_of(0.0432, (0.0119, 0.0748))
    assert effect.text() == "+0.043 [0.012, 0.075]"
    assert effect.text(percent=True) == "+4.3 % [1.2, 7.5]"
    assert effect_of(-0.0004, (-0.02, 0.02)).text(2) == "+0.00 [-0.02, 0.02]"


# --- several claims, more seeds ---------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    # sorted 0.01 0.02 0.03 0.04; times 4, 3, 2, 1: 0.04 0.06 0.06 0.04; never below the one before: 0.04 0.06 0.06 0.06
    adjusted = holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.02})
    assert adjusted == pytest.approx({"a": 0.06, "b": 0.04, "c": 0.06, "d": 0.06})
    assert list(adjusted) == ["a", "b", "c", "d"]
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1)))
def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)
    ordered = sorted(p_values, key=lambda name: p_values[name])
    assert [adjusted[name] for name in ordered] == sorted(adjusted.values())
    for name, value in p_values.items():
        assert value <= adjusted[name] <= min(1.0, len(p_values) * value)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_no_probability(value: float) -> None:
    with pytest.raises(ValueError, match="p-value of 'second'"):
        holm({"first": 0.5, "second": value})
