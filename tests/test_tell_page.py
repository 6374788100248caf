"""The TELL page: evidence, verdicts and exhibits from hand-made records, and the notebook's own parameters."""

import subprocess
import sys
from dataclasses import replace

import pytest
import tiny

from lowres import claims
from lowres.claims import Verdict
from lowres.optimisation import Optimisation
from lowres.params import resolve
from lowres.studies import IncompleteRun, insist_on_all, tell
from lowres.studies.tell import evidence as evidence_module
from lowres.studies.tell import exhibits
from lowres.trial import Evaluation, Recipe, Record, Trial
from lowres.tuners import LoRA

ITEMS = 60
PARAMS = resolve(tell.Params())


def record(  # noqa: PLR0913 - one keyword per thing that tests vary
    arm: str, score: float, *, task=1000, general=None, seed=0, rate=1e-3, status="done", split="test"
) -> Record:
    """A record whose items score around `score`, in a pattern that is the same for every arm."""
    kind = tell.ARMS.get(arm.removeprefix("tuning "), tell.ARMS["tell"])
    general = (4 * task if kind.general else 0) if general is None else general
    recipe = Recipe(
        task_tokens=task if kind.task else 0, general_tokens=general, anchor="hand-written" if kind.anchored else "none"
    )
    trained = bool(kind.family)
    trial = Trial(
        "tell",
        arm,
        PARAMS.model,
        PARAMS.task,
        recipe,
        LoRA() if trained else None,
        Optimisation(rate, epochs=2, batch_size=4) if trained else None,
        Evaluation(split=split, items=ITEMS, probes=("siqa", "wiki-nll"), probe_items=10),
        seed,
    )
    scores = [score + 0.02 * ((item * 7 + seed * 3) % 5 - 2) for item in range(ITEMS)]
    losses = [3.0 - value for value in scores]
    right = [float(item % 2) for item in range(10)]
    outcomes = {
        "task": {"exact_match": scores, "token_f1": scores, "rouge_l": scores, "target_nll": losses},
        "siqa": {"accuracy": right, "accuracy_per_token": right, "accuracy_per_character": right, "target_nll": right},
        "wiki-nll": {"nll": [2.5 + score] * 5 + [2.6 + score] * 5},
    }
    return tiny.record(
        f"{arm}-{task}-{general}-{seed}-{rate}",
        trial,
        outcomes,
        status=status,
        counts={"task_examples": 15, "task_tokens": 990, "general_tokens": 3990},
        texts={"task": [f"{arm} {item}" for item in range(ITEMS)]},
        error="broken" if status == "failed" else "",
    )


def grid(**levels: float) -> list[Record]:
    """Three seeds of every arm; underscores in names stand for hyphens and `sft_anchor` for sft+anchor."""
    found = []
    for name, level in levels.items():
        arm = "sft+anchor" if name == "sft_anchor" else name.replace("_", "-")
        found += [record(arm, level, seed=seed) for seed in ((0,) if arm == "untouched" else (0, 1, 2))]
    return found


@pytest.fixture
def judged(monkeypatch):
    """A function from published records to verdicts by name."""

    def judge(records: list[Record], live: list[Record] | None = None) -> dict[str, Verdict]:
        monkeypatch.setattr("lowres.published.read_published", lambda study: records)
        return {v.claim.name: v for v in tell.verdicts(tell.gather(PARAMS, live or []))}

    return judge


# --- verdicts --------------------------------------------------------------------------------------------------------

PAPER = {"untouched": 0.1, "sft": 0.1, "sft_anchor": 0.11, "tell": 0.4, "tell_no_anchor": 0.2, "general_only": 0.2}


def test_records_as_the_paper_tells_it_reproduce_its_first_claims(judged):
    rest = {"tell_task_first": 0.3, "tell_task_last": 0.3, "sft_equal_steps": 0.2}
    plenty = [
        record("sft", level, task=task, seed=s) for task, level in ((3000, 0.2), (10_000, 0.4)) for s in (0, 1, 2)
    ]
    found = judged(grid(**PAPER, **rest) + plenty)
    assert {name: found[name].outcome for name in ("tell-1", "tell-3", "tell-4", "tell-6", "tell-9")} == dict.fromkeys(
        ("tell-1", "tell-3", "tell-4", "tell-6", "tell-9"), "reproduced"
    )
    assert found["tell-2"].outcome == "cannot tell"
    assert "100,000" in found["tell-2"].reason
    assert "3 seeds" in found["tell-1"].scale
    assert "15 examples" in found["tell-1"].scale


def test_gains_that_more_updates_explain_overturn_the_leverage_claim(judged):
    assert judged(grid(**PAPER, sft_equal_steps=0.4))["tell-9"].outcome == "not reproduced"


def test_sft_that_gains_visibly_contradicts_a_part_of_the_first_claim(judged):
    plenty = [record("sft", 0.4, task=10_000, seed=seed) for seed in (0, 1, 2)]
    assert judged(grid(**{**PAPER, "sft": 0.3}) + plenty)["tell-1"].outcome == "partly"


def test_one_ingredient_that_does_it_alone_makes_the_claim_of_both_partly_right(judged):
    assert judged(grid(**{**PAPER, "tell_no_anchor": 0.4}))["tell-4"].outcome == "partly"


def test_no_saving_where_sft_reaches_the_score_at_five_times_the_data(judged):
    plenty = [record("sft", 0.6, task=task, seed=seed) for task in (3000, 10_000) for seed in (0, 1, 2)]
    assert judged(grid(**PAPER) + plenty)["tell-3"].outcome == "not reproduced"


@pytest.mark.parametrize(
    ("levels", "outcome"),
    [
        ({0: 0.1, 1000: 0.1, 2000: 0.1, 4000: 0.5, 8000: 0.5}, "reproduced"),
        ({0: 0.10, 1000: 0.20, 2000: 0.258, 4000: 0.332, 8000: 0.417}, "not reproduced"),
    ],
)
def test_a_jump_over_the_ratios_is_told_from_a_slope(judged, levels, outcome):
    sweep = [record("tell", level, general=general, seed=s) for general, level in levels.items() for s in (0, 1, 2)]
    assert judged([*sweep, record("untouched", 0.1)])["tell-5"].outcome == outcome


def test_what_was_not_run_is_named_and_never_decided(judged):
    found = judged([])
    assert {verdict.outcome for verdict in found.values()} == {"cannot tell"}
    assert "SFT with as many updates" in found["tell-9"].reason


def test_a_live_smoke_run_never_gives_a_verdict(monkeypatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: [])
    params = resolve(tell.Params(tier="smoke"))
    found = tell.verdicts(tell.gather(params, grid(**PAPER, sft_equal_steps=0.2)))
    assert {verdict.outcome for verdict in found} == {"cannot tell"}


def test_every_claim_has_one_decider_and_the_verdicts_can_be_saved(judged, tmp_path):
    found = list(judged(grid(**PAPER)).values())
    assert [verdict.claim for verdict in found] == list(tell.CLAIMS)
    claims.save_verdicts(found, tmp_path)
    assert [verdict.outcome for verdict in claims.load_verdicts(tmp_path)] == [verdict.outcome for verdict in found]


# --- gathering -------------------------------------------------------------------------------------------------------


def test_only_comparable_test_records_of_the_same_setting_count(monkeypatch):
    other = record("tell", 0.9, seed=5)
    other.trial["model"] = "another/model"
    longer = record("tell", 0.9, seed=6)
    longer.trial["optimisation"]["epochs"] = 9
    rounded = record("tell", 0.9, seed=8)
    rounded.provenance["precision"] = "bf16"
    tuning = record("tuning mixed", 0.9, seed=7, split="validation")
    stored = [*grid(**PAPER), other, longer, rounded, tuning, record("tell", 0.9, seed=9, status="failed")]
    monkeypatch.setattr("lowres.published.read_published", lambda study: stored)
    found = tell.gather(PARAMS, [])
    assert sorted(found.points[found.at("tell")]) == [0, 1, 2]
    assert found.published


def test_without_published_records_the_live_run_is_the_evidence(monkeypatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: [])
    found = tell.gather(PARAMS, grid(untouched=0.1, sft=0.2))
    assert not found.published
    assert found.scores(found.at("sft")).shape == (3, ITEMS)


def test_tell_without_general_data_and_sft_with_anchor_are_one_only_at_the_same_rate(monkeypatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: stored)
    stored = grid(tell=0.4, sft_anchor=0.2)
    same = tell.gather(PARAMS, [])
    assert same.scores(same.at("tell", ratio=0)) is not None
    for each in stored:
        if each.trial["arm"] == "tell":
            each.trial["optimisation"]["learning_rate"] = 3e-4
    apart = tell.gather(PARAMS, [])
    assert apart.scores(apart.at("tell", ratio=0)) is None


def test_the_untouched_model_stands_beside_every_seed(monkeypatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: grid(untouched=0.1, tell=0.4))
    found = tell.gather(PARAMS, [])
    effect = found.effect(found.at("tell"), found.at("untouched"))
    assert effect.seeds == 3
    assert effect.estimate == pytest.approx(0.3, abs=0.02)


# --- exhibits --------------------------------------------------------------------------------------------------------


def test_figures_have_alt_text_and_show_the_numbers_of_the_records(monkeypatch):
    rest = [record("tell", 0.1 * n, general=1000 * n, seed=s) for n in (1, 2) for s in (0, 1, 2)]
    plenty = [record("sft", 0.3, task=task, seed=s) for task in (3000, 10_000) for s in (0, 1, 2)]
    monkeypatch.setattr("lowres.published.read_published", lambda study: [*grid(**PAPER), *rest, *plenty])
    found = tell.gather(PARAMS, [])
    figures = [
        exhibits.learning_curve(found),
        exhibits.differences(found),
        exhibits.ratio_sweep(found),
        exhibits.retention(found, "nll"),
        exhibits.retention(found, "choice"),
    ]
    tiny.check_figures(figures)
    assert "0.4" in tiny.html(figures[0])


def test_without_records_the_page_says_so_instead_of_drawing(monkeypatch):
    monkeypatch.setattr("lowres.published.read_published", lambda study: [])
    found = tell.gather(PARAMS, [])
    for nothing in (exhibits.learning_curve(found), exhibits.differences(found), exhibits.ratio_sweep(found)):
        assert repr(nothing).startswith("No ")
    assert "nothing is published" in repr(exhibits.origin(found))
    assert "not run" in tiny.html(exhibits.controls(found))


def test_the_tuning_table_marks_the_rate_under_which_the_targets_are_likeliest():
    tried = [record("tuning mixed", score, rate=rate, split="validation") for rate, score in ((1e-4, 0.2), (1e-3, 0.5))]
    (row,) = (line for line in repr(exhibits.tuning_table(tried)).splitlines() if "mixed" in line)
    assert row.split("|")[-2].strip() == "0.001, largest tried"


def test_the_tuning_table_goes_by_the_mean_over_seeds():
    losses = {1e-4: (3.0, 3.0), 1e-3: (0.1, 3.5), 1e-2: (1.0, 1.0), 1e-1: (4.0, 4.0)}
    tried = [
        replace(
            one := record("tuning mixed", 0.5, seed=1000 + seed, rate=rate, split="validation"),
            key=f"{rate}/{seed}",
            outcomes={"task": {**one.outcomes["task"], "target_nll": [loss]}},
        )
        for rate, each in losses.items()
        for seed, loss in enumerate(each)
    ]
    (row,) = (line for line in repr(exhibits.tuning_table(tried)).splitlines() if "mixed" in line)
    assert [cell.strip() for cell in row.split("|")[-3:-1]] == ["2", "0.01"]


def test_tables_are_made_from_the_records(monkeypatch):
    stored = grid(**PAPER, sft_equal_steps=0.2, random_labels=0.1)
    monkeypatch.setattr("lowres.published.read_published", lambda study: stored)
    found = tell.gather(PARAMS, [])
    assert "990" in tiny.html(exhibits.scores_table(found))
    assert "holds" in tiny.html(exhibits.controls(found))
    assert "tell 0" in tiny.html(exhibits.samples(found))
    assert "1.0 GiB" in tiny.html(exhibits.cost_table(found))
    assert tiny.html(exhibits.deviations()).count("<tr") == len(tell.DEVIATIONS) + 1


def test_drift_compares_live_trials_with_their_own_published_records(monkeypatch):
    live = record("tell", 0.4)
    monkeypatch.setattr("lowres.published.read_published", lambda study: [record("tell", 0.4)])
    assert "exact" in tiny.html(exhibits.drift([live]))
    monkeypatch.setattr("lowres.published.read_published", lambda study: [record("tell", 0.7)])
    assert "differs" in tiny.html(exhibits.drift([live]))
    monkeypatch.setattr("lowres.published.read_published", lambda study: [record("tell", 0.4, seed=3)])
    assert "nothing to compare" in tiny.html(exhibits.drift([live]))


def test_a_failed_trial_stops_the_page():
    with pytest.raises(IncompleteRun, match="broken"):
        insist_on_all([record("tell", 0.4), record("sft", 0.1, status="failed")])


# --- the notebook ----------------------------------------------------------------------------------------------------


def test_plain_papermill_refuses_a_misspelt_parameter(tmp_path):
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(tiny.ROOT / tell.NOTEBOOK),
        str(tmp_path / "out.ipynb"),
        "-k",
        "python3",
    ]
    run = subprocess.run([*command, "-p", "teir", "smoke"], capture_output=True, text=True, cwd=tiny.ROOT, check=False)
    assert run.returncode != 0
    assert "did you mean" in run.stderr
    assert "tier" in run.stderr


def test_the_rules_name_the_margins_that_the_deciders_use():
    assert next(claim.margin for claim in tell.CLAIMS if claim.name == "tell-1") == evidence_module.MARGIN
    assert set(evidence_module.DECIDERS) == {claim.name for claim in tell.CLAIMS}
