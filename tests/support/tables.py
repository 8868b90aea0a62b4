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
    """A value that the option may have and does not have by default; it makes a difference within a few steps."""
    here, most = option.default, option.at_most
    if option.choices:
        return next(choice for choice in option.choices if choice != here)
    match here:
        case bool():
            return not here
        case str():
            return "elsewhere"
        case tuple():
            return ()
        case int():
            return 2 if here == 1 else 1
    if here < 0:  # none by default
        return 0.05
    return here / 2 + 0.2 if most is None or here / 2 + 0.2 <= most else here / 2
