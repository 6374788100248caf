"""What the arms score: the main table, differences, and LoReFT against rank, positions, layers and data."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lowres.exhibits import BARS, effect_of, frame, half_width, interval, measure, named, spelled
from lowres.markup import Shown, shown_table, shown_text
from lowres.studies import Where
from lowres.studies.loreft import bench
from lowres.studies.loreft.arms import ARMS, DATA_ARMS
from lowres.studies.loreft.claims import MARGIN
from lowres.studies.loreft.evidence import Evidence, Point
from lowres.studies.loreft.exhibits.common import (
    Row,
    label,
    per_place,
    percent,
    places,
    seeds_of,
    slug,
    total,
    trained,
    varied,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lowres.trial import Record

NOTHING = shown_text("No score to show: nothing was tuned in these records.")


def scores_table(evidence: Evidence) -> Shown:
    """Per place and arm: trained parameters, score with both uncertainties, likelihood, speed, cost of using it.

    Memory, size and speed in use come from the bench of tuners, where it was run on the same model.
    """
    return per_place(places(evidence), lambda where: _scores(evidence, where), NOTHING)


def _scores(evidence: Evidence, where: Where) -> Shown:
    found = bench.read()
    measured = found.arms if found.model == where.model else {}
    rows = []
    for name in ARMS:
        point = evidence.at(where, name)
        scores, losses = evidence.scores(point), evidence.scores(point, measure="target_nll")
        if scores is not None and losses is not None:
            rows.append((*_row(evidence, point, scores, losses), *(_in_use(name, measured) if measured else ())))
    name = measure(where)
    header = [
        *("Arm", "Trained parameters", f"{name[0].upper()}{name[1:]} (95 %)", "From seeds", "From items"),
        *("Nats per target token", "Tokens/s in training"),
        *(("Memory in training", "Adapter", "Time to first token", "Tokens/s in use", "Merged") if measured else ()),
    ]
    caption = f"{label(where)}, {evidence.budget(where):,} task tokens, {_most_seeds(evidence, where)} seed(s)"
    if measured:
        caption += f". In use: multiples of the untouched model, batch 1 ({found.where})"
    return shown_table(caption, header, rows)


def _most_seeds(evidence: Evidence, where: Where) -> int:
    return max(len(seeds) for point, seeds in evidence.points.items() if point.where == where)


def _row(evidence: Evidence, point: Point, scores: NDArray, losses: NDArray) -> Row:
    count, effect = trained(evidence, point), effect_of(scores)
    parts = (half_width(effect.seed_interval), half_width(effect.item_interval)) if effect else ("-", "-")
    size = f"{count:,} ({percent(count, total(evidence, point.where))})" if count else "none"
    return (point.arm, size, spelled(scores), *parts, f"{losses.mean():.3f}", _speed(seeds_of(evidence, point)))


def _speed(records: Sequence[Record]) -> str:
    speeds = [record.cost["tokens_per_second"] for record in records if record.cost.get("tokens_per_second")]
    return f"{statistics.median(speeds):,.0f}" if speeds else "-"


def _in_use(name: str, measured: Mapping[str, bench.Measured]) -> tuple[str, ...]:
    row = measured.get(name)
    if row is None:
        return ("-",) * 5
    memory, size = f"{row.training_memory_bytes / 2**30:.2f} GiB", f"{row.adapter_bytes / 2**20:.2f} MiB"
    speed = (f"{row.slower_start('1'):.2f} ×", f"{row.slower_decoding('1'):.2f} ×")
    return (memory, size, *speed, "yes" if row.mergeable else "no")


# --- differences -----------------------------------------------------------------------------------------------------


def differences(evidence: Evidence) -> Shown:
    """Every other arm minus LoRA at each place, with the claims' margin on both sides."""
    return per_place(places(evidence), lambda where: _differences(evidence, where), NOTHING)


def _differences(evidence: Evidence, where: Where) -> Shown:
    from lowres.figures import Plot, effects_table, forest

    lora = evidence.at(where, "lora")
    effects = named({name: evidence.effect(evidence.at(where, name), lora) for name in ARMS if name != "lora"})
    if not effects:
        return shown_text(f"No comparison with LoRA on {label(where)}: it was not run, or nothing beside it.")
    above = [name for name, effect in effects.items() if effect.interval[0] > 0]
    below = [name for name, effect in effects.items() if effect.interval[1] < 0]
    plot = Plot(
        name=f"loreft-differences-{slug(where)}",
        alt=f"{measure(where)} of {len(effects)} arms minus that of LoRA on {label(where)}. Wholly above zero: "
        f"{', '.join(above) or 'none'}. Wholly below zero: {', '.join(below) or 'none'}.",
        caption="Each arm minus LoRA, same seeds and items. Below each dot: how much of the interval comes from the "
        "seeds, and how much from the test items.",
        x=f"{measure(where)}, arm minus LoRA",
        y="Arm",
        error=BARS,
    )
    marks = {"no difference": 0.0, "margin": MARGIN, "margin below": -MARGIN}
    return forest(effects_table(effects), plot, marks=marks)


# --- curves ----------------------------------------------------------------------------------------------------------


def curves(evidence: Evidence, kind: str) -> Shown:
    """The score against one thing that is varied; `kind` is "ranks", "positions", "layers" or "data".

    The place where it was varied most comes first.
    """
    draw = _line if kind in ("ranks", "data") else _levels
    listed = [where for where in places(evidence) if len(_points(evidence, where, kind)) > 1]
    listed.sort(key=lambda where: -len(_points(evidence, where, kind)))
    otherwise = shown_text(f"No curve over {kind}: run the study with -p 'curves=[{kind}]' to get one.")
    return per_place(listed, lambda where: draw(evidence, where, kind), otherwise)


KEYS = {
    "positions": "p7+s7: the first seven tokens of the prompt and the last seven.",
    "layers": "Layers are counted from 0.",
}
OPTIONS = {"ranks": "rank", "positions": "positions", "layers": "layers"}


def _points(evidence: Evidence, where: Where, kind: str) -> list[tuple[Any, Point]]:
    """What is varied and the point, the arm's own setting among them."""
    if kind == "data":
        found = [p for p in evidence.points if p.where == where and p.arm in DATA_ARMS and not p.options]
        listed = [(p.task_tokens, p) for p in found]
        return sorted(listed, key=lambda pair: pair[0]) if len({tokens for tokens, _ in listed}) > 1 else []
    from lowres.tuners import LoReFT

    option = OPTIONS[kind]
    points = [p for p in varied(evidence, where, "loreft") if [name for name, _ in p.options] == [option]]
    pairs = [(dict(p.options)[option], p) for p in points]
    own = evidence.at(where, "loreft")
    if pairs and evidence.points.get(own):
        pairs.append((getattr(LoReFT(), option), own))
    return sorted(pairs, key=lambda pair: pair[0]) if kind == "ranks" else pairs


def _line(evidence: Evidence, where: Where, kind: str) -> Shown:
    from lowres.figures import Plot, curve

    over = "rank" if kind == "ranks" else "task tokens"
    rows: list[Row] = []
    for value, point in _points(evidence, where, kind):
        scores = evidence.scores(point)
        if scores is not None:
            rows.append((point.arm, value, *interval(scores)))
    ends = {str(row[0]): [r[2] for r in rows if r[0] == row[0]] for row in rows}
    course = "; ".join(f"{arm} goes from {found[0]:.3f} to {found[-1]:.3f}" for arm, found in ends.items())
    plot = Plot(
        name=f"loreft-{kind}-{slug(where)}",
        alt=f"{measure(where)} on {label(where)} against {over}, {len({row[1] for row in rows})} values: {course}.",
        caption=f"{label(where)}: {measure(where)} against {over}.",
        x=over,
        y=measure(where),
        error=BARS,
        x_scale="tokens",
    )
    return curve(frame(sorted(rows, key=lambda row: str(row[0])), "series", "x", "y", "low", "high"), plot)


def _levels(evidence: Evidence, where: Where, kind: str) -> Shown:
    from lowres.figures import Plot, effects_table, forest

    scored = [(str(value), evidence.scores(point)) for value, point in _points(evidence, where, kind)]
    effects = named({value: effect_of(scores) for value, scores in scored if scores is not None})
    best = max(effects, key=lambda value: effects[value].estimate)
    plot = Plot(
        name=f"loreft-{kind}-{slug(where)}",
        alt=f"{measure(where)} of LoReFT on {label(where)} with {len(effects)} choices of {kind}; the highest is "
        f"{best} with {effects[best].estimate:.3f}.",
        caption=f"{label(where)}: which {kind} are edited. {KEYS[kind]}",
        x=measure(where),
        y=kind.capitalize(),
        error=BARS,
    )
    return forest(effects_table(effects), plot)
