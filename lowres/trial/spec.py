"""What a trial is, what it leaves, and the key by which both are known.

The key is a hash of the spec and of everything that can change the result: the content of data and model,
RESULT_VERSION, and what of the machine counts. World models compute alike on every machine (see `lowres.machine`), so
for them that is nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lowres import machine, models, tuners
from lowres.data import Example, Probe, Task, TaskOptions, general_pool, load_probe, load_task, rationales
from lowres.optimisation import Optimisation
from lowres.tuners import Tuner

RESULT_VERSION = 2  # raised whenever some trial gives another result than before, which the golden trials tell
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
    """What is measured after training: the first `items` of a split of the task, the first `probe_items` of probes.

    `items` None: all that there are; 0: the task is not measured. With `recovery` each probe is asked again after ten
    examples in its form (see `lowres.trial.recovery`).
    """

    split: str = "test"
    items: int | None = None
    probes: tuple[str, ...] = ()
    probe_items: int = 100
    recovery: bool = False

    def wanted(self) -> str:
        """How many items of the task are measured, in words."""
        return "all" if self.items is None else f"{self.items:,}"


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

    `chat_format` is that of `lowres.models.load`.

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
    chat_format: str = "auto"

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
        if not self.evaluation.recovery:
            del spec["evaluation"]["recovery"]
        if self.chat_format == "auto":
            del spec["chat_format"]
        return dict(spec)

    def identity(self) -> dict[str, Any]:
        """What the result depends on. The study and the arm's label are names only: two studies share a trial."""
        spec = self.spec()
        del spec["study"], spec["arm"]
        spec["recipe"].pop("rationales", None)  # the name of a file, whose content is among the data
        if self.chat_format == "on":  # insists on what "auto" finds
            del spec["chat_format"]
        if not models.is_known(self.model):
            spec["model"] = ""  # a folder has many names, and its content stands below
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
    place that of their code. `outcomes[where][measure]` holds one number per item, `where` being "task", a probe's
    name, or "recovery:" and a probe's name; `curves` one number per update; `cost` seconds, tokens, bytes; `counts`
    what was drawn, left out, dropped or cut; `texts` generated answers.
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

    def items(self) -> int:
        """How many items of the task were measured after the last stage (0: none)."""
        return len(next(iter(self.outcomes.get("task", {}).values()), []))

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        return asdict(self)


# --- identity --------------------------------------------------------------------------------------------------------


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


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
    recipe, measured = trial.recipe, (trial.evaluation.split, trial.evaluation.items)
    pool = None if recipe.rationale in rationales.AS_PREDICTION else recipe.pool
    return _read_fingerprint(task, recipe.rationales, rationales.state(recipe.rationales), pool, *measured)


@functools.lru_cache(maxsize=4096)
def _read_fingerprint(task: Task, name: str, state: str, pool: int | None, split: str, items: int | None) -> str:
    """Remembered per loaded task and content of the file, which thousands of trials share."""
    drawn = () if pool is None else rationales.pool_of(task, pool)
    found = rationales.load(name, (*drawn, *getattr(task, split)[:items]))
    return _hash([[one.text, one.answer, one.samples] for one in found])


def evaluated(trial: Trial, task: Task) -> tuple[Example, ...]:
    """The items of the task that are measured."""
    examples: tuple[Example, ...] = getattr(task, trial.evaluation.split)[: trial.evaluation.items]
    return examples


@functools.cache
def _pool_fingerprint(task: str, form: str) -> str:
    return _content_fingerprint(general_pool(task, form))


@functools.lru_cache(maxsize=64)
def _content_fingerprint(examples: tuple[Example, ...]) -> str:
    """Remembered by content: many tasks have the same general pool."""
    return _hash([[example.prompt, example.target] for example in examples])


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


def fingerprints(trial: Trial) -> dict[str, str]:
    """What the result depended on besides spec and machine: data, model, version."""
    identity = trial.identity()
    return {name: identity[name] for name in ("data", "model", "version")}


# --- from plain values ------------------------------------------------------------------------------------------------


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
