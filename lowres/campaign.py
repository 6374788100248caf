"""A campaign: which studies are run with which parameters, in which order, until all of it is in the ledger.

The file is a list of lines, the most informative and the cheapest first:

    [common.tell-world]
    seeds = [10, 11, 12]

    [[line]]
    name = "tell-reverse-s"
    study = "tell"
    claims = ["tell-1", "tell-4"]
    hours = 0.4                      # of one core, estimated
    common = "tell-world"
    parameters = { model = "world-s", task = "world-reverse" }

Parameters of a line come on top of those that it has in common with others.

Any number of processes may work on one campaign: the ledger's locks share out the trials, or shards do, and a line that
is stopped goes on where it was. What was planned is run to its end; nothing here looks at a result.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lowres.engine.tables import aligned
from lowres.ledger import Ledger
from lowres.params import InputError, did_you_mean, from_mapping, resolve

if TYPE_CHECKING:
    from lowres.trial import Record, Trial

COLUMNS = ("line", "study", "core hours", "planned", "done", "running", "failed", "left")


@dataclass(frozen=True)
class Line:
    """One run of a study: what `lowres run STUDY -p ...` would do, why, and about how long it takes on one core."""

    name: str
    study: str
    hours: float
    claims: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def module(self) -> ModuleType:
        """The study."""
        from lowres import registry

        return registry.load(self.study)

    def resolved(self) -> Any:
        """The study's parameters, defaults filled in.

        Raises:
            InputError: all that is wrong with them.
        """
        return resolve(from_mapping(self.module().Params, self.parameters))


@dataclass(frozen=True)
class Progress:
    """Trials of a line as they are known now; what follows from a tuning that is not over may still change them."""

    planned: int
    done: int
    running: int
    failed: int

    @property
    def left(self) -> int:
        """Trials that no record is there of."""
        return self.planned - self.done - self.failed


def read(path: Path) -> list[Line]:
    """The lines of a campaign file.

    Raises:
        InputError: the file is missing or no TOML; or all that is wrong with its lines, each named.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the campaign {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the campaign {path} is not TOML: {error}") from error
    unknown = sorted(set(values) - {"line", "common"})
    if unknown or not isinstance(values.get("line"), list):
        raise InputError(f"the campaign {path} must hold [[line]] entries and [common.NAME] tables: {sorted(values)}")
    problems: list[str] = []
    common = values.get("common", {})
    lines = [_line(number, entry, common, problems) for number, entry in enumerate(values["line"], start=1)]
    names = [line.name for line in lines if line]
    problems += [f"line {name!r} is there twice" for name in sorted({name for name in names if names.count(name) > 1})]
    if problems:
        raise InputError(f"the campaign {path}:\n  - " + "\n  - ".join(problems))
    return [line for line in lines if line]


def _line(number: int, entry: Mapping[str, Any], common: Mapping[str, Any], problems: list[str]) -> Line | None:
    """One entry as a line; what is wrong with it is added to the problems."""
    from lowres import registry

    label = f"line {entry.get('name', number)!r}"
    entry, shared = dict(entry), entry.get("common", "")
    entry.pop("common", None)
    allowed = (*Line.__dataclass_fields__, "common")
    if shared and shared not in common:
        problems.append(f"{label}: there is no [common.{shared}], only {', '.join(common) or 'none'}")
        return None
    entry["parameters"] = {**common.get(shared, {}), **entry.get("parameters", {})}
    wrong = [f"{label}: unknown entry {name!r}, allowed: {', '.join(allowed)}" for name in entry if name not in allowed]
    wrong += [f"{label}: {name} is missing" for name in ("name", "study", "hours") if name not in entry]
    if not wrong and entry["study"] not in (names := registry.study_names()):
        wrong.append(f"{label}: unknown study {entry['study']!r}.{did_you_mean(entry['study'], names)}")
    if wrong:
        problems += wrong
        return None
    line = Line(**{**entry, "claims": tuple(entry.get("claims", ()))})
    try:
        line.resolved()
    except InputError as error:
        problems.append(f"{label}: {error}")
        return None
    return line


def chosen(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """The lines of these names in the order of the campaign; all of them without names.

    Raises:
        InputError: a name that no line has.
    """
    known = [line.name for line in lines]
    for name in names:
        if name not in known:
            raise InputError(f"no line {name!r} in the campaign.{did_you_mean(name, known)} Known: {', '.join(known)}")
    return [line for line in lines if not names or line.name in names]


def progress(line: Line, ledger: Ledger) -> Progress:
    """How far a line is; runs nothing, but has to read the data that the trials read."""
    from lowres import registry

    trials: list[Trial] = registry.planned(line.module(), line.resolved(), ledger)
    keys = list(dict.fromkeys(_key(trial) or trial for trial in trials))
    known = [key for key in keys if isinstance(key, str)]
    states = [record.status for key in known if (record := ledger.get(key))]
    running = sum(ledger.is_claimed(key) for key in known)
    return Progress(len(keys), states.count("done"), running, states.count("failed"))


def _key(trial: Trial) -> str:
    """The key of a trial; empty while the rationales that it reads are yet to be written."""
    try:
        return trial.key()
    except InputError:
        if trial.recipe.rationale == "none":
            raise
        return ""


class _Known(Ledger):
    """A ledger that is read only, with what is published beside its own records: a new machine has done that too."""

    def __init__(self, ledger: Ledger, published: Mapping[str, Record]) -> None:
        super().__init__(ledger.folder, writes=False)
        self.published = published

    def get(self, key: str) -> Record | None:
        return super().get(key) or self.published.get(key)


def table(lines: Sequence[Line], ledger: Ledger) -> str:
    """Done, running and left of every line; what is published is done."""
    from lowres.ledger.published import read_confirmatory

    found = {record.key: record for study in {line.study for line in lines} for record in read_confirmatory(study)}
    known = _Known(ledger, found)
    rows: list[tuple[str, ...]] = [COLUMNS]
    for line in lines:
        now = progress(line, known)
        counts = (now.planned, now.done, now.running, now.failed, now.left)
        rows.append((line.name, line.study, f"{line.hours:g}", *map(str, counts)))
    return aligned(rows)


def run(lines: Sequence[Line], ledger: Ledger, **how: Any) -> dict[str, list[Record]]:
    """Run the lines in their order; the records of each, failed trials among them.

    A line that waits for other shards does not keep this one from the next.

    Args:
        how: `workers`, `progress` and `on`, as in `lowres.engine.run`.
    """
    from lowres import registry
    from lowres.elsewhere import OtherShards
    from lowres.ledger.published import read_confirmatory

    for study in dict.fromkeys(line.study for line in lines):
        for record in read_confirmatory(study):  # a ledger is one machine only; what is published is not run again
            if ledger.get(record.key) is None:
                ledger.put(record)
    found: dict[str, list[Record]] = {}
    for line in lines:
        try:
            found[line.name] = registry.execute(line.module(), line.resolved(), ledger, **how)
        except OtherShards as waiting:
            found[line.name] = waiting.records
    return found
