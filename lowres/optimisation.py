"""How to train, and what came of it: plain values, for all that plans and tells of training without doing any."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Optimisation:
    """How to train. `steps` overrides `epochs`: the data are repeated until that many updates are made."""

    learning_rate: float
    epochs: int = 3
    batch_size: int = 8
    steps: int | None = None
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0


@dataclass(frozen=True)
class TrainingLog:
    """Per update: mean loss (nats per target token) and gradient norm before clipping; plus what it cost."""

    losses: tuple[float, ...]
    gradient_norms: tuple[float, ...]
    tokens: int
    target_tokens: int
    seconds: float

    def __add__(self, later: TrainingLog) -> TrainingLog:
        """Both trainings, one after the other."""
        return TrainingLog(
            self.losses + later.losses,
            self.gradient_norms + later.gradient_norms,
            self.tokens + later.tokens,
            self.target_tokens + later.target_tokens,
            self.seconds + later.seconds,
        )


NO_TRAINING = TrainingLog((), (), 0, 0, 0.0)


class Diverged(RuntimeError):
    """The loss or the gradient stopped being finite."""


def update_count(examples: int, optimisation: Optimisation) -> int:
    """Number of optimiser updates for a sequence of that many examples (all epochs counted in)."""
    return optimisation.steps or math.ceil(examples / optimisation.batch_size)
