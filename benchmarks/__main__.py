"""Run the comparisons, print one table, write results/bench.json."""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.util
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.rows import Row

MODULES = ("scoring", "training")  # each has `rows(rounds: int) -> Iterator[Row]`
RESULTS = Path(__file__).parent.parent / "results" / "bench.json"
PACKAGES = ("torch", "transformers", "peft", "accelerate", "pyreft", "lm_eval")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=MODULES, help="run one module's comparisons, keep the other rows on file")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per comparison (default 3)")
    asked = parser.parse_args()
    named = [name for name in MODULES if asked.only in (None, name)]
    held = [name for name in named if importlib.util.find_spec(f"benchmarks.{name}")]
    every: list[Row] = []
    for name in held:
        found: list[Row] = []
        for row in importlib.import_module(f"benchmarks.{name}").rows(asked.rounds):
            print(f"{row.work}, {row.precision}: {row.ratio:.2f} times as fast", flush=True)
            found.append(row)
            write({name: [each.as_dict() for each in found]})  # what is measured is kept, whatever happens next
        every += found
    print(table(every))


def table(rows: list[Row]) -> str:
    """One line per row, columns aligned."""
    head = ("work", "peer", "precision", "unit/s", "peer unit/s", "ratio", "reach", "MB", "peer MB")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    rates = (f"{row.ours_rate:.1f} {row.unit}", f"{row.peer_rate:.1f}")
    memory = (f"{size / 1e6:.0f}" if size else "-" for size in (row.ours_memory, row.peer_memory))
    return (row.work, row.peer, row.precision, *rates, f"{row.ratio:.2f}", f"{row.reach:g}", *memory)


def write(found: dict[str, list[dict[str, Any]]]) -> None:
    """Replace the modules that ran; each keeps the machine and the day it was measured on."""
    file = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name, rows in found.items():
        file[name] = {**machine(), "rows": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(file, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Date, hardware and versions."""
    import torch

    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.processor())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
