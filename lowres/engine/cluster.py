"""Trials on other machines, through Parsl: SLURM, PBS, Kubernetes, or several graphics cards in one box.

The command that was started keeps the ledger, alone: a worker is sent a trial and sends its record back, so neither
locks nor a shared ledger are needed. What a trial reads (models, own data, rationales) has the same paths there.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from lowres.params import InputError
from lowres.places import ledger_at, ledger_folder

P = ParamSpec("P")
T = TypeVar("T")
Sent = TypeVar("Sent")


class Cluster:
    """The workers that a file describes by a Parsl `Config`; they are asked for when the first function is sent.

    To be used in a `with` statement, which gives all blocks back at its end, also after Ctrl-C. Parsl's usage tracking
    is off, whatever the file says; its logs go to `parsl/` in the ledger unless the file names another folder.

    Raises:
        InputError: the file cannot be run or holds no `config`.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.config = _config(file)
        self.config.usage_tracking = 0
        if self.config.run_dir == "runinfo":  # Parsl's default: wherever the command was started
            self.config.run_dir = str(ledger_folder().absolute() / "parsl")
        self._kernel: Any = None
        self._pool: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._kernel is not None:
            self._kernel.cleanup()

    def submit(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> Future[T]:
        """Have a function called by a worker, in this folder and with this ledger's rationales.

        Raises:
            InputError: Parsl cannot start.
        """
        if self._pool is None:
            self._start()
        call: Future[T] = self._pool.submit(_there, os.getcwd(), str(ledger_folder().absolute()), function, args, named)
        return call

    def _start(self) -> None:
        import parsl
        from parsl.concurrent import ParslPoolExecutor

        # Parsl calls programs of its own, which are not on the path of an environment that was not activated.
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        try:
            self._kernel = parsl.load(self.config)
        except Exception as error:  # of the user's provider, whichever it is
            raise InputError(f"{self.file}: Parsl cannot start: {type(error).__name__}: {error}") from error
        self._pool = ParslPoolExecutor(dfk=self._kernel)

    def completed(self, sent: Mapping[Future[T], Sent]) -> Iterator[tuple[Sent, T | BaseException]]:
        """What was sent and what came of it, its result or why there is none, as it comes.

        Raises:
            InputError: no worker can be had: the scheduler refuses, or every block ended at once.
        """
        from parsl.executors.errors import BadStateException

        for future in as_completed(sent):
            error = future.exception()
            if isinstance(error, BadStateException):
                raise InputError(
                    f"{self.file}: no worker can be had; records are kept, and the same command goes on.\n"
                    f"{str(error).strip()}\nParsl's log: {self._kernel.run_dir}/parsl.log"
                )
            yield sent[future], future.result() if error is None else error

    def ask(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """What a function returns when a worker calls it; its error is raised here.

        Raises:
            InputError: no worker can be had.
        """
        ((_, answer),) = self.completed({self.submit(function, *args, **named): None})
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _config(file: Path) -> Any:
    """The value of `config` after a file was run."""
    from parsl.config import Config

    try:
        found = runpy.run_path(str(file)).get("config")
    except Exception as error:  # whatever a user's file does wrong
        raise InputError(f"{file} cannot be run: {type(error).__name__}: {error}") from error
    if not isinstance(found, Config):
        raise InputError(f"{file} must set `config` to a parsl.config.Config, not {type(found).__name__}")
    return found


def _there(folder: str, ledger: str, function: Callable[..., T], args: Any, named: Any) -> T:
    """Call a function on a worker as if it were called where the command was started."""
    os.chdir(folder)
    with ledger_at(ledger):
        return function(*args, **named)
