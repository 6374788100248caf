"""Written rationales in JSONL files (a minimal stand-in until the full module is merged)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from lowres.params import InputError

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Written:
    """What was written about one example."""

    text: str
    answer: str = ""
    samples: tuple[str, ...] = ()
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0
    truncated: bool = False


def folders() -> tuple[Path, ...]:
    """The ledger's folder of rationales, then the published one."""
    ledger = Path(os.environ.get("LOWRES_LEDGER") or ROOT / "_ledger").expanduser()
    return ledger / "rationales", ROOT / "results" / "rationales"


def find(name: str) -> Path:
    """The file of that name in the first of the `folders` that has it."""
    for folder in folders():
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"no rationales {name!r} in {' or '.join(map(str, folders()))}")


def read(path: Path) -> dict[str, Written]:
    """The rationales of a file by the id of their example; of two about one example the later one counts."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found[row["id"]] = Written(
                row["rationale"],
                row.get("answer", ""),
                tuple(row.get("samples", ())),
                row.get("prompt_tokens", 0),
                row.get("new_tokens", 0),
                row.get("seconds", 0.0),
                row.get("truncated", False),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} line {number}: {error}") from error
    return found
