"""Parameters, arms and learning rates of the TELL study."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import tiny

from lowres import engine, models, registry, trial, world
from lowres.data import TaskOptions, load_task, pool
from lowres.language import LanguageModel, formats
from lowres.ledger import Ledger, published
from lowres.optimisation import Optimisation
from lowres.params import InputError, from_mapping, from_strings, resolve
from lowres.studies import tell
from lowres.studies.tell import arms, plan, sizes
from lowres.studies.tell.params import ARM_NAMES, Params
from lowres.trial import Record, Trial, material
from lowres.tuners import Full
from lowres.world import questions, wording

pytestmark = pytest.mark.usefixtures("general_pool", "results")


@pytest.fixture
def given(chat_folder: Path, task: str) -> dict[str, Any]:
    """Parameters under which a trial takes a blink."""
    return {
        "model": str(chat_folder),
        "task": task,
        "task_tokens": [120],
        "ratio": 2.0,
        "seeds": [0, 1],
        "items": 4,
        "probes": [],
        "learning_rates": [1e-2],
        "precision": "fp32",
        "arms": list(ARM_NAMES),
    }


def params(values: dict[str, Any], **changes: Any) -> Params:
    return resolve(from_mapping(Params, values | changes))


def by_arm(found: list[Trial]) -> dict[str, list[Trial]]:
    return {name: [one for one in found if one.arm == name] for name in dict.fromkeys(one.arm for one in found)}


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"arms": ["sft"], "ratios": [0.0, 1.0]}, "ratios are swept for the tell arm, which arms leaves out"),
        ({"prompt_field": "text"}, "prompt_field is for your own task .* but task is wiki-description"),
        ({"instruction": "Do it.", "task": "boolq"}, "instruction is for your own task .* but task is boolq"),
        ({"task": "bolq"}, "unknown task 'bolq': did you mean 'boolq'"),
        ({"task": "jsonl:/nowhere/at/all"}, "there is no such file or folder"),
        ({"model": "smollm2-135m-instuct"}, "unknown model .* Did you mean 'smollm2-135m-instruct'"),
        ({"tuner": "lorra"}, r'tuner must be one of "full", "bitfit", "lora".*did you mean "lora"'),
        ({"probes": ["sqia"]}, r'probes\[0\] must be one of .*did you mean "siqa"'),
        ({"arms": ["tel"]}, r'arms\[0\] must be one of .*did you mean "tell"'),
        ({"tier": "laptp"}, 'did you mean "laptop"'),
        ({"teir": "smoke"}, r'unknown parameter "teir" \(did you mean "tier"'),
        ({"task_tokens": [0]}, r"task_tokens\[0\] must be at least 1, not 0"),
        ({"task_tokens": [-5]}, r"task_tokens\[0\] must be at least 1"),
        ({"task_tokens": []}, "task_tokens must not be empty"),
        ({"task_tokens": 1000}, r"write task_tokens=\[1000\]"),
        ({"ratio": 0}, "ratio must be above 0"),
        ({"ratio": -1.0}, "ratio must be above 0"),
        ({"ratios": [-1.0]}, r"ratios\[0\] must be at least 0"),
        ({"learning_rates": [0.0]}, r"learning_rates\[0\] must be above 0"),
        ({"learning_rates": [2.0]}, "at most 1"),
        ({"seeds": [1, 1]}, "seeds must not repeat 1"),
        ({"seeds": [plan.TUNING_SEED]}, f"seeds must not hold {plan.TUNING_SEED}"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 1.5}, "batch_size must be an integer"),
        ({"metric": "meteor"}, "metric must be one of"),
        ({"anchor": "mine"}, "anchor must be one of"),
        ({"model": "world-xs@3"}, "model must name 'world-xs@3' without its seed"),
        ({"answer_tokens": 5}, "answer_tokens is for your own task"),
    ],
)
def test_wrong_and_contradictory_values_are_refused(values: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        from_mapping(Params, values)


def test_all_problems_are_told_at_once():
    with pytest.raises(InputError) as caught:
        from_mapping(Params, {"sedes": [0], "epochs": 0, "task": "bolq", "ratio": 0})
    assert len(caught.value.problems) == 4


def test_fields_of_an_own_task_reach_its_reader(task: str):
    chosen = from_strings(Params, [f"task={task}", "instruction=Name it.", "metric=exact_match"])
    options = TaskOptions.of(chosen)
    assert (options.instruction, options.metric, options.prompt_field) == ("Name it.", "exact_match", None)
    assert load_task(task, options).metric == "exact_match"


# --- arms ------------------------------------------------------------------------------------------------------------


def test_every_arm_has_a_description_and_a_trial_per_seed(given: dict[str, Any]):
    assert tuple(tell.ARMS) == ARM_NAMES
    assert all(arm.meaning for arm in tell.ARMS.values())
    counts = Counter(one.arm for one in tell.trials(params(given)))
    assert counts == {name: 1 if name == "untouched" else 2 for name in ARM_NAMES}


def test_the_untouched_model_is_one_trial_however_many_budgets_and_seeds(given: dict[str, Any]):
    found = by_arm(tell.trials(params(given, task_tokens=[80, 120], seeds=[3, 4, 5])))
    (untouched,) = found["untouched"]
    assert (untouched.tuner, untouched.optimisation, untouched.recipe.task_tokens) == (None, None, 0)
    assert untouched.recipe.anchor == "hand-written"
    assert len(found["few-shot"]) == 3
    assert len(found["tell"]) == 6


def test_what_sets_each_arm_apart(given: dict[str, Any]):
    found = {name: made[0] for name, made in by_arm(tell.trials(params(given, seeds=[1]))).items()}
    recipes = {name: one.recipe for name, one in found.items()}
    assert recipes["tell"] == trial.Recipe(120, 240, "hand-written")
    assert recipes["tell-no-anchor"] == replace(recipes["tell"], anchor="none")
    assert recipes["tell-task-first"] == replace(recipes["tell"], order="task-first")
    assert recipes["tell-task-last"] == replace(recipes["tell"], order="task-last")
    assert recipes["random-labels"] == replace(recipes["tell"], labels="random")
    assert recipes["general-only"] == replace(recipes["tell"], task_tokens=0)
    for name in ("sft+anchor", "sft-equal-steps", "sft-equal-tokens"):
        assert recipes[name] == replace(recipes["tell"], general_tokens=0)
    assert recipes["sft"] == trial.Recipe(120)
    assert recipes["few-shot"] == trial.Recipe(anchor="hand-written", shots=3)
    assert len({one.key() for one in found.values()}) == len(found)
    assert len({one.evaluation for one in found.values()}) == 1
    written = tell.trials(params(given, anchor="model-written", arms=["tell", "sft"], seeds=[1]))
    assert [one.recipe.anchor for one in written] == ["model-written", "none"]


def test_arms_of_one_seed_train_on_the_same_examples(given: dict[str, Any], chat_model: LanguageModel):
    own: dict[int, set[Any]] = {0: set(), 1: set()}
    for one in tell.trials(params(given)):
        chosen, _ = material.draw(one, load_task(one.task), chat_model)
        if chosen and one.recipe.labels == "true":
            own[one.seed].add(chosen)
    assert [len(found) for found in own.values()] == [1, 1]
    assert own[0] != own[1]


def test_equal_steps_are_those_of_tell(given: dict[str, Any], tmp_path: Path):
    chosen = params(given, arms=["tell", "sft-equal-steps", "sft+anchor"])
    records = engine.run(tell.trials(chosen), Ledger(tmp_path), progress=False)
    updates = {(record.trial["arm"], record.trial["seed"]): record.cost["updates"] for record in records}
    for seed in (0, 1):
        assert updates["sft-equal-steps", seed] == updates["tell", seed] > updates["sft+anchor", seed]


def test_equal_tokens_are_those_of_tell(given: dict[str, Any], tmp_path: Path):
    chosen = params(given, arms=["tell", "sft-equal-tokens", "sft+anchor"], epochs=4)
    records = engine.run(tell.trials(chosen), Ledger(tmp_path), progress=False)
    found = {(record.trial["arm"], record.trial["seed"]): record.cost for record in records}
    for seed in (0, 1):
        tokens = {arm: found[arm, seed]["training_tokens"] for arm in chosen.arms or ()}
        an_update = tokens["sft-equal-tokens"] / found["sft-equal-tokens", seed]["updates"]
        assert abs(tokens["sft-equal-tokens"] - tokens["tell"]) < an_update
        assert tokens["tell"] > 1.25 * tokens["sft+anchor"]


def test_task_tokens_are_counted_exactly(given: dict[str, Any], chat_model: LanguageModel, tmp_path: Path):
    chosen = params(given, arms=["sft", "tell"], seeds=[1])
    records = engine.run(tell.trials(chosen), Ledger(tmp_path), progress=False)
    bare = {example.id: example for example in load_task(chosen.task).train}

    def tokens(text: str) -> int:
        return len(chat_model.tokenizer(text, add_special_tokens=False).input_ids)

    own, _ = material.draw(trial.trial_from(records[0].trial), load_task(chosen.task), chat_model)
    by_hand = sum(tokens(bare[example.id].prompt) + tokens(bare[example.id].target) for example in own)
    assert {record.counts["task_tokens"] for record in records} == {by_hand}
    assert 0.8 * 120 < by_hand <= 120
    assert [0 < record.counts["general_tokens"] <= 240 for record in records] == [False, True]


def test_the_sweep_adds_ratios_to_tell_alone(given: dict[str, Any]):
    chosen = params(given, arms=["sft", "tell"], seeds=[0], ratios=[0.0, 1.0, 2.0, 4.0])
    found = by_arm(tell.trials(chosen))
    assert [one.recipe.task_tokens for one in found["sft"]] == [120]
    assert [one.recipe.general_tokens for one in found["tell"]] == [240, 0, 120, 480]


def pool_tokens(chat_model: LanguageModel) -> int:
    return sum(map(material.token_counter(chat_model), tiny.pool()))


def test_what_the_pool_cannot_fill_is_left_out_and_told(given: dict[str, Any], chat_model: LanguageModel):
    total = pool_tokens(chat_model)
    fits, large = total // 120, total // 120 + 1
    chosen = params(given, arms=["tell"], seeds=[0], ratios=[1.0, fits, large, 99.0])
    assert [one.recipe.general_tokens for one in tell.trials(chosen)] == [240, 120, 120 * fits]
    assert tell.left_out(chosen) == [
        f"left out: ratio {ratio:g} at 120 task tokens needs {120 * ratio:,} general tokens, and the pool has {total:,}"
        for ratio in (large, 99)
    ]
    assert tell.left_out(params(given, ratios=[1.0])) == []


def test_a_budget_at_which_the_pool_is_too_small_keeps_its_arms_without_general_data(
    given: dict[str, Any], chat_model: LanguageModel
):
    ratio = pool_tokens(chat_model) / 150
    chosen = params(given, seeds=[0], task_tokens=[100, 200], ratio=ratio, learning_rates=[1e-3, 1e-2])
    at_200 = {one.arm for one in tell.trials(chosen) if one.recipe.task_tokens == 200}
    assert at_200 == {"sft", "sft+anchor"}
    assert {one.arm for one in tell.tuning(chosen) if one.recipe.task_tokens == 200} == {"tuning task-only"}
    (told,) = tell.left_out(chosen)
    assert "at 200 task tokens" in told


@pytest.mark.parametrize("chosen_arms", [["sft"], ["untouched", "sft", "tell"], ["sft-equal-steps"]])
def test_a_budget_beyond_the_task_says_how_much_there_is(
    given: dict[str, Any], chat_model: LanguageModel, chosen_arms: list[str]
):
    total = sum(map(material.token_counter(chat_model), load_task(given["task"]).train))
    with pytest.raises(
        InputError, match=rf"the budget of 50,000 tokens is more than task 'jsonl:.* has: {total:,} tokens"
    ):
        registry.possible(tell, params(given, arms=chosen_arms, task_tokens=[100, 50_000], ratio=0.001))


def test_a_budget_beyond_the_general_pool_says_how_much_there_is(given: dict[str, Any]):
    with pytest.raises(
        InputError, match=r"the budget of 600,000 tokens is more than the general pool has: [\d,]+ tokens"
    ):
        registry.possible(tell, params(given, arms=["tell"], ratio=5_000.0))


def test_an_impossible_budget_is_refused_before_anything_is_tuned(given: dict[str, Any], tmp_path: Path):
    chosen = params(given, learning_rates=[1e-3, 1e-2], task_tokens=[100, 50_000], arms=["sft"])
    with pytest.raises(InputError, match="the budget of 50,000"):
        registry.execute(tell, chosen, Ledger(tmp_path), progress=False)
    assert list(tmp_path.glob("*.json")) == []


# --- learning rates --------------------------------------------------------------------------------------------------


def test_families_share_the_count_of_tries_at_every_budget(given: dict[str, Any]):
    chosen = params(given, learning_rates=[1e-3, 1e-2, 3e-2], task_tokens=[240, 120])
    found = by_arm(tell.tuning(chosen))
    assert set(found) == {f"tuning {family}" for family in arms.FAMILIES}
    for made in found.values():
        tried = [(one.recipe.task_tokens, one.optimisation.learning_rate) for one in made if one.optimisation]
        assert tried == [(tokens, rate) for tokens in (240, 120) for rate in (1e-3, 1e-2, 3e-2)]
        assert {(one.seed, one.evaluation.split, one.evaluation.probes) for one in made} == {
            (plan.TUNING_SEED, "validation", ())
        }
    few = by_arm(tell.tuning(params(given, learning_rates=[1e-3, 1e-2], arms=["untouched", "sft", "few-shot"])))
    assert list(few) == ["tuning task-only"]


def test_one_candidate_or_none_needs_no_tuning(given: dict[str, Any]):
    assert tell.tuning(params(given)) == tell.tuning(params(given, learning_rates=[])) == []
    rates = {one.optimisation.learning_rate for one in tell.trials(params(given)) if one.optimisation}
    assert rates == {1e-2}
    usual = {
        one.optimisation.learning_rate for one in tell.trials(params(given, learning_rates=[])) if one.optimisation
    }
    assert usual == {plan.OTHER_RATES[1]}


def tuned(made: Trial, nll: float, f1: float = 0.0, status: str = "done") -> Record:
    outcomes = {"task": {"token_f1": [f1, f1], "target_nll": [nll - 1, nll + 1]}}
    return Record(str(made), status, made.spec(), {"data": "d", "model": "m", "code": "c"}, outcomes)


def test_each_family_takes_the_rate_of_its_likeliest_validation_targets(given: dict[str, Any]):
    chosen = params(given, learning_rates=[1e-3, 1e-2, 3e-2])
    made = tell.tuning(chosen)
    losses = {
        "tuning task-only": (3.0, 2.0, 2.5),
        "tuning equal-steps": (1.0, 2.0, 2.0),
        "tuning equal-tokens": (2.0, 2.0, 1.0),
        "tuning mixed": (4.0, 3.0, 2.9),
    }
    records = [tuned(one, losses[one.arm][index % 3], f1=index % 3) for index, one in enumerate(made)]
    rates_of_families = {"task-only": 1e-2, "equal-steps": 1e-3, "equal-tokens": 3e-2, "mixed": 3e-2}
    assert plan.chosen_rates(records) == {(family, 120): rate for family, rate in rates_of_families.items()}
    assert plan.chosen_rates(records[::-1]) == plan.chosen_rates(records)
    assert plan.chosen_rates([]) == {}
    rates = {
        name: made[0].optimisation.learning_rate
        for name, made in by_arm(tell.trials(chosen, records)).items()
        if made[0].optimisation
    }
    assert {rates[name] for name in ("sft", "sft+anchor")} == {1e-2}
    assert rates["sft-equal-steps"] == 1e-3
    assert {rate for name, rate in rates.items() if tell.ARMS[name].family == "mixed"} == {3e-2}


def test_each_budget_takes_its_own_rate_and_another_that_of_the_nearest(given: dict[str, Any]):
    chosen = params(given, learning_rates=[1e-3, 1e-2], task_tokens=[60, 240], arms=["sft", "tell"])
    losses = {60: {1e-3: 1.0, 1e-2: 2.0}, 240: {1e-3: 2.0, 1e-2: 1.0}}
    made = tell.tuning(chosen)
    records = [
        tuned(one, losses[one.recipe.task_tokens][one.optimisation.learning_rate]) for one in made if one.optimisation
    ]
    found = {
        (one.arm, one.recipe.task_tokens): one.optimisation.learning_rate
        for one in tell.trials(replace(chosen, task_tokens=(60, 80, 200, 240)), records)
        if one.optimisation
    }
    assert {tokens: found["sft", tokens] for tokens in (60, 80, 200, 240)} == {60: 1e-3, 80: 1e-3, 200: 1e-2, 240: 1e-2}
    assert (found["tell", 60], found["tell", 240]) == (1e-3, 1e-2)


def test_general_data_alone_have_the_rate_of_tell(given: dict[str, Any]):
    chosen = params(given, learning_rates=[1e-3, 1e-2], task_tokens=[60, 240], arms=["general-only", "tell"])
    made = tell.tuning(chosen)
    records = [
        tuned(one, one.optimisation.learning_rate * (1 if one.recipe.task_tokens > 99 else -1))
        for one in made
        if one.optimisation
    ]
    found = by_arm(tell.trials(chosen, records))
    rates = {name: [one.optimisation for one in made] for name, made in found.items()}
    assert rates["general-only"] == rates["tell"]
    assert len(set(rates["tell"])) == 2


def test_a_rate_that_diverged_is_not_chosen(given: dict[str, Any]):
    chosen = params(given, learning_rates=[1e-3, 1e-2], arms=["sft"])
    low, high = tell.tuning(chosen)
    records = [tuned(low, 5.0), tuned(high, 0.1, status="failed")]
    assert plan.learning_rates(chosen, records) == {("task-only", 120): 1e-3}


def test_without_candidates_the_published_tuning_of_the_same_model_task_and_tuner_decides(given: dict[str, Any]):
    made = tell.tuning(params(given, learning_rates=[1e-3, 2e-2], arms=["sft"]))
    foreign = [replace(one, model="another", optimisation=Optimisation(0.5)) for one in made]
    other_tuner = [replace(one, tuner=Full(), optimisation=Optimisation(0.4)) for one in made]
    measured = [tuned(one, loss) for one, loss in zip([*made, *foreign, *other_tuner], (3, 2, 1, 1, 1, 1), strict=True)]
    records = [replace(record, key=str(number)) for number, record in enumerate(measured)]
    published.write_shard("tell", records)
    assert plan.learning_rates(params(given, learning_rates=[], arms=["sft"])) == {("task-only", 120): 2e-2}
    assert plan.learning_rates(params(given, learning_rates=[0.1]))["task-only", 120] == 0.1


def test_a_study_tunes_then_runs_with_what_it_found(given: dict[str, Any], tmp_path: Path):
    chosen = params(given, learning_rates=[1e-4, 2e-2], arms=["untouched", "sft"], seeds=[0])
    records = registry.execute(tell, chosen, Ledger(tmp_path), progress=False)
    *tuned, untouched, sft = records
    assert {record.trial["arm"] for record in tuned} == {"tuning task-only"}
    assert (untouched.trial["arm"], sft.trial["arm"]) == ("untouched", "sft")
    assert {record.status for record in records} == {"done"}
    best = min(tuned, key=lambda record: record.mean("task", "target_nll"))
    assert sft.trial["optimisation"]["learning_rate"] == best.trial["optimisation"]["learning_rate"]
    planned = {one.key() for one in registry.planned(tell, chosen, Ledger(tmp_path))}
    assert {record.key for record in (*tuned[:2], untouched)} <= planned


# --- in the generated world ------------------------------------------------------------------------------------------


@pytest.fixture
def in_the_world(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Parameters of a world model, which must not be pretrained to plan its trials."""

    def unwanted(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.undo()  # the pool is the world's
    monkeypatch.setattr(models, "load", unwanted)
    values = {"model": "world-xs-instruct", "task": "world-telling-1", "task_tokens": [250], "seeds": [0, 3]}
    return {**values, "arms": list(ARM_NAMES), "probes": [], "learning_rates": [1e-3, 1e-2]}


def test_a_world_model_is_one_per_seed(in_the_world: dict[str, Any]):
    found = by_arm(tell.trials(params(in_the_world)))
    assert set(found) == set(ARM_NAMES)
    for made in found.values():
        assert [(one.model, one.seed) for one in made] == [("world-xs-instruct", 0), ("world-xs-instruct@3", 3)]
    assert {one.model for one in tell.tuning(params(in_the_world, seeds=[3]))} == {"world-xs-instruct@3"}
    rates = {
        one.optimisation.learning_rate
        for one in tell.trials(params(in_the_world, learning_rates=[]))
        if one.optimisation
    }
    assert rates == {plan.OTHER_RATES[0]}


@pytest.mark.parametrize("task", ["world-telling-2", "world-question"])
def test_the_general_data_of_a_task_of_the_world_are_the_worlds(task: str):
    assert pool.general_pool(task) == world.world_pool()


def test_the_anchor_of_telling_consists_of_words_that_pretraining_shows():
    """An anchor of words that a model has never met would be noise before every input."""
    shown = {word for texts in wording.INSTRUCTIONS.values() for text in texts for word in text.split()}
    random = Random(1)
    for draw in questions.DRAWS.values():
        shown.update(word for _ in range(1_000) for word in draw(random).prompt.split())
    assert set(load_task("world-telling-1").instruction.split()) <= shown


def test_planned_updates_are_those_of_the_draw(in_the_world: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    """Counted in words for the plan, in tokens by the trial: the same."""
    from lowres.world import vocabulary

    chosen = params(in_the_world, arms=["tell"], seeds=[3])
    (made,) = tell.trials(chosen)
    config = SimpleNamespace(is_encoder_decoder=False)
    tokenizer = vocabulary.tokenizer(encdec=False, instruct=True)
    own = SimpleNamespace(tokenizer=tokenizer, context=256, model=SimpleNamespace(config=config))
    planned = sizes.drawn(chosen, made)
    monkeypatch.setattr(models, "load", lambda *_: own)
    assert planned == material.draw(made, load_task(made.task), own)  # type: ignore[arg-type]
    frame = len(formats.prompt_ids(own, "")) + 1  # type: ignore[arg-type]
    assert sizes._around(chosen) == frame


def test_a_ratio_beyond_the_worlds_pool_is_left_out(in_the_world: dict[str, Any]):
    chosen = params(in_the_world, ratios=[1.0, 100_000.0], seeds=[0])
    assert max(one.recipe.general_tokens for one in tell.trials(chosen)) == 1_000
    (told,) = tell.left_out(chosen)
    assert "needs 25,000,000 general tokens" in told


# --- claims and deviations -------------------------------------------------------------------------------------------


def test_claims_have_their_source_and_deviations_their_bias():
    assert [claim.name for claim in tell.CLAIMS] == [f"tell-{number}" for number in range(1, 10)]
    assert all(claim.statement and claim.source and claim.reported for claim in tell.CLAIMS)
    assert all(row.original and row.here and row.expected_bias for row in tell.DEVIATIONS)


def test_the_default_model_and_task_exist():
    assert models.check_name(Params().model) is None
    assert Params().model in models.BUNDLED
    assert registry.load("tell") is tell
    assert (tiny.ROOT / tell.NOTEBOOK).is_file()
