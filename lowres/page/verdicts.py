"""Verdicts as a reader meets them: a strip per study, a card per claim, the scoreboard.

Every interval is drawn beside its margin by plain markup, which a script of the book can move (book/static/book.js).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

from lowres import campaign, registry
from lowres.claims import OUTCOMES, SYMBOLS, Claim, Outcome, Rule, rulebook
from lowres.claims.rules import COLUMNS, LEVEL, Asked, ColumnName, Decision, SecondRule
from lowres.outcomes import Cell
from lowres.page.drawing import effect, evidence, spelled
from lowres.page.markup import Html, Shown, badge, definitions, html_table, markdown_table, markup
from lowres.places import RESULTS, ROOT
from lowres.stats import Effect

CONFIDENCES = (0.8, 0.9, 0.95, 0.99, 0.999)  # that a reader may choose from; the third decides
WIDTH, MIDDLE = 240, 120  # of the picture of an interval, in pixels
WHERE: dict[ColumnName, str] = {"world": "generated world", "real": "real model and data"}


@dataclass(frozen=True)
class Entry:
    """All there is about a claim."""

    study: str
    claim: Claim
    rule: SecondRule
    decisions: Mapping[ColumnName, Decision]
    first: Mapping[str, str]
    lines: tuple[campaign.Line, ...]

    def asked(self) -> list[tuple[ColumnName, Asked]]:
        """The columns that the claim is asked in."""
        return [(column, asked) for column in COLUMNS if not isinstance(asked := self.rule.columns[column], str)]


@lru_cache(maxsize=8)
def entries(study: str) -> tuple[Entry, ...]:
    """The claims of a study with their rules, decisions and trials, in the order of the rules."""
    module = registry.load(study)
    claims: dict[str, Claim] = {claim.name: claim for claim in module.CLAIMS}
    found = rulebook.decided([module])
    lines = campaign.read(RESULTS / "campaign.toml")
    return tuple(
        Entry(
            study,
            claims[rule.claim],
            rule,
            {one.column: one for one in found if one.claim == rule.claim},
            rulebook.first_edition(rule.claim),
            tuple(line for line in lines if rule.claim in line.claims),
        )
        for rule in rulebook.rules_of(study)
    )


def every() -> list[Entry]:
    """The claims of all studies, in the order of their pages."""
    modules: list[ModuleType] = [registry.load(name) for name in registry.study_names()]
    ordered = sorted(modules, key=lambda module: str(module.NOTEBOOK))
    return [entry for module in ordered for entry in entries(module.__name__.rpartition(".")[2])]


# --- pieces ----------------------------------------------------------------------------------------------------------


def outcome_badge(decision: Decision) -> Html:
    """The outcome with its sign; what was not run is told apart from what was not clear."""
    words = decision.outcome if decision.outcome != "cannot tell" else _kind(decision)
    return badge(words, SYMBOLS[decision.outcome], decision.outcome.replace(" ", "-"))


def _kind(decision: Decision) -> str:
    """Why it cannot be told, in a word or two."""
    kinds = {
        "not asked": "not asked",
        "not run": "not run yet",
        "too few": "too few seeds",
        "no interval": "no interval",
    }
    for beginning, words in kinds.items():
        if decision.reason.startswith(beginning):
            return words
    return "lost to Holm" if "(Holm)" in decision.reason else "too close to tell"


def picture(one: Effect, rule: Rule, limit: float) -> Html:
    """An interval beside zero and its margin, as inline SVG in the colour of the text."""

    def x(value: float) -> str:
        return f"{MIDDLE + (MIDDLE - 6) * max(-1.0, min(1.0, value / limit)):.1f}"

    low, high = (x(end) for end in one.interval)
    margins = "".join(
        f'<line class="lowres-margin" x1="{x(at)}" x2="{x(at)}" y1="1" y2="19" stroke-dasharray="3 2"/>'
        for at in rule.boundaries()
    )
    label = f"{one.text()}, rule: {rule.text()}"
    return Html(
        f'<svg class="lowres-interval" viewBox="0 0 {WIDTH} 20" width="{WIDTH}" height="20" role="img" '
        f'aria-label="{html.escape(label, quote=True)}" data-limit="{limit:.6g}">'
        f'<line class="lowres-zero" x1="{MIDDLE}" x2="{MIDDLE}" y1="1" y2="19"/>{margins}'
        f'<line class="lowres-ends" x1="{low}" x2="{high}" y1="10" y2="10"/>'
        f'<circle cx="{x(one.estimate)}" cy="10" r="4"/></svg>'
    )


def limit_of(effects: Iterable[tuple[Effect, Rule]]) -> float:
    """How far a picture reaches to either side of zero, so that all of these fit in."""
    ends = [abs(end) for one, rule in effects for end in (*one.interval, *rule.boundaries())]
    return 1.05 * max([*ends, 0.05])


def _data(one: Effect, rule: Rule) -> str:
    """What the script needs to move confidence and margin."""
    from scipy.special import stdtrit

    half = (one.interval[1] - one.interval[0]) / 2
    unit = half / float(stdtrit(one.degrees, (1 + one.confidence) / 2)) if half else 0.0
    halves = ",".join(f"{unit * float(stdtrit(one.degrees, (1 + level) / 2)):.6g}" for level in CONFIDENCES)
    return (
        f'data-estimate="{one.estimate:.6g}" data-halves="{halves}" data-kind="{rule.kind}" '
        f'data-boundary="{rule.boundary:g}"'
    )


def why(decision: Decision, asked: Asked | str) -> str:
    """Why the verdict is what it is, in whole sentences; empty where its trials were not run, as the verdict says."""
    if isinstance(asked, str):
        return f"Not asked here: {asked}."
    if not decision.answers:
        return "" if decision.reason.startswith("not run") else f"{decision.reason}."
    rules = {part.name: part.rule for part in asked.parts}
    told = [_sentence(name, decision.effects[name], rules[name], answer) for name, answer in decision.answers.items()]
    if "(Holm)" in decision.reason:
        told.append(
            f"This would decide the claim if it stood alone; corrected for the number of claims on this page (Holm) "
            f"its p-value is {decision.p_adjusted:.3g}, above {LEVEL:g}, so it is left open."
        )
    if decision.seeds < asked.seeds:
        told.append(f"Planned are {asked.seeds} seeds, there are {decision.seeds}.")
    return " ".join(told)


def _sentence(name: str, one: Effect, rule: Rule, answer: str) -> str:
    low, high = one.interval
    interval = f"[{low:.3f}, {high:.3f}]"
    if answer == "unclear":
        return f"{name}: the interval {interval} holds {_boundary(rule)}, so it may be either."
    if rule.kind == "within":
        side = "within" if answer == "yes" else "beyond"
        return f"{name}: the whole interval {interval} lies {side} {rule.boundary:g} of zero."
    above = (rule.kind == "above") == (answer == "yes")
    return f"{name}: the whole interval {interval} lies {'above' if above else 'below'} {_boundary(rule)}."


def _boundary(rule: Rule) -> str:
    if rule.kind == "within":
        return f"+{rule.boundary:g} or -{rule.boundary:g}"
    return f"{rule.boundary:+g}" if rule.boundary else "zero"


# --- the strip and the cards of a study -------------------------------------------------------------------------------


def overview(study: str) -> Shown:
    """One line per claim: the sentence and its verdict in both columns."""
    listed = entries(study)
    header = ("Claim", "What it says", *(WHERE[column].capitalize() for column in COLUMNS))
    rows = [
        (
            Html(f'<a href="#claim-{one.claim.name}">{one.claim.name}</a>'),
            one.claim.statement,
            *(outcome_badge(one.decisions[column]) for column in COLUMNS),
        )
        for one in listed
    ]
    words = [
        (one.claim.name, one.claim.statement, *(_told(one.decisions[column]) for column in COLUMNS)) for one in listed
    ]
    caption = f"What came out. {tally(listed)}"
    return Shown(html_table(caption, header, rows, stack=True), f"{caption}\n\n{markdown_table(header, words)}")


def _told(decision: Decision) -> str:
    return decision.outcome if decision.outcome != "cannot tell" else f"cannot tell: {_kind(decision)}"


def tally(listed: Sequence[Entry]) -> str:
    """How many claims are decided, in words."""
    decided = sum(any(one.outcome != "cannot tell" for one in entry.decisions.values()) for entry in listed)
    outcomes: list[Outcome] = [one.outcome for entry in listed for one in entry.decisions.values()]
    parts = [f"{outcomes.count(name)} {name}" for name in OUTCOMES[:3] if name in outcomes]
    detail = f"; verdicts of both columns: {', '.join(parts)}" if parts else ""
    return f"{decided} of {len(listed)} claims are decided in at least one column{detail}."


def cards(study: str) -> Shown:
    """One card per claim: sentence, paper's number, deciding intervals, why, the rule, how to make the trials again."""
    from lowres.page.markup import joined

    return joined([card(entry) for entry in entries(study)])


def card(entry: Entry) -> Shown:
    """One claim; a column without effects says why in a line."""
    claim = entry.claim
    marks = " ".join(f"{WHERE[column]}: {outcome_badge(entry.decisions[column])}" for column, _ in entry.asked())
    best = next(
        (d.outcome for c, _ in entry.asked() if (d := entry.decisions[c]).outcome != "cannot tell"), "cannot tell"
    )
    body = "".join(_column(entry, column, asked) for column, asked in entry.asked())
    unasked = "; ".join(f"{where}: {reason}" for where, reason in _not_asked(entry).items())
    remarks = words_of("remarks").get(claim.name, {})
    remark = next((remarks[d.outcome] for c, _ in entry.asked() if (d := entry.decisions[c]).outcome in remarks), "")
    paper = f"{claim.reported} ({claim.source})"
    facts = definitions({"Bear in mind": remark, "The paper": paper, "Not asked": unasked})
    inner = (
        f'<p class="lowres-statement"><a href="#claim-{claim.name}">{claim.name}</a> {markup(claim.statement)}</p>\n'
        f"<p>{marks}</p>\n{body}\n{facts}\n{_rules(entry)}\n{_again(entry)}\n{_first(entry)}"
    )
    kind = best.replace(" ", "-")
    words = [f"**{claim.name}** {claim.statement}"]
    words += [
        f"{WHERE[c]}: {_told(entry.decisions[c])}. {why(entry.decisions[c], asked)}".strip()
        for c, asked in entry.asked()
    ]
    words += [f"Bear in mind: {remark}"] * bool(remark) + [f"The paper: {paper}"]
    return Shown(
        f'<article class="lowres-card lowres-{kind}" id="claim-{claim.name}">\n{inner}\n</article>', "\n\n".join(words)
    )


def _column(entry: Entry, column: ColumnName, asked: Asked) -> str:
    """The deciding intervals of a column with the sentence why, places folded below."""
    decision = entry.decisions[column]
    reason = why(decision, asked)
    reason = f"<p>{markup(f'{WHERE[column].capitalize()}: {reason}')}</p>" if reason else ""
    told = [
        (part.name, decision.effects[part.name], part.rule) for part in asked.parts if part.name in decision.answers
    ]
    return f"{reason}\n{intervals(told) if told else ''}\n{_places(entry, asked, bool(told))}"


def intervals(rows: Sequence[tuple[str, Effect, Rule]], caption: str = "") -> Html:
    """Effects with their pictures on one scale, a row each."""
    limit = limit_of((one, rule) for _, one, rule in rows)
    lines = "".join(
        f'<tr {_data(one, rule)}><th scope="row">{markup(name)}</th><td>{picture(one, rule, limit)}</td>'
        f'<td class="lowres-effect">{markup(one.text())}</td><td class="lowres-answer">{rule.answer(one)}</td></tr>'
        for name, one, rule in rows
    )
    title = f"<caption>{markup(caption)}</caption>" if caption else ""
    return Html(f'<table class="lowres-intervals">{title}<tbody>{lines}</tbody></table>')


def _places(entry: Entry, asked: Asked, decided: bool) -> str:
    """What each place says by itself, folded: shown, never demanded; in sight while not all places were run."""
    outcomes = evidence(entry.study).judged
    rows = []
    for part in asked.parts:
        places: tuple[Cell, ...] = part.at or asked.places
        if len(places) > 1:
            found = ((place, effect(outcomes, [place], part)) for place in places)
            rows += [(f"{part.name}: {spelled([place])}", one, part.rule) for place, one in found if one]
    if not rows:
        return ""
    if not decided:
        return str(intervals(rows, "So far, which decides nothing"))
    return f"<details><summary>Each task by itself</summary>{intervals(rows)}</details>"


def _rules(entry: Entry) -> str:
    """The rule of each column, folded."""
    told = " ".join(
        f"{WHERE[column].capitalize()}: {'; '.join(f'{part.name} {part.rule.text()}' for part in asked.parts)}; mean "
        f"over {spelled(asked.places)}; {asked.seeds} seeds, {asked.items}."
        for column, asked in entry.asked()
    )
    return f"<details><summary>The rule as committed</summary><p>{markup(told)}</p></details>"


def _not_asked(entry: Entry) -> dict[str, str]:
    return {WHERE[column]: asked for column in COLUMNS if isinstance(asked := entry.rule.columns[column], str)}


def command(entry: Entry) -> str:
    """What makes the trials of a claim, as one types it; empty for a claim that no line of the campaign is about."""
    return f"lowres campaign {' '.join(line.name for line in entry.lines)}" if entry.lines else ""


def _again(entry: Entry) -> str:
    if not (whole := command(entry)):
        return ""
    hours = sum(line.hours for line in entry.lines)
    return f"<details><summary>Make these trials again ({hours:.2g} core hours)</summary>{typed(whole)}</details>"


def typed(line: str) -> Html:
    """A command, looking like the others of the book, with their button to copy it."""
    return Html(f'<div class="highlight"><pre class="lowres-command">{markup(line)}</pre></div>')


def _first(entry: Entry) -> str:
    """The verdict of the first edition, folded."""
    first = entry.first
    if not first:
        return ""
    return (
        f"<details><summary>First edition, {first['date']}: {first['outcome']}</summary>"
        f"<p>{markup(first['measure'])}; rule: {markup(first['rule'])}. {markup(first['reason'])}</p>"
        f"<p>What was wrong with that rule: {markup(entry.rule.wrong)}</p></details>"
    )


# --- across studies ---------------------------------------------------------------------------------------------------


def scoreboard() -> str:
    """Every claim of every study, as Markdown: intervals beside margins, both columns, why, the paper's number."""
    listed = every()
    parts = [tally(listed), raw(then_and_now(listed)), raw('<div class="lowres-explorer" hidden></div>')]
    for study in dict.fromkeys(entry.study for entry in listed):
        own = [entry for entry in listed if entry.study == study]
        module = registry.load(study)
        parts.append(f"## {module.TITLE}\n\n{tally(own)}")
        parts += [f"### {entry.claim.name}\n\n{raw(_scored(entry))}" for entry in own]
    return "\n\n".join(parts)


def then_and_now(listed: Sequence[Entry]) -> str:
    """A line per claim: what the first edition said, and what is decided today."""
    rows = [
        (
            Html(f'<a href="{address(one)}">{one.claim.name}</a>'),
            one.claim.statement,
            one.first.get("outcome", "-"),
            *(outcome_badge(one.decisions[column]) for column in COLUMNS),
        )
        for one in listed
    ]
    header = ("Claim", "What it says", "First edition", *(WHERE[column].capitalize() for column in COLUMNS))
    caption = "Then and now. The first edition had other rules; today's were committed before their trials were run."
    return html_table(caption, header, rows, stack=True)


def raw(text: str) -> str:
    """HTML inside of Markdown."""
    return f"```{{raw}} html\n{text}\n```"


def address(entry: Entry) -> str:
    """Where the card of a claim is, seen from a page in book/."""
    page = str(registry.load(entry.study).NOTEBOOK).removesuffix(".ipynb")
    return f"../{page}.html#claim-{entry.claim.name}"


def _scored(entry: Entry) -> str:
    claim = entry.claim
    rows = []
    for column, asked in entry.asked():
        decision = entry.decisions[column]
        told = [
            (part.name, decision.effects[part.name], part.rule) for part in asked.parts if part.name in decision.answers
        ]
        rows.append(
            f'<div class="lowres-decided" data-outcome="{decision.outcome}"><p>{WHERE[column].capitalize()}: '
            f'<span class="lowres-verdict">{outcome_badge(decision)}</span></p>{intervals(told) if told else ""}'
            + (f"<p>{markup(reason)}</p></div>" if (reason := why(decision, asked)) else "</div>")
        )
    rows += [
        f"<p>{where.capitalize()}: not asked, {markup(reason)}.</p>" for where, reason in _not_asked(entry).items()
    ]
    if entry.lines and any(not entry.decisions[column].answers for column, _ in entry.asked()):
        rows.append(
            f"<p>All trials of this claim take some {sum(line.hours for line in entry.lines):.2g} core hours.</p>"
        )
    return (
        f'<section class="lowres-score"><p><a href="{address(entry)}">{markup(claim.statement)}</a> '
        f"<em>The paper: {markup(claim.reported)}.</em></p>{''.join(rows)}</section>"
    )


@cache
def words_of(part: str) -> Any:
    """Of the first page's words its topics, with a sentence for each outcome of a claim, or the remarks on cards."""
    import yaml

    return yaml.safe_load((ROOT / "book" / "answer.yaml").read_text(encoding="utf-8"))[part]
