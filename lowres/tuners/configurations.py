"""The tuners' configurations: one frozen dataclass and one name each. Light (no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Full:
    """Every parameter is trained."""

    name: ClassVar[str] = "full"


@dataclass(frozen=True)
class BitFit:
    """Biases alone are trained (Ben Zaken et al. 2022).

    Llama-like models have none: a layer without a bias gets one that starts at zero, which is the identity.
    """

    name: ClassVar[str] = "bitfit"


@dataclass(frozen=True)
class LoRA:
    """Low-rank adaptation (Hu et al. 2021, eq. 3): W x + (alpha / rank) B A x, with B = 0 at the start.

    `targets` is "all-linear" (every linear layer but the output layer) or module names joined by commas.
    """

    name: ClassVar[str] = "lora"
    rank: int = 8
    alpha: int = 32
    dropout: float = 0.0
    targets: str = "all-linear"


@dataclass(frozen=True)
class RsLoRA(LoRA):
    """LoRA with the factor alpha / sqrt(rank) (Kalajdzievski 2023), whose updates keep their size at any rank.

    The default alpha makes the factor at rank 8 that of LoRA's default.
    """

    name: ClassVar[str] = "rslora"
    alpha: int = 11


@dataclass(frozen=True)
class DoRA(LoRA):
    """LoRA on each weight column's direction, with a trained magnitude: m (W + BA) / |W + BA| (Liu et al. 2024)."""

    name: ClassVar[str] = "dora"


@dataclass(frozen=True)
class IA3:
    """Keys, values and the inside of feed-forward layers rescaled by vectors that start at 1 (Liu et al. 2022)."""

    name: ClassVar[str] = "ia3"
    targets: str = "auto"
    feedforward: str = "auto"


@dataclass(frozen=True)
class Prefix:
    """Learned keys and values before the prompt in every layer (Li and Liang 2021), drawn at random at the start."""

    name: ClassVar[str] = "prefix"
    tokens: int = 8


@dataclass(frozen=True)
class Prompt:
    """Learned input embeddings before the prompt (Lester et al. 2021), drawn from the model's own embeddings."""

    name: ClassVar[str] = "prompt"
    tokens: int = 8


@dataclass(frozen=True)
class VeRA:
    """Two frozen random matrices shared by all layers, scaled by trained vectors (Kopiczko et al. 2024, eq. 2)."""

    name: ClassVar[str] = "vera"
    rank: int = 256
    dropout: float = 0.0
    targets: str = "all-linear"


@dataclass(frozen=True)
class RoAd:
    """Outputs of linear layers rotated and rescaled in pairs (Liao and Monz 2024, variant 1); starts as the identity.

    `group` must divide the width of every target; None takes the largest power of two up to 64 that does.
    """

    name: ClassVar[str] = "road"
    group: int | None = None
    targets: str = "all-linear"


@dataclass(frozen=True)
class SeriesAdapter:
    """y + U s(D y) at the output y of each feed-forward layer (Houlsby et al. 2019); U = 0 at the start."""

    name: ClassVar[str] = "series-adapter"
    width: int = 64
    dropout: float = 0.0


@dataclass(frozen=True)
class ParallelAdapter(SeriesAdapter):
    """f(x) + U s(D x) beside each feed-forward layer f (He et al. 2022); U = 0 at the start."""

    name: ClassVar[str] = "parallel-adapter"


@dataclass(frozen=True)
class RED:
    """The output of each feed-forward layer scaled and shifted, s * y + b (Wu et al. 2024); starts at s = 1, b = 0."""

    name: ClassVar[str] = "red"


@dataclass(frozen=True)
class LoReFT:
    """h + R^T (W h + b - R h) with R orthonormal, at chosen layers and prompt positions (Wu et al. 2024, eq. 2).

    `positions` is "p7+s7" for the first 7 and the last 7 tokens of the prompt, "p3" or "s5" for one side only. In a
    prompt of n tokens either side is cut to n // 2, as in the released code. `layers` is "all" or indices joined by
    commas. `tied` shares one edit per layer between both sides; untied, each side has its own. `dropout` acts
    on the whole edited vector, as in the released code.
    """

    name: ClassVar[str] = "loreft"
    rank: int = 8
    positions: str = "p7+s7"
    layers: str = "all"
    tied: bool = True
    dropout: float = 0.0


@dataclass(frozen=True)
class DiReFT(LoReFT):
    """h + W2^T (W1 h + b): not orthogonal, nothing subtracted (Wu et al. 2024, eq. 3; `NodireftIntervention`)."""

    name: ClassVar[str] = "direft"


@dataclass(frozen=True)
class LoReFTNoSubtraction(LoReFT):
    """h + R^T (W h + b) with R orthonormal (Wu et al. 2024, Table 17; `DireftIntervention` in the released code)."""

    name: ClassVar[str] = "loreft-no-subtraction"


@dataclass(frozen=True)
class LoReFTNonOrthogonal(LoReFT):
    """h + W2^T (W1 h + b - W2 h) (Wu et al. 2024, Table 17; `NoreftIntervention` in the released code)."""

    name: ClassVar[str] = "loreft-non-orthogonal"


@dataclass(frozen=True)
class LoReFTConstant(LoReFT):
    """h + R^T (b - R h) with R orthonormal (Wu et al. 2024, Table 17; `ConsreftIntervention` in the released code)."""

    name: ClassVar[str] = "loreft-constant"


@dataclass(frozen=True)
class LoReFTBiasOnly(LoReFT):
    """h + R^T b with R orthonormal (Wu et al. 2024, Table 17; `LobireftIntervention` in the released code)."""

    name: ClassVar[str] = "loreft-bias-only"


@dataclass(frozen=True)
class LoReFTFrozenRotation(LoReFT):
    """LoReFT with R left as it was drawn at random: a control that tells what it is worth to learn where to edit."""

    name: ClassVar[str] = "loreft-frozen-rotation"


@dataclass(frozen=True)
class LoReFTRandomDirection(LoReFT):
    """h + s R^T (W h + b - R h), R, W and b random, only the size s (zero at the start) trained: a control to fail."""

    name: ClassVar[str] = "loreft-random-direction"


@dataclass(frozen=True)
class LoRAAtPositions(LoReFT):
    """y + 2 B A x at the attention output y = W x of chosen layers, at LoReFT's prompt positions only; B = 0 at first.

    LoRA (alpha twice the rank) with the reach of LoReFT and, where attention is as wide as the model, all but its
    number of parameters: rank (width + width) against rank (width + width + 1).
    """

    name: ClassVar[str] = "lora-at-positions"


@dataclass(frozen=True)
class LoReFTPyreft(LoReFT):
    """LoReFT computed by the pyreft library, to hold the book's own against it."""

    name: ClassVar[str] = "loreft-pyreft"


@dataclass(frozen=True)
class DiReFTPyreft(LoReFT):
    """DiReFT computed by the pyreft library."""

    name: ClassVar[str] = "direft-pyreft"


Tuner = (
    Full | BitFit | LoRA | IA3 | Prefix | Prompt | VeRA | RoAd | SeriesAdapter | RED | LoReFT
)  # the others derive from these
KINDS = (
    Full,
    BitFit,
    LoRA,
    RsLoRA,
    DoRA,
    IA3,
    Prefix,
    Prompt,
    VeRA,
    RoAd,
    SeriesAdapter,
    ParallelAdapter,
    RED,
    LoReFT,
    DiReFT,
    LoReFTNoSubtraction,
    LoReFTNonOrthogonal,
    LoReFTConstant,
    LoReFTBiasOnly,
    LoReFTFrozenRotation,
    LoReFTRandomDirection,
    LoRAAtPositions,
    LoReFTPyreft,
    DiReFTPyreft,
)
