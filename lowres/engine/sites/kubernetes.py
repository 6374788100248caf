"""Kubernetes: pods with one worker each. Copy and change what is marked; needs `pip install kubernetes` besides.

Run it inside the cluster, or where pods can reach this machine.
"""

from parsl.addresses import address_by_route
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import KubernetesProvider

IMAGE = "registry.example.org/lowres:latest"  # change: an image in which lowres and Parsl are installed
VOLUME = ("lowres", "/work")  # change: a claim that holds models and data, and where pods see it
PODS = 8  # change: pods that may run at once

config = Config(
    executors=[
        HighThroughputExecutor(
            label="kubernetes",
            address=address_by_route(),
            max_workers_per_node=1,
            provider=KubernetesProvider(
                image=IMAGE,
                namespace="default",
                pod_name="lowres",
                persistent_volumes=[VOLUME],
                init_cpu=1,
                max_cpu=1,
                init_mem="4Gi",
                max_mem="8Gi",
                init_blocks=1,
                max_blocks=PODS,
                worker_init="export OMP_NUM_THREADS=1",
            ),
        )
    ]
)
