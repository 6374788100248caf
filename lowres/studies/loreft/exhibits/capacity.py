"""What a few dimensions hold: a text recited by one edit, and two halves of a subspace used together."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lowres.exhibits import frame, interval
from lowres.markup import Shown, folded, joined, shown_table, shown_text
from lowres.studies.loreft import claims
from lowres.studies.loreft import composition as composed
from lowres.studies.loreft.arms import ARMS
from lowres.studies.loreft.evidence import Evidence
from lowres.studies.loreft.exhibits.common import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray


# --- recitation ------------------------------------------------------------------------------------------------------
def recitation(evidence: Evidence) -> Shown:
    """Share of a text recited word by word against its length, for text and for random words."""
    from lowres.figures import Plot, curve

    rows: list[Row] = []
    for where in evidence.places:
        found = re.fullmatch(rf"{claims.RECITED}(random-)?(\d+)", where.task)
        if not found or where.is_world:
            continue
        kind, words = "random words" if found[1] else "text", int(found[2])
        for name in (name for name in ARMS if ARMS[name].tuner):
            scores = evidence.scores(evidence.at(where, name))
            if scores is not None:
                rows.append((f"{name}, {kind}", words, *interval(scores)))
    if not rows:
        return shown_text("Nothing was recited: run the study with -p task=recitation-32 -p 'arms=[recall]'.")
    rows.sort(key=lambda row: (str(row[0]), row[1]))
    lengths = sorted({int(str(row[1])) for row in rows})
    last = {str(row[0]): row for row in rows}
    ends = "; ".join(f"{name}: {row[2]:.2f} of {row[1]} words" for name, row in last.items())
    plot = Plot(
        name="loreft-recitation",
        alt=f"Share recited word by word (ROUGE-L) against the number of words, {len(lengths)} lengths from "
        f"{lengths[0]} to {lengths[-1]}. At the longest {ends}.",
        caption="How long a text an edit can hold. The arm recall is one shift of rank 1 at one position of one layer.",
        x="words",
        y="share recited (ROUGE-L)",
        error="95 % intervals over seeds (one text each)",
        x_scale="tokens",
    )
    return curve(frame(rows, "series", "x", "y", "low", "high"), plot)


# --- composition -----------------------------------------------------------------------------------------------------

EXAMPLES_SHOWN, ANSWER_WIDTH = 3, 40
SPACE = "\u00a0"  # where no line breaks


def composition(_: Evidence) -> Shown:
    """What two halves of a subspace do alone and together, from the kept measurement."""
    kept = composed.read()
    if not kept:
        return shown_text("Halves of a subspace were not measured yet: make composition does it.")
    scores = {name: _scores(kept, name) for name in composed.CONDITIONS}
    rows = [
        (meaning, *(_by_seed(scores[name][measure]) for measure in composed.MEASURES), _answers(kept["texts"][name][0]))
        for name, meaning in composed.CONDITIONS.items()
    ]
    setup = kept["setup"]
    caption = (
        f"{setup['model']}, LoReFT of rank {setup['rank']}, {len(kept['targets'])} test articles: the share of all "
        f"seeds (of each seed). The first articles are about {', '.join(kept['targets'][:EXAMPLES_SHOWN])}"
    )
    header = ("Edited", "Topic is right", "In capitals", "Both", "First answers")
    return joined(
        [
            shown_text(_together(scores)),
            shown_table(caption, header, rows, stack=True),
            folded("Every pair of rates, on validation data", _tried(kept)),
        ]
    )


def _by_seed(scores: NDArray) -> str:
    """The mean, and behind it that of each seed; these stay on one line."""
    return f"{scores.mean():.2f} ({SPACE.join(f'{one:.2f}'.removeprefix('0') for one in scores.mean(1))})"


def _answers(texts: Sequence[str]) -> str:
    return "; ".join(textwrap.shorten(text, ANSWER_WIDTH, placeholder=" ...") for text in texts[:EXAMPLES_SHOWN])


def _scores(kept: Mapping[str, Any], condition: str) -> dict[str, NDArray]:
    """Outcomes of a condition by measure, each [seeds, items]."""
    import numpy as np

    return {measure: np.array(rows) for measure, rows in kept["outcomes"][condition].items()}


def _together(scores: Mapping[str, Mapping[str, NDArray]]) -> str:
    """What was found, in a sentence."""
    from lowres.stats import paired_effect

    mean = {name: {measure: float(found.mean()) for measure, found in one.items()} for name, one in scores.items()}
    missing = paired_effect(scores["directly"]["both"], scores["together"]["both"])
    return (
        f"Alone, the first half names the right topic of {mean['content']['topic']:.2f} of the articles and the second "
        f"writes {mean['form']['capitals']:.2f} of its answers in capitals. Together they name "
        f"{mean['together']['topic']:.2f}, write {mean['together']['capitals']:.2f} in capitals, and do both for "
        f"{mean['together']['both']:.2f}. The whole rank, trained on just that, does it for "
        f"{mean['directly']['both']:.2f}, a difference of {missing.text()}."
    )


def _tried(kept: Mapping[str, Any]) -> Shown:
    """Both halves together for every pair of rates, and the whole at each rate."""
    rates: Mapping[int, Sequence[float]] = composed.chosen(kept["tried"])
    rows: list[Row] = []
    for one in kept["tried"]:
        tried = one["rates"]
        name = "whole" if len(tried) == 1 else "halves"
        taken = "taken" if tuple(tried) == rates[len(tried)] else ""
        rows.append(
            (
                f"{name}, {' and '.join(f'{rate:g}' for rate in tried)}",
                *(f"{one[m]:.2f}" for m in composed.MEASURES),
                taken,
            )
        )
    caption = "Shares of validation articles by learning rate: the pair with most topics right and in capitals is taken"
    return shown_table(caption, ("Rates", "Topic is right", "In capitals", "Both", ""), rows, stack=True)
