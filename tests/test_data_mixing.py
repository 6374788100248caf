"""Token budgets, mixtures and the random-label control, on made-up examples."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lowres.data import Example, mix, take_tokens
from lowres.data.mixing import random_labels, take_examples
from lowres.params import InputError

settings.register_profile("data", max_examples=60, deadline=None)
settings.load_profile("data")

SEEDS = st.integers(0, 2**31)
SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def of_size(sizes):
    return [Example(str(number), f"prompt {number}", str(size)) for number, size in enumerate(sizes)]


def size(example):
    return int(example.target)


@given(SIZES, st.integers(1, 400), SEEDS)
def test_a_budget_is_kept_and_nearly_filled(sizes, budget, seed):
    examples = of_size(sizes)
    if budget > sum(sizes) or budget < min(sizes):
        with pytest.raises(InputError):
            take_tokens(examples, budget, size, seed, "made-up")
        return
    taken = take_tokens(examples, budget, size, seed, "made-up")
    total = sum(map(size, taken))
    left = [other for other in examples if other not in taken]
    assert taken
    assert len(set(taken)) == len(taken)
    assert total <= budget
    assert total >= 0.95 * budget or all(total + size(other) > budget for other in left)
    assert taken == take_tokens(examples, budget, size, seed, "made-up")


@given(SIZES, SEEDS)
def test_a_budget_of_everything_takes_everything(sizes, seed):
    examples = of_size(sizes)
    assert Counter(take_tokens(examples, sum(sizes), size, seed, "made-up")) == Counter(examples)


@pytest.mark.parametrize(
    ("budget", "words"), [(0, "at least 1"), (-5, "-5"), (61, "60 tokens"), (9, "smallest has 10")]
)
def test_an_impossible_budget_says_what_there_is(budget, words):
    with pytest.raises(InputError, match=words) as caught:
        take_tokens(of_size([10, 20, 30]), budget, size, 0, "the task made-up")
    assert "made-up" in str(caught.value)


@given(SIZES, st.integers(1, 400), SEEDS, st.integers(2, 30))
def test_what_does_not_fit_is_left_out_before_the_budget(sizes, budget, seed, longest):
    """As if it were not there: the rest is drawn in the same order."""

    def fits(example):
        return size(example) <= longest

    examples = of_size(sizes)
    fitting = [example for example in examples if fits(example)]
    whole = sum(map(size, fitting))
    assume(not 0.95 * budget <= whole < budget)  # then what does not fit may end the drawing, or all may be too little
    if budget > whole or budget < min(map(size, fitting)):
        with pytest.raises(InputError, match="made-up"):
            take_tokens(examples, budget, size, seed, "made-up", fits)
        return
    taken = take_tokens(examples, budget, size, seed, "made-up", fits)
    total = sum(map(size, taken))
    assert all(map(fits, taken))
    assert total <= budget
    assert total >= 0.95 * budget or all(total + size(other) > budget for other in fitting if other not in taken)
    some = take_examples(examples, len(fitting), seed, "made-up", fits)
    assert Counter(some) == Counter(fitting)
    with pytest.raises(InputError, match=f"made-up has: {len(fitting)}"):
        take_examples(examples, len(fitting) + 1, seed, "made-up", fits)


def test_a_budget_counts_what_fits_and_says_what_does_not():
    examples, short = of_size([10, 20, 30, 500, 500]), lambda example: size(example) < 100
    assert sum(map(size, take_tokens(examples, 60, size, 0, "it", short))) == 60
    with pytest.raises(InputError, match="more than it has: 60 tokens in examples that fit the context; 2 do not"):
        take_tokens(examples, 70, size, 0, "it", short)
    with pytest.raises(InputError, match="holds no example of it: the smallest has 10 in examples that fit"):
        take_tokens(examples, 9, size, 0, "it", short)


def test_different_seeds_take_different_examples():
    examples = of_size([10] * 100)
    assert len({take_tokens(examples, 100, size, seed, "made-up") for seed in range(5)}) == 5


def test_counting_stops_when_the_budget_is_full():
    counted = []
    take_tokens(of_size([10] * 1000), 100, lambda example: counted.append(example) or 10, 0, "made-up")
    assert len(counted) == 11


@given(st.integers(0, 20), st.integers(0, 20), st.sampled_from(["shuffle", "task-first", "task-last"]), SEEDS)
def test_a_mixture_holds_everything_once_in_the_order_asked_for(n_task, n_general, order, seed):
    task = [Example(f"t{number}", "p", "t") for number in range(n_task)]
    general = [Example(f"g{number}", "p", "t") for number in range(n_general)]
    mixed = mix(task, general, order, seed)
    assert Counter(mixed) == Counter([(example, True) for example in task] + [(example, False) for example in general])
    flags = [is_task for _, is_task in mixed]
    if order != "shuffle":
        assert flags == sorted(flags, reverse=order == "task-first")
    assert mixed == mix(task, general, order, seed)


def test_a_shuffled_mixture_is_not_in_blocks():
    task, general = of_size([1] * 50), of_size([2] * 50)
    flags = [is_task for _, is_task in mix(task, general, "shuffle", 0)]
    changes = sum(one != other for one, other in pairwise(flags))
    assert changes > 30
    with pytest.raises(InputError, match="shuffle, task-first, task-last"):
        mix(task, general, "random", 0)


@given(st.lists(st.sampled_from(["red", "green", "blue"]), min_size=2, max_size=30), SEEDS)
def test_random_labels_of_free_text_are_the_labels_of_others(targets, seed):
    examples = [
        Example(str(n), f"p{n}", f"{text} {n}", answers=(f"{text} {n}", text)) for n, text in enumerate(targets)
    ]
    relabelled = random_labels(examples, seed)
    assert [example.prompt for example in relabelled] == [example.prompt for example in examples]
    assert Counter(example.target for example in relabelled) == Counter(example.target for example in examples)
    assert all(new.target != old.target for new, old in zip(relabelled, examples, strict=True))
    assert all(new.target in new.answers and len(new.answers) == 2 for new in relabelled)
    assert relabelled == random_labels(examples, seed)


@given(st.lists(st.tuples(st.integers(2, 4), st.integers(0, 3)), min_size=1, max_size=30), SEEDS)
def test_random_labels_of_choices_stay_choices_and_keep_the_distribution_of_positions(shapes, seed):
    examples = []
    for number, (length, right) in enumerate(shapes):
        choices = tuple(f"choice {number} {position}" for position in range(length))
        examples.append(
            Example(str(number), "p", choices[right % length], choices, (choices[right % length],), "because")
        )
    relabelled = random_labels(examples, seed)

    def positions(items):
        return Counter((len(example.choices), example.choices.index(example.target)) for example in items)

    assert positions(relabelled) == positions(examples)
    assert [example.choices for example in relabelled] == [example.choices for example in examples]
    assert all(example.answers == (example.target,) and example.rationale is None for example in relabelled)


def test_random_labels_of_yes_and_no_carry_no_information():
    examples = [Example(str(n), "p", "yes" if n % 2 else "no", ("yes", "no")) for n in range(2000)]
    kept = sum(new.target == old.target for new, old in zip(random_labels(examples, 3), examples, strict=True))
    assert 900 < kept < 1100
