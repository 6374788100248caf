"""Learning rates: the same tries for every arm, several seeds, and a grid that grows until the best rate lies inside.

A group of tuning trials differs in nothing but rate and seed; its rate is the one under which the targets of the
validation items are the likeliest, on average over the seeds. A rate at which one of the seeds diverged never wins; nor
does one that harms by itself, where that was measured (`lowres.rates.harm`).
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lowres import world
from lowres.rates.harm import HARMLESS, Harms, controls, is_control, mean_losses

if TYPE_CHECKING:
    from lowres.trial import Record, Trial

TUNING_SEED = 1000  # a subset of its own: a rate is not chosen on the very examples that a trial trains on
WORLD_SEEDS, REAL_SEEDS = 3, 2  # validation seeds of every candidate, of world models and of others
EXTENSIONS = 4  # times that a grid may grow; a choice still at its edge then is told
STEP = 3.0  # factor between neighbours where a grid has a single rate
SAME_RATE = 1e-9  # two rates that differ by less, relatively, are one


def seeded(model: str, seed: int) -> str:
    """The model of a seed: a world model is pretrained from it too, any other model there is but once."""
    return f"{model}@{seed}" if world.is_world_model(model) and seed else model


def unseeded(model: str) -> str:
    """A world model without its seed; the inverse of `seeded`."""
    return model.partition("@")[0] if world.is_world_model(model) else model


def writer_of(rationales: str) -> str:
    """Who wrote a file of rationales, from its name: a model without its seed, a user's file, "own"; "" for none."""
    return unseeded(rationales.rsplit("_", 2)[-2]) if "_" in rationales else rationales


def on_seeds(trials: Sequence[Trial], models: Sequence[int] = (0,)) -> list[Trial]:
    """Every tuning trial once per validation seed: subsets, order and start of its own, in the world its own model.

    The seeds are `TUNING_SEED` and those that follow it.

    Args:
        models: seeds of the world models there will be; they are gone through in turn.
    """
    return [
        replace(trial, seed=TUNING_SEED + k, model=seeded(unseeded(trial.model), models[k % len(models)]))
        for trial in trials
        for k in range(WORLD_SEEDS if world.is_world_model(trial.model) else REAL_SEEDS)
    ]


def tune(
    trials: Sequence[Trial],
    run: Callable[[Sequence[Trial]], list[Record]],
    probes: Callable[[str], Sequence[str]] | None = None,
) -> list[Record]:
    """Run tuning trials, and more of them beyond every edge at which a best rate lies; all their records.

    Args:
        probes: what no rate may harm by itself, by the name of a model; the controls that tell are run too.
    """

    def both(tries: Sequence[Trial]) -> list[Record]:
        return run([*tries, *(controls(tries, probes) if probes else [])])

    records = both(trials) if trials else []
    for _ in range(EXTENSIONS):
        further = beyond(trials, records)
        if not further:
            break
        trials = [*trials, *further]
        records = [*records, *both(further)]
    return list({record.key: record for record in records}.values())


def beyond(trials: Sequence[Trial], records: Sequence[Record]) -> list[Trial]:
    """The next rate for every group whose best rate is the smallest or the largest that was tried, with every seed.

    A group of one rate was not tuned and stays as it is.
    """
    tried, found = grids(records), []
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[group(trial.spec())].append(trial)
    for name, members in groups.items():
        grid = tried.get(name)
        if grid is None or len(grid.losses) < 2 or not grid.edge:
            continue
        first = min(_rate(trial.spec()) for trial in members)
        found += [at_rate(trial, grid.next_rate()) for trial in members if _rate(trial.spec()) == first]
    return found


@dataclass(frozen=True)
class Grid:
    """What was tried in a group: rate -> mean validation loss over the seeds; infinite where a seed diverged.

    `harm` is what the rate alone loses of what a model knew (a share, mean over the seeds), where that was measured.
    """

    losses: Mapping[float, float]
    harm: Mapping[float, float] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The admissible rate with the lowest loss, the smallest of equals; the smallest rate where none is."""
        admissible = [rate for rate in sorted(self.losses) if self.harm.get(rate, 0.0) <= HARMLESS]
        return min(admissible, key=lambda rate: self.losses[rate]) if admissible else min(self.losses)

    @property
    def edge(self) -> str:
        """On which edge of the grid the best rate lies: "lower", "upper" or neither."""
        tried = sorted(self.losses)
        if len(tried) < 2 or not math.isfinite(self.losses[self.best]):
            return "lower" if len(tried) > 1 else ""
        return {tried[0]: "lower", tried[-1]: "upper"}.get(self.best, "")

    def sorted(self) -> list[tuple[float, float]]:
        """Rates and their losses, the smallest rate first."""
        return sorted(self.losses.items())

    def next_rate(self) -> float:
        """The rate beyond the edge, as far from it as its neighbour is."""
        tried = sorted(self.losses)
        return tried[0] ** 2 / tried[1] if self.edge == "lower" else tried[-1] ** 2 / tried[-2]


def grids(records: Iterable[Record]) -> dict[str, Grid]:
    """What was tried, by group (see `group`)."""
    found: dict[str, list[Record]] = defaultdict(list)
    records = list(records)
    for record in records:
        if not is_control(record):
            found[group(record.trial)].append(record)
    harms = Harms(records)
    return {name: grid_of(members, harms) for name, members in found.items()}


def grid_of(records: Iterable[Record], harms: Harms | None = None) -> Grid:
    """What was tried in these records, which compete with each other; each trial counts once."""
    losses: dict[float, list[float]] = defaultdict(list)
    distinct = list({record.key: record for record in records}.values())
    for record in distinct:
        loss = task_loss(record) if record.status == "done" else math.inf
        losses[_known(losses, _rate(record.trial))].append(loss)
    harm = mean_losses(distinct, harms) if harms else {}
    known = {_known(losses, rate): loss for rate, loss in harm.items()}
    return Grid({rate: sum(values) / len(values) for rate, values in losses.items()}, known)


def _known(rates: Mapping[float, Any], rate: float) -> float:
    """The rate itself, or the one already there that differs from it by rounding alone."""
    return next((one for one in rates if abs(one - rate) <= SAME_RATE * rate), rate)


def task_loss(record: Record) -> float:
    """Nats per target token; of a stream the mean over its tasks, each measured right after it was learnt."""
    places = [where for where in record.outcomes if where == "task" or where.endswith(":task")]
    return sum(record.mean(where, "target_nll") for where in places) / len(places)


def at_rate(trial: Trial, rate: float) -> Trial:
    """The trial at another rate, in all of its stages."""
    assert trial.optimisation is not None
    factor = rate / trial.optimisation.learning_rate
    stream = tuple(
        replace(one, optimisation=replace(one.optimisation, learning_rate=one.optimisation.learning_rate * factor))
        for one in trial.stream
    )
    return replace(trial, optimisation=replace(trial.optimisation, learning_rate=rate), stream=stream)


def group(spec: Mapping[str, Any]) -> str:
    """What tuning trials have in common that compete with each other: everything but rate and seed."""
    own = json.loads(json.dumps(spec))
    own["model"] = unseeded(own["model"])
    del own["seed"]
    for stage in (own, *own.get("stream", ())):
        if stage["optimisation"]:
            del stage["optimisation"]["learning_rate"]
    return json.dumps(own, sort_keys=True)


def _rate(spec: Mapping[str, Any]) -> float:
    return float(spec["optimisation"]["learning_rate"])
