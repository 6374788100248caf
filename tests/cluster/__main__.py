"""A sweep through a SLURM of two nodes, by Parsl and by an array job, with a job killed in the middle of each.

Both end with the table of a run on one machine.

    python -m tests.cluster [FOLDER]

What was seen is kept in results/cluster.json.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from lowres.elsewhere import SITES
from tests import tiny
from tests.cluster import slurm

PATIENCE = 900.0  # seconds; the machine may be busy
SHARDS = 2
ARRAY = """\
#!/bin/bash
#SBATCH --job-name=lowres --array=0-{last} --cpus-per-task=1 --output={folder}/%A-%a.log
export OMP_NUM_THREADS=1
echo "node $SLURMD_NODENAME"
{command} --ledger {folder}/shard-$SLURM_ARRAY_TASK_ID --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT
"""
SMALL = {"WORKERS = 8": "WORKERS = 1", "JOBS = 4": "JOBS = 2", "address_by_hostname(),": '"127.0.0.1",'}
SOON = (
    "\nconfig.executors[0].heartbeat_period, config.executors[0].heartbeat_threshold = 5, 20\n"  # a lost node is seen
)


def main() -> None:
    """Run everything in a folder of its own; the first thing that is not as it should be ends it."""
    started = time.monotonic()
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="lowres-cluster-")).absolute()
    folder.mkdir(exist_ok=True)
    model = tiny.save_model(folder / "model", chat=True)
    task = tiny.write_rows(folder / "colours.jsonl", tiny.rows())
    command = tiny.python("-m", "lowres", *tiny.command(model, task, folder)[:-2])
    local = table([*command, "--ledger", str(folder / "local")])
    slurm.install()
    with slurm.running(folder / "slurm"):
        checks = {"parsl-slurm": by_parsl(command, folder, local), "array": by_array(command, folder, local)}
    found = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "slurm": slurm.said("sinfo", "--version").removeprefix("slurm-wlm "),
        "parsl": version("parsl"),
        "minutes": round((time.monotonic() - started) / 60, 1),
        **checks,
    }
    (tiny.ROOT / "results" / "cluster.json").write_text(json.dumps(found, indent=1) + "\n")
    told("passed", found)


def by_parsl(command: list[str], folder: Path, local: str) -> dict[str, object]:
    """Through SlurmProvider, a job on each node; one is cancelled after the first record, and the sweep goes on."""
    site, ledger = folder / "site.py", folder / "parsl"
    text = (SITES / "slurm.py").read_text()
    for before, after in SMALL.items():
        assert before in text, before
        text = text.replace(before, after)
    site.write_text(text + SOON)
    whole = [*command, "--ledger", str(ledger), "--engine", f"parsl:{site}"]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: nodes() == set(slurm.NODES) or process.poll() is not None, "a job on each node")
        until(lambda: records(ledger) or process.poll() is not None, "a record")
        assert process.poll() is None, process.communicate()[1]
        kept, job = records(ledger), slurm.said("squeue", "--noheader", "--format=%i").split()[0]
        subprocess.run(["scancel", job], check=True)
        told("cancelled the job of Parsl", {"job": job, "records": len(kept)})
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, errors
    failed = json_records(ledger, "failed")
    assert failed, "the trials of the cancelled job are recorded as failed"
    assert len(records(ledger)) == len(records(folder / "local"))
    assert all("ManagerLost" in record["error"] for record in failed), failed
    until(lambda: not slurm.said("squeue", "--noheader"), "blocks are given back")
    assert table(whole) == local
    assert all(path.read_bytes() == content for path, content in kept.items()), "finished records stay"
    until(lambda: not slurm.said("squeue", "--noheader"), "blocks are given back")
    return {"nodes": len(slurm.NODES), "lost": len(failed), "trials": len(records(ledger)), "same table": True}


def by_array(command: list[str], folder: Path, local: str) -> dict[str, object]:
    """As an array job of shards, each with a ledger of its own; one is cancelled, all are sent again, then merged."""
    script = folder / "array.sh"
    script.write_text(ARRAY.format(last=SHARDS - 1, folder=folder, command=" ".join(map(quoted, command))))
    first = submitted(script)
    until(lambda: records(folder / "shard-1"), "a record of shard 1")
    subprocess.run(["scancel", f"{first}_1"], check=True)
    kept = records(folder / "shard-1")
    until(lambda: not slurm.said("squeue", "--noheader"), "the array ends")
    told("cancelled a shard", {"job": f"{first}_1", "records": len(kept)})
    again = submitted(script)
    until(lambda: not slurm.said("squeue", "--noheader"), "the second array ends")
    parts = [len(records(folder / f"shard-{index}")) for index in range(SHARDS)]
    said = (folder / f"{again}-0.log").read_text()
    used = {(folder / f"{first}-{index}.log").read_text().split()[1] for index in range(SHARDS)}
    assert used == set(slurm.NODES), used
    assert "belong to other shards" in said, said
    assert all(path.read_bytes() == content for path, content in kept.items()), "finished records stay"
    merged = ["--ledger", str(folder / "merged")]
    shards = [str(folder / f"shard-{index}") for index in range(SHARDS)]
    told(table([*tiny.python("-m", "lowres"), "ledger", "merge", *shards, *merged]).strip(), {"shards": parts})
    before = records(folder / "merged")
    assert len(before) == sum(parts) == len(records(folder / "local"))
    assert table([*command, *merged]) == local
    assert records(folder / "merged") == before, "nothing was run again"
    return {"nodes": len(used), "kept": len(kept), "shards": parts, "same table": True}


def nodes() -> set[str]:
    """The nodes on which a job runs."""
    return set(slurm.said("squeue", "--noheader", "--states=RUNNING", "--format=%N").split())


def submitted(script: Path) -> str:
    """The number of a job."""
    return slurm.said("sbatch", "--parsable", str(script))


def quoted(word: str) -> str:
    """A word for the shell."""
    return "'" + word.replace("'", "'\\''") + "'"


def table(command: list[str]) -> str:
    """What a command prints that must end well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def records(ledger: Path) -> dict[Path, bytes]:
    """The files of finished and failed trials."""
    return {path: path.read_bytes() for path in sorted(ledger.glob("*.json"))}


def json_records(ledger: Path, status: str) -> list[dict[str, str]]:
    """The records of a status."""
    found = [json.loads(content)["record"] for content in records(ledger).values()]
    return [record for record in found if record["status"] == status]


def until(condition: Callable[[], object], what: str) -> None:
    """Wait."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < PATIENCE, f"waited in vain: {what}"
        time.sleep(0.1)


def told(what: str, more: object) -> None:
    """A line of the log."""
    print(f"{time.strftime('%H:%M:%S')} {what}: {more}", flush=True)


if __name__ == "__main__":
    main()
