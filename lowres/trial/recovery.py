"""What ten examples bring back: a measure of its own, for telling knowledge that is gone from a form that is lost.

A probe on which a tuned model scores low may have lost what is asked, or only the habit of answering in that form. In
the second case very little brings it back ("spurious forgetting", Zheng et al. 2025, arXiv 2501.13453, who restore old
tasks by training on ten instances). Here: after the last evaluation of a trial, for each probe on its own,

1. the tuned model as it was evaluated (adapters merged where they can be) is trained in full, all parameters, on
   `SHOWN` items of the probe, in the form in which the probe is scored: its right choice behind its prompt, or a text;
2. by AdamW in `UPDATES` updates of all of them at once, at a rate of `RATE` (of world models `WORLD_RATE`: larger
   ones spoil what an untouched `world-s` knows, smaller ones bring nothing back) that falls linearly, without warm-up,
   weight decay .01, gradient norms clipped at 1;
3. the probe is measured again, on the same items as before, and the model is put back as it was.

The items shown are among those that are set aside (`Probe.part`), which no test measures. The outcomes stand under
"recovery:" and the probe's name. The same is done with an untouched model (there it shows what ten examples of the form
add to what was never lost): recovery is to be read as the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lowres.data import Example, Probe
from lowres.evaluate import Outcomes, evaluate_probe, probe_items
from lowres.evaluate.outcomes import halved
from lowres.language import LanguageModel, formats
from lowres.language.formats import Encoded
from lowres.optimisation import Optimisation
from lowres.params import InputError
from lowres.trial.train import train
from lowres.world import is_world_model

SHOWN, UPDATES = 10, 3
RATE, WORLD_RATE = 1e-4, 3e-4  # of real models, of the world's
PLACE = "recovery:"  # before a probe's name, where the outcomes stand


def recovered(
    model: nn.Module, language_model: LanguageModel, probes: Sequence[Probe], count: int, title: str = ""
) -> dict[str, Outcomes]:
    """Outcomes of each probe after its own ten examples, under its name behind `PLACE`.

    Args:
        model: as it was evaluated last; copies of its weights are trained and thrown away.
        count: items of a probe that were measured.

    Raises:
        InputError: a probe has too few items set aside.
    """
    found = {}
    for probe in probes:
        shown = probe.part("validation").examples[:SHOWN]
        if len(shown) < SHOWN:
            raise InputError(
                f"probe {probe.name!r} has {len(probe.examples)} items, of which {len(shown)} are set aside: recovery "
                f"shows {SHOWN}"
            )
        with _lent(model):
            rows = shown_rows(language_model, probe, shown)
            rate = WORLD_RATE if is_world_model(language_model.name) else RATE
            how = Optimisation(rate, batch_size=len(rows), steps=UPDATES, warmup=0.0)
            train(model, language_model, rows, how, title or f"recovery of {probe.name}")
            found[PLACE + probe.name] = evaluate_probe(model, language_model, probe.part("test"), count)
    return found


def shown_rows(language_model: LanguageModel, probe: Probe, examples: Sequence[Example]) -> list[Encoded]:
    """Items of a probe as rows to train on, token for token as the probe scores them."""
    if probe.kind != "nll":
        items = probe_items(language_model, probe, examples)
        right = [item.continuations[e.choices.index(e.target)] for item, e in zip(items, examples, strict=True)]
        return [Encoded((*item.context, *ids), len(item.context)) for item, ids in zip(items, right, strict=True)]
    if formats.is_encoder_decoder(language_model):
        halves = [halved(language_model, example.target) for example in examples]
        return [Encoded((*half.context, *half.continuations[0]), len(half.context)) for half in halves]
    texts = (formats.plain_ids(language_model, example.target)[: language_model.context] for example in examples)
    return [Encoded(ids, 1) for ids in texts]


@contextmanager
def _lent(model: nn.Module) -> Iterator[None]:
    """Inside, copies of all parameters are there to be trained, in fp32; afterwards the model is as it was."""
    own: list[tuple[Any, torch.Tensor, bool]] = [(each, each.data, each.requires_grad) for each in model.parameters()]
    for parameter, data, _ in own:
        parameter.data = data.clone().float()
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, data, trained in own:
            parameter.data, parameter.grad = data, None
            parameter.requires_grad_(trained)
        model.eval()
