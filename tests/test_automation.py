"""What builds the book elsewhere: it parses, and names make's own targets and files that are there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from jupyter_book.config import get_final_config

from lowres.book import bookext, pages

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
ADDRESS = "https://github.com/somebody/something"
TARGETS = set(re.findall(r"^([\w.-]+):", MAKEFILE, re.MULTILINE)) | {".venv/.lowres-installed"}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_calls_targets_that_there_are(file: Path):
    jobs = yaml.safe_load(file.read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    commands = [step["run"].split() for step in steps if "run" in step]
    assert commands
    assert all(words[0] == "make" and words[1] in TARGETS for words in commands), commands
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step)


def test_the_container_makes_targets_that_there_are():
    text = (ROOT / "Dockerfile").read_text()
    asked = re.findall(r'^RUN make (\S+)$|"make", "(\w+)"', text, re.MULTILINE)
    assert {first or second for first, second in asked} == {".venv/.lowres-installed", "book"}
    assert {first or second for first, second in asked} <= TARGETS


# --- Binder and Colab ------------------------------------------------------------------------------------------------


def test_binder_installs_what_is_pinned():
    """As make does: the requirements, then without their dependencies those that are installed so, and the package."""
    binder = ROOT / ".binder"
    lines = [line for line in (binder / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    (named,) = [line.removeprefix("-r ") for line in lines if line.startswith("-r ")]
    assert (binder / named).resolve() == ROOT / "requirements.txt"
    assert not [line for line in lines if "==" in line], "pins stand in one place"
    after = binder / "postBuild"
    assert os.access(after, os.X_OK)
    assert subprocess.run(["bash", "-n", after]).returncode == 0
    made = re.search(r"pip install --quiet (--no-deps .*)$", MAKEFILE, re.MULTILINE)
    assert made
    assert made[1] in after.read_text()
    version = tuple(map(int, re.findall(r"\d+", (binder / "runtime.txt").read_text())))
    assert (3, 11) <= version <= (3, 14)


def config(tmp_path: Path, address: str) -> dict[str, Any]:
    """What Sphinx is told by _config.yml with an address in it."""
    text = (ROOT / "_config.yml").read_text()
    assert len(re.findall(r"^  url:", text, re.MULTILINE)) == 1
    file = tmp_path / "_config.yml"
    file.write_text(re.sub(r"^  url:.*$", f'  url: "{address}"', text, flags=re.MULTILINE))
    found, _ = get_final_config(user_yaml=file, cli_config={"latex_individualpages": False}, sourcedir=ROOT)
    told = SimpleNamespace(html_theme_options=found["html_theme_options"])
    bookext.use_address(None, told)  # type: ignore[arg-type]
    return told.html_theme_options


def test_without_an_address_there_are_no_buttons(tmp_path: Path):
    options = config(tmp_path, "")
    assert not options["launch_buttons"]
    assert not options["use_repository_button"]
    assert "ADDRESS" in pages.fragment("elsewhere", tmp_path)
    assert "mybinder.org" not in pages.fragment("elsewhere", tmp_path)


def test_the_address_stands_in_one_place_and_everything_follows(tmp_path: Path):
    options = config(tmp_path, ADDRESS)
    assert options["repository_url"] == ADDRESS
    assert options["use_repository_button"]
    assert options["launch_buttons"]["binderhub_url"]
    told = pages.fragment("elsewhere", tmp_path)
    assert f"git clone --depth 1 --branch main {ADDRESS} " in told
    assert "https://mybinder.org/v2/git/https%3A%2F%2Fgithub.com%2Fsomebody%2Fsomething/main" in told


def test_the_cell_for_colab_installs_beside_what_is_there(tmp_path: Path):
    """Only make's own environment is written to, and the commands in it are called by their path."""
    config(tmp_path, ADDRESS)
    cell = pages.fragment("elsewhere", tmp_path).split("```")[1].strip().splitlines()
    assert all(line.startswith(("!git clone ", "%cd ", "%env ", "!make ", "!.venv/bin/lowres ")) for line in cell), cell
    (target,) = [line.split()[1] for line in cell if line.startswith("!make ")]
    assert target in TARGETS
