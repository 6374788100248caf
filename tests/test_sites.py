"""The ready files for Parsl, read by Parsl itself where it is installed; a stand-in for the client of Kubernetes."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from lowres.elsewhere import SITES
from lowres.engine.cluster import Cluster
from lowres.params import InputError

pytest.importorskip("parsl")


@pytest.mark.parametrize(("name", "workers"), [("laptop", 2), ("gpus", 4), ("slurm", 8), ("kubernetes", 1)])
def test_a_ready_file_is_read(name: str, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    monkeypatch.setattr("parsl.addresses.address_by_route", lambda: "127.0.0.1")
    kubernetes = MagicMock()
    for module in ("kubernetes", "kubernetes.client", "kubernetes.config"):
        monkeypatch.setitem(sys.modules, module, kubernetes)
    monkeypatch.setattr("parsl.providers.kubernetes.kube._kubernetes_enabled", True)
    monkeypatch.setattr("parsl.providers.kubernetes.kube.client", kubernetes, raising=False)
    monkeypatch.setattr("parsl.providers.kubernetes.kube.config", kubernetes, raising=False)
    (executor,) = Cluster(SITES / f"{name}.py").config.executors
    assert executor.max_workers_per_node == workers
    assert len(executor.available_accelerators) == (4 if name == "gpus" else 0)


def test_a_file_that_cannot_be_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    file = tmp_path / "mine.py"
    file.write_text("from parsl.providers import KubernetesProvider\nconfig = KubernetesProvider()\n")
    with pytest.raises(InputError, match=r"mine\.py cannot be run"):
        Cluster(file)
