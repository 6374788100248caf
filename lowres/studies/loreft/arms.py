"""The arms of the LoReFT study: every way of tuning that the papers compare, and LoReFT with something changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MIDDLE = "middle"  # in place of a layer's index


@dataclass(frozen=True)
class Arm:
    """One way of tuning. `rate_of` names the arm whose learning rate it takes over; empty: it has its own."""

    name: str
    meaning: str
    tuner: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    rate_of: str = ""
    labels: str = "true"
    epochs: float = 1.0


def _as_loreft(name: str, meaning: str, **more: Any) -> Arm:
    """LoReFT itself at the rate that was chosen for it, with something else changed."""
    return Arm(name, meaning, "loreft", rate_of="loreft", **more)


_WIDTH, _LIKE_LORA = {"width": 16}, "LoRA beside attention outputs, as many parameters"
_ALL = (
    Arm("untouched", "the model as it is"),
    Arm("full", "every parameter", "full"),
    Arm("bitfit", "biases alone", "bitfit"),
    Arm("lora", "rank 8 beside every linear layer", "lora"),
    Arm("lora-small", "rank 1 beside every linear layer", "lora", {"rank": 1, "alpha": 4}),
    Arm("dora", "LoRA of direction, and a magnitude", "dora"),
    Arm("ia3", "keys, values and the inside of feed-forward layers rescaled", "ia3"),
    Arm("prefix", "8 learned keys and values in every layer", "prefix"),
    Arm("prompt", "8 learned input vectors", "prompt"),
    Arm("series-adapter", "a bottleneck behind every feed-forward layer", "series-adapter", _WIDTH),
    Arm("parallel-adapter", "a bottleneck beside every feed-forward layer", "parallel-adapter", _WIDTH),
    Arm("vera", "shared random matrices, learned scales", "vera"),
    Arm("road", "outputs rotated in pairs", "road"),
    Arm("red", "feed-forward outputs scaled and shifted", "red"),
    Arm("direft", "edits of 14 prompt positions in all layers, not orthogonal", "direft"),
    Arm("loreft", "edits of 14 prompt positions in all layers, rank 8", "loreft"),
    Arm("lora-at-positions", f"{_LIKE_LORA} and the same positions as loreft", "lora-at-positions"),
    Arm(
        "lora-matched",
        f"{_LIKE_LORA} as loreft, at all positions",
        "lora",
        {"rank": 8, "alpha": 16, "targets": "o_proj"},
    ),
    Arm("loreft-frozen-rotation", "loreft in a random subspace that stays", "loreft-frozen-rotation"),
    Arm("loreft-random-direction", "a random edit of which only the size is learned", "loreft-random-direction"),
    _as_loreft("loreft-random-labels", "loreft, targets shuffled among the inputs", labels="random"),
    Arm("loreft-pyreft", "loreft computed by the pyreft library", "loreft-pyreft", rate_of="loreft"),
    Arm("loreft-no-subtraction", "h + R'(W h + b)", "loreft-no-subtraction"),
    Arm("loreft-non-orthogonal", "R need not be orthonormal", "loreft-non-orthogonal"),
    Arm("loreft-constant", "h + R'(b - R h): the same target whatever the input", "loreft-constant"),
    Arm("loreft-bias-only", "h + R' b: the same shift whatever the input", "loreft-bias-only"),
    Arm("loreft-untied", "rank 4, an edit for each end of the prompt", "loreft", {"rank": 4, "tied": False}),
    Arm("loreft-half-rank", "rank 4", "loreft", {"rank": 4}),
    Arm(
        "recall",
        "one shift of rank 1, at the last position of the middle layer, for a single text (see recitation-*)",
        "loreft-bias-only",
        {"rank": 1, "positions": "s1", "layers": MIDDLE},
    ),
    _as_loreft("loreft-half-epochs", "half as many updates", epochs=0.5),
)
ARMS = {arm.name: arm for arm in _ALL}
RANKS = (1, 2, 4, 16, 32)
POSITIONS = ("p1+s1", "p3+s3", "s7", "p7", "s1", "p15+s15")
DATA_SHARES = (1 / 8, 1 / 4, 1 / 2)
DATA_ARMS = ("loreft", "lora")


def reach(positions: str) -> int:
    """Tokens that the longer side of "p7+s7" needs."""
    return max(map(int, re.findall(r"\d+", positions)), default=0)
