"""Trial -> Record: the pure function that everything runs.

A trial is deterministic in its spec: the subset draw, the shuffle and the initialisation have seeds of their own, all
derived from the trial's seed. Its key is a hash of the spec and of everything that can change its result: the content
of data and model, RESULT_VERSION, and what of the machine counts. World models compute alike on every machine (see
`lowres.machine`), so for them that is nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lowres import machine, models, tuners
from lowres.data import Example, Probe, Task, TaskOptions, general_pool, load_probe, load_task, rationales
from lowres.data.mixing import mix, random_labels, take_examples, take_tokens
from lowres.models import Encoded, LanguageModel
from lowres.params import InputError
from lowres.prompt import with_anchor
from lowres.provenance import provenance
from lowres.room import answer_room
from lowres.train import NO_TRAINING, Optimisation, TrainingLog, train
from lowres.tuners import Tuner

RESULT_VERSION = 2  # raised whenever some trial gives another result than before, which the golden trials tell
ANCHORS = ("none", "hand-written", "model-written")
ADDED_LATER = ("task_examples", "pool", "rationale", "rationales", "general")  # of a recipe: not in a spec at defaults
SCHEMA = 1


@dataclass(frozen=True)
class Recipe:
    """How the training data are put together and worded.

    Tokens count the bare prompt and the target of an example, without chat format and anchor, so that arms that word
    the same examples differently have the same budget; `task_examples` is a budget in examples in their place. `shots`
    training examples stand in the prompt (in-context). Only the first `pool` training examples (0: all) are drawn from.
    `rationale` says what is done with the rationales of the file `rationales` (see `lowres.data.rationales`).
    `general` is a form of the general pool; for tasks of the world there are those of `lowres.world.POOLS`.
    """

    task_tokens: int = 0
    general_tokens: int = 0
    anchor: str = "none"
    order: str = "shuffle"
    labels: str = "true"
    shots: int = 0
    task_examples: int = 0
    pool: int = 0
    rationale: str = "none"
    rationales: str = ""
    general: str = "usual"


@dataclass(frozen=True)
class Evaluation:
    """What is measured after training: the first `items` of a split of the task, the first `probe_items` of probes."""

    split: str = "test"
    items: int = 100
    probes: tuple[str, ...] = ()
    probe_items: int = 100


@dataclass(frozen=True)
class Stage:
    """Something that the model is tuned on, and measured after, before the trial's own task (continual tuning)."""

    task: str
    recipe: Recipe
    optimisation: Optimisation
    options: TaskOptions = TaskOptions()


@dataclass(frozen=True)
class Trial:
    """One arm, one model, one seed. `tuner` None leaves the model untouched.

    With a `stream`, the same parameters are tuned on each of its stages in order and then on the trial's own task, each
    time with a fresh optimiser; what is measured after stage n is kept under "n:" (as in "1:task" and "1:siqa").
    """

    study: str
    arm: str
    model: str
    task: str
    recipe: Recipe
    tuner: Tuner | None
    optimisation: Optimisation | None
    evaluation: Evaluation
    seed: int
    options: TaskOptions = TaskOptions()
    precision: str = "auto"
    stream: tuple[Stage, ...] = ()

    def stages(self) -> list[Trial]:
        """One trial without a stream per stage, the trial's own task last."""
        named = ("task", "recipe", "optimisation", "options")
        before = ({name: getattr(stage, name) for name in named} for stage in self.stream)
        return [replace(self, **changes, stream=()) for changes in (*before, {})]

    def spec(self) -> dict[str, Any]:
        """The trial as plain JSON values; the tuner is named."""
        spec = json.loads(json.dumps(asdict(self)))
        spec["tuner"] = {"name": self.tuner.name, **spec["tuner"]} if self.tuner else None
        for recipe in (spec["recipe"], *(stage["recipe"] for stage in spec["stream"])):
            for name in [name for name in ADDED_LATER if recipe[name] == getattr(Recipe(), name)]:
                del recipe[name]
        if not self.stream:
            del spec["stream"]
        return dict(spec)

    def identity(self) -> dict[str, Any]:
        """What the result depends on. The study and the arm's label are names only: two studies share a trial."""
        spec = self.spec()
        del spec["study"], spec["arm"]
        spec["recipe"].pop("rationales", None)  # the name of a file, whose content is among the data
        return {
            "spec": spec,
            "data": data_fingerprint(self),
            "model": models.fingerprint(self.model),
            "version": str(RESULT_VERSION),
            "machine": machine_part(self),
        }

    def key(self) -> str:
        """Sixteen hex digits, the name of the trial's record."""
        return _hash(self.identity())


@dataclass(frozen=True)
class Record:
    """What a trial left.

    `fingerprints` are those of data and model, and the version of the results; records of the first edition have in its
    place that of their code. `outcomes[where][measure]` holds one number per item, `where` being "task" or a probe's
    name; `curves` one number per update; `cost` seconds, tokens, bytes; `counts` what was drawn, dropped or cut;
    `texts` generated answers.
    """

    key: str
    status: str
    trial: dict[str, Any]
    fingerprints: dict[str, str]
    outcomes: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    error: str = ""
    schema: int = SCHEMA

    @property
    def version(self) -> int:
        """The RESULT_VERSION that it was made by."""
        return int(self.fingerprints.get("version", 1))

    def mean(self, where: str, measure: str) -> float:
        """Mean of an outcome over its items."""
        values = self.outcomes[where][measure]
        return sum(values) / len(values)

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return asdict(self)


# --- identity --------------------------------------------------------------------------------------------------------


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def derived_seed(seed: int, purpose: str) -> int:
    """An independent seed for one purpose ("subset", "shuffle", "initialisation", ...)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:4], "big")


def data_fingerprint(trial: Trial) -> str:
    """Hash over the content of every data set that the trial reads."""
    parts = []
    for stage in trial.stages():
        task = load_task(stage.task, stage.options)
        parts += [task.instruction, *(_fingerprint(task, split) for split in ("train", stage.evaluation.split))]
        parts += [_rationale_fingerprint(stage, task)] if stage.recipe.rationale != "none" else []
        parts += [_pool_fingerprint(stage.task, stage.recipe.general)] if stage.recipe.general_tokens else []
    return _hash(parts + [_fingerprint(load_probe(name)) for name in trial.evaluation.probes])


@functools.lru_cache(maxsize=64)
def _fingerprint(loaded: Task | Probe, split: str = "") -> str:
    """Remembered per loaded object: a file that changed is loaded as another one."""
    return loaded.fingerprint(split) if isinstance(loaded, Task) else loaded.fingerprint()


def _rationale_fingerprint(trial: Trial, task: Task) -> str:
    """Hash over the rationales that the trial may read; refuses one that lacks some of them."""
    recipe = trial.recipe
    drawn = () if recipe.rationale in rationales.AS_PREDICTION else rationales.pool_of(task, recipe.pool)
    found = rationales.load(recipe.rationales, (*drawn, *_evaluated(trial, task)))
    return _hash([[one.text, one.answer, one.samples] for one in found])


def _evaluated(trial: Trial, task: Task) -> tuple[Example, ...]:
    examples: tuple[Example, ...] = getattr(task, trial.evaluation.split)[: trial.evaluation.items]
    return examples


@functools.cache
def _pool_fingerprint(task: str, form: str) -> str:
    return _hash([[example.prompt, example.target] for example in general_pool(task, form)])


def machine_part(trial: Trial) -> dict[str, str]:
    """What of the machine can change the result: number format, arithmetic, and unless exact device and threads.

    Two processors may still add in another order: that makes no other trial.
    """
    exact, device = models.is_exact(trial.model), models.device_for(trial.model)
    found = {"precision": models.resolved_precision(trial.model, trial.precision, device)}
    found["arithmetic"] = machine.arithmetic(exact)
    if not exact:
        found |= {"device": device, **({"threads": str(machine.threads())} if device == "cpu" else {})}
    return found


# --- running ---------------------------------------------------------------------------------------------------------


def run(trial: Trial, device: str = "auto") -> Record:
    """Train and evaluate; never writes anything. The same key gives the same outcomes.

    Raises:
        InputError: the spec asks for what the data or the model do not have.
        Diverged: the loss stopped being finite.
    """
    return machine.perform(models.is_exact(trial.model), _run, trial, device)


def _run(trial: Trial, device: str) -> Record:
    import torch

    started, key, origin = time.perf_counter(), trial.key(), fingerprints(trial)
    pristine = models.load(trial.model, trial.precision, device)
    if pristine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    subject, log, found = Subject.of(trial, pristine), NO_TRAINING, Findings()
    stages = trial.stages()
    for number, stage in enumerate(stages, start=1):
        task = load_task(stage.task, stage.options)
        anchor = anchor_text(stage.recipe.anchor, task, pristine, stage.seed)
        prefix = "" if number == len(stages) else f"{number}:"
        if subject.tuned is not None:
            more, counts = _tune(stage, subject, anchor, task)
            log = log + more
            found.counts.update({prefix + name: count for name, count in counts.items()})
        evaluating = time.perf_counter()
        model = subject.to_evaluate(last=number == len(stages))
        _evaluate(stage, subject.language_model, model, anchor + shots_text(stage, task), prefix, found)
        found.seconds += time.perf_counter() - evaluating
        found.texts[prefix + "anchor"] = [anchor]
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
    seconds: float = 0.0


@dataclass
class Subject:
    """The model that a trial works on: a copy made trainable, or the shared pristine one where nothing is tuned."""

    language_model: LanguageModel
    tuned: Any = None

    @classmethod
    def of(cls, trial: Trial, pristine: LanguageModel) -> Subject:
        """A subject for a trial, its new parameters initialised from the trial's seed."""
        if trial.tuner is None or trial.optimisation is None:
            return cls(pristine)
        own = models.fresh(pristine)
        return cls(own, tuners.apply(trial.tuner, own, derived_seed(trial.seed, "initialisation")))

    def to_evaluate(self, last: bool) -> Any:
        """The model as it is now; after the last stage with its adapters merged, which ends its training."""
        if self.tuned is None:
            return self.language_model.model
        return tuners.finish(self.tuned) if last else tuners.inner(self.tuned)


def fingerprints(trial: Trial) -> dict[str, str]:
    """What the result depended on besides spec and machine: data, model, version."""
    identity = trial.identity()
    return {name: identity[name] for name in ("data", "model", "version")}


def draw(trial: Trial, task: Task, language_model: LanguageModel) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """The task examples and the general examples of a trial; arms that share a seed share their task examples."""
    recipe, count = trial.recipe, token_counter(language_model)
    pool, what = rationales.pool_of(task, recipe.pool), f"task {task.name!r}"
    subset = derived_seed(trial.seed, "subset")
    chosen: tuple[Example, ...] = ()
    if recipe.task_examples:
        chosen = take_examples(pool, recipe.task_examples, subset, what)
    elif recipe.task_tokens:
        chosen = take_tokens(pool, recipe.task_tokens, count, subset, what)
    if recipe.labels == "random":
        chosen = random_labels(chosen, derived_seed(trial.seed, "labels"))
    general: tuple[Example, ...] = ()
    if recipe.general_tokens:
        pool = general_pool(trial.task, recipe.general)
        general = take_tokens(
            pool, recipe.general_tokens, count, derived_seed(trial.seed, "general"), "the general pool"
        )
    return chosen, general


def token_counter(language_model: LanguageModel) -> Callable[[Example], int]:
    """Tokens of an example's bare prompt and target."""

    def count(example: Example) -> int:
        return sum(len(models.token_ids(language_model.tokenizer, text)) for text in (example.prompt, example.target))

    return count


def anchor_text(kind: str, task: Task, language_model: LanguageModel, seed: int) -> str:
    """The constant text before every task input: none, the task's instruction, or one that the model writes itself."""
    if kind == "none":
        return ""
    if kind == "hand-written":
        return task.instruction
    if kind != "model-written":
        raise InputError(f"unknown anchor {kind!r}; allowed: {', '.join(ANCHORS)}")
    from lowres.evaluate import Item, answer

    shown = "\n\n".join(f"Input: {e.prompt}\nOutput: {e.target}" for e in _examples_shown(task, 3, seed))
    request = f"{shown}\n\nWrite one clear instruction that tells how to produce the output from the input."
    room = language_model.context - 80
    item = Item(models.prompt_ids(language_model, models.shorten(language_model, request, room)), (), ())
    return answer(language_model.model, language_model, [item], max_new_tokens=64).texts[0]


def shots_text(trial: Trial, task: Task) -> str:
    """Solved training examples to stand between anchor and input, for in-context learning."""
    if not trial.recipe.shots:
        return ""
    chosen = _examples_shown(task, trial.recipe.shots, trial.seed)
    return "\n\n" + "\n\n".join(f"{example.prompt} {example.target}" for example in chosen)


def _examples_shown(task: Task, count: int, seed: int) -> Sequence[Example]:
    """Training examples in a random order that depends on the seed; short ones, so that several fit a prompt."""
    import numpy as np

    short = sorted(task.train, key=lambda example: len(example.prompt))[: max(count, len(task.train) // 2)]
    order = np.random.default_rng(derived_seed(seed, "shots")).permutation(len(short))[:count]
    return [short[index] for index in order]


def _tune(trial: Trial, subject: Subject, anchor: str, task: Task) -> tuple[TrainingLog, dict[str, int]]:
    """Train the subject on one stage; returns the log, and what was drawn and dropped."""
    assert trial.optimisation is not None
    language_model = subject.language_model
    count = token_counter(language_model)
    task_part, general_part = draw(trial, task, language_model)
    rows, reworded = reason(trial, task, task_part, language_model, anchor)
    sequence, dropped = [], 0
    for example, is_task in _unrolled(trial, rows, general_part):
        prompt = with_anchor(anchor, example.prompt) if is_task else example.prompt
        row = models.encode(language_model, prompt, example.target)
        if len(row.ids) <= language_model.context:
            sequence.append(row)
        else:
            dropped += 1
    if not sequence:
        raise InputError(f"arm {trial.arm!r}: no training example fits the context of {language_model.context} tokens")
    counts = {
        "task_examples": len(task_part),
        "task_tokens": sum(map(count, task_part)),
        "general_examples": len(general_part),
        "general_tokens": sum(map(count, general_part)),
        "dropped_too_long": dropped,
        **{f"training_{name}": count for name, count in reworded.items()},
    }
    counts["trained_parameters"] = sum(p.numel() for p in subject.tuned.parameters() if p.requires_grad)
    return _train(subject, sequence, trial), counts


def reason(
    trial: Trial,
    task: Task,
    examples: Sequence[Example],
    language_model: LanguageModel,
    anchor: str,
    training: bool = True,
) -> tuple[Sequence[Example], dict[str, int]]:
    """Examples with their reasoning in the prompt, or, when it is to be distilled, with rows that have it as target.

    Returns:
        The examples; and how many rationales were empty, and how many were cut to fit the context. What is cut is the
        beginning of a rationale, never the input.
    """
    recipe = trial.recipe
    if recipe.rationale in ("none", *rationales.AS_PREDICTION):
        return examples, {}
    written = rationales.load(recipe.rationales, examples)
    if recipe.rationale == "target":
        pairs = zip(examples, written, strict=True)
        more = [rationales.to_explain(task.name, *pair) for pair in pairs if pair[1].text] if training else []
        return (*examples, *more), {"empty_rationales": sum(not one.text for one in written)}
    offset = 1 + derived_seed(trial.seed, "wrong rationale") % 1000
    found, cut = [], 0
    texts = rationales.reasoning(recipe.rationale, written, examples, offset)
    for example, text in zip(examples, texts, strict=True):
        fitting = _fitting(task, example, text, language_model, anchor)
        cut += fitting != text
        found.append(rationales.with_reasoning(task.name, example, fitting))
    return found, {"empty_rationales": sum(not text for text in texts), "cut_rationales": cut}


def _fitting(task: Task, example: Example, text: str, language_model: LanguageModel, anchor: str) -> str:
    """As much of the end of a rationale as the context holds beside anchor, input and answer."""
    tokenizer, answer = language_model.tokenizer, 1 + len(language_model.tokenizer(example.target).input_ids)
    room = language_model.context - max(answer_room(task, language_model), answer)
    while text:
        whole = with_anchor(anchor, rationales.with_reasoning(task.name, example, text).prompt)
        surplus = len(models.prompt_ids(language_model, whole)) - room
        if surplus <= 0:
            return text
        ids = tokenizer(text, add_special_tokens=False).input_ids
        text = str(tokenizer.decode(ids[surplus:])).strip("\ufffd ") if surplus < len(ids) else ""
    return text


def _train(subject: Subject, sequence: Sequence[Encoded], trial: Trial) -> TrainingLog:
    import torch

    assert trial.optimisation is not None
    own = subject.language_model
    devices = [own.device] if own.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(derived_seed(trial.seed, "dropout"))
        return train(subject.tuned, own, sequence, trial.optimisation, f"{trial.arm}, seed {trial.seed}")


def _unrolled(
    trial: Trial, task_part: Sequence[Example], general_part: Sequence[Example]
) -> list[tuple[Example, bool]]:
    """All epochs in order. Shuffled anew each epoch; a staged order keeps all of one kind before all of the other."""
    assert trial.optimisation is not None
    optimisation, shuffle = trial.optimisation, derived_seed(trial.seed, "shuffle")
    size = max(1, len(task_part) + len(general_part))
    epochs = optimisation.epochs
    if optimisation.steps:
        epochs = math.ceil(optimisation.steps * optimisation.batch_size / size)
    if trial.recipe.order != "shuffle":
        return list(mix(list(task_part) * epochs, list(general_part) * epochs, trial.recipe.order, shuffle))
    return [pair for epoch in range(epochs) for pair in mix(task_part, general_part, "shuffle", shuffle + epoch)]


def _evaluate(
    trial: Trial, language_model: LanguageModel, model: Any, anchor: str, prefix: str, found: Findings
) -> None:
    """Measure a model after a stage: its task, then the probes."""
    from lowres import fast

    with fast.unchanged(model, language_model.autocast):
        _measure(trial, language_model, model, anchor, prefix, found)


def _measure(
    trial: Trial, language_model: LanguageModel, model: Any, anchor: str, prefix: str, found: Findings
) -> None:
    from lowres.evaluate import CUT_ANSWER, evaluate_probe, evaluate_task, judge

    plan, task = trial.evaluation, load_task(trial.task, trial.options)
    if plan.items and trial.recipe.rationale in rationales.AS_PREDICTION:
        predicted = _evaluated(trial, task)
        found.texts[prefix + "task"] = rationales.predictions(
            trial.recipe.rationale, trial.recipe.rationales, predicted
        )
        found.outcomes[prefix + "task"] = judge(predicted, found.texts[prefix + "task"], task.metric)
    elif plan.items:
        examples, reworded = reason(trial, task, _evaluated(trial, task), language_model, anchor, training=False)
        room = answer_room(task, language_model)
        outcomes, texts, cut = evaluate_task(model, language_model, examples, anchor, room, task.metric)
        reworded = {**reworded, "cut_answers": round(sum(outcomes.pop(CUT_ANSWER, [])))}
        found.outcomes[prefix + "task"], found.texts[prefix + "task"] = outcomes, texts
        found.counts.update({prefix + name: count for name, count in {**reworded, "cut_prompts": cut}.items()})
        read = (len(models.prompt_ids(language_model, with_anchor(anchor, example.prompt))) for example in examples)
        found.counts[prefix + "prompt_tokens"] = sum(read)
    for name in plan.probes:
        found.outcomes[prefix + name] = evaluate_probe(model, language_model, load_probe(name), plan.probe_items)


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


def trial_from(spec: Mapping[str, Any]) -> Trial:
    """A trial from its spec: the inverse of `Trial.spec`."""
    values = dict(spec)
    tuner, optimisation = values["tuner"], values["optimisation"]
    values["tuner"] = tuners.make(**tuner) if tuner else None
    values["optimisation"] = Optimisation(**optimisation) if optimisation else None
    values["recipe"] = Recipe(**values["recipe"])
    values["options"] = TaskOptions(**values["options"])
    values["stream"] = tuple(_stage_from(stage) for stage in values.get("stream", ()))
    evaluation = dict(values["evaluation"])
    values["evaluation"] = Evaluation(**{**evaluation, "probes": tuple(evaluation["probes"])})
    return Trial(**values)


def _stage_from(spec: Mapping[str, Any]) -> Stage:
    recipe, optimisation = Recipe(**spec["recipe"]), Optimisation(**spec["optimisation"])
    return Stage(spec["task"], recipe, optimisation, TaskOptions(**spec["options"]))


def from_dict(values: Mapping[str, Any]) -> Record:
    """A record from its plain form.

    Raises:
        ValueError: a field is missing or unknown.
    """
    try:
        return Record(**dict(values))
    except TypeError as error:
        raise ValueError(f"not a record: {error}") from error
