"""Compute exactly: here, or where this process cannot, in a helper process that can (see `lowres.machine`)."""

from __future__ import annotations

import atexit
import functools
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from lowres.machine import EXACT, GIVEN, computing, is_settled, is_x86

P = ParamSpec("P")
T = TypeVar("T")
PROGRAM = "from lowres.machine.helper import serve; serve()"


def perform(exact: bool, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """What a function returns when it computes exactly, or as a trial of another model does.

    Where this process cannot compute exactly, a helper does, so function, arguments and result must pickle. It works in
    this process's folder and environment, and ends with it.

    Raises:
        RuntimeError: the helper was killed. Whatever the function raises is passed on.
    """
    if exact and is_x86() and not is_settled():
        return helper().ask(function, *args, **named)
    with computing(exact):
        return function(*args, **named)


class Helper:
    """A process that computes exactly. It takes one task after the other."""

    def __init__(self) -> None:
        otherwise = [f"{name}={value}" for name, value in GIVEN.items() if value not in (None, EXACT[name])]
        if otherwise:
            wanted = " ".join(f"{name}={value}" for name, value in EXACT.items())
            warnings.warn(f"{', '.join(otherwise)} is set; world models compute with {wanted}", stacklevel=5)
        environment = {**os.environ, **EXACT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command, pipe = [sys.executable, "-c", PROGRAM], subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment)

    def ask(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """What the function returns there; the helper ends when this process is interrupted meanwhile."""
        assert self.process.stdin
        assert self.process.stdout
        task = (dict(os.environ), os.getcwd(), function, args, named)
        try:
            pickle.dump(task, self.process.stdin)
            self.process.stdin.flush()
            value, error = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError) as ended:
            self.end()
            code = self.process.returncode
            raise RuntimeError(f"the helper process was killed (exit code {code}); did memory run out?") from ended
        except BaseException:
            self.end()
            raise
        if error is not None:
            raise error
        result: T = value
        return result

    def end(self) -> None:
        """Kill the process; the next task gets another one."""
        helper.cache_clear()
        self.process.kill()
        self.process.wait()


@functools.cache
def helper() -> Helper:
    """The helper of this process, started when it is first needed."""
    found = Helper()
    atexit.register(found.process.kill)
    return found


def serve() -> None:
    """Do what arrives on standard input until the other end is closed; answers go to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches both processes: this one dies at once
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a task prints must not stand among the answers
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()
    while True:
        answer = _answer(*tasks.get())
        answers.write(answer)
        answers.flush()


def _receive(tasks: queue.SimpleQueue[Any]) -> None:
    """Read tasks; the end of them is the end of this process, also in the middle of one: nobody waits for it."""
    try:
        while True:
            tasks.put(pickle.load(sys.stdin.buffer))
    finally:
        os._exit(1)


def _answer(environment: dict[str, str], folder: str, function: Callable[..., Any], args: Any, named: Any) -> bytes:
    """The pickled result or error of a task."""
    for name in os.environ.keys() - environment.keys() - EXACT.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if name not in EXACT})
    os.chdir(folder)
    try:
        with computing(True):
            return pickle.dumps((function(*args, **named), None))
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # some errors of libraries cannot be built again from their text
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return pickle.dumps((None, error))
