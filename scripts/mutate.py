"""Break the code on purpose, one fault at a time, and see a test or a statement of `lwsam verify` fail.

    python scripts/mutate.py                    # all of them
    python scripts/mutate.py --only dropout     # those with this word in the name
    python scripts/mutate.py --list

The project is copied, and its checks run once as they are: they must be green. Each fault is then put into a copy of
its own: a piece of text that occurs exactly once in its file, replaced by another. The test files most likely to see it
run first, then all others, then the statements, up to the first failure. Exit status 1 if a fault passes unseen.

Left out are tests that read the source (they would see the text, not the fault), and those that a plain `make test`
leaves out. Hypothesis draws the same examples every time and does not shrink them. To pytest this file is a plugin.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from faults import FAULTS, Fault  # noqa: E402  (they stand beside the tests of each wing)

COPIED = ("lwsam_ref", "nets", "proofs", "tests", "scripts", "docs", "README.md", "pyproject.toml")
COLLECTED = ("tests", "lwsam_ref", "nets", "proofs", "docs", "README.md")
MARKS = "not slow and not cuda and not proofs"
READ_THE_SOURCE = (
    "tests/test_structure.py",
    "tests/test_project.py",
    "tests/test_docs.py",
    "tests/faults/test_mutations.py",
)
THE_COMMAND = (
    "tests/proofs/test_proofs.py::test_verify_prints_every_statement_and_exits_with_0"  # the statements are a check
)
VERIFY = "verify"
LIMIT = 600
"""Seconds for one check."""


# -- the checks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """By what a fault was caught (None: by nothing), and how long it took."""

    fault: Fault
    by: str | None
    seconds: float


def pytest_configure() -> None:
    """This file as a plugin: the copy is what is tested, and Hypothesis neither draws anew nor shrinks."""
    from hypothesis import Phase, settings

    here()
    settings.register_profile(
        "trial", settings(), phases=(Phase.explicit, Phase.generate), derandomize=True, database=None
    )
    settings.load_profile("trial")


def here() -> None:
    """The package comes from the working directory, wherever another is installed."""
    import lwsam_ref
    import nets
    import proofs

    for package in (lwsam_ref, nets, proofs):
        if Path(str(package.__file__)).resolve().parent.parent != Path.cwd().resolve():
            sys.exit(f"asked to test the copy in {Path.cwd()}, but {package.__file__} was imported")


def statements() -> None:
    """`lwsam verify`, up to the first row that is not as declared; status 1 if there is one."""
    here()
    from proofs.verify import QUICK, tasks

    for task in tasks(QUICK, False):
        found = task()
        for row in found if isinstance(found, list) else [found]:
            if not row.as_declared:
                print(f"FAILED verify: {row.source} ({row.statement}; {row.method})")
                sys.exit(1)


def run(copy: Path, *command: str) -> tuple[int | None, str]:
    """Status (None past the limit) and output of a Python command in the copy, its packages before any other."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "scripts"), str(copy / "tests")]),
        "PYTHONDONTWRITEBYTECODE": "1",  # a fault of the same length in the same second would be taken for the old file
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    }
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, *command],
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""
    return process.returncode, output


def check(copy: Path, what: Sequence[str], without: Sequence[str] = (), jobs: int = 0) -> str | None:
    """What fails first of test files, or of the statements; None if nothing does."""
    if what == [VERIFY]:
        status, output = run(copy, "-c", "import mutate; mutate.statements()")
    else:
        left_out = [f"--ignore={file}" for file in (*READ_THE_SOURCE, *without)] + [f"--deselect={THE_COMMAND}"]
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "mutate", "--tb=no", "-rfE", "-m", MARKS]
        options += ["-n", str(jobs)] if jobs else []
        status, output = run(copy, "-m", "pytest", *options, *left_out, *what)
    if status == 0:
        return None
    if status is None:
        return f"no end in {LIMIT} s: {' '.join(what)}"
    if status != 1:
        sys.exit(f"{' '.join(what)}: status {status}\n{output}")
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return found[1] if found else output.strip().splitlines()[-1]


def tries(fault: Fault) -> Iterator[tuple[list[str], list[str]]]:
    """What to check, in order: as named in ``first``, then all other tests, then the statements."""
    names = [n for n in fault.first.split() if n != VERIFY]
    files = [n if "/" in n else str(next(ROOT.glob(f"tests/**/test_{n}.py")).relative_to(ROOT)) for n in names]
    if files:
        yield files, []
    if VERIFY in fault.first.split():
        yield [VERIFY], []
    yield list(COLLECTED), files
    if VERIFY not in fault.first.split():
        yield [VERIFY], []


def trial(fault: Fault, original: Path, copies: SimpleQueue[Path]) -> Seen:
    """The fault in a copy that is free, up to the first check that sees it."""
    start, copy = time.perf_counter(), copies.get()
    mutated = fault.mutated(original)
    try:
        (copy / fault.file).write_text(mutated, "utf-8")
        by = next((by for what, without in tries(fault) if (by := check(copy, what, without))), None)
    finally:
        shutil.copyfile(original / fault.file, copy / fault.file)
        copies.put(copy)
    return Seen(fault, by, time.perf_counter() - start)


def copy_project(to: Path) -> Path:
    to.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copyfile(ROOT / name, to / name)
    return to


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="faults with this in their name (again: or this)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="faults at a time [default: the cores]")
    parser.add_argument("--list", action="store_true", help="print the faults and do nothing")
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if any(part.lower() in fault.name.lower() for part in arguments.only or [""])]
    if arguments.list:
        print("\n".join(f"{fault.name}  ({fault.file})" for fault in faults))
        return 0
    if not faults:
        sys.exit(f"asked for {' or '.join(arguments.only)}, but no fault has that in its name: see --list")
    start = time.perf_counter()
    with TemporaryDirectory(prefix="mutate-") as folder:
        original = copy_project(Path(folder) / "original")
        for fault in faults:
            fault.mutated(original)
        with ThreadPoolExecutor(2) as pool:
            for failed in pool.map(
                lambda what: check(original, what, jobs=arguments.jobs), ([VERIFY], list(COLLECTED))
            ):
                if failed:
                    sys.exit(f"without any fault, {failed} fails: mend that first")
        print(f"without any fault all is green: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        copies: SimpleQueue[Path] = SimpleQueue()
        for i in range(arguments.jobs):
            copies.put(Path(shutil.copytree(original, Path(folder) / str(i))))
        found = []
        with ThreadPoolExecutor(arguments.jobs) as pool:
            for seen in pool.map(lambda fault: trial(fault, original, copies), faults):
                found.append(seen)
                print(f"{seen.fault.name}: {seen.by or 'SURVIVES'}", file=sys.stderr, flush=True)
    width = max(len(seen.fault.name) for seen in found)
    print(f"{'fault':{width}}  seconds  caught by")
    for seen in found:
        print(f"{seen.fault.name:{width}}  {seen.seconds:7.1f}  {seen.by or 'NOTHING: it survives'}")
    survivors = [seen.fault.name for seen in found if seen.by is None]
    said = f", {len(survivors)} survive: {'; '.join(survivors)}" if survivors else ", all caught"
    print(f"{len(found)} faults{said}; {time.perf_counter() - start:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
