"""What has to be done for a new entry of a table: a failure says what is missing, and where it goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lwsam_ref.data import DATASETS
from lwsam_ref.engines import ENGINES
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.models import MODELS
from parallel.problems import METHODS as ON_RANKS

ROOT = Path(__file__).parent.parent
PLACES = {
    "docs/methods.md": (METHODS, MODELS, DATASETS, ENGINES),
    "docs/data.md": (DATASETS,),
    "tests/oracle/methods.py": (METHODS,),
    "tests/training/test_resume.py": (METHODS,),
}
"""Files that have to name each entry of these tables."""


@pytest.mark.parametrize("place", PLACES)
def test_every_entry_is_where_it_has_to_be(place: str) -> None:
    text = (ROOT / place).read_text("utf-8")
    missing = [name for table in PLACES[place] for name in table if name not in text]
    assert not missing, f"{place} has nothing of {', '.join(missing)}: add it there"


def test_every_method_is_tried_on_several_ranks() -> None:
    tried = {options.get("method", "layerwise-sam") for options in ON_RANKS.values()}
    missing = METHODS.keys() - tried
    assert not missing, f"METHODS of tests/parallel/problems.py has nothing of {', '.join(missing)}: add it there"


@pytest.mark.parametrize(
    ("owner", "name"),
    [(o, n) for table in (METHODS, MODELS, DATASETS) for o, kind in table.items() for n in kind.options],  # type: ignore[attr-defined]
)
def test_every_option_says_what_it_is_and_what_it_may_be(owner: str, name: str) -> None:
    table = METHODS if owner in METHODS else MODELS if owner in MODELS else DATASETS
    option = table[owner].options[name]  # type: ignore[index]
    assert option.help, f"the option {name!r} of {owner!r} has no help text"
    limited = option.choices or option.at_least is not None or option.kind in (bool, str)
    assert limited, f"the option {name!r} of {owner!r} has neither choices nor a range"
