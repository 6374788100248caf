"""Measures of a generated text against accepted answers, all between 0 and 1, larger being better.

What counts as the same text is settled in `lowres.evaluate.normalisation`, for all of them.
"""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from lowres.evaluate.normalisation import folded, normalise, spaced, wide, words

# --- words -----------------------------------------------------------------------------------------------------------


def exact_match(prediction: str, gold: str) -> float:
    """1.0 when prediction and gold answer are equal after normalisation."""
    return float(normalise(prediction) == normalise(gold))


def token_f1(prediction: str, gold: str) -> float:
    """Harmonic mean of precision and recall over normalised words; 1.0 when both are empty (SQuAD).

    In scripts without spaces between words the characters count (as in MLQA, Lewis et al. 2020).
    """
    predicted, expected = words(normalise(prediction)), words(normalise(gold))
    if not predicted or not expected:
        return float(predicted == expected)
    shared = sum((Counter(predicted) & Counter(expected)).values())
    return 2 * shared / (len(predicted) + len(expected))


def rouge_1(prediction: str, gold: str) -> float:
    """ROUGE-1 F-measure, by the rouge-score package (Lin 2004); English words are stemmed."""
    return float(_rouge().score(gold, prediction)["rouge1"].fmeasure)


def rouge_l(prediction: str, gold: str) -> float:
    """ROUGE-L F-measure, by the rouge-score package (Lin 2004); English words are stemmed."""
    return float(_rouge().score(gold, prediction)["rougeL"].fmeasure)


class RougeWords:
    """The words of a text for rouge-score, whose own tokenizer drops all letters but a to z.

    For texts of a to z the tokens are the same. A text without any letter or digit consists of what it is made of.
    """

    def __init__(self, stem: Callable[[str], str]) -> None:
        self._stem = stem

    def tokenize(self, text: str) -> list[str]:
        """Runs of letters, digits and marks; words of more than three letters a to z are stemmed."""
        plain = folded(text)
        kept = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in plain)
        found = words(kept) or plain.split()
        return [self._stem(word) if len(word) > 3 and word.isascii() else word for word in found]


@functools.cache
def _rouge() -> Any:
    _give_nltk_a_home()
    from nltk.stem.porter import PorterStemmer
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], tokenizer=RougeWords(PorterStemmer().stem))


def _give_nltk_a_home() -> None:
    """nltk, which rouge-score imports, looks for a folder to download to and cannot be imported without a home."""
    if os.path.expanduser("~") == "~":
        os.environ.setdefault("HOME", tempfile.gettempdir())


def bleu(prediction: str, references: Sequence[str]) -> float:
    """BLEU of one text against its references (Papineni et al. 2002), by sacrebleu with its defaults for a sentence.

    That is: 13a tokens, exponential smoothing, and n-grams only up to the length of the text. The mean over items is
    not corpus BLEU, which pools the counts. Characters of scripts without spaces are tokens.
    """
    from sacrebleu import sentence_bleu

    return float(sentence_bleu(spaced(prediction), [spaced(text) for text in references]).score) / 100


def chrf(prediction: str, references: Sequence[str]) -> float:
    """chrF2 of one text (Popovic 2015): F over character n-grams up to six, by sacrebleu with its defaults."""
    from sacrebleu import sentence_chrf

    nfc = [unicodedata.normalize("NFC", text) for text in (prediction, *references)]
    return float(sentence_chrf(nfc[0], nfc[1:]).score) / 100


# --- simplification --------------------------------------------------------------------------------------------------


def sari(source: str, prediction: str, references: Sequence[str]) -> float:
    """SARI (Xu et al. 2016, section 4): how well a text keeps, deletes and adds n-grams of its source, n = 1 to 4.

    The mean over n and over three parts: F1 of what is kept and of what is added, precision of what is deleted (as in
    the paper: deleting too much makes a text unreadable, deleting too little does not). An n-gram of the source counts
    once per reference, so that one that half of the references keep is half right. Where there is nothing to count,
    0/0 is 1: a prediction that has rightly added nothing has made no mistake. Tokens are those of sacrebleu's 13a,
    in lower case.
    """
    texts = [_tokens(text) for text in (source, prediction, *references)]
    parts = [part for n in range(1, 5) for part in _sari_parts(*(_ngrams(tokens, n) for tokens in texts))]
    return sum(parts) / len(parts)


def _sari_parts(source: Counter[str], prediction: Counter[str], *references: Counter[str]) -> tuple[float, ...]:
    """Keep F1, deletion precision and addition F1 of n-grams of one length."""
    every: Counter[str] = sum(references, Counter())
    source = Counter({gram: count * len(references) for gram, count in source.items()})
    predicted = Counter({gram: count * len(references) for gram, count in prediction.items()})
    kept, deleted = source & predicted, source - predicted
    keep = _f1(_share(kept & every, kept), _share(kept & every, source & every))
    added, wanted = prediction.keys() - source.keys(), every.keys() - source.keys()
    add = _f1(_ratio(len(added & wanted), len(added)), _ratio(len(added & wanted), len(wanted)))
    return keep, _share(deleted - every, deleted), add


def _share(good: Counter[str], whole: Counter[str]) -> float:
    """Mean over distinct n-grams of the part of each that is good."""
    return _ratio(sum(good[gram] / whole[gram] for gram in good), len(whole))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _ngrams(tokens: Sequence[str], n: int) -> Counter[str]:
    return Counter(" ".join(tokens[start : start + n]) for start in range(len(tokens) - n + 1))


@functools.cache
def _tokenizer() -> Callable[[str], str]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    return Tokenizer13a()


def _tokens(text: str) -> list[str]:
    return _tokenizer()(spaced(text.lower())).split()


def source_of(prompt: str) -> str:
    """The text that a prompt asks to rewrite: what follows its last "Text: ", without the marker of the answer."""
    _, marker, text = prompt.rpartition("Text: ")
    return text.rpartition("\n")[0] or text if marker else prompt


# --- numbers ---------------------------------------------------------------------------------------------------------

CLOSE = Fraction(1, 10**3)  # two numbers this near are the same answer (as in the released code of ReFT), ...
CLOSE_SHARE = Fraction(1, 10**9)  # ... or, of numbers above a million, two with so small a share between them
_PLAIN_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+"
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]])-[$€£]?)?"  # a minus, not the hyphen of "3-4" or "no-1"
    rf"(?P<digits>{_PLAIN_NUMBER})"
    r"(?:(?:[eE]|\s*[x×·*]\s*10\s*\^\s*)(?P<exponent>[-+]?\d+)(?!\w))?"  # 1.2e-3, 1.2 x 10^-3
)
_SEVERAL = re.compile(  # 10:30, 1/2, 3 1/2, -1/2, 1990-95, 1,5, 1.2.3
    r"(?:(?<![\w)\]])-)?(?:\d+ \d+/\d+|\d+(?:\.\d+)?(?:[:/,-]\d+(?:\.\d+)?)+|\d+(?:\.\d+){2,})"
)
_FRACTION = re.compile(r"(?P<sign>-?)(?:(?P<whole>\d+) )?(?P<part>\d+)/(?P<of>0*[1-9]\d*)")
_MOST_EXPONENT = 10_000  # a number beyond is read as its digits alone


def last_number(text: str) -> Decimal | None:
    """The last number in a text, or None: "so 1,200 eggs." is 1200, "-3.5" is -3.5, "3-4" ends in 4, "12%" is 12.

    "1e5" is 100000, "1.2 x 10^-3" 0.0012; the digits of all scripts count. Exact, however many there are.
    """
    found = list(_NUMBER.finditer(_with_one_minus(text)))
    if not found:
        return None
    sign, digits, exponent = (found[-1][name] or "" for name in ("sign", "digits", "exponent"))
    power = int(exponent) if len(exponent) < 7 and abs(int(exponent or 0)) <= _MOST_EXPONENT and exponent else 0
    value = Decimal(f"{digits.replace(',', '')}E{power}")
    return value.copy_negate() if sign else value


def _with_one_minus(text: str) -> str:
    return re.sub("[\u2010-\u2013\u2212\ufe63\uff0d]", "-", wide(text))


def number_match(prediction: str, gold: str) -> float:
    """1.0 when the last numbers of both agree; exact match where the gold answer has none.

    Whole numbers agree when they are equal, others when they differ by a thousandth at most (below one: of the larger;
    above a million: by a billionth of it). Where the gold answer ends in a time, date, range or fraction, all of that
    has to be there: "10:30" is not "11:30", and "1/2" is 0.5.
    """
    whole, said = _several(gold), _several(prediction)
    expected, found = _fraction(whole), _fraction(said)
    if whole and expected is None:
        return float(whole == said)
    expected = _exact(gold) if expected is None else expected
    found = _exact(prediction) if found is None else found
    if expected is None:
        return exact_match(prediction, gold)
    return float(found is not None and _agree(found, expected))


def _exact(text: str) -> Fraction | None:
    number = last_number(text)
    return None if number is None else Fraction(number)


def _several(text: str) -> str:
    """The last number of a text with those that are joined to it, as in "10:30"; "" where it stands alone."""
    plain = _with_one_minus(text)
    numbers, several = list(_NUMBER.finditer(plain)), list(_SEVERAL.finditer(plain))
    if not several or several[-1].end() != numbers[-1].end():
        return ""
    return several[-1][0] if several[-1][0].lstrip("-") != numbers[-1]["digits"] else ""


def _fraction(text: str) -> Fraction | None:
    """The value of "1/2" and of "3 1/2"; None for anything else that joins numbers."""
    found = _FRACTION.fullmatch(text)
    if not found:
        return None
    value = int(found["whole"] or 0) + Fraction(int(found["part"]), int(found["of"]))
    return -value if found["sign"] else value


def _agree(one: Fraction, other: Fraction) -> bool:
    if one.denominator == other.denominator == 1:
        return one == other
    larger = max(abs(one), abs(other))
    return abs(one - other) <= max(CLOSE * min(larger, Fraction(1)), CLOSE_SHARE * larger)


# --- form ------------------------------------------------------------------------------------------------------------

# How an answer of a form is told, and what a text of that form is; the first that fits an accepted answer counts.
_FORMS: tuple[tuple[Callable[[str], bool], Callable[[str], bool]], ...] = (
    (lambda gold: gold[:1] == "[" and gold[-1:] == "]", lambda text: bool(re.fullmatch(r"\[[^][]*\w[^][]*\]", text))),
    (lambda gold: gold.startswith("Answer:"), lambda text: bool(re.match(r"Answer:.*\w", text, re.DOTALL))),
    (lambda gold: gold.endswith(" done."), lambda text: bool(re.fullmatch(r".*\w.*\sdone\.", text, re.DOTALL))),
    (str.isupper, str.isupper),
    (lambda gold: _is_plain(gold), lambda text: _is_plain(text)),
)


def _is_plain(text: str) -> bool:
    return text.islower() and all(character.isalnum() or character.isspace() for character in text)


def constraint_met(prediction: str, gold: str) -> float:
    """1.0 when a text has the form of the accepted answer, whatever it says; exact match where that has none.

    Forms: in square brackets, after "Answer:", before " done.", in capitals, in lower case without punctuation.
    """
    for tells, fits in _FORMS:
        if tells(gold):
            return float(fits(unicodedata.normalize("NFC", prediction).strip()))
    return exact_match(prediction, gold)


# --- structure -------------------------------------------------------------------------------------------------------


def json_match(prediction: str, gold: str) -> float:
    """1.0 when both are JSON of the same value: the order of keys and white space do not matter, all else does.

    Texts inside are compared in NFC and with their case. Exact match where the gold answer is no JSON.
    """
    try:
        expected = _canonical(_parsed(gold))
    except (ValueError, RecursionError):
        return exact_match(prediction, gold)
    try:
        return float(_canonical(_parsed(prediction)) == expected)
    except (ValueError, RecursionError):
        return 0.0


def _parsed(text: str) -> Any:
    """The value of a JSON text; ValueError for anything else, such as NaN and two keys of one name."""
    plain = unicodedata.normalize("NFC", text)
    return json.loads(plain, parse_float=Decimal, parse_int=Decimal, parse_constant=_refused, object_pairs_hook=_once)


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("two keys of one name")
    return dict(pairs)


def _canonical(value: Any) -> Any:
    """A value that is equal to another one only if both are the same JSON: in Python, true is 1."""
    if isinstance(value, dict):
        return {unicodedata.normalize("NFC", key): _canonical(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_canonical(one) for one in value]
    return (type(value), unicodedata.normalize("NFC", value) if isinstance(value, str) else value)


# --- by name ---------------------------------------------------------------------------------------------------------


def _best(measure: Callable[[str, str], float]) -> Callable[[str, str, Sequence[str]], float]:
    def of(prompt: str, prediction: str, answers: Sequence[str]) -> float:
        return max(measure(prediction, gold) for gold in answers)

    return of


# Each takes prompt, prediction and accepted answers. The first three are kept for every free answer.
ALWAYS = ("exact_match", "token_f1", "rouge_l")
MEASURES: dict[str, Callable[[str, str, Sequence[str]], float]] = {
    "exact_match": _best(exact_match),
    "token_f1": _best(token_f1),
    "rouge_l": _best(rouge_l),
    "rouge_1": _best(rouge_1),
    "number": _best(number_match),
    "constraint": _best(constraint_met),
    "bleu": lambda prompt, prediction, answers: bleu(prediction, answers),
    "chrf": lambda prompt, prediction, answers: chrf(prediction, answers),
    "json_match": _best(json_match),
    "sari": lambda prompt, prediction, answers: sari(source_of(prompt), prediction, answers),
}
