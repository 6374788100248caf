"""Shards: dealt out by key, without locks or a shared folder; merged they are one run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny

from lowres import engine, ledger, rates, registry
from lowres.elsewhere import OtherShards, Shard, shard_from
from lowres.engine import pool
from lowres.ledger import Ledger
from lowres.params import InputError, from_strings, resolve
from lowres.studies import tell
from lowres.trial import Record, Trial


@pytest.fixture(scope="module")
def sweep(chat_folder: Path, task: str) -> list[Trial]:
    """Six trials, three for either of two shards: the place of the task is in a key, and is another in every run."""
    many = [tiny.trial(chat_folder, task, seed=seed) for seed in range(60)]
    owned = [[trial for trial in many if Shard(index, 2).owns(trial.key())][:3] for index in range(2)]
    return sorted((trial for part in owned for trial in part), key=lambda trial: trial.seed)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """The trials that were really run."""
    seen: list[Trial] = []
    real = pool.run_trial
    monkeypatch.setattr(pool, "run_trial", lambda trial: (seen.append(trial), real(trial))[1])
    return seen


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""

    def refuse(*_: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(ledger.fcntl, "flock", refuse)


def test_every_trial_belongs_to_one_shard_and_there_to_one_worker():
    keys = [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(100)]
    for key in keys:
        (owner,) = [shard for shard in (Shard(index, 3) for index in range(3)) if shard.owns(key)]
        assert len([worker for worker in range(4) if owner.part(worker, 4).owns(key)]) == 1
        assert not any(Shard(1, 3).part(worker, 4).owns(key) for worker in range(4) if owner != Shard(1, 3))
    assert [key for key in keys if Shard(0, 1).owns(key)] == keys
    assert Shard(2, 3).owns(f"{5:016x}")


@pytest.mark.parametrize("text", ["2/2", "1", "-1/2", "0/0", "a/b", "1/2/3", ""])
def test_a_shard_that_there_is_not_is_refused(text: str):
    assert shard_from("1/2") == Shard(1, 2)
    with pytest.raises(InputError, match=r"--shard must be I/N, counted from 0"):
        shard_from(text)


def run_shard(trials: Sequence[Trial], folder: Path, shard: Shard, workers: int = 1) -> list[Record]:
    """Records that the ledger has after a shard; all of them once none is missing."""
    try:
        return engine.run(trials, Ledger(folder), workers=workers, progress=False, on=shard)
    except OtherShards as waiting:
        return waiting.records


def test_shards_merged_are_one_run_and_need_no_locks(
    sweep: list[Trial], runs: list[Trial], tmp_path: Path, no_locks: None
):
    shards = [Shard(index, 2) for index in range(2)]
    parts = [run_shard(sweep, tmp_path / str(shard.index), shard) for shard in shards]
    assert [*map(len, parts), len(runs)] == [3, 3, 6]
    merged = Ledger(tmp_path / "merged")
    ledger.merge(merged, [tmp_path / "0", tmp_path / "1"])
    together = engine.table(run_shard(sweep, merged.folder, shards[0]))
    assert len(runs) == 6
    assert together == engine.table(run_shard(sweep, tmp_path / "whole", Shard(0, 1)))
    assert not list(tmp_path.rglob("*.lock"))


def test_a_shard_goes_on_where_it_was_and_passes_over_what_others_own(
    sweep: list[Trial], runs: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = [trial for trial in sweep if Shard(0, 2).owns(trial.key())]
    real = pool.run_trial

    def interrupted(trial: Trial) -> Record:
        if trial == own[1]:
            raise KeyboardInterrupt
        return real(trial)

    with monkeypatch.context() as patch:
        patch.setattr(pool, "run_trial", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_shard(sweep, tmp_path, Shard(0, 2))
    assert runs == own[:1]
    assert len(run_shard(sweep, tmp_path, Shard(0, 2))) == len(own)
    assert runs == own


class DeadWorker(SimpleNamespace):
    pid, exitcode = 5_000_000, -9  # above what Linux gives out


def test_workers_of_a_shard_share_it_without_locks_and_a_killed_one_costs_its_trial(sweep: list[Trial], tmp_path: Path):
    kept = Ledger(tmp_path, locks=False)
    watch = pool._Pool([(trial.key(), trial) for trial in sweep], kept, "now", False, Shard(0, 1), 2)
    shares = [watch._share(worker) for worker in range(2)]
    assert sorted(key for share in shares for key, _ in share) == sorted(trial.key() for trial in sweep)
    assert watch._record_death(DeadWorker(), 1)  # type: ignore[arg-type]
    assert [(record.key, record.status) for record in kept.records()] == [(shares[1][0][0], "failed")]
    for _ in shares[1]:
        replaced = watch._record_death(DeadWorker(), 1)  # type: ignore[arg-type]
    assert not replaced  # nothing of its share is left
    assert len(kept.records()) == len(shares[1])


def test_a_study_in_shards_tunes_first_and_ends_as_one_command_does(
    chat_folder: Path, task: str, tmp_path: Path, general_pool: Any, no_locks: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rates, "EXTENSIONS", 1)
    given = [part for part in tiny.command(chat_folder, task, tmp_path)[2:-2] if part != "-p"]
    other = {"learning_rates": "[0.01, 0.003]", "seeds": "[0, 1]", "epochs": "2"}
    kept = [one for one in given if one.partition("=")[0] not in other]
    params = resolve(from_strings(tell.Params, [*kept, *(f"{name}={value}" for name, value in other.items())]))
    whole = engine.table(registry.execute(tell, params, Ledger(tmp_path / "whole"), progress=False, on=Shard(0, 1)))
    folders, rounds = [tmp_path / name for name in "ab"], 0
    while rounds < 5:
        rounds += 1
        tables_made = []
        for index, folder in enumerate(folders):
            with contextlib.suppress(OtherShards):
                how = {"progress": False, "on": Shard(index, 2)}
                tables_made.append(engine.table(registry.execute(tell, params, Ledger(folder), **how)))
        for folder in folders:
            ledger.merge(Ledger(folder), folders)
        if len(tables_made) == 2:
            break
    assert tables_made == [whole, whole]
    assert 2 <= rounds <= 4  # tuning, perhaps beyond its edge, the trials, and one in which nothing is left to do
    assert {one.key for one in Ledger(folders[0]).records()} == {
        one.key for one in Ledger(tmp_path / "whole").records()
    }
