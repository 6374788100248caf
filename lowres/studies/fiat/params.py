"""Parameters of the FIAT study: what a reader may change, and what each tier runs."""

from __future__ import annotations

from dataclasses import dataclass

from lowres import data, models
from lowres.data.load import WITH_RATIONALES
from lowres.data.rationales import OWN
from lowres.language import formats
from lowres.params import parameter
from lowres.studies import TIERS, by_tier, reserved_seeds, seeds_in_names
from lowres.studies.fiat.arms import ARMS, LADDER

FEW = (*LADDER, "untouched", "untouched-instruction", "beta", "answer-only", "wrong", "distilled")
LIVE = ("R1", "R0", "R4", "beta")
FILE, NO_BASE = "file:", "none"


def arm_names() -> tuple[str, ...]:
    """All arms."""
    return tuple(ARMS)


@dataclass(frozen=True)
class Params(data.OwnTask):
    """One run of the study with one pair of models on one task. None means: as the tier says."""

    tier: str = parameter("laptop", "how much is run", choices=TIERS)
    tau: str | None = parameter(
        None,
        "the model that is tuned, instruction-tuned: a bundled model, a world model (without its seed), a folder, a "
        "Hub id",
        tiers=by_tier("world-xs~0.30", "world-s-instruct", "smollm2-135m-instruct", "google/flan-t5-xl"),
    )
    base: str | None = parameter(
        None,
        "tau before its instruction tuning; none - there is no such model, and arms with it are left out",
        tiers=by_tier(NO_BASE, "world-s", NO_BASE, "google/t5-v1_1-xl"),
    )
    beta: str | None = parameter(
        None,
        "who writes the rationales: a model, own (rationales that come with the task) or file:PATH (JSONL with id, "
        "rationale and, where known, answer)",
        tiers=by_tier("world-xs~0.30", "world-xs", "smollm2-135m-instruct", "google/flan-t5-xxl"),
    )
    asked: bool | None = parameter(
        None,
        "beta, a world model, is asked for one step after the other as it is, instead of being taught to think aloud; "
        "none - wherever that is possible",
    )
    beta_url: str | None = parameter(
        None, "address of an OpenAI-compatible endpoint that serves beta; its key is read from LOWRES_BETA_KEY"
    )
    exemplars: str | None = parameter(
        None, "your own task - JSONL file of worked examples (input, reasoning, answer) that beta is shown"
    )
    samples: int | None = parameter(
        None,
        "lines of reasoning that beta draws per test item besides the greedy one, for a vote (self-consistency)",
        low=0,
        tiers=by_tier(0, 0, 5, 5),
    )
    max_new_tokens: int = parameter(96, "longest rationale", low=8, unit="tokens")
    task: str | None = parameter(
        None,
        "a task of the book, jsonl:PATH (your own), hub:ID, xor-attriqa:FOLDER or xtreme-up:FOLDER",
        tiers=by_tier("world-two-hop", "world-correction", "privacy-qa", "privacy-qa"),
    )
    arms: tuple[str, ...] | None = parameter(
        None, "which arms are run", choices=arm_names, tiers=by_tier(FEW, LIVE, arm_names(), arm_names())
    )
    examples: tuple[int, ...] | None = parameter(
        None,
        "sizes of the training set, one after the other",
        low=1,
        tiers=by_tier((24,), (32,), (100, 1_000, 5_000), (100, 1_000)),
    )
    pool: int | None = parameter(
        None,
        "the first so many training examples, from which all training sets are drawn and for which beta writes",
        low=2,
        tiers=by_tier(48, 32, 6_000, 1_500),
    )
    updates: int | None = parameter(
        None,
        "updates of each tuned arm, whatever the size of its training set",
        low=1,
        tiers=by_tier(3, 60, 600, 1_000),
    )
    seeds: tuple[int, ...] | None = parameter(
        None,
        "seeds of subset, shuffle and initialisation (of a world model's pretraining and of its beta's too)",
        low=0,
        tiers=by_tier((0,), (0,), (0, 1, 2), (0, 1, 2)),
    )
    rate_factors: tuple[float, ...] | None = parameter(
        None,
        "candidate learning rates as multiples of the usual one of each way of tuning, tried on validation data; "
        "none - the rates chosen in the published records",
        above=0,
        may_be_empty=True,
        tiers=by_tier((1.0,), (), (0.25, 1.0, 4.0), (0.25, 1.0, 4.0)),
    )
    batch_size: int = parameter(8, "examples per update", low=1)
    items: int | None = parameter(None, "test examples", low=2, tiers=by_tier(16, 200, 1_000, 2_000))
    chat_format: str = parameter(
        "auto",
        "the chat format of tau and beta; auto - where they have one, off - plain text",
        choices=formats.CHAT_FORMATS,
    )

    def problems(self) -> list[str]:
        """What contradicts what, and names that are not known."""
        tau, base, beta, task = self.tau or "", self.base or "", self.beta or "", self.task or ""
        wanted = [(task, data.check_name), (tau, models.check_name)]
        wanted += [(base, models.check_name)] if base not in ("", NO_BASE) else []
        local = beta and beta != OWN and not beta.startswith(FILE) and not self.beta_url
        wanted += [(beta, models.check_name)] if local else []
        found = [problem for name, check in wanted if name and (problem := check(name))]
        for which, name in (("tau", tau), ("base", base), ("beta", beta)):
            found += seeds_in_names(which, [name])
        found += reserved_seeds(self.seeds or ())
        largest = max(self.examples or (0,))
        if self.pool is not None and largest > self.pool:
            found.append(f"examples holds {largest}, more than the pool of {self.pool} that they are drawn from")
        if beta == OWN and task in data.task_names() and task not in WITH_RATIONALES:
            found.append(f"beta is own, but task {task!r} has no rationales; allowed: {', '.join(WITH_RATIONALES)}")
        if self.asked:
            from lowres.rationales import asking

            found += asking.problems(beta, task, self.samples or 0)
        if self.beta_url and (beta == OWN or beta.startswith(FILE)):
            found.append(f"beta_url is for a model, but beta is {beta!r}")
        return found + data.misplaced_options(self)
