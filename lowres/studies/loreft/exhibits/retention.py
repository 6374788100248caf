"""What tuning costs of what the model knew: probes before and after, and the task's gain beside it."""

from __future__ import annotations

from lowres.exhibits import BARS, IN_CHAT, frame, interval, measure, probes_of
from lowres.markup import Shown, shown_table, shown_text
from lowres.studies import Where
from lowres.studies.loreft.arms import ARMS
from lowres.studies.loreft.evidence import Evidence
from lowres.studies.loreft.exhibits.common import Row, contenders, label, per_place, places, slug


def retention(evidence: Evidence, kind: str) -> Shown:
    """What tuning did to the probes: change against the untouched model per arm; `kind` is "nll" or "choice"."""
    listed = [where for where in places(evidence) if _changes(evidence, where, kind)]
    nothing = shown_text(f"No {kind} probe was measured on the untouched model and on a tuned one.")
    return per_place(listed, lambda where: _retention(evidence, where, kind), nothing)


def _changes(evidence: Evidence, where: Where, kind: str) -> list[Row]:
    untouched = evidence.at(where, "untouched")
    rows: list[Row] = []
    for name in (name for name in ARMS if ARMS[name].tuner):
        for probe, measured in _probes(evidence, where, kind):
            effect = evidence.effect(evidence.at(where, name), untouched, probe, measured)
            if effect is not None:
                rows.append((name, probe, effect.estimate, *effect.interval))
    return rows


def _probes(evidence: Evidence, where: Where, kind: str) -> list[tuple[str, str]]:
    records = (r for point, seeds in evidence.points.items() if point.where == where for r in seeds.values())
    return probes_of(records, kind)


def _retention(evidence: Evidence, where: Where, kind: str) -> Shown:
    from lowres.figures import Plot, forest

    rows = _changes(evidence, where, kind)
    data = frame(rows, "row", "series", "estimate", "low", "high")
    what = "nats per token (right is worse)" if kind == "nll" else "accuracy (left is worse)"
    loss = data["estimate"] if kind == "nll" else -data["estimate"]
    worst = data.iloc[int(loss.to_numpy().argmax())]
    plot = Plot(
        name=f"loreft-retention-{kind}-{slug(where)}",
        alt=f"Change of {what} against the untouched model for {data['row'].nunique()} arms tuned on {label(where)}; "
        f"the worst is {worst['row']} on {worst['series']} with {worst['estimate']:+.3f}.",
        caption=f"Retention: change of {what.split(' (')[0]} on {' and '.join(data['series'].unique())}, tuned on "
        f"{label(where)} minus untouched.",
        x=f"change of {what}",
        y="Arm",
        error=BARS,
    )
    return forest(data, plot, marks={"no change": 0.0})


def retention_table(evidence: Evidence) -> Shown:
    """Accuracy on every choice probe before and after tuning, the drop corrected for chance beside it."""
    listed = [where for where in places(evidence) if _probes(evidence, where, "choice")]
    nothing = shown_text("No choice probe was measured.")
    return per_place(listed, lambda where: _retention_rows(evidence, where), nothing)


def _retention_rows(evidence: Evidence, where: Where) -> Shown:
    from lowres.data import load_probe
    from lowres.stats import drop

    rows = []
    for probe, measured in _probes(evidence, where, "choice"):
        chance = load_probe(probe).chance or 0.0
        for name in (name for name in ARMS if ARMS[name].tuner):
            pair = evidence.pair(evidence.at(where, name), evidence.at(where, "untouched"), probe, measured)
            if pair:
                after, before = (float(side.mean()) for side in pair)
                lost = drop(before, after, chance)
                rows.append((probe, name, chance, before, after, lost.absolute, lost.relative, lost.corrected))
    header = ("Probe", "Arm", "Chance", "Before", "After", "Drop", "Relative", "Corrected")
    caption = f"Tuned on {label(where)}: the drop, relative to the start, corrected for chance (below zero is a gain)"
    return shown_table(caption, header, rows, stack=True)


# --- gain and cost in one picture ------------------------------------------------------------------------------------


def price(evidence: Evidence) -> Shown:
    """The score on the task against what it cost of a probe, one in the chat format where there is one."""
    listed = [where for where in places(evidence) if _probes(evidence, where, "choice")]
    return per_place(listed, lambda where: _price(evidence, where), shown_text("No choice probe was measured."))


def _price(evidence: Evidence, where: Where) -> Shown:
    from lowres.figures import Plot, scatter

    probe, measured = max(_probes(evidence, where, "choice"), key=lambda one: one[0].endswith(IN_CHAT))
    untouched = evidence.at(where, "untouched")
    rows: list[Row] = []
    for name, point in contenders(evidence, where).items():
        lost, scores = evidence.effect(point, untouched, probe, measured), evidence.scores(point)
        if lost is not None and scores is not None and ARMS[point.arm].tuner:
            rows.append((name, lost.estimate, *interval(scores)))
    if not rows:
        return shown_text(f"{probe} was not measured after tuning on {label(where)}.")
    data = frame(rows, "name", "x", "y", "low", "high")
    best, worst = (data.iloc[int(place)] for place in (data["x"].argmax(), data["x"].argmin()))
    start = evidence.scores(untouched)
    plot = Plot(
        name=f"loreft-price-{slug(where)}",
        alt=f"{measure(where)} on {label(where)} against the change of accuracy on {probe} for {len(data)} tuners, "
        f"from {worst['name']} ({worst['x']:+.2f}) to {best['name']} ({best['x']:+.2f}).",
        caption=f"What was learnt, and what it cost: {label(where)}. To the right more is kept of {probe}, at the top "
        "more is learnt. Line: the untouched model. The figure of retention shows how sure the change is.",
        x=f"change of accuracy on {probe} against the untouched model",
        y=measure(where),
        error=BARS,
        size=(8, 6),
    )
    return scatter(data, plot, {} if start is None else {"untouched": float(start.mean())})
