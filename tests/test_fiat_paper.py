"""The FIAT paper's tables: complete, consistent where the paper is, and its claims computed from them."""

from __future__ import annotations

import pytest

from lowres.studies.fiat import paper
from lowres.studies.fiat.paper import ICL, RUNGS, TAUS, Number

TABLES = (paper.AVERAGES, paper.ATTRIQA_ACCURACY, paper.ATTRIQA_AUC_PR, paper.INDIC_F1)
# In print, the mean of a row's languages is not the row's average.
CONTRADICTIONS = {
    (("S", "R1"), "attriqa-accuracy"): 95.4,
    (("S", "R0"), "attriqa-auc-pr"): 81.3,
    (("S", "R1"), "attriqa-auc-pr"): 78.02,
    (ICL, "indic-f1"): 67.925,
}


def test_tables_have_every_row_but_the_unreadable_one():
    ladder = {(tau, rung) for tau in TAUS for rung in RUNGS}
    assert set(paper.AVERAGES.rows) == set(paper.ATTRIQA_ACCURACY.rows) == ladder | {ICL}
    assert set(paper.ATTRIQA_AUC_PR.rows) == ladder
    assert set(paper.INDIC_F1.rows) == (ladder | {ICL}) - {("XS", "R3")}
    assert [len(table.columns) for table in TABLES] == [4, 5, 5, 20]
    assert all(table.source.startswith("[P T") for table in TABLES)
    for table in TABLES:
        assert len(set(table.columns)) == len(table.columns)
        assert all(cell is None or 0 < cell.value < 100 for row in table.rows.values() for cell in row)
    with pytest.raises(KeyError, match="attriqa-auc-pr"):
        paper.AVERAGES.at(ICL, "attriqa-auc-pr")


def test_doubtful_cells_are_those_marked_in_print():
    doubtful = {
        (row, column): cell.value
        for table in TABLES
        for row, cells in table.rows.items()
        for column, cell in zip(table.columns, cells, strict=True)
        if cell and cell.doubtful
    }
    assert doubtful == {(("S", "R0"), "te"): 93.9, (("S", "R1"), "ru"): 98.8, (("XS", "R2"), "ur"): 72.4}


def test_doubt_is_passed_on():
    sure, doubtful = Number(2.0), Number(1.0, doubtful=True)
    assert sure - sure == Number(0.0)
    assert sure - doubtful == Number(1.0, doubtful=True)
    assert doubtful - sure == Number(-1.0, doubtful=True)
    assert {check.row for check in paper.checks() if check.mean.doubtful} == {("S", "R0"), ("S", "R1"), ("XS", "R2")}
    assert paper.would_have_to_be(("XS", "R2"), "indic-f1", "as").doubtful


def test_gains_down_the_ladder():
    assert {where: [gain.value for gain in gains] for where, gains in paper.gains().items()} == {
        ("XS", "attriqa-accuracy"): [0.0, 0.5, -0.2, 3.2],
        ("XS", "attriqa-auc-pr"): [-2.2, 7.9, 2.6, 17.7],
        ("XS", "indic-f1"): [2.9, 0.9, 2.0, 4.3],
        ("XS", "full-f1"): [1.8, -0.4, 0.6, 0.3],
        ("S", "attriqa-accuracy"): [-0.8, 0.6, -0.6, 4.1],
        ("S", "attriqa-auc-pr"): [-3.2, 9.1, -4.6, 21.7],
        ("S", "indic-f1"): [0.6, 1.4, 3.0, 5.2],
        ("S", "full-f1"): [-0.5, 0.7, 0.6, 0.7],
    }
    assert not any(gain.doubtful for gains in paper.gains().values() for gain in gains)
    assert len(paper.TAKEN) == len(RUNGS) - 1


def test_fiat_beats_either_paradigm_in_all_but_the_undefined():
    for tau in TAUS:
        for regime in paper.AVERAGES.columns:
            rivals = [(tau, "R4")] if regime == "attriqa-auc-pr" else [(tau, "R4"), ICL]
            best = max(paper.AVERAGES.at(row, regime).value for row in rivals)
            assert paper.AVERAGES.at((tau, "R0"), regime).value > best


@pytest.mark.parametrize(
    ("tau", "without", "expected"),
    [("XS", (), -0.78), ("S", (), -0.55), ("XS", paper.REMOTE, -0.74)],
)
def test_correlation_of_gain_and_baseline(tau: str, without: tuple[str, ...], expected: float):
    found = paper.correlation(tau, without)
    assert (round(found.value, 2), found.doubtful) == (expected, False)
    assert len(paper.reasoning_gains(tau, without)) == 20 - len(without)


def test_largest_and_smallest_gains_by_reasoning():
    gains = {language: gain.value for language, (_, gain) in paper.reasoning_gains("XS").items()}
    ordered = sorted(gains.items(), key=lambda item: item[1])
    assert ordered[:4] == [("ur", -1.4), ("ml", -0.4), ("gu", 0.0), ("hi", 0.3)]
    assert ordered[:-6:-1] == [("mni", 12.3), ("brx", 6.5), ("gom", 4.8), ("ps", 4.4), ("or", 4.4)]


def test_row_means_give_the_averages_but_for_four():
    found = {(check.row, check.regime): check for check in paper.checks()}
    assert len(found) == 11 + 10 + 10
    assert {where for where, check in found.items() if not check.agrees} == set(CONTRADICTIONS)
    for where, mean in CONTRADICTIONS.items():
        assert found[where].mean.value == pytest.approx(mean)


def test_what_the_doubtful_cells_would_have_to_be():
    assert paper.would_have_to_be(("S", "R1"), "attriqa-accuracy", "ru") == Number(95.3)
    assert paper.would_have_to_be(("S", "R0"), "attriqa-auc-pr", "te") == Number(74.9)
