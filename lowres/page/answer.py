"""What the whole book has found: the answer on the first page, and the picture of it in README."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lowres.claims import SYMBOLS, Rule
from lowres.claims.rules import COLUMNS, ColumnName, Contrast
from lowres.page.markup import Html, markup
from lowres.page.verdicts import (
    WHERE,
    Entry,
    address,
    every,
    intervals,
    limit_of,
    outcome_badge,
    picture,
    tally,
    words_of,
)
from lowres.stats import Effect


def answer() -> Html:
    """What the whole book has found: what it comes to in sentences, every decided claim, the intervals on one scale."""
    listed = every()
    told = [(entry, column) for entry in listed for column, _ in entry.asked() if entry.decisions[column].answers]
    decided = [(entry, column) for entry, column in told if entry.decisions[column].outcome != "cannot tell"]
    said = words_of("topics")
    parts = [*lessons(said, {entry.claim.name: entry for entry in listed}), f"<p>{markup(tally(listed))}</p>"]
    named = {name for topic in said for name in topic["claims"]}
    for column in COLUMNS:
        chosen = [entry for entry, own in decided if own == column and entry.claim.name in named]
        names = [f"{one.claim.name}, {one.decisions[column].outcome}: {one.claim.statement}" for one in chosen]
        rows = [(name, *_rows(one, column)[0][1:]) for name, one in zip(names, chosen, strict=True)]
        if rows:
            caption = f"{WHERE[column].capitalize()}: what the papers say, the first effect of each rule, its margin"
            parts.append(intervals(rows, caption))
    if decided:
        claims = "".join(_found(entry, column) for entry, column in decided)
        parts.append(f"<details><summary>The decided claims one by one</summary><ul>{claims}</ul></details>")
    for column in COLUMNS:
        rows = [row for entry, own in told if own == column for row in _rows(entry, column)]
        if rows:
            what = f"{WHERE[column].capitalize()}: every effect that has been measured, with its margin"
            parts.append(f"<details><summary>{markup(what)}</summary>{intervals(rows)}</details>")
    return Html("\n".join(parts))


def lessons(said: Sequence[Mapping[str, Any]], listed: Mapping[str, Entry]) -> list[str]:
    """What the decided claims come to for somebody who has to choose, a paragraph per topic."""
    parts = []
    for one in said:
        sentences = [text for name, words in one["claims"].items() for text in _lesson(listed[name], words)]
        if sentences:
            parts.append(f"<p><strong>{markup(one['topic'])}.</strong> {' '.join(sentences)}</p>")
    return parts


def _lesson(entry: Entry, words: Mapping[str, str]) -> Iterator[str]:
    """The sentence of a claim for its outcome in each column where it is decided; a real one is named so."""
    for column, asked in entry.asked():
        decision = entry.decisions[column]
        if decision.outcome in words:
            effects = [decision.effects[part.name].estimate for part in asked.parts]
            again = column == "real" and decision.outcome == entry.decisions["world"].outcome
            usual = "On a real model and real data it was the same ({0:+.2f})." if again else words[decision.outcome]
            sentence = words.get(f"{column} {decision.outcome}", usual)
            sentence = sentence.format(*effects, size=[abs(effect) for effect in effects])
            where = "" if column == "world" or again else f"{WHERE[column]}, "
            link = f'<a class="lowres-claim" href="{address(entry)}">{where}{entry.claim.name}</a>'
            yield f"{markup(sentence.rstrip('.'))} ({link})."


COLOURS = {"reproduced": "#00805c", "partly": "#b36b00", "not reproduced": "#c04f00"}  # on white


def answer_picture() -> str:
    """The decided claims as an SVG that stands alone: verdict, sentence, and the interval of the rule's first part."""
    decided = [
        (entry, column, asked.parts[0])
        for entry in every()
        for column, asked in entry.asked()
        if entry.decisions[column].outcome != "cannot tell"
    ]
    limit = limit_of((entry.decisions[column].effects[part.name], part.rule) for entry, column, part in decided)
    lines = "".join(_line(66 + 46 * at, *each, limit) for at, each in enumerate(decided))
    told = markup(f"{tally(every())} Solid line: no effect; dashed: the margin.")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1060 {46 * len(decided) + 46}" font-family="sans-serif" '
        f'font-size="13" role="img" aria-label="{told}"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="10" y="24" fill="#222" font-weight="700">{told}</text>{lines}</svg>\n'
    )


def _line(top: int, entry: Entry, column: ColumnName, part: Contrast, limit: float) -> str:
    outcome, one = entry.decisions[column].outcome, entry.decisions[column].effects[part.name]
    said = enumerate(textwrap.wrap(f"{entry.claim.name}: {entry.claim.statement}", 68))
    words = "".join(f'<tspan x="170" dy="{17 * bool(line)}">{markup(text)}</tspan>' for line, text in said)
    return (
        f'<text x="10" y="{top}" fill="{COLOURS[outcome]}" font-weight="700">{SYMBOLS[outcome]} {outcome}</text>'
        f'<text x="10" y="{top + 17}" fill="#555">{WHERE[column]}</text>'
        f'<text x="170" y="{top}" fill="#222">{words}</text>'
        f'<g transform="translate(640 {top - 8})" stroke="#222">{picture(one, part.rule, limit)}</g>'
        f'<text x="890" y="{top + 7}" fill="#222">{one.text()}</text>'
    )


def _rows(entry: Entry, column: ColumnName) -> list[tuple[str, Effect, Rule]]:
    asked, decision = entry.rule.columns[column], entry.decisions[column]
    assert not isinstance(asked, str)
    return [
        (f"{entry.claim.name}: {part.name}", decision.effects[part.name], part.rule)
        for part in asked.parts
        if part.name in decision.effects
    ]


def _found(entry: Entry, column: ColumnName) -> str:
    decision = entry.decisions[column]
    return (
        f'<li>{outcome_badge(decision)} ({WHERE[column]}): <a href="{address(entry)}">{entry.claim.name}</a> '
        f"{markup(entry.claim.statement)}</li>"
    )
