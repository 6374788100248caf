"""The ladder: scores per rung, gains beside the paper's, sizes of the training set, learning curves, bases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lowres.exhibits import BARS, effect_of, frame, half_width, interval, measure, named, spelled
from lowres.markup import Shown, joined, shown_table, shown_text
from lowres.studies import Where
from lowres.studies.fiat import paper
from lowres.studies.fiat.arms import ARMS, CURVED, LADDER
from lowres.studies.fiat.evidence import Evidence, Point, difference, two
from lowres.studies.fiat.exhibits.common import (
    SHORT,
    Row,
    label,
    level,
    per_place,
    places,
    sizes_of,
    slug,
    spoken,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.stats import Effect

NOTHING = shown_text("No score to show: nothing was run in these records.")
STEPS = {"rationale (R0 - R1)": "R0 R1", "instruction (R1 - R2)": "R1 R2", "LoRA (R2 - R3)": "R2 R3"}
STEPS |= {"instruction-tuned base (R3 - R4)": "R3 R4"}
REGIMES = ("attriqa-accuracy", "indic-f1", "full-f1")  # the fourth, AUC-PR, is on another scale


def scores_table(evidence: Evidence) -> Shown:
    """Per place, arm and size: score with both uncertainties, likelihood, seeds."""
    return per_place(places(evidence), lambda place: _scores(evidence, place), NOTHING)


def _scores(evidence: Evidence, place: Where) -> Shown:
    rows = []
    for name in ARMS:
        for size in sizes_of(evidence, place, name):
            point = evidence.at(place, name, size)
            scores = level(evidence, point)
            if scores is None:
                continue
            effect, losses = effect_of(scores), level(evidence, point, "target_nll")
            parts = (half_width(effect.seed_interval), half_width(effect.item_interval)) if effect else ("-", "-")
            loss = f"{losses.mean():.3f}" if losses is not None else "-"
            rows.append((spoken(name, size), spelled(scores), *parts, loss, len(scores)))
    name = measure(place)
    header = (
        "Arm",
        f"{name[0].upper()}{name[1:]} (95 %)",
        "From seeds",
        "From items",
        "Nats per target token",
        "Seeds",
    )
    return shown_table(f"All arms on {label(place)}", header, rows, stack=True)


# --- the ladder ------------------------------------------------------------------------------------------------------


def ladder(evidence: Evidence) -> Shown:
    """Score of every rung, one series per size; beta in context and untouched tau as lines."""
    listed = [place for place in places(evidence) if _rungs(evidence, place)]
    return per_place(listed, lambda place: _ladder(evidence, place), shown_text("No rung of the ladder was run."))


def _rungs(evidence: Evidence, place: Where) -> dict[tuple[str, int], NDArray]:
    found = {(rung, size): level(evidence, evidence.at(place, rung, size)) for rung, size in _pairs(evidence, place)}
    return {key: scores for key, scores in found.items() if scores is not None}


def _pairs(evidence: Evidence, place: Where) -> list[tuple[str, int]]:
    return [(rung, size) for size in evidence.sizes(place) for rung in LADDER]


def _ladder(evidence: Evidence, place: Where) -> Shown:
    from lowres.figures import Plot, forest

    found = _rungs(evidence, place)
    order = list(LADDER)
    rows = [(SHORT[rung], f"{size:,} examples", *interval(scores)) for (rung, size), scores in found.items()]
    rows.sort(key=lambda row: order.index(row[0].split(",")[0]))
    size = max(size for _, size in found)
    told = "; ".join(f"{SHORT[rung]} {found[rung, size].mean():.3f}" for rung in order if (rung, size) in found)
    missing = [rung for rung in order if not any(rung == name for name, _ in found)]
    caption = f"The ladder on {label(place)}: each rung lacks one thing more."
    caption += f" Not run: {', '.join(missing)}." if missing else ""
    plot = Plot(
        name=f"fiat-ladder-{slug(place)}",
        alt=f"{measure(place)} of each rung of the ladder on {label(place)}. With {size:,} examples: {told}.",
        caption=caption,
        x=measure(place),
        y="Rung",
        error=BARS,
    )
    return forest(frame(rows, "row", "series", "estimate", "low", "high"), plot, marks=_levels(evidence, place))


def _levels(evidence: Evidence, place: Where) -> dict[str, float]:
    names = {"beta in context": "beta", "tau untouched, instructed": "untouched-instruction"}
    found = {words: level(evidence, evidence.at(place, arm)) for words, arm in names.items()}
    return {words: float(scores.mean()) for words, scores in found.items() if scores is not None}


def gains(evidence: Evidence) -> Shown:
    """What each thing brought, rung by rung: here, and in the paper's Table 3."""
    listed = [place for place in places(evidence) if _gains(evidence, place)]
    return per_place(listed, lambda place: _gains_figure(evidence, place), shown_text("No two rungs were run."))


def _gains(evidence: Evidence, place: Where) -> dict[tuple[str, int], Effect]:
    found = {}
    for size in evidence.sizes(place):
        for step, pair in STEPS.items():
            more, less = (evidence.at(place, rung, size) for rung in pair.split())
            found[step, size] = evidence.effect(more, less)
    return named(found)


def _gains_figure(evidence: Evidence, place: Where) -> Shown:
    from lowres.figures import Plot, forest

    effects = _gains(evidence, place)
    rows: list[Row] = []
    for at, step in enumerate(STEPS):
        for tau in paper.TAUS:
            for regime in REGIMES:
                gain = paper.gain(tau, regime, at).value / 100
                rows.append((step, f"paper, PaLM 2 {tau}", *[gain] * 3, regime))
        for size in evidence.sizes(place):
            effect = effects.get((step, size))
            if effect is not None:
                rows.append((step, f"here, {size:,} examples", effect.estimate, *effect.interval, label(place)))
    told = "; ".join(f"{step} with {size:,} examples {effect.text()}" for (step, size), effect in effects.items())
    plot = Plot(
        name=f"fiat-gains-{slug(place)}",
        alt=f"Gain of each thing that the ladder removes, in the paper and on {label(place)}. Here: {told}.",
        caption=f"Each rung minus the next. Here: {label(place)} ({_scale(evidence, place)}). The paper: three tasks "
        "per model, accuracy or F1, models larger by three orders of magnitude and more, no intervals; compare "
        "directions.",
        x=f"gain in score (here {measure(place)})",
        y="What is there and then is not",
        error=BARS,
    )
    data = frame(rows, "row", "series", "estimate", "low", "high", "setting")
    return forest(data, plot, marks={"no gain": 0.0})


def _scale(evidence: Evidence, place: Where) -> str:
    found = [seeds for point, seeds in evidence.points.items() if point.place == place]
    seeds = max(map(len, found))
    items = next(iter(found[0].values())).items()
    return f"{items} test items, up to {seeds} {'seed' if seeds == 1 else 'seeds'}"


# --- regimes and curves ----------------------------------------------------------------------------------------------


def regimes(evidence: Evidence) -> Shown:
    """FIAT, its rungs, fine-tuning and beta in context against the size of the training set."""
    listed = [place for place in places(evidence) if len(evidence.sizes(place)) > 1]
    nothing = shown_text("No regimes to show: one size of the training set was run. Others: -p 'examples=[100, 1000]'.")
    return per_place(listed, lambda place: _regimes(evidence, place), nothing)


def _regimes(evidence: Evidence, place: Where) -> Shown:
    from lowres.figures import Plot, curve

    rows: list[Row] = []
    for arm, words in {**SHORT, "beta": "beta in context"}.items():
        if arm == "R2":
            continue
        for size in evidence.sizes(place):
            scores = level(evidence, evidence.at(place, arm, size))
            if scores is not None:
                rows.append((words, size, *interval(scores)))
    if not rows:
        return shown_text(f"On {label(place)} none of R0, R1, R3, R4 and beta was run.")
    plot = Plot(
        name=f"fiat-regimes-{slug(place)}",
        alt=f"{measure(place)} on {label(place)} against the size of the training set: {_courses(rows)}.",
        caption=f"{label(place)}: the same number of updates at every size; beta in context does not train.",
        x="training examples",
        y=measure(place),
        error=BARS,
        x_scale="tokens",
    )
    return curve(frame(rows, "series", "x", "y", "low", "high"), plot)


def _courses(rows: Sequence[Row]) -> str:
    ends: dict[object, list[Row]] = {}
    for row in rows:
        ends.setdefault(row[0], []).append(row)
    return "; ".join(f"{name} from {own[0][2]:.3f} to {own[-1][2]:.3f}" for name, own in ends.items())


STARTS = {"R0": "untouched-rationale", "R1": "untouched-instruction", "R2": "untouched"}


def learning_curve(evidence: Evidence) -> Shown:
    """R0, R1 and R2 against updates, from the untouched model on."""
    listed = [place for place in places(evidence) if any(len(one) > 1 for one in _courses_of(evidence, place).values())]
    nothing = shown_text("No learning curve: neither the untouched model nor a part of the updates was measured.")
    return per_place(listed, lambda place: _learning_curve(evidence, place), nothing)


def _courses_of(evidence: Evidence, place: Where) -> Mapping[str, dict[int, NDArray]]:
    """By arm: scores by updates, 0 being the untouched model with the same prompt; at the largest size."""
    size, found = max(evidence.sizes(place), default=0), {}
    for arm in CURVED:
        own = evidence.at(place, arm, size)
        steps = {p.updates: p for p in evidence.points if (p.place, p.arm, p.examples, p.beta) == _key(own)}
        course = {0: level(evidence, evidence.at(place, STARTS[arm]))}
        course |= {updates: level(evidence, steps[updates]) for updates in sorted(steps)}
        there = {updates: scores for updates, scores in course.items() if scores is not None}
        if set(there) - {0}:
            found[arm] = there
    return found


def _key(point: Point) -> tuple[object, ...]:
    return (point.place, point.arm, point.examples, point.beta)


def _learning_curve(evidence: Evidence, place: Where) -> Shown:
    from lowres.figures import Plot, curve

    rows: list[Row] = []
    for arm, course in _courses_of(evidence, place).items():
        rows += [(SHORT[arm], updates, *interval(scores)) for updates, scores in course.items()]
    plot = Plot(
        name=f"fiat-curve-{slug(place)}",
        alt=f"{measure(place)} on {label(place)} against updates: {_courses(rows)}.",
        caption=f"{label(place)}, {max(evidence.sizes(place)):,} examples. 0: tau as it is, with the same prompt. Each "
        "point is a training of its own that stops there.",
        x="updates",
        y=measure(place),
        error=BARS,
    )
    return curve(frame(rows, "series", "x", "y", "low", "high"), plot)


# --- bases -----------------------------------------------------------------------------------------------------------

BASES = {
    "bare, all parameters (R3 - R4)": ("R3", "R4"),
    "bare, LoRA (R2 - P)": ("R2", "P"),
    "instructed, LoRA (R1 - IP)": ("R1", "IP"),
    "FIAT (R0 - CIP)": ("R0", "CIP"),
}


def bases(evidence: Evidence) -> Shown:
    """What instruction tuning beforehand brings: pairs of arms that differ in nothing else."""
    listed = [place for place in places(evidence) if _bases(evidence, place)]
    nothing = shown_text("No pair of a base and its instruction-tuned model was run.")
    return per_place(listed, lambda place: _bases_figure(evidence, place), nothing)


def _bases(evidence: Evidence, place: Where) -> dict[tuple[str, int], Effect]:
    found = {}
    for words, pair in BASES.items():
        for size in evidence.sizes(place):
            found[words, size] = evidence.effect(evidence.at(place, pair[0], size), evidence.at(place, pair[1], size))
    return named(found)


def _bases_figure(evidence: Evidence, place: Where) -> Shown:
    from lowres.figures import Plot, forest

    effects = _bases(evidence, place)
    rows = [(words, f"{size:,} examples", e.estimate, *e.interval) for (words, size), e in effects.items()]
    above = [f"{words} with {size:,}" for (words, size), effect in effects.items() if effect.interval[0] > 0]
    beside = []
    for size in evidence.sizes(place):
        more = difference(evidence, two(evidence, place, size, "R1", "R2"), two(evidence, place, size, "IP", "P"))
        beside += [f"{more.text()} with {size:,} examples"] if more else []
    caption = f"{label(place)}: from the instruction-tuned model minus from its base, all else equal."
    caption += f" The instruction brings more to the tuned base by {'; '.join(beside)}." if beside else ""
    plot = Plot(
        name=f"fiat-bases-{slug(place)}",
        alt=f"{measure(place)} from the instruction-tuned model minus that from its base on {label(place)}. Wholly "
        f"above zero: {', '.join(above) or 'none'}.",
        caption=caption,
        x=f"{measure(place)}, tuned minus base",
        y="What is compared",
        error=BARS,
    )
    data = frame(rows, "row", "series", "estimate", "low", "high")
    return forest(data, plot, marks={"no difference": 0.0})


# --- in sentences ----------------------------------------------------------------------------------------------------

SINGLE = {"beta": "beta in context", "R4": "conventional fine-tuning", "R3": "tuning all parameters", "R1": "R1"}


def answer(evidence: Evidence) -> Shown:
    """FIAT against each single paradigm, setting by setting, in sentences made from the records."""
    return per_place(places(evidence), lambda place: _answer(evidence, place), NOTHING)


def _answer(evidence: Evidence, place: Where) -> Shown:
    lines = [_sentence(evidence, place, size) for size in evidence.sizes(place)]
    told = [shown_text(line) for line in lines if line]
    return joined(told) if told else shown_text(f"FIAT itself (R0) was not run on {label(place)}.")


def _sentence(evidence: Evidence, place: Where, size: int) -> str:
    own = evidence.at(place, "R0", size)
    scores = level(evidence, own)
    if scores is None:
        return ""
    parts = []
    for arm, words in SINGLE.items():
        effect = evidence.effect(own, evidence.at(place, arm, size))
        if effect is not None:
            low, high = effect.interval
            how = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
            parts.append(f"{how} {words} by {effect.text()}" if "than" in how else f"{how} {words} ({effect.text()})")
    text = f"On {label(place)} with {size:,} examples FIAT has {measure(place)} {spelled(scores)}"
    return f"{text}: {'; '.join(parts)}." if parts else f"{text}; nothing was run beside it."
