"""Which rationales a run needs, who writes them, and what is still to be written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lowres.data import TaskOptions
from lowres.data.rationales import OWN
from lowres.models import hubmodels
from lowres.studies import seeded
from lowres.studies.fiat.arms import ARMS, Arm
from lowres.studies.fiat.params import FILE, Params
from lowres.studies.fiat.settings import settings

if TYPE_CHECKING:
    from lowres.data import Example
    from lowres.rationales import Request


def file_name(params: Params, arm: Arm, seed: int) -> str:
    """What an arm's recipe names: a file in the ledger's folder of rationales, or the data's own rationales."""
    from lowres.rationales import named_by_content

    beta = params.beta or ""
    if OWN in (beta, arm.rationales):
        return OWN
    if beta.startswith(FILE):
        return named_by_content(Path(beta.removeprefix(FILE)))
    asked = request(params, seed, arm.use == "as-vote")
    return asked.file_name()


def _is_away(asked: Request) -> bool:
    return not asked.url and hubmodels.is_away(asked.model)


def request(params: Params, seed: int, sampled: bool) -> Request:
    """What is asked of beta; the beta of a world's seed is that seed's model."""
    from lowres.rationales import Request, asking

    possible = not asking.problems(params.beta or "", params.task or "", params.samples or 0)
    return Request(
        model=(params.beta or "") if params.beta_url else seeded(params.beta or "", seed),
        task=params.task or "",
        options=TaskOptions.of(params),
        exemplars=params.exemplars or "",
        max_new_tokens=params.max_new_tokens,
        url=params.beta_url or "",
        samples=(params.samples or 0) if sampled else 0,
        asked=possible if params.asked is None else params.asked,
        chat_format=params.chat_format,
    )


def needed(params: Params) -> dict[Request, list[Example]]:
    """The examples that beta has to reason about, by request: the pool where something is trained, and test items."""
    from lowres.data import load_task, rationales

    beta, task = params.beta or "", load_task(params.task or "", TaskOptions.of(params))
    if beta == OWN or beta.startswith(FILE):
        return {}
    arms = [ARMS[setting.arm] for setting in settings(params) if ARMS[setting.arm].use != "none"]
    found: dict[Request, dict[str, Example]] = {}
    for seed in params.seeds or ():
        for arm in (arm for arm in arms if arm.rationales != OWN):
            train = rationales.pool_of(task, params.pool or 0) if arm.tuned else ()
            asked = found.setdefault(request(params, seed, arm.use == "as-vote"), {})
            asked.update({example.id: example for example in (*train, *task.test[: params.items])})
    return {one: list(examples.values()) for one, examples in found.items()}


def missing(params: Params) -> dict[Request, int]:
    """How many rationales are still to be written, by request."""
    from lowres import rationales

    asked = needed(params)
    away = {one: len(examples) for one, examples in asked.items() if _is_away(one)}
    return away | rationales.missing({one: examples for one, examples in asked.items() if one not in away})


def to_prepare(params: Params) -> list[str]:
    """The rationales that are still to be written, and where beta's size is known what that takes."""
    from lowres.engine import cost

    lines = []
    for one, count in missing(params).items():
        line = f"To be written first: {count:,} rationales by {one.model}, at most {one.max_new_tokens} tokens each"
        if not one.url:
            tokens = count * (1 + one.samples) * (cost.EXAMPLE + one.max_new_tokens)
            card = cost.smallest_card(cost.PROCESS + 2 * cost.size(one.model).weights / 1e9) or cost.CARDS[-1]
            seconds = cost.reading_seconds(one.model, tokens, card)
            line += f" (at least {seconds / 60:,.1f} minutes on one {card.name})"
        lines.append(f"{line}.")
    return lines


def prepare(params: Params, progress: bool = True) -> None:
    """Write what is missing, or take over the user's file; what is published is not written again.

    Raises:
        InputError: beta cannot be reached, a worked example is in the data, the user's file cannot be read.
    """
    from lowres import rationales

    beta = params.beta or ""
    if beta.startswith(FILE):
        rationales.take_over(Path(beta.removeprefix(FILE)))
    else:
        rationales.complete(needed(params), progress)
