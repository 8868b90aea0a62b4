"""From a config to a method: the one place where a method's name is looked up."""

from __future__ import annotations

from lwsam_ref.algorithms import (
    CRITERIA,
    ESAM,
    SGD,
    Adaptive,
    GeneralizedSAM,
    LayerwiseSAM,
    LookSAM,
    Method,
    Normalised,
    Radius,
    Raw,
    SparseSAM,
)
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.config import Config
from lwsam_ref.errors import UserError
from lwsam_ref.training.budget import Budget


def radius(config: Config) -> Radius:
    """Normalised where ``rho`` is given, else raw; scaled by the weights if ``adaptive``."""
    plain = Normalised(config.rho) if config.rho > 0 else Raw(config.r)
    return Adaptive(plain, config.stabiliser) if config.adaptive else plain


def check_k(config: Config, layers: tuple[str, ...]) -> None:
    """No more layers can be selected than there are."""
    if config.k > len(layers):
        raise UserError(
            f"asked for k = {config.k}, but {config.model} has {len(layers)} layers: use a k of at most {len(layers)}"
        )


def method(config: Config, costs: Costs) -> Method:
    """The method that ``config`` names, for the network of ``costs``."""
    c, how = config, radius(config)
    if c.method == "sgd":
        return SGD()
    if c.method in ("sam", "generalized-sam"):
        return GeneralizedSAM(how, c.alpha)
    if c.method == "looksam":
        return LookSAM(how, c.interval, c.reuse, c.look_per_layer)
    if c.method == "esam":
        return ESAM(how, c.beta, c.gamma, c.esam_by, c.seed)
    if c.method == "sparse-sam":
        return SparseSAM(how, c.sparsity, c.refresh, c.fisher_samples)
    if c.budget >= 0:
        return LayerwiseSAM(0, how, c.alpha, Budget(costs, c.budget), c.seed)
    check_k(c, costs.layout.layers)
    return LayerwiseSAM(c.k, how, c.alpha, CRITERIA[c.criterion], c.seed)
