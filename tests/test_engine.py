"""Sweeps that are killed, interrupted, shared, that fail in part: the table is the same, and nothing runs twice."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch

from lowres import cli, engine, ledger, models
from lowres.data import load_task
from lowres.engine import planning, pool, tables, verification
from lowres.ledger import Ledger, published
from lowres.optimisation import Optimisation
from lowres.params import InputError
from lowres.trial import RESULT_VERSION, Evaluation, Recipe, Record, Stage, Trial
from lowres.trial.material import draw
from lowres.tuners import Full, LoRA

PATIENCE = 600.0  # seconds; the machine may be busy


@pytest.fixture(scope="module")
def sweep(chat_folder: Path, task: str) -> list[Trial]:
    return [tiny.trial(chat_folder, task, seed=seed) for seed in range(6)]


@pytest.fixture(scope="module")
def expected(sweep: list[Trial], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table of a run that nothing disturbed."""
    return engine.table(engine.run(sweep, Ledger(tmp_path_factory.mktemp("undisturbed")), progress=False))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """The trials that were really run in this process."""
    seen: list[Trial] = []
    real = pool.run_trial

    def spy(trial: Trial) -> Record:
        seen.append(trial)
        return real(trial)

    monkeypatch.setattr(pool, "run_trial", spy)
    return seen


def recorded(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in folder.glob("*.json")} if folder.is_dir() else {}


def until(condition: Callable[[], Any], what: str) -> None:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < PATIENCE, f"waited in vain: {what}"
        time.sleep(0.01)


# --- in this process -------------------------------------------------------------------------------------------------


def test_what_is_recorded_is_not_run_again(sweep: list[Trial], runs: list[Trial], expected: str, tmp_path: Path):
    kept = Ledger(tmp_path)
    first = engine.run(sweep[:3], kept, progress=False)
    assert runs == sweep[:3]
    again = engine.run([*sweep[::-1], sweep[0]], kept, progress=False)
    assert runs == [*sweep[:3], *sweep[:2:-1]]
    assert again[-2:] == [first[0]] * 2
    assert engine.table(again[5::-1]) == expected
    assert engine.run([], kept, progress=False) == []


def test_fresh_runs_everything_again_and_keeps_the_old_until_then(
    sweep: list[Trial], runs: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kept = Ledger(tmp_path)
    first = engine.run(sweep[:3], kept, progress=False)
    again = engine.run(sweep[:3], kept, fresh=True, progress=False)
    assert len(runs) == 6
    assert engine.table(first) == engine.table(again)
    attempts = [{record.provenance["attempt"] for record in records} for records in (first, again)]
    assert [len(attempt) for attempt in attempts] == [1, 1]
    assert attempts[0] != attempts[1]

    def interrupted(trial: Trial) -> Record:
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "run_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.run(sweep[:3], kept, fresh=True, progress=False)
    assert kept.records() == sorted(again, key=lambda record: record.key)


def test_a_failed_trial_is_recorded_the_others_go_on_and_it_is_tried_again(
    sweep: list[Trial], runs: list[Trial], tmp_path: Path
):
    diverging = replace(sweep[1], tuner=Full(), optimisation=Optimisation(1e30, batch_size=4))
    impossible = replace(sweep[2], tuner=LoRA(targets="q_prj"))
    plan = [sweep[0], diverging, impossible, sweep[3]]
    records = engine.run(plan, Ledger(tmp_path), progress=False)
    assert [record.status for record in records] == ["done", "failed", "failed", "done"]
    assert re.match(r"diverged: loss .* at update \d+ of \d+; lower the learning rate", records[1].error)
    assert records[2].error.startswith("InputError: LoRA targets 'q_prj'")
    table = engine.table(records).splitlines()
    assert len([line for line in table if line.startswith(tuple(record.key for record in records))]) == 4
    assert "failed" in table[2]
    assert "diverged" in table[2]
    runs.clear()
    engine.run(plan, Ledger(tmp_path), progress=False)
    assert runs == [diverging, impossible]


def test_a_damaged_record_is_run_again(sweep: list[Trial], runs: list[Trial], expected: str, tmp_path: Path):
    kept = Ledger(tmp_path)
    engine.run(sweep, kept, progress=False)
    (tmp_path / f"{sweep[4].key()}.json").write_text("{")
    runs.clear()
    with pytest.warns(UserWarning, match="is corrupted"):
        assert engine.table(engine.run(sweep, kept, progress=False)) == expected
    assert runs == [sweep[4]]
    assert len(list((tmp_path / "quarantine").iterdir())) == 1


def test_one_trial_under_two_names_runs_once_and_answers_to_both(sweep: list[Trial], runs: list[Trial], tmp_path: Path):
    other = replace(sweep[0], arm="tell", study="fiat")
    records = engine.run([sweep[0], other], Ledger(tmp_path), progress=False)
    assert len(runs) == 1
    assert [(record.trial["study"], record.trial["arm"]) for record in records] == [("tell", "sft"), ("fiat", "tell")]
    assert records[0].outcomes == records[1].outcomes


def test_both_studies_of_a_shared_trial_can_publish_it(sweep: list[Trial], results: Path, tmp_path: Path):
    """The second one's page said "not run", since a record had the name of the study that came first."""
    kept, other = Ledger(tmp_path / "ledger"), replace(sweep[0], arm="tuning tell", study="fiat")
    engine.run(sweep[:2], kept, progress=False)
    assert kept.records("fiat") == []
    for _ in range(2):
        engine.run([other], kept, progress=False)
    for study, arms in (("tell", ["sft", "sft"]), ("fiat", ["tuning tell"])):
        assert [record.trial["arm"] for record in kept.records(study)] == arms
        assert published.publish(kept, study)
        found = published.read_confirmatory(study)
        assert [(one.trial["study"], one.trial["arm"]) for one in found] == [(study, arm) for arm in arms]
        assert not any("also" in one.provenance for one in found)
        assert published.publish(kept, study) is None


def test_data_that_change_during_a_trial_are_noticed(
    sweep: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = pool.run_trial
    monkeypatch.setattr(pool, "run_trial", lambda trial: replace(real(trial), key="another"))
    (record,) = engine.run(sweep[:1], Ledger(tmp_path), progress=False)
    assert (record.status, record.key) == ("failed", sweep[0].key())
    assert "changed during the run" in record.error


def test_a_full_disk_ends_the_sweep_with_its_reason(
    sweep: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    kept = Ledger(tmp_path)
    monkeypatch.setattr(ledger.os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*: No space left on device"):
        engine.run(sweep[:1], kept, progress=False)
    assert recorded(tmp_path) == {}


# --- several processes -----------------------------------------------------------------------------------------------


def test_two_processes_share_a_sweep(
    sweep: list[Trial], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = pool.run_trial

    def noted(trial: Trial) -> Record:
        with (tmp_path / "runs").open("a") as handle:
            handle.write(f"{trial.seed} {os.getpid()}\n")
        until(lambda: len(set(noted_by())) == 2, "the other process takes a trial, too")
        return real(trial)

    def noted_by() -> list[str]:
        return [line.split()[1] for line in (tmp_path / "runs").read_text().splitlines()]

    def share(tables_made: Any) -> None:
        tables_made.put(engine.table(engine.run(sweep, Ledger(tmp_path / "ledger"), progress=False)))

    monkeypatch.setattr(pool, "run_trial", noted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch runs on one thread here, so a fork is safe
        context = multiprocessing.get_context("fork")
        made = context.Queue()
        processes = [context.Process(target=share, args=(made,)) for _ in range(2)]
        for process in processes:
            process.start()
        assert [made.get(timeout=PATIENCE) for _ in processes] == [expected] * 2
    for process in processes:
        process.join(PATIENCE)
    lines = [line.split() for line in (tmp_path / "runs").read_text().splitlines()]
    assert sorted(seed for seed, _ in lines) == [str(seed) for seed in range(6)]
    assert len({process for _, process in lines}) == 2


def kill_one(folder: Path, stop: threading.Event, killed: list[int]) -> None:
    """Kill the first process seen at a trial."""
    while not stop.wait(0.002):
        for lock in folder.glob("*.lock"):
            process = lock.read_text().strip()
            if process and process != str(os.getpid()) and not lock.with_suffix(".json").exists():
                with contextlib.suppress(ProcessLookupError):  # it ended since
                    os.kill(int(process), signal.SIGKILL)
                    killed.append(int(process))
                    return


def test_two_workers_give_the_table_of_one_and_a_killed_one_costs_its_trial_at_most(
    sweep: list[Trial], expected: str, tmp_path: Path
):
    stop, killed = threading.Event(), list[int]()
    killer = threading.Thread(target=kill_one, args=(tmp_path, stop, killed), daemon=True)
    killer.start()
    records = engine.run(sweep, Ledger(tmp_path), workers=2, progress=False)
    stop.set()
    # The other worker may take the trial up before its loss is recorded, or its record may just have been written.
    failed = [record.error for record in records if record.status == "failed"]
    assert len(killed) == 1
    assert failed in ([], ["the worker was killed (exit code -9); if memory ran out, use fewer --workers"])
    assert engine.table(engine.run(sweep, Ledger(tmp_path), progress=False)) == expected


class DeadWorker(SimpleNamespace):
    pid = 5_000_000  # above what Linux gives out
    exitcode = -9


def death(trials: Sequence[Trial], kept: Ledger, process: int) -> tuple[pool._Pool, bool]:
    """What a pool makes of a worker that died at the first trial."""
    watch = pool._Pool([(trial.key(), trial) for trial in trials], kept, "now", False)
    with kept.claim(trials[0].key()):
        pass
    (kept.folder / f"{trials[0].key()}.lock").write_text(str(process))
    return watch, watch._record_death(DeadWorker())  # type: ignore[arg-type]


def test_a_worker_that_dies_at_a_trial_which_failed_before_is_replaced(sweep: list[Trial], tmp_path: Path):
    kept = Ledger(tmp_path)
    kept.put(replace(pool.failed(sweep[0], "memory ran out"), provenance={"attempt": "before"}))
    watch, replaced = death(sweep[:2], kept, DeadWorker.pid)
    assert replaced
    assert [key for key, _ in watch._left()] == [sweep[1].key()]
    record = kept.get(sweep[0].key())
    assert record
    assert "the worker was killed" in record.error


def test_a_worker_that_dies_between_trials_is_replaced_and_spoils_nothing(sweep: list[Trial], tmp_path: Path):
    kept = Ledger(tmp_path)
    (done,) = engine.run(sweep[:1], kept, progress=False)
    watch, replaced = death(sweep[:2], kept, DeadWorker.pid)
    assert replaced
    assert kept.records() == [done]
    assert len(watch._left()) == 1


def test_a_worker_that_cannot_even_start_is_not_replaced(sweep: list[Trial], tmp_path: Path):
    watch, replaced = death(sweep[:1], Ledger(tmp_path), process=1)
    assert not replaced
    assert len(watch._left()) == 1


def test_workers_that_cannot_start_leave_failed_records(
    sweep: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    dead = SimpleNamespace(pid=DeadWorker.pid, exitcode=1, is_alive=lambda: False, kill=lambda: None)
    monkeypatch.setattr(pool._Pool, "_start", lambda *_: dead)
    records = engine.run(sweep[:2], Ledger(tmp_path), workers=2, progress=False)
    assert [record.status for record in records] == ["failed"] * 2
    assert "every worker ended before its first trial" in records[0].error


# --- the command -----------------------------------------------------------------------------------------------------


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        tiny.python("-m", "lowres", *arguments),
        cwd=tiny.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=tiny.heed_interrupts,
    )


def printed(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(arguments) == code
    return capsys.readouterr().out


def workers_of(folder: Path) -> set[int]:
    return {int(text) for path in folder.glob("*.lock") if (text := path.read_text().strip())}


@pytest.mark.parametrize("how", [["--workers", "1"], ["--workers", "2"], ["--shard", "0/1"]])
def test_a_killed_command_goes_on_where_it_was(
    chat_folder: Path, task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], runs: list[Trial], how: list[str]
):
    killed, whole = (tiny.command(chat_folder, task, tmp_path / name) for name in ("killed", "whole"))
    with start([*killed, *how]) as process:
        until(lambda: len(recorded(tmp_path / "killed")) >= 2, "two records")
        process.kill()
        process.wait(PATIENCE)
    until(lambda: not any(map(tiny.alive, workers_of(tmp_path / "killed"))), "workers end with their command")
    kept = recorded(tmp_path / "killed")
    assert 2 <= len(kept) < 6
    resumed = printed(capsys, killed)
    assert len(runs) == 6 - len(kept)
    assert resumed == printed(capsys, whole)
    assert resumed.count("done") == 6
    after = recorded(tmp_path / "killed")
    assert {key: after[key] for key in kept} == kept


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupt_ends_the_command_at_once_and_keeps_what_is_finished(
    chat_folder: Path, task: str, tmp_path: Path, workers: str
):
    many = str(list(range(40)))  # more trials than are done before a busy machine sends the interrupt
    given = [part.replace("[0, 1, 2, 3, 4, 5]", many) for part in tiny.command(chat_folder, task, tmp_path)]
    with start([*given, "--workers", workers]) as process:
        until(lambda: recorded(tmp_path), "a record")
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert (
        told.splitlines()[-1]
        == "lowres: interrupted: finished trials are kept, and the same command goes on from there"
    )
    assert "Traceback" not in told
    kept = Ledger(tmp_path)
    assert 1 <= len(kept.records()) < 40
    assert kept.damaged == []
    assert {record.status for record in kept.records()} == {"done"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("inherited", "kept"), [(signal.SIG_IGN, signal.SIG_IGN), (signal.SIG_DFL, signal.SIG_DFL)])
def test_workers_of_a_sweep_in_the_background_ignore_interrupts_like_their_command(inherited: Any, kept: Any):
    before = signal.signal(signal.SIGINT, inherited)
    try:
        pool._die_of_interrupts()
        assert signal.getsignal(signal.SIGINT) == kept
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_failed_trial_shows_in_the_exit_code(
    chat_folder: Path, task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    real = pool.run_trial

    def sometimes(trial: Trial) -> Record:
        if trial.seed == 2:
            raise RuntimeError("the third one\nin detail")
        return real(trial)

    monkeypatch.setattr(pool, "run_trial", sometimes)
    assert cli.main(tiny.command(chat_folder, task, tmp_path)) == 1
    out, told = capsys.readouterr()
    assert len([line for line in out.splitlines() if " sft " in line]) == 6
    assert out.count("done") == 5
    assert "1 of 6 trials failed; the others are kept" in told
    assert "RuntimeError: the third one" in told


# --- plan ------------------------------------------------------------------------------------------------------------


def test_a_plan_shows_everything_and_runs_no_trial_of_it(
    sweep: list[Trial], general_pool: Any, runs: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calibrations: list[Trial] = []
    real = planning.run_trial
    monkeypatch.setattr(planning, "run_trial", lambda trial: calibrations.append(trial) or real(trial))
    kept = Ledger(tmp_path)
    engine.run(sweep[:2], kept, progress=False)
    before = recorded(tmp_path)
    runs.clear()
    mixed = replace(sweep[0], arm="tell", recipe=Recipe(task_tokens=200, general_tokens=400, anchor="hand-written"))
    untouched = replace(sweep[0], arm="untouched", recipe=Recipe(), tuner=None, optimisation=None)
    sizes = [replace(sweep[0], arm="R1", recipe=Recipe(task_examples=size)) for size in (4, 8)]
    lines = engine.plan([*sweep, mixed, untouched, *sizes], kept, measure=True).splitlines()
    assert lines[0].split()[:2] == ["model", "arm"]
    cells = {tuple(row[1:3]): row[3:] for row in (re.split(r"  +", line) for line in lines[1:6])}
    assert cells["sft", "200 tokens"][:3] == ["0", "6", "2"]
    assert cells["tell", "200 tokens"][:3] == ["400", "1", "0"]
    assert cells["untouched", "none"][:4] == ["0", "1", "0", "0"]
    assert cells["R1", "4 examples"][:3] == cells["R1", "8 examples"][:3] == ["0", "1", "0"]
    assert [line for line in lines if re.search(r"About \d+\.\d minutes with one worker here", line)]
    assert [line for line in lines if re.search(r"tokens/s in training.*, measured here just now\.", line)]
    assert (recorded(tmp_path), runs, len(calibrations)) == (before, [], 1)
    assert calibrations[0].key() not in {trial.key() for trial in (*sweep, mixed, untouched)}


def test_a_plan_runs_nothing_unless_it_is_told_to(sweep: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(planning, "run_trial", lambda _: pytest.fail("a plan ran something"))
    assert "Estimated by size, not measured" in engine.plan(sweep, Ledger(tmp_path))


def test_planned_tokens_are_those_of_training(sweep: list[Trial], general_pool: Any, tmp_path: Path):
    cycling = replace(sweep[1], optimisation=Optimisation(1e-2, batch_size=4, steps=30))
    mixed = replace(sweep[0], recipe=Recipe(task_tokens=200, general_tokens=400, anchor="hand-written"))
    for trial, error in ((sweep[0], 0), (mixed, 0.05), (cycling, 0.05)):
        (record,) = engine.run([trial], Ledger(tmp_path), progress=False)
        assert planning.training_tokens(trial) == pytest.approx(record.cost["training_tokens"], rel=error, abs=0.5)
    assert planning.training_tokens(replace(sweep[0], tuner=None)) == 0
    streamed = replace(sweep[0], stream=(Stage(sweep[0].task, sweep[1].recipe, Optimisation(1e-2, epochs=4)),))
    assert planning.training_tokens(streamed) == 3 * planning.training_tokens(sweep[0])
    assert planning.evaluation_tokens(streamed) == 2 * planning.evaluation_tokens(sweep[0])


# --- verify ----------------------------------------------------------------------------------------------------------


def test_verifying_on_the_same_machine_is_exact_and_kept(sweep: list[Trial], results: Path, tmp_path: Path):
    kept = Ledger(tmp_path / "ledger")
    engine.run(sweep[:3], kept, progress=False)
    published.publish(kept, "tell")
    other = Ledger(tmp_path / "other")
    text, agrees = engine.verify("tell", 2, other, random_seed=0)
    assert agrees
    assert [line.split()[-1] for line in text.splitlines()[1:9]] == ["exact"] * 8
    assert "differs" not in text
    assert len(other.records("tell")) == 2
    seen = verification.read_verification("tell")
    assert seen["version"] == RESULT_VERSION
    assert {row["agreement"] for row in seen["comparisons"]} == {"exact"}
    assert engine.verify("tell", 99, other, random_seed=0)[1]


def test_verifying_takes_the_threads_of_the_record(sweep: list[Trial], results: Path, tmp_path: Path):
    (record,) = engine.run(sweep[:1], Ledger(tmp_path / "ledger"), progress=False)
    before = torch.get_num_threads()
    published.write_shard("tell", [replace(record, provenance={**record.provenance, "threads": str(before + 1)})])
    other = Ledger(tmp_path / "other")
    engine.verify("tell", 1, other)
    assert [again.provenance["threads"] for again in other.records("tell")] == [str(before + 1)]
    assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (before, "1")


def test_verifying_takes_the_number_format_of_the_record(sweep: list[Trial], results: Path, tmp_path: Path):
    coarse = replace(sweep[0], precision="bf16")
    (record,) = engine.run([coarse], Ledger(tmp_path / "ledger"), progress=False)
    published.write_shard("tell", [replace(record, trial={**record.trial, "precision": "auto"})])
    text, agrees = engine.verify("tell", 1, Ledger(tmp_path / "other"))
    assert agrees
    assert [line.split()[-1] for line in text.splitlines()[1:5]] == ["exact"] * 4


def published_copy(chat_folder: Path, tmp_path: Path, version: int) -> tuple[Path, Path, Record]:
    """A published trial on a model and rows of its own, said to be of this version."""
    model, rows = tmp_path / "model", tmp_path / "rows.jsonl"
    shutil.copytree(chat_folder, model)
    made = tiny.trial(model, tiny.write_rows(rows, tiny.rows()))
    (record,) = engine.run([made], Ledger(tmp_path / "ledger"), progress=False)
    record = replace(record, fingerprints={**record.fingerprints, "version": str(version)})
    published.write_shard("tell", [record])
    return model, rows, record


@pytest.mark.parametrize("change", ["answer", "weights", "version", "rows gone", "model gone"])
def test_what_is_no_longer_the_trial_of_the_record_is_never_certified(
    chat_folder: Path, results: Path, tmp_path: Path, runs: list[Trial], change: str, monkeypatch: pytest.MonkeyPatch
):
    version = RESULT_VERSION + (change == "version")
    model, rows, record = published_copy(chat_folder, tmp_path, version)
    runs.clear()
    weights = model / "model.safetensors"
    if change == "answer":
        task = load_task(record.trial["task"])
        told = [json.loads(line) for line in rows.read_text().splitlines()]
        tested = next(row for row in told if row["prompt"] == task.test[0].prompt)
        tested["target"] = "another"
        tiny.write_rows(rows, told)
    elif change == "weights":
        weights.write_bytes(weights.read_bytes() + b" ")
    elif change != "version":
        rows.unlink() if change == "rows gone" else shutil.rmtree(model)
    word = {"answer": "other data", "weights": "another model", "version": "another version"}.get(
        change, "cannot run here"
    )
    text, agrees = engine.verify("tell", 1, Ledger(tmp_path / "other"))
    assert not agrees
    assert all(line.endswith(word) for line in text.splitlines()[1:5])
    assert {row["agreement"] for row in verification.read_verification("tell")["comparisons"]} == {word}
    assert runs == []
    assert cli.main(["verify", "tell", "--sample", "1", "--ledger", str(tmp_path / "third")]) == 1


def test_a_tampered_record_differs(sweep: list[Trial], results: Path, tmp_path: Path):
    (record,) = engine.run(sweep[:1], Ledger(tmp_path / "ledger"), progress=False)
    nll = record.outcomes["task"]["target_nll"]
    better = {**record.outcomes, "task": {**record.outcomes["task"], "target_nll": [value - 1 for value in nll]}}
    published.write_shard("tell", [replace(record, outcomes=better)])
    text, agrees = engine.verify("tell", 1, Ledger(tmp_path / "ledger"))
    assert not agrees
    rows = {line.split()[3]: line.split()[-1] for line in text.splitlines()[1:7]}
    same = dict.fromkeys(("exact_match", "token_f1", "rouge_l", "bits_per_byte", "kl"), "exact")
    assert rows == {**same, "target_nll": "differs"}


@pytest.mark.parametrize(
    ("recorded", "here", "relative", "word"),
    [
        ([0.5, 0.1], [0.5, 0.1], False, "exact"),
        ([0.5, 0.1], [0.52, 0.13], False, "within tolerance"),
        ([0.5, 0.1], [0.6, 0.1], False, "differs"),
        ([10.0, 10.0], [10.2, 10.2], True, "within tolerance"),
        ([10.0, 10.0], [10.4, 10.4], True, "differs"),
        ([1.0, 0.0], [1.0], False, "differs"),
        ([1.0], [], False, "differs"),
        ([1.0], [float("nan")], False, "differs"),
    ],
)
def test_what_agreement_means(recorded: list[float], here: list[float], relative: bool, word: str):
    assert verification._agreement(recorded, here, relative) == word


def test_world_trials_agree_exactly_or_not_at_all(sweep: list[Trial], tmp_path: Path):
    (record,) = engine.run(sweep[:1], Ledger(tmp_path), progress=False)
    almost = {
        where: {name: [value + 1e-3 for value in values] for name, values in measures.items()}
        for where, measures in record.outcomes.items()
    }
    for name, word in (("world-xs", "differs"), ("world-xl", "within tolerance"), ("own", "within tolerance")):
        before = replace(record, trial={**record.trial, "model": name})
        assert {row.agreement for row in verification.compare(before, before)} == {"exact"}
        assert {row.agreement for row in verification.compare(before, replace(before, outcomes=almost))} == {word}


def test_live_and_published_records_of_two_versions_do_not_agree(sweep: list[Trial], tmp_path: Path):
    (record,) = engine.run(sweep[:1], Ledger(tmp_path), progress=False)
    older = replace(record, fingerprints={**record.fingerprints, "version": "1"})
    assert {row.agreement for row in verification.compare(older, record)} == {"another version"}


def test_a_measure_that_is_gone_differs(sweep: list[Trial], tmp_path: Path):
    (record,) = engine.run(sweep[:1], Ledger(tmp_path), progress=False)
    older = replace(record, outcomes={**record.outcomes, "siqa": {"accuracy": [1.0], "chosen": [2.0]}})
    rows = {row.outcome: row.agreement for row in verification.compare(older, record)}
    assert rows["siqa accuracy"] == "differs"
    assert rows["token_f1"] == "exact"
    assert "siqa chosen" not in rows


def test_nothing_to_verify_is_said(results: Path, tmp_path: Path):
    with pytest.raises(InputError, match="study 'tell' has no published records to verify"):
        engine.verify("tell", 3, Ledger(tmp_path))
    assert verification.read_verification("tell") == {}


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_table_by_hand():
    spec = {"arm": "sft", "seed": 3, "recipe": {"task_tokens": 200, "general_tokens": 0}}
    outcomes = {
        "task": {"accuracy": [1.0, 0.0], "target_nll": [1.0, 2.0], "chosen": [0.0, 1.0]},
        "siqa": {"accuracy": [1.0, 1.0, 0.0], "target_nll": [9.0] * 3},
        "wiki-nll": {"nll": [2.0]},
    }
    done = Record("k1", "done", spec, {}, outcomes)
    by_examples = {**spec, "arm": "fiat", "recipe": {**spec["recipe"], "task_tokens": 0, "task_examples": 100}}
    failed = Record("key-2", "failed", by_examples, {}, error="InputError: 2 problems:\n  - a\n  - b" * 9)
    assert engine.headline(done) == {"accuracy": 0.5, "target_nll": 1.5, "siqa": pytest.approx(2 / 3), "wiki-nll": 2.0}
    lines = engine.table([done, failed]).splitlines()
    assert lines[0] == "key    arm   task data     general tokens  seed  status  outcomes"
    shown = "accuracy 0.5000  target_nll 1.5000  siqa 0.6667  wiki-nll 2.0000"
    assert lines[1] == f"k1     sft   200 tokens    0               3     done    {shown}"
    assert lines[2].startswith(
        "key-2  fiat  100 examples  0               3     failed  InputError: 2 problems: - a - b"
    )
    assert len(lines) == 3
    assert tables.aligned([("a", "b"), ("ccc", "")]) == "a    b\nccc"


def test_what_did_not_fit_is_told_below_the_table():
    """Over all trials and stages; what was all there is not spoken of."""
    spec = {"arm": "sft", "seed": 3, "recipe": {"task_tokens": 200, "general_tokens": 0}, "evaluation": {"items": 60}}
    full = {"task_tokens": 195, "task_tokens_short": 5, "shots_dropped": 0, "items": 60, "cut_prompts": 0}
    short = {
        **{"task_tokens": 120, "task_tokens_short": 80, "1:task_tokens": 189, "1:task_tokens_short": 11},
        **{"general_tokens": 500, "general_tokens_short": 0, "shots_dropped": 7, "1:shots_dropped": 2, "items": 2},
        **{"left_out_too_long": 31, "cut_anchors": 1, "cut_prompts": 3, "dropped_too_long": 4},
    }
    outcomes = {
        "task": {"exact_match": [1.0], "bits_per_byte": [0.5], "kl": [0.1]},
        "recovery:siqa": {"accuracy": [1.0]},
    }
    records = [Record(f"k{n}", "done", spec, {}, outcomes, counts=counts) for n, counts in enumerate((full, short, {}))]
    assert tables.remarks([records[0], records[2]]) == []
    told = tables.remarks(records)
    assert len(told) == 7
    assert told[0].startswith("2 of 3 budgets of task tokens were filled to less than 95%, the least to 120 of 200")
    numbers = [line.split()[0] for line in told[1:6]]
    assert numbers == ["31", "4", "1", "9", "3"]
    assert told[6] == "1 of 3 trials were measured on the 2 items there are, not 60."
    assert engine.table(records).splitlines()[4:] == told
    assert engine.headline(records[0]) == {"exact_match": 1.0}
    everything = {**spec, "evaluation": {"items": None}}
    assert tables.remarks([Record("k", "done", everything, {}, outcomes, counts=full)]) == []


def test_evaluation_tokens_are_a_rough_count(sweep: list[Trial]):
    trial = replace(sweep[0], evaluation=Evaluation(items=10, probes=("siqa", "piqa"), probe_items=5))
    assert planning.evaluation_tokens(trial) == 10 * 150 + 2 * 5 * 60


def test_a_ledger_file_is_plain_json(sweep: list[Trial], tmp_path: Path):
    engine.run(sweep[:1], Ledger(tmp_path), progress=False)
    (content,) = recorded(tmp_path).values()
    body = json.loads(content)["record"]
    language_model = models.load(sweep[0].model, "fp32", "cpu")
    own, _ = draw(sweep[0], load_task(sweep[0].task), language_model)
    assert body["counts"]["task_examples"] == len(own)
    assert len(body["provenance"]["attempt"]) == 32


def test_a_plan_goes_by_records_of_the_model_and_runs_nothing(sweep: list[Trial], results: Path, tmp_path: Path):
    kept = Ledger(tmp_path / "ledger")
    cost = {"training_tokens": 1200.0, "training_seconds": 3.0, "evaluation_seconds": 2.0}
    prints = {"data": "d", "model": "m"}
    kept.put(Record(sweep[0].key(), "done", sweep[0].spec(), prints, cost=cost))
    kept.put(Record("0" * 16, "failed", sweep[1].spec(), prints, cost={**cost, "training_seconds": 1.0}))
    speed = planning.recorded_speed(sweep[1], kept)
    evaluated = planning.evaluation_tokens(sweep[0])
    assert speed == planning.Speed(400.0, evaluated / 2, "as in 1 records made on unknown")
    assert planning.recorded_speed(replace(sweep[1], model="another"), kept) is None
