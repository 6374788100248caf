"""Where records and what belongs to them are kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

LEDGER = "LOWRES_LEDGER"
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"


@contextlib.contextmanager
def ledger_at(folder: Path | str | None) -> Iterator[None]:
    """The usual ledger is elsewhere for a while, in this process and those that it starts; None changes nothing."""
    before = os.environ.get(LEDGER)
    if folder:
        os.environ[LEDGER] = str(folder)
    try:
        yield
    finally:
        if folder:
            os.environ.pop(LEDGER)
            os.environ.update({LEDGER: before} if before is not None else {})


def ledger_folder() -> Path:
    """$LOWRES_LEDGER, else `_ledger` beside the package."""
    return Path(os.environ.get(LEDGER) or ROOT / "_ledger").expanduser()
