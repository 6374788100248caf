"""Where trials run when this machine is not enough, as the command line names it. Loads nothing heavy.

Shards: a sweep dealt out among commands that share nothing, not even a folder, and so need no locks. Which shard a
trial belongs to follows from its key. A shard runs what it owns and stops where it would need what others own; it waits
for nobody. Once the records of all are in one ledger, the same commands go on from there.

Engines: a file that describes workers for Parsl (see `lowres.engine.cluster`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lowres.params import InputError

if TYPE_CHECKING:
    from lowres.trial import Record


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of every sweep, counted from 0 as the schedulers' own numbers are."""

    index: int
    count: int

    def owns(self, key: str) -> bool:
        """Whether the trial of a key is to be run by this shard."""
        return int(key, 16) % self.count == self.index

    def part(self, worker: int, workers: int) -> Shard:
        """What one of several processes runs of this shard: parts that do not overlap and together are all of it."""
        return Shard(self.index + self.count * worker, self.count * workers)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


class OtherShards(Exception):
    """The shard has run all that it owns; what comes next needs records of other shards, which are not there yet."""

    def __init__(self, shard: Shard, records: Sequence[Record], missing: int) -> None:
        self.records = list(records)
        super().__init__(
            f"shard {shard} has run what it owns of this step. This ledger has {len(records)} of its "
            f"{len(records) + missing} trials; the other {missing} belong to other shards. Once their records are here "
            "(a shared folder gets them by itself; else: lowres ledger merge DIR...), the same command goes on"
        )


def shard_from(text: str) -> Shard:
    """A shard as it is written on the command line, "0/4" to "3/4".

    Raises:
        InputError: another form, or no such shard.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = map(int, found.groups()) if found else (0, 0)
    if index >= count:
        last = f"0/{count} to {count - 1}/{count}" if count else "0/4 to 3/4"
        raise InputError(f'--shard must be I/N, counted from 0 ({last}), not "{text}"')
    return Shard(index, count)


# --- engines ---------------------------------------------------------------------------------------------------------

SITES = Path(__file__).parent / "engine" / "sites"


def engine_file(text: str) -> Path:
    """The file of "parsl:FILE", where FILE may also be the name of one that comes with the book.

    Raises:
        InputError: another engine, no such file, or Parsl is not installed.
    """
    kind, _, name = text.partition(":")
    known = sorted(path.stem for path in SITES.glob("*.py"))
    if kind != "parsl" or not name:
        raise InputError(f'--engine must be parsl:FILE, not "{text}"; for FILE there are {", ".join(known)}')
    file = SITES / f"{name}.py" if name in known else Path(name)
    problems = [] if file.is_file() else [f"--engine: no file {file}, and none of the ready ones: {', '.join(known)}"]
    if find_spec("parsl") is None:
        problems.append("--engine parsl needs Parsl, which is not installed: python -m pip install -e '.[cluster]'")
    if problems:
        raise InputError(*problems)
    return file
