"""The rules of the second edition in words, and what they decide: for the command line and the book's page."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict
from types import ModuleType

from lowres import studies
from lowres.claims import Claim
from lowres.engine.tables import aligned
from lowres.outcomes import Outcomes
from lowres.published import read_published
from lowres.rules import COLUMNS, LOSS, Asked, Contrast, Decision, SecondRule, decisions
from lowres.trial import RESULT_VERSION

HEADER = ("claim", "column", "verdict", "adjusted p", "seeds", "estimate and interval", "reason")


def rules_of(study: str) -> tuple[SecondRule, ...]:
    """The second edition's rules of a study; none where it has none yet."""
    name = f"lowres.studies.{study}.rules"
    if importlib.util.find_spec(name) is None:
        return ()
    rules: tuple[SecondRule, ...] = importlib.import_module(name).RULES
    return rules


def _chosen(names: Sequence[ModuleType] | None) -> list[ModuleType]:
    return list(names) if names else [studies.load(name) for name in studies.study_names()]


def _name(study: ModuleType) -> str:
    return study.__name__.rpartition(".")[2]


# --- the rules -------------------------------------------------------------------------------------------------------


def text(chosen: Sequence[ModuleType] | None = None) -> str:
    """The rules as Markdown: the paper's sentence, the first rule, what was wrong with it, and the second, by study."""
    parts = []
    for study in _chosen(chosen):
        claims = {claim.name: claim for claim in study.CLAIMS}
        rules = rules_of(_name(study))
        told = "\n\n".join(_rule(rule, claims.get(rule.claim)) for rule in rules) or "No rules yet."
        parts.append(f"## {study.TITLE}\n\n{told}")
    return "\n\n".join(parts)


def _rule(rule: SecondRule, claim: Claim | None) -> str:
    lines = [f"### {rule.claim}", ""]
    if claim:
        lines += [claim.statement, "", f"- **First edition:** {claim.measure}; {claim.rule}."]
    lines.append(f"- **What was wrong with it:** {rule.wrong}")
    for column in COLUMNS:
        asked = rule.columns[column]
        lines.append(
            f"- **{column.capitalize()}:** " + (f"not asked: {asked}." if isinstance(asked, str) else _asked(asked))
        )
    lines += [f"- **Changed:** {change}" for change in rule.changed]
    return "\n".join(lines)


def _asked(asked: Asked) -> str:
    parts = "; ".join(f"{part.name} ({_measure(part)}) {part.rule.text()}" for part in asked.parts)
    places = ", ".join(" x ".join(str(value) for value in place.values()) for place in asked.places)
    noise = ", ".join(f"{each:g}" for each in asked.noise)
    return (
        f"{parts}. Mean over {places}. Planned: {asked.seeds} seeds, {asked.items}. A part whose effect lies "
        f"{asked.matters:g} from its margin would be decided with a probability of {asked.power():.2f} (standard "
        f"deviations between seeds, units and rest: {noise})."
    )


def _measure(part: Contrast) -> str:
    at = "; at " + ", ".join(" x ".join(map(str, place.values())) for place in part.at) if part.at else ""
    own = {"": "the task's own metric", LOSS: "chance-corrected loss"}.get(part.measure, part.measure)
    cells = ({"probes": part.probes, **cell} for _, cell in part.terms)
    probes = sorted({probe for cell in cells for probe in _names(cell["probes"])})
    of = f" of {', '.join(probes)}" if probes else ""
    rates = ", ".join(f"{rate:g}" for rate in part.rates)
    return own + of + (f", at the same task loss between rates {rates}" if rates else "") + at


def _names(probes: object) -> tuple[str, ...]:
    return probes if isinstance(probes, tuple) else ()


# --- the verdicts ----------------------------------------------------------------------------------------------------


def decided(chosen: Sequence[ModuleType] | None = None) -> list[Decision]:
    """All decisions of the second edition, from published records of today's version alone."""
    found: list[Decision] = []
    for study in _chosen(chosen):
        rules = rules_of(_name(study))
        if rules:
            records = [one for one in read_published(_name(study)) if one.version == RESULT_VERSION]
            found += decisions(rules, Outcomes.of(records))
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
