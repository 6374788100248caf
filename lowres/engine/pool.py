"""Executors: run trials in this process or in several, against one ledger.

There is no queue. Every worker walks the same list and takes what is neither recorded nor claimed by another; the
ledger's locks do the rest. So two commands, or two machines with a shared folder, share a sweep without further ado.
Where there are no locks, or the folder is not shared, the trials are dealt out beforehand (see `lowres.elsewhere`).
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

from tqdm import tqdm

from lowres import machine, models
from lowres.elsewhere import OtherShards, Shard
from lowres.engine.cluster import Cluster
from lowres.ledger import Ledger
from lowres.optimisation import Diverged
from lowres.trial import Record, Trial, fingerprints
from lowres.trial import run as run_trial
from lowres.trial.provenance import provenance

POLL_SECONDS = 0.5
CHANGED = (
    "the data or the model changed during the run, or the workers differ in device, number format or threads: run again"
)


def run(
    trials: Sequence[Trial],
    ledger: Ledger,
    *,
    workers: int = 1,
    fresh: bool = False,
    progress: bool = True,
    on: Shard | Cluster | None = None,
) -> list[Record]:
    """Run what the ledger does not hold yet; records come back in the order of the trials.

    A trial that fails is recorded with its error and the others go on; it is tried again by the next run.

    Args:
        workers: processes; 1 runs here. Each computes with as many threads as a single one would, so that results do
            not depend on their number.
        fresh: run everything again, also what is recorded; an old record stays until the new one is there.
        on: the shard whose trials are run, or the cluster that runs them in place of `workers`. There, trials have the
            keys that a worker of the cluster gives them: what counts is the machine that computes.

    Raises:
        InputError: the ledger cannot be written, or the cluster has no workers to give.
        OtherShards: the shard's own trials are run, and the ledger lacks some of the others.
        KeyboardInterrupt: passed on; finished trials are kept.
    """
    attempt, shard = uuid.uuid4().hex, on if isinstance(on, Shard) else None
    keys = _keys(trials)
    if isinstance(on, Cluster) and not all(is_settled(ledger.get(key), attempt, fresh) for key in keys):
        keys = on.ask(_keys, trials)
    unique = list(dict(zip(keys, trials, strict=True)).items())
    ledger = Ledger(ledger.folder, locks=False) if shard else ledger
    mine = [(key, trial) for key, trial in unique if shard is None or shard.owns(key)]
    with tqdm(total=len(mine), desc="trials", unit="trial", disable=not progress, mininterval=1.0) as bar:
        if isinstance(on, Cluster) or min(workers, len(mine)) <= 1:
            how = mine, ledger, attempt, fresh
            for _ in _send(*how, on) if isinstance(on, Cluster) else _walk(*how):
                bar.update()
        else:
            _Pool(mine, ledger, attempt, fresh, shard).run(min(workers, len(mine)), bar)
    records: dict[str, Record] = {}
    for key, one in zip(keys, trials, strict=True):
        if record := records.get(key) or ledger.get(key):
            records[key] = _shared(record, one, ledger)
    # Under the name of the trial that asked: another arm or study may have left the record of the same trial.
    found = [replace(records[key], trial=one.spec()) for key, one in zip(keys, trials, strict=True) if key in records]
    missing = len(unique) - len(records)
    assert shard or not missing, "every trial leaves a record"
    if shard and missing:
        raise OtherShards(shard, list({record.key: record for record in found}.values()), missing)
    return found


def _shared(record: Record, trial: Trial, ledger: Ledger) -> Record:
    """The record; one that another study left is known by the name of this one too, so that both can publish it."""
    also = record.provenance.get("also", "").splitlines()
    if trial.study in (record.trial["study"], *(name.partition("/")[0] for name in also)):
        return record
    record.provenance["also"] = "\n".join([*also, f"{trial.study}/{trial.arm}"])
    ledger.put(record)
    return record


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


def _keys(trials: Sequence[Trial]) -> list[str]:
    return [trial.key() for trial in trials]


def _send(
    trials: Sequence[tuple[str, Trial]], ledger: Ledger, attempt: str, fresh: bool, cluster: Cluster
) -> Iterable[str]:
    """Have a cluster run what is not recorded; yields the key of each trial as it is settled."""
    recorded = [key for key, _ in trials if is_settled(ledger.get(key), attempt, fresh)]
    yield from recorded
    missing = [(key, trial) for key, trial in trials if key not in set(recorded)]
    sent = {cluster.submit(_attempted, key, trial, attempt): (key, trial) for key, trial in missing}
    for (key, trial), found in cluster.completed(sent):
        if isinstance(found, BaseException):
            reason = f"{type(found).__name__}: {explain(found)}. If memory or time ran out, give each worker more of it"
            found = _as_failed(key, trial, reason, attempt)
        ledger.put(found)
        yield key


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
        return _as_failed(key, trial, CHANGED, attempt)
    record.provenance["attempt"] = attempt
    return record


def _as_failed(key: str, trial: Trial, reason: str, attempt: str) -> Record:
    record = replace(failed(trial, reason), key=key)
    record.provenance["attempt"] = attempt
    return record


def failed(trial: Trial, error: BaseException | str) -> Record:
    """The record of a trial that ended in an error."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {explain(error)}"
    return Record(trial.key(), "failed", trial.spec(), fingerprints(trial), provenance=provenance(None), error=text)


def explain(error: BaseException) -> str:
    """An error's text; for lack of memory, what to lower."""
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        first = text.splitlines()[0] if text else "out of memory"
        return f"{first}. Lower batch_size, the task's prompt length or --workers, or take a smaller model."
    return text


# --- several processes -----------------------------------------------------------------------------------------------


@dataclass
class _Pool:
    """Worker processes and the watch over them: one that is killed has its trial recorded as failed and is replaced."""

    trials: Sequence[tuple[str, Trial]]
    ledger: Ledger
    attempt: str
    fresh: bool
    shard: Shard | None = None
    workers: int = 1
    settled: set[str] = field(default_factory=set)

    def run(self, workers: int, bar: tqdm) -> None:
        self.workers = workers
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
                    if process.exitcode and self._record_death(process, index):
                        processes[index] = self._start(index)
        finally:
            for process in processes.values():
                process.kill()
        for key, trial in self._left():
            self._record_failure(key, trial, "every worker ended before its first trial; see what they printed")

    def _start(self, index: int) -> BaseProcess:
        given = (self._share(index), self.ledger, self.attempt, index, self.fresh)
        process = multiprocessing.get_context("spawn").Process(target=_worker, args=given, daemon=True)
        with machine.exact_children(all(models.is_exact(trial.model) for _, trial in self.trials)):
            process.start()
        return process

    def _share(self, index: int) -> list[tuple[str, Trial]]:
        """What a worker may take: anything, or without locks its own part of the shard, in order."""
        part = self.shard.part(index, self.workers) if self.shard else None
        return [(key, trial) for key, trial in self.trials if part is None or part.owns(key)]

    def _left(self) -> list[tuple[str, Trial]]:
        """Trials not settled yet; what is settled is not read again."""
        for key, _ in self.trials:
            if key not in self.settled and is_settled(self.ledger.get(key), self.attempt, self.fresh):
                self.settled.add(key)
        return [(key, trial) for key, trial in self.trials if key not in self.settled]

    def _record_death(self, process: BaseProcess, index: int = 0) -> bool:
        """Record what a dead worker was at as failed; whether to replace it (not if it died before its first trial).

        Without locks it was at the first trial of its share that is left.
        """
        left = {key for key, _ in self._left()}
        at = next(([key] for key, _ in self._share(index) if key in left), []) if self.shard else None
        claimed = set(self.ledger.claimed_by(process.pid or -1) if at is None else at)
        reason = f"the worker was killed (exit code {process.exitcode}); if memory ran out, use fewer --workers"
        for key, trial in self._left():
            if key in claimed:
                self._record_failure(key, trial, reason)
        return bool(claimed) and bool(self._left())

    def _record_failure(self, key: str, trial: Trial, reason: str) -> None:
        with self.ledger.claim(key) as mine:
            if mine and not is_settled(self.ledger.get(key), self.attempt, self.fresh):
                self.ledger.put(_as_failed(key, trial, reason, self.attempt))


def _worker(trials: Sequence[tuple[str, Trial]], ledger: Ledger, attempt: str, index: int, fresh: bool = False) -> None:
    import torch

    _die_of_interrupts()
    tqdm.set_lock(threading.RLock())  # its usual lock is a system semaphore, which a killed process leaves behind
    if torch.cuda.is_available():
        torch.cuda.set_device(index % torch.cuda.device_count())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for _ in _walk(trials, ledger, attempt, fresh):
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
