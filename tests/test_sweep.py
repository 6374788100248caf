"""The simulated sweeps of the page on clusters, by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest

from benchmarks import sweep


class Scripted(random.Random):
    """Numbers that were written down."""

    def __init__(self, lives: list[float], owners: list[int]) -> None:
        super().__init__(0)
        self.lives, self.owners = lives, owners

    def expovariate(self, lambd: float = 1.0) -> float:
        return self.lives.pop(0)

    def randrange(self, *_: Any) -> int:
        return self.owners.pop(0)


def test_a_queue_gives_the_next_trial_to_whoever_is_free():
    assert sweep.simulate([3, 1, 1, 1, 2], 2, 0.0, False, Scripted([], [])) == sweep.Sweep(5, 0)
    assert sweep.simulate([2, 2], 5, 0.0, False, Scripted([], [])) == sweep.Sweep(2, 0)


def test_shards_run_what_they_own():
    assert sweep.simulate([3, 1, 1, 1, 2], 2, 0.0, True, Scripted([], [0, 0, 1, 0, 1])) == sweep.Sweep(5, 0)
    assert sweep.simulate([1, 1, 1], 2, 0.0, True, Scripted([], [1, 1, 1])) == sweep.Sweep(3, 0)


@pytest.mark.parametrize("dealt", [False, True])
def test_a_lost_worker_begins_its_trial_anew(dealt: bool):
    # Lives of 1 and 0.5 are shorter than the trial of 2; the third is long enough, and so is that of the second trial.
    found = sweep.simulate([2, 1], 1, 0.1, dealt, Scripted([1, 0.5, 9, 9], [0, 0]))
    assert found == sweep.Sweep(1 + 0.5 + 2 * sweep.WAIT + 2 + 1, 1.5)


def test_nothing_is_faster_than_an_even_share_and_one_worker_without_losses_takes_just_that():
    rows = sweep.table([1.0, 2.0, 5.0], repeats=2)
    assert [(row["queue"], row["shards"]) for row in rows if row["workers"] == 1 and not row["loss"]] == [(8, 8)]
    assert all(row["shards"] >= row["queue"] >= max(5, 8 / row["workers"]) for row in rows)
    assert all(row["queue lost"] > 0 for row in rows if row["loss"])


def test_the_paper_tier_is_planned_without_data():
    hours = sweep.paper_tier()
    assert len(hours) > 500
    assert all(0 < one < 24 for one in hours)
