"""How long a sweep takes on many workers that may be taken away: one queue against shards, simulated.

    python -m benchmarks.sweep

Trials last as the published ones of real models did, relative to their mean; a trial whose worker is lost begins anew,
since a record is written whole or not at all. The result goes to results/sweep.json, for the page on clusters.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from lowres import places, published, studies
from lowres.world import is_world_model

TRIALS = 2000
WORKERS = (1, 10, 30, 100, 300, 1000)
LOSSES = (0.0, 0.1)  # workers lost per mean trial: a trial of half an hour on machines that last five hours on average
WAIT = 0.2  # mean trials until a lost worker is replaced
REPEATS = 20


@dataclass(frozen=True)
class Sweep:
    """When the last trial ended, and what was computed in vain, in the unit of the durations."""

    makespan: float
    lost: float


def simulate(durations: Sequence[float], workers: int, loss: float, dealt: bool, chance: random.Random) -> Sweep:
    """One sweep.

    Args:
        loss: expected losses of a worker per unit of time; a lost one comes back after `WAIT`.
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
    """Mean makespan over the ideal (all work, evenly spread, nothing lost) and lost share, for queue and shards."""
    mean = sum(durations) / len(durations)
    rows = []
    for loss in LOSSES:
        for workers in WORKERS:
            row: dict[str, float] = {"loss": loss, "workers": workers}
            for name, dealt in (("queue", False), ("shards", True)):
                chance = random.Random(0)
                drawn = [[one / mean for one in chance.choices(durations, k=TRIALS)] for _ in range(repeats)]
                runs = [(sum(each), simulate(each, workers, loss, dealt, chance)) for each in drawn]
                row[name] = round(sum(run.makespan * workers / work for work, run in runs) / repeats, 2)
                row[f"{name} lost"] = round(sum(run.lost / work for work, run in runs) / repeats, 3)
            rows.append(row)
    return rows


def main() -> None:
    """Simulate with the seconds of the published trials of real models that were trained."""
    records = [record for study in studies.study_names() for record in published.read_published(study)]
    real = [record for record in records if not is_world_model(record.trial["model"])]
    seconds = [record.cost["seconds"] for record in real if record.cost.get("training_seconds")]
    found = {"trials": TRIALS, "from": len(seconds), "wait": WAIT, "rows": table(seconds)}
    (places.RESULTS / "sweep.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
