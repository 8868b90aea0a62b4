"""The training methods: one entry has a method's options, how it is made from them, and what a step of it costs.

Nothing else in the package knows a method by its name. A new one is an entry here (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

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
from lwsam_ref.algorithms.friendly_sam import FriendlySAM
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.errors import UserError
from lwsam_ref.options import Option, Options, Values
from lwsam_ref.training.budget import Budget
from lwsam_ref.training.objective import share_of
from lwsam_ref.vector import PERTURBED


class MethodCost(NamedTuple):
    """A method, or a variant of it, with its mean FLOPs per sample and step."""

    name: str
    flops: float


@dataclass(frozen=True)
class MethodKind:
    """``make`` builds the method; ``costs`` has its formula, or several.

    ``shared``: numbers of samples, each with a text, that the ranks must be able to share in equal parts.
    """

    make: Callable[[Values, Costs], Method]
    costs: Callable[[Values, Costs], Iterator[MethodCost]]
    options: Options
    shared: Callable[[Values], dict[str, int]] = lambda o: {}


def radius(o: Values) -> Radius:
    """Normalised where ``rho`` is given, else raw; scaled by the weights if ``adaptive``."""
    plain = Normalised(o.rho) if o.rho > 0 else Raw(o.r)
    return Adaptive(plain, o.stabiliser) if o.adaptive else plain


def check_k(o: Values, layers: tuple[str, ...]) -> None:
    """No more layers can be selected than there are."""
    if o.k > len(layers):
        raise UserError(
            f"asked for k = {o.k}, but the network has {len(layers)} layers to perturb: use at most {len(layers)}"
        )


def without_effect(o: Values) -> set[str]:
    """Options that another option of the same method switches off."""
    off = {"r"} if o.rho > 0 else set()
    off |= set() if o.adaptive else {"stabiliser"}
    return off | ({"k", "criterion"} if o.budget >= 0 else {"budget"})


CLIMB: Options = {
    "r": Option(0.1, "raw radius: the perturbation is r g (Eq. 3)", at_least=0),
    "rho": Option(0.0, "normalised radius, used in the place of r if above 0: rho g / |g| (Eq. 2)", at_least=0),
    "adaptive": Option(False, "scale the perturbation by the weights (adaptive SAM)"),
    "stabiliser": Option(0.01, "what is added to the weights' magnitudes (adaptive)", at_least=0),
    "perturb": Option("kernels", "which tensors a layer perturbs and mixes", choices=tuple(PERTURBED)),
    "ascent_from": Option(
        "all", "whose gradient the ascent follows: all ranks' mean, or each rank its own", choices=("all", "rank")
    ),
    "bn_update": Option(
        "once", "which passes move running statistics: the one at w, or both", choices=("once", "twice")
    ),
}
"""Of every method that climbs."""
ALPHA: Options = {"alpha": Option(0.8, "share of the perturbed gradient (Eq. 6); SAM has 1", at_least=0, at_most=1)}


def _sgd(o: Values, costs: Costs) -> Iterator[MethodCost]:
    yield MethodCost("sgd", costs.sgd)


def _sam(name: str) -> Callable[[Values, Costs], Iterator[MethodCost]]:
    def formula(o: Values, costs: Costs) -> Iterator[MethodCost]:
        yield MethodCost(name, costs.sgd + costs.extra(costs.layout.layers))

    return formula


def _looksam(o: Values, costs: Costs) -> Iterator[MethodCost]:
    """Its ascent wants the whole gradient."""
    extra = costs.backward + costs.resume(costs.layout.layers)
    yield MethodCost(f"looksam, interval {o.looksam_interval} (Eq. 9)", costs.sgd + extra / o.looksam_interval)


def _esam(o: Values, costs: Costs) -> Iterator[MethodCost]:
    share = share_of(o.batch_size, o.esam_gamma) / o.batch_size
    flops = costs.forward + costs.extra(costs.layout.layers) + share * (costs.again + costs.backward)
    yield MethodCost(f"esam, {share:.4g} of the samples", flops)


def _sparse(o: Values, costs: Costs) -> Iterator[MethodCost]:
    samples = min(o.fisher_samples, o.batch_size)
    masked = costs.fisher() * samples / (o.sparse_refresh * o.batch_size)
    flops = costs.sgd + costs.extra(costs.layout.layers) + masked
    yield MethodCost(f"sparse-sam, {samples} samples in {o.sparse_refresh} steps", flops)


def _layerwise(o: Values, costs: Costs) -> Iterator[MethodCost]:
    layers = costs.layout.layers
    for k in sorted({k for k in (1, 2, 4, 8, o.k) if k <= len(layers)}):
        last = layers[len(layers) - k :]
        for how, afresh in (("second pass whole (Eq. 8)", True), ("resumed", False)):
            yield MethodCost(f"layerwise-sam, last {k}, {how}", costs.sgd + costs.extra(last, afresh))


def _make_layerwise(o: Values, costs: Costs) -> Method:
    if o.budget >= 0:
        return LayerwiseSAM(0, radius(o), o.alpha, Budget(costs, o.budget), o.seed)
    check_k(o, costs.layout.layers)
    return LayerwiseSAM(o.k, radius(o), o.alpha, CRITERIA[o.criterion], o.seed)


METHODS: dict[str, MethodKind] = {
    "sgd": MethodKind(lambda o, costs: SGD(), _sgd, {}),
    "sam": MethodKind(lambda o, costs: GeneralizedSAM(radius(o), 1.0), _sam("sam"), CLIMB),
    "generalized-sam": MethodKind(
        lambda o, costs: GeneralizedSAM(radius(o), o.alpha), _sam("generalized-sam"), {**CLIMB, **ALPHA}
    ),
    "looksam": MethodKind(
        lambda o, costs: LookSAM(radius(o), o.looksam_interval, o.looksam_reuse, o.look_per_layer),
        _looksam,
        {
            **CLIMB,
            "looksam_interval": Option(3, "steps from one SAM gradient to the next (looksam)", at_least=1),
            "looksam_reuse": Option(0.7, "weight of the reused part in the steps between (looksam)", at_least=0),
            "look_per_layer": Option(False, "split the gradient layer by layer, not as a whole (looksam)"),
        },
    ),
    "layerwise-sam": MethodKind(
        _make_layerwise,
        _layerwise,
        {
            **CLIMB,
            **ALPHA,
            "k": Option(4, "layers to perturb (layerwise-sam)", at_least=0),
            "criterion": Option("high", "which norms select a layer (layerwise-sam)", choices=tuple(CRITERIA)),
            "budget": Option(
                -1.0,
                "selects in the place of k: the most that a step may cost above one of SGD, 0.1 is a tenth"
                " (layerwise-sam)",
                at_least=-1,
                at_most=10,
            ),
        },
    ),
    "esam": MethodKind(
        lambda o, costs: ESAM(radius(o), o.esam_beta, o.esam_gamma, o.esam_by, o.seed),
        _esam,
        {
            **CLIMB,
            "esam_beta": Option(0.6, "share of the weights that are perturbed (esam)", at_least=1e-3, at_most=1),
            "esam_gamma": Option(0.5, "share of the samples that the descent takes (esam)", at_least=0, at_most=1),
            "esam_by": Option("parameter", "what is perturbed or not (esam)", choices=("parameter", "tensor")),
        },
        lambda o: {f"esam_gamma = {o.esam_gamma}, that is samples": share_of(o.batch_size, o.esam_gamma)},
    ),
    "sparse-sam": MethodKind(
        lambda o, costs: SparseSAM(radius(o), o.sparsity, o.sparse_refresh, o.fisher_samples),
        _sparse,
        {
            **CLIMB,
            "sparsity": Option(0.5, "share of the weights that are not perturbed (sparse-sam)", at_least=0, at_most=1),
            "sparse_refresh": Option(100, "steps from one Fisher mask to the next (sparse-sam)", at_least=1),
            "fisher_samples": Option(16, "samples of a batch that a Fisher mask is made from (sparse-sam)", at_least=1),
        },
    ),
    "friendly-sam": MethodKind(
        lambda o, costs: FriendlySAM(radius(o), o.friendly_sigma, o.friendly_lambda),
        _sam("friendly-sam"),
        {
            **CLIMB,
            "friendly_sigma": Option(
                1.0, "share of the mean gradient taken out of the ascent (friendly-sam)", at_least=0
            ),
            "friendly_lambda": Option(
                0.6, "share of the mean gradient kept at a step (friendly-sam)", at_least=0, at_most=1
            ),
        },
    ),
}
