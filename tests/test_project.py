"""What stands around the code agrees with it: the version is said once, and CI runs what a person can run."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import lwsam_ref

ROOT = Path(__file__).parent.parent


def test_the_version_is_that_of_the_package_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "lwsam_ref.__version__"}
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited == [lwsam_ref.__version__]


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def test_every_target_is_phony_and_in_the_list_that_make_help_prints() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == targets()
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in listed.splitlines()} == targets()


def test_ci_runs_targets_that_there_are() -> None:
    texts = [file.read_text() for file in sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
    named = {name for text in texts for name in re.findall(r"run: make ([a-z-]+)", text)}
    named |= {name for text in texts for line in re.findall(r"target: \[(.+)\]", text) for name in line.split(", ")}
    assert {"test", "test-wheel", "test-lowest", "faults"} <= named <= targets()
