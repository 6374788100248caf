"""Log-likelihoods of choices against lm-evaluation-harness: what `make parity` recorded of both, and of a part anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_env import pins

from lowres import evaluate
from lowres.data import load_probe
from lowres.evaluate import Answers, outcomes
from lowres.language import LanguageModel

RECORD = json.loads((Path(__file__).parent / "parity" / "lm_eval.json").read_text())
PROBES = ("piqa", "siqa", "commonsenseqa", "openbookqa")
CLOSE = 1e-3  # nats


def recorded(name: str) -> tuple[list[str], list[list[float]], list[list[float]]]:
    """Ids, our scores and the harness's."""
    ids, ours, theirs = zip(*RECORD["tasks"][name]["items"], strict=True)
    return list(ids), list(ours), list(theirs)


def chosen(rows: list[list[float]]) -> list[int]:
    return [max(range(len(row)), key=row.__getitem__) for row in rows]


def test_the_record_is_of_the_pinned_versions():
    versions = {name: version.partition("+")[0] for name, version in RECORD["versions"].items()}
    assert versions["lm_eval"] == pins("requirements-peers.txt")["lm-eval"]
    assert versions["transformers"] == pins("requirements.txt")["transformers"]
    assert versions["torch"] == pins("requirements.txt")["torch"]
    assert set(RECORD["tasks"]) == set(PROBES)


@pytest.mark.parametrize("name", PROBES)
def test_whole_tasks_score_as_in_the_harness(name: str):
    ids, ours, theirs = recorded(name)
    examples = load_probe(name).examples[: len(ids)]
    assert len(ids) >= 300
    assert [example.id.rpartition("/")[2] for example in examples] == ids
    for example, one, other in zip(examples, ours, theirs, strict=True):
        assert len(one) == len(other) == len(example.choices)
        assert one == pytest.approx(other, abs=CLOSE)
    assert chosen(ours) == chosen(theirs)


@pytest.mark.parametrize("name", PROBES)
def test_both_accuracies_are_those_of_the_harness(name: str):
    ids, ours, _ = recorded(name)
    examples = load_probe(name).examples[: len(ids)]
    items = [
        evaluate.Item((1,), ((1,),) * len(example.choices), tuple(map(len, example.choices))) for example in examples
    ]
    found = outcomes._choice_outcomes(examples, items, Answers(tuple(map(tuple, ours)), ("",) * len(items)))
    assert sum(found["accuracy"]) / len(ids) == pytest.approx(RECORD["tasks"][name]["acc"])
    assert sum(found["accuracy_per_character"]) / len(ids) == pytest.approx(RECORD["tasks"][name]["acc_norm"])


@pytest.mark.parametrize("name", PROBES)
def test_scores_are_still_those_recorded(name: str, real_model: Any):
    """Spread over the recorded items; scored on this machine, in batches of other items than there."""
    language_model: LanguageModel = real_model
    ids, ours, theirs = recorded(name)
    examples = load_probe(name).examples[: len(ids)][::30]
    if language_model.fingerprint != RECORD["model"]:
        pytest.fail("the bundled model is another one than the recorded: run make parity")
    items = evaluate.plain_items(language_model, examples)
    found = evaluate.answer(language_model.model, language_model, items).log_likelihoods
    for scores, one, other in zip(found, ours[::30], theirs[::30], strict=True):
        assert scores == pytest.approx(one, abs=CLOSE)
        assert scores == pytest.approx(other, abs=CLOSE)
