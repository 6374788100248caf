"""What a run of the study would cost, and which of its trials can run at once: some wait for their rationales."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lowres.params import InputError
from lowres.studies.fiat.arms import ARMS, settings
from lowres.studies.fiat.params import NO_BASE, Params

if TYPE_CHECKING:
    from lowres.ledger import Ledger
    from lowres.trial import Trial

RECORDED, READY, WAITING = "recorded", "ready", "waiting"
GPU_FLOPS = 4e14  # bf16, 40 percent of what an H100 can
LONGEST = 512  # tokens of an example
HUB_MODELS = {"google/flan-t5-xl": 2.85, "google/t5-v1_1-xl": 2.85, "google/flan-t5-xxl": 11.1}  # billions


def states(listed: Sequence[Trial], ledger: Ledger) -> list[str]:
    """Of each trial whether it is recorded, ready to run, or waiting for rationales that are yet to be written."""
    return [_state(trial, ledger) for trial in listed]


def _state(trial: Trial, ledger: Ledger) -> str:
    from lowres.engine.pool import is_settled

    try:
        key = trial.key()
    except InputError:
        if trial.recipe.rationale == "none":
            raise
        return WAITING
    return RECORDED if is_settled(ledger.get(key), "") else READY


def plan(params: Params, ledger: Ledger) -> str:
    """Rationales still to be written, then the trials that can run now with their minutes, then those that wait."""
    from lowres import engine, studies
    from lowres.studies import fiat

    if away := _away(params):
        return _from_afar(params, away)
    listed = studies.planned(fiat, params, ledger)
    found = states(listed, ledger)
    ready = [trial for trial, state in zip(listed, found, strict=True) if state != WAITING]
    parts = [_rationales(params)]
    parts += [engine.plan(ready, ledger)] if ready else []
    waiting = [trial.arm for trial, state in zip(listed, found, strict=True) if state == WAITING]
    parts += [_waiting(waiting)] if waiting else []
    return "\n\n".join(parts)


def _rationales(params: Params) -> str:
    from lowres.studies.fiat import writing

    missing = writing.missing(params)
    if not missing:
        return "No rationale is to be written: all are there, or come with the data or from a file."
    written = ", ".join(f"{count:,} by {one.model}" for one, count in missing.items())
    return f"Rationales to be written first, at most {params.max_new_tokens} tokens each: {written}."


def _waiting(names: Sequence[str]) -> str:
    counts = ", ".join(f"{name} ({count})" for name, count in Counter(names).items())
    more = "1 more trial waits" if len(names) == 1 else f"{len(names)} more trials wait"
    return f"{more} for rationales: {counts}. The run writes them first; the plan counts these trials after that."


# --- models that are not here ----------------------------------------------------------------------------------------


def _away(params: Params) -> list[str]:
    """The models of a run that would have to be fetched, which nobody wants for a plan."""
    from lowres import models, world

    needed = [params.tau, params.base, "" if params.beta_url else params.beta]
    known = ("own", NO_BASE)
    return [
        name
        for name in dict.fromkeys(name for name in needed if name)
        if name not in (*known, *models.IN_WHEELS)
        and not name.startswith("file:")
        and not world.is_world_model(name)
        and not Path(name).expanduser().is_dir()
    ]


def _from_afar(params: Params, away: Sequence[str]) -> str:
    """The number of trials, and hours of a card for models whose size is known."""
    every, seeds = settings(params), len(params.seeds or ())
    tuned = [setting for setting in every if ARMS[setting.arm].tuned]
    tries = len(params.rate_factors or ()) if len(params.rate_factors or ()) > 1 else 0
    rates = tries * len(params.examples or ()) * len({(ARMS[s.arm].tuner, "B" in ARMS[s.arm].factors) for s in tuned})
    rationales = (params.pool or 0) + (params.items or 0)
    text = (
        f"{', '.join(away)}: not on this machine and not fetched for a plan. {rates} trials choose learning rates, "
        f"{len(tuned) * seeds} are tuned, {len(every) - len(tuned)} arms are not; beta writes up to {rationales:,} "
        "rationales."
    )
    tau, beta = HUB_MODELS.get(params.tau or ""), HUB_MODELS.get(params.beta or "")
    if tau is None or beta is None:
        return text
    seen = (len(tuned) * seeds + rates) * (params.updates or 0) * params.batch_size
    answered = (len(every) * seeds + rates) * (params.items or 0)
    tokens = 6 * tau * seen + 2 * tau * answered + 2 * beta * rationales * (1 + (params.samples or 0))
    hours = tokens * 1e9 * LONGEST / GPU_FLOPS / 3600
    return f"{text} About {hours:.1f} hours of one H100 at {LONGEST} tokens per example, without the loading."
