"""Campaigns: what a file may hold, how far it is, and that it goes on where it was stopped."""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from lowres import campaign, cli, registry
from lowres.claims import rulebook
from lowres.claims.rules import COLUMNS, Asked, ColumnName, decide
from lowres.data import load_task
from lowres.ledger import Ledger
from lowres.outcomes import Outcomes
from lowres.params import InputError
from lowres.trial import RESULT_VERSION, Record, Trial

RULED = [name for name in registry.study_names() if rulebook.rules_of(name)]

GOOD = """
[common.small]
tier = "smoke"
arms = ["untouched", "sft"]

[[line]]
name = "one"
study = "tell"
claims = ["tell-1"]
hours = 0.1
common = "small"
parameters = { task = TASK, model = MODEL }

[[line]]
name = "two"
study = "tell"
hours = 0.2
common = "small"
parameters = { task = TASK, model = MODEL, seeds = [1] }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "campaign.toml"
    path.write_text(text)
    return path


@pytest.fixture
def given(tmp_path: Path, chat_folder: Path, task: str, general_pool: Any) -> Path:
    return written(tmp_path, GOOD.replace("TASK", f'"{task}"').replace("MODEL", f'"{chat_folder}"'))


def test_a_line_has_its_own_parameters_on_top_of_common_ones(given: Path) -> None:
    one, two = campaign.read(given)
    assert (one.name, one.hours, one.claims, two.claims) == ("one", 0.1, ("tell-1",), ())
    assert (one.resolved().seeds, two.resolved().seeds) == ((0,), (1,))
    assert one.resolved().arms == two.resolved().arms == ("untouched", "sft")
    assert [line.name for line in campaign.chosen([one, two], ["two"])] == ["two"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[line]\n", "is not TOML"),
        ("lines = 3\n", r"\[\[line\]\] entries"),
        ('[[line]]\nname = "a"\nstudy = "tell"\n', "line 'a': hours is missing"),
        ('[[line]]\nname = "a"\nstudy = "tel"\nhours = 1\n', "unknown study 'tel'. .did you mean \"tell\""),
        ('[[line]]\nname = "a"\nstudy = "tell"\nhours = 1\nwhy = "x"\n', "unknown entry 'why'"),
        ('[[line]]\nname = "a"\nstudy = "tell"\nhours = 1\ncommon = "b"\n', r"no \[common.b\]"),
        ('[[line]]\nname = "a"\nstudy = "tell"\nhours = 1\nparameters = { sedes = [1] }\n', "line 'a': .*sedes"),
        (2 * '[[line]]\nname = "a"\nstudy = "tell"\nhours = 1\n', "line 'a' is there twice"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(InputError, match=f"(?s){what}"):
        campaign.read(written(tmp_path, text))


def test_a_missing_file_or_line_is_named(tmp_path: Path, given: Path) -> None:
    with pytest.raises(InputError, match="cannot read the campaign"):
        campaign.read(tmp_path / "none.toml")
    with pytest.raises(InputError, match=r"no line .tow. in the campaign"):
        campaign.chosen(campaign.read(given), ["tow"])


def test_a_campaign_goes_on_where_it_was(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowres.ledger.published.read_confirmatory", lambda study: [])
    lines, ledger = campaign.read(given), Ledger(tmp_path / "ledger")
    before = [campaign.progress(line, ledger) for line in lines]
    assert [(each.planned, each.done, each.left) for each in before] == [(2, 0, 2), (2, 0, 2)]
    campaign.run(lines[:1], ledger, progress=False)
    dates = {path.name: path.stat().st_mtime_ns for path in ledger.folder.glob("*.json")}
    halfway = [campaign.progress(line, ledger) for line in lines]
    assert halfway[0].left == 0
    assert halfway[1].left == 1  # the untouched model stands for all seeds
    found = campaign.run(lines, ledger, progress=False)
    assert {name: len(records) for name, records in found.items()} == {"one": 2, "two": 2}
    assert all(each.left == 0 for each in (campaign.progress(line, ledger) for line in lines))
    after = {path.name: path.stat().st_mtime_ns for path in ledger.folder.glob("*.json")}
    assert dates.items() <= after.items()  # nothing was run twice
    with ledger.claim(next(iter(after)).removesuffix(".json")):
        assert sum(campaign.progress(line, ledger).running for line in lines) >= 1


def test_the_command_shows_without_running(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "ledger"
    assert cli.main(["campaign", "--show", "--file", str(given), "--ledger", str(folder), "one"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].split() == ["one", "tell", "0.1", "2", "0", "0", "0", "2"]
    assert not list(folder.glob("*.json"))


def test_what_is_published_is_shown_as_done(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (line, *_) = campaign.read(given)
    first, *_ = registry.planned(line.module(), line.resolved(), Ledger(tmp_path / "none"))
    done = tiny.record(first.key(), first, {"task": {"token_f1": [1.0]}})
    monkeypatch.setattr("lowres.ledger.published.read_confirmatory", lambda study: [done])
    assert cli.main(["campaign", "--show", "--file", str(given), "--ledger", str(tmp_path / "empty"), line.name]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3:] == ["2", "1", "0", "0", "1"]


def test_what_is_published_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = campaign.Line("one", "tell", 0.1)
    published = tiny.record("a" * 16, tiny.trial("model", "task"), {"task": {"token_f1": [1.0]}})
    monkeypatch.setattr("lowres.ledger.published.read_confirmatory", lambda study: [published])
    seen: list[int] = []
    monkeypatch.setattr(registry, "execute", lambda study, params, ledger, **how: seen.append(len(ledger.records())))
    campaign.run([line], Ledger(tmp_path / "ledger"))
    assert seen == [1]


# --- the campaign and the rules of the repository --------------------------------------------------------------------


def test_the_campaign_of_the_repository_can_be_read() -> None:
    lines = campaign.read(cli.CAMPAIGN)
    assert len({line.name for line in lines}) == len(lines) > 0
    ruled = {rule.claim for name in registry.study_names() for rule in rulebook.rules_of(name)}
    assert {claim for line in lines for claim in line.claims} <= ruled


@pytest.mark.parametrize("study", RULED)
def test_every_rule_can_end_in_yes_and_in_no(study: str) -> None:
    rules = rulebook.rules_of(study)
    assert len({rule.claim for rule in rules}) == len(rules)
    for rule in rules:
        assert set(rule.columns) == set(COLUMNS)
        for asked in rule.columns.values():
            if isinstance(asked, str):
                continue
            assert isinstance(asked, Asked)
            assert 1 <= len(asked.parts) <= 3
            assert asked.seeds >= 3
            assert asked.places
            assert 0.5 < asked.power() <= 1
            for part in asked.parts:
                assert part.rule.boundary != 0
                assert len({repr(cell) for _, cell in part.terms}) == len(part.terms)


FIRST = 2  # seeds that are planned here; a cell of one alone would have no spread between seeds, however many there are


def planned(study: str) -> Outcomes:
    """What the campaign plans for a study with its first seeds, as if all items were right; no model is loaded."""
    lines = [line for line in campaign.read(cli.CAMPAIGN) if line.study == study]
    params = [(line.module(), replace(line.resolved(), seeds=line.resolved().seeds[:FIRST])) for line in lines]
    trials: dict[Trial, Trial] = {}  # one that two arms share is recorded under the name that came first
    for module, each in params:
        for trial in module.trials(each):
            trials.setdefault(replace(trial, arm=""), trial)
    made = (Record("", "done", trial.spec(), {}, outcomes=right(trial)) for trial in trials.values())
    return rulebook.outcomes_of(study, made)


def right(trial: Trial) -> dict[str, dict[str, list[float]]]:
    """Two items of the task, if it has as many, and of each probe, right by any measure."""
    few = len(load_task(trial.task, trial.options).test[:2])
    found = {name: defaultdict(lambda: [1.0, 1.0]) for name in trial.evaluation.probes}
    return {"task": defaultdict(lambda: [1.0] * few), **found}


@pytest.mark.parametrize("study", RULED)
def test_every_cell_of_a_rule_is_made_by_a_line_of_the_campaign(study: str) -> None:
    outcomes, missing = planned(study), []
    for rule in rulebook.rules_of(study):
        for column in COLUMNS:
            if not isinstance(rule.columns[column], str):
                reason = decide(rule, column, outcomes).reason
                if not re.match(f"too few seeds: planned .*, there are {FIRST}$", reason):
                    missing.append(f"{rule.claim}, {column}: {reason}")
    assert not missing


def test_a_line_has_the_seeds_that_its_claims_ask_for() -> None:
    for line in campaign.read(cli.CAMPAIGN):
        rules, seeds = {rule.claim: rule for rule in rulebook.rules_of(line.study)}, set(line.resolved().seeds)
        column: ColumnName = "world" if "world-" in str(line.parameters) else "real"
        for claim in line.claims:
            asked = rules[claim].columns[column]
            assert isinstance(asked, Asked), f"{line.name}: {claim} is not asked in the column {column}"
            assert len(seeds) == asked.seeds, line.name
            assert not seeds & set(range(10)), f"{line.name}: seeds below 10 were seen before the rules"


def test_rules_and_verdicts_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rules", "tell"]) == 0
    text = capsys.readouterr().out
    assert all(f"### {rule.claim}" in text for rule in rulebook.rules_of("tell"))
    assert cli.main(["verdicts", "tell", "--json"]) == 0
    assert '"claim": "tell-1"' in capsys.readouterr().out


# --- rules before runs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("study", RULED)
def test_what_the_rules_decide_by_is_what_was_committed(study: str) -> None:
    made = rulebook.commitment(study)
    assert made is not None
    assert made.rules == rulebook.binding(study)


@pytest.mark.parametrize("study", RULED)
def test_the_commitment_is_a_commit_of_that_date(study: str) -> None:
    made = rulebook.commitment(study)
    assert made is not None
    command = ["git", "show", "-s", "--format=%cd", "--date=format-local:%Y-%m-%d %H:%M UTC", made.commit]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "TZ": "UTC"})
    if told.returncode:
        pytest.skip("this checkout does not hold the commit")
    assert told.stdout.strip() == made.date


def test_records_made_before_the_rules_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rulebook.commitment("tell")
    assert made is not None
    trial = tiny.trial("model", "task")
    dates = ("2026-01-01 00:00 UTC", made.date, "9999-01-01 00:00 UTC")
    records = [
        tiny.record(f"{n}", trial, {}, fingerprints={"version": str(RESULT_VERSION)}, provenance={"date": date})
        for n, date in enumerate(dates)
    ]
    monkeypatch.setattr(rulebook, "read_confirmatory", lambda study: records)
    assert [record.key for record in rulebook.judged("tell")] == ["2"]


def test_the_digest_hangs_on_what_decides_and_on_no_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    before, rules = rulebook.binding("tell"), rulebook.rules_of("tell")
    monkeypatch.setattr(rulebook, "rules_of", lambda study: (replace(rules[0], wrong="said otherwise"), *rules[1:]))
    assert rulebook.binding("tell") == before
    asked = rules[0].columns["world"]
    fewer = replace(rules[0], columns={**rules[0].columns, "world": replace(asked, seeds=9)})
    monkeypatch.setattr(rulebook, "rules_of", lambda study: (fewer, *rules[1:]))
    assert rulebook.binding("tell") != before
