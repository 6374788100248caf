"""The arms of the crossing, recipe by tuner.

The task's instruction stands before every input in every arm, so that recipes differ in their data alone: TELL's anchor
and FIAT's instruction are the same text here, which would otherwise be counted twice where both are added up.
"""

from __future__ import annotations

from dataclasses import dataclass

from lowres import world
from lowres.data.rationales import OWN
from lowres.studies.crossing.params import CONTROLS, RECIPES

WORLD_PROBES = ("world-fact-home", "world-relation", "world-either", "world-reading-new")
REAL_PROBES = ("wiki-know", "commonsenseqa")
UNTOUCHED = "untouched"


@dataclass(frozen=True)
class Way:
    """A recipe. Those of one family share a learning rate per tuner and budget, tuned with the same number of tries.

    `rationale` is what is done with one, `written` who writes it: "own" (it comes with the task) or "beta".
    """

    meaning: str
    family: str
    general: bool = False
    task: bool = True
    labels: str = "true"
    rationale: str = "none"
    written: str = ""
    equals: str = ""  # what it has as much of as tell: "steps" or "tokens"


WAYS = {
    "sft": Way("task data alone", "task"),
    "sft-equal-steps": Way("task data repeated for as many updates as tell makes", "repeated", equals="steps"),
    "tell": Way("task data shuffled into general data", "mixed", general=True),
    "fiat-own": Way("the rationale that comes with the task in the prompt", "reasoned", rationale="input", written=OWN),
    "fiat": Way("a rationale written by beta in the prompt", "reasoned", rationale="input", written="beta"),
    "tell+fiat": Way("tell with beta's rationales", "mixed", general=True, rationale="input", written="beta"),
    "general-only": Way("the general data of tell and nothing else", "mixed", general=True, task=False),
    "tell-shuffled": Way("tell with the targets shuffled among the inputs", "mixed", general=True, labels="random"),
    "fiat-wrong": Way("the rationale of another example in the prompt", "reasoned", rationale="wrong", written=OWN),
    "sft-equal-tokens": Way("task data repeated until as many tokens were read", "repeated", equals="tokens"),
}
TUNER_MEANINGS = {
    "full": "all parameters",
    "lora": "LoRA of rank 8 on all linear layers",
    "loreft": "LoReFT of rank 8 on all layers, first and last seven positions",
    "lora-small": "LoRA of rank 1, about as many parameters as LoReFT; its rate is LoRA's",
}


@dataclass(frozen=True)
class Arm:
    """One line of the study."""

    recipe: str
    tuner: str

    @property
    def name(self) -> str:
        """Recipe and tuner."""
        return f"{self.recipe} {self.tuner}"

    @property
    def meaning(self) -> str:
        """What it does, in words."""
        return f"{WAYS[self.recipe].meaning}; {TUNER_MEANINGS[self.tuner]}"

    @property
    def rate_of(self) -> str:
        """Whose learning rate it takes."""
        return f"{WAYS[self.recipe].family} {self.tuner.removesuffix('-small')}"


ARMS = {arm.name: arm for recipe in (*RECIPES, *CONTROLS) for arm in (Arm(recipe, tuner) for tuner in TUNER_MEANINGS)}


def probes_of(model: str) -> tuple[str, ...]:
    """The fixed probes of a model; no learning rate may harm them by itself (see `lowres.rates.harm`)."""
    return WORLD_PROBES if world.is_world_model(model) else REAL_PROBES


UNHARMED = probes_of
