"""Training beside the Trainer of transformers with peft, and LoReFT beside pyreft, in training and in generation.

The same examples in the same batches, the same tuner, the same model; in generation the same edits. A round is some
updates or a batch of prompts; building models and reading data are not timed.
"""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import transformers

from benchmarks.rows import Row, compare, peak_memory
from lowres import evaluate, models, tuners
from lowres.data import load_task
from lowres.evaluate.answers import padded
from lowres.language import LanguageModel, formats
from lowres.language.formats import Encoded
from lowres.optimisation import Optimisation
from lowres.trial.train import train
from lowres.tuners import Full, LoRA, LoReFT, Tuner
from lowres.tuners.representation import edits_of

MODEL, TASK = "smollm2-135m-instruct", "abstract-narrative"  # prompts of some 150 tokens, targets of some 10
BATCH, UPDATES = 8, 2
PROMPTS, NEW = 16, 24
HOW = Optimisation(learning_rate=3e-4, batch_size=BATCH)
TUNERS: dict[str, Tuner] = {"lora": LoRA(), "loreft": LoReFT(), "full": Full()}
# work, tuner, our precision, the peer's, the peer's name, the ratio aimed at
PAIRS = (
    ("LoRA training", "lora", "auto", "fp32", "Trainer + peft", 3.0),
    ("LoRA training", "lora", "fp32", "fp32", "Trainer + peft", 1.8),
    ("LoRA training", "lora", "bf16", "bf16", "Trainer + peft", 1.8),
    ("LoReFT training, all layers", "loreft", "auto", "fp32", "pyreft's trainer", 3.0),
    ("LoReFT training, all layers", "loreft", "bf16", "bf16", "pyreft's trainer", 2.0),
    ("full fine-tuning", "full", "auto", "fp32", "Trainer", 1.5),
    ("full fine-tuning", "full", "fp32", "fp32", "Trainer", 1.5),
)


def rows(rounds: int) -> Iterator[Row]:
    """One row per pair; where the machine has no fast bf16, "auto" is fp32 and says so."""
    for work, tuner, precision, peer_precision, peer, reach in PAIRS:
        ours, theirs = our_work(tuner, precision), peer_work(tuner, peer_precision)
        for once in (ours, theirs):  # the first updates fill caches
            once()
        seconds = compare(ours, theirs, rounds)
        memory = [
            peak_memory(f"benchmarks.training:{side}", tuner, form)
            for side, form in (("our_work", precision), ("peer_work", peer_precision))
        ]
        yield Row(
            work=work,
            peer=peer,
            unit="tokens",
            amount=float(sum(len(each.ids) for each in examples())),
            ours_seconds=seconds[0],
            peer_seconds=seconds[1],
            reach=reach,
            precision=f"{_precision(precision)} / {peer_precision}",
            ours_memory=memory[0],
            peer_memory=memory[1],
            note=f"{UPDATES} updates of {BATCH} examples of {TASK}",
        )
    for pair in (("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")):
        yield _generation_row(*pair, rounds)


def _generation_row(precision: str, peer_precision: str, rounds: int) -> Row:
    sides = [our_generation(precision), peer_generation(peer_precision)]
    for once in sides:
        once()
    seconds = compare(*sides, rounds)
    both = (("our_generation", precision), ("peer_generation", peer_precision))
    memory = [peak_memory(f"benchmarks.training:{name}", form) for name, form in both]
    here = f"{_precision(precision)} / {peer_precision}"
    title, note = f"generation with LoReFT, DisflQA, {PROMPTS} prompts", f"{NEW} new tokens at most, the same edits"
    return Row(title, "pyreft generate", "items", PROMPTS, *seconds, 2.0, here, *memory, note=note)


def _precision(asked: str) -> str:
    return "bf16" if loaded(asked).autocast else "fp32"


def loaded(precision: str) -> LanguageModel:
    """The model, its weights shared between calls."""
    return models.load(MODEL, precision)


@functools.cache
def examples() -> tuple[Encoded, ...]:
    """The training examples of one round, in order."""
    own = models.load(MODEL, "fp32")
    task = load_task(TASK).train
    return tuple(formats.encode(own, each.prompt, each.target) for each in task[: BATCH * UPDATES])


def our_work(tuner: str, precision: str) -> Callable[[], object]:
    """This package's own loop."""
    own = models.fresh(loaded(precision))
    model = tuners.apply(TUNERS[tuner], own, 0)
    return lambda: train(model, own, examples(), HOW)


def peer_work(tuner: str, precision: str) -> Callable[[], object]:
    """What a user of the peer would write."""
    return _pyreft(precision) if tuner == "loreft" else _trainer(tuner, precision)


# --- peers -----------------------------------------------------------------------------------------------------------


def _arguments(**more: Any) -> transformers.TrainingArguments:
    return transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=BATCH, num_train_epochs=1, max_grad_norm=HOW.clip,
        learning_rate=HOW.learning_rate, use_cpu=not torch.cuda.is_available(), report_to=[], save_strategy="no",
        disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=False, **more,
    )  # fmt: skip


def _rows() -> list[dict[str, list[int]]]:
    return [
        {
            "input_ids": list(row.ids),
            "attention_mask": [1] * len(row.ids),
            "labels": [-100] * row.prompt_length + list(row.target),
        }
        for row in examples()
    ]


class _InOrder:
    """The peers shuffle; here both sides see the examples in the same order."""

    def _get_train_sampler(self, *_: object) -> torch.utils.data.Sampler:
        return torch.utils.data.SequentialSampler(examples())


class _Trainer(_InOrder, transformers.Trainer):
    pass


def _trainer(tuner: str, precision: str) -> Callable[[], object]:
    own = models.fresh(loaded("fp32"))
    model = tuners.apply(TUNERS[tuner], own, 0)  # for LoRA: peft's model, as peft makes it
    collate = transformers.DataCollatorForSeq2Seq(own.tokenizer, padding="longest")
    data = _rows()

    def work() -> None:
        how = _arguments(bf16=precision == "bf16")
        with _quiet():
            _Trainer(model=model, args=how, train_dataset=data, data_collator=collate).train()

    return work


def _pyreft(precision: str) -> Callable[[], object]:
    with contextlib.redirect_stdout(io.StringIO()):
        import pyreft
        from pyreft.dataset import get_intervention_locations

    class Trainer(_InOrder, pyreft.ReftTrainerForCausalLM):
        def get_train_dataloader(self) -> Any:
            return transformers.Trainer.get_train_dataloader(self)

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: object) -> Any:
            return super().compute_loss(model, inputs, return_outputs)  # newer Trainers pass what pyreft does not know

    own, reft = _reft(precision)
    layers = own.model.config.num_hidden_layers
    where = {"positions": "f7+l7", "share_weights": True, "num_interventions": layers}
    data = [
        {**row, "intervention_locations": get_intervention_locations(last_position=each.prompt_length, **where)}
        for row, each in zip(_rows(), examples(), strict=True)
    ]
    own.tokenizer.model_max_length = own.context
    padding = transformers.DataCollatorForSeq2Seq(own.tokenizer, padding="longest")

    def work() -> None:
        with _quiet():
            how = _arguments(remove_unused_columns=False)
            collate = pyreft.ReftDataCollator(data_collator=padding)
            Trainer(model=reft, args=how, train_dataset=data, data_collator=collate).train()

    return work


def _reft(precision: str) -> tuple[LanguageModel, Any]:
    """A pyreft model with the edits that LoReFT starts from here."""
    import pyreft

    own, tuner = models.fresh(loaded("fp32")), LoReFT()
    edits = edits_of(tuners.apply(tuner, models.fresh(loaded("fp32")), 0))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    own.model.to(dtype)
    made = [
        pyreft.LoreftIntervention(embed_dim=edits.width, low_rank_dimension=tuner.rank, dtype=torch.float32)
        for _ in edits.layers
    ]
    with torch.no_grad():
        for which, each in enumerate(made):
            rotation, square = each.rotate_layer.parametrizations.weight, torch.eye(edits.width)
            rotation[0].base = torch.ormqr(edits.rotation.reflectors[which], edits.rotation.scales[which], square)
            each.learned_source.weight.copy_(edits.source[which])
            each.learned_source.bias.copy_(edits.bias[which])
            each.learned_source.to(dtype)
    shared = {"component": "block_output", "low_rank_dimension": tuner.rank}
    listed = [{"layer": layer, "intervention": each, **shared} for layer, each in zip(edits.layers, made, strict=True)]
    with contextlib.redirect_stdout(io.StringIO()):
        return own, pyreft.get_reft_model(own.model, pyreft.ReftConfig(representations=listed))


# --- generation ------------------------------------------------------------------------------------------------------


def _prompts() -> list[evaluate.Item]:
    items, _ = evaluate.task_items(loaded("fp32"), load_task("disflqa").test[:PROMPTS], "", NEW)
    return [evaluate.Item(item.context, (), ()) for item in items]


def our_generation(precision: str) -> Callable[[], object]:
    """Greedy answers by this package, from token ids to text."""
    own = models.fresh(loaded(precision))
    model = tuners.finish(tuners.apply(LoReFT(), own, 0))
    return functools.partial(evaluate.answer, model, own, _prompts(), NEW)


def peer_generation(precision: str) -> Callable[[], object]:
    """Greedy answers by pyreft, in one batch padded on the left."""
    from pyreft.dataset import get_intervention_locations

    own, reft = _reft(precision)
    reft.eval()
    prompts, padding = [item.context for item in _prompts()], int(own.tokenizer.pad_token_id)
    ids, mask = padded(prompts, padding, True, own.device)
    where = {"positions": "f7+l7", "share_weights": True, "num_interventions": own.model.config.num_hidden_layers}
    rows = [get_intervention_locations(last_position=len(prompt), **where) for prompt in prompts]
    shifted = [
        [[at + ids.shape[1] - len(prompt) for at in each] for each in row]
        for row, prompt in zip(rows, prompts, strict=True)
    ]
    places = {"sources->base": (None, [list(each) for each in zip(*shifted, strict=True)])}
    how = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": padding}

    def work() -> object:
        with torch.inference_mode(), _quiet():
            given = {"input_ids": ids, "attention_mask": mask.long()}
            return reft.generate(given, unit_locations=places, intervene_on_prompt=True, **how)

    return work


@contextlib.contextmanager
def _quiet() -> Any:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
