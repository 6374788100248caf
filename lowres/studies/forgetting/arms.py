"""The arms of the forgetting study."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lowres.studies.forgetting.params import Params

MAIN = "stream"


@dataclass(frozen=True)
class Arm:
    """One way through the stream. `share` is that of general data in the tokens that are trained on."""

    name: str
    meaning: str
    tuner: str = "full"
    reverse: bool = False
    share: float = 0.0
    anchored: bool = False
    labels: str = "true"
    frozen: bool = False
    task: bool = True


ARMS = {
    arm.name: arm
    for arm in (
        Arm("untouched", "the model before the stream, measured once"),
        Arm(MAIN, "tuned in full on one task after the other"),
        Arm("reverse", "the same tasks in the opposite order", reverse=True),
        Arm("mixed", "general data shuffled into every task, and as many more updates", share=0.3),
        Arm("anchor", "every task behind TELL's anchor", anchored=True),
        Arm("mixed+anchor", "both: general data shuffled in, tasks behind the anchor (TELL)", share=0.3, anchored=True),
        Arm("random-labels", "the targets of every task shuffled among its inputs", labels="random"),
        Arm("no-op", "the stream at a learning rate of zero", frozen=True),
        Arm("general-only", "as many updates on general data and no task at all", task=False),
    )
}


def arm_of(name: str) -> Arm:
    """The arm of a name; the name of a tuner stands for the stream tuned in that way."""
    return ARMS.get(name) or Arm(name, f"the stream, tuned by {name} instead of in full", tuner=name)


def further_arms(params: Params) -> list[Arm]:
    """The arms besides the main one, in the order in which they run."""
    found = [ARMS["reverse"]] if "reverse" in (params.orders or ()) else []
    shares = params.general_shares or ()
    found += [replace(ARMS["mixed"], share=share) for share in shares]
    if params.anchor:
        found += [ARMS["anchor"], *(replace(ARMS["mixed+anchor"], share=max(shares)) for _ in shares[:1])]
    found += [arm_of(name) for name in params.tuners or () if name != "full"]
    return found + [ARMS[name] for name in params.controls or ()]
