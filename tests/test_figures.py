"""Figures as a page gets them: alt text, own ids, the page's colours, the drawn numbers in a table."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pandas as pd
import pytest

from lowres.page.figures import COLOURS, MARKERS, Plot, curve, dots, figure, forest, scatter, series, show
from lowres.stats.anova import anova_effect

ALT = "Token F1 rises with task tokens for both arms."
PLOT = Plot("learning-curve", ALT, "Records of 3 seeds.", "Task tokens", "Token F1", "95 % interval", "tokens")
BUDGETS = (1000, 10_000, 100_000)


def arms(*names: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"series": name, "x": tokens, "y": 0.1 * place + 0.05, "low": 0.1 * place, "high": 0.1 * place + 0.0712}
            for name in names
            for place, tokens in enumerate(BUDGETS)
        ]
    )


def drawing(html: str) -> ElementTree.Element:
    found = re.search(r"<svg.*</svg>", html, re.DOTALL)
    assert found
    return ElementTree.fromstring(found[0])


def texts(html: str) -> list[str]:
    return ["".join(element.itertext()) for element in drawing(html).iter() if element.tag.endswith("text")]


def test_a_figure_has_alt_text_and_a_caption() -> None:
    html = curve(arms("SFT", "TELL"), PLOT)._repr_html_()
    assert drawing(html).get("role") == "img"
    assert drawing(html).get("aria-label") == ALT
    assert "<figcaption>Records of 3 seeds. " in html
    assert curve(arms("SFT"), PLOT)._repr_markdown_().startswith(f"Figure: {ALT}")


@pytest.mark.parametrize("alt", ["", "   ", "a plot"])
def test_no_figure_without_alt_text(alt: str) -> None:
    with pytest.raises(ValueError, match="figure 'learning-curve': alt text"):
        curve(arms("SFT"), replace(PLOT, alt=alt))


def test_alt_text_may_hold_any_character() -> None:
    alt = 'A "quoted" & <marked> text of some length'
    assert drawing(curve(arms("SFT"), replace(PLOT, alt=alt))._repr_html_()).get("aria-label") == alt


def test_the_page_gives_colour_font_and_width() -> None:
    html = curve(arms("SFT", "TELL"), PLOT)._repr_html_()
    svg = html[html.index("<svg") : html.index("</svg>")]
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "#000000" not in svg
    assert "font-family" not in svg
    assert "<style" not in svg  # it would reach every drawing of the page
    assert drawing(html).get("width") is None
    assert drawing(html).get("viewBox")


def test_text_stays_text_and_large_enough() -> None:
    html = curve(arms("SFT", "TELL"), PLOT)._repr_html_()
    assert {"SFT", "TELL", "Task tokens", "Token F1", "1k", "10k", "100k"} <= set(texts(html))
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", html)]
    assert sizes
    assert min(sizes) >= 9


def test_error_bars_say_what_they_are() -> None:
    assert "bars: 95 % interval" in texts(curve(arms("SFT"), PLOT)._repr_html_())
    with pytest.raises(ValueError, match="say in `error` what the error bars are"):
        curve(arms("SFT"), replace(PLOT, error=""))


def test_two_figures_share_no_id() -> None:
    def ids(html: str) -> list[str]:
        return re.findall(r' id="([^"]*)"', html)

    one, other = curve(arms("SFT"), PLOT)._repr_html_(), curve(arms("SFT"), replace(PLOT, name="other"))._repr_html_()
    assert len(ids(one)) == len(set(ids(one)))
    assert not set(ids(one)) & set(ids(other))
    referred = set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', one))
    assert referred
    assert referred <= set(ids(one))


def test_the_same_data_draw_the_same_figure() -> None:
    assert curve(arms("SFT"), PLOT)._repr_html_() == curve(arms("SFT"), PLOT)._repr_html_()


def test_the_table_below_holds_what_is_drawn() -> None:
    html = curve(arms("SFT", "TELL"), PLOT)._repr_html_()
    (table,) = re.findall(r"<details>.*?</details>", html, re.DOTALL)
    assert re.findall(r'<th scope="col"[^>]*>([^<]*)<', table) == ["Series", "Task tokens", "Token F1", "Low", "High"]
    assert table.count('<th scope="row"') == 2 * len(BUDGETS)
    assert ">100,000<" in table
    assert ">0.2712<" in table
    assert "<caption>" in table


def points(html: str) -> list[tuple[float, float]]:
    """Where the dots stand in the drawing's own units: at each x the middle one of dot and ends of the bar."""
    uses = [element for element in drawing(html).iter() if element.tag.endswith("use")]
    inside = [use for use in uses if "fill: #" in use.get("style", "")]
    heights: dict[float, list[float]] = {}
    for use in inside:
        heights.setdefault(float(use.get("x", "nan")), []).append(float(use.get("y", "nan")))
    return [(x, sorted(found)[len(found) // 2]) for x, found in sorted(heights.items())]


def test_lines_are_drawn_inside_the_axes() -> None:
    html = curve(arms("SFT"), PLOT)._repr_html_()
    _, _, width, height = map(float, drawing(html).get("viewBox", "").split())
    places = points(html)[-len(BUDGETS) :]  # the legend's own dot stands further left
    assert all(0 < x < width and 0 < y < height for x, y in places)
    first, second, third = places
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], rel=1e-3)  # equal steps of a log axis
    assert first[1] > second[1] > third[1]  # upwards


def test_ratio_axis_has_a_place_for_zero_and_panels_stand_above_each_other() -> None:
    ratios = (0, 1, 3, 7)
    data = pd.DataFrame([{"panel": p, "x": r, "y": r / 10} for p in ("Exact match", "NLL") for r in ratios])
    plot = Plot("ratio-sweep", "Both metrics rise smoothly with the ratio.", x="Ratio", x_scale="ratio")
    html = curve(data, plot)._repr_html_()
    assert {"Exact match", "NLL", "Ratio", "0", "1", "3", "7"} <= set(texts(html))
    places = [x for x, _ in points(html)]
    steps = [after - before for before, after in pairwise(places)]
    assert steps == pytest.approx([steps[0]] * 3, rel=1e-3)  # log2(1 + ratio) = 0 1 2 3


def test_a_tick_without_room_has_no_words() -> None:
    data = pd.DataFrame([{"x": size, "y": 0.1} for size in (47_424, 57_200, 195_584, 526_336)])
    shown = set(texts(curve(data, replace(PLOT, error=""))._repr_html_()))
    assert {"47.4k", "196k", "526k"} <= shown
    assert "57.2k" not in shown


def test_forest_shows_the_rows_and_the_marks() -> None:
    effects = {"TELL": anova_effect([[[1, 1, 2], [2, 2, 4]]]), "one seed": anova_effect([[[1, 1, 3]]])}
    plot = Plot(
        "arms", "Differences to SFT of two arms with intervals.", x="Difference", y="Arm", error="95 % interval"
    )
    rows = [(name, one.estimate, *one.interval) for name, one in effects.items()]
    data = pd.DataFrame(rows, columns=["row", "estimate", "low", "high"])
    html = forest(data, plot, {"no effect": 0.0, "margin": 0.5})._repr_html_()
    assert {"TELL", "one seed", "no effect", "margin", "bars: 95 % interval"} <= set(texts(html))
    assert "nan" not in html


def test_forest_of_several_series() -> None:
    data = pd.DataFrame(
        [
            {"row": p, "series": a, "estimate": 0.1, "low": 0.0, "high": 0.2}
            for p in ("siqa", "piqa")
            for a in ("SFT", "TELL")
        ]
    )
    plot = Plot("retention", "Drop of accuracy per probe and arm.", x="Drop", y="Probe", error="95 % interval")
    assert {"siqa", "piqa", "SFT", "TELL"} <= set(texts(forest(data, plot)._repr_html_()))


@pytest.mark.parametrize("draw", [curve, forest])
def test_missing_columns_and_rows_are_named(draw: object) -> None:
    with pytest.raises(ValueError, match=r"figure 'learning-curve': no column \["):
        draw(pd.DataFrame({"z": [1]}), PLOT)  # type: ignore[operator]
    with pytest.raises(ValueError, match="with 0 rows"):
        curve(arms("SFT").head(0), PLOT)


def test_a_name_must_fit_an_address() -> None:
    with pytest.raises(ValueError, match="figure name 'Learning curve'"):
        curve(arms("SFT"), replace(PLOT, name="Learning curve"))


def test_a_figure_of_another_kind() -> None:
    with figure((7, 3)) as (fig, (ax,)):
        series(ax, [1, 2], [3, 4], None, None, "loss", 0)
        shown = show(fig, "Training loss falls over two steps.", pd.DataFrame({"step": [1, 2], "loss": [3, 4]}), "loss")
    assert "Training loss falls" in shown._repr_html_()


def test_style_stays_in_the_book() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    curve(arms("SFT"), PLOT)
    assert dict(matplotlib.rcParams) == before


def test_more_arms_than_colours_still_differ() -> None:
    assert len(set(COLOURS)) == len(COLOURS)
    looks = {(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i in range(20)}
    assert len(looks) == 20


def test_figures_are_light() -> None:
    code = "import lowres.page.figures, sys; print([m for m in ('numpy', 'pandas', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_named_points_stand_over_a_cost_axis_with_their_bars_and_a_level() -> None:
    data = pd.DataFrame(
        {
            "name": ["small", "large"],
            "x": [1e3, 1e6],
            "y": [0.4, 0.5],
            "low": [0.3, 0.45],
            "high": [0.5, 0.55],
            "series": ["front", "beaten"],
        }
    )
    plot = replace(PLOT, name="points", x="trained parameters", x_scale="log")
    html = scatter(data, plot, {"untouched": 0.2})._repr_html_()
    assert {"small", "large", "front", "beaten", "untouched", "1k", "1M"} <= set(texts(html))
    assert "bars: 95 % interval" in texts(html)
    assert "<td" in html
    assert "0.4500" in html
    with pytest.raises(ValueError, match="no column"):
        scatter(data.drop(columns="name"), plot)
    with pytest.raises(ValueError, match="what the error bars are"):
        scatter(data, replace(plot, error=""))


def test_points_in_a_crowd_have_their_names_too() -> None:
    names = [f"tuner-{number}" for number in range(6)]
    data = pd.DataFrame({"name": names, "x": [1e5 * (1 + n / 50) for n in range(6)], "y": [0.6] * 6})
    data.loc[6] = ["far", 1e8, 0.2]
    plot = replace(PLOT, name="crowd", x="trained parameters", x_scale="log", error="")
    assert {*names, "far"} <= set(texts(scatter(data, plot)._repr_html_()))


def test_dots_have_one_line_per_row_and_a_marker_per_series() -> None:
    data = pd.DataFrame({"row": ["a", "a", "b"], "x": [0.1, 0.2, 0.3], "series": ["one", "two", "one"]})
    html = dots(data, replace(PLOT, name="tries", error=""))._repr_html_()
    assert {"a", "b", "one", "two"} <= set(texts(html))
    with pytest.raises(ValueError, match="no column"):
        dots(data.drop(columns="x"), PLOT)
