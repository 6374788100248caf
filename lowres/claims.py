"""Claims of the papers, the rules that decide them and the verdicts: as objects, on cards, in files, on the scoreboard.

A rule is written down with the claim before anything runs. It looks at the interval of an effect, never at the
estimate: an interval that holds the rule's boundary decides nothing.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, get_args

from lowres.markup import STYLE, Html, Shown, badge, definitions, html_table, markdown_table, markup
from lowres.params import InputError

if TYPE_CHECKING:  # stats needs numpy; a study's claims must not
    from lowres.stats import Effect, Saving

Answer = Literal["yes", "no", "unclear"]
Outcome = Literal["reproduced", "partly", "not reproduced", "cannot tell"]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
SYMBOLS: dict[Outcome, str] = {"reproduced": "✓", "partly": "◐", "not reproduced": "✗", "cannot tell": "?"}
SMOKE = "smoke tier: plumbing only"


@dataclass(frozen=True)
class Claim:
    """One falsifiable sentence of a paper and how it is decided here."""

    name: str
    study: str
    statement: str
    source: str
    reported: str
    measure: str
    rule: str
    margin: float


@dataclass(frozen=True)
class Rule:
    """A question to the headline interval of an effect: is it above or below a boundary, or that near to zero."""

    kind: Literal["above", "below", "within"]
    boundary: float

    def answer(self, effect: Effect) -> Answer:
        """What the interval says; "unclear" where it holds a boundary."""
        if self.kind == "above":
            return decide(effect, self.boundary)
        if self.kind == "below":
            return decide(effect, -self.boundary, direction=-1)
        outside = (decide(effect, self.boundary), decide(effect, self.boundary, direction=-1))
        return "no" if "yes" in outside else "yes" if outside == ("no", "no") else "unclear"

    def boundaries(self) -> tuple[float, ...]:
        """What the interval must exclude before the rule can say yes."""
        return (-self.boundary, self.boundary) if self.kind == "within" else (self.boundary,)

    def p_value(self, effect: Effect) -> float:
        """Two-sided p-value of the answer: against the boundary that is the hardest to exclude."""
        return max(effect.p_against(boundary) for boundary in self.boundaries())

    def seeds_needed(self, effect: Effect, confidence: float | None = None) -> int | None:
        """Further seeds that would turn "unclear" into an answer; None if no number of seeds would."""
        from lowres.stats import seeds_needed

        needed = [seeds_needed(effect, boundary, confidence=confidence) for boundary in self.boundaries()]
        return most(needed)

    def text(self) -> str:
        """The rule in words, such as "above +0.02" or "within 0.02 of zero"."""
        if self.kind == "within":
            return f"within {self.boundary:g} of zero"
        return f"{self.kind} {self.boundary:+g}" if self.boundary else f"{self.kind} zero"


@dataclass(frozen=True)
class Part:
    """One rule of a claim and the effect that it asks; None where that was not run."""

    name: str
    effect: Effect | None
    rule: Rule


@dataclass(frozen=True)
class Verdict:
    """What the measurements say about a claim, at which scale, and what would settle it if they do not say enough.

    `effects` holds all that was measured for the claim, the most important first; `rules` those that decide, by name.
    """

    claim: Claim
    outcome: Outcome
    reason: str
    effects: Mapping[str, Effect | Saving]
    scale: str
    seeds_needed: int | None = None
    p_adjusted: float | None = None
    p_value: float | None = None
    rules: Mapping[str, Rule] = field(default_factory=dict)
    cost: str = ""
    page: str = ""

    def __post_init__(self) -> None:
        """Refuse an outcome that is none."""
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome {self.outcome!r} of claim {self.claim.name!r}, allowed: {', '.join(OUTCOMES)}")

    def remedy(self) -> str:
        """What would settle a claim that cannot be told; empty for other verdicts and where that is not known."""
        if self.outcome != "cannot tell" or self.reason == SMOKE:
            return ""
        if self.seeds_needed is None:
            return "seeds alone would not tell: more test items are needed" if self.rules else ""
        return f"about {self.seeds_needed} further seed{'' if self.seeds_needed == 1 else 's'} would tell"


# --- decisions --------------------------------------------------------------------------------------------------------


def decide(effect: Effect, margin: float, direction: int = 1) -> Answer:
    """Does the effect pass the margin? "yes" if its whole interval lies beyond, "no" if its whole interval stays short.

    direction +1 asks for an effect above `margin`, -1 for one below `-margin`. A negative margin asks for "not worse by
    more than that".
    """
    if direction not in (1, -1):
        raise ValueError(f"direction is {direction}, allowed: 1 (higher) or -1 (lower)")
    ends = sorted(direction * bound for bound in effect.interval)
    if ends[0] > margin:
        return "yes"
    return "no" if ends[1] < margin else "unclear"


def combine(answers: Iterable[Answer]) -> Outcome:
    """The outcome of a claim with several parts: the one that holds however the unclear parts would turn out."""
    found = set(answers)
    if not found:
        raise ValueError("a claim needs at least one rule")
    if {"yes", "no"} <= found:
        return "partly"
    if "unclear" in found:
        return "cannot tell"
    return "reproduced" if found == {"yes"} else "not reproduced"


def judge(
    claim: Claim,
    effects: Mapping[str, Effect | Saving],
    rules: Mapping[str, Rule],
    scale: str,
    cost: str = "",
    page: str = "",
) -> Verdict:
    """The verdict that the rules give: every rule asks the effect of the same name, effects without one are context.

    Raises ValueError for a rule without a paired effect.
    """
    decisive = _decisive(claim, effects, rules)
    answers: dict[str, Answer] = {name: rule.answer(decisive[name]) for name, rule in rules.items()}
    outcome = combine(answers.values())
    p_values = {name: rule.p_value(decisive[name]) for name, rule in rules.items()}
    parts = [f"{answers[name]}: {name} {decisive[name].text()} (rule: {rule.text()})" for name, rule in rules.items()]
    unclear = [rules[name].seeds_needed(decisive[name]) for name in rules if answers[name] == "unclear"]
    return Verdict(
        claim,
        outcome,
        reason="; ".join(parts),
        effects=effects,
        scale=scale,
        seeds_needed=most(unclear) if outcome == "cannot tell" else None,
        p_value=p_value_of(outcome, answers, p_values),
        rules=rules,
        cost=cost,
        page=page,
    )


def p_value_of(outcome: Outcome, answers: Mapping[str, Answer], p_values: Mapping[str, float]) -> float:
    """The p-value of an outcome, from those of its parts, each against its own boundary.

    An outcome that all parts share is as sure as the weakest of them. "Partly" needs one yes and one no, the surest of
    either kind; as these are picked out of all parts, they count as many times as there are parts (Bonferroni).
    """
    if outcome != "partly":
        return max(p_values.values())
    return min(1.0, len(p_values) * max(p_values[name] for name in _surest(answers, p_values)))


def _surest(answers: Mapping[str, Answer], p_values: Mapping[str, float]) -> list[str]:
    """The part that most surely says yes, and the one that most surely says no."""
    sides: tuple[Answer, ...] = ("yes", "no")
    return [min((name for name in answers if answers[name] == side), key=p_values.__getitem__) for side in sides]


def judge_parts(
    claim: Claim,
    parts: Sequence[Part],
    context: Mapping[str, Effect | Saving],
    scale: str,
    cost: str = "",
    page: str = "",
) -> Verdict:
    """The verdict of `judge`, or "cannot tell" naming what was not run where the effect of a part is missing."""
    effects: dict[str, Effect | Saving] = {part.name: part.effect for part in parts if part.effect is not None}
    missing = [part.name for part in parts if part.effect is None]
    if missing or not parts:
        reason = f"not run: {', '.join(missing) or 'anything that this claim is about'}"
        return Verdict(claim, "cannot tell", reason, {**effects, **context}, scale, cost=cost, page=page)
    rules = {part.name: part.rule for part in parts}
    return judge(claim, {**effects, **context}, rules, scale, cost, page)


def _decisive(claim: Claim, effects: Mapping[str, Effect | Saving], rules: Mapping[str, Rule]) -> dict[str, Effect]:
    """The effect of each rule, or a ValueError for a rule that has none."""
    from lowres.stats import Effect

    found = {name: effect for name in rules if isinstance(effect := effects.get(name), Effect)}
    for name in rules:
        if name not in found:
            raise ValueError(f"claim {claim.name!r}: no paired effect {name!r} for the rule, there are {list(effects)}")
    return found


def most(needed: Sequence[int | None]) -> int | None:
    """The largest number; None if one of them is None or there are none."""
    numbers = [number for number in needed if number is not None]
    return max(numbers) if numbers and len(numbers) == len(needed) else None


def at_tier(verdict: Verdict, tier: str) -> Verdict:
    """The verdict itself, or "cannot tell" in the smoke tier, which only shows that the machinery runs."""
    if tier != "smoke":
        return verdict
    return replace(verdict, outcome="cannot tell", reason=SMOKE, seeds_needed=None, p_value=None, p_adjusted=None)


def with_holm(verdicts: Sequence[Verdict], level: float = 0.05) -> list[Verdict]:
    """The verdicts of one page with Holm's correction for their number.

    What is decided alone but not among so many claims (adjusted p-value >= level) becomes "cannot tell". Verdicts
    without a p-value (smoke tier, or decided otherwise) stay as they are and do not count.
    """
    from lowres.stats import holm

    adjusted = holm({verdict.claim.name: verdict.p_value for verdict in verdicts if verdict.p_value is not None})
    return [_corrected(verdict, adjusted, level) for verdict in verdicts]


def _corrected(verdict: Verdict, adjusted: Mapping[str, float], level: float) -> Verdict:
    if verdict.claim.name not in adjusted:
        return verdict
    p_adjusted = adjusted[verdict.claim.name]
    verdict = replace(verdict, p_adjusted=p_adjusted)
    if verdict.outcome == "cannot tell" or p_adjusted < level:
        return verdict
    reason = f"{verdict.outcome} if it stood alone, but not among {len(adjusted)} claims (Holm); {verdict.reason}"
    return replace(
        verdict, outcome="cannot tell", reason=reason, seeds_needed=_seeds_alone(verdict, level / len(adjusted))
    )


def _seeds_alone(verdict: Verdict, level: float) -> int | None:
    """Further seeds with which an outcome would have a p-value below `level`, if the effects stay as they are."""
    effects, names = _ruled(verdict), list(verdict.rules)
    if verdict.outcome == "partly":
        p_values = {name: verdict.rules[name].p_value(effects[name]) for name in names}
        level, names = level / len(names), _surest(_answers(verdict), p_values)
    return most([verdict.rules[name].seeds_needed(effects[name], 1 - level) for name in names])


# --- files ------------------------------------------------------------------------------------------------------------


def save_verdicts(verdicts: Sequence[Verdict], folder: Path) -> list[Path]:
    """Write one JSON file per study, `<study>.json`, replacing it whole; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    studies = dict.fromkeys(verdict.claim.study for verdict in verdicts)
    return [_save(folder / f"{study}.json", [v for v in verdicts if v.claim.study == study]) for study in studies]


def _save(path: Path, verdicts: Sequence[Verdict]) -> Path:
    text = json.dumps({"verdicts": [_plain(asdict(verdict)) for verdict in verdicts]}, indent=1, ensure_ascii=False)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(path)
    return path


def load_verdicts(folder: Path) -> list[Verdict]:
    """All saved verdicts, studies in the order of their names; none if the folder is not there.

    Raises InputError naming the file that is broken.
    """
    verdicts: list[Verdict] = []
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            verdicts += [_verdict(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["verdicts"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: no file of verdicts ({error!r}); run the study again to rewrite it") from error
    return verdicts


def _plain(value: Any) -> Any:
    """What JSON can hold: numbers that are not finite as words."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _verdict(entry: dict[str, Any]) -> Verdict:
    return Verdict(
        **{
            **entry,
            "claim": Claim(**entry["claim"]),
            "effects": {name: _measured(values) for name, values in entry["effects"].items()},
            "rules": {name: Rule(**values) for name, values in entry["rules"].items()},
        }
    )


def _measured(values: dict[str, Any]) -> Effect | Saving:
    from lowres.stats import Components, Effect, Saving

    read = {name: _number(value) for name, value in values.items()}
    if "bounded" in read:
        return Saving(**read)
    parts = {name: _number(value) for name, value in values["components"].items()}
    return Effect(**{**read, "components": Components(**parts)})


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_number(entry) for entry in value)
    return float(value) if value in ("nan", "inf", "-inf") else value


# --- cards and tables -------------------------------------------------------------------------------------------------


def claim_cards(claims: Iterable[Claim]) -> Shown:
    """The claims as they stand before any evidence: statement, source, the paper's number, the rule."""
    chosen = list(claims)
    texts = [_markdown_card(f"{claim.name}: {claim.statement}", _facts(claim)) for claim in chosen]
    return Shown("\n".join(_claim_card(claim) for claim in chosen), "\n\n".join(texts))


def _claim_card(claim: Claim) -> str:
    name = markup(claim.name)
    return (
        f'<div class="lowres-card" id="claim-{name}" role="group" aria-label="Claim {name}">\n'
        f"<p><strong>{name}</strong>: {markup(claim.statement)}</p>\n{definitions(_facts(claim))}\n</div>"
    )


def _facts(claim: Claim) -> dict[str, str]:
    return {
        "Source": claim.source,
        "Reported": claim.reported,
        "Measured here": claim.measure,
        "Rule": claim.rule,
        "Margin": f"{claim.margin:g}",
    }


def verdict_cards(verdicts: Iterable[Verdict]) -> Shown:
    """One card per verdict: outcome, reason, both uncertainties, and what would settle it.

    Scale and cost stand in front of all cards where they are the same for all.
    """
    chosen = list(verdicts)
    shared = _shared(chosen)
    told = [{term: said for term, said in _findings(v).items() if term not in shared} for v in chosen]
    cards = [_verdict_card(verdict, facts) for verdict, facts in zip(chosen, told, strict=True)]
    texts = [
        _markdown_card(f"{_words(v)}: {v.claim.name}: {v.claim.statement}", facts)
        for v, facts in zip(chosen, told, strict=True)
    ]
    if shared:
        title = f"All {len(chosen)} verdicts rest on the same runs"
        cards.insert(0, f'<div class="lowres-card">\n<p>{title}.</p>\n{_one_per_line(shared)}\n</div>')
        texts.insert(0, _markdown_card(title, shared))
    return Shown("\n".join(cards), "\n\n".join(texts))


def _shared(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Scale and cost of several verdicts, if they have both in common; else nothing."""
    found = {(verdict.scale, verdict.cost) for verdict in verdicts}
    if len(verdicts) < 2 or len(found) > 1:
        return {}
    return dict(zip(("Scale", "Cost"), found.pop(), strict=True))


def _one_per_line(facts: Mapping[str, str]) -> Html:
    """Facts as a list of terms; each setting that ends in brackets and a semicolon stands on a line of its own."""
    return definitions({term: Html(markup(said).replace("); ", ")<br>")) for term, said in facts.items()})


def _verdict_card(verdict: Verdict, facts: Mapping[str, str]) -> str:
    name = markup(verdict.claim.name)
    return (
        f'<div class="lowres-card {_kind(verdict)}" id="verdict-{name}" role="group" aria-label="Verdict on {name}">\n'
        f"<p>{_badge(verdict)} <strong>{name}</strong>: {markup(verdict.claim.statement)}</p>\n"
        f"{definitions(facts)}\n{_uncertainties(verdict)}\n</div>"
    )


def _findings(verdict: Verdict) -> dict[str, str]:
    p_adjusted = "" if verdict.p_adjusted is None else f"{verdict.p_adjusted:.2g}"
    return {
        "The paper": verdict.claim.reported,
        "Here": _here(verdict),
        "Still open": still_open(verdict),
        "To settle it": verdict.remedy(),
        "p (Holm)": p_adjusted,
        "Scale": verdict.scale,
        "Cost": verdict.cost,
    }


MANY = 3  # more parts than this are counted on a card; its table has them one by one


def _here(verdict: Verdict) -> str:
    """The reason; of many parts only how many said what."""
    if len(verdict.rules) <= MANY or verdict.reason == SMOKE:
        return verdict.reason
    alone, mark, _ = verdict.reason.partition(" (Holm); ")
    return f"{alone}{mark}{_tally(verdict)}" if mark else _tally(verdict)


def _answers(verdict: Verdict) -> dict[str, Answer]:
    """What each deciding part says."""
    return {name: verdict.rules[name].answer(effect) for name, effect in _ruled(verdict).items()}


def still_open(verdict: Verdict) -> str:
    """What a claim that cannot be told may yet turn out to be, where its decided parts leave only two outcomes."""
    found = set(_answers(verdict).values())
    if verdict.outcome != "cannot tell" or verdict.reason == SMOKE or len(found) != 2 or "unclear" not in found:
        return ""
    return "reproduced or partly" if "yes" in found else "partly or not reproduced"


def _ruled(verdict: Verdict) -> dict[str, Effect]:
    """The effects that a rule asks."""
    from lowres.stats import Effect

    return {name: one for name in verdict.rules if isinstance(one := verdict.effects.get(name), Effect)}


def _tally(verdict: Verdict) -> str:
    """How many parts said what, such as "of 5 parts 3 yes, 2 unclear" or "all 5 parts yes"."""
    found = list(_answers(verdict).values())
    if len(set(found)) == 1:
        return f"all {len(found)} parts {found[0]}"
    counts = [f"{found.count(answer)} {answer}" for answer in get_args(Answer) if answer in found]
    return f"of {len(found)} parts {', '.join(counts)}"


def _uncertainties(verdict: Verdict) -> str:
    """The effects with the interval of both noise sources together and of each alone."""
    if not verdict.effects:
        return ""
    said = {
        name: f"{verdict.rules[name].text()}: {answer}".replace(" ", "\u00a0", 1)
        for name, answer in _answers(verdict).items()
    }
    rows = [_effect_row(name, effect, said.get(name, "")) for name, effect in verdict.effects.items()]
    header = ("Effect", "Rule: answer", "Estimate [interval]", "From seeds", "From items")
    confidence = 100 * next(iter(verdict.effects.values())).confidence
    caption = f"Effects behind {verdict.claim.name} with {confidence:.0f} % intervals"
    if len(said) < len(rows):
        caption += "; those without a rule are context"
    return html_table(caption, header, rows, stack=True)


def _effect_row(name: str, effect: Effect | Saving, said: str) -> tuple[Html, str, str, str, str]:
    from lowres.stats import Saving

    if isinstance(effect, Saving):
        return markup(name), said, _unbroken(effect.text()), "-", "-"
    size = f"{effect.seeds} seed{'' if effect.seeds == 1 else 's'} × {effect.items} items"
    parts = [_bounds(interval) for interval in (effect.seed_interval, effect.item_interval)]
    text = _unbroken(effect.text().removesuffix(ITEMS_ONLY))  # the first column says that there was one seed
    return Html(f"{markup(name)} <span>{size}</span>"), said, text, parts[0], parts[1]


ITEMS_ONLY = " (one seed: item noise only)"


def _bounds(interval: tuple[float, float]) -> str:
    return "unknown" if math.isnan(interval[0]) else _unbroken(f"[{interval[0]:.3f}, {interval[1]:.3f}]")


def _unbroken(words: str) -> str:
    """The words with each interval kept on one line."""
    return words.replace(", ", ",\u00a0")


def verdict_table(verdicts: Iterable[Verdict], caption: str = "Verdicts") -> Shown:
    """The verdicts in short: outcome, the first effect with its interval, scale."""
    header = ("Claim", "Verdict", "Measured", "Scale")
    chosen = list(verdicts)
    rows = [(_named(verdict), _outcome(verdict), _deciding(verdict), verdict.scale) for verdict in chosen]
    plain = [(v.claim.name, _words(v), _deciding(v), v.scale) for v in chosen]
    return Shown(html_table(caption, header, rows, stack=True), markdown_table(header, plain))


def scoreboard_markdown(folder: Path, root: str = "../", titles: Mapping[str, str] | None = None) -> str:
    """The scoreboard page's body: every saved verdict with interval, scale, cost and a link to its study page.

    `root` leads from the scoreboard's page to the root of the book. `titles` by study name give the order of studies.
    """
    verdicts = load_verdicts(folder)
    if not verdicts:
        return "No study has left a verdict yet."
    names = dict.fromkeys((*(titles or {}), *(verdict.claim.study for verdict in verdicts)))
    found = {name: [verdict for verdict in verdicts if verdict.claim.study == name] for name in names}
    boards = [_board((titles or {}).get(name, name), own, root) for name, own in found.items() if own]
    return "\n\n".join([f"{len(verdicts)} claims: {counted(verdicts)}.", STYLE, *boards]) + "\n"


def counted(verdicts: Sequence[Verdict]) -> str:
    """How many verdicts there are of each kind."""
    return ", ".join(f"{sum(verdict.outcome == outcome for verdict in verdicts)} {outcome}" for outcome in OUTCOMES)


def _board(title: str, verdicts: Sequence[Verdict], root: str) -> str:
    """One study on the scoreboard."""
    shared = _shared(verdicts)
    header = ("Claim", "Verdict", "Measured [interval]", *(() if shared else ("Scale, and cost",)))
    rows = [(_named(v, root), _outcome(v), _deciding(v), *(() if shared else (_scale(v),))) for v in verdicts]
    table = html_table(f"{len(verdicts)} claims: {counted(verdicts)}", header, rows, stack=True)
    beside = f'\n<div class="lowres-card">{_one_per_line(shared)}</div>' if shared else ""
    return f"## {title}\n\n{table}{beside}"


def _scale(verdict: Verdict) -> Html:
    return Html("<br>".join(markup(said) for said in (verdict.scale, verdict.cost) if said))


def _named(verdict: Verdict, root: str | None = None) -> Html:
    """The claim's name, a link to its verdict if `root` leads to the book's root, and its statement."""
    claim, name = verdict.claim, markup(verdict.claim.name)
    if root is not None and verdict.page:
        page = PurePosixPath(verdict.page).with_suffix(".html")
        name = Html(f'<a href="{markup(f"{root}{page}#verdict-{claim.name}")}">{name}</a>')
    return Html(f"{name} <span>{markup(claim.statement)}</span>")


def _outcome(verdict: Verdict) -> Html:
    either = f"either {left};" if (left := still_open(verdict)) else ""
    said = (either, verdict.remedy(), verdict.reason if verdict.reason == SMOKE else "")
    return Html("<br>".join([_badge(verdict), *(markup(one) for one in said if one)]))


def _deciding(verdict: Verdict) -> str:
    """The part that the outcome hangs on, with its interval, and what the others say; else the first effect."""
    answers, effects = _answers(verdict), _ruled(verdict)
    p_values = {name: verdict.rules[name].p_value(effects[name]) for name in answers}
    wanted = {"reproduced": "yes", "cannot tell": "unclear"}.get(verdict.outcome, "no")
    asked = _surest(answers, p_values) if verdict.outcome == "partly" else [n for n in answers if answers[n] == wanted]
    chosen = sorted(asked or answers, key=p_values.__getitem__) or list(verdict.effects)[:1]
    if not chosen:
        return "-"
    name = chosen[-1]
    text = f"{name}: {_unbroken(verdict.effects[name].text())}"
    return f"{text}; {_tally(verdict)}" if len(answers) > 1 else text


def _badge(verdict: Verdict) -> Html:
    return badge(verdict.outcome, SYMBOLS[verdict.outcome], verdict.outcome.replace(" ", "-"))


def _kind(verdict: Verdict) -> str:
    return f"lowres-{verdict.outcome.replace(' ', '-')}"


def _words(verdict: Verdict) -> str:
    return f"{SYMBOLS[verdict.outcome]} {verdict.outcome}"


def _markdown_card(title: str, facts: Mapping[str, str]) -> str:
    return "\n".join([f"**{title}**", "", *(f"- {term}: {said}" for term, said in facts.items() if said)])
