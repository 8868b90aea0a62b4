"""Everything that a run depends on, in one frozen value; the command line, files and presets all end here.

Each field carries its help, its choices and its range, from which the command line's options are made and every
value is checked, wherever it came from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w

from lwsam_ref.device import DTYPES
from lwsam_ref.errors import UserError, unknown

DATASETS = ("digits", "cifar10")
LARGEST = 2**63 - 1
METHODS = ("sgd", "sam", "generalized-sam", "looksam", "layerwise-sam", "esam", "sparse-sam")
WHOLE = ("sam", "looksam", "esam", "sparse-sam")
"""The methods whose update has the perturbed gradient whole: alpha is 1."""
MODELS = ("mlp", "resnet20", "wrn16-2", "wrn28-10")


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices, "min": at_least, "max": at_most})


@dataclass(frozen=True)
class Config:
    """One run. ``rho`` = 0 means the raw perturbation ``r g``; otherwise ``rho g / |g|`` is used."""

    dataset: str = option("digits", "data set", choices=DATASETS)
    model: str = option("resnet20", "network", choices=MODELS)
    method: str = option("layerwise-sam", "training method", choices=METHODS)
    k: int = option(4, "layers to perturb (layerwise-sam)", at_least=0)
    criterion: str = option("high", "which norms select a layer (layerwise-sam)", choices=("high", "low", "random"))
    budget: float = option(
        -1.0,
        "selects in the place of k: the most that a step may cost above one of SGD, 0.1 is a tenth (layerwise-sam)",
        at_least=-1,
        at_most=10,
    )
    r: float = option(0.1, "raw radius: the perturbation is r g (Eq. 3)", at_least=0)
    rho: float = option(0.0, "normalised radius, used in the place of r if above 0: rho g / |g| (Eq. 2)", at_least=0)
    adaptive: bool = option(False, "scale the perturbation by the weights (adaptive SAM)")
    stabiliser: float = option(0.01, "what is added to the weights' magnitudes (adaptive)", at_least=0)
    alpha: float = option(0.8, "share of the perturbed gradient (Eq. 6); SAM has 1", at_least=0, at_most=1)
    interval: int = option(3, "steps from one SAM gradient to the next (looksam)", at_least=1)
    reuse: float = option(0.7, "weight of the reused part in the steps between (looksam)", at_least=0)
    look_per_layer: bool = option(False, "split the gradient layer by layer, not as a whole (looksam)")
    beta: float = option(0.6, "share of the weights that are perturbed (esam)", at_least=1e-3, at_most=1)
    gamma: float = option(0.5, "share of the samples that the descent takes (esam)", at_least=0, at_most=1)
    esam_by: str = option("parameter", "what is perturbed or not (esam)", choices=("parameter", "tensor"))
    sparsity: float = option(0.5, "share of the weights that are not perturbed (sparse-sam)", at_least=0, at_most=1)
    refresh: int = option(100, "steps from one Fisher mask to the next (sparse-sam)", at_least=1)
    fisher_samples: int = option(16, "samples of a batch that a Fisher mask is made from (sparse-sam)", at_least=1)
    perturb: str = option("kernels", "which tensors a layer perturbs and mixes", choices=("kernels", "all"))
    epochs: int = option(15, "passes over the training images", at_least=1)
    batch_size: int = option(64, "images per step, over all processes", at_least=1)
    lr: float = option(0.1, "learning rate", at_least=0)
    lr_drops: tuple[float, ...] = option(
        (2 / 3, 13 / 15), "fractions of the run at which the rate drops", at_least=0, at_most=1
    )
    lr_factor: float = option(0.1, "what the rate is multiplied by at a drop", at_least=0, at_most=1)
    momentum: float = option(0.9, "momentum of the optimiser", at_least=0, at_most=1)
    weight_decay: float = option(1e-4, "decay of kernels and biases", at_least=0)
    decay_in: str = option("optimizer", "where weight decay enters", choices=("optimizer", "loss"))
    label_smoothing: float = option(0.0, "label smoothing", at_least=0, at_most=1)
    dropout: float = option(0.0, "dropout in every block (wrn)", at_least=0, at_most=0.9)
    post_activation: bool = option(False, "blocks with ReLU behind the sum, as in ResNet-20 (wrn)")
    bn_momentum: float = option(0.99, "momentum of batch norm's running statistics", at_least=0, at_most=1)
    bn_batch: str = option(
        "rank", "what batch norm normalises: each rank's images, or all ranks' together", choices=("rank", "all")
    )
    uphill_by: str = option(
        "all", "whose gradient the ascent follows: all ranks' mean, or each rank its own", choices=("all", "rank")
    )
    bn_moves: str = option(
        "once", "which passes move running statistics: the one at w, or both", choices=("once", "twice")
    )
    augment: bool = option(True, "pad, crop at random, and flip where a flip keeps the meaning")
    seed: int = option(0, "seed of all random draws", at_least=0, at_most=2**32 - 1)
    dtype: str = option("float32", "floating-point type", choices=DTYPES)
    device: str = option("cpu", "where arrays live", choices=("auto", "cpu", "cuda"))
    threads: int = option(1, "BLAS threads; results repeat bit for bit at equal numbers", at_least=1, at_most=1024)
    probe: bool = option(False, "per epoch, gradient norms at w on fixed images, untimed")

    def __post_init__(self) -> None:
        for f in fields(self):
            _check(f, getattr(self, f.name))
        if self.method in WHOLE and self.alpha != 1.0:
            raise UserError(
                f"asked for method {self.method!r} with alpha {self.alpha}, but its alpha is 1: use generalized-sam"
            )
        if -1 < self.budget < 0:
            raise UserError(f"asked for budget = {self.budget}, but it must be at least 0, or -1 for none: change it")
        if self.rho > 0 and self.r != type(self).r:
            raise UserError(f"asked for r = {self.r} and rho = {self.rho}, but only one radius can be used: give one")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Config:
        """From names and values, as a file or the command line has them; alpha is 1 unless given where it must be."""
        known = {f.name: f for f in fields(cls)}
        resolved: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise unknown("option", name, known)
            resolved[name] = _converted(known[name], value)
        if resolved.get("method") in WHOLE:
            resolved.setdefault("alpha", 1.0)
        return cls(**resolved)

    def lines(self) -> str:
        """An option a line, for people."""
        return "\n".join(f"{name} = {value}" for name, value in asdict(self).items())

    def toml(self) -> str:
        """The text of ``config.toml``: every option, defaults included."""
        values = asdict(self)
        values["lr_drops"] = list(self.lr_drops)
        return tomli_w.dumps(values)


def read(path: Path) -> dict[str, Any]:
    """The names, hyphens made underscores, and values in a TOML file."""
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        raise UserError(f"asked for config file {path}, which {why}: check its name") from None
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or no sensible size
        raise UserError(f"asked for config file {path}, which is not TOML ({error}): write lines like k = 4") from None
    names = [name.replace("-", "_") for name in values]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"asked for {name!r} twice in {path}, with and without a hyphen: keep one")
    return dict(zip(names, values.values(), strict=True))


def preset(name: str) -> dict[str, Any]:
    """The names and values of a preset that comes with the package."""
    known = {p.name.removesuffix(".toml"): p for p in files("lwsam_ref").joinpath("presets").iterdir()}
    if name not in known:
        raise unknown("preset", name, known)
    return tomllib.loads(known[name].read_text("utf-8"))


def mistyped(name: str, value: Any, kind: type) -> UserError:
    """The sentence for a value that is not of the option's type."""
    wanted = "list of numbers" if kind is tuple else kind.__name__
    return UserError(f"asked for {name} = {_shown(value)}, but its type is {wanted}: change it")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # more digits, or tables in tables, than Python shows
        return "something too large to show"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _converted(f: Field[Any], value: Any) -> Any:
    """``value`` in the field's type; a whole number will do for a float, a list for a tuple, nothing else."""
    kind = type(f.default)
    try:
        if kind is float and type(value) is int:
            return float(value)
        if kind is tuple and isinstance(value, (list, tuple)) and all(type(v) in (int, float) for v in value):
            return tuple(map(float, value))
        if kind is int and type(value) is int and abs(value) > LARGEST:
            raise UserError(f"asked for a {f.name} beyond {LARGEST}: change it")
    except OverflowError:
        raise UserError(f"asked for a {f.name} beyond the range of floating-point numbers: change it") from None
    if type(value) is kind:
        return value
    raise mistyped(f.name, value, kind)


def _check(f: Field[Any], value: Any) -> None:
    choices, low, high = f.metadata["choices"], f.metadata["min"], f.metadata["max"]
    if choices and value not in choices:
        raise unknown(f.name, value, choices)
    for v in value if isinstance(value, tuple) else (value,):
        if isinstance(v, float) and not abs(v) < float("inf"):
            raise UserError(f"asked for {f.name} = {v}, which is no finite number: use one")
        if (low is not None and v < low) or (high is not None and v > high):
            bounds = f"at least {low}" if high is None else f"between {low} and {high}"
            raise UserError(f"asked for {f.name} = {v}, but it must be {bounds}: change it")
