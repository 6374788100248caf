"""HTML for notebook output that reads well in a light and a dark theme, on a phone and in a screen reader."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

# Colours come from the book's theme where there is one; in other places text and lines follow the surrounding text.
STYLE = """<style>
.lowres-card, .lowres-table, .lowres-figure {
  --lowres-line: var(--pst-color-border, color-mix(in srgb, currentColor 35%, transparent));
  --lowres-soft: var(--pst-color-surface, color-mix(in srgb, currentColor 6%, transparent));
  color: var(--pst-color-text-base, inherit);
}
.lowres-card {
  border: 1px solid var(--lowres-line); border-left: .4rem solid var(--lowres-mark, var(--lowres-line));
  border-radius: .25rem; padding: .6rem 1rem; margin: 0 0 1rem; overflow-wrap: break-word;
}
.lowres-card p { margin: 0 0 .5rem; }
.lowres-card dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .2rem 1rem; margin: 0; }
.lowres-card dt { font-weight: 600; }
.lowres-card dd { margin: 0; }
.lowres-badge { font-weight: 700; white-space: nowrap; border-bottom: .15rem solid var(--lowres-mark, currentColor); }
.lowres-reproduced { --lowres-mark: #00805c; }
.lowres-partly { --lowres-mark: #b36b00; }
.lowres-not-reproduced { --lowres-mark: #d55e00; }
.lowres-cannot-tell { --lowres-mark: #767676; }
.lowres-statement { font-weight: 600; }
.lowres-card summary { cursor: pointer; }
.lowres-intervals { border-collapse: collapse; margin: .3rem 0 .6rem; font-size: .9em; width: auto; }
.lowres-intervals caption { caption-side: top; text-align: left; font-style: italic; color: inherit; }
.lowres-intervals :is(th, td) { border: 0; padding: .15rem .6rem .15rem 0; text-align: left; vertical-align: middle; }
.lowres-intervals th { font-weight: 400; max-width: 22rem; }
.lowres-intervals tr, .lowres-intervals tr:nth-child(odd) { background: transparent; }
.lowres-effect { font-variant-numeric: tabular-nums; min-width: 12.5rem; }
.lowres-interval { display: block; overflow: visible; }
.lowres-interval line, .lowres-diagram line { stroke: currentColor; }
.lowres-interval .lowres-zero { stroke-width: 1; opacity: .6; }
.lowres-interval .lowres-margin { stroke-width: 1; }
.lowres-interval .lowres-ends { stroke-width: 2.5; }
.lowres-interval circle, .lowres-diagram marker path, .lowres-diagram text { fill: currentColor; }
.lowres-diagram rect { fill: none; stroke: currentColor; }
.lowres-diagram text { font-size: 13px; }
.lowres-command { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0 1rem; }
.lowres-scroll { overflow-x: auto; }
.lowres-table { overflow-x: auto; margin: 0 0 1rem; container-type: inline-size; }
.lowres-table table { width: 100%; table-layout: auto; border-collapse: collapse; font-size: .9em; margin: 0; }
.lowres-table caption { caption-side: top; text-align: left; font-style: italic; padding: .3rem 0; color: inherit; }
/* A caption stays in sight and wraps where the page ends, also above a table that is wider than the page. */
.lowres-table caption span { display: block; position: sticky; left: 0; max-width: 100cqw; }
.lowres-table table :is(th, td) {
  color: inherit; border: 0; border-bottom: 1px solid var(--lowres-line); padding: .35rem .6rem; text-align: left;
  vertical-align: top; white-space: normal; max-width: none;
}
.lowres-table table tr, .lowres-table table tr:nth-child(odd) { background: transparent; }
.lowres-table table thead th { background: var(--lowres-soft); border-bottom-width: 2px; vertical-align: bottom; }
.lowres-table table tbody th { font-weight: 600; min-width: 5rem; }
.lowres-table tbody th a { white-space: nowrap; }
.lowres-table table tbody th span { font-weight: 400; }
@media (min-width: 641px) { .lowres-table:has(.lowres-badge) td:nth-child(2) { width: 45%; } }
.lowres-table .lowres-badge { white-space: normal; }
.lowres-table table .lowres-number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.lowres-table table thead .lowres-number { white-space: normal; }
.lowres-figure { margin: 0 0 1.5rem; max-width: 46rem; }
.lowres-figure svg { display: block; width: 100%; height: auto; }
figure.lowres-figure figcaption { margin: .3rem 0; color: inherit; font-weight: inherit; text-align: left; }
.lowres-figure summary { cursor: pointer; }
/* The theme lays a pale card under HTML output in the dark; what follows the theme's colours needs none. */
html[data-theme="dark"] .bd-content div.cell_output .text_html:not(:has(table.dataframe)):has(.lowres) {
  background: transparent; color: inherit; padding: 0;
}
@media print {
  .lowres-table { overflow: visible; }
  .lowres-table table { font-size: 7pt; }
  .lowres-table table :is(th, td) { white-space: normal !important; padding: .1rem .3rem; }
  .lowres-card, .lowres-figure { break-inside: avoid; }
}
@media (max-width: 640px) {
  .lowres-scroll svg { min-width: 34rem; }
  .lowres-intervals :is(tr, th, td) { display: block; max-width: none; }
  .lowres-intervals :is(.lowres-effect, .lowres-answer) { display: inline; }
  .lowres-card dl { grid-template-columns: 1fr; gap: 0; }
  .lowres-card dd { margin: 0 0 .4rem; }
  .lowres-stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .lowres-stack table, .lowres-stack tbody, .lowres-stack tr, .lowres-stack :is(th, td), .lowres-stack caption {
    display: block; width: auto;
  }
  .lowres-stack table tbody tr { border-bottom: 2px solid var(--lowres-line); padding: .4rem 0; }
  .lowres-stack table :is(th, td) { border: 0; padding: .1rem 0; text-align: left; }
  .lowres-stack table .lowres-number { text-align: left; white-space: normal; }
  .lowres-stack td:empty { display: none; }
  .lowres-stack td[data-label]::before { content: attr(data-label) ": "; font-weight: 600; }
}
</style>"""


class Html(str):
    """Text that is markup already and must not be escaped."""

    __slots__ = ()


class Shown:
    """What a notebook cell ends in: HTML for a browser, Markdown for other writers, plain words for a terminal."""

    def __init__(self, html: str, markdown: str) -> None:
        self._html, self._markdown = html, markdown

    def html(self) -> str:
        """The markup for a page that has the stylesheet already."""
        return f'<div class="lowres">\n{self._html}\n</div>'

    def _repr_html_(self) -> str:
        return f"{STYLE}\n{self.html()}"

    def _repr_markdown_(self) -> str:
        return self._markdown

    def __repr__(self) -> str:
        return self._markdown


def markup(value: object) -> Html:
    """The value as HTML: escaped text, unless it is `Html`."""
    return value if isinstance(value, Html) else Html(escape(str(value), quote=True))


def badge(words: str, symbol: str, kind: str) -> Html:
    """A word with a symbol in front and a coloured line below: the colour is never the only sign."""
    sign = f'<span aria-hidden="true">{symbol}</span>'
    return Html(f'<span class="lowres-badge lowres-{kind}">{sign} {escape(words)}</span>')


def definitions(entries: Mapping[str, object]) -> Html:
    """A list of terms and what they say; empty entries are left out."""
    pairs = (f"<dt>{escape(term)}</dt><dd>{markup(said)}</dd>" for term, said in entries.items() if str(said))
    return Html(f"<dl>{''.join(pairs)}</dl>")


def html_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]], *, stack: bool = False) -> Html:
    """A table with a caption, column headers and a header in front of each row; numbers are set right.

    With `stack`, each row becomes a block of labelled lines on a narrow screen; otherwise the table scrolls sideways.
    The roles say what the elements are even where a browser forgets it because they are laid out as blocks.
    """
    listed = list(rows)
    alike = listed[0] if listed else header
    head = "".join(
        f'<th scope="col" role="columnheader"{_alignment(value)}>{markup(name)}</th>'
        for name, value in zip(header, alike, strict=True)
    )
    body = "\n".join(_row(header, row) for row in listed)
    kind = "lowres-table lowres-stack" if stack else "lowres-table"
    return Html(
        f'<div class="{kind}" role="region" tabindex="0" aria-label="{escape(caption, quote=True)}">\n'
        f'<table role="table">\n<caption><span>{escape(caption)}</span></caption>\n'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{body}\n</tbody>\n</table>\n</div>'
    )


def _row(header: Sequence[str], row: Sequence[object]) -> str:
    first, *others = row
    cells = (
        f'<td role="cell" data-label="{escape(name, quote=True)}"{_alignment(value)}>{_cell(value)}</td>'
        for name, value in zip(header[1:], others, strict=True)
    )
    return f'<tr role="row"><th scope="row" role="rowheader">{_cell(first)}</th>{"".join(cells)}</tr>'


def _cell(value: object) -> Html:
    """A cell's markup; an interval in it is kept on one line."""
    shown = markup(_shortened(value))
    return Html(re.sub(r"\[-?[\d.]+, -?[\d.]+\]", lambda found: found[0].replace(" ", "\u00a0"), shown))


def _alignment(value: object) -> str:
    return ' class="lowres-number"' if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def _shortened(value: object) -> object:
    """Numbers as a reader wants them: four decimals, thousands grouped, a dash for what is not there."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    if value != value:
        return "-"
    if abs(value) < 1e-12 or (float(value).is_integer() and abs(value) < 1e15):
        return f"{round(value):,}"
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 else f"{value:,.4g}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The same table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_markdown_cell(cell) for cell in line)} |" for line in lines)


def _markdown_cell(value: object) -> str:
    return str(_shortened(value)).replace("|", "\\|").replace("\n", " ")


def shown_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]], *, stack: bool = False) -> Shown:
    """A table as a notebook cell ends in one."""
    listed = list(rows)
    return Shown(html_table(caption, header, listed, stack=stack), markdown_table(header, listed))


def shown_text(text: str) -> Shown:
    """A paragraph as a notebook cell ends in one; what stands between `s is a command."""
    return Shown("<p>" + re.sub("`([^`]+)`", r"<code>\1</code>", escape(text)) + "</p>", text)


def shown_lines(text: str) -> Shown:
    """Text whose line breaks count, such as a prompt; long lines are broken too."""
    return Shown(f'<pre style="white-space: pre-wrap">{escape(text)}</pre>', f"```text\n{text}\n```")


def joined(parts: Iterable[Shown]) -> Shown:
    """Several things that a notebook cell ends in, one below the other."""
    listed = list(parts)
    return Shown("\n".join(part._html for part in listed), "\n\n".join(part._markdown for part in listed))


def folded(summary: str, part: Shown) -> Shown:
    """Something that opens on a click."""
    html = f"<details><summary>{escape(summary)}</summary>\n{part._html}\n</details>"
    return Shown(html, f"{summary}\n\n{part._markdown}")
