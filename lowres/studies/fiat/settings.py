"""Which arms a run has, at which sizes, and why some are left out."""

from __future__ import annotations

from dataclasses import dataclass

from lowres.data import TaskOptions, load_task
from lowres.data.rationales import OWN
from lowres.studies.fiat.arms import ARMS, Arm
from lowres.studies.fiat.params import NO_BASE, Params


@dataclass(frozen=True)
class Setting:
    """An arm with the size of its training set."""

    arm: str
    examples: int


def settings(params: Params) -> list[Setting]:
    """Everything that is to be run for each seed: arms by size, what is not tuned once only."""
    names = [name for name in params.arms or () if not obstacle(params, ARMS[name])]
    sizes = params.examples or ()
    found = [Setting(name, 0) for name in names if not ARMS[name].tuned]
    return found + [Setting(name, size) for size in sizes for name in names if ARMS[name].tuned]


def obstacle(params: Params, arm: Arm) -> str:
    """Why the models and rationales at hand do not allow an arm; empty where they do."""
    if arm.use not in ("as-answer", "as-vote") and "B" not in arm.factors and params.base == NO_BASE:
        return "base is none"
    if arm.use == "as-vote" and not params.samples:
        return "samples is 0"
    if params.beta == OWN and arm.use in ("answer", "as-answer", "as-vote"):
        return "beta is own, whose answers are the targets themselves"
    if arm.rationales == OWN and load_task(params.task or "", TaskOptions.of(params)).train[0].rationale is None:
        return f"the data of {params.task} have no rationales"
    return ""


def left_out(params: Params) -> list[str]:
    """The arms asked for that are not possible here, each with its reason."""
    found = ((name, obstacle(params, ARMS[name])) for name in params.arms or ())
    return [f"{name} is left out: {why}" for name, why in found if why]
