"""What counts as the same text: the one normalisation that every measure of free answers uses.

Always, in every script: Unicode NFC and case folding, one width and one set of digits (`１２` and `٣` are 12 and 3),
one minus and one apostrophe, single spaces, nothing that cannot be seen.

Words are what SQuAD's normalisation (Rajpurkar et al. 2016) was made for, and there alone marks go: from the edges of
a token of letters brackets, quotes and the marks of a sentence, in any script; from its inside apostrophes, hyphens and
the stops of "U.S.A.". English articles go before a word that they can belong to: "a man" is "man", "vitamin A" stays.

Everything else (numbers, times, formulas, code, smileys) keeps its marks, because there they are what is said: `-7`,
`3.5`, `1/2`, `C++`, `:)`. It loses only a full stop, comma or colon at its end, and 1,234 its comma.

Where nothing would remain, nothing is removed. Scripts without spaces between words are compared by character.
"""

from __future__ import annotations

import functools
import re
import unicodedata

STOPS = ".,;:!?…‥。、।॥؟،؛۔።፣፤៕៖။၊։—―¿¡"  # marks of a sentence; those of full width are folded to ASCII before
LATE_STOPS = ".,;:…。、।॥۔።។៕။։"  # what no number, formula or piece of code ends in
QUOTES = "\"'“”„‘’‚«»‹›「」『』〈〉《》"
BRACKETS = "()[]{}【】〔〕"
PAIRS = ('""', "''", "«»", "»«", "‹›", "「」", "『』", "《》", "〈〉", "``")
# Han with its marks, kana, bopomofo, Thai, Lao, Tibetan, Myanmar, Khmer, Tai, Javanese: no spaces between words.
UNSPACED = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3041-\u3096\u3099\u309a\u309d-\u30fa\u30fc-\u30ff"
    "\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f"
    "\U00020000-\U000323af\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u0f00\u0f40-\u0fbc\u1000-\u103f"
    "\u1050-\u109f\ua9e0-\ua9ef\uaa60-\uaa7f\u1780-\u17d3\u17d7\u17dd\u1950-\u19df\u1a20-\u1a7f\ua980-\ua9c0"
)
_MAPPED = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u2032\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
        **dict.fromkeys("\u00ad\u200b\u200e\u200f\u2060\ufe0e\ufe0f\ufeff\u0640", None),  # unseen; Arabic stretching
    }
)
_MARK = "".join(map(re.escape, STOPS + QUOTES + BRACKETS))
_BESIDE_UNSPACED = re.compile(rf"(?<=[{UNSPACED}])[{_MARK}]+|[{_MARK}]+(?=[{UNSPACED}])")
_SMILEY = re.compile(r"[:;][-'o]?[()\[\]{}]|[()\[\]{}][-'o]?[:;]")
_SPACE_BESIDE_UNSPACED = re.compile(rf"(?<=[{UNSPACED}])\s+(?=\w)|(?<=\w)\s+(?=[{UNSPACED}])")
_INSIDE = re.compile(r"(?<=[^\W\d_])'(?=[^\W\d_])|(?<=\d)'(?=[^\W\d_])|(?<=[^\W\d_]{2})-(?=[^\W\d_]{2})")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ALONE = re.compile(rf"[{UNSPACED}]")
_EMPTY_CALL = re.compile(r"[\[({][\])}]")
_EMPHASIS = re.compile(r"(?<![\w*`])(\*{1,3}|`)(?=[^\W\d_])([^*`]*[^\W\d_])\1(?![\w*`])")  # of Markdown, around words


def folded(text: str) -> str:
    """What is the same in every kind of text: NFC, no case, one width, one set of digits, single spaces."""
    return " ".join(_casefolded(wide(text)).translate(_MAPPED).split())


def wide(text: str) -> str:
    """NFC with characters of full and half width as the usual ones, and the digits of all scripts as 0 to 9."""
    text = unicodedata.normalize("NFC", text)
    return text if text.isascii() else unicodedata.normalize("NFC", "".join(map(_usual, text)))


def _casefolded(text: str) -> str:
    """Canonical caseless form (The Unicode Standard, section 3.13, D145), composed again."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


@functools.lru_cache(maxsize=10_000)
def _usual(character: str) -> str:
    if unicodedata.decomposition(character).startswith(("<wide>", "<narrow>")):
        character = unicodedata.normalize("NFKC", character)
    value = unicodedata.decimal(character, None) if len(character) == 1 else None
    return character if value is None else str(value)


def normalise(text: str) -> str:
    """The form in which two equal answers are equal: `folded`, and without what only punctuates words."""
    plain = folded(text)
    bare = _BESIDE_UNSPACED.sub(_unless_smiley, _EMPHASIS.sub(r"\2", _unquoted(plain)))
    tokens = [(token, _token(token)) for token in bare.split()]
    following = [short for _, short in tokens[1:]] + [""]
    kept = [short for (token, short), after in zip(tokens, following, strict=False) if not _is_article(token, after)]
    return _SPACE_BESIDE_UNSPACED.sub("", " ".join(filter(None, kept))) or plain


def _unless_smiley(marks: re.Match[str]) -> str:
    return f" {marks[0]} " if _SMILEY.search(marks[0]) else " "


def _unquoted(text: str) -> str:
    """The text without one pair of quotes around all of it, and without the stop behind them."""
    whole = text.rstrip(LATE_STOPS)
    inside = whole[1:-1]
    for pair in PAIRS:
        if whole[:1] + whole[-1:] == pair and inside.strip() and not set(pair) & set(inside):
            return inside
    return text


def _token(token: str) -> str:
    """A token without its punctuation; "" for one that is nothing but marks of a sentence or quotes."""
    core = token.strip(STOPS + QUOTES + BRACKETS)
    if not core:
        return "" if all(mark in STOPS + QUOTES for mark in token) else token
    word = _INSIDE.sub("", core)
    if _ACRONYM.fullmatch(core):
        word = core.replace(".", "")
    if _is_letters(word) and (_names_an_option(token, word) if len(word) == 1 else not _EMPTY_CALL.search(token)):
        return word
    rest = _INSIDE.sub("", token).rstrip(LATE_STOPS) or token
    return rest.replace(",", "") if _THOUSANDS.fullmatch(rest) else rest


def _is_letters(text: str) -> bool:
    return all(unicodedata.category(character)[0] in "LM" for character in text)


def _names_an_option(token: str, letter: str) -> bool:
    """Whether a single letter stands as "A", "A.", "(A)" or "A)"; "!x", "[x]" and "x'" are something else."""
    return token.strip('"«»').rstrip(LATE_STOPS).removeprefix("(").removesuffix(")") == letter


def _is_article(token: str, after: str) -> bool:
    """Whether a token is an English article: it stands bare, before a word, or "the" before a number."""
    of_word = sum(map(str.isalpha, after)) > 1
    return (of_word and token in ("a", "an", "the")) or (after[:1].isdigit() and token == "the")


def words(text: str) -> list[str]:
    """The words of a text; in scripts without spaces between words its characters, each with the marks on it."""
    found: list[str] = []
    going = False  # whether the next character belongs to the last word
    for character in text:
        if character.isspace():
            going = False
        elif found and unicodedata.category(character)[0] == "M":
            found[-1] += character
        elif _ALONE.match(character):
            found.append(character)
            going = False
        elif going:
            found[-1] += character
        else:
            found.append(character)
            going = True
    return found


def spaced(text: str) -> str:
    """The text in NFC, with spaces between the characters of scripts that have none between words."""
    return text if text.isascii() else " ".join(words(unicodedata.normalize("NFC", text)))
