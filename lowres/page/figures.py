"""Figures that can be read: with alt text, with markers beside colours, with their numbers in a table below.

A figure becomes inline SVG whose text and lines take the colour of the page around them, so that one figure serves the
light and the dark theme. `curve`, `forest`, `scatter` and `dots` draw a tidy table; the same table is shown below the
figure, so what is drawn and what is listed cannot differ. `figure`, `series` and `show` are for other plots.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal

from lowres.page.markup import Shown, html_table, markdown_table, markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

# Okabe and Ito's palette in the order of its contrast with white and with near-black; the last is the page's text.
INK = "#010203"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", INK, "#2f8fc4", "#b8860b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
SHORTEST_ALT = 20

STYLE: dict[str, Any] = {
    "font.size": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 7,
    "svg.fonttype": "none",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}


@dataclass(frozen=True)
class Plot:
    """What a figure says besides its data: name (unique on the page), alt text, caption, axes, meaning of the bars.

    `error` says what the error bars are, such as "95 % interval over seeds and items".
    """

    name: str
    alt: str
    caption: str = ""
    x: str = ""
    y: str = ""
    error: str = ""
    x_scale: Literal["linear", "tokens", "ratio", "log"] = "linear"
    size: tuple[float, float] = (7, 4)


# --- plots of a tidy table --------------------------------------------------------------------------------------------


def curve(data: DataFrame, plot: Plot) -> Shown:
    """Lines over an axis: a learning curve (`x_scale="tokens"`), a ratio sweep ("ratio"), sizes ("log"), and so on.

    data: columns x and y, and optionally low and high (error bars), series (one line each), panel (one plot each, one
    above the other, with the panel's name on the y axis). Raises ValueError for missing columns and unlabelled bars.
    """
    _check(data, plot, ("x", "y"))
    panels, labels = _groups(data, "panel", plot.y), list(_groups(data, "series"))
    width, height = plot.size
    with figure((width, height * (0.4 + 0.6 * len(panels))), rows=len(panels)) as (drawing, axes):
        for ax, (name, part) in zip(axes, panels.items(), strict=True):
            for label, line in _groups(part, "series").items():
                low, high = (line.get(end) for end in ("low", "high"))
                series(ax, line["x"], line["y"], low, high, label, labels.index(label))
            _scale(ax, plot.x_scale, sorted(set(data["x"])))
            ax.set_ylabel(name)
        axes[-1].set_xlabel(_x_label(plot))
        _legend(drawing, axes[0])
        names = {"x": plot.x, "y": plot.y, "series": "Series", "panel": "Measure"}
        return show(drawing, plot.alt, _listed(data, names), plot.name, plot.caption)


def forest(data: DataFrame, plot: Plot, marks: Mapping[str, float] | None = None) -> Shown:
    """Dots with intervals, one line per row: effects of arms, or (with several series) drops per probe and arm.

    data: columns row, estimate, low, high, and optionally series. marks: vertical lines by what they mean, such as
    {"no effect": 0.0, "margin": 0.02}. Raises ValueError for missing columns and unlabelled bars.
    """
    _check(data, plot, ("row", "estimate", "low", "high"))
    rows, groups = list(dict.fromkeys(data["row"])), _groups(data, "series")
    within = {row: [name for name, part in groups.items() if row in set(part["row"])] for row in rows}
    rooms = [0.4 + 0.6 * len(within[row]) for row in rows]  # a row is as high as it has dots
    middles = {row: sum(rooms[:place]) + rooms[place] / 2 for place, row in enumerate(rows)}
    height = 1.5 + 0.42 * sum(rooms)
    with figure((plot.size[0], height)) as (drawing, (ax,)):
        for place, (meaning, value) in enumerate((marks or {}).items()):
            ax.axvline(value, color=INK, linewidth=1, linestyle=("-", "--", ":")[place % 3], label=meaning)
        for place, (label, part) in enumerate(groups.items()):
            places = [middles[r] + 0.6 * (within[r].index(label) - (len(within[r]) - 1) / 2) for r in part["row"]]
            _dots(ax, part, places, label, place)
        ax.set_yticks(list(middles.values()), rows)
        ax.set_ylim(sum(rooms) + 0.1, -0.1)
        ax.set_xlabel(_x_label(plot), loc="right")  # the names of rows leave it room there alone
        _legend(drawing, ax)
        return show(drawing, plot.alt, _listed(data, {"row": plot.y, "estimate": plot.x}), plot.name, plot.caption)


def scatter(data: DataFrame, plot: Plot, marks: Mapping[str, float] | None = None) -> Shown:
    """Named points over two axes, such as a score against a cost: one colour and marker per series.

    data: columns name, x and y, and optionally low and high (bars of y) and series. marks: horizontal lines by what
    they mean. A name that finds no room stands in the table alone. Raises ValueError for missing columns and unlabelled
    bars.
    """
    _check(data, plot, ("name", "x", "y"))
    width, height = plot.size
    with figure((width, height * min(1.3, max(1.0, len(data) / 12)))) as (drawing, (ax,)):
        for place, (meaning, value) in enumerate((marks or {}).items()):
            ax.axhline(value, color=INK, linewidth=1, linestyle=("--", ":", "-.")[place % 3], label=meaning)
        for place, (label, part) in enumerate(_groups(data, "series").items()):
            lengths = _lengths(part["y"], part["low"], part["high"]) if "low" in part else None
            ax.errorbar(part["x"], part["y"], lengths, label=label, linestyle="none", capsize=3, **_look(place))
        _scale(ax, plot.x_scale, sorted(set(data["x"])))
        ax.set_xlabel(plot.x)
        ax.set_ylabel(f"{plot.y}\nbars: {plot.error}" if plot.error else plot.y)
        _legend(drawing, ax)
        _name_points(drawing, ax, data)
        names = {"name": "Name", "x": plot.x, "y": plot.y, "series": "Series"}
        return show(drawing, plot.alt, _listed(data, names), plot.name, plot.caption)


def dots(data: DataFrame, plot: Plot) -> Shown:
    """Dots without intervals, one line per row and one colour and marker per series: many rows in little room.

    data: columns row and x, and optionally series. Raises ValueError for missing columns.
    """
    _check(data, plot, ("row", "x"))
    rows = list(dict.fromkeys(data["row"]))
    with figure((plot.size[0], 1.5 + 0.3 * len(rows))) as (drawing, (ax,)):
        for place, (label, part) in enumerate(_groups(data, "series").items()):
            at = [rows.index(row) for row in part["row"]]
            size = max(5, 10 - 2 * place)  # what lies below stays in sight
            ax.plot(part["x"], at, label=label, linestyle="none", markersize=size, **_look(place))
        ax.set_yticks(range(len(rows)), rows)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.grid(axis="y", linewidth=0.4, color=INK, alpha=0.3)
        ax.set_xlabel(plot.x, loc="right")
        _legend(drawing, ax)
        names = {"row": plot.y, "x": plot.x, "series": "Series"}
        return show(drawing, plot.alt, _listed(data, names), plot.name, plot.caption)


# --- pieces for plots of another kind ---------------------------------------------------------------------------------


@contextmanager
def figure(size: tuple[float, float] = (7, 4), rows: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure in the book's style and its axes, one per row with a shared x axis; size in inches.

    Draw and `show` inside the `with` block: the style holds there and nowhere else.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        drawing = Figure(figsize=size, layout="constrained")
        yield drawing, list(drawing.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def series(  # noqa: PLR0913 - the six things a line consists of
    ax: Axes, x: Any, y: Any, low: Any, high: Any, label: str, index: int
) -> None:
    """One line with its own colour, marker and dash; low and high are the ends of its error bars, or None.

    Lines are set a few points apart sideways, so that their bars do not hide each other.
    """
    from matplotlib.transforms import offset_copy

    aside = (index + 1) // 2 * (3 if index % 2 else -3)
    place = offset_copy(ax.transData, ax.get_figure(root=True), x=aside, units="points")
    lengths = None if low is None else _lengths(y, low, high)
    ax.update_datalim(
        [*zip(x, y if low is None else low, strict=True), *zip(x, y if low is None else high, strict=True)]
    )
    dash = ("-", "--", "-.", ":")[index % 4]
    ax.errorbar(x, y, lengths, label=label, linestyle=dash, capsize=3, elinewidth=1.2, transform=place, **_look(index))


def show(drawing: Figure, alt: str, data: DataFrame, name: str, caption: str = "") -> Shown:
    """The figure as inline SVG with its alt text and caption, its data in a table that opens on a click.

    Raises ValueError for alt text that is missing or too short to say anything, or a name that is no identifier.
    """
    if len(alt.strip()) < SHORTEST_ALT:
        raise ValueError(f"figure {name!r}: alt text {alt!r} is too short: say in a sentence what there is to see")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"figure name {name!r}: allowed are lower-case letters, digits and hyphens")
    columns, rows = [str(column) for column in data.columns], list(data.itertuples(index=False, name=None))
    link = f'<a class="headerlink" href="#figure-{name}" aria-label="Link to this figure">#</a>'
    words = f"\n<figcaption>{markup(caption)} {link}</figcaption>"
    html = (
        f'<figure class="lowres-figure" id="figure-{name}">\n<div class="lowres-scroll">'
        f"{_svg(drawing, alt, name)}</div>{words}\n"
        f"<details><summary>Data of this figure</summary>\n{html_table(f'Data of {name}', columns, rows)}\n</details>\n"
        "</figure>"
    )
    parts = (f"Figure: {alt}", caption, markdown_table(columns, rows))
    return Shown(html, "\n\n".join(part for part in parts if part))


def _svg(drawing: Figure, alt: str, name: str) -> str:
    """SVG to stand inside a page: the page's colour and font, as wide as the page lets it, ids that are its own."""
    from matplotlib import rc_context

    written = StringIO()
    with rc_context({**STYLE, "svg.hashsalt": name}):
        drawing.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>", "", text[text.index("<svg") :].rstrip(), flags=re.DOTALL
    )
    text = re.sub(r"font-family: [^;\"]*; ", "", text).replace(INK, "currentColor")
    view = " ".join(re.findall(r'viewBox="[^"]*"|xmlns[^=]*="[^"]*"', text[: text.index(">")]))
    # matplotlib's own style rule would reach every drawing of the page, hence it becomes part of this one
    root = f'<svg {view} role="img" aria-label="{markup(alt)}" style="stroke-linejoin: round; stroke-linecap: butt">'
    return root + _own_ids(text[text.index(">") + 1 :], f"{name}-{sha256(text.encode()).hexdigest()[:8]}-")


def _own_ids(svg: str, prefix: str) -> str:
    """Only the ids that something refers to, each with the prefix: two figures on a page must not share any."""
    used = set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{prefix}{found[1]}"' if found[1] in used else "", svg)
    return re.sub(r'(xlink:href="|url\()#', rf"\1#{prefix}", svg)


# --- details ----------------------------------------------------------------------------------------------------------


def _check(data: DataFrame, plot: Plot, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in data]
    if missing or len(data) == 0:
        raise ValueError(f"figure {plot.name!r}: no column {missing} in {list(data.columns)} with {len(data)} rows")
    if "low" in data and not plot.error:
        raise ValueError(f"figure {plot.name!r}: say in `error` what the error bars are")


def _groups(data: DataFrame, column: str, otherwise: str = "") -> dict[str, DataFrame]:
    """The rows of each value of a column, in order of appearance; all rows under one name without that column."""
    if column not in data:
        return {otherwise: data}
    return {str(name): part for name, part in data.groupby(column, sort=False)}


def _look(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def _lengths(middle: Any, low: Any, high: Any) -> list[list[float]]:
    """Error bars as matplotlib wants them: how far down and how far up."""
    down = [max(m - end, 0) for m, end in zip(middle, low, strict=True)]
    return [down, [max(end - m, 0) for m, end in zip(middle, high, strict=True)]]


def _dots(ax: Axes, part: DataFrame, places: list[float], label: str, index: int) -> None:
    lengths = _lengths(part["estimate"], part["low"], part["high"])
    ax.errorbar(part["estimate"], places, xerr=lengths, label=label, linestyle="none", capsize=4, **_look(index))


HEIGHTS = (4, -12, 15, -23, 27, -35, 39, -47, 51, -59, 63, -71)  # of a name above its point, in points; nearest first
FAR = 15


def _name_points(drawing: Figure, ax: Axes, data: DataFrame) -> None:
    """Write each point's name where it covers neither another name nor another point; far off, a line leads there."""
    drawing.draw_without_rendering()  # settles where the axes are
    unit = drawing.dpi / 72
    points = ax.transData.transform(data[["x", "y"]].to_numpy(dtype=float)) / unit
    frame = [part / unit for part in ax.get_window_extent().extents]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    for name, at, (x, y) in zip(data["name"], data[["x", "y"]].to_numpy(), points, strict=True):
        width, height = 5.2 * len(str(name)), 10
        for side, up in ((side, up) for up in HEIGHTS for side in ("left", "right")):
            start = x + 6 if side == "left" else x - 6 - width
            box = (start, y + up, start + width, y + up + height)
            inside = box[0] > frame[0] and box[2] < frame[2] and frame[1] < box[1] < frame[3]
            if inside and not any(_overlap(box, other) for other in taken):
                line = {"arrowstyle": "-", "linewidth": 0.5, "color": INK} if abs(up + height / 2) > FAR else None
                text = ax.annotate(
                    str(name), tuple(at), (6 if side == "left" else -6, up), "data", "offset points", line
                )
                text.set(fontsize=9, horizontalalignment=side)
                taken.append(box)
                break


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _scale(ax: Axes, kind: str, values: list[float]) -> None:
    """The x axis: linear, ticks at the measured budgets (log) or ratios (log of 1 + ratio), or at round numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if kind == "linear":
        if all(float(value).is_integer() for value in values):  # no tick at half a task or half an example
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    if kind == "log":
        ax.set_xscale("log")
        if max(values) < 100 * min(values):  # else one power of ten at most stands below the dots
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        return
    if kind == "tokens":
        ax.set_xscale("log")
        places = [math.log(value) for value in values]
    else:
        ax.set_xscale("function", functions=(_log2_of_one_more, _one_less_than_power))
        places = [math.log2(1 + value) for value in values]
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(values, [_short(value) if told else "" for value, told in zip(values, _apart(places), strict=True)])


def _apart(places: Sequence[float]) -> list[bool]:
    """Which of the places along an axis, in ascending order, have room for a word after the one before."""
    room, told, last = (places[-1] - places[0]) / 10 if places else 0.0, [], -math.inf
    for place in places:
        told.append(place - last >= room)
        last = place if told[-1] else last
    return told


def _log2_of_one_more(ratio: Any) -> Any:
    import numpy as np

    return np.log2(1 + np.maximum(ratio, -0.9))


def _one_less_than_power(place: Any) -> Any:
    return 2.0**place - 1


def _short(value: float) -> str:
    """A number for an axis: 300, 3k, 1.5M, 7G."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:g}"


def _x_label(plot: Plot) -> str:
    return f"{plot.x}\nbars: {plot.error}" if plot.error else plot.x


def _legend(drawing: Figure, ax: Axes) -> None:
    """A legend above the axes, in as many columns as its words leave room for; none for a single nameless series."""
    handles, labels = ax.get_legend_handles_labels()
    if labels:
        columns = max(1, min(len(labels), 66 // (max(map(len, labels)) + 8)))
        drawing.legend(handles, labels, loc="outside upper left", ncols=columns)


def _listed(data: DataFrame, names: Mapping[str, str]) -> DataFrame:
    """The drawn table with its columns named for a reader."""
    known = {"low": "Low", "high": "High", **names}
    return data.rename(columns={column: name for column, name in known.items() if name})
