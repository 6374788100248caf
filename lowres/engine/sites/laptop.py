"""Two workers on this machine. For trying an engine out before it goes to a cluster; `--workers 2` does the same."""

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

config = Config(
    executors=[
        HighThroughputExecutor(
            label="laptop",
            address="127.0.0.1",
            max_workers_per_node=2,
            provider=LocalProvider(init_blocks=1, max_blocks=1, worker_init="export OMP_NUM_THREADS=1"),
        )
    ]
)
