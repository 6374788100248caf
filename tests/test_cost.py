"""What a plan says of machines, against what published records took and what models are known to hold."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from lowres import cli, counting, engine, hubmodels, params, studies
from lowres.engine import cost, planning
from lowres.ledger import Ledger
from lowres.optimisation import Optimisation
from lowres.published import read_published
from lowres.rates import unseeded
from lowres.trial import Evaluation, Recipe, Record, Trial, trial_from
from lowres.tuners import make

MEASURED = ("smollm2-135m-instruct", "world-xs", "world-s", "world-m", "world-s-encdec~0.55", "world-m-encdec~0.55")
CPU = cost.Machine("a thread", 24, 4.5e10, cost.DELAY, 4, cost.ROOM)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    found = [one for study in ("forgetting", "loreft") for one in read_published(study)]
    return [one for one in found if one.status == "done" and one.cost.get("training_seconds")]


@pytest.mark.parametrize("model", MEASURED)
def test_seconds_of_published_trials_are_predicted_within_a_factor_of_two(records: list[Record], model: str):
    ratios = []
    for record in records:
        trial = trial_from(record.trial)
        if unseeded(trial.model) == model:
            half = model.startswith("smollm2") and record.provenance.get("precision") == "bf16"
            machine = replace(CPU, rate=9e10) if half else CPU
            took = record.cost["training_seconds"] / record.cost["training_tokens"]
            ratios.append(1 / planning.by_size(trial, machine).training / took)
    assert len(ratios) >= 10
    assert 1 / 2 < statistics.median(ratios) < 2, statistics.median(ratios)


def test_memory_of_published_trials_is_predicted_within_a_factor_of_two(records: list[Record]):
    """The peak of a process is that of its largest trial: the least of each kind is that of such a trial alone."""
    least: dict[tuple[str, str], float] = defaultdict(lambda: float("inf"))
    trials: dict[tuple[str, str], Trial] = {}
    for record in records:
        trial = trial_from(record.trial)
        name = (unseeded(trial.model), trial.tuner.name if trial.tuner else "")
        if name[0] in MEASURED and name[1] in ("full", "lora", "loreft"):
            least[name] = min(least[name], record.cost["peak_memory_bytes"] / 1e9)
            trials[name] = trial
    assert len(least) >= 8
    for name, measured in least.items():
        assert 1 / 2 < cost.gigabytes(trials[name], CPU) / measured < 2, (name, measured)


@pytest.mark.parametrize("model", ["world-xs", "world-s", "world-m", "world-s-encdec~0.55", "smollm2-135m-instruct"])
def test_sizes_are_those_that_full_tuning_trains(records: list[Record], model: str):
    trained = {
        record.counts.get("trained_parameters") or record.counts.get("4:trained_parameters")
        for record in records
        if unseeded(record.trial["model"]) == model and record.trial["tuner"]["name"] == "full"
    } - {None}
    (weights,) = trained
    assert cost.size(model).weights == pytest.approx(weights, rel=0.02)


def test_sizes_of_a_folder_and_of_the_papers_models(chat_folder: Path):
    config = counting.configuration(str(chat_folder))
    own = cost.size(str(chat_folder))
    assert (own.layers, own.width) == (config.num_hidden_layers, config.hidden_size)
    assert cost.SIZES["huggyllama/llama-7b"].weights == pytest.approx(
        counting.weights(counting.configuration("llama-7b")), rel=1e-3
    )


def test_a_hand_worked_trial():
    """Ten weights in a body and a table of 10 x 2: per token 2 x (10 + a tenth of 20) operations and pass."""
    own = cost.Size(30, 1, 2, 10, 1)
    assert own.passed == 12
    machine = cost.Machine("m", 1, 24.0)
    assert [cost.seconds_per_token(own, machine, passes, 1) for passes in (1, 2, 3)] == [1, 2, 3]
    slow = replace(machine, delay=9.0)
    assert cost.seconds_per_token(own, slow, 3, 1) == 3 + 9
    assert cost.seconds_per_token(own, slow, 2, 6) == 2 + 1
    assert cost.Size(50, 2, 2, 10, 2, encoder_decoder=True).passed == 5 + 2
    llama = Trial(
        "s", "a", "huggyllama/llama-7b", "t", Recipe(task_tokens=1000, general_tokens=500), make("full"),
        Optimisation(1e-4, epochs=2, batch_size=1), Evaluation(items=1), 0,
    )  # fmt: skip
    assert cost.rough_tokens(llama) == 3000
    assert cost.rough_tokens(replace(llama, optimisation=Optimisation(1e-4, steps=3, batch_size=2))) == 3 * 2 * 300
    assert cost.rough_tokens(replace(llama, tuner=None)) == 0
    weights = (2 + 4 + 4 + 8) * 6.74  # untouched, own, gradient, Adam
    assert cost.gigabytes(llama, cost.CARDS[-1]) == pytest.approx(weights, rel=0.05)
    assert cost.gigabytes(replace(llama, tuner=None), cost.CARDS[-1]) == pytest.approx(2 * 6.74 + 0.5)


def test_the_smallest_card_that_holds_a_trial():
    assert [card.name if card else None for card in map(cost.smallest_card, (20, 24.5, 60, 130, 142))] == [
        "L4",
        "L40S",
        "A100",
        "H200",
        None,
    ]


def test_pretraining_takes_longer_the_larger_and_the_more_is_taught():
    times = [cost.pretraining_seconds(name) for name in ("world-s", "world-s-instruct", "world-l", "world-xl")]
    assert times == sorted(times)
    assert times[1] / times[0] == pytest.approx(1.4)
    assert 1400 / 2 < times[2] * cost.here("world-l", "fp32").rate / 4.5e10 < 1400 * 2  # seconds that it took


@pytest.mark.parametrize("name", ["fiat", "forgetting", "loreft"])
def test_the_paper_tier_is_planned_without_its_models_and_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Path
):
    def fetch(*_: object, **named: object) -> str:
        assert named.get("local_files_only"), "a plan fetches nothing"
        raise FileNotFoundError

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    study, ledger = studies.load(name), Ledger(tmp_path)
    chosen = params.resolve(study.Params(tier="paper"))
    with hubmodels.nothing_fetched():
        trials = studies.planned(study, chosen, ledger)
        text = engine.plan(trials, ledger)
        before = studies.to_prepare(study, chosen)
    assert {trial.model for trial in trials} <= set(cost.SIZES)
    assert f"one {'A100' if name == 'fiat' else 'H200'}" in text
    assert "Too large for this machine" in text
    assert len(before) == (2 if name == "fiat" else 0)
    assert all("flan-t5-xxl" in line for line in before)


def test_nothing_is_away_but_in_a_plan(chat_folder: Path):
    assert not hubmodels.is_away("nobody/nothing")
    with hubmodels.nothing_fetched():
        assert hubmodels.is_away("nobody/nothing")
        assert not hubmodels.is_away(str(chat_folder))
        assert not hubmodels.is_away("world-xs")


def test_a_model_that_must_be_pretrained_is_estimated_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], results: Path
):
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path / "ledger"))
    asked = ["-p", "tier=smoke", "-p", "models=[world-xl]", "-p", "ablated=[]"]
    assert cli.main(["plan", "forgetting", *asked]) == 0
    out = capsys.readouterr().out
    assert "To be pretrained first: 1 world models (world-xl)" in out
    assert not (tmp_path / "cache" / "models").exists()


def test_a_model_without_a_known_size_is_refused_by_name(capsys: pytest.CaptureFixture[str]):
    asked = ["-p", "tier=paper", "-p", "model=nobody/nothing"]
    assert cli.main(["plan", "loreft", *asked]) != 0
    assert "nobody/nothing" in capsys.readouterr().err
