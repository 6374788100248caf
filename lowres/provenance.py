"""Where and with what a record was made; none of it enters a key."""

from __future__ import annotations

import datetime
import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from lowres import machine
from lowres.models import LanguageModel
from lowres.syntax import source_fingerprint

PACKAGE = Path(__file__).parent
RECORD_MAKING = (  # what RESULT_VERSION stands for
    *("trial.py", "material.py", "prompt.py", "room.py", "recovery.py", "machine.py", "models.py", "checkpoints.py"),
    *(
        "optimisation.py",
        "train.py",
        "fast",
        "precision.py",
        "attention.py",
        "frozen.py",
        "evaluate",
        "tuners",
        "data",
        "world",
    ),
)


def provenance(language_model: LanguageModel | None) -> dict[str, str]:
    """Where and with what a record was made; none of it enters the key."""
    import torch

    facts: dict[str, str] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "code": code_fingerprint(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "hardware": hardware(),
        "threads": str(torch.get_num_threads()),
    }
    if language_model is not None:
        facts["device"] = language_model.device.type
        facts["precision"] = "bf16" if language_model.autocast else "fp32"
        facts["arithmetic"] = machine.proof()
    for package in ("torch", "transformers", "peft", "numpy"):
        facts[package] = metadata.version(package)
    return facts


@functools.cache
def code_fingerprint() -> str:
    """Hash over the code that makes records, without comments and docstrings."""
    return source_fingerprint(PACKAGE, RECORD_MAKING)


@functools.cache
def commit() -> str:
    """The commit of this checkout, with "+" when files differ from it; "unknown" outside a checkout."""
    try:
        command = ["git", "-C", str(PACKAGE), "describe", "--always", "--dirty=+", "--abbrev=10"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


@functools.cache
def hardware() -> str:
    """The GPU's name, or the processor's with its number of cores."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models_found = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = models_found[0] if models_found else name
    return f"{name}, {os.cpu_count()} cores"
