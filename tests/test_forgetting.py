"""The forgetting study: parameters, trials, what is lost over a stream, and what its page draws."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from lowres import campaign, data, models, registry, studies, world
from lowres.claims.rules import LOSS, RELATIVE
from lowres.ledger import Ledger
from lowres.ledger.published import read_first_edition
from lowres.optimisation import Optimisation
from lowres.outcomes import Outcomes
from lowres.page import drawing, parts, verdicts
from lowres.page.drawing import Evidence
from lowres.params import InputError, from_mapping, resolve
from lowres.studies import forgetting
from lowres.studies.forgetting import page, paper, plan, rules
from lowres.studies.forgetting.params import Params
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
        ({"seeds": [plan.TUNING_SEED]}, f"seeds must not hold {plan.TUNING_SEED}"),
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
        registry.possible(forgetting, params(tier="smoke", task_tokens=900_000, ablated=[]))
    pool = data.general_pool("world-headline")[:500]
    monkeypatch.setattr(data, "general_pool", lambda *_: pool)
    with pytest.raises(InputError, match="more than the general pool has"):
        registry.possible(forgetting, params(tier="smoke", task_tokens=12_000, general_shares=[0.9]))


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
    chosen = everything(rate_factors=[0.3, 1.0, 3.0])
    found = forgetting.tuning(chosen)
    tried = Counter((trial.model, trial.arm) for trial in found)
    assert tried == {("world-xs", "tuning full"): 3, ("world-s", "tuning full"): 3, ("world-s", "tuning lora"): 3}
    assert {(t.seed, t.evaluation.split, t.evaluation.probes) for t in found} == {(plan.TUNING_SEED, "validation", ())}
    losses = [3.0] * 3 + [1.0] * 3 + [2.0] * 3
    records = [
        Record(str(i), "done", trial.spec(), {}, {w: {"target_nll": [loss]} for w in ("1:task", "task")})
        for i, (trial, loss) in enumerate(zip(found, losses, strict=True))
    ]
    middle = {(model, tuner): plan.usual_rate(model, tuner) for (model, arm) in tried for tuner in [arm.split()[1]]}
    assert plan.learning_rates(chosen, records) == middle
    swept = forgetting.trials(everything(rate_factors=[0.3, 1.0, 3.0], sweep_seeds=[3]), records)
    streams = Counter(trial.model for trial in swept if trial.arm == "stream")
    assert streams == {"world-xs": 1, "world-s": 1, "world-xs@3": 3, "world-s@3": 3}


def test_tasks_and_probes_follow_the_model():
    chosen = params(tier="smoke")
    assert plan.tasks_of(chosen, "world-s") == world.STREAM
    assert plan.tasks_of(chosen, "smollm2-135m-instruct")[0] == "legal-summary"
    assert "stereoset" in plan.probes_of(chosen, "smollm2-135m-instruct")


@pytest.mark.parametrize("tier", ["laptop", "gpu"])
def test_what_a_campaign_line_says_is_what_it_runs(tier: str):
    """Lines of the campaign name no tier: what they leave out must not depend on it."""
    for line in campaign.read(tiny.ROOT / "results/campaign.toml"):
        if line.study == "forgetting" and line.parameters.get("ablated") == []:
            chosen = resolve(from_mapping(Params, {**line.parameters, "tier": tier}))
            assert forgetting.trials(chosen) == forgetting.trials(line.resolved())


# --- hand-made records -----------------------------------------------------------------------------------------------


def record(
    model: str, arm: str = "stream", fall: float = 0.1, *, seed: int = 0, share: float = 0.0, rate: float = 3e-3
) -> Record:
    """Accuracy that falls by `fall` with each of five tasks, from .9; nats on the tasks that fall as the rate rises."""
    untouched = arm == "untouched"
    recipe = Recipe(0) if untouched else Recipe(1000, round(1000 * share / (1 - share)))
    optimisation = None if untouched else Optimisation(0.0 if arm == "no-op" else rate, batch_size=8, steps=9)
    *before, last = world.STREAM
    trial = Trial(
        "forgetting",
        arm,
        studies.seeded(model, seed),
        last,
        recipe,
        None if untouched else Full(),
        optimisation,
        Evaluation(items=8, probes=world.PROBES, probe_items=ITEMS),
        seed,
        stream=() if untouched else tuple(Stage(task, recipe, optimisation) for task in before),
    )
    outcomes: dict[str, Any] = {}
    for step in (0,) if untouched else range(1, 6):
        prefix = f"{step}:" if 0 < step < 5 else ""
        for number, probe in enumerate(world.PROBES):
            right = [float((item * 7 + number + seed) % ITEMS < (0.9 - step * fall) * ITEMS) for item in range(ITEMS)]
            outcomes[prefix + probe] = {"accuracy": right, "target_nll": right, "chosen": right}
        score = [0.1 * (1 + (not untouched) * (item + seed) % 5) for item in range(8)]
        outcomes[prefix + "task"] = {"token_f1": score, "rouge_l": score, "exact_match": score}
        outcomes[prefix + "task"]["target_nll"] = [1.0 - 100 * rate] * 8
    return tiny.record(f"{model}-{arm}-{seed}-{share}-{rate}", trial, outcomes)


def run(model: str, arm: str = "stream", fall: float = 0.1, **more: Any) -> list[Record]:
    """Three seeds of an arm."""
    return [record(model, arm, fall, seed=seed, **more) for seed in (0, 1, 2)]


def stand_ins() -> list[Record]:
    """Something of every cell that the page shows."""
    models = [*rules.SIZES, *(f"{size}-instruct" for size in rules.SIZES), *page.KINDS]
    found = [one for model in models for one in run(model, "untouched")]
    found += [one for model in models for rate in (1e-3, 3e-3) for one in run(model, rate=rate, fall=30 * rate)]
    arms_run = {"mixed": 0.05, "general-only": 0.03, "random-labels": 0.08, "no-op": 0.0}
    return found + [one for arm, fall in arms_run.items() for one in run("world-s", arm, fall, share=0.3)]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Record]], None]:
    """Makes these records the ones that the rules may judge, and all there are."""

    def show(records: list[Record]) -> None:
        e = Evidence("forgetting", Outcomes.of(records))
        for module in (drawing, parts, verdicts):
            monkeypatch.setattr(module, "evidence", lambda study: e)

    return show


# --- what is lost ----------------------------------------------------------------------------------------------------


def lost(measure: str, probes: tuple[str, ...]) -> float:
    """Of records that start at .9 and fall by .1 with each task."""
    outcomes = Outcomes.of([*run("world-s", "untouched"), *run("world-s")])
    found = drawing.effect(outcomes, rules.WORLD[1:2], drawing.level(rules.STREAM, measure, probes))
    assert found is not None
    return found.estimate


def test_the_loss_after_each_stage_of_a_stream_by_hand():
    fact, either = "world-fact-home", "world-either"  # of four choices, of two
    assert lost(LOSS, (f"1:{fact}",)) == pytest.approx(0.1 / (0.9 - 0.25))
    assert lost(LOSS, (f"4:{fact}",)) == pytest.approx(0.4 / (0.9 - 0.25))
    assert lost(LOSS, (fact,)) == pytest.approx(0.5 / (0.9 - 0.25))
    assert lost(LOSS, (fact, either)) == pytest.approx(1.0 / (1.8 - 0.75))  # a ratio of sums
    assert lost(RELATIVE, (fact, either)) == pytest.approx(0.5 / 0.9)  # the paper's: chance is not taken off
    with pytest.raises(AssertionError):
        lost(LOSS, (f"6:{fact}",))  # there are five tasks


def test_the_papers_measure_over_the_stream_is_the_mean_of_its_stages():
    outcomes = Outcomes.of([*run("world-s", "untouched"), *run("world-s")])
    found = drawing.effect(outcomes, page.AT_RATE, page._over_stream("world-s", RELATIVE))
    assert found is not None
    assert found.estimate == pytest.approx((0.1 + 0.2 + 0.3 + 0.4 + 0.5) / 5 / 0.9)
    assert found.items == ITEMS * len(rules.KNOWLEDGE)  # an item that is asked five times is one item


def test_general_data_have_a_share_of_what_is_trained_on():
    rows = Outcomes.of([record("world-s", "mixed", share=0.3), record("world-s", "untouched")]).rows
    assert [row["share"] for row in rows] == [0.3, 0.0]


def test_what_is_learnt_is_drawn_up_to_the_best_rate():
    worse = [
        replace(one, outcomes={**one.outcomes, "task": {"target_nll": [9.0]}}) for one in run("world-s", rate=9e-3)
    ]
    outcomes = Outcomes.of([one for rate in (1e-3, 3e-3) for one in run("world-s", rate=rate)] + worse)
    points = page._points(outcomes, "world-s", rules.KNOWLEDGE)
    assert list(points) == [pytest.approx(0.9), pytest.approx(0.7)]


# --- the page --------------------------------------------------------------------------------------------------------

FIGURES = ("sizes", "measures", "stream", "at_task_loss", "architectures", "instructed", "replay", "bias")


def test_every_exhibit_draws_from_records(shown: Callable[[list[Record]], None]):
    records = stand_ins()
    shown(records)
    figures = [getattr(page, name)() for name in FIGURES]
    tiny.check_figures(figures)
    assert all("first edition" not in tiny.html(figure) for figure in figures)
    assert "instruct" not in repr(figures[0])
    assert "+0.231" in repr(page.replay())  # general data alone: .15 of .65
    outcomes = [line.split("|")[3].strip() for line in repr(page.controls()).splitlines()[2:]]
    assert outcomes[:3] == ["behaves", "behaves", "cannot tell"]  # the stand-ins learn true targets and shuffled alike
    shared = (verdicts.overview, verdicts.cards, parts.origin, parts.cost_table, parts.deviations, parts.verification)
    for one in (page.idea(), page.met(), page.reread(), *(show("forgetting") for show in shared)):
        assert len(tiny.html(one)) > 100
    assert "world-s" in repr(page.live(records))
    assert "mixed, world-s" in repr(page.live(run("world-s", "untouched") + run("world-s", "mixed", 0.05, share=0.3)))


def test_without_records_the_page_says_so_instead_of_drawing(shown: Callable[[list[Record]], None]):
    shown([])
    for name in (*FIGURES, "real"):
        assert "not run yet" in repr(getattr(page, name)())
    assert "not run" in repr(page.controls())
    assert "is told when" in repr(parts.cost_table("forgetting"))
    assert "No trial was run" in repr(page.live([]))


def test_the_first_edition_stands_in_for_what_was_not_run_yet(monkeypatch: pytest.MonkeyPatch):
    e = Evidence("forgetting", Outcomes.of([]), Outcomes.of(read_first_edition("forgetting")))
    monkeypatch.setattr(drawing, "evidence", lambda study: e)
    assert "first edition" in tiny.html(page.replay())
    assert "world-s at" in tiny.html(page.at_task_loss())


def test_the_papers_tables_are_consistent_with_its_text():
    trend = [paper.TABLES_4_AND_6[f"BLOOMZ-{size}"][1][2] for size in ("1.1b", "1.7b", "3b", "7.1b")]
    assert trend == [9.54, 10.72, 14.63, 18.37]
    assert all(start > end > 15 for _, *groups in paper.TABLES_4_AND_6.values() for start, end, _ in groups)
    assert "| BLOOMZ-1.1b | 1.1 | 9.5 / 153% |" in repr(page.reread())  # (27.19 - 23.84) / (27.19 - 25)


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
    records = registry.execute(forgetting, chosen, Ledger(tmp_path / "ledger"), progress=False)
    assert [(record.trial["arm"], record.error) for record in records] == [
        ("untouched", ""),
        ("stream", ""),
        ("no-op", ""),
    ]
    untouched, stream, nothing = records
    assert {"1:world-reading-new", "world-bias", "1:task", "task"} <= set(stream.outcomes)
    assert nothing.outcomes["world-reading-new"] == untouched.outcomes["world-reading-new"]


@pytest.mark.usefixtures("results")
def test_the_smoke_tier_runs_from_pretraining_to_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sizes.DECODERS, "xs", replace(sizes.DECODERS["xs"], steps=3))
    chosen = params(tier="smoke", models=["world-xs"], ablated=["world-xs"], controls=["no-op"], precision="fp32")
    records = registry.insist_on_all(registry.execute(forgetting, chosen, Ledger(tmp_path / "ledger"), progress=False))
    assert [record.trial["arm"] for record in records] == ["untouched", "stream", "mixed", "no-op"]
    assert page.live(records)._repr_html_()
    assert "no-op" in repr(parts.live_table(records))
    assert "nothing to compare" in repr(parts.drift("forgetting", records))
