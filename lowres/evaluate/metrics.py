"""Measures of a generated text against accepted answers, all between 0 and 1, larger being better."""

from __future__ import annotations

import functools
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

# --- words -----------------------------------------------------------------------------------------------------------


def normalise(text: str) -> str:
    """SQuAD normalisation (Rajpurkar et al. 2016): lower case, no punctuation, no articles, single spaces."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(prediction: str, gold: str) -> float:
    """1.0 when prediction and gold answer are equal after normalisation."""
    return float(normalise(prediction) == normalise(gold))


def token_f1(prediction: str, gold: str) -> float:
    """Harmonic mean of precision and recall over normalised words; 1.0 when both are empty (SQuAD)."""
    predicted, expected = normalise(prediction).split(), normalise(gold).split()
    if not predicted or not expected:
        return float(predicted == expected)
    shared = sum((Counter(predicted) & Counter(expected)).values())
    return 2 * shared / (len(predicted) + len(expected))


def rouge_1(prediction: str, gold: str) -> float:
    """ROUGE-1 F-measure with stemming, by the rouge-score package (Lin 2004)."""
    return float(_rouge().score(gold, prediction)["rouge1"].fmeasure)


def rouge_l(prediction: str, gold: str) -> float:
    """ROUGE-L F-measure with stemming, by the rouge-score package (Lin 2004)."""
    return float(_rouge().score(gold, prediction)["rougeL"].fmeasure)


@functools.cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=True)


def bleu(prediction: str, references: Sequence[str]) -> float:
    """BLEU of one text against its references (Papineni et al. 2002), by sacrebleu with its defaults for a sentence.

    That is: 13a tokens, exponential smoothing, and n-grams only up to the length of the text. The mean over items is
    not corpus BLEU, which pools the counts.
    """
    from sacrebleu import sentence_bleu

    return float(sentence_bleu(prediction, list(references)).score) / 100


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
    return _tokenizer()(text.lower()).split()


def source_of(prompt: str) -> str:
    """The text that a prompt asks to rewrite: what follows its last "Text: ", without the marker of the answer."""
    _, marker, text = prompt.rpartition("Text: ")
    return text.rpartition("\n")[0] or text if marker else prompt


# --- numbers and letters ---------------------------------------------------------------------------------------------

CLOSE = 1e-3  # two numbers this near are the same answer (as in the released code of ReFT)
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]])[-−][$€£]?)?"  # a minus, not the hyphen of "3-4" or "no-1"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+)"
)
_LETTER = (
    r"[Aa]nswer\s*(?:is|:)?\s*\(?({letter})\b",  # answer is (B)
    r"\(({letter})\)",  # (B)
    r"(?<![\w'])({letter})(?=\s*(?:$|[).:,;\n]))",  # B) or B. or B at the end
    r"(?<![\w'])({letter})(?![\w'])",  # B
)
_ARTICLE = r"(?!A\s+[a-z])"  # "A man" names no option


def last_number(text: str) -> float | None:
    """The last number in a text, or None: "so 1,200 eggs." is 1200, "-3.5" is -3.5, "3-4" ends in 4, "12%" is 12."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    value = float(found[-1]["digits"].replace(",", ""))
    return -value if found[-1]["sign"] else value


def number_match(prediction: str, gold: str) -> float:
    """1.0 when the last numbers of both agree to within a thousandth; exact match where the gold answer has none."""
    expected, found = last_number(gold), last_number(prediction)
    if expected is None:
        return exact_match(prediction, gold)
    return float(found is not None and abs(found - expected) < CLOSE)


def chosen_letter(text: str, letters: str = "ABCDE") -> str:
    """The option that a text names ("The answer is (B)."), or "" where it names none.

    What the text calls the answer comes first, then a letter in brackets, then one that stands by itself. The
    released code of LLM-Adapters takes the first capital A to E anywhere, also the A of "Answer".
    """
    for pattern in _LETTER:
        found = re.search(pattern.format(letter=f"{_ARTICLE}[{letters}]"), text)
        if found:
            return found[1]
    return ""


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
            return float(fits(prediction.strip()))
    return exact_match(prediction, gold)


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
    "sari": lambda prompt, prediction, answers: sari(source_of(prompt), prediction, answers),
}
