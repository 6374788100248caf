"""Executors: run trials in this process or in several, against one ledger.

There is no queue. Every worker walks the same list and takes what is neither recorded nor claimed by another; the
ledger's locks do the rest. So two commands, or two machines with a shared folder, share a sweep without further ado.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

from tqdm import tqdm

from lowres import machine, models
from lowres.engine.failures import failed
from lowres.ledger import Ledger
from lowres.optimisation import Diverged
from lowres.trial import Record, Trial
from lowres.trial import run as run_trial

POLL_SECONDS = 0.5


def run(
    trials: Sequence[Trial], ledger: Ledger, *, workers: int = 1, fresh: bool = False, progress: bool = True
) -> list[Record]:
    """Run what the ledger does not hold yet; records come back in the order of the trials.

    A trial that fails is recorded with its error and the others go on; it is tried again by the next run.

    Args:
        workers: processes; 1 runs here. Each computes with as many threads as a single one would, so that results do
            not depend on their number.
        fresh: run everything again, also what is recorded; an old record stays until the new one is there.

    Raises:
        InputError: the ledger cannot be written.
        KeyboardInterrupt: passed on; finished trials are kept.
    """
    attempt = uuid.uuid4().hex
    keys = [trial.key() for trial in trials]
    unique = list(dict(zip(keys, trials, strict=True)).items())
    with tqdm(total=len(unique), desc="trials", unit="trial", disable=not progress, mininterval=1.0) as bar:
        if min(workers, len(unique)) <= 1:
            for _ in _walk(unique, ledger, attempt, fresh):
                bar.update()
        else:
            _Pool(unique, ledger, attempt, fresh).run(min(workers, len(unique)), bar)
    records = {key: ledger.get(key) for key, _ in unique}
    assert all(records.values()), "every trial leaves a record"
    # Under the name of the trial that asked: another arm or study may have left the record of the same trial.
    found = ((trial, records[key]) for key, trial in zip(keys, trials, strict=True))
    return [replace(record, trial=trial.spec()) for trial, record in found if record]


def _walk(trials: Sequence[tuple[str, Trial]], ledger: Ledger, attempt: str, fresh: bool = False) -> Iterable[str]:
    """Take trials until all are recorded, by this process or by others; yields the key of each as it is settled."""
    pending = list(trials)
    while pending:
        left = []
        for key, trial in pending:
            if is_settled(ledger.get(key), attempt, fresh):
                yield key
                continue
            with ledger.claim(key) as mine:
                if not mine:
                    left.append((key, trial))
                elif is_settled(ledger.get(key), attempt, fresh):
                    yield key
                else:
                    ledger.put(_attempted(key, trial, attempt))
                    yield key
        pending = left
        if pending:
            time.sleep(POLL_SECONDS)


def is_settled(record: Record | None, attempt: str, fresh: bool = False) -> bool:
    """Done or failed in this very run, or, unless all is to be run afresh, done in an earlier one."""
    if record is None:
        return False
    return record.provenance.get("attempt") == attempt or (record.status == "done" and not fresh)


def _attempted(key: str, trial: Trial, attempt: str) -> Record:
    """The record of a trial, whatever happens in it short of an interrupt."""
    try:
        record = run_trial(trial)
    except Diverged as error:
        record = failed(trial, f"diverged: {error}")
    except Exception as error:  # a sweep outlives any single trial; the error is kept and the exit code tells
        record = failed(trial, error)
    if record.key != key:
        record = replace(failed(trial, "the data or the model changed during the run: run again"), key=key)
    record.provenance["attempt"] = attempt
    return record


# --- several processes -----------------------------------------------------------------------------------------------


@dataclass
class _Pool:
    """Worker processes and the watch over them: one that is killed has its trial recorded as failed and is replaced."""

    trials: Sequence[tuple[str, Trial]]
    ledger: Ledger
    attempt: str
    fresh: bool
    settled: set[str] = field(default_factory=set)

    def run(self, workers: int, bar: tqdm) -> None:
        os.environ["TQDM_DISABLE"] = "1"  # inherited by the workers: one bar is enough
        processes = {index: self._start(index) for index in range(workers)}
        try:
            while processes:
                time.sleep(POLL_SECONDS)
                bar.n = len(self.trials) - len(self._left())
                bar.refresh()
                for index, process in list(processes.items()):
                    if process.is_alive():
                        continue
                    del processes[index]
                    if process.exitcode and self._record_death(process):
                        processes[index] = self._start(index)
        finally:
            for process in processes.values():
                process.kill()
        for key, trial in self._left():
            self._record_failure(key, trial, "every worker ended before its first trial; see what they printed")

    def _start(self, index: int) -> BaseProcess:
        given = (list(self.trials), self.ledger.folder, self.attempt, index, self.fresh)
        process = multiprocessing.get_context("spawn").Process(target=_worker, args=given, daemon=True)
        with machine.exact_children(all(models.is_exact(trial.model) for _, trial in self.trials)):
            process.start()
        return process

    def _left(self) -> list[tuple[str, Trial]]:
        """Trials not settled yet; what is settled is not read again."""
        for key, _ in self.trials:
            if key not in self.settled and is_settled(self.ledger.get(key), self.attempt, self.fresh):
                self.settled.add(key)
        return [(key, trial) for key, trial in self.trials if key not in self.settled]

    def _record_death(self, process: BaseProcess) -> bool:
        """Record what a dead worker was at as failed; whether to replace it (not if it died before its first trial)."""
        claimed = set(self.ledger.claimed_by(process.pid or -1))
        reason = f"the worker was killed (exit code {process.exitcode}); if memory ran out, use fewer --workers"
        for key, trial in self._left():
            if key in claimed:
                self._record_failure(key, trial, reason)
        return bool(claimed) and bool(self._left())

    def _record_failure(self, key: str, trial: Trial, reason: str) -> None:
        with self.ledger.claim(key) as mine:
            if mine and not is_settled(self.ledger.get(key), self.attempt, self.fresh):
                record = replace(failed(trial, reason), key=key)
                record.provenance["attempt"] = self.attempt
                self.ledger.put(record)


def _worker(trials: Sequence[tuple[str, Trial]], folder: Path, attempt: str, index: int, fresh: bool = False) -> None:
    import torch

    _die_of_interrupts()
    tqdm.set_lock(threading.RLock())  # its usual lock is a system semaphore, which a killed process leaves behind
    if torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for _ in _walk(trials, Ledger(folder), attempt, fresh):
        pass


def _die_of_interrupts() -> None:
    """Ctrl-C reaches the whole group: die at once, records are whole. What a script started with `&` ignores it."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end_with_parent() -> None:
    """End this process when the command that started it is gone: a sweep that nobody watches must not go on."""
    parent = multiprocessing.parent_process()
    assert parent, "a worker has a parent"
    parent.join()
    os._exit(1)
