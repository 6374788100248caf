"""The strict runner, the hook that shows executed copies, the generated tables, and the commands that pages tell of."""

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
import tiny
import yaml
from sphinx.errors import ExtensionError

from lowres import book, cli, registry
from lowres.book import bookext, pages
from lowres.params import InputError, describe, parameter

ROOT = Path(__file__).parent.parent
NOTEBOOK = "notebooks/toy.ipynb"
PATIENCE = 600.0  # seconds; the machine may be busy
GOOD = ["answer = 6 * 7", "import sys\nprint('bar', file=sys.stderr)\nprint('tier', tier, 'answer', answer)"]
BAD = {
    "exception": ("1 / 0", "ZeroDivisionError: division by zero"),
    "early exit": ("import sys\nsys.exit(0)", "SystemExit"),
    "killed kernel": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "the kernel died"),
}


@dataclass(frozen=True)
class Params:
    tier: str = parameter("laptop", "how much is run", choices=("smoke", "laptop"))
    seeds: tuple[int, ...] = parameter((0,), "random seeds")


TOY = SimpleNamespace(TITLE="A toy", NOTEBOOK=NOTEBOOK, Params=Params, CLAIMS=(), DEVIATIONS=())


def write_notebook(root: Path, *sources: str) -> None:
    cells = [nbformat.v4.new_markdown_cell("# A toy")]
    cells += [nbformat.v4.new_code_cell('tier = "laptop"\nseeds = [0]', metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    (root / NOTEBOOK).parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / NOTEBOOK)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The root of a book with one study named toy."""
    monkeypatch.setattr(registry, "study_names", lambda: ("toy",), raising=False)
    monkeypatch.setattr(registry, "load", lambda name: TOY, raising=False)
    (tmp_path / "package").mkdir()
    (tmp_path / "package/helper.py").write_text("number = 1")
    monkeypatch.setattr(book, "PACKAGE", tmp_path / "package")
    write_notebook(tmp_path, *GOOD)
    return tmp_path


# --- execution -------------------------------------------------------------------------------------------------------


def test_an_executed_copy_shows_results_and_where_they_come_from(toy, capfd):
    copy = book.execute("toy", {"tier": "smoke"}, root=toy)
    notebook = nbformat.read(copy, as_version=4)
    assert "bar" in capfd.readouterr().err
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs] == ["tier smoke answer 42\n"]
    assert "## About this run" in notebook.cells[-1].source
    assert "at tier smoke" in notebook.cells[-1].source
    assert str(toy) not in copy.read_text()
    assert list((toy / "_build").rglob("*.ipynb")) == [copy]
    assert sorted(path.name for path in toy.iterdir()) == ["_build", "notebooks", "package"]
    assert book.executed_copies(toy)[0]["parameters"] == {"tier": "smoke", "seeds": [0]}
    write_again = copy.stat().st_mtime_ns
    assert book.execute("toy", {"tier": "smoke", "seeds": [0]}, root=toy).stat().st_mtime_ns == write_again


def test_records_of_a_smoke_run_lie_apart(toy, monkeypatch):
    monkeypatch.setenv("LOWRES_LEDGER", str(toy / "records"))
    write_notebook(
        toy, "from lowres.ledger import Ledger\nprint(Ledger().folder.relative_to(Ledger().folder.parents[1]))"
    )
    for tier, folder in (("smoke", "records/smoke"), ("laptop", f"{toy.name}/records")):
        notebook = nbformat.read(book.execute("toy", {"tier": tier}, root=toy), as_version=4)
        (printed,) = [output.text for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        assert printed.strip() == folder
    assert os.environ["LOWRES_LEDGER"] == str(toy / "records")


@pytest.mark.parametrize("failure", BAD)
def test_nothing_is_published_unless_every_cell_completed(toy, failure):
    code, reason = BAD[failure]
    write_notebook(toy, "before = 1", code, "after = 2")
    with pytest.raises(book.BookError) as caught:
        book.execute("toy", {}, root=toy)
    message = str(caught.value)
    assert "toy.ipynb failed in code cell 3 of 4" in message
    assert code.splitlines()[0] in message
    assert reason in message
    assert not (toy / book.EXECUTED / NOTEBOOK).exists()
    assert (toy / book.UNFINISHED / NOTEBOOK).is_file()


@pytest.mark.parametrize("temporary", ["", "long" * 30, "missing", "a b=c"])
def test_the_kernel_is_this_interpreter_whatever_the_machine_has(toy, tmp_path_factory, monkeypatch, temporary):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    spec = elsewhere / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["/nowhere/python"], "display_name": "foreign", "language": "python"}')
    start = elsewhere / "ipython" / "profile_default" / "startup"
    start.mkdir(parents=True)
    (start / "mine.py").write_text("left_behind = 1")
    folder = elsewhere / temporary
    if temporary != "missing":
        folder.mkdir(exist_ok=True)
    readonly = elsewhere / "home"
    readonly.write_text("no folder")
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name, value in {
        "TMPDIR": folder,
        "JUPYTER_PATH": elsewhere,
        "HOME": readonly,
        "IPYTHONDIR": start.parent.parent,
    }.items():
        monkeypatch.setenv(name, str(value))
    write_notebook(toy, "import sys\nprint(sys.executable, 'left_behind' in globals())")
    notebook = nbformat.read(book.execute("toy", {"tier": "smoke"}, root=toy), as_version=4)
    outputs = [output.text for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs == [f"{sys.executable} False\n"]


def test_ctrl_c_stops_at_once_and_leaves_no_kernel(toy):
    write_notebook(toy, "import time, os\nopen('kernel', 'w').write(str(os.getpid()))\ntime.sleep(9999)")
    code = "from lowres import book; from pathlib import Path; import sys\n"
    code += "book.run_notebook(Path('notebooks/toy.ipynb'), Path('working.ipynb'), {}, Path.cwd())"
    started = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=toy,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        preexec_fn=tiny.heed_interrupts,
    )
    note = toy / "kernel"
    until(lambda: note.is_file() and note.read_text())
    started.send_signal(signal.SIGINT)
    started.communicate(timeout=PATIENCE)  # the cell itself goes on for hours
    assert started.returncode != 0
    until(lambda: not tiny.alive(int(note.read_text())))


def test_ctrl_c_ends_the_kernels_of_notebooks_that_run_side_by_side(toy):
    code = "import time\ntime.sleep(9999)"
    (toy / "run.py").write_text(
        "import subprocess, sys\nfrom lowres import book\n"
        "book._failure = lambda *_: subprocess.run([sys.executable, '-c', " + repr(code) + "]).returncode\n"
        "book._resolved = lambda *_: {'tier': 'smoke'}\nbook.registry.load = str\nopen('started', 'w').write('1')\n"
        "book.make({}, ['one', 'two'])\n"
    )
    started = subprocess.Popen(
        [sys.executable, "run.py"],
        cwd=toy,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=tiny.heed_interrupts,
    )
    until(lambda: len(children(started.pid)) == 2)
    two = children(started.pid)
    started.send_signal(signal.SIGINT)
    assert started.wait(timeout=PATIENCE) != 0
    assert not any(tiny.alive(one) for one in two)


def children(process: int) -> list[int]:
    return [child.pid for child in psutil.Process(process).children()]


def until(condition, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


PUBLISHED = ("results/toy/2026-11-30-1.parquet", "results/toy/_verified.json", "results/exploratory/toy.parquet")


def test_whatever_a_copy_depends_on_changes_its_fingerprint(toy):
    def now(**resolved: object) -> str:
        return book.fingerprint("toy", NOTEBOOK, {"tier": "smoke", **resolved}, toy)

    seen = [now(), now(seeds=[1])]
    write_notebook(toy, "1")
    seen.append(now())
    for changed in ("package/helper.py", *PUBLISHED, "constraints.txt"):
        (toy / changed).parent.mkdir(parents=True, exist_ok=True)
        (toy / changed).write_text("new")
        seen.append(now())
    assert len(set(seen)) == len(seen)
    (toy / "results/exploratory/toys.parquet").write_text("another study's")
    (toy / "README.md").write_text("no input")
    assert now() == seen[-1]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [({"teir": "smoke"}, 'did you mean "tier"'), ({"tier": "huge"}, "huge"), ({"seeds": "all"}, "seeds")],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(toy, given, complaint):
    for call in (lambda: book.make(given, root=toy), lambda: book.execute("toy", given, root=toy)):
        with pytest.raises(InputError, match=re.escape(complaint)):
            call()
    assert not (toy / "_build").exists()


def test_one_failure_stops_the_pages_but_not_the_other_studies(toy, monkeypatch):
    ran = []

    def execute(study, parameters, *, root):
        ran.append(study)
        if study == "first":
            raise book.BookError("first broke")

    monkeypatch.setattr(book, "execute", execute)
    monkeypatch.setattr(book, "build", lambda root: pytest.fail("built from a failure"))
    with pytest.raises(book.BookError, match="first broke"):
        book.make({}, ["first", "second"], root=toy)
    assert ran == ["first", "second"]


def test_durations_read_well():
    assert [book.duration(seconds) for seconds in (0.52, 42, 59.7, 250, 7500)] == [
        "0.5 s",
        "42 s",
        "1 min 0 s",
        "4 min 10 s",
        "2 h 5 min",
    ]


# --- pages -----------------------------------------------------------------------------------------------------------


def read_source(root: Path, name: str, suffix: str, text: str = "") -> str:
    """What Sphinx would be given for a page."""
    app = SimpleNamespace(srcdir=str(root), env=SimpleNamespace(doc2path=lambda page: str(root / f"{page}{suffix}")))
    source = [text]
    bookext.replace_source(app, name, source)
    return source[0]


def test_the_hook_refuses_a_notebook_that_was_not_executed_or_is_out_of_date(toy):
    with pytest.raises(ExtensionError, match="was not executed: run `make book`"):
        read_source(toy, "notebooks/toy", ".ipynb")
    copy = book.execute("toy", {}, root=toy)
    assert json.loads(read_source(toy, "notebooks/toy", ".ipynb")) == json.loads(copy.read_text())
    write_notebook(toy, *GOOD, "another = 1")
    with pytest.raises(ExtensionError, match="before its inputs changed"):
        read_source(toy, "notebooks/toy", ".ipynb")


def test_markers_become_tables_and_unknown_ones_are_refused(toy):
    text = read_source(toy, "book/page", ".md", "Before.\n\n<!-- generated: parameters -->\n\nAfter.")
    assert '| `tier`<br>str | `"laptop"` | how much is run' in text
    assert text.startswith("Before.")
    assert text.endswith("After.")
    with pytest.raises(ExtensionError, match='no generated table "paramters"; known: answer'):
        read_source(toy, "book/page", ".md", "<!-- generated: paramters -->")


def test_a_clean_checkout_has_no_run_times_yet(toy):
    assert pages.fragment("run-times", toy).count("\n") == 1


def test_table_cells_cannot_break_out():
    shown = pages.table(("a", "b"), [("one | two\nthree", "$5 <b> *x* y_z"), (pages.Raw("`code`"), 7)])
    assert shown.splitlines()[2:] == ["| one \\| two three | \\$5 \\<b> \\*x\\* y\\_z |", "| `code` | 7 |"]


def test_deviations_come_from_the_studies(toy, monkeypatch):
    row = SimpleNamespace(original="Gemma-7B", here="SmolLM2-135M", expected_bias="smaller gains")
    monkeypatch.setattr(TOY, "DEVIATIONS", (row,))
    assert "| Gemma-7B | SmolLM2-135M | smaller gains |" in pages.fragment("deviations", toy)


@pytest.fixture
def small_book(toy):
    """The toy with the real configuration, two pages and no more."""
    configuration = yaml.safe_load((ROOT / "_config.yml").read_text())
    (toy / "_config.yml").write_text(yaml.safe_dump(configuration))
    shutil.copytree(ROOT / "lowres", toy / "lowres", ignore=shutil.ignore_patterns("__pycache__"))
    (toy / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n  - file: notebooks/toy\n")
    shutil.copytree(ROOT / "book/static", toy / "book/static")
    shutil.copy(ROOT / "book/references.bib", toy / "book")
    (toy / "book/index.md").write_text("# Small\n\nSee [the toy](/notebooks/toy.ipynb) and $x^2$.\n")
    return toy


def test_a_small_book_is_built_from_the_executed_copy_and_loads_nothing_from_elsewhere(small_book, monkeypatch):
    # Sphinx runs in another process, which does not know the toy study: only its copy and fingerprint matter there.
    monkeypatch.setenv("PYTHONPATH", str(small_book))
    monkeypatch.setattr(book, "PACKAGE", small_book / "lowres")
    copy = book.execute("toy", {"tier": "smoke"}, root=small_book)
    key = nbformat.read(copy, as_version=4).metadata["lowres"]["fingerprint"]
    first = book.build(small_book)
    assert first.is_file()
    page = (small_book / book.HTML / "notebooks/toy.html").read_text()
    assert "tier smoke answer 42" in page
    assert key in page
    pages_ = [path.read_text() for path in (small_book / book.HTML).rglob("*.html")]
    fetched = [
        address for text in pages_ for address in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(\S+?)"', text)
    ]
    assert not [address for address in fetched if "//" in address]
    assert any("tex-svg-full.js" in address for address in fetched)
    assert "THEBE" not in page

    (small_book / "book/index.md").write_text("# Small\n\nSee [nothing](nowhere.md).\n")
    with pytest.raises(book.BookError, match=r"index\.md:3: WARNING"):
        book.build(small_book)


# --- the pages of this book ------------------------------------------------------------------------------------------


def test_the_table_of_contents_names_files_that_exist():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    named = [contents["root"], *(chapter["file"] for part in contents["parts"] for chapter in part["chapters"])]
    missing = [name for name in named if not any((ROOT / f"{name}{suffix}").is_file() for suffix in (".md", ".ipynb"))]
    assert not missing
    notebooks = {study.NOTEBOOK.removesuffix(".ipynb") for study in map(registry.load, registry.study_names())}
    assert notebooks <= set(named)


def test_every_marker_names_a_table():
    found = [marker for page in (ROOT / "book").glob("*.md") for marker in bookext.MARKER.findall(page.read_text())]
    assert set(found) == set(pages.FRAGMENTS)


def told_commands() -> list[list[str]]:
    """Every `lowres` command in a block of the documentation, or in a text of a notebook."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "book").glob("*.md")]
    texts = [path.read_text() for path in documents]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        texts += ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
    blocks = [block for text in texts for block in re.findall(r"```(?:console|bash)\n(.*?)```", text, re.DOTALL)]
    lines = textwrap.dedent("\n".join(blocks)).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if "lowres " in line]
    return [words[1:] for words in commands if words[:1] == ["lowres"]]


@pytest.mark.parametrize("command", told_commands(), ids=" ".join)
def test_the_commands_that_the_pages_tell_of_exist(command):
    name, *rest = command
    flags = {"-p" if flag == "--parameter" else flag.strip("[]") for flag in cli.COMMANDS[name].arguments}
    assert {argument for argument in rest if argument.startswith("-")} <= flags | {"--parameter"}
    given = [value.partition("=")[0] for flag, value in itertools.pairwise(rest) if flag == "-p"]
    known = {row.name for study in registry.study_names() for row in describe(registry.load(study).Params)}
    assert set(given) <= known
