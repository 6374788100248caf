"""Single questions: parametrisations, the paper's gains, length, pyreft, controls, cost in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowres.exhibits import BARS, Control, frame, interval, measure, spelled
from lowres.markup import Shown, joined, shown_table, shown_text
from lowres.studies import Where
from lowres.studies.loreft import bench, claims, paper
from lowres.studies.loreft.arms import ARMS
from lowres.studies.loreft.claims import MARGIN
from lowres.studies.loreft.evidence import Evidence, arms, contrast, in_worlds, likelihood_gain, on_tasks
from lowres.studies.loreft.exhibits.common import (
    LIMITED,
    Row,
    label,
    per_place,
    places,
)

if TYPE_CHECKING:
    from lowres.stats import Effect
    from lowres.studies.loreft.params import Params

# --- beside the paper ------------------------------------------------------------------------------------------------


def ablations(evidence: Evidence) -> Shown:
    """Other parametrisations minus LoReFT: the paper's Table 17 beside the world's task and every real place."""
    groups = {"here, world": in_worlds(evidence)}
    groups |= {f"here, {label(where)}": [where] for where in places(evidence) if not where.is_world}
    measured = {
        (series, arm): effect
        for series, listed in groups.items()
        for arm in ABLATIONS
        if (effect := contrast(evidence, listed, arms(arm, "loreft"))) is not None
    }
    rows: list[Row] = []
    for arm in ABLATIONS:
        for model, scores in paper.PARAMETRISATIONS.items():
            if arm in scores:
                rows.append((arm, f"paper, {model}", *[(scores[arm] - scores["loreft"]) / 100] * 3))
        rows += [
            (arm, series, effect.estimate, *effect.interval)
            for (series, name), effect in measured.items()
            if name == arm
        ]
    return joined([_ablations_figure(rows, measured), *_likelihoods(evidence)])


ABLATIONS = (
    *("loreft-no-subtraction", "loreft-non-orthogonal", "direft", "loreft-constant", "loreft-bias-only"),
    *("loreft-untied", "loreft-half-rank", "loreft-half-epochs"),
)


def _ablations_figure(rows: Sequence[Row], measured: Mapping[tuple[str, str], Effect]) -> Shown:
    from lowres.figures import Plot, forest

    told = [f"{arm} ({series})" for (series, arm), effect in measured.items() if effect.interval[1] < 0]
    here = f"wholly below zero are {', '.join(told) or 'none'}" if measured else "nothing of the kind was run yet"
    plot = Plot(
        name="loreft-ablations",
        alt=f"Score of other parametrisations minus that of LoReFT, in the paper and here. Here, {here}.",
        caption="Each parametrisation minus LoReFT. The paper: Table 17, arithmetic, without interval.",
        x="score minus that of LoReFT",
        y="Arm",
        error=BARS,
    )
    data = frame(rows, "row", "series", "estimate", "low", "high")
    return forest(data, plot, marks={"no difference": 0.0, "margin": MARGIN, "margin below": -MARGIN})


def _likelihoods(evidence: Evidence) -> list[Shown]:
    found = {arm: likelihood_gain(evidence, in_worlds(evidence), arm) for arm in ABLATIONS}
    rows = [(arm, effect.text()) for arm, effect in found.items() if effect is not None]
    caption = "World's task: nats per target token by which LoReFT is ahead, a measure without ceiling"
    return [shown_table(caption, ("Arm", "Nats per target token, arm minus LoReFT"), rows)] if rows else []


@dataclass(frozen=True)
class Gain:
    """One of the paper's comparisons with LoRA, and the tasks that stand for it here."""

    name: str
    tables: Mapping[str, tuple[paper.Row, ...]]
    tasks: Sequence[str]


GAINS = (
    Gain("commonsense (Table 1)", paper.COMMONSENSE, claims.COMMONSENSE),
    Gain("arithmetic in steps (Table 2)", paper.ARITHMETIC, claims.WORKED),
    Gain("instructions (Table 3)", paper.INSTRUCTIONS, claims.INSTRUCTIONS),
    Gain("classification (Table 4)", paper.CLASSIFICATION, claims.CLASSIFICATION),
)


def beside_paper(evidence: Evidence) -> Shown:
    """LoReFT minus LoRA, kind of task by kind of task: the paper's models, and the one here."""
    from lowres.figures import Plot, forest

    rows: list[Row] = []
    words = []
    for gain in GAINS:
        for model, table in gain.tables.items():
            size = "larger model" if model in LARGER else "smaller model"
            rows.append((gain.name, f"paper, {size}", *[paper.gain(table) / 100] * 3))
        effect = contrast(evidence, on_tasks(evidence, gain.tasks), arms("loreft", "lora"))
        if effect is not None:
            rows.append((gain.name, "here", effect.estimate, *effect.interval))
            words.append(f"{gain.name.split(' (')[0]} {effect.text()}")
    plot = Plot(
        name="loreft-beside-paper",
        alt=f"LoReFT minus LoRA for {len(GAINS)} kinds of tasks in the paper and here. "
        f"Here: {'; '.join(words) or 'nothing was run yet'}.",
        caption="LoReFT minus LoRA. The paper's baselines are mostly copied from other papers and its models are "
        "fifty times as large and more (about as large for classification): compare directions. "
        "The paper gives no intervals.",
        x="score of LoReFT minus that of LoRA",
        y="Kind of task",
        error=BARS,
    )
    return forest(frame(rows, "row", "series", "estimate", "low", "high"), plot, marks={"no difference": 0.0})


LARGER = ("LLaMA-13B", "RoBERTa-large")


# --- length of the answer --------------------------------------------------------------------------------------------


def lengths(evidence: Evidence) -> Shown:
    """The score against the number of sentences that are to be told, and what reach and size are worth at each."""
    tasks = sorted({where.task for where in evidence.places if where.task.startswith(claims.TELLING)})
    models = list(dict.fromkeys(where.model for task in tasks for where in in_worlds(evidence, task)))
    if not models:
        return shown_text("No facts were told: run the study with -p model=world-s -p task=world-telling-4.")
    return joined([shown for model in models for shown in _lengths(evidence, model, tasks)])


TOLD = ("full", "lora", "lora-matched", LIMITED, "loreft", "prefix")
BY_LENGTH = {
    "LoRA - LoReFT": ("lora", "loreft"),
    "LoReFT - prefix tuning": ("loreft", "prefix"),
    "Reach: LoRA of LoReFT's size, at all positions - at LoReFT's": ("lora-matched", LIMITED),
    "Size: LoRA - LoRA of LoReFT's size": ("lora", "lora-matched"),
}


def _lengths(evidence: Evidence, model: str, tasks: Sequence[str]) -> list[Shown]:
    from lowres.figures import Plot, curve

    sentences = {int(task.removeprefix(claims.TELLING)): Where(model, task) for task in tasks}
    scored = {
        (name, count): evidence.scores(evidence.at(sentences[count], name)) for name in TOLD for count in sentences
    }
    rows = [(name, count, *interval(scores)) for (name, count), scores in scored.items() if scores is not None]
    course = {name: [row[2] for row in rows if row[0] == name] for name in dict.fromkeys(row[0] for row in rows)}
    ends = "; ".join(f"{name} goes from {found[0]:.2f} to {found[-1]:.2f}" for name, found in course.items())
    plot = Plot(
        name=f"loreft-lengths-{model}",
        alt=f"ROUGE-L of {len(course)} arms on {model} against the number of sentences to be told: {ends}.",
        caption=f"Sentences about a person whom {model} knows, after equally long prompts. loreft and {LIMITED} change "
        "the prompt alone, prefix adds to it; the others act on the answer too.",
        x="sentences in the answer",
        y="ROUGE-L",
        error=BARS,
    )
    effects = {
        name: [contrast(evidence, [where], arms(*pair)) for where in sentences.values()]
        for name, pair in BY_LENGTH.items()
    }
    compared = [(name, *(effect.text() if effect else "not run" for effect in row)) for name, row in effects.items()]
    header = ("Difference in ROUGE-L", *(f"Sentences: {count}" for count in sentences))
    return [
        curve(frame(rows, "series", "x", "y", "low", "high"), plot),
        shown_table(f"What grows with the length of the answer: {_course(effects)}", header, compared, stack=True),
    ]


def _course(effects: Mapping[str, Sequence[Effect | None]]) -> str:
    """Where each difference starts and ends."""
    ends = {name.split(":")[0]: (row[0], row[-1]) for name, row in effects.items() if len(row) > 1}
    told = [f"{name} {one.estimate:+.2f} to {two.estimate:+.2f}" for name, (one, two) in ends.items() if one and two]
    return "; ".join(told) or "one length alone was run"


# --- pyreft and controls ---------------------------------------------------------------------------------------------


def reference(evidence: Evidence) -> Shown:
    """The book's LoReFT beside pyreft's, trial by trial: scores, difference, and how far single items are apart."""
    import numpy as np

    rows = []
    for where in places(evidence):
        ours, theirs = evidence.at(where, "loreft"), evidence.at(where, "loreft-pyreft")
        scores, losses = evidence.pair(ours, theirs), evidence.pair(ours, theirs, measure="target_nll")
        effect, loss = evidence.effect(ours, theirs), evidence.effect(ours, theirs, measure="target_nll")
        if scores and losses and effect and loss:
            differ = float(np.mean(scores[0] != scores[1]))
            apart = float(np.mean(np.abs(losses[0] - losses[1])))
            cells = (*map(spelled, scores), effect.text(), f"{differ:.1%}", loss.text(), f"{apart:.3f}")
            rows.append((label(where), *cells))
    if not rows:
        return shown_text("LoReFT was not run both by the book's own code and by pyreft.")
    header = ("Trials", "Here", "pyreft", "Difference", "Items that differ", "Nats, difference", "Nats apart per item")
    caption = (
        "The same data, order and rate, by the book's code and by pyreft. Both draw their first edits from the same "
        "distributions, but with other random numbers: compare as two seeds"
    )
    return shown_table(caption, header, rows, stack=True)


def same_start(params: Params) -> Shown:
    """LoReFT here and by pyreft on the same trial, from the same edits: the loss of some updates, trained just now."""
    from lowres.studies.loreft.reference import POSITIONS, losses

    smoke = params.tier == "smoke"
    model, updates = ("world-xs~0.30", 5) if smoke else ("world-s~0.55", 40)
    found = losses(model, "world-question", updates)
    here, pyreft = found["here"], found["pyreft"]
    shown = sorted({1, 2, 5, 10, 20, 40} & set(range(1, updates + 1)))
    rows = [(f"update {number}", f"{here[number - 1]:.6f}", f"{pyreft[number - 1]:.6f}") for number in shown]
    apart = max(abs(one - other) for one, other in zip(here, pyreft, strict=True))
    caption = (
        f"Nats per target token, {updates} updates on world-question with {model} at positions {POSITIONS}, trained "
        f"just now from equal edits; the largest difference is {apart:.1e}"
    )
    return shown_table(caption, ("", "Here", "pyreft"), rows)


CONTROLS = (
    Control("Tuning helps at all", "loreft", "untouched", "gain"),
    Control("Shuffled targets teach nothing", "loreft-random-labels", "untouched", "no gain"),
    Control("True targets are what is learnt", "loreft", "loreft-random-labels", "gain"),
    Control("A random edit whose size is learned does not gain", "loreft-random-direction", "untouched", "no gain"),
    Control("What learning the subspace is worth", "loreft", "loreft-frozen-rotation", "open"),
    Control("Against LoRA of as many parameters, all positions", "loreft", "lora-matched", "open"),
    Control("Against LoRA of as many parameters, same positions", "loreft", "lora-at-positions", "open"),
)


def controls(evidence: Evidence) -> Shown:
    """What has to hold if the measurement is sound, the rule, what was found, and the same in nats."""
    return per_place(places(evidence), lambda where: _controls(evidence, where), shown_text("Controls: not run."))


def _controls(evidence: Evidence, where: Where) -> Shown:
    rows = []
    for one in CONTROLS:
        more, less = evidence.at(where, one.more), evidence.at(where, one.less)
        effect, saved = evidence.effect(more, less), evidence.effect(less, more, measure="target_nll")
        rows.append((str(one), *one.cells(effect), saved.text() if effect and saved else ""))
    header = ("Control", "Rule", "Outcome", f"Difference in {measure(where)}", "Nats per target token saved")
    return shown_table(f"Controls on {label(where)}", header, rows, stack=True)


# --- cost in use -----------------------------------------------------------------------------------------------------


def overhead(_: Evidence) -> Shown:
    """What a tuned model costs when it is used, relative to the untouched one, from the bench of tuners."""
    found = bench.read()
    if not found.arms:
        return shown_text("What tuned models cost in use was not measured yet: make bench-tuners does it.")
    rows = []
    for name in sorted(found.arms, key=list(ARMS).index):
        row = found.arms[name]
        starts = [
            f"{row.slower_start(batch):.2f} × ({1000 * row.first_token[batch]:.0f} ms)" for batch in row.first_token
        ]
        speeds = [f"{row.slower_decoding(batch):.2f} × ({row.decoding[batch]:.0f}/s)" for batch in row.decoding]
        rows.append((name, "yes" if row.mergeable else "no", *starts, *speeds))
    sizes = next(iter(found.arms.values())).first_token
    header = (
        "Arm",
        "Merged",
        *(f"Time to first token, batch {n}" for n in sizes),
        *(f"Tokens/s, batch {n}" for n in sizes),
    )
    caption = (
        f"{found.model} in use as a multiple of the untouched model, prompts of 128 tokens ({found.where}). Slower is "
        "above 1 for the time to the first token, below 1 for the tokens per second that follow"
    )
    return joined([shown_table(caption, header, rows, stack=True), shown_text(_overhead_sentence(found))])


def _overhead_sentence(found: bench.Bench) -> str:
    row = found.arms.get("loreft")
    if row is None:
        return ""
    seconds = row.first_token["1"] - row.first_token_untouched["1"]
    tokens = paper.OVERHEAD_TOKENS
    more = seconds + tokens * (1 / row.decoding["1"] - 1 / row.decoding_untouched["1"])
    noise = " A gain of time can only be the noise of this measurement." if more < 0 else ""
    return (
        f"The paper reports that LoReFT takes about {paper.OVERHEAD_SECONDS:g} s more for {tokens} tokens (ten layers, "
        "rank 8, one position, on a GPU). Here, with all layers and fourteen positions, the same measurements give "
        f"{more:+.2f} s.{noise}"
    )
