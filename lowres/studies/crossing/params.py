"""Parameters of the crossing: what a reader may change, and what each tier runs."""

from __future__ import annotations

from dataclasses import dataclass

from lowres import data, models
from lowres.language import formats
from lowres.params import parameter
from lowres.studies import TIERS, by_tier, reserved_seeds, seeds_in_names

RECIPES = ("sft", "sft-equal-steps", "tell", "fiat-own", "fiat", "tell+fiat")
CONTROLS = ("general-only", "tell-shuffled", "fiat-wrong", "sft-equal-tokens")
TUNERS = ("full", "lora", "loreft", "lora-small")
REAL_TASKS = ("wiki-description", "wiki-topic", "siqa-csqa", "instruction-following")
WRITTEN_FOR_NOBODY = ("sft", "sft-equal-steps", "tell")  # recipes that need no rationale


@dataclass(frozen=True)
class Params(data.OwnTask):
    """One run of the study with one model. None means: as the tier says."""

    tier: str = parameter("laptop", "how much is run", choices=TIERS)
    model: str | None = parameter(
        None,
        "the model that is tuned - a bundled model, a world model (without its seed), a local folder or a Hub id",
        tiers=by_tier("world-xs", "world-s", "smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
    )
    beta: str | None = parameter(
        None,
        "the model that writes rationales for fiat and tell+fiat, as it is",
        tiers=by_tier("world-xs", "world-s", "smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
    )
    tasks: tuple[str, ...] | None = parameter(
        None,
        "tasks of the book, jsonl:PATH (your own) or hub:ID",
        tiers=by_tier(("world-relations",), ("world-relations",), REAL_TASKS, REAL_TASKS),
    )
    recipes: tuple[str, ...] | None = parameter(
        None,
        "how the training data are put together and worded; what a task or a model cannot have is left out",
        choices=(*RECIPES, *CONTROLS),
        tiers=by_tier(("sft", "tell", "fiat-own"), RECIPES, WRITTEN_FOR_NOBODY, WRITTEN_FOR_NOBODY),
    )
    tuners: tuple[str, ...] | None = parameter(
        None, "how parameters change", choices=TUNERS, tiers=by_tier(("lora", "loreft"), TUNERS, TUNERS[:3], TUNERS[:3])
    )
    task_tokens: tuple[int, ...] | None = parameter(
        None, "budgets of task data", low=1, unit="tokens", tiers=by_tier((120,), (250,), (250, 1_000, 4_000), (1_000,))
    )
    ratio: float = parameter(4.0, "general tokens per task token in every recipe that mixes", above=0)
    pool: int = parameter(
        0, "the first so many training examples, from which all are drawn and for which beta writes; 0 - all", low=0
    )
    seeds: tuple[int, ...] | None = parameter(
        None,
        "seeds of subset, shuffle and initialisation, in the world of the models too",
        low=0,
        tiers=by_tier((0,), (0,), (0, 1, 2, 3, 4), (0, 1, 2)),
    )
    rate_factors: tuple[float, ...] | None = parameter(
        None,
        "candidate learning rates as multiples of the usual one of each tuner, tried on validation data; none - those "
        "of the published records",
        above=0,
        may_be_empty=True,
        tiers=by_tier((1.0,), (), (1 / 9, 1 / 3, 1.0, 3.0, 9.0), (1 / 3, 1.0, 3.0)),
    )
    tuning_tasks: tuple[str, ...] = parameter(
        (), "tasks on which rates are tuned, one rate for all of them; none - the tasks themselves", may_be_empty=True
    )
    epochs: int = parameter(5, "passes over the training data", low=1)
    batch_size: int = parameter(8, "examples per update", low=1)
    items: int | None = parameter(None, "test examples of each task", low=1, tiers=by_tier(8, 200, 500, 500))
    probes: tuple[str, ...] | None = parameter(
        None,
        "what is asked to see what is forgotten; none - fixed ones of the world or of real text",
        choices=data.probe_names,
    )
    probe_items: int | None = parameter(None, "examples per probe", low=1, tiers=by_tier(8, 48, 500, 500))
    precision: str = parameter("auto", "number format of matrix products", choices=models.PRECISIONS)
    chat_format: str = parameter(
        "auto", "the models' chat format; auto - where they have one, off - plain text", choices=formats.CHAT_FORMATS
    )

    @property
    def task(self) -> str:
        """The task that the fields of an own task are for: the first own one, else the first."""
        named = (*(self.tasks or ()), *self.tuning_tasks)
        return next((name for name in named if ":" in name), named[0] if named else "")

    def problems(self) -> list[str]:
        """What contradicts what, and names that are not known."""
        found = [problem for name in (*(self.tasks or ()), *self.tuning_tasks) if (problem := data.check_name(name))]
        for which, name in (("model", self.model or ""), ("beta", self.beta or "")):
            found += [problem] if name and (problem := models.check_name(name)) else []
            found += seeds_in_names(which, [name])
        return found + reserved_seeds(self.seeds or ()) + data.misplaced_options(self)
