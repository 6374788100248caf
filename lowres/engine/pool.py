"""Executors: run trials in this process or in several, against one ledger.

There is no queue. Every worker walks the same list and takes what is neither recorded nor claimed by another; the
ledger's locks do the rest. So two commands, or two machines with a shared folder, share a sweep without further ado.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from tqdm import tqdm

from lowres.ledger import Ledger
from lowres.train import Diverged
from lowres.trial import Record, Trial, failed
from lowres.trial import run as run_trial

POLL_SECONDS = 0.5


def run(
    trials: Sequence[Trial], ledger: Ledger, *, workers: int = 1, fresh: bool = False, progress: bool = True
) -> list[Record]:
    """Run what the ledger does not hold yet; records come back in the order of the trials.

    A trial that fails is recorded with its error and the others go on; it is tried again by the next run.

    Args:
        workers: processes; 1 runs here. The cores are shared out among them.
        fresh: run everything again, also what is recorded.

    Raises:
        InputError: the ledger cannot be written.
        KeyboardInterrupt: passed on; finished trials are kept.
    """
    attempt = uuid.uuid4().hex
    keys = [trial.key() for trial in trials]
    unique = list(dict(zip(keys, trials, strict=True)).items())
    if fresh:
        for key, _ in unique:
            (ledger.folder / f"{key}.json").unlink(missing_ok=True)
    with tqdm(total=len(unique), desc="trials", unit="trial", disable=not progress, mininterval=1.0) as bar:
        if min(workers, len(unique)) <= 1:
            for _ in _walk(unique, ledger, attempt):
                bar.update()
        else:
            _run_pool(unique, ledger, attempt, min(workers, len(unique)), bar)
    records = {key: ledger.get(key) for key, _ in unique}
    assert all(records.values()), "every trial leaves a record"
    return [record for key in keys if (record := records[key])]


def _walk(trials: Sequence[tuple[str, Trial]], ledger: Ledger, attempt: str) -> Iterable[str]:
    """Take trials until all are recorded, by this process or by others; yields the key of each as it is settled."""
    pending = list(trials)
    while pending:
        left = []
        for key, trial in pending:
            if is_settled(ledger.get(key), attempt):
                yield key
                continue
            with ledger.claim(key) as mine:
                if not mine:
                    left.append((key, trial))
                elif is_settled(ledger.get(key), attempt):
                    yield key
                else:
                    ledger.put(_attempted(trial, attempt))
                    yield key
        pending = left
        if pending:
            time.sleep(POLL_SECONDS)


def is_settled(record: Record | None, attempt: str) -> bool:
    """Done, or failed in this very run."""
    return record is not None and (record.status == "done" or record.provenance.get("attempt") == attempt)


def _attempted(trial: Trial, attempt: str) -> Record:
    """The record of a trial, whatever happens in it short of an interrupt."""
    try:
        record = run_trial(trial)
    except Diverged as error:
        record = failed(trial, f"diverged: {error}")
    except Exception as error:  # a sweep outlives any single trial; the error is kept and the exit code tells
        record = failed(trial, error)
    record.provenance["attempt"] = attempt
    return record


# --- several processes -----------------------------------------------------------------------------------------------


def _run_pool(trials: Sequence[tuple[str, Trial]], ledger: Ledger, attempt: str, workers: int, bar: tqdm) -> None:
    """Start workers and watch over them: one that is killed has its trial recorded as failed and is replaced."""
    context = multiprocessing.get_context("spawn")
    os.environ["TQDM_DISABLE"] = "1"  # inherited by the workers: one bar is enough
    threads = max(1, (os.cpu_count() or 1) // workers)

    def start(index: int) -> BaseProcess:
        process = context.Process(
            target=_worker, args=(list(trials), ledger.folder, attempt, threads, index), daemon=True
        )
        process.start()
        return process

    processes = {index: start(index) for index in range(workers)}
    try:
        while processes:
            time.sleep(POLL_SECONDS)
            bar.n = sum(is_settled(ledger.get(key), attempt) for key, _ in trials)
            bar.refresh()
            for index, process in list(processes.items()):
                if process.is_alive():
                    continue
                del processes[index]
                if process.exitcode and _record_death(process, trials, ledger, attempt):
                    processes[index] = start(index)
    finally:
        for process in processes.values():
            process.kill()


def _worker(trials: Sequence[tuple[str, Trial]], folder: Path, attempt: str, threads: int, index: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches the whole group: die at once, records are whole
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    for _ in _walk(trials, Ledger(folder), attempt):
        pass


def _end_with(parent: int) -> None:
    """End this process when the command that started it is gone: a sweep that nobody watches must not go on."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def _record_death(process: BaseProcess, trials: Sequence[tuple[str, Trial]], ledger: Ledger, attempt: str) -> bool:
    """Record what a dead worker was at as failed; False if it died outside any trial (then it is not replaced)."""
    key = ledger.claimed_by(process.pid or -1)
    trial = dict(trials).get(key or "")
    if trial is None:
        remaining = [key for key, _ in trials if not is_settled(ledger.get(key), attempt)]
        if remaining:
            sys.exit(f"lowres: a worker ended with exit code {process.exitcode} before its first trial")
        return False
    record = failed(
        trial, f"the worker was killed (exit code {process.exitcode}); if memory ran out, use fewer --workers"
    )
    record.provenance["attempt"] = attempt
    ledger.put(record)
    return True
