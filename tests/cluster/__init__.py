"""The engines on a real scheduler: `make cluster-test`, where SLURM can be installed. No part of the usual tests."""
