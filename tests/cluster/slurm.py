"""A SLURM of one node in a folder of its own: installed from Debian's packages, started, and stopped by process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
CONFIGURATION = """\
ClusterName=lowres
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def install() -> None:
    """Debian's packages, unless they are there."""
    if shutil.which("slurmctld") and shutil.which("munged"):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", "-q", *words], check=True, env=environment, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[None]:
    """A controller and a node of four slots; SLURM_CONF names their configuration meanwhile."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=socket.gethostname().partition(".")[0], folder=folder))
    os.environ["SLURM_CONF"] = str(configuration)
    started = []
    try:
        if subprocess.run(["munge", "-n"], capture_output=True).returncode:
            Path("/run/munge").mkdir(exist_ok=True)
            shutil.chown("/run/munge", "munge", "munge")
            subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged"], check=True)
            started.append(Path("/run/munge/munged.pid"))
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon, "-f", str(configuration)], check=True)
            started.append(folder / f"{daemon}.pid")
        until_idle()
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        for file in reversed(started):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.read_text()), signal.SIGTERM)


def until_idle(patience: float = 120.0) -> None:
    """Wait for the node."""
    start = time.monotonic()
    while "idle" not in said("sinfo", "--noheader", "--format=%T"):
        assert time.monotonic() - start < patience, said("sinfo")
        time.sleep(1)


def said(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
