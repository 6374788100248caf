"""Which rationales a run needs, who writes them, and what is still to be written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lowres import hubmodels
from lowres.data import TaskOptions
from lowres.data.rationales import OWN
from lowres.params import InputError
from lowres.studies import seeded
from lowres.studies.fiat.params import FILE

if TYPE_CHECKING:
    from lowres.data import Example
    from lowres.ledger import Ledger
    from lowres.rationales import Request
    from lowres.studies.fiat.arms import Arm
    from lowres.studies.fiat.params import Params
    from lowres.trial import Trial

RECORDED, READY, WAITING = "recorded", "ready", "waiting"
UNKNOWN = "unknown"  # the file of a beta that is not on this machine: its name would follow from the content


def file_name(params: Params, arm: Arm, seed: int) -> str:
    """What an arm's recipe names: a file in the ledger's folder of rationales, or the data's own rationales."""
    beta = params.beta or ""
    if OWN in (beta, arm.rationales):
        return OWN
    if beta.startswith(FILE):
        return _users_file(Path(beta.removeprefix(FILE)).expanduser())[1]
    asked = request(params, seed, arm.use == "as-vote")
    return UNKNOWN if _is_away(asked) else asked.file_name()


def _is_away(asked: Request) -> bool:
    return not asked.url and hubmodels.is_away(asked.model)


def request(params: Params, seed: int, sampled: bool) -> Request:
    """What is asked of beta; the beta of a world's seed is that seed's model."""
    from lowres.rationales import Request

    return Request(
        model=(params.beta or "") if params.beta_url else seeded(params.beta or "", seed),
        task=params.task or "",
        options=TaskOptions.of(params),
        exemplars=params.exemplars or "",
        max_new_tokens=params.max_new_tokens,
        url=params.beta_url or "",
        samples=(params.samples or 0) if sampled else 0,
        asked=params.asked,
        chat_format=params.chat_format,
    )


def _users_file(path: Path) -> tuple[bytes, str]:
    """A user's file, and its name in the ledger: by its content."""
    import hashlib

    from lowres.rationales.writing import named_file

    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"beta is {FILE}{path}, which cannot be read: {error.strerror}") from error
    return content, named_file("file", path.stem, hashlib.sha256(content).hexdigest()[:16])


def needed(params: Params) -> dict[Request, list[Example]]:
    """The examples that beta has to reason about, by request: the pool where something is trained, and test items."""
    from lowres.data import load_task, rationales
    from lowres.studies.fiat.arms import ARMS, settings

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
    from lowres.data import rationales
    from lowres.data.examples import digest

    found = {}
    for one, examples in needed(params).items():
        try:
            there = {} if _is_away(one) else rationales.read(rationales.find(one.file_name()))
        except InputError:
            there = {}
        written = {name for name, rationale in there.items()}
        known = {e.id for e in examples if e.id in written and there[e.id].prompt in ("", digest(e.prompt))}
        found[one] = len(examples) - len(known)
    return {one: count for one, count in found.items() if count}


def to_prepare(params: Params) -> list[str]:
    """The rationales that are still to be written, and where beta's size is known what that takes."""
    from lowres.engine import cost

    lines = []
    for one, count in missing(params).items():
        line = f"To be written first: {count:,} rationales by {one.model}, at most {one.max_new_tokens} tokens each"
        if not one.url:
            tokens = count * (1 + one.samples) * (cost.EXAMPLE + one.max_new_tokens)
            card = cost.smallest_card(cost.PROCESS + 2 * cost.size(one.model).weights / 1e9) or cost.CARDS[-1]
            seconds = tokens * cost.seconds_per_token(cost.size(one.model), card, 1, card.room)
            line += f" (at least {seconds / 60:,.1f} minutes on one {card.name})"
        lines.append(f"{line}.")
    return lines


def states(listed: Sequence[Trial], ledger: Ledger) -> list[str]:
    """Of each trial whether it is recorded, ready to run, or waiting for rationales that are yet to be written."""
    from lowres.engine.planning import is_recorded, known_key

    return [
        WAITING if known_key(trial) is None else RECORDED if is_recorded(trial, ledger) else READY for trial in listed
    ]


def prepare(params: Params, progress: bool = True) -> None:
    """Write what is missing, or take over the user's file; what is published is not written again.

    Raises:
        InputError: beta cannot be reached, a worked example is in the data, the user's file cannot be read.
    """
    from lowres.data import rationales
    from lowres.ledger import write_atomically
    from lowres.rationales import write

    ledger, published = rationales.folders()
    beta = params.beta or ""
    if beta.startswith(FILE):
        content, name = _users_file(Path(beta.removeprefix(FILE)).expanduser())
        ledger.mkdir(parents=True, exist_ok=True)
        write_atomically(ledger / name, content)
        return
    examples = needed(params)
    for one in missing(params):
        known = published / one.file_name()
        if known.is_file() and not (ledger / known.name).exists():
            ledger.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(known, ledger / known.name)
        write(one, examples[one], ledger, progress)
