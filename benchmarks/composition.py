"""Two halves of one subspace, trained on two things and then used together (Wu et al. 2024, appendix G).

Half of a rank of edits learns what to answer (the topic of an article), the other half in which form (capital letters,
on other questions). Neither ever sees the other's examples. `make composition` measures what they do together, into
results/composition.json; the page on LoReFT tells it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from lowres import places
from lowres.data import Example, general_pool, load_task
from lowres.language import formats
from lowres.studies import TUNING_SEED

if TYPE_CHECKING:
    import torch

    from lowres.language import LanguageModel
    from lowres.tuners.representation import Edits

FILE = "composition.json"
TASK, FORM_SOURCE = "wiki-topic", "nq-open"
MEASURES = ("topic", "capitals", "both")
CONDITIONS = {
    "untouched": "the model as it is",
    "content": "the first half alone, trained on topics",
    "form": "the second half alone, trained on answers in capitals",
    "together": "both halves at once",
    "directly": "the whole rank, trained on topics in capitals",
}
NEW_TOKENS = 24


@dataclass(frozen=True)
class Setup:
    """How the halves are trained and tested. Every rate is tried for either half; validation data choose the pair."""

    model: str = "smollm2-135m-instruct"
    rank: int = 8
    examples: int = 64
    epochs: int = 3
    batch_size: int = 8
    items: int = 60
    tuning_items: int = 40
    rates: tuple[float, ...] = (5e-4, 2e-3, 8e-3)
    seeds: tuple[int, ...] = (0, 1, 2)


Scores = dict[str, list[float]]


@dataclass(frozen=True)
class Texts:
    """What the halves learn from, and what they are tested on, which belongs to the first half."""

    content: tuple[Example, ...]
    form: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]

    @classmethod
    def of(cls, setup: Setup, seed: int) -> Texts:
        """The subsets of a seed; the form's answers are in capitals."""
        from lowres.data.mixing import take_examples

        task, drawn = load_task(TASK), (setup.examples, seed)
        questions = [example for example in general_pool(TASK) if example.group == FORM_SOURCE]
        return cls(
            take_examples(task.train, *drawn, f"task {TASK!r}"),
            in_capitals(take_examples(questions, *drawn, f"source {FORM_SOURCE!r}")),
            task.validation[: setup.tuning_items],
            task.test[: setup.items],
        )


def in_capitals(examples: Sequence[Example]) -> tuple[Example, ...]:
    """The same questions, to be answered in capital letters."""
    return tuple(replace(example, target=example.target.upper()) for example in examples)


# --- halves ----------------------------------------------------------------------------------------------------------


@contextmanager
def only(edits: Edits, dimensions: slice) -> Iterator[None]:
    """Within it, only these dimensions of every subspace are edited: what is zero is neither read nor written."""
    assert edits.rotation is not None

    def chosen(_: Any, __: Any, directions: torch.Tensor) -> torch.Tensor:
        kept = directions.new_zeros(directions.shape[-1])
        kept[dimensions] = 1
        return directions * kept

    handle = edits.rotation.register_forward_hook(chosen)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def held(edits: Edits, dimensions: slice) -> Iterator[None]:
    """Within it, training leaves the directions of these first dimensions where they are.

    A direction depends on the reflections up to its own, so later ones can turn without it.
    """
    assert edits.rotation is not None
    turned = edits.rotation.turned

    def still(gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        gradient[..., dimensions] = 0
        return gradient

    handle = turned.register_hook(still)
    try:
        yield
    finally:
        handle.remove()


class Halves:
    """A model with LoReFT whose subspaces can be trained and used in parts."""

    def __init__(self, setup: Setup, pristine: LanguageModel, seed: int) -> None:
        from lowres import models, tuners
        from lowres.tuners.representation import edits_of

        self.setup, self.language_model = setup, models.fresh(pristine)
        self.model = tuners.apply(tuners.make("loreft", rank=setup.rank), self.language_model, seed)
        edits = edits_of(self.model)
        assert edits is not None
        self.edits = edits
        middle = setup.rank // 2
        self.first, self.second, self.whole = slice(0, middle), slice(middle, setup.rank), slice(0, setup.rank)

    def learn(self, examples: Sequence[Example], dimensions: slice, rate: float) -> None:
        """Train these dimensions; nothing that belongs to earlier ones moves."""
        from lowres.optimisation import Optimisation
        from lowres.trial.train import train

        rows = [formats.encode(self.language_model, one.prompt, one.target) for one in examples] * self.setup.epochs
        how = Optimisation(rate, batch_size=self.setup.batch_size, weight_decay=0.0)  # decay would move what is held
        with only(self.edits, dimensions), held(self.edits, slice(0, dimensions.start)):
            train(self.model, self.language_model, rows, how, "halves")

    def test(self, examples: Sequence[Example], dimensions: slice) -> tuple[Scores, list[str]]:
        """What is answered where these dimensions are edited."""
        from lowres.evaluate import Item, answer

        items = [Item(formats.prompt_ids(self.language_model, one.prompt), (), ()) for one in examples]
        with only(self.edits, dimensions):
            texts = list(answer(self.model, self.language_model, items, NEW_TOKENS, "halves").texts)
        return judge(examples, texts), texts


def judge(examples: Sequence[Example], texts: Sequence[str]) -> Scores:
    """Per item: whether the topic is right, in whatever letters; whether all letters are capitals; and both."""
    from lowres.evaluate import exact_match

    topic = [exact_match(text, example.target) for example, text in zip(examples, texts, strict=True)]
    capitals = [float(text.isupper()) for text in texts]
    both = [one * other for one, other in zip(topic, capitals, strict=True)]
    return {"topic": topic, "capitals": capitals, "both": both}


# --- the measurement -------------------------------------------------------------------------------------------------


def measure(setup: Setup) -> dict[str, Any]:
    """Choose the rates on validation data, then train and test every seed; plain values to be kept as they are."""
    from lowres import models
    from lowres.trial.provenance import provenance

    pristine = models.load(setup.model)
    tried = [*_pairs(setup, pristine), *_alone(setup, pristine)]
    rates = chosen(tried)
    found = [_seed(setup, pristine, seed, rates) for seed in setup.seeds]
    return {
        **provenance(pristine),
        "setup": asdict(setup),
        "tried": tried,
        "targets": [one.target for one in Texts.of(setup, 0).test],
        "outcomes": {
            name: {measure: [seed[name][0][measure] for seed in found] for measure in MEASURES} for name in CONDITIONS
        },
        "texts": {name: [seed[name][1] for seed in found] for name in CONDITIONS},
    }


Tried = dict[str, Any]  # "rates" of the halves, or the one of the whole; the mean of each measure on validation data


def _pairs(setup: Setup, pristine: LanguageModel) -> list[Tried]:
    """Both halves at once, for every pair of rates."""
    import copy

    texts, found = Texts.of(setup, TUNING_SEED), []
    for content in setup.rates:
        halves = Halves(setup, pristine, TUNING_SEED)
        halves.learn(texts.content, halves.first, content)
        learnt = copy.deepcopy(halves.edits.state_dict())
        for form in setup.rates:
            halves.edits.load_state_dict(learnt)
            halves.learn(texts.form, halves.second, form)
            found.append(_tried([content, form], halves.test(texts.validation, halves.whole)[0]))
    return found


def _alone(setup: Setup, pristine: LanguageModel) -> list[Tried]:
    """The whole rank, trained on what the halves are to do together."""
    texts, found = Texts.of(setup, TUNING_SEED), []
    for rate in setup.rates:
        whole = Halves(setup, pristine, TUNING_SEED)
        whole.learn(in_capitals(texts.content), whole.whole, rate)
        found.append(_tried([rate], whole.test(texts.validation, whole.whole)[0]))
    return found


def _tried(rates: Sequence[float], scores: Scores) -> Tried:
    return {"rates": list(rates), **{name: sum(values) / len(values) for name, values in scores.items()}}


def chosen(tried: Sequence[Tried]) -> dict[int, tuple[float, ...]]:
    """The rates of the halves (2) and of the whole (1) with which most topics were right and in capitals.

    Where several have as many, the one that is the closest to both: by the smaller share of the two.
    """
    found = {}
    for count in (1, 2):
        among = [one for one in tried if len(one["rates"]) == count]
        best = max(among, key=lambda one: (one["both"], min(one["topic"], one["capitals"])))
        found[count] = tuple(best["rates"])
    return found


def _seed(
    setup: Setup, pristine: LanguageModel, seed: int, rates: Mapping[int, tuple[float, ...]]
) -> dict[str, tuple[Scores, list[str]]]:
    """Every condition on the test articles."""
    texts, halves, whole = Texts.of(setup, seed), Halves(setup, pristine, seed), Halves(setup, pristine, seed)
    found = {"untouched": halves.test(texts.test, slice(0, 0))}
    (content, form), (directly,) = rates[2], rates[1]
    halves.learn(texts.content, halves.first, content)
    halves.learn(texts.form, halves.second, form)
    parts = {"content": halves.first, "form": halves.second, "together": halves.whole}
    found |= {name: halves.test(texts.test, part) for name, part in parts.items()}
    whole.learn(in_capitals(texts.content), whole.whole, directly)
    return {**found, "directly": whole.test(texts.test, whole.whole)}


def main() -> None:
    """Measure, and keep what was found."""
    from lowres.ledger import write_atomically

    path = places.RESULTS / FILE
    write_atomically(path, json.dumps(measure(Setup()), ensure_ascii=False).encode() + b"\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
