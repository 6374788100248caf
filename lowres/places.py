"""Where records and what belongs to them are kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

LEDGER = "LOWRES_LEDGER"
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
RATIONALES = "rationales"  # folder of written rationales, in a ledger and in the results


@contextlib.contextmanager
def ledger_at(folder: Path | str | None) -> Iterator[None]:
    """The usual ledger is elsewhere for a while, in this process and those that it starts; None changes nothing."""
    with environment({LEDGER: str(folder)} if folder else {}):
        yield


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables have other values for a while, in this process and those that it starts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def ledger_folder() -> Path:
    """$LOWRES_LEDGER, else `_ledger` beside the package."""
    return Path(os.environ.get(LEDGER) or ROOT / "_ledger").expanduser()
