"""Measures of texts by hand-worked cases, and against the field's packages."""

from __future__ import annotations

import math
import pwd

import nltk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres.data import METRICS
from lowres.evaluate import metrics, normalisation

# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat, the hat!", "cat hat"),
        ("An apple a day", "apple day"),
        ("then another", "then another"),
        ("U.S.A.", "usa"),
        ("A", "a"),  # nothing would remain
        ("an A", "an a"),
        ("vitamin A", "vitamin a"),
        ("in the 1990s", "in 1990s"),
        ('don\'t "stop" now;', "dont stop now"),
        (" \n\t", ""),
        ("the-end", "theend"),
        ("Ünïcode Ärger", "ünïcode ärger"),
    ],
)
def test_squad_normalisation(text: str, normal: str):
    assert normalisation.normalise(text) == normal


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
        ("the", "a", 0, 0),  # nothing would remain of either
        ("the", "red", 0, 0),
        ("one two three four", "two three", 0, 2 * 0.5 * 1 / 1.5),
    ],
)
def test_exact_match_and_token_f1(prediction: str, gold: str, exact: float, f1: float):
    assert metrics.exact_match(prediction, gold) == exact
    assert metrics.token_f1(prediction, gold) == pytest.approx(f1)
    assert metrics.token_f1(gold, prediction) == pytest.approx(f1)


OPPOSITE = [
    (":)", ":("),
    ("great :)", "great :("),
    ("好:)", "好:("),
    ("3.5", "35"),
    ("-7", "7"),
    ("−7", "7"),
    ("是-7", "是7"),
    ("1,5", "15"),
    (".5", "5"),
    ("1/2", "12"),
    ("10:30", "1030"),
    ("10²", "102"),
    ("12%", "12"),
    ("$5", "€5"),
    ("5!", "5"),
    ("5'6", "56"),
    ("!=", "=="),
    ("C", "C++"),
    ("foo()", "foo"),
    ("!x", "x"),
    ("x'", "x"),
    ("x-y", "xy"),
    ("foo_bar", "foobar"),
    ("--help", "help"),
    ("[1, 2)", "(1, 2]"),
    ("A, C", "C"),
    ("the", "A"),
    ("", "A"),
    ("...", "!"),
    ("{}", "[]"),
    ("été", "t"),
    ("👍", "👎"),
]


@pytest.mark.parametrize(("one", "other"), OPPOSITE)
def test_opposite_answers_are_not_the_same(one: str, other: str):
    assert metrics.exact_match(one, other) == metrics.exact_match(other, one) == 0
    assert metrics.token_f1(one, other) < 1
    assert metrics.exact_match(one, one) == metrics.token_f1(other, other) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("１２", "12"),
        ("٣", "3"),
        ("straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("ΣΟΦΟΣ", "σοφος"),
        ("ﬁne", "fine"),
        ("ｶﾞｽ", "ガス"),
        ("今天天气很好。", "今天天气很好"),
        ("你好，世界！", "你好世界"),
        ("今天 天气", "今天天气"),
        ("「はい」", "はい"),
        ("«да»", "да"),
        ("Привет, мир!", "привет мир"),
        ("مرحبا؟", "مرحبا"),
        ("क्या?", "क्या"),
        ("សួស្តី។", "សួស្តី"),
        ("don’t", "dont"),
        ("**New York**", "New York"),
        ('"C++"', "C++"),
        ("C++.", "C++"),
        ("42.", "42"),
        ("1,234", "1234"),
        ("1990–1995", "1990-1995"),
        ("(B)", "b."),
        ("how nice , enjoy", "How nice, enjoy!"),
    ],
)
def test_the_same_answer_however_it_is_written(one: str, other: str):
    assert metrics.exact_match(one, other) == metrics.exact_match(other, one) == 1
    assert metrics.token_f1(one, other) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("今天12点", ["今", "天", "12", "点"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("मेरा नाम", ["मेरा", "नाम"]),
        ("서울 시", ["서울", "시"]),
        ("кот и пёс", ["кот", "и", "пёс"]),
    ],
)
def test_words_and_characters(text: str, found: list[str]):
    assert normalisation.words(text) == found


def test_f1_of_scripts_without_spaces_counts_characters():
    assert metrics.token_f1("今天天气", "今天天气很好") == pytest.approx(2 * 4 / (4 + 6))
    assert metrics.token_f1("明日", "昨日") == pytest.approx(0.5)


@given(st.text(max_size=20))
def test_nothing_is_lost_altogether_and_every_text_equals_itself(text: str):
    assert bool(normalisation.normalise(text)) == bool(normalisation.folded(text))
    assert metrics.exact_match(text, text) == metrics.token_f1(text, text) == 1
    assert metrics.rouge_l(text, text) == float(bool(normalisation.folded(text)))


@given(st.text("abc STW.,-'19", max_size=30))
def test_rouge_words_of_english_are_those_of_the_package(text: str):
    from nltk.stem.porter import PorterStemmer
    from rouge_score.tokenizers import DefaultTokenizer

    theirs = DefaultTokenizer(use_stemmer=True).tokenize(text)
    assert theirs in ([], metrics.RougeWords(PorterStemmer().stem).tokenize(text))


@pytest.mark.parametrize("text", ["Привет, мир", "مرحبا بالعالم", "今天天气很好", "สวัสดีครับ", "été à Paris", ":)"])
def test_rouge_of_identical_texts_is_one_in_every_script(text: str):
    assert metrics.rouge_l(text, text) == metrics.rouge_1(text, text) == 1


def test_rouge_keeps_letters_with_accents():
    assert metrics.rouge_l("été", "t") == metrics.rouge_l("mate", "maté") == 0
    assert metrics.rouge_l("今天很好", "今天天气很好") == pytest.approx(2 * 4 / (4 + 6))
    assert metrics.rouge_l(":)", ":(") == 0


def test_rouge_needs_no_home(monkeypatch: pytest.MonkeyPatch):
    """As a user without an entry in the list of users, such as in a container."""
    from nltk.downloader import Downloader

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setenv("HOME", "to be put back")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(nltk.internals, "is_writable", lambda path: False)
    with pytest.raises(ValueError, match="download directory"):
        Downloader()  # what importing nltk does
    metrics._give_nltk_a_home()
    Downloader()


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
    assert metrics.rouge_l(prediction, gold) == pytest.approx(score)


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
    assert metrics.rouge_1(prediction, gold) == pytest.approx(score)


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
    assert metrics.bleu(prediction, references) == pytest.approx(expected / 100)


def test_bleu_by_hand():
    # 13a tokens: a b c d e against a b c d f; precisions 4/5, 3/4, 2/3, 1/2, equal lengths: no brevity penalty.
    assert metrics.bleu("a b c d e", ["a b c d f"]) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # Too short by one of four: exp(1 - 4/3), all three orders right.
    assert metrics.bleu("a b c", ["a b c d"]) == pytest.approx(math.exp(1 - 4 / 3))
    assert metrics.bleu("same words", ["same words"]) == pytest.approx(1)


def test_bleu_and_sari_of_scripts_without_spaces_count_characters():
    # a b c d of the five characters a b c d e: four orders right, too short by one of five.
    assert metrics.bleu("今天天气", ["今天天气好"]) == pytest.approx(math.exp(1 - 5 / 4))
    assert metrics.sari("我很喜欢猫", "我爱猫", ["我爱猫"]) == 1


def test_chrf_is_sacrebleus_and_by_hand():
    from sacrebleu.metrics import CHRF

    for prediction, references in PAIRS:
        expected = CHRF().sentence_score(prediction, references).score
        assert metrics.chrf(prediction, references) == pytest.approx(expected / 100)
    # "ab" against "ac": one of two letters is right, no pair: precision and recall 1/2 and 0, their means 1/4.
    assert metrics.chrf("ab", ["ac"]) == pytest.approx(1 / 4)
    assert metrics.chrf("cafe\u0301", ["café"]) == pytest.approx(1)


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
    assert metrics.sari("a b c d e", "a b c d e", ["a b c d f"]) == pytest.approx((sum(kept) + 4) / 12)
    assert metrics.sari("a b c d e", "a b c d f", ["a b c d f"]) == 1
    assert metrics.sari("same", "same", ["same"]) == 1


def test_sari_of_the_example_of_the_paper():
    """Scores that EASSE's tests hold for the example of Xu et al. (2016)."""
    source = "About 95 species are currently accepted ."
    references = [
        "About 95 species are currently known .",
        "About 95 species are now accepted .",
        "95 species are now accepted .",
    ]
    scores = [
        metrics.sari(source, text, references)
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
        ("1e5", 100_000),
        ("1.2e-3 m", 0.0012),
        ("1.2 × 10^-3", 0.0012),
        ("3e", 3),
        ("１２", 12),
        ("٣٫", 3),
        ("–7", -7),
        ("none", None),
        ("", None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: float | None):
    found = metrics.last_number(text)
    assert (None if found is None else float(found)) == number


@given(
    st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 3)), st.sampled_from(["", " eggs", ".", "%"])
)
def test_a_number_is_read_however_it_is_written(value: float, unit: str):
    for written in (f"{value:.3f}", f"{value:,.3f}"):
        assert float(metrics.last_number(f"First 17, so it is {written}{unit}")) == pytest.approx(value, abs=1e-9)
        assert metrics.number_match(f"So: {written}{unit}", f"{value:.3f}") == 1


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
        ("0.0005", "0.0001", 0),
        ("0.33333", "0.333", 1),
        ("0.0001", "0", 0),
        ("1e5", "100,000", 1),
        ("6.022e23", "6.023e23", 0),
        ("1.2e400", "1.2e400", 1),
        ("1e400", "1e401", 0),
        ("12345678901234567891", "12345678901234567890", 0),
        ("1234567.9", "1234567.8", 0),
        ("1999", "1998", 0),
        ("１２", "12", 1),
        ("−7", "-7", 1),
        ("7", "-7", 0),
        ("11:30", "10:30", 0),
        ("at 10:30", "10:30", 1),
        ("3/2", "1/2", 0),
        ("0.5", "1/2", 1),
        ("1/2", "0.5", 1),
        ("1/2", "1 1/2", 0),
        ("1/2", "-1/2", 0),
        ("2,5", "1,5", 0),
        ("1980-95", "1990-95", 0),
        ("First 7 - 3 = 4. The answer is 4.", "4", 1),
    ],
)
def test_numbers_match(prediction: str, gold: str, score: float):
    assert metrics.number_match(prediction, gold) == score


@pytest.mark.parametrize(
    ("prediction", "gold", "score"),
    [
        ('{ "b": [1, 2],\n"a": 1.0}', '{"a":1,"b":[1,2]}', 1),
        ('{"a": 1, "b": [2, 1]}', '{"a":1,"b":[1,2]}', 0),
        ('{"a": true}', '{"a": 1}', 0),
        ('{"a": 1', '{"a": 1}', 0),
        ("[]", "{}", 0),
        ('"caf\\u00e9"', '"cafe\u0301"', 1),
        ('"x"', '"X"', 0),
        ('{"a": 1, "a": 2}', '{"a": 2}', 0),
        ("0.1", "0.10000000000000001", 0),
        ("NaN", "NaN", 1),  # no JSON: exact match
        ("The stone.", "stone", 1),
        ("[" * 100_000, "[]", 0),
    ],
)
def test_json_of_the_same_value(prediction: str, gold: str, score: float):
    assert metrics.json_match(prediction, gold) == score
