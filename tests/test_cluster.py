"""Trials sent to other machines. Threads stand for the workers; `make cluster-test` has real ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tiny

from lowres import cli, elsewhere, engine
from lowres.elsewhere import SITES, engine_file
from lowres.engine import cluster, pool
from lowres.engine.cluster import Cluster
from lowres.ledger import Ledger
from lowres.params import InputError
from lowres.trial import Record, Trial


class BadStateException(Exception):
    """Stands for Parsl's: no worker can be had."""


class Config(SimpleNamespace):
    """Stands for Parsl's."""


@pytest.fixture
def parsl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """Parsl, of which one worker thread and the names that are used are there; `break_` says what becomes of a call."""
    state = SimpleNamespace(stopped=0, configs=[], calls=0, break_=lambda: None)
    threads = ThreadPoolExecutor(1)

    class Pool:
        def __init__(self, dfk: Any) -> None:
            pass

        def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
            state.calls += 1
            if error := state.break_():
                broken: Future[Any] = Future()
                broken.set_exception(error)
                return broken
            return threads.submit(function, *args)

    def load(config: Config) -> SimpleNamespace:
        state.configs.append(config)
        return SimpleNamespace(cleanup=lambda: vars(state).update(stopped=state.stopped + 1), run_dir=config.run_dir)

    names: dict[str, dict[str, Any]] = {
        "parsl": {"load": load},
        "parsl.config": {"Config": Config},
        "parsl.concurrent": {"ParslPoolExecutor": Pool},
        "parsl.executors": {},
        "parsl.executors.errors": {"BadStateException": BadStateException},
    }
    for name, contents in names.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    yield state
    threads.shutdown()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "site.py"
    file.write_text("from parsl.config import Config\nconfig = Config(usage_tracking=3, run_dir='runinfo')\n")
    return file


@pytest.fixture(scope="module")
def sweep(chat_folder: Path, task: str) -> list[Trial]:
    return [tiny.trial(chat_folder, task, seed=seed) for seed in range(3)]


def run(trials: list[Trial], folder: Path, on: Cluster) -> list[Record]:
    return engine.run(trials, Ledger(folder), progress=False, on=on)


def test_a_cluster_gives_the_table_of_this_machine_and_runs_nothing_twice(
    sweep: list[Trial], tmp_path: Path, site: Path, parsl: SimpleNamespace
):
    here = engine.table(engine.run(sweep, Ledger(tmp_path / "here"), progress=False))
    with Cluster(site) as on:
        run(sweep[:1], tmp_path, on)
        assert engine.table(run(sweep, tmp_path, on)) == here
        assert parsl.calls == 5  # twice the keys of all, then the trials
        assert engine.table(run(sweep, tmp_path, on)) == here
        assert parsl.calls == 5
    assert not list(tmp_path.glob("*.lock"))
    (config,) = parsl.configs
    assert (parsl.stopped, config.usage_tracking, config.run_dir) == (1, 0, str(tmp_path / "parsl"))
    with Cluster(site) as idle:
        run(sweep, tmp_path, idle)
    assert parsl.stopped == 1  # what is recorded needs no worker


def test_a_lost_worker_costs_its_trial_which_is_run_again(
    sweep: list[Trial], tmp_path: Path, site: Path, parsl: SimpleNamespace
):
    parsl.break_ = lambda: ConnectionError("worker 3 is gone") if parsl.calls == 3 else None
    with Cluster(site) as on:
        records = run(sweep, tmp_path, on)
        assert [record.status for record in records] == ["done", "failed", "done"]
        assert records[1].key == sweep[1].key()
        assert records[1].error.startswith("ConnectionError: worker 3 is gone. If memory or time ran out")
        assert [record.status for record in run(sweep, tmp_path, on)] == ["done"] * 3


def test_without_workers_the_sweep_ends_in_one_error_and_keeps_what_it_has(
    sweep: list[Trial], tmp_path: Path, site: Path, parsl: SimpleNamespace
):
    parsl.break_ = lambda: BadStateException("sbatch: no partition") if parsl.calls > 2 else None
    with (
        pytest.raises(InputError, match=r"(?s)no worker can be had; .*sbatch: no partition.*parsl\.log"),
        Cluster(site) as on,
    ):
        run(sweep, tmp_path, on)
    assert parsl.stopped == 1
    assert {record.status for record in Ledger(tmp_path).records()} <= {"done"}


def test_keys_are_those_of_the_machine_that_computes(
    sweep: list[Trial], tmp_path: Path, site: Path, parsl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
):
    here = pool._keys(sweep)
    there = [key[::-1] for key in here]
    real = pool._attempted
    monkeypatch.setattr(
        pool, "_attempted", lambda key, trial, attempt: replace(real(trial.key(), trial, attempt), key=key)
    )
    with Cluster(site) as on:
        monkeypatch.setattr(on, "ask", lambda function, trials: there)
        run(sweep, tmp_path, on)
    assert {record.key for record in Ledger(tmp_path).records()} == set(there)


def test_an_interrupt_gives_the_blocks_back(
    sweep: list[Trial], tmp_path: Path, site: Path, parsl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt), Cluster(site) as on:
        run(sweep, tmp_path, on)
    assert parsl.stopped == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("config = 3\n", r"must set `config` to a parsl\.config\.Config, not int"),
        ("", "not NoneType"),
        ("from nowhere import config\n", "cannot be run: ModuleNotFoundError: .*nowhere"),
        ("config = (\n", "cannot be run: SyntaxError"),
    ],
)
def test_a_file_that_holds_no_config_is_refused(tmp_path: Path, parsl: SimpleNamespace, text: str, what: str):
    (tmp_path / "site.py").write_text(text)
    with pytest.raises(InputError, match=what):
        Cluster(tmp_path / "site.py")


# --- the command line ------------------------------------------------------------------------------------------------


def test_engines_are_files_or_names(site: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(elsewhere, "find_spec", lambda name: SimpleNamespace(name=name))
    assert engine_file(f"parsl:{site}") == site
    assert engine_file("parsl:slurm") == SITES / "slurm.py"
    for wrong in ("dask:x", "parsl", "parsl:", "slurm"):
        with pytest.raises(InputError, match=r"--engine must be parsl:FILE.*gpus, kubernetes, laptop, slurm"):
            engine_file(wrong)
    with pytest.raises(InputError, match=r"no file absent\.py"):
        engine_file("parsl:absent.py")
    monkeypatch.setattr(elsewhere, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs Parsl, which is not installed"):
        engine_file(f"parsl:{site}")


@pytest.mark.parametrize("more", [["--shard", "0/2"], ["--workers", "2"]])
def test_an_engine_goes_without_shards_and_workers(more: list[str], capsys: pytest.CaptureFixture[str]):
    assert cli.main(["campaign", "--engine", "parsl:laptop", *more]) == 2
    assert "--engine goes without" in capsys.readouterr().err


@pytest.mark.parametrize("site", sorted(SITES.glob("*.py")), ids=lambda path: path.stem)
def test_ready_configs_can_be_read(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("parsl.config", reason="the extra [cluster] is not installed")
    monkeypatch.setenv("LOWRES_LEDGER", str(tmp_path))
    config = Cluster(site).config
    assert config.usage_tracking == 0
    assert len(config.executors) == 1
