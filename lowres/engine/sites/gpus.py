"""One machine with several graphics cards: one worker to each, which sees no other."""

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

CARDS = 4

config = Config(
    executors=[
        HighThroughputExecutor(
            label="gpus",
            address="127.0.0.1",
            available_accelerators=CARDS,
            max_workers_per_node=CARDS,
            provider=LocalProvider(init_blocks=1, max_blocks=1, worker_init="export OMP_NUM_THREADS=1"),
        )
    ]
)
