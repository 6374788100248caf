"""Where records and what belongs to them are kept."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"


def ledger_folder() -> Path:
    """$LOWRES_LEDGER, else `_ledger` beside the package."""
    return Path(os.environ.get("LOWRES_LEDGER") or ROOT / "_ledger").expanduser()
