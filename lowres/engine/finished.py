"""Runs that are over, so that the same command tells their table at once, without drawing a single row of data again.

What a run was made of is named by a digest of all that decides which trials it has: the study and its parameters, the
files that these name, the package, the libraries that hold data, and the machine's arithmetic. The list is a
convenience kept in the cache folder: without it, or with a record gone from the ledger, a run goes its usual way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lowres
from lowres import machine
from lowres.contents import content
from lowres.data import bundled
from lowres.ledger import Ledger, write_atomically
from lowres.models import cache_folder

if TYPE_CHECKING:
    from lowres.trial import Record

LIBRARIES = ("torch", "transformers", "tokenizers", "peft")


def recall(study: str, params: Any, ledger: Ledger) -> tuple[list[Record], list[str]] | None:
    """The records and remarks of a run that was finished before; None where there is none, or one of them is gone."""
    path = _path(study, params)
    if path is None or not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = [ledger.get(key) for key in kept["keys"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    records = [record for record in found if record is not None and record.status == "done"]
    return (records, list(kept["remarks"])) if len(records) == len(found) else None


def remember(study: str, params: Any, records: Sequence[Record], remarks: Sequence[str]) -> None:
    """Keep what a run was made of; nothing where a trial failed or the cache cannot be written."""
    path = _path(study, params)
    if path is None or any(record.status != "done" for record in records):
        return
    kept = {"keys": [record.key for record in records], "remarks": list(remarks)}
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(kept).encode())


def _path(study: str, params: Any) -> Path | None:
    values = asdict(params)
    parts: list[object] = [study, json.dumps(values, sort_keys=True, default=str)]
    for text in _texts(values):
        file = Path(text.partition(":")[2] or text).expanduser()
        if file.is_file():
            parts.append(content(file))
        elif "/" in text or ":" in text or file.is_dir():  # a model's folder, something on a hub: it may have changed
            return None
    package = Path(lowres.__file__).parent  # its code, and its words in YAML
    files = (each for ending in ("py", "yaml") for each in sorted(package.rglob(f"*.{ending}")))
    parts.append(_digest(each.read_bytes() for each in files))
    parts += [metadata.version(name) for name in LIBRARIES] + [bundled.version(name) for name in bundled.WHEELS]
    parts += [machine.threads(), machine.has_gpu(), *map(machine.arithmetic, (True, False))]
    parts += sorted(machine.instructions())
    return cache_folder() / "finished" / f"{_digest([repr(parts).encode()])[:16]}.json"


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value of parameters."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _digest(parts: Any) -> str:
    made = hashlib.sha256()
    for part in parts:
        made.update(part)
    return made.hexdigest()
