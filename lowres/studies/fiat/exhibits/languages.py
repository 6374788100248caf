"""Languages: the table, and whether the rationale helps the weak ones most (Figure 3 of the paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowres.exhibits import brief, frame, with_note
from lowres.markup import Shown, shown_table, shown_text
from lowres.studies.fiat import paper
from lowres.studies.fiat.evidence import Evidence, by_language

if TYPE_CHECKING:
    from lowres.stats import Effect

NOTHING = shown_text("No languages to compare: country-language was not run with R0 and R1.")
NAMES = {
    **{"as": "Assamese", "bn": "Bengali", "brx": "Bodo", "gu": "Gujarati", "hi": "Hindi", "kn": "Kannada"},
    **{"kok": "Konkani", "mai": "Maithili", "ml": "Malayalam", "mr": "Marathi", "ne": "Nepali", "or": "Odia"},
    **{"pa": "Punjabi", "ps": "Pashto", "sa": "Sanskrit", "sat": "Santali", "sd": "Sindhi", "ta": "Tamil"},
    **{"te": "Telugu", "ur": "Urdu"},
}
FEWEST = 3  # points that a correlation is told of


def languages_table(evidence: Evidence) -> Shown:
    """Per language: R1 on one half of the items; R1, R0 and the gain on the other."""
    found = by_language(evidence)
    if not found:
        return NOTHING
    rows = []
    for language in sorted(found, key=lambda name: float(found[name][0].mean())):
        ranking, with_it, without = found[language]
        effect = _gain(found[language])
        named = NAMES.get(language, language)
        gain = brief(effect) if effect else f"{with_it.mean() - without.mean():+.3f}"
        scores = (float(half.mean()) for half in (ranking, without, with_it))
        rows.append((named, ranking.shape[1], *scores, gain))
    header = ("Language", "Items of a half", "R1, first half", "R1, second half", "R0, second half", "Gain there")
    caption = with_note("Languages, those first that R1 is worst at", rows)
    return shown_table(caption, header, rows, stack=True)


def _gain(halves: object) -> Effect | None:
    from lowres.stats import paired_effect

    assert isinstance(halves, tuple)
    _, with_it, without = halves
    return paired_effect(with_it, without) if with_it.size > 1 else None


def correlation(evidence: Evidence) -> float | None:
    """Pearson's r of gain and score without rationale over languages, on separate halves of the items."""
    import numpy as np

    found = by_language(evidence)
    starts = [float(one[0].mean()) for one in found.values()]
    gained = [float(one[1].mean() - one[2].mean()) for one in found.values()]
    if len(found) < FEWEST or not np.std(starts) or not np.std(gained):
        return None
    return float(np.corrcoef(starts, gained)[0, 1])


def languages_figure(evidence: Evidence) -> Shown:
    """Gain by the rationale against the score without it, language by language, with r here and in the paper."""
    from lowres.figures import Plot, scatter

    found = by_language(evidence)
    if not found:
        return NOTHING
    rows = []
    for language, one in found.items():
        effect, middle = _gain(one), float(one[1].mean() - one[2].mean())
        named = NAMES.get(language, language)
        rows.append(
            (
                named,
                float(one[0].mean()),
                middle,
                *(effect.interval if effect else (middle, middle)),
            )
        )
    r = correlation(evidence)
    here = "r cannot be told here" if r is None else f"r is {r:+.2f} here"
    reported = " and ".join(f"{paper.correlation(tau).value:+.2f} for {tau}" for tau in paper.TAUS)
    plot = Plot(
        name="fiat-languages",
        alt=f"Gain R0 minus R1 against the score of R1 for {len(rows)} languages; {here}.",
        caption="One half of the items gives the score, the other the gain, so that the noise of a score is not in "
        f"its own gain; {here}. In the paper, where one score is in both, r is {reported} (from its Table 7).",
        x="score of R1 on the first half",
        y="gain R0 - R1, second half",
        error="95 % intervals",
    )
    return scatter(frame(rows, "name", "x", "y", "low", "high"), plot, marks={"no gain": 0.0})
