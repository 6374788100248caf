"""Execute the notebooks strictly, then build the pages from the executed copies.

    lowres book --tier laptop

- The notebooks in git stay free of output; executed copies, which `bookext` shows, live in `_build/executed/`.
- A copy is published by rename, and only if every one of its cells completed: papermill alone also accepts a notebook
  that left early or whose kernel was killed.
- A copy knows a fingerprint of all that it was made from. Nothing runs twice, and no page is older than its inputs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from lowres import params, registry
from lowres.places import ROOT, ledger_at, ledger_folder

PACKAGE = ROOT / "lowres"
EXECUTED = Path("_build/executed")
UNFINISHED = Path("_build/unfinished")
HTML = Path("_build/html")
LOG = Path("_build/jupyter-book.log")
AT_A_TIME = 2  # notebooks that are executed side by side
LONGEST = 80  # bytes of a folder of sockets, whose names may have 107 with all that stands before them
SMOKE = "smoke"  # a tier; its records lie apart, where publishing never finds them
# Jupyter Book leaves a bare redirection as the first page; this one can be read where redirections are off.
_FRONT = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>lowres</title>
<meta http-equiv="refresh" content="0; url=book/index.html"></head>
<body><p><a href="book/index.html">What pays when task data are scarce</a></p></body></html>
"""
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_WIDGET = "application/vnd.jupyter.widget-view+json"


class BookError(RuntimeError):
    """A notebook did not run to its end, or the pages could not be built. The message says where and why."""


def make(parameters: Mapping[str, object], studies: Sequence[str] | None = None, *, root: Path = ROOT) -> Path:
    """Execute the notebooks of `studies` (all when None) whose inputs changed, build the pages, return the first page.

    A failing study does not keep the others from running, but it does keep the pages from being built; so does one that
    was never executed (in a new clone), and then the executed copy of the first of `studies` is returned.

    Raises:
        InputError: a parameter is wrong. Nothing has run then.
        BookError: names every notebook that failed, its cell and the end of its error.
    """
    names = list(studies or registry.study_names())
    for name in names:
        _resolved(registry.load(name), parameters)
    smoke = any(_resolved(registry.load(name), parameters)["tier"] == SMOKE for name in names)
    # The folder of records is set once: notebooks that run side by side share the environment.
    with ledger_at(ledger_folder() / SMOKE if smoke else None), ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            failures = [told for told in pool.map(lambda name: _failure(name, parameters, root), names) if told]
        except KeyboardInterrupt:
            _kill_kernels()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if failures:
        raise BookError("\n\n".join(failures))
    if missing := [name for name in registry.study_names() if not _is_executed(registry.load(name).NOTEBOOK, root)]:
        _say(f"the pages wait for {', '.join(missing)}, not executed yet: `lowres book` executes all and builds them")
        return root / EXECUTED / registry.load(names[0]).NOTEBOOK
    return build(root)


def _kill_kernels() -> None:
    """End the kernels and what they started: a thread that waits for one does not hear of Ctrl-C."""
    import psutil  # type: ignore[import-untyped]

    for process in psutil.Process().children(recursive=True):
        process.kill()


def _failure(name: str, parameters: Mapping[str, object], root: Path) -> str:
    """Execute a study; what went wrong, empty if nothing did."""
    try:
        execute(name, parameters, root=root)
    except BookError as error:
        return str(error)
    return ""


def _is_executed(notebook: str, root: Path) -> bool:
    try:
        return bool(executed_text(notebook, root))
    except BookError:
        return False


def execute(study: str, parameters: Mapping[str, object], *, root: Path = ROOT) -> Path:
    """The executed copy of a study's notebook, made anew if it is missing or older than anything it depends on.

    Raises:
        InputError: a parameter is wrong.
        BookError: a cell failed or never ran; the published copy, if any, is then no longer shown by the book.
    """
    module = registry.load(study)
    resolved = _resolved(module, parameters)
    source, copy = root / module.NOTEBOOK, root / EXECUTED / module.NOTEBOOK
    key = fingerprint(study, module.NOTEBOOK, resolved, root)
    if copy.is_file() and _facts(copy).get("fingerprint") == key:
        _say(f"{study}: nothing has changed since it was executed")
        return copy
    _say(f"{study}: executing {module.NOTEBOOK} ({', '.join(f'{k}={v}' for k, v in parameters.items()) or 'defaults'})")
    started = time.monotonic()
    apart = resolved["tier"] == SMOKE and ledger_folder().name != SMOKE
    with ledger_at(ledger_folder() / SMOKE if apart else None):
        notebook = run_notebook(source, root / UNFINISHED / module.NOTEBOOK, parameters, root)
    facts: dict[str, Any] = {
        "study": study,
        "fingerprint": key,
        "parameters": resolved,
        "seconds": time.monotonic() - started,
    }
    _publish(notebook, facts, copy)
    _say(f"{study}: done in {duration(facts['seconds'])}")
    return copy


def run_notebook(source: Path, working_copy: Path, parameters: Mapping[str, object], root: Path) -> Any:
    """Run every cell in a new kernel in folder `root`; progress that the cells write to stderr is passed on.

    Raises:
        BookError: a cell raised, left by `sys.exit`, or the kernel died. What was reached is in `working_copy`.
    """
    if not source.is_file():
        raise BookError(f"there is no notebook {source}")
    import nbformat

    working_copy.parent.mkdir(parents=True, exist_ok=True)
    died = _run_cells(source, working_copy, parameters, root)
    notebook = nbformat.read(working_copy, as_version=4)
    _insist_on_completion(notebook, source, working_copy, died)
    working_copy.unlink()
    return notebook


def _run_cells(source: Path, working_copy: Path, parameters: Mapping[str, object], root: Path) -> str:
    """Let papermill run the cells; what a killed kernel leaves to say, the rest is in `working_copy`."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    from lowres.book.kernel import OwnKernel

    with tempfile.TemporaryDirectory(prefix="lowres-") as folder, _short(folder) as short:
        config = Config()
        config.KernelManager.connection_file = f"{folder}/connection.json"  # not in a home that may not be writable
        if short:
            config.KernelManager.transport = "ipc"  # no ports: nothing to race for, nothing that listens
            config.KernelManager.ip = f"{short}/kernel"  # else the sockets lie about in `root`
        try:
            papermill.execute_notebook(
                source,
                working_copy,
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                cwd=root,
                progress_bar=False,
                stderr_file=sys.stderr,
                config=config,
                kernel_manager_class=OwnKernel,
                extra_arguments=[f"--ipython-dir={folder}"],  # else the user's start-up files run in the page
            )
        except papermill.PapermillExecutionError:
            pass  # the notebook knows more than the exception
        except DeadKernelError:
            return "the kernel died: it was killed, perhaps because memory ran out"
    return ""


@contextlib.contextmanager
def _short(folder: str) -> Iterator[str]:
    """A folder whose name leaves room for that of a socket: the given one, one in /tmp, or "" where neither will do."""
    if len(os.fsencode(folder)) <= LONGEST:
        yield folder
        return
    try:
        with tempfile.TemporaryDirectory(prefix="lowres-", dir="/tmp") as short:
            yield short
    except OSError:
        yield ""


def build(root: Path = ROOT) -> Path:
    """Build the pages with warnings as errors; returns the first page.

    Raises:
        BookError: with the warnings and errors of the build. The whole of its output is in `_build/jupyter-book.log`.
    """
    _say(f"building {HTML}")
    main = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    # --all: a page that shows a value of another page would otherwise keep the old one
    command = [sys.executable, "-c", main, "build", str(root), "--all", "-W", "-n", "--keep-going"]
    result = subprocess.run(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    output = _ANSI.sub("", result.stdout)
    (root / LOG).parent.mkdir(exist_ok=True)
    (root / LOG).write_text(output, encoding="utf-8")
    if result.returncode:
        complaints = [line for line in output.splitlines() if re.search(r"WARNING|ERROR|Error:|error:", line)]
        shown = "\n".join(f"  {line}" for line in complaints[:20] or output.splitlines()[-20:])
        raise BookError(f"the pages could not be built (whole log: {root / LOG}):\n{shown}")
    first = root / HTML / "index.html"
    first.write_text(_FRONT, encoding="utf-8")
    return first


# --- what a copy was made from ---------------------------------------------------------------------------------------


def fingerprint(study: str, notebook: str, resolved: Mapping[str, object], root: Path) -> str:
    """Hash over all that an executed copy depends on: notebook, package, published records, versions, parameters."""
    results = [*root.glob(f"results/{study}/*"), *root.glob(f"results/exploratory/{study}[.-]*")]
    files = [root / notebook, *PACKAGE.rglob("*.py"), *results, root / "constraints.txt"]
    digest = hashlib.sha256(json.dumps([resolved, sys.version_info[:2]], sort_keys=True).encode())
    for path in sorted(files):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{os.path.relpath(path, root)}\n{content}\n".encode())
    return digest.hexdigest()[:16]


def executed_text(notebook: str, root: Path = ROOT) -> str:
    """The executed copy of a notebook, named as in `_toc.yml`, as text.

    Raises:
        BookError: there is none, or something that it depends on has changed since.
    """
    copy = root / EXECUTED / notebook
    if not copy.is_file():
        raise BookError(f"{notebook} was not executed: run `make book`")
    facts = _facts(copy)
    if facts.get("fingerprint") != fingerprint(facts["study"], notebook, facts["parameters"], root):
        raise BookError(f"{notebook} was executed before its inputs changed: run `make book`")
    return copy.read_text(encoding="utf-8")


def executed_copies(root: Path) -> list[dict[str, Any]]:
    """What is known of every executed copy: study, parameters, seconds, slowest cell, provenance."""
    return [_facts(path) for path in sorted((root / EXECUTED).rglob("*.ipynb"))]


def _facts(copy: Path) -> dict[str, Any]:
    return dict(json.loads(copy.read_text(encoding="utf-8"))["metadata"].get("lowres", {}))


def _resolved(module: ModuleType, parameters: Mapping[str, object]) -> dict[str, Any]:
    values = dataclasses.asdict(params.resolve(params.from_mapping(module.Params, parameters)))
    return dict(json.loads(json.dumps(values)))


# --- a notebook that ran: whole or refused, then made fit to be read -------------------------------------------------


def _insist_on_completion(notebook: Any, source: Path, working_copy: Path, died: str) -> None:
    cells = [
        cell for cell in notebook.cells if cell.cell_type == "code" and "papermill-error-cell-tag" not in _tags(cell)
    ]
    if not died and all(cell.metadata.papermill.status == "completed" for cell in cells):
        return
    reached = [place for place, cell in enumerate(cells) if cell.metadata.papermill.get("start_time")] or [0]
    cell = cells[reached[-1]]
    code = "\n".join(f"    {line}" for line in cell.source.splitlines()[:5])
    reason = "\n".join(f"    {line}" for line in (_last_words(cell) or [died or "the cell left without an error"]))
    raise BookError(
        f"{source.name} failed in code cell {reached[-1] + 1} of {len(cells)}, which begins\n{code}\n"
        f"and ended with\n{reason}\nNothing was published. The notebook up to there: {working_copy}"
    )


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _last_words(cell: Any, lines: int = 8) -> list[str]:
    """The end of a cell's error: its message whole, since that names what to put right."""
    for output in cell.outputs:
        if output.output_type == "error":
            return _ANSI.sub("", f"{output.ename}: {output.evalue}").splitlines()[: 3 * lines]
    streams = [output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stderr"]
    return _ANSI.sub("", "".join(streams)).splitlines()[-lines:]


def _publish(notebook: Any, facts: dict[str, Any], copy: Path) -> None:
    """Keep what a reader wants to see, add where the numbers come from, and rename into place."""
    import nbformat

    from lowres.trial.provenance import provenance

    facts |= {"provenance": provenance(None), "slowest": _slowest(notebook)}
    notebook.metadata["lowres"] = facts
    for name in ("papermill", "widgets"):
        notebook.metadata.pop(name, None)
    for cell in notebook.cells:
        if "injected-parameters" in _tags(cell):
            cell.metadata["tags"] = [*_tags(cell), "hide-input"]
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_progress(output)]
    notebook.cells.append(nbformat.v4.new_markdown_cell(about(facts), id="about-this-run"))
    copy.parent.mkdir(parents=True, exist_ok=True)
    temporary = copy.with_suffix(".partial")
    nbformat.write(notebook, temporary)
    temporary.replace(copy)


def _is_progress(output: Any) -> bool:
    """Bars and warnings, which the terminal has shown: the page is about results."""
    return output.get("name") == "stderr" or _WIDGET in output.get("data", {})


def _slowest(notebook: Any) -> dict[str, Any]:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    slowest = max(cells, key=lambda cell: cell.metadata.papermill.duration or 0, default=None)
    if slowest is None:
        return {"seconds": 0.0, "code": ""}
    first = next((line for line in slowest.source.splitlines() if line.strip()), "")
    return {"seconds": slowest.metadata.papermill.duration or 0.0, "code": first}


def about(facts: Mapping[str, Any]) -> str:
    """The section at the end of an executed page: when, where, with what and how long it ran."""
    where, slowest = facts["provenance"], facts["slowest"]
    packages = ("torch", "transformers", "peft", "numpy")
    rows = [
        ("When", f"{where['date']}, for {duration(facts['seconds'])}, at tier {facts['parameters']['tier']}"),
        ("Where", f"{where['hardware']}; {where['system']}"),
        ("Versions", ", ".join([f"Python {where['python']}", *(f"{name} {where[name]}" for name in packages)])),
        (
            "Code",
            f"commit {where['commit'].replace('+', ' with changes')}; fingerprint of the inputs {facts['fingerprint']}",
        ),
        ("Slowest cell", f"`{slowest['code']}`, {duration(slowest['seconds'])}"),
    ]
    lines = [f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in rows]
    return "\n".join(["## About this run", "", "| What | This run |", "|:--|:--|", *lines])


def duration(seconds: float) -> str:
    """Seconds in words: `42 s`, `4 min 10 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
