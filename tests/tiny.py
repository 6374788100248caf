"""A random language model of 30,000 parameters and tasks of sixty lines, so that whole trials run in a blink."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from lowres.data import Example
from lowres.evaluate import task_items, task_outcomes
from lowres.language import LanguageModel
from lowres.optimisation import Optimisation
from lowres.trial import Evaluation, Recipe, Record, Trial
from lowres.tuners import LoRA

ROOT = Path(__file__).parent.parent
HIDDEN, KEYS, INNER, LAYERS, CONTEXT = 32, 16, 64, 2, 160
WORDS = ("red", "green", "blue", "a small grey", "very dark brown", "nearly white", "orange")
THINGS = ("a stone", "the river", "my coat", "their old house", "one leaf", "the moon", "an apple", "some paint")
TEMPLATE = (
    "{% for message in messages %}<|user|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|answer|>{% endif %}"
)


def evaluate_task(
    model: Any, language_model: LanguageModel, examples: Sequence[Example], anchor: str, room: int, metric: str = ""
) -> tuple[dict[str, list[float]], list[str], Mapping[str, int]]:
    """Outcomes on examples, the generated texts, and what prompts lost to fit: both steps of an evaluation in one."""
    items, counts = task_items(language_model, examples, anchor, room)
    return *task_outcomes(model, language_model, examples, items, room, metric), counts


def rows(count: int = 60) -> list[dict[str, Any]]:
    """Free answers, each a few words long."""
    return [
        {"prompt": f"Item {i}: {THINGS[i % 8]}, seen {i * 7} times. Colour:", "target": WORDS[(i * 5 + i // 8) % 7]}
        for i in range(count)
    ]


def choice_rows(count: int = 60) -> list[dict[str, Any]]:
    """The same with three choices of different length."""
    found = rows(count)
    for index, row in enumerate(found):
        others = [WORDS[(WORDS.index(row["target"]) + step) % 7] for step in (1, 3)]
        row["choices"] = sorted([row["target"], *others], key=lambda text: (text + str(index))[::-1])
    return found


def write_rows(path: Path, content: Sequence[dict[str, Any]]) -> str:
    """Write a task's file; returns its name as a task."""
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return f"jsonl:{path}"


def pool(count: int = 80) -> tuple[Example, ...]:
    """General data."""
    return tuple(
        Example(f"g{i}", f"Add one to the number {i}.\nNumber: {i}\nAnswer:", f"{i + 1}", answers=(f"{i + 1}",))
        for i in range(count)
    )


def save_model(folder: Path, *, chat: bool) -> Path:
    """A random Llama with a byte-level tokenizer of its own; without `chat` it has no template but a start token."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(chat)
    configuration = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(configuration).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(chat: bool) -> Any:
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<|end|>", "<|user|>", "<|answer|>"]
    tokenizer = Tokenizer(kinds.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sentences = [f"{row['prompt']} {row['target']}" for row in rows()] + [f"{e.prompt} {e.target}" for e in pool()]
    tokenizer.train_from_iterator(sentences, trainer)
    if not chat:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|end|>")
    wrapped.chat_template = TEMPLATE if chat else None
    return wrapped


def trial(model: Path | str, task: str, **changes: Any) -> Trial:
    """SFT with LoRA on 200 tokens of a task; `changes` replace fields of the trial."""
    made = Trial(
        study="tell",
        arm="sft",
        model=str(model),
        task=task,
        recipe=Recipe(task_tokens=200),
        tuner=LoRA(rank=2),
        optimisation=Optimisation(learning_rate=1e-2, epochs=2, batch_size=4),
        evaluation=Evaluation(items=6),
        seed=0,
        precision="fp32",
    )
    return replace(made, **changes)


def command(model: Path | str, task: str, ledger: Path, *more: str) -> list[str]:
    """Arguments of `lowres` that run six SFT trials."""
    settings = {
        "model": model,
        "task": task,
        "arms": "[sft]",
        "seeds": "[0, 1, 2, 3, 4, 5]",
        "task_tokens": "[200]",
        "learning_rates": "[0.01]",
        "epochs": "15",  # long enough to be caught in the middle
        "items": "6",
        "probes": "[]",
        "precision": "fp32",
    }
    given = [part for name, value in settings.items() for part in ("-p", f"{name}={value}")]
    return ["run", "tell", *given, "--ledger", str(ledger), *more]


def python(*arguments: str) -> list[str]:
    """A command line of this interpreter."""
    return [sys.executable, *arguments]


def heed_interrupts() -> None:
    """For `preexec_fn`: the child takes Ctrl-C, also where the tests were started with it ignored (`&` in a script)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# --- hand-made records and what pages make of them -------------------------------------------------------------------


def record(key: str, made: Trial, outcomes: Mapping[str, Any], **more: Any) -> Record:
    """A finished record with the cost and the provenance that all of them have."""
    usual: dict[str, Any] = {
        "status": "done",
        "fingerprints": {"data": "d", "model": "m", "code": "c"},
        "cost": {"seconds": 60.0, "training_seconds": 20.0, "tokens_per_second": 100.0, "peak_memory_bytes": 2.0**30},
        "provenance": {"date": "2026-01-02 03:04 UTC", "hardware": "a machine", "threads": "1", "precision": "fp32"},
    }
    return Record(key=key, trial=made.spec(), outcomes=dict(outcomes), **{**usual, **more})


def html(shown: Any) -> str:
    """What a page shows of it."""
    return str(shown._repr_html_())


def check_figures(figures: Sequence[Any]) -> None:
    """Each has alt text and its data, and a name of its own; one may hold several."""
    drawn = [html(figure) for figure in figures]
    for each in drawn:
        assert re.search(r'aria-label="[^"]{20,}"', each), each[:200]
        assert "Data of this figure" in each, each[:200]
    names = re.findall(r'id="figure-([a-z0-9-]+)"', "".join(drawn))
    assert len(set(names)) == len(names) >= len(drawn), names


def cells(notebook: str) -> list[dict[str, Any]]:
    """The cells of a notebook, named by its path in the repository."""
    return list(json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"])


def code(notebook: str) -> list[str]:
    """The sources of its code cells."""
    return ["".join(cell["source"]) for cell in cells(notebook) if cell["cell_type"] == "code"]


def run_page(
    study: ModuleType, stored: Sequence[Record], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> dict[str, Any]:
    """The names after all cells of a study's page ran at smoke tier; what is run stands among `stored` already."""
    from lowres import models, places, registry
    from lowres.ledger import published

    monkeypatch.setenv("LOWRES_LEDGER", str(folder / "ledger"))
    monkeypatch.setattr(published, "read_published", lambda study: stored)
    monkeypatch.setattr(places, "ROOT", folder)
    monkeypatch.setattr(models, "fingerprint", lambda name: name)  # nothing is pretrained
    monkeypatch.setattr(registry, "execute", lambda *_, **__: stored[:3])
    page: dict[str, Any] = {}
    for source in code(study.NOTEBOOK):
        exec(compile(source, study.NOTEBOOK, "exec"), page)
        if "# type:" in source:
            page["tier"] = "smoke"
    assert page["params"].tier == "smoke"
    assert (folder / "_build" / "verdicts" / f"{study.CLAIMS[0].study}.json").is_file()
    return page


def alive(process: int) -> bool:
    """Whether a process goes on, on any system; one that ended and that nobody asked about does not."""
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
