"""Numbers of the paper (Wu et al. 2024, arXiv 2404.03592), from its tables; scores in percent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One method of a table: trained parameters in percent of the model, and its score."""

    method: str
    percent: float
    score: float


def _rows(*cells: tuple[str, float, float]) -> tuple[Row, ...]:
    return tuple(Row(*cell) for cell in cells)


# Table 1: mean accuracy over eight commonsense sets. All rows but the last two are copied there from DoRA's paper.
COMMONSENSE = {
    "LLaMA-7B": _rows(
        ("prefix", 0.039, 64.6),
        ("series-adapter", 1.953, 70.8),
        ("parallel-adapter", 3.542, 72.3),
        ("lora", 0.826, 74.7),
        ("dora", 0.838, 78.1),
        ("direft", 0.031, 79.0),
        ("loreft", 0.031, 80.2),
    ),
    "LLaMA-13B": _rows(
        ("prefix", 0.031, 68.4),
        ("series-adapter", 1.586, 79.5),
        ("parallel-adapter", 2.894, 81.5),
        ("lora", 0.670, 80.5),
        ("dora", 0.681, 81.5),
        ("direft", 0.025, 82.2),
        ("loreft", 0.025, 83.3),
    ),
}
# Table 2: mean accuracy over four arithmetic sets with worked steps; baselines copied from LLM-Adapters.
ARITHMETIC = {
    "LLaMA-7B": _rows(
        ("prefix", 0.039, 35.0),
        ("series-adapter", 1.953, 44.6),
        ("parallel-adapter", 3.542, 46.4),
        ("lora", 0.826, 46.9),
        ("direft", 0.031, 40.6),
        ("loreft", 0.031, 42.6),
    ),
    "LLaMA-13B": _rows(
        ("prefix", 0.031, 38.8),
        ("series-adapter", 1.586, 48.9),
        ("parallel-adapter", 2.894, 50.2),
        ("lora", 0.670, 51.1),
        ("direft", 0.025, 48.0),
        ("loreft", 0.025, 49.6),
    ),
}
# Table 3: win rate on Alpaca-Eval as a model judges it; full tuning, LoRA and RED copied from RED's paper.
INSTRUCTIONS = {
    "Llama-2-7B": _rows(
        ("full", 100.0, 80.93),
        ("lora", 0.1245, 81.48),
        ("red", 0.0039, 81.69),
        ("direft", 0.0039, 84.85),
        ("loreft", 0.0039, 85.60),
        ("loreft-half-rank", 0.0019, 84.12),
    )
}
# Table 4: mean over eight GLUE sets; all rows but the last two copied from RED's paper.
CLASSIFICATION = {
    "RoBERTa-base": _rows(
        ("full", 100.0, 85.6),
        ("lora", 0.239, 84.7),
        ("bitfit", 0.080, 82.3),
        ("red", 0.016, 84.3),
        ("direft", 0.015, 83.2),
        ("loreft", 0.015, 84.2),
    ),
    "RoBERTa-large": _rows(
        ("full", 100.0, 88.6),
        ("lora", 0.225, 88.1),
        ("red", 0.014, 88.0),
        ("direft", 0.014, 87.4),
        ("loreft", 0.014, 88.2),
    ),
}
# Table 17: arithmetic, every parametrisation with as many parameters or fewer.
PARAMETRISATIONS = {
    "LLaMA-7B": {
        "loreft": 42.6,
        "loreft-no-subtraction": 42.9,
        "loreft-non-orthogonal": 42.4,
        "direft": 40.6,
        "loreft-constant": 37.1,
        "loreft-bias-only": 31.3,
    },
    "LLaMA-13B": {
        "loreft": 49.6,
        "loreft-no-subtraction": 49.3,
        "loreft-non-orthogonal": 49.0,
        "direft": 48.0,
        "loreft-constant": 47.4,
        "loreft-bias-only": 39.5,
    },
}
# Appendix H: ten layers, rank 8, the last position, 256 generated tokens.
OVERHEAD_SECONDS, OVERHEAD_TOKENS = 0.05, 256


def gain(rows: tuple[Row, ...], over: str = "lora") -> float:
    """LoReFT minus another method, in percent."""
    scores = {row.method: row.score for row in rows}
    return scores["loreft"] - scores[over]
