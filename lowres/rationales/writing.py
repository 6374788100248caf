"""Write rationales once, to a file named by the content of the request, and go on where a killed run stopped."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lowres import models, world
from lowres.data import Example, TaskOptions, load_task
from lowres.examples import digest
from lowres.machine import helper
from lowres.models import hubmodels
from lowres.params import InputError
from lowres.places import RATIONALES, ledger_folder
from lowres.rationales import asking, endpoint, prompts, teaching
from lowres.rationales.asking import AskedWriter
from lowres.rationales.endpoint import Endpoint, EndpointError
from lowres.rationales.prompts import ReasoningPrompt
from lowres.rationales.teaching import Teaching
from lowres.rationales.writers import Draft, EndpointWriter, LocalWriter, Sampling, Writer

WORLD_TASK = "world-two-hop"

UNKNOWN = "unknown"  # the file of a model that is not on this machine: its name would follow from the content


@dataclass(frozen=True)
class Request:
    """Which model writes rationales for which task, and how. What is written depends on nothing else.

    `version` is that of the task's reasoning prompt (0: whichever is there), `exemplars` a JSONL file of worked
    examples for a task that has none, `url` the endpoint of a model that is not on this machine. Besides the greedy
    rationale, `samples` paths are drawn at `temperature` for self-consistency. `teaching` is for world models, unless
    they are only `asked` for one step after the other; `chat_format` is that of `lowres.models.load`.
    """

    model: str
    task: str
    options: TaskOptions = TaskOptions()
    version: int = 0
    exemplars: str = ""
    max_new_tokens: int = 96
    url: str = ""
    samples: int = 0
    temperature: float = 0.7
    seed: int = 0
    teaching: Teaching = Teaching()
    asked: bool = False
    chat_format: str = "auto"

    @property
    def is_taught(self) -> bool:
        """Whether a world model writes, which is taught instead of prompted."""
        return not self.url and not self.asked and world.is_world_model(self.model)

    def prompt(self) -> ReasoningPrompt | None:
        """The reasoning prompt; None for a world model and for one that is asked.

        Raises:
            InputError: there is none, it is malformed, or it is of another version.
        """
        if self.is_taught or self.asked:
            return None
        found = prompts.load(self.task, self.exemplars)
        if self.version not in (0, found.version):
            raise InputError(f"{found.place} is of version {found.version}, not {self.version}")
        return found

    def identity(self) -> dict[str, Any]:
        """Everything that the rationales depend on, as plain values: of the prompt its text, not the name of a file."""
        prompt, fields = self.prompt(), asdict(self)
        for name in ("version", "exemplars"):
            del fields[name]
        if not self.is_taught:
            del fields["teaching"]
        if not self.asked:
            del fields["asked"]
        if self.chat_format != "off":  # "on" insists on what "auto" finds
            del fields["chat_format"]
        if not self.samples:
            del fields["temperature"], fields["seed"]
        return {
            "request": fields,
            "model": "" if self.url else models.fingerprint(self.model),
            "prompt": [prompt.turns(""), prompt.text("")] if prompt else [],
        }

    def key(self) -> str:
        """Sixteen hex digits over the identity."""
        return digest(json.dumps(self.identity(), sort_keys=True))

    def file_name(self) -> str:
        """Task, model and key: what a recipe names to use these rationales."""
        if not self.url and hubmodels.is_away(self.model):
            return UNKNOWN
        names = (Path(name).name[:40] for name in (self.task, self.model))
        return named_file(*names, self.key())

    def problems(self) -> list[str]:
        """What is wrong with the request, in words. Loads no model and no data."""
        name = endpoint.check_url(self.url) if self.url else models.check_name(self.model)
        found = [name] if name else []
        if self.is_taught and self.task != WORLD_TASK:
            found.append(f"a world model writes rationales for {WORLD_TASK} alone, not for {self.task!r}")
        if self.asked:
            found += asking.problems(self.model, self.task, self.samples)
        if self.max_new_tokens < 1:
            found.append(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if self.samples < 0 or self.temperature <= 0:
            found.append(
                f"samples must be at least 0 and the temperature above 0, not {self.samples} and {self.temperature}"
            )
        return found


def named_file(*parts: str) -> str:
    """A file of rationales, its name made of parts with "_" between them and nowhere else."""
    return "_".join(re.sub(r"[^A-Za-z0-9.@~-]+", "-", part) for part in parts) + ".jsonl"


def named_by_content(path: Path) -> str:
    """The name that a user's own file of rationales has in the ledger.

    Raises:
        InputError: the file cannot be read.
    """
    return named_file("file", path.stem, hashlib.sha256(_content(path)).hexdigest()[:16])


def take_over(path: Path) -> Path:
    """Copy a user's own file of rationales to the ledger, under the name of its content."""
    kept = ledger_folder() / RATIONALES / named_by_content(path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(_content(path))
    unfinished.replace(kept)
    return kept


def _content(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise InputError(f"beta is file:{path}, which cannot be read: {error.strerror}") from error


def missing(needed: Mapping[Request, Sequence[Example]]) -> dict[Request, int]:
    """How many of the rationales that requests need are still to be written."""
    from lowres.data import rationales

    found = {}
    for request, examples in needed.items():
        try:
            there = rationales.read(rationales.find(request.file_name()))
        except InputError:
            there = {}
        found[request] = sum(
            example.id not in there or there[example.id].prompt not in ("", digest(example.prompt))
            for example in examples
        )
    return {request: count for request, count in found.items() if count}


def complete(needed: Mapping[Request, Sequence[Example]], progress: bool = True) -> None:
    """Write what is missing; what is published is unpacked, not written again."""
    from lowres.data import rationales
    from lowres.ledger import write_atomically

    for request in missing(needed):
        mine, packed = (folder / request.file_name() for folder in rationales.folders())
        if not mine.is_file() and (packed := packed.with_name(f"{packed.name}.gz")).is_file():
            mine.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(mine, gzip.decompress(packed.read_bytes()))
        write(request, needed[request], progress=progress)


def place(request: Request, folder: Path | None = None) -> Path:
    """The file of a request, written or not, in `folder` or the ledger's folder of rationales."""
    return (folder or ledger_folder() / RATIONALES) / request.file_name()


def write(
    request: Request,
    examples: Sequence[Example],
    folder: Path | None = None,
    progress: bool = True,
    writer: Writer | None = None,
) -> Path:
    """Write the rationales of these examples that are not in the request's file yet; returns the file.

    A world model writes as its trials compute, alike on every machine. Finished rationales are never written again: a
    run that was killed, or that an endpoint let down, goes on with the missing ones. Processes that ask for the same
    file wait for one another.

    Args:
        writer: who writes, instead of `writer_of(request)`.

    Raises:
        InputError: a bad request, a worked example that is also in the data, an endpoint that gives no answer.
    """
    if problems := request.problems():
        raise InputError(*problems)
    if writer is not None or request.url:
        return _write(request, examples, folder, progress, writer)
    return helper.perform(models.is_exact(request.model), _write, request, tuple(examples), folder, progress)


def _write(
    request: Request, examples: Sequence[Example], folder: Path | None, progress: bool, writer: Writer | None = None
) -> Path:
    from filelock import FileLock

    prompt = request.prompt()
    if prompt:
        prompts.check_leaks(prompt, load_task(request.task, request.options))
    path = place(request, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create {path.parent}: {error.strerror}. Set LOWRES_LEDGER.") from error
    with FileLock(f"{path}.lock"):
        kept = _kept(path)
        missing = [example for example in examples if kept.get(example.id) != digest(example.prompt)]
        if missing:
            _write_missing(path, missing, writer or writer_of(request), len(examples), progress)
    return path


def writer_of(request: Request) -> Writer:
    """Who writes what a request asks for. Loads the model, and teaches it where it is one of the world."""
    sampling, prompt = Sampling(request.samples, request.temperature, request.seed), request.prompt()
    if request.url:
        assert prompt is not None
        return EndpointWriter(Endpoint(request.url, request.model, request.max_new_tokens), prompt, sampling)
    if request.asked:
        return AskedWriter(models.load(request.model, chat_format=request.chat_format))
    if request.is_taught:
        taught = teaching.taught(request.model, request.teaching)
        return LocalWriter(taught, None, request.max_new_tokens, sampling, chunk=64)
    own = models.load(request.model, chat_format=request.chat_format)
    return LocalWriter(own, prompt, request.max_new_tokens, sampling)


# --- the file --------------------------------------------------------------------------------------------------------


def _kept(path: Path) -> dict[str, str]:
    """Digest of the prompt by id of the rows in a file. A half-written last line is cut off the file."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    lines = enumerate(content[:whole].splitlines(), start=1)
    return dict(_identified(path, number, line) for number, line in lines if line.strip())


def _identified(path: Path, number: int, line: bytes) -> tuple[str, str]:
    with contextlib.suppress(ValueError):
        row = json.loads(line)
        if isinstance(row, dict) and isinstance(row.get("id"), str):
            return row["id"], str(row.get("prompt", ""))
    raise InputError(f"{path} line {number} is no rationale: remove the line, it will be written again")


def _write_missing(path: Path, missing: Sequence[Example], writer: Writer, wanted: int, progress: bool) -> None:
    """Append chunk after chunk, each on the disk before the next one begins."""
    done = wanted - len(missing)
    bar = tqdm(total=wanted, initial=done, desc="rationales", unit="item", disable=not progress, mininterval=1.0)
    with bar:
        for start in range(0, len(missing), writer.chunk):
            chunk = missing[start : start + writer.chunk]
            try:
                drafts = writer.drafts(chunk)
            except EndpointError as error:
                raise EndpointError(
                    f"{error}. {done + start} of {wanted} rationales are kept in {path}: the same command goes on there"
                ) from None
            _append(path, [row_of(*pair) for pair in zip(chunk, drafts, strict=True)])
            bar.update(len(chunk))


def _append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add lines to the end of a file and see them to the disk."""
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "replace")
    try:
        with path.open("ab") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}. Free some space or set LOWRES_LEDGER.") from error


def row_of(example: Example, draft: Draft) -> dict[str, Any]:
    """A line of the file, as `lowres.data.rationales` reads it."""
    row = {
        "id": example.id,
        "prompt": digest(example.prompt),
        "rationale": draft.parsed.text,
        "answer": draft.parsed.answer,
        "prompt_tokens": draft.prompt_tokens,
        "new_tokens": draft.new_tokens,
        "seconds": round(draft.seconds, 4),
        "truncated": draft.parsed.truncated,
    }
    return row | ({"samples": list(draft.samples)} if draft.samples else {})
