"""Models of the Hub: fetched once, and what stands in the way told in a sentence that says what to do."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from lowres.params import InputError

FETCHING = ContextVar("fetching", default=True)
SIZES_ALONE = ContextVar("sizes alone", default=False)
FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


def check_name(name: str) -> str | None:
    """What is wrong with the form of a Hub id, or None; owner/name@revision names a branch, tag or commit."""
    if "://" in name or name.startswith(("huggingface.co/", "hf.co/")):
        return f"write owner/name, not the address of a page: {'/'.join(name.rstrip('/').split('/')[-2:])}"
    if "/" in name and name.endswith("@"):
        return f"nothing stands behind @: write {name[:-1]}, or {name}REVISION with a branch, tag or commit"
    return None


def _parts(name: str) -> tuple[str, str | None]:
    """The id of a repository, and the revision that is asked for."""
    identifier, _, revision = name.partition("@")
    return identifier, revision or None


@contextlib.contextmanager
def nothing_fetched(sizes_alone: bool = False) -> Iterator[None]:
    """Within: a model of the Hub that is not on this machine is away, for a plan that does without it.

    Args:
        sizes_alone: every model is, so that a plan reads neither models nor data.
    """
    tokens = FETCHING.set(False), SIZES_ALONE.set(sizes_alone)
    try:
        yield
    finally:
        FETCHING.reset(tokens[0])
        SIZES_ALONE.reset(tokens[1])


def is_away(name: str) -> bool:
    """Whether a model would have to be fetched where nothing is to be; elsewhere it is fetched, so none is away."""
    if SIZES_ALONE.get():
        return True
    identifier, revision = _parts(name)
    if FETCHING.get() or identifier.count("/") != 1 or Path(name).expanduser().is_dir():
        return False
    from huggingface_hub import snapshot_download

    patterns = [*FILES, "*.bin"]
    try:
        found = Path(snapshot_download(identifier, revision=revision, allow_patterns=patterns, local_files_only=True))
    except Exception:  # of a dozen kinds: it is not here
        return True
    return not any((*found.glob("*.safetensors"), *found.glob("*.bin")))


@functools.cache
def folder(name: str) -> Path:
    """The folder of the Hub's cache with the files of a model, downloaded if they are not there.

    Raises:
        InputError: they cannot be had, and what to do about it.
    """
    from huggingface_hub import snapshot_download

    identifier, revision = _parts(name)
    try:
        found = Path(snapshot_download(identifier, revision=revision, allow_patterns=FILES))
        if not any(found.glob("*.safetensors")):  # older models have their weights in another format
            found = Path(snapshot_download(identifier, revision=revision, allow_patterns=[*FILES, "*.bin"]))
        return found
    except Exception as error:  # the Hub raises a dozen kinds; each means that the files are not to be had
        raise InputError(f"model {name!r} {_reason(name, error)}") from error


def _reason(name: str, error: Exception) -> str:
    identifier, revision = _parts(name)
    command = f"hf download {identifier}" + (f" --revision {revision}" if revision else "")
    kinds = [kind.__name__ for kind in type(error).__mro__]
    if "GatedRepoError" in kinds:
        return (
            f"is gated: accept its terms at https://huggingface.co/{identifier}, log in with `hf auth login`, and run "
            f"{command}"
        )
    if "RevisionNotFoundError" in kinds:
        return (
            f"has no revision {revision!r}: a branch, a tag or a commit, as in "
            f"https://huggingface.co/{identifier}/commits"
        )
    if "RepositoryNotFoundError" in kinds:
        return "is not on the Hub, or is private: look at the spelling of owner/name, or log in with `hf auth login`"
    if "HFValidationError" in kinds:
        return "is no Hub id: that is owner/name, of letters, digits, '-', '_' and '.'"
    return (
        f"is a Hub id, it is not on this machine, and it could not be fetched ({type(error).__name__}). With a "
        f"network, run: {command}   and then again; or pass the path of a folder that holds config.json, the "
        "tokenizer and *.safetensors. Without a network: smollm2-135m-instruct."
    )
