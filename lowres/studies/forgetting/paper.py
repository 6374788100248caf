"""Numbers of Luo et al. (2023, arXiv 2308.08747), read from its Tables 4 and 6, and the models that they are of."""

from __future__ import annotations

Row = tuple[float, float, float]
# Percent that guessing scores: MMLU; the mean of BoolQ, PIQA, Winogrande, HellaSwag, MathQA and MuTual; RACE.
CHANCE = {"domain knowledge": 25.0, "reasoning": (50 + 50 + 50 + 25 + 20 + 25) / 6, "reading comprehension": 25.0}

# Billions of parameters; per group of `CHANCE` percent at the start, at the end, and FG over all five tasks.
TABLES_4_AND_6: dict[str, tuple[float, Row, Row, Row]] = {
    "mT0-1.2b": (1.2, (26.82, 22.47, 9.18), (45.43, 40.22, 7.75), (35.06, 29.54, 17.45)),
    "mT0-3.7b": (3.7, (30.99, 20.14, 20.15), (48.61, 38.39, 16.73), (41.10, 30.45, 28.42)),
    "BLOOMZ-1.1b": (1.1, (27.19, 23.84, 9.54), (47.37, 41.97, 6.73), (36.77, 27.28, 18.04)),
    "BLOOMZ-1.7b": (1.7, (28.72, 24.52, 10.72), (48.30, 44.96, 6.48), (42.65, 30.09, 24.29)),
    "BLOOMZ-3b": (3.0, (30.04, 24.29, 14.63), (56.17, 47.03, 11.09), (48.29, 31.38, 27.56)),
    "BLOOMZ-7.1b": (7.1, (33.08, 25.61, 18.37), (59.15, 49.24, 13.62), (48.79, 33.05, 26.75)),
    "BLOOM-7.1b": (7.1, (29.42, 24.83, 13.54), (52.79, 47.76, 6.67), (38.25, 31.55, 12.00)),
    "LLaMA-7b": (6.7, (37.27, 24.05, 34.57), (58.73, 40.38, 31.33), (41.36, 27.62, 31.72)),
    "Alpaca-7b": (6.7, (39.29, 29.88, 18.14), (60.11, 53.68, 7.56), (44.47, 37.61, 10.31)),
}

HUB_MODELS = (
    "bigscience/bloomz-560m",
    "bigscience/bloomz-1b1",
    "bigscience/bloomz-1b7",
    "bigscience/bloomz-3b",
    "bigscience/bloomz-7b1",
    "bigscience/bloom-7b1",
    "bigscience/mt0-large",
    "bigscience/mt0-xl",
    "huggyllama/llama-7b",
    "chavinlo/alpaca-native",
)
