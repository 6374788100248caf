"""Score the same items here and by lm-evaluation-harness, and record both in tests/parity/lm_eval.json (`make parity`).

The harness reads the items from a local file through a task file of its own kind, as any user of it would.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from lowres import evaluate, models
from lowres.data import Example, load_probe
from lowres.language import LanguageModel

MODEL = "smollm2-135m-instruct"
PROBES = ("piqa", "siqa", "commonsenseqa", "openbookqa")
ITEMS = 300
RECORDED = Path(__file__).parent.parent / "tests" / "parity" / "lm_eval.json"
TASK = """\
task: lowres_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{gold}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""


def main() -> None:
    language_model = models.load(MODEL, "fp32", "cpu")
    harness = harness_model(language_model, 16)
    tasks: dict[str, Any] = {}
    for name in PROBES:
        examples = load_probe(name).examples[:ITEMS]
        items = evaluate.plain_items(language_model, examples)
        ours = evaluate.answer(language_model.model, language_model, items, title=name).log_likelihoods
        theirs = by_harness(harness, name, examples)
        ids = [example.id.rpartition("/")[2] for example in examples]
        tasks[name] = {"ids": ids, "ours": [_rounded(row) for row in ours], **theirs}
        print(name, f"largest difference {_largest(tasks[name]):.1e} nats", file=sys.stderr)
    about = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "model": language_model.fingerprint,
        "versions": {name: metadata.version(name) for name in ("lm_eval", "transformers", "torch")},
    }
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text(_compact({**about, "tasks": tasks}))


def harness_model(language_model: LanguageModel, batch_size: int, **options: Any) -> Any:
    """The harness's own wrapper around the same weights."""
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    given = {"pretrained": language_model.model, "tokenizer": language_model.tokenizer, **options}
    return HFLM(batch_size=batch_size, max_length=language_model.context, **given)


def by_harness(harness: Any, name: str, examples: tuple[Example, ...]) -> dict[str, Any]:
    """Log-likelihoods per choice in the order of the examples, and the harness's own two accuracies."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.jsonl"
        rows = [{"prompt": e.prompt, "choices": list(e.choices), "gold": e.choices.index(e.target)} for e in examples]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (Path(folder) / f"{name}.yaml").write_text(TASK.format(name=name, file=file))
        found = simple_evaluate(
            model=harness,
            tasks=[f"lowres_{name}"],
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            log_samples=True,
            bootstrap_iters=0,
        )
    samples = sorted(found["samples"][f"lowres_{name}"], key=lambda sample: int(sample["doc_id"]))
    scores = [_rounded(float(answer[0]) for answer in sample["filtered_resps"]) for sample in samples]
    figures = found["results"][f"lowres_{name}"]
    return {"theirs": scores, "acc": figures["acc,none"], "acc_norm": figures["acc_norm,none"]}


def _rounded(scores: Any) -> list[float]:
    return [round(score, 5) for score in scores]


def _largest(task: dict[str, Any]) -> float:
    pairs = zip(task["ours"], task["theirs"], strict=True)
    return max(abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))


def _compact(record: dict[str, Any]) -> str:
    """JSON with one item per line."""
    tasks = record.pop("tasks")
    head = json.dumps(record)[:-1]
    parts = []
    for name, task in tasks.items():
        rows = list(zip(task["ids"], task["ours"], task["theirs"], strict=True))
        figures = json.dumps({"acc": task["acc"], "acc_norm": task["acc_norm"]})[:-1]
        listed = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        parts.append(f'{json.dumps(name)}: {figures}, "items": [\n{listed}]}}')
    return f'{head}, "tasks": {{\n' + ",\n".join(parts) + "}}\n"


if __name__ == "__main__":
    main()
