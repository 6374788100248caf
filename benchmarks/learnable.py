"""How far full tuning gets in the tasks of known words: `python -m benchmarks.learnable` prints a line for each.

Scores of all test items, means over seeds of the model and the trial alike. The rate is the better one on validation
items, for every budget; `way` is how far 4,000 tokens lead from the untouched model, or from chance if that is
more, to the best rule.
"""

from __future__ import annotations

import argparse
from statistics import fmean

from lowres import trial, world
from lowres.data import load_task
from lowres.train import Optimisation
from lowres.tuners import Full
from lowres.world.known import KNOWN

BUDGETS = (250, 1_000, 4_000)  # tokens
RATES = (1e-3, 3e-3)
EPOCHS, BATCH = 5, 8
COLUMNS = "task|chance|best|untouched|250|1,000|4,000|way|tokens|items|units"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learnable", description=__doc__)
    parser.add_argument("--model", default="world-s")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tasks", nargs="*", default=world.KNOWN_TASKS)
    asked = parser.parse_args()
    print(f"|{COLUMNS}|\n|{'---|' * len(COLUMNS.split('|'))}")
    for name in asked.tasks:
        print(f"| {' | '.join(row(name, asked.model, range(asked.seeds)))} |", flush=True)


def row(name: str, model: str, seeds: range) -> tuple[str, ...]:
    """The cells of a task."""
    task, known = load_task(name), KNOWN[name]
    untouched = fmean(score(name, model, seed) for seed in seeds)
    found = []
    for budget in BUDGETS:
        rate = max(RATES, key=lambda rate: score(name, model, 0, budget, rate, "validation"))
        found.append(fmean(score(name, model, seed, budget, rate) for seed in seeds))
    start = max(untouched, known.chance)
    way = (found[-1] - start) / (known.best - start)
    tokens = sum(len(f"{example.prompt} {example.target}".split()) for example in task.train)
    units = len({example.group for example in task.test})
    scores = (f"{value:.2f}" for value in (known.chance, known.best, untouched, *found, way))
    return (name, *scores, f"{tokens:,}", str(len(task.test)), str(units))


def score(name: str, model: str, seed: int, budget: int = 0, rate: float = 0.0, split: str = "test") -> float:
    """Mean of the task's metric over a split after full tuning on so many tokens; untouched with none."""
    base = f"{model}@{seed}" if world.is_world_model(model) else model
    recipe, plan = trial.Recipe(task_tokens=budget), trial.Evaluation(split=split, items=len(load_task(name).test))
    how = Optimisation(rate, epochs=EPOCHS, batch_size=BATCH) if budget else None
    tuner = Full() if budget else None
    record = trial.run(trial.Trial("learnable", "full", base, name, recipe, tuner, how, plan, seed))
    return record.mean("task", load_task(name).metric)


if __name__ == "__main__":
    main()
