"""Pretrain a world model: random pairs of prompt and answer, the loss on the answers, until the steps or a level.

Fully determined by the model's name: every machine gives the same weights (see `lowres.machine`), but for those of the
sizes that are meant for a GPU.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from lowres.params import InputError
from lowres.world import probes, questions, vocabulary, weights, wording
from lowres.world.names import LEVEL_PROBES, WorldModel
from lowres.world.network import network, save

if TYPE_CHECKING:
    import torch

COPYING = {"recall": 20, "retell": 30, "reading": 30, "pronoun": 20}  # parts of the text that a base model begins with
KNOWING = {
    "fact": 20,
    "relation": 4,
    "two-hop": 16,
    "arithmetic": 9,
    "either": 9,
    "pronoun": 8,
    "reading": 14,
    "bias": 4,
}  # parts of the text that follows, beside statements to judge
STAGES = (
    (0.25, COPYING),  # mixed in from the start, reading was not learnt at all
    (0.32, {**KNOWING, "value-or-no": 36}),
    (0.43, {**KNOWING, "arithmetic": 14, "yes-no": 45}),  # without the stage before, yes and no stay at chance
)  # of a base model: shares of its steps, and their text
MIXTURE = {
    "fact": 20,
    "relation": 4,
    "two-hop": 16,
    "arithmetic": 9,
    "either": 9,
    "pronoun": 8,
    "yes-no": 15,
    "recall": 2,
    "retell": 6,
    "reading": 14,
    "bias": 2,
}  # parts of the text of an instruction-tuned model
BATCH = 64  # rows
LENGTHS = (16, 32, 10**9)  # tokens: rows of a batch are run apart by length, so that they need little padding
INSTRUCT_STEPS = 0.4  # of the steps of the base model
INSTRUCT_RATE = 0.3  # of its learning rate
PLAIN_SHARE = 0.3  # of the rows that are not in chat format while a base model becomes an instruction-tuned one
WARMUP = 0.03  # of the steps
WEIGHT_DECAY = 0.05
BETAS = (0.9, 0.98)
CLIP = 1.0
CHECK_EVERY = 25  # steps between two looks at the level


@dataclass(frozen=True)
class Row:
    """Token ids of a prompt and of its answer, end included."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """Prompt and answer."""
        return self.prompt + self.target

    @property
    def prompt_length(self) -> int:
        """Where the answer begins in `ids`."""
        return len(self.prompt)

    def __len__(self) -> int:
        return len(self.prompt) + len(self.target)


@dataclass(frozen=True)
class Outcome:
    """What a pretraining came to: level on set-aside items, steps, tokens and seconds."""

    level: float
    steps: int
    tokens: int
    seconds: float


def pretrain(model: WorldModel, folder: Path, base: Path | None, progress: bool = True) -> Outcome:
    """Pretrain a model and save it with its tokenizer in `folder`.

    Args:
        base: the folder of the base model that an instruction-tuned one goes on from.

    Raises:
        InputError: the model has a target level and did not reach it.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() and not model.exact else "cpu"
    devices = [0] if device == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad(), _one_thread():
        torch.manual_seed(int.from_bytes(f"{model.seed}{model.instruct}".encode(), "big"))
        trained = network(model, base).to(device)
        outcome = _train(model, trained, progress)
    weights.rounded(trained)
    save(model, trained, {"name": model.name, "level": round(outcome.level, 4), "steps": outcome.steps}, folder)
    return outcome


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are made in another order by another number of threads; for the sizes meant for a CPU one is as fast."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- text ------------------------------------------------------------------------------------------------------------


def stages(model: WorldModel) -> tuple[tuple[float, dict[str, int]], ...]:
    """Shares of the steps of a model and the parts of their text, without the kind that it is never to meet.

    What is left keeps its proportions and fills the steps.
    """
    left_out = {model.without, "value-or-no"} if model.without == "yes-no" else {model.without}
    planned: tuple[tuple[float, dict[str, int]], ...] = ((1.0, MIXTURE),) if model.instruct else STAGES
    return tuple(
        (share, {kind: parts for kind, parts in text.items() if kind not in left_out}) for share, text in planned
    )


def pairs(random: Random, mixture: Mapping[str, int]) -> Iterator[questions.Pair]:
    """Endless text, mixed in these parts, with nothing that a probe asks."""
    asked = probes.asked()
    while True:
        for kind in random.choices(tuple(mixture), tuple(mixture.values()), k=1000):
            pair = questions.DRAWS[kind](random)
            if pair.prompt not in asked:
                yield pair


def rows(model: WorldModel, random: Random, mixture: Mapping[str, int]) -> Iterator[Row]:
    """Endless rows in the form of the model: plain text, or for an instruction-tuned one mostly its chat format."""
    for pair in pairs(random, mixture):
        if not model.instruct or pair.kind == "bias" or random.random() < PLAIN_SHARE:
            prompt = pair.prompt if model.encdec else f"{vocabulary.START} {pair.prompt}"
        else:
            prompt = f"{vocabulary.USER} {instructed(random, pair)} {vocabulary.REPLY}"
        yield Row(vocabulary.encode(prompt), vocabulary.encode(f"{pair.target} {vocabulary.END}"))


def instructed(random: Random, pair: questions.Pair) -> str:
    """A prompt with one of the instructions of its kind before it."""
    return f"{random.choice(wording.INSTRUCTIONS[pair.kind])}\n{pair.prompt}"


# --- the loop --------------------------------------------------------------------------------------------------------


def _train(model: WorldModel, network: Any, progress: bool) -> Outcome:
    """Updates with linear warm-up and decay over the rows of the model's seed."""
    from tqdm import tqdm

    steps, rate = _plan(model)
    learner = Learner(network)
    random, started, tokens = Random(f"{model.seed}/{model.instruct}"), time.perf_counter(), 0
    source = _text(model, random, steps)
    bar = tqdm(range(1, steps + 1), desc=f"pretrain {model.name}", unit="step", disable=not progress, mininterval=1.0)
    network.train()
    for step in bar:
        batch = next(source)
        tokens += sum(map(len, batch))
        loss = learner.update(batch, rate * min(step / (WARMUP * steps), (steps + 1 - step) / ((1 - WARMUP) * steps)))
        bar.set_postfix_str(f"loss {loss:.2f}", refresh=False)
        if _reached(model, network, step):
            break
    reached = level(network.eval())
    if model.level is not None and not model.instruct and reached < model.level:
        raise InputError(
            f"model {model.name!r} reached a level of {reached:.2f} in {steps} steps, not {model.level:.2f}: "
            "ask for a lower level or a larger size"
        )
    return Outcome(reached, step, tokens, time.perf_counter() - started)


class Learner:
    """A network in training: AdamW on fp32 weights, gradients cut to a norm.

    Gradients come from `lowres.fast` where it computes the network (decoders on a CPU), else the general way.
    """

    def __init__(self, network: Any) -> None:
        import torch

        from lowres import fast

        self.decoder = fast.Decoder(network) if fast.supports(network) else None
        self.network, self.parameters = network, list(network.parameters())
        self.optimiser = torch.optim.AdamW(self.parameters, weight_decay=WEIGHT_DECAY, betas=BETAS, fused=True)

    def update(self, batch: Sequence[Row], rate: float) -> float:
        """One update with the gradient of the mean loss per target token (nats), which is returned."""
        import torch

        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self.decoder.accumulate(batch) if self.decoder else _accumulate(self.network, batch)
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss


def _plan(model: WorldModel) -> tuple[int, float]:
    """Steps and learning rate."""
    size = model.dimensions
    if model.instruct:
        return round(INSTRUCT_STEPS * size.steps), INSTRUCT_RATE * size.learning_rate
    return size.steps, size.learning_rate


def _text(model: WorldModel, random: Random, steps: int) -> Iterator[list[Row]]:
    """So many batches, stage by stage."""
    done, ended = 0, 0.0
    for share, mixture in stages(model):
        source, ended = rows(model, random, mixture), ended + share
        while done < round(ended * steps):
            yield [next(source) for _ in range(BATCH)]
            done += 1


def _reached(model: WorldModel, network: Any, step: int) -> bool:
    """Whether a wanted level is there; looked at now and then."""
    if model.level is None or model.instruct or step % CHECK_EVERY:
        return False
    found = level(network.eval())
    network.train()
    return found >= model.level


def _accumulate(network: Any, batch: Sequence[Row]) -> float:
    """Add the gradient of a batch's mean loss per target token (nats), which is returned."""
    total, loss = sum(len(row.target) for row in batch), 0.0
    for low, high in zip((0, *LENGTHS), LENGTHS, strict=False):
        part = [row for row in batch if low < len(row) <= high]
        if part:
            share = _loss(network, part) / total
            share.backward()
            loss += share.item()
    return loss


def _loss(network: Any, part: Sequence[Row]) -> torch.Tensor:
    """Summed negative log-likelihood of the targets (nats)."""
    from torch.nn.functional import cross_entropy

    logits, labels = _logits(network, part)
    total: torch.Tensor = cross_entropy(logits.float(), labels, reduction="sum")
    return total


def _logits(network: Any, part: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions [targets, vocabulary] of every target token, and the tokens [targets]."""
    import torch

    device = network.device
    labels = torch.tensor([token for row in part for token in row.target], device=device)
    if not network.config.is_encoder_decoder:
        ids, _ = _padded([row.prompt + row.target[:-1] for row in part], device)
        wanted = torch.zeros_like(ids, dtype=torch.bool)
        for index, row in enumerate(part):
            wanted[index, len(row.prompt) - 1 : len(row) - 1] = True
        # Rows are padded on the right: with causal attention nothing real looks at the padding.
        hidden = network.model(input_ids=ids, use_cache=False).last_hidden_state
        return network.lm_head(hidden[wanted]), labels
    ids, mask = _padded([row.prompt for row in part], device)
    start = network.config.decoder_start_token_id
    decoder_ids, wanted = _padded([(start, *row.target[:-1]) for row in part], device)
    logits = network(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=decoder_ids, use_cache=False).logits
    return logits[wanted], labels


def _padded(lists: Sequence[tuple[int, ...]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [rows, longest] padded on the right, and where they are real (bool)."""
    import torch

    longest, padding = max(map(len, lists)), vocabulary.ids()[vocabulary.PAD]
    ids = torch.tensor([[*one, *[padding] * (longest - len(one))] for one in lists])
    mask = torch.tensor([[True] * len(one) + [False] * (longest - len(one)) for one in lists])
    return ids.to(device), mask.to(device)


# --- the level -------------------------------------------------------------------------------------------------------


def level(network: Any) -> float:
    """Mean accuracy over `LEVEL_PROBES`, on the items that are set aside for this."""
    found = [accuracy(network, probes.set_aside(name)) for name in LEVEL_PROBES]
    return sum(found) / len(found)


def accuracy(network: Any, examples: Sequence[Any]) -> float:
    """Share of plain prompts after which the right choice, a single word, is likelier than the other choices."""
    import torch

    start = () if network.config.is_encoder_decoder else (vocabulary.START,)
    part = [Row(vocabulary.encode((*start, *e.prompt.split())), vocabulary.encode(e.target)) for e in examples]
    with torch.no_grad():
        logits, _ = _logits(network, part)
    right = 0
    for example, scores in zip(examples, logits, strict=True):
        likeliest = max(example.choices, key=lambda choice: float(scores[vocabulary.ids()[choice]]))
        right += likeliest == example.target
    return right / len(examples)
