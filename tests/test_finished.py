"""A run that is over: the same command tells its table from the records alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import tiny

from lowres.cli import main
from lowres.engine import finished
from lowres.ledger import Ledger
from lowres.params import from_mapping, resolve
from lowres.registry import load


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A study's parameters on rows of one's own, and a ledger with two records as if they were all of its run."""
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "cache"))
    rows = tmp_path / "rows.jsonl"
    tiny.write_rows(rows, tiny.rows())
    params = resolve(from_mapping(load("tell").Params, {"tier": "smoke", "task": f"jsonl:{rows}"}))
    ledger = Ledger(tmp_path / "ledger")
    trial = tiny.trial("model", f"jsonl:{rows}")
    records = [tiny.record(key, trial, {"task": {"token_f1": [1.0]}}) for key in ("a" * 16, "b" * 16)]
    for record in records:
        ledger.put(record)
    return params, ledger, records, rows


def test_what_a_finished_run_was_made_of_is_known_again(made):
    params, ledger, records, _ = made
    assert finished.recall("tell", params, ledger) is None
    finished.remember("tell", params, records[::-1], ["left out"])
    again = finished.recall("tell", params, ledger)
    assert again is not None
    assert [record.key for record in again[0]] == [record.key for record in records[::-1]]
    assert again[1] == ["left out"]
    assert finished.recall("fiat", params, ledger) is None


def test_rows_that_changed_are_another_run(made):
    params, ledger, records, rows = made
    finished.remember("tell", params, records, [])
    before = rows.stat()
    rows.write_text(rows.read_text(encoding="utf-8").replace("a", "e", 1), encoding="utf-8")
    os.utime(rows, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert finished.recall("tell", params, ledger) is None


def test_a_record_that_is_gone_is_made_again(made):
    params, ledger, records, _ = made
    finished.remember("tell", params, records, [])
    (ledger.folder / f"{records[0].key}.json").unlink()
    assert finished.recall("tell", params, ledger) is None


def test_a_run_with_a_failed_trial_is_not_over(made):
    params, ledger, records, _ = made
    failed = tiny.record("c" * 16, tiny.trial("model", "x"), {}, status="failed")
    finished.remember("tell", params, [*records, failed], [])
    assert finished.recall("tell", params, ledger) is None


def test_a_model_in_a_folder_may_have_changed(made, tmp_path: Path):
    _, ledger, records, _ = made
    folder = tiny.save_model(tmp_path / "own", chat=True)
    own = resolve(from_mapping(load("tell").Params, {"tier": "smoke", "model": str(folder)}))
    finished.remember("tell", own, records, [])
    assert finished.recall("tell", own, ledger) is None


def test_the_command_tells_the_table_without_a_study(made, monkeypatch: pytest.MonkeyPatch, capsys):
    params, ledger, records, rows = made
    finished.remember("tell", params, records, ["a ratio was left out"])
    monkeypatch.setattr("lowres.registry.execute", lambda *_, **__: pytest.fail("drew the data again"))
    asked = ["run", "tell", "-p", "tier=smoke", "-p", f"task=jsonl:{rows}", "--ledger", str(ledger.folder)]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert records[0].key in told
    assert "a ratio was left out" in told
