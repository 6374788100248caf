"""How far full tuning gets in the tasks of known words: `python -m benchmarks.learnable` prints a line for each.

Scores of test items, means over seeds, which the model and the trial share. The rate is the best one on validation
items with the largest budget; `way` is how far this budget leads to the best rule, from the untouched model, or from
chance where that is more.
"""

from __future__ import annotations

import argparse
import functools
from statistics import fmean

from lowres import trial, world
from lowres.data import load_task
from lowres.optimisation import Optimisation
from lowres.tuners import Full
from lowres.world.known import KNOWN

BUDGETS = (250, 1_000, 4_000)  # tokens
RATES = (1e-3, 3e-3)
EPOCHS, BATCH = 5, 8
COLUMNS = "task|chance|best|untouched|250|1,000|4,000|way|rate|tokens|items|units"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learnable", description=__doc__)
    parser.add_argument("--model", default="world-s")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rates", type=float, nargs="*", default=RATES)
    parser.add_argument("--items", type=int, default=10**9, help="the first so many items (default: all)")
    parser.add_argument("--tasks", nargs="*", default=world.KNOWN_TASKS)
    asked = parser.parse_args()
    print(f"|{COLUMNS}|\n|{'---|' * len(COLUMNS.split('|'))}")
    for name in asked.tasks:
        print(f"| {' | '.join(row(name, asked))} |", flush=True)


def row(name: str, asked: argparse.Namespace) -> tuple[str, ...]:
    """The cells of a task."""
    task, known, seeds = load_task(name), KNOWN[name], range(asked.seeds)
    again = functools.partial(score, name, asked)
    tried = {} if len(asked.rates) == 1 else {rate: again(0, BUDGETS[-1], rate, "validation") for rate in asked.rates}
    rate = max(asked.rates, key=lambda rate: tried.get(rate, 0))
    untouched = fmean(again(seed) for seed in seeds)
    found = [fmean(again(seed, budget, rate) for seed in seeds) for budget in BUDGETS]
    start = max(untouched, known.chance)
    way = (found[-1] - start) / (known.best - start)
    tokens = sum(len(f"{example.prompt} {example.target}".split()) for example in task.train)
    units = len({example.group for example in task.test})
    scores = (f"{value:.2f}" for value in (known.chance, known.best, untouched, *found, way))
    return (name, *scores, f"{rate:g}", f"{tokens:,}", str(len(task.test)), str(units))


def score(
    name: str, asked: argparse.Namespace, seed: int, budget: int = 0, rate: float = 0.0, split: str = "test"
) -> float:
    """Mean of the task's metric over a split after full tuning on so many tokens; untouched with none."""
    model = f"{asked.model}@{seed}" if world.is_world_model(asked.model) else asked.model
    recipe, plan = trial.Recipe(task_tokens=budget), trial.Evaluation(split=split, items=asked.items)
    how = Optimisation(rate, epochs=EPOCHS, batch_size=BATCH) if budget else None
    tuner = Full() if budget else None
    record = trial.run(trial.Trial("learnable", "full", model, name, recipe, tuner, how, plan, seed))
    return record.mean("task", load_task(name).metric)


if __name__ == "__main__":
    main()
