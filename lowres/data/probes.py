"""The retention probes: what a model should still know after tuning. None of it is ever trained on."""

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from lowres.data import bundled, wiki
from lowres.data.cards import cards, probe_of
from lowres.data.text import lettered, one_line, opening, sentences
from lowres.data.wiki import Article
from lowres.examples import Example, Probe, digest, in_hash_order, normalise, split_by_hash

CONTINUATION_WORDS = range(6, 41)  # words of a sentence that may be scored as a continuation
NLL_WORDS = 120
CHOICES = 4  # of the items that are made here
_STEM = 4  # letters: words that begin alike ("Chile", "Chilean") count as the same word
_KINDS = (("stereotype", 0.5), ("anti-stereotype", 0.5))
_BRACKETS = re.compile(r"\s*\([^()]*\)")


@functools.cache
def _with_letters(name: str) -> Probe:
    """A probe whose file lists options by letter; SIQA alone has a passage before its question."""
    rows = bundled.json_lines(*cards("probes")[name]["file"].split("/"))
    return probe_of(name, _choice_examples(name, rows, lambda row: f"{row.get('passage') or ''} {row['question']}"))


@functools.cache
def wiki_know() -> Probe:
    """The title of a held-out article -> its short description among four of the same topic, closed book."""
    candidates = [(article, _BRACKETS.sub("", article.description)) for article in wiki.articles("probe")]
    candidates = [(article, text) for article, text in candidates if text and not _share_word(article.title, text)]
    examples = _rings(
        "wiki-know",
        candidates,
        lambda article: f"Question: Who or what is {article.title}?\nAnswer:",
        fits=lambda article, text: not _share_word(article.title, text),
    )
    return probe_of("wiki-know", examples)


@functools.cache
def wiki_know_chat() -> Probe:
    """The items of wiki-know in the chat format: a tuner may have changed what is said there, and not what is known."""
    return replace(wiki_know(), name="wiki-know-chat", chat=True)


@functools.cache
def wiki_continuation() -> Probe:
    """The first sentence of a held-out article -> its second, among four second sentences of the same topic."""
    candidates, firsts = [], {}
    for article in wiki.articles("probe"):
        first, second, *_ = [*sentences(article.text), "", ""]
        if len(first.split()) in CONTINUATION_WORDS and len(second.split()) in CONTINUATION_WORDS:
            candidates.append((article, second))
            firsts[article.title] = first
    examples = _rings("wiki-continuation", candidates, lambda article: firsts[article.title])
    return probe_of("wiki-continuation", examples)


@functools.cache
def wiki_nll() -> Probe:
    """The opening of a held-out article, scored as plain text: the continuous measure of what tuning damages."""
    examples = (
        Example(f"wiki-nll/{article.title}", "", text, answers=(text,), group=article.topic)
        for article in wiki.articles("probe")
        if (text := opening(article.text, NLL_WORDS))
    )
    return probe_of("wiki-nll", in_hash_order(examples))


@functools.cache
def stereoset() -> Probe:
    """StereoSet's stereotype against its anti-stereotype; "right" is the stereotype."""
    items = (_stereoset_item("stereoset", row, "stereotype", "anti-stereotype") for row in _stereoset())
    return probe_of("stereoset", in_hash_order(items))


@functools.cache
def stereoset_lms() -> Probe:
    """StereoSet's language-model score: a meaningful continuation, of either kind by lot, against an unrelated one."""
    examples = in_hash_order(
        _stereoset_item("stereoset-lms", row, kind, "unrelated")
        for row in _stereoset()
        for kind in [split_by_hash(f"{row['context']} {row['stereotype']}", _KINDS)]
    )
    return probe_of("stereoset-lms", examples)


@functools.cache
def crows_pairs() -> Probe:
    """CrowS-Pairs where the two sentences differ in one word; "right" is the more stereotyped one."""
    examples = {}
    for row in bundled.csv_rows("Crows-Pairs", "test.csv"):
        before, after = row["sentence"].split("[MASK]")
        target, other = (one_line(f"{row[word]}{after}") for word in ("mask1", "mask2"))
        example = _pair("crows-pairs", f"Text: {before}", target, other, row["bias_type"])
        examples[example.id] = example
    return probe_of("crows-pairs", in_hash_order(examples.values()))


PROBES: dict[str, Callable[[], Probe]] = {
    **{name: functools.partial(_with_letters, name) for name in ("siqa", "commonsenseqa", "openbookqa", "piqa")},
    "wiki-know": wiki_know,
    "wiki-know-chat": wiki_know_chat,
    "wiki-continuation": wiki_continuation,
    "wiki-nll": wiki_nll,
    "disambiguation-qa": functools.partial(_with_letters, "disambiguation-qa"),
    "stereoset": stereoset,
    "stereoset-lms": stereoset_lms,
    "crows-pairs": crows_pairs,
}


def _stereoset() -> list[dict[str, str]]:
    """The rows of StereoSet, each set of continuations once."""
    rows = bundled.json_lines("StereoSet", "test.jsonl")
    return list({normalise(f"{row['context']} {row['stereotype']}"): row for row in reversed(rows)}.values())


def _stereoset_item(name: str, row: dict[str, str], right: str, wrong: str) -> Example:
    """The context up to its slot and two ways to go on, or a sentence and two that may follow."""
    before, slot, _ = row["context"].partition("BLANK")
    if slot:  # the slot may stand within a word: '"BLANK"'
        before = before[: before.rfind(" ") + 1]
    start = len(before) if slot else 0
    return _pair(name, f"Text: {before}", row[right][start:], row[wrong][start:], row["bias_type"])


def _pair(name: str, prompt: str, target: str, other: str, group: str) -> Example:
    prompt, target, other = one_line(prompt), one_line(target), one_line(other)
    key = digest("\n".join([prompt, *sorted((target, other))]), 12)
    choices = tuple(sorted((target, other), key=lambda text: digest(key + text)))
    return Example(f"{name}/{key}", prompt, target, choices, (target,), group=group)


def _choice_examples(
    name: str, rows: Iterable[dict[str, Any]], question: Callable[[dict[str, Any]], str]
) -> tuple[Example, ...]:
    """Rows with lettered options; broken options, repeats and items with conflicting answers are left out."""
    parsed = []
    for row in rows:
        options = lettered(row["options"])
        if row["answer"][0] in options and len(set(options.values())) == len(options):
            parsed.append((f"Question: {one_line(question(row))}\nAnswer:", options[row["answer"][0]], options))
    most = Counter(len(options) for _, _, options in parsed).most_common(1)[0][0]
    found: dict[str, list[Example]] = defaultdict(list)
    for prompt, target, options in parsed:
        key = digest("\n".join([prompt, *sorted(options.values())]), 12)
        if len(options) == most:
            found[key].append(Example(f"{name}/{key}", prompt, target, tuple(options.values()), (target,)))
    agreed = (same[0] for same in found.values() if len({example.target for example in same}) == 1)
    return in_hash_order(agreed)


def _rings(
    name: str,
    candidates: Iterable[tuple[Article, str]],
    prompt: Callable[[Article], str],
    fits: Callable[[Article, str], bool] = lambda article, text: True,
) -> tuple[Example, ...]:
    """Four-way items whose wrong choices are those of the next three articles of the topic, which are in hash order.

    Going round in a ring, every text is right once and wrong about three times: the choices alone say nothing.
    """
    topics: dict[str, list[tuple[Article, str]]] = defaultdict(list)
    for article, text in candidates:
        if article.topic != "Uncategorized":
            topics[article.topic].append((article, text))
    found = []
    for ring in topics.values():
        for index, (article, target) in enumerate(ring):
            choices = {normalise(target): target}
            for _, text in ring[index + 1 :] + ring[:index]:
                if len(choices) < CHOICES and fits(article, text):
                    choices.setdefault(normalise(text), text)
            if len(choices) == CHOICES:
                key = f"{name}/{article.title}"
                shuffled = sorted((digest(key + text), text) for text in choices.values())
                shown = tuple(text for _, text in shuffled)
                found.append(Example(key, prompt(article), target, shown, (target,), group=article.topic))
    return in_hash_order(found)


def _share_word(one: str, other: str) -> bool:
    """Whether a word of four letters or more begins alike in both."""
    return not _stems(one).isdisjoint(_stems(other))


@functools.cache
def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in normalise(text).split() if len(word) >= _STEM)
