"""Parameters of the forgetting study: what a reader may change, and what each tier runs."""

from __future__ import annotations

from dataclasses import dataclass

from lowres import data, world
from lowres import models as language_models
from lowres import tuners as ways
from lowres.language.formats import CHAT_FORMATS
from lowres.params import parameter
from lowres.studies import TIERS, by_tier, reserved_seeds, seeds_in_names
from lowres.studies.forgetting.paper import HUB_MODELS

ORDERS = ("forward", "reverse")
CONTROLS = ("random-labels", "no-op", "general-only")
REAL_STREAM = ("legal-summary", "consoling-reply", "question-asking", "explanation", "headline")
REAL_GROUPS = {
    "domain knowledge": ("wiki-know",),
    "reasoning": ("siqa", "commonsenseqa", "openbookqa", "disambiguation-qa", "piqa"),
    "reading comprehension": ("wiki-continuation",),
    "bias": ("stereoset", "crows-pairs"),
}
REAL_MODEL = "smollm2-135m-instruct"
LANGUAGE = ("stereoset-lms", "wiki-nll")  # is it still a language model?

_GRID = (
    *("world-xs", "world-s", "world-m"),
    *("world-xs~0.55", "world-s~0.55", "world-m~0.55"),
    *("world-xs-encdec~0.55", "world-s-encdec~0.55", "world-m-encdec~0.55"),
    *("world-xs-instruct", "world-s-instruct", "world-m-instruct"),
)


@dataclass(frozen=True)
class Params:
    """One run of the study. None means: as the tier says, or for tasks and probes: as the model's kind asks."""

    tier: str = parameter("laptop", "how much is run", choices=TIERS)
    models: tuple[str, ...] | None = parameter(
        None,
        "models that go through the stream, without a seed - world models, bundled ones, folders or Hub ids",
        tiers=by_tier(
            ("world-xs~0.30",), ("world-s",), (*_GRID, "world-l", "world-l~0.55", "world-xl", REAL_MODEL), HUB_MODELS
        ),
    )
    ablated: tuple[str, ...] | None = parameter(
        None,
        "those of the models on which the further arms run - orders, shares, tuners, controls",
        may_be_empty=True,
        tiers=by_tier(("world-xs~0.30",), ("world-s",), ("world-s",), ()),
    )
    seeds: tuple[int, ...] | None = parameter(
        None,
        "seeds of the pretraining of world models and, with it, of subset, shuffle and initialisation",
        low=0,
        tiers=by_tier((0,), (10,), (0, 1, 2, 3, 4), (0,)),
    )
    tasks: tuple[str, ...] | None = parameter(
        None, "the stream in its order; none - the five tasks that go with the model (the world's, or real ones)"
    )
    orders: tuple[str, ...] | None = parameter(
        None, "orders of the stream", choices=ORDERS, tiers=by_tier(("forward",), ("forward",), ORDERS, ("forward",))
    )
    general_shares: tuple[float, ...] | None = parameter(
        None,
        "shares of general data in what is trained on, for the arms that mix",
        above=0,
        high=0.9,
        may_be_empty=True,
        tiers=by_tier((0.3,), (0.3,), (0.1, 0.2, 0.3), ()),
    )
    general: str = parameter(
        "usual", "form of the general data that worlds mix in; real tasks have the usual one", choices=world.POOLS
    )
    anchor: bool | None = parameter(
        None,
        "also with TELL's anchor before every input, alone and with the largest share of general data",
        tiers=by_tier(False, False, True, False),
    )
    tuners: tuple[str, ...] | None = parameter(
        None,
        "ways of tuning besides full tuning",
        choices=ways.tuner_names,
        may_be_empty=True,
        tiers=by_tier((), (), ("lora", "loreft"), ()),
    )
    controls: tuple[str, ...] | None = parameter(
        None,
        "streams that must not teach anything",
        choices=CONTROLS,
        may_be_empty=True,
        tiers=by_tier((), ("general-only",), CONTROLS, ()),
    )
    rate_factors: tuple[float, ...] | None = parameter(
        None,
        "learning rates as multiples of the usual one of model and tuner; several are tried on validation data",
        above=0,
        tiers=by_tier((1.0,), (1.0,), (0.3, 1.0, 3.0, 9.0), (1.0,)),
    )
    sweep_seeds: tuple[int, ...] | None = parameter(
        None,
        "seeds for which the stream is also run at every rate of the sweep (forgetting against task loss)",
        low=0,
        may_be_empty=True,
        tiers=by_tier((), (), (0, 1, 2), ()),
    )
    sweep_factors: tuple[float, ...] | None = parameter(
        None, "rates of the sweep, as multiples of the usual one; none - the candidates", above=0, may_be_empty=True
    )
    task_tokens: int | None = parameter(
        None,
        "budget of each task of the stream",
        low=1,
        unit="tokens",
        tiers=by_tier(400, 4_000, 10_000, 30_000),  # the smallest real task has some 34,000
    )
    steps: int | None = parameter(None, "updates per task", low=1, tiers=by_tier(4, 60, 60, 300))
    batch_size: int | None = parameter(None, "examples per update", low=1, tiers=by_tier(8, 16, 32, 32))
    items: int | None = parameter(None, "test examples of each task", low=1, tiers=by_tier(4, 144, 64, 200))
    probes: tuple[str, ...] | None = parameter(
        None, "what is measured after every task; none - the groups of the study that go with the model"
    )
    probe_items: int | None = parameter(None, "examples per probe", low=2, tiers=by_tier(8, 1_000, 192, 500))
    precision: str = parameter("auto", "number format of matrix products", choices=language_models.PRECISIONS)
    chat_format: str = parameter(
        "auto", "the chat format of the models; auto - where they have one, off - plain text", choices=CHAT_FORMATS
    )

    def problems(self) -> list[str]:
        """What contradicts what, and names that are not known."""
        found = [problem for name in self.models or () if (problem := language_models.check_name(name))]
        found += seeds_in_names("models", self.models or ())
        found += [
            f"ablated holds {name!r}, which models leaves out: give both, or ablated=[]"
            for name in self.ablated or ()
            if name not in (self.models or ())
        ]
        found += [problem for name in self.tasks or () if (problem := data.check_name(name))]
        found += [
            f"probes holds {name!r}, known are {', '.join(data.probe_names())}"
            for name in self.probes or ()
            if name not in data.probe_names()
        ]
        found += reserved_seeds((*(self.seeds or ()), *(self.sweep_seeds or ())))
        left_out = sorted(set(self.sweep_seeds or ()) - set(self.seeds or ()))
        found += [f"sweep_seeds holds {seed}, which seeds leaves out" for seed in left_out]
        return found
