"""The arms of the TELL study."""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = ("task-only", "equal-steps", "equal-tokens", "mixed")


@dataclass(frozen=True)
class Arm:
    """One way of using the data. Arms of one family share a learning rate, chosen with the same number of tries."""

    name: str
    meaning: str
    family: str = ""
    task: bool = True
    general: bool = False
    anchored: bool = False
    order: str = "shuffle"
    labels: str = "true"
    few_shot: bool = False
    equals: str = ""  # what it is to have as much of as tell: "steps" or "tokens"

    @property
    def needs_pool(self) -> bool:
        """Whether there is nothing to run, or to equal, where the general pool is too small."""
        return self.general or bool(self.equals)


ARMS = {
    arm.name: arm
    for arm in (
        Arm("untouched", "the model as it is, told the task by the anchor", task=False, anchored=True),
        Arm("few-shot", "the model as it is, shown solved examples", task=False, anchored=True, few_shot=True),
        Arm("sft", "tuned on the task data, inputs bare", "task-only"),
        Arm("sft+anchor", "tuned on the task data behind the anchor", "task-only", anchored=True),
        Arm(
            "sft-equal-steps",
            "sft+anchor, repeated for as many updates as tell",
            "equal-steps",
            anchored=True,
            equals="steps",
        ),
        Arm(
            "sft-equal-tokens",
            "sft+anchor, repeated until it has read as many tokens as tell",
            "equal-tokens",
            anchored=True,
            equals="tokens",
        ),
        Arm(
            "general-only",
            "tuned on the general data of tell and nothing else",
            "mixed",
            task=False,
            general=True,
            anchored=True,
        ),
        Arm("tell", "task data behind the anchor, shuffled into general data", "mixed", general=True, anchored=True),
        Arm("tell-no-anchor", "tell with bare inputs", "mixed", general=True),
        Arm(
            "tell-task-first",
            "tell, all task data before all general data",
            "mixed",
            general=True,
            anchored=True,
            order="task-first",
        ),
        Arm(
            "tell-task-last",
            "tell, all general data before all task data",
            "mixed",
            general=True,
            anchored=True,
            order="task-last",
        ),
        Arm(
            "random-labels",
            "tell with the task's targets shuffled among its inputs",
            "mixed",
            general=True,
            anchored=True,
            labels="random",
        ),
    )
}
