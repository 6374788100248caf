"""The FIAT study: parameters, arms and prompts of the ladder, its page from hand-made records, plan and run."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from lowres import data, places, rates, registry, studies, tuners
from lowres.examples import digest
from lowres.language import LanguageModel
from lowres.language.prompt import with_anchor
from lowres.ledger import Ledger
from lowres.optimisation import Optimisation
from lowres.outcomes import Outcomes
from lowres.page import drawing, parts, verdicts
from lowres.page.drawing import Evidence
from lowres.params import InputError, from_mapping, resolve
from lowres.rationales import Request
from lowres.studies import fiat
from lowres.studies.fiat import arms, page, plan, rules, settings, writing
from lowres.studies.fiat.params import FEW, Params
from lowres.trial import Evaluation, Recipe, Record, Trial, material
from lowres.world import sizes

REAL, TAU, BASE = "smollm2-135m-instruct", "world-s-instruct", "world-s"
WORLD_TASK, YES_NO, ITEMS = "world-two-hop", "privacy-qa", 120


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
        ({"seeds": [plan.TUNING_SEED]}, f"seeds must not hold {plan.TUNING_SEED}"),
        ({"asked": True, "beta": "world-m", "task": "world-sort"}, "the steps of 'world-sort' are not known"),
        ({"asked": True, "beta": REAL, "task": "world-form"}, "only a world model is asked for single steps"),
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
    cells = [arms.ARMS[name].factors for name in arms.CELLS.values()]
    ways = {frozenset(way) for size in range(5) for way in itertools.combinations("CIPB", size)}
    assert sorted(map(sorted, cells)) == sorted(map(sorted, ways))
    assert list(arms.CELLS) == cells
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
    best = plan.learning_rates(chosen, tuned)
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
    assert settings.left_out(chosen) == [
        "R4 is left out: base is none",
        "IP is left out: base is none",
        "own-rationale is left out: the data of privacy-qa have no rationales",
        "beta-vote is left out: samples is 0",
    ]
    assert settings.left_out(world_params(arms=["R0"])) == []
    assert (
        len(settings.left_out(world_params())) == 3
    )  # beta's answer is the target where the data's rationales are used


def test_what_is_not_tuned_runs_once_but_for_what_its_seed_changes():
    real = params(tau=REAL, beta="file:" + str(Path(__file__)), seeds=[0, 1], arms=["untouched", "shots-2", "R1"])
    assert Counter(one.arm for one in fiat.trials(real)) == {"untouched": 1, "shots-2": 2, "R1": 2}
    worlds = world_params(seeds=[0, 1], arms=["untouched"])
    assert [one.model for one in fiat.trials(worlds)] == [TAU, f"{TAU}@1"]


def prompts_of(task: data.Task, model: LanguageModel, folder: Path) -> dict[str, list[str]]:
    """The prompts that a trial of each rung trains on."""
    found = {}
    for name in arms.LADDER:
        arm = arms.ARMS[name]
        recipe = Recipe(task_examples=3, rationale=arm.use, rationales="r.jsonl" * bool("C" in arm.factors))
        one = tiny.trial(folder, task.name, recipe=replace(recipe, anchor=arm.anchor))
        anchor = material.anchor_text(arm.anchor, task, model, 0)
        reasoned, _ = material.reason(one, task, task.train[:3], model, anchor)
        found[name] = [with_anchor(anchor, example.prompt) for example in reasoned]
    return found


def write_rationales(examples: Sequence[data.Example], name: str, **more: Any) -> None:
    folder = places.ledger_folder() / "rationales"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": e.id, "prompt": digest(e.prompt), "rationale": f"thinking of {e.id}", **more} for e in examples]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_each_rung_takes_exactly_one_thing_out_of_the_prompt(
    chat_model: LanguageModel, chat_folder: Path, task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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
    with pytest.raises(InputError, match="is also in the test split"):
        fiat.prepare(chosen, progress=False)


# --- hand-made records -----------------------------------------------------------------------------------------------


def record(  # noqa: PLR0913 - one keyword per thing that tests vary
    arm: str, score: float, *, size: int, seed: int, place: Any, writer: str, noise: float = 0.03
) -> Record:
    """A record whose items score around `score`, nearly alike for every arm; odd items are right, else "nobody"."""
    kind, task, tau = arms.ARMS[arm], str(place["task"]), str(place["model"])
    model = tau if "B" in kind.factors or not kind.tuned else rules.BASE
    file = "own" if kind.rationales == "own" else f"{task}_{studies.seeded(writer, seed)}_0123456789abcdef.jsonl"
    one = Trial(
        "fiat",
        arm,
        studies.seeded(model, seed),
        task,
        Recipe(
            task_examples=size if kind.tuned else 0,
            anchor=kind.anchor,
            shots=kind.shots,
            rationale=kind.use,
            rationales=file if kind.use != "none" else "",
        ),
        tuners.make(kind.tuner) if kind.tuned else None,
        Optimisation(1e-3, steps=page.NOW.updates, batch_size=8) if kind.tuned else None,
        Evaluation(items=ITEMS),
        seed,
    )
    examples = data.load_task(task).test[:ITEMS]
    scores = [score + noise * ((i * 7 + seed * 3 + len(arm)) % 5 - 2) for i in range(len(examples))]
    if arm == "beta":
        scores = [float(i % 3 == 0) for i in range(len(examples))]
    outcomes = dict.fromkeys(("exact_match", "token_f1", "rouge_l", "kl"), scores)
    said = [e.target if i % 2 else "nobody" for i, e in enumerate(examples)]
    if arm == "beta":
        said = [e.target if i % 3 == 0 else "nobody" for i, e in enumerate(examples)]
    key = f"{task}-{tau}-{arm}-{size}-{seed}-{file}"
    return tiny.record(key, one, {"task": {**outcomes, "target_nll": [1.0] * ITEMS}}, texts={"task": said})


def run(levels: dict[str, float], grid: page.Grid = page.NOW, seeds: int = 2, noise: float = 0.03) -> list[Record]:
    """Records of arms in a grid, one per place, size, writer and seed."""
    found = []
    for arm, level in levels.items():
        kind = arms.ARMS[arm]
        who = grid.writers if kind.use != "none" and not kind.rationales else ("own",)
        every = itertools.product(grid.places, grid.sizes if kind.tuned else (0,), who, range(seeds))
        found += [
            record(arm, level, size=size, seed=seed, place=place, writer=writer, noise=noise)
            for place, size, writer, seed in every
        ]
    return found


ONE = page.Grid(({"model": TAU, "task": WORLD_TASK},), (32,), ("world-m",), page.NOW.updates)


def whole_factorial() -> list[Record]:
    """C brings 0.1, and 0.2 more beside B; I brings nothing, P 0.05, B 0.1."""
    level = {
        name: 0.2 + 0.1 * ("C" in cell) + 0.2 * ({"C", "B"} <= set(cell)) + 0.05 * ("P" in cell) + 0.1 * ("B" in cell)
        for cell, name in arms.CELLS.items()
    }
    return run(level, ONE, noise=0.0)


@pytest.mark.parametrize(
    ("letters", "effect"), [("C", 0.2), ("I", 0.0), ("P", 0.05), ("B", 0.2), ("CB", 0.2), ("CP", 0.0)]
)
def test_main_effects_and_interactions_are_means_over_all_pairs_of_cells(letters: str, effect: float):
    found = drawing.effect(Outcomes.of(whole_factorial()), ONE.places, page.effect_of(ONE, letters))
    assert found is not None
    assert found.estimate == pytest.approx(effect)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch):
    """Makes these records all that a page is drawn from."""

    def show(records: list[Record]) -> None:
        made = Evidence("fiat", Outcomes.of(records))
        for module in (drawing, parts, verdicts):
            monkeypatch.setattr(module, "evidence", lambda study: made)

    return show


def test_what_tau_does_where_beta_is_wrong_is_a_share_of_all_items(shown: Any):
    """Beta is right on every third item, tau says the right thing on odd ones and else the same wrong word as beta."""
    shown(run({"beta": 1 / 3, "R0": 0.6, "R1": 0.5}, ONE))
    wrong, right, alone, same, chance = (one.estimate for one in page.where_wrong(ONE))
    assert wrong == pytest.approx(2 / 3)
    assert (right, alone) == (pytest.approx(0.6 * 2 / 3, abs=0.01), pytest.approx(0.5 * 2 / 3, abs=0.01))
    assert same == chance == pytest.approx(1 / 3)


EXHIBITS = ("gains", "regimes", "factorial", "uses", "moved", "writers", "controls")
LEVELS = {"untouched": 0.1, "untouched-instruction": 0.2, "beta": 0.4, "R0": 0.7, "R1": 0.6, "R2": 0.5, "R3": 0.45}
LEVELS |= {"R4": 0.2, "distilled": 0.62, "wrong": 0.58, "answer-only": 0.65, "stripped": 0.61, "own-rationale": 0.9}


def test_every_exhibit_draws_from_todays_records(shown: Any):
    shown(run(LEVELS | dict.fromkeys(set(arms.CELLS.values()) - set(LEVELS), 0.3)))
    found = {name: getattr(page, name)() for name in EXHIBITS}
    tiny.check_figures([found[name] for name in ("gains", "regimes", "factorial", "uses", "moved")])
    assert "rationale (R0 - R1), 32 examples" in repr(found["gains"])
    assert "| world-xs~0.55 | 0.33" in repr(found["writers"])
    assert "not run" not in repr(found["controls"])
    assert not any("first edition" in tiny.html(one) for one in found.values())


def test_without_records_every_exhibit_says_so(shown: Any):
    shown([])
    for name in EXHIBITS[:-1]:
        assert "not run yet" in repr(getattr(page, name)()), name
    assert "not run" in repr(page.controls())


def test_the_papers_tables_give_the_gains_and_the_correlation_that_the_claims_name():
    """Fiat-6 names Pearson's r of gain by reasoning and score without it, over the languages of Table 7."""
    from statistics import correlation

    table = repr(page.paper())
    assert "| PaLM 2 XS, attribution (accuracy) | 94.0 | 78.6 | 90.5 | +0.0 | +0.5 | -0.2 | +3.2 |" in table
    assert "| PaLM 2 S, attribution (AUC-PR) | 77.5 |  | 54.5 | -3.2 | +9.1 | -4.6 | +21.7 |" in table
    languages = [(float(row["R0"]), float(row["R1"])) for row in page.paper_rows() if not row["R4"]]
    assert len(languages) == 20
    r = correlation([r1 for _, r1 in languages], [r0 - r1 for r0, r1 in languages])
    (claim,) = (one for one in fiat.CLAIMS if one.name == "fiat-6")
    assert f"{r:.2f}" in claim.reported


def test_beta_is_asked_step_by_step_wherever_that_is_possible():
    def asked(**given: Any) -> bool:
        return writing.request(params(**given), 0, sampled=False).asked

    assert asked(tier="laptop")
    assert not asked(tier="laptop", asked=False)
    assert not asked(tier="laptop", samples=2)
    assert not asked(tau=REAL, base="none", beta=REAL, task=YES_NO)


# --- the plan --------------------------------------------------------------------------------------------------------


def test_the_plan_tells_what_waits_for_rationales(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, results: Path):
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    chosen = world_params(beta="world-xs", arms=["R0", "R1", "beta"])
    (line,) = fiat.to_prepare(chosen)
    assert line.startswith("To be written first: 64 rationales by world-xs, at most 96 tokens each")
    assert fiat.to_prepare(world_params(arms=["R0"])) == []


# --- whole runs ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("results")
def test_the_smoke_tier_runs_from_the_rationales_to_the_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setitem(sizes.DECODERS, "xs", replace(sizes.DECODERS["xs"], steps=3))
    chosen = params(tier="smoke", tau="world-xs", beta="world-xs", max_new_tokens=12)
    records = registry.insist_on_all(registry.execute(fiat, chosen, Ledger(), progress=False))
    assert sorted(record.trial["arm"] for record in records) == sorted(set(FEW) - {"R4"})
    assert writing.missing(chosen) == {}
    again = registry.execute(fiat, chosen, Ledger(), progress=False)
    assert [record.key for record in again] == [record.key for record in records]
