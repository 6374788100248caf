"""What tuners cost: `python -m benchmarks.tuners` measures each alone in a process, into results/bench_tuners.json.

Training speed and memory, size on disk, and the tuned model in use beside the untouched one in the same process.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import saving
from benchmarks.__main__ import machine
from benchmarks.rows import growth
from lowres import models, tuners
from lowres.data import load_task
from lowres.evaluate.answers import Beginning, Contexts
from lowres.language import LanguageModel, formats
from lowres.language.formats import Encoded
from lowres.language.precision import cast_once
from lowres.optimisation import Optimisation, TrainingLog
from lowres.studies.loreft.arms import ARMS
from lowres.studies.loreft.params import MAIN
from lowres.trial.train import train

MODEL, TASK = "smollm2-135m-instruct", "siqa-csqa"
UPDATES, PROMPT, NEW = 3, 128, 32
BATCHES = (1, 8)
HOW = Optimisation(learning_rate=1e-4, batch_size=8)
RESULTS = Path(__file__).parent.parent / "results" / "bench_tuners.json"
Seconds = tuple[float, float]  # of the first token, of each further one


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuners", description=__doc__)
    named = [name for name in MAIN if ARMS[name].tuner]
    parser.add_argument("--arms", nargs="+", choices=named, default=named, help="which arms (default: the main ones)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per measurement (default 5)")
    parser.add_argument("--alone", choices=named, help="measure one arm in this process and print it")
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(asdict(measure(asked.alone, asked.rounds))))
        return
    for name in asked.arms:
        found = in_its_process(name, asked.rounds)
        start, decoding = (found[kind]["1"] / found[f"{kind}_untouched"]["1"] for kind in ("first_token", "decoding"))
        speed = found["training_tokens_per_second"]
        print(f"{name}: {speed:.0f} tokens/s, first token {start:.2f} x, decoding {decoding:.2f} x", flush=True)
        write(found)


def in_its_process(name: str, rounds: int) -> dict[str, Any]:
    """Run `--alone` in a fresh process; what it printed."""
    command = [sys.executable, "-m", "benchmarks.tuners", "--alone", name, "--rounds", str(rounds)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-2000:]}")
    return dict(json.loads(result.stdout.splitlines()[-1]))


def write(row: dict[str, Any]) -> None:
    """Put one arm into the file in place of what was there; rows of another model are dropped."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    rows = {each["arm"]: each for each in kept.get("tuners", ()) if kept["model"] == MODEL} | {row["arm"]: row}
    ordered = [rows[name] for name in MAIN if name in rows]
    RESULTS.write_text(json.dumps({**machine(), "model": MODEL, "tuners": ordered}, indent=1) + "\n")


def measure(name: str, rounds: int) -> Measured:
    """Train an arm for a few updates, save it, and use it beside the untouched model."""
    pristine = models.load(MODEL)
    own, tuner = models.fresh(pristine), tuners.make(ARMS[name].tuner, **ARMS[name].options)
    model = tuners.apply(tuner, own, 0)
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    once = functools.partial(train, model, own, examples(), HOW)
    memory = most_memory(once)
    logs = [once() for _ in range(rounds)]
    with tempfile.TemporaryDirectory() as folder:
        size = (saving.save(model, tuner, 0, own, Path(folder)) / saving.WEIGHTS).stat().st_size
    finished = tuners.finish(model)
    first, decoding = in_use(finished, own, pristine, rounds)
    return Measured(
        arm=name,
        training_tokens_per_second=statistics.median(log.tokens / log.seconds for log in logs),
        training_memory_bytes=memory,
        adapter_bytes=size,
        trained_parameters=trained,
        mergeable=is_plain(finished, pristine.model),
        first_token=first[0],
        first_token_untouched=first[1],
        decoding=decoding[0],
        decoding_untouched=decoding[1],
    )


@functools.cache
def examples() -> tuple[Encoded, ...]:
    """The training examples of one round, in order."""
    own = models.load(MODEL)
    rows = load_task(TASK).train[: HOW.batch_size * UPDATES]
    return tuple(formats.encode(own, each.prompt, each.target) for each in rows)


def most_memory(once: functools.partial[TrainingLog]) -> float:
    """The most bytes that a first training adds: of the GPU's allocator, or of the process."""
    if not torch.cuda.is_available():
        return float(growth(once))
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    once()
    return float(torch.cuda.max_memory_allocated() - held)


def is_plain(model: nn.Module, untouched: nn.Module) -> bool:
    """Whether nothing is left of a tuner but changed weights: no further modules, no hooks."""
    kinds = [{type(part) for part in each.modules()} for each in (model, untouched)]
    return kinds[0] <= kinds[1] and not any(part._forward_hooks for part in model.modules())


# --- in use ----------------------------------------------------------------------------------------------------------


BySize = dict[str, float]
Both = tuple[BySize, BySize]  # tuned, untouched


def in_use(tuned: nn.Module, own: LanguageModel, pristine: LanguageModel, rounds: int) -> tuple[Both, Both]:
    """Seconds to the first token, and tokens per second after it, by batch size; both models in turns."""
    first: Both = ({}, {})
    decoding: Both = ({}, {})
    for batch in BATCHES:
        prompts = prompts_of(pristine, batch)
        sides = ((tuned, own), (pristine.model, pristine))
        taken: list[list[Seconds]] = [[], []]
        for _ in range(rounds + 1):
            for side, (model, language_model) in enumerate(sides):
                taken[side].append(generate(model, language_model, prompts))
        for side in (0, 1):
            starts, steps = zip(*taken[side][1:], strict=True)  # the first round fills caches
            first[side][str(batch)] = statistics.median(starts)
            decoding[side][str(batch)] = batch / statistics.median(steps)
    return first, decoding


def prompts_of(language_model: LanguageModel, count: int) -> list[tuple[int, ...]]:
    """Prompts of the task, repeated or cut to the same length."""
    found = (formats.prompt_ids(language_model, each.prompt) for each in load_task(TASK).test[:count])
    return [(ids * PROMPT)[:PROMPT] for ids in found]


@torch.inference_mode()
def generate(model: nn.Module, language_model: LanguageModel, prompts: Sequence[tuple[int, ...]]) -> Seconds:
    """Seconds to the first token of all prompts, and of each further step."""
    with cast_once(model, language_model):
        started = time.perf_counter()
        read = Contexts.read_after(model, language_model, prompts, Beginning())
        token = read.following.argmax(-1)
        token.tolist()  # a GPU has to be done with it
        first = time.perf_counter() - started
        for _ in range(NEW - 1):
            read.mask = torch.cat([read.mask, torch.ones_like(read.mask[:, :1])], 1)
            here = torch.ones_like(token[:, None], dtype=torch.bool)
            logits, read.cache = read.step(token[:, None], read.mask, read.cache, here)
            token = logits.argmax(-1)
        token.tolist()
    return first, (time.perf_counter() - started - first) / (NEW - 1)


if __name__ == "__main__":
    main()
