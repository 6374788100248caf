"""Fixtures of the tests that need a language model: a tiny random one, and the bundled one loaded once."""

from __future__ import annotations

import os

# Before torch is imported, here and in child processes: sums in the same order everywhere, and no fight for the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(ATEN_CPU_CAPABILITY="avx2", MKL_CBWR="COMPATIBLE", MKL_ENABLE_INSTRUCTIONS="AVX2")  # `machine.EXACT`
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.pop("COLUMNS", None)  # the width of somebody's terminal, which processes side by side are told too

from pathlib import Path
from typing import Any

import pytest
import tiny


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpu: needs a CUDA device")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a chat template."""
    return tiny.save_model(tmp_path_factory.mktemp("models") / "chat", chat=True)


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model without a chat template, whose tokenizer puts a start token first."""
    return tiny.save_model(tmp_path_factory.mktemp("models") / "plain", chat=False)


@pytest.fixture
def chat_model(chat_folder: Path) -> Any:
    from lowres import models

    return models.load(str(chat_folder), "fp32", "cpu")


@pytest.fixture
def plain_model(plain_folder: Path) -> Any:
    from lowres import models

    return models.load(str(plain_folder), "fp32", "cpu")


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A task of sixty free answers, by name."""
    return tiny.write_rows(tmp_path_factory.mktemp("tasks") / "colours.jsonl", tiny.rows())


@pytest.fixture(scope="session")
def choice_task(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A task of sixty items with three choices each, by name."""
    return tiny.write_rows(tmp_path_factory.mktemp("tasks") / "choices.jsonl", tiny.choice_rows())


@pytest.fixture
def general_pool(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """Eighty lines instead of the general pool, which takes seconds to read."""
    from lowres import data
    from lowres.trial import material

    for module in (data, material):
        monkeypatch.setattr(module, "general_pool", lambda exclude_task="", form="usual": tiny.pool())
    return tiny.pool()


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of published records of its own."""
    from lowres import places
    from lowres.data import rationales

    folder = tmp_path / "results"
    for module in (places, rationales):
        monkeypatch.setattr(module, "RESULTS", folder)
    return folder


@pytest.fixture(scope="session")
def real_model() -> Any:
    """The bundled model: converted once per machine (half a minute), then loaded in some seconds."""
    from lowres import models

    return models.load("smollm2-135m-instruct", "fp32", "cpu")
