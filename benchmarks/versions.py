"""Whole trials beside another version of this package, each in a process of its own and in turns.

    git worktree add ../before 053f3c5
    python -m benchmarks.versions ../before

A process warms up on a trial, and then makes the same one with another seed; what is compared are the seconds of a
record: training, measuring, and all of it. One thread. A later version may measure more after a trial; training is
told apart for that reason. Printed: seconds here, and how many times as long the other version takes (least, median,
most over the rounds).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys, time
asked = json.loads(sys.argv[1])
import torch
torch.set_num_threads(1)
from lowres import trial, tuners
try:
    from lowres.optimisation import Optimisation
except ImportError:  # of an earlier version
    from lowres.train import Optimisation

def one(seed):
    recipe = trial.Recipe(task_tokens=asked["tokens"])
    optimisation = Optimisation(asked["rate"], epochs=5, batch_size=8)
    evaluation = trial.Evaluation(items=asked["items"], probes=tuple(asked["probes"]), probe_items=72)
    stage = trial.Stage(asked["task"], recipe, optimisation)
    return trial.Trial("bench", "bench", asked["model"], asked["task"], recipe, tuners.make(asked["tuner"]),
                       optimisation, evaluation, seed, precision="fp32", stream=(stage,) * asked["stages"])

trial.run(one(0), device="cpu")
started = time.perf_counter()
record = trial.run(one(1), device="cpu")
assert record.status == "done", record.error
print(json.dumps({"whole": time.perf_counter() - started, "training": record.cost["training_seconds"],
                  "tokens": record.cost["training_tokens"]}))
"""

WORLD = {"model": "world-s", "task": "world-two-hop", "rate": 3e-3, "tokens": 2000, "items": 200, "stages": 0}
WORLD["probes"] = ["world-fact-home", "world-reading-new"]  # type: ignore[assignment]
REAL = {"model": "smollm2-135m-instruct", "task": "wiki-topic", "rate": 1e-3, "tokens": 400, "items": 24, "stages": 0}
REAL["probes"] = ["boolq"]  # type: ignore[assignment]
TRIALS = {
    "world-s, full": {**WORLD, "tuner": "full"},
    "world-s, LoRA": {**WORLD, "tuner": "lora"},
    "world-s, LoReFT": {**WORLD, "tuner": "loreft"},
    "world-s, full, a stream of three": {**WORLD, "tuner": "full", "stages": 2},
    "SmolLM2, LoRA": {**REAL, "tuner": "lora"},
    "SmolLM2, LoReFT": {**REAL, "tuner": "loreft"},
}


def seconds(checkout: Path, asked: dict[str, object], cache: Path) -> dict[str, float]:
    """What a trial takes in a checkout of some version; its world model is pretrained first where there is none."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "LOWRES_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-c", PROGRAM, json.dumps(asked)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{checkout}: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("other", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default 3)")
    parser.add_argument("--world", action="store_true", help="leave out SmolLM2")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/lowres", help="where models are kept")
    asked = parser.parse_args()
    here = Path(__file__).resolve().parent.parent
    for name, trial in TRIALS.items():
        if asked.world and trial["model"] != "world-s":
            continue
        sides = [
            [seconds(each.resolve(), trial, asked.cache) for each in (here, asked.other)] for _ in range(asked.rounds)
        ]
        shown = []
        for part in ("training", "whole"):
            ratios = sorted(there[part] / own[part] for own, there in sides)
            own = statistics.median(own[part] for own, _ in sides)
            shown.append(f"{part} {own:6.2f} s  {ratios[0]:.2f} / {statistics.median(ratios):.2f} / {ratios[-1]:.2f}")
        print(
            f"{name:34s} {'   '.join(shown)}   tokens {sides[0][0]['tokens']:.0f}, {sides[0][1]['tokens']:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
