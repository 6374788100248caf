"""The forgetting study: parameters, trials, drops item by item, verdicts from hand-made records, and its page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from lowres import claims, data, engine, models, stats, studies, world
from lowres.claims import Verdict
from lowres.ledger import Ledger
from lowres.optimisation import Optimisation
from lowres.params import InputError, from_mapping, resolve
from lowres.studies import forgetting
from lowres.studies.forgetting import arms, evidence, exhibits, measures, paper
from lowres.studies.forgetting.params import REAL_GROUPS, Params
from lowres.trial import Evaluation, Recipe, Record, Stage, Trial
from lowres.tuners import Full, make
from lowres.world import sizes

ITEMS = 80


def params(**given: Any) -> Params:
    return resolve(from_mapping(Params, given))


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"models": []}, "models must not be empty"),
        ({"tasks": []}, "tasks must not be empty"),
        ({"tasks": ["world-simplificatoin"]}, "did you mean 'world-simplification'"),
        ({"tasks": ["world-headline", "world-headline"]}, "must not repeat"),
        ({"models": ["world-s@3"]}, "models must name 'world-s@3' without its seed"),
        ({"models": ["world-q"]}, "unknown size 'q'"),
        ({"models": ["world-s"], "ablated": ["world-m"]}, "ablated holds 'world-m', which models leaves out"),
        ({"probes": ["sqia"]}, "probes holds 'sqia', known are"),
        ({"seeds": [arms.TUNING_SEED]}, f"seeds must not hold {arms.TUNING_SEED}"),
        ({"seeds": [0], "sweep_seeds": [1]}, "sweep_seeds holds 1, which seeds leaves out"),
        ({"general_shares": [1.0]}, "at most 0.9"),
        ({"orders": ["backward"]}, 'must be one of "forward", "reverse"'),
        ({"tuners": ["lorra"]}, 'did you mean "lora"'),
        ({"steps": 0}, "steps must be at least 1"),
        ({"teir": "smoke"}, 'did you mean "tier"'),
    ],
)
def test_wrong_and_contradictory_values_are_refused(values: dict[str, Any], words: str):
    with pytest.raises(InputError, match=re.escape(words)):
        from_mapping(Params, values)


def test_a_stream_that_is_longer_than_its_data_is_refused_before_anything_is_pretrained(monkeypatch: Any):
    monkeypatch.setattr(models, "load", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(InputError, match=r"the budget of 900,000 tokens is more than task 'world-simplification' has"):
        forgetting.trials(params(tier="smoke", task_tokens=900_000, ablated=[]))
    pool = data.general_pool("world-headline")[:500]
    monkeypatch.setattr(data, "general_pool", lambda *_: pool)
    with pytest.raises(InputError, match="more than the general pool has"):
        forgetting.trials(params(tier="smoke", task_tokens=12_000, general_shares=[0.9]))


# --- trials ----------------------------------------------------------------------------------------------------------


def everything(**more: Any) -> Params:
    return params(
        tier="smoke",
        models=["world-xs", "world-s"],
        ablated=["world-s"],
        seeds=[0, 3],
        orders=["forward", "reverse"],
        general_shares=[0.1, 0.3],
        anchor=True,
        tuners=["lora"],
        controls=["random-labels", "no-op", "general-only"],
        **more,
    )


def test_a_seed_is_a_pretraining_of_its_own_and_every_model_is_measured_before_its_stream():
    found = forgetting.trials(everything())
    assert Counter(trial.model for trial in found) == {"world-xs": 2, "world-xs@3": 2, "world-s": 11, "world-s@3": 11}
    assert {(trial.model, trial.seed) for trial in found if "@" in trial.model} == {("world-xs@3", 3), ("world-s@3", 3)}
    for trial in found:
        if trial.arm == "untouched":
            assert (trial.tuner, trial.stream, trial.recipe.task_tokens) == (None, (), 0)
        else:
            assert len(trial.stages()) == 5
    assert {trial.evaluation for trial in found} == {Evaluation("test", 4, world.PROBES, 8)}


def test_what_sets_each_arm_apart():
    by_arm = {
        (trial.arm, trial.recipe.general_tokens): trial
        for trial in forgetting.trials(everything())
        if trial.model == "world-s"
    }
    main = by_arm["stream", 0]
    assert [stage.task for stage in main.stages()] == list(world.STREAM)
    assert [stage.task for stage in by_arm["reverse", 0].stages()] == list(world.STREAM)[::-1]
    assert by_arm["random-labels", 0].recipe.labels == "random"
    assert by_arm["no-op", 0].optimisation.learning_rate == 0.0
    assert by_arm["lora", 0].tuner == make("lora")
    assert (by_arm["general-only", 400].recipe.task_tokens, by_arm["general-only", 400].optimisation.steps) == (0, 4)
    mixed = by_arm["mixed", 171]
    assert mixed.optimisation.steps == round(main.optimisation.steps / 0.7)
    assert by_arm["mixed+anchor", 171].recipe == replace(mixed.recipe, anchor="hand-written")
    assert by_arm["anchor", 0].recipe.anchor == "hand-written"
    assert ("mixed", 44) in by_arm


def test_rates_are_tuned_per_model_and_tuner_with_the_same_number_of_tries():
    found = forgetting.tuning(everything(rate_factors=[0.3, 1.0, 3.0]))
    tried = Counter((trial.model, trial.arm) for trial in found)
    assert tried == {("world-xs", "tuning full"): 3, ("world-s", "tuning full"): 3, ("world-s", "tuning lora"): 3}
    assert {(t.seed, t.evaluation.split, t.evaluation.probes) for t in found} == {(arms.TUNING_SEED, "validation", ())}
    losses = [3.0] * 3 + [1.0] * 3 + [2.0] * 3
    records = [
        Record(str(i), "done", trial.spec(), {}, {w: {"target_nll": [loss]} for w in ("1:task", "task")})
        for i, (trial, loss) in enumerate(zip(found, losses, strict=True))
    ]
    middle = {(model, tuner): arms.usual_rate(model, tuner) for (model, arm) in tried for tuner in [arm.split()[1]]}
    assert arms.chosen_rates(records) == middle
    swept = forgetting.trials(everything(rate_factors=[0.3, 1.0, 3.0], sweep_seeds=[3]), records)
    streams = Counter(trial.model for trial in swept if trial.arm == "stream")
    assert streams == {"world-xs": 1, "world-s": 1, "world-xs@3": 3, "world-s@3": 3}


def test_the_table_of_rates_marks_a_choice_at_the_edge():
    losses = {"world-xs": (3.0, 2.0, 1.0), "world-s": (3.0, 1.0, 2.0), "world-m": (1.0, 2.0, 3.0)}
    tried = forgetting.tuning(params(models=[*losses], ablated=[], rate_factors=[0.3, 1.0, 3.0]))
    left = {model: iter(each) for model, each in losses.items()}
    records = [
        Record(str(i), "done", trial.spec(), {}, {"task": {"target_nll": [next(left[trial.model])]}})
        for i, trial in enumerate(tried)
    ]
    shown = exhibits.tuning_table(records)._repr_markdown_()
    cells = {line.split("|")[1].strip(): line.split("|")[-2].strip() for line in shown.splitlines() if "world" in line}
    assert cells["world-xs, full"].endswith("largest tried")
    assert cells["world-s, full"] == f"{arms.usual_rate('world-s', 'full'):g}"
    assert cells["world-m, full"].endswith("smallest tried")


def test_tasks_and_probes_follow_the_model():
    chosen = params(tier="smoke")
    assert arms.tasks_of(chosen, "world-s") == world.STREAM
    assert arms.tasks_of(chosen, "smollm2-135m-instruct")[0] == "legal-summary"
    assert "stereoset" in arms.probes_of(chosen, "smollm2-135m-instruct")


def test_the_short_stream_of_the_real_model_is_the_same_trial_whatever_else_is_asked_for():
    short, start = arms.short_stream(params())
    assert forgetting.trials(params(models=["world-xs"], ablated=[], seeds=[4]))[:2] == [short, start]
    assert (short.model, short.seed, len(short.stages())) == ("smollm2-135m-instruct", 0, 5)
    assert {stage.task for stage in short.stages()} == set(arms.REAL_STREAM)
    assert {stage.optimisation.steps for stage in short.stages() if stage.optimisation} == {params().real_steps}
    assert (start.tuner, start.stream, start.evaluation) == (None, (), short.evaluation)
    assert (short.arm, start.arm) == (arms.SHORT_RUN, arms.SHORT_RUN_START)
    asked = params(real_steps=2, tasks=["world-headline"], probes=["world-bias"], steps=9, items=9, rate_factors=[3.0])
    more, same = arms.short_stream(asked)
    assert same == start
    assert {stage.optimisation.steps for stage in more.stages() if stage.optimisation} == {2}
    for without in ({"tier": "smoke"}, {"tier": "gpu"}, {"real_steps": 0}):
        assert arms.short_stream(params(**without)) == []


# --- drops item by item ----------------------------------------------------------------------------------------------


def course(probe: str, before: float, after: list[float], items: int, chance: float = 0.25) -> measures.Course:
    """Exact levels: the first items are right."""
    rows = np.array([np.arange(items) < round(level * items) for level in (before, *after)], dtype=float)
    return measures.Course(probe, chance, rows[None, 0], rows[None, 1:])


def test_the_mean_over_slots_is_the_papers_fg_and_its_corrected_companion():
    courses = [course("a", 0.9, [0.8, 0.6, 0.5], 20), course("b", 0.5, [0.5, 0.4, 0.3], 40)]
    whole = stats.forgetting([0.9, 0.5], [[0.8, 0.6, 0.5], [0.5, 0.4, 0.3]], 0.25)
    assert 100 * measures.lost(courses, 40).mean() == pytest.approx(whole.fg)
    assert 100 * measures.lost(courses, 40, final=True).mean() == pytest.approx(whole.final)
    assert 100 * measures.lost(courses, 40, corrected=True).mean() == pytest.approx(whole.corrected)


def test_what_starts_at_chance_has_no_corrected_drop_and_what_starts_at_zero_no_fg():
    low, none = course("a", 0.3, [0.2], 20), course("b", 0.0, [0.1], 20)
    assert measures.lost([low], 20) is not None
    assert measures.lost([low], 20, corrected=True) is None
    assert measures.lost([none], 20) is None


def test_tables_are_interpolated_to_a_loss_that_all_models_reach():
    one = {1.0: np.array([[0.4]]), 2.0: np.array([[0.2]])}
    other = {1.5: np.array([[0.9]]), 3.0: np.array([[0.1]])}
    assert measures.common_loss([one, other]) == 1.5
    assert measures.at_loss(one, 1.5) == pytest.approx(np.array([[0.3]]))
    assert measures.at_loss(one, 9.0) == pytest.approx(np.array([[0.2]]))
    assert measures.common_loss([one, {5.0: one[1.0], 6.0: one[2.0]}]) is None


# --- hand-made records -----------------------------------------------------------------------------------------------

STARTS = {"domain knowledge": 0.9, "reasoning": 0.9, "reading comprehension": 0.9, "bias": 0.9}


def record(  # noqa: PLR0913 - one keyword per thing that tests vary
    model: str,
    arm: str = "stream",
    fall: dict[str, float] | float = 0.1,
    *,
    seed: int = 0,
    start: float | None = None,
    share: float = 0.0,
    rate: float = 3e-3,
    loss: float = 1.0,
    size: int = 1000,
) -> Record:
    """Accuracy that falls by `fall` (per group) with each of two tasks from the start."""
    recipe = Recipe(1000 if arm != "untouched" else 0, round(1000 * share / (1 - share)))
    optimisation = Optimisation(0.0 if arm == "no-op" else rate, batch_size=8, steps=9)
    trial = Trial(
        "forgetting",
        arm,
        studies.seeded(model, seed),
        "world-headline",
        recipe,
        None if arm == "untouched" else Full(),
        None if arm == "untouched" else optimisation,
        Evaluation(items=4, probes=world.PROBES, probe_items=ITEMS),
        seed,
        stream=() if arm == "untouched" else (Stage("world-question", recipe, optimisation),),
    )
    outcomes: dict[str, Any] = {}
    for step, prefix in ((0, ""),) if arm == "untouched" else ((1, "1:"), (2, "")):
        for group, probes in world.GROUPS.items():
            lost = fall.get(group, 0.1) if isinstance(fall, dict) else fall
            level = (STARTS[group] if start is None else start) - step * lost
            for number, probe in enumerate(probes):
                right = [float((item * 7 + number + seed) % ITEMS < level * ITEMS) for item in range(ITEMS)]
                outcomes[prefix + probe] = {"accuracy": right, "target_nll": right, "chosen": right}
        outcomes[prefix + "task"] = {"token_f1": [0.5] * 4, "target_nll": [loss, loss, loss + 0.1, loss - 0.1]}
    return tiny.record(f"{model}-{arm}-{seed}-{share}-{rate}", trial, outcomes, counts={"trained_parameters": size})


def run(model: str, arm: str = "stream", fall: dict[str, float] | float = 0.1, **more: Any) -> list[Record]:
    """Three seeds of an arm; with the main arm, of the untouched model too."""
    found = [record(model, arm, fall, seed=seed, **more) for seed in (0, 1, 2)]
    if arm == "stream":
        found += [record(model, "untouched", 0.0, seed=seed, start=more.get("start")) for seed in (0, 1, 2)]
    return found


def as_the_paper_tells_it() -> list[Record]:
    ordered = {"reading comprehension": 0.2, "domain knowledge": 0.15, "reasoning": 0.05, "bias": 0.15}
    more = {group: 1.5 * fall for group, fall in ordered.items()}
    found = [*run("world-xs", fall=ordered, size=10), *run("world-s", fall=more, size=20)]
    for model, fall, size in (("world-xs~0.70", 0.1, 10), ("world-s~0.70", 0.2, 20)):
        found += run(model, fall=fall, size=size, loss=1.0)
        found += [record(model, fall=fall / 2, seed=seed, rate=1e-3, loss=2.0, size=size) for seed in (0, 1, 2)]
    found += run("world-s-encdec~0.70", fall=0.3, size=30)
    found += run("world-s-instruct", fall=0.01, size=25)
    return found + run("world-s", "mixed", 0.02, share=0.3) + run("world-s", "mixed+anchor", 0.01, share=0.3)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Record]], dict[str, Verdict]]:
    """A function from published records to verdicts by name."""

    def judge(records: list[Record]) -> dict[str, Verdict]:
        monkeypatch.setattr("lowres.published.read_published", lambda study: records)
        return {v.claim.name: v for v in forgetting.verdicts(forgetting.gather(params(), []))}

    return judge


def test_records_as_the_paper_tells_it_reproduce_its_claims(judged: Any):
    found = judged(as_the_paper_tells_it())
    outcomes = {name: verdict.outcome for name, verdict in found.items()}
    assert set(outcomes.values()) == {"reproduced"}, {n: v.reason for n, v in found.items()}
    assert "10 to 30 parameters" in found["forgetting-1"].scale


def test_a_trend_of_fg_that_the_floor_makes_is_only_partly_growth_with_size(judged: Any):
    records = [r for r in as_the_paper_tells_it() if "~" not in r.trial["model"]]
    for model, size in (("world-xs~0.70", 10), ("world-s~0.70", 20)):
        records += run(model, fall=0.1, size=size, loss=1.0)
        records += [record(model, fall=0.05, seed=seed, rate=1e-3, loss=2.0, size=size) for seed in (0, 1, 2)]
    found = judged(records)["forgetting-3"]
    assert found.outcome == "partly", found.reason


def test_a_group_that_is_kept_contradicts_that_forgetting_is_general(judged: Any):
    kept = {"domain knowledge": -0.05, "reasoning": 0.1, "reading comprehension": 0.1}
    assert judged(run("world-s", fall=kept))["forgetting-1"].outcome == "partly"


def test_bias_that_shrinks_less_than_any_choice_between_two_is_no_bias_unlearnt(judged: Any):
    falls = {group: 0.05 if group == "bias" else 0.15 for group in world.GROUPS}
    assert judged([*run("world-xs", fall=falls), *run("world-s", fall=falls)])["forgetting-7"].outcome == "partly"


def test_what_was_not_run_is_named_and_never_decided(judged: Any):
    found = judged([])
    assert {verdict.outcome for verdict in found.values()} == {"cannot tell"}
    assert "stream - mixed" in found["forgetting-6"].reason


def test_a_live_smoke_run_never_gives_a_verdict(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: [])
    found = forgetting.verdicts(forgetting.gather(params(tier="smoke"), as_the_paper_tells_it()))
    assert {verdict.outcome for verdict in found} == {"cannot tell"}


def test_every_claim_has_one_decider_and_the_verdicts_can_be_saved(judged: Any, tmp_path: Path):
    found = list(judged(as_the_paper_tells_it()).values())
    assert [verdict.claim for verdict in found] == list(forgetting.CLAIMS)
    claims.save_verdicts(found, tmp_path)
    assert [verdict.outcome for verdict in claims.load_verdicts(tmp_path)] == [verdict.outcome for verdict in found]
    assert all((row.original, row.here, row.expected_bias) for row in forgetting.DEVIATIONS)


def test_only_comparable_records_count(monkeypatch: pytest.MonkeyPatch):
    other = record("world-s", seed=7)
    other.trial["evaluation"]["probe_items"] = 3
    monkeypatch.setattr("lowres.published.read_published", lambda study: [*run("world-s"), other])
    found = forgetting.gather(params(), [])
    assert list(found.pairs(found.at("world-s"))) == [0, 1, 2]


REAL_PROBES = (*(probe for group in REAL_GROUPS.values() for probe in group), "wiki-nll")


def real_records(arm: str, start_arm: str, level: float, probe_items: int) -> list[Record]:
    """A real model before and after two tasks, at one level throughout."""
    found = []
    for number, trial in enumerate(arms.short_stream(params())):
        evaluation = replace(trial.evaluation, probes=REAL_PROBES, probe_items=probe_items)
        plain = replace(trial, evaluation=evaluation, stream=trial.stream[-1:], arm=(arm, start_arm)[number])
        right = [float(item < level * probe_items) for item in range(probe_items)]
        scores = {"accuracy_per_character": right, "target_nll": right, "nll": [3.0] * probe_items, "chosen": right}
        task = {"token_f1": [0.5] * 4, "target_nll": [1.0] * 4}
        outcomes = {p + probe: scores for p in ("1:", "") for probe in REAL_PROBES} | {"1:task": task, "task": task}
        found.append(replace(record("world-s"), key=f"real-{arm}-{number}", trial=plain.spec(), outcomes=outcomes))
    return found


@pytest.mark.parametrize("published", [True, False])
def test_a_short_stream_of_a_real_model_is_shown_apart_and_never_is_evidence(
    published: bool, monkeypatch: pytest.MonkeyPatch
):
    short = real_records(arms.SHORT_RUN, arms.SHORT_RUN_START, 0.25, 8)
    others = [*as_the_paper_tells_it(), *real_records("stream", "untouched", 0.75, 48)]
    stored = [*others, *short] if published else []
    monkeypatch.setattr("lowres.published.read_published", lambda study: stored)
    found = forgetting.gather(params(), [*others, *short])
    kept = {record.key for record in found.records}
    assert not kept & {record.key for record in short}
    assert kept >= {"real-stream-0", "real-stream-1"}
    shown = repr(exhibits.short_real_stream(found, short))
    assert "too short to decide a claim" in shown
    assert re.search(r"\| knowledge \| 0\.25 \| 0\.25 0\.25 \| .* \| " + ("0.75" if published else "not"), shown), shown
    assert "| held-out text |  |  | 3.00 3.00 3.00 |" in shown
    assert "real_steps" in repr(exhibits.short_real_stream(found, others))
    drift = repr(exhibits.drift(short[:1]))
    assert ("smollm2-135m-instruct, short | 64 exact" if published else "nothing to compare") in drift


def test_with_nothing_but_a_short_stream_there_is_no_evidence(monkeypatch: pytest.MonkeyPatch):
    short = real_records(arms.SHORT_RUN, arms.SHORT_RUN_START, 0.9, 8)
    monkeypatch.setattr("lowres.published.read_published", lambda study: short)
    found = forgetting.gather(params(), short)
    assert (found.published, found.records, found.models) == (False, [], [])
    assert {verdict.outcome for verdict in forgetting.verdicts(found)} == {"cannot tell"}
    assert "not published" in repr(exhibits.short_real_stream(found, short))


# --- exhibits --------------------------------------------------------------------------------------------------------


def test_the_papers_tables_are_consistent_with_its_text():
    by_name = {model.name: model for model in paper.MODELS}
    assert [by_name[f"BLOOMZ-{size}"].groups["domain knowledge"].fg for size in ("1.1b", "1.7b", "3b", "7.1b")] == [
        9.54,
        10.72,
        14.63,
        18.37,
    ]
    for model in paper.MODELS:
        for group in paper.GROUPS:
            assert model.groups[group].start > model.groups[group].end > 15
    assert "153%" in repr(exhibits.reread_table())


def test_figures_have_alt_text_and_names_of_their_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: as_the_paper_tells_it())
    found = forgetting.gather(params(), [])
    drawn = (exhibits.against_size, exhibits.at_task_loss, exhibits.beside_paper, exhibits.trajectories)
    figures = [draw(found) for draw in (*drawn, exhibits.shares_figure)]
    tiny.check_figures([*figures, *(exhibits.pairs_figure(found, kind) for kind in ("encdec", "instruct"))])


def test_without_records_the_page_says_so_instead_of_drawing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: [])
    found = forgetting.gather(params(), [])
    for figure in (exhibits.trajectories(found), exhibits.against_size(found), exhibits.at_task_loss(found)):
        assert repr(figure).startswith("No ")
    assert "not run" in repr(exhibits.controls(found))


def test_tables_are_made_from_the_records(monkeypatch: pytest.MonkeyPatch):
    records = [*as_the_paper_tells_it(), *run("world-s", "no-op", 0.0), *run("world-s", "random-labels", loss=3.0)]
    monkeypatch.setattr("lowres.published.read_published", lambda study: records)
    found = forgetting.gather(params(), [])
    assert "| s, knowledge" in repr(exhibits.groups_table(found))
    controls = repr(exhibits.controls(found))
    assert controls.count("holds") == 2, controls
    arms_shown = repr(exhibits.arms_effects(found))
    assert "mixed 30%" in arms_shown
    assert "| Arm of world-s |" in arms_shown
    assert "| question |" in repr(exhibits.mastery_table(found))
    assert "world-s, world-pronoun" in repr(exhibits.bias_table(found))
    assert "1.0 GiB" in repr(exhibits.cost_table(found))
    assert "at chance" not in repr(exhibits.starts_table(found)).split("\n", 2)[2]


def test_drift_has_one_line_per_trial_with_its_largest_difference(monkeypatch: pytest.MonkeyPatch):
    stored = [*run("world-s"), *run("world-xs")]
    monkeypatch.setattr("lowres.published.read_published", lambda study: stored)
    same = repr(exhibits.drift([record("world-s")]))
    assert "exact" in same
    assert len(same.splitlines()) == 3
    assert "differs" in repr(exhibits.drift([record("world-s", fall=0.3)]))
    assert "nothing to compare" in repr(exhibits.drift([record("world-s", seed=8)]))


# --- whole streams ---------------------------------------------------------------------------------------------------


def save_architecture(folder: Path, kind: str) -> str:
    """A tiny random model of an architecture of the paper, with the tokenizer of the other tests."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, BloomConfig, LlamaConfig, MT5Config

    tokenizer = tiny._tokenizer(chat=False)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    known = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.eos_token_id, **ends}
    configuration = {
        "bloom": lambda: BloomConfig(hidden_size=32, n_layer=2, n_head=4, **known),
        "mt5": lambda: MT5Config(
            d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0, dropout_rate=0.0, **known
        ),
        "llama": lambda: LlamaConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, **known
        ),
    }[kind]()
    torch.manual_seed(0)
    automatic = AutoModelForSeq2SeqLM if kind == "mt5" else AutoModelForCausalLM
    automatic.from_config(configuration).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", ["bloom", "mt5", "llama"])
@pytest.mark.usefixtures("general_pool", "results")
def test_the_architectures_of_the_paper_go_through_a_stream(kind: str, task: str, choice_task: str, tmp_path: Path):
    model = save_architecture(tmp_path / kind, kind)
    chosen = params(
        tier="paper",
        models=[model],
        ablated=[model],
        tasks=[task, choice_task],
        probes=["world-reading-new", "world-bias"],
        controls=["no-op"],
        task_tokens=150,
        steps=3,
        batch_size=4,
        items=4,
        probe_items=6,
        precision="fp32",
    )
    records = studies.execute(forgetting, chosen, Ledger(tmp_path / "ledger"), progress=False)
    assert [(record.trial["arm"], record.error) for record in records] == [
        ("untouched", ""),
        ("stream", ""),
        ("no-op", ""),
    ]
    untouched, stream, nothing = records
    assert {"1:world-reading-new", "world-bias", "1:task", "task"} <= set(stream.outcomes)
    assert nothing.outcomes["world-reading-new"] == untouched.outcomes["world-reading-new"]
    found = forgetting.gather(chosen, records)
    assert found.models == [model]
    assert found.courses(found.at(model), "world-bias")[0].levels.shape == (1, 3)
    assert model in repr(exhibits.cost_table(found))


@pytest.mark.usefixtures("results")
def test_the_short_stream_runs_on_any_language_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    model = save_architecture(tmp_path / "llama", "llama")
    few = {"tasks": ("consoling-reply", "headline"), "task_tokens": 300}
    monkeypatch.setattr(arms, "REAL_MODEL", model)
    probes = ("disambiguation-qa", "stereoset", "wiki-nll")
    monkeypatch.setattr(arms, "SHORT_STREAM", {**arms.SHORT_STREAM, **few, "probes": probes})
    monkeypatch.setattr("lowres.published.read_published", lambda study: [])
    chosen = params(real_steps=2, precision="fp32")
    ledger = Ledger(tmp_path / "ledger")
    live = engine.run(arms.short_stream(chosen), ledger, progress=False)
    assert [(record.trial["arm"], record.error) for record in live] == [("short", ""), ("short-untouched", "")]
    found = evidence.short_stream(chosen, live)
    assert found.courses(found.at(model), "stereoset")[0].levels.shape == (1, 3)
    shown = repr(exhibits.short_real_stream(forgetting.gather(chosen, live), live))
    assert "2 updates of 4 examples" in shown
    assert "| reasoning |" in shown
    assert f"{model}, short" in repr(exhibits.live_table(live))


@pytest.mark.usefixtures("results")
def test_the_smoke_tier_runs_from_pretraining_to_the_verdicts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sizes.DECODERS, "xs", replace(sizes.DECODERS["xs"], steps=3))
    monkeypatch.setattr("lowres.published.read_published", lambda study: [])
    chosen = params(tier="smoke", models=["world-xs"], ablated=["world-xs"], controls=["no-op"], precision="fp32")
    records = studies.insist_on_all(studies.execute(forgetting, chosen, Ledger(tmp_path / "ledger"), progress=False))
    found = forgetting.gather(chosen, records)
    assert found.models == ["world-xs"]
    assert found.parameters("world-xs") > 40_000
    assert {verdict.outcome for verdict in forgetting.verdicts(found)} == {"cannot tell"}
    assert "holds" in repr(exhibits.controls(found))
    assert "world-xs, stream" in repr(exhibits.live_table(records))
    for table in (exhibits.groups_table, exhibits.options_table):
        assert "| xs, " in repr(table(found))
    assert "world-xs" in repr(exhibits.arms_effects(found))
    assert "| Probe | xs |" in repr(exhibits.starts_table(found))
    trials = forgetting.trials(chosen)
    assert "world-xs, no-op" in repr(exhibits.trial_table(trials, [True] * len(trials)))
    assert "1 trial" not in engine.table(records)
