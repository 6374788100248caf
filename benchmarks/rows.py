"""One comparison is one row: the same work done by this package and by a peer, timed in turns."""

from __future__ import annotations

import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One piece of work, done by both sides.

    Times are seconds per round, in the order they were taken, the sides in turns in one process. Memory is the peak
    growth of one side's own fresh process over what it held with the model loaded, in bytes; 0.0 where not measured.
    """

    work: str
    peer: str
    unit: str  # what is counted: "items", "tokens", "updates"
    amount: float  # units that one round gets through
    ours_seconds: tuple[float, ...]
    peer_seconds: tuple[float, ...]
    reach: float  # the ratio aimed at
    precision: str = "fp32"
    ours_memory: float = 0.0
    peer_memory: float = 0.0
    note: str = ""

    @property
    def ours_rate(self) -> float:
        """Units per second, from the median round."""
        return self.amount / statistics.median(self.ours_seconds)

    @property
    def peer_rate(self) -> float:
        """Units per second, from the median round."""
        return self.amount / statistics.median(self.peer_seconds)

    @property
    def ratio(self) -> float:
        """How many times faster than the peer: the median over rounds of the ratio within a round."""
        return statistics.median(peer / ours for ours, peer in zip(self.ours_seconds, self.peer_seconds, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Fields, rates and ratio as plain values."""
        return {**asdict(self), "ours_rate": self.ours_rate, "peer_rate": self.peer_rate, "ratio": self.ratio}


def compare(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds of both sides in each round, run in turns; who goes first changes from round to round."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            gc.collect()
            started = time.perf_counter()
            (ours, theirs)[side]()
            taken[side].append(time.perf_counter() - started)
    return tuple(taken[0]), tuple(taken[1])


# --- memory ----------------------------------------------------------------------------------------------------------


def peak_memory(target: str, *arguments: str) -> float:
    """Peak growth in bytes of a fresh process that runs `target` ("module:function").

    The function takes the arguments, loads what it needs, and returns the piece of work to do, without arguments.
    """
    command = [sys.executable, "-m", "benchmarks.rows", target, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-2000:]}")
    return float(json.loads(result.stdout.splitlines()[-1])["bytes"])


def _resident() -> int:
    """Bytes of this process in memory now (Linux), or the most it ever held elsewhere."""
    try:
        with open("/proc/self/statm") as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def growth(work: Callable[[], object]) -> int:
    """The most bytes that `work` added, looked up every two milliseconds."""
    gc.collect()
    before = most = _resident()
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.002):
            most = max(most, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        ended.set()
        watcher.join()
    return max(most, _resident()) - before


if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    print(json.dumps({"bytes": growth(getattr(importlib.import_module(module), function)(*sys.argv[2:]))}))
