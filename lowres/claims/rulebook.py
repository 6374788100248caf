"""The rules of the second edition in words, and what they decide: for the command line and the book's page."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from types import ModuleType

from lowres import registry
from lowres.claims import Claim
from lowres.claims.rules import COLUMNS, LOSS, Asked, ColumnName, Contrast, Decision, SecondRule, decisions, measured_by
from lowres.engine.tables import aligned
from lowres.ledger.published import EXPLORATORY, read_confirmatory
from lowres.outcomes import Outcomes
from lowres.places import RESULTS
from lowres.trial import RESULT_VERSION, Record

HEADER = ("claim", "column", "verdict", "adjusted p", "seeds", "estimate and interval", "reason")


def rules_of(study: str) -> tuple[SecondRule, ...]:
    """The second edition's rules of a study; none where it has none yet."""
    name = f"lowres.studies.{study}.rules"
    if importlib.util.find_spec(name) is None:
        return ()
    rules: tuple[SecondRule, ...] = importlib.import_module(name).RULES
    return rules


@dataclass(frozen=True)
class Commitment:
    """When the rules of a study were committed; `rules` is the digest of all that they decide by (see `binding`)."""

    commit: str
    date: str
    rules: str


def commitment(study: str) -> Commitment | None:
    """What results/rules.json says of a study's rules; None before they are committed."""
    known = json.loads((RESULTS / "rules.json").read_text(encoding="utf-8"))
    return Commitment(**known[study]) if study in known else None


def binding(study: str) -> str:
    """16 hexadecimal digits over all that decides: parts, rules, places, probes and seeds, but no wording."""
    decisive = [
        (rule.claim, column, [_decisive(part) for part in asked.parts], asked.places, asked.seeds)
        for rule in rules_of(study)
        for column, asked in sorted(rule.columns.items())
        if not isinstance(asked, str)
    ]
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:16]


def _decisive(part: Contrast) -> list[tuple[str, object]]:
    """A part without its name; what is as usual is left out, so that a new field changes no digest."""
    found = [(each.name, getattr(part, each.name), each.default) for each in fields(part) if each.name != "name"]
    return [(name, value) for name, value, usual in found if value != usual]


def judged(study: str) -> list[Record]:
    """The published records that the rules may judge: of today's version, and made after the rules were committed."""
    made = commitment(study)
    records = [one for one in read_confirmatory(study) if one.version == RESULT_VERSION]
    return [one for one in records if made and one.provenance["date"] > made.date]


def outcomes_of(study: str, records: Iterable[Record]) -> Outcomes:
    """The table that a study's rules are asked of."""
    return Outcomes.of(records, getattr(importlib.import_module(f"lowres.studies.{study}.rules"), "SAME", None))


def _chosen(names: Sequence[ModuleType] | None) -> list[ModuleType]:
    return list(names) if names else [registry.load(name) for name in registry.study_names()]


def _name(study: ModuleType) -> str:
    return study.__name__.rpartition(".")[2]


# --- the rules -------------------------------------------------------------------------------------------------------


def text(chosen: Sequence[ModuleType] | None = None) -> str:
    """The rules as Markdown: the paper's sentence, the first rule, what was wrong with it, and the second, by study."""
    parts = []
    for study in _chosen(chosen):
        claims = {claim.name: claim for claim in study.CLAIMS}
        rules = rules_of(_name(study))
        now = {(one.claim, one.column): one for one in decided([study])}
        told = "\n\n".join([_dates(_name(study)), *(_rule(rule, claims.get(rule.claim), now) for rule in rules)])
        parts.append(f"## {study.TITLE}\n\n{told}")
    return "\n\n".join(parts)


def _dates(study: str) -> str:
    made = commitment(study)
    if made is None:
        return "No rules are committed yet."
    first = min((one.provenance["date"] for one in judged(study)), default="none is published yet")
    return f"Rules committed {made.date} (commit {made.commit}). First record made under them, rates included: {first}."


def _rule(rule: SecondRule, claim: Claim | None, now: Mapping[tuple[str, ColumnName], Decision]) -> str:
    lines = [f"### {rule.claim}", ""]
    if claim:
        lines += [claim.statement, "", *_first(rule.claim)]
    lines.append(f"- **{'What was wrong with it' if first_edition(rule.claim) else 'Why this rule'}:** {rule.wrong}")
    for column in COLUMNS:
        asked = rule.columns[column]
        if isinstance(asked, str):
            lines.append(f"- **{column.capitalize()}:** not asked: {asked}.")
            continue
        found = now[rule.claim, column]
        lines += [f"- **{column.capitalize()}:** {_asked(asked)}", f"  So far: **{found.outcome}**. {found.reason}."]
    lines += [f"- **Changed:** {change}" for change in rule.changed]
    return "\n".join(lines)


def first_edition(claim: str) -> dict[str, str]:
    """What the first edition measured for a claim, its rule and its verdict with the date; empty where it had none."""
    known = json.loads((RESULTS / EXPLORATORY / "verdicts.json").read_text(encoding="utf-8"))
    return {"date": known["date"], **known["verdicts"][claim]} if claim in known["verdicts"] else {}


def _first(claim: str) -> list[str]:
    first = first_edition(claim)
    told = f"{first['measure']}; {first['rule']}. Verdict of {first['date']}: {first['outcome']}." if first else ""
    return [f"- **First edition:** {told}"] if told else []


def _asked(asked: Asked) -> str:
    parts = "; ".join(f"{part.name} ({_measure(part)}) {part.rule.text()}" for part in asked.parts)
    places = ", ".join(" x ".join(str(value) for value in place.values()) for place in asked.places)
    noise = ", ".join(f"{each:g}" for each in asked.noise)
    return (
        f"{parts}. Mean over {places}. Planned: {asked.seeds} seeds, {asked.items}. A part whose effect lies "
        f"{asked.matters:g} from its margin would be decided with a probability of {asked.power():.2f} (assumed "
        f"standard deviations between seeds, between units and of the rest: {noise})."
    )


def _measure(part: Contrast) -> str:
    at = "; at " + ", ".join(" x ".join(map(str, place.values())) for place in part.at) if part.at else ""
    own = {"": "the task's own metric", LOSS: "chance-corrected loss"}.get(part.measure, part.measure)
    own = _lowered(measured_by(own).__doc__ or "") if ":" in own else own
    cells = ({"probes": part.probes, **cell} for _, cell in part.terms)
    probes = sorted({probe for cell in cells for probe in _names(cell["probes"])})
    of = f" of {', '.join(probes)}" if probes else ""
    rates = ", ".join(f"{rate:g}" for rate in part.rates)
    return own + of + (f", at the same task loss between rates {rates}" if rates else "") + at


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _names(probes: object) -> tuple[str, ...]:
    return probes if isinstance(probes, tuple) else ()


# --- the verdicts ----------------------------------------------------------------------------------------------------


def decided(chosen: Sequence[ModuleType] | None = None) -> list[Decision]:
    """All decisions of the second edition, from published records of today's version alone."""
    found: list[Decision] = []
    for study in _chosen(chosen):
        rules = rules_of(_name(study))
        if rules:
            found += decisions(rules, outcomes_of(_name(study), judged(_name(study))))
    return found


def table(found: Sequence[Decision]) -> str:
    """One line per claim and column, and how many are decided."""
    rows = [HEADER]
    for one in found:
        effects = "; ".join(effect.text() for effect in one.effects.values())
        adjusted = "" if one.p_adjusted is None else f"{one.p_adjusted:.2g}"
        reason = one.reason if len(one.reason) <= 80 else one.reason[:77] + "..."
        rows.append((one.claim, one.column, one.outcome, adjusted, str(one.seeds or ""), effects, reason))
    claims = {one.claim for one in found}
    count = {
        name: len({one.claim for one in found if one.outcome != "cannot tell" and name in ("either", one.column)})
        for name in ("either", *COLUMNS)
    }
    return (
        f"{aligned(rows)}\n\nOf {len(claims)} claims {count['either']} are decided in at least one column, "
        f"{count['world']} in the world, {count['real']} on real models and data."
    )


def as_json(found: Sequence[Decision]) -> str:
    """The decisions with their effects; numbers that are not finite are null."""
    plain = json.loads(json.dumps([asdict(one) for one in found]), parse_constant=lambda _: None)
    return json.dumps(plain, indent=1, ensure_ascii=False)
