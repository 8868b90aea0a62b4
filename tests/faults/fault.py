"""A fault that is put into the code on purpose."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """In ``file``, ``text`` becomes ``replacement``. ``first`` names what should see it: laws, cone, ..., verify."""

    name: str
    file: str
    text: str
    replacement: str
    first: str

    def mutated(self, root: Path) -> str:
        """The file with the fault; a sentence and the end where the text is not there exactly once, or is no Python."""
        source = (root / self.file).read_text("utf-8")
        if (count := source.count(self.text)) != 1:
            sys.exit(f"{self.name}: the text is in {self.file} {count} times, not once: mend the list\n{self.text}")
        mutated = source.replace(self.text, self.replacement)
        compile(mutated, self.file, "exec")
        return mutated
