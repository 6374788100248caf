"""How a trial computes: threads, and arithmetic that is the same on every processor.

Sums of floating-point numbers depend on their order, and torch and the library behind its matrix products (MKL) choose
that order by the processor, when they first compute and for as long as the process lives. Told by two environment
variables before that, both take instructions that every x86-64 processor of the last ten years has, in one order. The
products then take 1.7 times as long, which small models hardly feel and large ones would. So world models compute this
way ("exactly") and all others as the machine likes best. A process that was started without the variables hands what
has to be exact to a helper process that has them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from lowres.places import environment

EXACT = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
GIVEN = {name: os.environ.get(name) for name in EXACT}  # as found when this process started
PROOF = "6d88fcbdf81bf10c"  # what `proof` gives in exact arithmetic, with the pinned torch
GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # one of them is there where a GPU of any kind is
CPUINFO = Path("/proc/cpuinfo")
# --- what a result depends on ----------------------------------------------------------------------------------------


def threads() -> int:
    """Threads of a trial on a CPU: OMP_NUM_THREADS, else one, however many workers run beside it."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else 1


def arithmetic(exact: bool) -> str:
    """The kind of arithmetic: "exact", or "own" where another processor may give other results."""
    if exact and not is_x86():
        return platform.machine()  # other instructions, other sums; equal on all machines of the kind
    return "exact" if exact or is_settled() else "own"


def has_gpu() -> bool:
    """Whether torch sees a GPU; found out without loading it on most machines that have none."""
    if "torch" not in sys.modules and not any(map(os.path.exists, GPU_FILES)):
        return False
    import torch

    return torch.cuda.is_available()


@functools.cache
def instructions() -> frozenset[str]:
    """What the processor can do beyond the basics, in the words of Linux ("avx2", "avx512_bf16", ...)."""
    if CPUINFO.is_file():
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
        return frozenset(next((line for line in lines if line.startswith("flags")), "").partition(":")[2].split())
    import torch

    return frozenset(name for name, there in torch.cpu.get_capabilities().items() if there is True)


# --- computing -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def computing(exact: bool) -> Iterator[None]:
    """The threads of a trial; for an exact one neither a second thread nor oneDNN, whose products no variable binds."""
    import torch

    threads_before, onednn_before = torch.get_num_threads(), torch.backends.mkldnn.enabled
    torch.set_num_threads(1 if exact else threads())
    torch.backends.mkldnn.set_flags(bool(onednn_before) and not exact)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.backends.mkldnn.set_flags(bool(onednn_before))


def exact_children(exact: bool) -> contextlib.AbstractContextManager[None]:
    """Processes started inside compute exactly, if they are to; for those that run nothing else."""
    return environment(EXACT if exact and is_x86() else {})


def proof() -> str:
    """Sixteen hex digits over products, exponentials and random numbers: equal where results are."""
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(shape, generator=generator) for shape in ((203, 96), (96, 161)))
    found = (left @ right, (left @ right).softmax(-1).sum(0), left.exp(), torch.nn.functional.silu(left).mean(-1))
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in found)).hexdigest()[:16]


def is_x86() -> bool:
    """Whether the processor is of the kind that the variables are about."""
    return platform.machine().lower() in ("x86_64", "amd64")


def is_settled() -> bool:
    """Whether this process was started with the variables set."""
    return GIVEN == EXACT
