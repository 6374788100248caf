"""What a trial asks of a machine, told from its description alone: seconds, gigabytes, money, the smallest card for it.

What is assumed, and held against published records in the tests and on the page about the core:
- A token costs two operations per weight forward, two for the way back, and two more for the gradient of weights that
  are trained (Kaplan et al. 2020, arXiv 2001.08361): six in full tuning, four beside an adapter, two in evaluation. It
  passes half of an encoder-decoder. The output layer is computed at targets alone, a tenth of the tokens.
- A card reaches 40 percent of what its data sheet says (bf16, dense), and starts kernels meanwhile. A thread of a
  processor has a rate, and what small models feel beside it: seconds per block for every update, token and item (see
  `Pace` and `benchmarks.pace`). An item of a task is as long as an example trained on. Long answers, written one
  token after the other, take longer than that.
- Memory holds the weights twice (a trial compares with the untouched model), and for what is trained a gradient and two
  moments of Adam in fp32; activations are 17 numbers per token, block and unit of width (Korthikanti et al. 2022, arXiv
  2205.05198, without the attention matrix). An adapter is counted as one percent of the model.
"""

from __future__ import annotations

import csv
import functools
import math
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from lowres import models, world
from lowres.engine import counting
from lowres.params import InputError
from lowres.trial import Trial
from lowres.trial.provenance import hardware

EXAMPLE, WORLD_EXAMPLE = 120, 26  # tokens of an example with its frame: real tasks of the book, the world's
TARGETS = 0.1  # of the tokens
ADAPTER = 0.01  # of the weights
PROCESS = 0.5  # gigabytes of Python and its libraries
PROBE = 60, WORLD_EXAMPLE  # tokens of an item of a probe
ROOM = 1536  # tokens that a processor computes at once (see `lowres.trial.train`)
EFFICIENCY = 0.4  # of a card's peak
LAUNCHES = 5e-4  # seconds of a card per block and update: a hundred kernels of five microseconds, a guess
AT_ONCE = 32  # items measured together
BESIDE_MATRICES = ("lora", "dora", "vera", "road", "ia3")  # tuners with something at every matrix of a block
ITEMS = 500  # of a task that nobody looked at, where all are measured
PRETRAINING_ROW = 19  # tokens of a row that a world model is pretrained on


@dataclass(frozen=True)
class Size:
    """Weights of a model in all, its blocks, width and vocabulary; `outputs` counts the tables of that vocabulary."""

    weights: float
    layers: int
    width: int
    vocabulary: int
    outputs: int = 2
    encoder_decoder: bool = False

    @property
    def passed(self) -> float:
        """Weights that a token passes, of the output layer as many as it does on average."""
        table = self.vocabulary * self.width
        body = self.weights - self.outputs * table
        return body / (2 if self.encoder_decoder else 1) + TARGETS * table


def _bloom(billions: float, layers: int, width: int) -> Size:
    return Size(billions * 1e9, layers, width, 250_880, 1)


def _t5(billions: float, width: int, vocabulary: int = 32_128) -> Size:
    return Size(billions * 1e9, 48, width, vocabulary, 2, True)


def _smollm2(billions: float, layers: int, width: int) -> Size:
    return Size(billions * 1e9, layers, width, 49_152, 1)


LLAMA = Size(6.74e9, 32, 4096, 32_000)
SIZES = {  # of the papers' models, as published with them: a plan fetches nothing
    "bigscience/bloomz-560m": _bloom(0.56, 24, 1024),
    "bigscience/bloomz-1b1": _bloom(1.07, 24, 1536),
    "bigscience/bloomz-1b7": _bloom(1.72, 24, 2048),
    "bigscience/bloomz-3b": _bloom(3.0, 30, 2560),
    "bigscience/bloomz-7b1": _bloom(7.07, 30, 4096),
    "bigscience/bloom-7b1": _bloom(7.07, 30, 4096),
    "bigscience/mt0-large": _t5(1.23, 1024, 250_112),
    "bigscience/mt0-xl": _t5(3.74, 2048, 250_112),
    "google/flan-t5-xl": _t5(2.85, 2048),
    "google/t5-v1_1-xl": _t5(2.85, 2048),
    "google/flan-t5-xxl": _t5(11.1, 4096),
    "smollm2-135m-instruct": _smollm2(0.1345, 30, 576),
    "HuggingFaceTB/SmolLM2-360M-Instruct": _smollm2(0.3618, 32, 960),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _smollm2(1.711, 24, 2048),
    "huggyllama/llama-7b": LLAMA,
    "chavinlo/alpaca-native": LLAMA,
}


@functools.cache
def size(model: str) -> Size:
    """The size of a model; reads no weights and pretrains nothing.

    Raises:
        InputError: a model whose configuration cannot be had.
    """
    if (known := SIZES.get(model.partition("@")[0])) is not None:
        return known
    if models.is_world(model):
        return _world_size(model)
    config = models.without_weights(model).model.config if model in models.IN_WHEELS else counting.configuration(model)
    weights = models.IN_WHEELS[model].parameters if model in models.IN_WHEELS else counting.weights(config)
    tied, both = bool(config.tie_word_embeddings), bool(config.is_encoder_decoder)
    layers = config.num_hidden_layers * (2 if both else 1)
    return Size(weights, layers, config.hidden_size, config.vocab_size, 1 if tied else 2, both)


def _world_size(model: str) -> Size:
    from lowres.world import vocabulary

    parsed = world.parse(model)
    assert not isinstance(parsed, str), parsed
    one, words = parsed.dimensions, len(vocabulary.words())
    block, attention = 4 * one.width**2 + 3 * one.width * one.inner, 4 * one.width**2
    crossed = one.layers if one.encoder_layers else 0
    weights = (one.layers + one.encoder_layers) * block + crossed * attention + words * one.width
    return Size(weights, one.layers + one.encoder_layers, one.width, words, 1, bool(one.encoder_layers))


# --- machines --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pace:
    """Operations per second, and seconds beside them, each for one block of the model (half of an encoder-decoder's).

    `update`: an update; `matrices`: what it takes more where something stands at every matrix; `token`: a token and
    pass; `item` and `probe`: an item of the task, and one of a probe.
    """

    rate: float
    update: float = 0.0
    matrices: float = 0.0
    token: float = 0.0
    item: float = 0.0
    probe: float = 0.0


PROCESSORS = {  # by maker and number format: one thread, as `benchmarks.pace` fits it to published records
    ("AMD", "bf16"): Pace(1.1e11, 0.001, 0.006, 3e-06, 0, 5.2e-05),
    ("AMD", "fp32"): Pace(3.3e10, 0.0023, 0.00053, 2.2e-05, 9.4e-05, 0.0002),
    ("Intel", "bf16"): Pace(1.1e11, 0.0029, 0.0038, 3e-06, 0.00049, 6e-05),
}
PRETRAINING = Pace(4.5e10, 0.002, 0, 3e-06)  # of world models, on a quiet core: trials had to share theirs


@dataclass(frozen=True)
class Machine:
    """Memory in gigabytes, its pace in training, dollars per hour.

    `number` is the size of a frozen weight in bytes, `room` the tokens that are computed at once.
    """

    name: str
    gigabytes: float
    pace: Pace
    price: float = 0.0
    number: int = 2
    room: int = 32_768


def read_cards(path: Path) -> tuple[Machine, ...]:
    """Cards from a CSV file, the smallest and of these the cheapest first; lines that begin with # are remarks.

    Raises:
        InputError: the file cannot be read, has no card, lacks a column, or has something else than a number in one.
    """
    columns = ("card", "gigabytes", "teraflops", "dollars_per_hour")
    allowed = f"a CSV file with the columns {', '.join(columns)}, of which all but the last must be above 0"
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
        rows = [[row[name] for name in columns] for row in csv.DictReader(lines)]
        cards = [Machine(row[0], float(row[1]), _card_pace(float(row[2])), float(row[3])) for row in rows]
    except (OSError, UnicodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no table of cards ({error}); allowed: {allowed}") from error
    if not cards or not all(0 < one.gigabytes < math.inf and one.pace.rate > 0 and one.price >= 0 for one in cards):
        raise InputError(f"{path} has no card, or one of its numbers cannot be; allowed: {allowed}")
    return tuple(sorted(cards, key=lambda card: (card.gigabytes, card.price)))


def _card_pace(teraflops: float) -> Pace:
    return Pace(EFFICIENCY * teraflops * 1e12, LAUNCHES, LAUNCHES, 0.0, LAUNCHES / AT_ONCE, LAUNCHES / AT_ONCE)


CARDS = read_cards(Path(__file__).with_name("cards.csv"))


def here(model: str, precision: str) -> Machine:
    """One worker of this machine: a thread of its processor, or its card."""
    if models.device_for(model) == "cuda":
        import torch

        known = torch.cuda.get_device_properties(0)
        pace = next((card.pace for card in CARDS if card.name in known.name), CARDS[0].pace)
        return Machine(known.name, known.total_memory / 1e9, pace)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    pace = processor(hardware(), models.resolved_precision(model, precision, "cpu"))
    return Machine("one thread of this processor", memory, pace, 0.0, 4, ROOM)


def processor(name: str, precision: str) -> Pace:
    """The pace of a thread of a processor, by its name in a record; an unknown one is taken for one that was fitted."""
    maker = "Intel" if "intel" in name.lower() else "AMD"
    return PROCESSORS.get((maker, precision), PROCESSORS["AMD", precision])


def smallest_card(gigabytes: float, cards: Sequence[Machine] = CARDS) -> Machine | None:
    """The smallest of the cards that holds so much, if any does."""
    return next((card for card in cards if card.gigabytes >= gigabytes), None)


# --- costs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """Tokens and updates of a trial's training, items of its task and of its probes that it is measured on."""

    tokens: float
    updates: float
    items: float
    probes: float


def is_full(trial: Trial) -> bool:
    """Whether every weight is trained."""
    return trial.tuner is not None and trial.tuner.name == "full"


def example_tokens(model: str) -> int:
    """Tokens of an example that nobody looked at."""
    return WORLD_EXAMPLE if world.is_world_model(model) else EXAMPLE


def parts(trial: Trial, work: Work) -> tuple[float, ...]:
    """Operations of a trial, and how often it does each of what a `Pace` tells the seconds of."""
    own, batch = size(trial.model), trial.optimisation.batch_size if trial.optimisation else 1
    length = work.tokens / (work.updates * batch) if work.updates else example_tokens(trial.model)
    evaluated = work.items * length + work.probes * PROBE[models.is_world(trial.model)]
    through = (3 if is_full(trial) else 2) * work.tokens + evaluated
    blocks = own.layers / (2 if own.encoder_decoder else 1)
    beside = trial.tuner is not None and trial.tuner.name in BESIDE_MATRICES
    updates = own.layers * work.updates
    return (
        2 * own.passed * through,
        updates,
        updates * beside,
        *(blocks * each for each in (through, work.items, work.probes)),
    )


def operations(trial: Trial, work: Work) -> float:
    """Floating-point operations of a trial, its evaluation included."""
    return parts(trial, work)[0]


def seconds(trial: Trial, work: Work, machine: Machine) -> float:
    """Seconds of a trial, its evaluation included; a world model's pretraining is not (see `pretraining_seconds`)."""
    first, *others = parts(trial, work)
    rate, *each = astuple(machine.pace)
    return float(first / rate + sum(number * took for number, took in zip(others, each, strict=True)))


def measured(trial: Trial, items: int) -> tuple[float, float]:
    """Items of the task (so many after a stage) and of probes that a trial is measured on, over all stages."""
    stages, evaluation = len(trial.stages()), trial.evaluation
    return stages * items, stages * len(evaluation.probes) * evaluation.probe_items


def rough_work(trial: Trial) -> Work:
    """The work of a trial from the budgets of its recipes alone."""
    numbers = [_stage(stage) for stage in trial.stages()]
    items = trial.evaluation.items
    tokens, updates = (sum(number[at] for number in numbers) for at in range(2))
    return Work(tokens, updates, *measured(trial, ITEMS if items is None else items))


def _stage(trial: Trial) -> tuple[float, float]:
    """Tokens and updates."""
    if trial.tuner is None or trial.optimisation is None:
        return 0, 0
    recipe, how, example = trial.recipe, trial.optimisation, example_tokens(trial.model)
    if how.steps:
        return how.steps * how.batch_size * example, how.steps
    tokens = (recipe.task_tokens + recipe.general_tokens + recipe.task_examples * example) * how.epochs
    return tokens, math.ceil(tokens / (example * how.batch_size))


def gigabytes(trial: Trial, machine: Machine) -> float:
    """Memory of a trial at its largest."""
    own, full, bytes_of = size(trial.model), is_full(trial), machine.number
    if trial.tuner is None or trial.optimisation is None:
        return PROCESS + bytes_of * own.weights / 1e9
    trained = own.weights * (1 if full else ADAPTER)
    weights = own.weights * (bytes_of + (4 if full else bytes_of))
    batch = min(machine.room, example_tokens(trial.model) * trial.optimisation.batch_size)
    activations = 17 * bytes_of * own.width * own.layers * batch + 12 * TARGETS * batch * own.vocabulary
    return PROCESS + (weights + 12 * trained + activations) / 1e9


def reading_seconds(model: str, tokens: float, machine: Machine) -> float:
    """Seconds in which a model reads tokens, at least."""
    return 2 * size(model).passed * tokens / machine.pace.rate


def pretraining_seconds(model: str) -> float:
    """Seconds of one quiet thread until a world model is pretrained, as if it reached no level before its last step."""
    from lowres.world.pretraining import BATCH, INSTRUCT_STEPS

    parsed = world.parse(model)
    assert not isinstance(parsed, str), parsed
    own, pace = size(model), PRETRAINING
    steps = parsed.dimensions.steps * (1 + (INSTRUCT_STEPS if parsed.instruct else 0))
    tokens = 3 * BATCH * PRETRAINING_ROW
    return steps * (tokens * (2 * own.passed / pace.rate + own.layers * pace.token) + own.layers * pace.update)
