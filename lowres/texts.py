"""Tables in plain text."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Collection, Sequence

LEAST = 24  # characters of a last column that fills what is left of the width


def aligned(
    rows: Sequence[Sequence[str]], *, right: Collection[int] = (), caps: Sequence[int] = (), width: int = 0
) -> str:
    """Rows set in columns as wide as their longest cell, those of `right` to the right.

    With `caps`, the widest that each column but the last may be, longer cells are broken into lines, the last column
    takes the rest of `width` characters, and a rule stands below the header.
    """
    widths = [
        max(len(line) for cell in column for line in [*cell.split("\n"), ""]) for column in zip(*rows, strict=True)
    ]
    if caps:
        widths = [min(pair) for pair in zip(widths, caps, strict=False)]
        widths.append(max(LEAST, width - sum(widths) - 2 * len(widths)))
        rows = [rows[0], ["-" * each for each in widths], *rows[1:]]
    lines = []
    for row in rows:
        cells = [_broken(cell, at) if caps else [cell] for cell, at in zip(row, widths, strict=True)]
        for parts in itertools.zip_longest(*cells, fillvalue=""):
            set_out = [f"{part:{'>' if at in right else '<'}{widths[at]}}" for at, part in enumerate(parts)]
            lines.append("  ".join(set_out).rstrip())
    return "\n".join(lines)


def _broken(text: str, width: int) -> list[str]:
    lines = [textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False) for line in text.split("\n")]
    return [part for line in lines for part in line]
