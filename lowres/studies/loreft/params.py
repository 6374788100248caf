"""Parameters of the LoReFT study: what a reader may change, and what each tier runs."""

from __future__ import annotations

from dataclasses import dataclass

from lowres import data, models
from lowres.language import formats
from lowres.params import parameter
from lowres.studies import TIERS, by_tier, reserved_seeds, seeds_in_names
from lowres.studies.loreft.arms import ARMS

CURVES = ("ranks", "layers", "positions", "data")
MAIN = (
    *("untouched", "full", "bitfit", "lora", "lora-small", "dora", "ia3", "prefix", "prompt", "series-adapter"),
    *("parallel-adapter", "vera", "road", "red", "direft", "loreft", "lora-at-positions"),
)
WORLD_PROBES = ("world-fact-home", "world-relation", "world-either", "world-reading-new")
FEW = ("untouched", "full", "lora", "lora-at-positions", "direft", "loreft")


def arm_names() -> tuple[str, ...]:
    """All arms."""
    return tuple(ARMS)


@dataclass(frozen=True)
class Params(data.OwnTask):
    """One run of the study on one model and one task. None means: as the tier says."""

    tier: str = parameter("laptop", "how much is run", choices=TIERS)
    model: str | None = parameter(
        None,
        "a bundled model, a world model (without its seed), a local folder or a Hub id",
        tiers=by_tier("world-xs~0.30", "world-s", "smollm2-135m-instruct", "huggyllama/llama-7b"),
    )
    task: str | None = parameter(
        None,
        "a task of the book, jsonl:PATH (your own) or hub:ID",
        tiers=by_tier("world-question", "world-correction", "commonsense", "commonsense170k"),
    )
    arms: tuple[str, ...] | None = parameter(
        None,
        "which arms are run",
        choices=arm_names,
        tiers=by_tier(FEW, ("untouched", "lora", "loreft"), arm_names(), arm_names()),
    )
    task_tokens: int | None = parameter(
        None, "budget of task data", low=1, unit="tokens", tiers=by_tier(400, 4_000, 700_000, 5_000_000)
    )
    curves: tuple[str, ...] | None = parameter(
        None,
        "also runs LoReFT with other ranks, layers or positions, and LoReFT and LoRA with less data",
        choices=CURVES,
        may_be_empty=True,
        tiers=by_tier((), (), CURVES, CURVES),
    )
    seeds: tuple[int, ...] | None = parameter(
        None,
        "seeds of subset, shuffle and initialisation (of a world model's pretraining too)",
        low=0,
        tiers=by_tier((0,), (10, 11, 12), (0, 1, 2), (0, 1, 2)),
    )
    rate_factors: tuple[float, ...] | None = parameter(
        None,
        "candidate learning rates as multiples of the usual one of each tuner, tried on validation data once per arm; "
        "none - the rates chosen in the published records",
        above=0,
        may_be_empty=True,
        tiers=by_tier((1.0,), (), (0.25, 1.0, 4.0), (0.25, 1.0, 4.0)),
    )
    epochs: int | None = parameter(None, "passes over the training data", low=1, tiers=by_tier(3, 5, 3, 3))
    batch_size: int = parameter(8, "examples per update", low=1)
    items: int | None = parameter(None, "test examples", low=1, tiers=by_tier(8, 432, 1_000, 4_000))
    tuning_items: int = parameter(100, "validation examples that decide on a learning rate", low=1)
    probes: tuple[str, ...] | None = parameter(
        None,
        "what is measured besides the task, to see what is forgotten",
        choices=data.probe_names,
        may_be_empty=True,
        tiers=by_tier(("world-fact-home",), WORLD_PROBES, ("wiki-know", "wiki-nll"), ("wiki-know", "wiki-nll")),
    )
    probe_items: int | None = parameter(None, "examples per probe", low=1, tiers=by_tier(8, 72, 500, 500))
    precision: str = parameter("auto", "number format of matrix products", choices=models.PRECISIONS)
    chat_format: str = parameter(
        "auto", "the model's chat format; auto - where it has one, off - plain text", choices=formats.CHAT_FORMATS
    )

    def problems(self) -> list[str]:
        """What contradicts what, and names that are not known."""
        model, task = self.model or "", self.task or ""
        found = [
            p for name, check in ((task, data.check_name), (model, models.check_name)) if name and (p := check(name))
        ]
        found += [*seeds_in_names("model", [model]), *reserved_seeds(self.seeds or ()), *data.misplaced_options(self)]
        found += [
            f"probes holds {probe!r}, whose items the task {task!r} trains on"
            for probe in self.probes or ()
            if data.shares_items(task, probe)
        ]
        return found
