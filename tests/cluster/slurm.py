"""A SLURM of two nodes in a folder of its own: installed from Debian's packages, started, and stopped by process id.

Both nodes are daemons of this machine, each with a port, a spool and a log of its own.
"""

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
NODES = ("one", "two")
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
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=2 State=UNKNOWN
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=2 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP LLN=YES
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
    """A controller and two nodes of two slots; SLURM_CONF names their configuration meanwhile."""
    for name in ("state", *(f"spool-{node}" for node in NODES)):
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
        for name, daemon in (("slurmctld", ["slurmctld"]), *((node, ["slurmd", "-N", node]) for node in NODES)):
            subprocess.run([*daemon, "-f", str(configuration)], check=True)
            started.append(folder / f"{name}.pid")
        until_idle()
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        for file in reversed(started):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.read_text()), signal.SIGTERM)


def until_idle(patience: float = 120.0) -> None:
    """Wait for the nodes."""
    start = time.monotonic()
    while said("sinfo", "--noheader", "--Node", "--format=%T").split() != ["idle"] * len(NODES):
        assert time.monotonic() - start < patience, said("sinfo")
        time.sleep(1)


def said(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
