"""What a trial asks of a machine, told from its description alone: seconds, gigabytes, and the smallest card for it.

What is assumed, and held against published records in the tests:
- A token costs two operations per weight forward, two for the way back, and two more for the gradient of weights that
  are trained (Kaplan et al. 2020, arXiv 2001.08361): six in full tuning, four beside an adapter, two in evaluation. It
  passes half of an encoder-decoder. The output layer is computed at targets alone, a tenth of the tokens.
- A machine reaches a part of its matrix products' rate: cards 40 percent of what their data sheets say (bf16, dense);
  a thread of a processor what published records reached, and a delay per block and pass over a batch besides, which
  small models feel. Writing answers one token after the other is slower than that, and is not counted extra.
- Memory holds the weights twice (a trial compares with the untouched model), and for what is trained a gradient and two
  moments of Adam in fp32; activations are 17 numbers per token, block and unit of width (Korthikanti et al. 2022, arXiv
  2205.05198, without the attention matrix). An adapter is counted as one percent of the model.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from lowres import counting, models, world
from lowres.trial import Trial

EXAMPLE, WORLD_EXAMPLE = 300, 26  # tokens of an example with its frame: real tasks of the book, the world's
TARGETS = 0.1  # of the tokens
ADAPTER = 0.01  # of the weights
PROCESS = 0.5  # gigabytes of Python and its libraries
DELAY, ROOM = 6e-3, 1536  # of a processor: seconds per block and batch, tokens at once (see `lowres.train`)
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
    "huggyllama/llama-7b": LLAMA,
    "chavinlo/alpaca-native": LLAMA,
}


@functools.cache
def size(model: str) -> Size:
    """The size of a model; reads no weights and pretrains nothing.

    Raises:
        InputError: a model whose configuration cannot be had.
    """
    if model in SIZES:
        return SIZES[model]
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
class Machine:
    """Memory in gigabytes, operations per second that training reaches, seconds per block and batch beside those.

    `number` is the size of a frozen weight in bytes, `room` the tokens that are computed at once.
    """

    name: str
    gigabytes: float
    rate: float
    delay: float = 0.0
    number: int = 2
    room: int = 32_768


CARDS = tuple(  # smallest first; gigabytes and peak rates as their vendor states them
    Machine(name, gigabytes, 0.4 * peak)
    for name, gigabytes, peak in (
        ("L4", 24, 121e12),
        ("L40S", 48, 362e12),
        ("A100", 80, 312e12),
        ("H100", 80, 989e12),
        ("H200", 141, 989e12),
    )
)


def here(model: str, precision: str) -> Machine:
    """One worker of this machine: a thread of its processor, or its card."""
    if models.device_for(model) == "cuda":
        import torch

        known = torch.cuda.get_device_properties(0)
        rate = next((card.rate for card in CARDS if card.name in known.name), CARDS[0].rate)
        return Machine(known.name, known.total_memory / 1e9, rate)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    half = models.resolved_precision(model, precision, "cpu") == "bf16"
    return Machine("one thread of this processor", memory, 9e10 if half else 4.5e10, DELAY, 4, ROOM)


def smallest_card(gigabytes: float) -> Machine | None:
    """The smallest of the cards that holds so much, if any does."""
    return next((card for card in CARDS if card.gigabytes >= gigabytes), None)


# --- costs -----------------------------------------------------------------------------------------------------------


def is_full(trial: Trial) -> bool:
    """Whether every weight is trained."""
    return trial.tuner is not None and trial.tuner.name == "full"


def seconds_per_token(own: Size, machine: Machine, passes: int, together: int) -> float:
    """Seconds of a token of so many `together`; passes: 1 in evaluation, 2 beside an adapter, 3 in full tuning."""
    return 2 * passes * own.passed / machine.rate + own.layers * machine.delay * passes / 3 / together


def together(trial: Trial, machine: Machine) -> int:
    """Tokens that are computed at once: a batch, or as much of it as there is room for."""
    example = WORLD_EXAMPLE if models.is_world(trial.model) else EXAMPLE
    return min(machine.room, example * (trial.optimisation.batch_size if trial.optimisation else 32))


def rough_tokens(trial: Trial) -> int:
    """Tokens through training, from the budgets of the recipes alone."""
    return sum(map(_stage_tokens, trial.stages()))


def _stage_tokens(trial: Trial) -> int:
    if trial.tuner is None or trial.optimisation is None:
        return 0
    recipe, how = trial.recipe, trial.optimisation
    example = WORLD_EXAMPLE if models.is_world(trial.model) else EXAMPLE
    if how.steps:
        return how.steps * how.batch_size * example
    return (recipe.task_tokens + recipe.general_tokens + recipe.task_examples * example) * how.epochs


def gigabytes(trial: Trial, machine: Machine) -> float:
    """Memory of a trial at its largest."""
    own, full, bytes_of = size(trial.model), is_full(trial), machine.number
    if trial.tuner is None or trial.optimisation is None:
        return PROCESS + bytes_of * own.weights / 1e9
    trained = own.weights * (1 if full else ADAPTER)
    weights = own.weights * (bytes_of + (4 if full else bytes_of))
    batch = together(trial, machine)
    activations = 17 * bytes_of * own.width * own.layers * batch + 12 * TARGETS * batch * own.vocabulary
    return PROCESS + (weights + 12 * trained + activations) / 1e9


def pretraining_seconds(model: str) -> float:
    """Seconds of one thread until a world model is pretrained, as if it reached no level before its last step."""
    from lowres.world.pretraining import BATCH, INSTRUCT_STEPS

    parsed = world.parse(model)
    assert not isinstance(parsed, str), parsed
    steps = parsed.dimensions.steps * (1 + (INSTRUCT_STEPS if parsed.instruct else 0))
    return steps * BATCH * PRETRAINING_ROW * seconds_per_token(size(model), here(model, "fp32"), 3, ROOM)
