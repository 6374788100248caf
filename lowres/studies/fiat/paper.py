"""Numbers of the paper (Wang, Wieting and Clark 2023, arXiv 2309.04663), from its tables; scores in percent.

A cell with "?" is doubtful: damaged or contradictory in print. Whatever is computed from one is doubtful too and says
so. No table reports a spread over seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Rungs take away one thing more each: the large model's reasoning, the instruction while tuning, LoRA (then all
# parameters are tuned), the instruction-tuned start.
RUNGS = ("R0", "R1", "R2", "R3", "R4")
TAKEN = ("reasoning", "instruction", "LoRA", "instruction-tuned base")
TAUS = ("XS", "S")  # the tuned model
ICL = ("L", "ICL")  # the large model alone, prompted with examples and their reasoning
AS_EQUAL = 0.15  # a mean of rounded cells may differ by so much from the average that the paper prints


@dataclass(frozen=True)
class Number:
    """A number of the paper or one computed from them; doubtful if any it stands on is."""

    value: float
    doubtful: bool = False

    def __sub__(self, other: Number) -> Number:
        """The difference, rounded to what the tables print."""
        return Number(round(self.value - other.value, 1), self.doubtful or other.doubtful)


@dataclass(frozen=True)
class Table:
    """Rows by model and rung, one number per column; None where the paper has none."""

    source: str
    columns: tuple[str, ...]
    rows: dict[tuple[str, str], tuple[Number | None, ...]]

    def at(self, row: tuple[str, str], column: str) -> Number:
        """One cell.

        Raises:
            KeyError: the paper has no such number.
        """
        cell = self.rows[row][self.columns.index(column)]
        if cell is None:
            raise KeyError((row, column))
        return cell

    def mean(self, row: tuple[str, str]) -> Number:
        """Mean over the columns."""
        cells = [self.at(row, column) for column in self.columns]
        return Number(statistics.fmean(cell.value for cell in cells), any(cell.doubtful for cell in cells))


def _table(source: str, columns: str, rows: dict[tuple[str, str], str]) -> Table:
    read = {row: tuple(map(_cell, cells.split())) for row, cells in rows.items()}
    assert all(len(cells) == len(columns.split()) for cells in read.values())
    return Table(source, tuple(columns.split()), read)


def _cell(text: str) -> Number | None:
    return None if text == "-" else Number(float(text.removesuffix("?")), text.endswith("?"))


# Means over languages. XOR-AttriQA, 262 training examples; cross-lingual QA of 20 Indic languages, about 300 examples
# each; and of all 27 languages, 22,500 examples.
AVERAGES = _table(
    "[P T2, T3]",
    "attriqa-accuracy attriqa-auc-pr indic-f1 full-f1",
    {
        ICL: "78.6 - 68.9 69.2",
        ("XS", "R0"): "94.0 78.1 73.6 77.8",
        ("XS", "R1"): "94.0 80.3 70.7 76.0",
        ("XS", "R2"): "93.5 72.4 69.8 76.4",
        ("XS", "R3"): "93.7 69.8 67.8 75.8",
        ("XS", "R4"): "90.5 52.1 63.5 75.5",
        ("S", "R0"): "93.9 77.5 77.3 79.3",
        ("S", "R1"): "94.7 80.7 76.7 79.8",
        ("S", "R2"): "94.1 71.6 75.3 79.1",
        ("S", "R3"): "94.7 76.2 72.3 78.5",
        ("S", "R4"): "90.6 54.5 67.1 77.8",
    },
)
ATTRIQA_ACCURACY = _table(
    "[P T6]",
    "bn fi ja ru te",
    {
        ICL: "85.9 78.5 85.4 84.5 58.9",
        ("XS", "R0"): "92.6 91.0 96.3 94.8 95.3",
        ("XS", "R1"): "92.5 91.8 96.2 94.6 95.0",
        ("XS", "R2"): "91.7 91.2 95.9 93.8 94.8",
        ("XS", "R3"): "92.6 92.0 95.0 94.2 94.7",
        ("XS", "R4"): "89.4 88.9 94.3 90.1 89.7",
        ("S", "R0"): "92.3 92.1 96.2 94.6 94.0",
        ("S", "R1"): "93.0 94.4 95.5 98.8? 95.3",
        ("S", "R2"): "93.1 92.7 95.0 94.6 95.2",
        ("S", "R3"): "92.7 93.2 96.3 95.1 96.5",
        ("S", "R4"): "90.9 88.6 93.2 89.7 90.3",
    },
)
ATTRIQA_AUC_PR = _table(
    "[P T6]",
    "bn fi ja ru te",
    {
        ("XS", "R0"): "81.1 85.3 66.5 84.9 72.5",
        ("XS", "R1"): "84.7 85.8 70.3 84.1 76.6",
        ("XS", "R2"): "74.1 81.4 53.5 77.4 75.4",
        ("XS", "R3"): "73.9 76.7 55.8 74.1 68.6",
        ("XS", "R4"): "65.6 65.9 42.1 58.6 28.2",
        ("S", "R0"): "81.3 84.0 62.4 84.9 93.9?",
        ("S", "R1"): "84.3 81.2 58.8 87.4 78.4",
        ("S", "R2"): "75.6 82.9 51.3 78.1 70.1",
        ("S", "R3"): "76.2 83.6 59.0 83.3 78.8",
        ("S", "R4"): "66.3 67.7 41.0 57.5 40.2",
    },
)
# The row of XS, R3 is shifted against its columns in print and left out.
INDIC_F1 = _table(
    "[P T7]",
    "as bho brx gbm gom gu hi hne kn mai ml mni mr mwr or pa ps sa ta ur",
    {
        ICL: "72.5 61.8 43.0 60.3 72.3 70.6 61.5 70.8 72.9 73.3 72.2 57.1 71.5 69.5 71.4 73.7 70.6 72.6 71.5 69.4",
        ("XS", "R0"): "75.9 73.9 47.2 72.7 76.1 76.1 79.3 76.2 76.6 75.5 "
        "76.3 61.1 75.4 73.3 76.0 75.6 76.6 77.4 75.4 73.3",
        ("XS", "R1"): "73.2 73.0 40.7 68.8 71.3 76.1 79.0 72.3 74.0 71.4 "
        "76.7 48.8 73.3 72.3 71.6 74.6 72.2 74.9 75.0 74.7",
        ("XS", "R2"): "73.2 71.5 39.1 67.8 71.7 73.7 78.5 70.3 74.0 71.2 "
        "74.7 50.1 73.9 71.4 70.9 72.2 72.8 71.8 74.5 72.4?",
        ("XS", "R4"): "65.6 64.7 49.3 60.3 62.6 65.7 76.9 63.2 65.2 63.7 "
        "65.4 52.8 64.2 63.5 63.8 65.8 64.3 63.7 65.4 64.4",
        ("S", "R0"): "80.2 77.8 52.2 77.2 78.3 80.6 82.2 79.5 79.7 78.8 "
        "79.8 64.5 79.4 77.4 79.4 80.7 80.0 80.4 79.8 78.0",
        ("S", "R1"): "79.1 78.4 50.3 75.6 78.7 79.9 84.6 77.8 79.2 78.3 "
        "79.2 62.4 77.8 77.7 79.6 79.2 78.8 79.9 80.1 78.0",
        ("S", "R2"): "78.8 77.6 47.7 75.1 76.1 79.1 82.8 76.3 78.4 78.0 "
        "78.4 58.0 78.1 76.0 79.3 78.1 77.0 78.2 78.0 77.2",
        ("S", "R3"): "74.3 71.2 50.6 71.7 72.7 74.6 81.8 72.7 75.1 74.1 "
        "74.9 61.9 73.9 72.1 75.8 75.5 73.5 72.6 73.6 73.5",
        ("S", "R4"): "68.8 68.2 46.1 66.5 67.5 69.0 79.4 68.8 69.4 68.3 "
        "69.4 53.5 68.4 67.1 69.2 68.4 69.4 67.3 70.0 68.0",
    },
)
# The per-language table behind each average.
BEHIND = {"attriqa-accuracy": ATTRIQA_ACCURACY, "attriqa-auc-pr": ATTRIQA_AUC_PR, "indic-f1": INDIC_F1}
REMOTE = ("brx", "mni")  # far below the other languages


# --- computed --------------------------------------------------------------------------------------------------------


def gain(tau: str, regime: str, rung: int) -> Number:
    """What the thing that is taken away after a rung had brought: rung minus the next, in points."""
    return AVERAGES.at((tau, RUNGS[rung]), regime) - AVERAGES.at((tau, RUNGS[rung + 1]), regime)


def gains() -> dict[tuple[str, str], tuple[Number, ...]]:
    """All gains down the ladder (R0 - R1 to R3 - R4), by model and regime."""
    steps = range(len(TAKEN))
    return {
        (tau, regime): tuple(gain(tau, regime, step) for step in steps) for tau in TAUS for regime in AVERAGES.columns
    }


def reasoning_gains(tau: str, without: Sequence[str] = ()) -> dict[str, tuple[Number, Number]]:
    """Per Indic language: F1 without the reasoning (R1), and what the reasoning adds (R0 - R1)."""
    found = {}
    for language in INDIC_F1.columns:
        if language not in without:
            baseline = INDIC_F1.at((tau, "R1"), language)
            found[language] = baseline, INDIC_F1.at((tau, "R0"), language) - baseline
    return found


def correlation(tau: str, without: Sequence[str] = ()) -> Number:
    """Pearson's r of Figure 3: gain by reasoning against F1 without it, over the Indic languages.

    The baseline's noise enters both axes with opposite signs, which alone pulls r below zero.
    """
    pairs = list(reasoning_gains(tau, without).values())
    baselines, added = ([pair[axis].value for pair in pairs] for axis in (0, 1))
    return Number(statistics.correlation(baselines, added), any(number.doubtful for pair in pairs for number in pair))


@dataclass(frozen=True)
class Check:
    """A printed average beside the mean of the cells that should give it."""

    row: tuple[str, str]
    regime: str
    printed: Number
    mean: Number

    @property
    def agrees(self) -> bool:
        """Equal but for the rounding of cells."""
        return abs(self.printed.value - self.mean.value) <= AS_EQUAL


def checks() -> list[Check]:
    """Every row of the per-language tables against its average."""
    return [
        Check(row, regime, AVERAGES.at(row, regime), table.mean(row))
        for regime, table in BEHIND.items()
        for row in table.rows
    ]


def would_have_to_be(row: tuple[str, str], regime: str, language: str) -> Number:
    """The cell that would give the printed average, all others as printed; doubtful if another one is."""
    table, printed = BEHIND[regime], AVERAGES.at(row, regime)
    others = [table.at(row, each) for each in table.columns if each != language]
    value = printed.value * len(table.columns) - sum(other.value for other in others)
    return Number(round(value, 1), printed.doubtful or any(other.doubtful for other in others))
