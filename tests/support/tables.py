"""Smaller entries in the tables of models and data sets; and for any option a value that is not its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from lwsam_ref.data import DATASETS, Dataset
from lwsam_ref.options import Option
from lwsam_ref.training.models import MODELS


def use_models(patch: pytest.MonkeyPatch, models: Mapping[str, Callable[..., Any]]) -> None:
    """Other networks under the names of these; each takes the options that the name has."""
    for name, make in models.items():
        patch.setitem(MODELS, name, replace(MODELS[name], make=make))


def use_data(patch: pytest.MonkeyPatch, name: str, load: Callable[..., Dataset]) -> None:
    """Other data under the name."""
    patch.setitem(DATASETS, name, replace(DATASETS[name], load=load))


def another(option: Option) -> Any:
    """A value that the option may have, and does not have by default."""
    here = option.default
    if option.choices:
        return next(choice for choice in option.choices if choice != here)
    if isinstance(here, bool):
        return not here
    if isinstance(here, str):
        return "elsewhere"
    if isinstance(here, tuple):
        return (0.5, 0.75)
    if isinstance(here, int):
        return here + 1
    return here / 2 + 0.2 if option.at_most is None or here / 2 + 0.2 <= option.at_most else here / 2
