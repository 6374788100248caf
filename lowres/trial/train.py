"""The one training loop.

- The loss is the mean negative log-likelihood per target token of a batch; prompts carry no loss and get no logits.
- A batch is what the optimiser sees, in the order given. Inside a batch the examples are sorted by length and cut into
  micro-batches with little padding, whose gradients add up: the update is that of the whole batch, only cheaper.
- Rows are padded on the right and need no attention mask: with causal attention nothing real looks at the padding. (An
  encoder looks both ways and gets a mask.)
- Blocks below the lowest trained one are computed once per example, not once per epoch (`lowres.fast.frozen`).
- A decoder of the Llama family on a CPU is computed by `lowres.fast`, without padding; everything else as said here.
- AdamW, linear warm-up then linear decay to zero, gradient clipping. A loss that is not finite stops the trial.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from lowres import fast
from lowres.fast.frozen import FrozenBeginning
from lowres.language import LanguageModel
from lowres.language.attention import short_attention
from lowres.language.formats import Encoded, decoder_start
from lowres.language.inside import inner_model, logits_only_at, precision_context
from lowres.language.precision import cast_once
from lowres.optimisation import Diverged, Optimisation, TrainingLog, update_count
from lowres.tuners import prompt_at

# On a CPU: tokens in a micro-batch, and how many of them may be padding before it is cut. Each micro-batch lays out
# all weights anew for its products, which costs as much as some hundred tokens.
ROOM, PADDING = 1536, 192


def train(
    model: nn.Module,
    language_model: LanguageModel,
    sequence: Sequence[Encoded],
    optimisation: Optimisation,
    title: str = "",
) -> TrainingLog:
    """Train `model` (as returned by `tuners.apply`) on examples in the given order.

    Args:
        sequence: every example of the run in order, epochs already unrolled; cycled if `steps` asks for more.
        title: shown on the progress bar (stderr, with tokens per second and the remaining time).

    Raises:
        Diverged: loss or gradient norm is NaN or infinite; names the update.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    steps = update_count(len(sequence), optimisation)
    optimiser = torch.optim.AdamW(_groups(trained, optimisation), lr=optimisation.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _warmup_then_decay(steps, optimisation.warmup))
    losses, norms, tokens, targets = [], [], 0, 0
    started = time.perf_counter()
    model.train()
    beginning = FrozenBeginning(model, _seen(sequence, steps, optimisation))
    progress = tqdm(total=steps, desc=title or "train", unit="step", leave=False, mininterval=1.0)
    with progress as bar, _gradients(model, language_model, beginning) as accumulate:
        for step in range(steps):
            batch = _batch(sequence, step, optimisation)
            loss = accumulate(batch)
            norm = float(nn.utils.clip_grad_norm_(trained, optimisation.clip))
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise Diverged(
                    f"loss {loss}, gradient norm {norm} at update {step + 1} of {steps}; lower the learning rate"
                )
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(loss)
            norms.append(norm)
            tokens += sum(len(example.ids) for example in batch)
            targets += sum(len(example.target) for example in batch)
            bar.update()
            bar.set_postfix_str(
                f"loss {loss:.2f}, {tokens / (time.perf_counter() - started):.0f} tokens/s", refresh=False
            )
    model.eval()
    return TrainingLog(tuple(losses), tuple(norms), tokens, targets, time.perf_counter() - started)


def _groups(trained: Sequence[nn.Parameter], optimisation: Optimisation) -> list[dict[str, Any]]:
    """Parameters with and without weight decay: what stands for a rotation has no size that could decay."""
    rotations = [parameter for parameter in trained if getattr(parameter, "never_decayed", False)]
    others = [parameter for parameter in trained if not getattr(parameter, "never_decayed", False)]
    groups = [(others, optimisation.weight_decay), (rotations, 0.0)]
    return [{"params": members, "weight_decay": decay} for members, decay in groups if members]


def _warmup_then_decay(steps: int, warmup: float):  # type: ignore[no-untyped-def]
    """Factor on the learning rate at update t: rises linearly over the warm-up, then falls linearly towards zero."""
    rising = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        return (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)

    return factor


def _batch(sequence: Sequence[Encoded], step: int, optimisation: Optimisation) -> list[Encoded]:
    """The examples of one update: a pass may end in a short batch, a given number of updates goes round and round."""
    start, end = step * optimisation.batch_size, (step + 1) * optimisation.batch_size
    if optimisation.steps:
        return [sequence[index % len(sequence)] for index in range(start, end)]
    return list(sequence[start:end])


def _seen(sequence: Sequence[Encoded], steps: int, optimisation: Optimisation) -> list[Encoded]:
    """Every example that the updates will see, as often as they see it."""
    return [row for step in range(steps) for row in _batch(sequence, step, optimisation)]


@contextlib.contextmanager
def _gradients(
    model: nn.Module, language_model: LanguageModel, beginning: FrozenBeginning
) -> Iterator[Callable[[Sequence[Encoded]], float]]:
    """What adds the gradient of a batch's mean target loss, and returns that loss in nats per token."""
    if fast.supports(model):
        decoder = fast.Decoder(model, language_model.autocast)
        yield lambda batch: decoder.accumulate(batch, beginning)
        return
    with short_attention(inner_model(model)), cast_once(model, language_model, training=True):
        yield lambda batch: _accumulate(model, language_model, batch, beginning)


def _accumulate(
    model: nn.Module, language_model: LanguageModel, batch: Sequence[Encoded], beginning: FrozenBeginning | None = None
) -> float:
    """Add the gradient of the batch's mean target loss; returns that loss in nats per token."""
    total = sum(len(example.target) for example in batch)
    loss = 0.0
    for rows in micro_batches(batch, language_model.device.type):
        with beginning.reading(rows) if beginning else contextlib.nullcontext():
            part = _target_loss(model, language_model, rows) / total
        part.backward()
        loss += part.item()
    return loss


def _target_loss(model: nn.Module, language_model: LanguageModel, rows: Sequence[Encoded]) -> torch.Tensor:
    """Negative log-likelihood of the rows' targets, summed, in nats."""
    tensors = _separate if inner_model(model).config.is_encoder_decoder else _joined
    inputs, prompt, positions, labels = tensors(rows, language_model)
    with precision_context(language_model), prompt_at(model, prompt), logits_only_at(model, positions):
        logits = model(**inputs, use_cache=False).logits
    return nn.functional.cross_entropy(logits.float(), labels, reduction="sum")


def micro_batches(batch: Sequence[Encoded], device: str) -> list[list[Encoded]]:
    """Sort by length and cut where padding would cost more than a cut does (CPU) or memory would run out (GPU)."""
    room, most = (ROOM, PADDING) if device == "cpu" else (32768, 10**9)
    groups: list[list[Encoded]] = []
    for example in sorted(batch, key=lambda row: len(row.ids)):
        length = len(example.ids)
        last = groups[-1] if groups else []
        padding = sum(length - len(row.ids) for row in last)
        if last and (len(last) + 1) * length <= room and padding <= most:
            last.append(example)
        else:
            groups.append([example])
    return groups


Tensors = tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]


def _joined(rows: Sequence[Encoded], language_model: LanguageModel) -> Tensors:
    """What a decoder reads: prompt and target in one row.

    Returns:
        Right-padded ids [batch, length]; which positions are prompt and which predict a target (bool, same shape);
        labels [targets].
    """
    length = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), length), int(language_model.tokenizer.pad_token_id))
    prompt, positions = (torch.zeros(len(rows), length, dtype=torch.bool) for _ in range(2))
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        prompt[index, : row.prompt_length] = True
        positions[index, row.prompt_length - 1 : len(row.ids) - 1] = True
    labels = torch.tensor([token for row in rows for token in row.target])
    device = language_model.device
    return {"input_ids": ids.to(device)}, prompt.to(device), positions.to(device), labels.to(device)


def _separate(rows: Sequence[Encoded], language_model: LanguageModel) -> Tensors:
    """What an encoder-decoder reads: the prompt in the encoder [batch, length], the target shifted in the decoder.

    The decoder's row begins with what it is given (one token, two where a first one is forced), which carries no loss.
    """
    start = decoder_start(language_model)
    before = len(start) - 1
    length, longest = max(row.prompt_length for row in rows), before + max(len(row.target) for row in rows)
    padding = int(language_model.tokenizer.pad_token_id)
    ids, shifted = torch.full((len(rows), length), padding), torch.full((len(rows), longest), padding)
    prompt, positions = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(shifted, dtype=torch.bool)
    shifted[:, : before + 1] = torch.tensor(start)
    for index, row in enumerate(rows):
        ids[index, : row.prompt_length] = torch.tensor(row.ids[: row.prompt_length])
        prompt[index, : row.prompt_length] = True
        shifted[index, before + 1 : before + len(row.target)] = torch.tensor(row.target[:-1])
        positions[index, before : before + len(row.target)] = True
    labels = torch.tensor([token for row in rows for token in row.target])
    device = language_model.device
    inputs = {"input_ids": ids, "attention_mask": prompt.long(), "decoder_input_ids": shifted}
    placed = {name: tensor.to(device) for name, tensor in inputs.items()}
    return placed, prompt.to(device), positions.to(device), labels.to(device)
