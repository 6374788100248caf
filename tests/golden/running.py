"""Run the golden trials."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowres import trial
from lowres.trial import Record, Trial
from tests.golden import content
from tests.golden.architectures import Shelf
from tests.golden.verdict import kept_of


def outcomes_of(trials: Mapping[str, Trial]) -> dict[str, Any]:
    """What each trial gives, by name; specs and records go through JSON on the way, as those of a study do."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            tempfile.TemporaryDirectory() as name,
            content.in_place(Path(name)),
            contextlib.redirect_stderr(io.StringIO()),  # progress bars
        ):
            shelf = Shelf(Path(name) / "models")
            return {case: kept_of(_run(replace(made, model=shelf(made.model)))) for case, made in trials.items()}
    finally:
        torch.set_num_threads(before)


def _run(made: Trial) -> Record:
    again = trial.trial_from(json.loads(json.dumps(made.spec())))
    return trial.from_dict(json.loads(json.dumps(trial.run(again, "cpu").as_dict())))
