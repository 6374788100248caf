"""What others measured beside what the records say on the nearest question: the table of book/others.md."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from lowres.claims import Rule
from lowres.claims.rules import LOSS, Contrast
from lowres.page import drawing, verdicts
from lowres.page.verdicts import WHERE
from lowres.stats import Effect

MARGIN = 0.02
ANSWERS = {"yes": "agree", "no": "disagree", "unclear": "cannot tell"}
NOT_RUN = "not run yet"


def rows(file: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """For every published result: its citation, result and scale, what we have, and whether we agree."""
    with file.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            kind, _, what = row["ours"].partition(": ")
            ours, agree = {"": _none, "claim": _claim}.get(kind, _contrast)(kind, what, row["agree"])
            yield f"{{cite:t}}`{row['key']}`", row["result"], row["scale"], ours, agree


def _none(kind: str, what: str, agree: str) -> tuple[str, str]:
    return "no rule asks it", ""


def _claim(kind: str, name: str, agree: str) -> tuple[str, str]:
    """The verdicts on a claim in every column; `agree` is the verdict that agrees with the others."""
    (entry,) = (one for one in verdicts.entries(name.partition("-")[0]) if one.claim.name == name)
    told, found = [], []
    for column, _ in entry.asked():
        decision = entry.decisions[column]
        effects = "; ".join(f"{part} {effect.text()}" for part, effect in decision.effects.items())
        told.append(f"{WHERE[column]}: {effects or NOT_RUN}")
        here = decision.outcome
        clear = {"reproduced": "disagree", "not reproduced": "disagree", agree: "agree"}
        words = clear.get(here, here)  # partly, and what cannot be told, are said as they are
        found.append(f"{WHERE[column]}: {words if effects else NOT_RUN}")
    return f"{name}, {'; '.join(told)}", "; ".join(found)


def _contrast(measure: str, pair: str, agree: str) -> tuple[str, str]:
    """A difference of two tuners in the crossing, mean over recipes without rationales, budgets and tasks."""
    from lowres.studies.crossing.arms import WORLD_PROBES
    from lowres.studies.crossing.measures import GAIN, UNWRITTEN
    from lowres.studies.crossing.places import BUDGETS, WORLD
    from lowres.studies.crossing.rules import mean

    recipes = sorted({arm.partition(" ")[0] for arm in UNWRITTEN})
    signs = zip((1.0, -1.0), pair.split(" - "), strict=True)
    terms = tuple(
        term for sign, tuner in signs for term in mean(dict.fromkeys(recipes, sign / len(recipes)), BUDGETS, (tuner,))
    )
    named = {"gain": GAIN, "loss": LOSS}[measure]
    contrast = Contrast("", terms, drawing.NO_RULE, named, probes=WORLD_PROBES)
    effect = drawing.effect(drawing.evidence("crossing").judged, WORLD, contrast)
    return f"{measure}, {pair}, in the world: {effect.text() if effect else NOT_RUN}", answer(effect, agree)


def answer(effect: Effect | None, agree: str) -> str:
    """Whether an effect agrees with a direction; a difference within the margin is none."""
    if effect is None or not agree:
        return NOT_RUN if effect is None else "no direction to compare"
    rule: Mapping[str, Rule] = {
        "above": Rule("above", MARGIN),
        "below": Rule("below", -MARGIN),
        "within": Rule("within", MARGIN),
    }
    return ANSWERS[rule[agree].answer(effect)]
