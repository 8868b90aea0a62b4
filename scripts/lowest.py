"""Print the lowest version of everything that `pyproject.toml` asks for, as constraints for pip: `make test-lowest`."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
UNTRIED = {"cuda"}
"""Extras that only a machine with a GPU can try."""


def lowest(file: Path = PYPROJECT) -> Iterator[str]:
    """One line a package; a sentence and the end where a package has no floor."""
    content = tomllib.loads(file.read_text("utf-8"))
    extras = content["project"]["optional-dependencies"]
    wanted = [*content["build-system"]["requires"], *content["project"]["dependencies"]]
    wanted += [line for name, lines in extras.items() if name not in UNTRIED for line in lines]
    for line in wanted:
        if line.startswith(content["project"]["name"]):
            continue  # an extra that is made of others
        found = re.fullmatch(r"([\w-]+)>=([\d.]+)", line)
        if found is None:
            sys.exit(f"asked for the lowest version of {line!r}, but it is not of the form NAME>=VERSION: write it so")
        yield f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    print("\n".join(lowest()))
