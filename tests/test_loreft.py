"""The LoReFT study: parameters, arms, equal budgets, rules that can end either way, and the exhibits of its page."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from numpy.typing import NDArray

from lowres import data, models, registry, studies, tuners
from lowres.claims import rulebook
from lowres.claims.rules import Asked, Contrast
from lowres.language import LanguageModel
from lowres.ledger import Ledger
from lowres.optimisation import Optimisation
from lowres.outcomes import Cell, Outcomes
from lowres.page import drawing, parts
from lowres.page.drawing import Evidence
from lowres.params import InputError, from_mapping, resolve
from lowres.stats.anova import anova_effect
from lowres.studies import loreft
from lowres.studies.loreft import arms, page, plan, rules
from lowres.studies.loreft.params import FEW, Params
from lowres.trial import Evaluation, Recipe, Record, Trial
from lowres.trial.material import draw
from lowres.world import sizes

REAL = "smollm2-135m-instruct"


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
        ({"seeds": [plan.TUNING_SEED]}, f"seeds must not hold {plan.TUNING_SEED}"),
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
        registry.possible(loreft, tiny_params(chat_folder, task, arms=[arm]))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_tuner_that_an_architecture_does_not_allow_is_refused_before_anything_runs(
    chat_folder: Path, task: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(arms.ARMS, "lora", replace(arms.ARMS["lora"], options={"targets": "c_attn"}))
    with pytest.raises(InputError, match="arm 'lora': LoRA targets 'c_attn': no linear layer c_attn"):
        registry.possible(loreft, tiny_params(chat_folder, task, arms=["lora"]))


def test_a_budget_larger_than_the_data_is_refused(chat_folder: Path, task: str):
    with pytest.raises(InputError, match="the budget of 900,000 tokens is more than task"):
        registry.possible(loreft, tiny_params(chat_folder, task, task_tokens=900_000))


# --- arms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, arm in arms.ARMS.items() if arm.tuner])
def test_every_arm_builds_a_trial_whose_tuner_applies_and_trains_something(
    name: str, chat_folder: Path, chat_model: LanguageModel, task: str
):
    (trial,) = loreft.trials(tiny_params(chat_folder, task, arms=[name]))
    assert trial.arm == name
    assert trial.recipe.labels == ("random" if name == "loreft-random-labels" else "true")
    assert trial.tuner is not None
    model = tuners.apply(trial.tuner, models.fresh(chat_model), 0)
    assert sum(each.numel() for each in model.parameters() if each.requires_grad) > 0


def test_the_arms_that_are_to_match_loreft_match_it():
    from lowres.engine.counting import count

    matching = ("loreft", "lora-matched", "lora-at-positions", "loreft-untied", "loreft-half-rank")
    made = [tuners.make(arms.ARMS[name].tuner, **arms.ARMS[name].options) for name in matching]
    sizes = dict(zip(matching, (counted.trained for counted in count("llama-7b", made)), strict=True))
    assert sizes["loreft"] == 2_097_408
    assert sizes["lora-matched"] == sizes["lora-at-positions"] == sizes["loreft"] - 32 * 8
    assert sizes["loreft-untied"] == sizes["loreft"]
    assert sizes["loreft-half-rank"] * 2 == sizes["loreft"]


def test_half_the_epochs_make_half_the_updates(chat_folder: Path, chat_model: LanguageModel, task: str):
    half, whole = loreft.trials(tiny_params(chat_folder, task, arms=["loreft-half-epochs", "loreft"], epochs=4))
    examples = len(draw(half, data.load_task(task), chat_model)[0])
    assert whole.optimisation.steps is None
    assert half.optimisation == replace(whole.optimisation, steps=math.ceil(examples * 4 / 8 / 2))


def test_curves_leave_out_positions_and_layers_that_are_not_there(chat_folder: Path, task: str):
    found = loreft.trials(tiny_params(chat_folder, task, arms=["loreft"], curves=["layers", "data", "ranks"]))
    assert {trial.tuner.layers for trial in found if isinstance(trial.tuner, tuners.LoReFT)} == {"all", "1", "0"}
    assert Counter(trial.arm for trial in found if trial.recipe.task_tokens < 200) == {"loreft": 3, "lora": 3}
    chosen = plan.settings(params(tier="smoke", curves=["positions"]), 2, 4)
    assert [dict(s.options)["positions"] for s in chosen if s.options] == ["p1+s1", "p3+s3", "s1"]
    assert plan.layer_sets(30) == (
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
    assert {(t.evaluation.split, t.seed, t.evaluation.probes) for t in found} == {("validation", plan.TUNING_SEED, ())}
    assert loreft.tuning(params(rate_factors=[1.0])) == []


def test_the_rate_under_which_validation_targets_are_likeliest_wins_and_a_failed_run_never():
    chosen = params(arms=["lora", "loreft", "loreft-random-labels"], rate_factors=[0.25, 1.0, 4.0], model=REAL)
    losses = {("lora", 0.25): 2.0, ("lora", 1.0): 1.0, ("lora", 4.0): 0.1, ("loreft", 0.25): 0.5}
    records = []
    for trial in loreft.tuning(chosen):
        name = trial.arm.removeprefix("tuning ")
        factor = trial.optimisation.learning_rate / plan.usual_rate(REAL, name)
        status = "failed" if (name, factor) == ("lora", 4.0) else "done"
        records.append(tuning_record(trial, losses.get((name, factor), 3.0), status))
    assert plan.chosen_rates(records) == {
        "lora": plan.usual_rate(REAL, "lora"),
        "loreft": plan.usual_rate(REAL, "loreft") / 4,
    }
    rates = plan.learning_rates(chosen, records)
    assert plan._rate(chosen, "loreft-random-labels", rates) == rates["loreft"]


def test_without_rates_the_newest_published_tuning_of_the_same_budget_decides(monkeypatch: pytest.MonkeyPatch):
    def tried(tokens: int, best: float) -> list[Record]:
        chosen = params(arms=["lora"], rate_factors=[1.0, best], task_tokens=tokens)
        return [tuning_record(trial, place) for place, trial in zip((2.0, 1.0), loreft.tuning(chosen), strict=True)]

    usual = plan.usual_rate("world-s", "lora")
    monkeypatch.setattr("lowres.ledger.published.read_confirmatory", lambda _: [*tried(2_000, 3.0), *tried(4_000, 9.0)])
    monkeypatch.setattr("lowres.ledger.published.read_first_edition", lambda _: tried(1_000, 27.0))
    rates = {tokens: plan.learning_rates(params(task_tokens=tokens)) for tokens in (2_000, 4_000)}
    assert rates == {2_000: {"lora": pytest.approx(3 * usual)}, 4_000: {"lora": pytest.approx(9 * usual)}}
    assert plan.learning_rates(params(task="world-less")) == {}
    monkeypatch.setattr("lowres.ledger.published.read_confirmatory", lambda _: [])
    assert plan.learning_rates(params(task_tokens=4_000)) == {"lora": pytest.approx(27 * usual)}


def test_the_live_run_is_a_part_of_the_campaign():
    """So that the page can compare it with the published records of the very same trials."""
    from lowres import campaign
    from lowres.places import RESULTS

    (line,) = campaign.chosen(campaign.read(RESULTS / "campaign.toml"), ["loreft-correction"])
    planned = {replace(trial, optimisation=None) for trial in loreft.trials(line.resolved())}
    live = {replace(trial, optimisation=None) for trial in loreft.trials(params())}
    assert live <= planned
    epochs = {trial.optimisation.epochs for trial in loreft.trials(params()) if trial.optimisation}
    assert epochs == {line.resolved().epochs}


def test_a_task_of_ones_own_keeps_its_fields_and_its_metric(chat_folder: Path, tmp_path: Path):
    rows = [json.dumps({"ask": f"question {n}", "say": f"answer {n % 7}"}) for n in range(60)]
    (tmp_path / "own.jsonl").write_text("\n".join(rows))
    own = {"task": f"jsonl:{tmp_path / 'own.jsonl'}", "prompt_field": "ask", "target_field": "say", "metric": "bleu"}
    chosen = params(**own, tier="smoke", task_tokens=20, probes=[], model=str(chat_folder))
    options = {trial.options for trial in loreft.trials(chosen)}
    assert options == {data.TaskOptions(prompt_field="ask", target_field="say", metric="bleu")}
    with pytest.raises(InputError, match=r"model 'world-xs' does not know the word '\d+'.*any other model"):
        registry.possible(loreft, replace(chosen, model="world-xs"))
    with pytest.raises(
        InputError, match=r"prompt_field is for your own task \(jsonl:PATH or hub:ID\), but task is boolq"
    ):
        from_mapping(Params, {"task": "boolq", "prompt_field": "ask"})


@pytest.mark.usefixtures("results")
def test_the_smoke_tier_runs_from_pretraining_to_the_live_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sizes.DECODERS, "xs", replace(sizes.DECODERS["xs"], steps=3))
    chosen = params(tier="smoke", model="world-xs", task="world-two-hop", task_tokens=120, precision="fp32")
    records = registry.insist_on_all(registry.execute(loreft, chosen, Ledger(tmp_path / "ledger"), progress=False))
    assert [record.trial["arm"] for record in records] == list(FEW)
    assert all(f"| {name} | world-xs |" in repr(parts.live_table(records)) for name in FEW)


# --- the page --------------------------------------------------------------------------------------------------------

DRAWN = ("budgets", "budgets_real", "against_lora", "forms", "settings", "data", "lengths", "price")
EXHIBITS = (*DRAWN, "idea", "arms_table", "composition", "controls", "in_use", "cost")


def record(arm: str, place: Cell, score: float, seed: int, **options: Any) -> Record:
    """A record of ten items around a score, with the probes of either edition."""
    kind, real = arms.ARMS[arm], str(place["model"]) == REAL
    tuner = tuners.make(kind.tuner, **{**kind.options, **options}) if kind.tuner else None
    probes = () if real else tuple(dict.fromkeys((*page.WORLD_PROBES, *page.FIRST_PROBES)))
    trial = Trial(
        "loreft",
        arm,
        studies.seeded(str(place["model"]), seed),
        str(place["task"]),
        Recipe(task_tokens=int(str(place["task_tokens"])), labels=kind.labels) if tuner else Recipe(),
        tuner,
        Optimisation(1e-3) if tuner else None,
        Evaluation(items=10, probes=probes, probe_items=8),
        seed,
    )
    scores = [score + 0.02 * ((item * 7 + seed * 3) % 5 - 2) for item in range(10)]
    right = [float((item + seed) % 4 > (score > 0.4)) for item in range(8)]
    outcomes = {"task": dict.fromkeys(("accuracy", "exact_match", "rouge_l", "token_f1"), scores)}
    outcomes |= {probe: {"accuracy": right, "accuracy_per_character": right} for probe in probes}
    counts = {"trained_parameters": 100 * len(arm) if tuner else 0}
    return tiny.record(f"{arm}{place}{seed}{options}", trial, outcomes, counts=counts)


def grid(place: Cell, names: tuple[str, ...] = tuple(arms.ARMS), seeds: tuple[int, ...] = (0, 1, 2)) -> list[Record]:
    """Each arm a little better than the one before."""
    levels = {name: 0.3 + 0.01 * number for number, name in enumerate(arms.ARMS)}
    return [record(name, place, levels[name], seed) for name in names if name != "recall" for seed in seeds]


def first_edition() -> list[Record]:
    found = [*grid(page.FIRST), *grid({**page.FIRST, "task_tokens": 3_000}, ("lora", "loreft"))]
    found += [record("loreft", page.FIRST, 0.5, seed, rank=2) for seed in (0, 1, 2)]
    found += [record("loreft", page.FIRST, 0.5, seed, positions="s1") for seed in (0, 1, 2)]
    found += [one for n in (1, 2, 4) for one in grid(page._told(n), ("full", "lora", "loreft", "prefix"))]
    return found + grid(page.FIRST_TOPICS)


def todays() -> list[Record]:
    named = (
        "untouched",
        "full",
        "lora",
        "loreft",
        "direft",
        "loreft-constant",
        "loreft-bias-only",
        "lora-at-positions",
    )
    return [one for place in page.WORLD for one in grid(place, named, (10, 11, 12))]


@pytest.fixture
def drawn_from(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes the page rest on these records."""

    def rest(judged: list[Record], first: list[Record]) -> None:
        found = Evidence("loreft", Outcomes.of(judged), Outcomes.of(first))
        for module in (drawing, parts):
            monkeypatch.setattr(module, "evidence", lambda _: found)

    return rest


def test_every_exhibit_draws_from_the_first_edition_and_from_records_of_today(drawn_from: Any):
    drawn_from([], first_edition())
    older = {name: getattr(page, name)() for name in EXHIBITS}
    tiny.check_figures([older[name] for name in DRAWN])
    assert all(drawing.FIRST in repr(older[name]) for name in DRAWN)
    drawn_from(todays(), first_edition())
    newer = {name: repr(getattr(page, name)()) for name in EXHIBITS}
    assert {name for name in DRAWN if drawing.FIRST not in newer[name]} == {"budgets", "against_lora", "forms", "price"}
    assert "Mean over world-told-relation, world-correction, world-less with world-s; 3 seeds" in newer["budgets"]
    assert "| LoReFT beats the untouched model | wholly above zero | behaves | +0.150 [0.1" in newer["controls"]


def test_the_figure_of_budgets_has_counts_sideways_and_the_untouched_model_as_a_line(drawn_from: Any):
    drawn_from(todays(), [])
    shown = page.budgets()
    rows = {cells[1].strip(): cells for line in repr(shown).splitlines() if len(cells := line.split("|")) > 5}
    assert [cell.strip() for cell in rows["loreft"][2:4]] == ["600", "0.4500"]
    assert "untouched" not in rows
    assert ">untouched</text>" in tiny.html(shown)


def test_without_records_every_exhibit_says_so(drawn_from: Any):
    drawn_from([], [])
    shown = {name: repr(getattr(page, name)()) for name in EXHIBITS}
    assert all("not run yet" in shown[name] and "<svg" not in shown[name] for name in DRAWN)
    assert shown["controls"].count("| not run |") == 6


def test_measurements_are_told_as_their_files_have_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    shares = {"topic": [[1.0, 0.0], [1.0, 1.0]], "capitals": [[0.0, 0.0], [0.0, 1.0]], "both": [[0.0, 0.0], [1.0, 0.0]]}
    outcomes = dict.fromkeys(("content", "form", "together", "directly"), shares)
    (tmp_path / "composition.json").write_text(json.dumps({"outcomes": outcomes}))
    told = repr(page.composition())
    assert re.findall(r"0\.\d\d", told) == ["0.75", "0.25", "0.25", "0.25"]
    times = {"first_token": {"1": 0.2}, "first_token_untouched": {"1": 0.1}}
    times |= {"decoding": {"1": 9.0}, "decoding_untouched": {"1": 10.0}}
    row = {"arm": "loreft", "training_tokens_per_second": 100.0, "training_memory_bytes": 2.0**30, **times}
    kept = {"model": REAL, "date": "2026-01-02", "gpu": "", "processor": "a machine", "threads": 1}
    kept |= {"tuners": [{**row, "trained_parameters": 2000, "mergeable": False}]}
    (tmp_path / "bench_tuners.json").write_text(json.dumps(kept))
    assert "| loreft | 2,000 | 100 | 1.00 GiB | 2.00 × | 0.90 × | no |" in repr(page.in_use())


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


def test_the_rules_are_those_that_were_committed() -> None:
    made = rulebook.commitment("loreft")
    assert made is not None
    assert rulebook.binding("loreft") == made.rules
