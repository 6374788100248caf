"""The records on disk: one JSON file per trial, named by its key (sixteen hex digits), written by rename.

A record that cannot be read, or whose checksum does not fit, is named and not used; when its trial was run again it
lies in `quarantine/`. Files of other names are not the ledger's and stay as they are.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import signal
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import IO

from lowres.params import InputError
from lowres.places import RATIONALES, ledger_folder
from lowres.trial import RESULT_VERSION, Record, from_dict

NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}  # network file systems that are mounted without


class Ledger:
    """A folder of records. Any number of processes may use it at the same time.

    Without `locks` every claim is granted: for those who have dealt out the trials among themselves beforehand. Without
    `writes` a folder that is there is only read.

    Raises:
        InputError: the folder cannot be created or written.
    """

    def __init__(self, folder: Path | None = None, locks: bool = True, writes: bool = True) -> None:
        self.folder = Path(folder) if folder else ledger_folder()
        self.locks = locks
        self.damaged: list[str] = []  # keys whose file was found to be no record
        if not writes and self.folder.is_dir():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot create the ledger {self.folder}: {error.strerror}. Set LOWRES_LEDGER.") from error
        if not os.access(self.folder, os.W_OK):
            raise InputError(f"the ledger {self.folder} is not writable. Set LOWRES_LEDGER to a folder that is.")

    def get(self, key: str) -> Record | None:
        """The record of a key, or None; a damaged one is named, and stays until another is put in its place."""
        path = self.folder / f"{key}.json"
        try:
            record = parse(path.read_text(encoding="utf-8"), key)
            self.damaged = [each for each in self.damaged if each != key]  # another process has made it anew
            return record
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, not a record
            if key not in self.damaged:
                self.damaged.append(key)
                told = f"record {path.name} is corrupted ({error}); it is not used, and `lowres run` makes it anew"
                warnings.warn(told, stacklevel=2)
            return None

    def put(self, record: Record) -> None:
        """Write a record: whole or not at all. A damaged one in its place goes to `quarantine/`.

        Raises:
            InputError: the disk is full or the folder not writable; nothing half-written stays behind.
        """
        if record.key in self.damaged:
            self._quarantine(self.folder / f"{record.key}.json")
            self.damaged.remove(record.key)
        write_atomically(self.folder / f"{record.key}.json", serialise(record).encode())

    def _quarantine(self, path: Path) -> None:
        """Move a file out of the way, under a name that none has there."""
        place, number = self.folder / "quarantine", 1
        try:
            place.mkdir(exist_ok=True)
            while (free := place / f"{path.stem}-{number}.json").exists():
                number += 1
            with contextlib.suppress(FileNotFoundError):  # another process may have moved it already
                path.rename(free)
        except OSError as error:
            raise InputError(f"cannot move {path} to {place}: {error.strerror}") from error

    def records(self, study: str | None = None) -> list[Record]:
        """All readable records, in the order of their keys; of a study those it asked for, by its own names."""
        found = [record for key in self._keys(".json") if (record := self.get(key))]
        return [named for record in found if (named := _as_called(record, study))]

    def _keys(self, ending: str) -> list[str]:
        """Keys that have a file with an ending; whatever else lies in the folder is not ours."""
        names = (path.name.removesuffix(ending) for path in sorted(self.folder.glob(f"*{ending}")))
        return [name for name in names if re.fullmatch("[0-9a-f]{16}", name)]

    @contextlib.contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Try to be the only process on a trial; yields whether it worked. The system frees the lock of the dead.

        Raises:
            InputError: the file system has no locks.
        """
        if not self.locks:
            yield True
            return
        with self._lock_of(key).open("a+") as handle:
            taken = _lock(handle)
            if taken:
                handle.truncate(0)
                handle.write(str(os.getpid()))
                handle.flush()
            yield taken

    def claimed_by(self, process: int) -> list[str]:
        """Keys that a process was the last to claim, to say what a killed one was at."""
        return [key for key in self._keys(".lock") if self._lock_of(key).read_text().strip() == str(process)]

    def is_claimed(self, key: str) -> bool:
        """Whether a process is at a trial right now."""
        try:
            with self._lock_of(key).open() as handle:
                return not _lock(handle)
        except FileNotFoundError:
            return False

    def _lock_of(self, key: str) -> Path:
        return self.folder / f"{key}.lock"


def _as_called(record: Record, study: str | None) -> Record | None:
    """A record under the name that a study has for its trial; None where the study did not ask for it."""
    if study in (None, record.trial["study"]):
        return record
    arms = dict(name.split("/", 1) for name in record.provenance.get("also", "").splitlines())
    return replace(record, trial={**record.trial, "study": study, "arm": arms[study]}) if study in arms else None


def _lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise InputError(
            f"the file system of {Path(handle.name).parent} has no locks ({error.strerror}): run with --shard, which "
            "needs none (--shard 0/1 runs all), or set LOWRES_LEDGER to a folder that has them"
        ) from error
    return True


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then rename; an interrupt waits until nothing is half-written.

    Raises:
        InputError: names the file and the reason (disk full, no permission); the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        with temporary.open("xb") as handle:  # who may read it is the user's own choice (umask)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}. Free some space or choose another folder.") from error
    finally:  # after a rename there is nothing left to remove
        with contextlib.suppress(OSError):
            temporary.unlink()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serialise(record: Record) -> str:
    """A record as JSON with a checksum over its body."""
    body = json.dumps(record.as_dict(), sort_keys=True, ensure_ascii=False)
    return json.dumps({"checksum": _checksum(body), "record": json.loads(body)}, sort_keys=True, ensure_ascii=False)


def parse(text: str, key: str) -> Record:
    """The inverse of `serialise`, for the record of a key; fields of a later version of the package are passed over.

    Raises:
        ValueError: not JSON, fields missing or of another kind, the checksum does not fit the body, or it is the record
            of another key.
    """
    values = json.loads(text)
    if not isinstance(values, dict) or set(values) != {"checksum", "record"} or not isinstance(values["record"], dict):
        raise ValueError("not a record")
    if _checksum(json.dumps(values["record"], sort_keys=True, ensure_ascii=False)) != values["checksum"]:
        raise ValueError("the checksum does not fit")
    kinds = {field.name: str(field.type).startswith("dict") for field in fields(Record)}
    body = {name: value for name, value in values["record"].items() if name in kinds}
    if wrong := [name for name, value in body.items() if isinstance(value, dict) != kinds[name]]:
        raise ValueError(f"not a record: {', '.join(wrong)}")
    record = from_dict(body)
    if record.key != key:
        raise ValueError(f"it holds the record of {record.key}")
    return record


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def is_stale(record: Record) -> bool:
    """Made by another version than today's."""
    return record.version != RESULT_VERSION


def describe(ledger: Ledger, study: str | None) -> str:
    """What is in the ledger, per study: done, failed (with errors), made by another version, quarantined."""
    records = ledger.records(study)
    lines = [f"Ledger {ledger.folder}: {len(records)} records"]
    for name in sorted({record.trial["study"] for record in records}):
        mine = [record for record in records if record.trial["study"] == name]
        states = Counter(record.status for record in mine)
        stale = sum(map(is_stale, mine))
        lines.append(f"  {name}: {states['done']} done, {states['failed']} failed, {stale} made by another version")
        for record in mine:
            if record.status == "failed":
                lines.append(
                    f"    failed {record.key} {record.trial['arm']}, seed {record.trial['seed']}: {record.error}"
                )
    quarantine = sorted(path.name for path in (ledger.folder / "quarantine").glob("*.json"))
    lines += [f"  corrupted: {key}.json" for key in ledger.damaged]
    lines += [f"  quarantined: {name}" for name in quarantine]
    return "\n".join(lines)


# --- ledgers of other machines ---------------------------------------------------------------------------------------

MEASURED = ("fingerprints", "outcomes", "curves", "counts", "texts")  # what two runs of a trial must agree in


def merge(ledger: Ledger, folders: Sequence[Path]) -> str:
    """Copy what other ledgers hold and this one lacks, records and rationales; nothing at all if two of them disagree.

    Two finished records of one trial agree if they differ in nothing but seconds and where they were made; the first
    stays. A finished one takes the place of one that failed. Returns what was done, in words.

    Raises:
        InputError: a folder that is not there, or all trials of which two records differ.
    """
    if missing := [f"no folder {folder}: nothing was merged" for folder in folders if not folder.is_dir()]:
        raise InputError(*missing)
    held = {record.key: (record, ledger.folder) for record in ledger.records()}
    new: dict[str, Record] = {}
    conflicts, seen = [], 0
    for folder in folders:
        for record in Ledger(folder, writes=False).records():
            seen += 1
            known, place = held.get(record.key, (None, folder))
            if known is None or (known.status != "done" and record.status == "done"):
                held[record.key], new[record.key] = (record, folder), record
            elif differing := _differing(known, record):
                conflicts.append(
                    f"{record.key} differs in {', '.join(differing)}: {place} and {folder} hold two records"
                )
    if conflicts:
        raise InputError(*conflicts, "nothing was merged; of each two, keep the right one and delete the other file")
    for record in new.values():
        ledger.put(record)
    written = sum(_copy_rationales(ledger, folder) for folder in folders)
    return f"{len(new)} of {seen} records copied to {ledger.folder}" + f", {written} files of rationales" * bool(
        written
    )


def _differing(one: Record, other: Record) -> list[str]:
    """In what two finished records of a trial disagree; a failed one says nothing."""
    both = one.status == other.status == "done"
    return [name for name in MEASURED if both and getattr(one, name) != getattr(other, name)]


def _copy_rationales(ledger: Ledger, folder: Path) -> int:
    """Rationales lie beside the records, named by what they were made from; those that are here already stay."""
    missing = [
        path for path in (folder / RATIONALES).glob("*.jsonl") if not (ledger.folder / RATIONALES / path.name).exists()
    ]
    for path in missing:
        (ledger.folder / RATIONALES).mkdir(exist_ok=True)
        write_atomically(ledger.folder / RATIONALES / path.name, path.read_bytes())
    return len(missing)
