"""Measures of texts by hand-worked cases, and against the field's packages."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres import evaluate
from lowres.data import METRICS
from lowres.evaluate import metrics

# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat, the hat!", "cat hat"),
        ("An apple a day", "apple day"),
        ("then another", "then another"),
        ("U.S.A.", "usa"),
        ("A", ""),
        (" \n\t", ""),
        ("the-end", "theend"),
        ("Ünïcode Ärger", "ünïcode ärger"),
    ],
)
def test_squad_normalisation(text: str, normal: str):
    assert evaluate.normalise(text) == normal


@pytest.mark.parametrize(
    ("prediction", "gold", "exact", "f1"),
    [
        ("The red stone.", "red stone", 1, 1),
        ("red", "red stone", 0, 2 / 3),
        ("red red red", "red stone", 0, 2 / 5),  # a repeated word counts as often as the gold answer has it
        ("red red", "red red stone", 0, 4 / 5),
        ("stone red", "red stone", 0, 1),  # order does not matter to F1
        ("blue", "red", 0, 0),
        ("", "red", 0, 0),
        ("red", "", 0, 0),
        ("", "", 1, 1),
        ("the", "a", 1, 1),  # both empty once normalised
        ("the", "red", 0, 0),
        ("one two three four", "two three", 0, 2 * 0.5 * 1 / 1.5),
    ],
)
def test_exact_match_and_token_f1(prediction: str, gold: str, exact: float, f1: float):
    assert evaluate.exact_match(prediction, gold) == exact
    assert evaluate.token_f1(prediction, gold) == pytest.approx(f1)
    assert evaluate.token_f1(gold, prediction) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("prediction", "gold", "score"),
    [
        ("the red stone", "the red stone", 1),
        ("red stone", "the red stone", 2 * 1 * (2 / 3) / (5 / 3)),
        ("stone red", "red stone", 0.5),  # the longest common subsequence is one word
        ("a b c d", "a x b d", 0.75),
        ("stones", "stone", 1),  # stemmed
        ("", "red", 0),
        ("blue", "red", 0),
    ],
)
def test_rouge_l(prediction: str, gold: str, score: float):
    assert evaluate.rouge_l(prediction, gold) == pytest.approx(score)


@pytest.mark.parametrize(
    ("prediction", "gold", "score"),
    [
        ("the red stone", "the red stone", 1),
        ("stone red", "red stone", 1),  # order does not matter
        ("a b c d", "a x b d", 0.75),
        ("red red", "red", 2 * 0.5 * 1 / 1.5),
        ("stones", "stone", 1),
        ("", "red", 0),
    ],
)
def test_rouge_1(prediction: str, gold: str, score: float):
    assert evaluate.rouge_1(prediction, gold) == pytest.approx(score)


PAIRS = [
    ("the cat sat on the mat", ["the cat sat on the mat"]),
    ("the cat sat on the mat", ["a cat sat on a mat", "the cat is on the mat"]),
    ("the the the the the the the", ["the cat is on the mat", "there is a cat on the mat"]),
    ("one", ["one"]),
    ("It's 3.5 km, isn't it?", ["It is 3.5 km away."]),
    ("", ["something"]),
    ("nothing shared here at all", ["completely different words"]),
]


@pytest.mark.parametrize(("prediction", "references"), PAIRS)
def test_bleu_is_sacrebleus_of_a_sentence(prediction: str, references: list[str]):
    from sacrebleu.metrics import BLEU

    expected = BLEU(effective_order=True).sentence_score(prediction, references).score
    assert evaluate.bleu(prediction, references) == pytest.approx(expected / 100)


def test_bleu_by_hand():
    # 13a tokens: a b c d e against a b c d f; precisions 4/5, 3/4, 2/3, 1/2, equal lengths: no brevity penalty.
    assert evaluate.bleu("a b c d e", ["a b c d f"]) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # Too short by one of four: exp(1 - 4/3), all three orders right.
    assert evaluate.bleu("a b c", ["a b c d"]) == pytest.approx(math.exp(1 - 4 / 3))
    assert evaluate.bleu("same words", ["same words"]) == pytest.approx(1)


# --- SARI ------------------------------------------------------------------------------------------------------------


def test_sari_of_single_words_by_hand():
    """Source "a b", prediction "a c", references "a c" and "a d"."""
    parts = metrics._sari_parts(*(metrics._ngrams(text.split(), 1) for text in ("a b", "a c", "a c", "a d")))
    # Kept: a, which both references have: precision 1, recall 1. Deleted: b, which no reference has: precision 1.
    # Added: c, right: precision 1; c and d were wanted: recall 1/2; F1 = 2/3.
    assert parts == (1, 1, pytest.approx(2 / 3))
    parts = metrics._sari_parts(*(metrics._ngrams(text.split(), 1) for text in ("a b", "a b", "a c", "b d")))
    # Kept: a and b, each in one reference of two: precision 1/2; wanted: a and b, each to half, and kept more than
    # that: recall 1. F1 = 2/3. Nothing deleted: 0/0 = 1. Nothing added: precision 1, recall 0.
    assert parts == (pytest.approx(2 / 3), 1, 0)


def test_sari_of_a_copy_and_of_a_perfect_rewrite():
    # A copy, where the one reference changes the last of five words: per n = 1..4 kept precision 4/5, 3/4, 2/3, 1/2 at
    # recall 1; deletion 1 (nothing deleted); addition 0 (precision 1 of nothing, recall 0).
    kept = [2 * p / (1 + p) for p in (4 / 5, 3 / 4, 2 / 3, 1 / 2)]
    assert evaluate.sari("a b c d e", "a b c d e", ["a b c d f"]) == pytest.approx((sum(kept) + 4) / 12)
    assert evaluate.sari("a b c d e", "a b c d f", ["a b c d f"]) == 1
    assert evaluate.sari("same", "same", ["same"]) == 1


def test_sari_of_the_example_of_the_paper():
    """Scores that EASSE's tests hold for the example of Xu et al. (2016)."""
    source = "About 95 species are currently accepted ."
    references = [
        "About 95 species are currently known .",
        "About 95 species are now accepted .",
        "95 species are now accepted .",
    ]
    scores = [
        evaluate.sari(source, text, references)
        for text in (
            "About 95 you now get in .",
            "About 95 species are now agreed .",
            "About 95 species are currently agreed .",
        )
    ]
    assert scores == [pytest.approx(value) for value in (0.2682782411698074, 0.5889995423074248, 0.5071608864657479)]


def test_the_source_of_a_prompt():
    assert metrics.source_of("Text: old\n\nText: Hard words.\nSimple:") == "Hard words."
    assert metrics.source_of("Text: no marker behind") == "no marker behind"
    assert metrics.source_of("Simplify this.") == "Simplify this."


@given(st.lists(st.text("ab c", max_size=12), min_size=3, max_size=4))
def test_every_measure_lies_between_0_and_1(texts: list[str]):
    prompt, prediction, *golds = texts
    for measure in metrics.MEASURES.values():
        assert -1e-9 <= measure(prompt, prediction, golds) <= 1 + 1e-9


def test_every_metric_of_a_task_can_be_measured():
    assert set(METRICS) - {"accuracy"} == set(metrics.MEASURES)


# --- form ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prediction", "gold", "score"),
    [
        ("PARIS", "THE HAGUE", 1),
        ("Paris", "THE HAGUE", 0),
        ("1998", "THE HAGUE", 0),  # has no letters
        ("[Paris]", "[Rome]", 1),
        ("[]", "[Rome]", 0),
        ("[Paris] in France", "[Rome]", 0),
        ("Answer: Paris", "Answer: Rome", 1),
        ("The Answer: Paris", "Answer: Rome", 0),
        ("Answer:", "Answer: Rome", 0),
        ("Paris done.", "Rome done.", 1),
        ("done.", "Rome done.", 0),
        ("Paris is done", "Rome done.", 0),
        ("in 1998 paris", "rome", 1),
        ("paris.", "rome", 0),
        ("Paris", "rome", 0),
        ("", "rome", 0),
        ("the Rome", "Rome", 1),  # a gold answer of no form
        ("Paris", "Rome", 0),
    ],
)
def test_the_form_of_an_answer(prediction: str, gold: str, score: float):
    assert metrics.constraint_met(prediction, gold) == score


# --- numbers and letters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 8484 eggs.", 8484),
        ("3 + 4 = 7", 7),
        ("It costs $1,234.50.", 1234.5),
        ("-$5", -5),
        ("1,000,000", 1_000_000),
        ("1, 2, 3", 3),
        ("1,2", 2),  # no thousands
        ("from -3.5", -3.5),
        ("3-4", 4),  # a range
        ("10 - 4 = −6", -6),
        ("no-1", 1),
        (".5", 0.5),
        ("12%", 12),
        ("5.", 5),
        ("7th of 12 (twelve)", 12),
        ("none", None),
        ("", None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: float | None):
    assert evaluate.last_number(text) == number


@given(
    st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 3)), st.sampled_from(["", " eggs", ".", "%"])
)
def test_a_number_is_read_however_it_is_written(value: float, unit: str):
    for written in (f"{value:.3f}", f"{value:,.3f}"):
        assert evaluate.last_number(f"First 17, so it is {written}{unit}") == pytest.approx(value, abs=1e-9)
        assert evaluate.number_match(f"So: {written}{unit}", f"{value:.3f}") == 1


@pytest.mark.parametrize(
    ("prediction", "gold", "score"),
    [
        ("so 3.3333", "3.3335", 1),
        ("so 3.332", "3.3335", 0),
        ("1,000 eggs", "1000", 1),
        ("12 or 13", "12", 0),
        ("many", "12", 0),
        ("The Friday", "friday", 1),  # an answer without a number
        ("7", "Friday", 0),
    ],
)
def test_numbers_match(prediction: str, gold: str, score: float):
    assert evaluate.number_match(prediction, gold) == score


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (B).", "B"),
        ("Answer: D", "D"),
        ("answer is C because A is wrong", "C"),
        ("B because A is wrong", "B"),
        ("(E) five", "E"),
        ("B) six", "B"),
        ("A man eats. So it is C.", "C"),
        ("I think B", "B"),
        ("D", "D"),
        ("Apples", ""),
        ("", ""),
        ("The answer is F", ""),
    ],
)
def test_the_letter_that_a_text_names(text: str, letter: str):
    assert evaluate.chosen_letter(text) == letter


def test_letters_of_shorter_lists():
    assert evaluate.chosen_letter("E) or B)", "ABCD") == "B"
