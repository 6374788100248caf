"""Exact arithmetic: in this process, in a helper, and in processes started for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from lowres import machine
from lowres.machine import helper
from lowres.params import InputError

PATIENCE = 240


def facts() -> tuple[str, str, int, bool]:
    return machine.proof(), machine.arithmetic(False), torch.get_num_threads(), torch.backends.mkldnn.enabled


def refuse(_: object) -> None:
    raise InputError("first", "second")


class Unpicklable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def stumble(_: object) -> None:
    raise Unpicklable("one", "two")


def die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def place(name: str) -> tuple[str, str | None]:
    print("what is printed does not disturb the answer")
    return os.getcwd(), os.environ.get(name)


@pytest.fixture
def unsettled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that was started without the variables."""
    monkeypatch.setattr(machine, "GIVEN", dict.fromkeys(machine.EXACT))
    monkeypatch.setattr(helper, "GIVEN", dict.fromkeys(machine.EXACT))
    yield
    helper.helper().end()


def ordinary(code: str) -> str:
    """What a process prints that was started as a user starts one, in this folder and with one thread."""
    environment = {name: value for name, value in os.environ.items() if name not in machine.EXACT}
    program = textwrap.dedent(code)
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return done.stdout


def test_this_process_computes_as_every_machine_does():
    assert helper.perform(True, facts) == (machine.PROOF, "exact", 1, False)


def test_threads_and_products_are_as_before_afterwards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = facts()
    assert helper.perform(True, facts)[2] == 1
    assert helper.perform(False, facts) == (*before[:2], 3, before[3])
    assert facts() == before


def test_a_process_without_the_variables_has_a_helper_compute():
    found = ordinary("""
        from lowres import machine
        from lowres.machine import helper
        import test_machine
        print(helper.perform(True, test_machine.facts)[0], helper.perform(True, test_machine.place, "X")[1])
        print(machine.arithmetic(True), machine.arithmetic(False))
    """)
    assert found.split() == [machine.PROOF, "None", "exact", "own"]


@pytest.mark.usefixtures("unsettled")
def test_a_helper_works_where_this_process_is_and_says_what_went_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert helper.perform(True, place, "LOWRES_TRIED") == (os.getcwd(), None)
    first = helper.helper().process.pid
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOWRES_TRIED", "yes")
    assert helper.perform(True, place, "LOWRES_TRIED") == (str(tmp_path), "yes")
    monkeypatch.delenv("LOWRES_TRIED")
    assert helper.perform(True, place, "LOWRES_TRIED") == (str(tmp_path), None)
    with pytest.raises(InputError, match="2 problems"):
        helper.perform(True, refuse, None)
    with pytest.raises(RuntimeError, match="Unpicklable: one two"):
        helper.perform(True, stumble, None)
    assert helper.helper().process.pid == first
    with pytest.raises(RuntimeError, match=r"the helper process was killed \(exit code -9\)"):
        helper.perform(True, die, None)
    assert helper.perform(True, facts)[0] == machine.PROOF
    assert helper.helper().process.pid != first


@pytest.mark.usefixtures("unsettled")
def test_other_settings_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(machine.GIVEN, "MKL_CBWR", "AVX2")
    monkeypatch.setitem(helper.GIVEN, "MKL_CBWR", "AVX2")
    with pytest.warns(UserWarning, match=r"MKL_CBWR=AVX2 is set; world models compute with .*MKL_CBWR=COMPATIBLE"):
        assert helper.perform(True, facts)[0] == machine.PROOF


def test_a_helper_ends_with_its_process(tmp_path: Path):
    program = f"""
        import os, signal, pathlib
        from lowres.machine import helper
        pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(helper.helper().process.pid))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with pytest.raises(subprocess.CalledProcessError):
        ordinary(program)
    helper = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + PATIENCE
    while tiny.alive(helper):
        assert time.monotonic() < deadline, "the helper goes on alone"
        time.sleep(0.1)


def test_children_are_told_before_they_start(monkeypatch: pytest.MonkeyPatch):
    for name in machine.EXACT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_CBWR", "AVX2")

    def seen() -> dict[str, Any]:
        return {name: os.environ.get(name) for name in machine.EXACT}

    before = seen()
    with machine.exact_children(True):
        assert seen() == machine.EXACT
    assert seen() == before
    with machine.exact_children(False):
        assert seen() == before


def test_another_family_of_processors_has_arithmetic_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(machine, "GIVEN", dict.fromkeys(machine.EXACT))
    assert (machine.arithmetic(True), machine.arithmetic(False)) == ("aarch64", "own")
    assert helper.perform(True, facts)[2:] == (1, False)  # here, without a helper


def test_the_processor_is_read_where_the_system_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    told = tmp_path / "cpuinfo"
    told.write_text("processor : 0\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor : 1\nflags\t\t: fpu\n")
    monkeypatch.setattr(machine, "CPUINFO", told)
    assert machine.instructions.__wrapped__() == {"fpu", "avx2", "avx512_bf16"}
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "nothing")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True, "avx": False, "arch": "x86"})
    assert machine.instructions.__wrapped__() == {"amx_bf16"}


@pytest.mark.parametrize(("given", "count"), [(None, 1), ("", 1), ("0", 1), ("6", 6), ("4,2", 1)])
def test_a_trial_has_one_thread_unless_told(monkeypatch: pytest.MonkeyPatch, given: str | None, count: int):
    monkeypatch.delenv("OMP_NUM_THREADS")
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert machine.threads() == count
