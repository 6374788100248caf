"""Read a checkpoint whole or not at all: what the library reports about it is asked, and refused where it is wrong.

`from_pretrained` fills what a checkpoint lacks with random numbers and says so on stderr only. A model of random
weights trains and scores like any other, each process has another one, and nothing in its record would show it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres.params import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

NAMED = 4  # weights in an error
OTHER_WEIGHTS = ("*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.pt", "*.pth", "*.ckpt", "*.npz")
WRAPPERS = ("_orig_mod.", "module.")  # what torch.compile and data-parallel wrappers put before every name
# Not weights: masks, frequencies and positions that older versions of the library stored beside them.
_NO_WEIGHTS = re.compile(r"(inv_freq|masked_bias|attn\.bias|attention\.bias|position_ids)$")


def check_folder(folder: Path) -> str | None:
    """What is wrong with the folder of a model at first sight, or None."""
    if (folder / "adapter_config.json").is_file():
        return (
            "the folder holds an adapter of peft, not a whole model: merge it into its model (merge_and_unload) and "
            "save what comes out"
        )
    if not (folder / "config.json").is_file():
        inside = next((each.parent.name for each in sorted(folder.glob("*/config.json"))), "")
        return "the folder holds no config.json" + (f", but {inside} inside of it does: name that" if inside else "")
    return None


def read(name: str, folder: Path, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """The model in a folder, and its tokenizer.

    Args:
        name: of the model, for errors.
        dtype: of the weights; fp32 when left out. They are never held in another one, which may be twice as large.

    Raises:
        InputError: files are missing or cannot be read, weights are missing, left over, of another shape or not
            finite, the model brings code of its own, or it is an encoder-decoder that does not say how it begins.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    level = logging.get_verbosity()
    _insist_on_files(name, folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        logging.set_verbosity_error()  # the library's own table of what is missing: an error below says it
        model, report = kind.from_pretrained(
            folder,
            dtype=dtype or torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported instead
        )
    except Exception as error:  # two dozen kinds, of the library and of those it rests on: it cannot be read
        raise _not_loaded(repr(name), folder, error) from error
    finally:
        logging.set_verbosity(level)
    insist_on_weights(name, model, report)
    _insist_on_a_beginning(name, model)
    return model, _tokenizer(name, folder)


def configuration(name: str, folder: Path) -> Any:
    """The configuration of a model.

    Raises:
        InputError: it is missing or cannot be read.
    """
    from transformers import AutoConfig

    _insist_on_a_model(name, folder)
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise _not_loaded(repr(name), folder, error) from error


def read_words(name: str, folder: Path) -> tuple[Any, Any, Any]:
    """The configuration of a model, that of its generation, and its tokenizer, without its weights.

    Raises:
        InputError: files are missing or cannot be read.
    """
    from transformers import GenerationConfig

    config = configuration(name, folder)
    try:
        told = (folder / "generation_config.json").is_file()  # else the library makes it from the other, as here
        generation = GenerationConfig.from_pretrained(folder) if told else GenerationConfig.from_model_config(config)
    except Exception as error:
        raise _not_loaded(repr(name), folder, error) from error
    return config, generation, _tokenizer(name, folder)


def _tokenizer(name: str, folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise _not_loaded(f"{name!r}: its tokenizer", folder, error) from error


def insist_on_weights(name: str, model: nn.Module, report: Mapping[str, Iterable[Any]]) -> None:
    """Refuse a model that is not, weight for weight, what its checkpoint holds.

    Args:
        report: what `from_pretrained(..., output_loading_info=True)` gives; weights that are tied to others, and so
            stored once, are not among the missing.

    Raises:
        InputError: names the first few weights, and what to do.
    """
    missing, unexpected = (sorted(report[kind]) for kind in ("missing_keys", "unexpected_keys"))
    unexpected = [key for key in unexpected if not _NO_WEIGHTS.search(key)]
    mismatched = sorted(str(key if isinstance(key, str) else key[0]) for key in report["mismatched_keys"])
    problems = [
        (missing, "the checkpoint lacks"),
        (mismatched, "the checkpoint has in another shape than config.json says"),
        (unexpected, "the checkpoint holds beside the model's own"),
        (_not_finite(model), "not numbers (NaN or infinite) in the checkpoint are"),
    ]
    found = [f"{words} {_shown(keys)}" for keys, words in problems if keys]
    if found:
        raise InputError(f"model {name!r}: {'; '.join(found)}. {_advice(missing, unexpected)}")


def _shown(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED:,} more" if len(keys) > NAMED else ""
    return f"{len(keys):,} weight{'s' * (len(keys) > 1)} ({', '.join(keys[:NAMED])}{more})"


def _not_finite(model: nn.Module) -> list[str]:
    """Names of the parameters that hold something else than numbers; a sum shows it in one pass."""
    import torch

    sums = ((name, each.detach().sum(dtype=torch.float32)) for name, each in model.named_parameters())
    return [name for name, total in sums if not total.isfinite()]


def _advice(missing: list[str], unexpected: list[str]) -> str:
    for prefix in WRAPPERS:
        if any(prefix in key for key in unexpected):
            return (
                f"The names carry the prefix {prefix!r} of a wrapper: save the model inside it "
                "(torch.compile: model._orig_mod.save_pretrained; data parallel: model.module.save_pretrained), or "
                "take the prefix off the names in the file."
            )
    if unexpected:
        return (
            "The file belongs to another model than config.json describes (a classifier, other layers, another "
            "architecture): save the language model with save_pretrained, which writes both."
        )
    if missing:
        return "Save the whole model with save_pretrained: what is missing would be random numbers."
    return "Take another checkpoint, or save the model again with save_pretrained."


def _not_loaded(what: str, folder: Path, error: BaseException) -> InputError:
    told = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"model {what} could not be loaded from {folder}: {told[:300]}{'...' if told[300:] else ''}")


def _insist_on_a_model(name: str, folder: Path) -> None:
    if problem := check_folder(folder):
        raise InputError(f"model {name!r}: {problem}")


def _insist_on_files(name: str, folder: Path) -> None:
    """Refuse weights that are not there, in whole or in part, by name."""
    told = f"model {name!r}: "
    _insist_on_a_model(name, folder)
    files = sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin")))
    if not files:
        others = sorted(each.name for kind in OTHER_WEIGHTS for each in folder.glob(kind))
        there = f"; {', '.join(others)} are of another kind: save the model with save_pretrained" if others else ""
        raise InputError(f"{told}{folder} holds no weights (*.safetensors or *.bin){there}")
    for file in files:
        with file.open("rb") as handle:
            start = handle.read(64)
        if start.startswith(b"version https://git-lfs"):
            raise InputError(f"{told}{file} is a pointer of Git LFS in place of the weights: run `git lfs pull` there")
        size = 8 + int.from_bytes(start[:8], "little") if file.suffix == ".safetensors" else 1
        if file.stat().st_size < size:
            raise InputError(f"{told}{file} is empty or cut off ({file.stat().st_size:,} bytes): fetch it again")
    for index in folder.glob("*.index.json"):
        try:
            named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{told}{index} does not say which file holds which weights: fetch it again") from error
        if missing := sorted({shard for shard in named if not (folder / shard).is_file()}):
            raise InputError(f"{told}{index.name} names files that are not there: {', '.join(missing)}")


def _insist_on_a_beginning(name: str, model: Any) -> None:
    """An encoder-decoder has to say which token its decoder begins with."""
    if not model.config.is_encoder_decoder:
        return
    places = (getattr(model, "generation_config", None), model.config)
    named = (getattr(place, key, None) for place in places for key in ("decoder_start_token_id", "bos_token_id"))
    if all(value is None for value in named):
        raise InputError(
            f"model {name!r} does not say which token its decoder begins with: set decoder_start_token_id in its "
            "generation_config.json or config.json (T5: the padding token, BART: the end token)"
        )
