"""Effects in words, p-values against any value, Holm's correction by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.stats import Effect, holm


def effect_of(estimate: float, interval: tuple[float, float]) -> Effect:
    return Effect(estimate, interval, 0.5, 3, 100, degrees=2)


def test_p_value_agrees_with_the_interval() -> None:
    effect = effect_of(0.2, (0.1, 0.3))
    for bound in effect.interval:
        assert effect.p_against(bound) == pytest.approx(0.05)
    assert effect.p_against(effect.estimate) == 1
    assert effect.p_against(effect.interval[1] + 0.1) < 0.05 < effect.p_against(effect.interval[1] - 0.01)


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
