"""What a plan says of machines, against what published records took and what models are known to hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from benchmarks import pace
from lowres import cli, data
from lowres.engine import cost, counting
from lowres.ledger.published import read_published
from lowres.models import hubmodels
from lowres.optimisation import Optimisation
from lowres.rates import unseeded
from lowres.studies.tell import sizes
from lowres.trial import Evaluation, Recipe, Record, Trial, trial_from
from lowres.tuners import make

MEASURED = ("smollm2-135m-instruct", "world-xs", "world-s", "world-m", "world-s-encdec~0.55", "world-m-encdec~0.55")
CPU = cost.Machine("a thread", 24, cost.PROCESSORS["AMD", "fp32"], 0.0, 4, cost.ROOM)
STUDIES = ("crossing", "fiat", "forgetting", "loreft", "tell")


@pytest.fixture(scope="module")
def records() -> list[Record]:
    found = [one for study in ("forgetting", "loreft") for one in read_published(study)]
    return [one for one in found if one.status == "done" and one.cost.get("training_seconds")]


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return json.loads((tiny.ROOT / "results" / "pace.json").read_text())


def test_seconds_of_published_trials_are_predicted_within_thirty_percent(kept: dict[str, Any]):
    """The table on the page is what comes out when it is computed again from the records that it was made from."""
    rows = pace.compared(pace.records_until(kept["until"]))
    assert {row.size for row in rows} >= set(MEASURED)
    assert {row.size: row.error for row in rows if row.error > 0.3} == {}
    assert [row.size for row in rows] == [row["size"] for row in kept["rows"]]
    for row, before in zip(rows, kept["rows"], strict=True):
        assert row.error == pytest.approx(before["error"], abs=0.02)
        assert row.ratio == pytest.approx(before["ratio"], abs=0.02)
        assert row.unseen == pytest.approx(before["unseen"], abs=0.05)


def test_the_paces_of_processors_are_those_that_records_tell(kept: dict[str, Any]):
    found = {
        kind: pace.fitted(trials) for kind, trials in pace.kinds(pace.timed(pace.records_until(kept["until"]))).items()
    }
    assert found.keys() == cost.PROCESSORS.keys()
    for kind, fitted in found.items():
        used = cost.PROCESSORS[kind]
        assert used.rate == pytest.approx(fitted.rate, rel=0.1), kind
        assert used.token == pytest.approx(fitted.token, rel=0.1), kind


def test_a_fit_finds_the_pace_that_trials_were_made_with():
    made, random = cost.Pace(2e10, 3e-3, 1e-3, 2e-5, 3e-4, 1e-4), np.random.default_rng(0)
    parts = random.uniform(0.1, 1, (60, 6)) * [1e11, 500, 500, 1e5, 5e3, 5e3]
    blank = [pace.Timed("s", "m", "", "", tuple(row), 1.0) for row in parts]
    fitted = pace.fitted([replace(one, seconds=one.told(made)) for one in blank])
    assert fitted.rate == pytest.approx(made.rate, rel=0.01)
    assert (fitted.update, fitted.token, fitted.item) == pytest.approx((made.update, made.token, made.item), rel=0.05)


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


def test_a_hand_worked_trial(monkeypatch: pytest.MonkeyPatch):
    """Ten weights in a body and a table of 10 x 2: per token 2 x (10 + a tenth of 20) operations and pass."""
    assert cost.Size(50, 2, 2, 10, 2, encoder_decoder=True).passed == 5 + 2
    monkeypatch.setitem(cost.SIZES, "ten", cost.Size(30, 3, 2, 10, 1))
    trial = Trial(
        "s", "a", "ten", "t", Recipe(task_tokens=1000), make("full"), Optimisation(1e-4, batch_size=5),
        Evaluation(items=3, probes=("p", "q"), probe_items=4), 0,
    )  # fmt: skip
    assert cost.measured(trial, 3) == (3, 8)
    work = cost.Work(tokens=1000, updates=20, items=3, probes=8)  # examples of ten tokens
    through = 3 * 1000 + 3 * 10 + 8 * cost.PROBE[0]
    assert cost.operations(trial, work) == 24 * through
    machine = cost.Machine("m", 1, cost.Pace(24.0))
    assert cost.seconds(trial, work, machine) == through
    slow = replace(machine, pace=cost.Pace(24.0, 2.0, 5.0, 7.0, 11.0, 13.0))
    assert cost.seconds(trial, work, slow) == through + 3 * (2 * 20 + 7 * through + 11 * 3 + 13 * 8)
    beside = replace(trial, tuner=make("lora"))
    assert cost.operations(beside, work) == 24 * (through - 1000)
    assert (
        cost.seconds(beside, work, slow) - cost.seconds(replace(trial, tuner=make("loreft")), work, slow) == 3 * 5 * 20
    )


def test_a_plan_of_budgets_alone():
    llama = Trial(
        "s", "a", "huggyllama/llama-7b", "t", Recipe(task_tokens=1000, general_tokens=500), make("full"),
        Optimisation(1e-4, epochs=2, batch_size=1), Evaluation(items=1), 0,
    )  # fmt: skip
    rough = cost.rough_work(llama)
    assert (rough.tokens, rough.updates, rough.items) == (3000, 25, 1)
    stepped = cost.rough_work(replace(llama, optimisation=Optimisation(1e-4, steps=3, batch_size=2)))
    assert (stepped.tokens, stepped.updates) == (3 * 2 * cost.EXAMPLE, 3)
    assert cost.rough_work(replace(llama, tuner=None)).tokens == 0
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
    for name, took in (("world-xs", 72), ("world-s", 154), ("world-l", 1400)):  # seconds of a quiet core
        assert cost.pretraining_seconds(name) == pytest.approx(took, rel=0.3)


@pytest.mark.parametrize("name", STUDIES)
def test_the_paper_tier_is_planned_by_sizes_alone(name: str, tmp_path: Path):
    """In a process of its own, which then has loaded neither torch nor transformers: no weights, no tokenizer."""
    script = (
        "import sys; from lowres import cli; code = cli.main(sys.argv[1:]); "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)), code)"
    )
    asked = ["plan", name, "-p", "tier=paper", "--ledger", str(tmp_path / "ledger")]
    done = subprocess.run([sys.executable, "-c", script, *asked], capture_output=True, text=True, check=True)
    text = done.stdout
    assert text.splitlines()[-1] == "[] 0", done.stderr
    assert "planned by sizes alone" in text
    assert "dollars an hour" in text
    assert "defaults to replace" in text
    assert "floating-point operations" in text
    smallest = {"fiat": "A100", "forgetting": "H200", "loreft": "H200", "tell": "L4", "crossing": "L40S"}
    assert f"one {smallest[name]}" in text
    assert ("To be written first" in text) == (name in ("fiat",))
    if name in ("fiat", "forgetting", "loreft"):
        assert "Too large for this machine" in text


@pytest.mark.parametrize("name", ["loreft", "tell"])
def test_a_paper_tier_takes_a_model_that_is_not_here(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    asked = ["-p", "tier=paper", "-p", "model=huggyllama/llama-7b", "--ledger", str(tmp_path)]
    assert cli.main(["plan", name, *asked]) == 0
    assert "huggyllama/llama-7b" in capsys.readouterr().out


def test_the_pools_are_as_large_as_a_plan_takes_them_to_be():
    real, made = (
        sum(len(sizes.WORDS.findall(f"{one.prompt} {one.target}")) for one in data.general_pool(task))
        for task in ("wiki-description", "world-relations")
    )
    assert 0.7 < real / sizes.POOL < 1  # a word is a token and a bit
    assert made == pytest.approx(sizes.WORLD_POOL, rel=0.05)


def test_cards_and_their_prices_are_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = tmp_path / "mine.csv"
    table.write_text("# mine\ncard,gigabytes,teraflops,dollars_per_hour\nlarge,2000,1000,7\nsmall,1,10,0.1\n")
    assert [card.name for card in cost.read_cards(table)] == ["small", "large"]
    asked = ["plan", "loreft", "-p", "tier=paper", "--ledger", str(tmp_path)]
    assert cli.main([*asked, "--cards", str(table)]) == 0
    out = capsys.readouterr().out
    assert "defaults to replace" not in out
    found = next(line.split() for line in out.splitlines() if line.startswith("large "))
    hours, price, money = (float(number.replace(",", "")) for number in found[2:])
    assert price == 7
    assert money == pytest.approx(hours * price, rel=0.01)
    for wrong in (
        "card,gigabytes\nx,3\n",
        "card,gigabytes,teraflops,dollars_per_hour\nx,many,1,1\n",
        "card,gigabytes,teraflops,dollars_per_hour\nx,0,1,1\n",
    ):
        table.write_text(wrong)
        assert cli.main([*asked, "--cards", str(table)]) == cli.REFUSED
        assert "dollars_per_hour" in capsys.readouterr().err
    assert cli.main([*asked, "--cards", str(tmp_path / "nothing.csv")]) == cli.REFUSED


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
