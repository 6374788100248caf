"""SLURM: as many jobs as there is work for, each one node, one worker per core. Copy and change what is marked."""

import sys
from pathlib import Path

from parsl.addresses import address_by_hostname
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import SlurmProvider

PARTITION = None  # change: the name of yours, or None for the default one
WORKERS = 8  # change: cores of a node that are used, or its cards
JOBS = 4  # change: jobs that may run at once
WALLTIME = "02:00:00"  # a trial that it cuts off is run again by the next command

config = Config(
    executors=[
        HighThroughputExecutor(
            label="slurm",
            address=address_by_hostname(),  # change where nodes know this machine by another name
            max_workers_per_node=WORKERS,
            # available_accelerators=WORKERS,  # with cards: one worker to each
            provider=SlurmProvider(
                partition=PARTITION,
                cores_per_node=WORKERS,
                # gpus_per_node=WORKERS,
                exclusive=False,
                walltime=WALLTIME,
                init_blocks=1,
                max_blocks=JOBS,
                # The environment of this command, which must lie in a folder that the nodes see, too.
                worker_init=f"export OMP_NUM_THREADS=1 PATH={Path(sys.executable).parent}:$PATH",
            ),
        )
    ]
)
