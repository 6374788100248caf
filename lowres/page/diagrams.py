"""Pictures of methods: boxes and arrows in the colour of the page, one helper for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lowres.page.markup import Shown, markup

LINE = 16  # height of a line of text


@dataclass(frozen=True)
class Box:
    """A box with its text, lines parted by newlines; one that is `soft` has a dashed frame, such as frozen weights."""

    x: float
    y: float
    width: float
    height: float
    text: str
    soft: bool = False

    def svg(self) -> str:
        """The box as SVG."""
        lines, middle = self.text.split("\n"), self.x + self.width / 2
        top = self.y + self.height / 2 - LINE * (len(lines) - 1) / 2 + 5
        words = "".join(
            f'<text x="{middle:g}" y="{top + LINE * row:g}" text-anchor="middle">{markup(line)}</text>'
            for row, line in enumerate(lines)
        )
        dash = ' stroke-dasharray="5 3"' if self.soft else ""
        frame = f'<rect x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" rx="4"{dash}/>'
        return frame + words


Arrow = tuple[float, float, float, float]


def diagram(name: str, alt: str, caption: str, boxes: Sequence[Box], arrows: Sequence[Arrow]) -> Shown:
    """A picture of boxes and arrows (from x, y to x, y) with its words for those who cannot see it."""
    width = max(box.x + box.width for box in boxes) + 4
    height = max(box.y + box.height for box in boxes) + 4
    lines = "".join(
        f'<line x1="{a:g}" y1="{b:g}" x2="{c:g}" y2="{d:g}" marker-end="url(#{name}-tip)"/>' for a, b, c, d in arrows
    )
    tip = (
        f'<defs><marker id="{name}-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
    )
    drawn = "".join(box.svg() for box in boxes)
    html = (
        f'<figure class="lowres-figure lowres-diagram" id="figure-{name}"><div class="lowres-scroll">'
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{markup(alt)}">{tip}{lines}{drawn}</svg></div>'
        f"<figcaption>{markup(caption)}</figcaption></figure>"
    )
    return Shown(html, f"Figure: {alt}\n\n{caption}")
