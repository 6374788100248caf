"""Small text tools: sentences, openings, lettered options, and undoing a tokeniser's spaces."""

import re

_SENTENCE_END = re.compile(r"""[.!?]["')\]]*\s+(?=["'(]?[A-Z0-9])""")
_ABBREVIATION = re.compile(
    r"(?:\b[A-Za-z]|\b(?:Mr|Mrs|Ms|Dr|St|Mt|Jr|Sr|Ft|No|ca|vs|lit|fl|approx|Prof|Gen|Sgt|Rev|Op|Inc))\.$"
)
_OPTION = re.compile(r"(?:^|\n)\s*([A-E])\.\s")
_TOKENISER_SPACES = (
    (re.compile(r'" ([^"]*?) "'), r'"\1"'),
    (re.compile(r"(\w) (['’]) (s|t|re|ve|ll|d|m)\b"), r"\1\2\3"),
    (re.compile(r" ([,.;:?!%)\]}’”])"), r"\1"),
    (re.compile(r"([(\[{$£€#‘“]) "), r"\1"),
    (re.compile(r"(\w) ([-/]) (?=\w)"), r"\1\2"),
    (re.compile(r"([\d%]) ([–—]) (?=\d)"), r"\1\2"),
    (re.compile(r"(\d)([.:]) (?=\d)"), r"\1\2"),
    (re.compile(r"(\d), (?=\d{3}\b)"), r"\1,"),
)


def one_line(text: str) -> str:
    """`text` with every run of white space as one space."""
    return " ".join(text.split())


def sentences(text: str) -> list[str]:
    """The sentences of `text`; a full stop after an initial or a common abbreviation does not end one."""
    found, start = [], 0
    text = one_line(text)
    for end in _SENTENCE_END.finditer(text):
        if not _ABBREVIATION.search(text[start : end.start() + 1]):
            found.append(text[start : end.end()].strip())
            start = end.end()
    return [*found, text[start:]] if text[start:] else found


def opening(text: str, limit: int) -> str:
    """As many whole sentences of `text` as `limit` words hold; if not even the first fits, its first `limit` words."""
    kept: list[str] = []
    for sentence in sentences(text):
        words = sentence.split()
        if len(kept) + len(words) > limit:
            return " ".join(kept or words[:limit])
        kept += words
    return " ".join(kept)


def first_literal(glued: str, passage: str) -> str:
    """The longest run of whole words from the start of `glued` that stands literally in `passage`.

    Of several quotations from `passage` that were glued together this is the first. A comma or an opening bracket
    at its end is left out.
    """
    words, length = glued.split(), 0
    while length < len(words) and _stands_in(" ".join(words[: length + 1]).rstrip(","), passage):
        length += 1
    return " ".join(words[:length]).rstrip(" ,(")


def _stands_in(run: str, passage: str) -> bool:
    """Whether `run` stands in `passage` and ends there where a word ends."""
    place = passage.find(run)
    while place >= 0:
        following = passage[place + len(run) : place + len(run) + 1]
        if not (following.isalnum() or following == "_"):
            return True
        place = passage.find(run, place + 1)
    return False


def unescape_csv(text: str) -> str:
    """`text` without the quotation marks of a table's cell: they surround it, and those inside are doubled."""
    text = text.strip()
    inside = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    return inside.replace('""', '"').strip()


def lettered(options: str) -> dict[str, str]:
    """Options by letter, from a text like "A. bank\\nB. library"."""
    parts = _OPTION.split("\n" + options.strip())
    return {letter: one_line(text) for letter, text in zip(parts[1::2], parts[2::2], strict=True)}


def detokenise(text: str) -> str:
    """`text` without the spaces that a word tokeniser put around punctuation, where that is unambiguous."""
    text = one_line(text)
    for pattern, replacement in _TOKENISER_SPACES:
        text = pattern.sub(replacement, text)
    return text
