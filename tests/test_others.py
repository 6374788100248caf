"""Published results beside ours: whether we agree is told by an interval, and every row names what there is."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from lowres.book import others
from lowres.stats.anova import anova_effect


@pytest.mark.parametrize(
    ("estimate", "agree", "told"),
    [
        (0.1, "above", "agree"),
        (0.0, "above", "disagree"),
        (0.1, "below", "disagree"),
        (-0.02, "below", "cannot tell"),
        (0.0, "within", "agree"),
        (0.1, "", "no direction to compare"),
    ],
)
def test_a_direction_is_tested_with_the_interval(estimate: float, agree: str, told: str):
    half = 0.05 if told == "cannot tell" else 0.005
    random = np.random.default_rng(0).standard_normal((40, 200))
    effect = anova_effect([estimate + half * 5 * (random - random.mean())])
    assert others.answer(effect, agree) == told


def test_every_published_result_is_cited_and_compared_with_something_that_is_there():
    bib = (tiny.ROOT / "book/references.bib").read_text(encoding="utf-8")
    found = list(others.rows(tiny.ROOT / "book" / "others.csv"))
    assert len(found) > 10
    for cited, result, _, ours, _ in found:
        assert f"{{{cited.split('`')[1]}," in bib
        assert result
        assert ours
