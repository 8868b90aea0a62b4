"""Everything that a run depends on, in one frozen value; the command line, files and presets all end here.

The options of the run itself stand here. Those of the methods, models and data sets stand with them, in their tables,
and are gathered. From these come the command line's options, and by these every value is checked, wherever it is from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w

from lwsam_ref.data import DATASETS, DataKind
from lwsam_ref.device import DTYPES
from lwsam_ref.engines import ENGINES
from lwsam_ref.errors import UserError, unknown
from lwsam_ref.options import Option, Options, shown
from lwsam_ref.training.methods import METHODS, MethodKind, without_effect
from lwsam_ref.training.models import MODELS, ModelKind
from lwsam_ref.training.records import PYTHON

FORMAT = 2
"""Of ``config.toml``. A file without a format is of version 0.1, whose names of options differ in part."""

IDENTITY = ("made_in", "data", "network_sha256", "data_sha256")
"""What ``config.toml`` has besides options, if a run was made in Python."""

RENAMED = {
    "interval": "looksam_interval",
    "reuse": "looksam_reuse",
    "beta": "esam_beta",
    "gamma": "esam_gamma",
    "refresh": "sparse_refresh",
    "bn_moves": "bn_update",
    "uphill_by": "ascent_from",
}
"""Names of version 0.1, which are still read from its files."""


def _of_methods_models_and_data() -> dict[str, Option]:
    """All options in the tables; two entries that share a name must share the option."""
    found: dict[str, Option] = {}
    tables: tuple[Mapping[str, MethodKind | ModelKind | DataKind], ...] = METHODS, MODELS, DATASETS
    for kind in (kind for table in tables for kind in table.values()):
        for name, option in kind.options.items():
            if found.setdefault(name, option) != option:
                raise ValueError(f"two different options have the name {name!r}")
    return found


OWN: Options = _of_methods_models_and_data()
"""The options of methods, models and data sets."""


def option(default: Any, help: str, **rest: Any) -> Any:
    return field(default=default, metadata={"option": Option(default, help, **rest)})


@dataclass(frozen=True)
class Config:
    """One run. ``own`` has the options of methods, models and data sets, all of them; each is read as an attribute.

    ``rho`` = 0 means the raw perturbation ``r g``; otherwise ``rho g / |g|`` is used.
    """

    dataset: str = option("digits", "data set", choices=tuple(DATASETS))
    model: str = option("resnet20", "network", choices=tuple(MODELS))
    method: str = option("layerwise-sam", "training method", choices=tuple(METHODS))
    epochs: int = option(15, "passes over the training samples", at_least=1)
    batch_size: int = option(64, "samples per step, over all processes", at_least=1)
    lr: float = option(0.1, "learning rate", at_least=0)
    lr_drops: tuple[float, ...] = option(
        (2 / 3, 13 / 15), "fractions of the run at which the rate drops", at_least=0, at_most=1
    )
    lr_factor: float = option(0.1, "what the rate is multiplied by at a drop", at_least=0, at_most=1)
    momentum: float = option(0.9, "momentum of the optimiser", at_least=0, at_most=1)
    weight_decay: float = option(1e-4, "decay of kernels and biases", at_least=0)
    decay_in: str = option("optimizer", "where weight decay enters", choices=("optimizer", "loss"))
    label_smoothing: float = option(0.0, "label smoothing", at_least=0, at_most=1)
    bn_batch: str = option(
        "rank", "what batch norm normalises: each rank's samples, or all ranks' together", choices=("rank", "all")
    )
    start: str = option("", "the run whose weights and running statistics this one starts from: its folder")
    seed: int = option(0, "seed of all random draws", at_least=0, at_most=2**32 - 1)
    dtype: str = option("float32", "floating-point type", choices=DTYPES)
    device: str = option("cpu", "where arrays live", choices=("auto", "cpu", "cuda"))
    engine: str = option("plain", "what computes the network", choices=tuple(ENGINES))
    threads: int = option(1, "BLAS threads; results repeat bit for bit at equal numbers", at_least=1, at_most=1024)
    probe: bool = option(False, "per epoch, gradient norms at w on fixed samples, untimed")
    own: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in self.own:
            if name not in OWN:
                raise unknown("option", name, OWN)
        object.__setattr__(self, "own", {n: o.default for n, o in OWN.items()} | dict(self.own))
        for name, value in self.values().items():
            checked = OPTIONS[name].checked(name, OPTIONS[name].converted(name, value))
            if name in OWN:
                self.own[name] = checked  # type: ignore[index]
            else:
                object.__setattr__(self, name, checked)
        if -1 < self.budget < 0:
            raise UserError(f"asked for budget = {self.budget}, but it must be at least 0, or -1 for none: change it")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in (own := object.__getattribute__(self, "own")):
            raise AttributeError(name)
        return own[name]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Config:
        """From names and values, as a file or the command line has them."""
        for name in values:
            if name not in OPTIONS:
                raise unknown("option", name, OPTIONS)
        resolved = {name: OPTIONS[name].converted(name, value) for name, value in values.items()}
        own = {name: resolved.pop(name) for name in list(resolved) if name in OWN}
        return cls(**resolved, own=own)

    def but(self, **changes: Any) -> Config:
        """The same with other values."""
        return Config.of(self.values() | changes)

    def values(self) -> dict[str, Any]:
        """Every option, used or not."""
        return {name: getattr(self, name) for name in OPTIONS}

    def used(self) -> dict[str, Any]:
        """The options that have an effect: this is what the config means."""
        kinds = METHODS[self.method], MODELS[self.model], DATASETS[self.dataset]
        unused = OWN.keys() - {name for kind in kinds for name in kind.options} | without_effect(self)
        return {name: value for name, value in self.values().items() if name not in unused}

    def require_used(self, given: Iterable[str]) -> None:
        """Refuse options that were ``given`` by hand and have no effect."""
        if idle := sorted(set(given) - self.used().keys()):
            raise UserError(f"asked for {_why_idle(self, idle[0])}: leave it out, or change the other")

    def lines(self) -> str:
        """An option a line, for people."""
        return "\n".join(f"{name} = {value}" for name, value in self.used().items())

    def toml(self) -> str:
        """The text of ``config.toml``: every option that is used, defaults included."""
        lists = {name: list(value) for name, value in self.used().items() if isinstance(value, tuple)}
        return tomli_w.dumps({"format": FORMAT} | self.used() | lists)


OPTIONS: Options = {f.name: f.metadata["option"] for f in fields(Config) if "option" in f.metadata} | dict(OWN)
"""All options by name."""


def _why_idle(config: Config, name: str) -> str:
    """The option, and what it has no effect with."""
    asked = f"{name} = {getattr(config, name)}"
    for what, table in (("method", METHODS), ("model", MODELS), ("dataset", DATASETS)):
        chosen = getattr(config, what)
        if any(name in kind.options for kind in table.values()) and name not in table[chosen].options:
            owners = [owner for owner, kind in table.items() if name in kind.options]
            return f"{asked} with {what} {chosen!r}, which has no such option (it belongs to {', '.join(owners)})"
    return f"{asked}, which another option makes useless ({'rho' if name == 'r' else 'adaptive or budget'})"


def read(path: Path, python: bool = False) -> dict[str, Any]:
    """The names, hyphens made underscores, and values in a TOML file (see :func:`parse`)."""
    try:
        text = path.read_bytes()
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        raise UserError(f"asked for config file {path}, which {why}: check its name") from None
    return parse(text, str(path), python)


def parse(text: bytes, source: str, python: bool = False) -> dict[str, Any]:
    """The same from the text of such a file; of an older format, under the names of today.

    That of a run made in Python is refused, unless ``python``: what identifies its network and data is left out then.
    """
    try:
        values = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or no sensible size
        raise UserError(
            f"asked for config file {source}, which is not TOML ({error}): write lines like k = 4"
        ) from None
    if values.get("made_in") == PYTHON and not python:
        raise UserError(f"asked for config file {source}, which is of a run made in Python: use fit(..., resume=True)")
    for name in IDENTITY:
        values.pop(name, None)
    written = values.pop("format", 1)
    if written not in range(1, FORMAT + 1):
        raise UserError(
            f"asked for config file {source} of format {shown(written)}, but this version reads formats up to {FORMAT}:"
            " use a newer lwsam-ref"
        )
    names = [name.replace("-", "_") for name in values]
    if written == 1:
        names = [RENAMED.get(name, name) for name in names]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"asked for {name!r} twice in {source}, under two spellings: keep one")
    return dict(zip(names, values.values(), strict=True))


def preset(name: str) -> dict[str, Any]:
    """The names and values of a preset that comes with the package."""
    known = {p.name.removesuffix(".toml"): p for p in files("lwsam_ref").joinpath("presets").iterdir()}
    if name not in known:
        raise unknown("preset", name, known)
    return parse(known[name].read_bytes(), name)
