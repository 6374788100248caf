"""How long the paper tier takes on many workers that may be taken away: one queue against shards, simulated.

    python -m benchmarks.sweep

The trials are those of all studies at the paper tier, each as long as the plan by sizes says for one card; a trial
whose worker is lost begins anew, since a record is written whole or not at all. The result goes to results/sweep.json,
for the page on clusters.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from lowres import places, registry
from lowres.engine import cost
from lowres.models import hubmodels
from lowres.params import from_mapping, resolve

CARD = max(cost.CARDS, key=lambda card: card.gigabytes)
WORKERS = (1, 10, 30, 100, 300, 1000)
LOSSES = (0.0, 0.5)  # losses of a worker per hour: cards that are taken away after two hours on average
WAIT = 0.1  # hours until a lost worker is replaced
REPEATS = 20


@dataclass(frozen=True)
class Sweep:
    """When the last trial ended, and what was computed in vain, in hours."""

    makespan: float
    lost: float


def simulate(durations: Sequence[float], workers: int, loss: float, dealt: bool, chance: random.Random) -> Sweep:
    """One sweep.

    Args:
        durations: of the trials, in hours, in the order in which they are begun.
        loss: expected losses of a worker per hour; a lost one comes back after `WAIT`.
        dealt: trials belong to workers beforehand, by chance, as keys deal them to shards; else whoever is free takes
            the next one.
    """
    parts: list[list[float]] = [[] for _ in range(workers)]
    for duration in durations if dealt else ():
        parts[chance.randrange(workers)].append(duration)
    ends, lost = [], 0.0
    if dealt:
        for part in parts:
            now = 0.0
            for duration in part:
                now, vain = _end(now, duration, loss, chance)
                lost += vain
            ends.append(now)
        return Sweep(max(ends), lost)
    free = [0.0] * workers
    for duration in durations:
        now, vain = _end(heapq.heappop(free), duration, loss, chance)
        heapq.heappush(free, now)
        lost += vain
    return Sweep(max(free), lost)


def _end(start: float, duration: float, loss: float, chance: random.Random) -> tuple[float, float]:
    """When a trial is done that begins then, and the time that was lost on the way."""
    now, vain = start, 0.0
    while loss and (alive := chance.expovariate(loss)) < duration:
        now += alive + WAIT
        vain += alive
    return now + duration, vain


def table(durations: Sequence[float], repeats: int = REPEATS) -> list[dict[str, float]]:
    """Hours until the last trial ends, and the share of work that was lost, for queue and shards; means over orders."""
    rows = []
    for loss in LOSSES:
        for workers in WORKERS:
            row: dict[str, float] = {"loss": loss, "workers": workers}
            for name, dealt in (("queue", False), ("shards", True)):
                chance = random.Random(0)
                orders = [chance.sample(durations, len(durations)) for _ in range(repeats)]
                runs = [simulate(each, workers, loss, dealt, chance) for each in orders]
                row[name] = round(sum(run.makespan for run in runs) / repeats, 3)
                row[f"{name} lost"] = round(sum(run.lost for run in runs) / repeats / sum(durations), 3)
            rows.append(row)
    return rows


def paper_tier() -> list[float]:
    """Hours of every trial of the paper tier on the card with the most memory, by sizes alone."""
    with hubmodels.nothing_fetched(sizes_alone=True):
        modules = [registry.load(name) for name in registry.study_names()]
        trials = [
            one for study in modules for one in study.trials(resolve(from_mapping(study.Params, {"tier": "paper"})))
        ]
        return [cost.seconds(trial, cost.rough_work(trial), CARD) / 3600 for trial in trials]


def main() -> None:
    """Simulate, and write what came out."""
    hours = paper_tier()
    found = {"card": CARD.name, "trials": len(hours), "hours": round(sum(hours), 1), "longest": round(max(hours), 2)}
    written = {**found, "wait": WAIT, "rows": table(hours)}
    (places.RESULTS / "sweep.json").write_text(json.dumps(written, indent=1) + "\n")
    print(json.dumps(written, indent=1))


if __name__ == "__main__":
    main()
