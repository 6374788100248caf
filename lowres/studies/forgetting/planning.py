"""What a run of the study would cost, told without loading or pretraining any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowres import world
from lowres.studies import unseeded
from lowres.studies.forgetting.paper import HUB_MODELS
from lowres.studies.forgetting.params import Params

if TYPE_CHECKING:
    from lowres.ledger import Ledger
    from lowres.trial import Trial

# Seconds of one core (AMD EPYC, one thread): pretraining to the end, and one stream of five times 60 updates of 32
# examples with its evaluation. An encoder-decoder may take a quarter longer; instruction tuning is 0.4 of the
# pretraining more. The streams of l and all of xl and xxl are estimates.
WORLD_SECONDS = {
    "xs": (45, 5),
    "s": (90, 9),
    "m": (105, 15),
    "l": (1400, 110),
    "xl": (9000, 500),
    "xxl": (40_000, 2500),
}
MEASURED_EXAMPLES = 5 * 60 * 32
GPU_FLOPS = 4e14  # bf16, 40 percent of what an H100 can
LONGEST = 512  # tokens of an example at most, as in the paper
PAPER_UPDATES = 9_400  # per task: three passes over 100,000 examples at a batch of 32


@dataclass(frozen=True)
class Row:
    """One model of the plan; hours are of one core, or of one H100 where `gpu`."""

    model: str
    trials: int
    recorded: int
    pretraining: float
    hours: float
    gpu: bool


def plan(params: Params, ledger: Ledger) -> str:
    """The trials per model, how many are recorded, and the hours to go."""
    from lowres import studies
    from lowres.engine.tables import aligned
    from lowres.studies import forgetting

    trials = studies.planned(forgetting, params, ledger)
    by_model = {model: [t for t in trials if unseeded(t.model) == model] for model in params.models or ()}
    rows = [_row(model, own, ledger) for model, own in by_model.items()]
    lines: list[tuple[str, ...]] = [("model", "trials", "recorded", "pretraining h", "streams h", "on")]
    for row in rows:
        where = "one H100" if row.gpu else "one core"
        numbers = (row.trials, row.recorded, f"{row.pretraining:.2f}", f"{row.hours:.2f}")
        lines.append((row.model, *map(str, numbers), where))
    return f"{aligned(lines)}\n\n{_totals(params, rows)}"


def _row(model: str, trials: Sequence[Trial], ledger: Ledger) -> Row:
    from lowres.engine.pool import is_settled

    recorded = (
        [is_settled(ledger.get(trial.key()), "") for trial in trials] if _is_here(model) else [False] * len(trials)
    )
    missing = [trial for trial, there in zip(trials, recorded, strict=True) if not there]
    if world.is_world_model(model):
        pretraining, stream = _world_hours(model)
        models = {trial.model for trial in missing}
        hours = sum(stream * _examples(trial) / MEASURED_EXAMPLES for trial in missing)
        return Row(model, len(trials), sum(recorded), pretraining * len(models), hours, gpu=False)
    hours = sum(_gpu_hours(model, _examples(trial)) for trial in missing)
    return Row(model, len(trials), sum(recorded), 0.0, hours, gpu=True)


def _is_here(model: str) -> bool:
    """Whether the key of a trial can be told: a Hub model is not fetched for a plan."""
    from pathlib import Path

    from lowres.models import IN_WHEELS

    return world.is_world_model(model) or model in IN_WHEELS or Path(model).expanduser().is_dir()


def _examples(trial: Trial) -> int:
    """Examples through training, and at least a checkpoint's worth for a model that is only measured."""
    seen = sum((s.optimisation.steps or 0) * s.optimisation.batch_size for s in trial.stages() if s.optimisation)
    return seen or MEASURED_EXAMPLES // 30


def _world_hours(model: str) -> tuple[float, float]:
    parsed = world.parse(model)
    assert not isinstance(parsed, str), parsed
    pretraining, stream = WORLD_SECONDS[parsed.size]
    return pretraining * (1.4 if parsed.instruct else 1.0) / 3600, stream / 3600


def _gpu_hours(model: str, examples: int) -> float:
    """Six operations per parameter and token; examples counted at the longest that they may be."""
    return 6 * HUB_MODELS.get(model, 0.135) * 1e9 * examples * LONGEST / GPU_FLOPS / 3600


def _totals(params: Params, rows: Sequence[Row]) -> str:
    cores = sum(row.hours + row.pretraining for row in rows if not row.gpu)
    cards = sum(row.hours for row in rows if row.gpu)
    parts = [f"About {60 * cores:.0f} minutes of one core"] if cores else []
    parts += [f"about {cards:.1f} hours of one H100 (examples of {LONGEST} tokens)"] if cards else []
    text = f"{' and '.join(parts)}. A model that stops at a level takes less; one in the cache nothing."
    if cards:
        streams = sum(1 for row in rows if row.gpu) * len(params.seeds or ())
        whole = sum(_gpu_hours(row.model, 5 * PAPER_UPDATES * 32) for row in rows if row.gpu) * len(params.seeds or ())
        text += f" With the {PAPER_UPDATES:,} updates per task of the paper {streams} streams take {whole:,.0f} hours."
    return text
