"""The FIAT study: parameters, arms and prompts of the ladder, verdicts from hand-made records, plan and page."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from lowres import claims, data, models, places, rates, studies, trial, tuners
from lowres.claims import Verdict
from lowres.data.examples import digest
from lowres.data.fiat_tasks import language_of
from lowres.ledger import Ledger
from lowres.optimisation import Optimisation
from lowres.params import InputError, from_mapping, resolve
from lowres.prompt import with_anchor
from lowres.rationales import Request
from lowres.stats import average_precision
from lowres.studies import fiat
from lowres.studies.fiat import arms, evidence, exhibits, paper, planning, writing
from lowres.studies.fiat.exhibits import beta as of_beta
from lowres.studies.fiat.exhibits import common, cost, effects, languages, ranking
from lowres.studies.fiat.params import FEW, Params
from lowres.trial import Evaluation, Recipe, Record, Trial
from lowres.world import sizes

REAL, TAU, BASE = "smollm2-135m-instruct", "world-s-instruct", "world-s"
WORLD_TASK, YES_NO, LANGUAGES = "world-two-hop", "privacy-qa", "country-language"
ITEMS = 120


def params(**given: Any) -> Params:
    return resolve(from_mapping(Params, given))


def world_params(**given: Any) -> Params:
    usual = {"tier": "smoke", "tau": TAU, "base": BASE, "beta": "own", "arms": list(fiat.ARMS)}
    return params(**{**usual, **given})


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"arms": ["R5"]}, "arms"),
        ({"examples": [200], "pool": 100}, "examples holds 200, more than the pool of 100"),
        ({"beta": "file:rows.jsonl", "beta_url": "http://localhost/v1"}, "beta_url is for a model"),
        ({"beta": "own", "beta_url": "http://localhost/v1"}, "beta_url is for a model, but beta is 'own'"),
        ({"tau": "world-s-instruct@3"}, "tau must name 'world-s-instruct@3' without its seed"),
        ({"base": "world-s@3"}, "base must name 'world-s@3' without its seed"),
        ({"beta": "world-m@1"}, "beta must name 'world-m@1' without its seed"),
        ({"seeds": [arms.TUNING_SEED]}, f"seeds must not hold {arms.TUNING_SEED}"),
        ({"curve": [1.0]}, "curve"),
        ({"asked": True, "beta": "world-m", "task": "world-sort"}, "the steps of 'world-sort' are not known"),
        ({"asked": True, "task": "world-form"}, "only a world model is asked for single steps"),
        ({"task": "privacy-qaa"}, "did you mean 'privacy-qa'"),
        ({"metric": "accuracy"}, "metric is for your own task"),
        ({"teir": "smoke"}, 'did you mean "tier"'),
    ],
)
def test_wrong_and_contradictory_values_are_refused(values: dict[str, Any], words: str):
    with pytest.raises(InputError, match=re.escape(words)):
        from_mapping(Params, values)


def test_more_examples_than_the_data_have_are_refused():
    with pytest.raises(InputError, match="a pool of 9,999 examples is more than task 'world-two-hop' has"):
        fiat.trials(world_params(pool=9999, examples=[24]))


def test_who_wrote_is_read_off_a_files_name_whatever_its_parts_are_called(tmp_path: Path):
    asked = Request("somebody/my_model_v2", "privacy-qa", url="http://localhost/v1")
    assert rates.writer_of(asked.file_name()) == "my-model-v2"
    (tmp_path / "big_model.jsonl").write_text('{"id": "a", "rationale": "b"}\n')
    own = world_params(beta=f"file:{tmp_path / 'big_model.jsonl'}", arms=["R0"])
    assert rates.writer_of(writing.file_name(own, arms.ARMS["R0"], 0)) == "big-model"
    assert rates.writer_of("world-two-hop_world-s~0.55@3_f5e1.jsonl") == "world-s~0.55"


def test_a_users_file_that_is_not_there_is_one_clear_error():
    with pytest.raises(InputError, match=r"beta is file:.*nowhere\.jsonl, which cannot be read"):
        fiat.trials(world_params(beta="file:/nowhere.jsonl", arms=["R0"]))


# --- arms and prompts ------------------------------------------------------------------------------------------------


def test_the_factorial_has_each_of_its_sixteen_cells_once():
    cells = [arm.factors for arm in arms.ARMS.values() if arm.kind in ("ladder", "factorial")]
    assert sorted(map("".join, cells)) == sorted(effects.ARM_OF)
    assert len(cells) == len(set(cells)) == 16
    assert {frozenset(cell) for cell in cells} == {frozenset(way) for way in effects._subsets("CIPB")}
    assert [arms.ARMS[rung].factors for rung in arms.LADDER] == ["CIPB", "IPB", "PB", "B", ""]


@pytest.fixture(scope="module")
def all_trials() -> list[Trial]:
    return fiat.trials(world_params())


def test_every_trial_of_an_arm_has_what_its_letters_say(all_trials: list[Trial]):
    # The data's own rationales come to the target itself, so what beta answers is not asked.
    assert {one.arm for one in all_trials} == set(fiat.ARMS) - {"beta", "beta-vote", "answer-only"}
    for one in all_trials:
        arm = arms.ARMS[one.arm]
        assert (one.recipe.anchor == "hand-written") == ("I" in arm.factors), arm.name
        assert (one.model == TAU) == ("B" in arm.factors or not arm.tuned), arm.name
        assert (one.recipe.rationale == "none") == (arm.use == "none"), arm.name
        assert (one.tuner.name if one.tuner else "") == arm.tuner, arm.name


def test_all_tuned_arms_make_as_many_updates_on_the_same_examples(all_trials: list[Trial]):
    tuned = [one for one in all_trials if one.tuner]
    assert {(one.optimisation.steps, one.optimisation.batch_size) for one in tuned} == {(3, 8)}
    assert {(one.recipe.task_examples, one.recipe.pool) for one in tuned} == {(24, 48)}


def test_a_rate_is_shared_by_all_arms_of_one_tuner_and_base():
    chosen = world_params(rate_factors=[0.5, 1.0])
    found = fiat.tuning(chosen)
    assert Counter(one.arm for one in found) == {f"tuning {name}": 2 for name in ("R2", "R3", "R4", "P")}
    assert {(one.recipe.rationale, one.recipe.anchor, one.evaluation.split) for one in found} == {
        ("none", "none", "validation")
    }
    losses = {"R2": (1, 2), "R3": (2, 1), "R4": (1, 2), "P": (2, 1)}
    tuned = [
        Record(
            f"{one.arm}-{index}", "done", one.spec(), {}, {"task": {"target_nll": [losses[one.arm[7:]][index // 4]]}}
        )
        for index, one in enumerate(sorted(found, key=lambda one: one.optimisation.learning_rate > 2e-3))
    ]
    best = arms.chosen_rates(tuned)
    rates: dict[tuple[str, bool], set[float]] = {}
    for one in fiat.trials(chosen, tuned):
        arm = arms.ARMS[one.arm]
        if arm.tuned:
            rates.setdefault((arm.tuner, "B" in arm.factors), set()).add(one.optimisation.learning_rate)
    assert rates == {key: {best[name, 24]} for key, name in arms.RATE_OF.items()}


def test_without_base_rationales_or_samples_arms_are_left_out_and_told():
    chosen = params(
        tier="smoke", task=YES_NO, tau=REAL, beta=REAL, arms=["R0", "R4", "IP", "own-rationale", "beta-vote"]
    )
    assert arms.left_out(chosen) == ["R4", "IP", "own-rationale", "beta-vote"]
    told = repr(exhibits.left_out_arms(chosen))
    assert "R4, IP (base is none" in told
    assert "own-rationale (the data of privacy-qa have no rationales)" in told
    assert "beta-vote (samples is 0" in told
    assert "Every arm" in repr(exhibits.left_out_arms(world_params(arms=["R0"])))


def test_what_is_not_tuned_runs_once_but_for_what_its_seed_changes():
    real = params(tau=REAL, beta="file:" + str(Path(__file__)), seeds=[0, 1], arms=["untouched", "shots-2", "R1"])
    assert Counter(one.arm for one in fiat.trials(real)) == {"untouched": 1, "shots-2": 2, "R1": 2}
    worlds = world_params(seeds=[0, 1], arms=["untouched"])
    assert [one.model for one in fiat.trials(worlds)] == [TAU, f"{TAU}@1"]


def test_a_curve_stops_the_rungs_at_shares_of_the_updates():
    chosen = world_params(curve=[0.1, 0.5], updates=40, arms=["R0", "R1", "R3"])
    found = Counter((one.arm, one.optimisation.steps) for one in fiat.trials(chosen))
    assert found == dict.fromkeys([(a, s) for a in ("R0", "R1") for s in (4, 20, 40)] + [("R3", 40)], 1)


def prompts_of(task: data.Task, model: models.LanguageModel, folder: Path) -> dict[str, list[str]]:
    """The prompts that a trial of each rung trains on."""
    found = {}
    for name in arms.LADDER:
        arm = arms.ARMS[name]
        recipe = Recipe(task_examples=3, rationale=arm.use, rationales="r.jsonl" * bool("C" in arm.factors))
        one = tiny.trial(folder, task.name, recipe=replace(recipe, anchor=arm.anchor))
        anchor = trial.anchor_text(arm.anchor, task, model, 0)
        reasoned, _ = trial.reason(one, task, task.train[:3], model, anchor)
        found[name] = [with_anchor(anchor, example.prompt) for example in reasoned]
    return found


def write_rationales(examples: Sequence[data.Example], name: str, **more: Any) -> None:
    folder = places.ledger_folder() / "rationales"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": e.id, "prompt": digest(e.prompt), "rationale": f"thinking of {e.id}", **more} for e in examples]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_each_rung_takes_exactly_one_thing_out_of_the_prompt(
    chat_model: models.LanguageModel, chat_folder: Path, task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    loaded = data.load_task(task, data.TaskOptions(instruction="Name the colour."))
    write_rationales(loaded.train, "r.jsonl")
    found = prompts_of(loaded, chat_model, chat_folder)
    for index, example in enumerate(loaded.train[:3]):
        text = f"thinking of {example.id}"
        assert found["R0"][index].count(text) == 1
        without = found["R0"][index].replace(f"Reasoning of another model, which may be wrong: {text}\n", "")
        assert without == found["R1"][index]
        assert found["R1"][index] == f"Name the colour.\n\n{found['R2'][index]}"
        assert found["R2"][index] == found["R3"][index] == found["R4"][index] == example.prompt
        for rung in arms.LADDER:
            shown = exhibits.design.prompt_of(loaded.name, loaded.instruction, example, rung, text)
            assert shown == found[rung][index], rung
    rungs = [arms.ARMS[rung] for rung in arms.LADDER]
    assert [len(set(a.factors) - set(b.factors)) for a, b in itertools.pairwise(rungs)] == [1] * 4


def test_a_file_that_lacks_rationales_is_refused_and_names_the_ids(
    chat_folder: Path, task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    loaded = data.load_task(task)
    write_rationales(loaded.train[1:], "short.jsonl")
    one = tiny.trial(chat_folder, task, recipe=Recipe(task_examples=3, rationale="input", rationales="short.jsonl"))
    with pytest.raises(InputError, match=f"rationales 'short.jsonl': no rationale of '{loaded.train[0].id}'"):
        one.key()


def test_a_worked_example_that_is_in_the_data_is_refused(
    chat_folder: Path, task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path / "ledger"))
    example = data.load_task(task).test[0]
    row = {"input": example.prompt, "reasoning": "It is seen.", "answer": example.target}
    (tmp_path / "exemplars.jsonl").write_text(json.dumps(row))
    given = {"task": task, "tau": str(chat_folder), "beta": str(chat_folder), "pool": 24, "items": 4}
    chosen = params(tier="smoke", **given, exemplars=str(tmp_path / "exemplars.jsonl"), arms=["R0"])
    assert "Worked example 1" in repr(exhibits.reasoning_prompt(chosen))
    with pytest.raises(InputError, match="is also in the test split"):
        fiat.prepare(chosen, progress=False)


# --- hand-made records -----------------------------------------------------------------------------------------------


def record(  # noqa: PLR0913 - one keyword per thing that tests vary
    arm: str,
    score: float | Callable[[data.Example], float],
    *,
    task: str = WORLD_TASK,
    tau: str = TAU,
    size: int = 100,
    seed: int = 0,
    beta: str = "world-m",
    updates: int = 40,
    items: int = ITEMS,
    noise: float = 0.03,
) -> Record:
    """A record whose items score around `score`, in a pattern that is nearly the same for every arm."""
    kind, world = arms.ARMS[arm], tau.startswith("world-")
    base = tau.replace("-instruct", "") if world else "a-base"
    model = tau if "B" in kind.factors or not kind.tuned else base
    file = "own" if kind.rationales == "own" else f"{task}_{studies.seeded(beta, seed)}_0123456789abcdef.jsonl"
    one = Trial(
        "fiat",
        arm,
        studies.seeded(model, seed),
        task,
        Recipe(
            task_examples=size if kind.tuned else 0,
            pool=1000 if kind.tuned else 0,
            anchor=kind.anchor,
            shots=kind.shots,
            rationale=kind.use,
            rationales=file if kind.use != "none" else "",
        ),
        tuners.make(kind.tuner) if kind.tuned else None,
        Optimisation(1e-3, steps=updates, batch_size=8) if kind.tuned else None,
        Evaluation(items=items),
        seed,
    )
    examples = data.load_task(task).test[:items]
    middle = score if callable(score) else lambda _: score
    scores = [middle(e) + noise * ((i * 7 + seed * 3 + len(arm)) % 5 - 2) for i, e in enumerate(examples)]
    outcomes: dict[str, list[float]] = {data.load_task(task).metric: scores}
    if kind.use not in ("as-answer", "as-vote"):
        outcomes["target_nll"] = [3 - value for value in scores]
        if task == YES_NO:
            outcomes["positive"] = [float(e.target == "yes") for e in examples]
            outcomes["positive_probability"] = [
                0.5 + 0.4 * (2 * label - 1) * (value - 0.3)
                for label, value in zip(outcomes["positive"], scores, strict=True)
            ]
            outcomes["chosen"] = [float(e.choices.index(e.target)) for e in examples]
    texts = {} if task == YES_NO else {"task": [e.target if i % 2 else "nobody" for i, e in enumerate(examples)]}
    return tiny.record(
        f"{task}-{tau}-{arm}-{size}-{seed}-{beta}-{updates}",
        one,
        {"task": outcomes},
        counts={"trained_parameters": {"full": 10_000, "lora": 500}.get(kind.tuner, 0), "prompt_tokens": 50 * items},
        texts=texts,
    )


def run(arm: str, score: float | Callable[[data.Example], float], seeds: int = 3, **more: Any) -> list[Record]:
    """An arm with its seeds; of what is not tuned a real model has one."""
    kind = arms.ARMS[arm]
    single = not kind.tuned and not kind.shots and not str(more.get("tau", TAU)).startswith("world-")
    return [record(arm, score, seed=seed, **more) for seed in range(1 if single else seeds)]


def place(levels: dict[str, float], **more: Any) -> list[Record]:
    return [one for arm, level in levels.items() for one in run(arm, level, **more)]


UNTUNED = {"untouched": 0.1, "untouched-instruction": 0.2, "untouched-rationale": 0.3, "beta": 0.4, "beta-vote": 0.45}
UNTUNED |= {"shots-1": 0.2, "shots-2": 0.22, "shots-4": 0.25, "shots-8": 0.3}
FEW_DATA = {"R0": 0.7, "R1": 0.6, "R2": 0.5, "R3": 0.45, "R4": 0.2, "IP": 0.24, "P": 0.22, "distilled": 0.62}
FEW_DATA |= {"CIP": 0.4, "wrong": 0.58, "answer-only": 0.65, "stripped": 0.61, "own-rationale": 0.9}
MUCH_DATA = {"R0": 0.9, "R1": 0.8, "R2": 0.7, "R3": 0.65, "R4": 0.6, "IP": 0.64, "P": 0.62, "distilled": 0.82}


def weak(example: data.Example) -> bool:
    return language_of(example) in ("as", "bn", "brx", "gu", "hi", "kn", "kok", "mai")


def of_languages(weak_gain: float = 0.3, strong_gain: float = 0.05) -> list[Record]:
    def without(example: data.Example) -> float:
        return 0.3 if weak(example) else 0.6

    def with_it(example: data.Example) -> float:
        return without(example) + (weak_gain if weak(example) else strong_gain)

    given = {"task": LANGUAGES, "tau": REAL, "beta": REAL, "items": 200}
    return run("R0", with_it, **given) + run("R1", without, **given)


def as_the_paper_tells_it() -> list[Record]:
    found = place(UNTUNED) + place(FEW_DATA) + place(MUCH_DATA, size=1000)
    real = {name: level for name, level in FEW_DATA.items() if "B" in arms.ARMS[name].factors}
    real = {name: level for name, level in {**UNTUNED, **real}.items() if name != "own-rationale"}
    return found + place(real, task=YES_NO, tau=REAL, beta=REAL) + of_languages()


Judge = Callable[[list[Record]], dict[str, Verdict]]


def gathered(monkeypatch: pytest.MonkeyPatch, records: list[Record], **given: Any) -> evidence.Evidence:
    monkeypatch.setattr("lowres.published.read_published", lambda study: records)
    return fiat.gather(params(**{"tau": TAU, "base": BASE, "task": WORLD_TASK, "beta": "own", **given}), [])


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """A function from published records to verdicts by name."""
    return lambda records: {v.claim.name: v for v in fiat.verdicts(gathered(monkeypatch, records))}


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_records_as_the_paper_tells_it_reproduce_its_claims(judged: Judge):
    found = judged(as_the_paper_tells_it())
    assert {v.outcome for v in found.values()} == {"reproduced"}, {n: (v.outcome, v.reason) for n, v in found.items()}
    assert [verdict.claim for verdict in found.values()] == list(fiat.CLAIMS)


NO: dict[str, Callable[[], list[Record]]] = {
    "fiat-1": lambda: place({"beta": 0.5, "R0": 0.4, "R3": 0.45, "R4": 0.45}),
    "fiat-2": lambda: place({"beta": 0.4, "R4": 0.5}) + place({"R4": 0.2}, size=1000),
    "fiat-3": lambda: place({"R3": 0.4, "R4": 0.5}) + place({"R3": 0.6, "R4": 0.3}, size=1000),
    "fiat-4": lambda: place({"R1": 0.4, "R2": 0.5}),
    "fiat-5": lambda: place({"R0": 0.4, "R1": 0.5}),
    "fiat-6": lambda: of_languages(0.05, 0.3),
    "fiat-7": lambda: place({"R0": 0.4, "distilled": 0.5}),
    "fiat-8": lambda: place({"untouched-instruction": 0.1, "untouched": 0.2, "R1": 0.4, "R2": 0.5}),
    "fiat-9": lambda: place({"R1": 0.5, "R2": 0.5, "IP": 0.5, "P": 0.3}),
    "fiat-10": lambda: place({"R2": 0.4, "R3": 0.5}),
}


@pytest.mark.parametrize("claim", NO)
def test_records_that_say_the_opposite_overturn_a_claim(judged: Judge, claim: str):
    verdict = judged(NO[claim]())[claim]
    assert verdict.outcome == "not reproduced", verdict.reason


def test_what_disagrees_is_partly_right_and_what_was_not_run_decides_nothing(judged: Judge):
    mixed = place({"R0": 0.6, "R1": 0.5}) + place({"R0": 0.4, "R1": 0.5}, size=1000)
    assert judged(mixed)["fiat-5"].outcome == "partly"
    assert {verdict.outcome for verdict in judged([]).values()} == {"cannot tell"}
    assert "not run" in judged([])["fiat-6"].reason


def test_a_live_smoke_run_never_gives_a_verdict(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: [])
    found = fiat.verdicts(fiat.gather(world_params(), place(UNTUNED) + place(FEW_DATA)))
    assert {verdict.outcome for verdict in found} == {"cannot tell"}


def test_live_records_beside_published_ones_are_shown_but_decide_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: place(UNTUNED) + place(FEW_DATA))
    live = place({"R0": 0.1, "R1": 0.9}, task=YES_NO, tau=REAL, beta=REAL)
    shown, smoke = (fiat.gather(params(tier=tier), live) for tier in ("laptop", "smoke"))
    assert ([where.task for where in shown.places], len(smoke.places)) == ([WORLD_TASK, YES_NO], 1)
    assert fiat.verdicts(shown) == fiat.verdicts(smoke)


def test_the_place_asked_for_comes_first_or_else_the_one_with_the_most_seeds(monkeypatch: pytest.MonkeyPatch):
    few = run("R0", 0.5, seeds=1, task=YES_NO, tau=REAL, beta=REAL)
    monkeypatch.setattr("lowres.published.read_published", lambda study: few + place(FEW_DATA))
    tasks = {
        task: [where.task for where in common.places(fiat.gather(params(task=task), []))]
        for task in (None, YES_NO, LANGUAGES)
    }
    assert tasks == {None: [WORLD_TASK, YES_NO], YES_NO: [WORLD_TASK, YES_NO], LANGUAGES: [WORLD_TASK, YES_NO]}
    asked = fiat.gather(params(task=WORLD_TASK, tau=REAL), run("R0", 0.5, seeds=1, task=WORLD_TASK, tau=REAL))
    assert common.places(asked)[0] == asked.main


def test_verdicts_can_be_saved(judged: Judge, tmp_path: Path):
    found = list(judged(place(UNTUNED) + place(FEW_DATA)).values())
    claims.save_verdicts(found, tmp_path)
    assert [verdict.outcome for verdict in claims.load_verdicts(tmp_path)] == [verdict.outcome for verdict in found]


def test_only_comparable_finished_records_count(monkeypatch: pytest.MonkeyPatch):
    fewer, failed = record("R0", 0.9, seed=8, items=5), replace(record("R0", 0.9, seed=9), status="failed")
    other = record("R0", 0.9, seed=7)
    other.trial["recipe"]["pool"] = 17
    found = gathered(monkeypatch, [*place(FEW_DATA), fewer, failed, other])
    (where,) = found.places
    assert sorted(found.points[found.at(where, "R0", 100)]) == [0, 1, 2]
    effect = found.effect(found.at(where, "R0", 100), found.at(where, "R1", 100))
    assert effect is not None
    assert effect.estimate == pytest.approx(0.1, abs=0.02)
    assert effect.items == len({e.group for e in data.load_task(WORLD_TASK).test[:ITEMS]})
    scores = found.scores(found.at(where, "R0", 100))
    assert scores is not None
    assert found.grouped(where, scores).mean(axis=1) == pytest.approx(scores.mean(axis=1))


def test_each_size_may_have_a_pool_of_its_own(monkeypatch: pytest.MonkeyPatch):
    more = [record(name, 0.5, size=1000, seed=seed) for name in ("R0", "R1") for seed in range(2)]
    for one in more:
        one.trial["recipe"]["pool"] = 5000
    stray = record("R1", 0.9, size=1000, seed=7)
    found = gathered(monkeypatch, [*place(FEW_DATA), *more, stray])
    (where,) = found.places
    assert found.sizes(where) == [100, 1000]
    assert sorted(found.points[found.at(where, "R1", 100)]) == [0, 1, 2]
    assert sorted(found.points[found.at(where, "R1", 1000)]) == [0, 1]


# --- factorial and ranking by hand -----------------------------------------------------------------------------------


def whole_factorial(**more: Any) -> list[Record]:
    """C brings 0.1, and 0.2 more beside B; I brings nothing, P 0.05, B 0.1."""
    cells = {name: set(arm.factors) for name, arm in arms.ARMS.items() if arm.kind in ("ladder", "factorial")}
    level = {
        name: 0.2 + 0.1 * ("C" in cell) + 0.2 * ({"C", "B"} <= cell) + 0.05 * ("P" in cell) + 0.1 * ("B" in cell)
        for name, cell in cells.items()
    }
    return place(level, noise=0.0, **more)


def test_main_effects_and_interactions_are_means_over_all_pairs_of_cells(monkeypatch: pytest.MonkeyPatch):
    found = gathered(monkeypatch, whole_factorial())
    one = effects.factorial_of(found, found.places[0], 100)
    assert one is not None
    assert {letter: one.main(letter).estimate for letter in "CIPB"} == pytest.approx(
        {"C": 0.2, "I": 0.0, "P": 0.05, "B": 0.2}
    )
    assert one.interaction("C", "B").estimate == pytest.approx(0.2)
    assert one.interaction("C", "P").estimate == pytest.approx(0.0)
    assert "mean over 8 pairs" in repr(exhibits.factorial(found))


def test_without_a_base_the_factorial_has_three_factors_and_with_a_gap_none(monkeypatch: pytest.MonkeyPatch):
    tuned = [r for r in whole_factorial() if "B" in arms.ARMS[r.trial["arm"]].factors]
    found = gathered(monkeypatch, tuned)
    one = effects.factorial_of(found, found.places[0], 100)
    assert one is not None
    assert (one.letters, len(one.cells)) == ("CIP", 8)
    assert one.main("C").estimate == pytest.approx(0.3)
    gap = gathered(monkeypatch, [r for r in tuned if r.trial["arm"] != "IB"])
    assert effects.factorial_of(gap, gap.places[0], 100) is None
    assert "No factorial" in repr(exhibits.factorial(gap))


def test_average_precision_is_a_mean_over_seeds_with_resamples_of_groups():
    positive, probability = [1, 0, 1, 0], [[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.4]]
    found = ranking.average_precisions(positive, probability, ("a", "a", "b", "b"), resamples=50)
    assert found.shape == (51,)
    assert found[0] == pytest.approx(np.mean([average_precision(positive, row) for row in probability]))
    assert found[0] == pytest.approx(((1 + 2 / 3) / 2 + (1 / 2 + 2 / 4) / 2) / 2)
    assert np.nanmin(found[1:]) < found[0] < np.nanmax(found[1:])


def test_the_relation_over_languages_has_the_sign_of_the_gains(monkeypatch: pytest.MonkeyPatch):
    falling, rising = (languages.correlation(gathered(monkeypatch, of_languages(*g))) for g in ((0.3, 0.1), (0.1, 0.3)))
    assert falling is not None
    assert rising is not None
    assert falling < -0.9 < 0.9 < rising
    drawn = repr(exhibits.languages_figure(gathered(monkeypatch, of_languages())))
    assert "16 languages" in drawn
    assert "-0.78 for XS" in drawn


# --- beta ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, results: Path) -> list[Record]:
    """Records whose rationales are on the disk: beta is right on items divisible by three, else it says "nobody"."""
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    folder = tmp_path / "rationales"
    folder.mkdir()
    examples = data.load_task(WORLD_TASK).test[:ITEMS]
    for seed in range(3):
        rows = [
            {
                "id": e.id,
                "rationale": "" if index == 0 else "a thought",
                "answer": e.target if index % 3 == 0 else "nobody",
                "prompt_tokens": 10,
                "new_tokens": 20,
                "seconds": 0.5,
                "truncated": index < 12,
                "samples": ["x", "y"],
            }
            for index, e in enumerate(examples)
        ]
        name = f"{WORLD_TASK}_{studies.seeded('world-m', seed)}_0123456789abcdef.jsonl"
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place(UNTUNED) + place(FEW_DATA)


def test_betas_quality_and_tokens_come_from_its_file(monkeypatch: pytest.MonkeyPatch, with_files: list[Record]):
    found = gathered(monkeypatch, with_files)
    table = repr(exhibits.quality_table(found))
    assert "| world-m | 0.400 (" in table
    assert "| 360 | 0.8% | 10.0% | 0.0% | 10 | 20 | 0.50 |" in table
    where = found.places[0]
    point = found.at(where, "R0", 100)
    assert cost.per_item(found, point) == (50, 30, "1.0", "unknown")  # no world-m was tuned whole
    assert cost.per_item(found, found.at(where, "beta-vote"))[:2] == (0, 60)
    assert cost.per_item(found, found.at(where, "distilled", 100))[1] == 0
    assert "60" in repr(exhibits.vote(found))


def test_copies_are_counted_where_beta_is_right_and_where_it_is_wrong(
    monkeypatch: pytest.MonkeyPatch, with_files: list[Record]
):
    """Tau is right on odd items and says "nobody" on the others; beta is right on every third."""
    rows = {str(row[0]).split(",")[0]: row[1:] for row in of_beta._copying(*first_place(monkeypatch, with_files))}
    assert rows["R0"] == (120, "50%", "50%", 240, "50%", "50%")
    assert rows["R1"] == rows["R0"]
    assert "R1 has not seen" in tiny.html(exhibits.copying(gathered(monkeypatch, with_files)))


def first_place(monkeypatch: pytest.MonkeyPatch, records: list[Record]) -> tuple[evidence.Evidence, studies.Where]:
    found = gathered(monkeypatch, records)
    return found, found.places[0]


def test_several_betas_stand_beside_each_other(monkeypatch: pytest.MonkeyPatch):
    weaker = place({"R0": 0.62, "beta": 0.2}, beta="world-s")
    found = gathered(monkeypatch, place(UNTUNED) + place(FEW_DATA) + weaker)
    table = repr(exhibits.by_beta(found))
    assert re.search(r"world-m, 100 examples \| 0\.400 \| 0\.7", table)
    assert re.search(r"world-s, 100 examples \| 0\.200 \| 0\.6", table)
    assert "own, 100 examples | - | 0.9" in table


# --- exhibits --------------------------------------------------------------------------------------------------------

OF_EVIDENCE = (
    *("answer", "bases", "by_beta", "controls", "copying", "cost_table", "factorial", "gains", "ladder"),
    *("languages_figure", "languages_table", "learning_curve", "levels_table", "origin", "quality_table"),
    *("ranking_table", "regimes", "scores_table", "shots", "uses", "vote"),
)
DRAWN = ("bases", "factorial", "gains", "ladder", "languages_figure", "learning_curve", "regimes", "shots", "uses")


def everything() -> list[Record]:
    curve = [r for arm in ("R0", "R1", "R2") for r in run(arm, 0.4, size=1000, updates=10)]
    return as_the_paper_tells_it() + whole_factorial(tau="world-xs-instruct") + curve


def test_figures_have_alt_text_and_names_of_their_own(monkeypatch: pytest.MonkeyPatch, results: Path):
    found = gathered(monkeypatch, everything())
    tiny.check_figures([getattr(exhibits, name)(found) for name in DRAWN])


def test_tables_are_made_from_the_records(monkeypatch: pytest.MonkeyPatch, results: Path):
    found = gathered(monkeypatch, everything())
    shown = {name: repr(getattr(exhibits, name)(found)) for name in OF_EVIDENCE}
    assert re.search(r"\| R0, 1,000 examples \| 0\.9", shown["scores_table"])
    assert "The same for privacy-qa, smollm2-135m-instruct" in shown["scores_table"]
    assert "On world-two-hop, world-s with 100 examples FIAT has exact match 0.7" in shown["answer"]
    assert "better than beta in context by +0.3" in shown["answer"]
    assert re.search(r"wrong - R1, 100 examples \|[^|]+\| behaves", shown["controls"])
    assert re.search(r"R0 - wrong, 100 examples \|[^|]+\| behaves", shown["controls"])
    assert "0.781 / 0.775" in shown["ranking_table"]
    assert "TF-IDF" in shown["ranking_table"]
    assert "help each other" in shown["factorial"]
    assert "here, 1,000 examples" in shown["gains"]
    assert "0 | 0.2" in shown["learning_curve"]
    assert "1.0 GiB" in shown["cost_table"]
    assert "world-s" in shown["levels_table"]


def test_without_records_the_page_says_so_instead_of_drawing(monkeypatch: pytest.MonkeyPatch, results: Path):
    found = gathered(monkeypatch, [])
    for name in OF_EVIDENCE:
        shown = getattr(exhibits, name)(found)
        assert "<svg" not in tiny.html(shown), name
        assert len(repr(shown)) > 10, name
    assert "No learning rate was tried" in repr(exhibits.tuning_table([]))


@pytest.mark.parametrize("arm", ["R0", "untouched", "beta"])
def test_a_single_arm_with_a_single_seed_breaks_no_exhibit(monkeypatch: pytest.MonkeyPatch, arm: str, results: Path):
    found = gathered(monkeypatch, [record(arm, 0.5, task=YES_NO, tau=REAL, beta=REAL)])
    for name in OF_EVIDENCE:
        assert len(repr(getattr(exhibits, name)(found))) > 10, name
    assert "-78" not in tiny.html(exhibits.scores_table(found))


def test_the_papers_own_tables_are_read_again():
    gains = repr(exhibits.paper_gains())
    assert "| PaLM 2 XS, attribution, accuracy | 94.0 | 78.6 | 90.5 | +0.0 | +0.5 | -0.2 | +3.2 |" in gains
    checks = tiny.html(exhibits.paper_checks())
    assert f" of {len(paper.checks())} averages" in checks
    assert "PaLM 2 S, R1, attribution, accuracy" in checks


def test_learning_rates_are_listed_with_the_choice():
    tried = []
    for one, loss in zip(fiat.tuning(world_params(arms=["R0"], rate_factors=[0.5, 1.0])), (2.0, 1.0), strict=True):
        tried.append(Record(f"{loss}", "done", one.spec(), {}, {"task": {"target_nll": [loss]}}))
    table = repr(exhibits.tuning_table(tried))
    (row,) = (line for line in table.splitlines() if "R2, world-two-hop, world-s" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")[1:]] == [
        "24",
        "0.0015: 2.000, 0.003: 1.000",
        "1",
        "0.003, largest tried",
    ]


# --- what the models read, and the plan ------------------------------------------------------------------------------


@pytest.mark.usefixtures("results")  # nothing is published
def test_what_beta_and_tau_read_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    taught = repr(exhibits.reasoning_prompt(world_params(beta="world-xs")))
    assert "taught to think aloud" in taught
    real = repr(exhibits.reasoning_prompt(params(tier="laptop")))
    assert "So the answer is:" in real
    assert "Worked example 1" in real
    assert "come with the data" in repr(exhibits.reasoning_prompt(world_params()))
    nothing = repr(exhibits.reasoning_prompt(params(tier="laptop", task="boolq")))
    assert "has no reasoning prompt" in nothing
    ladder = repr(exhibits.ladder_prompts(world_params()))
    example = data.load_task(WORLD_TASK).test[0]
    assert ladder.count(f"passage : {example.rationale} {example.prompt}") == 1
    unwritten = repr(exhibits.ladder_prompts(params(tier="laptop")))
    assert "(what beta writes)" in unwritten
    assert "no such model" in unwritten


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Instead of the engine's plan, which measures speeds, the arms that it is asked about."""
    asked: list[Any] = []
    monkeypatch.setattr("lowres.engine.plan", lambda trials, ledger: asked.extend(t.arm for t in trials) or "minutes")
    return asked


def test_the_plan_tells_what_waits_for_rationales(
    cheap: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, results: Path
):
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    chosen = world_params(beta="world-xs", arms=["R0", "R1", "beta"])
    text = fiat.plan(chosen, Ledger())
    assert "Rationales to be written first, at most 96 tokens each: 64 by world-xs." in text
    assert "2 more trials wait for rationales: beta (1), R0 (1)." in text
    assert cheap == ["R1"]
    trials = fiat.trials(chosen)
    assert Counter(fiat.states(trials, Ledger())) == {planning.READY: 1, planning.WAITING: 2}
    assert "| R0 | 24 | 3 | 1 | 0 | 0 | 1 | not known yet |" in repr(
        exhibits.trial_table(trials, fiat.states(trials, Ledger()))
    )
    assert "not known yet" in repr(exhibits.rationales_table(chosen))
    assert "No rationale is to be written" in fiat.plan(world_params(arms=["R0"]), Ledger())


def test_the_plan_of_models_that_are_not_here_fetches_nothing(tmp_path: Path):
    text = fiat.plan(params(tier="paper"), Ledger(tmp_path))
    assert "not on this machine and not fetched for a plan" in text
    assert "hours of one H100" in text


# --- whole runs ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("results")
def test_the_smoke_tier_runs_from_the_rationales_to_the_verdicts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setitem(sizes.DECODERS, "xs", replace(sizes.DECODERS["xs"], steps=3))
    chosen = params(tier="smoke", tau="world-xs", beta="world-xs", max_new_tokens=12)
    records = studies.insist_on_all(studies.execute(fiat, chosen, Ledger(), progress=False))
    assert sorted(record.trial["arm"] for record in records) == sorted(set(FEW) - {"R4"})
    assert writing.missing(chosen) == {}
    found = fiat.gather(chosen, records)
    assert {verdict.outcome for verdict in fiat.verdicts(found)} == {"cannot tell"}
    for name in ("scores_table", "ladder", "gains", "quality_table", "uses", "controls", "cost_table"):
        assert "world-xs" in tiny.html(getattr(exhibits, name)(found)), name
    again = studies.execute(fiat, chosen, Ledger(), progress=False)
    assert [record.key for record in again] == [record.key for record in records]
    trials = fiat.trials(chosen)
    assert set(fiat.states(trials, Ledger())) == {planning.RECORDED}


# --- the notebook ----------------------------------------------------------------------------------------------------


def test_every_cell_of_the_page_runs_on_hand_made_records(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, results: Path
):
    assert set(OF_EVIDENCE) < set(exhibits.__all__)
    tiny.run_page(fiat, everything(), monkeypatch, tmp_path)
