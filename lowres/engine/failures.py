"""The records of trials that ended in an error."""

from __future__ import annotations

from lowres.provenance import provenance
from lowres.trial import Record, Trial, fingerprints


def failed(trial: Trial, error: BaseException | str) -> Record:
    """The record of a trial that ended in an error."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {explain(error)}"
    return Record(trial.key(), "failed", trial.spec(), fingerprints(trial), provenance=provenance(None), error=text)


def explain(error: BaseException) -> str:
    """An error's text; for lack of memory, what to lower."""
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        first = text.splitlines()[0] if text else "out of memory"
        return f"{first}. Lower batch_size, the task's prompt length or --workers, or take a smaller model."
    return text
