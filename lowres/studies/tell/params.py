"""Parameters of the TELL study: what a reader may change, and what each tier runs."""

from __future__ import annotations

from dataclasses import dataclass

from lowres import data, models, tuners, world
from lowres.language import formats
from lowres.params import parameter
from lowres.studies import TIERS, by_tier, reserved_seeds, seeds_in_names

ANCHORS = ("hand-written", "model-written")
ARM_NAMES = (
    "untouched",
    "few-shot",
    "sft",
    "sft+anchor",
    "sft-equal-steps",
    "sft-equal-tokens",
    "general-only",
    "tell",
    "tell-no-anchor",
    "tell-task-first",
    "tell-task-last",
    "random-labels",
)


def _tiers(smoke: object, laptop: object, gpu: object) -> dict[str, object]:
    """The paper tier runs the grid of the gpu tier on the model and the task that it is given."""
    return by_tier(smoke, laptop, gpu, gpu)


@dataclass(frozen=True)
class Params(data.OwnTask):
    """One run of the study. None means: as the tier says."""

    tier: str = parameter("laptop", "how much is run", choices=TIERS)
    task: str = parameter("wiki-description", "a task of the book, jsonl:PATH (your own) or hub:ID")
    model: str = parameter(
        "smollm2-135m-instruct", "a bundled model, a world model (without its seed), a local folder or a Hub id"
    )
    tuner: str = parameter("lora", "how parameters change", choices=tuners.tuner_names)
    anchor: str = parameter("hand-written", "who writes the anchor prompt", choices=ANCHORS)
    arms: tuple[str, ...] | None = parameter(
        None,
        "which arms are run",
        choices=ARM_NAMES,
        tiers=_tiers(("untouched", "sft", "tell"), ("untouched", "sft", "tell"), ARM_NAMES),
    )
    task_tokens: tuple[int, ...] | None = parameter(
        None, "budgets of task data", low=1, unit="tokens", tiers=_tiers((200,), (1_000,), (10_000, 100_000, 400_000))
    )
    general: str = parameter(
        "usual", "form of the general data; tasks of the world have more than one", choices=world.POOLS
    )
    ratio: float = parameter(4.0, "general tokens per task token in every arm that mixes", above=0)
    ratios: tuple[float, ...] | None = parameter(
        None,
        "further ratios of general to task tokens for the tell arm alone (the scaling curve)",
        low=0,
        may_be_empty=True,
        tiers=_tiers((), (), (0.0, 1.0, 2.0, 8.0, 16.0, 32.0)),
    )
    seeds: tuple[int, ...] | None = parameter(
        None, "seeds of subset, shuffle and initialisation", low=0, tiers=_tiers((0,), (0,), (0, 1, 2))
    )
    learning_rates: tuple[float, ...] | None = parameter(
        None,
        "candidates, tried on validation data once per arm family and budget; none - those of the published records",
        above=0,
        high=1,
        may_be_empty=True,
        tiers=_tiers((3e-4,), (), (3e-4, 1e-3, 3e-3)),
    )
    epochs: int = parameter(2, "passes over the training data", low=1)
    batch_size: int = parameter(4, "examples per update", low=1)
    items: int | None = parameter(None, "test examples of the task", low=1, tiers=_tiers(4, 60, 492))
    probes: tuple[str, ...] | None = parameter(
        None,
        "what is measured besides the task, to see what is forgotten",
        choices=data.probe_names,
        may_be_empty=True,
        tiers=_tiers(("wiki-nll",), ("siqa", "wiki-nll"), ("siqa", "commonsenseqa", "wiki-know", "wiki-nll")),
    )
    probe_items: int | None = parameter(None, "examples per probe", low=1, tiers=_tiers(3, 24, 500))
    precision: str = parameter("auto", "number format of matrix products", choices=models.PRECISIONS)
    chat_format: str = parameter(
        "auto", "the model's chat format; auto - where it has one, off - plain text", choices=formats.CHAT_FORMATS
    )

    def problems(self) -> list[str]:
        """What contradicts what, and names that are not known."""
        found = [problem for problem in (data.check_name(self.task), models.check_name(self.model)) if problem]
        found += reserved_seeds(self.seeds or ()) + seeds_in_names("model", [self.model])
        arms = self.arms or ()
        if "tell" not in arms and self.ratios:
            found.append("ratios are swept for the tell arm, which arms leaves out")
        if self.general != world.POOLS[0] and not self.task.startswith("world-"):
            found.append(
                f"general is {self.general!r}: there are forms of the general data for tasks of the world alone"
            )
        return found + data.misplaced_options(self)
