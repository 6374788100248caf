"""A checkpoint that is not all there is refused before anything runs, and what is legitimately absent is not missed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lowres import models
from lowres.params import InputError

Weights = dict[str, torch.Tensor]


def changed(source: Path, folder: Path, change: Callable[[Weights], Weights], **config: Any) -> str:
    """A copy of a model with other weights."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **config}))
    return str(folder)


def renamed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {prefix + name: each for name, each in weights.items()}


def with_value(value: float) -> Callable[[Weights], Weights]:
    def change(weights: Weights) -> Weights:
        weights["model.layers.1.mlp.up_proj.weight"][3, 5] = value
        return weights

    return change


REFUSED: dict[str, tuple[Callable[[Weights], Weights], tuple[str, ...]]] = {
    "half of the layers": (
        lambda weights: {name: each for name, each in weights.items() if "layers.1." not in name},
        ("the checkpoint lacks 9 weights (model.layers.1.input_layernorm.weight, ", "and 5 more", "random numbers"),
    ),
    "compiled": (renamed("_orig_mod."), ("model.embed_tokens.weight", "'_orig_mod.'", "take the prefix off")),
    "data parallel": (renamed("module."), ("the prefix 'module.'", "take the prefix off")),
    "a classifier": (
        lambda weights: {**weights, "score.weight": torch.zeros(2, 32)},
        ("beside the model's own 1 weight (score.weight)", "a classifier"),
    ),
    "a layer too many": (
        lambda weights: (
            weights | {n.replace("layers.1", "layers.2"): w.clone() for n, w in weights.items() if "s.1." in n}
        ),
        ("beside the model's own 9 weights (model.layers.2.", "than config.json describes"),
    ),
    "another shape": (
        lambda weights: {**weights, "model.norm.weight": torch.ones(7)},
        ("in another shape than config.json says 1 weight (model.norm.weight)",),
    ),
    "not a number": (with_value(float("nan")), ("NaN", "1 weight (model.layers.1.mlp.up_proj.weight)")),
    "infinite": (with_value(float("-inf")), ("infinite", "1 weight (model.layers.1.mlp.up_proj.weight)")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_checkpoint_that_is_not_all_there_is_refused(name: str, chat_folder: Path, tmp_path: Path):
    change, words = REFUSED[name]
    model = changed(chat_folder, tmp_path / "model", change)
    with pytest.raises(InputError) as caught:
        models.load(model, "fp32", "cpu")
    for part in (repr(model), *words):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_head_of_its_own_is_refused_unless_it_is_tied(chat_folder: Path, tmp_path: Path):
    tied = models.load(str(chat_folder), "fp32", "cpu").model
    assert tied.get_output_embeddings().weight is tied.get_input_embeddings().weight
    headless = changed(chat_folder, tmp_path / "headless", lambda weights: weights, tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"lacks 1 weight \(lm_head\.weight\)"):
        models.load(headless, "fp32", "cpu")


def test_what_is_stored_beside_weights_is_not_missed_and_half_precision_is_read(chat_folder: Path, tmp_path: Path):
    more = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)}
    for number, change in enumerate(
        (lambda weights: weights | more, lambda weights: {name: each.bfloat16() for name, each in weights.items()})
    ):
        loaded = models.load(changed(chat_folder, tmp_path / str(number), change), "fp32", "cpu")
        assert {each.dtype for each in loaded.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", b""])
def test_a_file_that_is_no_checkpoint_is_an_input_error(content: bytes, chat_folder: Path, tmp_path: Path):
    shutil.copytree(chat_folder, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors is (a pointer of Git LFS|empty or cut off)"):
        models.load(str(tmp_path / "model"), "fp32", "cpu")


def test_code_of_a_models_own_is_neither_run_nor_asked_about(chat_folder: Path, tmp_path: Path):
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    model = changed(chat_folder, tmp_path / "model", lambda weights: weights, **own)
    (tmp_path / "model" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(InputError, match="custom code"):
        models.load(model, "fp32", "cpu")
    assert not (tmp_path / "ran").exists()
