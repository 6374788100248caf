"""The LoReFT study: parameters, arms, equal budgets, Pareto front, verdicts from hand-made records, and its page."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from numpy.typing import NDArray

from lowres import claims, data, models, studies, tuners
from lowres.anova import anova_effect
from lowres.claims import Verdict
from lowres.exhibits import RULES, behaviour
from lowres.ledger import Ledger
from lowres.optimisation import Optimisation
from lowres.params import InputError, from_mapping, resolve
from lowres.rules import Asked, Contrast
from lowres.stats import Effect, paired_effect
from lowres.studies import loreft
from lowres.studies.loreft import arms, bench, evidence, exhibits, paper, pareto, rules
from lowres.studies.loreft.exhibits import common, questions
from lowres.studies.loreft.params import FEW, Params
from lowres.trial import Evaluation, Recipe, Record, Trial, draw
from lowres.world import sizes

ITEMS = 120
REAL = "smollm2-135m-instruct"
WORLD = "world-s"


def params(**given: Any) -> Params:
    return resolve(from_mapping(Params, given))


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"arms": ["lorra"]}, 'did you mean "lora"'),
        ({"arms": []}, "arms must not be empty"),
        ({"task": "siqa-csqaa"}, "did you mean 'siqa-csqa'"),
        ({"model": "world-q"}, "unknown size 'q'"),
        ({"model": "world-s@3"}, "model must name 'world-s@3' without its seed"),
        ({"task": "siqa-csqa", "probes": ["siqa"]}, "probes holds 'siqa', whose items the task 'siqa-csqa' trains on"),
        ({"probes": ["sqia"]}, 'did you mean "siqa"'),
        ({"seeds": [arms.TUNING_SEED]}, f"seeds must not hold {arms.TUNING_SEED}"),
        ({"rate_factors": [0.0]}, "rate_factors[0] must be above 0"),
        ({"curves": ["rank"]}, 'did you mean "ranks"'),
        ({"task_tokens": 0}, "task_tokens must be at least 1"),
        ({"teir": "smoke"}, 'did you mean "tier"'),
    ],
)
def test_wrong_and_contradictory_values_are_refused(values: dict[str, Any], words: str):
    with pytest.raises(InputError, match=re.escape(words)):
        from_mapping(Params, values)


def tiny_params(model: Path, task: str, **more: Any) -> Params:
    given: dict[str, Any] = {
        "tier": "smoke",
        "model": str(model),
        "task": task,
        "task_tokens": 200,
        "items": 4,
        "probes": [],
        "precision": "fp32",
    }
    return params(**{**given, **more})


@pytest.mark.parametrize(
    ("arm", "options", "words"),
    [
        ("loreft", {"rank": 33}, "arm 'loreft': loreft: rank is 33; allowed: 1 to 32, the width of the model"),
        ("loreft", {"layers": "5"}, "arm 'loreft': layers '5': no layer 5; the model has 0 to 1"),
        ("loreft", {"positions": "p999+s1"}, "arm 'loreft': positions 'p999+s1' are longer than any prompt"),
    ],
)
def test_what_model_or_prompt_do_not_have_is_one_clear_error(
    chat_folder: Path, task: str, monkeypatch: pytest.MonkeyPatch, arm: str, options: dict[str, Any], words: str
):
    monkeypatch.setitem(arms.ARMS, arm, replace(arms.ARMS[arm], options=options))
    with pytest.raises(InputError) as refused:
        loreft.trials(tiny_params(chat_folder, task, arms=[arm]))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_tuner_that_an_architecture_does_not_allow_is_refused_before_anything_runs(
    chat_folder: Path, task: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(arms.ARMS, "lora", replace(arms.ARMS["lora"], options={"targets": "c_attn"}))
    with pytest.raises(InputError, match="arm 'lora': LoRA targets 'c_attn': no linear layer c_attn"):
        loreft.trials(tiny_params(chat_folder, task, arms=["lora"]))


def test_a_budget_larger_than_the_data_is_refused(chat_folder: Path, task: str):
    with pytest.raises(InputError, match="the budget of 900,000 tokens is more than task"):
        loreft.trials(tiny_params(chat_folder, task, task_tokens=900_000))


# --- arms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, arm in arms.ARMS.items() if arm.tuner])
def test_every_arm_builds_a_trial_whose_tuner_applies_and_trains_something(
    name: str, chat_folder: Path, chat_model: models.LanguageModel, task: str
):
    (trial,) = loreft.trials(tiny_params(chat_folder, task, arms=[name]))
    assert trial.arm == name
    assert trial.recipe.labels == ("random" if name == "loreft-random-labels" else "true")
    assert trial.tuner is not None
    model = tuners.apply(trial.tuner, models.fresh(chat_model), 0)
    assert sum(each.numel() for each in model.parameters() if each.requires_grad) > 0


def test_the_arms_that_are_to_match_loreft_match_it():
    from lowres.counting import count

    matching = ("loreft", "lora-matched", "lora-at-positions", "loreft-untied", "loreft-half-rank")
    made = [tuners.make(arms.ARMS[name].tuner, **arms.ARMS[name].options) for name in matching]
    sizes = dict(zip(matching, (counted.trained for counted in count("llama-7b", made)), strict=True))
    assert sizes["loreft"] == 2_097_408
    assert sizes["lora-matched"] == sizes["lora-at-positions"] == sizes["loreft"] - 32 * 8
    assert sizes["loreft-untied"] == sizes["loreft"]
    assert sizes["loreft-half-rank"] * 2 == sizes["loreft"]


def test_half_the_epochs_make_half_the_updates(chat_folder: Path, chat_model: models.LanguageModel, task: str):
    half, whole = loreft.trials(tiny_params(chat_folder, task, arms=["loreft-half-epochs", "loreft"], epochs=4))
    examples = len(draw(half, data.load_task(task), chat_model)[0])
    assert whole.optimisation.steps is None
    assert half.optimisation == replace(whole.optimisation, steps=math.ceil(examples * 4 / 8 / 2))


def test_curves_leave_out_positions_and_layers_that_are_not_there(chat_folder: Path, task: str):
    found = loreft.trials(tiny_params(chat_folder, task, arms=["loreft"], curves=["layers", "data", "ranks"]))
    assert {trial.tuner.layers for trial in found if isinstance(trial.tuner, tuners.LoReFT)} == {"all", "1", "0"}
    assert Counter(trial.arm for trial in found if trial.recipe.task_tokens < 200) == {"loreft": 3, "lora": 3}
    chosen = arms.settings(params(tier="smoke", curves=["positions"]), 2, 4)
    assert [dict(s.options)["positions"] for s in chosen if s.options] == ["p1+s1", "p3+s3", "s1"]
    assert arms.layer_sets(30) == (
        "15",
        "29",
        ",".join(map(str, range(15))),
        ",".join(map(str, range(15, 30))),
        "3,11,18,26",
    )


# --- equal budgets ---------------------------------------------------------------------------------------------------


def tuning_record(trial: Trial, loss: float, status: str = "done") -> Record:
    outcomes = {"task": {"target_nll": [loss] * 3, "accuracy": [0.5, 1.0, 0.0]}} if status == "done" else {}
    name = f"{trial.arm}-{trial.optimisation.learning_rate}"
    return Record(name, status, trial.spec(), {}, outcomes, error="" if status == "done" else "diverged")


def test_every_arm_with_a_rate_of_its_own_gets_the_same_number_of_tries():
    chosen = params(arms=list(arms.ARMS), rate_factors=[0.25, 1.0, 4.0])
    found = loreft.tuning(chosen)
    tries = Counter(trial.arm for trial in found)
    assert set(tries.values()) == {3}
    assert set(tries) == {f"tuning {a.name}" for a in arms.ARMS.values() if a.tuner and not a.rate_of}
    assert {(t.evaluation.split, t.seed, t.evaluation.probes) for t in found} == {("validation", arms.TUNING_SEED, ())}
    assert loreft.tuning(params(rate_factors=[1.0])) == []


def test_the_rate_under_which_validation_targets_are_likeliest_wins_and_a_failed_run_never(monkeypatch: Any):
    chosen = params(arms=["lora", "loreft", "loreft-random-labels"], rate_factors=[0.25, 1.0, 4.0])
    losses = {("lora", 0.25): 2.0, ("lora", 1.0): 1.0, ("lora", 4.0): 0.1, ("loreft", 0.25): 0.5}
    records = []
    for trial in loreft.tuning(chosen):
        name = trial.arm.removeprefix("tuning ")
        factor = trial.optimisation.learning_rate / arms.usual_rate(REAL, name)
        status = "failed" if (name, factor) == ("lora", 4.0) else "done"
        records.append(tuning_record(trial, losses.get((name, factor), 3.0), status))
    assert arms.chosen_rates(records) == {
        "lora": arms.usual_rate(REAL, "lora"),
        "loreft": arms.usual_rate(REAL, "loreft") / 4,
    }
    rates = arms.learning_rates(chosen, records)
    assert arms._rate(chosen, "loreft-random-labels", rates) == rates["loreft"]
    found = evidence.Evidence(chosen, {}, False, records)
    table = repr(exhibits.tuning_table(found, records))
    rows = {cells[0].strip(): cells for line in table.splitlines() if (cells := line.strip("|").split(" | "))}
    tried, seeds, rate = (cell.strip() for cell in rows["lora"][1:4])
    assert (tried, seeds, rate) == ("0.00025: 2.000, 0.001: 1.000, 0.004: failed", "1", "0.001")
    assert rows["loreft"][3].strip() == "0.00025, smallest tried"
    curve = repr(exhibits.tuning_curve(found, records))
    assert "3 tries" in curve
    assert "lora: 0.000 nats" not in curve


# --- Pareto ----------------------------------------------------------------------------------------------------------


def effect_of(scores: dict[str, list[float]]) -> Callable[[str, str], Effect]:
    return lambda more, less: paired_effect([scores[more]] * 2, [scores[less]] * 2)


def test_the_front_keeps_ties_and_only_a_difference_beyond_noise_beats_an_arm():
    level = {"cheap": 0.5, "twin": 0.5, "dear": 0.8, "noisy": 0.45, "bad": 0.1, "dearer and equal": 0.8}
    cost = {"cheap": 1, "twin": 1, "dear": 10, "noisy": 2, "bad": 5, "dearer and equal": 20}
    found = {name: pareto.Candidate(cost[name], level[name]) for name in level}
    assert pareto.front(found) == {"cheap", "twin", "dear"}
    wave = [0.2 * (-1) ** item for item in range(40)]
    scores = {name: [value + 0.001 * (item % 3) for item in range(40)] for name, value in level.items()}
    scores["noisy"] = [0.45 + part for part in wave]
    assert pareto.places(found, effect_of(scores)) == {
        "cheap": "front",
        "twin": "front",
        "dear": "front",
        "noisy": "not told apart",
        "bad": "beaten",
        "dearer and equal": "not told apart",
    }
    assert pareto.places(found, lambda *_: None)["bad"] == "not told apart"
    assert pareto.front({}) == set()


# --- hand-made records -----------------------------------------------------------------------------------------------


def record(  # noqa: PLR0913 - one keyword per thing that tests vary
    arm: str,
    score: float,
    *,
    model: str = REAL,
    task: str = "siqa-csqa",
    seed: int = 0,
    tokens: int = 4000,
    size: int = 1000,
    items: int = ITEMS,
    noise: float = 0.03,
    **options: Any,
) -> Record:
    """A record whose items score around `score`, in a pattern that is nearly the same for every arm."""
    kind = arms.ARMS[arm]
    tuner = tuners.make(kind.tuner, **{**kind.options, **options}) if kind.tuner else None
    if tuner is not None and getattr(tuner, "layers", "") == arms.MIDDLE:
        tuner = replace(tuner, layers="15")
    probes = ("world-fact-home",) if model.startswith("world") else ("openbookqa", "wiki-nll")
    trial = Trial(
        "loreft",
        arm,
        studies.seeded(model, seed),
        task,
        Recipe(task_tokens=tokens, labels=kind.labels) if tuner else Recipe(),
        tuner,
        Optimisation(1e-3) if tuner else None,
        Evaluation(items=items, probes=probes, probe_items=20),
        seed,
    )
    scores = [score + noise * ((item * 7 + seed * 3 + len(arm)) % 5 - 2) for item in range(items)]
    right = [float((item + seed) % 3 > 0) for item in range(20)]
    choices = {"accuracy": right, "accuracy_per_character": right, "target_nll": right, "chosen": right}
    outcomes = {"task": {studies.Where(model, task).metric: scores, "target_nll": [3 - value for value in scores]}}
    outcomes |= {probe: choices if probe != "wiki-nll" else {"nll": [2 + score] * 5 + [2.1] * 15} for probe in probes}
    counts = {"task_examples": 15, "trained_parameters": size if tuner else 0}
    return tiny.record(f"{model}-{task}-{arm}-{seed}-{tokens}-{options}", trial, outcomes, counts=counts)


SIZES = {"full": 1_000_000, "lora": 10_000, "dora": 11_000, "prefix": 700, "loreft": 2000, "direft": 2000, "prompt": 50}


def run(arm: str, score: float, seeds: int = 3, **more: Any) -> list[Record]:
    """An arm with its seeds; a real untouched model has one."""
    single = arm == "untouched" and not str(more.get("model", REAL)).startswith("world")
    size = more.pop("size", SIZES.get(arm, 2000))
    return [record(arm, score, seed=seed, size=size, **more) for seed in range(1 if single else seeds)]


def place(levels: dict[str, float], **more: Any) -> list[Record]:
    return [one for arm, level in levels.items() for one in run(arm, level, **more)]


COMMONSENSE = {
    "untouched": 0.3,
    "full": 0.5,
    "lora": 0.55,
    "lora-at-positions": 0.5,
    "lora-matched": 0.52,
    "direft": 0.55,
    "loreft": 0.65,
    "loreft-half-rank": 0.65,
    "loreft-half-epochs": 0.64,
    "loreft-pyreft": 0.65,
    "loreft-random-labels": 0.3,
    "loreft-random-direction": 0.3,
    "loreft-frozen-rotation": 0.5,
}
LONG = {"untouched": 0.0, "lora": 0.5, "loreft": 0.4, "prefix": 0.3, "direft": 0.35}
WORLD_ARMS = {
    "untouched": 0.2,
    "lora": 0.7,
    "direft": 0.55,
    "loreft": 0.6,
    "loreft-no-subtraction": 0.6,
    "loreft-non-orthogonal": 0.6,
    "loreft-constant": 0.5,
    "loreft-bias-only": 0.4,
}


def as_the_paper_tells_it() -> list[Record]:
    found = place(COMMONSENSE) + run("loreft", 0.645, tokens=2000)
    found += place(LONG, model=WORLD, task="world-telling-4", size=5)
    found += place({"lora": 0.5, "loreft": 0.52}, model=WORLD, task="world-telling-1", size=5)
    found += place({"untouched": 0.0, "lora": 0.5, "loreft": 0.4, "direft": 0.3}, task="arithmetic-steps")
    found += place({"full": 0.5, "lora": 0.5, "red": 0.5, "direft": 0.5, "loreft": 0.6}, task="instruction-following")
    found += place({"lora": 0.5, "loreft": 0.5, "direft": 0.4}, task="boolq")
    for model, lead in (("world-s", 0.0), ("world-m", 0.07)):
        levels = {arm: level - lead * (arm == "lora") for arm, level in WORLD_ARMS.items()}
        found += place(levels, model=model, task="world-two-hop")
    return found + recited(text=0.98, noise=0.3)


def recited(text: float, noise: float) -> list[Record]:
    named = {"recitation-32": text, "recitation-random-32": noise, "recitation-64": text / 2}
    return [
        one
        for task, level in named.items()
        for one in run("recall", level, task=task, items=1, noise=0.001, tokens=30, size=5)
    ]


Judge = Callable[[list[Record]], dict[str, Verdict]]


def gathered(monkeypatch: pytest.MonkeyPatch, records: list[Record]) -> evidence.Evidence:
    monkeypatch.setattr("lowres.published.read_published", lambda study: records)
    return loreft.gather(params(), [])


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """A function from published records to verdicts by name."""
    return lambda records: {v.claim.name: v for v in loreft.verdicts(gathered(monkeypatch, records))}


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_records_as_the_paper_tells_it_reproduce_its_claims(judged: Judge):
    found = judged(as_the_paper_tells_it())
    outcomes = {name: verdict.outcome for name, verdict in found.items()}
    assert set(outcomes.values()) == {"reproduced"}, {n: v.reason for n, v in found.items()}
    assert [verdict.claim for verdict in found.values()] == list(loreft.CLAIMS)


NO: dict[str, list[Record]] = {
    "loreft-1": place({"lora": 0.7, "lora-at-positions": 0.7, "loreft": 0.6}),
    "loreft-2": [
        *place({"lora": 0.4, "loreft": 0.5, "prefix": 0.6}, model=WORLD, task="world-telling-4"),
        *place({"lora": 0.6, "loreft": 0.5}, model=WORLD, task="world-telling-1"),
    ],
    "loreft-5": place({"lora": 0.5, "loreft": 0.7}, task="boolq"),
    "loreft-6": place({"direft": 0.7, "loreft": 0.6}),
    "loreft-7": place({"lora": 0.7, "loreft-half-epochs": 0.6}),
    "loreft-8": place(
        {f"loreft-{name}": 0.7 for name in evidence.PARAMETRISATIONS} | {"loreft": 0.6},
        model=WORLD,
        task="world-two-hop",
    ),
    "loreft-10": recited(text=0.3, noise=0.5),
}


@pytest.mark.parametrize("claim", NO)
def test_records_that_say_the_opposite_overturn_a_claim(judged: Judge, claim: str):
    assert judged(NO[claim])[claim].outcome == "not reproduced", judged(NO[claim])[claim].reason


def test_live_records_beside_published_ones_are_shown_but_decide_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: place(COMMONSENSE))
    live = place({"lora": 0.1, "loreft": 0.9, "direft": 0.1}, task="boolq")
    shown, smoke = (loreft.gather(params(tier=tier), live) for tier in ("laptop", "smoke"))
    assert ([where.task for where in shown.places], len(smoke.places)) == (["siqa-csqa", "boolq"], 1)
    assert loreft.verdicts(shown) == loreft.verdicts(smoke)


def test_facts_told_count_for_the_length_of_answers_alone(monkeypatch: pytest.MonkeyPatch, judged: Judge):
    told = place({"lora": 0.9, "loreft": 0.1, "direft": 0.9}, model=WORLD, task="world-telling-4")
    kept = place({"lora": 0.5, "loreft": 0.5, "direft": 0.5}, model=WORLD, task="world-two-hop")
    found = gathered(monkeypatch, told + kept)
    assert [where.task for where in evidence.in_worlds(found)] == ["world-two-hop"]
    assert "world-telling" not in repr(exhibits.scores_table(found))
    assert "loreft goes from 0.1" in repr(exhibits.lengths(found))
    assert "ROUGE-L of 2 arms on world-s" in tiny.html(exhibits.lengths(found))  # direft is not drawn
    assert judged(told + kept)["loreft-6"] == judged(kept)["loreft-6"]


def test_the_place_asked_for_comes_first_or_else_the_real_one_with_the_most_arms(monkeypatch: pytest.MonkeyPatch):
    few = place({"untouched": 0.3, "lora": 0.5}, task="siqa-csqa")
    more = place({"untouched": 0.3, "lora": 0.5, "full": 0.6, "loreft": 0.4}, task="wiki-topic")
    made = place(WORLD_ARMS, model="world-s", task="world-question")
    monkeypatch.setattr("lowres.published.read_published", lambda study: few + made + more)
    usual, asked = loreft.gather(params(), []), loreft.gather(params(model="world-s", task="world-question"), [])
    assert [where.task for where in common.places(usual)] == ["wiki-topic", "siqa-csqa", "world-question"]
    assert [where.task for where in common.places(asked)] == ["world-question", "wiki-topic", "siqa-csqa"]


def test_a_verdict_names_only_the_places_it_rests_on(judged: Judge):
    found = judged(place({"loreft": 0.5, "direft": 0.4}) + recited(text=0.3, noise=0.5))
    assert "siqa-csqa" in found["loreft-6"].scale
    assert "recitation" not in found["loreft-6"].scale


def test_a_claim_with_parts_that_disagree_is_partly_right(judged: Judge):
    assert judged(place({"lora": 0.5, "lora-at-positions": 0.7, "loreft": 0.6}))["loreft-1"].outcome == "partly"
    assert judged(recited(text=0.98, noise=0.98))["loreft-10"].outcome == "partly"
    mixed = place({"direft": 0.5, "loreft": 0.6}) + place({"direft": 0.5, "loreft": 0.4}, task="boolq")
    assert judged(mixed)["loreft-6"].outcome == "partly"
    constant = {"loreft": 0.6, **{f"loreft-{name}": 0.6 for name in evidence.PARAMETRISATIONS}}
    assert judged(place(constant, model=WORLD, task="world-two-hop"))["loreft-8"].outcome == "partly"


UNCLEAR: dict[str, list[Record]] = {
    "loreft-1": place({"lora": 0.58, "lora-at-positions": 0.58, "loreft": 0.6}, seeds=2, items=12),
    "loreft-6": place({"direft": 0.6, "loreft": 0.6}, items=12),
    "loreft-8": place({"loreft": 0.6}, noise=0.3, items=12, model=WORLD, task="world-two-hop")
    + place(
        {f"loreft-{name}": 0.58 for name in evidence.PARAMETRISATIONS},
        noise=0.0,
        items=12,
        model=WORLD,
        task="world-two-hop",
    ),
    "loreft-10": [
        record("recall", level, seed=seed, task=task, items=1, tokens=30)
        for task, levels in (("recitation-32", (0.5, 1.0, 1.0)), ("recitation-random-32", (0.9, 0.2, 1.0)))
        for seed, level in enumerate(levels)
    ],
}


@pytest.mark.parametrize("claim", UNCLEAR)
def test_an_interval_that_holds_the_boundary_decides_nothing(judged: Judge, claim: str):
    found = judged(UNCLEAR[claim])[claim]
    assert found.outcome == "cannot tell"
    assert "not run" not in found.reason


def test_what_was_not_run_is_named_and_never_decided(judged: Judge):
    found = judged([])
    assert {verdict.outcome for verdict in found.values()} == {"cannot tell"}
    assert "LoReFT - LoRA" in found["loreft-1"].reason
    assert "not run" in judged([record("recall", 0.9, task="recitation-32", items=1)])["loreft-10"].reason


def test_a_live_smoke_run_never_gives_a_verdict(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: [])
    found = loreft.verdicts(loreft.gather(params(tier="smoke"), as_the_paper_tells_it()))
    assert {verdict.outcome for verdict in found} == {"cannot tell"}


def test_verdicts_can_be_saved(judged: Judge, tmp_path: Path):
    found = list(judged(as_the_paper_tells_it()).values())
    claims.save_verdicts(found, tmp_path)
    assert [verdict.outcome for verdict in claims.load_verdicts(tmp_path)] == [verdict.outcome for verdict in found]


def test_only_comparable_finished_test_records_count(monkeypatch: pytest.MonkeyPatch):
    longer, fewer = record("loreft", 0.9, seed=7), record("loreft", 0.9, seed=8, items=5)
    longer.trial["optimisation"]["epochs"] = 99
    failed = replace(record("loreft", 0.9, seed=9), status="failed")
    found = gathered(monkeypatch, [*place(COMMONSENSE), longer, fewer, failed])
    (where,) = found.places
    assert sorted(found.points[found.at(where, "loreft")]) == [0, 1, 2]
    effect = found.effect(found.at(where, "loreft"), found.at(where, "untouched"))
    assert effect is not None
    assert effect.seeds == 3
    assert effect.estimate == pytest.approx(0.35, abs=0.02)


def test_the_setting_of_the_largest_budget_counts_where_another_is_more_frequent(monkeypatch: pytest.MonkeyPatch):
    """Arms are compared at the largest budget, so that is where they have to be alike."""
    larger = [*run("loreft", 0.5, 1, tokens=9000, items=60), *run("lora", 0.7, 1, tokens=9000, items=60)]
    smaller = run("lora", 0.6, 1, tokens=3000, items=60)
    found = gathered(monkeypatch, [*place(COMMONSENSE), *larger, *smaller])
    (where,) = found.places
    assert {point.task_tokens for point in found.points} == {9000, 3000}
    effect = found.effect(found.at(where, "lora"), found.at(where, "loreft"))
    assert effect is not None
    assert effect.estimate == pytest.approx(0.2, abs=0.02)


def test_a_record_that_measured_more_probes_stands_for_the_one_that_measured_fewer(monkeypatch: pytest.MonkeyPatch):
    probed = [one for arm in ("untouched", "lora", "loreft") for one in run(arm, 0.5, 1)]
    bare = [bare_of(one) for arm in ("lora", "loreft") for one in run(arm, 0.5)]
    found = gathered(monkeypatch, [*bare, *probed])
    (where,) = found.places
    lora, untouched = found.at(where, "lora"), found.at(where, "untouched")
    on_task, on_probe = found.scores(lora), found.scores(lora, "wiki-nll", "nll")
    assert on_task is not None
    assert on_probe is not None
    assert (len(on_task), len(on_probe)) == (3, 1)
    effect = found.effect(lora, untouched, "wiki-nll", "nll")
    assert effect is not None
    assert effect.seeds == 1


def test_probes_with_another_number_of_items_are_left_out_and_their_task_is_not(monkeypatch: pytest.MonkeyPatch):
    fewer = record("lora", 0.5, seed=5)
    fewer.trial["evaluation"]["probe_items"] = 3
    fewer.outcomes["wiki-nll"]["nll"] = [2.0] * 3
    found = gathered(monkeypatch, [*place({"lora": 0.5, "loreft": 0.6}), fewer])
    lora = found.at(found.places[0], "lora")
    assert sorted(found.points[lora]) == [0, 1, 2, 5]
    on_probe = found.scores(lora, "wiki-nll", "nll")
    assert on_probe is not None
    assert on_probe.shape == (3, 20)


def bare_of(one: Record) -> Record:
    """The same trial without probes."""
    trial = {**one.trial, "evaluation": {**one.trial["evaluation"], "probes": []}}
    return replace(one, trial=trial, outcomes={"task": one.outcomes["task"]})


# --- exhibits --------------------------------------------------------------------------------------------------------


def with_curves() -> list[Record]:
    found = as_the_paper_tells_it()
    found += [one for rank in (1, 2, 16) for one in run("loreft", 0.6 + rank / 400, rank=rank, size=250 * rank)]
    found += [one for where in ("s7", "p7") for one in run("loreft", 0.6, positions=where)]
    found += [one for layers in ("15", "29") for one in run("loreft", 0.5, layers=layers)]
    return found + run("lora", 0.5, tokens=2000)


def figures_of(found: evidence.Evidence) -> list[Any]:
    drawn = [exhibits.curves(found, kind) for kind in ("ranks", "positions", "layers", "data")]
    drawn += [exhibits.retention(found, kind) for kind in ("nll", "choice")]
    names = ("differences", "pareto", "ablations", "beside_paper", "recitation", "price")
    return drawn + [getattr(exhibits, name)(found) for name in names]


def test_figures_have_alt_text_and_names_of_their_own(monkeypatch: pytest.MonkeyPatch):
    tiny.check_figures(figures_of(gathered(monkeypatch, with_curves())))


def test_the_pareto_figure_says_in_words_who_is_where(monkeypatch: pytest.MonkeyPatch):
    levels = {"untouched": 0.2, "prompt": 0.3, "loreft": 0.6, "lora": 0.5, "full": 0.6, "prefix": 0.2}
    drawn = repr(exhibits.pareto(gathered(monkeypatch, place(levels))))
    assert "On the front: prompt, loreft" in drawn or "On the front: loreft, prompt" in drawn
    assert "Beaten by something that costs no more: lora, prefix" in drawn
    assert "Not told apart from it: full" in drawn
    answer = repr(exhibits.answer(gathered(monkeypatch, place(levels))))
    assert "the best of 5 tuners on average is loreft (2,000 parameters, 0.2 %)" in answer
    assert "Nothing cheaper keeps up with it." in answer
    assert "Budget below 0.01 % of the parameters: prompt with 0.300" in answer
    assert "Budget above 1 % of the parameters: full" in answer
    table = repr(exhibits.budgets_table(gathered(monkeypatch, place(levels))))
    assert "loreft: +0.000" in table


def test_a_cheaper_tuner_that_keeps_up_is_named(monkeypatch: pytest.MonkeyPatch):
    answer = repr(exhibits.answer(gathered(monkeypatch, place({"prompt": 0.6, "loreft": 0.6, "full": 0.1}))))
    assert "The cheapest tuner that cannot be told from it" in answer or "is prompt (50 parameters" in answer


def test_without_records_the_page_says_so_instead_of_drawing(monkeypatch: pytest.MonkeyPatch, results: Path):
    found = gathered(monkeypatch, [])
    for name in exhibits.__all__:
        if name in ("ablations", "arms_table", "beside_paper", "deviations", "drift", "live_table", "overhead"):
            continue
        if name in ("parameters_table", "same_start", "trial_table", "verification"):
            continue
        arguments = {"curves": ("ranks",), "retention": ("nll",)}.get(name, ())
        arguments = ([],) if name in ("tuning_table", "tuning_curve", "stability") else arguments
        shown = getattr(exhibits, name)(found, *arguments)
        assert not tiny.html(shown).count("<svg"), name
        assert len(repr(shown)) > 10, name
    assert "nothing was run yet" in repr(exhibits.beside_paper(found))
    assert "not measured yet" in repr(exhibits.overhead(found))
    assert "nothing is published" in repr(exhibits.origin(found))


def test_tables_are_made_from_the_records(monkeypatch: pytest.MonkeyPatch):
    records = as_the_paper_tells_it()
    found = gathered(monkeypatch, records)
    scores = repr(exhibits.scores_table(found))
    assert re.search(r"\| loreft \| 2,000 \(0.2 %\) \| 0.6\d\d \(0.6", scores)
    assert "| untouched | none |" in scores
    assert "The same for arithmetic-steps with smollm2-135m-instruct" in scores
    controls = repr(exhibits.controls(found))
    assert "| behaves |" in controls
    assert "| does not |" not in controls
    assert "not run" in controls  # elsewhere
    assert "+0.00" in repr(exhibits.reference(found))
    assert "1.0 GiB" in repr(exhibits.cost_table(found))
    assert "0.0" in repr(exhibits.stability(found, records))
    assert "openbookqa" in repr(exhibits.retention_table(found))
    assert "seed 0" in repr(exhibits.live_table(records[:3]))
    assert tiny.html(exhibits.deviations()).count("<tr") == len(loreft.DEVIATIONS) + 1


@pytest.mark.parametrize(
    ("kind", "level", "outcome"),
    [
        ("gain", 0.1, "behaves"),
        ("gain", -0.1, "does not"),
        ("gain", 0.0, "cannot tell"),
        ("no gain", 0.1, "does not"),
        ("no gain", 0.0, "behaves"),
        ("no gain", -0.1, "behaves"),
        ("open", 0.1, "above zero"),
        ("open", 0.0, "around zero"),
        ("open", -0.1, "below zero"),
    ],
)
def test_controls_are_judged_by_the_rule_that_stands_beside_them(kind: str, level: float, outcome: str):
    noise = [0.05 * (item % 2 - 0.5) for item in range(40)]
    effect = paired_effect([[level + part for part in noise]] * 2, [[0.0] * 40] * 2)
    assert behaviour(effect, kind) == outcome
    assert {one.kind for one in questions.CONTROLS} == set(RULES)


def test_the_papers_tables_agree_with_its_claims():
    assert round(paper.gain(paper.COMMONSENSE["LLaMA-7B"]), 1) == 5.5
    assert round(paper.gain(paper.ARITHMETIC["LLaMA-7B"]), 1) == -4.3
    assert round(paper.gain(paper.ARITHMETIC["LLaMA-13B"]), 1) == -1.5
    arithmetic = {row.method: row.score for row in paper.ARITHMETIC["LLaMA-7B"]}
    assert paper.PARAMETRISATIONS["LLaMA-7B"]["loreft"] == arithmetic["loreft"]
    tabled = (paper.COMMONSENSE, paper.ARITHMETIC, paper.INSTRUCTIONS, paper.CLASSIFICATION)
    assert {row.method for table in tabled for rows in table.values() for row in rows} <= set(arms.ARMS)


def test_the_bench_of_tuners_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, results: Path):
    results.mkdir()
    row = {
        "arm": "loreft",
        "training_tokens_per_second": 100.0,
        "training_memory_bytes": 2.0**30,
        "adapter_bytes": 2**20,
        "trained_parameters": 2000,
        "mergeable": False,
        "first_token": {"1": 0.2, "8": 0.8},
        "first_token_untouched": {"1": 0.1, "8": 0.8},
        "decoding": {"1": 10.0, "8": 80.0},
        "decoding_untouched": {"1": 10.0, "8": 80.0},
    }
    kept = {"model": REAL, "date": "2026-01-02", "gpu": "", "processor": "a machine", "threads": 1, "tuners": [row]}
    (results / bench.FILE).write_text(json.dumps(kept))
    found = gathered(monkeypatch, place(COMMONSENSE))
    overhead = repr(exhibits.overhead(found))
    assert "| loreft | no | 2.00 × (200 ms) | 1.00 × (800 ms) | 1.00 × (10/s)" in overhead
    assert "+0.10 s" in overhead
    assert "1.00 GiB | 1.00 MiB | 2.00 × | 1.00 × | no |" in repr(exhibits.scores_table(found))


def test_drift_has_one_line_per_trial(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: place(COMMONSENSE))
    assert "exact" in repr(exhibits.drift([record("loreft", 0.65, size=2000)]))
    assert "nothing to compare" in repr(exhibits.drift([record("loreft", 0.65, seed=8)]))


# --- whole runs ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("results")
def test_the_smoke_tier_runs_from_pretraining_to_the_verdicts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sizes.DECODERS, "xs", replace(sizes.DECODERS["xs"], steps=3))
    chosen = params(tier="smoke", model="world-xs", task="world-two-hop", task_tokens=120, precision="fp32")
    records = studies.insist_on_all(studies.execute(loreft, chosen, Ledger(tmp_path / "ledger"), progress=False))
    assert [record.trial["arm"] for record in records] == list(FEW)
    found = loreft.gather(chosen, records)
    assert {verdict.outcome for verdict in loreft.verdicts(found)} == {"cannot tell"}
    answer = repr(exhibits.answer(found))
    assert "On world-two-hop with world-xs" in answer
    for name in ("scores_table", "pareto", "differences", "controls", "budgets_table", "cost_table", "retention_table"):
        assert "world-xs" in tiny.html(getattr(exhibits, name)(found)), name
    trials = loreft.trials(chosen)
    assert "6 trials" in tiny.html(exhibits.trial_table(trials, [True] * len(trials)))


def test_the_seconds_of_a_readers_own_task_are_known(monkeypatch: pytest.MonkeyPatch):
    options = data.TaskOptions(prompt_field="q", target_field="a")
    trial = Trial("loreft", "untouched", REAL, "jsonl:mine.jsonl", Recipe(), None, None, Evaluation(), 0, options)
    monkeypatch.setattr("lowres.published.read_published", lambda study: [tiny.record("key", trial, {})])
    assert "| untouched | 0 | 1 | 0 | 60 |" in repr(exhibits.trial_table([trial], [False]))


# --- the notebook ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("results")
def test_every_cell_of_the_page_runs_on_hand_made_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    page = tiny.run_page(loreft, as_the_paper_tells_it(), monkeypatch, tmp_path)
    assert [verdict.outcome for verdict in page["verdicts"]] == ["reproduced"] * len(loreft.CLAIMS)


def test_a_task_of_ones_own_keeps_its_fields_and_its_metric(tmp_path: Path):
    rows = [json.dumps({"ask": f"question {n}", "say": f"answer {n % 7}"}) for n in range(60)]
    (tmp_path / "own.jsonl").write_text("\n".join(rows))
    own = {
        "task": f"jsonl:{tmp_path / 'own.jsonl'}",
        "prompt_field": "ask",
        "target_field": "say",
        "metric": "exact_match",
    }
    given = {**own, "tier": "smoke", "task_tokens": 20, "probes": []}
    params = resolve(from_mapping(Params, {**given, "model": "world-xs"}))
    assert evidence.Evidence(params, {}, False, []).main.metric == "exact_match"
    with pytest.raises(
        InputError, match=r"prompt_field is for your own task \(jsonl:PATH or hub:ID\), but task is boolq"
    ):
        from_mapping(Params, {"task": "boolq", "prompt_field": "ask"})


def test_one_record_stands_for_every_arm_that_means_its_trial():
    half = record("loreft", 0.5, rank=4)
    points = evidence.points_of(half, {})
    assert {(point.arm, point.options) for point in points} == {("loreft", (("rank", 4),)), ("loreft-half-rank", ())}
    alone = evidence.points_of(half, {"loreft": 1e-3, "loreft-half-rank": 4e-3})
    assert {point.arm for point in alone} == {"loreft"}


def test_a_record_at_a_rate_that_was_not_chosen_stands_for_no_arm():
    assert evidence.points_of(record("lora", 0.5), {"lora": 4e-3}) == []
    assert [point.arm for point in evidence.points_of(record("lora", 0.5), {"lora": 1e-3})] == ["lora"]


def test_the_book_and_pyreft_train_the_same_from_equal_edits(chat_folder: Path):
    from lowres.studies.loreft import reference

    found = reference.losses(str(chat_folder), "world-question", 6)
    assert found["here"] == pytest.approx(found["pyreft"], abs=1e-4)
    assert len(found["here"]) == 6


# --- rules of the second edition -------------------------------------------------------------------------------------

PARTS = [
    pytest.param(asked, part, id=f"{rule.claim}, {column}: {part.name}")
    for rule in rules.RULES
    for column, asked in rule.columns.items()
    if isinstance(asked, Asked)
    for part in asked.parts
]


@pytest.mark.parametrize(("asked", "part"), PARTS)
def test_as_planned_every_part_can_end_in_yes_and_in_no(asked: Asked, part: Contrast) -> None:
    random, boundary = np.random.default_rng(0), part.rule.boundary
    beyond, short = boundary + 3 * asked.matters, boundary - 3 * asked.matters
    yes, no = (0.0, beyond) if part.rule.kind == "within" else (beyond, short)
    for effect, wanted, other in ((yes, "yes", "no"), (no, "no", "yes")):
        answers = [part.rule.answer(anova_effect(drawn(random, asked, effect))) for _ in range(20)]
        assert wanted in answers
        assert answers.count(other) <= 2


def drawn(random: np.random.Generator, asked: Asked, effect: float) -> list[NDArray]:
    """What planned seeds and units may show at the places if the effect is so large, with the noise that is stated."""
    shapes = ((asked.seeds, 1), (1, asked.units), (asked.seeds, asked.units))
    count = len(asked.places)
    return [
        (effect + sum(sd * random.standard_normal(shape) for sd, shape in zip(asked.noise, shapes, strict=True)))
        / count
        for _ in range(count)
    ]


def test_rules_are_about_all_claims_and_known_arms() -> None:
    assert {rule.claim for rule in rules.RULES} == {claim.name for claim in loreft.CLAIMS}
    cells = [cell for values in PARTS for _, cell in values.values[1].terms]
    assert {cell["arm"] for cell in cells} <= set(arms.ARMS)
