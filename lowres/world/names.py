"""Names of tasks, probes and models of the world. Light: nothing is generated here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lowres.world.sizes import DECODERS, ENCODER_DECODERS, Size

GROUPS = {
    "domain knowledge": ("world-fact-home", "world-fact-job", "world-fact-pet", "world-fact-food"),
    "reasoning": (
        "world-relation",
        "world-two-hop-seen",
        "world-two-hop-new",
        "world-arithmetic",
        "world-either",
        "world-yes-no",
        "world-pronoun",
    ),
    "reading comprehension": ("world-reading-new", "world-reading-against"),
    "bias": ("world-bias",),
}
CHANCE = {
    **dict.fromkeys(GROUPS["domain knowledge"], 1 / 4),
    **dict.fromkeys(GROUPS["reasoning"][:4], 1 / 4),
    **dict.fromkeys(GROUPS["reasoning"][4:], 1 / 2),
    **dict.fromkeys(GROUPS["reading comprehension"], 1 / 3),
    "world-bias": 1 / 2,
}
PROBES = tuple(CHANCE)
LEVEL_PROBES = (
    *GROUPS["domain knowledge"],
    *("world-relation", "world-two-hop-seen", "world-two-hop-new", "world-arithmetic", "world-either"),
)  # what every model learns little by little: a model's level, what `~0.60` refers to, is its mean accuracy on them
STREAM = ("world-simplification", "world-dialogue", "world-question", "world-explanation", "world-headline")
NEW_WORD_STREAM = tuple(f"{name}-new-words" for name in STREAM)  # alike, but half of their words are in no other text
KNOWN_TASKS = (
    *STREAM,
    *("world-reverse", "world-place", "world-length", "world-sort", "world-less", "world-relations"),
    *("world-evidence", "world-told-relation", "world-code", "world-swap", "world-meant"),
    *("world-form", "world-correction"),
)  # every word of them is shown in pretraining; 100,000 tokens and more
TASKS = (*KNOWN_TASKS, "world-two-hop", *NEW_WORD_STREAM)
# Text that a model can be pretrained without: all but what teaches to copy, from which pretraining begins.
KINDS = ("fact", "relation", "two-hop", "arithmetic", "either", "pronoun", "yes-no", "reading", "bias")
USUAL, WITHOUT = "usual", "without-"
ASKED_FACTS = f"{WITHOUT}asked-facts"
POOLS = (USUAL, ASKED_FACTS, *(f"{WITHOUT}{kind}" for kind in KINDS if kind != "bias"))  # forms of the general pool

WORLD_VERSION = 2  # raised whenever some world model comes out with other weights than before
EXACT_SIZES = ("xs", "s", "m")  # pretrained and run alike on every machine; the larger ones are meant for a GPU

_NAME = re.compile(
    r"world-(?P<size>[a-z]+)(?P<encdec>-encdec)?(-(?P<kind>base|instruct))?(-without-(?P<without>[a-z-]+))?"
    r"(?P<rest>(~[\d.]+|@\d+)*)"
)
_SHORT = "world-SIZE[-encdec][-base|-instruct][-without-KIND][~LEVEL][@SEED]"


@dataclass(frozen=True)
class WorldModel:
    """What the name of a world model says.

    `seed` drives initialisation and the order of the training text, never the world. `level` stops pretraining when
    the mean accuracy on items like those of `LEVEL_PROBES` first reaches it; an instruction-tuned model goes on from a
    base model that was stopped there. Left out are reading, which only decoders learn, because they start near it;
    pronouns, learnt all at once or not at all; and yes-no questions, which come last, if at all.

    `without` names a kind of `KINDS` of which the pretraining text has nothing: a prerequisite that is known to be
    missing. The level is measured on the same probes all the same; on those that ask this kind it stays near chance.

    What encoder-decoders cannot do: they do not read (a passage with three strangers is answered at chance) and none
    but the smallest tells true statements from false ones. They take part in what asks neither.
    """

    size: str
    encdec: bool = False
    instruct: bool = False
    level: float | None = None
    seed: int = 0
    without: str = ""

    @property
    def dimensions(self) -> Size:
        """Its widths and depths, and how it is pretrained."""
        return (ENCODER_DECODERS if self.encdec else DECODERS)[self.size]

    @property
    def exact(self) -> bool:
        """Whether its weights are the same on every machine."""
        return self.size in EXACT_SIZES

    @property
    def name(self) -> str:
        """The shortest name of this model; two names of the same model have this in common."""
        middle = "-encdec" * self.encdec + "-instruct" * self.instruct
        middle += f"-without-{self.without}" if self.without else ""
        level = "" if self.level is None else f"~{self.level:.2f}"
        return f"world-{self.size}{middle}{level}" + (f"@{self.seed}" if self.seed else "")


def is_world_model(name: str) -> bool:
    """Whether a model name is meant for the world."""
    return name.startswith("world-")


def parse(name: str) -> WorldModel | str:
    """The model that a name stands for, or what is wrong with the name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return f"the form is {_SHORT}, as in {', '.join(model_names()[:2])}, world-s-encdec-instruct~0.60@3"
    if match["size"] not in DECODERS:
        return f"unknown size {match['size']!r}; allowed: {', '.join(DECODERS)}"
    without = match["without"] or ""
    if without and without not in KINDS:
        return f"unknown kind of text {without!r} after -without-; allowed: {', '.join(KINDS)}"
    levels, seeds = re.findall(r"~([\d.]+)", match["rest"]), re.findall(r"@(\d+)", match["rest"])
    if len(levels) > 1 or len(seeds) > 1:
        return "level (~) and seed (@) can be given once"
    if levels and not re.fullmatch(r"0?\.\d{1,2}", levels[0]):
        return f"the level {levels[0]} must be a mean accuracy between 0 and 1 with at most two decimals, as in ~0.60"
    level = float(levels[0]) if levels else None
    seed = int(*seeds or "0")
    return WorldModel(match["size"], bool(match["encdec"]), match["kind"] == "instruct", level, seed, without)


def model_names() -> tuple[str, ...]:
    """The names to suggest; seeds, levels and the sizes that take a GPU are left out."""
    return tuple(
        f"world-{size}{middle}" for middle in ("", "-instruct", "-encdec", "-encdec-instruct") for size in EXACT_SIZES
    )
