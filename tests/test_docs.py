"""The documents are true: the recipes work when pasted, links lead somewhere, no option is left out."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from lwsam_ref.algorithms import CRITERIA
from lwsam_ref.data import DATASETS
from lwsam_ref.engines import ENGINES
from lwsam_ref.training.config import FORMAT, OPTIONS, RENAMED, parse
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.models import MODELS
from lwsam_ref.training.records import EpochRecord, StepRecord, Summary

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
LINKED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "proofs" / "README.md", *DOCS]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(file: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [text for kind, text in FENCE.findall(file.read_text()) if kind == language]


# -- the recipes -----------------------------------------------------------------------------------------------------


def paste(block: str, root: Path) -> None:
    """What docs/extending.md says of a block's first line."""
    head, text = block.split("\n", 1)
    found = re.fullmatch(r"# ([\w/.]+)(?: \((new)\)|, (among the imports)|, in (\w+))", head)
    assert found is not None, head
    file, new, imports, table = root / found[1], *found.groups()[1:]
    if new:
        assert not file.exists(), file
        file.write_text(text)
        return
    before = file.read_text()
    pattern = r"^(?=(?:from (?!__future__)|import ))" if imports else rf"^{table}\b.*[\[{{]$|^{table}\b[^\n]* = [{{(]"
    place = re.search(pattern, before, re.MULTILINE)
    assert place is not None, head
    gap = "" if imports else "\n"
    file.write_text(f"{before[: place.end()]}{gap}{text}{before[place.end() :].removeprefix(gap)}")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with every recipe in it."""
    root = tmp_path_factory.mktemp("extended")
    for name in ("lwsam_ref", "nets", "proofs", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for block in blocks(ROOT / "docs" / "extending.md", "python"):
        paste(block, root)
    return root


def run_in(root: Path, *words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *words], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_the_tests_of_the_recipes_pass(extended: Path) -> None:
    heads = [block.split("\n")[0] for block in blocks(ROOT / "docs" / "extending.md", "python")]
    own = sorted({found[1] for head in heads if (found := re.match(r"# (tests/[\w/.]+\.py) \(new\)", head))})
    assert len(own) == 5
    here = "import lwsam_ref, pathlib; assert pathlib.Path(lwsam_ref.__file__).is_relative_to(pathlib.Path.cwd())"
    run_in(extended, "-c", here)
    run_in(
        extended,
        *("-m", "pytest", "-p", "no:cacheprovider", *own),
        *("tests/autodiff/test_gradients.py", "tests/training/test_holes.py", "tests/training/test_resume.py"),
        *("-k", f"{' or '.join(Path(file).stem for file in own)} or PReLU or every_ or periodic"),
    )


def test_the_commands_of_the_recipes_work(extended: Path) -> None:
    commands = [line for block in blocks(ROOT / "docs" / "extending.md", "sh") for line in block.splitlines()]
    commands = [line for line in commands if line.startswith(".venv/bin/lwsam ")]
    assert len(commands) == 5
    for line in commands:
        run_in(extended, "-m", "lwsam_ref.cli", *shlex.split(line)[1:])


# -- links -----------------------------------------------------------------------------------------------------------


def anchors(file: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    text = FENCE.sub("", file.read_text())
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("file", LINKED, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_there_are(file: Path) -> None:
    text = FENCE.sub("", file.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (file.parent / path).resolve() if path else file
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_document_is_named_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [file.name for file in DOCS if f"](docs/{file.name})" not in text] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


# -- options ---------------------------------------------------------------------------------------------------------


def test_every_option_is_described_with_its_default() -> None:
    """In rows ``| `--flag` | default | ...``, once each; ``--from`` is ``start`` in files."""
    rows: dict[str, str] = {}
    for name in ("methods.md", "python.md", "runs.md"):
        text = (ROOT / "docs" / name).read_text()
        for flag, default in re.findall(r"^\| `--([a-z-]+)` \| ([^|]+?) \|", text, re.MULTILINE):
            assert flag not in rows, flag
            rows["start" if flag == "from" else flag] = default.strip("`")
    shown = {
        name.replace("_", "-"): ",".join(f"{v:.4g}" for v in o.default)
        if o.kind is tuple
        else ("off", "on")[o.default]
        if o.kind is bool
        else f"{o.default:g}"
        if o.kind is float
        else str(o.default) or "none"
        for name, o in OPTIONS.items()
    }
    assert rows == shown


def test_the_renamed_options_are_those_of_the_table_and_read_from_old_files() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", (ROOT / "docs" / "runs.md").read_text(), re.MULTILINE))
    assert rows == RENAMED
    assert RENAMED.keys().isdisjoint(OPTIONS)
    assert set(RENAMED.values()) <= OPTIONS.keys()
    for old, new in RENAMED.items():
        assert parse(f"{old} = 1".encode(), "old") == {new: 1}
        assert parse(f"format = {FORMAT}\n{old} = 1".encode(), "new") == {old: 1}


@pytest.mark.parametrize(
    ("file", "names"),
    [("methods.md", {*METHODS, *MODELS, *CRITERIA}), ("architecture.md", {*ENGINES}), ("data.md", {*DATASETS})],
)
def test_every_entry_of_a_table_has_its_row(file: str, names: set[str]) -> None:
    text = (ROOT / "docs" / file).read_text()
    assert names <= set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE))


def test_every_field_of_a_record_is_described() -> None:
    text = (ROOT / "docs" / "runs.md").read_text()
    summary = {"final": "final_accuracy", "best": "best_accuracy"}
    epoch = {"value": "accuracy"}
    names = {summary.get(field.name, field.name) for field in fields(Summary)}
    names |= {epoch.get(field.name, field.name) for field in fields(EpochRecord)}
    names |= {field.name for field in fields(StepRecord)}
    assert {name for name in names if f"`{name}`" not in text} == set()
