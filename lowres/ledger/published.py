"""The published records, on which verdicts rest: files in results/ that are added to and never rewritten.

`results/STUDY/DATE-N.parquet` are the shards of a study (see `lowres.ledger.shards`), which rules of the second edition
judge; results/exploratory/ keeps the records of the first edition as they were published then. The pages of a study
draw what they show from the first edition where there is one.
"""

from __future__ import annotations

import datetime
import functools
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowres import models, places
from lowres.contents import content
from lowres.data.rationales import OWN
from lowres.ledger import Ledger, shards, write_atomically
from lowres.ledger.shards import version_of
from lowres.params import InputError
from lowres.trial import Record, from_dict
from lowres.world import is_world_model
from lowres.world.names import NEW_WORD_STREAM, STREAM

EXPLORATORY = "exploratory"
FROM_LIKELIHOODS = ("nll", "probability", "bits_per", "kl")  # what the names of such measures hold
NEW_WORDS = dict(zip(STREAM, NEW_WORD_STREAM, strict=True))
LIKELIHOOD_BITS, CURVE_BITS = 12, 8  # errors of at most 0.025 % and 0.4 % of a number


def read_published(study: str) -> list[Record]:
    """The records that the pages draw their evidence from: those of the first edition, or of a study without, of today.

    A file is read once per process, and again when it changes.

    Raises:
        InputError: a file exists and cannot be read.
    """
    return read_first_edition(study) or read_confirmatory(study)


def read_confirmatory(study: str) -> list[Record]:
    """The records of a study's shards: those of the newest version, the newest of each trial; none without shards.

    Raises:
        InputError: a file exists and cannot be read.
    """
    return list(_read(tuple(_state(path) for path in sorted((places.RESULTS / study).glob("*.parquet")))))


def exploratory_file(study: str) -> Path:
    """Where the records of a study lie that were published in the first edition, if there are any."""
    return places.RESULTS / EXPLORATORY / f"{study}.parquet"


def read_first_edition(study: str) -> list[Record]:
    """The records that a study published in the first edition; none where it began later.

    Raises:
        InputError: the file exists and cannot be read.
    """
    path = exploratory_file(study)
    return list(_read((_state(path),))) if path.is_file() else []


def verification_file(study: str) -> Path:
    """Where the last verification of a study is kept: beside the records that it verified."""
    if read_confirmatory(study):
        return places.RESULTS / study / "_verified.json"  # readers of a folder of parquet files pass over an underscore
    return places.RESULTS / EXPLORATORY / f"{study}-verified.json"


def edition(study: str) -> str:
    """Which records the pages of a study rest on, in words; empty if it has published nothing."""
    records = read_published(study)
    if not records:
        return ""
    if exploratory_file(study).is_file():
        return "exploratory records of the first edition"
    dates = sorted(record.provenance.get("date", "")[:10] for record in records)
    return f"records of version {version_of(records[0])}, from {dates[0]} to {dates[-1]}"


def trial_name(record: Record) -> str:
    """What a trial is apart from the code that ran it: two records with the same name measure the same thing."""
    return json.dumps([_spec(record), record.fingerprints["data"], record.fingerprints["model"]], sort_keys=True)


def _spec(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.trial.items() if name not in ("study", "arm")}


# --- reading ---------------------------------------------------------------------------------------------------------


def _state(path: Path) -> tuple[Path, str]:
    return path, content(path)


@functools.lru_cache(maxsize=8)
def _read(states: tuple[tuple[Path, str], ...]) -> tuple[Record, ...]:
    """The current records of some files, remembered for as long as the files stay as they are."""
    if [path.parent.name for path, *_ in states] == [EXPLORATORY]:
        return tuple(_parsed(states[0][0]))
    return tuple(_current([record for path, *_ in states for record in _parsed(path)]))


def _parsed(path: Path) -> list[Record]:
    try:
        read = _first_edition if path.parent.name == EXPLORATORY else shards.from_bytes
        return read(path.read_bytes())
    except Exception as error:  # pyarrow has no common base of its errors
        raise InputError(f"published records {path} cannot be read: {error}") from error


def _current(records: Sequence[Record]) -> list[Record]:
    """Of the newest version, of models as they are now, the newest record of each trial, in the order of their keys.

    A model may have been made anew under its old name, and a data set may have changed: the records of the earlier one
    would be counted beside those of its successor. Of world models it is known which is today's; of others, and of two
    records of one trial, the date decides, which is that of the machine.
    """
    newest = max(map(version_of, records), default=0)
    ordered = sorted((record for record in records if version_of(record) == newest), key=_order)
    made = {record.trial["model"]: record.fingerprints["model"] for record in ordered}
    ordered = [record for record in ordered if record.fingerprints["model"] == made[record.trial["model"]]]
    current = {json.dumps(_spec(record), sort_keys=True): record for record in ordered}
    return sorted(current.values(), key=lambda record: record.key)


def _order(record: Record) -> tuple[bool, str]:
    return _is_of_today(record), record.provenance.get("date", "")


def _first_edition(content: bytes) -> list[Record]:
    """Records as they were published then: JSON, whose lists of fp32 numbers stand in a column of their own."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = parquet.read_table(pa.BufferReader(content))
    rows = table.column("record").to_pylist()
    packed = table.column("float32") if "float32" in table.column_names else [None] * len(rows)
    return [from_dict(_renamed(_unpacked(row, floats))) for row, floats in zip(rows, packed, strict=True)]


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """A record of the first edition under the names that its tasks have now: the stream was in new words then."""
    trial = values["trial"]
    for stage in (trial, *trial.get("stream", ())):
        stage["task"] = NEW_WORDS.get(stage["task"], stage["task"])
    return values


def _unpacked(text: str, numbers: Any) -> Any:
    """The JSON of a record with its numbers put back where {"float32": how many} stands for them.

    `numbers` is a list scalar of pyarrow, or None in files that have no such column.
    """
    if numbers is None or not numbers.is_valid:
        return json.loads(text)
    floats, taken = numbers.values.to_numpy(), 0

    def restored(fields: dict[str, Any]) -> Any:  # called in the order of the text
        nonlocal taken
        if "float32" not in fields:
            return fields
        taken += fields["float32"]
        return floats[taken - fields["float32"] : taken].tolist()

    values = json.loads(text, object_hook=restored)
    if taken != len(floats):
        raise ValueError(f"{len(floats)} packed numbers, {taken} of them used")
    return values


# --- publishing ------------------------------------------------------------------------------------------------------


def publish(ledger: Ledger, study: str) -> Path | None:
    """Add the ledger's finished records of a study that are new, or newer than what is published, as one more shard.

    A record that says the same as the published one of its trial is not new, nor is one of an older version than there
    is. Of world models only those of today's world count.

    Returns:
        The new shard; None if there is nothing new.

    Raises:
        InputError: the ledger holds no finished record of the study.
    """
    done = [record for record in ledger.records(study) if record.status == "done" and _is_of_today(record)]
    if not done:
        raise InputError(f"nothing to publish: the ledger {ledger.folder} has no finished record of study {study!r}")
    stored = read_confirmatory(study)
    known = {record.key: record for record in stored}
    offered = [as_published(record) for record in done]
    kept = {id(record) for record in _current([*stored, *offered])}
    new = [record for record in offered if id(record) in kept and not _says_the_same(record, known.get(record.key))]
    if not new:
        return None
    _publish_rationales(new, ledger.folder)
    return write_shard(study, new)


def as_published(record: Record) -> Record:
    """A record with as many digits as are published: likelihoods to LIKELIHOOD_BITS, curves to CURVE_BITS.

    The further digits are noise of the arithmetic and cannot be compressed; with them a file is twice as large.
    """
    outcomes = {
        where: {
            measure: shards.significant(values, LIKELIHOOD_BITS) if _is_likelihood(measure) else values
            for measure, values in measures.items()
        }
        for where, measures in record.outcomes.items()
    }
    curves = {name: shards.significant(values, CURVE_BITS) for name, values in record.curves.items()}
    provenance = {name: value for name, value in record.provenance.items() if name != "also"}
    return replace(record, outcomes=outcomes, curves=curves, provenance=provenance)


def _is_likelihood(measure: str) -> bool:
    return any(part in measure for part in FROM_LIKELIHOODS)


def _is_of_today(record: Record) -> bool:
    """Whether its model, if it is of the generated world, is the one that today's code makes."""
    name = record.trial["model"]
    if not is_world_model(name):
        return True
    return not models.check_name(name) and record.fingerprints["model"] == models.fingerprint(name)


def _says_the_same(record: Record, stored: Record | None) -> bool:
    """Whether all that was measured is the same; seconds and dates may differ."""
    facts = ("outcomes", "curves", "texts", "counts")
    return stored is not None and all(shards.same(getattr(record, name), getattr(stored, name)) for name in facts)


def write_shard(study: str, records: Sequence[Record]) -> Path:
    """Write records as the next shard of today; no file is ever written again.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    content = shards.to_bytes(records)
    folder, today = places.RESULTS / study, _today()
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while (path := folder / f"{today}-{number}.parquet").exists():
        number += 1
    write_atomically(path, content)
    return path


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


def _publish_rationales(records: Sequence[Record], ledger: Path) -> None:
    """Pack the files of rationales that records name beside what is published, so that their trials can be rerun."""
    for name in sorted({record.trial["recipe"].get("rationales", "") for record in records} - {"", OWN}):
        mine, place = ledger / places.RATIONALES / name, places.RESULTS / places.RATIONALES / f"{name}.gz"
        if mine.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, gzip.compress(mine.read_bytes(), mtime=0))
