"""The records on disk: one JSON file per trial, named by its key, written by rename; and the published parquet files.

A record that cannot be read, or whose checksum does not fit, is moved to `quarantine/` and named; the rest is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from lowres import models
from lowres.data.rationales import OWN
from lowres.params import InputError
from lowres.places import RESULTS, ledger_folder
from lowres.trial import RESULT_VERSION, Record, from_dict
from lowres.world import is_world_model


class Ledger:
    """A folder of records. Any number of processes may use it at the same time.

    Raises:
        InputError: the folder cannot be created or written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder else ledger_folder()
        self.quarantined: list[str] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot create the ledger {self.folder}: {error.strerror}. Set LOWRES_LEDGER.") from error
        if not os.access(self.folder, os.W_OK):
            raise InputError(f"the ledger {self.folder} is not writable. Set LOWRES_LEDGER to a folder that is.")

    def get(self, key: str) -> Record | None:
        """The record of a key, or None; a corrupted one is quarantined."""
        path = self.folder / f"{key}.json"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            return self._quarantine(path, str(error))
        try:
            return parse(text, key)
        except ValueError as error:
            return self._quarantine(path, str(error))

    def _quarantine(self, path: Path, reason: str) -> Record | None:
        """Move a file out of the way and name it; returns None, for there is no record."""
        place = self.folder / "quarantine"
        place.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process may have moved it already
            path.rename(place / path.name)
        self.quarantined.append(path.stem)
        warnings.warn(f"record {path.name} is corrupted ({reason}); moved to {place}", stacklevel=3)
        return None

    def put(self, record: Record) -> None:
        """Write a record: whole or not at all.

        Raises:
            InputError: the disk is full or the folder not writable; nothing half-written stays behind.
        """
        write_atomically(self.folder / f"{record.key}.json", serialise(record).encode())

    def records(self, study: str | None = None) -> list[Record]:
        """All readable records, of one study if named, in the order of their keys."""
        found = (self.get(path.stem) for path in sorted(self.folder.glob("*.json")))
        return [record for record in found if record and study in (None, record.trial["study"])]

    @contextlib.contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Try to be the only process on a trial; yields whether it worked. The system frees the lock of the dead."""
        with (self.folder / f"{key}.lock").open("a+") as handle:
            taken = _lock(handle)
            if taken:
                handle.truncate(0)
                handle.write(str(os.getpid()))
                handle.flush()
            yield taken

    def claimed_by(self, process: int) -> list[str]:
        """Keys that a process was the last to claim, to say what a killed one was at."""
        return [path.stem for path in self.folder.glob("*.lock") if path.read_text().strip() == str(process)]


def _lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then rename.

    Raises:
        InputError: names the file and the reason (disk full, no permission); the temporary file is removed.
    """
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}. Free some space or choose another folder.") from error
    finally:  # after a rename there is nothing left to remove
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def serialise(record: Record) -> str:
    """A record as JSON with a checksum over its body."""
    body = json.dumps(record.as_dict(), sort_keys=True, ensure_ascii=False)
    return json.dumps({"checksum": _checksum(body), "record": json.loads(body)}, sort_keys=True, ensure_ascii=False)


def parse(text: str, key: str) -> Record:
    """The inverse of `serialise`, for the record of a key.

    Raises:
        ValueError: not JSON, fields missing, the checksum does not fit the body, or it is the record of another key.
    """
    values = json.loads(text)
    if not isinstance(values, dict) or set(values) != {"checksum", "record"}:
        raise ValueError("not a record")
    if _checksum(json.dumps(values["record"], sort_keys=True, ensure_ascii=False)) != values["checksum"]:
        raise ValueError("the checksum does not fit")
    record = from_dict(values["record"])
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
    lines += [f"  quarantined: {name}" for name in quarantine]
    return "\n".join(lines)


# --- published records -----------------------------------------------------------------------------------------------


def published_file(study: str) -> Path:
    """Where the published records of a study are kept."""
    return RESULTS / f"{study}.parquet"


def read_published(study: str) -> list[Record]:
    """Records that the book draws its evidence from; none if the study has published nothing yet.

    Raises:
        InputError: the file exists and cannot be read.
    """
    path = published_file(study)
    if not path.is_file():
        return []
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path)
        rows = table.column("record").to_pylist()
        packed = table.column(PACKED) if PACKED in table.column_names else [None] * len(rows)
        return [from_dict(_unpacked(row, floats)) for row, floats in zip(rows, packed, strict=True)]
    except Exception as error:  # pyarrow has no common base of its errors
        raise InputError(f"published records {path} cannot be read: {error}") from error


def write_published(study: str, records: Sequence[Record]) -> Path:
    """One row per record: a few columns to filter by, and the whole record as JSON.

    Of that JSON the lists of fp32 numbers are taken out (see `_packed`), which makes the file a third smaller.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    records = sorted(records, key=lambda record: record.key)
    rows = [
        {
            "key": record.key,
            "arm": record.trial["arm"],
            "task": record.trial["task"],
            "model": record.trial["model"],
            "seed": record.trial["seed"],
            "task_tokens": record.trial["recipe"]["task_tokens"],
            "general_tokens": record.trial["recipe"]["general_tokens"],
            "version": record.version,
        }
        for record in records
    ]
    packed = [_packed(record) for record in records]
    numbers = pyarrow.array([each for _, each in packed], pyarrow.list_(pyarrow.float32()))
    table = pyarrow.Table.from_pylist(rows).append_column("record", pyarrow.array([text for text, _ in packed]))
    table = table.append_column(PACKED, numbers)
    buffer = pyarrow.BufferOutputStream()
    parquet.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.column_names if name != PACKED],
        column_encoding={f"{PACKED}.list.element": "BYTE_STREAM_SPLIT"},
    )
    path = published_file(study)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, buffer.getvalue().to_pybytes())
    return path


PACKED = "float32"  # the column of the numbers taken out, and the mark {"float32": how many} that they leave


def _packed(record: Record) -> tuple[str, list[float] | None]:
    """A record as JSON, and the lists in it whose numbers are all exact in fp32, one after the other.

    A record that has the mark itself is left whole; its numbers are None.
    """
    text = json.dumps(record.as_dict(), sort_keys=True, ensure_ascii=False)
    if f'"{PACKED}"' in text:
        return text, None
    numbers: list[float] = []

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(part) for name, part in value.items()}
        if isinstance(value, list):
            if _exact_in_fp32(value):
                numbers.extend(value)
                return {PACKED: len(value)}
            return [without(part) for part in value]
        return value

    return json.dumps(without(json.loads(text)), ensure_ascii=False), numbers


def _exact_in_fp32(values: list[Any]) -> bool:
    """Floats (no NaN, no integers) that fp32 holds to the last bit, and at least two of them."""
    import numpy as np

    if len(values) < 2 or not all(type(value) is float for value in values):
        return False
    with np.errstate(over="ignore"):
        return bool((np.array(values, np.float32).astype(np.float64) == np.array(values)).all())


def _unpacked(text: str, numbers: Any) -> Any:
    """The inverse of `_packed`; `numbers` is a list scalar of pyarrow, or None in files that have no such column."""
    if numbers is None or not numbers.is_valid:
        return json.loads(text)
    floats, taken = numbers.values.to_numpy(), 0

    def restored(fields: dict[str, Any]) -> Any:  # called in the order of the text
        nonlocal taken
        if PACKED not in fields:
            return fields
        taken += fields[PACKED]
        return floats[taken - fields[PACKED] : taken].tolist()

    values = json.loads(text, object_hook=restored)
    if taken != len(floats):
        raise ValueError(f"{len(floats)} packed numbers, {taken} of them used")
    return values


def publish(ledger: Ledger, study: str) -> Path:
    """Add the ledger's finished records of a study to its published file; the newest record of a trial wins.

    A model may have been made anew under its old name (a world model by newer code, a folder): records of the earlier
    one are left out, or they would be counted beside those of its successor. Of world models only those of today's
    world stay, since all seeds and sizes are compared with each other, and of each one only those of one kind of
    processor: pretrained on another it is another model, whose start and end must not be paired with this one's.

    Raises:
        InputError: the ledger holds no finished record of the study.
    """
    done = [record for record in ledger.records(study) if record.status == "done"]
    if not done:
        raise InputError(f"nothing to publish: the ledger {ledger.folder} has no finished record of study {study!r}")
    everything = sorted([*read_published(study), *done], key=lambda record: record.provenance.get("date", ""))
    made = {record.trial["model"]: record.fingerprints["model"] for record in everything}
    made |= {name: "" if models.check_name(name) else models.fingerprint(name) for name in made if is_world_model(name)}
    current = [record for record in everything if record.fingerprints["model"] == made[record.trial["model"]]]
    newest = list({trial_name(record): record for record in _of_one_processor(current)}.values())
    _publish_rationales(newest, ledger.folder)
    return write_published(study, newest)


def _of_one_processor(records: Sequence[Record]) -> list[Record]:
    """Without those records of a world model that were made elsewhere than most of it (than the first, if equal)."""
    made: dict[str, Counter[str]] = {}
    for record in records:
        made.setdefault(record.trial["model"], Counter())[record.provenance.get("hardware", "")] += 1
    usual = {model: hardware.most_common(1)[0][0] for model, hardware in made.items() if is_world_model(model)}
    return [
        record
        for record in records
        if record.trial["model"] not in usual or record.provenance.get("hardware", "") == usual[record.trial["model"]]
    ]


def _publish_rationales(records: Sequence[Record], ledger: Path) -> None:
    """Copy the files of rationales that records name to the published records, so that their trials can be rerun."""
    for name in sorted({record.trial["recipe"].get("rationales", "") for record in records} - {"", OWN}):
        mine, place = ledger / "rationales" / name, RESULTS / "rationales" / name
        if mine.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, mine.read_bytes())


def trial_name(record: Record) -> str:
    """What a trial is apart from version and machine: two records with the same name measure the same thing."""
    spec = {name: value for name, value in record.trial.items() if name not in ("study", "arm")}
    return json.dumps([spec, record.fingerprints["data"], record.fingerprints["model"]], sort_keys=True)
