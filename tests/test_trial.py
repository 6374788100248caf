"""From a trial to its record: what decides the result, what names it, and the data that each arm sees."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowres import machine, models, trial, tuners
from lowres.data import TaskOptions, load_task
from lowres.data.mixing import derived_seed
from lowres.engine import pool
from lowres.language import LanguageModel, formats
from lowres.language.room import answer_room
from lowres.optimisation import Diverged, Optimisation
from lowres.params import InputError
from lowres.trial import Evaluation, Recipe, Stage, Trial, material, provenance, running, spec
from lowres.trial.provenance import source_fingerprint
from lowres.tuners import Full, LoRA

MIXED = Recipe(task_tokens=200, general_tokens=300, anchor="hand-written")


def outcome(record: trial.Record) -> tuple[Any, ...]:
    return record.outcomes, record.curves, record.counts, record.texts


# --- identity --------------------------------------------------------------------------------------------------------

FLOATS = st.floats(1e-6, 10)
TRIALS = st.builds(
    Trial,
    study=st.sampled_from(["tell", "fiat"]),
    arm=st.text(max_size=8),
    model=st.text(max_size=8),
    task=st.text(max_size=8),
    recipe=st.builds(
        Recipe,
        task_tokens=st.integers(0, 10**6),
        general_tokens=st.integers(0, 10**6),
        anchor=st.sampled_from(material.ANCHORS),
        order=st.sampled_from(["shuffle", "task-first", "task-last"]),
        labels=st.sampled_from(["true", "random"]),
        shots=st.integers(0, 9),
    ),
    tuner=st.one_of(st.none(), st.just(Full()), st.builds(LoRA, rank=st.integers(1, 64), dropout=FLOATS)),
    optimisation=st.one_of(
        st.none(), st.builds(Optimisation, learning_rate=FLOATS, steps=st.one_of(st.none(), st.integers(1, 999)))
    ),
    evaluation=st.builds(
        Evaluation, items=st.integers(0, 999), probes=st.lists(st.text(max_size=4), max_size=3).map(tuple)
    ),
    seed=st.integers(0, 2**31),
    options=st.builds(
        TaskOptions, prompt_field=st.one_of(st.none(), st.text(max_size=5)), split_seed=st.integers(0, 9)
    ),
    precision=st.sampled_from(models.PRECISIONS),
    stream=st.lists(
        st.builds(Stage, task=st.text(max_size=8), recipe=st.just(MIXED), optimisation=st.builds(Optimisation, FLOATS)),
        max_size=2,
    ).map(tuple),
)


@given(TRIALS)
def test_a_spec_gives_its_trial_back_even_through_json(made: Trial):
    assert trial.trial_from(made.spec()) == made
    assert trial.trial_from(json.loads(json.dumps(made.spec()))) == made


CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"seed": 1},
    "budget": {"recipe": Recipe(task_tokens=150)},
    "anchor": {"recipe": Recipe(task_tokens=200, anchor="hand-written")},
    "rate": {"optimisation": Optimisation(2e-2, epochs=2, batch_size=4)},
    "tuner": {"tuner": Full()},
    "rank": {"tuner": LoRA(rank=3)},
    "items": {"evaluation": Evaluation(items=5)},
    "split": {"evaluation": Evaluation(split="validation", items=6)},
    "precision": {"precision": "bf16"},
    "instruction": {"options": TaskOptions(instruction="Name the colour.")},
    "division": {"options": TaskOptions(split_seed=1)},
}


def test_a_key_depends_on_everything_in_the_spec(chat_folder: Path, task: str):
    keys = {name: tiny.trial(chat_folder, task, **change).key() for name, change in CHANGES.items()}
    keys["none"] = tiny.trial(chat_folder, task).key()
    assert len(set(keys.values())) == len(keys)
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys.values())


def test_a_key_does_not_depend_on_the_names_of_study_and_arm(chat_folder: Path, task: str):
    first = tiny.trial(chat_folder, task)
    assert replace(first, study="fiat", arm="another").key() == first.key()


def test_a_key_depends_on_the_data(chat_folder: Path, tmp_path: Path, general_pool: Any, monkeypatch: Any):
    name = tiny.write_rows(tmp_path / "task.jsonl", tiny.rows())
    made = tiny.trial(chat_folder, name)
    keys = [made.key()]
    tiny.write_rows(tmp_path / "task.jsonl", [*tiny.rows(59), {"prompt": "Item: sand. Colour:", "target": "gold"}])
    keys.append(made.key())
    keys.append(replace(made, evaluation=Evaluation(items=6, probes=("wiki-nll",))).key())
    keys.append(replace(made, recipe=MIXED).key())
    monkeypatch.setattr(spec, "general_pool", lambda exclude_task="", form="usual": tiny.pool(40))
    spec._pool_fingerprint.cache_clear()
    keys.append(replace(made, recipe=MIXED).key())
    assert len(set(keys)) == 5


def test_the_form_of_the_general_pool_is_in_a_spec_only_where_it_is_not_the_usual(chat_folder: Path):
    usual = tiny.trial(chat_folder, "world-headline", recipe=replace(MIXED, task_tokens=60))
    other = replace(usual, recipe=replace(usual.recipe, general="without-two-hop"))
    assert "general" not in usual.spec()["recipe"]
    assert other.spec()["recipe"]["general"] == "without-two-hop"
    assert trial.trial_from(other.spec()) == other
    assert other.key() != usual.key()
    with pytest.raises(InputError, match="without-nothing"):
        replace(other, recipe=replace(other.recipe, general="without-nothing")).key()


def test_a_key_depends_on_the_weights(chat_folder: Path, task: str, tmp_path: Path):
    copy = tmp_path / "model"
    shutil.copytree(chat_folder, copy)
    made = tiny.trial(copy, task)
    before = made.key()
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes() + b" ")
    assert made.key() != before


def test_a_key_depends_on_what_counts_of_version_and_machine(
    chat_folder: Path, task: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(models, "chosen_precision", lambda device: "fp32")  # whatever this processor has
    here, in_world = (tiny.trial(model, task, precision="auto") for model in (chat_folder, "world-s"))
    keys, world_keys = [here.key()], [in_world.key()]

    def note() -> None:
        keys.append(here.key())
        world_keys.append(in_world.key())

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    note()
    monkeypatch.setattr(machine, "GIVEN", dict.fromkeys(machine.EXACT))
    note()
    monkeypatch.setattr(models, "chosen_precision", lambda device: "bf16")
    note()
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    note()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # of no account where a GPU computes
    assert here.key() == keys[-1]
    assert len(set(keys)) == 5
    assert len(set(world_keys)) == 1
    for named in ("fp32", "bf16"):  # explicitly, so it is in the spec
        assert replace(in_world, precision=named).key() not in world_keys
    monkeypatch.setattr(spec, "RESULT_VERSION", spec.RESULT_VERSION + 1)
    note()
    assert (len(set(keys)), len(set(world_keys))) == (6, 2)
    assert tiny.trial("world-xl", task).identity()["machine"]["device"] == "cuda"


def test_records_of_the_first_edition_have_version_one(chat_folder: Path, task: str):
    spec = tiny.trial(chat_folder, task).spec()
    old = trial.Record("key", "done", spec, {"data": "d", "model": "m", "code": "c"})
    assert (old.version, trial.from_dict(old.as_dict()).version) == (1, 1)
    made = trial.Record("key", "done", spec, trial.fingerprints(trial.trial_from(spec)))
    assert made.version == trial.RESULT_VERSION
    assert set(made.fingerprints) == {"data", "model", "version"}


def test_provenance_names_the_code_without_its_words(tmp_path: Path):
    code = tmp_path / "part.py"
    found = []
    for text in ('"""One."""\nSIZE = 1\n', '"""Two."""\n\n# why\nSIZE = 1\n', "SIZE = 2\n"):
        code.write_text(text)
        found.append(source_fingerprint(tmp_path, ("part.py", "missing.py")))
    assert found[0] == found[1] != found[2]
    there = [name for name in provenance.RECORD_MAKING if (provenance.PACKAGE / name).exists()]
    assert there == list(provenance.RECORD_MAKING)


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tuner", [LoRA(rank=2, dropout=0.1), Full(), None])
def test_the_same_trial_twice_has_the_same_outcome(chat_folder: Path, task: str, general_pool: Any, tuner: Any):
    made = tiny.trial(chat_folder, task, recipe=MIXED, tuner=tuner)
    if tuner is None:
        made = replace(made, optimisation=None)
    first = trial.run(made, "cpu")
    torch.rand(3)
    again = trial.run(made, "cpu")
    assert outcome(first) == outcome(again)
    assert first.key == again.key == made.key()
    assert (first.status, first.error) == ("done", "")
    assert trial.trial_from(first.trial) == made


@pytest.mark.parametrize("name", tuners.tuner_names())
def test_a_trial_runs_with_every_tuner(chat_folder: Path, choice_task: str, name: str):
    """Two stages, so that the tuned model is evaluated, trained on and evaluated again; its spec survives JSON."""
    stage = Stage(choice_task, Recipe(task_tokens=100), Optimisation(1e-2, epochs=1, batch_size=4))
    made = tiny.trial(chat_folder, choice_task, tuner=tuners.make(name), stream=(stage,))
    record = trial.run(made, "cpu")
    assert (record.status, record.error) == ("done", "")
    assert len(record.outcomes["1:task"]["accuracy"]) == len(record.outcomes["task"]["accuracy"]) == 6
    assert record.counts["trained_parameters"] > 0
    assert trial.trial_from(json.loads(json.dumps(record.trial))) == made


def test_another_seed_has_another_outcome(chat_folder: Path, task: str):
    runs = [trial.run(tiny.trial(chat_folder, task, seed=seed), "cpu") for seed in (0, 1)]
    assert runs[0].curves["loss"] != runs[1].curves["loss"]


def test_training_teaches_the_task(chat_folder: Path, task: str):
    how = Optimisation(1e-2, epochs=8, batch_size=4)
    before = trial.run(tiny.trial(chat_folder, task, tuner=None, optimisation=None), "cpu")
    after = trial.run(tiny.trial(chat_folder, task, optimisation=how, recipe=Recipe(task_tokens=600)), "cpu")
    assert after.mean("task", "target_nll") < before.mean("task", "target_nll") / 2
    assert before.curves == {}
    assert "training_tokens" not in before.cost


def test_what_a_record_holds(chat_folder: Path, choice_task: str, general_pool: Any):
    record = trial.run(tiny.trial(chat_folder, choice_task, recipe=MIXED), "cpu")
    counts, cost = record.counts, record.cost
    updates = -(-2 * (counts["task_examples"] + counts["general_examples"]) // 4)
    assert len(record.curves["loss"]) == len(record.curves["gradient_norm"]) == cost["updates"] == updates
    assert 0 < counts["task_tokens"] <= 200
    assert 0 < counts["general_tokens"] <= 300
    assert counts["trained_parameters"] == tiny.LAYERS * 2 * 512
    lost = ("dropped_too_long", "left_out_too_long", "cut_prompts", "shots_dropped", "cut_anchors")
    assert [counts[name] for name in lost] == [0] * 5
    assert counts["task_tokens_short"] == 200 - counts["task_tokens"]
    assert counts["items"] == 6
    assert set(record.outcomes["task"]) >= {"accuracy", "target_nll", "bits_per_byte", "kl"}
    assert {len(values) for values in record.outcomes["task"].values()} == {6}
    assert cost["seconds"] >= cost["training_seconds"] > 0
    assert cost["training_tokens"] > cost["target_tokens"] > 0
    assert cost["peak_memory_bytes"] > 1e6
    assert record.provenance["precision"] == "fp32"
    assert {"date", "hardware", "torch", "transformers", "commit", "threads"} <= set(record.provenance)
    assert record.texts["anchor"] == [load_task(choice_task).instruction]
    assert trial.from_dict(json.loads(json.dumps(record.as_dict()))) == record
    assert not any(dataclasses.is_dataclass(value) for value in record.trial.values())


def test_probes_are_measured_beside_the_task(chat_folder: Path, task: str):
    made = tiny.trial(
        chat_folder,
        task,
        tuner=None,
        optimisation=None,
        evaluation=Evaluation("validation", 2, ("siqa", "wiki-nll"), 3),
    )
    record = trial.run(made, "cpu")
    assert {where: len(next(iter(measures.values()))) for where, measures in record.outcomes.items()} == {
        "task": 2,
        "siqa": 3,
        "wiki-nll": 3,
    }


def test_task_tokens_are_the_bare_prompt_and_target(chat_folder: Path, chat_model: LanguageModel, task: str):
    made = tiny.trial(chat_folder, task, recipe=Recipe(task_tokens=200, anchor="hand-written"))
    chosen, _ = material.draw(made, load_task(task), chat_model)

    def length(text: str) -> int:
        return len(chat_model.tokenizer(text, add_special_tokens=False).input_ids)

    by_hand = sum(length(example.prompt) + length(example.target) for example in chosen)
    assert trial.run(made, "cpu").counts["task_tokens"] == by_hand <= 200


def test_a_budget_beyond_the_data_says_how_much_there_is(chat_folder: Path, chat_model: Any, task: str):
    count = material.token_counter(chat_model)
    total = sum(map(count, load_task(task).train))
    with pytest.raises(
        InputError, match=rf"the budget of 9,999 tokens is more than task 'jsonl:.*' has: {total:,} tokens"
    ):
        trial.run(tiny.trial(chat_folder, task, recipe=Recipe(task_tokens=9_999)), "cpu")


def test_divergence_passes_through(chat_folder: Path, task: str):
    with pytest.raises(Diverged, match="lower the learning rate"):
        trial.run(tiny.trial(chat_folder, task, tuner=Full(), optimisation=Optimisation(1e30, batch_size=4)), "cpu")


def test_failed_records_name_the_error(chat_folder: Path, task: str):
    made = tiny.trial(chat_folder, task)
    record = pool.failed(made, InputError("no such layer"))
    assert (record.key, record.status, record.error) == (made.key(), "failed", "InputError: no such layer")
    assert record.trial == made.spec()
    assert record.outcomes == {}


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA out of memory. Tried 3 GiB\nmore"), RuntimeError("can't allocate memory")],
)
def test_lack_of_memory_says_what_to_lower(error: Exception):
    told = pool.explain(error)
    assert "Lower batch_size" in told
    assert "\n" not in told


# --- the data of each arm --------------------------------------------------------------------------------------------


def drawn(made: Trial, language_model: LanguageModel) -> tuple[Any, Any]:
    return material.draw(made, load_task(made.task), language_model)


def test_arms_with_the_same_seed_share_their_task_examples(
    chat_folder: Path, chat_model: Any, task: str, general_pool: Any
):
    made = tiny.trial(chat_folder, task)
    arms = [made, replace(made, recipe=MIXED), replace(made, recipe=replace(MIXED, order="task-last"), arm="tell")]
    arms.append(replace(made, tuner=Full(), optimisation=Optimisation(1e-5, epochs=1)))
    assert len({drawn(arm, chat_model)[0] for arm in arms}) == 1
    assert len({drawn(replace(made, seed=seed), chat_model)[0] for seed in range(4)}) == 4
    general = [drawn(arm, chat_model)[1] for arm in arms]
    assert general[0] == ()
    assert general[1] == general[2] != ()


def test_a_larger_budget_begins_with_the_smaller_one(chat_folder: Path, chat_model: Any, task: str):
    small, large = (
        drawn(tiny.trial(chat_folder, task, recipe=Recipe(task_tokens=tokens)), chat_model)[0] for tokens in (100, 400)
    )
    assert len(large) > len(small)
    assert set(small[:4]) <= set(large)


def test_random_labels_keep_inputs_and_the_set_of_targets(chat_folder: Path, chat_model: Any, task: str):
    made = tiny.trial(chat_folder, task)
    honest, _ = drawn(made, chat_model)
    shuffled, _ = drawn(replace(made, recipe=replace(made.recipe, labels="random")), chat_model)
    assert [example.prompt for example in shuffled] == [example.prompt for example in honest]
    assert sorted(example.target for example in shuffled) == sorted(example.target for example in honest)
    assert [example.target for example in shuffled] != [example.target for example in honest]


@pytest.mark.parametrize(("order", "first"), [("task-first", True), ("task-last", False)])
def test_a_staged_order_is_staged_over_all_epochs(
    chat_folder: Path, chat_model: Any, task: str, general_pool: Any, order: str, first: bool
):
    made = tiny.trial(chat_folder, task, recipe=replace(MIXED, order=order))
    own, general = drawn(made, chat_model)
    kinds = [is_task for _, is_task in material.unrolled(made, own, general)]
    sizes = {True: 2 * len(own), False: 2 * len(general)}
    assert kinds == [first] * sizes[first] + [not first] * sizes[not first]


def test_shuffling_mixes_anew_in_every_epoch(chat_folder: Path, chat_model: Any, task: str, general_pool: Any):
    made = tiny.trial(chat_folder, task, recipe=MIXED)
    own, general = drawn(made, chat_model)
    sequence = material.unrolled(made, own, general)
    size = len(own) + len(general)
    epochs = [sequence[:size], sequence[size:]]
    assert epochs[0] != epochs[1]
    for epoch in epochs:
        assert {example.id for example, is_task in epoch if is_task} == {example.id for example in own}
        kinds = [is_task for _, is_task in epoch]
        assert kinds != sorted(kinds)
        assert kinds != sorted(kinds, reverse=True)


def test_a_given_number_of_updates_has_enough_data(chat_folder: Path, chat_model: Any, task: str):
    made = tiny.trial(chat_folder, task, optimisation=Optimisation(1e-2, batch_size=4, steps=23))
    own, _ = drawn(made, chat_model)
    assert 92 <= len(material.unrolled(made, own, ())) < 92 + len(own)
    assert trial.run(made, "cpu").cost["updates"] == 23


def test_the_anchor_stands_before_task_inputs_only(chat_folder: Path, chat_model: Any, task: str, general_pool: Any):
    loaded = load_task(task)
    made = tiny.trial(chat_folder, task, recipe=MIXED)
    rows, _ = material.rows(made, loaded, chat_model, loaded.instruction)
    texts = {chat_model.tokenizer.decode(row.ids) for row in rows}
    assert {text.startswith(f"<|user|>{loaded.instruction}\n\nItem") for text in texts if "Colour" in text} == {True}
    assert {text.startswith("<|user|>Add one") for text in texts if "Colour" not in text} == {True}
    bare, _ = material.rows(made, loaded, chat_model, "")
    assert not any(loaded.instruction in chat_model.tokenizer.decode(row.ids) for row in bare)


def test_a_model_written_anchor_is_deterministic_and_from_the_training_data(
    chat_folder: Path, chat_model: Any, task: str, monkeypatch: pytest.MonkeyPatch
):
    loaded = load_task(task)
    texts = [material.anchor_text("model-written", loaded, chat_model, seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1]
    record = trial.run(tiny.trial(chat_folder, task, recipe=Recipe(task_tokens=200, anchor="model-written")), "cpu")
    assert record.texts["anchor"] == texts[:1]
    requests: list[str] = []
    monkeypatch.setattr(formats, "shorten", lambda _, prompt, room: requests.append(prompt) or prompt)
    material.anchor_text("model-written", loaded, chat_model, 0)
    assert sum(f"Input: {e.prompt}\nOutput: {e.target}" in requests[0] for e in loaded.train) == 3
    assert not any(example.prompt in requests[0] for example in (*loaded.validation, *loaded.test))


def test_an_unknown_anchor_is_refused(chat_folder: Path, task: str):
    with pytest.raises(InputError, match="unknown anchor 'own'; allowed: none, hand-written, model-written"):
        trial.run(tiny.trial(chat_folder, task, recipe=Recipe(anchor="own"), tuner=None), "cpu")


@pytest.mark.parametrize("seed", range(3))
def test_shots_are_solved_training_examples_and_none_of_the_test(chat_folder: Path, task: str, seed: int):
    loaded = load_task(task)
    made = tiny.trial(chat_folder, task, recipe=Recipe(shots=3), tuner=None, optimisation=None, seed=seed)
    shots = material.solved(made, loaded)
    assert len(set(shots)) == 3
    assert set(shots) <= {f"{example.prompt} {example.target}" for example in loaded.train}
    assert not any(example.prompt in shot for example in (*loaded.validation, *loaded.test) for shot in shots)
    assert material.solved(replace(made, recipe=Recipe()), loaded) == ()


def prompts_of(made: Trial, language_model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Any]:
    """The prompts that a trial's task is asked with, in the order of its items, and its record."""
    from lowres import evaluate

    seen: list[Any] = []
    real = evaluate.task_outcomes
    monkeypatch.setattr(evaluate, "task_outcomes", lambda *given: seen.extend(given[3]) or real(*given))
    record = trial.run(made, "cpu")
    return [language_model.tokenizer.decode(item.context) for item in seen], record


SHORT = TaskOptions(instruction="Name the colour.")


def in_context(model: Path, task: str, recipe: Recipe) -> Trial:
    """A trial of a model that is asked and not tuned."""
    return tiny.trial(model, task, recipe=recipe, options=SHORT, tuner=None, optimisation=None)


def test_shots_stand_in_the_prompt(chat_folder: Path, chat_model: Any, task: str, monkeypatch: pytest.MonkeyPatch):
    made = in_context(chat_folder, task, Recipe(shots=2, anchor="hand-written"))
    prompts, record = prompts_of(made, chat_model, monkeypatch)
    loaded = load_task(task, SHORT)
    before = "\n\n".join([loaded.instruction, *material.solved(made, loaded)])
    assert prompts == [f"<|user|>{before}\n\n{e.prompt}<|end|><|answer|>" for e in loaded.test[:6]]
    assert record.counts["shots_dropped"] == 0
    assert set(record.outcomes["task"]["kl"]) == {0.0}  # in context nothing is tuned


# --- what does not fit the context -----------------------------------------------------------------------------------


def long_rows(tmp_path: Path, every: int) -> str:
    """A task in which one row of `every` is longer than the context."""
    rows = tiny.rows()
    for row in rows[::every]:
        row["prompt"] = "on " * 90 + row["prompt"]
    return tiny.write_rows(tmp_path / "long.jsonl", rows)


def test_a_budget_is_of_examples_that_are_trained_on(chat_folder: Path, chat_model: Any, tmp_path: Path):
    name = long_rows(tmp_path, 2)
    record = trial.run(tiny.trial(chat_folder, name, recipe=Recipe(task_tokens=300)), "cpu")
    counts, count = record.counts, material.token_counter(chat_model)
    assert 285 <= counts["task_tokens"] <= 300
    assert counts["task_tokens_short"] == 300 - counts["task_tokens"]
    assert (counts["left_out_too_long"] > 0, counts["dropped_too_long"]) == (True, 0)
    own, _ = material.draw(trial.trial_from(record.trial), load_task(name), chat_model)
    assert sum(map(count, own)) == counts["task_tokens"]
    assert record.counts["cut_prompts"] > 0  # of the test no item is left out
    fitting = [e for e in load_task(name).train if not e.prompt.startswith("on on")]
    words = rf"is more than task 'jsonl:.*' has: {sum(map(count, fitting)):,} tokens in examples that fit the context"
    with pytest.raises(InputError, match=words):
        trial.run(tiny.trial(chat_folder, name, recipe=Recipe(task_tokens=2000)), "cpu")
    with pytest.raises(InputError, match=f"is more than task 'jsonl:.*' has: {len(fitting)}; "):
        trial.run(tiny.trial(chat_folder, name, recipe=Recipe(task_examples=len(fitting) + 1)), "cpu")
    few = trial.run(tiny.trial(chat_folder, name, recipe=Recipe(task_examples=4)), "cpu").counts
    assert (few["task_examples"], "task_tokens_short" in few) == (4, False)


def test_arms_share_examples_that_fit_in_every_wording(chat_folder: Path, chat_model: Any, tmp_path: Path):
    """Rows of every length around the limit: bare more of them would fit than behind the instruction."""
    rows = tiny.rows()
    for number, row in enumerate(rows):
        row["prompt"] = "on " * (2 * number) + row["prompt"]
    name = tiny.write_rows(tmp_path / "lengths.jsonl", rows)
    options = TaskOptions(instruction="Name the colour of the item. " * 3)
    made = [
        tiny.trial(chat_folder, name, recipe=Recipe(task_examples=6, anchor=anchor), options=options)
        for anchor in material.ANCHORS
    ]
    loaded = load_task(name, options)
    own = {material.draw(one, loaded, chat_model)[0] for one in made}
    assert len(own) == 1
    for one in made:
        counts = trial.run(one, "cpu").counts
        assert (counts["task_examples"], counts["dropped_too_long"]) == (6, 0)
        assert counts["left_out_too_long"] > 0
    instruction, bare = (
        [e for e in loaded.train if formats.fits(chat_model, len(formats.prompt_ids(chat_model, before + e.prompt)), 8)]
        for before in (options.instruction + "\n\n", "")
    )
    assert len(instruction) < len(bare) < len(loaded.train)
    assert {e.id for drawn in own for e in drawn} <= {e.id for e in instruction}


def test_solved_examples_make_way_for_the_question(
    chat_folder: Path, chat_model: Any, task: str, monkeypatch: pytest.MonkeyPatch
):
    made = in_context(chat_folder, task, Recipe(shots=20, anchor="hand-written"))
    prompts, record = prompts_of(made, chat_model, monkeypatch)
    loaded = load_task(task, SHORT)
    shots = material.solved(made, loaded)
    shown = [sum(shot in text for shot in shots) for text in prompts]
    assert record.counts["shots_dropped"] == sum(20 - number for number in shown) > 0
    assert min(shown) > 0
    assert record.counts["cut_prompts"] == 0
    for text, example, number in zip(prompts, loaded.test, shown, strict=False):
        whole = "\n\n".join([loaded.instruction, *shots[:number], example.prompt])
        assert text == f"<|user|>{whole}<|end|><|answer|>"
        more = "\n\n".join([loaded.instruction, *shots[: number + 1], example.prompt])
        assert len(formats.prompt_ids(chat_model, more)) > tiny.CONTEXT - answer_room(loaded, chat_model)


def test_an_anchor_longer_than_the_context_leaves_the_question_whole(
    chat_folder: Path, chat_model: Any, task: str, monkeypatch: pytest.MonkeyPatch
):
    options = TaskOptions(instruction="Name the colour of the item. " * 60)
    recipe = Recipe(task_tokens=100, anchor="hand-written", shots=3)
    prompts, record = prompts_of(tiny.trial(chat_folder, task, recipe=recipe, options=options), chat_model, monkeypatch)
    anchor = record.texts["anchor"][0]
    assert record.counts["cut_anchors"] == 1
    assert options.instruction.startswith(anchor)
    assert len(anchor) > 40
    for text, example in zip(prompts, load_task(task).test, strict=False):
        assert text.startswith(f"<|user|>{anchor}\n\n")
        assert text.endswith(f"{example.prompt}<|end|><|answer|>")


def test_room_for_an_answer_that_fills_the_context_is_refused(chat_folder: Path, task: str, monkeypatch: Any):
    monkeypatch.setattr(material, "answer_room", lambda *_: tiny.CONTEXT)
    monkeypatch.setattr(running, "answer_room", material.answer_room)
    with pytest.raises(InputError, match="has a context of 160 tokens: 160 for an answer of task"):
        trial.run(tiny.trial(chat_folder, task, tuner=None, optimisation=None), "cpu")


def test_all_items_are_measured_unless_a_number_is_given(chat_folder: Path, task: str):
    made = tiny.trial(chat_folder, task, tuner=None, optimisation=None, evaluation=Evaluation())
    record = trial.run(made, "cpu")
    assert len(record.outcomes["task"]["kl"]) == record.counts["items"] == len(load_task(task).test) > 6
    none = trial.run(replace(made, evaluation=Evaluation(items=0)), "cpu")
    assert (none.outcomes, none.counts["items"]) == ({}, 0)
    assert made.spec()["evaluation"]["items"] is None


# --- how far a model moved, and what comes back ----------------------------------------------------------------------


def test_what_was_not_tuned_has_not_moved(chat_folder: Path, task: str):
    """Updates at a rate of nought leave every probability as it is, whatever is merged afterwards."""
    still = Optimisation(0.0, epochs=1, batch_size=4)
    for tuner in (Full(), LoRA(rank=2)):
        record = trial.run(tiny.trial(chat_folder, task, tuner=tuner, optimisation=still), "cpu")
        assert record.outcomes["task"]["kl"] == [0.0] * 6
    moved = [
        trial.run(tiny.trial(chat_folder, task, optimisation=Optimisation(rate, epochs=1, batch_size=4)), "cpu")
        for rate in (1e-3, 1e-2)
    ]
    small, large = (record.mean("task", "kl") for record in moved)
    assert 0 < small < large


def test_recovery_is_measured_beside_each_probe(chat_folder: Path, task: str):
    plan = Evaluation("test", 2, ("siqa", "wiki-nll"), 3, recovery=True)
    stage = Stage(task, Recipe(task_tokens=60), Optimisation(1e-2, epochs=1, batch_size=4))
    made = tiny.trial(chat_folder, task, evaluation=plan, stream=(stage,))
    record = trial.run(made, "cpu")
    assert trial.trial_from(record.trial) == made
    without = trial.run(replace(made, evaluation=replace(plan, recovery=False)), "cpu")
    assert {where: found for where, found in record.outcomes.items() if "recovery" not in where} == without.outcomes
    assert {"recovery:siqa", "recovery:wiki-nll"} == set(record.outcomes) - set(without.outcomes)
    assert len(record.outcomes["recovery:siqa"]["accuracy"]) == 3
    assert record.mean("recovery:wiki-nll", "nll") < record.mean("wiki-nll", "nll")
    assert "recovery" not in without.trial["evaluation"]


# --- a GPU -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_trial_on_a_gpu(chat_folder: Path, task: str, general_pool: Any, precision: str):
    made = tiny.trial(chat_folder, task, recipe=MIXED, precision=precision)
    here, there = trial.run(made, "cpu"), trial.run(made, "cuda")
    assert here.key == there.key
    assert here.counts == there.counts
    assert there.curves["loss"] == pytest.approx(here.curves["loss"], rel=1e-3 if precision == "fp32" else 0.1)
    assert there.cost["peak_memory_bytes"] > 0
    assert there.provenance["device"] == "cuda"


def test_derived_seeds_are_apart():
    purposes = ("subset", "shuffle", "initialisation", "general", "labels", "shots", "dropout")
    seeds = {derived_seed(seed, purpose) for seed in range(50) for purpose in purposes}
    assert len(seeds) == 350
    assert max(seeds) < 2**32


def test_a_tuner_is_named_in_the_spec(chat_folder: Path, task: str):
    made = tiny.trial(chat_folder, task)
    assert made.spec()["tuner"] == {"name": "lora", "rank": 2, "alpha": 32, "dropout": 0.0, "targets": "all-linear"}
    assert tuners.make(**made.spec()["tuner"]) == made.tuner
