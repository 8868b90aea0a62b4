"""From a config to a method: the one place where a method's name is looked up."""

from __future__ import annotations

from lwsam_ref.algorithms import (
    CRITERIA,
    SGD,
    GeneralizedSAM,
    LayerwiseSAM,
    Method,
    Normalised,
    Radius,
    Raw,
)
from lwsam_ref.config import Config
from lwsam_ref.errors import UserError


def radius(config: Config) -> Radius:
    """Normalised where ``rho`` is given, else raw."""
    return Normalised(config.rho) if config.rho > 0 else Raw(config.r)


def check_k(config: Config, layers: tuple[str, ...]) -> None:
    """No more layers can be selected than there are."""
    if config.k > len(layers):
        raise UserError(
            f"asked for k = {config.k}, but {config.model} has {len(layers)} layers: use a k of at most {len(layers)}"
        )


def method(config: Config, layers: tuple[str, ...]) -> Method:
    """The method that ``config`` names, for a network with ``layers``."""
    if config.method == "sgd":
        return SGD()
    if config.method in ("sam", "generalized-sam"):
        return GeneralizedSAM(radius(config), config.alpha)
    check_k(config, layers)
    return LayerwiseSAM(config.k, radius(config), config.alpha, CRITERIA[config.criterion], config.seed)
