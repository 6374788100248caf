"""The deciding interval: a case by hand, simulated coverage, and the chance-corrected loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres.stats.anova import anova_effect, retained


def simulated(random: np.random.Generator, shape: tuple[int, int], noise: tuple[float, float, float]) -> np.ndarray:
    """A table [seeds, items] around zero: noise between seeds, between items, and the rest."""
    seeds, items, rest = noise
    draw = random.standard_normal
    return seeds * draw((shape[0], 1)) + items * draw((1, shape[1])) + rest * draw(shape)


def test_a_case_by_hand() -> None:
    # Seed means 2, 4, 6; item means 3, 5; nothing left over. Mean square of seeds 2 * 4 = 8, of items 3 * 2 = 6.
    effect = anova_effect([[[1, 3], [3, 5], [5, 7]]])
    assert (effect.estimate, effect.seeds, effect.items) == (4, 3, 2)
    # V = (8 + 6 - 0) / (3 * 2) = 7/3; degrees (7/3)^2 / ((4/3)^2 / 2 + 1^2 / 1) = 49/17.
    assert effect.degrees == pytest.approx(49 / 17)
    half = (effect.interval[1] - effect.interval[0]) / 2
    assert half == pytest.approx(3.2549 * math.sqrt(7 / 3), rel=2e-3)  # t at 2.88 degrees, read off a table


def test_the_rest_counts_once() -> None:
    # Only rest: V is close to rest / (seeds * items); counted with the seeds and with the items it would be twice that.
    table = simulated(np.random.default_rng(0), (10, 200), (0, 0, 1))
    effect = anova_effect([table])
    assert 0.7 < (effect.interval[1] - effect.interval[0]) / (2 * 2.2 * math.sqrt(1 / 2000)) < 1.2


@given(st.integers(2, 6), st.integers(1, 9), st.integers(0, 10**6))
def test_swapping_the_sides_turns_the_effect_round(seeds: int, items: int, random_seed: int) -> None:
    table = simulated(np.random.default_rng(random_seed), (seeds, items), (0.3, 0.3, 0.3))
    there, back = anova_effect([table]), anova_effect([-table])
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
    assert (back.estimate, back.p_value) == pytest.approx((-there.estimate, there.p_value))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("items", "noise"),
    [(60, (0, 0, 0.5)), (60, (0.06, 0.1, 0.45)), (200, (0.1, 0.05, 0.3)), (8, (0, 0, 0.2)), (100, (0, 0.3, 0.1))],
)
def test_coverage_of_the_truth(seeds: int, items: int, noise: tuple[float, float, float]) -> None:
    random = np.random.default_rng(1)
    intervals = [anova_effect([simulated(random, (seeds, items), noise)]).interval for _ in range(600)]
    assert 0.93 <= np.mean([low <= 0 <= high for low, high in intervals]) <= 0.99


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_coverage_with_two_tasks_that_share_their_seeds(seeds: int) -> None:
    random, held = np.random.default_rng(2), 0
    for _ in range(600):
        common = 0.06 * random.standard_normal((seeds, 1))
        terms = [common / 2 + simulated(random, (seeds, items), (0, 0.1, 0.45)) / 2 for items in (60, 120)]
        low, high = anova_effect(terms).interval
        held += low <= 0 <= high
    assert held / 600 >= 0.93


def test_terms_add_up_and_subtract() -> None:
    first, second = [[1.0, 2.0], [2.0, 4.0]], [[1.0, 1.0, 4.0], [0.0, 3.0, 3.0]]
    assert anova_effect([first, second]).estimate == pytest.approx(2.25 + 2.0)
    assert anova_effect([first, -np.array(second)]).estimate == pytest.approx(0.25)
    assert anova_effect([first, -np.array(first)]).estimate == 0


def test_one_seed_has_the_interval_of_its_items() -> None:
    effect = anova_effect([[[1.0, 0.0, 1.0, 1.0]]])
    assert (effect.seeds, effect.estimate) == (1, 0.75)
    assert effect.interval[0] == pytest.approx(0.75 - 3.1824 * 0.25, abs=1e-3)  # sd .5, four items


@pytest.mark.parametrize(
    ("terms", "what"),
    [
        ([], "seeds"),
        ([[[1.0, 2.0]], [[1.0], [2.0]]], "seeds"),
        ([[1.0, 2.0]], "shape"),
        ([[[1.0, math.nan]]], "item 1 is nan"),
        ([[[1.0]]], "no interval"),
    ],
)
def test_bad_terms_are_named(terms: list, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        anova_effect(terms)


def test_no_noise_is_a_point() -> None:
    effect = anova_effect([np.full((3, 4), 0.5)])
    assert (effect.interval, effect.p_value) == ((0.5, 0.5), 0.0)
    assert anova_effect([np.zeros((3, 4))]).p_value == 1


@given(st.integers(2, 6), st.integers(1, 9), st.integers(0, 10**6))
def test_any_table_has_a_sound_interval(seeds: int, items: int, random_seed: int) -> None:
    table = simulated(np.random.default_rng(random_seed), (seeds, items), (0.3, 0.3, 0.3))
    effect = anova_effect([table])
    assert effect.interval[0] <= table.mean() <= effect.interval[1]
    assert effect.degrees >= min(seeds - 1, max(items - 1, 1)) - 1e-9
    assert 0 <= effect.p_value <= 1


# --- chance-corrected loss -------------------------------------------------------------------------------------------


def test_loss_is_a_ratio_of_sums_by_hand() -> None:
    # Probe a: .8 -> .6 at chance .25; probe b: 1.0 -> .5 at chance .5. A = .35 + 0, B = .55 + .5, L = 1 - .35 / 1.05.
    before = {"a": [[1, 1, 1, 1, 0]], "b": [[1, 1]]}
    after = {"a": [[1, 1, 1, 0, 0]], "b": [[1, 0]]}
    terms = retained(before, after, {"a": 0.25, "b": 0.5})
    assert sum(float(term.mean()) for term in terms) == pytest.approx(2 / 3)


def test_nothing_lost_is_zero_in_every_seed() -> None:
    scores = {"a": [[1, 0, 1], [1, 1, 1]], "b": [[1, 1], [0, 1]]}
    terms = retained(scores, scores, {"a": 0.25, "b": 0.25})
    assert sum(term.mean(1) for term in terms) == pytest.approx([0, 0])


def test_interval_of_a_loss_covers_the_truth() -> None:
    random, held, rounds = np.random.default_rng(3), 0, 400
    for _ in range(rounds):
        before = {name: (random.random((5, 100)) < 0.9).astype(float) for name in "ab"}
        after = {name: (random.random((5, 100)) < 0.6).astype(float) for name in "ab"}
        low, high = anova_effect(retained(before, after, dict.fromkeys("ab", 0.25))).interval
        held += low <= 1 - 0.35 / 0.65 <= high
    assert 0.93 <= held / rounds <= 0.99


def test_a_start_at_chance_has_nothing_to_lose() -> None:
    with pytest.raises(ValueError, match="at or below chance"):
        retained({"a": [[0.0, 0.5]]}, {"a": [[0.0, 0.0]]}, {"a": 0.25})
    with pytest.raises(ValueError, match="the same are needed"):
        retained({"a": [[1.0]]}, {"b": [[1.0]]}, {"a": 0.25, "b": 0.25})
