"""Speed and memory beside the peers: `python -m benchmarks` runs every comparison and writes results/bench.json."""

from benchmarks.rows import Row, compare

__all__ = ["Row", "compare"]
