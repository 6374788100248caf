"""The arms of the FIAT study: the ladder, the factorial that it is a path through, controls and baselines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations

FACTORS = {"C": "rationale as input", "I": "instruction", "P": "LoRA", "B": "instruction-tuned base"}
LADDER = {
    "R0": ("CIPB", "FIAT: rationale, instruction, LoRA, instruction-tuned base"),
    "R1": ("IPB", "without the rationale"),
    "R2": ("PB", "nor the instruction"),
    "R3": ("B", "nor LoRA: all parameters"),
    "R4": ("", "nor the instruction-tuned base: conventional fine-tuning"),
}


@dataclass(frozen=True)
class Arm:
    """One line of the study. `factors` are the letters of what is present; `use` is that of the rationale."""

    name: str
    meaning: str
    factors: str = ""
    use: str = "none"
    tuned: bool = True
    shots: int = 0
    rationales: str = ""  # empty: those of the study's beta

    @property
    def tuner(self) -> str:
        """The way of tuning; empty for none."""
        return ("lora" if "P" in self.factors else "full") if self.tuned else ""

    @property
    def anchor(self) -> str:
        """The anchor prompt of its recipe."""
        return "hand-written" if "I" in self.factors else "none"


def _cell(factors: str) -> Arm:
    """A cell of the 2^4 factorial, named by its letters where it is no rung of the ladder."""
    only = f"only {', '.join(FACTORS[letter] for letter in factors)}"
    rung = next(((name, words) for name, (cell, words) in LADDER.items() if cell == factors), (factors, only))
    return Arm(*rung, factors, "input" if "C" in factors else "none")


def _control(name: str, meaning: str, use: str, rationales: str = "") -> Arm:
    return Arm(name, f"R0 with {meaning}", "CIPB", use, rationales=rationales)


_untuned = partial(Arm, tuned=False)
_rungs = [cell for cell, _ in LADDER.values()]
_others = ["".join(chosen) for size in range(5) for chosen in combinations("CIPB", size)]
_FACTORIAL = [_cell(cell) for cell in dict.fromkeys([*_rungs, *_others])]
CELLS = {arm.factors: arm.name for arm in _FACTORIAL}
_ALL = (
    *_FACTORIAL,
    _control("answer-only", "beta's answer alone in place of its reasoning", "answer"),
    _control("stripped", "the reasoning alone, beta's answer taken out", "stripped"),
    _control("wrong", "the rationale of another example, in training and test", "wrong"),
    _control("own-rationale", "the rationale that comes with the data", "input", "own"),
    Arm("distilled", "R1 that also learns to write the rationale", "IPB", "target"),
    _untuned("untouched", "tau as it is", "B"),
    _untuned("untouched-instruction", "tau as it is, told what to do", "IB"),
    _untuned("untouched-rationale", "tau as it is, told what to do, given the rationale", "CIB", "input"),
    *(_untuned(f"shots-{k}", f"tau as it is, shown {k} solved examples", "IB", shots=k) for k in (1, 2, 4, 8)),
    _untuned("beta", "beta's own answer: chain of thought in context", use="as-answer"),
    _untuned("beta-vote", "the majority of beta's sampled answers (self-consistency)", use="as-vote"),
)
ARMS = {arm.name: arm for arm in _ALL}
RATE_OF = {(arm.tuner, "B" in arm.factors): arm.name for arm in map(ARMS.__getitem__, ("R2", "R3", "R4", "P"))}
