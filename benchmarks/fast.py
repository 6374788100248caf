"""Decoders by hand beside the general way, in one process and in turns: `python -m benchmarks.fast`.

World models are as wide and deep as world-s and not pretrained, which no time depends on. Printed are the CPU seconds
of a round by hand, and how many times as long the general way takes: least, median, most over the rounds.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import torch

from benchmarks.rows import Row
from lowres import evaluate, fast, models, tuners, world
from lowres.data import load_probe, load_task
from lowres.language import LanguageModel, formats
from lowres.language.formats import Encoded
from lowres.optimisation import Optimisation
from lowres.trial import train
from lowres.world import pretraining, vocabulary

SMOLLM = "smollm2-135m-instruct"
Work = Callable[[], object]


def works(long: bool) -> Iterator[tuple[str, Work]]:
    """The name of each piece of work, and what does it once."""
    for tuner in ("full", "lora", "loreft"):
        yield f"world-s, {tuner}, 20 updates", training(world_model(), "world-two-hop", tuner, 20)
    yield "world-s, choices, 200 items", choices(world_model(), "world-reading-new", 200)
    yield "world-s, pretraining, 10 steps of 64 rows", pretraining_steps(10)
    if not long:
        return
    for tuner in ("lora", "loreft"):
        yield f"SmolLM2, {tuner}, 1 update", training(smollm(), "wiki-topic", tuner, 1)
    yield "SmolLM2, choices of a task, 16 items", choices(smollm(), "wiki-topic", 16)
    yield "SmolLM2, choices of BoolQ, 16 items", choices(smollm(), "boolq", 16)


@functools.cache
def world_model() -> LanguageModel:
    """A model of the size of world-s as it stands before pretraining."""
    parsed = world.parse("world-s")
    assert not isinstance(parsed, str)
    network = pretraining._decoder(parsed).requires_grad_(False).eval()
    words = vocabulary.tokenizer(encdec=False, instruct=False)
    return LanguageModel("world-s", "", network, words, vocabulary.CONTEXT, torch.device("cpu"), False)


def smollm() -> LanguageModel:
    return models.load(SMOLLM, device="cpu")


def training(language_model: LanguageModel, task: str, name: str, updates: int) -> Work:
    """A few updates with a tuner of its default size, from the same start every time."""
    own = models.fresh(language_model)
    model = tuners.apply(tuners.make(name), own, 0)
    rows = [formats.encode(own, each.prompt, each.target) for each in load_task(task).train[: 8 * updates]]
    return lambda: train.train(model, own, rows, Optimisation(1e-6, steps=updates))


def choices(language_model: LanguageModel, data: str, items: int) -> Work:
    """Scores of all choices of a task's or a probe's first items."""
    found = load_probe(data).examples if data.startswith("world-") else load_task(data).test
    asked = evaluate.plain_items(language_model, found[:items])
    return lambda: evaluate.answer(language_model.model, language_model, asked)


def pretraining_steps(steps: int) -> Work:
    """Gradients of a few batches of the world's text, and the steps of its optimiser."""
    parsed: Any = world.parse("world-s")
    network = pretraining._decoder(parsed).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=True)
    source = pretraining.rows(parsed, Random(0), pretraining.MIXTURE)
    batches = [[next(source) for _ in range(pretraining.BATCH)] for _ in range(steps)]

    def run() -> None:
        for batch in batches:
            if fast.supports(network):
                fast.Decoder(network).accumulate([Encoded(row.prompt + row.target, len(row.prompt)) for row in batch])
            else:
                pretraining._accumulate(network, batch)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    return run


def in_turns(work: Work, rounds: int) -> Row:
    """CPU seconds by hand and on the general way; the first round of each fills caches and is left out."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for side in (0, 1) if number % 2 else (1, 0):
            started = time.process_time()
            if side:
                with fast.switched_off():
                    work()
            else:
                work()
            taken[side].append(time.process_time() - started)
    return Row("", "the general way", "rounds", 1, tuple(taken[0][1:]), tuple(taken[1][1:]), 1.6)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fast", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (default 5)")
    parser.add_argument("--world", action="store_true", help="leave out SmolLM2")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name, work in works(not asked.world):
        row = in_turns(work, asked.rounds)
        ratios = sorted(general / own for own, general in zip(row.ours_seconds, row.peer_seconds, strict=True))
        shown = f"{ratios[0]:.2f} / {statistics.median(ratios):.2f} / {ratios[-1]:.2f}"
        print(f"{name:44s} {statistics.median(row.ours_seconds):7.2f} s   {shown}", flush=True)


if __name__ == "__main__":
    main()
