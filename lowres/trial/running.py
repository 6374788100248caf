"""Trial -> Record: the pure function that everything runs.

A trial is deterministic in its spec: the subset draw, the shuffle and the initialisation have seeds of their own, all
derived from the trial's seed. What it is, and the key of it, stand in `lowres.trial.spec`.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowres import models, tuners
from lowres.data import Task, load_probe, load_task, rationales
from lowres.data.mixing import derived_seed
from lowres.language import LanguageModel
from lowres.language.formats import Encoded
from lowres.language.prompt import clipped_anchor, insist_on_room
from lowres.language.room import answer_room
from lowres.machine import helper
from lowres.optimisation import NO_TRAINING, TrainingLog
from lowres.trial.material import anchor_text, reason, rows, solved
from lowres.trial.provenance import provenance
from lowres.trial.spec import Record, Trial, evaluated, fingerprints

# --- running ---------------------------------------------------------------------------------------------------------


def run(trial: Trial, device: str = "auto") -> Record:
    """Train and evaluate; never writes anything. The same key gives the same outcomes.

    Raises:
        InputError: the spec asks for what the data or the model do not have.
        Diverged: the loss stopped being finite.
    """
    return helper.perform(models.is_exact(trial.model), _run, trial, device)


def _run(trial: Trial, device: str) -> Record:
    import torch

    started, key, origin = time.perf_counter(), trial.key(), fingerprints(trial)
    pristine = models.load(trial.model, trial.precision, device, trial.chat_format)
    if pristine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    subject, found, stages = Subject.of(trial, pristine), Findings(), trial.stages()
    for number, stage in enumerate(stages, start=1):
        last = number == len(stages)
        _run_stage(stage, subject, "" if last else f"{number}:", found)
    log = found.log
    seconds = {"seconds": time.perf_counter() - started, "evaluation_seconds": found.seconds}
    return Record(
        key=key,
        status="done",
        trial=trial.spec(),
        fingerprints=origin,
        outcomes=found.outcomes,
        curves={"loss": list(log.losses), "gradient_norm": list(log.gradient_norms)} if log.losses else {},
        cost={**seconds, **_training_cost(log), "peak_memory_bytes": _peak_memory(pristine)},
        counts=found.counts,
        texts=found.texts,
        provenance=provenance(pristine),
    )


@dataclass
class Findings:
    """What gathers up over the stages of a trial."""

    outcomes: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    log: TrainingLog = NO_TRAINING
    seconds: float = 0.0


@dataclass
class Subject:
    """The model that a trial works on: a copy made trainable, or the shared pristine one where nothing is tuned."""

    language_model: LanguageModel
    pristine: LanguageModel
    tuned: Any = None

    @classmethod
    def of(cls, trial: Trial, pristine: LanguageModel) -> Subject:
        """A subject for a trial, its new parameters initialised from the trial's seed."""
        if trial.tuner is None or trial.optimisation is None:
            return cls(pristine, pristine)
        own = models.fresh(pristine)
        return cls(own, pristine, tuners.apply(trial.tuner, own, derived_seed(trial.seed, "initialisation")))

    def to_evaluate(self, last: bool) -> Any:
        """The model as it is now; after the last stage with its adapters merged, which ends its training."""
        if self.tuned is None:
            return self.language_model.model
        return tuners.finish(self.tuned) if last else tuners.inner(self.tuned)


def _run_stage(stage: Trial, subject: Subject, prefix: str, found: Findings) -> None:
    """Train on one stage and measure; what belongs to it stands under `prefix` ("" for the last)."""
    task = load_task(stage.task, stage.options)
    anchor = _anchor(stage, task, subject.pristine, prefix, found)
    if subject.tuned is not None:
        log, counts = _tune(stage, subject, anchor, task)
        found.log = found.log + log
        found.counts.update({prefix + name: count for name, count in counts.items()})
    evaluating, own, plan = time.perf_counter(), subject.language_model, stage.evaluation
    model = subject.to_evaluate(last=not prefix)
    _evaluate(stage, subject, model, anchor, prefix, found)
    if plan.recovery and not prefix:
        from lowres.trial import recovery

        with _seeded(stage, own):
            probes = [load_probe(name) for name in plan.probes]
            found.outcomes.update(recovery.recovered(model, own, probes, plan.probe_items))
    found.seconds += time.perf_counter() - evaluating


def _anchor(trial: Trial, task: Task, pristine: LanguageModel, prefix: str, found: Findings) -> str:
    """The anchor of a stage, cut where it is too long for the context."""
    whole = anchor_text(trial.recipe.anchor, task, pristine, trial.seed)
    room = answer_room(task, pristine)
    insist_on_room(pristine, room, f"task {task.name!r}")
    anchor = clipped_anchor(pristine, whole, room)
    found.texts[prefix + "anchor"] = [anchor]
    found.counts[prefix + "cut_anchors"] = int(anchor != whole)
    return anchor


def _tune(trial: Trial, subject: Subject, anchor: str, task: Task) -> tuple[TrainingLog, dict[str, int]]:
    """Train the subject on one stage; returns the log, and what was drawn, left out and dropped."""
    sequence, counts = rows(trial, task, subject.language_model, anchor)
    counts["trained_parameters"] = sum(p.numel() for p in subject.tuned.parameters() if p.requires_grad)
    return _train(subject, sequence, trial), counts


def _train(subject: Subject, sequence: Sequence[Encoded], trial: Trial) -> TrainingLog:
    from lowres.trial.train import train

    assert trial.optimisation is not None
    with _seeded(trial, subject.language_model):
        title = f"{trial.arm}, seed {trial.seed}"
        return train(subject.tuned, subject.language_model, sequence, trial.optimisation, title)


@contextlib.contextmanager
def _seeded(trial: Trial, language_model: LanguageModel) -> Iterator[None]:
    """What is drawn at random inside follows from the trial's seed and from nothing that was drawn before."""
    import torch

    devices = [language_model.device] if language_model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(derived_seed(trial.seed, "dropout"))
        yield


def _evaluate(trial: Trial, subject: Subject, model: Any, anchor: str, prefix: str, found: Findings) -> None:
    """Measure a model after a stage: its task, then the probes."""
    from lowres import fast

    with fast.unchanged(model, subject.language_model.autocast):
        _measure(trial, subject, model, anchor, prefix, found)


def _measure(trial: Trial, subject: Subject, model: Any, anchor: str, prefix: str, found: Findings) -> None:
    from lowres.evaluate import CUT_ANSWER, divergence, evaluate_probe, judge, right_ones, task_items, task_outcomes

    plan, task, own = trial.evaluation, load_task(trial.task, trial.options), subject.language_model
    examples, place = evaluated(trial, task), prefix + "task"
    found.counts[prefix + "items"] = len(examples)
    if examples and trial.recipe.rationale in rationales.AS_PREDICTION:
        texts = rationales.predictions(trial.recipe.rationale, trial.recipe.rationales, examples)
        found.outcomes[place], found.texts[place] = judge(examples, texts, task.metric), texts
    elif examples:
        asked, reworded = reason(trial, task, examples, own, anchor, training=False)
        room = answer_room(task, own)
        items, fitted = task_items(own, asked, anchor, room, solved(trial, task))
        outcomes, found.texts[place] = task_outcomes(model, own, asked, items, room, task.metric)
        outcomes["kl"] = divergence(subject.pristine, model, own, items, right_ones(asked))
        reworded = {**reworded, "cut_answers": round(sum(outcomes.pop(CUT_ANSWER, [])))}
        found.outcomes[place] = outcomes
        found.counts.update({prefix + name: count for name, count in {**reworded, **fitted}.items()})
    for name in plan.probes:
        probe = load_probe(name).part(plan.split)
        found.outcomes[prefix + name] = evaluate_probe(model, own, probe, plan.probe_items)


# --- cost ------------------------------------------------------------------------------------------------------------


def _training_cost(log: TrainingLog) -> dict[str, float]:
    if not log.losses:
        return {}
    return {
        "training_seconds": log.seconds,
        "training_tokens": float(log.tokens),
        "target_tokens": float(log.target_tokens),
        "tokens_per_second": log.tokens / max(log.seconds, 1e-9),
        "updates": float(len(log.losses)),
    }


def _peak_memory(language_model: LanguageModel) -> float:
    """Peak bytes: of the GPU's allocator during the trial, or of the whole process on a CPU."""
    import torch

    if language_model.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
