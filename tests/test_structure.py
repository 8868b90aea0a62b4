"""The house keeps its shape: imports one way, a small core, cupy and mpi4py in one place each, and lazily."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ("vector.py", "rng.py", "device.py", "comm.py", "algorithms", "autodiff", "training/objective.py")
BUDGET = {"core": 2500, "training": 1800, "analysis": 1150, "cli": 600, "data": 700, "engines": 1000}
"""Lines, blank ones not counted, that each wing may have."""


def sources(*parts: str) -> list[Path]:
    found = [ROOT / "lwsam_ref" / part for part in parts]
    return [file for p in found for file in (sorted(p.rglob("*.py")) if p.is_dir() else [p])]


def imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_imports_point_one_way() -> None:
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("wing", BUDGET)
def test_no_wing_outgrows_its_budget(wing: str) -> None:
    files = sources(*CORE) if wing == "core" else sources(wing)
    assert sum(bool(line.strip()) for file in files for line in file.read_text().splitlines()) <= BUDGET[wing]


def test_each_heavy_package_is_named_in_its_place() -> None:
    named: dict[str, list[str]] = {"cupy": [], "mpi4py": []}
    for file in sorted((ROOT / "lwsam_ref").rglob("*.py")) + sorted((ROOT / "nets").rglob("*.py")):
        for package, files in named.items():
            if any(name.split(".")[0] == package for name in imports(file)):
                files.append(file.name)
    assert named == {"cupy": ["device.py", "kernels.py"], "mpi4py": ["comm.py"]}


def test_algorithms_know_the_protocol_and_the_vector_only() -> None:
    allowed = re.compile(r"lwsam_ref\.(vector|rng|errors|algorithms(\..*)?)$")
    for file in sources("algorithms"):
        ours = {name for name in imports(file) if name.startswith(("lwsam_ref", "nets"))}
        assert all(allowed.match(name) for name in ours), (file, ours)


def test_importing_everything_brings_in_no_heavy_package() -> None:
    modules = ["cli.main", "training.loop", "analysis.compare", "analysis.figures", "analysis.trace"]
    modules += ["analysis.trace_picture", "analysis.run_picture"]
    code = f"import sys, nets, {', '.join(f'lwsam_ref.{m}' for m in modules)};"
    code += "print([m for m in ('cupy', 'mpi4py', 'matplotlib', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_name_in_the_glossary_and_the_algorithm_is_in_the_code() -> None:
    """The documents' tables name code by `file.py: text`; each text stands in that file."""
    rows = [row for d in DOCUMENTS for row in re.findall(r"`(lwsam_ref/[\w/]+\.py)`: `([^`]+)`", d.read_text())]
    assert len(rows) >= 30
    for file, text in rows:
        assert text in (ROOT / file).read_text(), (file, text)
