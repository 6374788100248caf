"""What builds the book elsewhere: it parses, and names make's own targets and files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
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
