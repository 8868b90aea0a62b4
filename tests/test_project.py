"""What stands around the code agrees with it: the version is said once."""

from __future__ import annotations

import re
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
