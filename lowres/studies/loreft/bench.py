"""Speed, memory and size of tuners as `make bench-tuners` measured them (results/bench_tuners.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

FILE = "bench_tuners.json"


@dataclass(frozen=True)
class Measured:
    """One arm, alone in its process. `first_token` (seconds) and `decoding` (tokens per second) by batch size.

    Each comes with the untouched model's value in the same process.
    """

    arm: str
    training_tokens_per_second: float
    training_memory_bytes: float
    adapter_bytes: int
    trained_parameters: int
    mergeable: bool
    first_token: Mapping[str, float]
    first_token_untouched: Mapping[str, float]
    decoding: Mapping[str, float]
    decoding_untouched: Mapping[str, float]

    def slower_start(self, batch: str) -> float:
        """Time to the first token as a multiple of the untouched model's."""
        return self.first_token[batch] / self.first_token_untouched[batch]

    def slower_decoding(self, batch: str) -> float:
        """Tokens per second as a share of the untouched model's."""
        return self.decoding[batch] / self.decoding_untouched[batch]


@dataclass(frozen=True)
class Bench:
    """All arms that were measured on one model, and where."""

    model: str
    where: str
    arms: Mapping[str, Measured]


def read() -> Bench:
    """What is on file; no arms where nothing was measured."""
    from lowres import places

    path = places.RESULTS / FILE
    if not path.is_file():
        return Bench("", "", {})
    kept = json.loads(path.read_text(encoding="utf-8"))
    where = f"{kept['gpu'] or kept['processor']}, {kept['threads']} thread(s), {kept['date']}"
    return Bench(kept["model"], where, {row["arm"]: Measured(**row) for row in kept["tuners"]})
