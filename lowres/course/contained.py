"""Run somebody else's code so that it can harm nothing but itself: a process and a folder of its own, limited.

The process is forked, so what its parent has imported need not be imported again. It is ended when it is out of
seconds, and what it leaves behind with it. Files outside its folder, other processes and the network are refused: by
an audit hook of Python, and on Linux by the kernel (Landlock), which native code cannot get around. This keeps mistakes
and mischief in; it is no prison for an attacker, for whom a machine of its own is the answer.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lowres import models, places

GIB = 2**30
WAITING = 12  # seconds by the clock for each second of computing: a busy machine is no reason to fail
LOOKING = 0.02  # seconds between two looks at the process
_REFUSED = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"),
    *("os.kill", "os.killpg", "signal.pthread_kill", "resource.setrlimit", "resource.prlimit"),
    *("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"),
    *("ctypes.dlopen", "ctypes.dlsym", "gc.get_objects", "gc.get_referrers"),
)
_READING = ("os.listdir", "os.scandir", "os.chdir")
_CHANGING = (
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink"),
    *("os.truncate", "os.utime", "os.setxattr", "os.removexattr"),
)


@dataclass(frozen=True)
class Limits:
    """Seconds of computing, and bytes beside what the process has when it starts."""

    seconds: float = 20.0
    memory: int = 4 * GIB


@dataclass(frozen=True)
class Outcome:
    """What the work returned, or None and why not; seconds of computing that it took."""

    value: str | None
    why: str
    seconds: float


def contained(work: Callable[[], str], folder: Path, limits: Limits = Limits()) -> Outcome:
    """What `work` returns in a process of its own that can write in `folder` only."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _work(work, folder.resolve(), limits, writing)
    os.close(writing)
    try:
        said, status, used = _awaited(child, reading, limits)
    finally:
        os.close(reading)
    seconds = used.ru_utime + used.ru_stime
    if said[:1] == b"=":
        return Outcome(said[1:].decode(errors="replace"), "", seconds)
    return Outcome(None, said[1:].decode(errors="replace") or _reason(status, seconds, limits), seconds)


def _awaited(child: int, reading: int, limits: Limits) -> tuple[bytes, int, Any]:
    """What the child wrote until it ended, or was made to: for its time by the clock, or for doing nothing."""
    said, latest = b"", time.monotonic() + WAITING * limits.seconds + 5
    done, status, used, idle = 0, 0, None, 0.0
    while not done and time.monotonic() < latest and idle < limits.seconds + 1:
        before = time.monotonic()
        if select.select([reading], [], [], LOOKING)[0]:
            said += os.read(reading, 65536)
        idle += time.monotonic() - before if _sleeps(child) else 0.0
        done, status, used = os.wait4(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if not done:
        os.kill(child, signal.SIGKILL)  # also if it had no time to make a group of its own
        _, status, used = os.wait4(child, 0)
        status = signal.SIGXCPU
    while select.select([reading], [], [], 0)[0] and (more := os.read(reading, 65536)):
        said += more
    return said, status, used


def _sleeps(process: int) -> bool:
    """Whether a process waits for something else than its turn to compute; where that cannot be seen, no."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "S"
    return False


def _reason(status: int, used: float, limits: Limits) -> str:
    ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if ended == signal.SIGXCPU or (ended == signal.SIGKILL and used >= limits.seconds):
        return f"stopped: more than {limits.seconds:g} seconds"
    return (
        "stopped by the system, perhaps for memory"
        if ended == signal.SIGKILL
        else "the process ended before it had answered"
    )


# --- inside ----------------------------------------------------------------------------------------------------------


def _work(work: Callable[[], str], folder: Path, limits: Limits, writing: int) -> NoReturn:
    """The child: never returns, whatever happens."""
    try:
        os.setsid()
        os.chdir(folder)
        _quiet(writing)
        for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
            os.environ.setdefault("LOWRES_CACHE", str(models.cache_folder()))
            os.environ[name] = str(folder)
        sys.dont_write_bytecode = True
        readable = _readable()
        _limit(limits)
        _landlock(folder, readable)
        sys.addaudithook(_guard(str(folder), (*map(str, readable), str(folder))))
        answer = b"=" + work().encode()
    except MemoryError:
        answer = b"!stopped: more memory than is allowed"
    except BaseException as error:
        answer = f"!{type(error).__name__}: {error}".encode(errors="replace")
    with contextlib.suppress(OSError):
        os.write(writing, answer[:60_000])
    os._exit(0)


def _quiet(writing: int) -> None:
    """Leave open nothing but the way to answer; what is printed is lost."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, writing)
    os.closerange(writing + 1, 4096)


def _limit(limits: Limits) -> None:
    seconds = int(limits.seconds + 0.999)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (GIB // 16, GIB // 16))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # other systems do not keep to it
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + limits.memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _readable() -> list[Path]:
    """What the work may read besides its own folder: Python, the system's libraries, the package, models and data."""
    found = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/etc", "/dev", "/System", "/Library"]
    paths = [Path(entry) for entry in sys.path if "site-packages" in entry or "dist-packages" in entry]
    own = [places.ROOT / "lowres", places.RESULTS, models.cache_folder()]
    return [path.resolve() for path in (*map(Path, found), *paths, *own) if path.exists()]


def _guard(folder: str, readable: tuple[str, ...]) -> Callable[[str, tuple], None]:
    """An audit hook: refuses what no answer to an exercise needs."""

    def inside(path: Any, places: tuple[str, ...]) -> bool:
        if isinstance(path, int) or path is None:
            return True
        real = os.path.realpath(os.fsdecode(path))
        return real == "/dev/null" or any(real == place or real.startswith(place + os.sep) for place in places)

    def hook(event: str, values: tuple) -> None:
        if event == "open":
            writes = isinstance(values[2], int) and values[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            allowed = inside(values[0], (folder,) if writes else readable)
        elif event in _CHANGING:
            allowed = all(inside(path, (folder,)) for path in values if isinstance(path, (str, bytes, os.PathLike)))
        elif event in _READING:
            allowed = inside(values[0], readable)
        else:
            allowed = event not in _REFUSED
        if not allowed:
            raise PermissionError(f"refused: {event} {values[0] if values else ''}")

    return hook


# --- Landlock (Linux 5.13 and later): https://docs.kernel.org/userspace-api/landlock.html ----------------------------

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_READ_RIGHTS = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, read a folder
_FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2  # those that mean something for a file
_ALL_RIGHTS = (1 << 13) - 1  # the rights of the first version
_NO_NEW_PRIVILEGES = 38


def landlock_version() -> int:
    """Which version the kernel has; 0 for none."""
    return max(0, ctypes.CDLL(None).syscall(_CREATE, None, 0, 1)) if sys.platform == "linux" else 0


def _landlock(folder: Path, readable: list[Path]) -> None:
    """Ask the kernel to refuse files elsewhere; where it cannot, the audit hook is alone."""
    if not landlock_version():
        return
    system = ctypes.CDLL(None)
    rights = struct.pack("Q", _ALL_RIGHTS)
    rules = system.syscall(_CREATE, rights, len(rights), 0)
    if rules < 0:
        return
    for path in readable:
        _allow(system, rules, path, _READ_RIGHTS)
    _allow(system, rules, folder, _ALL_RIGHTS)
    _allow(system, rules, Path(os.devnull), _FILE_RIGHTS)
    system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    system.syscall(_RESTRICT, rules, 0)
    os.close(rules)


def _allow(system: Any, rules: int, path: Path, rights: int) -> None:
    handle = os.open(path, getattr(os, "O_PATH", os.O_RDONLY))
    rule = struct.pack("=Qi", rights if path.is_dir() else rights & _FILE_RIGHTS, handle)
    system.syscall(_ADD, rules, 1, rule, 0)
    os.close(handle)
